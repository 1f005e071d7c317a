//! Looks at a queue's messages without touching them, and takes them out wherever they are.
//!
//! A look locks the queue for a moment, copies what is in memory, and reads from disk with the lock free; what came from
//! disk is held against the queue once more. A walk through a queue is made of such looks, each of which says where the
//! next one begins: it is as good as a list of a queue that lives can be, and costs the queue nothing. While the store
//! reads, the calling thread waits.

use std::ops::Range;
use std::sync::{Arc, mpsc};

use leveret_core::message::Message;
use leveret_core::queue::{ConnectionId, Entry, Held};
use leveret_core::session::host::Ticket;
use parking_lot::Mutex;

use super::{LoadWaiter, QueueCell, State};
use crate::clock;
use crate::store::{LoadRequest, Loaded};

/// Where a message is in its queue. It stays there for as long as the message is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub lane: u8,
    pub position: u64,
}

impl Place {
    /// Where a walk through the ready messages begins.
    pub const FRONT: Place = Place { lane: u8::MAX, position: 0 };
}

/// A message, as it was when somebody looked.
#[derive(Debug, Clone)]
pub struct Seen {
    pub place: Place,
    pub message: Message,
    pub redelivered: bool,
    /// How often it was returned.
    pub delivery_count: u32,
    /// Milliseconds since the epoch, 0 for never.
    pub expires_at_ms: u64,
    /// When a returned message that waits is ready again, in milliseconds since the epoch; 0 for one that does not wait.
    pub ready_at_ms: u64,
    /// Who holds it, if it was delivered.
    pub holder: Option<Holder>,
}

/// Who holds a delivered message.
#[derive(Debug, Clone)]
pub struct Holder {
    pub connection: ConnectionId,
    /// 0 when it is not known.
    pub channel: u16,
    /// Empty for a message that was taken by a get.
    pub consumer_tag: Arc<str>,
    /// When it was handed out, in milliseconds since the epoch.
    pub since_ms: u64,
    /// The delivery's number, which rises with every delivery of the queue.
    pub delivery: u64,
}

/// Some messages, and where the next look begins; nowhere after the last.
#[derive(Debug)]
pub struct Look<C> {
    pub seen: Vec<Seen>,
    pub next: Option<C>,
}

/// The store has failed: there is nothing to look at any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message store failed")]
pub struct StoreFailed;

impl QueueCell {
    /// Ready messages from a place on, in the order in which they would leave.
    pub fn look_at_ready(&self, from: Place) -> Result<Look<Place>, StoreFailed> {
        let mut from = from;
        loop {
            let state = self.state.lock();
            let lanes = state.machine.lanes();
            if self.is_deleted() || lanes.is_empty() {
                return Ok(Look { seen: Vec::new(), next: None });
            }
            let last = (lanes.len() - 1) as u8;
            if from.lane > last {
                from = Place { lane: last, position: 0 };
            }
            let lane = &lanes[usize::from(from.lane)];
            let entries: Vec<Entry> = lane.iter_from(from.position).take(LOOK_MESSAGES).cloned().collect();
            if let Some(last) = entries.last() {
                let next = Place { lane: from.lane, position: last.position + 1 };
                let after = state.pending.last;
                drop(state);
                return Ok(Look { seen: self.with_bodies(from.lane, entries, after)?, next: Some(next) });
            }
            let positions = from.position.max(lane.paged().from)..lane.paged().upto;
            if lane.paged().count > 0 && !positions.is_empty() {
                let after = state.pending.last;
                drop(state);
                let (loaded, next) = self.read(from.lane, positions.clone(), after)?;
                let seen = self.still_ready(from.lane, loaded);
                let next = Place { lane: from.lane, position: next };
                if !seen.is_empty() {
                    return Ok(Look { seen, next: Some(next) });
                }
                from = next;
                continue;
            }
            if from.lane == 0 {
                return Ok(Look { seen: Vec::new(), next: None });
            }
            from = Place { lane: from.lane - 1, position: 0 };
        }
    }

    /// Those of these messages that are ready, given as rising positions of a lane.
    pub fn look_at_these(&self, lane: u8, positions: &[u64]) -> Result<Vec<Seen>, StoreFailed> {
        let state = self.state.lock();
        let Some(this) = state.machine.lanes().get(usize::from(lane)).filter(|_| !self.is_deleted()) else {
            return Ok(Vec::new());
        };
        let entries: Vec<Entry> =
            positions.iter().filter_map(|position| this.find(*position).cloned()).collect();
        let paged: Vec<u64> =
            positions.iter().copied().filter(|position| this.is_in_page(*position)).collect();
        let after = state.pending.last;
        drop(state);
        let mut seen = self.with_bodies(lane, entries, after)?;
        let loaded = self.read_each(lane, &paged, after)?;
        seen.extend(self.still_ready(lane, loaded));
        seen.sort_by_key(|seen| seen.place);
        Ok(seen)
    }

    /// Delivered messages from a delivery id on, in the order of their deliveries.
    pub fn look_at_unacked(&self, from: u64) -> Result<Look<u64>, StoreFailed> {
        let state = self.state.lock();
        let after = state.pending.last;
        let held: Vec<(u64, u8, Entry, Holder)> = state
            .machine
            .unacked_from(from)
            .take(LOOK_MESSAGES)
            .map(|(id, held)| (id, held.lane, held.entry.clone(), state.holder(id, held)))
            .collect();
        drop(state);
        let next = held.last().map(|(id, ..)| id + 1);
        let mut seen = Vec::with_capacity(held.len());
        for of_lane in held.chunk_by(|a, b| a.1 == b.1 && a.2.position < b.2.position) {
            let lane = of_lane[0].1;
            let entries = of_lane.iter().map(|(_, _, entry, _)| entry.clone()).collect();
            let holders = of_lane.iter().map(|(_, _, entry, holder)| (entry.position, holder));
            let mut holders = holders.peekable();
            // Those whose bodies are gone were settled meanwhile.
            for found in self.with_bodies(lane, entries, after)? {
                while holders.next_if(|(position, _)| *position < found.place.position).is_some() {}
                let holder = holders.next().map(|(_, holder)| holder.clone());
                seen.push(Seen { holder, ..found });
            }
        }
        Ok(Look { seen, next })
    }

    /// Returned messages that wait before they are ready again, from a moment, lane and position on, in that order.
    pub fn look_at_waiting(&self, from: (u64, u8, u64)) -> Result<Look<(u64, u8, u64)>, StoreFailed> {
        let state = self.state.lock();
        let after = state.pending.last;
        let waiting: Vec<((u64, u8, u64), Entry)> = state
            .machine
            .waiting_from(from)
            .take(LOOK_MESSAGES)
            .map(|(key, entry)| (key, entry.clone()))
            .collect();
        drop(state);
        let next = waiting.last().map(|((at_ms, lane, position), _)| (*at_ms, *lane, position + 1));
        let mut seen = Vec::with_capacity(waiting.len());
        // Bodies are read by lane, in rising positions.
        for run in waiting.chunk_by(|((_, lane, a), _), ((_, other, b), _)| lane == other && a < b) {
            let lane = run[0].0.1;
            let entries = run.iter().map(|(_, entry)| entry.clone()).collect();
            for found in self.with_bodies(lane, entries, after)? {
                let at = run.binary_search_by_key(&found.place.position, |((_, _, position), _)| *position);
                let ready_at_ms = at.map_or(0, |at| run[at].0.0);
                seen.push(Seen { ready_at_ms, ..found });
            }
        }
        Ok(Look { seen, next })
    }

    /// Takes ready messages of a lane out of the queue, given as rising positions with the sizes of their bodies, as they
    /// were when somebody looked. Those that are not there any more are passed over. What becomes of them is said with
    /// [`QueueCell::settle_stored`] or [`QueueCell::give_back`].
    pub fn take_ready(&self, lane: u8, wanted: &[(u64, u32)]) -> Vec<Entry> {
        let take = |machine: &mut leveret_core::queue::Machine, meta, effects: &mut super::Shell<'_>| {
            let taken = machine.take_ready(lane, wanted);
            machine.deliver(meta, effects);
            taken
        };
        self.run(
            |machine, meta, _, effects| {
                if self.is_deleted() { Vec::new() } else { take(machine, meta, effects) }
            },
        )
        .0
    }

    /// Puts back what [`QueueCell::take_ready`] took, each message with its body.
    pub fn give_back(&self, lane: u8, entries: Vec<Entry>) {
        self.run(|machine, meta, _, effects| {
            if self.is_deleted() {
                return;
            }
            entries.into_iter().for_each(|entry| machine.give_back(lane, entry));
            machine.deliver(meta, effects);
        });
    }

    /// Above all positions in use, by lane.
    pub fn ends(&self) -> Vec<u64> {
        self.state.lock().machine.lanes().iter().map(leveret_core::queue::Lane::next_position).collect()
    }

    /// Entries of a lane in rising positions, with bodies that only the store has read back.
    fn with_bodies(&self, lane: u8, entries: Vec<Entry>, after: Ticket) -> Result<Vec<Seen>, StoreFailed> {
        let absent: Vec<u64> =
            entries.iter().filter(|entry| entry.message.is_none()).map(|entry| entry.position).collect();
        let loaded = self.read_each(lane, &absent, after)?;
        let seen = entries.into_iter().filter_map(|entry| {
            let message = entry.message.or_else(|| {
                let at = loaded.binary_search_by_key(&entry.position, |loaded| loaded.position).ok()?;
                Some(loaded[at].message.clone())
            });
            Some(Seen {
                place: Place { lane, position: entry.position },
                message: message?,
                redelivered: entry.redelivered,
                delivery_count: entry.delivery_count,
                expires_at_ms: entry.expires_at_ms,
                ready_at_ms: 0,
                holder: None,
            })
        });
        Ok(seen.collect())
    }

    /// Those that are ready of what was read from the page a moment ago.
    fn still_ready(&self, lane: u8, loaded: Vec<Loaded>) -> Vec<Seen> {
        let state = self.state.lock();
        let machine = &state.machine;
        let Some(this) = machine.lanes().get(usize::from(lane)) else { return Vec::new() };
        let now_ms = clock::now_ms();
        let seen = loaded.into_iter().filter_map(|loaded| {
            let position = loaded.position;
            let in_memory = this.find(position);
            let waits = loaded.ready_at_ms > now_ms;
            if in_memory.is_none() && (waits || !this.is_in_page(position)) {
                return None;
            }
            let was_delivered = loaded.returns > 0 || machine.was_delivered(lane, position);
            Some(Seen {
                place: Place { lane, position },
                redelivered: in_memory.map_or(was_delivered, |entry| entry.redelivered),
                delivery_count: in_memory.map_or(loaded.returns, |entry| entry.delivery_count),
                expires_at_ms: loaded.expires_at_ms,
                message: loaded.message,
                ready_at_ms: 0,
                holder: None,
            })
        });
        seen.collect()
    }

    /// Reads messages at these rising positions; near ones together.
    fn read_each(&self, lane: u8, positions: &[u64], after: Ticket) -> Result<Vec<Loaded>, StoreFailed> {
        let mut found = Vec::with_capacity(positions.len());
        for run in positions.chunk_by(|a, b| b - a < READ_GAP_MAX) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut from = *first;
            while from <= *last {
                let (loaded, next) = self.read(lane, from..last + 1, after)?;
                found.extend(loaded.into_iter().filter(|loaded| run.binary_search(&loaded.position).is_ok()));
                from = next.max(from + 1);
            }
        }
        Ok(found)
    }

    /// Reads messages from disk; the second value is where to go on.
    fn read(
        &self,
        lane: u8,
        positions: Range<u64>,
        after: Ticket,
    ) -> Result<(Vec<Loaded>, u64), StoreFailed> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let waiter = Arc::new(LoadWaiter(Mutex::new(Some(sender))));
        self.shared.store.load(LoadRequest {
            max_messages: LOOK_MESSAGES,
            max_bytes: LOOK_BYTES,
            ..self.load_request(lane, positions, after, waiter)
        });
        let (_, messages, next) = receiver.recv().map_err(|_| StoreFailed)?;
        Ok((messages, next))
    }
}

impl State {
    fn holder(&self, delivery: u64, held: &Held) -> Holder {
        let slot = held.consumer as usize;
        let link = self.links.get(slot).and_then(Option::as_ref);
        let getter = self.getter_channels.get(slot).copied().unwrap_or(0);
        let consumer = self.machine.consumer(held.consumer);
        Holder {
            connection: consumer.map_or(ConnectionId(0), |consumer| consumer.subscription.connection),
            channel: link.map_or(getter, |link| link.link.channel),
            consumer_tag: link.map_or_else(|| "".into(), |link| link.link.consumer_tag.clone()),
            since_ms: held.since_ms,
            delivery,
        }
    }
}

/// Messages that one look brings at most, and bytes of bodies after which it reads no more chunks.
const LOOK_MESSAGES: usize = 256;
const LOOK_BYTES: usize = 1 << 20;
/// Positions this near to one another are read together: they lie in one chunk mostly.
const READ_GAP_MAX: u64 = 256;
