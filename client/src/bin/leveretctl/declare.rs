//! `leveretctl declare`, `delete`, `bind`, `unbind` and `purge`.

use crate::arguments::{
    self, Bind, Connect, Declare, DeclareExchange, DeclareQueue, Delete, Purge, QueueType,
};
use leveret_client::{
    Error, Result, Value,
    lapin::{
        Channel, ExchangeKind,
        options::{
            ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, ExchangeUnbindOptions,
            QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
        },
        types::ShortString,
    },
};
use serde_json::json;

pub async fn declare(connect: &Connect, what: &Declare) -> anyhow::Result<()> {
    match what {
        Declare::Queue(options) => {
            let line = on_channel(connect, async |channel| declare_queue(&channel, options).await).await?;
            println!("{line}");
        }
        Declare::Exchange(options) => {
            on_channel(connect, async |channel| declare_exchange(&channel, options).await).await?;
        }
    }
    Ok(())
}

pub async fn delete(connect: &Connect, what: &Delete) -> anyhow::Result<()> {
    match what {
        Delete::Queue { name, if_unused, if_empty } => {
            let options =
                QueueDeleteOptions { if_unused: *if_unused, if_empty: *if_empty, ..Default::default() };
            let count = on_channel(connect, async |channel| {
                // Deleting what is not there is no error in AMQP; a script may want to know.
                queue_exists(&channel, name).await?;
                Ok(channel.queue_delete(short("queue name", name)?, options).await?)
            })
            .await?;
            println!("{count}");
        }
        Delete::Exchange { name, if_unused } => {
            let options = ExchangeDeleteOptions { if_unused: *if_unused, ..Default::default() };
            on_channel(connect, async |channel| {
                exchange_exists(&channel, name).await?;
                Ok(channel.exchange_delete(short("exchange name", name)?, options).await?)
            })
            .await?;
        }
    }
    Ok(())
}

pub async fn bind(connect: &Connect, binding: &Bind) -> anyhow::Result<()> {
    let table = arguments::table(&binding.arguments);
    on_channel(connect, async |channel| {
        let (source, destination) = ends(binding)?;
        for key in &binding.key {
            let (source, destination, key) =
                (source.clone(), destination.clone(), short("routing key", key)?);
            if binding.to_exchange {
                let options = ExchangeBindOptions::default();
                channel.exchange_bind(destination, source, key, options, table.clone()).await?;
            } else {
                let options = QueueBindOptions::default();
                channel.queue_bind(destination, source, key, options, table.clone()).await?;
            }
        }
        Ok(())
    })
    .await
}

pub async fn unbind(connect: &Connect, binding: &Bind) -> anyhow::Result<()> {
    let table = arguments::table(&binding.arguments);
    on_channel(connect, async |channel| {
        let (source, destination) = ends(binding)?;
        for key in &binding.key {
            let (source, destination, key) =
                (source.clone(), destination.clone(), short("routing key", key)?);
            if binding.to_exchange {
                let options = ExchangeUnbindOptions::default();
                channel.exchange_unbind(destination, source, key, options, table.clone()).await?;
            } else {
                channel.queue_unbind(destination, source, key, table.clone()).await?;
            }
        }
        Ok(())
    })
    .await
}

pub async fn purge(connect: &Connect, options: &Purge) -> anyhow::Result<()> {
    let count = on_channel(connect, async |channel| {
        let queue = short("queue name", &options.queue)?;
        Ok(channel.queue_purge(queue, QueuePurgeOptions::default()).await?)
    })
    .await?;
    println!("{count}");
    Ok(())
}

async fn declare_queue(channel: &Channel, options: &DeclareQueue) -> Result<String> {
    let mut table = arguments::table(&options.arguments);
    if let Some(queue_type) = options.queue_type {
        let name = match queue_type {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
            QueueType::Stream => "stream",
        };
        table.insert("x-queue-type".into(), Value::LongString(name.into()));
    }
    let flags = QueueDeclareOptions {
        passive: options.passive,
        durable: !options.transient,
        auto_delete: options.auto_delete,
        ..QueueDeclareOptions::default()
    };
    let queue = channel.queue_declare(short("queue name", &options.name)?, flags, table).await?;
    let (name, messages, consumers) = (queue.name().as_str(), queue.message_count(), queue.consumer_count());
    Ok(if options.json {
        json!({"name": name, "messages": messages, "consumers": consumers}).to_string()
    } else {
        format!("{name}\t{messages}\t{consumers}")
    })
}

async fn declare_exchange(channel: &Channel, options: &DeclareExchange) -> Result<()> {
    let kind = ExchangeKind::Custom(short("exchange type", &options.kind)?.to_string());
    let flags = ExchangeDeclareOptions {
        passive: options.passive,
        durable: !options.transient,
        auto_delete: options.auto_delete,
        internal: options.internal,
        ..ExchangeDeclareOptions::default()
    };
    let table = arguments::table(&options.arguments);
    Ok(channel.exchange_declare(short("exchange name", &options.name)?, kind, flags, table).await?)
}

async fn queue_exists(channel: &Channel, name: &str) -> Result<()> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short("queue name", name)?, options, Default::default()).await?;
    Ok(())
}

async fn exchange_exists(channel: &Channel, name: &str) -> Result<()> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let name = short("exchange name", name)?;
    Ok(channel.exchange_declare(name, ExchangeKind::Direct, options, Default::default()).await?)
}

fn ends(binding: &Bind) -> Result<(ShortString, ShortString)> {
    let what = if binding.to_exchange { "exchange name" } else { "queue name" };
    Ok((short("exchange name", &binding.source)?, short(what, &binding.destination)?))
}

fn short(what: &'static str, text: &str) -> Result<ShortString> {
    ShortString::try_new(text).map_err(|_| Error::TooLong { what, bytes: text.len() })
}

/// Connects, does one thing within the time given, disconnects.
async fn on_channel<T>(connect: &Connect, work: impl AsyncFn(Channel) -> Result<T>) -> anyhow::Result<T> {
    let connection = connect.open().await?;
    let done = tokio::time::timeout(connect.timeout, connection.on_channel(work)).await;
    connection.close().await;
    Ok(done.unwrap_or(Err(Error::Timeout(connect.timeout)))?)
}
