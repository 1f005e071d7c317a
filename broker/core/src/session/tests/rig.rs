//! A client that speaks in methods, and a host that writes down what it is asked.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use leveret_protocol::frame::{
    ContentHeader, FrameKind, PROTOCOL_HEADER, decode_frame, encode_body, encode_frame,
};
use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table, Value};

use crate::fault::Fault;
use crate::message::Message;
use crate::session::config::SessionConfig;
use crate::session::connection::Connection;
use crate::session::host::*;

pub struct FakeHost {
    /// What was asked, in order.
    pub log: Vec<String>,
    /// Requests that fail, by name.
    pub refuse: HashMap<&'static str, Fault>,
    /// The ticket of everything that is written from now on.
    pub after: Ticket,
    pub durable: Ticket,
    /// Routing keys that lead nowhere.
    pub unroutable: HashSet<String>,
    /// Publishes to refuse at the next flush.
    pub rejected: Vec<(u16, u64)>,
    /// What `basic.get` finds.
    pub ready: VecDeque<Got>,
    pub outbox: Vec<Delivery>,
    /// Consumers in the order in which they were started.
    pub consumers: Vec<ConsumerKey>,
    pub published: Vec<Message>,
    pub may_impersonate: bool,
}

impl FakeHost {
    fn answer<T>(&mut self, name: &'static str, what: String, answer: T) -> Result<T, Fault> {
        self.log.push(if what.is_empty() { name.to_owned() } else { format!("{name} {what}") });
        self.refuse.get(name).cloned().map_or(Ok(answer), Err)
    }
}

impl Host for FakeHost {
    type Queue = String;

    fn authenticate(&mut self, mechanism: &str, response: &[u8]) {
        self.log.push(format!("authenticate {mechanism} {:?}", String::from_utf8_lossy(response)));
    }

    fn client_properties(&mut self, properties: &Table) {
        self.log.push(format!("client_properties {}", properties.len()));
    }

    fn tuned(&mut self, channel_max: u16, frame_max: u32, heartbeat_s: u16) {
        self.log.push(format!("tuned {channel_max} {frame_max} {heartbeat_s}"));
    }

    fn open(&mut self, vhost: &str) -> Result<(), Fault> {
        self.answer("open", vhost.to_owned(), ())
    }

    fn update_secret(&mut self, secret: &[u8], reason: &str) -> Result<(), Fault> {
        self.answer("update_secret", format!("{} {reason}", String::from_utf8_lossy(secret)), ())
    }

    fn user(&self) -> &str {
        "guest"
    }

    fn may_impersonate(&self) -> bool {
        self.may_impersonate
    }

    fn closed(&mut self) {
        self.log.push("closed".into());
    }

    fn faulted(&mut self, channel: u16, fault: &Fault) {
        self.log.push(format!("faulted {channel} {}", fault.code));
    }

    fn channel_opened(&mut self, channel: u16) -> Result<(), Fault> {
        self.answer("channel_opened", channel.to_string(), ())
    }

    fn channel_closed(&mut self, channel: u16) {
        self.log.push(format!("channel_closed {channel}"));
    }

    fn channel_prefetch(&mut self, channel: u16, count: u16) {
        self.log.push(format!("channel_prefetch {channel} {count}"));
    }

    fn exchange_declare(&mut self, request: ExchangeDeclare<'_>) -> Result<Ticket, Fault> {
        let ExchangeDeclare { exchange, kind, passive, durable, auto_delete, internal, .. } = request;
        let flags = flags([
            ("passive", passive),
            ("durable", durable),
            ("auto_delete", auto_delete),
            ("internal", internal),
        ]);
        self.answer("exchange_declare", format!("{exchange} {kind}{flags}"), self.after)
    }

    fn exchange_delete(&mut self, exchange: &str, if_unused: bool) -> Result<Ticket, Fault> {
        let flags = flags([("if_unused", if_unused)]);
        self.answer("exchange_delete", format!("{exchange}{flags}"), self.after)
    }

    fn queue_declare(&mut self, request: QueueDeclare<'_>) -> Result<QueueDeclared, Fault> {
        let QueueDeclare { queue, passive, durable, exclusive, auto_delete, .. } = request;
        let flags = flags([
            ("passive", passive),
            ("durable", durable),
            ("exclusive", exclusive),
            ("auto_delete", auto_delete),
        ]);
        let name = if queue.is_empty() { "amq.gen-1" } else { queue };
        let declared = QueueDeclared {
            queue: name.to_owned(),
            message_count: 3,
            consumer_count: 1,
            after: if durable { self.after } else { Ticket(0) },
        };
        self.answer("queue_declare", format!("{queue}{flags}"), declared)
    }

    fn queue_delete(&mut self, queue: &str, if_unused: bool, if_empty: bool) -> Result<(u32, Ticket), Fault> {
        let flags = flags([("if_unused", if_unused), ("if_empty", if_empty)]);
        self.answer("queue_delete", format!("{queue}{flags}"), (7, self.after))
    }

    fn queue_purge(&mut self, queue: &str) -> Result<(u32, Ticket), Fault> {
        self.answer("queue_purge", queue.to_owned(), (5, self.after))
    }

    fn bind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.answer("bind", shown(binding), self.after)
    }

    fn unbind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.answer("unbind", shown(binding), self.after)
    }

    fn publish(&mut self, channel: u16, sequence: Option<u64>, message: Message) -> Result<Routed, Fault> {
        let sequence = sequence.map_or(String::new(), |sequence| format!(" #{sequence}"));
        let body = match message.body() {
            long if long.len() > 32 => format!("{} bytes", long.len()),
            short => String::from_utf8_lossy(short).into_owned(),
        };
        let what = format!("{channel}{sequence} {:?} {:?} {body}", message.exchange(), message.routing_key());
        let routed = if self.unroutable.contains(message.routing_key()) { Routed::No } else { Routed::Yes };
        self.answer("publish", what, ())?;
        self.published.push(message);
        Ok(routed)
    }

    fn check_publish(&mut self, _message: &Message) -> Result<(), Fault> {
        self.answer("check_publish", String::new(), ())
    }

    fn flush(&mut self, receipts: &mut Receipts) {
        self.log.push("flush".into());
        receipts.after = self.after;
        receipts.rejected.append(&mut self.rejected);
    }

    fn consume(&mut self, consume: Consume<'_>) -> Result<String, Fault> {
        let Consume { channel, key, queue, consumer_tag, no_ack, exclusive, prefetch_count, .. } = consume;
        let flags = flags([("no_ack", no_ack), ("exclusive", exclusive)]);
        self.consumers.push(key);
        let what = format!("{channel} {queue} {consumer_tag} prefetch={prefetch_count}{flags}");
        self.answer("consume", what, queue.to_owned())
    }

    fn cancel(&mut self, queue: &String, key: ConsumerKey) {
        let index = self.consumers.iter().position(|consumer| *consumer == key).unwrap();
        self.log.push(format!("cancel {queue} consumer {index}"));
    }

    fn consume_replies(&mut self, channel: u16, key: ConsumerKey) -> Result<Box<str>, Fault> {
        self.consumers.push(key);
        self.answer("consume_replies", channel.to_string(), "amq.rabbitmq.reply-to.secret".into())
    }

    fn cancel_replies(&mut self, channel: u16) {
        self.log.push(format!("cancel_replies {channel}"));
    }

    fn take_deliveries(&mut self, deliveries: &mut Vec<Delivery>) {
        deliveries.append(&mut self.outbox);
    }

    fn get(
        &mut self,
        channel: u16,
        _key: ConsumerKey,
        queue: &str,
        no_ack: bool,
    ) -> Result<(String, Option<Got>), Fault> {
        let got = self.ready.pop_front();
        let flags = flags([("no_ack", no_ack)]);
        self.answer("get", format!("{channel} {queue}{flags}"), (queue.to_owned(), got))
    }

    fn settle(
        &mut self,
        channel: u16,
        queue: &String,
        _key: ConsumerKey,
        outcome: Settle,
        deliveries: &[Range<u64>],
    ) {
        self.log.push(format!("settle {channel} {queue} {outcome:?} {deliveries:?}"));
    }

    fn durable(&self) -> Ticket {
        self.durable
    }
}

fn flags<const N: usize>(flags: [(&str, bool); N]) -> String {
    flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| format!(" {name}")).collect()
}

fn shown(binding: Binding<'_>) -> String {
    let Binding { source, destination, routing_key, arguments } = binding;
    format!("{source} -> {destination:?} {routing_key:?} {arguments:?}")
}

/// A client and the connection it talks to.
pub struct Client {
    pub connection: Connection<FakeHost>,
    pub host: FakeHost,
    pub now_ms: u64,
}

impl Client {
    /// Connected, nothing said yet.
    pub fn new() -> Client {
        Client::with_config(config())
    }

    pub fn with_config(config: SessionConfig) -> Client {
        Client {
            connection: Connection::new(Arc::new(config), 1, 0),
            host: FakeHost {
                log: Vec::new(),
                refuse: HashMap::new(),
                after: Ticket(0),
                durable: Ticket(0),
                unroutable: HashSet::new(),
                rejected: Vec::new(),
                ready: VecDeque::new(),
                outbox: Vec::new(),
                consumers: Vec::new(),
                published: Vec::new(),
                may_impersonate: false,
            },
            now_ms: 0,
        }
    }

    /// An open connection of a client with all capabilities.
    pub fn open() -> Client {
        Client::open_with(capabilities(), config())
    }

    pub fn open_with(client_properties: Table, config: SessionConfig) -> Client {
        let (channel_max, frame_max) = (config.channel_max, config.frame_max);
        let mut client = Client::with_config(config);
        client.send_bytes(&PROTOCOL_HEADER);
        client.start_ok(&client_properties, "PLAIN");
        client.connection.authenticated(Ok(()), &mut client.host);
        client.send(0, Method::ConnectionTuneOk { channel_max, frame_max, heartbeat: 60 });
        client.send(0, Method::ConnectionOpen { virtual_host: "/" });
        client.received();
        client.host.log.clear();
        client
    }

    /// An open connection with channel 1.
    pub fn on_channel() -> Client {
        let mut client = Client::open();
        client.open_channel(1);
        client
    }

    pub fn open_channel(&mut self, channel: u16) {
        self.send(channel, Method::ChannelOpen {});
        assert_eq!(self.received(), [format!("{channel} ChannelOpenOk")]);
        self.host.log.clear();
    }

    pub fn start_ok(&mut self, client_properties: &Table, mechanism: &str) {
        let mut entries = Vec::new();
        client_properties.encode_entries(&mut entries);
        let client_properties = RawTable::validate(&entries).unwrap();
        let response = b"\0guest\0guest";
        self.send(0, Method::ConnectionStartOk { client_properties, mechanism, response, locale: "en_US" });
    }

    /// Sends a method in a read of its own.
    pub fn send(&mut self, channel: u16, method: Method<'_>) {
        self.send_bytes(&method_bytes(channel, method));
    }

    /// Sends several methods in one read.
    pub fn send_all(&mut self, channel: u16, methods: &[Method<'_>]) {
        self.send_bytes(
            &methods.iter().flat_map(|method| method_bytes(channel, *method)).collect::<Vec<u8>>(),
        );
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let used = self.connection.handle_bytes(self.now_ms, bytes, &mut self.host);
        assert_eq!(used, bytes.len(), "bytes that were not consumed");
    }

    pub fn publish(&mut self, channel: u16, routing_key: &str, body: &str) {
        self.send_bytes(&publish_bytes(channel, routing_key, &Properties::default(), body.as_bytes()));
    }

    /// Starts a consumer and clears the logs.
    pub fn consume(&mut self, queue: &str, consumer_tag: &str, no_ack: bool) -> ConsumerKey {
        self.send(1, consume(queue, consumer_tag, no_ack));
        assert_eq!(self.received().len(), 1);
        self.host.log.clear();
        *self.host.consumers.last().unwrap()
    }

    /// The queue hands over deliveries with these ids.
    pub fn deliver(&mut self, consumer: ConsumerKey, ids: impl IntoIterator<Item = u64>) {
        self.connection.deliver(ids.into_iter().map(|id| delivery(consumer, id)));
    }

    /// The output that may leave, as text; it is written.
    pub fn received(&mut self) -> Vec<String> {
        let bytes = self.connection.poll_transmit().to_vec();
        self.connection.transmitted(bytes.len());
        shown_frames(&bytes)
    }

    /// What the host was asked since the last time.
    pub fn asked(&mut self) -> Vec<String> {
        std::mem::take(&mut self.host.log)
    }

    /// The close frame that was just received, alone.
    #[track_caller]
    pub fn assert_closed(&mut self, channel: u16, code: u16, text: &str, ids: (u16, u16)) {
        let kind = if channel == 0 { "ConnectionClose" } else { "ChannelClose" };
        let (class_id, method_id) = ids;
        let expected = format!(
            "{channel} {kind} {{ reply_code: {code}, reply_text: {text:?}, class_id: {class_id}, method_id: {method_id} }}"
        );
        assert_eq!(self.received(), [expected]);
    }
}

pub fn config() -> SessionConfig {
    SessionConfig {
        product: "Leveret".into(),
        version: "0.1.0".into(),
        platform: "Rust".into(),
        cluster_name: "leveret@test".into(),
        copyright: "the authors".into(),
        information: "none".into(),
        frame_max: 131_072,
        channel_max: 2047,
        heartbeat_s: 60,
        max_message_bytes: 16 * 1024 * 1024,
        handshake_timeout_ms: 10_000,
        mechanisms: vec!["PLAIN".into(), "AMQPLAIN".into()],
    }
}

pub fn capabilities() -> Table {
    let capabilities = Table::from([
        ("authentication_failure_close", Value::Bool(true)),
        ("connection.blocked", Value::Bool(true)),
        ("consumer_cancel_notify", Value::Bool(true)),
    ]);
    Table::from([("capabilities", Value::Table(capabilities))])
}

pub fn delivery(consumer: ConsumerKey, id: u64) -> Delivery {
    Delivery {
        consumer,
        id: DeliveryId(id),
        redelivered: false,
        delivery_count: 0,
        message: Message::new("", "q", &[0, 0], b"hi"),
    }
}

pub fn consume<'a>(queue: &'a str, consumer_tag: &'a str, no_ack: bool) -> Method<'a> {
    Method::BasicConsume {
        queue,
        consumer_tag,
        no_local: false,
        no_ack,
        exclusive: false,
        no_wait: false,
        arguments: RawTable::empty(),
    }
}

pub fn queue_declare(queue: &str, durable: bool) -> Method<'_> {
    Method::QueueDeclare {
        queue,
        passive: false,
        durable,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::empty(),
    }
}

pub fn method_bytes(channel: u16, method: Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(channel, &mut out);
    out
}

pub fn frame_bytes(kind: FrameKind, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(kind, channel, &mut out, |writer| writer.bytes(payload));
    out
}

pub fn header_bytes(channel: u16, class_id: u16, body_size: u64, properties: &Properties) -> Vec<u8> {
    let (mut raw, mut out) = (Vec::new(), Vec::new());
    properties.encode(&mut raw);
    ContentHeader { class_id, body_size, properties: &raw }.encode(channel, &mut out);
    out
}

pub fn publish_method(routing_key: &str, mandatory: bool, immediate: bool) -> Method<'_> {
    Method::BasicPublish { exchange: "", routing_key, mandatory, immediate }
}

/// A whole publish to the default exchange, in frames of at most 4096 bytes.
pub fn publish_bytes(channel: u16, routing_key: &str, properties: &Properties, body: &[u8]) -> Vec<u8> {
    content_bytes(channel, publish_method(routing_key, false, false), properties, body)
}

pub fn content_bytes(channel: u16, method: Method<'_>, properties: &Properties, body: &[u8]) -> Vec<u8> {
    let mut out = method_bytes(channel, method);
    out.extend(header_bytes(channel, 60, body.len() as u64, properties));
    encode_body(channel, body, 4096, &mut out);
    out
}

/// Frames as `channel Method { fields }`, `channel header 5 bytes`, `channel body "hello"`, `heartbeat`.
pub fn shown_frames(mut bytes: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    while let Some((frame, used)) = decode_frame(bytes, u32::MAX).unwrap() {
        let channel = frame.channel;
        shown.push(match frame.kind {
            FrameKind::Method => format!("{channel} {:?}", Method::decode(frame.payload).unwrap()),
            FrameKind::Header => {
                let header = ContentHeader::decode(frame.payload).unwrap();
                assert_eq!(header.class_id, 60);
                format!("{channel} header {} bytes", header.body_size)
            }
            FrameKind::Body => format!("{channel} body {:?}", String::from_utf8_lossy(frame.payload)),
            FrameKind::Heartbeat => "heartbeat".into(),
        });
        bytes = &bytes[used..];
    }
    assert!(bytes.is_empty(), "half a frame was sent");
    shown
}
