//! Delayed exchanges: from the publisher into the store, and when their time has come into the queues.
//!
//! ```text
//! publisher ──hold──▶ Window + pending list ──generation──▶ store, family `delayed`
//!                        │    ▲ pages
//!          deadline ──▶ tick: what is due, in order
//!                        │
//!                        ▼ routed as the exchange's own type would
//!                     queues, and out of the family, as one transfer
//! ```
//!
//! Every held message is stored, transient ones too, as the plugin for RabbitMQ did; they are transient again in the
//! queues they go to. An exchange that is not durable loses what it holds with itself. Nobody is told of a held message
//! that reaches no queue in the end: its publisher may be gone.
//!
//! Lock order: a vhost's topology or a transfer, then this; the store's inbox and the deadlines after it. No queue is touched while
//! the lock is held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};

use leveret_core::delayed::{Claim, Delayed, DelayedKey, Window, after_waiting};
use leveret_core::message::Message;
use leveret_core::session::host::Ticket;
use leveret_core::vhost::{RouteScratch, without_bcc};
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::clock;
use crate::dead_letter;
use crate::deadlines::{Note, STEP_MS, Whose};
use crate::queue_host::{QueueCell, Shared};
use crate::store::{DelayedChanges, DelayedLoad, DelayedSink, Pending, PendingSource, QueueUid, Store};
use crate::transfer::Transfer;

/// One delayed exchange of a running broker.
pub struct DelayedExchange {
    uid: QueueUid,
    vhost: Arc<str>,
    name: Arc<str>,
    shared: Arc<Shared>,
    state: Mutex<State>,
    this: Weak<DelayedExchange>,
    deleted: AtomicBool,
}

struct State {
    window: Window,
    pending: DelayedChanges,
    /// Bytes of messages in `pending`, which publishers' back-pressure counts.
    pending_bytes: usize,
    /// The store knows that there is something in `pending`.
    registered: bool,
    /// Some of `pending` leaves another place for it.
    transfers: bool,
    /// Covers everything given to the store so far.
    last: Ticket,
    held: Held,
    /// How often everything was dropped: what was under way then is void.
    life: u64,
    /// The moment that the exchange is noted with in [`Shared::deadlines`], 0 when it is not.
    scheduled_ms: u64,
}

/// How much an exchange holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    pub messages: u64,
    /// Of their bodies.
    pub bytes: u64,
}

/// The store has failed or is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer")]
pub struct StoreGone;

impl DelayedExchange {
    /// An exchange; `held` is what the store has of it.
    pub fn new(
        uid: QueueUid,
        vhost: Arc<str>,
        name: Arc<str>,
        shared: Arc<Shared>,
        held: Held,
    ) -> Arc<DelayedExchange> {
        let state = State {
            window: Window::new(held.messages > 0),
            pending: DelayedChanges::default(),
            pending_bytes: 0,
            registered: false,
            transfers: false,
            last: Ticket(0),
            held,
            life: 0,
            scheduled_ms: 0,
        };
        Arc::new_cyclic(|this| DelayedExchange {
            uid,
            vhost,
            name,
            shared,
            state: Mutex::new(state),
            this: this.clone(),
            deleted: AtomicBool::new(false),
        })
    }

    /// Lets time begin, after a restart.
    pub fn start(&self) {
        self.change(|_| ());
    }

    /// Takes messages in, each with the moment at which it is due. Returns when they are safe.
    pub fn hold(&self, messages: impl Iterator<Item = (u64, Message)>) -> Ticket {
        let store = &self.shared.store;
        self.change(|state| {
            if self.is_deleted() {
                // Gone with its exchange, as a message on its way into a deleted queue.
                return;
            }
            for (due_ms, message) in messages {
                state.add(due_ms, message, store);
            }
        })
        .1
    }

    /// As [`DelayedExchange::hold`] for a message that leaves another place for it, within a transfer.
    pub fn take_over(&self, due_ms: u64, message: Message) -> Ticket {
        self.change(|state| {
            if !self.is_deleted() {
                state.transfers = true;
                state.add(due_ms, message, &self.shared.store);
            }
        })
        .1
    }

    /// The moment has come that the exchange was noted with: sends on what is due, up to a bound; the rest soon after.
    pub fn tick(&self, noted_ms: u64) {
        let ((due, life), _) = self.change(|state| {
            if state.scheduled_ms != noted_ms {
                return (Vec::new(), 0);
            }
            state.scheduled_ms = 0;
            // Queues write what comes: no faster than the store.
            let is_behind = self.shared.store.backlog_bytes() > STORE_BACKLOG_MAX;
            if is_behind || self.is_deleted() {
                return (Vec::new(), 0);
            }
            (state.take_due(clock::now_ms()), state.life)
        });
        if !due.is_empty() {
            self.send_on(due, life);
        }
    }

    /// How much it holds.
    pub fn held(&self) -> Held {
        self.state.lock().held
    }

    /// Messages from `from` on, the next due first, and where the next ones begin. Waits for the disk.
    pub fn list(
        &self,
        from: DelayedKey,
        max_messages: usize,
    ) -> Result<(Vec<Delayed>, Option<DelayedKey>), StoreGone> {
        self.read(from, DelayedKey::END, max_messages, |state, (mut messages, next)| {
            messages.retain(|delayed| !state.window.is_leaving(delayed.key));
            (messages, next)
        })
    }

    /// Drops one message. Waits for the disk; the ticket says when it is safe that it is gone. `None` when there is no
    /// such message.
    pub fn cancel(&self, key: DelayedKey) -> Result<Option<Ticket>, StoreGone> {
        let Some((delayed, life)) = self.claim(key)? else { return Ok(None) };
        Ok(Some(self.forget(vec![(delayed.key, delayed.message.body().len() as u64)], life)))
    }

    /// Sends one message on now. Waits for the disk; the ticket says when it is safe in its queues. `None` when there is
    /// no such message.
    pub fn release(&self, key: DelayedKey) -> Result<Option<Ticket>, StoreGone> {
        let Some((delayed, life)) = self.claim(key)? else { return Ok(None) };
        Ok(Some(self.send_on(vec![delayed], life)))
    }

    /// Drops everything it holds; returns how many messages those were.
    pub fn purge(&self) -> (u64, Ticket) {
        self.change(|state| {
            state.life += 1;
            state.window.clear();
            state.drop_pending(&self.shared);
            state.pending.purge = true;
            std::mem::take(&mut state.held).messages
        })
    }

    /// The exchange was deleted: it holds nothing any more. The store is told by the caller.
    pub fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.life += 1;
        state.window.clear();
        state.drop_pending(&self.shared);
        state.held = Held::default();
    }

    /// Its identity in the store.
    pub fn uid(&self) -> QueueUid {
        self.uid
    }

    fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Runs `apply` under the lock, registers what it left for the store, and sees to it that the exchange is looked at
    /// in time.
    fn change<R>(&self, apply: impl FnOnce(&mut State) -> R) -> (R, Ticket) {
        let mut state = self.state.lock();
        let result = apply(&mut state);
        if !state.pending.is_empty()
            && !state.registered
            && !self.is_deleted()
            && let Some(this) = self.this.upgrade()
        {
            state.last = self.shared.store.mark_dirty(this);
            state.registered = true;
        }
        let page = state.window.wants_page().map(|from| (from, state.life));
        let ticket = state.last;
        let is_earliest = self.schedule(&mut state);
        drop(state);
        if is_earliest {
            self.shared.deadlines.wake();
        }
        if let Some((from, life)) = page {
            let sink = Arc::new(Page { exchange: self.this.clone(), life });
            self.load(from, DelayedKey::END, leveret_core::delayed::NEAR_MAX, ticket, sink);
        }
        (result, ticket)
    }

    /// True when the exchange is what comes next of all that wait for a moment.
    fn schedule(&self, state: &mut State) -> bool {
        let Some(due_ms) = state.window.next_due().filter(|_| !self.is_deleted()) else { return false };
        // Past ones too come in their turn, and after a pause when the store is behind.
        let at_ms = due_ms.max(clock::now_ms()).checked_next_multiple_of(STEP_MS).unwrap_or(u64::MAX);
        if state.scheduled_ms != 0 && state.scheduled_ms <= at_ms {
            return false;
        }
        state.scheduled_ms = at_ms;
        self.shared.deadlines.add(Note { at_ms, whose: Whose::Delayed(self.this.clone()) })
    }

    fn load(
        &self,
        from: DelayedKey,
        upto: DelayedKey,
        max_messages: usize,
        after: Ticket,
        sink: Arc<dyn DelayedSink>,
    ) {
        self.shared.store.load_delayed(DelayedLoad {
            uid: self.uid,
            from,
            upto,
            max_messages,
            max_bytes: leveret_core::delayed::NEAR_BYTES_MAX,
            after,
            sink,
        });
    }

    /// Takes one message out of turn.
    fn claim(&self, key: DelayedKey) -> Result<Option<(Delayed, u64)>, StoreGone> {
        let (claim, life) = {
            let mut state = self.state.lock();
            (state.claim(key), state.life)
        };
        match claim {
            Claim::Gone => return Ok(None),
            Claim::Taken(message) => return Ok(Some((Delayed { key, message }, life))),
            Claim::InStore => {}
        }
        let upto = DelayedKey { id: key.id.saturating_add(1), ..key };
        self.read(key, upto, 1, |state, (messages, _)| {
            let delayed = messages.into_iter().next()?;
            if !state.window.claim_read(key) {
                return None;
            }
            state.held.messages = state.held.messages.saturating_sub(1);
            state.held.bytes = state.held.bytes.saturating_sub(delayed.message.body().len() as u64);
            Some((delayed, state.life))
        })
    }

    /// Reads from the store on this thread's time; `then` sees what came under the lock.
    fn read<R: Default>(
        &self,
        from: DelayedKey,
        upto: DelayedKey,
        max_messages: usize,
        then: impl FnOnce(&mut State, PageRead) -> R,
    ) -> Result<R, StoreGone> {
        let (after, life) = {
            let mut state = self.state.lock();
            state.window.begin_read();
            (state.last, state.life)
        };
        let (sender, receiver) = mpsc::sync_channel(1);
        self.load(from, upto, max_messages, after, Arc::new(Reader(sender)));
        // The store drops the request, and with it the sender, when it fails.
        let read = receiver.recv();
        let mut state = self.state.lock();
        if state.life != life {
            return Ok(R::default());
        }
        let result = read.map(|read| then(&mut state, read)).map_err(|_| StoreGone);
        state.window.end_read();
        result
    }

    /// Sends messages to the queues that the exchange's bindings lead to. Returns when they are safe there.
    fn send_on(&self, messages: Vec<Delayed>, life: u64) -> Ticket {
        let departed: Vec<(DelayedKey, u64)> =
            messages.iter().map(|delayed| (delayed.key, delayed.message.body().len() as u64)).collect();
        let mut transfer = Transfer::new(messages.len());
        self.route(messages, &mut transfer);
        let carried = transfer.carry_out(&self.shared.store, |_| self.forget(departed, life));
        dead_letter::send_on_all(carried.dead);
        carried.ticket
    }

    /// Finds where messages go; each queue gets its messages in order.
    fn route(&self, messages: Vec<Delayed>, transfer: &mut Transfer) {
        let Some(broker) = self.broker() else { return };
        let Some(vhost) = broker.vhost(&self.vhost) else { return };
        let mut scratch = RouteScratch::seeded(rand::random());
        let mut found: Vec<Arc<QueueCell>> = Vec::new();
        let mut unroutable = 0;
        let topology = vhost.topology();
        for (index, Delayed { message, .. }) in messages.into_iter().enumerate() {
            let message = after_waiting(message);
            topology.route_after_waiting(&self.name, &message, &mut scratch, &mut found);
            unroutable += u64::from(found.is_empty());
            let message = without_bcc(message);
            for cell in found.drain(..) {
                transfer.add(cell, index, message.clone());
            }
        }
        broker.metrics().unroutable.fetch_add(unroutable, Ordering::Relaxed);
    }

    /// Tells the store that messages have left.
    fn forget(&self, departed: Vec<(DelayedKey, u64)>, life: u64) -> Ticket {
        self.change(|state| {
            if state.life == life {
                state.window.left(departed.iter().map(|(key, _)| *key));
                state.pending.removed.extend(departed);
            }
        })
        .1
    }

    fn broker(&self) -> Option<Arc<Broker>> {
        self.shared.broker.get()?.upgrade()
    }
}

impl State {
    fn add(&mut self, due_ms: u64, message: Message, store: &Store) {
        let bytes = message.memory_bytes();
        self.pending_bytes += bytes;
        store.inbox_bytes().fetch_add(bytes, Ordering::Relaxed);
        self.held.messages += 1;
        self.held.bytes += message.body().len() as u64;
        let delayed = Delayed { key: DelayedKey { due_ms, id: store.next_delayed_id() }, message };
        self.window.add(delayed.clone());
        self.pending.added.push(delayed);
    }

    fn take_due(&mut self, now_ms: u64) -> Vec<Delayed> {
        let due = self.window.take_due(now_ms, DUE_MAX);
        self.count_off(due.iter().map(|delayed| &delayed.message));
        due
    }

    fn claim(&mut self, key: DelayedKey) -> Claim {
        let claim = self.window.claim(key);
        if let Claim::Taken(message) = &claim {
            self.count_off(std::iter::once(message));
        }
        claim
    }

    fn count_off<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) {
        for message in messages {
            self.held.messages = self.held.messages.saturating_sub(1);
            self.held.bytes = self.held.bytes.saturating_sub(message.body().len() as u64);
        }
    }

    fn drop_pending(&mut self, shared: &Shared) {
        shared.store.inbox_bytes().fetch_sub(std::mem::take(&mut self.pending_bytes), Ordering::Relaxed);
        self.pending = DelayedChanges::default();
    }
}

impl PendingSource for DelayedExchange {
    fn uid(&self) -> QueueUid {
        self.uid
    }

    fn take_pending(&self, into: &mut Pending) {
        let mut state = self.state.lock();
        state.registered = false;
        into.bytes += std::mem::take(&mut state.pending_bytes);
        into.transfers |= std::mem::take(&mut state.transfers);
        std::mem::swap(&mut into.delayed, &mut state.pending);
    }
}

type PageRead = (Vec<Delayed>, Option<DelayedKey>);

/// Brings the next page into the window.
struct Page {
    exchange: Weak<DelayedExchange>,
    life: u64,
}

impl DelayedSink for Page {
    fn loaded(&self, messages: Vec<Delayed>, next: Option<DelayedKey>) {
        if let Some(exchange) = self.exchange.upgrade() {
            exchange.change(|state| {
                if state.life == self.life {
                    state.window.page(messages, next);
                }
            });
        }
    }
}

/// Somebody who waits for a read.
struct Reader(mpsc::SyncSender<PageRead>);

impl DelayedSink for Reader {
    fn loaded(&self, messages: Vec<Delayed>, next: Option<DelayedKey>) {
        let _ = self.0.try_send((messages, next));
    }
}

/// Messages sent on at once; others come between.
const DUE_MAX: usize = 1024;
/// With more than this waiting for the disk nothing is sent on, as nothing is read from publishers.
const STORE_BACKLOG_MAX: usize = 64 << 20;
