//! Policies, limits, acknowledgement timeouts and dead-letter queues made on demand, as clients meet them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Content, Login, RawClient, TestBroker, eventually};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);
const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
/// `guest:guest`, as basic authentication writes it.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

/// Asks the admin API for a change that has to succeed.
#[track_caller]
fn change(broker: &TestBroker, method: &str, path: &str, body: &serde_json::Value) {
    let mut socket = TcpStream::connect(broker.admin()).expect("the admin listener is open");
    socket.set_read_timeout(Some(LIMIT)).expect("a socket has time-outs");
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Basic {GUEST}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer in text");
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
}

fn put_policy(broker: &TestBroker, name: &str, pattern: &str, definition: &serde_json::Value) {
    let policy = json!({"pattern": pattern, "apply-to": "queues", "definition": definition});
    change(broker, "PUT", &format!("/api/policies/%2F/{name}"), &policy);
}

fn open(broker: &TestBroker) -> RawClient {
    RawClient::open(broker.amqp()).expect("connects")
}

fn send_declare(client: &mut RawClient, queue: &str, arguments: Table) {
    let mut entries = Vec::new();
    arguments.encode_entries(&mut entries);
    let declare = Method::QueueDeclare {
        queue,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::validate(&entries).expect("well-formed arguments"),
    };
    client.send(1, &declare).expect("sends");
}

fn declare<const N: usize>(client: &mut RawClient, queue: &str, arguments: [(&str, Value); N]) {
    send_declare(client, queue, Table::from(arguments));
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declared");
}

fn publish(client: &mut RawClient, queue: &str, body: &str) {
    let content = Content { properties: PERSISTENT.to_vec(), body: body.as_bytes().to_vec() };
    client.publish("", queue, &content).expect("publishes");
}

/// Takes a message that is not settled: its tag and body.
fn get(client: &mut RawClient, queue: &str) -> Option<(u64, String)> {
    client.send(1, &Method::BasicGet { queue, no_ack: false }).expect("sends");
    let frame = client.read().expect("an answer");
    match frame.method().expect("a method") {
        Method::BasicGetOk { delivery_tag, .. } => {
            Some((delivery_tag, String::from_utf8(client.content().expect("content").body).expect("text")))
        }
        Method::BasicGetEmpty {} => None,
        other => panic!("unexpected answer to basic.get: {other:?}"),
    }
}

fn get_soon(client: &mut RawClient, queue: &str) -> (u64, String) {
    eventually(LIMIT, || get(client, queue)).expect("a message comes")
}

fn reject(client: &mut RawClient, delivery_tag: u64) {
    client.send(1, &Method::BasicReject { delivery_tag, requeue: false }).expect("sends");
}

/// What a connection that logs in and opens `/` is answered: nothing, or why not.
fn refusal(broker: &TestBroker) -> Option<(u16, String)> {
    let login = Login::default();
    let mut client = RawClient::connect(broker.amqp()).expect("connects");
    client.log_in(&login).expect("logs in");
    client.expect(0, |method| matches!(method, Method::ConnectionTune { .. })).expect("tunes");
    client.tune(&login).expect("tunes");
    client.send(0, &Method::ConnectionOpen { virtual_host: "/" }).expect("sends");
    let frame = client.read().expect("an answer");
    match frame.method().expect("a method") {
        Method::ConnectionOpenOk {} => None,
        Method::ConnectionClose { reply_code, reply_text, .. } => Some((reply_code, reply_text.to_owned())),
        other => panic!("unexpected answer to connection.open: {other:?}"),
    }
}

fn timed_out(timeout_ms: u64) -> (u16, String) {
    let text = format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {timeout_ms} ms. \
         This timeout value can be configured, see consumers doc guide to learn more"
    );
    (406, text)
}

#[test]
fn a_message_held_for_too_long_closes_its_channel_and_goes_to_another() {
    let broker = TestBroker::start();
    let (mut slow, mut quick) = (open(&broker), open(&broker));
    declare(&mut slow, "q", [("x-consumer-timeout", 300.into())]);
    publish(&mut slow, "q", "held");
    let began = Instant::now();
    slow.consume("q", 1, false).expect("consumes");
    slow.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    slow.content().expect("its content");
    assert_eq!(slow.expect_channel_close().expect("a close"), timed_out(300));
    assert!(began.elapsed() >= Duration::from_millis(300), "not before its time");
    assert_eq!(get_soon(&mut quick, "q").1, "held");
    // Gets are held to the same.
    assert_eq!(quick.expect_channel_close().expect("a close"), timed_out(300));
    slow.open_channel(1).expect("the connection goes on");
    assert_eq!(slow.declare_queue("other", true).expect("the channel is open"), 0);
}

#[test]
fn a_timeout_by_policy_is_for_messages_that_are_held_already() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "q", []);
    publish(&mut client, "q", "held");
    get_soon(&mut client, "q");
    put_policy(&broker, "p", "^q$", &json!({"consumer-timeout": 200}));
    assert_eq!(client.expect_channel_close().expect("a close"), timed_out(200));
}

#[test]
fn a_vhost_and_a_user_have_as_many_connections_as_they_may() {
    let broker = TestBroker::start();
    let check = |path: &str, text: &str| {
        assert_eq!(refusal(&broker), None);
        eventually(LIMIT, || refusal(&broker).is_none().then_some(()))
            .expect("the earlier connection is gone");
        change(&broker, "PUT", path, &json!({"value": 1}));
        let first = eventually(LIMIT, || RawClient::open(broker.amqp()).ok()).expect("one may connect");
        assert_eq!(refusal(&broker), Some((530, format!("NOT_ALLOWED - {text}"))));
        drop(first);
        eventually(LIMIT, || refusal(&broker).is_none().then_some(())).expect("there is room again");
        change(&broker, "DELETE", path, &json!({}));
    };
    check(
        "/api/vhost-limits/%2F/max-connections",
        "access to vhost '/' refused for user 'guest': connection limit (1) is reached",
    );
    check(
        "/api/user-limits/guest/max-connections",
        "connection refused for user 'guest': user connection limit (1) is reached",
    );
}

#[test]
fn a_user_has_as_many_channels_as_they_may_over_all_connections() {
    let broker = TestBroker::start();
    change(&broker, "PUT", "/api/user-limits/guest/max-channels", &json!({"value": 2}));
    let (first, mut second) = (open(&broker), open(&broker));
    second.send(2, &Method::ChannelOpen {}).expect("sends");
    let text = "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (2)";
    assert_eq!(second.expect_connection_close().expect("a close"), (530, text.to_owned()));
    drop((first, second));
    eventually(LIMIT, || {
        let mut third = RawClient::open(broker.amqp()).ok()?;
        third.open_channel(2).ok()
    })
    .expect("channels that are gone make room");
}

#[test]
fn a_vhost_has_as_many_queues_as_it_may() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "a", []);
    change(&broker, "PUT", "/api/vhost-limits/%2F/max-queues", &json!({"value": 1}));
    declare(&mut client, "a", []);
    send_declare(&mut client, "b", Table::new());
    let text = "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached";
    assert_eq!(client.expect_channel_close().expect("a close"), (406, text.to_owned()));
}

#[test]
fn dead_letters_of_a_queue_that_keeps_its_own_survive_a_crash() {
    let mut broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "q", [("x-dead-letter-auto", true.into()), ("x-max-length", 2.into())]);
    client.select_confirms().expect("confirm mode");
    for body in ["a", "b", "c"] {
        publish(&mut client, "q", body);
        client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("confirmed");
    }
    assert_eq!(get_soon(&mut client, "q.dlq").1, "a");
    let (tag, body) = get_soon(&mut client, "q");
    assert_eq!(body, "b");
    reject(&mut client, tag);
    // Declared again, which waits for the disk, after the transfer was given to the store.
    get_soon(&mut client, "q.dlq");
    client.declare_queue("later", true).expect("declared durably");
    broker.crash();
    broker.restart();
    let mut client = open(&broker);
    assert_eq!([get_soon(&mut client, "q.dlq").1, get_soon(&mut client, "q.dlq").1], ["a", "b"]);
    assert_eq!(get_soon(&mut client, "q").1, "c");
}

#[test]
fn whoever_may_not_make_the_dead_letter_queue_may_not_ask_for_it() {
    let broker = TestBroker::start();
    change(&broker, "PUT", "/api/users/anna", &json!({"password": "pw", "tags": ""}));
    let permission = json!({"configure": "^q$", "write": ".*", "read": ".*"});
    change(&broker, "PUT", "/api/permissions/%2F/anna", &permission);
    let login = Login { response: b"\0anna\0pw", ..Login::default() };
    let mut client = RawClient::open_with(broker.amqp(), &login).expect("connects");
    send_declare(&mut client, "q", Table::from([("x-dead-letter-auto", true.into())]));
    let text = "ACCESS_REFUSED - configure access to queue 'q.dlq' in vhost '/' refused for user 'anna'";
    assert_eq!(client.expect_channel_close().expect("a close"), (403, text.to_owned()));
}

#[test]
fn a_delivery_limit_and_a_dead_letter_queue_come_by_policy() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "q", []);
    put_policy(&broker, "p", "^q$", &json!({"delivery-limit": 1, "dead-letter-auto": true}));
    publish(&mut client, "q", "poison");
    for _ in 0..2 {
        let (delivery_tag, _) = get_soon(&mut client, "q");
        client.send(1, &Method::BasicReject { delivery_tag, requeue: true }).expect("sends");
    }
    assert_eq!(get_soon(&mut client, "q.dlq").1, "poison");
    assert_eq!(get(&mut client, "q"), None);
}

#[test]
fn a_time_to_live_by_policy_is_for_messages_to_come() {
    let broker = TestBroker::start();
    let mut client = open(&broker);
    declare(&mut client, "q", []);
    declare(&mut client, "dead", []);
    publish(&mut client, "q", "before");
    // Answered when what came before it is in the queue.
    declare(&mut client, "q", []);
    let definition = json!({"message-ttl": 1, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"});
    put_policy(&broker, "p", "^q$", &definition);
    publish(&mut client, "q", "after");
    let (tag, body) = get_soon(&mut client, "q");
    assert_eq!(body, "before");
    client.send(1, &Method::BasicAck { delivery_tag: tag, multiple: false }).expect("sends");
    assert_eq!(get_soon(&mut client, "dead").1, "after");
}

/// Publishes a message with a name and waits for the confirm.
fn publish_named(client: &mut RawClient, exchange: &str, queue: &str, id: &str) {
    let headers = Some(Table::from([("x-deduplication-header", id.into())]));
    let mut properties = Vec::new();
    Properties { headers, delivery_mode: Some(2), ..Properties::default() }.encode(&mut properties);
    let content = Content { properties, body: id.as_bytes().to_vec() };
    client.publish(exchange, queue, &content).expect("publishes");
    client.expect(1, |method| matches!(method, Method::BasicAck { .. })).expect("a confirm");
}

#[test]
fn deduplication_comes_and_goes_with_a_policy() {
    let mut broker = TestBroker::start();
    let mut client = open(&broker);
    client.select_confirms().expect("confirm mode");
    declare(&mut client, "once", []);
    let policy =
        |definition: serde_json::Value| json!({"pattern": "^(once|amq.direct)$", "definition": definition});
    let bind = Method::QueueBind {
        queue: "behind",
        exchange: "amq.direct",
        routing_key: "behind",
        no_wait: false,
        arguments: RawTable::empty(),
    };
    declare(&mut client, "behind", []);
    client.send(1, &bind).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueBindOk {})).expect("bound");
    let ways = [("", "once"), ("amq.direct", "behind")];
    let twice = |client: &mut RawClient, id: &str| -> Vec<u32> {
        ways.map(|(exchange, queue)| {
            let before = client.declare_queue(queue, true).expect("it is there");
            publish_named(client, exchange, queue, id);
            publish_named(client, exchange, queue, id);
            client.declare_queue(queue, true).expect("it is there") - before
        })
        .to_vec()
    };
    assert_eq!(twice(&mut client, "a"), [2, 2], "nothing deduplicates yet");
    change(&broker, "PUT", "/api/policies/%2F/once", &policy(json!({"message-deduplication": true})));
    assert_eq!(twice(&mut client, "a"), [1, 1], "what came before is not known");
    assert_eq!(twice(&mut client, "a"), [0, 0]);
    // What it has seen outlives a crash, though no declaration asks for it.
    drop(client);
    broker.crash();
    broker.restart();
    let mut client = open(&broker);
    client.select_confirms().expect("confirm mode");
    assert_eq!(twice(&mut client, "a"), [0, 0]);
    let only_one = json!({"message-deduplication": true, "deduplication-size": 1});
    change(&broker, "PUT", "/api/policies/%2F/once", &policy(only_one));
    assert_eq!(twice(&mut client, "b"), [1, 1]);
    assert_eq!(twice(&mut client, "a"), [1, 1], "the window has room for one");
    change(&broker, "DELETE", "/api/policies/%2F/once", &json!({}));
    assert_eq!(twice(&mut client, "a"), [2, 2]);
}
