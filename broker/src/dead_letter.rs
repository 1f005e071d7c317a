//! Sends dead messages on: from the queue they died in, by its dead-letter exchange, into other queues.
//!
//! A queue collects what dies under its lock; when the lock is free, whoever ran the queue carries it on here, as a
//! [`Transfer`]: it enters its new queues and leaves the old one in one batch of the store.
//!
//! What that kills in turn (a full queue drops its head) waits in a list, so that a chain of queues costs no stack. The
//! list ends, because a message never comes round to the same queue by itself ([`DeadLetter::is_cycle`]).

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use leveret_core::dead_letter::{DeadLetter, DeadLetterTarget};
use leveret_core::delayed::Delay;
use leveret_core::message::Message;
use leveret_core::queue::DeadReason;
use leveret_core::vhost::RouteScratch;
use parking_lot::Mutex;
use tracing::debug;

use crate::clock;
use crate::delayed::DelayedExchange;
use crate::queue_host::QueueCell;
use crate::store::{LoadSink, Loaded};
use crate::transfer::Transfer;

/// A message that a queue has given up.
#[derive(Debug)]
pub struct Dead {
    pub lane: u8,
    pub position: u64,
    /// The store has it, and has to be told when it is safe elsewhere.
    pub stored: bool,
    /// Absent when only the store has it.
    pub message: Option<Message>,
    pub reason: DeadReason,
}

impl Dead {
    /// False for a message that a full queue refused: it has no place in the queue.
    pub fn was_queued(&self) -> bool {
        self.position != u64::MAX
    }
}

/// Sends on what died in `source`, and what dies of that. No lock may be held.
#[cold]
pub fn send_on(source: Arc<QueueCell>, dead: Vec<Dead>) {
    send_on_all(vec![(source, dead)]);
}

/// As [`send_on`] for several queues.
pub fn send_on_all(dead: Vec<(Arc<QueueCell>, Vec<Dead>)>) {
    let mut work = VecDeque::from(dead);
    while let Some((source, mut dead)) = work.pop_front() {
        let absent: Vec<Dead> = dead.extract_if(.., |dead| dead.message.is_none()).collect();
        load(&source, absent);
        for batch in dead.chunks(TRANSFER_MESSAGES_MAX) {
            work.extend(send_batch(&source, batch));
        }
    }
}

/// Sends on some messages and returns what dies of that.
fn send_batch(source: &Arc<QueueCell>, dead: &[Dead]) -> Vec<(Arc<QueueCell>, Vec<Dead>)> {
    let mut transfer = Transfer::new(dead.len());
    let mut held = Vec::new();
    if let Some(target) = source.dead_letter_target() {
        held = route(source, &target, dead, &mut transfer);
    }
    let stored = dead.iter().filter(|dead| dead.stored).map(|dead| (dead.lane, dead.position));
    let leave = |_: &[bool]| {
        let held = held.into_iter().map(|(exchange, due_ms, message)| exchange.take_over(due_ms, message));
        held.max().unwrap_or_default().max(source.settle_stored(stored))
    };
    transfer.carry_out(source.store(), leave).dead
}

/// A message that a delayed exchange holds back, and until when.
type Held = (Arc<DelayedExchange>, u64, Message);

/// Finds the queues that dead messages go to; each queue gets its messages in the order in which they died.
/// Returns what delayed exchanges hold back, each message until its moment.
fn route(source: &QueueCell, target: &DeadLetterTarget, dead: &[Dead], transfer: &mut Transfer) -> Vec<Held> {
    let mut held = Vec::new();
    let Some(broker) = source.broker() else { return held };
    let Some(vhost) = broker.vhost(source.vhost()) else { return held };
    if target.makes_queue
        && let Some(queue) = &target.routing_key
    {
        broker.make_dead_letter_queue(&vhost, source, queue);
    }
    let now_ms = clock::now_ms();
    let mut scratch = RouteScratch::seeded(rand::random());
    let mut found: Vec<Arc<QueueCell>> = Vec::new();
    let topology = vhost.topology();
    let mut copies: Vec<(Arc<QueueCell>, u64)> = Vec::new();
    for (index, dead) in dead.iter().enumerate() {
        let Some(message) = &dead.message else { continue };
        let letter = DeadLetter::new(message, source.name(), dead.reason, now_ms, target);
        let keys: Vec<&str> = letter.routing_keys.iter().map(String::as_str).collect();
        let properties = letter.message.properties();
        topology.route_dead_letter(&target.exchange, &keys, properties, &mut scratch, &mut found);
        if let Some(delay) = Delay::of(letter.headers()).filter(|_| !scratch.holding().is_empty()) {
            let due_ms = delay.due_ms(now_ms);
            for exchange in scratch.holding().iter().filter_map(|uid| broker.delayed_exchange(*uid)) {
                held.push((exchange, due_ms, letter.message.clone()));
            }
        }
        if scratch.is_remembered() {
            vhost.memories().remember(&topology, &scratch, &letter.message);
        }
        for cell in found.drain(..) {
            if letter.is_cycle(cell.name()) {
                debug!(queue = %cell.name(), vhost = %cell.vhost(), "dropped a dead letter that goes round");
                continue;
            }
            // One queue mostly, and a handful at most.
            match copies.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &cell)) {
                Some((_, count)) => *count += 1,
                None => copies.push((cell.clone(), 1)),
            }
            transfer.add(cell, index, letter.message.clone());
        }
    }
    drop(topology);
    vhost.flows().add_dead(source.uid(), dead.len() as u64, &target.exchange, &copies);
    held
}

/// Asks the store for messages that it alone has, to send them on when they come.
fn load(source: &Arc<QueueCell>, mut dead: Vec<Dead>) {
    dead.sort_unstable_by_key(|dead| (dead.lane, dead.position));
    let mut dead = VecDeque::from(dead);
    while let Some(first) = dead.front() {
        let (lane, mut upto) = (first.lane, first.position + 1);
        let together = dead
            .iter()
            .take_while(|dead| {
                let is_near = dead.lane == lane && dead.position < upto + LOAD_GAP_MAX;
                if is_near {
                    upto = dead.position + 1;
                }
                is_near
            })
            .count();
        let rest = dead.split_off(together);
        load_run(source, lane, std::mem::replace(&mut dead, rest));
    }
}

fn load_run(source: &Arc<QueueCell>, lane: u8, wanted: VecDeque<Dead>) {
    if let (Some(first), Some(last)) = (wanted.front(), wanted.back()) {
        let positions = first.position..last.position + 1;
        let sink = DeadSink { source: Arc::downgrade(source), wanted: Mutex::new(wanted) };
        source.load_for(lane, positions, Arc::new(sink));
    }
}

/// Receives dead messages that had to be read back.
struct DeadSink {
    source: Weak<QueueCell>,
    /// By rising position.
    wanted: Mutex<VecDeque<Dead>>,
}

impl LoadSink for DeadSink {
    fn loaded(&self, lane: u8, messages: Vec<Loaded>, next_position: u64) {
        let Some(source) = self.source.upgrade().filter(|source| !source.is_deleted()) else { return };
        let mut wanted = std::mem::take(&mut *self.wanted.lock());
        let rest = wanted.split_off(wanted.partition_point(|dead| dead.position < next_position));
        let found = wanted.into_iter().filter_map(|dead| {
            let at = messages.binary_search_by_key(&dead.position, |loaded| loaded.position).ok()?;
            Some(Dead { message: Some(messages[at].message.clone()), ..dead })
        });
        send_on(source.clone(), found.collect());
        load_run(&source, lane, rest);
    }
}

/// Messages that are sent on at a time: the store writes nothing meanwhile.
const TRANSFER_MESSAGES_MAX: usize = 1024;
/// Positions this near to one another are read together: they lie in one chunk mostly.
const LOAD_GAP_MAX: u64 = 256;
