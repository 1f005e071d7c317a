//! A queue machine with its lock, its consumers' mailboxes and its place in the store.
//!
//! Whoever has something for a queue runs it: takes the lock, applies a batch, releases the lock, then wakes each
//! connection that got something, once. Deliveries are appended to mailboxes while the lock is held; otherwise two
//! submitters could reorder a consumer's messages.

mod browse;
mod congestion;
mod pending;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak, mpsc};

use leveret_core::dead_letter::DeadLetterTarget;
use leveret_core::deduplication::{Rule, Window, queue_record_prefix};
use leveret_core::message::Message;
use leveret_core::queue::{
    Config, ConnectionId, DeadReason, Effects, Entry, GetOutcome, Info, LoadedMessage, Machine, Meta, Paged,
    Published, Refused, Run, Subscription,
};
use leveret_core::record::Record;
use leveret_core::session::host::{ConsumerKey, Delivery, Got, Settle, Ticket};
use parking_lot::{Mutex, MutexGuard};
use tracing::warn;

use crate::broker::Broker;
use crate::clock;
use crate::dead_letter::{self, Dead};
use crate::deadlines::{Deadlines, Note, STEP_MS, Whose};
use crate::exchange_memory::restore_window;
use crate::outbox::{Notice, Outbox};
use crate::store::{
    ExpiryRequest, ExpirySink, LoadRequest, LoadSink, Loaded, Pending, PendingSource, QueueUid,
    RecoveredLane, Returned, Store, Wake,
};

pub use browse::{Holder, Look, Place, Seen, StoreFailed};
use congestion::Congestion;
use pending::{PendingBuffer, PendingMessage};

/// A message on its way into a queue, with what its publisher needs to know about it.
pub struct Publish {
    pub message: Message,
    pub channel: u16,
    /// Its number in confirm mode, 0 when nobody waits for a confirm.
    pub sequence: u64,
}

/// One queue of a running broker.
pub struct QueueCell {
    uid: QueueUid,
    name: Arc<str>,
    vhost: Arc<str>,
    durable: bool,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// For effects that need a reference to the cell itself.
    this: Weak<QueueCell>,
    deleted: AtomicBool,
    /// When the queue's own record is durable, as a [`Ticket`].
    created_at: AtomicU64,
    single_active: bool,
    /// Publishers wait for its consumers. Changes under the lock of `state`.
    congested: AtomicBool,
}

/// What a queue is set up to do, by its machine and around it.
#[derive(Debug, Clone)]
pub struct QueueSetup {
    pub machine: Config,
    /// Where dead messages go.
    pub dead_letter_target: Option<DeadLetterTarget>,
    /// How long it may be unused before it is deleted.
    pub expires_ms: Option<u64>,
    /// How it tells messages that it has seen before.
    pub deduplication: Option<Rule>,
}

/// What all queues of a broker share.
pub struct Shared {
    pub store: Store,
    /// Bytes of ready messages held in memory by all queues.
    pub resident_bytes: AtomicUsize,
    /// The most that `resident_bytes` may be before queues keep little in memory.
    pub resident_bytes_max: usize,
    /// When queues have to be looked at.
    pub deadlines: Deadlines,
    /// Where dead messages find their way. Set once the broker is there.
    pub broker: OnceLock<Weak<Broker>>,
}

/// The window that all consumers of a channel share (`basic.qos` with global set).
pub struct ChannelWindow {
    /// 0 for no bound.
    limit: AtomicU32,
    held: AtomicU32,
    waiting: Mutex<Vec<(Arc<QueueCell>, ConsumerKey)>>,
}

/// How a consumer is reached.
pub struct Link {
    pub outbox: Arc<Outbox>,
    pub window: Arc<ChannelWindow>,
    pub consumer_tag: Arc<str>,
    pub channel: u16,
}

struct State {
    machine: Machine,
    links: Vec<Option<LinkState>>,
    /// By slot, the channel of those that hold messages by gets.
    getter_channels: Vec<u16>,
    pending: PendingBuffer,
    counters: Counters,
    /// Slots with staged deliveries.
    touched: Vec<u32>,
    /// What to read from disk once the lock is released.
    loads: Vec<(u8, Range<u64>)>,
    /// Where to look on disk for what has expired.
    looks: Vec<(u8, Range<u64>)>,
    /// Delivery marks to be told of once they are durable.
    marks: Vec<(u8, u64)>,
    /// Consumed at least once: an auto-delete queue goes with its last consumer.
    had_consumers: bool,
    /// What this queue last added to the shared count of resident bytes.
    resident_reported: usize,
    congestion: Congestion,
    /// Messages that died and have to be sent on once the lock is released.
    dead: Vec<Dead>,
    /// The moment that the queue is noted with in [`Shared::deadlines`], 0 when it is not.
    scheduled_ms: u64,
    /// When it was last declared, got from, or left by a consumer.
    used_ms: u64,
    /// Where dead messages go.
    dead_letter_target: Option<Arc<DeadLetterTarget>>,
    /// How long it may be unused.
    expires_ms: Option<u64>,
    /// When connections were last told that they hold messages for too long.
    overdue_told_ms: u64,
    /// Which messages it has seen, when it is to refuse them a second time.
    seen: Option<Box<Window>>,
}

struct LinkState {
    link: Link,
    key: ConsumerKey,
    no_ack: bool,
    staged: Vec<Delivery>,
    staged_bytes: usize,
    /// Messages that it was given.
    delivered: u64,
}

/// What a batch leaves to be done once nothing is locked; see [`QueueCell::conclude`].
#[must_use]
pub(crate) struct Aftermath {
    ticket: Ticket,
    wakes: Vec<Arc<Outbox>>,
    loads: Vec<(u8, Range<u64>)>,
    looks: Vec<(u8, Range<u64>)>,
    now_ms: u64,
    marks: Vec<(u8, u64)>,
    dead: Vec<Dead>,
    /// The queue is the next of all that has to be looked at.
    is_earliest: bool,
}

/// What happened on a queue since it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub published: u64,
    pub delivered: u64,
    pub delivered_no_ack: u64,
    pub got: u64,
    pub got_no_ack: u64,
    pub redelivered: u64,
    pub acked: u64,
    /// Dropped on the way in, because they had come before.
    pub deduplicated: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        let Counters {
            published,
            delivered,
            delivered_no_ack,
            got,
            got_no_ack,
            redelivered,
            acked,
            deduplicated,
        } = other;
        self.published += published;
        self.delivered += delivered;
        self.delivered_no_ack += delivered_no_ack;
        self.got += got;
        self.got_no_ack += got_no_ack;
        self.redelivered += redelivered;
        self.acked += acked;
        self.deduplicated += deduplicated;
    }
}

/// A consumer as the admin API shows it.
#[derive(Debug, Clone)]
pub struct ConsumerInfo {
    pub connection: ConnectionId,
    pub channel: u16,
    pub consumer_tag: Arc<str>,
    pub no_ack: bool,
    pub exclusive: bool,
    pub prefetch: u32,
    /// `x-priority`.
    pub priority: i32,
    pub held: u32,
    pub active: bool,
    /// Messages that it was given since it came.
    pub delivered: u64,
}

/// Why a consumer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeError {
    InExclusiveUse,
    /// The queue was deleted meanwhile.
    Gone,
}

/// Why a queue was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteRefused {
    InUse,
    NotEmpty,
}

impl QueueCell {
    /// A queue; `recovered` is what the store holds of it.
    pub fn new(
        uid: QueueUid,
        vhost: Arc<str>,
        name: Arc<str>,
        setup: QueueSetup,
        shared: Arc<Shared>,
        recovered: &[RecoveredLane],
    ) -> Arc<QueueCell> {
        let QueueSetup { machine: config, dead_letter_target, expires_ms, deduplication } = setup;
        let (durable, single_active) = (config.durable, config.single_active);
        let mut machine = Machine::new(config);
        for lane in recovered {
            let paged = Paged {
                from: lane.first_position,
                upto: lane.next_position,
                count: lane.messages,
                body_bytes: lane.bytes,
            };
            machine.recover(lane.lane, paged, lane.next_position, lane.delivered_upto);
        }
        let state = State {
            machine,
            links: Vec::new(),
            getter_channels: Vec::new(),
            pending: PendingBuffer::default(),
            counters: Counters::default(),
            touched: Vec::new(),
            loads: Vec::new(),
            looks: Vec::new(),
            marks: Vec::new(),
            had_consumers: false,
            resident_reported: 0,
            congestion: Congestion::default(),
            dead: Vec::new(),
            scheduled_ms: 0,
            used_ms: clock::now_ms(),
            dead_letter_target: dead_letter_target.map(Arc::new),
            expires_ms,
            overdue_told_ms: 0,
            seen: deduplication
                .map(|rule| Box::new(Window::new(rule, queue_record_prefix(&vhost, &name, uid)))),
        };
        Arc::new_cyclic(|this| QueueCell {
            uid,
            name,
            vhost,
            durable,
            shared,
            state: Mutex::new(state),
            this: this.clone(),
            deleted: AtomicBool::new(false),
            created_at: AtomicU64::new(0),
            single_active,
            congested: AtomicBool::new(false),
        })
    }

    /// Lets time begin for a queue that was just made or restored, when it has anything to do with time.
    pub fn start(&self) {
        let state = self.state.lock();
        let begins = state.expires_ms.is_some()
            || state.dead_letter_target.is_some()
            || state.machine.config().message_ttl_ms.is_some();
        drop(state);
        if begins {
            self.deliver();
        } else if self.state.lock().machine.ready() > 0 {
            self.run(|machine, meta, _, effects| machine.look_for_expired(meta, effects));
        }
    }

    /// Takes on what policies make of the queue now. Its time of being unused begins again, as on RabbitMQ.
    pub fn reconfigure(&self, setup: QueueSetup) {
        let QueueSetup { machine: config, dead_letter_target, expires_ms, deduplication } = setup;
        self.run_with_state(|state, meta, cell| {
            if cell.is_deleted() {
                return;
            }
            state.dead_letter_target = dead_letter_target.map(Arc::new);
            state.expires_ms = expires_ms;
            state.used_ms = meta.now_ms;
            state.deduplicate_by(deduplication, cell);
            let (machine, mut shell, _) = state.split(cell);
            machine.reconfigure(config, &mut shell);
            machine.deliver(meta, &mut shell);
        });
    }

    /// Takes a batch of messages in. Returns when they are safe; refused ones go to `rejected`.
    pub fn publish(&self, batch: &mut Vec<Publish>, rejected: &mut Vec<(u16, u64)>) -> Ticket {
        let publish = |state: &mut State, meta, cell: &QueueCell| {
            if cell.is_deleted() {
                // A queue that went away confirms what was on its way to it, as RabbitMQ does.
                batch.clear();
                return;
            }
            if state.seen.is_some() {
                return state.publish_new(meta, cell, batch, rejected);
            }
            let (machine, mut shell, counters) = state.split(cell);
            counters.published += batch.len() as u64;
            for publish in batch.drain(..) {
                if machine.publish(meta, publish.message, &mut shell) == Published::Rejected {
                    rejected.push((publish.channel, publish.sequence));
                }
            }
            machine.deliver(meta, &mut shell);
        };
        self.run_with_state(publish).1
    }

    /// Takes in messages of a transfer, each with its index, and notes which it accepts. That one like them came before is
    /// no reason to refuse one: the broker sends them, and nobody has sent them twice. Called while the store's transfer
    /// goes on; [`QueueCell::conclude`] follows when that is over.
    pub(crate) fn take_in(&self, messages: Vec<(usize, Message)>, accepted: &mut [bool]) -> Aftermath {
        let take_in = |state: &mut State, meta, cell: &QueueCell| {
            if cell.is_deleted() {
                return;
            }
            state.pending.transfers = true;
            let (machine, mut shell, counters) = state.split(cell);
            for (index, message) in messages {
                if machine.publish(meta, message, &mut shell) == Published::Accepted {
                    counters.published += 1;
                    accepted[index] = true;
                }
            }
            machine.deliver(meta, &mut shell);
        };
        self.run_locked(take_in).1
    }

    /// Tells the store that messages are settled which the machine has let go, as dead ones. What they become elsewhere
    /// is part of the same transfer.
    pub fn settle_stored(&self, positions: impl IntoIterator<Item = (u8, u64)>) -> Ticket {
        let mut state = self.state.lock();
        if self.is_deleted() {
            return Ticket(0);
        }
        for (lane, position) in positions {
            state.pending.forget(lane, position..position + 1, &self.shared.store);
            state.machine.told(lane, position);
        }
        self.register(&mut state)
    }

    /// Ends deliveries and hands out what that makes possible. Returns how many there were.
    pub fn settle(
        &self,
        connection: ConnectionId,
        key: ConsumerKey,
        outcome: Settle,
        ids: &[Range<u64>],
    ) -> (u32, Ticket) {
        self.run(|machine, meta, counters, effects| {
            let Some(slot) = machine.find_consumer(connection, key) else { return 0 };
            let settled = machine.settle(meta, slot, outcome, ids, effects);
            counters.acked += if outcome == Settle::Ack { u64::from(settled) } else { 0 };
            machine.deliver(meta, effects);
            settled
        })
    }

    /// Adds a consumer. Deliveries may be in its mailbox before this returns.
    pub fn subscribe(&self, subscription: Subscription, link: Link) -> Result<(), SubscribeError> {
        let mut link = Some(link);
        let result = self.run_with_state(|state, meta, cell| {
            if cell.is_deleted() {
                return Err(SubscribeError::Gone);
            }
            let (key, no_ack) = (subscription.key, subscription.no_ack);
            let (machine, mut shell, _) = state.split(cell);
            let slot = match machine.subscribe(subscription, &mut shell) {
                Ok(slot) => slot as usize,
                Err(Refused::InExclusiveUse) => return Err(SubscribeError::InExclusiveUse),
            };
            shell.set_link(slot, link.take(), key, no_ack);
            machine.deliver(meta, &mut shell);
            state.had_consumers = true;
            Ok(())
        });
        result.0
    }

    /// Ends a consumer; what it holds stays with its channel. Returns true when an auto-delete queue should go.
    pub fn cancel(&self, connection: ConnectionId, key: ConsumerKey) -> bool {
        self.run_with_state(|state, meta, cell| {
            let (machine, mut shell, _) = state.split(cell);
            if let Some(slot) = machine.find_consumer(connection, key) {
                machine.cancel(slot, &mut shell);
                machine.deliver(meta, &mut shell);
            }
            state.used_ms = meta.now_ms;
            state.had_consumers && state.machine.consumer_count() == 0
        })
        .0
    }

    /// Ends a consumer whose channel is gone and takes back what it holds. Returns true when an auto-delete queue
    /// should go.
    pub fn drop_consumer(&self, connection: ConnectionId, key: ConsumerKey) -> bool {
        self.run_with_state(|state, meta, cell| {
            let (machine, mut shell, _) = state.split(cell);
            if let Some(slot) = machine.find_consumer(connection, key) {
                machine.drop_consumer(meta, slot, &mut shell);
                machine.deliver(meta, &mut shell);
            }
            state.used_ms = meta.now_ms;
            state.had_consumers && state.machine.consumer_count() == 0
        })
        .0
    }

    /// Takes one message; reads it from disk first when it has to.
    pub fn get(&self, connection: ConnectionId, channel: u16, key: ConsumerKey, no_ack: bool) -> Option<Got> {
        loop {
            let (outcome, ticket) = self.run_with_state(|state, meta, cell| {
                state.used_ms = meta.now_ms;
                let (machine, mut shell, counters) = state.split(cell);
                let slot = machine.getter(connection, key);
                shell.set_getter(slot as usize, channel);
                let outcome = machine.get(meta, slot, no_ack, &mut shell);
                if let GetOutcome::Message(delivery, _) = &outcome {
                    counters.got += u64::from(!no_ack);
                    counters.got_no_ack += u64::from(no_ack);
                    counters.redelivered += u64::from(delivery.redelivered);
                }
                outcome
            });
            match outcome {
                GetOutcome::Empty => return None,
                GetOutcome::Message(delivery, remaining) => {
                    return Some(Got {
                        id: delivery.id,
                        redelivered: delivery.redelivered,
                        delivery_count: delivery.delivery_count,
                        message: delivery.message,
                        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                    });
                }
                GetOutcome::NotMarked => {
                    // Once for tens of thousands of messages.
                    let (sender, receiver) = mpsc::sync_channel(1);
                    self.shared.store.wake_when_durable(ticket, Arc::new(TicketWaiter(sender)));
                    tokio::task::block_in_place(|| receiver.recv()).ok()?;
                }
                GetOutcome::NotLoaded(lane, range) => {
                    // Rare: a get on a queue whose front is on disk. Reading here keeps `basic.get` in its turn. A store
                    // that failed drops the request, and with it the sender.
                    let (sender, receiver) = mpsc::sync_channel(1);
                    let waiter = Arc::new(LoadWaiter(Mutex::new(Some(sender))));
                    self.shared.store.load(self.load_request(lane, range, ticket, waiter));
                    let (lane, messages, next) = tokio::task::block_in_place(|| receiver.recv()).ok()?;
                    self.loaded(lane, messages, next);
                }
            }
        }
    }

    /// A consumer's connection or channel has room again.
    pub fn resume(&self, connection: ConnectionId, key: ConsumerKey) {
        self.run(|machine, meta, _, effects| {
            if let Some(slot) = machine.find_consumer(connection, key) {
                machine.resume(slot);
                machine.deliver(meta, effects);
            }
        });
    }

    /// Drops all ready messages; returns how many.
    pub fn purge(&self) -> (u64, Ticket) {
        self.run(|machine, _, _, effects| machine.purge(effects))
    }

    /// The moment has come that the queue was noted with: expires what is over, hands out what can be, tells who holds
    /// messages for too long. True when nobody has used the queue for as long as it may be unused: delete it.
    pub fn tick(&self, noted_ms: u64) -> bool {
        let mut overdue = Vec::new();
        let is_unused = self.run_with_state(|state, meta, cell| {
            if state.scheduled_ms != noted_ms {
                return false;
            }
            state.scheduled_ms = 0;
            let (machine, mut shell, _) = state.split(cell);
            machine.deliver(meta, &mut shell);
            machine.shrink();
            if state.ack_deadline().is_some_and(|at_ms| at_ms <= meta.now_ms) {
                overdue = state.machine.overdue(meta.now_ms);
                state.overdue_told_ms = meta.now_ms;
            }
            state.unused_until().is_some_and(|until_ms| until_ms <= meta.now_ms)
        });
        if !overdue.is_empty() {
            self.tell_overdue(overdue);
        }
        is_unused.0
    }

    /// Tells connections that they hold messages for too long: their channels end.
    #[cold]
    fn tell_overdue(&self, holders: Vec<(ConnectionId, ConsumerKey)>) {
        let Some(timeout_ms) = self.state.lock().machine.config().consumer_timeout_ms else { return };
        let Some(broker) = self.broker() else { return };
        for (connection, key) in holders {
            warn!(
                queue = %self.name, vhost = %self.vhost, connection = connection.0, timeout_ms,
                "a delivery was not acknowledged in time"
            );
            broker.connections().notice(connection, Notice::AckTimedOut { key, timeout_ms });
        }
    }

    /// It was declared again, which counts as use.
    pub fn declared_again(&self) {
        self.state.lock().used_ms = clock::now_ms();
    }

    /// Marks the queue as deleted unless a condition forbids it; its consumers are told. Returns ready messages.
    pub fn delete(&self, if_unused: bool, if_empty: bool) -> Result<u64, DeleteRefused> {
        let state = self.state.lock();
        if if_unused && state.machine.consumer_count() > 0 {
            return Err(DeleteRefused::InUse);
        }
        if if_empty && state.machine.ready() > 0 {
            return Err(DeleteRefused::NotEmpty);
        }
        let ready = state.machine.ready();
        self.finish(state);
        Ok(ready)
    }

    /// Marks the queue as deleted if it was unused for as long as it may be.
    pub fn delete_if_unused_too_long(&self) -> bool {
        let state = self.state.lock();
        let now_ms = clock::now_ms();
        let is_over = !self.is_deleted() && state.unused_until().is_some_and(|until_ms| until_ms <= now_ms);
        if is_over {
            self.finish(state);
        }
        is_over
    }

    /// Gives back what the store has of the messages it has seen. `records` are sorted by key.
    pub fn restore_seen(&self, records: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
        match &mut self.state.lock().seen {
            Some(seen) => restore_window(seen, records),
            None => Ok(()),
        }
    }

    /// Forgets which messages it has seen; returns what removes its records of them. For a queue that is deleted.
    pub fn forget_seen(&self) -> Vec<Record> {
        self.state.lock().seen.take().map_or_else(Vec::new, |mut seen| seen.close())
    }

    fn finish(&self, mut state: MutexGuard<'_, State>) {
        self.deleted.store(true, Ordering::Release);
        let resident = std::mem::take(&mut state.resident_reported);
        self.shared.resident_bytes.fetch_sub(resident, Ordering::Relaxed);
        state.pending.clear(&self.shared.store);
        let links = std::mem::take(&mut state.links);
        let held_up = self.release(&mut state);
        // Frees what the queue held in memory; deliveries that arrive for it later find nothing to settle.
        state.machine = Machine::new(Config::default());
        drop(state);
        held_up.iter().for_each(|outbox| outbox.wake());
        for link in links.into_iter().flatten() {
            link.link.outbox.notice(Notice::ConsumerCancelled(link.key));
        }
    }

    /// Writes down exactly what was delivered, before a clean stop.
    pub fn settle_marks(&self) {
        self.run(|machine, _, _, effects| machine.settle_marks(effects));
    }

    /// Stops or resumes handing messages out, to consumers and by gets. [`QueueCell::deliver`] follows a resumption.
    pub fn pause(&self, paused: bool) {
        self.state.lock().machine.pause(paused);
    }

    /// Hands out what can be.
    pub fn deliver(&self) {
        self.run(|machine, meta, _, effects| machine.deliver(meta, effects));
    }

    /// The queue in numbers.
    pub fn info(&self) -> Info {
        self.state.lock().machine.info()
    }

    /// What happened on it.
    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Its consumers.
    pub fn consumers(&self) -> Vec<ConsumerInfo> {
        let state = self.state.lock();
        let consumers = state.machine.consumers().filter(|(_, consumer)| consumer.subscription.subscribed);
        consumers
            .filter_map(|(slot, consumer)| {
                let LinkState { link, delivered, .. } = state.links.get(slot as usize)?.as_ref()?;
                let delivered = *delivered;
                let subscription = &consumer.subscription;
                Some(ConsumerInfo {
                    connection: subscription.connection,
                    channel: link.channel,
                    consumer_tag: link.consumer_tag.clone(),
                    no_ack: subscription.no_ack,
                    exclusive: subscription.exclusive,
                    prefetch: subscription.prefetch,
                    priority: subscription.priority,
                    held: consumer.held,
                    active: state.machine.is_active(slot),
                    delivered,
                })
            })
            .collect()
    }

    /// The store that it keeps its messages in.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Where its dead messages go.
    pub fn dead_letter_target(&self) -> Option<Arc<DeadLetterTarget>> {
        self.state.lock().dead_letter_target.clone()
    }

    /// What policies and arguments make of it.
    pub fn config(&self) -> Config {
        self.state.lock().machine.config().clone()
    }

    /// The broker that it is part of.
    pub fn broker(&self) -> Option<Arc<Broker>> {
        self.shared.broker.get()?.upgrade()
    }

    /// Reads messages back that the machine has let go.
    pub fn load_for(&self, lane: u8, positions: Range<u64>, sink: Arc<dyn LoadSink>) {
        let after = self.state.lock().pending.last;
        self.shared.store.load(self.load_request(lane, positions, after, sink));
    }

    /// The queue's identity in the store.
    pub fn uid(&self) -> QueueUid {
        self.uid
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The vhost it is in.
    pub fn vhost(&self) -> &Arc<str> {
        &self.vhost
    }

    /// True when it outlives the broker.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// True when only one consumer at a time is served.
    pub fn is_single_active(&self) -> bool {
        self.single_active
    }

    /// When the record that it exists is durable.
    pub fn created_at(&self) -> Ticket {
        Ticket(self.created_at.load(Ordering::Acquire))
    }

    /// See [`QueueCell::created_at`].
    pub fn set_created_at(&self, ticket: Ticket) {
        self.created_at.store(ticket.0, Ordering::Release);
    }

    /// True when the store may hold something of it.
    pub fn was_stored(&self) -> bool {
        self.durable || self.state.lock().pending.last > Ticket(0)
    }

    /// True once it is deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    fn run<R>(
        &self,
        apply: impl FnOnce(&mut Machine, Meta, &mut Counters, &mut Shell<'_>) -> R,
    ) -> (R, Ticket) {
        self.run_with_state(|state, meta, cell| {
            let (machine, mut shell, counters) = state.split(cell);
            apply(machine, meta, counters, &mut shell)
        })
    }

    /// Runs `apply` under the lock, does what it leaves to be done, and sends on what died.
    fn run_with_state<R>(&self, apply: impl FnOnce(&mut State, Meta, &QueueCell) -> R) -> (R, Ticket) {
        let (result, aftermath) = self.run_locked(apply);
        let (ticket, dead) = self.conclude(aftermath);
        if !dead.is_empty()
            && let Some(this) = self.this.upgrade()
        {
            dead_letter::send_on(this, dead);
        }
        (result, ticket)
    }

    /// Runs `apply` under the lock, passes on what it staged and registers what it left for the store.
    fn run_locked<R>(&self, apply: impl FnOnce(&mut State, Meta, &QueueCell) -> R) -> (R, Aftermath) {
        let meta = self.meta();
        let mut wakes: Vec<Arc<Outbox>> = Vec::new();
        let mut state = self.state.lock();
        let result = apply(&mut state, meta, self);
        state.flush_links(&mut wakes);
        let resident = state.report_resident(&self.shared);
        self.note_backlog(&mut state, resident, &mut wakes);
        let aftermath = Aftermath {
            ticket: self.register(&mut state),
            wakes,
            loads: std::mem::take(&mut state.loads),
            looks: std::mem::take(&mut state.looks),
            now_ms: meta.now_ms,
            marks: std::mem::take(&mut state.marks),
            dead: std::mem::take(&mut state.dead),
            is_earliest: self.schedule(&mut state, meta.now_ms),
        };
        (result, aftermath)
    }

    /// Does what a batch left to be done, with no lock held. Returns when the batch is durable, and what died of it.
    pub(crate) fn conclude(&self, aftermath: Aftermath) -> (Ticket, Vec<Dead>) {
        let Aftermath { ticket, wakes, loads, looks, now_ms, marks, dead, is_earliest } = aftermath;
        if is_earliest {
            self.shared.deadlines.wake();
        }
        for outbox in wakes {
            outbox.wake();
        }
        for (lane, positions) in loads {
            self.load(lane, positions, ticket);
        }
        for (lane, positions) in looks {
            self.look_for_expired(lane, positions, now_ms, ticket);
        }
        if !marks.is_empty() {
            let waiter = MarkWaiter { cell: self.this.clone(), marks };
            self.shared.store.wake_when_durable(ticket, Arc::new(waiter));
        }
        (ticket, dead)
    }

    /// Sees to it that the queue is looked at when something of it is over. True when that is what comes next of all
    /// queues.
    fn schedule(&self, state: &mut State, now_ms: u64) -> bool {
        // Looked at sooner than need be, because notes stay until their moment comes.
        let ack_deadline = state.ack_deadline().map(|at_ms| at_ms.min(now_ms + ACK_LOOK_MS));
        let deadlines = [state.machine.next_deadline(), state.unused_until(), ack_deadline];
        let Some(at_ms) = deadlines.into_iter().flatten().min() else { return false };
        let at_ms = at_ms.next_multiple_of(STEP_MS);
        if self.is_deleted() || (state.scheduled_ms != 0 && state.scheduled_ms <= at_ms) {
            return false;
        }
        state.scheduled_ms = at_ms;
        self.shared.deadlines.add(Note { at_ms, whose: Whose::Queue(self.this.clone()) })
    }

    fn meta(&self) -> Meta {
        let resident = self.shared.resident_bytes.load(Ordering::Relaxed);
        let tight = resident > self.shared.resident_bytes_max;
        let window_bytes = if tight { WINDOW_BYTES_MIN } else { WINDOW_BYTES_MAX };
        Meta { now_ms: clock::now_ms(), window_bytes, tight }
    }

    /// Makes sure that the store will ask for what is pending. Returns the ticket that covers everything the queue
    /// gave to the store so far.
    fn register(&self, state: &mut State) -> Ticket {
        let pending = &mut state.pending;
        if pending.is_empty() || pending.registered || self.is_deleted() {
            return pending.last;
        }
        if let Some(this) = self.this.upgrade() {
            pending.last = self.shared.store.mark_dirty(this);
            pending.registered = true;
        }
        pending.last
    }

    fn look_for_expired(&self, lane: u8, positions: Range<u64>, now_ms: u64, after: Ticket) {
        if let Some(sink) = self.this.upgrade() {
            let uid = self.uid;
            self.shared.store.look_for_expired(ExpiryRequest { uid, lane, positions, now_ms, after, sink });
        }
    }

    fn load(&self, lane: u8, positions: Range<u64>, after: Ticket) {
        if let Some(sink) = self.this.upgrade() {
            self.shared.store.load(self.load_request(lane, positions, after, sink));
        }
    }

    fn load_request(
        &self,
        lane: u8,
        positions: Range<u64>,
        after: Ticket,
        sink: Arc<dyn LoadSink>,
    ) -> LoadRequest {
        LoadRequest {
            uid: self.uid,
            lane,
            from: positions.start,
            upto: positions.end,
            max_messages: LOAD_MESSAGES_MAX,
            max_bytes: LOAD_BYTES_MAX,
            after,
            sink,
        }
    }
}

impl PendingSource for QueueCell {
    fn uid(&self) -> QueueUid {
        self.uid
    }

    fn take_pending(&self, into: &mut Pending) {
        self.state.lock().pending.take(into);
    }
}

impl LoadSink for QueueCell {
    fn loaded(&self, lane: u8, messages: Vec<Loaded>, next_position: u64) {
        if self.is_deleted() {
            return;
        }
        self.run(|machine, meta, _, effects| {
            machine.loaded(lane, messages.into_iter().map(loaded_message), next_position, effects);
            machine.deliver(meta, effects);
        });
    }
}

impl ExpirySink for QueueCell {
    fn expired(&self, lane: u8, messages: Vec<Loaded>, upto: u64, runs: Vec<Run>) {
        if self.is_deleted() {
            return;
        }
        self.run(|machine, meta, _, effects| {
            machine.looked(lane, messages.into_iter().map(loaded_message), upto, runs, effects);
            machine.look_for_expired(meta, effects);
        });
    }
}

fn loaded_message(loaded: Loaded) -> LoadedMessage {
    let Loaded { position, expires_at_ms, returns, ready_at_ms, message } = loaded;
    LoadedMessage { position, expires_at_ms, returns, ready_at_ms, message }
}

/// Tells a queue that its delivery marks are durable.
struct MarkWaiter {
    cell: Weak<QueueCell>,
    marks: Vec<(u8, u64)>,
}

impl Wake for MarkWaiter {
    fn wake(&self) {
        let Some(cell) = self.cell.upgrade().filter(|cell| !cell.is_deleted()) else { return };
        cell.run(|machine, meta, _, effects| {
            for (lane, position) in &self.marks {
                machine.marked(*lane, *position);
            }
            machine.deliver(meta, effects);
        });
    }
}

/// Wakes a thread that waits for a ticket.
struct TicketWaiter(mpsc::SyncSender<()>);

impl Wake for TicketWaiter {
    fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

/// Somebody who waits for a load: what came, or nothing when the store failed.
struct LoadWaiter(Mutex<Option<mpsc::SyncSender<LoadedPart>>>);

type LoadedPart = (u8, Vec<Loaded>, u64);

impl LoadSink for LoadWaiter {
    fn loaded(&self, lane: u8, messages: Vec<Loaded>, next_position: u64) {
        if let Some(waiter) = self.0.lock().take() {
            let _ = waiter.send((lane, messages, next_position));
        }
    }
}

impl State {
    fn split<'a>(&'a mut self, cell: &'a QueueCell) -> (&'a mut Machine, Shell<'a>, &'a mut Counters) {
        let shell = Shell {
            cell,
            links: &mut self.links,
            getter_channels: &mut self.getter_channels,
            pending: &mut self.pending,
            touched: &mut self.touched,
            loads: &mut self.loads,
            looks: &mut self.looks,
            marks: &mut self.marks,
            dead: &mut self.dead,
        };
        (&mut self.machine, shell, &mut self.counters)
    }

    /// When it will have been unused for too long, while nobody consumes.
    fn unused_until(&self) -> Option<u64> {
        let expires_ms = self.expires_ms.filter(|_| self.machine.consumer_count() == 0)?;
        Some(self.used_ms + expires_ms)
    }

    /// When somebody will have held a message for too long. Those who were told get some time to give it back.
    fn ack_deadline(&self) -> Option<u64> {
        Some(self.machine.ack_deadline()?.max(self.overdue_told_ms + OVERDUE_AGAIN_MS))
    }

    /// Tells by another rule from now on what it has seen before, or not at all.
    fn deduplicate_by(&mut self, rule: Option<Rule>, cell: &QueueCell) {
        match (&mut self.seen, rule) {
            (Some(seen), Some(rule)) => {
                seen.set_rule(rule);
                self.pending.records.extend(seen.take_records());
            }
            (Some(seen), None) => {
                self.pending.records.extend(seen.close());
                self.seen = None;
            }
            (None, Some(rule)) => {
                let prefix = queue_record_prefix(&cell.vhost, &cell.name, cell.uid);
                self.seen = Some(Box::new(Window::new(rule, prefix)));
            }
            (None, None) => {}
        }
    }

    /// Takes a batch of messages in except those that came before. A duplicate is confirmed with the first one: the
    /// queue's ticket covers both.
    #[cold]
    fn publish_new(
        &mut self,
        meta: Meta,
        cell: &QueueCell,
        batch: &mut Vec<Publish>,
        rejected: &mut Vec<(u16, u64)>,
    ) {
        let Some(mut seen) = self.seen.take() else { return };
        let (machine, mut shell, counters) = self.split(cell);
        for Publish { message, channel, sequence } in batch.drain(..) {
            let digest = seen.rule().digest(message.properties());
            if digest.is_some_and(|digest| seen.look(meta.now_ms, &digest).is_some()) {
                counters.deduplicated += 1;
                continue;
            }
            counters.published += 1;
            let is_stored = cell.durable && message.is_persistent();
            match machine.publish(meta, message, &mut shell) {
                Published::Rejected => rejected.push((channel, sequence)),
                Published::Accepted => {
                    if let Some(digest) = digest {
                        seen.note(meta.now_ms, digest);
                        seen.keep(&digest, is_stored);
                    }
                }
            }
        }
        machine.deliver(meta, &mut shell);
        self.pending.records.extend(seen.take_records());
        self.seen = Some(seen);
    }

    fn flush_links(&mut self, wakes: &mut Vec<Arc<Outbox>>) {
        for slot in self.touched.drain(..) {
            let Some(Some(link)) = self.links.get_mut(slot as usize) else { continue };
            let count = link.staged.len() as u64;
            link.delivered += count;
            if link.no_ack {
                self.counters.delivered_no_ack += count;
            } else {
                self.counters.delivered += count;
                self.counters.redelivered += link.staged.iter().filter(|d| d.redelivered).count() as u64;
            }
            link.link.outbox.push(&mut link.staged, link.staged_bytes);
            link.staged_bytes = 0;
            if !wakes.last().is_some_and(|last| Arc::ptr_eq(last, &link.link.outbox)) {
                wakes.push(link.link.outbox.clone());
            }
        }
    }

    /// Adds what this queue holds in memory to the shared count, and returns it.
    fn report_resident(&mut self, shared: &Shared) -> usize {
        let now = self.machine.resident_bytes();
        if now.abs_diff(self.resident_reported) >= RESIDENT_REPORT_STEP
            || (now == 0 && self.resident_reported != 0)
        {
            let before = std::mem::replace(&mut self.resident_reported, now);
            if now >= before {
                shared.resident_bytes.fetch_add(now - before, Ordering::Relaxed);
            } else {
                shared.resident_bytes.fetch_sub(before - now, Ordering::Relaxed);
            }
        }
        now
    }
}

/// The machine's effects, as the broker carries them out.
struct Shell<'a> {
    cell: &'a QueueCell,
    links: &'a mut Vec<Option<LinkState>>,
    getter_channels: &'a mut Vec<u16>,
    pending: &'a mut PendingBuffer,
    touched: &'a mut Vec<u32>,
    loads: &'a mut Vec<(u8, Range<u64>)>,
    looks: &'a mut Vec<(u8, Range<u64>)>,
    marks: &'a mut Vec<(u8, u64)>,
    dead: &'a mut Vec<Dead>,
}

impl Shell<'_> {
    fn set_link(&mut self, slot: usize, link: Option<Link>, key: ConsumerKey, no_ack: bool) {
        if self.links.len() <= slot {
            self.links.resize_with(slot + 1, || None);
        }
        self.links[slot] = link.map(|link| LinkState {
            link,
            key,
            no_ack,
            staged: Vec::new(),
            staged_bytes: 0,
            delivered: 0,
        });
    }

    fn set_getter(&mut self, slot: usize, channel: u16) {
        if self.getter_channels.len() <= slot {
            self.getter_channels.resize(slot + 1, 0);
        }
        self.getter_channels[slot] = channel;
    }
}

impl Effects for Shell<'_> {
    fn may_deliver(&mut self, consumer: u32) -> bool {
        let Some(Some(link)) = self.links.get(consumer as usize) else { return false };
        let (outbox, cell) = (&link.link.outbox, &self.cell.this);
        if !outbox.has_room(link.staged_bytes) && outbox.stall(cell, link.key, link.staged_bytes) {
            return false;
        }
        link.no_ack || link.link.window.take(cell, link.key)
    }

    fn deliver(&mut self, consumer: u32, delivery: Delivery) {
        if let Some(Some(link)) = self.links.get_mut(consumer as usize) {
            if link.staged.is_empty() {
                self.touched.push(consumer);
            }
            link.staged_bytes += delivery_bytes(&delivery);
            link.staged.push(delivery);
        }
    }

    fn store(&mut self, lane: u8, position: u64, expires_at_ms: u64, transient: bool, message: &Message) {
        let stored = PendingMessage { position, expires_at_ms, transient, message: Some(message.clone()) };
        self.pending.append(lane, stored, &self.cell.shared.store);
    }

    fn forget(&mut self, lane: u8, positions: Range<u64>) {
        self.pending.forget(lane, positions, &self.cell.shared.store);
    }

    fn load(&mut self, lane: u8, positions: Range<u64>) {
        self.loads.push((lane, positions));
    }

    fn delivered_upto(&mut self, lane: u8, position: u64) {
        self.pending.delivered_upto.retain(|(other, _)| *other != lane);
        self.pending.delivered_upto.push((lane, position));
        self.marks.push((lane, position));
    }

    fn returned(&mut self, lane: u8, position: u64, returns: u32, ready_at_ms: u64) {
        self.pending.returned.push(Returned { lane, position, returns, ready_at_ms });
    }

    fn look(&mut self, lane: u8, positions: Range<u64>) {
        self.looks.push((lane, positions));
    }

    fn dead_letter(&mut self, lane: u8, entry: Entry, reason: DeadReason) {
        let Entry { position, stored, message, .. } = entry;
        self.dead.push(Dead { lane, position, stored, message, reason });
    }

    fn consumer_gone(&mut self, consumer: u32) {
        if let Some(link) = self.links.get_mut(consumer as usize) {
            *link = None;
        }
    }
}

impl ChannelWindow {
    /// A window without a bound.
    pub fn new() -> ChannelWindow {
        ChannelWindow { limit: AtomicU32::new(0), held: AtomicU32::new(0), waiting: Mutex::default() }
    }

    /// Changes the bound, 0 for none. Returns the consumers to resume.
    pub fn set_limit(&self, limit: u32) -> Vec<(Arc<QueueCell>, ConsumerKey)> {
        self.limit.store(limit, Ordering::SeqCst);
        self.drain_waiting()
    }

    /// Gives room for `count` messages back. Returns the consumers to resume.
    pub fn release(&self, count: u32) -> Vec<(Arc<QueueCell>, ConsumerKey)> {
        self.held.fetch_sub(count, Ordering::SeqCst);
        if self.limit.load(Ordering::SeqCst) == 0 { Vec::new() } else { self.drain_waiting() }
    }

    /// Takes room for one message, or notes that the consumer waits for it.
    fn take(&self, cell: &Weak<QueueCell>, key: ConsumerKey) -> bool {
        if self.try_take() {
            return true;
        }
        let mut waiting = self.waiting.lock();
        // Room that came back between the two looks would otherwise wake nobody.
        if self.try_take() {
            return true;
        }
        if let Some(cell) = cell.upgrade() {
            waiting.push((cell, key));
        }
        false
    }

    fn try_take(&self) -> bool {
        let limit = self.limit.load(Ordering::SeqCst);
        if limit == 0 {
            self.held.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        let more = |held: u32| (held < limit).then_some(held + 1);
        self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    fn drain_waiting(&self) -> Vec<(Arc<QueueCell>, ConsumerKey)> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

impl Default for ChannelWindow {
    fn default() -> ChannelWindow {
        ChannelWindow::new()
    }
}

/// What a delivery counts towards its connection's unwritten bytes.
pub fn delivery_bytes(delivery: &Delivery) -> usize {
    delivery.message.memory_bytes()
}

/// Ready messages that a queue keeps in memory, in bytes of each lane, while memory is plentiful.
const WINDOW_BYTES_MAX: usize = 16 << 20;
/// The same once all queues together hold more than the budget.
const WINDOW_BYTES_MIN: usize = 16 << 10;
/// How often a queue is looked at whose messages are held by consumers.
const ACK_LOOK_MS: u64 = 60_000;
/// How long a connection has to end a channel that held a message for too long, before it is told again.
const OVERDUE_AGAIN_MS: u64 = 1000;
/// How much one read from disk brings.
const LOAD_BYTES_MAX: usize = 2 << 20;
const LOAD_MESSAGES_MAX: usize = 8192;
/// Changes smaller than this are not worth an update of a counter that all threads share.
const RESIDENT_REPORT_STEP: usize = 64 << 10;
