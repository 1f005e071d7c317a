//! One FIFO of ready messages: a window of entries in memory, and behind it whatever only the store holds.
//!
//! ```text
//!   head (in memory, sorted by position)          paged (on disk only)
//!   ┌────┬────┬────┬────┐                         ┌──────────────────────┐
//!   │ 17 │ 18 │ 21 │ 22 │                         │ from 23 ... upto 905 │  next position: 905
//!   └────┴────┴────┴────┘                         └──────────────────────┘
//! ```
//!
//! Everything in `head` lies before everything that is paged. Once something is paged, new messages are paged too,
//! until the page has been read back: so order needs no merging, and memory does not grow with the backlog.
//!
//! A message can be taken out of the middle, from memory or from the page. What is taken from the page is remembered
//! until the page has been read past it: a load may be under way that still finds it in the store.

use std::collections::VecDeque;
use std::ops::Range;

use super::expiry::{Expiry, Run};
use super::holes::Holes;
use crate::message::Message;

/// A ready message. Position says where in its lane it belongs, also when it comes back.
#[derive(Debug, Clone)]
pub struct Entry {
    pub position: u64,
    /// Absent when only the store holds the message at present.
    pub message: Option<Message>,
    /// Milliseconds since the epoch, 0 for never.
    pub expires_at_ms: u64,
    pub body_bytes: u32,
    /// How often it was returned by a consumer.
    pub delivery_count: u32,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// The store has it or was given it: it must be told when the message is settled.
    pub stored: bool,
}

impl Entry {
    pub(super) fn resident_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, Message::memory_bytes) + size_of::<Entry>()
    }
}

/// Expired messages taken out of the middle one by one.
const SINGLY_MAX: usize = 8;

/// Ready messages that are on disk only.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Paged {
    /// All of them lie in `from..upto`; not every position there need exist.
    pub from: u64,
    pub upto: u64,
    pub count: u64,
    pub body_bytes: u64,
}

/// One FIFO of a queue. A queue without priorities has one; a priority queue has one for each priority.
#[derive(Debug, Default)]
pub struct Lane {
    head: VecDeque<Entry>,
    paged: Paged,
    /// Positions in the page that were taken out of it.
    holes: Holes,
    next_position: u64,
    resident_bytes: usize,
    body_bytes: u64,
    loading: bool,
    /// Where the loads under way begin, those for `basic.get` among them.
    loads: Vec<u64>,
    expiry: Expiry,
}

impl Lane {
    /// A lane whose messages are all on disk, as after a restart.
    pub fn recovered(paged: Paged, next_position: u64) -> Lane {
        let body_bytes = paged.body_bytes;
        Lane { next_position: next_position.max(paged.upto), body_bytes, paged, ..Lane::default() }
    }

    /// Sees to it that messages expire wherever they stand, or only at the front.
    pub fn expire_anywhere(&mut self, anywhere: bool) {
        if anywhere == self.expiry.is_on() {
            return;
        }
        if anywhere {
            let on_disk = (self.paged.count > 0).then_some(self.paged.from..self.paged.upto);
            self.expiry.turn_on(on_disk);
            self.tell_expiry();
        } else {
            self.expiry.turn_off();
        }
    }

    /// Takes the next position.
    pub fn allocate(&mut self) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        position
    }

    /// True when a new message may stay in memory: nothing is paged and the window has room.
    pub fn has_room(&self, window_bytes: usize) -> bool {
        self.paged.count == 0 && self.resident_bytes < window_bytes
    }

    /// Appends a new message in memory.
    pub fn push_back(&mut self, entry: Entry) {
        debug_assert!(self.paged.count == 0, "a message overtook the page");
        self.resident_bytes += entry.resident_bytes();
        self.body_bytes += u64::from(entry.body_bytes);
        self.expiry.push_back(entry.position, entry.expires_at_ms);
        self.head.push_back(entry);
    }

    /// Appends a new message that only the store holds.
    pub fn push_paged(&mut self, position: u64, body_bytes: u32, expires_at_ms: u64) {
        self.expiry.push_paged(position, expires_at_ms);
        if self.paged.count == 0 {
            self.paged.from = position;
        }
        self.paged.upto = position + 1;
        self.paged.count += 1;
        self.paged.body_bytes += u64::from(body_bytes);
        self.body_bytes += u64::from(body_bytes);
    }

    /// Puts a message back where it was.
    pub fn put_back(&mut self, entry: Entry) {
        self.resident_bytes += entry.resident_bytes();
        self.body_bytes += u64::from(entry.body_bytes);
        self.expiry.put_back(entry.position, entry.expires_at_ms);
        match self.head.front() {
            Some(front) if front.position < entry.position => {
                let at = self.head.partition_point(|other| other.position < entry.position);
                self.head.insert(at, entry);
            }
            _ => self.head.push_front(entry),
        }
    }

    /// The next message, when it is in memory.
    pub fn front(&self) -> Option<&Entry> {
        self.head.front()
    }

    /// Takes the next message that is in memory.
    pub fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.head.pop_front()?;
        self.resident_bytes -= entry.resident_bytes();
        self.body_bytes -= u64::from(entry.body_bytes);
        if self.head.is_empty() {
            self.expiry.emptied();
        }
        Some(entry)
    }

    /// Takes messages out wherever they are, given as rising positions with the sizes of their bodies, which the lane does
    /// not know of those in the page. Their copies in the store stay. Those that are not here are passed over.
    ///
    /// In the page, a position has to be that of a message which the store had while it was paged.
    pub fn take_at(&mut self, wanted: &[(u64, u32)]) -> Vec<Entry> {
        let mut taken = Vec::with_capacity(wanted.len());
        let in_head = match self.head.back() {
            Some(back) => wanted.partition_point(|(position, _)| *position <= back.position),
            None => 0,
        };
        let (mut from_head, from_page) = wanted.split_at(in_head);
        while let (Some((position, _)), Some(front)) = (from_head.first(), self.head.front()) {
            if *position == front.position {
                taken.extend(self.pop_front());
            } else if *position > front.position {
                break;
            }
            from_head = &from_head[1..];
        }
        if let Some((first, _)) = from_head.first() {
            let start = self.head.partition_point(|entry| entry.position < *first);
            let mut tail = self.head.split_off(start);
            tail.retain(|entry| {
                let is_wanted =
                    from_head.binary_search_by_key(&entry.position, |(position, _)| *position).is_ok();
                if is_wanted {
                    self.resident_bytes -= entry.resident_bytes();
                    self.body_bytes -= u64::from(entry.body_bytes);
                    taken.push(entry.clone());
                }
                !is_wanted
            });
            self.head.append(&mut tail);
        }
        if self.head.is_empty() {
            self.expiry.emptied();
        }
        for &(position, body_bytes) in from_page {
            if !self.is_in_page(position) {
                continue;
            }
            self.holes.insert(position);
            self.paged.count -= 1;
            self.paged.body_bytes = self.paged.body_bytes.saturating_sub(u64::from(body_bytes));
            self.body_bytes = self.body_bytes.saturating_sub(u64::from(body_bytes));
            taken.push(Entry {
                position,
                message: None,
                expires_at_ms: 0,
                body_bytes,
                delivery_count: 0,
                redelivered: false,
                stored: true,
            });
        }
        self.close_empty_page();
        taken
    }

    /// Puts back what [`Lane::take_at`] took, each message with its body.
    pub fn give_back(&mut self, entry: Entry) {
        let was_paged = self.paged.count > 0 && entry.position >= self.paged.from;
        if was_paged && self.holes.remove(entry.position) {
            self.paged.count += 1;
            self.paged.body_bytes += u64::from(entry.body_bytes);
            self.body_bytes += u64::from(entry.body_bytes);
        } else {
            self.put_back(entry);
        }
    }

    /// Which positions to read from disk now, if any: bodies missing at the front, or the page when the window
    /// is less than half full. At most one load is under way; [`Lane::loaded`] ends it.
    pub fn wants_load(&mut self, window_bytes: usize) -> Option<(u64, u64)> {
        if self.loading {
            return None;
        }
        let range = match self.head.front() {
            Some(front) if front.message.is_none() => {
                let last = self.head.iter().take(1024).take_while(|entry| entry.message.is_none()).last();
                (front.position, last.map_or(front.position, |entry| entry.position) + 1)
            }
            _ if self.paged.count > 0 && self.resident_bytes < window_bytes / 2 => {
                (self.paged.from, self.paged.upto)
            }
            _ => return None,
        };
        self.loading = true;
        self.begin_load(range.0);
        Some(range)
    }

    /// Somebody loads besides [`Lane::wants_load`].
    pub fn begin_load(&mut self, from: u64) {
        self.loads.push(from);
        self.expiry.begin_read();
    }

    /// What a load brought: entries in order, covering all that the store has in `..upto`.
    ///
    /// Fills in bodies of entries at the front, and moves paged ones into memory; those with a moment before which they
    /// are not ready go to `aside`.
    pub fn loaded(
        &mut self,
        entries: impl Iterator<Item = (Entry, u64)>,
        upto: u64,
        aside: &mut Vec<(Entry, u64)>,
    ) {
        self.loading = false;
        for (entry, ready_at_ms) in entries {
            if self.expiry.is_gone(entry.position) {
                continue;
            }
            if self.paged.count > 0 && entry.position >= self.paged.from {
                if self.holes.contains(entry.position) {
                    continue;
                }
                self.paged.count -= 1;
                self.paged.body_bytes = self.paged.body_bytes.saturating_sub(u64::from(entry.body_bytes));
                self.paged.from = entry.position + 1;
                if ready_at_ms != 0 {
                    self.body_bytes = self.body_bytes.saturating_sub(u64::from(entry.body_bytes));
                    aside.push((entry, ready_at_ms));
                    continue;
                }
                self.resident_bytes += entry.resident_bytes();
                self.expiry.push_back(entry.position, entry.expires_at_ms);
                self.head.push_back(entry);
            } else if let Ok(at) = self.head.binary_search_by_key(&entry.position, |other| other.position) {
                let waiting = &mut self.head[at];
                if waiting.message.is_none() {
                    waiting.message = entry.message;
                    self.resident_bytes += waiting.message.as_ref().map_or(0, Message::memory_bytes);
                }
            }
        }
        if self.paged.count > 0 && upto > self.paged.from {
            self.paged.from = upto;
        }
        if self.paged.from >= self.paged.upto {
            // The page is read. A count left over would mean that the store held less than it was given.
            self.paged.count = 0;
        }
        self.expiry.paged_in(self.paged.from);
        self.holes.forget_below(self.paged.from);
        self.close_empty_page();
        // Entries whose body the store no longer has cannot be delivered. One that came back while the load was under
        // way may lie before what was asked for.
        let asked = self.loads.iter().copied().max().unwrap_or(u64::MAX)..upto;
        while self
            .head
            .front()
            .is_some_and(|entry| entry.message.is_none() && asked.contains(&entry.position))
        {
            self.pop_front();
        }
        // Which of several loads it was does not matter: the highest start is kept to the end.
        if let Some(lowest) = (0..self.loads.len()).min_by_key(|at| self.loads[*at]) {
            self.loads.swap_remove(lowest);
            self.expiry.end_read();
        }
    }

    /// Empties the lane: entries in memory go to `removed`, the page is returned.
    pub fn clear(&mut self, mut removed: impl FnMut(Entry)) -> Option<Paged> {
        self.head.drain(..).for_each(&mut removed);
        self.expiry.emptied();
        self.expiry.cleared();
        self.resident_bytes = 0;
        self.body_bytes = 0;
        self.holes = Holes::default();
        let paged = std::mem::take(&mut self.paged);
        (paged.count > 0).then_some(paged)
    }

    /// Takes out what has expired in memory, wherever it stands, in order.
    pub fn take_expired(&mut self, now_ms: u64) -> Vec<Entry> {
        let positions = self.expiry.take_early(now_ms);
        let is_over = |entry: &Entry| entry.expires_at_ms != 0 && entry.expires_at_ms <= now_ms;
        let mut expired = Vec::new();
        if positions.len() <= SINGLY_MAX {
            for position in positions {
                if let Ok(at) = self.head.binary_search_by_key(&position, |entry| entry.position)
                    && is_over(&self.head[at])
                {
                    expired.extend(self.head.remove(at));
                }
            }
        } else {
            // One pass, as each removal from the middle moves others.
            let head = std::mem::take(&mut self.head);
            for entry in head {
                if is_over(&entry) && positions.binary_search(&entry.position).is_ok() {
                    expired.push(entry);
                } else {
                    self.head.push_back(entry);
                }
            }
        }
        for entry in &expired {
            self.resident_bytes -= entry.resident_bytes();
            self.body_bytes -= u64::from(entry.body_bytes);
        }
        if self.head.is_empty() {
            self.expiry.emptied();
        } else if self.expiry.wants_rebuild(self.head.len()) {
            self.tell_expiry();
        }
        expired
    }

    /// True when [`Lane::take_expired`] may find something.
    #[inline]
    pub fn expires_early(&self, now_ms: u64) -> bool {
        self.expiry.is_early(now_ms)
    }

    /// When the next message expires, as far as it is known.
    pub fn next_expiry(&self) -> Option<u64> {
        let front = self.head.front().map(|entry| entry.expires_at_ms).filter(|at_ms| *at_ms > 0);
        front.into_iter().chain(self.expiry.next_ms()).min()
    }

    /// Which positions on disk to look at for what has expired. At most one look is under way; [`Lane::looked`] ends it.
    pub fn wants_look(&mut self, now_ms: u64) -> Option<Range<u64>> {
        self.expiry.wants_look(now_ms)
    }

    /// What a look found in `..upto`: the messages that have expired, and when others do. Gives back those that are
    /// still ready.
    pub fn looked(&mut self, expired: impl Iterator<Item = Entry>, upto: u64, runs: Vec<Run>) -> Vec<Entry> {
        let mut found = Vec::new();
        for entry in expired {
            if self.paged.count > 0 && entry.position >= self.paged.from {
                if self.is_in_page(entry.position) && self.expiry.bury(entry.position) {
                    self.holes.insert(entry.position);
                    let body_bytes = u64::from(entry.body_bytes);
                    self.paged.count -= 1;
                    self.paged.body_bytes = self.paged.body_bytes.saturating_sub(body_bytes);
                    self.body_bytes = self.body_bytes.saturating_sub(body_bytes);
                    found.push(entry);
                }
            } else if let Ok(at) = self.head.binary_search_by_key(&entry.position, |other| other.position)
                && let Some(here) = self.head.remove(at)
            {
                self.resident_bytes -= here.resident_bytes();
                self.body_bytes -= u64::from(here.body_bytes);
                found.push(Entry { message: here.message.or(entry.message), ..here });
            }
        }
        self.close_empty_page();
        self.expiry.looked(upto, runs, self.paged.from);
        found
    }

    /// The store was told that an expired message is settled.
    pub fn told(&mut self, position: u64) {
        self.expiry.told(position);
    }

    fn tell_expiry(&mut self) {
        self.expiry.emptied();
        for entry in &self.head {
            self.expiry.push_back(entry.position, entry.expires_at_ms);
        }
    }

    /// Ready messages, in memory and on disk.
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.paged.count
    }

    /// True when nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.paged.count == 0
    }

    /// Bytes of all ready bodies.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Bytes of memory that ready messages take.
    pub fn resident_bytes(&self) -> usize {
        self.resident_bytes
    }

    /// Messages that are on disk only.
    pub fn paged(&self) -> &Paged {
        &self.paged
    }

    /// The entries in memory at and above a position, in order.
    pub fn iter_from(&self, position: u64) -> impl Iterator<Item = &Entry> {
        self.head.range(self.head.partition_point(|entry| entry.position < position)..)
    }

    /// The entry of a message in memory.
    pub fn find(&self, position: u64) -> Option<&Entry> {
        self.head.get(self.head.binary_search_by_key(&position, |entry| entry.position).ok()?)
    }

    /// True when a message at this position, if there was one, is in the page.
    pub fn is_in_page(&self, position: u64) -> bool {
        let paged = &self.paged;
        paged.count > 0 && (paged.from..paged.upto).contains(&position) && !self.holes.contains(position)
    }

    /// Above every position in use.
    pub fn next_position(&self) -> u64 {
        self.next_position
    }

    /// The entries in memory, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.head.iter()
    }

    /// Gives back memory that a past burst left.
    pub fn shrink(&mut self) {
        if self.head.capacity() > 1024 && self.head.len() < self.head.capacity() / 8 {
            self.head.shrink_to(self.head.len() * 2);
        }
    }

    fn close_empty_page(&mut self) {
        if self.paged.count == 0 {
            self.body_bytes = self.body_bytes.saturating_sub(self.paged.body_bytes);
            self.paged = Paged { from: self.paged.upto, upto: self.paged.upto, count: 0, body_bytes: 0 };
            self.holes = Holes::default();
            self.expiry.cleared();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64) -> Entry {
        Entry {
            position,
            message: Some(Message::new("", "q", &[0, 0], b"body")),
            expires_at_ms: 0,
            body_bytes: 4,
            delivery_count: 0,
            redelivered: false,
            stored: true,
        }
    }

    fn positions(lane: &Lane) -> Vec<u64> {
        lane.iter().map(|entry| entry.position).collect()
    }

    fn load(lane: &mut Lane, positions: Range<u64>) {
        let upto = positions.end;
        lane.loaded(positions.map(|position| (entry(position), 0)), upto, &mut Vec::new());
    }

    #[test]
    fn a_returned_message_goes_back_to_its_place() {
        let mut lane = Lane::default();
        for position in 0..5 {
            lane.push_back(entry(position));
        }
        let taken: Vec<Entry> = (0..4).filter_map(|_| lane.pop_front()).collect();
        for at in [2, 0, 3, 1] {
            lane.put_back(taken[at].clone());
        }
        assert_eq!(positions(&lane), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn paged_messages_come_back_behind_those_in_memory() {
        let mut lane = Lane::default();
        lane.push_back(entry(0));
        for position in 1..4 {
            lane.push_paged(position, 4, 0);
        }
        assert!(!lane.has_room(usize::MAX), "new messages follow the page");
        assert_eq!(lane.wants_load(usize::MAX), Some((1, 4)));
        assert_eq!(lane.wants_load(usize::MAX), None, "one load at a time");
        let load = |lane: &mut Lane, positions: &[u64], upto| {
            lane.loaded(positions.iter().map(|position| (entry(*position), 0)), upto, &mut Vec::new());
        };
        load(&mut lane, &[1, 2], 3);
        assert_eq!((lane.len(), positions(&lane)), (4, vec![0, 1, 2]));
        assert_eq!(lane.wants_load(usize::MAX), Some((3, 4)));
        load(&mut lane, &[3], 4);
        assert_eq!(lane.paged().count, 0);
        assert_eq!(lane.body_bytes(), 16);
    }

    #[test]
    fn a_missing_body_is_loaded_in_place() {
        let mut lane = Lane::default();
        lane.push_back(entry(7));
        lane.put_back(Entry { message: None, ..entry(3) });
        lane.put_back(Entry { message: None, ..entry(2) });
        assert_eq!(lane.wants_load(0), Some((2, 4)));
        lane.loaded([(entry(2), 0), (entry(3), 0)].into_iter(), 4, &mut Vec::new());
        assert!(lane.iter().all(|entry| entry.message.is_some()));
        assert_eq!(positions(&lane), [2, 3, 7]);
    }

    #[test]
    fn messages_are_taken_out_of_the_middle_in_memory_and_on_disk() {
        let mut lane = Lane::default();
        (0..5).for_each(|position| lane.push_back(entry(position)));
        (5..10).for_each(|position| lane.push_paged(position, 4, 0));
        let mut take = |wanted: &[u64]| -> Vec<u64> {
            let wanted: Vec<_> = wanted.iter().map(|position| (*position, 4)).collect();
            let taken = lane.take_at(&wanted).iter().map(|entry| entry.position).collect();
            assert_eq!(lane.body_bytes(), lane.len() * 4);
            taken
        };
        assert_eq!(take(&[0, 1, 3, 6, 8]), [0, 1, 3, 6, 8]);
        assert_eq!(take(&[0, 3, 4, 6, 8, 11]), [4], "what is gone is not taken twice");
        assert_eq!((lane.len(), positions(&lane)), (4, vec![2]));
        assert!(lane.is_in_page(7) && !lane.is_in_page(8) && !lane.is_in_page(2));
        // A load that was under way still finds them.
        assert_eq!(lane.wants_load(usize::MAX), Some((5, 10)));
        load(&mut lane, 5..8);
        assert_eq!(positions(&lane), [2, 5, 7]);
        load(&mut lane, 8..10);
        assert_eq!((lane.len(), positions(&lane)), (4, vec![2, 5, 7, 9]));
    }

    #[test]
    fn a_page_ends_when_all_of_it_was_taken() {
        let mut lane = Lane::default();
        (0..3).for_each(|position| lane.push_paged(position, 4, 0));
        assert_eq!(lane.take_at(&[(0, 4), (1, 4), (2, 4)]).len(), 3);
        assert!(lane.is_empty() && lane.has_room(1));
        load(&mut lane, 0..3);
        assert!(lane.is_empty());
        assert_eq!((lane.body_bytes(), lane.resident_bytes()), (0, 0));
    }

    #[test]
    fn a_message_expires_on_disk_or_is_taken_but_not_both() {
        let mut lane = Lane::default();
        (0..4).for_each(|position| lane.push_paged(position, 4, 0));
        assert_eq!(lane.take_at(&[(1, 4)]).len(), 1);
        let found = lane.looked([entry(1), entry(2)].into_iter(), 4, Vec::new());
        assert_eq!(found.iter().map(|entry| entry.position).collect::<Vec<_>>(), [2]);
        lane.told(2);
        assert!(lane.take_at(&[(1, 4), (2, 4)]).is_empty());
        load(&mut lane, 0..4);
        assert_eq!((positions(&lane), lane.body_bytes()), (vec![0, 3], 8));
    }

    #[test]
    fn what_expired_deep_in_a_page_takes_no_memory_for_each() {
        let mut lane = Lane::default();
        lane.expire_anywhere(true);
        lane.push_paged(0, 4, 0);
        for first in (1..200_000).step_by(1000) {
            (first..first + 1000).for_each(|position| lane.push_paged(position, 4, 10));
            let positions = lane.wants_look(20).expect("something is over");
            let expired = positions.clone().filter(|position| *position >= first).map(entry);
            let found = lane.looked(expired, positions.end, Vec::new());
            assert_eq!(found.len(), 1000);
            found.iter().for_each(|entry| lane.told(entry.position));
            assert_eq!(lane.len(), 1, "only the one in front is left");
        }
        assert!(lane.holes.entries() <= 3, "{:?}", lane.holes);
    }

    #[test]
    fn what_was_taken_can_be_given_back() {
        let mut lane = Lane::default();
        (0..4).for_each(|position| lane.push_back(entry(position)));
        (4..8).for_each(|position| lane.push_paged(position, 4, 0));
        let taken = lane.take_at(&[(1, 4), (5, 4), (6, 4)]);
        lane.give_back(Entry { message: taken[0].message.clone(), ..taken[0].clone() });
        lane.give_back(taken[1].clone());
        assert_eq!((positions(&lane), lane.len()), (vec![0, 1, 2, 3], 7));
        assert!(lane.is_in_page(5) && !lane.is_in_page(6));
        // The page was read meanwhile: it goes to its place in memory.
        load(&mut lane, 4..8);
        lane.give_back(entry(6));
        assert_eq!(positions(&lane), (0..8).collect::<Vec<_>>());
        assert_eq!(lane.body_bytes(), 32);
    }

    #[test]
    fn a_load_says_nothing_of_what_came_back_before_it() {
        let mut lane = Lane::default();
        lane.push_back(entry(0));
        lane.push_paged(1, 4, 0);
        assert_eq!(lane.wants_load(usize::MAX), Some((1, 2)));
        assert!(lane.pop_front().is_some());
        lane.put_back(Entry { message: None, ..entry(0) });
        lane.loaded([(entry(1), 0)].into_iter(), 2, &mut Vec::new());
        assert_eq!(positions(&lane), [0, 1]);
        assert_eq!(lane.wants_load(usize::MAX), Some((0, 1)));
    }

    #[test]
    fn resident_bytes_return_to_zero() {
        let mut lane = Lane::default();
        for position in 0..10 {
            lane.push_back(entry(position));
        }
        while lane.pop_front().is_some() {}
        assert_eq!((lane.resident_bytes(), lane.body_bytes()), (0, 0));
    }
}
