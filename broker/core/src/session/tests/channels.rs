//! Opening, using and closing channels.

use leveret_protocol::frame::FrameKind;
use leveret_protocol::method::Method;
use leveret_protocol::table::{RawTable, Table, Value};

use super::rig::*;
use crate::fault::Fault;
use crate::session::config::SessionConfig;
use crate::session::host::Ticket;
use crate::session::state::State;

fn close(reply_code: u16) -> Method<'static> {
    Method::ChannelClose { reply_code, reply_text: "", class_id: 0, method_id: 0 }
}

#[test]
fn channel_numbers_can_be_used_again_at_once() {
    let mut client = Client::open();
    client.send_all(3, &[Method::ChannelOpen {}, close(200), Method::ChannelOpen {}]);
    assert_eq!(client.received(), ["3 ChannelOpenOk", "3 ChannelCloseOk", "3 ChannelOpenOk"]);
    assert_eq!(client.asked(), ["channel_opened 3", "channel_closed 3", "channel_opened 3"]);
}

#[test]
fn a_second_open_is_refused() {
    let mut client = Client::on_channel();
    client.send(1, Method::ChannelOpen {});
    client.assert_closed(0, 504, "CHANNEL_ERROR - second 'channel.open' seen", (20, 10));
}

#[test]
fn a_channel_has_to_be_opened_first() {
    let mut client = Client::open();
    client.send(1, queue_declare("q", false));
    client.assert_closed(0, 504, "CHANNEL_ERROR - expected 'channel.open'", (50, 10));
}

#[test]
fn the_number_of_channels_is_limited() {
    let mut client = Client::open_with(capabilities(), SessionConfig { channel_max: 2, ..config() });
    client.open_channel(1);
    client.open_channel(700);
    client.send(3, Method::ChannelOpen {});
    client.assert_closed(
        0,
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
        (0, 0),
    );
}

#[test]
fn a_channel_the_host_refuses_closes_the_connection() {
    let mut client = Client::open();
    client.host.refuse.insert("channel_opened", Fault::not_allowed("too many"));
    client.send(1, Method::ChannelOpen {});
    client.assert_closed(0, 530, "NOT_ALLOWED - too many", (20, 10));
}

#[test]
fn a_fault_closes_the_channel_and_everything_else_on_it_is_ignored() {
    let mut client = Client::on_channel();
    client.host.refuse.insert("queue_purge", Fault::not_found("no queue 'q' in vhost '/'"));
    client.send(1, Method::QueuePurge { queue: "q", no_wait: false });
    client.assert_closed(1, 404, "NOT_FOUND - no queue 'q' in vhost '/'", (50, 30));
    assert_eq!(client.asked(), ["queue_purge q", "faulted 1 NOT_FOUND", "channel_closed 1"]);

    client.send(1, queue_declare("q", false));
    client.publish(1, "q", "ignored");
    client.send(1, Method::BasicAck { delivery_tag: 9, multiple: false });
    client.send_bytes(&frame_bytes(FrameKind::Method, 1, b"rubbish"));
    assert_eq!((client.received(), client.asked()), (vec![], vec![]));

    client.send(1, Method::ChannelCloseOk {});
    client.open_channel(1);
    assert_eq!(client.connection.state(), State::Running);
}

#[test]
fn both_sides_may_close_a_channel_at_the_same_time() {
    let mut client = Client::on_channel();
    client.host.refuse.insert("queue_purge", Fault::not_found("x"));
    client.send_all(1, &[Method::QueuePurge { queue: "q", no_wait: false }, close(200)]);
    assert_eq!(client.received()[1..], ["1 ChannelCloseOk"]);
    client.send(1, Method::ChannelCloseOk {});
    client.open_channel(1);
}

#[test]
fn other_channels_live_on_when_one_is_closed() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    client.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    client.assert_closed(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1", (60, 80));
    client.send(2, queue_declare("q", false));
    assert_eq!(
        client.received(),
        [r#"2 QueueDeclareOk { queue: "q", message_count: 3, consumer_count: 1 }"#]
    );
}

#[test]
fn flow_can_only_be_active() {
    let mut client = Client::on_channel();
    client.send(1, Method::ChannelFlow { active: true });
    assert_eq!(client.received(), ["1 ChannelFlowOk { active: true }"]);
    client.send(1, Method::ChannelFlow { active: false });
    client.assert_closed(0, 540, "NOT_IMPLEMENTED - active=false", (20, 20));
}

#[test]
fn access_requests_are_granted() {
    let mut client = Client::on_channel();
    let realm = "/data";
    let request = Method::AccessRequest {
        realm,
        exclusive: false,
        passive: true,
        active: true,
        write: true,
        read: true,
    };
    client.send(1, request);
    assert_eq!(client.received(), ["1 AccessRequestOk { ticket: 1 }"]);
}

#[test]
fn methods_that_only_servers_send_are_refused() {
    for (method, ids) in [
        (Method::QueueDeclareOk { queue: "", message_count: 0, consumer_count: 0 }, (50, 11)),
        (Method::BasicGetEmpty {}, (60, 72)),
        (Method::ConnectionCloseOk {}, (10, 51)),
    ] {
        let mut client = Client::on_channel();
        client.send(1, method);
        client.assert_closed(0, 503, "COMMAND_INVALID - unimplemented method", ids);
    }
}

#[test]
fn unknown_and_malformed_methods_close_the_connection() {
    let mut client = Client::on_channel();
    client.send_bytes(&frame_bytes(FrameKind::Method, 1, b"\x00\x3C\x00\xC8"));
    client.assert_closed(0, 503, "COMMAND_INVALID - unknown method", (60, 200));

    let mut client = Client::on_channel();
    client.send_bytes(&frame_bytes(FrameKind::Method, 1, b"\x00\x32\x00\x0A\x00\x00\x05ab"));
    client.assert_closed(0, 502, "SYNTAX_ERROR - field reaches past the end", (50, 10));
}

#[test]
fn exchanges_are_declared_and_deleted() {
    let mut client = Client::on_channel();
    let declare = |no_wait| Method::ExchangeDeclare {
        exchange: "e\r\n1",
        kind: "topic",
        passive: false,
        durable: true,
        auto_delete: true,
        internal: true,
        no_wait,
        arguments: RawTable::empty(),
    };
    client.send(1, declare(false));
    client.send(1, declare(true));
    client.send(1, Method::ExchangeDelete { exchange: "e1", if_unused: true, no_wait: false });
    client.send(1, Method::ExchangeDelete { exchange: "e1", if_unused: false, no_wait: true });
    assert_eq!(client.received(), ["1 ExchangeDeclareOk", "1 ExchangeDeleteOk"]);
    assert_eq!(
        client.asked(),
        [
            "exchange_declare e1 topic durable auto_delete internal",
            "exchange_declare e1 topic durable auto_delete internal",
            "exchange_delete e1 if_unused",
            "exchange_delete e1",
        ]
    );
}

#[test]
fn bindings_lead_to_queues_and_exchanges() {
    let mut client = Client::on_channel();
    let mut entries = Vec::new();
    Table::from([("x-match", Value::from("all"))]).encode_entries(&mut entries);
    let arguments = RawTable::validate(&entries).unwrap();
    client.send(
        1,
        Method::QueueBind { queue: "q", exchange: "e", routing_key: "k", no_wait: false, arguments },
    );
    client.send(1, Method::QueueUnbind { queue: "q", exchange: "e", routing_key: "k", arguments });
    let (destination, source, routing_key, arguments) = ("d", "s", "k", RawTable::empty());
    for no_wait in [false, true] {
        client.send(1, Method::ExchangeBind { destination, source, routing_key, no_wait, arguments });
        client.send(1, Method::ExchangeUnbind { destination, source, routing_key, no_wait, arguments });
    }
    assert_eq!(
        client.received(),
        ["1 QueueBindOk", "1 QueueUnbindOk", "1 ExchangeBindOk", "1 ExchangeUnbindOk"]
    );
    let asked = client.asked();
    assert_eq!(asked[0], r#"bind e -> Queue("q") "k" {"x-match": LongString([97, 108, 108])}"#);
    assert_eq!(asked[1].split(' ').next(), Some("unbind"));
    assert_eq!(asked[2], r#"bind s -> Exchange("d") "k" {}"#);
    assert_eq!(asked.len(), 6);
}

#[test]
fn queues_are_declared_purged_and_deleted() {
    let mut client = Client::on_channel();
    client.send(1, queue_declare("a\nb", true));
    client.send(1, Method::QueuePurge { queue: "ab", no_wait: false });
    client.send(1, Method::QueuePurge { queue: "ab", no_wait: true });
    client.send(1, Method::QueueDelete { queue: "ab", if_unused: true, if_empty: true, no_wait: false });
    client.send(1, Method::QueueDelete { queue: "ab", if_unused: false, if_empty: false, no_wait: true });
    assert_eq!(
        client.received(),
        [
            r#"1 QueueDeclareOk { queue: "ab", message_count: 3, consumer_count: 1 }"#,
            "1 QueuePurgeOk { message_count: 5 }",
            "1 QueueDeleteOk { message_count: 7 }",
        ]
    );
    assert_eq!(
        client.asked(),
        [
            "queue_declare ab durable",
            "queue_purge ab",
            "queue_purge ab",
            "queue_delete ab if_unused if_empty",
            "queue_delete ab",
        ]
    );
}

#[test]
fn an_empty_queue_name_means_the_one_declared_last_on_the_channel() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    client.send(1, queue_declare("", false));
    assert_eq!(
        client.received(),
        [r#"1 QueueDeclareOk { queue: "amq.gen-1", message_count: 3, consumer_count: 1 }"#]
    );
    client.asked();
    let bind = |routing_key| Method::QueueBind {
        queue: "",
        exchange: "e",
        routing_key,
        no_wait: true,
        arguments: RawTable::empty(),
    };
    client.send_all(
        1,
        &[
            bind(""),
            bind("k"),
            Method::QueueUnbind { queue: "", exchange: "e", routing_key: "", arguments: RawTable::empty() },
            Method::QueuePurge { queue: "", no_wait: true },
            Method::BasicGet { queue: "", no_ack: true },
            consume("", "c", true),
            Method::QueueDelete { queue: "", if_unused: false, if_empty: false, no_wait: true },
        ],
    );
    assert_eq!(
        client.asked(),
        [
            r#"bind e -> Queue("amq.gen-1") "amq.gen-1" {}"#,
            r#"bind e -> Queue("amq.gen-1") "k" {}"#,
            r#"unbind e -> Queue("amq.gen-1") "amq.gen-1" {}"#,
            "queue_purge amq.gen-1",
            "get 1 amq.gen-1 no_ack",
            "consume 1 amq.gen-1 c prefetch=0 no_ack",
            "queue_delete amq.gen-1",
        ]
    );
    client.received();
    client.send(2, Method::QueuePurge { queue: "", no_wait: false });
    client.assert_closed(2, 404, "NOT_FOUND - no previously declared queue", (50, 30));
}

#[test]
fn a_named_queue_keeps_its_empty_routing_key() {
    let mut client = Client::on_channel();
    client.send(1, queue_declare("last", false));
    let (exchange, arguments) = ("e", RawTable::empty());
    client.send(1, Method::QueueBind { queue: "q", exchange, routing_key: "", no_wait: true, arguments });
    assert_eq!(client.asked()[1], r#"bind e -> Queue("q") "" {}"#);
}

#[test]
fn replies_to_durable_changes_wait_for_the_disk() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    client.host.after = Ticket(4);
    client.send(1, queue_declare("transient", false));
    client.send(1, queue_declare("durable", true));
    client.send(2, Method::ChannelFlow { active: true });
    assert_eq!(client.received().len(), 1);
    assert_eq!(client.connection.awaited(), Some(Ticket(4)));
    client.connection.durable_advanced(Ticket(3));
    assert_eq!(client.received(), [""; 0]);
    client.connection.durable_advanced(Ticket(4));
    assert_eq!(client.connection.awaited(), None);
    let received = client.received();
    assert!(received[0].contains("durable"), "{received:?}");
    assert_eq!(received[1], "2 ChannelFlowOk { active: true }");
}

#[test]
fn content_frames_have_to_follow_a_publish() {
    let mut client = Client::on_channel();
    client.send_bytes(&frame_bytes(FrameKind::Body, 1, b"x"));
    client.assert_closed(
        0,
        505,
        "UNEXPECTED_FRAME - expected method frame, got non method frame instead",
        (0, 0),
    );
    let mut client = Client::open();
    client.send_bytes(&frame_bytes(FrameKind::Body, 0, b"x"));
    client.assert_closed(0, 505, "UNEXPECTED_FRAME - content frame where none is expected", (0, 0));
}

#[test]
fn heartbeats_belong_to_channel_0() {
    let mut client = Client::on_channel();
    client.send_bytes(&frame_bytes(FrameKind::Heartbeat, 1, b""));
    client.assert_closed(0, 505, "UNEXPECTED_FRAME - heartbeat frame on a channel other than 0", (0, 0));
}

#[test]
fn channels_show_what_they_hold() {
    let mut client = Client::on_channel();
    client.send(1, Method::ConfirmSelect { no_wait: true });
    client.send(1, Method::BasicQos { prefetch_size: 0, prefetch_count: 5, global: false });
    client.received();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..4);
    client.host.after = Ticket(1);
    client.publish(1, "q", "x");
    let info = client.connection.channels().next().unwrap();
    assert_eq!((info.number, info.consumer_count, info.prefetch_count), (1, 1, 5));
    assert_eq!((info.messages_unacknowledged, info.messages_unconfirmed), (3, 1));
    assert!(info.confirm && !info.transactional);
}
