//! What queues do beyond keeping messages: further routing keys, direct replies, dead letters, time-to-live.

use std::time::{Duration, Instant};

use leveret_protocol::frame::ContentHeader;
use leveret_protocol::method::Method;
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, RawClient, TestBroker, eventually};

fn content(properties: &Properties, body: &str) -> Content {
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    Content { properties: raw, body: body.as_bytes().to_vec() }
}

fn plain(body: &str) -> Content {
    content(&Properties::default(), body)
}

fn with_headers(headers: Table, body: &str) -> Content {
    content(&Properties { headers: Some(headers), ..Properties::default() }, body)
}

fn keys(keys: &[&str]) -> Value {
    Value::Array(keys.iter().map(|key| Value::from(*key)).collect())
}

/// Declares a queue with arguments; the answer is on its way.
fn send_declare(client: &mut RawClient, queue: &str, passive: bool, durable: bool, arguments: Table) {
    let mut entries = Vec::new();
    arguments.encode_entries(&mut entries);
    let declare = Method::QueueDeclare {
        queue,
        passive,
        durable,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::validate(&entries).expect("well-formed arguments"),
    };
    client.send(1, &declare).expect("sends");
}

fn declare_with<const N: usize>(client: &mut RawClient, queue: &str, arguments: [(&str, Value); N]) {
    send_declare(client, queue, false, true, Table::from(arguments));
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
}

/// Publishes an empty message that has to reach a queue.
fn publish_mandatory(client: &mut RawClient, routing_key: &str) {
    let mut frames = Vec::new();
    Method::BasicPublish { exchange: "", routing_key, mandatory: true, immediate: false }
        .encode(1, &mut frames);
    ContentHeader { class_id: 60, body_size: 0, properties: &[0, 0] }.encode(1, &mut frames);
    client.write(&frames).expect("sends");
}

/// Whether there is no queue of this name; unlike a declaration, this is no use of it.
fn is_unroutable(broker: &TestBroker, queue: &str) -> bool {
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    publish_mandatory(&mut client, queue);
    client.send(1, &Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false }).expect("sends");
    let frame = client.read().expect("a return, or the next answer");
    matches!(frame.method().expect("a method"), Method::BasicReturn { .. })
}

/// Ready messages and consumers.
fn counts(client: &mut RawClient, queue: &str) -> (u32, u32) {
    send_declare(client, queue, true, false, Table::new());
    let frame = client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("there");
    let Method::QueueDeclareOk { message_count, consumer_count, .. } = frame.method().expect("a method")
    else {
        unreachable!()
    };
    (message_count, consumer_count)
}

/// A message that was taken with `basic.get`.
#[derive(Debug, Clone, PartialEq)]
struct Got {
    tag: u64,
    exchange: String,
    routing_key: String,
    properties: Properties,
    body: String,
}

impl Got {
    fn headers(&self) -> Table {
        self.properties.headers.clone().unwrap_or_default()
    }

    /// Queue, reason and count of each death.
    fn deaths(&self) -> Vec<(String, String, i64)> {
        let Some(Value::Array(deaths)) = self.headers().get("x-death").cloned() else { return Vec::new() };
        let deaths = deaths.iter().map(|death| {
            let Value::Table(death) = death else { panic!("a death is a table: {death:?}") };
            let text = |name| death.get(name).and_then(Value::as_str).expect("text").to_owned();
            (text("queue"), text("reason"), death.get("count").and_then(Value::as_i64).expect("a count"))
        });
        deaths.collect()
    }
}

fn read_content(client: &mut RawClient, tag: u64, exchange: &str, routing_key: &str) -> Got {
    let content = client.content().expect("its content");
    let view = PropertiesView::validate(&content.properties).expect("properties that any client can read");
    Got {
        tag,
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        properties: view.to_properties().expect("text"),
        body: String::from_utf8(content.body).expect("text"),
    }
}

fn get(client: &mut RawClient, queue: &str) -> Option<Got> {
    client.send(1, &Method::BasicGet { queue, no_ack: false }).expect("sends");
    let frame = client.read().expect("an answer");
    match frame.method().expect("a method") {
        Method::BasicGetOk { delivery_tag, exchange, routing_key, .. } => {
            Some(read_content(client, delivery_tag, exchange, routing_key))
        }
        Method::BasicGetEmpty {} => None,
        other => panic!("unexpected answer to basic.get: {other:?}"),
    }
}

fn get_soon(client: &mut RawClient, queue: &str) -> Got {
    eventually(Duration::from_secs(10), || get(client, queue)).expect("a message comes")
}

fn reject(client: &mut RawClient, got: &Got) {
    client.send(1, &Method::BasicReject { delivery_tag: got.tag, requeue: false }).expect("sends");
}

fn delivered(client: &mut RawClient) -> Got {
    let frame = client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    let Method::BasicDeliver { delivery_tag, exchange, routing_key, .. } = frame.method().expect("a method")
    else {
        unreachable!()
    };
    read_content(client, delivery_tag, exchange, routing_key)
}

// ---- sender-selected distribution ------------------------------------------------------------------------------

#[test]
fn bcc_routes_and_is_not_delivered_while_cc_is() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    for queue in ["to", "cc", "bcc"] {
        client.declare_queue(queue, false).expect("declares");
    }
    let headers = Table::from([("CC", keys(&["cc"])), ("BCC", keys(&["bcc"])), ("own", Value::I32(1))]);
    client.publish("", "to", &with_headers(headers, "x")).expect("publishes");
    let expected = Table::from([("CC", keys(&["cc"])), ("own", Value::I32(1))]);
    for queue in ["to", "cc", "bcc"] {
        let got = get(&mut client, queue).expect("one copy each");
        assert_eq!((got.headers(), got.body.as_str()), (expected.clone(), "x"), "{queue}");
    }
}

#[test]
fn cc_and_bcc_must_be_arrays() {
    let broker = TestBroker::start();
    for (name, value, kind) in [("CC", Value::from("a"), "longstr"), ("BCC", Value::I32(1), "signedint")] {
        let mut client = RawClient::open(broker.amqp()).expect("connects");
        client.publish("", "q", &with_headers(Table::from([(name, value)]), "x")).expect("publishes");
        let text = format!(
            "PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}"
        );
        assert_eq!(client.expect_channel_close().expect("closes"), (406, text));
    }
}

// ---- direct reply-to -------------------------------------------------------------------------------------------

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn request(body: &str) -> Content {
    content(&Properties { reply_to: Some(REPLY_TO.into()), ..Properties::default() }, body)
}

#[test]
fn a_reply_goes_straight_to_the_channel_that_asked() {
    let broker = TestBroker::start();
    let mut asker = RawClient::open(broker.amqp()).expect("connects");
    let mut server = RawClient::open(broker.amqp()).expect("connects");
    server.declare_queue("requests", false).expect("declares");
    asker.consume(REPLY_TO, 0, true).expect("consumes");
    asker.publish("", "requests", &request("ask")).expect("publishes");
    let asked = get_soon(&mut server, "requests");
    let address = asked.properties.reply_to.expect("an address");
    assert!(address.starts_with("amq.rabbitmq.reply-to.") && address.len() > 40, "{address}");
    assert_eq!(counts(&mut server, &address), (0, 1));
    server.select_confirms().expect("confirm mode");
    for body in ["answer", "another"] {
        server.publish("", &address, &plain(body)).expect("publishes");
        server.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
        let reply = delivered(&mut asker);
        assert_eq!((reply.exchange.as_str(), &reply.routing_key, reply.body.as_str()), ("", &address, body));
    }
    asker.send(1, &Method::BasicCancel { consumer_tag: "c", no_wait: false }).expect("sends");
    asker.expect(1, |method| matches!(method, Method::BasicCancelOk { .. })).expect("cancelled");
    // Nobody is there any more: a mandatory reply comes back.
    publish_mandatory(&mut server, &address);
    server
        .expect(1, |method| matches!(method, Method::BasicReturn { reply_code: 312, .. }))
        .expect("returned");
    server.content().expect("with its content");
    server.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    send_declare(&mut server, &address, true, false, Table::new());
    let text = format!("NOT_FOUND - no queue '{address}' in vhost '/'");
    assert_eq!(server.expect_channel_close().expect("closes"), (404, text));
}

#[test]
fn a_reply_address_dies_with_its_connection() {
    let broker = TestBroker::start();
    let mut asker = RawClient::open(broker.amqp()).expect("connects");
    let mut server = RawClient::open(broker.amqp()).expect("connects");
    server.declare_queue("requests", false).expect("declares");
    asker.consume(REPLY_TO, 0, true).expect("consumes");
    asker.publish("", "requests", &request("ask")).expect("publishes");
    let address = get_soon(&mut server, "requests").properties.reply_to.expect("an address");
    asker
        .send(1, &Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 })
        .expect("sends");
    asker.expect(1, |method| matches!(method, Method::ChannelCloseOk {})).expect("closed");
    send_declare(&mut server, &address, false, false, Table::new());
    assert_eq!(server.expect_channel_close().expect("closes").0, 404);
}

#[test]
fn direct_reply_to_is_refused_where_it_cannot_work() {
    let broker = TestBroker::start();
    let check = |act: &dyn Fn(&mut RawClient), code: u16, text: &str| {
        let mut client = RawClient::open(broker.amqp()).expect("connects");
        act(&mut client);
        assert_eq!(client.expect_channel_close().expect("closes"), (code, text.to_owned()));
    };
    let consume = |client: &mut RawClient, no_ack| {
        let consume = Method::BasicConsume {
            queue: REPLY_TO,
            consumer_tag: "",
            no_local: false,
            no_ack,
            exclusive: false,
            no_wait: true,
            arguments: RawTable::empty(),
        };
        client.send(1, &consume).expect("sends");
    };
    check(&|client| consume(client, false), 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge");
    check(
        &|client| {
            consume(client, true);
            consume(client, true);
        },
        406,
        "PRECONDITION_FAILED - reply consumer already set",
    );
    check(
        &|client| client.publish("", "q", &request("ask")).expect("publishes"),
        406,
        "PRECONDITION_FAILED - fast reply consumer does not exist",
    );
    check(
        &|client| {
            let bind = Method::QueueBind {
                queue: REPLY_TO,
                exchange: "amq.direct",
                routing_key: "k",
                no_wait: false,
                arguments: RawTable::empty(),
            };
            client.send(1, &bind).expect("sends");
        },
        403,
        "ACCESS_REFUSED - operation not permitted on a direct reply-to address",
    );
}

// ---- dead letters ----------------------------------------------------------------------------------------------

fn dead_letters_to(queue: &str) -> [(&'static str, Value); 2] {
    [("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", queue.into())]
}

#[test]
fn a_rejected_message_goes_on_with_its_story() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "dead", []);
    declare_with(&mut client, "work", dead_letters_to("dead"));
    let own = Table::from([("own", Value::I32(1)), ("CC", keys(&["elsewhere"]))]);
    client.publish("", "work", &with_headers(own, "x")).expect("publishes");
    let got = get_soon(&mut client, "work");
    reject(&mut client, &got);
    let dead = get_soon(&mut client, "dead");
    assert_eq!((dead.exchange.as_str(), dead.routing_key.as_str(), dead.body.as_str()), ("", "dead", "x"));
    let headers = dead.headers();
    assert_eq!((headers.get("own"), headers.get("CC")), (Some(&Value::I32(1)), None));
    let Some(Value::Array(deaths)) = headers.get("x-death") else { panic!("{headers:?}") };
    let Value::Table(death) = &deaths[0] else { panic!("{deaths:?}") };
    let names: Vec<&str> = death.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["count", "reason", "queue", "time", "exchange", "routing-keys"]);
    assert_eq!(death.get("routing-keys"), Some(&keys(&["work", "elsewhere"])));
    assert!(matches!(death.get("time"), Some(Value::Timestamp(seconds)) if *seconds > 1_500_000_000));
    assert_eq!(headers.get("x-first-death-reason"), Some(&"rejected".into()));
    assert_eq!(headers.get("x-last-death-queue"), Some(&"work".into()));
}

#[test]
fn a_message_that_comes_round_by_rejection_counts_up() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "again", dead_letters_to("again"));
    client.publish("", "again", &plain("x")).expect("publishes");
    for _ in 0..3 {
        let got = get_soon(&mut client, "again");
        reject(&mut client, &got);
    }
    let got = get_soon(&mut client, "again");
    assert_eq!(got.deaths(), [("again".into(), "rejected".into(), 3)]);
    // Published anew by a client, it begins a new life: its headers are no more than headers.
    let copy = content(&got.properties, "copy");
    client.publish("", "again", &copy).expect("publishes");
    let got = get_soon(&mut client, "again");
    assert_eq!(got.deaths(), [("again".into(), "rejected".into(), 3)]);
    reject(&mut client, &got);
    assert_eq!(get_soon(&mut client, "again").deaths(), [("again".into(), "rejected".into(), 1)]);
}

#[test]
fn a_message_that_would_expire_in_a_circle_is_dropped() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let [exchange, key] = dead_letters_to("second");
    declare_with(&mut client, "first", [exchange, key, ("x-message-ttl", Value::I32(20))]);
    let [exchange, key] = dead_letters_to("first");
    declare_with(&mut client, "second", [exchange, key, ("x-message-ttl", Value::I32(20))]);
    client.select_confirms().expect("confirm mode");
    client.publish("", "first", &plain("x")).expect("publishes");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    let both = |client: &mut RawClient| counts(client, "first").0 + counts(client, "second").0;
    eventually(Duration::from_secs(10), || (both(&mut client) == 0).then_some(())).expect("it is gone");
    assert_eq!((get(&mut client, "first"), get(&mut client, "second")), (None, None));
}

#[test]
fn a_full_queue_sends_on_what_it_drops_or_refuses() {
    let broker = TestBroker::start();
    for (overflow, dies, stays) in [("drop-head", "1", "2"), ("reject-publish-dlx", "2", "1")] {
        let mut client = RawClient::open(broker.amqp()).expect("connects");
        let (queue, dead) = (format!("full {overflow}"), format!("dead {overflow}"));
        declare_with(&mut client, &dead, []);
        let [exchange, key] = dead_letters_to(&dead);
        let limit = ("x-max-length", Value::I32(1));
        declare_with(&mut client, &queue, [exchange, key, limit, ("x-overflow", overflow.into())]);
        client.publish("", &queue, &plain("1")).expect("publishes");
        client.publish("", &queue, &plain("2")).expect("publishes");
        let got = get_soon(&mut client, &dead);
        assert_eq!((got.body.as_str(), got.deaths()), (dies, vec![(queue.clone(), "maxlen".into(), 1)]));
        assert_eq!(get_soon(&mut client, &queue).body, stays);
    }
}

#[test]
fn a_long_chain_of_full_queues_passes_messages_down() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let name = |at: usize| format!("chain {at}");
    for at in 0..300 {
        let [exchange, key] = dead_letters_to(&name(at + 1));
        declare_with(&mut client, &name(at), [exchange, key, ("x-max-length", Value::I32(1))]);
    }
    declare_with(&mut client, &name(300), []);
    for at in 0..301 {
        client.publish("", &name(0), &plain(&at.to_string())).expect("publishes");
    }
    // Each new message pushes all before it one queue further.
    let first = get_soon(&mut client, &name(300));
    assert_eq!((first.body.as_str(), first.deaths().len()), ("0", 300));
    for at in 0..300 {
        assert_eq!(get_soon(&mut client, &name(at)).body, (300 - at).to_string());
    }
}

#[test]
fn without_its_dead_letter_exchange_a_message_is_dropped() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "q", [("x-dead-letter-exchange", "nowhere".into())]);
    client.publish("", "q", &plain("x")).expect("publishes");
    let got = get_soon(&mut client, "q");
    reject(&mut client, &got);
    assert_eq!(counts(&mut client, "q"), (0, 0));
    assert!(!broker.log().contains("ERROR"), "{}", broker.log());
}

#[test]
fn dead_letters_survive_a_crash_in_one_queue_with_their_story() {
    let mut broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "dead", []);
    declare_with(&mut client, "work", dead_letters_to("dead"));
    client.select_confirms().expect("confirm mode");
    let persistent = content(&Properties { delivery_mode: Some(2), ..Properties::default() }, "x");
    let confirmed = |client: &mut RawClient, queue: &str| {
        client.publish("", queue, &persistent).expect("publishes");
        client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    };
    for _ in 0..10 {
        confirmed(&mut client, "work");
    }
    for _ in 0..10 {
        let got = get_soon(&mut client, "work");
        reject(&mut client, &got);
    }
    // Whatever was rejected before this is on disk with it, and settled at the latest with what follows.
    confirmed(&mut client, "dead");
    confirmed(&mut client, "work");
    confirmed(&mut client, "work");
    broker.crash();
    broker.restart();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(counts(&mut client, "work").0, 2);
    assert_eq!(counts(&mut client, "dead").0, 11);
    let got = get_soon(&mut client, "dead");
    assert_eq!(got.deaths(), [("work".into(), "rejected".into(), 1)]);
    client.send(1, &Method::BasicReject { delivery_tag: got.tag, requeue: true }).expect("sends");
}

// ---- time-to-live ----------------------------------------------------------------------------------------------

#[test]
fn messages_expire_in_a_queue_that_nobody_touches() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "dead", []);
    let [exchange, key] = dead_letters_to("dead");
    declare_with(&mut client, "timed", [exchange, key, ("x-message-ttl", Value::I32(60_000))]);
    let expiring =
        |ms: &str| content(&Properties { expiration: Some(ms.into()), ..Properties::default() }, ms);
    client.consume("dead", 0, true).expect("consumes");
    let began = Instant::now();
    for ms in ["50", "120"] {
        client.publish("", "timed", &expiring(ms)).expect("publishes");
    }
    for ms in ["50", "120"] {
        let letter = delivered(&mut client);
        let took_ms = began.elapsed().as_millis();
        assert_eq!((letter.body.as_str(), letter.properties.expiration.as_deref()), (ms, None));
        assert!(took_ms >= ms.parse().expect("a number"), "{ms} expired after {took_ms} ms");
        let Some(Value::Array(deaths)) = letter.headers().get("x-death").cloned() else {
            panic!("{letter:?}")
        };
        let Value::Table(death) = &deaths[0] else { panic!("{deaths:?}") };
        assert_eq!(death.iter().next(), Some(("original-expiration", &ms.into())));
        assert_eq!(death.get("reason"), Some(&"expired".into()));
    }
}

#[test]
fn messages_that_expired_while_the_broker_was_down_die_at_its_start() {
    let mut broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    declare_with(&mut client, "dead", []);
    let [exchange, key] = dead_letters_to("dead");
    declare_with(&mut client, "timed", [exchange, key, ("x-message-ttl", Value::I32(200))]);
    client.select_confirms().expect("confirm mode");
    let persistent = content(&Properties { delivery_mode: Some(2), ..Properties::default() }, "x");
    client.publish("", "timed", &persistent).expect("publishes");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    broker.crash();
    broker.restart();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(get_soon(&mut client, "dead").deaths(), [("timed".into(), "expired".into(), 1)]);
}

#[test]
fn a_queue_expires_when_nobody_uses_it() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let expires = ("x-expires", Value::I32(300));
    declare_with(&mut client, "used", [expires.clone()]);
    declare_with(&mut client, "consumed", [expires.clone()]);
    client.consume("consumed", 0, true).expect("consumes");
    let began = Instant::now();
    declare_with(&mut client, "idle", [expires]);
    eventually(Duration::from_secs(10), || {
        get(&mut client, "used");
        is_unroutable(&broker, "idle").then_some(())
    })
    .expect("the idle queue expires");
    // The broker counts whole milliseconds, so it may be a part of one early.
    assert!(began.elapsed() >= Duration::from_millis(299), "not before its time");
    assert_eq!(counts(&mut client, "consumed"), (0, 1));
    assert_eq!(counts(&mut client, "used"), (0, 0));
    assert!(!broker.log().contains("ERROR"), "{}", broker.log());
}
