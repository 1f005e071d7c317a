//! Deliveries of a channel: tags, what is outstanding, and settling it at the queues it came from.
//!
//! ```text
//!   outstanding   tag   3   4   6   7   9        sorted by tag; settled in the middle leaves a mark until the front
//!                 slot  0   1   0   0   1        or the back reaches it, so every settle costs O(1) amortised
//!
//!   sources       0: queue a, consumer k1   settling ids 17..19, 24..25   handed to the queue in one call per read
//!                 1: queue b, consumer k2
//! ```

use std::collections::VecDeque;
use std::ops::Range;

use leveret_protocol::frame::{ContentHeader, encode_body};
use leveret_protocol::method::encode_deliver;
use leveret_protocol::table::{Table, Value};

use crate::fault::Fault;
use crate::message::Message;
use crate::session::host::{ConsumerKey, Delivery, DeliveryId, Host, Settle};

/// A delivery that the peer has to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) id: DeliveryId,
    /// The source's slot, or [`SETTLED`].
    slot: u32,
}

/// Outstanding deliveries in order of their tags.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    entries: VecDeque<Entry>,
    /// How many of `entries` are settled and only wait to be dropped.
    settled: usize,
}

impl Outstanding {
    #[inline]
    pub(super) fn push(&mut self, tag: u64, slot: u32, id: DeliveryId) {
        debug_assert!(self.entries.back().is_none_or(|last| last.tag < tag));
        self.entries.push_back(Entry { tag, id, slot });
    }

    /// Takes out `tag`, or with `multiple` all up to it; tag 0 with `multiple` means everything.
    #[inline]
    pub(super) fn take(
        &mut self,
        tag: u64,
        multiple: bool,
        mut each: impl FnMut(Entry),
    ) -> Result<(), Fault> {
        if multiple && tag == 0 {
            self.take_all(each);
            return Ok(());
        }
        let Some(index) = self.find(tag) else {
            return Err(Fault::precondition_failed(format!("unknown delivery tag {tag}")));
        };
        if multiple {
            for entry in self.entries.drain(..=index) {
                if entry.slot == SETTLED { self.settled -= 1 } else { each(entry) }
            }
        } else {
            each(self.entries[index]);
            self.entries[index].slot = SETTLED;
            self.settled += 1;
        }
        self.trim();
        Ok(())
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self, mut each: impl FnMut(Entry)) {
        self.settled = 0;
        for entry in self.entries.drain(..) {
            if entry.slot != SETTLED {
                each(entry);
            }
        }
    }

    /// Puts entries back that were taken out before.
    pub(super) fn restore(&mut self, entries: impl Iterator<Item = Entry>) {
        self.entries.retain(|entry| entry.slot != SETTLED);
        self.settled = 0;
        self.entries.extend(entries);
        self.entries.make_contiguous().sort_unstable_by_key(|entry| entry.tag);
    }

    /// How many the peer has not settled.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.settled
    }

    /// Tags rise by one except where deliveries needed no ack, so the distance to the front is where to look first.
    #[inline]
    fn find(&self, tag: u64) -> Option<usize> {
        let front = self.entries.front()?;
        let guess = usize::try_from(tag.checked_sub(front.tag)?).ok()?;
        let index = match self.entries.get(guess) {
            Some(entry) if entry.tag == tag => guess,
            _ => self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?,
        };
        (self.entries[index].slot != SETTLED).then_some(index)
    }

    /// Drops settled entries from both ends, and all of them once they are the larger part.
    #[inline]
    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.slot == SETTLED) {
            self.entries.pop_front();
            self.settled -= 1;
        }
        while self.entries.back().is_some_and(|entry| entry.slot == SETTLED) {
            self.entries.pop_back();
            self.settled -= 1;
        }
        if self.settled > 64 && self.settled * 2 > self.entries.len() {
            self.entries.retain(|entry| entry.slot != SETTLED);
            self.settled = 0;
        }
    }
}

/// Marks an entry that is settled.
const SETTLED: u32 = u32::MAX;

/// One queue that deliveries of this channel come from, by one consumer or by `basic.get`.
#[derive(Debug)]
pub(super) struct Source<Q> {
    pub(super) queue: Q,
    pub(super) key: ConsumerKey,
    /// `None` after the cancel, and for gets.
    pub(super) consumer: Option<Consumer>,
    /// Entries of this source that are outstanding or kept in a transaction.
    unacked: u32,
    /// How `ranges` end.
    outcome: Settle,
    /// Delivery ids that were settled and that the queue does not know of yet.
    ranges: Vec<Range<u64>>,
    /// Whether `ranges` rise.
    sorted: bool,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) tag: Box<str>,
    pub(super) no_ack: bool,
}

/// The sources of a channel, by slot. A slot is free again when its consumer is gone and nothing is unacked.
#[derive(Debug)]
pub(super) struct Sources<Q> {
    slots: Vec<Option<Source<Q>>>,
    free: Vec<u32>,
    /// Slots whose `ranges` are not empty.
    settling: Vec<u32>,
    /// Slots that belong to `basic.get`.
    gets: Vec<u32>,
    /// Acks that queues were told of.
    acked: u64,
}

impl<Q: Clone + PartialEq> Sources<Q> {
    pub(super) fn new() -> Sources<Q> {
        Sources { slots: Vec::new(), free: Vec::new(), settling: Vec::new(), gets: Vec::new(), acked: 0 }
    }

    /// The slot that the next source will take; `None` when the channel has as many as it may.
    pub(super) fn next_slot(&self) -> Option<u32> {
        match self.free.last() {
            Some(slot) => Some(*slot),
            None => (self.slots.len() < SLOTS_MAX).then_some(self.slots.len() as u32),
        }
    }

    /// Puts a source into the slot that [`Sources::next_slot`] named.
    pub(super) fn insert(&mut self, queue: Q, key: ConsumerKey, consumer: Option<Consumer>) -> u32 {
        let source = Source {
            queue,
            key,
            consumer,
            unacked: 0,
            outcome: Settle::Ack,
            ranges: Vec::new(),
            sorted: true,
        };
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(source);
                slot
            }
            None => {
                self.slots.push(Some(source));
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// The slot for gets from `queue`.
    pub(super) fn get_slot(&mut self, queue: &Q, key: ConsumerKey) -> Option<u32> {
        let known = self
            .gets
            .iter()
            .find(|slot| self.slots[**slot as usize].as_ref().is_some_and(|source| source.queue == *queue));
        if let Some(slot) = known {
            return Some(*slot);
        }
        self.next_slot()?;
        let slot = self.insert(queue.clone(), key, None);
        self.gets.push(slot);
        Some(slot)
    }

    /// The source in `slot`.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Source<Q>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// How many deliveries were acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether something that came by `key` is not settled.
    pub(super) fn holds(&self, key: ConsumerKey) -> bool {
        self.slots.iter().flatten().any(|source| source.key == key && source.unacked > 0)
    }

    /// Notes a delivery that has to be settled.
    #[inline]
    pub(super) fn delivered(&mut self, slot: u32) {
        if let Some(Some(source)) = self.slots.get_mut(slot as usize) {
            source.unacked += 1;
        }
    }

    /// Ends the consumer in `slot`; what it holds stays outstanding.
    pub(super) fn cancel(&mut self, slot: u32) {
        if let Some(Some(source)) = self.slots.get_mut(slot as usize) {
            source.consumer = None;
        }
        self.release(slot);
    }

    /// Settles one delivery. The queue hears of it at the next [`Sources::flush`].
    #[inline]
    pub(super) fn settle<H: Host<Queue = Q>>(
        &mut self,
        entry: Entry,
        outcome: Settle,
        channel: u16,
        host: &mut H,
    ) {
        let Some(Some(source)) = self.slots.get_mut(entry.slot as usize) else {
            return;
        };
        source.unacked -= 1;
        if source.ranges.is_empty() {
            self.settling.push(entry.slot);
        } else if source.outcome != outcome {
            self.acked += source.flush(channel, host);
        }
        source.outcome = outcome;
        let DeliveryId(id) = entry.id;
        match source.ranges.last_mut() {
            Some(last) if last.end == id => last.end += 1,
            last => {
                source.sorted &= last.is_none_or(|last| last.end <= id);
                source.ranges.push(id..id + 1);
            }
        }
    }

    /// Tells the queues what was settled.
    #[inline]
    pub(super) fn flush<H: Host<Queue = Q>>(&mut self, channel: u16, host: &mut H) {
        while let Some(slot) = self.settling.pop() {
            if let Some(Some(source)) = self.slots.get_mut(slot as usize) {
                self.acked += source.flush(channel, host);
            }
            self.release(slot);
        }
    }

    /// Frees `slot` if nothing can come or go by it any more.
    fn release(&mut self, slot: u32) {
        let done =
            |source: &Source<Q>| source.consumer.is_none() && source.unacked == 0 && source.ranges.is_empty();
        if self.get(slot).is_some_and(done) {
            self.slots[slot as usize] = None;
            self.free.push(slot);
            self.gets.retain(|get| *get != slot);
        }
    }
}

impl<Q: Clone + PartialEq> Source<Q> {
    /// Returns how many acks there were.
    fn flush<H: Host<Queue = Q>>(&mut self, channel: u16, host: &mut H) -> u64 {
        if !self.sorted {
            self.ranges.sort_unstable_by_key(|range| range.start);
            self.sorted = true;
        }
        if !self.ranges.is_empty() {
            host.settle(channel, &self.queue, self.key, self.outcome, &self.ranges);
        }
        let settled: u64 = self.ranges.drain(..).map(|range| range.end - range.start).sum();
        if self.outcome == Settle::Ack { settled } else { 0 }
    }
}

/// Sources of one channel: as many as a [`ConsumerKey`] has numbers for, without the last two.
pub(super) const SLOTS_MAX: usize = REPLIES_SLOT as usize;

/// Stands in the key of a channel's direct reply-to consumer where others have their slot: it has no queue.
pub(super) const REPLIES_SLOT: u16 = u16::MAX - 1;

/// Stands in the key of a channel's gets where consumers have their slot.
pub(super) const GETS_SLOT: u16 = u16::MAX;

/// A key that says where its deliveries go: `serial u32 | slot u16 | channel u16`.
///
/// Slots are used again, serials are not: a delivery for a consumer that is gone does not match its successor.
pub(super) fn consumer_key(serial: u32, slot: u16, channel: u16) -> ConsumerKey {
    ConsumerKey(u64::from(serial) << 32 | u64::from(slot) << 16 | u64::from(channel))
}

/// The channel that a key names.
#[inline]
pub(super) fn channel_of(key: ConsumerKey) -> u16 {
    key.0 as u16
}

/// The slot that a key names.
#[inline]
pub(super) fn slot_of(key: ConsumerKey) -> u32 {
    u32::from((key.0 >> 16) as u16)
}

/// Appends `basic.deliver` with its content.
#[inline]
pub(super) fn encode_delivery(
    channel: u16,
    consumer_tag: &str,
    delivery_tag: u64,
    delivery: &Delivery,
    frame_max: u32,
    out: &mut Vec<u8>,
) {
    let message = &delivery.message;
    let (exchange, routing_key) = (message.exchange(), message.routing_key());
    encode_deliver(channel, consumer_tag, delivery_tag, delivery.redelivered, exchange, routing_key, out);
    encode_content(channel, message, delivery.delivery_count, frame_max, out);
}

/// Appends a message's header and body frames. `delivery_count` above 0 adds its header.
#[inline]
pub(super) fn encode_content(
    channel: u16,
    message: &Message,
    delivery_count: u32,
    frame_max: u32,
    out: &mut Vec<u8>,
) {
    let body = message.body();
    let header = |properties| ContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    if delivery_count == 0 && !message.has_died() {
        header(message.properties_raw()).encode(channel, out);
    } else {
        header(&wire_properties(message, delivery_count)).encode(channel, out);
    }
    encode_body(channel, body, frame_max, out);
}

/// The properties without the mark of a dead letter, and with the header `x-delivery-count` when it is above 0. Those
/// that cannot be taken apart get no header.
#[cold]
fn wire_properties(message: &Message, delivery_count: u32) -> Vec<u8> {
    let Some(mut owned) = message.properties().to_properties().ok().filter(|_| delivery_count > 0) else {
        return message.wire_properties();
    };
    let headers = owned.headers.get_or_insert_with(Table::new);
    headers.insert("x-delivery-count", Value::I64(delivery_count.into()));
    let mut raw = Vec::new();
    owned.encode(&mut raw);
    raw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outstanding(tags: impl IntoIterator<Item = u64>) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for tag in tags {
            outstanding.push(tag, 0, DeliveryId(tag));
        }
        outstanding
    }

    fn take(outstanding: &mut Outstanding, tag: u64, multiple: bool) -> Result<Vec<u64>, String> {
        let mut taken = Vec::new();
        outstanding
            .take(tag, multiple, |entry| taken.push(entry.tag))
            .map(|()| taken)
            .map_err(|fault| fault.text.into())
    }

    #[test]
    fn single_tags_are_taken_in_any_order_and_once() {
        let mut unacked = outstanding([1, 2, 4, 5]);
        assert_eq!(take(&mut unacked, 4, false), Ok(vec![4]));
        assert_eq!(take(&mut unacked, 4, false), Err("unknown delivery tag 4".into()));
        assert_eq!(take(&mut unacked, 1, false), Ok(vec![1]));
        assert_eq!(unacked.len(), 2);
        assert_eq!(take(&mut unacked, 5, false), Ok(vec![5]));
        assert_eq!(take(&mut unacked, 2, false), Ok(vec![2]));
        assert_eq!((unacked.len(), unacked.entries.len()), (0, 0));
    }

    #[test]
    fn multiple_takes_everything_up_to_a_tag_that_must_be_outstanding() {
        let mut unacked = outstanding([1, 2, 4, 5, 6]);
        assert_eq!(take(&mut unacked, 2, false), Ok(vec![2]));
        assert_eq!(take(&mut unacked, 3, true), Err("unknown delivery tag 3".into()));
        assert_eq!(take(&mut unacked, 2, true), Err("unknown delivery tag 2".into()));
        assert_eq!(take(&mut unacked, 4, true), Ok(vec![1, 4]));
        assert_eq!(take(&mut unacked, 0, false), Err("unknown delivery tag 0".into()));
        assert_eq!(take(&mut unacked, 0, true), Ok(vec![5, 6]));
        assert_eq!(take(&mut unacked, 0, true), Ok(vec![]));
        assert_eq!(take(&mut unacked, u64::MAX, true), Err(format!("unknown delivery tag {}", u64::MAX)));
    }

    #[test]
    fn restored_entries_are_found_again() {
        let mut unacked = outstanding([1, 2, 3]);
        let mut taken = Vec::new();
        unacked.take(2, false, |entry| taken.push(entry)).unwrap();
        unacked.take(1, false, |entry| taken.push(entry)).unwrap();
        unacked.restore(taken.into_iter());
        assert_eq!(take(&mut unacked, 3, true), Ok(vec![1, 2, 3]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn outstanding_behaves_like_a_sorted_list(
            gaps in proptest::collection::vec(1u64..4, 0..300),
            settles in proptest::collection::vec((0u64..700, prop::bool::weighted(0.05)), 0..400),
        ) {
            let tags: Vec<u64> = gaps.iter().scan(0, |tag, gap| { *tag += gap; Some(*tag) }).collect();
            let mut model = tags.clone();
            let mut unacked = outstanding(tags);
            for (tag, multiple) in settles {
                let expected: Option<Vec<u64>> = if multiple && tag == 0 {
                    Some(std::mem::take(&mut model))
                } else {
                    model.binary_search(&tag).ok().map(|at| {
                        if multiple { model.drain(..=at).collect() } else { vec![model.remove(at)] }
                    })
                };
                prop_assert_eq!(take(&mut unacked, tag, multiple).ok(), expected);
                prop_assert_eq!(unacked.len(), model.len());
            }
        }
    }
}
