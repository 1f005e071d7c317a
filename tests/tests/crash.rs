//! Kills the broker with SIGKILL at random moments under load and holds what is left against a ledger outside it.
//!
//! - A confirmed message is never lost.
//! - A message whose acknowledgement was covered by a later confirm never comes back.
//! - What comes a second time says that it may have come before.
//! - Within one life of the broker every queue gives out each publisher's messages in order.
//!
//! There are ten times as many kills with `LEVERET_TEST_LONG` set, which `cargo xtask test --long` does.
//! `LEVERET_CRASH_ROUNDS` sets their number, `LEVERET_CRASH_SEED` replays a schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_tests::{Content, RawClient, TestBroker};

/// Publisher and number: what is in a message.
type Id = (u32, u64);

/// What happened, as the clients saw it.
#[derive(Default)]
struct Ledger {
    published: BTreeMap<u32, u64>,
    confirmed: BTreeSet<Id>,
    /// By queue.
    received: BTreeMap<String, BTreeSet<Id>>,
    /// Acknowledged, and the acknowledgement was followed by a confirm on the same channel.
    settled: BTreeMap<String, BTreeSet<Id>>,
    violations: Vec<String>,
}

const QUEUES: [&str; 3] = ["crash.one", "crash.two", "crash.shared"];
/// Publisher, and the queue it publishes to: two of them share one.
const PUBLISHERS: [(u32, &str); 4] =
    [(1, "crash.one"), (2, "crash.two"), (3, "crash.shared"), (4, "crash.shared")];
const WINDOW: u64 = 200;

#[test]
fn kills_at_random_moments_lose_no_confirmed_message() {
    let usual = if std::env::var_os("LEVERET_TEST_LONG").is_some() { 300 } else { 30 };
    let rounds = number("LEVERET_CRASH_ROUNDS").unwrap_or(usual);
    let seed = number("LEVERET_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919);
    println!("{rounds} kills, LEVERET_CRASH_SEED={seed}");
    let mut random = seed.max(1);
    let mut broker = TestBroker::start();
    declare(broker.amqp());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(20 + (random >> 33) % 400);
        // Every third life only fills the queues, so that a backlog crosses the crash.
        run_clients(broker.amqp(), &ledger, life, round % 3 != 0, || broker_crash(&mut broker));
        broker.restart();
        let ledger = ledger.lock().expect("clients do not panic with the ledger");
        assert!(ledger.violations.is_empty(), "round {round}, seed {seed}: {:#?}", ledger.violations);
    }
    drain(broker.amqp(), &ledger);
    let ledger = ledger.lock().expect("clients do not panic with the ledger");
    assert!(ledger.violations.is_empty(), "seed {seed}: {:#?}", ledger.violations);
    let mut lost: Vec<Id> = Vec::new();
    for (publisher, queue) in PUBLISHERS {
        let received = ledger.received.get(queue);
        let of_publisher = ledger.confirmed.range((publisher, 0)..=(publisher, u64::MAX));
        lost.extend(
            of_publisher.copied().filter(|id| !received.is_some_and(|received| received.contains(id))),
        );
    }
    assert!(
        lost.is_empty(),
        "seed {seed}: {} confirmed messages lost, such as {:?}",
        lost.len(),
        lost.first()
    );
    println!("{} confirmed, all received", ledger.confirmed.len());
    assert!(ledger.confirmed.len() > 1000, "the load was real");
}

fn broker_crash(broker: &mut TestBroker) {
    broker.crash();
}

fn declare(address: SocketAddr) {
    let mut client = RawClient::open(address).expect("connects");
    for queue in QUEUES {
        client.declare_queue(queue, true).expect("declares");
    }
    client.declare_queue("crash.marks", true).expect("declares");
}

/// Runs all clients for `life`, then `crash`, and waits until every client noticed.
fn run_clients(
    address: SocketAddr,
    ledger: &Arc<Mutex<Ledger>>,
    life: Duration,
    consume: bool,
    crash: impl FnOnce(),
) {
    let mut clients = Vec::new();
    for (publisher, queue) in PUBLISHERS {
        let ledger = ledger.clone();
        clients.push(std::thread::spawn(move || publish(address, publisher, queue, &ledger)));
    }
    let stop = Arc::new(AtomicBool::new(false));
    if consume {
        for queue in QUEUES {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            clients.push(std::thread::spawn(move || self::consume(address, queue, &ledger, &stop, 50)));
        }
    }
    // The moment of the crash is the point of the test, not a wait for something.
    let deadline = Instant::now() + life;
    while Instant::now() < deadline {
        std::thread::park_timeout(deadline - Instant::now());
    }
    crash();
    for client in clients {
        client.join().expect("clients end when the broker is gone");
    }
}

/// Publishes with confirms until the connection breaks.
fn publish(address: SocketAddr, publisher: u32, queue: &str, ledger: &Mutex<Ledger>) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.select_confirms().is_err() {
        return;
    }
    let first = *ledger.lock().expect("ledger").published.entry(publisher).or_insert(0);
    let mut next = first;
    let mut confirmed = first;
    let mut singly = BTreeSet::new();
    loop {
        while next - confirmed < WINDOW {
            ledger.lock().expect("ledger").published.insert(publisher, next + 1);
            if client.publish("", queue, &message(publisher, next)).is_err() {
                return;
            }
            next += 1;
        }
        let Ok(frame) = client.read() else { return };
        match frame.method() {
            Ok(Method::BasicAck { delivery_tag, multiple }) => {
                let number = first + delivery_tag - 1;
                let mut ledger = ledger.lock().expect("ledger");
                if multiple {
                    for number in confirmed..=number {
                        ledger.confirmed.insert((publisher, number));
                    }
                    confirmed = confirmed.max(number + 1);
                } else {
                    ledger.confirmed.insert((publisher, number));
                    singly.insert(number);
                }
                while singly.remove(&confirmed) {
                    confirmed += 1;
                }
            }
            other => {
                let text = format!("publisher {publisher} got {other:?}");
                ledger.lock().expect("ledger").violations.push(text);
                return;
            }
        }
    }
}

/// Consumes, acknowledges every few messages and has each acknowledgement covered by a confirm, until the connection
/// breaks or `stop` is set and the queue stays silent.
fn consume(address: SocketAddr, queue: &str, ledger: &Mutex<Ledger>, stop: &AtomicBool, prefetch: u16) {
    let Ok(mut client) = RawClient::open(address) else { return };
    if client.select_confirms().is_err() || client.consume(queue, prefetch, false).is_err() {
        return;
    }
    let mut last_of: BTreeMap<u32, u64> = BTreeMap::new();
    let mut unacked = Vec::new();
    let mut awaiting: Vec<(u64, Vec<Id>)> = Vec::new();
    let mut marks = 0;
    loop {
        let frame = match client.read_within(Duration::from_millis(300)) {
            Ok(Some(frame)) => frame,
            Ok(None) if stop.load(Ordering::Relaxed) && unacked.is_empty() => return,
            Ok(None) => {
                if flush(&mut client, &mut unacked, &mut awaiting, &mut marks).is_err() {
                    return;
                }
                continue;
            }
            Err(_) => return,
        };
        match frame.method() {
            Ok(Method::BasicDeliver { delivery_tag, redelivered, .. }) => {
                let Ok(content) = client.content() else { return };
                let id = identity(&content);
                let mut ledger = ledger.lock().expect("ledger");
                let Ledger { received, settled, violations, .. } = &mut *ledger;
                if settled.get(queue).is_some_and(|settled| settled.contains(&id)) {
                    violations.push(format!("{queue}: {id:?} came back after its acknowledgement was safe"));
                }
                if !received.entry(queue.to_owned()).or_default().insert(id) && !redelivered {
                    violations.push(format!("{queue}: {id:?} came again without the redelivered flag"));
                }
                if last_of.insert(id.0, id.1).is_some_and(|last| last >= id.1) {
                    violations.push(format!("{queue}: {id:?} came out of order, after {last_of:?}"));
                }
                drop(ledger);
                unacked.push((delivery_tag, id));
                if unacked.len() >= 20 && flush(&mut client, &mut unacked, &mut awaiting, &mut marks).is_err()
                {
                    return;
                }
            }
            Ok(Method::BasicAck { delivery_tag, .. }) => {
                let mut ledger = ledger.lock().expect("ledger");
                let settled = ledger.settled.entry(queue.to_owned()).or_default();
                awaiting.retain(|(mark, ids)| {
                    let covered = *mark <= delivery_tag;
                    if covered {
                        settled.extend(ids);
                    }
                    !covered
                });
            }
            other => {
                let text = format!("consumer of {queue} got {other:?}");
                ledger.lock().expect("ledger").violations.push(text);
                return;
            }
        }
    }
}

/// Acknowledges what was received, then publishes a mark whose confirm covers the acknowledgement.
fn flush(
    client: &mut RawClient,
    unacked: &mut Vec<(u64, Id)>,
    awaiting: &mut Vec<(u64, Vec<Id>)>,
    marks: &mut u64,
) -> anyhow::Result<()> {
    let Some((delivery_tag, _)) = unacked.last() else { return Ok(()) };
    client.send(1, &Method::BasicAck { delivery_tag: *delivery_tag, multiple: true })?;
    *marks += 1;
    awaiting.push((*marks, unacked.drain(..).map(|(_, id)| id).collect()));
    client.publish("", "crash.marks", &message(0, *marks))
}

/// Empties all queues. A consumer that hears nothing for a moment ends; where that was too early another goes on.
fn drain(address: SocketAddr, ledger: &Arc<Mutex<Ledger>>) {
    let mut client = RawClient::open(address).expect("connects");
    let deadline = Instant::now() + Duration::from_secs(120);
    let stop = Arc::new(AtomicBool::new(true));
    loop {
        let drains = QUEUES.map(|queue| {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            std::thread::spawn(move || consume(address, queue, &ledger, &stop, 0))
        });
        for drain in drains {
            drain.join().expect("draining does not panic");
        }
        let left = QUEUES.map(|queue| client.declare_queue(queue, true).expect("declares"));
        if left.iter().all(|left| *left == 0) {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?} messages are left in {QUEUES:?}");
    }
}

/// A persistent message of varying size that says who sent it.
fn message(publisher: u32, number: u64) -> Content {
    static SIZES: AtomicU64 = AtomicU64::new(0);
    let size = SIZES.fetch_add(37, Ordering::Relaxed) % 3000;
    let mut body = Vec::with_capacity(12 + size as usize);
    body.extend_from_slice(&publisher.to_be_bytes());
    body.extend_from_slice(&number.to_be_bytes());
    body.resize(12 + size as usize, number as u8);
    Content { properties: vec![0x10, 0x00, 2], body }
}

fn identity(content: &Content) -> Id {
    let (publisher, number) = content.body[..12].split_at(4);
    let publisher = u32::from_be_bytes(publisher.try_into().expect("four bytes"));
    let number = u64::from_be_bytes(number.try_into().expect("eight bytes"));
    assert!(content.body[12..].iter().all(|byte| *byte == number as u8), "the body of {number} is damaged");
    (publisher, number)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
