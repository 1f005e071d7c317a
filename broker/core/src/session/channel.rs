//! One channel: its modes, its consumers, and what each method does.
//!
//! ```text
//!   channel.open ─▶ Open ──fault──▶ Closing ──close-ok──▶ gone      (Closing: everything but close is ignored)
//!                    └──channel.close from the client───▶ gone
//! ```

use std::borrow::Cow;

use hashbrown::HashMap;
use leveret_protocol::method::Method;
use leveret_protocol::reply_code::ReplyCode;

use crate::fault::Fault;
use crate::message::Message;
use crate::session::confirm::Confirms;
use crate::session::connection::Shared;
use crate::session::delivery::{
    Consumer, GETS_SLOT, Outstanding, REPLIES_SLOT, SLOTS_MAX, Sources, consumer_key, encode_content,
    encode_delivery, slot_of,
};
use crate::session::host::{
    Binding, Consume, ConsumerKey, Delivery, Destination, ExchangeDeclare, Host, QueueDeclare, Routed,
    Settle, Ticket,
};
use crate::session::output::Output;
use crate::session::publish::{Content, Flags, check_properties};
use crate::session::tx::Tx;

/// One channel of a connection, which owns it.
#[derive(Debug)]
pub(super) struct Channel<Q> {
    number: u16,
    /// Set when the channel was closed for a fault and the client has not answered yet.
    pub(super) closing: bool,
    /// Whether the connection has it on its list of channels to flush.
    dirty: bool,
    pub(super) mode: Mode,
    /// Content of a `basic.publish` that has not arrived completely.
    pub(super) content: Option<Box<Content>>,
    outstanding: Outstanding,
    sources: Sources<Q>,
    /// Slots of live consumers, by consumer tag.
    consumers: HashMap<Box<str>, u32>,
    /// The delivery tag given out last.
    last_tag: u64,
    /// The queue that an empty name means.
    last_queue: String,
    /// The window of consumers to come, 0 for none.
    prefetch_count: u16,
    /// The window that all consumers share, 0 for none.
    global_prefetch_count: u16,
    /// Names this channel's gets to queues.
    gets: ConsumerKey,
    /// The direct reply-to consumer.
    replies: Option<Replies>,
    /// What happened here, as far as it does not follow from the fields above.
    counts: Counts,
}

/// Counters of a channel that do not follow from its delivery tags.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    published: u64,
    returned: u64,
    dropped: u64,
    delivered_no_ack: u64,
    got: u64,
    got_no_ack: u64,
    got_nothing: u64,
    redelivered: u64,
}

/// A consumer without a queue, which replies reach at an address of its own.
#[derive(Debug)]
struct Replies {
    tag: Box<str>,
    key: ConsumerKey,
    address: Box<str>,
}

/// How publishes and settles are treated.
#[derive(Debug)]
pub(super) enum Mode {
    Plain,
    Confirm(Confirms),
    Tx(Box<Tx>),
}

/// What a channel can reach of its connection while it handles something.
pub(super) struct Link<'l, H> {
    pub(super) host: &'l mut H,
    pub(super) output: &'l mut Output,
    pub(super) shared: &'l mut Shared,
}

/// A channel as the management API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInfo {
    pub number: u16,
    pub consumer_count: usize,
    pub prefetch_count: u16,
    pub global_prefetch_count: u16,
    pub messages_unacknowledged: usize,
    pub messages_unconfirmed: u64,
    /// Publishes that wait for `tx.commit`.
    pub messages_uncommitted: usize,
    /// Settles that wait for `tx.commit`.
    pub acks_uncommitted: usize,
    pub confirm: bool,
    pub transactional: bool,
    /// The channel was closed for a fault and the client has not answered yet.
    pub closing: bool,
    pub counters: ChannelCounters,
}

/// What happened on a channel since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelCounters {
    pub published: u64,
    pub confirmed: u64,
    /// Unroutable: sent back, or dropped.
    pub returned: u64,
    pub dropped: u64,
    pub delivered: u64,
    pub delivered_no_ack: u64,
    pub got: u64,
    pub got_no_ack: u64,
    /// Gets that found an empty queue.
    pub got_nothing: u64,
    pub redelivered: u64,
    pub acked: u64,
}

impl<Q: Clone + PartialEq> Channel<Q> {
    pub(super) fn new(number: u16, serial: u32) -> Channel<Q> {
        Channel {
            number,
            closing: false,
            dirty: false,
            mode: Mode::Plain,
            content: None,
            outstanding: Outstanding::default(),
            sources: Sources::new(),
            consumers: HashMap::new(),
            last_tag: 0,
            last_queue: String::new(),
            prefetch_count: 0,
            global_prefetch_count: 0,
            gets: consumer_key(serial, GETS_SLOT, number),
            replies: None,
            counts: Counts::default(),
        }
    }

    /// Puts the channel on the list of those to flush.
    #[inline]
    pub(super) fn mark_dirty(&mut self, dirty: &mut Vec<u16>) {
        if !self.dirty {
            self.dirty = true;
            dirty.push(self.number);
        }
    }

    /// Publishes a complete message.
    #[inline]
    pub(super) fn publish<H: Host<Queue = Q>>(
        &mut self,
        message: Message,
        flags: Flags,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        if flags.immediate {
            return Err(Fault::not_implemented("immediate=true"));
        }
        let mut message = message;
        let properties = message.properties();
        check_properties(properties, link.host)?;
        if properties.reply_to() == Some(REPLY_TO) {
            message = self.with_reply_address(&message)?;
        }
        let sequence = match &mut self.mode {
            Mode::Plain => None,
            Mode::Confirm(confirms) => Some(confirms.next_sequence()),
            Mode::Tx(tx) => {
                link.host.check_publish(&message)?;
                return tx.publish(message, flags.mandatory);
            }
        };
        self.route(sequence, message, flags.mandatory, link)?;
        self.counts.published += 1;
        if let Mode::Confirm(confirms) = &mut self.mode {
            confirms.published();
        }
        Ok(())
    }

    /// Hands a message to the host, and back to the client if it is mandatory and reaches no queue.
    #[inline]
    fn route<H: Host<Queue = Q>>(
        &mut self,
        sequence: Option<u64>,
        message: Message,
        mandatory: bool,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        if !mandatory {
            let routed = link.host.publish(self.number, sequence, message)?;
            self.counts.dropped += u64::from(routed == Routed::No);
            return Ok(());
        }
        if link.host.publish(self.number, sequence, message.clone())? == Routed::No {
            link.host.returned();
            self.counts.returned += 1;
            let reply = Method::BasicReturn {
                reply_code: ReplyCode::NoRoute.code(),
                reply_text: ReplyCode::NoRoute.name(),
                exchange: message.exchange(),
                routing_key: message.routing_key(),
            };
            reply.encode(self.number, link.output.buffer());
            encode_content(self.number, &message, 0, link.shared.frame_max, link.output.buffer());
        }
        Ok(())
    }

    /// `basic.ack`, `basic.nack` and `basic.reject`.
    #[inline]
    pub(super) fn settle<H: Host<Queue = Q>>(
        &mut self,
        delivery_tag: u64,
        multiple: bool,
        outcome: Settle,
        host: &mut H,
    ) -> Result<(), Fault> {
        let Channel { number, mode, outstanding, sources, .. } = self;
        match mode {
            Mode::Tx(tx) => {
                outstanding.take(delivery_tag, multiple, |entry| tx.settles.push((entry, outcome)))
            }
            _ => outstanding.take(delivery_tag, multiple, |entry| {
                sources.settle(entry, outcome, *number, host);
            }),
        }
    }

    /// Tells queues what was settled since the last time.
    #[inline]
    pub(super) fn flush_settles<H: Host<Queue = Q>>(&mut self, host: &mut H) {
        self.sources.flush(self.number, host);
    }

    /// What was published since the last time has reached its queues: the flush is over.
    #[inline]
    pub(super) fn publishes_flushed(
        &mut self,
        after: Ticket,
        mut rejected: impl Iterator<Item = u64>,
        durable: Ticket,
        output: &mut Output,
    ) {
        self.dirty = false;
        match &mut self.mode {
            Mode::Plain => {}
            Mode::Confirm(confirms) => {
                confirms.flushed(after, rejected, self.number, output.buffer());
                confirms.durable_advanced(durable, self.number, output.buffer());
            }
            Mode::Tx(tx) => tx.rejected |= rejected.next().is_some(),
        }
    }

    /// Confirms what is safe now.
    pub(super) fn durable_advanced(&mut self, durable: Ticket, output: &mut Output) {
        if let Mode::Confirm(confirms) = &mut self.mode {
            confirms.durable_advanced(durable, self.number, output.buffer());
        }
    }

    /// Sends a delivery; false if its consumer is gone.
    #[inline]
    pub(super) fn deliver(&mut self, delivery: &Delivery, frame_max: u32, output: &mut Output) -> bool {
        let slot = slot_of(delivery.consumer);
        let Some(source) = self.sources.get(slot) else {
            return self.deliver_reply(delivery, frame_max, output);
        };
        let Some(consumer) = source.consumer.as_ref().filter(|_| source.key == delivery.consumer) else {
            return false;
        };
        self.last_tag += 1;
        encode_delivery(self.number, &consumer.tag, self.last_tag, delivery, frame_max, output.buffer());
        self.counts.redelivered += u64::from(delivery.redelivered);
        if consumer.no_ack {
            self.counts.delivered_no_ack += 1;
        } else {
            self.outstanding.push(self.last_tag, slot, delivery.id);
            self.sources.delivered(slot);
        }
        true
    }

    /// Sends a reply; false if it is for another consumer.
    #[cold]
    fn deliver_reply(&mut self, delivery: &Delivery, frame_max: u32, output: &mut Output) -> bool {
        let Some(replies) = self.replies.as_ref().filter(|replies| replies.key == delivery.consumer) else {
            return false;
        };
        self.last_tag += 1;
        self.counts.delivered_no_ack += 1;
        encode_delivery(self.number, &replies.tag, self.last_tag, delivery, frame_max, output.buffer());
        true
    }

    /// The message with the address of this channel's reply consumer in place of the name that asks for it.
    #[cold]
    fn with_reply_address(&self, message: &Message) -> Result<Message, Fault> {
        let Some(replies) = &self.replies else {
            return Err(Fault::precondition_failed("fast reply consumer does not exist"));
        };
        let properties = message.properties().with_reply_to(&replies.address);
        Ok(message.rewritten(message.exchange(), message.routing_key(), &properties, false))
    }

    /// Ends the direct reply-to consumer if it has this tag.
    pub(super) fn cancel_replies<H: Host<Queue = Q>>(&mut self, consumer_tag: &str, host: &mut H) {
        if self.replies.as_ref().is_some_and(|replies| *replies.tag == *consumer_tag) {
            self.replies = None;
            host.cancel_replies(self.number);
        }
    }

    /// True when a consumer here has this tag.
    pub(super) fn has_consumer(&self, consumer_tag: &str) -> bool {
        self.consumers.contains_key(consumer_tag)
            || self.replies.as_ref().is_some_and(|replies| *replies.tag == *consumer_tag)
    }

    /// Queue and key of the consumer with this tag.
    pub(super) fn consumer(&self, consumer_tag: &str) -> Option<(&Q, ConsumerKey)> {
        let slot = *self.consumers.get(consumer_tag)?;
        self.sources.get(slot).map(|source| (&source.queue, source.key))
    }

    /// Whether the client has yet to settle something that came by `key`.
    pub(super) fn holds(&self, key: ConsumerKey) -> bool {
        self.sources.holds(key)
    }

    /// Forgets a consumer that its queue has forgotten, and gives back its tag. What it holds stays outstanding.
    pub(super) fn forget_consumer(&mut self, key: ConsumerKey) -> Option<Box<str>> {
        let slot = slot_of(key);
        let source = self.sources.get(slot).filter(|source| source.key == key)?;
        let tag = source.consumer.as_ref()?.tag.clone();
        self.consumers.remove(&tag);
        self.sources.cancel(slot);
        Some(tag)
    }

    /// Lets go everything after the host was told that the channel is closed.
    pub(super) fn close(&mut self) {
        let (number, dirty) = (self.number, self.dirty);
        *self = Channel { closing: true, dirty, ..Channel::new(number, 0) };
    }

    /// The methods that are answered. Those that are many (publishes, settles) have functions of their own, and so
    /// have those that need more of the connection (open, close, cancel, commit).
    pub(super) fn handle_method<H: Host<Queue = Q>>(
        &mut self,
        method: &Method<'_>,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        match *method {
            Method::AccessRequest { .. } => {
                self.reply(&Method::AccessRequestOk { ticket: 1 }, Ticket::default(), false, link);
            }
            Method::ChannelFlow { active: true } => {
                self.reply(&Method::ChannelFlowOk { active: true }, Ticket::default(), false, link);
            }
            Method::ChannelFlow { active: false } => return Err(Fault::not_implemented("active=false")),

            Method::ExchangeDeclare { no_wait, .. } => {
                let after = exchange_declare(method, link.host)?;
                self.reply(&Method::ExchangeDeclareOk {}, after, no_wait, link);
            }
            Method::ExchangeDelete { exchange, if_unused, no_wait } => {
                let after = link.host.exchange_delete(&clean(exchange), if_unused)?;
                self.reply(&Method::ExchangeDeleteOk {}, after, no_wait, link);
            }
            Method::ExchangeBind { destination, source, routing_key, no_wait, arguments } => {
                let (source, destination) = (clean(source), clean(destination));
                let destination = Destination::Exchange(&destination);
                let binding = Binding { source: &source, destination, routing_key, arguments };
                let after = link.host.bind(binding)?;
                self.reply(&Method::ExchangeBindOk {}, after, no_wait, link);
            }
            Method::ExchangeUnbind { destination, source, routing_key, no_wait, arguments } => {
                let (source, destination) = (clean(source), clean(destination));
                let destination = Destination::Exchange(&destination);
                let binding = Binding { source: &source, destination, routing_key, arguments };
                let after = link.host.unbind(binding)?;
                self.reply(&Method::ExchangeUnbindOk {}, after, no_wait, link);
            }

            Method::QueueDeclare { no_wait, .. } => self.queue_declare(method, no_wait, link)?,
            Method::QueueBind { queue, exchange, routing_key, no_wait, arguments } => {
                let routing_key = self.routing_key_or_last(queue, routing_key)?;
                let (queue, source) = (self.queue_or_last(queue)?, clean(exchange));
                let destination = Destination::Queue(&queue);
                let after =
                    link.host.bind(Binding { source: &source, destination, routing_key, arguments })?;
                self.reply(&Method::QueueBindOk {}, after, no_wait, link);
            }
            Method::QueueUnbind { queue, exchange, routing_key, arguments } => {
                let routing_key = self.routing_key_or_last(queue, routing_key)?;
                let (queue, source) = (self.queue_or_last(queue)?, clean(exchange));
                let destination = Destination::Queue(&queue);
                let after =
                    link.host.unbind(Binding { source: &source, destination, routing_key, arguments })?;
                self.reply(&Method::QueueUnbindOk {}, after, false, link);
            }
            Method::QueuePurge { queue, no_wait } => {
                let (message_count, after) = link.host.queue_purge(&self.queue_or_last(queue)?)?;
                self.reply(&Method::QueuePurgeOk { message_count }, after, no_wait, link);
            }
            Method::QueueDelete { queue, if_unused, if_empty, no_wait } => {
                let queue = self.queue_or_last(queue)?;
                let (message_count, after) = link.host.queue_delete(&queue, if_unused, if_empty)?;
                self.reply(&Method::QueueDeleteOk { message_count }, after, no_wait, link);
            }

            Method::BasicQos { prefetch_size, prefetch_count, global } => {
                self.qos(prefetch_size, prefetch_count, global, link)?;
            }
            Method::BasicConsume { .. } => self.consume(method, link)?,
            Method::BasicGet { queue, no_ack } => self.get(queue, no_ack, link)?,
            Method::BasicRecover { requeue } => {
                self.recover(requeue, link.host)?;
                self.reply(&Method::BasicRecoverOk {}, Ticket::default(), false, link);
            }
            Method::BasicRecoverAsync { requeue } => self.recover(requeue, link.host)?,

            Method::ConfirmSelect { no_wait } => {
                match self.mode {
                    Mode::Plain => self.mode = Mode::Confirm(Confirms::default()),
                    Mode::Confirm(_) => {}
                    Mode::Tx(_) => {
                        return Err(Fault::precondition_failed("cannot switch from tx to confirm mode"));
                    }
                }
                self.reply(&Method::ConfirmSelectOk {}, Ticket::default(), no_wait, link);
            }
            Method::TxSelect {} => {
                match self.mode {
                    Mode::Plain => self.mode = Mode::Tx(Box::default()),
                    Mode::Tx(_) => {}
                    Mode::Confirm(_) => {
                        return Err(Fault::precondition_failed("cannot switch from confirm to tx mode"));
                    }
                }
                self.reply(&Method::TxSelectOk {}, Ticket::default(), false, link);
            }
            Method::TxRollback {} => {
                self.rollback()?;
                self.reply(&Method::TxRollbackOk {}, Ticket::default(), false, link);
            }

            _ => return Err(Fault::connection(ReplyCode::CommandInvalid, "unimplemented method")),
        }
        Ok(())
    }

    /// First half of `tx.commit`: everything goes to its queues. After the host's flush comes
    /// [`Channel::finish_commit`].
    pub(super) fn begin_commit<H: Host<Queue = Q>>(&mut self, link: &mut Link<'_, H>) -> Result<(), Fault> {
        let Mode::Tx(tx) = &mut self.mode else {
            return Err(Fault::precondition_failed("channel is not transactional"));
        };
        let (publishes, settles) = (tx.take_publishes(), std::mem::take(&mut tx.settles));
        let mut sequence = tx.sequence;
        tx.sequence += publishes.len() as u64;
        tx.rejected = false;
        for publish in publishes {
            sequence += 1;
            self.route(Some(sequence), publish.message, publish.mandatory, link)?;
            self.counts.published += 1;
        }
        for (entry, outcome) in settles {
            self.sources.settle(entry, outcome, self.number, link.host);
        }
        Ok(())
    }

    /// Second half of `tx.commit`: answers once the publishes are safe.
    pub(super) fn finish_commit<H: Host<Queue = Q>>(
        &mut self,
        after: Ticket,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        if let Mode::Tx(tx) = &self.mode
            && tx.rejected
        {
            return Err(Fault::precondition_failed("partial tx completion"));
        }
        self.reply(&Method::TxCommitOk {}, after, false, link);
        Ok(())
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// The ticket that the last unconfirmed publish waits for.
    #[inline]
    pub(super) fn awaited(&self) -> Option<Ticket> {
        match &self.mode {
            Mode::Confirm(confirms) => confirms.awaited(),
            _ => None,
        }
    }

    /// The channel as the management API shows it.
    pub(super) fn info(&self) -> ChannelInfo {
        let tx = match &self.mode {
            Mode::Tx(tx) => Some(tx),
            _ => None,
        };
        ChannelInfo {
            number: self.number,
            consumer_count: self.consumers.len(),
            prefetch_count: self.prefetch_count,
            global_prefetch_count: self.global_prefetch_count,
            messages_unacknowledged: self.outstanding.len(),
            messages_unconfirmed: match &self.mode {
                Mode::Confirm(confirms) => confirms.unconfirmed(),
                _ => 0,
            },
            messages_uncommitted: tx.map_or(0, |tx| tx.publishes.len()),
            acks_uncommitted: tx.map_or(0, |tx| tx.settles.len()),
            confirm: matches!(self.mode, Mode::Confirm(_)),
            transactional: tx.is_some(),
            closing: self.closing,
            counters: self.counters(),
        }
    }

    fn counters(&self) -> ChannelCounters {
        let Counts {
            published,
            returned,
            dropped,
            delivered_no_ack,
            got,
            got_no_ack,
            got_nothing,
            redelivered,
        } = self.counts;
        ChannelCounters {
            published,
            confirmed: match &self.mode {
                Mode::Confirm(confirms) => confirms.answered(),
                _ => 0,
            },
            returned,
            dropped,
            // Every delivery has a tag of its own, by whichever way it went.
            delivered: self.last_tag - delivered_no_ack - got - got_no_ack,
            delivered_no_ack,
            got,
            got_no_ack,
            got_nothing,
            redelivered,
            acked: self.sources.acked(),
        }
    }

    fn queue_declare<H: Host<Queue = Q>>(
        &mut self,
        method: &Method<'_>,
        no_wait: bool,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        let &Method::QueueDeclare { queue, passive, durable, exclusive, auto_delete, arguments, .. } = method
        else {
            return Ok(());
        };
        let queue = &clean(queue);
        let request = QueueDeclare { queue, passive, durable, exclusive, auto_delete, arguments };
        let declared = link.host.queue_declare(request)?;
        let reply = Method::QueueDeclareOk {
            queue: &declared.queue,
            message_count: declared.message_count,
            consumer_count: declared.consumer_count,
        };
        self.reply(&reply, declared.after, no_wait, link);
        self.last_queue = declared.queue;
        Ok(())
    }

    fn qos<H: Host<Queue = Q>>(
        &mut self,
        prefetch_size: u32,
        prefetch_count: u16,
        global: bool,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        if prefetch_size != 0 {
            return Err(Fault::not_implemented(format!("prefetch_size!=0 ({prefetch_size})")));
        }
        let global_prefetch_count = if global {
            prefetch_count
        } else {
            // A window per consumer replaces the shared one, as in RabbitMQ.
            self.prefetch_count = prefetch_count;
            0
        };
        if self.global_prefetch_count != global_prefetch_count {
            self.global_prefetch_count = global_prefetch_count;
            link.host.channel_prefetch(self.number, global_prefetch_count);
        }
        self.reply(&Method::BasicQosOk {}, Ticket::default(), false, link);
        Ok(())
    }

    fn consume<H: Host<Queue = Q>>(
        &mut self,
        method: &Method<'_>,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        let &Method::BasicConsume { queue, consumer_tag, no_ack, exclusive, no_wait, arguments, .. } = method
        else {
            return Ok(());
        };
        if self.consumers.contains_key(consumer_tag) {
            return Err(Fault::not_allowed(format!("attempt to reuse consumer tag '{consumer_tag}'")));
        }
        if queue == REPLY_TO {
            return self.consume_replies(consumer_tag, no_ack, no_wait, link);
        }
        let Some(slot) = self.sources.next_slot() else {
            return Err(Fault::not_allowed(format!(
                "reached maximum ({SLOTS_MAX}) of consumers per channel"
            )));
        };
        let queue = self.queue_or_last(queue)?;
        let consumer_tag: Box<str> = match consumer_tag {
            "" => link.shared.next_consumer_tag().into(),
            chosen => chosen.into(),
        };
        let key = consumer_key(link.shared.next_serial(), slot as u16, self.number);
        let consume = Consume {
            channel: self.number,
            key,
            queue: &queue,
            consumer_tag: &consumer_tag,
            no_ack,
            exclusive,
            prefetch_count: self.prefetch_count,
            arguments,
        };
        let handle = link.host.consume(consume)?;
        let consume_ok = Method::BasicConsumeOk { consumer_tag: &consumer_tag };
        self.reply(&consume_ok, Ticket::default(), no_wait, link);
        self.consumers.insert(consumer_tag.clone(), slot);
        let inserted = self.sources.insert(handle, key, Some(Consumer { tag: consumer_tag, no_ack }));
        debug_assert_eq!(inserted, slot);
        Ok(())
    }

    /// `basic.consume` of the name that stands for direct replies.
    fn consume_replies<H: Host<Queue = Q>>(
        &mut self,
        consumer_tag: &str,
        no_ack: bool,
        no_wait: bool,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        if self.replies.is_some() {
            return Err(Fault::precondition_failed("reply consumer already set"));
        }
        if !no_ack {
            return Err(Fault::precondition_failed("reply consumer cannot acknowledge"));
        }
        let tag: Box<str> = match consumer_tag {
            "" => link.shared.next_consumer_tag().into(),
            chosen => chosen.into(),
        };
        let key = consumer_key(link.shared.next_serial(), REPLIES_SLOT, self.number);
        let address = link.host.consume_replies(self.number, key)?;
        self.reply(&Method::BasicConsumeOk { consumer_tag: &tag }, Ticket::default(), no_wait, link);
        self.replies = Some(Replies { tag, key, address });
        Ok(())
    }

    fn get<H: Host<Queue = Q>>(
        &mut self,
        queue: &str,
        no_ack: bool,
        link: &mut Link<'_, H>,
    ) -> Result<(), Fault> {
        let queue = self.queue_or_last(queue)?;
        let (handle, got) = link.host.get(self.number, self.gets, &queue, no_ack)?;
        let Some(got) = got else {
            self.counts.got_nothing += 1;
            self.reply(&Method::BasicGetEmpty {}, Ticket::default(), false, link);
            return Ok(());
        };
        self.last_tag += 1;
        self.counts.redelivered += u64::from(got.redelivered);
        if no_ack {
            self.counts.got_no_ack += 1;
        } else {
            self.counts.got += 1;
            let Some(slot) = self.sources.get_slot(&handle, self.gets) else {
                let text = "deliveries from too many queues are outstanding";
                return Err(Fault::connection(ReplyCode::ResourceError, text));
            };
            self.outstanding.push(self.last_tag, slot, got.id);
            self.sources.delivered(slot);
        }
        let get_ok = Method::BasicGetOk {
            delivery_tag: self.last_tag,
            redelivered: got.redelivered,
            exchange: got.message.exchange(),
            routing_key: got.message.routing_key(),
            message_count: got.remaining,
        };
        get_ok.encode(self.number, link.output.buffer());
        let (frame_max, out) = (link.shared.frame_max, link.output.buffer());
        encode_content(self.number, &got.message, got.delivery_count, frame_max, out);
        Ok(())
    }

    fn recover<H: Host<Queue = Q>>(&mut self, requeue: bool, host: &mut H) -> Result<(), Fault> {
        if !requeue {
            return Err(Fault::not_implemented("requeue=false"));
        }
        let Channel { number, outstanding, sources, .. } = self;
        outstanding.take_all(|entry| sources.settle(entry, Settle::Requeue, *number, host));
        sources.flush(*number, host);
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Fault> {
        let Mode::Tx(tx) = &mut self.mode else {
            return Err(Fault::precondition_failed("channel is not transactional"));
        };
        tx.take_publishes();
        let settles = std::mem::take(&mut tx.settles);
        self.outstanding.restore(settles.into_iter().map(|(entry, _)| entry));
        Ok(())
    }

    /// Answers, unless the client asked not to, once `after` is durable.
    pub(super) fn reply<H>(&self, reply: &Method<'_>, after: Ticket, no_wait: bool, link: &mut Link<'_, H>) {
        if !no_wait {
            link.output.hold_until(after);
            reply.encode(self.number, link.output.buffer());
        }
    }

    /// An empty queue name means the one declared last on this channel.
    fn queue_or_last<'q>(&'q self, queue: &'q str) -> Result<Cow<'q, str>, Fault> {
        match (queue, self.last_queue.as_str()) {
            ("", "") => Err(Fault::not_found("no previously declared queue")),
            ("", last) => Ok(Cow::Borrowed(last)),
            (queue, _) => Ok(clean(queue)),
        }
    }

    /// An empty routing key beside an empty queue name means the name of the queue declared last.
    fn routing_key_or_last<'q>(&'q self, queue: &str, routing_key: &'q str) -> Result<&'q str, Fault> {
        match (queue, routing_key, self.last_queue.as_str()) {
            ("", "", "") => Err(Fault::not_found("no previously declared queue")),
            ("", "", last) => Ok(last),
            _ => Ok(routing_key),
        }
    }
}

fn exchange_declare<H: Host>(method: &Method<'_>, host: &mut H) -> Result<Ticket, Fault> {
    let &Method::ExchangeDeclare {
        exchange,
        kind,
        passive,
        durable,
        auto_delete,
        internal,
        no_wait: _,
        arguments,
    } = method
    else {
        return Ok(Ticket::default());
    };
    let exchange = &clean(exchange);
    host.exchange_declare(ExchangeDeclare {
        exchange,
        kind,
        passive,
        durable,
        auto_delete,
        internal,
        arguments,
    })
}

/// The queue name and reply-to address that stand for the direct reply-to consumer of the channel that uses them.
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// A name without line ends, which RabbitMQ strips from the names of queues and exchanges.
fn clean(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) { Cow::Owned(name.replace(['\r', '\n'], "")) } else { Cow::Borrowed(name) }
}
