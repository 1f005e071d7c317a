//! `leveretctl publish`.

use crate::{
    arguments::{Connect, Publish},
    exit::Failure,
    json::JsonMessage,
    lines,
    pace::Pace,
    progress::Progress,
};
use anyhow::{Context, bail};
use leveret_client::{Confirm, Error, Message, OnLoss, Publisher, PublisherOptions};
use std::{collections::VecDeque, time::Instant};
use tokio::sync::mpsc;

pub async fn run(connect: &Connect, options: &Publish) -> anyhow::Result<()> {
    let mut source = Source::new(options).await?;
    let connection = connect.open().await?;
    let publisher_options = PublisherOptions { window: options.window, on_loss: OnLoss::Republish };
    let mut publishing = Publishing {
        publisher: Publisher::with_options(&connection, publisher_options),
        under_way: VecDeque::new(),
        window: options.window as usize,
        progress: Progress::new(connect, "confirmed"),
        sent: 0,
        undelivered: 0,
    };
    let mut pace = options.rate.map(|rate| Pace::new(rate, Instant::now()));
    let mut bad_input = None;
    loop {
        let message = match source.next().await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(error) => {
                bad_input = Some(error);
                break;
            }
        };
        if let Some(pace) = &mut pace {
            pace.wait().await;
        }
        publishing.send(message).await?;
    }
    // What came before an unreadable line is published nevertheless.
    publishing.finish().await?;
    connection.close().await;
    match bad_input {
        Some(error) => Err(error),
        None if publishing.undelivered > 0 => {
            Err(Failure::Undelivered(publishing.undelivered, publishing.sent).into())
        }
        None => Ok(()),
    }
}

struct Publishing {
    publisher: Publisher,
    under_way: VecDeque<Confirm>,
    window: usize,
    progress: Progress,
    sent: u64,
    undelivered: u64,
}

impl Publishing {
    async fn send(&mut self, message: Message) -> anyhow::Result<()> {
        if self.under_way.len() >= self.window {
            self.settle_oldest().await?;
        }
        self.under_way.push_back(self.publisher.send(message).await?);
        self.sent += 1;
        Ok(())
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        while !self.under_way.is_empty() {
            self.settle_oldest().await?;
        }
        self.progress.finish();
        Ok(())
    }

    async fn settle_oldest(&mut self) -> anyhow::Result<()> {
        let Some(confirm) = self.under_way.pop_front() else { return Ok(()) };
        match confirm.await {
            Ok(()) => self.progress.add(1),
            Err(error @ (Error::Unroutable(_) | Error::Nacked)) => {
                if self.undelivered < MENTIONED {
                    eprintln!("leveretctl: {error}");
                }
                self.undelivered += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Undelivered messages that get a line of their own.
const MENTIONED: u64 = 10;

/// Where messages come from.
enum Source {
    Repeated { message: Message, left: u64 },
    Lines { lines: Lines, left: u64, template: Message, json: bool, target_from_line: bool },
}

type Lines = mpsc::Receiver<std::io::Result<Vec<u8>>>;

impl Source {
    async fn new(options: &Publish) -> anyhow::Result<Source> {
        let template = options.template();
        if options.lines || options.json {
            let lines = lines::lines(options.file.as_ref())?;
            let left = options.count.unwrap_or(u64::MAX);
            // Lines often come from `consume` and say where the message was; the command line says where it goes.
            let target_from_line =
                options.queue.is_none() && options.exchange.is_empty() && options.key.is_empty();
            return Ok(Source::Lines { lines, left, template, json: options.json, target_from_line });
        }
        if template.exchange.is_empty() && template.routing_key.is_empty() {
            bail!(Failure::Usage("say where to: --queue, or --exchange and --key".to_owned()));
        }
        let body = match &options.body {
            Some(body) => body.clone().into_bytes(),
            None => lines::everything(options.file.as_ref()).await?,
        };
        let message = Message { body: body.into(), ..template };
        Ok(Source::Repeated { message, left: options.count.unwrap_or(1) })
    }

    async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        match self {
            Source::Repeated { left: 0, .. } | Source::Lines { left: 0, .. } => Ok(None),
            Source::Repeated { message, left } => {
                *left -= 1;
                Ok(Some(message.clone()))
            }
            Source::Lines { lines, left, template, json, target_from_line } => {
                let Some(line) = lines.recv().await else { return Ok(None) };
                let line = line.context("reading the input")?;
                *left -= 1;
                if !*json {
                    return Ok(Some(Message { body: line.into(), ..template.clone() }));
                }
                let parsed: JsonMessage = serde_json::from_slice(&line)
                    .with_context(|| format!("not a message: {:.80}", String::from_utf8_lossy(&line)))?;
                let message = parsed.into_message(template, *target_from_line)?;
                Ok(Some(message))
            }
        }
    }
}
