//! The queue machine: publish, deliver, settle, requeue, page.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ConnectionId;
use super::consumers::{Consumer, Consumers, Subscription};
use super::expiry::Run;
use super::lane::{Entry, Lane, Paged};
use super::outstanding::{Held, Outstanding};
use super::retry::Retry;
use crate::message::Message;
use crate::session::host::{ConsumerKey, Delivery, DeliveryId, Settle};

/// What a queue is set up to do; arguments and policies come down to this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Persistent messages are stored.
    pub durable: bool,
    /// The highest priority kept apart; `None` for a plain FIFO.
    pub max_priority: Option<u8>,
    pub single_active: bool,
    /// How long a message may wait, in milliseconds.
    pub message_ttl_ms: Option<u64>,
    /// Ready messages allowed.
    pub max_length: Option<u64>,
    /// Bytes of ready bodies allowed.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    /// Returns allowed before a message is given up.
    pub delivery_limit: Option<u32>,
    /// Deliveries carry how often the message was returned.
    pub shows_delivery_count: bool,
    /// Messages that die go to [`Effects::dead_letter`] instead of being dropped.
    pub dead_letters: bool,
    /// How long a consumer may hold a message, in milliseconds.
    pub consumer_timeout_ms: Option<u64>,
    /// Returned messages wait before they are ready again.
    pub retry: Option<Retry>,
    /// Returns of any kind allowed before a message is given up.
    pub retry_limit: Option<u32>,
    /// Messages expire wherever they stand, not only at the front.
    pub expires_anywhere: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            durable: false,
            max_priority: None,
            single_active: false,
            message_ttl_ms: None,
            max_length: None,
            max_length_bytes: None,
            overflow: Overflow::DropHead,
            delivery_limit: None,
            shows_delivery_count: false,
            dead_letters: false,
            consumer_timeout_ms: None,
            retry: None,
            retry_limit: None,
            expires_anywhere: true,
        }
    }
}

/// What gives way when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The oldest message.
    #[default]
    DropHead,
    /// The new message: its publisher gets a negative confirm.
    RejectPublish,
    /// As [`Overflow::RejectPublish`], and the new message is dead-lettered.
    RejectPublishDlx,
}

/// Why a message died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadReason {
    Rejected,
    Expired,
    MaxLen,
    DeliveryLimit,
}

impl DeadReason {
    /// What dead letters say.
    pub fn name(self) -> &'static str {
        match self {
            DeadReason::Rejected => "rejected",
            DeadReason::Expired => "expired",
            DeadReason::MaxLen => "maxlen",
            DeadReason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// The circumstances of a call.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// Milliseconds since the epoch.
    pub now_ms: u64,
    /// Bytes of ready messages that each lane may keep in memory.
    pub window_bytes: usize,
    /// Memory is short: delivered messages that the store has are not kept in memory too.
    pub tight: bool,
}

/// What a queue does to the world.
pub trait Effects {
    /// Asks whether a consumer's connection and channel have room for a message now; taking the room if so. When
    /// the answer is no, the shell calls [`Machine::resume`] once there is room.
    fn may_deliver(&mut self, consumer: u32) -> bool;
    /// Hands a message to a consumer.
    fn deliver(&mut self, consumer: u32, delivery: Delivery);
    /// Gives a message to the store. A transient one is only paged out and does not outlive the broker.
    fn store(&mut self, lane: u8, position: u64, expires_at_ms: u64, transient: bool, message: &Message);
    /// Tells the store that positions are settled. Every position that was stored is named once.
    fn forget(&mut self, lane: u8, positions: Range<u64>);
    /// Asks the store for what it has in `positions`; answered with [`Machine::loaded`].
    fn load(&mut self, lane: u8, positions: Range<u64>);
    /// Notes that nothing at or above `position` was ever delivered; answered with [`Machine::marked`] once that is
    /// durable.
    fn delivered_upto(&mut self, lane: u8, position: u64);
    /// Notes that a stored message was returned for the `returns`th time and is not ready before a moment, 0 for at once.
    /// It comes back with [`LoadedMessage`].
    fn returned(&mut self, lane: u8, position: u64, returns: u32, ready_at_ms: u64);
    /// Asks the store what has expired in `positions` by now; answered with [`Machine::looked`].
    fn look(&mut self, lane: u8, positions: Range<u64>);
    /// A message died. When it is stored, the shell tells the store once it is safe elsewhere.
    fn dead_letter(&mut self, lane: u8, entry: Entry, reason: DeadReason);
    /// A consumer's slot is free again.
    fn consumer_gone(&mut self, consumer: u32);
}

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// In the queue.
    Accepted,
    /// The queue is full and refuses new messages.
    Rejected,
}

/// The answer to a get.
#[derive(Debug)]
pub enum GetOutcome {
    /// A message, and how many ready ones are behind it.
    Message(Delivery, u64),
    /// Nothing is ready.
    Empty,
    /// The next message is on disk: load these positions, then ask again.
    NotLoaded(u8, Range<u64>),
    /// That it may be delivered has to be durable first: wait for [`Machine::marked`], then ask again.
    NotMarked,
}

/// Why a consumer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody consumes exclusively; or exclusivity was asked for, and somebody consumes or is to take turns with others
    /// (single active consumer).
    InExclusiveUse,
}

/// A message as the store gives it back.
#[derive(Debug)]
pub struct LoadedMessage {
    pub position: u64,
    pub expires_at_ms: u64,
    /// How often it was returned.
    pub returns: u32,
    /// When it is ready, 0 for at once.
    pub ready_at_ms: u64,
    pub message: Message,
}

/// A queue in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    pub ready: u64,
    pub ready_bytes: u64,
    pub unacked: u64,
    pub unacked_bytes: u64,
    pub consumers: u64,
    /// Bytes of memory that ready messages take.
    pub resident_bytes: u64,
    /// Ready messages that are on disk only.
    pub paged: u64,
    /// Returned messages that are not ready yet.
    pub waiting: u64,
    /// Nothing is handed out.
    pub paused: bool,
}

/// One queue.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    /// By priority; one lane when the queue has none.
    lanes: Vec<Lane>,
    marks: Vec<DeliveryMark>,
    outstanding: Outstanding,
    consumers: Consumers,
    /// Returned messages, by the moment at which they are ready, lane and position. Those that the store has need not be
    /// in memory.
    waiting: BTreeMap<(u64, u8, u64), Entry>,
    /// Bytes of memory that these take.
    waiting_bytes: usize,
    ready: u64,
    /// Nothing is handed out while set.
    paused: bool,
}

/// What is known about deliveries of a lane, for the redelivered flag after a crash.
///
/// A stored message leaves only once it is durable that it may have: after a crash it then comes back with the flag
/// set, at any moment of the crash. The mark runs ahead of deliveries, so that they wait for it once at most.
#[derive(Debug, Clone, Copy, Default)]
struct DeliveryMark {
    /// One above the highest position handed out.
    upto: u64,
    /// What the store was told: ahead of `upto`, so that it is told rarely.
    told: u64,
    /// What the store has made durable of that.
    safe: u64,
    /// Recovered messages below this may have been delivered before the restart.
    recovered: u64,
}

impl Machine {
    /// An empty queue.
    pub fn new(config: Config) -> Machine {
        let lanes = usize::from(config.max_priority.unwrap_or(0)) + 1;
        let consumers = Consumers::new(config.single_active);
        Machine {
            lanes: (0..lanes).map(|_| new_lane(&config)).collect(),
            marks: vec![DeliveryMark::default(); lanes],
            outstanding: Outstanding::default(),
            consumers,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            ready: 0,
            paused: false,
            config,
        }
    }

    /// Takes on other options, as policies give them. What a queue is for life stays as it was: durable or not, its
    /// priorities, one active consumer or many. When waiting messages expire was settled as they came. Call
    /// [`Machine::deliver`] afterwards.
    pub fn reconfigure(&mut self, config: Config, effects: &mut impl Effects) {
        let Config { durable, max_priority, single_active, .. } = self.config;
        self.config = Config { durable, max_priority, single_active, ..config };
        for lane in &mut self.lanes {
            lane.expire_anywhere(self.config.expires_anywhere);
        }
        self.enforce_length(effects);
    }

    /// Adds what the store holds of a lane, after a restart and before anything else happens.
    pub fn recover(&mut self, lane: u8, paged: Paged, next_position: u64, delivered_upto: u64) {
        let lane = usize::from(lane);
        if lane >= self.lanes.len() {
            self.lanes.resize_with(lane + 1, || new_lane(&self.config));
            self.marks.resize(lane + 1, DeliveryMark::default());
        }
        self.ready += paged.count;
        self.lanes[lane] = Lane::recovered(paged, next_position);
        self.lanes[lane].expire_anywhere(self.config.expires_anywhere);
        self.marks[lane] =
            DeliveryMark { upto: 0, told: delivered_upto, safe: delivered_upto, recovered: delivered_upto };
    }

    /// Takes a message in. Nothing is handed out before [`Machine::deliver`], except on a queue with a length limit.
    pub fn publish(&mut self, meta: Meta, message: Message, effects: &mut impl Effects) -> Published {
        let limited = self.config.max_length.is_some() || self.config.max_length_bytes.is_some();
        if limited && self.config.overflow != Overflow::DropHead && self.is_full(&message) {
            if self.config.overflow == Overflow::RejectPublishDlx && self.config.dead_letters {
                effects.dead_letter(0, never_queued(message), DeadReason::MaxLen);
            }
            return Published::Rejected;
        }
        let at = match self.config.max_priority {
            None => 0,
            Some(max) => usize::from(message.priority().min(max)),
        };
        let expires_at_ms = self.expires_at(meta, &message);
        let body_bytes = message.body().len() as u32;
        let lane = &mut self.lanes[at];
        let position = lane.allocate();
        let durable = self.config.durable && message.is_persistent();
        let resident = lane.has_room(meta.window_bytes);
        if durable || !resident {
            effects.store(at as u8, position, expires_at_ms, !durable, &message);
        }
        if resident {
            lane.push_back(Entry {
                position,
                message: Some(message),
                expires_at_ms,
                body_bytes,
                delivery_count: 0,
                redelivered: false,
                stored: durable,
            });
        } else {
            lane.push_paged(position, body_bytes, expires_at_ms);
        }
        self.ready += 1;
        if limited {
            self.deliver(meta, effects);
            self.enforce_length(effects);
        }
        Published::Accepted
    }

    /// Hands ready messages to consumers that can take them, and asks for what has to be read from disk.
    pub fn deliver(&mut self, meta: Meta, effects: &mut impl Effects) {
        if !self.waiting.is_empty() {
            self.end_waits(meta.now_ms);
            // What comes back counts again.
            self.enforce_length(effects);
        }
        loop {
            self.hand_out(meta, effects);
            let ready = self.ready;
            self.expire(meta.now_ms, effects);
            // What was in the way may have gone.
            if self.ready == ready {
                break;
            }
        }
        self.page_in(meta, effects);
    }

    /// Hands out what is ready, up to what has to be read from disk or marked first.
    fn hand_out(&mut self, meta: Meta, effects: &mut impl Effects) {
        let mut forget = Forget::default();
        while self.ready > 0 && !self.paused {
            let Some(consumer) = self.consumers.next() else { break };
            let Some(lane) = self.next_lane() else { break };
            if self.lanes[lane].front().is_none_or(|entry| entry.message.is_none()) {
                break;
            }
            if self.lanes[lane].front().is_some_and(|entry| has_expired(entry, meta.now_ms)) {
                self.discard_front(lane, DeadReason::Expired, effects);
                continue;
            }
            if !self.front_is_marked(lane, effects) {
                break;
            }
            if !effects.may_deliver(consumer) {
                self.consumers.stall(consumer);
                continue;
            }
            let Some(subscription) = self.consumers.get(consumer).map(|c| &c.subscription) else { break };
            let (key, no_ack) = (subscription.key, subscription.no_ack);
            let Some(delivery) = self.take(meta, lane, consumer, key, no_ack, &mut forget, effects) else {
                break;
            };
            effects.deliver(consumer, delivery);
            self.consumers.served(consumer, !no_ack);
        }
        forget.flush(effects);
    }

    /// Takes one message for a get. `consumer` is the slot that holds it, from [`Machine::getter`].
    pub fn get(&mut self, meta: Meta, consumer: u32, no_ack: bool, effects: &mut impl Effects) -> GetOutcome {
        if !self.waiting.is_empty() {
            self.end_waits(meta.now_ms);
        }
        self.expire(meta.now_ms, effects);
        let Some(lane) = self.next_lane().filter(|_| !self.paused) else { return GetOutcome::Empty };
        let missing = match self.lanes[lane].front() {
            Some(entry) if entry.message.is_some() => None,
            Some(entry) => Some(entry.position..entry.position + 1),
            None => Some(self.lanes[lane].paged().from..self.lanes[lane].paged().upto),
        };
        if let Some(positions) = missing {
            self.lanes[lane].begin_load(positions.start);
            return GetOutcome::NotLoaded(lane as u8, positions);
        }
        if !self.front_is_marked(lane, effects) {
            return GetOutcome::NotMarked;
        }
        let Some(key) = self.consumers.get(consumer).map(|c| c.subscription.key) else {
            return GetOutcome::Empty;
        };
        let mut forget = Forget::default();
        let taken = self.take(meta, lane, consumer, key, no_ack, &mut forget, effects);
        forget.flush(effects);
        let Some(delivery) = taken else { return GetOutcome::Empty };
        if !no_ack {
            self.consumers.served(consumer, true);
        }
        self.page_in(meta, effects);
        GetOutcome::Message(delivery, self.ready)
    }

    /// The slot that holds what a channel got with gets; made when there is none yet.
    pub fn getter(&mut self, connection: ConnectionId, key: ConsumerKey) -> u32 {
        if let Some(slot) = self.consumers.find(connection, key) {
            return slot;
        }
        self.consumers.insert(Subscription {
            connection,
            key,
            no_ack: false,
            exclusive: false,
            prefetch: 0,
            priority: 0,
            subscribed: false,
        })
    }

    /// Adds a consumer and returns its slot. Call [`Machine::deliver`] afterwards.
    pub fn subscribe(
        &mut self,
        subscription: Subscription,
        effects: &mut impl Effects,
    ) -> Result<u32, Refused> {
        let shared = self.config.single_active || !self.consumers.is_empty();
        if self.consumers.has_exclusive() || (subscription.exclusive && shared) {
            return Err(Refused::InExclusiveUse);
        }
        if self.config.durable && self.lanes.len() == 1 {
            // Told before the first message is there, so that it need not wait.
            self.marks[0].announce(0, effects);
        }
        Ok(self.consumers.insert(subscription))
    }

    /// Ends a consumer; what it holds stays with its channel until settled.
    pub fn cancel(&mut self, consumer: u32, effects: &mut impl Effects) {
        if self.consumers.cancel(consumer) {
            effects.consumer_gone(consumer);
        }
    }

    /// Ends a consumer whose channel is gone and takes back what it holds.
    pub fn drop_consumer(&mut self, meta: Meta, consumer: u32, effects: &mut impl Effects) {
        let held = self.outstanding.held_by(consumer);
        let gone = self.consumers.cancel(consumer);
        if gone {
            effects.consumer_gone(consumer);
        } else {
            // Most of them nobody has looked at: they count as returned, but do not wait.
            self.end(meta, consumer, Settle::RejectRequeue, false, &held, effects);
        }
    }

    /// Ends deliveries that `consumer` holds, given as rising ranges of delivery ids. Ids it does not hold are
    /// ignored. Call [`Machine::deliver`] afterwards.
    pub fn settle(
        &mut self,
        meta: Meta,
        consumer: u32,
        outcome: Settle,
        deliveries: &[Range<u64>],
        effects: &mut impl Effects,
    ) -> u32 {
        self.end(meta, consumer, outcome, true, deliveries, effects)
    }

    /// As [`Machine::settle`]; `waits` is for messages that are returned.
    fn end(
        &mut self,
        meta: Meta,
        consumer: u32,
        outcome: Settle,
        waits: bool,
        deliveries: &[Range<u64>],
        effects: &mut impl Effects,
    ) -> u32 {
        let mut forget = Forget::default();
        let mut settled = 0;
        let mut one = |machine: &mut Machine, id: u64| {
            if machine.outstanding.get(id).is_none_or(|held| held.consumer != consumer) {
                return;
            }
            let Some(Held { entry, lane, .. }) = machine.outstanding.remove(id) else { return };
            settled += 1;
            match outcome {
                Settle::Ack => forget.add(lane, &entry, effects),
                Settle::Reject => machine.discard(lane, entry, DeadReason::Rejected, effects),
                Settle::Requeue => machine.put_back(meta, lane, entry, false, waits, effects),
                Settle::RejectRequeue => machine.put_back(meta, lane, entry, true, waits, effects),
            }
        };
        match outcome {
            // Backwards, so that each goes in front of the one before it.
            Settle::Requeue | Settle::RejectRequeue => {
                deliveries.iter().rev().for_each(|ids| ids.clone().rev().for_each(|id| one(self, id)));
            }
            Settle::Ack | Settle::Reject => {
                deliveries.iter().for_each(|ids| ids.clone().for_each(|id| one(self, id)));
            }
        }
        forget.flush(effects);
        if matches!(outcome, Settle::Requeue | Settle::RejectRequeue) {
            // What comes back counts again.
            self.enforce_length(effects);
        }
        if self.consumers.returned(consumer, settled) {
            effects.consumer_gone(consumer);
        }
        settled
    }

    /// A consumer's connection has room again. Call [`Machine::deliver`] afterwards.
    pub fn resume(&mut self, consumer: u32) {
        self.consumers.resume(consumer);
    }

    /// The answer to [`Effects::load`] or [`GetOutcome::NotLoaded`]: all that the store has in `..upto` of what was
    /// asked for. Call [`Machine::deliver`] afterwards.
    pub fn loaded(
        &mut self,
        lane: u8,
        messages: impl Iterator<Item = LoadedMessage>,
        upto: u64,
        effects: &mut impl Effects,
    ) {
        let Some(this) = self.lanes.get_mut(usize::from(lane)) else { return };
        let recovered = self.marks[usize::from(lane)].recovered;
        let entry = |loaded: LoadedMessage| Entry {
            position: loaded.position,
            expires_at_ms: loaded.expires_at_ms,
            body_bytes: loaded.message.body().len() as u32,
            message: Some(loaded.message),
            delivery_count: loaded.returns,
            redelivered: loaded.position < recovered || loaded.returns > 0,
            stored: true,
        };
        let entries = messages.map(|loaded| {
            let ready_at_ms = loaded.ready_at_ms;
            (entry(loaded), ready_at_ms)
        });
        let before = this.len();
        let mut aside = Vec::new();
        this.loaded(entries, upto, &mut aside);
        self.ready = self.ready - before + this.len();
        for (entry, ready_at_ms) in aside {
            self.wait(lane, entry, ready_at_ms);
        }
        self.enforce_length(effects);
    }

    /// Drops what has expired, as far as it is known, and asks about the rest.
    pub fn look_for_expired(&mut self, meta: Meta, effects: &mut impl Effects) {
        self.expire(meta.now_ms, effects);
    }

    /// The answer to [`Effects::look`]: what has expired in `..upto` of what was asked for, and when the rest there does. Call
    /// [`Machine::look_for_expired`] afterwards.
    pub fn looked(
        &mut self,
        lane: u8,
        messages: impl Iterator<Item = LoadedMessage>,
        upto: u64,
        runs: Vec<Run>,
        effects: &mut impl Effects,
    ) {
        let Some(this) = self.lanes.get_mut(usize::from(lane)) else { return };
        let entries = messages.map(|loaded| Entry {
            position: loaded.position,
            expires_at_ms: loaded.expires_at_ms,
            body_bytes: loaded.message.body().len() as u32,
            message: Some(loaded.message),
            delivery_count: loaded.returns,
            redelivered: false,
            stored: true,
        });
        let expired = this.looked(entries, upto, runs);
        self.ready -= expired.len() as u64;
        for entry in expired {
            let position = entry.position;
            self.discard(lane, entry, DeadReason::Expired, effects);
            if !self.config.dead_letters {
                self.told(lane, position);
            }
        }
    }

    /// The store was told that a dead message is settled.
    pub fn told(&mut self, lane: u8, position: u64) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)) {
            lane.told(position);
        }
    }

    /// Drops everything that no consumer holds; returns how many.
    pub fn purge(&mut self, effects: &mut impl Effects) -> u64 {
        let purged = self.ready + self.waiting.len() as u64;
        let mut forget = Forget::default();
        for ((_, lane, _), entry) in std::mem::take(&mut self.waiting) {
            forget.add(lane, &entry, effects);
        }
        forget.flush(effects);
        self.waiting_bytes = 0;
        for (lane, this) in self.lanes.iter_mut().enumerate() {
            let mut forget = Forget::default();
            let paged = this.clear(|entry| forget.add(lane as u8, &entry, effects));
            forget.flush(effects);
            if let Some(paged) = paged {
                effects.forget(lane as u8, paged.from..paged.upto);
            }
        }
        self.ready = 0;
        purged
    }

    /// The answer to [`Effects::delivered_upto`]. Call [`Machine::deliver`] afterwards.
    pub fn marked(&mut self, lane: u8, position: u64) {
        if let Some(mark) = self.marks.get_mut(usize::from(lane)) {
            mark.safe = mark.safe.max(position);
        }
    }

    /// Stops or resumes handing out, to consumers and by gets. Call [`Machine::deliver`] afterwards.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// True for a message of before the last restart that may have been delivered then.
    pub fn was_delivered(&self, lane: u8, position: u64) -> bool {
        self.marks.get(usize::from(lane)).is_some_and(|mark| position < mark.recovered)
    }

    /// Takes ready messages of a lane out of the queue wherever they are, given as rising positions with the sizes of
    /// their bodies; see [`Lane::take_at`]. Either the store is told that they are settled, or they are given back.
    /// Call [`Machine::deliver`] afterwards.
    pub fn take_ready(&mut self, lane: u8, wanted: &[(u64, u32)]) -> Vec<Entry> {
        let taken = self.lanes.get_mut(usize::from(lane)).map_or_else(Vec::new, |lane| lane.take_at(wanted));
        self.ready -= taken.len() as u64;
        taken
    }

    /// Puts back what [`Machine::take_ready`] took, each message with its body.
    pub fn give_back(&mut self, lane: u8, entry: Entry) {
        if let Some(lane) = self.lanes.get_mut(usize::from(lane)) {
            lane.give_back(entry);
            self.ready += 1;
        }
    }

    /// Tells the store exactly what was delivered; before a clean stop.
    pub fn settle_marks(&mut self, effects: &mut impl Effects) {
        for (lane, mark) in self.marks.iter_mut().enumerate() {
            let exact = mark.upto.max(mark.recovered);
            if mark.told != exact {
                mark.told = exact;
                effects.delivered_upto(lane as u8, exact);
            }
        }
    }

    /// When something will expire or be ready again, in milliseconds since the epoch.
    pub fn next_deadline(&self) -> Option<u64> {
        let expires = self.lanes.iter().filter_map(Lane::next_expiry);
        expires.chain(self.waiting.first_key_value().map(|((ready_at_ms, ..), _)| *ready_at_ms)).min()
    }

    /// When a message will have been held unsettled for as long as it may be.
    #[inline]
    pub fn ack_deadline(&self) -> Option<u64> {
        let timeout_ms = self.config.consumer_timeout_ms?;
        Some(self.outstanding.oldest()?.since_ms.saturating_add(timeout_ms))
    }

    /// Who holds messages longer than they may, each once.
    pub fn overdue(&self, now_ms: u64) -> Vec<(ConnectionId, ConsumerKey)> {
        let Some(timeout_ms) = self.config.consumer_timeout_ms else { return Vec::new() };
        let is_over = |held: &Held| held.since_ms.saturating_add(timeout_ms) <= now_ms;
        let mut holders = Vec::new();
        for (_, held) in self.outstanding.iter().take_while(|(_, held)| is_over(held)) {
            if !holders.contains(&held.consumer) {
                holders.push(held.consumer);
            }
        }
        let subscription = |slot: u32| Some(&self.consumers.get(slot)?.subscription);
        let holders = holders.into_iter().filter_map(subscription);
        holders.map(|subscription| (subscription.connection, subscription.key)).collect()
    }

    /// What the queue is set up to do.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The queue in numbers.
    pub fn info(&self) -> Info {
        Info {
            ready: self.ready,
            ready_bytes: self.lanes.iter().map(Lane::body_bytes).sum(),
            unacked: self.outstanding.len() as u64,
            unacked_bytes: self.outstanding.body_bytes(),
            consumers: self.consumers.len() as u64,
            resident_bytes: self.resident_bytes() as u64,
            paged: self.lanes.iter().map(|lane| lane.paged().count).sum(),
            waiting: self.waiting.len() as u64,
            paused: self.paused,
        }
    }

    /// True when some ready messages are on disk only.
    pub fn is_paged(&self) -> bool {
        self.lanes.iter().any(|lane| lane.paged().count > 0)
    }

    /// Bytes of memory that ready messages take.
    #[inline]
    pub fn resident_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::resident_bytes).sum::<usize>() + self.waiting_bytes
    }

    /// Ready messages.
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// Subscribed consumers.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// The slot of a connection's consumer.
    pub fn find_consumer(&self, connection: ConnectionId, key: ConsumerKey) -> Option<u32> {
        self.consumers.find(connection, key)
    }

    /// The consumer, or holder of messages, in a slot.
    pub fn consumer(&self, slot: u32) -> Option<&Consumer> {
        self.consumers.get(slot)
    }

    /// All consumers and holders of messages, with their slots.
    pub fn consumers(&self) -> impl Iterator<Item = (u32, &Consumer)> {
        self.consumers.iter()
    }

    /// True when this consumer is the one being served, or all are.
    pub fn is_active(&self, consumer: u32) -> bool {
        self.consumers.is_active(consumer)
    }

    /// The lanes, by priority.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Delivered messages that are not settled, from a delivery id on.
    pub fn unacked_from(&self, id: u64) -> impl Iterator<Item = (u64, &Held)> {
        self.outstanding.iter_from(id)
    }

    /// Returned messages that wait before they are ready again, from a moment, lane and position on, in that order.
    pub fn waiting_from(&self, from: (u64, u8, u64)) -> impl Iterator<Item = ((u64, u8, u64), &Entry)> {
        self.waiting.range(from..).map(|(key, entry)| (*key, entry))
    }

    /// Ready messages that are in memory, by lane and in order.
    pub fn ready_in_memory(&self) -> impl Iterator<Item = (u8, &Entry)> {
        self.lanes
            .iter()
            .enumerate()
            .rev()
            .flat_map(|(at, lane)| lane.iter().map(move |entry| (at as u8, entry)))
    }

    /// Delivered messages that are not settled.
    pub fn unacked(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.outstanding.iter()
    }

    /// Gives back memory that a past burst left.
    pub fn shrink(&mut self) {
        self.lanes.iter_mut().for_each(Lane::shrink);
    }

    /// The lane that the next message comes from: the highest priority that has one.
    fn next_lane(&self) -> Option<usize> {
        if self.lanes.len() == 1 {
            return (!self.lanes[0].is_empty()).then_some(0);
        }
        self.lanes.iter().rposition(|lane| !lane.is_empty())
    }

    /// True when the message in front may leave as far as the delivery mark goes; moves the mark otherwise.
    fn front_is_marked(&mut self, lane: usize, effects: &mut impl Effects) -> bool {
        let Some(front) = self.lanes[lane].front().filter(|front| front.stored) else { return true };
        let mark = &mut self.marks[lane];
        if front.position < mark.safe {
            return true;
        }
        mark.upto = mark.upto.max(front.position);
        if mark.told <= front.position {
            mark.announce(lane as u8, effects);
        }
        false
    }

    #[allow(clippy::too_many_arguments, reason = "the caller has taken these apart already")]
    fn take(
        &mut self,
        meta: Meta,
        lane: usize,
        consumer: u32,
        key: ConsumerKey,
        no_ack: bool,
        forget: &mut Forget,
        effects: &mut impl Effects,
    ) -> Option<Delivery> {
        let mut entry = self.lanes[lane].pop_front()?;
        self.ready -= 1;
        let mark = &mut self.marks[lane];
        if entry.position >= mark.upto {
            mark.upto = entry.position + 1;
            if self.config.durable && mark.upto + MARK_STEP / 2 > mark.told {
                mark.announce(lane as u8, effects);
            }
        }
        let redelivered = entry.redelivered;
        let delivery_count = if self.config.shows_delivery_count { entry.delivery_count } else { 0 };
        if no_ack {
            forget.add(lane as u8, &entry, effects);
            let message = entry.message?;
            return Some(Delivery { consumer: key, id: NO_ACK, redelivered, delivery_count, message });
        }
        let message =
            if meta.tight && entry.stored { entry.message.take()? } else { entry.message.clone()? };
        let held = Held { entry, lane: lane as u8, consumer, since_ms: meta.now_ms };
        let id = self.outstanding.insert(held);
        Some(Delivery { consumer: key, id, redelivered, delivery_count, message })
    }

    /// Takes a returned message back: to its place at once, or after a wait, or not at all when it came too often.
    fn put_back(
        &mut self,
        meta: Meta,
        lane: u8,
        mut entry: Entry,
        counts: bool,
        waits: bool,
        effects: &mut impl Effects,
    ) {
        entry.redelivered = true;
        let Config { retry, retry_limit, delivery_limit, .. } = &self.config;
        let mut ready_at_ms = 0;
        if counts || retry.is_some() || retry_limit.is_some() {
            entry.delivery_count = entry.delivery_count.saturating_add(1);
            let is_over = |limit: &Option<u32>| limit.is_some_and(|limit| entry.delivery_count > limit);
            if is_over(delivery_limit) || is_over(retry_limit) {
                self.discard(lane, entry, DeadReason::DeliveryLimit, effects);
                return;
            }
            if let Some(retry) = retry.as_ref().filter(|_| waits) {
                let delay_ms = retry.delay_ms(entry.delivery_count, entry.position);
                ready_at_ms = meta.now_ms.saturating_add(delay_ms);
            }
            let matters = retry.is_some() || retry_limit.is_some() || delivery_limit.is_some();
            if matters && self.survives(&entry) {
                effects.returned(lane, entry.position, entry.delivery_count, ready_at_ms);
            }
        }
        if ready_at_ms == 0 {
            self.lanes[usize::from(lane)].put_back(entry);
            self.ready += 1;
        } else {
            if entry.stored && (meta.tight || self.waiting_bytes > meta.window_bytes) {
                entry.message = None;
            }
            self.wait(lane, entry, ready_at_ms);
        }
    }

    fn wait(&mut self, lane: u8, entry: Entry, ready_at_ms: u64) {
        self.waiting_bytes += entry.resident_bytes();
        self.waiting.insert((ready_at_ms, lane, entry.position), entry);
    }

    /// Puts messages back to their places that have waited long enough.
    fn end_waits(&mut self, now_ms: u64) {
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= now_ms) {
            let ((_, lane, _), entry) = first.remove_entry();
            self.waiting_bytes -= entry.resident_bytes();
            self.lanes[usize::from(lane)].put_back(entry);
            self.ready += 1;
        }
    }

    /// True for a message that is there after a restart.
    fn survives(&self, entry: &Entry) -> bool {
        let is_persistent = || entry.message.as_ref().is_none_or(Message::is_persistent);
        entry.stored && self.config.durable && is_persistent()
    }

    fn discard(&mut self, lane: u8, entry: Entry, reason: DeadReason, effects: &mut impl Effects) {
        if self.config.dead_letters {
            effects.dead_letter(lane, entry, reason);
        } else if entry.stored {
            effects.forget(lane, entry.position..entry.position + 1);
        }
    }

    fn discard_front(&mut self, lane: usize, reason: DeadReason, effects: &mut impl Effects) {
        if let Some(entry) = self.lanes[lane].pop_front() {
            self.ready -= 1;
            self.discard(lane as u8, entry, reason, effects);
        }
    }

    fn expire(&mut self, now_ms: u64, effects: &mut impl Effects) {
        for lane in 0..self.lanes.len() {
            while self.lanes[lane].front().is_some_and(|e| e.expires_at_ms != 0 && e.expires_at_ms <= now_ms)
            {
                self.discard_front(lane, DeadReason::Expired, effects);
            }
            if self.lanes[lane].expires_early(now_ms) {
                for entry in self.lanes[lane].take_expired(now_ms) {
                    self.ready -= 1;
                    self.discard(lane as u8, entry, DeadReason::Expired, effects);
                }
            }
            if let Some(positions) = self.lanes[lane].wants_look(now_ms) {
                effects.look(lane as u8, positions);
            }
        }
    }

    fn page_in(&mut self, meta: Meta, effects: &mut impl Effects) {
        for (lane, this) in self.lanes.iter_mut().enumerate() {
            if let Some((from, upto)) = this.wants_load(meta.window_bytes) {
                effects.load(lane as u8, from..upto);
            }
        }
    }

    fn is_full(&self, message: &Message) -> bool {
        let bytes: u64 = self.lanes.iter().map(Lane::body_bytes).sum();
        self.config.max_length.is_some_and(|max| self.ready >= max)
            || self.config.max_length_bytes.is_some_and(|max| bytes + message.body().len() as u64 > max)
    }

    fn enforce_length(&mut self, effects: &mut impl Effects) {
        if self.config.overflow != Overflow::DropHead {
            return;
        }
        let (max, max_bytes) = (self.config.max_length, self.config.max_length_bytes);
        if max.is_none() && max_bytes.is_none() {
            return;
        }
        loop {
            let bytes: u64 = self.lanes.iter().map(Lane::body_bytes).sum();
            let over = max.is_some_and(|max| self.ready > max) || max_bytes.is_some_and(|max| bytes > max);
            let Some(lane) = self.next_lane().filter(|_| over) else { return };
            if self.lanes[lane].front().is_none() {
                return;
            }
            self.discard_front(lane, DeadReason::MaxLen, effects);
        }
    }

    fn expires_at(&self, meta: Meta, message: &Message) -> u64 {
        let own = message.properties().expiration().and_then(|text| text.parse::<u64>().ok());
        let ttl = match (own, self.config.message_ttl_ms) {
            (Some(own), Some(queue)) => own.min(queue),
            (Some(ttl), None) | (None, Some(ttl)) => ttl,
            (None, None) => return 0,
        };
        meta.now_ms.saturating_add(ttl).max(1)
    }
}

impl DeliveryMark {
    fn announce(&mut self, lane: u8, effects: &mut impl Effects) {
        let ahead = self.upto + MARK_STEP;
        if ahead > self.told {
            self.told = ahead;
            effects.delivered_upto(lane, ahead);
        }
    }
}

fn new_lane(config: &Config) -> Lane {
    let mut lane = Lane::default();
    lane.expire_anywhere(config.expires_anywhere);
    lane
}

/// Collects settled positions into ranges, since acknowledgements mostly come in order.
#[derive(Default)]
struct Forget {
    lane: u8,
    range: Range<u64>,
}

impl Forget {
    #[inline]
    fn add(&mut self, lane: u8, entry: &Entry, effects: &mut impl Effects) {
        if !entry.stored {
            return;
        }
        if self.lane == lane && self.range.end == entry.position && !self.range.is_empty() {
            self.range.end += 1;
            return;
        }
        self.flush(effects);
        self.lane = lane;
        self.range = entry.position..entry.position + 1;
    }

    fn flush(&mut self, effects: &mut impl Effects) {
        let range = std::mem::take(&mut self.range);
        if !range.is_empty() {
            effects.forget(self.lane, range);
        }
    }
}

/// A message that was refused at the door: it has no place in the queue.
fn never_queued(message: Message) -> Entry {
    Entry {
        position: u64::MAX,
        expires_at_ms: 0,
        body_bytes: message.body().len() as u32,
        message: Some(message),
        delivery_count: 0,
        redelivered: false,
        stored: false,
    }
}

/// A message whose time was over before `now_ms`; one that expires right now may still be delivered (TTL 0).
fn has_expired(entry: &Entry, now_ms: u64) -> bool {
    entry.expires_at_ms != 0 && entry.expires_at_ms < now_ms
}

/// The id of deliveries that are settled as they leave.
const NO_ACK: DeliveryId = DeliveryId(u64::MAX);

/// How far ahead of deliveries the store is told, in positions: after a crash, messages below that count as
/// possibly delivered. Large, so that deliveries never outrun the store's write of it.
const MARK_STEP: u64 = 65_536;

#[cfg(test)]
mod model;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
