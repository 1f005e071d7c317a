//! `leveretctl consume` and `leveretctl get`.

use crate::{
    arguments::{Connect, Consume, Get},
    exit::{self, Failure},
    output::{Output, Received},
    pace::Pace,
    progress::Progress,
};
use leveret_client::{Acker, Connection, Consumer, Delivery, Properties, lapin};
use std::{cell::RefCell, time::Instant};

pub async fn run(connect: &Connect, options: &Consume) -> anyhow::Result<()> {
    let connection = connect.open().await?;
    let mut consumer = subscribe(&connection, options).await?;
    let mut printer = Printer {
        output: Output::new(&options.format),
        unacked: Vec::new(),
        progress: Progress::new(connect, "consumed"),
        left: options.count.unwrap_or(u64::MAX),
    };
    let outcome = tokio::select! {
        outcome = print_all(&mut consumer, &mut printer, options) => outcome,
        // So that what is written is acknowledged before we go.
        interrupted = exit::interrupted() => interrupted,
    };
    let flushed = printer.flush();
    printer.progress.finish();
    consumer.close().await;
    connection.close().await;
    flushed?;
    outcome
}

async fn subscribe(connection: &Connection, options: &Consume) -> leveret_client::Result<Consumer> {
    let mut builder = match (&options.queue, &options.exchange) {
        (Some(queue), _) => Consumer::builder(connection, queue),
        (None, exchange) => {
            let exchange = exchange.as_deref().unwrap_or_default();
            let keys = if options.key.is_empty() { vec!["#".to_owned()] } else { options.key.clone() };
            keys.iter().fold(Consumer::private(connection), |builder, key| builder.bind(exchange, key))
        }
    };
    for (name, value) in &options.arguments {
        builder = builder.argument(name, value.clone());
    }
    if options.auto_ack {
        builder = builder.no_ack();
    }
    if options.exclusive {
        builder = builder.exclusive();
    }
    builder.prefetch(options.prefetch).tag(&options.tag).start().await
}

async fn print_all(consumer: &mut Consumer, printer: &mut Printer, options: &Consume) -> anyhow::Result<()> {
    let mut pace = options.rate.map(|rate| Pace::new(rate, Instant::now()));
    while printer.left > 0 {
        let next = match consumer.try_next() {
            Some(next) => Some(next),
            None => {
                // Nothing more is here: let the reader have what it waits for.
                printer.flush()?;
                match options.idle {
                    Some(idle) => match tokio::time::timeout(idle, consumer.next()).await {
                        Ok(next) => next,
                        Err(_) if options.count.is_none() => return Ok(()),
                        Err(_) => {
                            let missing = printer.left;
                            let text = format!("no message for {idle:?}, {missing} more were asked for");
                            return Err(Failure::TimedOut(text).into());
                        }
                    },
                    None => consumer.next().await,
                }
            }
        };
        let Some(delivery) = next.transpose()? else { return Ok(()) };
        printer.print(&delivery)?;
        if let Some(pace) = &mut pace {
            printer.flush()?;
            pace.wait().await;
        }
    }
    Ok(())
}

/// Writes messages, and acknowledges them once they are out.
struct Printer {
    output: Output,
    unacked: Vec<Acker>,
    progress: Progress,
    left: u64,
}

impl Printer {
    fn print(&mut self, delivery: &Delivery) -> std::io::Result<()> {
        self.output.write(&Received::from(delivery))?;
        self.unacked.push(delivery.acker.clone());
        self.progress.add(1);
        self.left -= 1;
        if self.unacked.len() >= UNACKED_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.output.flush();
        let written = self.unacked.drain(..);
        if flushed.is_ok() {
            written.for_each(|acker| {
                acker.ack();
            });
        }
        flushed
    }
}

/// Messages written at once; less than the default prefetch, so that the broker sends on meanwhile.
const UNACKED_MAX: usize = 50;

pub async fn get(connect: &Connect, options: &Get) -> anyhow::Result<()> {
    let connection = connect.open().await?;
    // The lost connection may be the one that was to acknowledge what is written: it is written again then.
    let output = RefCell::new(Output::new(&options.format));
    let write_error = RefCell::new(None);
    let taken = connection
        .on_channel(async |channel| {
            let written = take(&channel, options, &output).await?;
            if let Err(error) = output.borrow_mut().flush().and(written.error) {
                write_error.replace(Some(error));
                return Ok(written.count); // Closing the channel puts everything back.
            }
            if let Some(tag) = written.last_tag {
                settle(&channel, tag, options.requeue).await?;
            }
            Ok(written.count)
        })
        .await?;
    connection.close().await;
    match write_error.into_inner() {
        Some(error) => Err(error.into()),
        None if taken == 0 => Err(Failure::Empty.into()),
        None => Ok(()),
    }
}

struct Written {
    count: u64,
    last_tag: Option<u64>,
    error: std::io::Result<()>,
}

async fn take(
    channel: &lapin::Channel,
    options: &Get,
    output: &RefCell<Output>,
) -> leveret_client::Result<Written> {
    let queue = lapin::types::ShortString::try_new(options.queue.as_str())
        .map_err(|_| leveret_client::Error::TooLong { what: "queue name", bytes: options.queue.len() })?;
    let mut written = Written { count: 0, last_tag: None, error: Ok(()) };
    while written.count < options.count {
        let Some(message) = channel.basic_get(queue.clone(), Default::default()).await? else { break };
        written.count += 1;
        written.last_tag = Some(message.delivery_tag);
        let received = Received {
            exchange: message.exchange.as_str(),
            routing_key: message.routing_key.as_str(),
            redelivered: message.redelivered,
            message_count: Some(message.message_count),
            properties: &Properties::from(&message.properties),
            body: &message.data,
        };
        written.error = output.borrow_mut().write(&received);
        if written.error.is_err() {
            break;
        }
    }
    Ok(written)
}

async fn settle(channel: &lapin::Channel, up_to: u64, requeue: bool) -> leveret_client::Result<()> {
    use lapin::options::{BasicAckOptions, BasicNackOptions};
    if requeue {
        channel.basic_nack(up_to, BasicNackOptions { multiple: true, requeue: true }).await?;
    } else {
        channel.basic_ack(up_to, BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}
