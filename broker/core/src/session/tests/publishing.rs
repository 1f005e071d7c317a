//! `basic.publish`: content assembly, checks, returns, blocking.

use leveret_protocol::frame::FrameKind;
use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::Table;

use super::rig::*;
use crate::fault::Fault;
use crate::message::INLINE_BODY_MAX;
use crate::session::config::SessionConfig;

#[test]
fn publishes_of_one_read_are_flushed_together() {
    let mut client = Client::on_channel();
    let one = publish_bytes(1, "a", &Properties::default(), b"one");
    let two = publish_bytes(1, "b", &Properties::default(), b"two");
    client.send_bytes(&[one, two].concat());
    assert_eq!(client.asked(), [r#"publish 1 "" "a" one"#, r#"publish 1 "" "b" two"#, "flush"]);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn publishes_reach_their_queues_before_the_next_request() {
    let mut client = Client::on_channel();
    let publish = publish_bytes(1, "q", &Properties::default(), b"x");
    let get = method_bytes(1, Method::BasicGet { queue: "q", no_ack: true });
    client.send_bytes(&[publish, get].concat());
    assert_eq!(client.asked(), [r#"publish 1 "" "q" x"#, "flush", "get 1 q no_ack"]);
}

#[test]
fn bodies_of_every_size_arrive_whole_however_they_are_cut() {
    let sizes = [0, 1, 100, 4088, 4089, 8176, INLINE_BODY_MAX, INLINE_BODY_MAX + 1, 200_000];
    for size in sizes {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let properties = Properties { delivery_mode: Some(2), ..Properties::default() };
        let bytes = publish_bytes(1, "key", &properties, &body);
        for chunk in [7, 4096, usize::MAX] {
            let mut client = Client::on_channel();
            let mut buffer = Vec::new();
            for part in bytes.chunks(chunk.min(bytes.len())) {
                buffer.extend_from_slice(part);
                let used = client.connection.handle_bytes(0, &buffer, &mut client.host);
                buffer.drain(..used);
            }
            let message = client.host.published.pop().unwrap();
            assert_eq!((message.exchange(), message.routing_key()), ("", "key"));
            assert_eq!(message.body(), body, "{size} bytes in chunks of {chunk}");
            assert!(message.is_persistent());
            assert_eq!(message.large_body().is_some(), size > INLINE_BODY_MAX);
        }
    }
}

#[test]
fn content_of_several_channels_may_interleave() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    let publish = publish_method("k", false, false);
    let mut bytes = Vec::new();
    for channel in [1, 2] {
        bytes.extend(method_bytes(channel, publish));
    }
    for channel in [1, 2] {
        bytes.extend(header_bytes(channel, 60, 2, &Properties::default()));
    }
    for (channel, part) in [(1, b"a"), (2, b"c"), (2, b"d"), (1, b"b")] {
        bytes.extend(frame_bytes(FrameKind::Body, channel, part));
    }
    client.send_bytes(&bytes);
    assert_eq!(client.asked(), [r#"publish 2 "" "k" cd"#, r#"publish 1 "" "k" ab"#, "flush"]);
}

#[test]
fn empty_body_frames_are_allowed() {
    let mut client = Client::on_channel();
    let mut bytes = method_bytes(1, publish_method("k", false, false));
    bytes.extend(header_bytes(1, 60, 1, &Properties::default()));
    for part in [&b""[..], b"a"] {
        bytes.extend(frame_bytes(FrameKind::Body, 1, part));
    }
    client.send_bytes(&bytes);
    assert_eq!(client.asked()[0], r#"publish 1 "" "k" a"#);
}

/// Sends `frames` after a publish method and expects the connection to be closed.
#[track_caller]
fn content_refused(frames: &[Vec<u8>], code: u16, text: &str, ids: (u16, u16)) {
    let mut client = Client::on_channel();
    let method = method_bytes(1, publish_method("k", false, false));
    client.send_bytes(&[&method[..], &frames.concat()].concat());
    client.assert_closed(0, code, text, ids);
    assert!(client.host.published.is_empty());
}

#[test]
fn content_that_is_not_as_it_should_be_closes_the_connection() {
    let header = |size| header_bytes(1, 60, size, &Properties::default());
    let body = |bytes: &[u8]| frame_bytes(FrameKind::Body, 1, bytes);
    let publish = (60, 40);
    content_refused(
        &[body(b"x")],
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
        publish,
    );
    content_refused(
        &[header_bytes(1, 50, 1, &Properties::default())],
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
        publish,
    );
    content_refused(
        &[method_bytes(1, Method::TxSelect {})],
        505,
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead",
        publish,
    );
    content_refused(
        &[header(2), body(b"a"), method_bytes(1, Method::TxSelect {})],
        505,
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
        publish,
    );
    content_refused(
        &[header(2), header(2)],
        505,
        "UNEXPECTED_FRAME - expected content body, got non content body frame instead",
        publish,
    );
    content_refused(
        &[header(1), body(b"ab")],
        501,
        "FRAME_ERROR - content body frame exceeds remaining content size",
        publish,
    );
    let bad_properties = b"\x00\x3C\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x80\x00\x05ab";
    content_refused(
        &[frame_bytes(FrameKind::Header, 1, bad_properties)],
        502,
        "SYNTAX_ERROR - field reaches past the end",
        publish,
    );
}

#[test]
fn a_publish_the_host_refuses_closes_the_channel_after_what_came_before() {
    let mut client = Client::on_channel();
    client.publish(1, "q", "first");
    client.host.refuse.insert("publish", Fault::not_found("no exchange 'x' in vhost '/'"));
    client.asked();
    client.publish(1, "q", "second");
    client.assert_closed(1, 404, "NOT_FOUND - no exchange 'x' in vhost '/'", (60, 40));
    assert_eq!(
        client.asked(),
        [r#"publish 1 "" "q" second"#, "faulted 1 NOT_FOUND", "flush", "channel_closed 1"]
    );
}

#[test]
fn immediate_is_not_implemented() {
    let mut client = Client::on_channel();
    let publish = publish_method("k", false, true);
    client.send_bytes(&content_bytes(1, publish, &Properties::default(), b""));
    client.assert_closed(0, 540, "NOT_IMPLEMENTED - immediate=true", (60, 40));
}

#[test]
fn a_message_that_is_too_large_is_refused_before_its_body_arrives() {
    let config = SessionConfig { max_message_bytes: 10, ..config() };
    let mut client = Client::open_with(capabilities(), config);
    client.open_channel(1);
    client.publish(1, "k", "0123456789");
    assert_eq!(client.received(), [""; 0]);
    let bytes = publish_bytes(1, "k", &Properties::default(), b"0123456789a");
    client.send_bytes(&bytes);
    client.assert_closed(
        1,
        406,
        "PRECONDITION_FAILED - message size 11 is larger than configured max size 10",
        (60, 40),
    );
}

#[test]
fn expirations_are_checked() {
    let mut client = Client::on_channel();
    let properties = Properties { expiration: Some("60000".into()), ..Properties::default() };
    client.send_bytes(&publish_bytes(1, "k", &properties, b""));
    assert_eq!(client.received(), [""; 0]);
    let properties = Properties { expiration: Some("abc".into()), ..Properties::default() };
    client.send_bytes(&publish_bytes(1, "k", &properties, b""));
    client.assert_closed(1, 406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer", (60, 40));
}

#[test]
fn the_user_id_has_to_be_the_users_own() {
    let mut client = Client::on_channel();
    let of = |user: &str| Properties { user_id: Some(user.into()), ..Properties::default() };
    client.send_bytes(&publish_bytes(1, "k", &of("guest"), b""));
    client.host.may_impersonate = true;
    client.send_bytes(&publish_bytes(1, "k", &of("somebody"), b""));
    assert_eq!(client.received(), [""; 0]);
    client.host.may_impersonate = false;
    client.send_bytes(&publish_bytes(1, "k", &of("somebody"), b""));
    client.assert_closed(
        1,
        406,
        "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
        (60, 40),
    );
}

#[test]
fn mandatory_messages_that_reach_no_queue_come_back_whole() {
    let mut client = Client::on_channel();
    client.host.unroutable.insert("nowhere".into());
    let properties = Properties { message_id: Some("m1".into()), ..Properties::default() };
    for (mandatory, routing_key) in [(true, "somewhere"), (false, "nowhere"), (true, "nowhere")] {
        let publish = publish_method(routing_key, mandatory, false);
        client.send_bytes(&content_bytes(1, publish, &properties, b"body"));
    }
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    let sent = client.connection.poll_transmit().to_vec();
    assert!(sent.windows(raw.len()).any(|window| window == raw), "the properties come back");
    assert_eq!(
        client.received(),
        [
            r#"1 BasicReturn { reply_code: 312, reply_text: "NO_ROUTE", exchange: "", routing_key: "nowhere" }"#,
            "1 header 4 bytes",
            r#"1 body "body""#,
        ]
    );
}

#[test]
fn a_return_of_an_empty_message_has_no_body_frame() {
    let mut client = Client::on_channel();
    client.host.unroutable.insert("nowhere".into());
    let publish = publish_method("nowhere", true, false);
    client.send_bytes(&content_bytes(1, publish, &Properties::default(), b""));
    assert_eq!(client.received()[1..], ["1 header 0 bytes"]);
}

#[test]
fn only_connections_that_publish_during_an_alarm_are_blocked() {
    let mut client = Client::on_channel();
    client.publish(1, "k", "before");
    assert!(client.connection.has_published());
    client.connection.blocked(Some("low on memory"));
    assert!(!client.connection.is_blocked());
    assert_eq!(client.received(), [""; 0]);

    client.publish(1, "k", "during");
    client.publish(1, "k", "already in the socket");
    assert!(client.connection.is_blocked());
    assert_eq!(client.received(), [r#"0 ConnectionBlocked { reason: "low on memory" }"#]);

    client.connection.blocked(Some("low on memory & disk"));
    assert_eq!(client.received(), [""; 0]);
    client.connection.blocked(None);
    assert!(!client.connection.is_blocked());
    assert_eq!(client.received(), ["0 ConnectionUnblocked"]);
    client.publish(1, "k", "after");
    assert!(!client.connection.is_blocked());
}

#[test]
fn clients_without_the_capability_are_blocked_silently() {
    let mut client = Client::open_with(Table::new(), config());
    client.open_channel(1);
    client.connection.blocked(Some("low on disk"));
    client.publish(1, "k", "x");
    assert!(client.connection.is_blocked());
    client.connection.blocked(None);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn silence_of_a_blocked_connection_does_not_end_it() {
    let mut client = Client::on_channel();
    client.connection.blocked(Some("low on disk"));
    client.publish(1, "k", "x");
    for look in 1..10 {
        client.connection.handle_timeout(look * 60_000);
        assert_eq!(client.connection.state(), crate::session::state::State::Running);
    }
}
