//! The collector: publishes every line of a file and notes how far the broker has confirmed.
//!
//! A message's id is made of the file's name, the line's place and its content, so a line that is read again after a
//! restart has the same id, and one at the same place of a rotated file another.

use crate::{
    LOGS, Stopped,
    line::Line,
    tail::{self, TailedLine},
};
use anyhow::Context;
use clap::Args;
use leveret_client::{Confirm, Connection, Message, Publisher};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tracing::info;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The log file
    file: PathBuf,
    /// Wait for more lines at the end, and take rotated and truncated files up again
    #[arg(long)]
    follow: bool,
    /// Keep in this file how far the broker has confirmed, and go on from there
    #[arg(long)]
    state: Option<PathBuf>,
    /// Publish at most so many lines per second
    #[arg(long)]
    rate: Option<u32>,
    /// Name of the host for lines that do not say [default: this machine's]
    #[arg(long)]
    host: Option<String>,
}

/// What was published.
#[derive(Debug)]
pub struct Collected {
    /// The id of the last line, if there was one.
    pub last_id: Option<String>,
}

pub async fn run(
    connection: &Connection,
    options: &Options,
    mut stopped: Stopped,
) -> anyhow::Result<Collected> {
    let begin = match &options.state {
        Some(state) => load_state(state)?,
        None => 0,
    };
    let host = options.host.clone().unwrap_or_else(host_name);
    let source = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    info!(file = %options.file.display(), offset = begin, "collecting");
    let publisher = Publisher::new(connection);
    let (under_way, confirms) = mpsc::unbounded_channel();
    let confirming = tokio::spawn(await_confirms(confirms, options.state.clone()));
    let mut lines = tail::tail(options.file.clone(), begin, options.follow);
    let began = Instant::now();
    let mut collected = Collected { last_id: None };
    let mut count = 0_u32;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let Some(line) = line else { break };
        let line = line.with_context(|| options.file.display().to_string())?;
        if let Some(rate) = options.rate {
            let due = began + Duration::from_secs_f64(f64::from(count) / f64::from(rate.max(1)));
            tokio::time::sleep_until(due.into()).await;
        }
        count += 1;
        let message = message_for(&line, &source, &host);
        collected.last_id.clone_from(&message.properties.message_id);
        let confirm = publisher.send(message).await?;
        if under_way.send((line.next_offset, confirm)).is_err() {
            break; // A confirm failed; the error is there.
        }
    }
    drop(under_way);
    confirming.await??;
    info!(lines = count, "collected");
    Ok(collected)
}

fn message_for(line: &TailedLine, source: &str, default_host: &str) -> Message {
    let text = String::from_utf8_lossy(&line.bytes);
    let parsed = Line::parse(&text);
    let host = parsed.host.unwrap_or(default_host);
    // A dot would split the word in two for topic patterns; AMQP's keys have at most 255 bytes.
    let host: String = host.replace('.', "-").chars().take(50).collect();
    let source: String = source.chars().take(30).collect();
    Message::new(LOGS, format!("{host}.{}", parsed.level.name()), line.bytes.clone())
        .persistent()
        .mandatory()
        .content_type("text/plain")
        .message_id(format!("{source}:{}:{:016x}", line.offset, fingerprint(&line.bytes)))
        .header("source", source)
        .header("host", host)
}

/// Waits for the confirms in order and keeps the state behind them.
async fn await_confirms(
    mut confirms: mpsc::UnboundedReceiver<(u64, Confirm)>,
    state: Option<PathBuf>,
) -> anyhow::Result<()> {
    let mut saved_at = Instant::now();
    while let Some((next_offset, confirm)) = confirms.recv().await {
        confirm.await.context("a line could not be published")?;
        if let Some(state) = &state
            && (confirms.is_empty() || saved_at.elapsed() > SAVE_EVERY)
        {
            save_state(state, next_offset)?;
            saved_at = Instant::now();
        }
    }
    Ok(())
}

/// An old state only means that some lines are published twice.
const SAVE_EVERY: Duration = Duration::from_millis(200);

fn load_state(path: &Path) -> anyhow::Result<u64> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} is not an offset", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn save_state(path: &Path, offset: u64) -> anyhow::Result<()> {
    // A reader, or a crash, finds the old state or the new one.
    let next = path.with_extension("next");
    std::fs::write(&next, format!("{offset}\n")).with_context(|| next.display().to_string())?;
    std::fs::rename(&next, path).with_context(|| path.display().to_string())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// 64-bit FNV-1a: the same in every run and on every machine, unlike the hashes of std.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offset: u64, text: &str) -> TailedLine {
        TailedLine { offset, next_offset: offset + text.len() as u64 + 1, bytes: text.into() }
    }

    #[test]
    fn a_line_becomes_a_message_that_can_be_recognised() {
        let text = "2026-03-14T09:00:00Z db.example.org postgres ERROR disk full";
        let message = message_for(&line(7, text), "sample.log", "here");
        assert_eq!(
            (message.exchange.as_str(), message.routing_key.as_str()),
            ("logs", "db-example-org.error")
        );
        let id = message.properties.message_id.clone().expect("set");
        assert_eq!(message_for(&line(7, text), "sample.log", "here").properties.message_id, Some(id.clone()));
        assert_ne!(message_for(&line(8, text), "sample.log", "here").properties.message_id, Some(id.clone()));
        assert_ne!(message_for(&line(7, "x"), "sample.log", "here").properties.message_id, Some(id));
        assert_eq!(message_for(&line(0, "hello"), "f", "here").routing_key, "here.info");
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_state_survives() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        assert_eq!(load_state(&path).expect("missing is a beginning"), 0);
        save_state(&path, 4711).expect("written");
        assert_eq!(load_state(&path).expect("readable"), 4711);
        std::fs::write(&path, "nonsense").expect("written");
        assert!(load_state(&path).is_err());
    }
}
