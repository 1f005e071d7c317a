//! Delayed exchanges: messages that wait for their time.
//!
//! With `LEVERET_TEST_LONG` set, which `cargo xtask test --long` does, a million messages wait at once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leveret_protocol::method::Method;
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker, eventually};

/// The broker's moments are whole milliseconds.
const CLOCK: Duration = Duration::from_millis(2);
const EXCHANGE: &str = "later";

fn encoded(table: Table) -> Vec<u8> {
    let mut entries = Vec::new();
    table.encode_entries(&mut entries);
    entries
}

fn send_declare(client: &mut RawClient, kind: &str, durable: bool, arguments: Table) {
    let entries = encoded(arguments);
    let declare = Method::ExchangeDeclare {
        exchange: EXCHANGE,
        kind,
        passive: false,
        durable,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::validate(&entries).expect("well-formed"),
    };
    client.send(1, &declare).expect("sends");
}

fn declare(client: &mut RawClient, kind: &str) {
    send_declare(client, "x-delayed-message", true, Table::from([("x-delayed-type", kind.into())]));
    client.expect(1, |method| matches!(method, Method::ExchangeDeclareOk {})).expect("declared");
}

fn bind(client: &mut RawClient, queue: &str, routing_key: &str) {
    client.declare_queue(queue, true).expect("declares");
    let bind = Method::QueueBind {
        queue,
        exchange: EXCHANGE,
        routing_key,
        no_wait: false,
        arguments: RawTable::validate(&[]).expect("empty"),
    };
    client.send(1, &bind).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueBindOk {})).expect("bound");
}

/// A client with a delayed direct exchange, bound to queue `now` with key `k`, and confirms.
fn client(broker: &TestBroker) -> RawClient {
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare(&mut client, "direct");
    bind(&mut client, "now", "k");
    client.select_confirms().expect("confirms");
    client
}

fn content(headers: Table, body: &str) -> Content {
    let mut properties = Vec::new();
    Properties { headers: Some(headers), delivery_mode: Some(2), ..Properties::default() }
        .encode(&mut properties);
    Content { properties, body: body.as_bytes().to_vec() }
}

fn after(delay_ms: i64, body: &str) -> Content {
    content(Table::from([("x-delay", Value::I64(delay_ms))]), body)
}

/// Publishes and waits for the confirm.
fn publish(client: &mut RawClient, routing_key: &str, content: &Content) {
    client.publish(EXCHANGE, routing_key, content).expect("sends");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
}

struct Received {
    body: String,
    headers: Table,
    at: Instant,
}

fn receive(client: &mut RawClient) -> Received {
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    let at = Instant::now();
    let content = client.content().expect("its content");
    let properties = PropertiesView::validate(&content.properties).expect("well-formed");
    let headers = properties.to_properties().expect("text").headers.unwrap_or_default();
    Received { body: String::from_utf8(content.body).expect("text"), headers, at }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[test]
fn messages_arrive_when_they_are_due_in_the_order_of_their_times() {
    let broker = TestBroker::start();
    let mut client = client(&broker);
    let began = Instant::now();
    publish(&mut client, "k", &after(600, "third"));
    publish(&mut client, "k", &after(300, "second"));
    publish(
        &mut client,
        "k",
        &content(Table::from([("x-deliver-at", Value::I64(now_ms() + 900))]), "fourth"),
    );
    publish(&mut client, "k", &after(0, "first"));
    publish(&mut client, "nowhere", &after(100, "lost"));
    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("now", 0, true).expect("consumes");
    for (body, due_ms) in [("first", 0), ("second", 300), ("third", 600), ("fourth", 900)] {
        let received = receive(&mut consumer);
        assert_eq!(received.body, body);
        let took = received.at - began;
        assert!(took + CLOCK >= Duration::from_millis(due_ms), "{body} came early, after {took:?}");
        assert!(took < Duration::from_millis(due_ms + 300), "{body} came late, after {took:?}");
        let delay = received.headers.get("x-delay").and_then(Value::as_i64);
        assert_eq!(
            delay,
            [("second", -300), ("third", -600), ("first", 0)]
                .into_iter()
                .find(|it| it.0 == body)
                .map(|it| it.1)
        );
    }
}

#[test]
fn a_confirmed_message_that_waits_survives_a_crash() {
    let mut broker = TestBroker::start();
    let mut client = client(&broker);
    publish(&mut client, "k", &after(1, "past"));
    assert!(
        eventually(Duration::from_secs(10), || (client.declare_queue("now", true).ok()? == 1).then_some(()))
            .is_some()
    );
    for number in 0..50 {
        publish(&mut client, "k", &after(2_000 - number, &number.to_string()));
    }
    broker.crash();
    broker.restart();
    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("now", 0, true).expect("consumes");
    assert_eq!(receive(&mut consumer).body, "past");
    let mut bodies: Vec<u64> =
        (0..50).map(|_| receive(&mut consumer).body.parse().expect("a number")).collect();
    bodies.sort();
    assert_eq!(bodies, (0..50).collect::<Vec<u64>>());
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(client.declare_queue("now", true).expect("declares"), 0, "nothing came twice");
}

#[test]
fn what_an_exchange_holds_goes_when_it_is_deleted() {
    let broker = TestBroker::start();
    let mut client = client(&broker);
    publish(&mut client, "k", &after(200, "held"));
    client
        .send(1, &Method::ExchangeDelete { exchange: EXCHANGE, if_unused: false, no_wait: false })
        .expect("sends");
    client.expect(1, |method| matches!(method, Method::ExchangeDeleteOk {})).expect("deleted");
    declare(&mut client, "fanout");
    bind(&mut client, "now", "");
    publish(&mut client, "", &after(400, "of the new exchange"));
    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("now", 0, true).expect("consumes");
    assert_eq!(receive(&mut consumer).body, "of the new exchange");
}

#[test]
fn dead_letters_can_wait_and_wait_once() {
    let broker = TestBroker::start();
    let mut client = client(&broker);
    let arguments = encoded(Table::from([
        ("x-dead-letter-exchange", EXCHANGE.into()),
        ("x-dead-letter-routing-key", "k".into()),
        ("x-message-ttl", 0.into()),
    ]));
    let declare = Method::QueueDeclare {
        queue: "dying",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::validate(&arguments).expect("well-formed"),
    };
    client.send(1, &declare).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
    let began = Instant::now();
    client.publish("", "dying", &after(300, "dead")).expect("sends");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("now", 0, true).expect("consumes");
    let received = receive(&mut consumer);
    assert_eq!(received.body, "dead");
    assert!(received.at - began + CLOCK >= Duration::from_millis(300));
    assert_eq!(received.headers.get("x-delay").and_then(Value::as_i64), Some(-300));
    assert!(received.headers.get("x-death").is_some());
}

#[test]
fn a_delayed_exchange_needs_the_type_behind_it() {
    let broker = TestBroker::start();
    for (arguments, text) in [
        (Table::new(), "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            Table::from([("x-delayed-type", "x-delayed-message".into())]),
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        (Table::from([("x-delayed-type", "odd".into())]), "unknown exchange type 'odd'"),
    ] {
        let mut client = RawClient::open(broker.amqp()).expect("connects");
        send_declare(&mut client, "x-delayed-message", true, arguments);
        let (code, reply) = client.expect_channel_close().expect("refused");
        assert_eq!((code, reply.as_str()), (406, &*format!("PRECONDITION_FAILED - {text}")));
    }
}

/// Kilobytes of memory that the broker occupies.
fn resident_kb(broker: &TestBroker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line for it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Publishes messages of 100 bytes with confirms, some of them under way at a time; `confirms` were sent before.
fn fill(client: &mut RawClient, confirms: u64, count: u64, delay_ms: impl Fn(u64) -> i64) {
    let body = "x".repeat(100);
    publish_all(client, confirms, count, |number| after(delay_ms(number), &body));
}

fn publish_all(client: &mut RawClient, confirms: u64, count: u64, message: impl Fn(u64) -> Content) {
    let (mut confirmed, mut published) = (confirms, confirms);
    let upto = confirms + count;
    while confirmed < upto {
        while published < upto && published - confirmed < 5_000 {
            client.publish(EXCHANGE, "k", &message(published)).expect("sends");
            published += 1;
        }
        let frame = client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
        if let Ok(Method::BasicAck { delivery_tag, .. }) = frame.method() {
            confirmed = delivery_tag;
        }
    }
}

#[test]
fn memory_does_not_grow_with_what_waits() {
    let is_long = std::env::var_os("LEVERET_TEST_LONG").is_some();
    let count = if is_long { 1_000_000 } else { 20_000 };
    let mut broker = TestBroker::start();
    let mut client = client(&broker);
    fill(&mut client, 0, 1_000, |_| 3_600_000);
    let before = resident_kb(&broker);
    let began = Instant::now();
    // Later ones are due earlier as often as not.
    fill(&mut client, 1_000, count, |number| {
        3_600_000 + (number.wrapping_mul(2_654_435_761) % 1_000_000) as i64
    });
    let after_kb = resident_kb(&broker);
    println!(
        "{count} messages wait, published in {:.1} s: {} KB, {} KB more",
        began.elapsed().as_secs_f64(),
        after_kb,
        after_kb.saturating_sub(before)
    );
    assert!(after_kb.saturating_sub(before) < 50 << 10, "{before} KB before, {after_kb} KB after");
    broker.crash();
    let began = Instant::now();
    broker.restart();
    println!("started again in {:.2} s: {} KB", began.elapsed().as_secs_f64(), resident_kb(&broker));
    assert!(began.elapsed() < Duration::from_secs(20));
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.select_confirms().expect("confirms");
    let began = Instant::now();
    publish(&mut client, "k", &after(200, "soon"));
    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("now", 0, true).expect("consumes");
    assert_eq!(receive(&mut consumer).body, "soon");
    println!("one of 200 ms came after {:?}", began.elapsed());
}

/// Processor time that the broker has used.
fn cpu_ms(broker: &TestBroker) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, in hundredths of a second.
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number") * 10).sum()
}

#[test]
fn what_is_due_at_once_goes_on_in_the_order_of_publishing() {
    let is_long = std::env::var_os("LEVERET_TEST_LONG").is_some();
    let count: u64 = if is_long { 200_000 } else { 10_000 };
    for wait_ms in [3_000, 15_000, 60_000] {
        let broker = TestBroker::start();
        let mut client = client(&broker);
        let due_ms = now_ms() + wait_ms;
        let at = |number: u64| {
            content(Table::from([("x-deliver-at", Value::I64(due_ms))]), &format!("{number:0100}"))
        };
        publish_all(&mut client, 0, count, at);
        if now_ms() >= due_ms {
            continue; // This machine needs more time to publish them.
        }
        let mut consumer = RawClient::open(broker.amqp()).expect("connects");
        consumer.consume("now", 0, true).expect("consumes");
        let (mut began, mut busy_ms) = (None, 0);
        for number in 0..count {
            let received = receive(&mut consumer);
            assert_eq!(received.body.parse(), Ok(number), "in order");
            began.get_or_insert_with(|| {
                busy_ms = cpu_ms(&broker);
                received.at
            });
        }
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        println!(
            "{count} due at once: {:.0} a second, {:.1} us of the broker's time each",
            count as f64 / took.as_secs_f64(),
            (cpu_ms(&broker) - busy_ms) as f64 * 1e3 / count as f64
        );
        return;
    }
    panic!("{count} messages take more than a minute to publish");
}
