//! Exchanges that choose or remember, and deduplication, against the running broker.

use std::collections::BTreeMap;

use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker};

fn content(properties: &Properties, body: &str) -> Content {
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    Content { properties: raw, body: body.as_bytes().to_vec() }
}

fn plain(body: &str) -> Content {
    content(&Properties::default(), body)
}

/// A persistent message that calls itself `id`, by its message-id and by the usual header.
fn named(id: &str, body: &str) -> Content {
    let properties = Properties {
        delivery_mode: Some(2),
        message_id: Some(id.to_owned()),
        headers: Some(Table::from([("x-deduplication-header", id.into())])),
        ..Properties::default()
    };
    content(&properties, body)
}

/// What a client does here, with the answers awaited.
struct Client(RawClient);

impl Client {
    fn open(broker: &TestBroker) -> Client {
        let mut client = RawClient::open(broker.amqp()).expect("connects");
        client.select_confirms().expect("confirm mode");
        Client(client)
    }

    fn declare_exchange<const N: usize>(
        &mut self,
        exchange: &str,
        kind: &str,
        arguments: [(&str, Value); N],
    ) {
        let mut entries = Vec::new();
        Table::from(arguments).encode_entries(&mut entries);
        let declare = Method::ExchangeDeclare {
            exchange,
            kind,
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            no_wait: false,
            arguments: RawTable::validate(&entries).expect("well-formed arguments"),
        };
        self.0.send(1, &declare).expect("sends");
        self.0.expect(1, |method| matches!(method, Method::ExchangeDeclareOk {})).expect("declared");
    }

    fn declare_queue<const N: usize>(&mut self, queue: &str, arguments: [(&str, Value); N]) {
        let mut entries = Vec::new();
        Table::from(arguments).encode_entries(&mut entries);
        let declare = Method::QueueDeclare {
            queue,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::validate(&entries).expect("well-formed arguments"),
        };
        self.0.send(1, &declare).expect("sends");
        self.0.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
    }

    fn bind(&mut self, exchange: &str, queue: &str, routing_key: &str) {
        let bind =
            Method::QueueBind { queue, exchange, routing_key, no_wait: false, arguments: RawTable::empty() };
        self.0.send(1, &bind).expect("sends");
        self.0.expect(1, |method| matches!(method, Method::QueueBindOk {})).expect("bound");
    }

    /// Publishes and waits; true when the broker took it.
    fn publish(&mut self, exchange: &str, routing_key: &str, content: &Content) -> bool {
        self.0.publish(exchange, routing_key, content).expect("publishes");
        let frame = self.0.read().expect("a confirm");
        match frame.method().expect("a method") {
            Method::BasicAck { .. } => true,
            Method::BasicNack { .. } => false,
            other => panic!("not a confirm: {other:?}"),
        }
    }

    /// Takes everything out of a queue.
    fn drain(&mut self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            self.0.send(1, &Method::BasicGet { queue, no_ack: true }).expect("sends");
            let frame = self.0.read().expect("an answer");
            match frame.method().expect("a method") {
                Method::BasicGetOk { .. } => {
                    let body = self.0.content().expect("its content").body;
                    bodies.push(String::from_utf8(body).expect("text"));
                }
                Method::BasicGetEmpty {} => return bodies,
                other => panic!("unexpected answer to basic.get: {other:?}"),
            }
        }
    }
}

const DEDUPLICATES: (&str, Value) = ("x-message-deduplication", Value::Bool(true));

// ---- exchanges that choose -------------------------------------------------------------------------------------

#[test]
fn hash_and_random_exchanges_choose_anew_for_each_message() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_exchange("hash", "x-consistent-hash", [("hash-header", "customer".into())]);
    client.declare_exchange("random", "x-random", []);
    let queues = ["a", "b", "c", "d"];
    for queue in queues {
        client.declare_queue(queue, []);
        client.bind("hash", queue, "1");
        client.bind("random", queue, "");
    }
    let mut customers: BTreeMap<String, &str> = BTreeMap::new();
    for round in 0..3 {
        for number in 0..40 {
            let customer = format!("customer-{number}");
            let headers = Some(Table::from([("customer", customer.as_str().into())]));
            let properties = Properties { headers, ..Properties::default() };
            // One routing key for all: a cached route would send them all to one queue.
            assert!(client.publish("hash", "same", &content(&properties, &customer)));
        }
        for queue in queues {
            for customer in client.drain(queue) {
                let before = customers.insert(customer, queue);
                assert!(before.is_none_or(|before| before == queue), "round {round}");
            }
        }
    }
    let reached = |queue: &&str| customers.values().filter(|chosen| **chosen == *queue).count();
    assert!(customers.len() == 40 && queues.iter().all(|queue| reached(queue) > 0), "{customers:?}");
    for _ in 0..60 {
        assert!(client.publish("random", "same", &plain("x")));
    }
    let counts = queues.map(|queue| client.drain(queue).len());
    assert!(counts.iter().sum::<usize>() == 60 && counts.iter().all(|count| *count > 0), "{counts:?}");
}

// ---- recent history --------------------------------------------------------------------------------------------

#[test]
fn a_queue_bound_later_gets_the_latest_messages() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_exchange("history", "x-recent-history", [("x-recent-history-length", 3.into())]);
    client.declare_queue("early", []);
    client.declare_queue("late", []);
    client.bind("history", "early", "");
    for body in ["1", "2", "3", "4"] {
        assert!(client.publish("history", "any", &plain(body)));
    }
    let headers = Some(Table::from([("x-recent-history-no-store", true.into())]));
    assert!(client.publish(
        "history",
        "any",
        &content(&Properties { headers, ..Properties::default() }, "5")
    ));
    client.bind("history", "late", "");
    client.bind("history", "late", "");
    assert!(client.publish("history", "any", &plain("6")));
    assert_eq!(client.drain("early"), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(client.drain("late"), ["2", "3", "4", "6"]);
}

#[test]
fn an_exchange_bound_later_passes_the_history_on() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_exchange("history", "x-recent-history", []);
    client.declare_exchange("next", "direct", []);
    for queue in ["a", "b"] {
        client.declare_queue(queue, []);
        client.bind("next", queue, queue);
    }
    for number in 0..25 {
        let key = if number % 2 == 0 { "a" } else { "b" };
        assert!(client.publish("history", key, &plain(&number.to_string())));
    }
    let bind = Method::ExchangeBind {
        destination: "next",
        source: "history",
        routing_key: "",
        no_wait: false,
        arguments: RawTable::empty(),
    };
    client.0.send(1, &bind).expect("sends");
    client.0.expect(1, |method| matches!(method, Method::ExchangeBindOk {})).expect("bound");
    let numbers = |rest: u32| (5..25).filter(|n| n % 2 == rest).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!((client.drain("a"), client.drain("b")), (numbers(0), numbers(1)));
}

// ---- deduplication ---------------------------------------------------------------------------------------------

#[test]
fn a_duplicate_is_confirmed_and_dropped() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_queue("by-header", [DEDUPLICATES]);
    client.declare_queue("by-id", [DEDUPLICATES, ("x-deduplication-key", "message-id".into())]);
    client.declare_exchange("x", "fanout", [DEDUPLICATES]);
    client.declare_queue("behind", []);
    client.bind("x", "behind", "");
    for (exchange, queue) in [("", "by-header"), ("", "by-id"), ("x", "behind")] {
        for (id, body) in [("1", "first"), ("1", "again"), ("2", "other"), ("1", "again")] {
            assert!(client.publish(exchange, queue, &named(id, body)), "{queue}");
        }
        for body in ["nameless", "nameless"] {
            assert!(client.publish(exchange, queue, &plain(body)), "{queue}");
        }
        assert_eq!(client.drain(queue), ["first", "other", "nameless", "nameless"], "{queue}");
        assert!(client.publish(exchange, queue, &named("1", "after it was consumed")), "{queue}");
        assert!(client.drain(queue).is_empty(), "{queue}");
    }
}

#[test]
fn many_duplicates_in_one_write_are_dropped() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_exchange("x", "fanout", [DEDUPLICATES]);
    client.declare_queue("q", []);
    client.bind("x", "q", "");
    for number in 0..300 {
        client
            .0
            .publish("x", "", &named(&(number % 10).to_string(), &number.to_string()))
            .expect("publishes");
    }
    let mut confirmed = 0;
    while confirmed < 300 {
        let frame = client.0.read().expect("confirms");
        let Method::BasicAck { delivery_tag, .. } = frame.method().expect("a method") else {
            panic!("not an ack: {frame:?}")
        };
        confirmed = confirmed.max(delivery_tag);
    }
    assert_eq!(client.drain("q"), (0..10).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_no_queue_took_is_no_duplicate_the_next_time() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    let full = [("x-max-length", 1.into()), ("x-overflow", "reject-publish".into())];
    client.declare_exchange("x", "fanout", [DEDUPLICATES]);
    assert!(client.publish("x", "", &named("a", "unroutable")));
    client.declare_queue("q", full);
    client.bind("x", "q", "");
    assert!(client.publish("x", "", &named("a", "a")));
    assert!(!client.publish("x", "", &named("b", "refused")), "the queue is full");
    assert_eq!(client.drain("q"), ["a"]);
    assert!(client.publish("x", "", &named("b", "b")));
    assert_eq!(client.drain("q"), ["b"]);
    let [length, overflow] = [("x-max-length", 1.into()), ("x-overflow", "reject-publish".into())];
    client.declare_queue("full", [DEDUPLICATES, length, overflow]);
    assert!(client.publish("", "full", &named("a", "a")));
    assert!(!client.publish("", "full", &named("b", "refused")));
    assert_eq!(client.drain("full"), ["a"]);
    assert!(client.publish("", "full", &named("b", "b")));
    assert_eq!(client.drain("full"), ["b"]);
}

#[test]
fn a_confirmed_message_is_known_after_a_crash_and_after_a_stop() {
    let mut broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_queue("q", [DEDUPLICATES]);
    client.declare_exchange("x", "fanout", [DEDUPLICATES]);
    client.declare_queue("behind", []);
    client.bind("x", "behind", "");
    for (exchange, queue) in [("", "q"), ("x", "behind")] {
        assert!(client.publish(exchange, queue, &named("kept", "kept")));
        assert!(client.publish(exchange, queue, &named("consumed", "consumed")));
    }
    assert_eq!(client.drain("q"), ["kept", "consumed"]);
    for stop in [TestBroker::crash, TestBroker::stop] {
        drop(client);
        stop(&mut broker);
        broker.restart();
        client = Client::open(&broker);
        client.drain("q");
        client.drain("behind");
        for (exchange, queue) in [("", "q"), ("x", "behind")] {
            for id in ["kept", "consumed"] {
                assert!(client.publish(exchange, queue, &named(id, "duplicate")));
            }
            assert!(client.drain(queue).is_empty(), "{queue}");
        }
    }
    // A queue of the same name is another queue.
    client
        .0
        .send(1, &Method::QueueDelete { queue: "q", if_unused: false, if_empty: false, no_wait: false })
        .expect("sends");
    client.0.expect(1, |method| matches!(method, Method::QueueDeleteOk { .. })).expect("deleted");
    client.declare_queue("q", [DEDUPLICATES]);
    assert!(client.publish("", "q", &named("kept", "new")));
    assert_eq!(client.drain("q"), ["new"]);
}

#[test]
fn the_window_is_over_after_its_time() {
    let broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_queue("q", [DEDUPLICATES, ("x-deduplication-window", 1.into())]);
    client.declare_queue("two", [DEDUPLICATES, ("x-deduplication-size", 2.into())]);
    let taken = leveret_tests::eventually(std::time::Duration::from_secs(10), || {
        assert!(client.publish("", "q", &named("a", "a")));
        (client.drain("q").len() == 1).then_some(())
    });
    assert!(taken.is_some());
    let taken = leveret_tests::eventually(std::time::Duration::from_secs(10), || {
        assert!(client.publish("", "q", &named("a", "a")));
        (client.drain("q").len() == 1).then_some(())
    });
    assert!(taken.is_some(), "a millisecond passes");
    for id in ["1", "2", "3", "2", "3", "1"] {
        assert!(client.publish("", "two", &named(id, id)));
    }
    assert_eq!(client.drain("two"), ["1", "2", "3", "1"]);
}

/// As [`named`], to be held back for a while.
fn delayed(id: &str, delay_ms: i64, body: &str) -> Content {
    let headers = Table::from([("x-deduplication-header", id.into()), ("x-delay", Value::I64(delay_ms))]);
    content(&Properties { delivery_mode: Some(2), headers: Some(headers), ..Properties::default() }, body)
}

/// Everything that comes into a queue until this body does.
fn drain_upto(client: &mut Client, queue: &str, last: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let came = leveret_tests::eventually(std::time::Duration::from_secs(30), || {
        bodies.extend(client.drain(queue));
        bodies.iter().any(|body| body == last).then_some(())
    });
    assert!(came.is_some(), "{last} did not come, only {bodies:?}");
    bodies
}

#[test]
fn a_delayed_exchange_drops_duplicates_of_what_waits_and_of_what_went_on() {
    let mut broker = TestBroker::start();
    let mut client = Client::open(&broker);
    client.declare_exchange(
        "later",
        "x-delayed-message",
        [("x-delayed-type", "direct".into()), DEDUPLICATES],
    );
    client.declare_queue("q", []);
    client.bind("later", "q", "k");
    // The first decides when it goes on, whatever a duplicate asks for.
    assert!(client.publish("later", "k", &delayed("a", 2000, "a")));
    assert!(client.publish("later", "k", &delayed("a", 1, "again, and sooner")));
    assert!(client.publish("later", "k", &named("a", "again, and at once")));
    assert!(client.publish("later", "k", &named("b", "b")));
    assert!(client.publish("later", "k", &delayed("b", 1, "again, and later")));
    assert_eq!(drain_upto(&mut client, "q", "a"), ["b", "a"]);
    assert!(client.publish("later", "k", &delayed("a", 1, "again, after it went on")));
    assert!(client.publish("later", "k", &delayed("waits", 1500, "waits")));
    for stop in [TestBroker::crash, TestBroker::stop] {
        drop(client);
        stop(&mut broker);
        broker.restart();
        client = Client::open(&broker);
        assert!(client.publish("later", "k", &delayed("a", 1, "again, after a restart")));
        assert!(client.publish("later", "k", &delayed("waits", 1, "again, after a restart")));
    }
    assert!(client.publish("later", "k", &delayed("last", 1600, "last")));
    assert_eq!(drain_upto(&mut client, "q", "last"), ["waits", "last"]);
}
