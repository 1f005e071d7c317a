//! The `leveret` program itself: start, stop, restart, and what it refuses.

use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use leveret_protocol::method::Method;
use leveret_tests::{Content, RawClient, TestBroker, broker_binary, eventually};

const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
const TRANSIENT: &[u8] = &[0x10, 0x00, 1];

fn content(properties: &[u8], body: &str) -> Content {
    Content { properties: properties.to_vec(), body: body.as_bytes().to_vec() }
}

/// Gets one message: redelivered or not, body, messages behind it.
fn get(client: &mut RawClient, queue: &str) -> Option<(bool, String, u32)> {
    client.send(1, &Method::BasicGet { queue, no_ack: false }).expect("sends");
    let frame = client.read().expect("an answer");
    match frame.method().expect("a method") {
        Method::BasicGetOk { redelivered, message_count, .. } => {
            let body = client.content().expect("its content").body;
            Some((redelivered, String::from_utf8(body).expect("text"), message_count))
        }
        Method::BasicGetEmpty {} => None,
        other => panic!("unexpected answer to basic.get: {other:?}"),
    }
}

fn publish_confirmed(client: &mut RawClient, queue: &str, messages: &[Content]) {
    client.select_confirms().expect("confirm mode");
    for message in messages {
        client.publish("", queue, message).expect("publishes");
    }
    let mut confirmed = 0;
    while confirmed < messages.len() as u64 {
        let frame = client.read().expect("a confirm");
        match frame.method().expect("a method") {
            Method::BasicAck { delivery_tag, multiple } => {
                assert!(multiple || delivery_tag == confirmed + 1, "confirms of one queue come in order");
                confirmed = delivery_tag;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(broker_binary()).args(arguments).output().expect("the binary can be started")
}

#[test]
fn persistent_messages_survive_a_clean_restart_and_transient_ones_do_not() {
    let mut broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("kept", true).expect("declares");
    client.declare_queue("gone", false).expect("declares");
    let messages = [
        content(PERSISTENT, "a"),
        content(TRANSIENT, "lost"),
        content(PERSISTENT, "b"),
        content(PERSISTENT, "c"),
    ];
    publish_confirmed(&mut client, "kept", &messages);
    assert_eq!(get(&mut client, "kept"), Some((false, "a".into(), 3)));
    broker.stop();
    broker.restart();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(client.declare_queue("kept", true).expect("still there"), 3);
    // It was handed out and not acknowledged; the others never left.
    assert_eq!(get(&mut client, "kept"), Some((true, "a".into(), 2)));
    assert_eq!(get(&mut client, "kept"), Some((false, "b".into(), 1)));
    assert_eq!(get(&mut client, "kept"), Some((false, "c".into(), 0)));
    assert_eq!(client.declare_queue("gone", false).expect("made anew"), 0);
}

#[test]
fn messages_never_handed_out_are_not_redelivered_after_a_crash() {
    let mut broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    publish_confirmed(&mut client, "q", &[content(PERSISTENT, "a"), content(PERSISTENT, "b")]);
    broker.crash();
    broker.restart();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(get(&mut client, "q"), Some((false, "a".into(), 1)));
    broker.crash();
    broker.restart();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    assert_eq!(get(&mut client, "q"), Some((true, "a".into(), 1)));
}

#[test]
fn a_stop_closes_connections_with_320() {
    let mut broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    broker.signal("TERM");
    let (code, text) = client.expect_connection_close().expect("a closing handshake");
    assert_eq!(code, 320);
    assert_eq!(text, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'");
    client.send(0, &Method::ConnectionCloseOk {}).expect("answers");
    assert_eq!(broker.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn a_client_that_does_not_answer_does_not_hold_up_a_stop() {
    let mut broker = TestBroker::start();
    let _silent = RawClient::open(broker.amqp()).expect("connects");
    let _unspoken = TcpStream::connect(broker.amqp()).expect("connects");
    broker.signal("INT");
    let status = broker.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "within five seconds");
}

#[test]
fn a_second_instance_on_the_same_data_is_refused() {
    let broker = TestBroker::start();
    let data_dir = broker.data_dir();
    let data_dir = data_dir.to_str().expect("a plain path");
    let listen = ["--amqp-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let second = run(&[&["--data-dir", data_dir], &listen[..]].concat());
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(data_dir) && said.contains("in use by another leveret"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let broker = TestBroker::start();
    let directory = tempfile::tempdir().expect("a directory");
    let data_dir = directory.path().to_str().expect("a plain path");
    let second = run(&["--data-dir", data_dir, "--amqp-listen", &broker.amqp().to_string()]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&format!("cannot listen on {}", broker.amqp())), "{said}");
}

#[test]
fn a_wrong_key_is_named_with_file_and_rule() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leveret.toml");
    std::fs::write(&file, "[amqp]\nframe_max = 100\n").expect("writes");
    let refused = run(&["check-config", "--config", file.to_str().expect("a plain path")]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("leveret.toml") && said.contains("amqp.frame_max") && said.contains("4096"),
        "{said}"
    );
}

#[test]
fn publishers_are_blocked_while_disk_is_short_and_consumers_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leveret.toml");
    // More than any disk has.
    std::fs::write(&file, "[disk]\nfree_limit_bytes = 9000000000000000000\n").expect("writes");
    let broker = TestBroker::start_with(&["--config", file.to_str().expect("a plain path")]);
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    eventually(Duration::from_secs(10), || broker.log().contains("low on disk").then_some(()))
        .expect("the alarm rises");
    client.publish("", "q", &content(PERSISTENT, "a")).expect("the socket takes it");
    let blocked = client.read().expect("told of the alarm");
    assert_eq!(blocked.method().expect("a method"), Method::ConnectionBlocked { reason: "low on disk" });
    let mut consumer = RawClient::open(broker.amqp()).expect("others connect");
    consumer.declare_queue("other", false).expect("and are served");
}
