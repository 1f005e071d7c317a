//! The ways in which a connection ends.

use leveret_protocol::frame::FrameKind;
use leveret_protocol::method::Method;
use leveret_protocol::reply_code::ReplyCode;

use super::rig::*;
use crate::session::host::Ticket;
use crate::session::state::{Reason, State};

fn close() -> Method<'static> {
    Method::ConnectionClose { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 }
}

#[test]
fn a_client_closes_its_connection() {
    let mut client = Client::on_channel();
    client.open_channel(7);
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [1]);
    client.received();
    client.send(0, close());
    assert_eq!(client.asked(), ["channel_closed 1", "channel_closed 7", "closed"]);
    assert_eq!(client.received(), ["0 ConnectionCloseOk"]);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.connection.reason(), Some(&Reason::Client { code: 200, text: "bye".into() }));
    client.send(1, queue_declare("q", false));
    client.connection.disconnected(&mut client.host);
    assert_eq!((client.received(), client.asked()), (vec![], vec![]));
}

#[test]
fn publishes_before_a_close_are_kept() {
    let mut client = Client::on_channel();
    let publish = publish_bytes(1, "q", &Default::default(), b"x");
    client.send_bytes(&[publish, method_bytes(0, close())].concat());
    assert_eq!(client.asked(), [r#"publish 1 "" "q" x"#, "flush", "channel_closed 1", "closed"]);
}

#[test]
fn the_server_closes_a_connection() {
    let mut client = Client::on_channel();
    let text = "broker forced connection closure with reason 'shutdown'";
    client.connection.close(ReplyCode::ConnectionForced, text, &mut client.host);
    client.assert_closed(0, 320, &format!("CONNECTION_FORCED - {text}"), (0, 0));
    assert_eq!(client.asked(), ["faulted 0 CONNECTION_FORCED", "channel_closed 1", "closed"]);
    assert_eq!(client.connection.state(), State::Closing);

    client.send(1, queue_declare("q", false));
    client.publish(1, "q", "ignored");
    client.send(0, Method::ConnectionUpdateSecret { new_secret: b"", reason: "" });
    client.send_bytes(&frame_bytes(FrameKind::Method, 0, b"rubbish"));
    client.send_bytes(&frame_bytes(FrameKind::Heartbeat, 0, b""));
    assert_eq!((client.received(), client.asked()), (vec![], vec![]));
    client.send(0, Method::ConnectionCloseOk {});
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn both_sides_may_close_at_the_same_time() {
    let mut client = Client::open();
    client.connection.close(ReplyCode::ConnectionForced, "x", &mut client.host);
    client.received();
    client.send(0, close());
    assert_eq!(client.received(), ["0 ConnectionCloseOk"]);
    client.send(0, Method::ConnectionCloseOk {});
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn a_close_that_is_not_answered_ends_after_a_while() {
    let mut client = Client::open();
    client.connection.close(ReplyCode::ConnectionForced, "x", &mut client.host);
    assert_eq!(client.connection.poll_timeout(), Some(30_000));
    client.connection.handle_timeout(30_000);
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn a_connection_that_is_not_open_is_closed_without_a_word() {
    let mut client = Client::new();
    client.connection.close(ReplyCode::ConnectionForced, "x", &mut client.host);
    assert_eq!(client.connection.state(), State::Closed);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn input_that_is_not_frames_ends_all_reading() {
    let mut client = Client::on_channel();
    let mut bytes = b"\x01\x00\x01\x00\x00\x00\x00\x00".to_vec();
    bytes.extend(method_bytes(1, queue_declare("q", false)));
    client.send_bytes(&bytes);
    client.assert_closed(0, 501, "FRAME_ERROR - frame does not end with 0xCE", (0, 0));
    // Nothing it says will be understood, so it is not waited for as long as others are.
    assert_eq!(client.connection.poll_timeout(), Some(1000));
    client.send(0, Method::ConnectionCloseOk {});
    assert_eq!(client.connection.state(), State::Closing, "not even a close-ok means anything now");
    assert_eq!(client.asked(), ["faulted 0 FRAME_ERROR", "channel_closed 1", "closed"]);
}

#[test]
fn a_lost_socket_gives_back_what_the_connection_holds() {
    let mut client = Client::on_channel();
    client.connection.disconnected(&mut client.host);
    assert_eq!(client.asked(), ["channel_closed 1", "closed"]);
    assert_eq!(client.connection.reason(), Some(&Reason::Disconnected));
    client.connection.disconnected(&mut client.host);
    assert_eq!(client.asked(), [""; 0]);
}

#[test]
fn channels_closed_before_are_not_closed_again() {
    let mut client = Client::on_channel();
    client.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    client.asked();
    client.send(0, close());
    assert_eq!(client.asked(), ["closed"]);
}

#[test]
fn close_ok_stays_behind_replies_that_wait_for_the_disk() {
    let mut client = Client::on_channel();
    client.host.after = Ticket(1);
    client.send(1, queue_declare("q", true));
    client.send(0, close());
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.connection.awaited(), Some(Ticket(1)));
    client.connection.durable_advanced(Ticket(1));
    assert_eq!(client.received().last().unwrap(), "0 ConnectionCloseOk");
}
