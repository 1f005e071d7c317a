//! `leveretctl top`: the busiest queues, again and again.
//!
//! Polls one page of the list instead of reading the live feed: it shows a screen full, whatever there is, and works with
//! RabbitMQ as well.

use super::arguments::{TopArguments, TopOrder};
use super::connect::Session;
use super::show::{bytes, rate};
use leveret_client::admin::ListQuery;
use leveret_client::admin::types::Queue;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A queue's counters at the look before, for brokers that tell no rates.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    publish: u64,
    deliver: u64,
    ack: u64,
}

pub async fn run(session: &Session, options: &TopArguments) -> anyhow::Result<()> {
    let field = match options.sort {
        TopOrder::Messages => "messages",
        TopOrder::Publish => "message_stats.publish_details.rate",
        TopOrder::Deliver => "message_stats.deliver_get_details.rate",
        TopOrder::Ack => "message_stats.ack_details.rate",
        TopOrder::Unacked => "messages_unacknowledged",
        TopOrder::Memory => "memory",
    };
    let query = ListQuery::new().sort(field).reverse().page(1, options.limit as usize);
    let is_screen = std::io::stdout().is_terminal() && !session.json;
    let mut seen: HashMap<(String, String), Seen> = HashMap::new();
    let mut looks = 0;
    loop {
        let page = session.client.queues(None, &query).await?;
        let overview = session.client.overview().await?;
        looks += 1;
        if is_screen {
            // To the upper left corner, and away with what was there.
            session.print("\u{1b}[H\u{1b}[2J")?;
        }
        if !session.json {
            let totals = &overview.queue_totals;
            session.print(&format!(
                "{} queues, {} ready, {} unacked, {} connections",
                overview.object_totals.queues,
                totals.messages_ready,
                totals.messages_unacknowledged,
                overview.object_totals.connections
            ))?;
        }
        let now = Instant::now();
        let rates: HashMap<(String, String), [f64; 3]> =
            page.items.iter().map(|queue| (key(queue), rates(queue, seen.get(&key(queue)), now))).collect();
        seen = page.items.iter().map(|queue| (key(queue), look(queue, now))).collect();
        let of = |queue: &Queue, which: usize| rate(rates.get(&key(queue)).map_or(0.0, |rates| rates[which]));
        session.list::<Queue>(
            &page.items,
            &[
                ("vhost", &|queue| queue.vhost.clone()),
                ("queue", &|queue| queue.name.clone()),
                ("ready", &|queue| queue.totals.messages_ready.to_string()),
                ("unacked", &|queue| queue.totals.messages_unacknowledged.to_string()),
                ("in/s", &|queue| of(queue, 0)),
                ("out/s", &|queue| of(queue, 1)),
                ("ack/s", &|queue| of(queue, 2)),
                ("consumers", &|queue| queue.consumers.to_string()),
                ("memory", &|queue| bytes(queue.memory)),
            ],
        )?;
        if options.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(options.interval.into())).await;
    }
}

fn key(queue: &Queue) -> (String, String) {
    (queue.vhost.clone(), queue.name.clone())
}

fn look(queue: &Queue, at: Instant) -> Seen {
    let stats = &queue.message_stats;
    Seen { at, publish: stats.publish, deliver: stats.deliver_get, ack: stats.ack }
}

/// As the broker says, or as the counters rose since the look before.
fn rates(queue: &Queue, before: Option<&Seen>, now: Instant) -> [f64; 3] {
    let stats = &queue.message_stats;
    let told =
        [&stats.publish_details, &stats.deliver_get_details, &stats.ack_details].map(|it| it.per_second());
    let Some(before) = before.filter(|_| told == [0.0; 3]) else { return told };
    let seconds = now.duration_since(before.at).as_secs_f64().max(0.001);
    [(stats.publish, before.publish), (stats.deliver_get, before.deliver), (stats.ack, before.ack)]
        .map(|(now, before)| now.saturating_sub(before) as f64 / seconds)
}
