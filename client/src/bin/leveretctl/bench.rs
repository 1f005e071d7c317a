//! `leveretctl bench`.
//!
//! A message's first eight bytes are the nanoseconds since the start of the run, so that its consumer, in the same
//! process, knows how old it is.

use crate::{
    arguments::{Bench, Connect},
    exit,
    pace::Pace,
    progress::Progress,
};
use anyhow::Context;
use hdrhistogram::Histogram;
use leveret_client::{
    Binding, Confirm, Connection, Consumer, Exchange, Message, OnLoss, Publisher, PublisherOptions, Queue,
    Topology,
    lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

pub async fn run(connect: &Connect, options: &Bench) -> anyhow::Result<()> {
    let name = match &options.queue {
        Some(name) => name.clone(),
        None => format!("leveretctl.bench.{:08x}", rand::random::<u32>()),
    };
    let bench = Arc::new(Run {
        started: Instant::now(),
        queues: queue_names(&name, options.queues),
        exchange: options.fanout.then_some(name),
        left: AtomicU64::new(options.count.unwrap_or(u64::MAX)),
        published: AtomicU64::new(0),
        confirmed: AtomicU64::new(0),
        consumed: AtomicU64::new(0),
    });
    let admin = connect.open().await?;
    let mut topology = Topology::new();
    for name in &bench.queues {
        let queue = options
            .arguments
            .iter()
            .fold(Queue::new(name).durable(), |queue, (name, value)| queue.argument(name, value.clone()));
        topology = topology.queue(queue);
        if let Some(exchange) = &bench.exchange {
            topology = topology.binding(Binding::queue(exchange, name, ""));
        }
    }
    if let Some(exchange) = &bench.exchange {
        topology = topology.exchange(Exchange::fanout(exchange).durable());
    }
    admin.declare(&topology).await.context("declaring what messages go through")?;
    let outcome = tokio::select! {
        outcome = measure(connect, options, &bench) => outcome,
        Err(interrupted) = exit::interrupted() => Err(interrupted),
    };
    if !options.keep {
        delete(&admin, &bench).await?;
    }
    admin.close().await;
    outcome?.print(options);
    Ok(())
}

/// What the tasks share.
struct Run {
    started: Instant,
    queues: Vec<String>,
    /// What leads to all of them, where each message is to.
    exchange: Option<String>,
    /// Messages that may still be published.
    left: AtomicU64,
    published: AtomicU64,
    confirmed: AtomicU64,
    consumed: AtomicU64,
}

impl Run {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether one more message may be published.
    fn take_one(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn queue(&self, index: u32) -> &str {
        &self.queues[index as usize % self.queues.len()]
    }
}

async fn measure(connect: &Connect, options: &Bench, run: &Arc<Run>) -> anyhow::Result<Report> {
    let (publishing_over, over) = watch::channel(false);
    let mut consuming = JoinSet::new();
    if !options.backlog {
        subscribe_all(connect, options, run, &over, &mut consuming).await?;
    }
    // Opened before the clock starts.
    let mut publishers = Vec::new();
    for index in 0..options.publishers {
        publishers.push((index, open_publisher(connect, options).await?));
    }
    let began = Instant::now();
    let mut publishing = JoinSet::new();
    for (index, (connection, publisher)) in publishers {
        let plan = Plan {
            exchange: run.exchange.clone().unwrap_or_default(),
            key: if run.exchange.is_some() { String::new() } else { run.queue(index).to_owned() },
            size: options.size as usize,
            persistent: options.persistent,
            until: began + options.duration,
            pace: options.rate.map(|rate| Pace::new(rate / f64::from(options.publishers), began)),
        };
        publishing.spawn(publish(connection, publisher, plan, Arc::clone(run)));
    }
    let mut progress = tokio::spawn(show_progress(Progress::new(connect, "confirmed"), Arc::clone(run)));
    let mut confirm_latency = new_histogram();
    while let Some(outcome) = publishing.join_next().await {
        confirm_latency.add(outcome??).context("adding histograms")?;
    }
    let published_for = began.elapsed();
    // Publishing has ended: consumers stop once they have had nothing for a while.
    publishing_over.send_replace(true);
    let (mut consumed_from, mut consumed_for) = (began, published_for);
    if options.backlog {
        (consumed_from, consumed_for) = (Instant::now(), Duration::ZERO);
        subscribe_all(connect, options, run, &over, &mut consuming).await?;
    }
    let mut delivery_latency = new_histogram();
    while let Some(outcome) = consuming.join_next().await {
        let (histogram, last) = outcome??;
        delivery_latency.add(histogram).context("adding histograms")?;
        consumed_for = consumed_for.max(last.saturating_duration_since(consumed_from));
    }
    progress.abort();
    // An abort is how it ends.
    let _ = (&mut progress).await;
    Ok(Report {
        published: run.published.load(Ordering::Relaxed),
        confirmed: run.confirmed.load(Ordering::Relaxed),
        consumed: run.consumed.load(Ordering::Relaxed),
        published_for,
        consumed_for,
        confirm_latency,
        delivery_latency,
    })
}

/// What one publisher does.
struct Plan {
    exchange: String,
    key: String,
    size: usize,
    persistent: bool,
    until: Instant,
    pace: Option<Pace>,
}

async fn open_publisher(connect: &Connect, options: &Bench) -> anyhow::Result<(Connection, Publisher)> {
    let connection = connect.open().await?;
    let options = PublisherOptions { window: options.window, on_loss: OnLoss::Republish };
    let publisher = Publisher::with_options(&connection, options);
    Ok((connection, publisher))
}

/// Publishes and answers the latencies of the confirms.
async fn publish(
    connection: Connection,
    publisher: Publisher,
    mut plan: Plan,
    run: Arc<Run>,
) -> anyhow::Result<Histogram<u64>> {
    let (under_way, confirms) = mpsc::unbounded_channel();
    let confirming = tokio::spawn(await_confirms(confirms, Arc::clone(&run)));
    while Instant::now() < plan.until && run.take_one() {
        if let Some(pace) = &mut plan.pace {
            pace.wait().await;
        }
        let now_ns = run.now_ns();
        let mut body = vec![0_u8; plan.size];
        body[..8].copy_from_slice(&now_ns.to_be_bytes());
        let mut message = Message::new(&plan.exchange, &plan.key, body);
        if plan.persistent {
            message = message.persistent();
        }
        let confirm = publisher.send(message).await?;
        run.published.fetch_add(1, Ordering::Relaxed);
        if under_way.send((now_ns, confirm)).is_err() {
            break; // A confirm failed; the error is there.
        }
    }
    drop(under_way);
    let histogram = confirming.await??;
    connection.close().await;
    Ok(histogram)
}

/// Confirms are awaited in the order of publishing, so one that comes out of turn is counted with those before it.
async fn await_confirms(
    mut confirms: mpsc::UnboundedReceiver<(u64, Confirm)>,
    run: Arc<Run>,
) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = new_histogram();
    while let Some((sent_ns, confirm)) = confirms.recv().await {
        confirm.await?;
        histogram.saturating_record(run.now_ns().saturating_sub(sent_ns) / 1000);
        run.confirmed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(histogram)
}

async fn subscribe_all(
    connect: &Connect,
    options: &Bench,
    run: &Arc<Run>,
    over: &watch::Receiver<bool>,
    consuming: &mut JoinSet<anyhow::Result<(Histogram<u64>, Instant)>>,
) -> anyhow::Result<()> {
    for index in 0..options.consumers() {
        let consumer = subscribe(connect, options, run.queue(index)).await?;
        consuming.spawn(consume(consumer, Arc::clone(run), over.clone()));
    }
    Ok(())
}

async fn subscribe(
    connect: &Connect,
    options: &Bench,
    queue: &str,
) -> anyhow::Result<(Connection, Consumer)> {
    let connection = connect.open().await?;
    let mut builder = Consumer::builder(&connection, queue).prefetch(options.prefetch);
    if options.auto_ack {
        builder = builder.no_ack();
    }
    let consumer = builder.start().await?;
    Ok((connection, consumer))
}

/// Consumes until nothing comes any more; answers the latencies and when the last message came.
async fn consume(
    (connection, mut consumer): (Connection, Consumer),
    run: Arc<Run>,
    mut publishing_over: watch::Receiver<bool>,
) -> anyhow::Result<(Histogram<u64>, Instant)> {
    let mut histogram = new_histogram();
    let mut last = Instant::now();
    let mut over = *publishing_over.borrow();
    loop {
        let next = tokio::select! {
            next = consumer.next() => next,
            _ = publishing_over.changed(), if !over => {
                over = true;
                continue;
            }
            () = tokio::time::sleep(DRAINED_AFTER), if over => break,
        };
        let Some(delivery) = next.transpose()? else { break };
        delivery.ack();
        last = Instant::now();
        run.consumed.fetch_add(1, Ordering::Relaxed);
        // Queues named with --queue may hold other messages.
        if let Some(sent_ns) = delivery.body.first_chunk::<8>() {
            let age_ns = run.now_ns().saturating_sub(u64::from_be_bytes(*sent_ns));
            histogram.saturating_record(age_ns / 1000);
        }
    }
    consumer.close().await;
    connection.close().await;
    Ok((histogram, last))
}

/// A consumer that has had nothing for so long after the end of publishing has had everything.
const DRAINED_AFTER: Duration = Duration::from_secs(1);

async fn show_progress(mut progress: Progress, run: Arc<Run>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut seen = 0;
    loop {
        tick.tick().await;
        let confirmed = run.confirmed.load(Ordering::Relaxed);
        progress.add(confirmed - seen);
        seen = confirmed;
    }
}

async fn delete(admin: &Connection, run: &Run) -> anyhow::Result<()> {
    admin
        .on_channel(async |channel| {
            for queue in &run.queues {
                channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
            }
            if let Some(exchange) = &run.exchange {
                channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
            }
            Ok(())
        })
        .await
        .context("deleting what messages went through")
}

fn queue_names(name: &str, count: u32) -> Vec<String> {
    (0..count).map(|index| if count == 1 { name.to_owned() } else { format!("{name}.{index}") }).collect()
}

/// Microseconds up to an hour, to three digits.
fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3)
        .expect("the bounds are in order and three digits are allowed")
}

/// What came out.
struct Report {
    published: u64,
    confirmed: u64,
    consumed: u64,
    published_for: Duration,
    consumed_for: Duration,
    confirm_latency: Histogram<u64>,
    delivery_latency: Histogram<u64>,
}

const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

impl Report {
    fn print(&self, options: &Bench) {
        if options.json {
            println!("{}", self.to_json(options));
        } else {
            print!("{}", self.to_text(options));
        }
    }

    fn to_text(&self, options: &Bench) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let mut rate = |what: &str, count: u64, time: Duration| {
            let per_second = count as f64 / time.as_secs_f64().max(0.001);
            let megabytes = per_second * f64::from(options.size) / 1e6;
            let _ =
                writeln!(text, "{what:<10} {count:>12} messages {per_second:>10.0}/s {megabytes:>9.1} MB/s");
        };
        rate("published", self.published, self.published_for);
        rate("confirmed", self.confirmed, self.published_for);
        rate("consumed", self.consumed, self.consumed_for);
        let _ = write!(text, "{:<10}", "latency ms");
        for (name, _) in PERCENTILES {
            let _ = write!(text, " {name:>9}");
        }
        let _ = writeln!(text, " {:>9} {:>9}", "max", "mean");
        for (what, histogram) in [("confirm", &self.confirm_latency), ("delivery", &self.delivery_latency)] {
            if histogram.is_empty() {
                continue;
            }
            let _ = write!(text, "{what:<10}");
            for (_, percentile) in PERCENTILES {
                let _ = write!(text, " {:>9.3}", histogram.value_at_percentile(percentile) as f64 / 1000.0);
            }
            let _ = writeln!(
                text,
                " {:>9.3} {:>9.3}",
                histogram.max() as f64 / 1000.0,
                histogram.mean() / 1000.0
            );
        }
        text
    }

    fn to_json(&self, options: &Bench) -> serde_json::Value {
        let latency = |histogram: &Histogram<u64>| {
            let mut values: serde_json::Map<String, serde_json::Value> = PERCENTILES
                .iter()
                .map(|(name, percentile)| {
                    ((*name).to_owned(), json!(histogram.value_at_percentile(*percentile)))
                })
                .collect();
            values.insert("max".to_owned(), json!(histogram.max()));
            values.insert("mean".to_owned(), json!(histogram.mean().round()));
            values.insert("count".to_owned(), json!(histogram.len()));
            values
        };
        let per_second = |count: u64, time: Duration| (count as f64 / time.as_secs_f64().max(0.001)).round();
        json!({
            "publishers": options.publishers,
            "consumers": options.consumers(),
            "queues": options.queues,
            "fanout": options.fanout,
            "backlog": options.backlog,
            "size_bytes": options.size,
            "persistent": options.persistent,
            "window": options.window,
            "published": self.published,
            "confirmed": self.confirmed,
            "consumed": self.consumed,
            "published_for_s": self.published_for.as_secs_f64(),
            "consumed_for_s": self.consumed_for.as_secs_f64(),
            "confirmed_per_s": per_second(self.confirmed, self.published_for),
            "consumed_per_s": per_second(self.consumed, self.consumed_for),
            "confirm_latency_us": latency(&self.confirm_latency),
            "delivery_latency_us": latency(&self.delivery_latency),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn options(line: &str) -> Bench {
        match Arguments::parse_from(line.split_whitespace()).command {
            Command::Bench(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_report_says_the_same_as_text_and_as_json() {
        let mut confirm_latency = new_histogram();
        (1..=1000).for_each(|us| confirm_latency.saturating_record(us));
        let report = Report {
            published: 1000,
            confirmed: 1000,
            consumed: 0,
            published_for: Duration::from_secs(2),
            consumed_for: Duration::from_secs(2),
            confirm_latency,
            delivery_latency: new_histogram(),
        };
        let options = options("leveretctl bench --size 1000 --consumers 0");
        let json = report.to_json(&options);
        assert_eq!(json["confirmed_per_s"], 500.0);
        assert_eq!(json["confirm_latency_us"]["p99"], 990);
        assert_eq!(json["confirm_latency_us"]["max"], 1000);
        let text = report.to_text(&options);
        assert!(text.contains("500/s") && text.contains("0.5 MB/s") && text.contains("0.990"), "{text}");
        assert!(!text.contains("delivery"), "nothing was delivered: {text}");
    }

    #[test]
    fn queues_are_numbered_only_when_there_are_several() {
        assert_eq!(queue_names("q", 1), ["q"]);
        assert_eq!(queue_names("q", 2), ["q.0", "q.1"]);
    }

    #[test]
    fn every_queue_of_a_fanout_has_a_consumer_unless_said_otherwise() {
        assert_eq!(options("leveretctl bench --fanout --queues 10").consumers(), 10);
        assert_eq!(options("leveretctl bench --fanout --queues 10 --consumers 2").consumers(), 2);
        assert_eq!(options("leveretctl bench --queues 10").consumers(), 1);
    }

    #[test]
    fn the_count_is_shared_by_all_publishers() {
        let run = Run {
            started: Instant::now(),
            queues: vec!["q".into()],
            exchange: None,
            left: AtomicU64::new(2),
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
        };
        assert_eq!([run.take_one(), run.take_one(), run.take_one()], [true, true, false]);
    }
}
