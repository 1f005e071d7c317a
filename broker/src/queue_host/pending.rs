//! What a queue has for the store and the store has not taken yet.
//!
//! A message that is settled while it still waits here is never written.

use std::ops::Range;
use std::sync::atomic::Ordering;

use leveret_core::message::Message;
use leveret_core::record::Record;

use crate::store::{Append, Pending, Returned, Store, Ticket};

/// The lists of one queue, under its lock.
#[derive(Default)]
pub(super) struct PendingBuffer {
    lanes: Vec<PendingLane>,
    settled: Vec<(u8, Range<u64>)>,
    pub delivered_upto: Vec<(u8, u64)>,
    pub returned: Vec<Returned>,
    /// Records that belong behind the messages.
    pub records: Vec<Record>,
    /// Bytes of messages here, which publishers' back-pressure counts.
    bytes: usize,
    /// Some of the messages leave another place for this one.
    pub transfers: bool,
    /// The store knows that there is something here.
    pub registered: bool,
    /// Covers everything given to the store so far.
    pub last: Ticket,
}

struct PendingLane {
    lane: u8,
    /// By rising position.
    messages: Vec<PendingMessage>,
    live: usize,
}

pub(super) struct PendingMessage {
    pub position: u64,
    pub expires_at_ms: u64,
    pub transient: bool,
    /// Absent once it is settled.
    pub message: Option<Message>,
}

impl PendingBuffer {
    pub(super) fn append(&mut self, lane: u8, pending: PendingMessage, store: &Store) {
        let bytes = pending.message.as_ref().map_or(0, Message::memory_bytes);
        self.bytes += bytes;
        store.inbox_bytes().fetch_add(bytes, Ordering::Relaxed);
        let at = match self.lanes.iter().position(|other| other.lane == lane) {
            Some(at) => at,
            None => {
                self.lanes.push(PendingLane { lane, messages: Vec::new(), live: 0 });
                self.lanes.len() - 1
            }
        };
        self.lanes[at].live += 1;
        self.lanes[at].messages.push(pending);
    }

    pub(super) fn forget(&mut self, lane: u8, mut positions: Range<u64>, store: &Store) {
        if let Some(here) = self.lanes.iter_mut().find(|other| other.lane == lane) {
            // Everything taken earlier lies before everything that waits here.
            let first = here.messages.first().map_or(u64::MAX, |message| message.position);
            if positions.end > first {
                let start = here.messages.partition_point(|message| message.position < positions.start);
                let mut freed = 0;
                for message in &mut here.messages[start..] {
                    if message.position >= positions.end {
                        break;
                    }
                    if let Some(message) = message.message.take() {
                        freed += message.memory_bytes();
                        here.live -= 1;
                    }
                }
                self.bytes -= freed;
                store.inbox_bytes().fetch_sub(freed, Ordering::Relaxed);
                if here.live == 0 && !self.registered {
                    here.messages.clear();
                }
                positions.end = first.min(positions.end);
            }
        }
        if positions.start >= positions.end {
            return;
        }
        match self.settled.last_mut() {
            Some((last, range)) if *last == lane && range.end == positions.start => range.end = positions.end,
            _ => self.settled.push((lane, positions)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settled.is_empty()
            && self.delivered_upto.is_empty()
            && self.returned.is_empty()
            && self.records.is_empty()
            && self.lanes.iter().all(|lane| lane.live == 0)
    }

    pub(super) fn take(&mut self, into: &mut Pending) {
        self.registered = false;
        into.transfers |= std::mem::take(&mut self.transfers);
        into.bytes += std::mem::take(&mut self.bytes);
        into.settled.append(&mut self.settled);
        into.delivered_upto.append(&mut self.delivered_upto);
        if !self.returned.is_empty() {
            self.drop_settled_returns();
            into.returned.append(&mut self.returned);
        }
        into.records.append(&mut self.records);
        for here in &mut self.lanes {
            into.spared += (here.messages.len() - here.live) as u64;
            here.live = 0;
            into.appends.reserve(here.messages.len());
            for pending in here.messages.drain(..) {
                let Some(message) = pending.message else { continue };
                let PendingMessage { position, expires_at_ms, transient, .. } = pending;
                into.appends.push(Append { lane: here.lane, position, transient, expires_at_ms, message });
            }
            if here.messages.capacity() > PENDING_CAPACITY_MAX {
                here.messages = Vec::new();
            }
        }
    }

    /// Of a message that is never written the store need not know that it was returned.
    #[cold]
    fn drop_settled_returns(&mut self) {
        let lanes = &self.lanes;
        self.returned.retain(|returned| {
            let here = lanes.iter().find(|here| here.lane == returned.lane);
            let found = here.and_then(|here| {
                let at = here
                    .messages
                    .binary_search_by_key(&returned.position, |message| message.position)
                    .ok()?;
                here.messages.get(at)
            });
            found.is_none_or(|pending| pending.message.is_some())
        });
    }

    pub(super) fn clear(&mut self, store: &Store) {
        store.inbox_bytes().fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
        self.lanes.clear();
        self.settled.clear();
        self.delivered_upto.clear();
        self.returned.clear();
        self.records.clear();
        self.transfers = false;
    }
}

/// A pending list that grew beyond this many messages is given back once it is taken.
const PENDING_CAPACITY_MAX: usize = 16 << 10;
