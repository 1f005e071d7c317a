//! The analyser worker: shows every line once to the [`Analyst`] and publishes what it finds.
//!
//! A line is acknowledged after the alerts it caused are confirmed, so no alert is lost. One that is published twice
//! has the same id both times. What is usual is learned anew when the worker starts.

use crate::{
    ALERTS, ANALYSER_QUEUE, Handled, Stopped,
    analyst::{Alert, Analyst},
    collector::fingerprint,
    line::Line,
    seen::Seen,
    store::id_of,
};
use anyhow::Context;
use leveret_client::{Connection, Consumer, Message, Publisher};
use tokio::sync::watch;
use tracing::info;

const PREFETCH: u16 = 500;
const REMEMBERED: usize = 1_000_000;

pub async fn run(
    connection: &Connection,
    mut stopped: Stopped,
    progress: watch::Sender<Option<Handled>>,
) -> anyhow::Result<()> {
    let publisher = Publisher::new(connection);
    let mut consumer = Consumer::builder(connection, ANALYSER_QUEUE).prefetch(PREFETCH).start().await?;
    let mut analyst = Analyst::default();
    let mut seen = Seen::with_capacity(REMEMBERED);
    let (mut lines, mut published) = (0_u64, 0_u64);
    let mut alerts = Vec::new();
    loop {
        let delivery = tokio::select! {
            delivery = consumer.next() => delivery.context("the connection was closed")??,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let id = id_of(&delivery);
        if seen.insert(&id) {
            lines += 1;
            let host = delivery.properties.header_text("host").unwrap_or_else(|| "unknown".to_owned());
            analyst.observe(&Line::parse(&String::from_utf8_lossy(&delivery.body)), &host, &mut alerts);
        }
        for alert in alerts.drain(..) {
            publisher.publish(message_for(&alert)?).await.context("an alert could not be published")?;
            published += 1;
        }
        delivery.ack();
        progress.send_replace(Some(Handled { id, alerts: published }));
    }
    consumer.close().await;
    info!(lines, alerts = published, "analysed");
    Ok(())
}

fn message_for(alert: &Alert) -> anyhow::Result<Message> {
    let body = serde_json::to_vec(alert)?;
    let subject: String = alert.subject.replace('.', "-").chars().take(50).collect();
    let id = format!("{:016x}", fingerprint(&body));
    Ok(Message::new(ALERTS, format!("{}.{subject}", alert.kind.name()), body)
        .persistent()
        .mandatory()
        .content_type("application/json")
        .message_id(id))
}
