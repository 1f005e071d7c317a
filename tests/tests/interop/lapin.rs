//! lapin: the Rust client that our own client library stands on.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::StreamExt;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind,
    ExchangeKind,
};
use leveret_tests::Report;

use crate::subject::Subject;

/// Runs every scenario.
pub fn run() {
    let mut subject = Subject::start();
    let mut report = Report::from_env();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    macro_rules! scenarios {
        ($($scenario:ident)+) => {
            $( report.run(stringify!($scenario), || runtime.block_on(limited($scenario(subject.url())))); )+
        };
    }
    scenarios! {
        wrong_password_is_403
        missing_vhost_is_530
        update_secret_is_answered
        connection_closes_with_a_reason_of_its_own
        many_channels_at_once
        access_request_is_answered
        flow_is_answered
        queue_declare_reports_counts
        passive_declare_of_a_missing_queue_is_404
        inequivalent_declare_names_both_values
        exclusive_queue_is_locked
        server_named_queue_and_consumer
        all_field_types_come_back
        all_properties_come_back
        bodies_of_every_size_come_back
        exchanges_of_all_types_route
        exchange_bindings_route
        confirms_resolve_each_publish
        returned_message_comes_with_its_confirm
        publish_to_a_missing_exchange_fails_its_confirm
        consumer_streams_in_order
        consumer_ends_when_its_queue_is_deleted
        consumer_of_a_missing_queue_is_404
        exclusive_consumer_is_403
        cancel_ends_the_stream
        nack_and_reject_requeue
        recover_and_recover_async_redeliver
        prefetch_limits_deliveries
        transaction_commits_and_rolls_back
        ack_of_an_unknown_tag_is_406
        purge_and_delete_report_counts
        nowait_methods_work
        immediate_is_540
    }
    if subject.controls().contains("crash") {
        let url = subject.url().to_owned();
        report.run("durable_messages_survive_a_crash", || {
            let queue = runtime.block_on(limited(fill_durable_queue(&url)))?;
            ensure!(subject.control("crash"), "the broker cannot be killed");
            runtime.block_on(limited(check_durable_queue(&url, queue)))
        });
    }
    report.finish();
}

// ---- helpers ---------------------------------------------------------------------------------------------------

async fn limited<T>(scenario: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(60), scenario).await.context("not finished after 60 s")?
}

async fn connect(url: &str) -> Result<Connection> {
    Ok(Connection::connect(&format!("{url}/%2f"), ConnectionProperties::default()).await?)
}

/// A channel, and the connection that it lives as long as.
async fn open(url: &str) -> Result<(Connection, Channel)> {
    let connection = connect(url).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

async fn exclusive_queue(channel: &Channel) -> Result<ShortString> {
    let queue =
        channel.queue_declare("".into(), QueueDeclareOptions::exclusive(), FieldTable::default()).await?;
    Ok(queue.name().clone())
}

async fn send(channel: &Channel, queue: &ShortString, bodies: &[&str]) -> Result<()> {
    for body in bodies {
        publish(channel, "", queue.as_str(), body.as_bytes(), BasicProperties::default()).await?;
    }
    Ok(())
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<()> {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
    Ok(())
}

async fn get(channel: &Channel, queue: &ShortString) -> Result<Option<BasicGetMessage>> {
    Ok(channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await?)
}

async fn drain(channel: &Channel, queue: &ShortString) -> Result<Vec<String>> {
    let mut bodies = Vec::new();
    while let Some(message) = get(channel, queue).await? {
        bodies.push(String::from_utf8(message.data.clone())?);
    }
    Ok(bodies)
}

async fn consume(channel: &Channel, queue: &ShortString) -> Result<Consumer> {
    let options = BasicConsumeOptions::default();
    Ok(channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?)
}

async fn next(consumer: &mut Consumer) -> Result<Delivery> {
    Ok(consumer.next().await.context("the consumer ended")??)
}

/// Polls: a passive declare may be answered before publishes that came earlier are counted.
async fn has_ready(channel: &Channel, queue: &ShortString, count: u32) -> Result<()> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let mut found = 0;
    for _ in 0..500 {
        found = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await?.message_count();
        if found == count {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("expected {count} ready messages, found {found}")
}

/// The result must be the broker's close with this code and text.
fn refused<T: std::fmt::Debug>(result: lapin::Result<T>, code: u16, text: &str) -> Result<()> {
    match result {
        Ok(value) => bail!("expected {code} {text:?}, succeeded with {value:?}"),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(protocol) => equal(
                (protocol.get_id(), protocol.get_message().as_str()),
                (code, text),
                "code and text of the close",
            ),
            other => bail!("expected {code} {text:?}, got {other:?}"),
        },
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(actual: T, expected: T, what: &str) -> Result<()> {
    ensure!(actual == expected, "{what}: expected {expected:?}, got {actual:?}");
    Ok(())
}

/// A name that nothing else uses.
fn fresh(kind: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("interop-lapin-{:x}-{number}-{kind}", std::process::id())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let entries: BTreeMap<ShortString, AMQPValue> =
        entries.into_iter().map(|(name, value)| (name.into(), value)).collect();
    FieldTable::from(entries)
}

// ---- connection and channels -----------------------------------------------------------------------------------

async fn wrong_password_is_403(url: &str) -> Result<()> {
    let uri = format!("{}/%2f", url.replacen("guest:guest@", "guest:wrong@", 1));
    refused(
        Connection::connect(&uri, ConnectionProperties::default()).await.map(drop),
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
    )
}

async fn missing_vhost_is_530(url: &str) -> Result<()> {
    refused(
        Connection::connect(&format!("{url}/nowhere"), ConnectionProperties::default()).await.map(drop),
        530,
        "NOT_ALLOWED - vhost nowhere not found",
    )
}

async fn update_secret_is_answered(url: &str) -> Result<()> {
    let (connection, channel) = open(url).await?;
    connection.update_secret("guest".into(), "rotation".into()).await?;
    exclusive_queue(&channel).await?;
    Ok(())
}

async fn connection_closes_with_a_reason_of_its_own(url: &str) -> Result<()> {
    let connection = connect(url).await?;
    connection.close(320, "leaving".into()).await?;
    ensure!(!connection.status().connected(), "still connected");
    Ok(())
}

async fn many_channels_at_once(url: &str) -> Result<()> {
    let connection = connect(url).await?;
    let mut channels = Vec::new();
    for _ in 0..300 {
        channels.push(connection.create_channel().await?);
    }
    let queue = exclusive_queue(&channels[0]).await?;
    for channel in &channels {
        send(channel, &queue, &["x"]).await?;
    }
    for channel in &channels[1..] {
        channel.close(200, "done".into()).await?;
    }
    has_ready(&channels[0], &queue, 300).await
}

async fn access_request_is_answered(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let options = AccessRequestOptions { active: true, write: true, ..AccessRequestOptions::default() };
    Ok(channel.access_request("/data".into(), options).await?)
}

async fn flow_is_answered(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    equal(channel.channel_flow(ChannelFlowOptions { active: true }).await?, true, "flow-ok")
}

// ---- queues and exchanges --------------------------------------------------------------------------------------

async fn queue_declare_reports_counts(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let _consumer = consume(&channel, &queue).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await?;
    equal((declared.message_count(), declared.consumer_count()), (0, 1), "messages and consumers")?;
    equal(declared.name(), &queue, "name")
}

async fn passive_declare_of_a_missing_queue_is_404(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    refused(
        channel.queue_declare("interop-nowhere".into(), passive, FieldTable::default()).await,
        404,
        "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'",
    )
}

async fn inequivalent_declare_names_both_values(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = fresh("queue");
    let exclusive = QueueDeclareOptions::exclusive();
    let with = |value| table([("x-max-length", value)]);
    channel.queue_declare(queue.as_str().into(), exclusive, with(AMQPValue::LongInt(5))).await?;
    channel.queue_declare(queue.as_str().into(), exclusive, with(AMQPValue::LongLongInt(5))).await?;
    channel.queue_declare(queue.as_str().into(), exclusive, with(AMQPValue::ShortUInt(5))).await?;
    let place = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received"
    );
    refused(
        channel.queue_declare(queue.as_str().into(), exclusive, with(AMQPValue::ShortUInt(6))).await,
        406,
        &format!("{place} '6' but current is '5'"),
    )
}

async fn exclusive_queue_is_locked(url: &str) -> Result<()> {
    let (_owner, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let (_other, channel) = open(url).await?;
    refused(
        channel.queue_purge(queue.clone(), QueuePurgeOptions::default()).await,
        405,
        &format!(
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be \
             originally declared on another connection or the exclusive property value does not match that of the \
             original declaration."
        ),
    )
}

async fn server_named_queue_and_consumer(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    ensure!(queue.as_str().starts_with("amq.gen-"), "queue name {queue}");
    let consumer = consume(&channel, &queue).await?;
    ensure!(consumer.tag().as_str().starts_with("amq.ctag-"), "consumer tag {}", consumer.tag());
    Ok(())
}

async fn all_field_types_come_back(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let inner = table([("deep", AMQPValue::ShortShortUInt(200)), ("void", AMQPValue::Void)]);
    let headers = table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-128)),
        ("u8", AMQPValue::ShortShortUInt(255)),
        ("i16", AMQPValue::ShortInt(-32_768)),
        ("u16", AMQPValue::ShortUInt(65_535)),
        ("i32", AMQPValue::LongInt(i32::MIN)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(0.1)),
        ("f64", AMQPValue::Double(f64::MIN_POSITIVE)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 7, value: 31_415_926 })),
        ("string", AMQPValue::LongString("grün 🐇".into())),
        ("not utf-8", AMQPValue::LongString(vec![0xFF, 0x00, 0xFE].into())),
        ("bytes", AMQPValue::ByteArray(vec![0, 1, 255].into())),
        ("timestamp", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        (
            "array",
            AMQPValue::FieldArray(FieldArray::from(vec![
                AMQPValue::FieldTable(inner.clone()),
                AMQPValue::FieldArray(FieldArray::default()),
                AMQPValue::LongLongInt(-1),
            ])),
        ),
        ("table", AMQPValue::FieldTable(inner)),
        ("empty", AMQPValue::FieldTable(FieldTable::default())),
    ]);
    let properties = BasicProperties::default().with_headers(headers.clone());
    publish(&channel, "", queue.as_str(), b"x", properties).await?;
    let message = get(&channel, &queue).await?.context("no message")?;
    equal(message.properties.headers(), &Some(headers), "headers")
}

async fn all_properties_come_back(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("100000".into())
        .with_message_id("message".into())
        .with_timestamp(u64::from(u32::MAX) + 1)
        .with_type("type".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());
    publish(&channel, "", queue.as_str(), b"x", properties.clone()).await?;
    let message = get(&channel, &queue).await?.context("no message")?;
    equal(&message.properties, &properties, "properties")
}

async fn bodies_of_every_size_come_back(url: &str) -> Result<()> {
    let (connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let limit = connection.configuration().frame_max() as usize - 8;
    for size in [0, 1, limit - 1, limit, limit + 1, 3 * limit, 5_000_000] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        publish(&channel, "", queue.as_str(), &body, BasicProperties::default()).await?;
        let message = get(&channel, &queue).await?.context("no message")?;
        ensure!(message.data == body, "a body of {size} bytes came back changed");
    }
    Ok(())
}

async fn exchanges_of_all_types_route(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    for (kind, binding, arguments, routed) in [
        (ExchangeKind::Direct, "k.1", FieldTable::default(), ["k.1"].as_slice()),
        (ExchangeKind::Fanout, "", FieldTable::default(), &["k.1", "k.2", "other"]),
        (ExchangeKind::Topic, "k.*", FieldTable::default(), &["k.1", "k.2"]),
        (
            ExchangeKind::Headers,
            "",
            table([
                ("x-match", AMQPValue::LongString("any".into())),
                ("key", AMQPValue::LongString("k.2".into())),
            ]),
            &["k.2"],
        ),
    ] {
        let exchange = fresh("exchange");
        let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.as_str().into(), kind.clone(), options, FieldTable::default())
            .await?;
        let queue = exclusive_queue(&channel).await?;
        channel
            .queue_bind(
                queue.clone(),
                exchange.as_str().into(),
                binding.into(),
                QueueBindOptions::default(),
                arguments,
            )
            .await?;
        for key in ["k.1", "k.2", "other"] {
            let headers = table([("key", AMQPValue::LongString(key.into()))]);
            let properties = BasicProperties::default().with_headers(headers);
            publish(&channel, &exchange, key, key.as_bytes(), properties).await?;
        }
        equal(
            drain(&channel, &queue).await?,
            routed.iter().map(ToString::to_string).collect(),
            &format!("{kind:?}"),
        )?;
        channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

async fn exchange_bindings_route(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let (source, destination) = (fresh("exchange"), fresh("exchange"));
    for exchange in [&source, &destination] {
        channel
            .exchange_declare(
                exchange.as_str().into(),
                ExchangeKind::Topic,
                ExchangeDeclareOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    let queue = exclusive_queue(&channel).await?;
    channel
        .exchange_bind(
            destination.as_str().into(),
            source.as_str().into(),
            "#.x".into(),
            ExchangeBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(queue.clone(), destination.as_str().into(), "a.#".into(), options, FieldTable::default())
        .await?;
    for key in ["a.x", "b.x", "a.y", "a.b.x"] {
        publish(&channel, &source, key, key.as_bytes(), BasicProperties::default()).await?;
    }
    equal(drain(&channel, &queue).await?, vec!["a.x".to_owned(), "a.b.x".to_owned()], "bodies")?;
    for exchange in [&source, &destination] {
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
    }
    Ok(())
}

// ---- publishing ------------------------------------------------------------------------------------------------

async fn confirms_resolve_each_publish(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let queue = exclusive_queue(&channel).await?;
    let mut confirms = Vec::new();
    for number in 0..1000_u32 {
        let properties = BasicProperties::default().with_delivery_mode(1 + (number % 2) as u8);
        let options = BasicPublishOptions::default();
        let body = number.to_string();
        confirms.push(
            channel.basic_publish("".into(), queue.clone(), options, body.as_bytes(), properties).await?,
        );
    }
    for confirm in confirms {
        equal(confirm.await?, Confirmation::Ack(None), "confirm")?;
    }
    has_ready(&channel, &queue, 1000).await
}

async fn returned_message_comes_with_its_confirm(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    for body in [&b""[..], &[7; 200_000]] {
        let confirm = channel
            .basic_publish("amq.direct".into(), "nobody".into(), options, body, BasicProperties::default())
            .await?
            .await?;
        ensure!(confirm.is_ack(), "not acked: {confirm:?}");
        let returned = confirm.take_message().context("the confirm came without the returned message")?;
        equal((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"), "code and text")?;
        ensure!(returned.data == body, "the body came back changed");
    }
    Ok(())
}

async fn publish_to_a_missing_exchange_fails_its_confirm(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions::default();
    let confirm = channel
        .basic_publish("interop-nowhere".into(), "k".into(), options, b"x", BasicProperties::default())
        .await?;
    refused(confirm.await, 404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'")
}

// ---- consuming -------------------------------------------------------------------------------------------------

async fn consumer_streams_in_order(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    for number in 0..2000 {
        send(&channel, &queue, &[&number.to_string()]).await?;
    }
    for number in 0..2000_u64 {
        let delivery = next(&mut consumer).await?;
        equal(String::from_utf8(delivery.data.clone())?, number.to_string(), "body")?;
        equal((delivery.delivery_tag, delivery.redelivered), (number + 1, false), "tag and redelivered")?;
        if number % 10 == 9 {
            delivery.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    has_ready(&channel, &queue, 0).await
}

async fn consumer_ends_when_its_queue_is_deleted(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let mut consumer = consume(&channel, &queue).await?;
    channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
    ensure!(consumer.next().await.is_none(), "a delivery instead of the end");
    exclusive_queue(&channel).await?;
    Ok(())
}

async fn consumer_of_a_missing_queue_is_404(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume("interop-nowhere".into(), "c".into(), options, FieldTable::default()).await;
    refused(consumer.map(drop), 404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'")
}

async fn exclusive_consumer_is_403(url: &str) -> Result<()> {
    let (connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    let _first = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?;
    let other = connection.create_channel().await?;
    let second = other
        .basic_consume(queue.clone(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await;
    refused(second.map(drop), 403, &format!("ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"))
}

async fn cancel_ends_the_stream(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1"]).await?;
    let mut consumer = consume(&channel, &queue).await?;
    let delivery = next(&mut consumer).await?;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    ensure!(consumer.next().await.is_none(), "a delivery after the cancel");
    delivery.ack(BasicAckOptions::default()).await?;
    send(&channel, &queue, &["2"]).await?;
    equal(drain(&channel, &queue).await?, vec!["2".to_owned()], "bodies")
}

async fn nack_and_reject_requeue(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1", "2", "3"]).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(channel.basic_get(queue.clone(), BasicGetOptions::default()).await?.context("no message")?);
    }
    held[2].reject(BasicRejectOptions { requeue: true }).await?;
    held[0].nack(BasicNackOptions { requeue: true, multiple: false }).await?;
    held[1].nack(BasicNackOptions { requeue: false, multiple: false }).await?;
    let first = get(&channel, &queue).await?.context("no message")?;
    equal((first.data.as_slice(), first.redelivered, first.message_count), (&b"1"[..], true, 1), "first")?;
    equal(drain(&channel, &queue).await?, vec!["3".to_owned()], "bodies")
}

async fn recover_and_recover_async_redeliver(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1"]).await?;
    let mut consumer = consume(&channel, &queue).await?;
    let first = next(&mut consumer).await?;
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await?;
    let second = next(&mut consumer).await?;
    channel.basic_recover_async(BasicRecoverAsyncOptions { requeue: true }).await?;
    let third = next(&mut consumer).await?;
    equal(
        [&first, &second, &third].map(|delivery| (delivery.delivery_tag, delivery.redelivered)),
        [(1, false), (2, true), (3, true)],
        "tags and redelivered flags",
    )?;
    third.ack(BasicAckOptions::default()).await?;
    Ok(())
}

async fn prefetch_limits_deliveries(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["x"; 10]).await?;
    channel.basic_qos(3, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, &queue).await?;
    let mut last = next(&mut consumer).await?;
    for _ in 0..2 {
        last = next(&mut consumer).await?;
    }
    has_ready(&channel, &queue, 7).await?;
    last.ack(BasicAckOptions { multiple: true }).await?;
    for _ in 0..3 {
        next(&mut consumer).await?;
    }
    has_ready(&channel, &queue, 4).await
}

async fn transaction_commits_and_rolls_back(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    channel.tx_select().await?;
    send(&channel, &queue, &["rolled back"]).await?;
    channel.tx_rollback().await?;
    send(&channel, &queue, &["committed"]).await?;
    channel.tx_commit().await?;
    equal(drain(&channel, &queue).await?, vec!["committed".to_owned()], "bodies")
}

async fn ack_of_an_unknown_tag_is_406(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.basic_ack(82, BasicAckOptions::default()).await?;
    let after = exclusive_queue(&channel).await;
    ensure!(after.is_err(), "the channel is still open");
    let error = after.unwrap_err().downcast::<lapin::Error>()?;
    match error.kind() {
        ErrorKind::ProtocolError(_) => {
            refused::<()>(Err(error), 406, "PRECONDITION_FAILED - unknown delivery tag 82")
        }
        ErrorKind::InvalidChannelState(..) => Ok(()), // the close came before the declare was sent
        other => bail!("unexpected error {other:?}"),
    }
}

async fn purge_and_delete_report_counts(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let queue = exclusive_queue(&channel).await?;
    send(&channel, &queue, &["1", "2", "3"]).await?;
    equal(channel.queue_purge(queue.clone(), QueuePurgeOptions::default()).await?, 3, "purged")?;
    send(&channel, &queue, &["4"]).await?;
    equal(channel.queue_delete(queue.clone(), QueueDeleteOptions::default()).await?, 1, "deleted")?;
    equal(channel.queue_delete(queue, QueueDeleteOptions::default()).await?, 0, "deleted again")
}

async fn nowait_methods_work(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let (queue, exchange) = (fresh("queue"), fresh("exchange"));
    let (queue, exchange): (ShortString, ShortString) = (queue.as_str().into(), exchange.as_str().into());
    let options = ExchangeDeclareOptions { nowait: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, options, FieldTable::default()).await?;
    let options = QueueDeclareOptions { nowait: true, ..QueueDeclareOptions::exclusive() };
    channel.queue_declare(queue.clone(), options, FieldTable::default()).await?;
    let options = QueueBindOptions { nowait: true };
    channel.queue_bind(queue.clone(), exchange.clone(), "".into(), options, FieldTable::default()).await?;
    publish(&channel, exchange.as_str(), "", b"x", BasicProperties::default()).await?;
    let options = BasicConsumeOptions { nowait: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume(queue.clone(), "nowait".into(), options, FieldTable::default()).await?;
    equal(next(&mut consumer).await?.data, b"x".to_vec(), "body")?;
    channel.basic_cancel("nowait".into(), BasicCancelOptions { nowait: true }).await?;
    // Not queue.purge and confirm.select, whose answers lapin waits for all the same.
    let options = QueueDeleteOptions { nowait: true, ..QueueDeleteOptions::default() };
    channel.queue_delete(queue, options).await?;
    let options = ExchangeDeleteOptions { nowait: true, ..ExchangeDeleteOptions::default() };
    channel.exchange_delete(exchange, options).await?;
    exclusive_queue(&channel).await?;
    Ok(())
}

async fn immediate_is_540(url: &str) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { immediate: true, ..BasicPublishOptions::default() };
    let confirm =
        channel.basic_publish("".into(), "nobody".into(), options, b"x", BasicProperties::default()).await?;
    refused(confirm.await, 540, "NOT_IMPLEMENTED - immediate=true")
}

// ---- persistence -----------------------------------------------------------------------------------------------

async fn fill_durable_queue(url: &str) -> Result<ShortString> {
    let (_connection, channel) = open(url).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let queue: ShortString = fresh("durable").as_str().into();
    channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
    let mut confirms = Vec::new();
    for number in 0..500_u32 {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let body = number.to_string();
        confirms.push(
            channel.basic_publish("".into(), queue.clone(), options, body.as_bytes(), properties).await?,
        );
    }
    for confirm in confirms {
        ensure!(confirm.await?.is_ack(), "not acked");
    }
    Ok(queue)
}

async fn check_durable_queue(url: &str, queue: ShortString) -> Result<()> {
    let (_connection, channel) = open(url).await?;
    let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    equal(drain(&channel, &queue).await?, expected, "bodies")?;
    channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
    Ok(())
}
