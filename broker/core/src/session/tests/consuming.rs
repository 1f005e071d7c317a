//! Consumers, deliveries, gets and settling.

use leveret_protocol::frame::{ContentHeader, decode_frame};
use leveret_protocol::method::Method;
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};

use super::rig::*;
use crate::fault::Fault;
use crate::message::Message;
use crate::session::host::{DeliveryId, Got};

fn ack(delivery_tag: u64, multiple: bool) -> Method<'static> {
    Method::BasicAck { delivery_tag, multiple }
}

fn got(id: u64, remaining: u32) -> Got {
    Got {
        id: DeliveryId(id),
        redelivered: true,
        delivery_count: 0,
        message: Message::new("e", "k", &[0, 0], b"got"),
        remaining,
    }
}

#[test]
fn a_consumer_gets_deliveries_with_rising_tags() {
    let mut client = Client::on_channel();
    client.send(1, consume("q", "ctag", false));
    assert_eq!(client.received(), [r#"1 BasicConsumeOk { consumer_tag: "ctag" }"#]);
    assert_eq!(client.asked(), ["consume 1 q ctag prefetch=0"]);
    let consumer = client.host.consumers[0];
    client.deliver(consumer, [10, 11]);
    let delivered = |tag| {
        format!(
            r#"1 BasicDeliver {{ consumer_tag: "ctag", delivery_tag: {tag}, redelivered: false, exchange: "", routing_key: "q" }}"#
        )
    };
    assert_eq!(
        client.received(),
        [
            &delivered(1),
            "1 header 2 bytes",
            r#"1 body "hi""#,
            &delivered(2),
            "1 header 2 bytes",
            r#"1 body "hi""#
        ]
    );
}

#[test]
fn large_bodies_are_delivered_in_frames_of_the_negotiated_size() {
    let config = crate::session::config::SessionConfig { frame_max: 4096, ..config() };
    let mut client = Client::open_with(capabilities(), config);
    client.open_channel(1);
    let consumer = client.consume("q", "c", true);
    let body = vec![b'x'; 4089];
    let message = Message::new("", "q", &[0, 0], &body);
    client.connection.deliver([crate::session::host::Delivery { message, ..delivery(consumer, 1) }]);
    let received = client.received();
    assert_eq!(received[1], "1 header 4089 bytes");
    assert_eq!(received[2].len(), "1 body \"\"".len() + 4088);
    assert_eq!(received[3], r#"1 body "x""#);
}

#[test]
fn an_empty_tag_is_answered_with_a_generated_one() {
    let mut client = Client::on_channel();
    let mut tags = Vec::new();
    for _ in 0..2 {
        client.send(1, consume("q", "", false));
        let received = client.received().remove(0);
        assert!(received.starts_with(r#"1 BasicConsumeOk { consumer_tag: "amq.ctag-"#), "{received}");
        assert_eq!(received.len(), r#"1 BasicConsumeOk { consumer_tag: "amq.ctag-" }"#.len() + 22);
        tags.push(received);
    }
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn a_live_consumer_tag_cannot_be_used_again() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    client.consume("q", "c", false);
    client.send(2, consume("q", "c", false));
    assert_eq!(client.received().len(), 1, "tags belong to their channel");
    client.send(1, consume("q", "c", false));
    client.assert_closed(0, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'", (60, 20));
}

#[test]
fn consume_without_wait_has_no_reply() {
    let mut client = Client::on_channel();
    client.send(
        1,
        Method::BasicConsume {
            queue: "q",
            consumer_tag: "c",
            no_local: true,
            no_ack: true,
            exclusive: true,
            no_wait: true,
            arguments: RawTable::empty(),
        },
    );
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.asked(), ["consume 1 q c prefetch=0 no_ack exclusive"]);
}

#[test]
fn a_refused_consumer_leaves_nothing_behind() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    client.host.refuse.insert("consume", Fault::access_refused("queue 'q' in vhost '/' in exclusive use"));
    client.send(1, consume("q", "c", false));
    client.assert_closed(1, 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", (60, 20));
    client.host.refuse.clear();
    client.send(1, Method::ChannelCloseOk {});
    client.open_channel(1);
    client.consume("q", "c", false);
}

#[test]
fn prefetch_applies_to_consumers_started_later() {
    let mut client = Client::on_channel();
    let qos = |prefetch_count, global| Method::BasicQos { prefetch_size: 0, prefetch_count, global };
    client.send_all(
        1,
        &[
            consume("q", "a", false),
            qos(10, false),
            consume("q", "b", false),
            qos(25, true),
            consume("q", "c", false),
            qos(25, true),
            qos(3, false),
            consume("q", "d", false),
        ],
    );
    assert_eq!(
        client.asked(),
        [
            "consume 1 q a prefetch=0",
            "consume 1 q b prefetch=10",
            "channel_prefetch 1 25",
            "consume 1 q c prefetch=10",
            "channel_prefetch 1 0",
            "consume 1 q d prefetch=3",
        ]
    );
    assert_eq!(client.received().iter().filter(|frame| *frame == "1 BasicQosOk").count(), 4);
}

#[test]
fn a_window_in_bytes_is_not_implemented() {
    let mut client = Client::on_channel();
    client.send(1, Method::BasicQos { prefetch_size: 1000, prefetch_count: 0, global: false });
    client.assert_closed(0, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (1000)", (60, 10));
}

#[test]
fn acks_of_one_read_reach_each_queue_in_one_call() {
    let mut client = Client::on_channel();
    let (a, b) = (client.consume("a", "a", false), client.consume("b", "b", false));
    client.deliver(a, 1..4);
    client.deliver(b, [7]);
    client.deliver(a, [9]);
    client.send_all(1, &[ack(1, false), ack(2, false), ack(4, false), ack(3, false), ack(5, false)]);
    assert_eq!(client.asked(), ["settle 1 b Ack [7..8]", "settle 1 a Ack [1..4, 9..10]"]);
}

#[test]
fn settling_out_of_order_hands_over_rising_ranges() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..6);
    client.send_all(1, &[ack(5, false), ack(1, false), ack(3, false)]);
    assert_eq!(client.asked(), ["settle 1 q Ack [1..2, 3..4, 5..6]"]);
}

#[test]
fn multiple_settles_everything_up_to_a_tag_and_tag_0_everything() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..6);
    client.send(1, ack(2, true));
    client.send(1, Method::BasicNack { delivery_tag: 0, multiple: true, requeue: true });
    client.send(1, ack(0, true));
    assert_eq!(client.asked(), ["settle 1 q Ack [1..3]", "settle 1 q Requeue [3..6]"]);
}

#[test]
fn outcomes_are_told_apart_and_kept_in_order() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..6);
    client.send_all(
        1,
        &[
            Method::BasicReject { delivery_tag: 1, requeue: true },
            Method::BasicReject { delivery_tag: 2, requeue: false },
            Method::BasicNack { delivery_tag: 3, multiple: false, requeue: false },
            Method::BasicNack { delivery_tag: 4, multiple: false, requeue: true },
            ack(5, false),
        ],
    );
    assert_eq!(
        client.asked(),
        [
            "settle 1 q RejectRequeue [1..2]",
            "settle 1 q Reject [2..4]",
            "settle 1 q Requeue [4..5]",
            "settle 1 q Ack [5..6]",
        ]
    );
}

#[test]
fn settles_reach_their_queue_before_the_next_request_on_any_channel() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [1]);
    let bytes = [method_bytes(1, ack(1, false)), method_bytes(2, queue_declare("q", false))].concat();
    client.send_bytes(&bytes);
    assert_eq!(client.asked(), ["settle 1 q Ack [1..2]", "queue_declare q"]);
}

#[test]
fn unknown_delivery_tags_close_the_channel() {
    for (setup, tag, multiple) in [(0, 82, false), (1, 2, false), (1, 2, true), (1, 0, false)] {
        let mut client = Client::on_channel();
        let consumer = client.consume("q", "c", false);
        client.deliver(consumer, 0..setup);
        client.received();
        client.send(1, ack(tag, multiple));
        let text = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
        client.assert_closed(1, 406, &text, (60, 80));
    }
}

#[test]
fn a_tag_cannot_be_settled_twice_nor_on_another_channel() {
    let mut client = Client::on_channel();
    client.open_channel(2);
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..4);
    client.received();
    client.send(2, Method::BasicNack { delivery_tag: 1, multiple: false, requeue: false });
    client.assert_closed(2, 406, "PRECONDITION_FAILED - unknown delivery tag 1", (60, 120));
    client.send_all(1, &[ack(2, false), Method::BasicReject { delivery_tag: 2, requeue: false }]);
    client.assert_closed(1, 406, "PRECONDITION_FAILED - unknown delivery tag 2", (60, 90));
    assert_eq!(
        client.asked()[2..],
        ["faulted 1 PRECONDITION_FAILED", "settle 1 q Ack [2..3]", "channel_closed 1"]
    );
}

#[test]
fn deliveries_without_ack_are_not_outstanding() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", true);
    client.deliver(consumer, [1]);
    assert_eq!(client.connection.channels().next().unwrap().messages_unacknowledged, 0);
    client.received();
    client.send(1, ack(1, false));
    client.assert_closed(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1", (60, 80));
}

#[test]
fn get_shares_tags_with_deliveries_and_tells_what_is_left() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [1]);
    client.received();
    client.host.ready.extend([got(1, 4), got(2, 3)]);
    let get = |queue, no_ack| Method::BasicGet { queue, no_ack };
    client.send(1, get("other", false));
    assert_eq!(
        client.received(),
        [
            r#"1 BasicGetOk { delivery_tag: 2, redelivered: true, exchange: "e", routing_key: "k", message_count: 4 }"#,
            "1 header 3 bytes",
            r#"1 body "got""#,
        ]
    );
    client.send(1, get("other", true));
    assert!(client.received()[0].starts_with("1 BasicGetOk { delivery_tag: 3,"));
    client.send(1, get("other", false));
    assert_eq!(client.received(), ["1 BasicGetEmpty"]);
    client.asked();
    client.send(1, ack(2, true));
    let mut asked = client.asked();
    asked.sort();
    assert_eq!(asked, ["settle 1 other Ack [1..2]", "settle 1 q Ack [1..2]"]);
}

#[test]
fn cancel_sends_what_was_handed_over_before_it() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.host.outbox.push(delivery(consumer, 5));
    client.send(1, Method::BasicCancel { consumer_tag: "c", no_wait: false });
    let received = client.received();
    assert!(received[0].contains("delivery_tag: 1"), "{received:?}");
    assert_eq!(received[3], r#"1 BasicCancelOk { consumer_tag: "c" }"#);
    assert_eq!(client.asked(), ["cancel q consumer 0"]);
    client.send(1, ack(1, false));
    assert_eq!(client.asked(), ["settle 1 q Ack [5..6]"]);
}

#[test]
fn cancelling_an_unknown_consumer_is_answered() {
    let mut client = Client::on_channel();
    client.send(1, Method::BasicCancel { consumer_tag: "none", no_wait: false });
    client.send(1, Method::BasicCancel { consumer_tag: "none", no_wait: true });
    assert_eq!(client.received(), [r#"1 BasicCancelOk { consumer_tag: "none" }"#]);
    assert_eq!(client.asked(), [""; 0]);
}

#[test]
fn a_cancelled_consumer_gets_nothing_more_and_its_tag_is_free() {
    let mut client = Client::on_channel();
    let first = client.consume("q", "c", false);
    client.send(1, Method::BasicCancel { consumer_tag: "c", no_wait: true });
    let second = client.consume("q", "c", false);
    assert_ne!(first, second);
    client.deliver(first, [1]);
    assert_eq!(client.received(), [""; 0]);
    client.deliver(second, [2]);
    assert_eq!(client.received().len(), 3);
}

#[test]
fn a_deleted_queue_cancels_its_consumers() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [1]);
    client.received();
    client.connection.consumer_cancelled(consumer);
    client.connection.consumer_cancelled(consumer);
    assert_eq!(client.received(), [r#"1 BasicCancel { consumer_tag: "c", no_wait: true }"#]);
    client.send(1, ack(1, false));
    assert_eq!(client.received(), [""; 0], "what it held can still be acked");
    client.send(1, consume("q", "c", false));
    assert_eq!(client.received().len(), 1, "its tag is free");
}

#[test]
fn clients_without_the_capability_are_not_told_of_deleted_queues() {
    let mut client = Client::open_with(Table::new(), config());
    client.open_channel(1);
    let consumer = client.consume("q", "c", false);
    client.connection.consumer_cancelled(consumer);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn recover_requeues_everything_outstanding() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..4);
    client.send(1, ack(2, false));
    client.received();
    client.asked();
    client.send(1, Method::BasicRecover { requeue: true });
    assert_eq!(client.received(), ["1 BasicRecoverOk"]);
    assert_eq!(client.asked(), ["settle 1 q Requeue [1..2, 3..4]"]);
    client.deliver(consumer, [4]);
    client.received();
    client.send(1, Method::BasicRecoverAsync { requeue: true });
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.asked(), ["settle 1 q Requeue [4..5]"]);
    client.send(1, Method::BasicRecover { requeue: false });
    client.assert_closed(0, 540, "NOT_IMPLEMENTED - requeue=false", (60, 110));
}

#[test]
fn deliveries_to_closed_channels_are_dropped() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.send(1, Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 });
    client.received();
    client.open_channel(1);
    client.deliver(consumer, [1]);
    client.consume("q", "c", false);
    client.deliver(consumer, [2]);
    assert_eq!(client.received(), [""; 0]);
}

#[test]
fn the_delivery_count_becomes_a_header() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", true);
    let headers = Table::from([("x-delivery-count", Value::I32(1)), ("k", Value::Void)]);
    let properties = Properties { headers: Some(headers), priority: Some(4), ..Properties::default() };
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    let message = Message::new("", "q", &raw, b"");
    client.connection.deliver([crate::session::host::Delivery {
        delivery_count: 3,
        redelivered: true,
        message,
        ..delivery(consumer, 1)
    }]);
    let bytes = client.connection.poll_transmit().to_vec();
    let (_, used) = decode_frame(&bytes, 8192).unwrap().unwrap();
    let (frame, _) = decode_frame(&bytes[used..], 8192).unwrap().unwrap();
    let header = ContentHeader::decode(frame.payload).unwrap();
    let properties = PropertiesView::validate(header.properties).unwrap().to_properties().unwrap();
    assert_eq!(properties.priority, Some(4));
    let expected = Table::from([("x-delivery-count", Value::I64(3)), ("k", Value::Void)]);
    assert_eq!(properties.headers, Some(expected));
}

#[test]
fn slots_are_freed_when_nothing_is_outstanding() {
    let mut client = Client::on_channel();
    for round in 0..66_000u64 {
        client.send(1, consume("q", "c", false));
        let consumer = *client.host.consumers.last().unwrap();
        client.deliver(consumer, [round]);
        client.send(1, Method::BasicCancel { consumer_tag: "c", no_wait: true });
        client.send(1, ack(0, true));
        client.received();
        client.host.consumers.clear();
        client.host.log.clear();
    }
    assert_eq!(client.connection.channels().next().unwrap().messages_unacknowledged, 0);
}

fn request(reply_to: &str) -> Vec<u8> {
    let properties = Properties { reply_to: Some(reply_to.into()), ..Properties::default() };
    publish_bytes(1, "requests", &properties, b"ask")
}

#[test]
fn direct_replies_have_an_address_that_requests_carry() {
    let mut client = Client::on_channel();
    client.send(1, consume("amq.rabbitmq.reply-to", "replies", true));
    assert_eq!(client.received(), [r#"1 BasicConsumeOk { consumer_tag: "replies" }"#]);
    assert_eq!(client.asked(), ["consume_replies 1"]);
    client.send_bytes(&request("amq.rabbitmq.reply-to"));
    client.send_bytes(&request("somewhere.else"));
    let reply_to = |at: usize| client.host.published[at].properties().reply_to().map(str::to_owned);
    assert_eq!(reply_to(0).as_deref(), Some("amq.rabbitmq.reply-to.secret"));
    assert_eq!(reply_to(1).as_deref(), Some("somewhere.else"));
    assert_eq!(client.host.published[0].body(), b"ask");
    client.asked();
    let consumer = client.host.consumers[0];
    client.deliver(consumer, [1]);
    assert_eq!(client.received().len(), 3, "method, header and body");
    client.send(1, Method::BasicCancel { consumer_tag: "replies", no_wait: false });
    assert_eq!(client.asked(), ["cancel_replies 1"]);
    assert_eq!(client.received(), [r#"1 BasicCancelOk { consumer_tag: "replies" }"#]);
    client.deliver(consumer, [2]);
    assert!(client.received().is_empty(), "nobody is there any more");
}

#[test]
fn direct_replies_are_refused_where_they_cannot_work() {
    fn check(refuse: impl Fn(&mut Client), text: &str, ids: (u16, u16)) {
        let mut client = Client::on_channel();
        refuse(&mut client);
        client.assert_closed(1, 406, &format!("PRECONDITION_FAILED - {text}"), ids);
    }
    check(
        |client| client.send(1, consume("amq.rabbitmq.reply-to", "c", false)),
        "reply consumer cannot acknowledge",
        (60, 20),
    );
    check(
        |client| {
            client.consume("amq.rabbitmq.reply-to", "a", true);
            client.send(1, consume("amq.rabbitmq.reply-to", "b", true));
        },
        "reply consumer already set",
        (60, 20),
    );
    check(
        |client| client.send_bytes(&request("amq.rabbitmq.reply-to")),
        "fast reply consumer does not exist",
        (60, 40),
    );
}

#[test]
fn a_message_held_too_long_ends_its_channel() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.connection.ack_timed_out(consumer, 1000, &mut client.host);
    assert!(client.received().is_empty(), "it holds nothing");
    client.deliver(consumer, [10]);
    client.received();
    client.connection.ack_timed_out(consumer, 1000, &mut client.host);
    assert_eq!(
        client.received(),
        [
            "1 ChannelClose { reply_code: 406, reply_text: \"PRECONDITION_FAILED - delivery acknowledgement on channel 1 \
          timed out. Timeout value used: 1000 ms. This timeout value can be configured, see consumers doc guide to \
          learn more\", class_id: 0, method_id: 0 }"
        ]
    );
    client.connection.ack_timed_out(consumer, 1000, &mut client.host);
    assert!(client.received().is_empty(), "it is closed already");
}

#[test]
fn an_operator_ends_a_consumer_or_a_channel() {
    let mut client = Client::on_channel();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [10]);
    client.received();
    client.connection.end_consumer(1, "none", &mut client.host);
    client.connection.end_consumer(2, "c", &mut client.host);
    assert!(client.received().is_empty(), "there is no such consumer");
    client.connection.end_consumer(1, "c", &mut client.host);
    assert_eq!(client.received(), [r#"1 BasicCancel { consumer_tag: "c", no_wait: true }"#]);
    assert_eq!(client.asked(), ["cancel q consumer 0"]);
    client.deliver(consumer, [11]);
    assert!(client.received().is_empty());
    client.send(1, ack(1, false));
    assert_eq!(client.asked(), ["settle 1 q Ack [10..11]"], "what it held is its channel's");

    client.connection.close_channel(2, "enough", &mut client.host);
    assert!(client.received().is_empty(), "there is no such channel");
    client.connection.close_channel(1, "enough", &mut client.host);
    assert_eq!(
        client.received(),
        [
            r#"1 ChannelClose { reply_code: 406, reply_text: "PRECONDITION_FAILED - enough", class_id: 0, method_id: 0 }"#
        ]
    );
    client.connection.close_channel(1, "enough", &mut client.host);
    assert!(client.received().is_empty(), "it is closed already");
}

#[test]
fn a_channel_counts_what_happens_on_it() {
    let mut client = Client::on_channel();
    let acks = client.consume("q", "a", false);
    let no_acks = client.consume("q", "n", true);
    client.deliver(acks, [10, 11, 12]);
    client.deliver(no_acks, [13]);
    client.send(1, ack(2, true));
    client.send(1, Method::BasicReject { delivery_tag: 3, requeue: true });
    client.host.ready.push_back(got(20, 0));
    client.host.ready.push_back(got(21, 0));
    client.send(1, Method::BasicGet { queue: "q", no_ack: false });
    client.send(1, Method::BasicGet { queue: "q", no_ack: true });
    client.send(1, Method::BasicGet { queue: "q", no_ack: true });
    let counters = client.connection.channels().next().expect("open").counters;
    assert_eq!((counters.delivered, counters.delivered_no_ack), (3, 1));
    assert_eq!((counters.got, counters.got_no_ack, counters.got_nothing), (1, 1, 1));
    assert_eq!((counters.acked, counters.redelivered), (2, 2));
}
