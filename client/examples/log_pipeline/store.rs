//! The store worker: takes what is here, writes it with one fsync, acknowledges it.

use crate::{Handled, STORE_QUEUE, Stopped, store_file::StoreFile};
use anyhow::Context;
use leveret_client::{Connection, Consumer, Delivery};
use std::path::Path;
use tokio::sync::watch;
use tracing::info;

/// Lines written with one fsync, at most; also how many the broker sends ahead.
const BATCH: u16 = 500;

pub async fn run(
    connection: &Connection,
    path: &Path,
    mut stopped: Stopped,
    progress: watch::Sender<Option<Handled>>,
) -> anyhow::Result<()> {
    let mut file = StoreFile::open(path)?;
    info!(lines = file.lines(), path = %path.display(), "storing");
    let mut consumer = Consumer::builder(connection, STORE_QUEUE).prefetch(BATCH).start().await?;
    let mut duplicates = 0_u64;
    loop {
        let first = tokio::select! {
            first = consumer.next() => first.context("the connection was closed")??,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let mut batch = vec![first];
        while batch.len() < usize::from(BATCH)
            && let Some(more) = consumer.try_next()
        {
            batch.push(more?);
        }
        for delivery in &batch {
            if !file.add(&id_of(delivery), &delivery.body) {
                duplicates += 1;
            }
        }
        file = tokio::task::spawn_blocking(move || file.sync().map(|()| file)).await??;
        for delivery in &batch {
            delivery.ack();
        }
        progress.send_replace(batch.last().map(|last| Handled { id: id_of(last), alerts: 0 }));
    }
    consumer.close().await;
    info!(lines = file.lines(), duplicates, "stored");
    Ok(())
}

/// The message's id; one that came without is known by what it says.
pub fn id_of(delivery: &Delivery) -> String {
    match &delivery.properties.message_id {
        // A TAB or newline in an id would break the file.
        Some(id) => id.replace(['\t', '\n'], " "),
        None => format!("{:016x}", crate::collector::fingerprint(&delivery.body)),
    }
}
