//! Kills the broker with SIGKILL while messages move from queue to queue, and counts them afterwards.
//!
//! A message that dies, or is moved by an operator, leaves its queue and enters all others that get it at once: a crash
//! finds it in the first one, or in every other one, and only once.
//!
//! There are ten times as many kills with `LEVERET_TEST_LONG` set. `LEVERET_CRASH_SEED` replays a schedule.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker};
use serde_json::Value as Json;

#[test]
fn a_crash_finds_a_dead_letter_before_or_behind_its_death() {
    let usual = if std::env::var_os("LEVERET_TEST_LONG").is_some() { 100 } else { 10 };
    let rounds = number("LEVERET_CRASH_ROUNDS").unwrap_or(usual);
    let seed = number("LEVERET_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919);
    println!("{rounds} kills, LEVERET_CRASH_SEED={seed}");
    let mut broker = TestBroker::start();
    declare(broker.amqp());
    let mut random = seed.max(1);
    let (mut first, mut dead) = (0, 0);
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(20 + (random >> 33) % 250);
        let address = broker.amqp();
        let sent = Mutex::new((first, BTreeSet::new()));
        std::thread::scope(|scope| {
            scope.spawn(|| publish(address, &sent));
            scope.spawn(|| reject_all(address));
            scope.spawn(|| make_noise(address));
            // The moment of the crash is the point of the test, not a wait for something.
            let deadline = Instant::now() + life;
            while Instant::now() < deadline {
                std::thread::park_timeout(deadline - Instant::now());
            }
            broker.crash();
        });
        broker.restart();
        let (next, confirmed) = sent.into_inner().expect("clients do not panic with the ledger");
        let [alive, one, other] = drain(broker.amqp(), ["transfer.alive", "transfer.one", "transfer.other"]);
        let context = format!("round {round}, seed {seed}");
        assert_eq!(one, other, "{context}: both queues get every dead letter");
        let both: Vec<_> = alive.intersection(&one).collect();
        assert!(both.is_empty(), "{context}: alive and dead: {both:?}");
        let lost: Vec<_> = confirmed.iter().filter(|id| !alive.contains(id) && !one.contains(id)).collect();
        assert!(lost.is_empty(), "{context}: confirmed and lost: {lost:?}");
        assert!(alive.union(&one).all(|id| (first..next).contains(id)), "{context}: of an earlier round");
        (first, dead) = (next, dead + one.len());
    }
    println!("{first} messages, {dead} of them dead");
    assert!(dead > 100, "the load was real");
}

#[test]
fn a_crash_finds_a_moved_message_where_it_was_or_where_it_went() {
    let usual = if std::env::var_os("LEVERET_TEST_LONG").is_some() { 50 } else { 6 };
    let rounds = number("LEVERET_CRASH_ROUNDS").unwrap_or(usual);
    let seed = number("LEVERET_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919);
    println!("{rounds} kills, LEVERET_CRASH_SEED={seed}");
    let mut broker = TestBroker::start();
    let mut random = seed.max(1);
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let queues = ["moved.here", "moved.there"];
    for queue in queues.iter().chain(&["transfer.marks", "transfer.noise"]) {
        client.declare_queue(queue, true).expect("declares");
    }
    client.select_confirms().expect("confirms");
    for number in 0..MOVED {
        client.publish("", queues[0], &message(number)).expect("sends");
    }
    let mut confirmed = 0;
    while confirmed < MOVED {
        let frame = client.read().expect("a confirm");
        let Ok(Method::BasicAck { delivery_tag, .. }) = frame.method() else { panic!("{frame:?}") };
        confirmed = delivery_tag;
    }
    // Held back, so that a pause is seen to outlive the crash.
    request(&broker, "PUT", &format!("queues/%2F/{}/pause", queues[0]), "");
    let mut interrupted = 0;
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [from, to] = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let body = format!("{{\"destination\": {{\"queue\": \"{}\"}}}}", queues[to]);
        let path = format!("queues/%2F/{}/move", queues[from]);
        let started: Json = serde_json::from_str(&request(&broker, "POST", &path, &body)).expect("JSON");
        let deadline = Instant::now() + Duration::from_millis((random >> 33) % 120);
        while Instant::now() < deadline {
            std::thread::park_timeout(deadline - Instant::now());
        }
        broker.crash();
        broker.restart();
        let operation =
            request(&broker, "GET", &format!("operations/{}", started["id"].as_str().expect("an id")), "");
        let operation: Json = serde_json::from_str(&operation).expect("JSON");
        assert!(operation["state"] == "interrupted" || operation["state"] == "done", "{operation}");
        interrupted += u32::from(operation["state"] == "interrupted");
    }
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let get = Method::BasicGet { queue: queues[0], no_ack: true };
    client.send(1, &get).expect("sends");
    let frame = client.read().expect("an answer");
    assert!(matches!(frame.method(), Ok(Method::BasicGetEmpty { .. })), "it is still held back");
    request(&broker, "PUT", &format!("queues/%2F/{}/resume", queues[0]), "");
    let [here, there] = drain(broker.amqp(), queues);
    println!("{interrupted} interrupted; {} here, {} there", here.len(), there.len());
    assert!(here.is_disjoint(&there), "seed {seed}");
    assert_eq!(here.len() + there.len(), MOVED as usize, "seed {seed}");
}

/// Asks the admin API for something that has to work, and returns the answer's body.
fn request(broker: &TestBroker, method: &str, path: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(broker.admin()).expect("the admin listener is open");
    let head = format!(
        "{method} /api/{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\
         Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    body.to_owned()
}

fn declare(address: SocketAddr) {
    let mut client = RawClient::open(address).expect("connects");
    let dead_letters = Table::from([("x-dead-letter-exchange", Value::from("transfer.dead"))]);
    let mut entries = Vec::new();
    dead_letters.encode_entries(&mut entries);
    let arguments = RawTable::validate(&entries).expect("well-formed");
    let queue = Method::QueueDeclare {
        queue: "transfer.alive",
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments,
    };
    client.send(1, &queue).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
    let exchange = Method::ExchangeDeclare {
        exchange: "transfer.dead",
        kind: "fanout",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::empty(),
    };
    client.send(1, &exchange).expect("sends");
    client.expect(1, |method| matches!(method, Method::ExchangeDeclareOk { .. })).expect("declared");
    for queue in ["transfer.one", "transfer.other"] {
        client.declare_queue(queue, true).expect("declares");
        let bind = Method::QueueBind {
            queue,
            exchange: "transfer.dead",
            routing_key: "",
            no_wait: false,
            arguments: RawTable::empty(),
        };
        client.send(1, &bind).expect("sends");
        client.expect(1, |method| matches!(method, Method::QueueBindOk { .. })).expect("bound");
    }
    for queue in ["transfer.noise", "transfer.marks"] {
        client.declare_queue(queue, true).expect("declares");
    }
}

/// Publishes with confirms until the connection breaks; notes the next number and what was confirmed.
fn publish(address: SocketAddr, sent: &Mutex<(u64, BTreeSet<u64>)>) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.select_confirms().is_err() {
        return;
    }
    let first = sent.lock().expect("ledger").0;
    let (mut next, mut confirmed) = (first, first);
    loop {
        while next - confirmed < 300 {
            sent.lock().expect("ledger").0 = next + 1;
            if client.publish("", "transfer.alive", &message(next)).is_err() {
                return;
            }
            next += 1;
        }
        let Ok(frame) = client.read() else { return };
        let Ok(Method::BasicAck { delivery_tag, multiple }) = frame.method() else { return };
        let number = first + delivery_tag - 1;
        let mut sent = sent.lock().expect("ledger");
        if multiple {
            sent.1.extend(confirmed..=number);
        } else {
            sent.1.insert(number);
        }
        while sent.1.contains(&confirmed) {
            confirmed += 1;
        }
    }
}

/// Rejects everything in the first queue, some at a time, until the connection breaks.
fn reject_all(address: SocketAddr) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.consume("transfer.alive", 200, false).is_err() {
        return;
    }
    loop {
        let Ok(frame) = client.read() else { return };
        let Ok(Method::BasicDeliver { delivery_tag, .. }) = frame.method() else { return };
        if client.content().is_err() {
            return;
        }
        let nack = Method::BasicNack { delivery_tag, multiple: true, requeue: false };
        if delivery_tag % 7 == 0 && client.send(1, &nack).is_err() {
            return;
        }
    }
}

/// Has the store write more than one batch at a time.
fn make_noise(address: SocketAddr) {
    let Ok(mut client) = RawClient::open(address) else { return };
    let noise = Content { properties: vec![0x10, 0x00, 2], body: vec![7; 60_000] };
    while client.publish("", "transfer.noise", &noise).is_ok() {}
}

/// What is in the queues; each message once. Afterwards they are empty for good.
fn drain<const N: usize>(address: SocketAddr, queues: [&str; N]) -> [BTreeSet<u64>; N] {
    let mut client = RawClient::open(address).expect("connects");
    let found = queues.map(|queue| {
        let mut found = BTreeSet::new();
        loop {
            client.send(1, &Method::BasicGet { queue, no_ack: true }).expect("sends");
            let frame = client.read().expect("an answer");
            if !matches!(frame.method().expect("a method"), Method::BasicGetOk { .. }) {
                break;
            }
            let content = client.content().expect("its content");
            let id = u64::from_be_bytes(content.body[..8].try_into().expect("eight bytes"));
            assert!(found.insert(id), "{id} is twice in {queue}");
        }
        found
    });
    client.send(1, &Method::QueuePurge { queue: "transfer.noise", no_wait: false }).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueuePurgeOk { .. })).expect("purged");
    // What was taken is settled before this is confirmed.
    client.select_confirms().expect("confirms");
    client.publish("", "transfer.marks", &message(0)).expect("sends");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    found
}

/// A persistent message of varying size that tells its number.
fn message(number: u64) -> Content {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + (number as usize * 37) % 3000, number as u8);
    Content { properties: vec![0x10, 0x00, 2], body }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Messages that are moved back and forth.
const MOVED: u64 = 20_000;
