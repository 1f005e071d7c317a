//! What a session asks of the broker around it.
//!
//! Every call answers in the same turn and none blocks, except authentication, whose answer arrives later through
//! `Connection::authenticated`. What has to reach the disk first comes back as a [`Ticket`]; the session holds its
//! reply until the ticket is durable.

use std::ops::Range;

use leveret_protocol::table::{RawTable, Table};

use crate::fault::Fault;
use crate::message::Message;

/// A point in the store's history: durable once the store's watermark has reached it. Zero is durable from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Ticket(pub u64);

/// A consumer, or a channel's `basic.get`s, as one connection names it to queues: never reused on that connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey(pub u64);

/// One hand-over of one message by one queue: what a queue is told to settle. Rises with every delivery of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// How outstanding deliveries end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Done: the queue forgets the message.
    Ack,
    /// Back to the queue, by `basic.nack` or `basic.recover`.
    Requeue,
    /// Back to the queue, by `basic.reject`: counts against a delivery limit where nack does not.
    RejectRequeue,
    /// Refused: dead-lettered where the queue says so, else dropped.
    Reject,
}

/// A message on its way to a consumer of this connection.
#[derive(Debug)]
pub struct Delivery {
    /// The consumer that gets it.
    pub consumer: ConsumerKey,
    /// What to settle it by.
    pub id: DeliveryId,
    /// True when it may have been delivered before.
    pub redelivered: bool,
    /// `x-delivery-count` for queues that keep it: how often it was returned; 0 adds no header.
    pub delivery_count: u32,
    /// The message.
    pub message: Message,
}

/// `exchange.declare`, decoded.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeDeclare<'a> {
    pub exchange: &'a str,
    pub kind: &'a str,
    pub passive: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: RawTable<'a>,
}

/// `queue.declare`, decoded.
#[derive(Debug, Clone, Copy)]
pub struct QueueDeclare<'a> {
    /// Empty asks for a server-generated name.
    pub queue: &'a str,
    pub passive: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub arguments: RawTable<'a>,
}

/// The answer to `queue.declare`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclared {
    pub queue: String,
    /// Ready messages.
    pub message_count: u32,
    pub consumer_count: u32,
    pub after: Ticket,
}

/// `queue.bind`, `queue.unbind`, `exchange.bind` and `exchange.unbind`, decoded.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    pub source: &'a str,
    pub destination: Destination<'a>,
    pub routing_key: &'a str,
    pub arguments: RawTable<'a>,
}

/// Where a binding leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    Queue(&'a str),
    Exchange(&'a str),
}

/// `basic.consume`, decoded; the tag is already chosen.
#[derive(Debug, Clone, Copy)]
pub struct Consume<'a> {
    pub channel: u16,
    pub key: ConsumerKey,
    pub queue: &'a str,
    pub consumer_tag: &'a str,
    pub no_ack: bool,
    pub exclusive: bool,
    /// The consumer's own window, 0 for none.
    pub prefetch_count: u16,
    pub arguments: RawTable<'a>,
}

/// The answer to `basic.get`.
#[derive(Debug)]
pub struct Got {
    pub id: DeliveryId,
    pub redelivered: bool,
    pub delivery_count: u32,
    pub message: Message,
    /// Ready messages left behind it.
    pub remaining: u32,
}

/// Whether a published message reached a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    Yes,
    No,
}

/// What became of the publishes since the last flush.
#[derive(Debug, Default)]
pub struct Receipts {
    /// All of them are safe once this is durable.
    pub after: Ticket,
    /// Channel and publish sequence number of those that a queue refused: answered with `basic.nack`.
    pub rejected: Vec<(u16, u64)>,
}

/// The broker, as one connection sees it.
pub trait Host {
    /// A handle to a queue; cheap to clone, compared by identity.
    type Queue: Clone + PartialEq;

    // ---- connection ----------------------------------------------------------------------------------------

    /// Starts checking a login. The answer comes through `Connection::authenticated`.
    fn authenticate(&mut self, mechanism: &str, response: &[u8]);
    /// The client's properties, sent with `connection.start-ok`.
    fn client_properties(&mut self, properties: &Table);
    /// Negotiated limits, known at `connection.tune-ok`.
    fn tuned(&mut self, channel_max: u16, frame_max: u32, heartbeat_s: u16);
    /// `connection.open`.
    fn open(&mut self, vhost: &str) -> Result<(), Fault>;
    /// `connection.update-secret`.
    fn update_secret(&mut self, secret: &[u8], reason: &str) -> Result<(), Fault>;
    /// The user's name, "" before the login.
    fn user(&self) -> &str;
    /// True when the user may publish in other users' names (tag `impersonator`).
    fn may_impersonate(&self) -> bool;
    /// The connection ends: its exclusive queues go. Called once, after its channels were closed and before the peer
    /// can learn of it.
    fn closed(&mut self);
    /// A channel (0 for the connection) ends because of a fault, which is about to be answered: for the log.
    fn faulted(&mut self, _channel: u16, _fault: &Fault) {}

    // ---- channels ------------------------------------------------------------------------------------------

    fn channel_opened(&mut self, channel: u16) -> Result<(), Fault>;
    /// The channel is gone: its consumers and `basic.get`s return what they hold.
    fn channel_closed(&mut self, channel: u16);
    /// Channel-wide window (`basic.qos` with global), 0 for none.
    fn channel_prefetch(&mut self, channel: u16, count: u16);

    // ---- topology ------------------------------------------------------------------------------------------

    fn exchange_declare(&mut self, request: ExchangeDeclare<'_>) -> Result<Ticket, Fault>;
    fn exchange_delete(&mut self, exchange: &str, if_unused: bool) -> Result<Ticket, Fault>;
    fn queue_declare(&mut self, request: QueueDeclare<'_>) -> Result<QueueDeclared, Fault>;
    /// The number of ready messages deleted with it; 0 for a queue that does not exist.
    fn queue_delete(&mut self, queue: &str, if_unused: bool, if_empty: bool) -> Result<(u32, Ticket), Fault>;
    /// The number of messages purged.
    fn queue_purge(&mut self, queue: &str) -> Result<(u32, Ticket), Fault>;
    fn bind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault>;
    fn unbind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault>;

    // ---- messages ------------------------------------------------------------------------------------------

    /// Routes a message and groups it with others for the same queues. `sequence` is its number in confirm mode.
    ///
    /// Nothing reaches a queue before [`Host::flush`]; whether any queue will get it is known at once.
    fn publish(&mut self, channel: u16, sequence: Option<u64>, message: Message) -> Result<Routed, Fault>;
    /// A message that no queue would get went back to its publisher.
    fn returned(&mut self) {}
    /// Whether [`Host::publish`] would accept this message: what is told to a client at once whose publishes wait for
    /// `tx.commit`.
    fn check_publish(&mut self, message: &Message) -> Result<(), Fault>;
    /// Hands the grouped messages to their queues. The session calls it at the end of every read and before any
    /// request whose answer could depend on them.
    fn flush(&mut self, receipts: &mut Receipts);

    /// Starts a consumer. Deliveries may arrive before this returns; they are read with [`Host::take_deliveries`].
    fn consume(&mut self, consume: Consume<'_>) -> Result<Self::Queue, Fault>;
    /// Starts the channel's direct reply-to consumer, under `key`, and gives back the address at which it is reached: a
    /// routing key of the default exchange that nobody can guess.
    fn consume_replies(&mut self, channel: u16, key: ConsumerKey) -> Result<Box<str>, Fault>;
    /// Ends the channel's direct reply-to consumer; [`Host::channel_closed`] does that too.
    fn cancel_replies(&mut self, channel: u16);
    /// Ends a consumer; what it holds stays with the channel. After this the queue sends it nothing more.
    fn cancel(&mut self, queue: &Self::Queue, key: ConsumerKey);
    /// Appends the deliveries that wait for this connection.
    fn take_deliveries(&mut self, deliveries: &mut Vec<Delivery>);
    /// Takes a message for `basic.get`. `key` names the channel's gets.
    fn get(
        &mut self,
        channel: u16,
        key: ConsumerKey,
        queue: &str,
        no_ack: bool,
    ) -> Result<(Self::Queue, Option<Got>), Fault>;
    /// Ends outstanding deliveries of one queue and consumer. Ranges are in rising order.
    fn settle(
        &mut self,
        channel: u16,
        queue: &Self::Queue,
        key: ConsumerKey,
        outcome: Settle,
        deliveries: &[Range<u64>],
    );
    /// How far the store has synced.
    fn durable(&self) -> Ticket;
}
