//! Messages that wait before they are delivered again, and messages that expire in the middle of a queue.

use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker, eventually};

/// The broker's moments are whole milliseconds.
const CLOCK: Duration = Duration::from_millis(2);

fn declare<const N: usize>(client: &mut RawClient, queue: &str, arguments: [(&str, Value); N]) {
    let mut entries = Vec::new();
    Table::from(arguments).encode_entries(&mut entries);
    let declare = Method::QueueDeclare {
        queue,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::validate(&entries).expect("well-formed"),
    };
    client.send(1, &declare).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
}

fn content(body: &str, expiration_ms: Option<u64>) -> Content {
    let expiration = expiration_ms.map(|ms| ms.to_string());
    let mut properties = Vec::new();
    Properties { delivery_mode: Some(2), expiration, ..Properties::default() }.encode(&mut properties);
    Content { properties, body: body.as_bytes().to_vec() }
}

struct Received {
    tag: u64,
    body: String,
    headers: Table,
    redelivered: bool,
}

fn receive(client: &mut RawClient) -> Received {
    let frame = client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    let Ok(Method::BasicDeliver { delivery_tag: tag, redelivered, .. }) = frame.method() else {
        unreachable!()
    };
    let content = client.content().expect("its content");
    let properties = PropertiesView::validate(&content.properties).expect("well-formed");
    let headers = properties.to_properties().expect("text").headers.unwrap_or_default();
    Received { tag, body: String::from_utf8(content.body).expect("text"), headers, redelivered }
}

fn count_of(received: &Received) -> Option<i64> {
    received.headers.get("x-delivery-count").and_then(Value::as_i64)
}

fn give_back(client: &mut RawClient, delivery_tag: u64) {
    let nack = Method::BasicNack { delivery_tag, multiple: false, requeue: true };
    client.send(1, &nack).expect("sends");
}

fn open(broker: &TestBroker) -> RawClient {
    RawClient::open(broker.amqp()).expect("connects")
}

/// Publishes and waits until the broker has them.
fn publish(client: &mut RawClient, queue: &str, contents: &[Content]) {
    for content in contents {
        client.publish("", queue, content).expect("sends");
        client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    }
}

/// Waits until a queue holds so many ready messages.
fn await_count(client: &mut RawClient, queue: &str, count: u32) {
    let reached = eventually(Duration::from_secs(20), || {
        let declare = Method::QueueDeclare {
            queue,
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::validate(&[]).expect("empty"),
        };
        client.send(1, &declare).ok()?;
        let frame = client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).ok()?;
        let Ok(Method::QueueDeclareOk { message_count, .. }) = frame.method() else { return None };
        (message_count == count).then_some(())
    });
    assert!(reached.is_some(), "{queue} holds {count} messages");
}

#[test]
fn a_returned_message_waits_its_delay_and_dies_at_the_limit() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    client.declare_queue("dead", true).expect("declares");
    declare(
        &mut client,
        "work",
        [
            ("x-retry-delay", "200ms,400ms".into()),
            ("x-retry-limit", 2.into()),
            ("x-dead-letter-exchange", "".into()),
            ("x-dead-letter-routing-key", "dead".into()),
        ],
    );
    client.select_confirms().expect("confirms");
    publish(&mut client, "work", &[content("hard", None), content("easy", None)]);
    let mut consumer = open(&broker);
    consumer.consume("work", 1, false).expect("consumes");
    let first = receive(&mut consumer);
    assert_eq!((first.body.as_str(), count_of(&first)), ("hard", None));
    let began = Instant::now();
    give_back(&mut consumer, first.tag);
    let second = receive(&mut consumer);
    assert_eq!(second.body, "easy", "those behind it do not wait");
    consumer.send(1, &Method::BasicAck { delivery_tag: second.tag, multiple: false }).expect("sends");
    let again = receive(&mut consumer);
    assert!(began.elapsed() >= Duration::from_millis(200) - CLOCK);
    assert_eq!((again.body.as_str(), count_of(&again), again.redelivered), ("hard", Some(1), true));
    let began = Instant::now();
    give_back(&mut consumer, again.tag);
    let last = receive(&mut consumer);
    assert!(began.elapsed() >= Duration::from_millis(400) - CLOCK);
    assert_eq!(count_of(&last), Some(2));
    give_back(&mut consumer, last.tag);
    await_count(&mut client, "dead", 1);
    let mut consumer = open(&broker);
    consumer.consume("dead", 1, true).expect("consumes");
    let dead = receive(&mut consumer);
    assert_eq!(dead.headers.get("x-first-death-reason").and_then(Value::as_str), Some("delivery_limit"));
}

#[test]
fn counts_and_waits_survive_a_crash() {
    let mut broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "work", [("x-retry-delay", "fixed:3s".into())]);
    client.select_confirms().expect("confirms");
    publish(&mut client, "work", &[content("hard", None)]);
    let mut consumer = open(&broker);
    consumer.consume("work", 1, false).expect("consumes");
    let first = receive(&mut consumer);
    let began = Instant::now();
    give_back(&mut consumer, first.tag);
    await_count(&mut client, "work", 0);
    // What was given back before this is confirmed is stored with it or earlier.
    publish(&mut client, "work", &[content("later", None)]);
    publish(&mut client, "work", &[content("later still", None)]);
    broker.crash();
    broker.restart();
    let mut consumer = open(&broker);
    consumer.consume("work", 0, false).expect("consumes");
    assert_eq!(receive(&mut consumer).body, "later");
    assert_eq!(receive(&mut consumer).body, "later still");
    let again = receive(&mut consumer);
    assert_eq!((again.body.as_str(), count_of(&again)), ("hard", Some(1)));
    assert!(began.elapsed() >= Duration::from_secs(3) - CLOCK);
}

#[test]
fn messages_expire_behind_others_within_a_second() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    client.declare_queue("dead", true).expect("declares");
    let dead_letters = [("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", "dead".into())];
    declare(&mut client, "mixed", dead_letters.clone());
    client.select_confirms().expect("confirms");
    let began = Instant::now();
    publish(
        &mut client,
        "mixed",
        &[content("stays", None), content("goes", Some(300)), content("stays", Some(60_000))],
    );
    await_count(&mut client, "dead", 1);
    assert!(
        began.elapsed() >= Duration::from_millis(300) - CLOCK
            && began.elapsed() < Duration::from_millis(1_300)
    );
    await_count(&mut client, "mixed", 2);
}

#[test]
fn messages_expire_on_disk_after_a_restart() {
    let mut broker = TestBroker::start();
    let mut client = open(&broker);
    client.declare_queue("dead", true).expect("declares");
    declare(
        &mut client,
        "mixed",
        [("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", "dead".into())],
    );
    client.select_confirms().expect("confirms");
    for number in 0..3_000u64 {
        let expiration = (number % 10 == 5).then_some(1_500 + number % 7 * 100);
        client.publish("", "mixed", &content(&number.to_string(), expiration)).expect("sends");
    }
    let mut confirmed = 0;
    while confirmed < 3_000 {
        let frame = client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
        let Ok(Method::BasicAck { delivery_tag, .. }) = frame.method() else { unreachable!() };
        confirmed = confirmed.max(delivery_tag);
    }
    broker.crash();
    broker.restart();
    let mut client = open(&broker);
    await_count(&mut client, "dead", 300);
    await_count(&mut client, "mixed", 2_700);
    let mut consumer = open(&broker);
    consumer.consume("mixed", 0, true).expect("consumes");
    let expected = (0..3_000).filter(|number| number % 10 != 5);
    for number in expected {
        assert_eq!(receive(&mut consumer).body, number.to_string());
    }
}

#[test]
fn messages_expire_at_the_head_only_where_that_is_asked_for() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "strict", [("x-expiry-mode", "head".into())]);
    client.select_confirms().expect("confirms");
    publish(&mut client, "strict", &[content("first", Some(600)), content("second", Some(1))]);
    let began = Instant::now();
    declare(&mut client, "other", []);
    publish(&mut client, "other", &[content("mark", Some(100))]);
    await_count(&mut client, "other", 0);
    if began.elapsed() < Duration::from_millis(500) {
        await_count(&mut client, "strict", 2);
    }
    await_count(&mut client, "strict", 0);
}
