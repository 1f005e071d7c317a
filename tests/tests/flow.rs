//! What keeps flowing when a peer does not do its part.

use leveret_protocol::method::Method;
use leveret_protocol::table::RawTable;
use leveret_tests::{Content, RawClient, TestBroker};

#[test]
fn a_client_that_writes_everything_before_it_reads_is_served() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", false).expect("declares");
    client.consume("q", 0, true).expect("consumes");
    // Far more than sockets and the broker's output take: both sides would wait for each other if it stopped reading.
    let message = Content { properties: vec![0, 0], body: vec![b'x'; 1024] };
    const MESSAGES: usize = 50_000;
    for _ in 0..MESSAGES {
        client.publish("", "q", &message).expect("the broker reads on");
    }
    for _ in 0..MESSAGES {
        client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
        assert_eq!(client.content().expect("its content").body.len(), 1024);
    }
}

#[test]
fn a_consumer_that_does_not_read_holds_up_nobody_else() {
    let broker = TestBroker::start();
    let mut publisher = RawClient::open(broker.amqp()).expect("connects");
    publisher.declare_queue("q", false).expect("declares");
    let mut silent = RawClient::open(broker.amqp()).expect("connects");
    silent.consume("q", 0, true).expect("consumes");
    let mut reader = RawClient::open(broker.amqp()).expect("connects");
    reader.consume("q", 0, true).expect("consumes");
    let message = Content { properties: vec![0, 0], body: vec![b'x'; 64 * 1024] };
    for _ in 0..1000 {
        publisher.publish("", "q", &message).expect("publishes");
    }
    // The silent one gets what its connection takes, the reader all the rest.
    for _ in 0..500 {
        reader.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
        reader.content().expect("its content");
    }
}

#[test]
fn consumers_that_come_and_go_use_up_nothing_of_what_their_connection_may_have_waiting() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", false).expect("declares");
    let message = Content { properties: vec![0, 0], body: vec![b'x'; 64 * 1024] };
    let mut come_and_go = Vec::new();
    consume("q", true).encode(1, &mut come_and_go);
    Method::BasicCancel { consumer_tag: "c", no_wait: true }.encode(1, &mut come_and_go);
    // Together they come to several times of what a connection may have waiting.
    for _ in 0..100 {
        client.publish("", "q", &message).expect("publishes");
        assert_eq!(client.declare_queue("q", false).expect("counts"), 1);
        client.write(&come_and_go).expect("writes");
        client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
        client.content().expect("its content");
    }
}

#[test]
fn what_waits_for_a_channel_that_closes_holds_up_no_other_channel() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("long", false).expect("declares");
    client.declare_queue("short", false).expect("declares");
    let message = Content { properties: vec![0, 0], body: vec![b'x'; 64 * 1024] };
    // Together several times of what is written at once.
    const MESSAGES: u32 = 8;
    for _ in 0..MESSAGES {
        client.publish("", "long", &message).expect("publishes");
    }
    client.consume("short", 0, true).expect("consumes");
    let mut consume_and_close = Vec::new();
    consume("long", false).encode(2, &mut consume_and_close);
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    close.encode(2, &mut consume_and_close);
    // They also come to several times of what a connection may have waiting.
    for _ in 0..20 {
        assert_eq!(client.declare_queue("long", false).expect("counts"), MESSAGES);
        client.open_channel(2).expect("opens");
        client.write(&consume_and_close).expect("writes");
        client.publish("", "short", &message).expect("publishes");
        client.expect(2, |method| matches!(method, Method::ChannelCloseOk {})).expect("closed");
        client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
        client.content().expect("its content");
    }
}

/// One that asks for no answer.
fn consume(queue: &str, no_ack: bool) -> Method<'_> {
    Method::BasicConsume {
        queue,
        consumer_tag: "c",
        no_local: false,
        no_ack,
        exclusive: false,
        no_wait: true,
        arguments: RawTable::empty(),
    }
}
