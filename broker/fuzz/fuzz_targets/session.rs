//! What a client sends after the handshake, in pieces, to a session whose host has one endless queue.

#![no_main]

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use leveret_core::fault::Fault;
use leveret_core::message::Message;
use leveret_core::session::config::SessionConfig;
use leveret_core::session::connection::Connection;
use leveret_core::session::host::*;
use leveret_core::session::state::State;
use leveret_protocol::frame::{ContentHeader, FrameKind, PROTOCOL_HEADER, decode_frame, encode_frame};
use leveret_protocol::method::{LAYOUTS, Method};
use leveret_protocol::table::{RawTable, Table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut host = OneQueue::default();
    let mut connection = open(&mut host);
    let mut buffer = Vec::new();
    let mut deliveries = Vec::new();
    // The first byte says what the rest is, the second in how large pieces it arrives.
    let [kind, piece, rest @ ..] = input else {
        return;
    };
    let stream = if kind & 1 == 0 { rest.to_vec() } else { framed(rest) };
    for (at, bytes) in stream.chunks(8 * usize::from(*piece) + 1).enumerate() {
        buffer.extend_from_slice(bytes);
        let used = connection.handle_bytes(at as u64, &buffer, &mut host);
        buffer.drain(..used);
        host.take_deliveries(&mut deliveries);
        connection.deliver(&mut deliveries);
        if let Some(awaited) = connection.awaited() {
            connection.durable_advanced(awaited);
        }
        check_output(&mut connection);
    }
    connection.disconnected(&mut host);
    assert_eq!(connection.state(), State::Closed);
    assert!(host.closed);
});

/// Makes frames of records: what, channel, length, payload. Finds more, and sooner, than hoping for end octets does.
fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [what, channel, len, rest @ ..] = input {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        input = rest;
        let channel = u16::from(channel % 4);
        match LAYOUTS.get(usize::from(*what)) {
            Some(layout) => encode_frame(FrameKind::Method, channel, &mut stream, |writer| {
                writer.short(layout.class_id);
                writer.short(layout.method_id);
                writer.bytes(payload);
            }),
            None if what % 4 == 0 => encode_frame(FrameKind::Body, channel, &mut stream, |writer| {
                writer.bytes(payload);
            }),
            None => ContentHeader { class_id: 60, body_size: u64::from(what % 4 - 1), properties: payload }
                .encode(channel, &mut stream),
        }
    }
    stream
}

fn open(host: &mut OneQueue) -> Connection<OneQueue> {
    let config = SessionConfig {
        product: "fuzz".into(),
        version: String::new(),
        platform: String::new(),
        cluster_name: String::new(),
        copyright: String::new(),
        information: String::new(),
        frame_max: 8192,
        channel_max: 8,
        heartbeat_s: 0,
        max_message_bytes: 1 << 20,
        handshake_timeout_ms: 10_000,
        mechanisms: vec!["PLAIN".into()],
    };
    let mut connection = Connection::new(Arc::new(config), 0, 0);
    connection.handle_bytes(0, &PROTOCOL_HEADER, host);
    let start_ok = Method::ConnectionStartOk {
        client_properties: RawTable::empty(),
        mechanism: "PLAIN",
        response: b"",
        locale: "en_US",
    };
    let mut bytes = Vec::new();
    start_ok.encode(0, &mut bytes);
    connection.handle_bytes(0, &bytes, host);
    connection.authenticated(Ok(()), host);
    bytes.clear();
    Method::ConnectionTuneOk { channel_max: 8, frame_max: 8192, heartbeat: 0 }.encode(0, &mut bytes);
    Method::ConnectionOpen { virtual_host: "/" }.encode(0, &mut bytes);
    Method::ChannelOpen {}.encode(1, &mut bytes);
    connection.handle_bytes(0, &bytes, host);
    assert_eq!(connection.state(), State::Running);
    connection
}

/// Everything that leaves is whole frames within the negotiated size.
fn check_output(connection: &mut Connection<OneQueue>) {
    let mut rest = connection.poll_transmit();
    let sent = rest.len();
    while !rest.is_empty() {
        let (frame, used) = decode_frame(rest, 8192).unwrap().unwrap();
        assert!(used <= 8192);
        if frame.kind == FrameKind::Method {
            Method::decode(frame.payload).unwrap();
        }
        rest = &rest[used..];
    }
    connection.transmitted(sent);
}

/// Every name is the same queue. What is published goes to the consumer that was started last.
#[derive(Default)]
struct OneQueue {
    ready: Vec<Message>,
    consumer: Option<(ConsumerKey, bool)>,
    outbox: Vec<Delivery>,
    next_id: u64,
    unacked: HashSet<u64>,
    ticket: u64,
    open_channels: HashSet<u16>,
    closed: bool,
}

impl OneQueue {
    fn hand_over(&mut self, no_ack: bool) -> DeliveryId {
        self.next_id += 1;
        if !no_ack {
            self.unacked.insert(self.next_id);
        }
        DeliveryId(self.next_id)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.ticket += 1;
        Ticket(self.ticket)
    }

    /// Some requests fail, depending on their names.
    fn check(&mut self, name: &str) -> Result<Ticket, Fault> {
        match name {
            "x" => Err(Fault::not_found("no queue 'x' in vhost '/'")),
            "y" => Err(Fault::not_allowed("y")),
            _ => Ok(self.next_ticket()),
        }
    }
}

impl Host for OneQueue {
    type Queue = u8;

    fn authenticate(&mut self, _: &str, _: &[u8]) {}
    fn client_properties(&mut self, _: &Table) {}
    fn tuned(&mut self, _: u16, _: u32, _: u16) {}
    fn open(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn update_secret(&mut self, secret: &[u8], _: &str) -> Result<(), Fault> {
        if secret.is_empty() { Err(Fault::not_allowed("Secret update failed")) } else { Ok(()) }
    }
    fn user(&self) -> &str {
        "guest"
    }
    fn may_impersonate(&self) -> bool {
        false
    }
    fn closed(&mut self) {
        assert!(!self.closed, "the end was told twice");
        assert!(self.open_channels.is_empty(), "channels outlive their connection");
        self.closed = true;
    }
    fn channel_opened(&mut self, channel: u16) -> Result<(), Fault> {
        assert!(self.open_channels.insert(channel));
        Ok(())
    }
    fn channel_closed(&mut self, channel: u16) {
        assert!(self.open_channels.remove(&channel));
    }
    fn channel_prefetch(&mut self, _: u16, _: u16) {}
    fn exchange_declare(&mut self, request: ExchangeDeclare<'_>) -> Result<Ticket, Fault> {
        self.check(request.exchange)
    }
    fn exchange_delete(&mut self, exchange: &str, _: bool) -> Result<Ticket, Fault> {
        self.check(exchange)
    }
    fn queue_declare(&mut self, request: QueueDeclare<'_>) -> Result<QueueDeclared, Fault> {
        let after = self.check(request.queue)?;
        let queue = if request.queue.is_empty() { "amq.gen-1" } else { request.queue };
        Ok(QueueDeclared { queue: queue.to_owned(), message_count: 0, consumer_count: 0, after })
    }
    fn queue_delete(&mut self, queue: &str, _: bool, _: bool) -> Result<(u32, Ticket), Fault> {
        Ok((0, self.check(queue)?))
    }
    fn queue_purge(&mut self, queue: &str) -> Result<(u32, Ticket), Fault> {
        let after = self.check(queue)?;
        Ok((self.ready.drain(..).len() as u32, after))
    }
    fn bind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.check(binding.source)
    }
    fn unbind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.check(binding.source)
    }
    fn publish(&mut self, channel: u16, _: Option<u64>, message: Message) -> Result<Routed, Fault> {
        assert!(self.open_channels.contains(&channel));
        self.check_publish(&message)?;
        if message.routing_key().is_empty() {
            return Ok(Routed::No);
        }
        match self.consumer {
            Some((consumer, no_ack)) => {
                let id = self.hand_over(no_ack);
                let delivery = Delivery { consumer, id, redelivered: false, delivery_count: 0, message };
                self.outbox.push(delivery);
            }
            None => self.ready.push(message),
        }
        Ok(Routed::Yes)
    }
    fn check_publish(&mut self, message: &Message) -> Result<(), Fault> {
        self.check(message.exchange()).map(drop)
    }
    fn flush(&mut self, receipts: &mut Receipts) {
        receipts.after = self.next_ticket();
        if self.ticket % 5 == 0 {
            receipts.rejected.push((1, self.ticket));
        }
    }
    fn consume(&mut self, consume: Consume<'_>) -> Result<u8, Fault> {
        self.check(consume.queue)?;
        self.consumer = Some((consume.key, consume.no_ack));
        Ok(0)
    }
    fn cancel(&mut self, _: &u8, key: ConsumerKey) {
        self.consumer = self.consumer.filter(|(consumer, _)| *consumer != key);
    }
    fn take_deliveries(&mut self, deliveries: &mut Vec<Delivery>) {
        deliveries.append(&mut self.outbox);
    }
    fn get(&mut self, _: u16, _: ConsumerKey, queue: &str, no_ack: bool) -> Result<(u8, Option<Got>), Fault> {
        self.check(queue)?;
        let Some(message) = self.ready.pop() else {
            return Ok((0, None));
        };
        let id = self.hand_over(no_ack);
        let remaining = self.ready.len() as u32;
        Ok((0, Some(Got { id, redelivered: false, delivery_count: 1, message, remaining })))
    }
    fn settle(&mut self, _: u16, _: &u8, _: ConsumerKey, _: Settle, deliveries: &[Range<u64>]) {
        assert!(deliveries.is_sorted_by(|one, next| one.end <= next.start));
        for id in deliveries.iter().flat_map(Clone::clone) {
            assert!(self.unacked.remove(&id), "delivery {id} was settled twice");
        }
    }
    fn durable(&self) -> Ticket {
        Ticket(0)
    }
}
