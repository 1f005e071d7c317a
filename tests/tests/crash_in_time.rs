//! Kills the broker with SIGKILL while messages expire, die, wait and are given back, and holds what is left against a
//! ledger outside it.
//!
//! - A confirmed message is never lost, wherever it was on its way: in its queue, dead, waiting, or given back.
//! - None is doubled when it dies or when its time has come: it leaves one place and enters the next in one write.
//! - Priorities and the order within one hold after a crash.
//! - A message that is always given back dies at its limit, however often the broker is killed meanwhile.
//!
//! There are ten times as many kills with `LEVERET_TEST_LONG` set. `LEVERET_CRASH_ROUNDS` sets their number,
//! `LEVERET_CRASH_SEED` replays a schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker};

/// One way of a message through the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Expires after a while, often behind others that do not expire so soon.
    Expires,
    /// Waits in a delayed exchange.
    Waits,
    /// Into a priority queue.
    Ranked,
    /// Its consumer always gives it back.
    GivenBack,
}

impl Way {
    const ALL: [Way; 4] = [Way::Expires, Way::Waits, Way::Ranked, Way::GivenBack];

    /// Exchange and routing key.
    fn target(self) -> (&'static str, &'static str) {
        match self {
            Way::Expires => ("", "time.expires"),
            Way::Waits => ("time.later", "k"),
            Way::Ranked => ("", "time.ranked"),
            Way::GivenBack => ("", "time.given-back"),
        }
    }

    /// Where it ends.
    fn end(self) -> &'static str {
        match self {
            Way::Expires => "time.expired",
            Way::Waits => "time.waited",
            Way::Ranked => "time.ranked",
            Way::GivenBack => "time.given-up",
        }
    }

    fn properties(self, number: u64) -> Properties {
        let mut properties = Properties { delivery_mode: Some(2), ..Properties::default() };
        match self {
            Way::Expires => properties.expiration = Some((10 + number * 37 % 400).to_string()),
            Way::Waits => {
                let delay = Value::I64(1 + (number * 53 % 500) as i64);
                properties.headers = Some(Table::from([("x-delay", delay)]));
            }
            Way::Ranked => properties.priority = Some((number % 4) as u8),
            Way::GivenBack => {}
        }
        properties
    }
}

#[derive(Default)]
struct Ledger {
    published: BTreeMap<Way, u64>,
    confirmed: BTreeSet<(Way, u64)>,
    violations: Vec<String>,
}

const LIMIT: i64 = 3;

#[test]
fn kills_lose_and_double_nothing_that_expires_waits_or_is_given_back() {
    let usual = if std::env::var_os("LEVERET_TEST_LONG").is_some() { 120 } else { 12 };
    let rounds = number("LEVERET_CRASH_ROUNDS").unwrap_or(usual);
    let seed = number("LEVERET_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919);
    println!("{rounds} kills, LEVERET_CRASH_SEED={seed}");
    let mut random = seed.max(1);
    let mut broker = TestBroker::start();
    declare(broker.amqp());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for _ in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(30 + (random >> 33) % 500);
        let clients = start_clients(broker.amqp(), &ledger);
        // The moment of the crash is the point of the test, not a wait for something.
        let deadline = Instant::now() + life;
        while Instant::now() < deadline {
            std::thread::park_timeout(deadline - Instant::now());
        }
        broker.crash();
        for client in clients {
            client.join().expect("clients end when the broker is gone");
        }
        broker.restart();
    }
    let address = broker.amqp();
    let giver = {
        let ledger = ledger.clone();
        std::thread::spawn(move || give_back(address, &ledger))
    };
    let confirmed = ledger.lock().expect("ledger").confirmed.clone();
    assert!(confirmed.len() > 200, "the load was real");
    for way in Way::ALL {
        let expected: BTreeSet<u64> =
            confirmed.iter().filter(|(other, _)| *other == way).map(|(_, number)| *number).collect();
        let received = drain(address, way, &expected);
        let unique: BTreeSet<u64> = received.iter().map(|(number, _)| *number).collect();
        let lost: Vec<&u64> = expected.difference(&unique).take(5).collect();
        assert!(lost.is_empty(), "seed {seed}, {way:?}: confirmed and lost: {lost:?}");
        assert_eq!(unique.len(), received.len(), "seed {seed}, {way:?}: something came twice");
        if way == Way::Ranked {
            let mut ordered = received.clone();
            ordered.sort_by_key(|(number, priority)| (std::cmp::Reverse(*priority), *number));
            assert!(ordered == received, "seed {seed}: priorities or their order are lost");
        }
        println!("{way:?}: {} confirmed, {} received", expected.len(), received.len());
    }
    broker.crash();
    giver.join().expect("ends when the broker is gone");
    let violations = &ledger.lock().expect("ledger").violations;
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
}

fn encoded(table: Table) -> Vec<u8> {
    let mut entries = Vec::new();
    table.encode_entries(&mut entries);
    entries
}

fn declare_queue(client: &mut RawClient, queue: &str, arguments: Table) {
    let entries = encoded(arguments);
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

fn declare(address: SocketAddr) {
    let mut client = RawClient::open(address).expect("connects");
    let dying = |end: &str| {
        vec![
            ("x-dead-letter-exchange".to_owned(), Value::from("")),
            ("x-dead-letter-routing-key".to_owned(), Value::from(end)),
        ]
    };
    for way in Way::ALL {
        let ranked = (way == Way::Ranked).then(|| ("x-max-priority", Value::from(3)));
        declare_queue(&mut client, way.end(), ranked.into_iter().collect());
    }
    declare_queue(&mut client, "time.expires", Table(dying("time.expired")));
    let mut arguments = Table(dying("time.given-up"));
    arguments.insert("x-retry-delay", "5ms,20ms");
    arguments.insert("x-retry-limit", LIMIT);
    declare_queue(&mut client, "time.given-back", arguments);
    let entries = encoded(Table::from([("x-delayed-type", "direct".into())]));
    let exchange = Method::ExchangeDeclare {
        exchange: "time.later",
        kind: "x-delayed-message",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::validate(&entries).expect("well-formed"),
    };
    client.send(1, &exchange).expect("sends");
    client.expect(1, |method| matches!(method, Method::ExchangeDeclareOk {})).expect("declared");
    let bind = Method::QueueBind {
        queue: "time.waited",
        exchange: "time.later",
        routing_key: "k",
        no_wait: false,
        arguments: RawTable::validate(&[]).expect("empty"),
    };
    client.send(1, &bind).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueBindOk {})).expect("bound");
}

fn start_clients(address: SocketAddr, ledger: &Arc<Mutex<Ledger>>) -> Vec<std::thread::JoinHandle<()>> {
    let publishers = Way::ALL.into_iter().map(|way| {
        let ledger = ledger.clone();
        std::thread::spawn(move || publish(address, way, &ledger))
    });
    let mut clients: Vec<_> = publishers.collect();
    let ledger = ledger.clone();
    clients.push(std::thread::spawn(move || give_back(address, &ledger)));
    clients
}

/// Publishes with confirms until the connection breaks.
fn publish(address: SocketAddr, way: Way, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.select_confirms().is_err() {
        return;
    }
    let first = *ledger.lock().expect("ledger").published.entry(way).or_insert(0);
    let (exchange, routing_key) = way.target();
    let (mut next, mut confirmed) = (first, first);
    loop {
        while next - confirmed < 50 {
            ledger.lock().expect("ledger").published.insert(way, next + 1);
            let mut properties = Vec::new();
            way.properties(next).encode(&mut properties);
            let content = Content { properties, body: next.to_be_bytes().to_vec() };
            if client.publish(exchange, routing_key, &content).is_err() {
                return;
            }
            next += 1;
        }
        let Ok(frame) = client.read() else { return };
        match frame.method() {
            Ok(Method::BasicAck { delivery_tag, multiple }) => {
                let upto = first + delivery_tag;
                let from = if multiple { confirmed } else { upto - 1 };
                let mut ledger = ledger.lock().expect("ledger");
                ledger.confirmed.extend((from..upto).map(|number| (way, number)));
                confirmed = confirmed.max(upto);
            }
            other => {
                let text = format!("the publisher of {way:?} got {other:?}");
                ledger.lock().expect("ledger").violations.push(text);
                return;
            }
        }
    }
}

/// Gives every message back, until the connection breaks.
fn give_back(address: SocketAddr, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.consume("time.given-back", 20, false).is_err() {
        return;
    }
    loop {
        let frame = match client.read_within(Duration::from_millis(500)) {
            Ok(Some(frame)) => frame,
            Ok(None) => continue,
            Err(_) => return,
        };
        let Ok(Method::BasicDeliver { delivery_tag, .. }) = frame.method() else { continue };
        let Ok(content) = client.content() else { return };
        let count = headers(&content).get("x-delivery-count").and_then(Value::as_i64).unwrap_or(0);
        if count > LIMIT {
            let text = format!("a message was delivered after {count} returns");
            ledger.lock().expect("ledger").violations.push(text);
        }
        let nack = Method::BasicNack { delivery_tag, multiple: false, requeue: true };
        if client.send(1, &nack).is_err() {
            return;
        }
    }
}

fn headers(content: &Content) -> Table {
    let properties = PropertiesView::validate(&content.properties).expect("well-formed");
    properties.to_properties().expect("text").headers.unwrap_or_default()
}

/// Takes what came out at the end of a way, until it has all that is expected and no more comes.
fn drain(address: SocketAddr, way: Way, expected: &BTreeSet<u64>) -> Vec<(u64, Option<u8>)> {
    let mut client = RawClient::open(address).expect("connects");
    if way == Way::Ranked {
        client.consume(way.end(), 1, false).expect("consumes");
    } else {
        client.consume(way.end(), 0, true).expect("consumes");
    }
    let mut received = Vec::new();
    let mut missing = expected.clone();
    let deadline = Instant::now() + Duration::from_secs(60);
    // Silence at the end: what is doubled would come right behind.
    let mut silent = 0;
    while silent < 2 && Instant::now() < deadline {
        let Some(frame) = client.read_within(Duration::from_millis(700)).expect("the broker runs") else {
            silent += usize::from(missing.is_empty());
            continue;
        };
        let Ok(Method::BasicDeliver { delivery_tag, .. }) = frame.method() else {
            panic!("a delivery was expected: {frame:?}")
        };
        let content = client.content().expect("its content");
        let number = u64::from_be_bytes(content.body[..].try_into().expect("eight bytes"));
        let priority = PropertiesView::validate(&content.properties).expect("well-formed").priority();
        missing.remove(&number);
        received.push((number, priority));
        if way == Way::Ranked {
            client.send(1, &Method::BasicAck { delivery_tag, multiple: false }).expect("sends");
        }
    }
    received
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
