//! A session with a client, and a host that takes every publish as a delivery for the one consumer.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use leveret_core::fault::Fault;
use leveret_core::message::Message;
use leveret_core::session::config::SessionConfig;
use leveret_core::session::connection::Connection;
use leveret_core::session::host::*;
use leveret_protocol::frame::{ContentHeader, PROTOCOL_HEADER, encode_body};
use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table};

/// `count` publishes, as one read brings them.
pub fn publishes(body_bytes: usize, count: usize) -> Vec<u8> {
    let (mut read, mut raw) = (Vec::new(), Vec::new());
    Properties { delivery_mode: Some(2), ..Properties::default() }.encode(&mut raw);
    let body = vec![b'x'; body_bytes];
    for _ in 0..count {
        let publish = Method::BasicPublish {
            exchange: "amq.topic",
            routing_key: "sensors.7.temperature",
            mandatory: false,
            immediate: false,
        };
        publish.encode(1, &mut read);
        ContentHeader { class_id: 60, body_size: body_bytes as u64, properties: &raw }.encode(1, &mut read);
        encode_body(1, &body, 131_072, &mut read);
    }
    read
}

/// A client that publishes the same bytes again and again.
pub struct Publishing {
    peer: Peer,
    read: Vec<u8>,
}

impl Publishing {
    pub fn new(body_bytes: usize, batch: usize, confirm: bool) -> Publishing {
        let mut peer = Peer::open();
        if confirm {
            peer.send(Method::ConfirmSelect { no_wait: true });
        }
        Publishing { peer, read: publishes(body_bytes, batch) }
    }

    /// One read.
    pub fn read(&mut self) {
        self.peer.send_bytes(&self.read);
        self.peer.host.outbox.clear();
        self.peer.drain();
    }
}

/// A consumer that is given the same messages again and again.
pub struct Delivering {
    peer: Peer,
    messages: Vec<Message>,
    deliveries: Vec<Delivery>,
    acks: Vec<u8>,
    tag: u64,
}

impl Delivering {
    pub fn new(body_bytes: usize, batch: usize) -> Delivering {
        let mut peer = Peer::open();
        peer.send_bytes(&publishes(body_bytes, batch));
        let messages = peer.host.outbox.drain(..).map(|delivery| delivery.message).collect();
        Delivering { peer, messages, deliveries: Vec::new(), acks: Vec::new(), tag: 0 }
    }

    /// Writes one delivery of each.
    pub fn deliver(&mut self) {
        let Delivering { peer, messages, deliveries, .. } = self;
        deliveries.extend(messages.iter().map(|message| peer.host.delivery(message.clone())));
        peer.connection.deliver(deliveries.drain(..));
        peer.drain();
    }

    /// Reads one acknowledgement of each.
    pub fn ack(&mut self) {
        self.acks.clear();
        for _ in 0..self.messages.len() {
            self.tag += 1;
            Method::BasicAck { delivery_tag: self.tag, multiple: false }.encode(1, &mut self.acks);
        }
        self.peer.send_bytes(&self.acks);
    }
}

/// A client with a channel and a consumer on it.
pub struct Peer {
    pub connection: Connection<Loop>,
    pub host: Loop,
}

impl Peer {
    pub fn open() -> Peer {
        let config = SessionConfig {
            product: String::new(),
            version: String::new(),
            platform: String::new(),
            cluster_name: String::new(),
            copyright: String::new(),
            information: String::new(),
            frame_max: 131_072,
            channel_max: 2047,
            heartbeat_s: 0,
            max_message_bytes: 16 << 20,
            handshake_timeout_ms: 10_000,
            mechanisms: vec!["PLAIN".into()],
        };
        let mut peer = Peer {
            connection: Connection::new(Arc::new(config), 0, 0),
            host: Loop { consumer: ConsumerKey(0), delivered: 0, outbox: Vec::new(), settled: 0 },
        };
        peer.send_bytes(&PROTOCOL_HEADER);
        let client_properties = RawTable::empty();
        let (mechanism, response, locale) = ("PLAIN", &b""[..], "en_US");
        let mut start_ok = Vec::new();
        Method::ConnectionStartOk { client_properties, mechanism, response, locale }.encode(0, &mut start_ok);
        peer.send_bytes(&start_ok);
        peer.connection.authenticated(Ok(()), &mut peer.host);
        let mut rest = Vec::new();
        Method::ConnectionTuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 }.encode(0, &mut rest);
        Method::ConnectionOpen { virtual_host: "/" }.encode(0, &mut rest);
        Method::ChannelOpen {}.encode(1, &mut rest);
        peer.send_bytes(&rest);
        peer.send(Method::BasicConsume {
            queue: "q",
            consumer_tag: "amq.ctag-0123456789012345678901",
            no_local: false,
            no_ack: false,
            exclusive: false,
            no_wait: true,
            arguments: RawTable::empty(),
        });
        peer.drain();
        peer
    }

    pub fn send(&mut self, method: Method<'_>) {
        let mut bytes = Vec::new();
        method.encode(1, &mut bytes);
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        assert_eq!(self.connection.handle_bytes(0, bytes, &mut self.host), bytes.len());
    }

    pub fn drain(&mut self) {
        let sent = black_box(self.connection.poll_transmit()).len();
        self.connection.transmitted(sent);
    }
}

/// A broker with one queue and one consumer, both in a list.
pub struct Loop {
    consumer: ConsumerKey,
    delivered: u64,
    pub outbox: Vec<Delivery>,
    settled: u64,
}

impl Loop {
    pub fn delivery(&mut self, message: Message) -> Delivery {
        self.delivered += 1;
        let id = DeliveryId(self.delivered);
        Delivery { consumer: self.consumer, id, redelivered: false, delivery_count: 0, message }
    }
}

impl Host for Loop {
    type Queue = ();

    fn authenticate(&mut self, _: &str, _: &[u8]) {}
    fn client_properties(&mut self, _: &Table) {}
    fn tuned(&mut self, _: u16, _: u32, _: u16) {}
    fn open(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn update_secret(&mut self, _: &[u8], _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn user(&self) -> &str {
        "guest"
    }
    fn may_impersonate(&self) -> bool {
        false
    }
    fn closed(&mut self) {}
    fn channel_opened(&mut self, _: u16) -> Result<(), Fault> {
        Ok(())
    }
    fn channel_closed(&mut self, _: u16) {}
    fn channel_prefetch(&mut self, _: u16, _: u16) {}
    fn exchange_declare(&mut self, _: ExchangeDeclare<'_>) -> Result<Ticket, Fault> {
        Ok(Ticket(0))
    }
    fn exchange_delete(&mut self, _: &str, _: bool) -> Result<Ticket, Fault> {
        Ok(Ticket(0))
    }
    fn queue_declare(&mut self, request: QueueDeclare<'_>) -> Result<QueueDeclared, Fault> {
        let queue = request.queue.to_owned();
        Ok(QueueDeclared { queue, message_count: 0, consumer_count: 0, after: Ticket(0) })
    }
    fn queue_delete(&mut self, _: &str, _: bool, _: bool) -> Result<(u32, Ticket), Fault> {
        Ok((0, Ticket(0)))
    }
    fn queue_purge(&mut self, _: &str) -> Result<(u32, Ticket), Fault> {
        Ok((0, Ticket(0)))
    }
    fn bind(&mut self, _: Binding<'_>) -> Result<Ticket, Fault> {
        Ok(Ticket(0))
    }
    fn unbind(&mut self, _: Binding<'_>) -> Result<Ticket, Fault> {
        Ok(Ticket(0))
    }
    fn publish(&mut self, _: u16, _: Option<u64>, message: Message) -> Result<Routed, Fault> {
        let delivery = self.delivery(message);
        self.outbox.push(delivery);
        Ok(Routed::Yes)
    }
    fn check_publish(&mut self, _: &Message) -> Result<(), Fault> {
        Ok(())
    }
    fn flush(&mut self, _: &mut Receipts) {}
    fn consume(&mut self, consume: Consume<'_>) -> Result<(), Fault> {
        self.consumer = consume.key;
        Ok(())
    }
    fn cancel(&mut self, _: &(), _: ConsumerKey) {}
    fn consume_replies(&mut self, _channel: u16, _key: ConsumerKey) -> Result<Box<str>, Fault> {
        Ok("".into())
    }

    fn cancel_replies(&mut self, _channel: u16) {}

    fn take_deliveries(&mut self, deliveries: &mut Vec<Delivery>) {
        deliveries.append(&mut self.outbox);
    }
    fn get(&mut self, _: u16, _: ConsumerKey, _: &str, _: bool) -> Result<((), Option<Got>), Fault> {
        Ok(((), None))
    }
    fn settle(&mut self, _: u16, _: &(), _: ConsumerKey, _: Settle, deliveries: &[Range<u64>]) {
        self.settled += deliveries.iter().map(|range| range.end - range.start).sum::<u64>();
    }
    fn durable(&self) -> Ticket {
        Ticket(0)
    }
}
