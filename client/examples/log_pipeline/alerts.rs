//! The alert worker: prints each alert once.

use crate::{ALERTS_QUEUE, Stopped, analyst::Alert, seen::Seen, store::id_of};
use anyhow::Context;
use leveret_client::{Connection, Consumer};
use std::io::Write;
use tokio::sync::watch;
use tracing::warn;

const REMEMBERED: usize = 10_000;

pub async fn run(
    connection: &Connection,
    mut stopped: Stopped,
    progress: watch::Sender<u64>,
) -> anyhow::Result<()> {
    let mut consumer = Consumer::builder(connection, ALERTS_QUEUE).prefetch(10).start().await?;
    let mut seen = Seen::with_capacity(REMEMBERED);
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery.context("the connection was closed")??,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        if seen.insert(&id_of(&delivery)) {
            match serde_json::from_slice::<Alert>(&delivery.body) {
                Ok(alert) => {
                    let mut stdout = std::io::stdout().lock();
                    writeln!(stdout, "{}", describe(&alert))?;
                    stdout.flush()?;
                }
                Err(error) => warn!(%error, "not an alert"),
            }
            progress.send_modify(|printed| *printed += 1);
        }
        delivery.ack();
    }
    consumer.close().await;
    Ok(())
}

fn describe(alert: &Alert) -> String {
    let second = alert.time_ms.div_euclid(1000).rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{hour:02}:{minute:02}:{second:02} {} {}: {}", alert.kind.name(), alert.subject, alert.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::Kind;

    #[test]
    fn an_alert_is_one_line_for_people() {
        let alert = Alert {
            kind: Kind::ErrorBurst,
            subject: "web-2".to_owned(),
            time_ms: 1_773_480_123_456,
            text: "9 errors within 10 s, usually 0.3".to_owned(),
        };
        assert_eq!(describe(&alert), "09:22:03 error_burst web-2: 9 errors within 10 s, usually 0.3");
    }
}
