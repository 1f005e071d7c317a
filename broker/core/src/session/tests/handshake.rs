//! From the protocol header to `connection.open-ok`.

use leveret_protocol::frame::{FrameKind, PROTOCOL_HEADER, decode_frame};
use leveret_protocol::method::Method;
use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{Table, Value};

use super::rig::*;
use crate::fault::Fault;
use crate::session::state::{AuthRefused, Reason, State};

#[test]
fn a_client_connects() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    let start = client.received().remove(0);
    assert!(start.starts_with("0 ConnectionStart { version_major: 0, version_minor: 9,"), "{start}");
    client.start_ok(&capabilities(), "PLAIN");
    assert_eq!(client.asked(), ["client_properties 1", r#"authenticate PLAIN "\0guest\0guest""#]);
    assert_eq!(client.received(), [""; 0]);
    client.connection.authenticated(Ok(()), &mut client.host);
    assert_eq!(
        client.received(),
        ["0 ConnectionTune { channel_max: 2047, frame_max: 131072, heartbeat: 60 }"]
    );
    client.send(0, Method::ConnectionTuneOk { channel_max: 100, frame_max: 4096, heartbeat: 10 });
    client.send(0, Method::ConnectionOpen { virtual_host: "/" });
    assert_eq!(client.asked(), ["tuned 100 4096 10", "open /"]);
    assert_eq!(client.received(), ["0 ConnectionOpenOk"]);
    assert_eq!(client.connection.state(), State::Running);
}

#[test]
fn the_server_says_what_it_is_and_can_do() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    let bytes = client.connection.poll_transmit().to_vec();
    let (frame, _) = decode_frame(&bytes, 8192).unwrap().unwrap();
    let Method::ConnectionStart { server_properties, mechanisms, locales, .. } =
        Method::decode(frame.payload).unwrap()
    else {
        panic!("not connection.start");
    };
    assert_eq!((mechanisms, locales), (&b"PLAIN AMQPLAIN"[..], &b"en_US"[..]));
    let properties = server_properties.to_table().unwrap();
    for (name, text) in [("product", "Leveret"), ("version", "0.1.0"), ("cluster_name", "leveret@test")] {
        assert_eq!(properties.get(name).and_then(Value::as_str), Some(text));
    }
    for name in ["platform", "copyright", "information"] {
        assert!(properties.get(name).and_then(Value::as_str).is_some(), "{name}");
    }
    let capabilities = properties.get("capabilities").and_then(Value::as_table).unwrap();
    for name in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        assert_eq!(capabilities.get(name), Some(&Value::Bool(true)), "{name}");
    }
}

#[test]
fn other_protocols_are_answered_with_our_header() {
    fn check(header: &[u8]) {
        let mut client = Client::new();
        client.send_bytes(header);
        assert_eq!(client.connection.poll_transmit(), PROTOCOL_HEADER, "{header:?}");
        assert_eq!(client.connection.state(), State::Closed);
        assert_eq!(client.connection.reason(), Some(&Reason::Protocol));
    }
    check(b"AMQP\x00\x00\x0A\x00");
    check(b"AMQP\x03\x01\x00\x00");
    check(b"GET / HTTP/1.1\r\n\r\n");
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC");
}

#[test]
fn version_0_9_is_treated_as_0_9_1() {
    let mut client = Client::new();
    client.send_bytes(b"AMQP\x01\x01\x00\x09");
    assert!(client.received()[0].starts_with("0 ConnectionStart"));
}

#[test]
fn nothing_is_read_while_a_login_is_checked() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.start_ok(&capabilities(), "PLAIN");
    let more = method_bytes(0, Method::ConnectionTuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 });
    assert_eq!(client.connection.handle_bytes(0, &more, &mut client.host), 0);
    client.connection.authenticated(Ok(()), &mut client.host);
    client.asked();
    client.send_bytes(&more);
    assert_eq!(client.asked(), ["tuned 1 4096 0"]);
}

#[test]
fn a_wrong_password_is_told_to_clients_that_understand_it() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.start_ok(&capabilities(), "PLAIN");
    client.received();
    client.connection.authenticated(Err(AuthRefused::Credentials), &mut client.host);
    client.assert_closed(
        0,
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
        (0, 0),
    );
    client.send(0, Method::ConnectionCloseOk {});
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn a_wrong_password_closes_the_socket_of_other_clients_after_a_pause() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.start_ok(&Table::new(), "PLAIN");
    client.received();
    client.connection.authenticated(Err(AuthRefused::Credentials), &mut client.host);
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.connection.state(), State::Closing);
    assert_eq!(client.connection.poll_timeout(), Some(3000));
    client.connection.handle_timeout(3000);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.connection.reason(), Some(&Reason::LoginRefused));
}

#[test]
fn a_malformed_login_is_answered_with_its_fault() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.start_ok(&capabilities(), "PLAIN");
    client.received();
    let fault = Fault::connection(ReplyCode::SyntaxError, "PLAIN response is malformed");
    client.connection.authenticated(Err(AuthRefused::Fault(fault)), &mut client.host);
    client.assert_closed(0, 502, "SYNTAX_ERROR - PLAIN response is malformed", (0, 0));
}

#[test]
fn an_unknown_mechanism_is_refused() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.received();
    client.start_ok(&capabilities(), "KERBEROS");
    client.assert_closed(0, 503, "COMMAND_INVALID - unknown authentication mechanism 'KERBEROS'", (10, 11));
}

#[test]
fn tuned_limits_have_to_stay_within_what_was_offered() {
    fn check(channel_max: u16, frame_max: u32, refused: Option<&str>) {
        let mut client = Client::new();
        client.send_bytes(&PROTOCOL_HEADER);
        client.start_ok(&capabilities(), "PLAIN");
        client.connection.authenticated(Ok(()), &mut client.host);
        client.received();
        client.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 0 });
        match refused {
            None => assert_eq!(client.received(), [""; 0]),
            Some(text) => client.assert_closed(0, 530, &format!("NOT_ALLOWED - negotiated {text}"), (10, 30)),
        }
    }
    check(2047, 131_072, None);
    check(1, 4096, None);
    check(2047, 4095, Some("frame_max = 4095 is lower than the minimum allowed value (4096)"));
    check(2047, 131_073, Some("frame_max = 131073 is higher than the maximum allowed value (131072)"));
    check(2047, 0, Some("frame_max = 0 is higher than the maximum allowed value (131072)"));
    check(2048, 4096, Some("channel_max = 2048 is higher than the maximum allowed value (2047)"));
    check(0, 4096, Some("channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"));
}

#[test]
fn a_server_without_limits_accepts_none() {
    let config = crate::session::config::SessionConfig { frame_max: 0, channel_max: 0, ..config() };
    let client = Client::open_with(capabilities(), config);
    assert_eq!(client.connection.state(), State::Running);
}

#[test]
fn frames_are_small_until_the_limits_are_tuned() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.received();
    client.send_bytes(b"\x01\x00\x00\x00\x00\x20\x01");
    client.assert_closed(0, 501, "FRAME_ERROR - frame is larger than the negotiated frame_max", (0, 0));
}

#[test]
fn a_vhost_that_cannot_be_opened_closes_the_connection() {
    let mut client = Client::new();
    client.host.refuse.insert("open", Fault::not_allowed("vhost foo not found"));
    client.send_bytes(&PROTOCOL_HEADER);
    client.start_ok(&capabilities(), "PLAIN");
    client.connection.authenticated(Ok(()), &mut client.host);
    client.send(0, Method::ConnectionTuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 });
    client.received();
    client.send(0, Method::ConnectionOpen { virtual_host: "foo" });
    client.assert_closed(0, 530, "NOT_ALLOWED - vhost foo not found", (10, 40));
}

#[test]
fn methods_out_of_turn_are_refused() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.received();
    client.send(0, Method::ConnectionOpen { virtual_host: "/" });
    client.assert_closed(0, 504, "CHANNEL_ERROR - unexpected method in connection state starting", (10, 40));

    let mut client = Client::open();
    client.send(0, Method::ChannelOpen {});
    client.assert_closed(0, 504, "CHANNEL_ERROR - unexpected method in connection state running", (20, 10));
}

#[test]
fn channels_cannot_be_used_before_the_connection_is_open() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.received();
    client.send(1, Method::ChannelOpen {});
    client.assert_closed(
        0,
        505,
        "UNEXPECTED_FRAME - method frame on a channel before the connection is open",
        (0, 0),
    );
}

#[test]
fn a_client_may_give_up_during_the_handshake() {
    let mut client = Client::new();
    client.send_bytes(&PROTOCOL_HEADER);
    client.received();
    let close = Method::ConnectionClose { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 };
    client.send(0, close);
    assert_eq!(client.received(), ["0 ConnectionCloseOk"]);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.asked(), [""; 0]);
}

#[test]
fn a_slow_handshake_times_out() {
    let mut client = Client::new();
    assert_eq!(client.connection.poll_timeout(), Some(10_000));
    client.connection.handle_timeout(9_999);
    assert_eq!(client.connection.state(), State::Handshake);
    client.send_bytes(&PROTOCOL_HEADER);
    client.connection.handle_timeout(10_000);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.connection.reason(), Some(&Reason::HandshakeTimeout));
}

#[test]
fn the_secret_can_be_updated() {
    let mut client = Client::open();
    client.send(0, Method::ConnectionUpdateSecret { new_secret: b"token", reason: "expires" });
    assert_eq!(client.asked(), ["update_secret token expires"]);
    assert_eq!(client.received(), ["0 ConnectionUpdateSecretOk"]);

    let refused = Fault::not_allowed("New secret was refused by one of the backends");
    client.host.refuse.insert("update_secret", refused);
    client.send(0, Method::ConnectionUpdateSecret { new_secret: b"token", reason: "expires" });
    client.assert_closed(0, 530, "NOT_ALLOWED - New secret was refused by one of the backends", (10, 70));
}

#[test]
fn heartbeats_are_sent_and_expected() {
    let mut client = Client::open();
    assert_eq!(client.connection.poll_timeout(), Some(30_000));
    client.connection.handle_timeout(30_000);
    assert_eq!(client.received(), ["heartbeat"]);
    client.connection.note_sent(30_000);
    client.now_ms = 59_000;
    client.send_bytes(&frame_bytes(FrameKind::Heartbeat, 0, b""));
    for look in [60_000, 120_000] {
        client.connection.handle_timeout(look);
        assert_eq!(client.connection.state(), State::Running);
    }
    client.connection.handle_timeout(180_000);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.connection.reason(), Some(&Reason::HeartbeatTimeout));
    client.connection.disconnected(&mut client.host);
    assert_eq!(client.asked(), ["closed"]);
}

#[test]
fn no_heartbeat_is_added_to_output_that_is_not_even_sent() {
    let mut client = Client::open();
    client.send(1, Method::ChannelOpen {});
    client.connection.handle_timeout(30_000);
    assert_eq!(client.received(), ["1 ChannelOpenOk"]);
}
