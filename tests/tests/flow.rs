//! What keeps flowing when a peer does not do its part.

use leveret_protocol::method::Method;
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
