//! The messages of one delayed exchange that are due next, in memory; all of them are in the store.
//!
//! ```text
//!   near (in memory, by due time)     horizon            only in the store
//!   ┌──────┬──────┬──────┬──────┐        │      ┌────────────────────────────────┐
//!   │ 12.1 │ 12.3 │ 12.3 │ 14.0 │        ▼      │ 15.2 ...                       │
//!   └──────┴──────┴──────┴──────┘       15.2    └────────────────────────────────┘
//! ```
//!
//! Everything below the horizon that waits is in `near`, and nothing else. So memory does not grow with what waits, and
//! what is due next is always known. When half of `near` is gone the next page is read from the store.
//!
//! The store learns of a departure some time after it happened, and a read may have begun before: keys are remembered
//! in `leaving` until no read can bring them back.

use std::collections::{BTreeMap, HashSet};

use crate::message::Message;

/// Which message of a delayed exchange: by when it is due, then by when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedKey {
    /// Milliseconds since the epoch.
    pub due_ms: u64,
    /// Never given twice.
    pub id: u64,
}

impl DelayedKey {
    /// Before all others.
    pub const FIRST: DelayedKey = DelayedKey { due_ms: 0, id: 0 };
    /// After all others.
    pub const END: DelayedKey = DelayedKey { due_ms: u64::MAX, id: u64::MAX };
}

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Delayed {
    pub key: DelayedKey,
    pub message: Message,
}

/// See the module.
#[derive(Debug)]
pub struct Window {
    near: BTreeMap<DelayedKey, Message>,
    near_bytes: usize,
    /// `None` when all that waits is in `near`.
    horizon: Option<DelayedKey>,
    /// What came at or above the horizon while the next page is read, as the read may have missed it.
    arrived: Option<Arrived>,
    /// Taken out; the store may still have them.
    leaving: HashSet<DelayedKey>,
    /// Of those, the ones that the store was told of while reads were under way.
    left: Vec<DelayedKey>,
    /// Reads of the store that are under way.
    reads: usize,
}

#[derive(Debug, Default)]
struct Arrived {
    messages: Vec<Delayed>,
    /// The lowest of the keys that found no room in `messages`.
    overflow: Option<DelayedKey>,
}

/// What becomes of a message that somebody wants out of turn.
#[derive(Debug)]
pub enum Claim {
    /// Here it is; the store is to be told.
    Taken(Message),
    /// There is no such message, or it has just left.
    Gone,
    /// Only the store knows: read it there, then call [`Window::claim_read`].
    InStore,
}

impl Window {
    /// A window on an exchange of which the store holds something, or nothing.
    pub fn new(is_stored: bool) -> Window {
        Window {
            near: BTreeMap::new(),
            near_bytes: 0,
            horizon: is_stored.then_some(DelayedKey::FIRST),
            arrived: None,
            leaving: HashSet::new(),
            left: Vec::new(),
            reads: 0,
        }
    }

    /// Takes note of a new message, which the store is given too.
    pub fn add(&mut self, delayed: Delayed) {
        if self.horizon.is_none_or(|horizon| delayed.key < horizon) {
            self.insert(delayed);
            self.trim();
        } else if let Some(arrived) = &mut self.arrived {
            if arrived.messages.len() < NEAR_MAX {
                arrived.messages.push(delayed);
            } else {
                let overflow = arrived.overflow.get_or_insert(delayed.key);
                *overflow = delayed.key.min(*overflow);
            }
        }
    }

    /// Takes out what is due, in order, up to a bound.
    pub fn take_due(&mut self, now_ms: u64, max: usize) -> Vec<Delayed> {
        let mut due = Vec::new();
        let mut bytes = 0;
        while due.len() < max
            && bytes < NEAR_BYTES_MAX
            && let Some(first) = self.near.first_entry().filter(|first| first.key().due_ms <= now_ms)
        {
            let (key, message) = first.remove_entry();
            bytes += message.memory_bytes();
            self.leaving.insert(key);
            due.push(Delayed { key, message });
        }
        self.near_bytes -= bytes;
        due
    }

    /// Takes out one message.
    pub fn claim(&mut self, key: DelayedKey) -> Claim {
        if let Some(message) = self.near.remove(&key) {
            self.near_bytes -= message.memory_bytes();
            self.leaving.insert(key);
            return Claim::Taken(message);
        }
        let is_far = self.horizon.is_some_and(|horizon| key >= horizon);
        if is_far && !self.leaving.contains(&key) { Claim::InStore } else { Claim::Gone }
    }

    /// Takes out a message that a read found in the store. False when it has left meanwhile.
    pub fn claim_read(&mut self, key: DelayedKey) -> bool {
        if let Some(message) = self.near.remove(&key) {
            self.near_bytes -= message.memory_bytes();
        }
        self.leaving.insert(key)
    }

    /// The store was given the departure of messages taken out before.
    pub fn left(&mut self, keys: impl Iterator<Item = DelayedKey>) {
        if self.reads > 0 {
            self.left.extend(keys);
        } else {
            keys.for_each(|key| {
                self.leaving.remove(&key);
            });
        }
    }

    /// A read of the store begins, one that sees all that the store was given so far.
    pub fn begin_read(&mut self) {
        self.reads += 1;
    }

    /// A read has ended; call it after what the read brought was looked at.
    pub fn end_read(&mut self) {
        self.reads = self.reads.saturating_sub(1);
        if self.reads == 0 {
            for key in self.left.drain(..) {
                self.leaving.remove(&key);
            }
        }
    }

    /// True when a message that a read brought has left meanwhile.
    pub fn is_leaving(&self, key: DelayedKey) -> bool {
        self.leaving.contains(&key)
    }

    /// Where to read the next page from, if one is wanted: a read begins, which [`Window::page`] ends.
    pub fn wants_page(&mut self) -> Option<DelayedKey> {
        let from = self.horizon?;
        if self.arrived.is_some() || self.near.len() > NEAR_MAX / 2 || self.near_bytes > NEAR_BYTES_MAX / 2 {
            return None;
        }
        self.arrived = Some(Arrived::default());
        self.begin_read();
        Some(from)
    }

    /// The page asked for: all from the horizon up to `next`, or to the end.
    pub fn page(&mut self, messages: Vec<Delayed>, next: Option<DelayedKey>) {
        let Some(Arrived { messages: arrived, overflow }) = self.arrived.take() else { return };
        self.horizon = match (next, overflow) {
            (Some(next), Some(overflow)) => Some(next.min(overflow)),
            (next, overflow) => next.or(overflow),
        };
        for delayed in messages.into_iter().chain(arrived) {
            let is_near = self.horizon.is_none_or(|horizon| delayed.key < horizon);
            if is_near && !self.leaving.contains(&delayed.key) {
                self.insert(delayed);
            }
        }
        self.trim();
        self.end_read();
    }

    /// Forgets everything: the store does so too. Reads under way are void, and do not end.
    pub fn clear(&mut self) {
        *self = Window::new(false);
    }

    /// When the next message is due.
    pub fn next_due(&self) -> Option<u64> {
        self.near.first_key_value().map(|(key, _)| key.due_ms)
    }

    fn insert(&mut self, Delayed { key, message }: Delayed) {
        self.near_bytes += message.memory_bytes();
        if let Some(before) = self.near.insert(key, message) {
            self.near_bytes -= before.memory_bytes();
        }
    }

    fn trim(&mut self) {
        while self.near.len() > NEAR_MAX || (self.near_bytes > NEAR_BYTES_MAX && self.near.len() > 1) {
            let Some((key, message)) = self.near.pop_last() else { return };
            self.near_bytes -= message.memory_bytes();
            self.horizon = Some(key);
        }
    }
}

/// Messages kept in memory, and their bytes; one larger message is kept alone.
pub const NEAR_MAX: usize = 4096;
pub const NEAR_BYTES_MAX: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn delayed(due_ms: u64, id: u64) -> Delayed {
        Delayed { key: DelayedKey { due_ms, id }, message: Message::new("", "q", &[0, 0], &id.to_be_bytes()) }
    }

    fn keys(messages: &[Delayed]) -> Vec<(u64, u64)> {
        messages.iter().map(|delayed| (delayed.key.due_ms, delayed.key.id)).collect()
    }

    #[test]
    fn what_is_due_comes_out_by_time_and_then_by_arrival() {
        let mut window = Window::new(false);
        for (due, id) in [(30, 1), (10, 2), (20, 3), (10, 4)] {
            window.add(delayed(due, id));
        }
        assert_eq!(window.next_due(), Some(10));
        assert!(window.take_due(9, 100).is_empty());
        assert_eq!(keys(&window.take_due(20, 2)), [(10, 2), (10, 4)]);
        assert_eq!(keys(&window.take_due(20, 100)), [(20, 3)]);
        assert_eq!(keys(&window.take_due(100, 100)), [(30, 1)]);
        assert_eq!((window.next_due(), window.near_bytes), (None, 0));
    }

    #[test]
    fn memory_holds_the_next_ones_only() {
        let mut window = Window::new(false);
        let many = NEAR_MAX as u64 * 3;
        for id in 0..many {
            window.add(delayed(many - id, id));
        }
        assert_eq!(window.near.len(), NEAR_MAX);
        assert_eq!(window.next_due(), Some(1));
        assert_eq!(window.horizon.map(|key| key.due_ms), Some(NEAR_MAX as u64 + 1));
        assert_eq!(window.wants_page(), None);
        window.take_due(NEAR_MAX as u64, NEAR_MAX);
        assert_eq!(window.wants_page(), window.horizon);
        assert_eq!(window.wants_page(), None, "one page at a time");
    }

    #[test]
    fn a_claim_far_away_is_settled_by_a_read() {
        let mut window = Window::new(true);
        let key = delayed(5, 1).key;
        assert!(matches!(window.claim(key), Claim::InStore));
        window.begin_read();
        assert!(window.claim_read(key));
        assert!(!window.claim_read(key), "it left already");
        assert!(matches!(window.claim(key), Claim::Gone));
        window.left([key].into_iter());
        assert!(window.is_leaving(key), "a read may still bring it");
        window.end_read();
        assert!(!window.is_leaving(key));
        assert!(matches!(Window::new(false).claim(key), Claim::Gone));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u64),
        TakeDue(u64, usize),
        Claim(usize),
        /// A read sees the store as it was when it began.
        BeginPage,
        EndPage(usize),
        TellStore,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u64..50).prop_map(Step::Add),
            2 => (0u64..50, 1usize..5).prop_map(|(now, max)| Step::TakeDue(now, max)),
            1 => (0usize..20).prop_map(Step::Claim),
            2 => Just(Step::BeginPage),
            2 => (1usize..6).prop_map(Step::EndPage),
            2 => Just(Step::TellStore),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        /// Against a set of all that waits, and a store that is told later: nothing is lost, nothing comes twice, and
        /// what comes is the earliest as far as the window knows.
        #[test]
        fn nothing_is_lost_and_nothing_comes_twice(initial in prop::collection::btree_set((0u64..50, 1u64..100), 0..30),
                                                   steps in steps()) {
            let key = |(due_ms, id): (u64, u64)| DelayedKey { due_ms, id };
            let mut waiting: BTreeSet<DelayedKey> = initial.iter().copied().map(key).collect();
            let mut store = waiting.clone();
            let mut window = Window::new(true);
            let mut departed: Vec<DelayedKey> = Vec::new();
            let mut page: Option<(DelayedKey, BTreeSet<DelayedKey>)> = None;
            let mut id = 1000;
            let message = |key: DelayedKey| delayed(key.due_ms, key.id);
            let end = |window: &mut Window, page: &mut Option<(DelayedKey, BTreeSet<DelayedKey>)>, size: usize| {
                let Some((from, seen)) = page.take() else { return };
                let mut rest = seen.range(from..);
                let messages: Vec<Delayed> = rest.by_ref().take(size).copied().map(message).collect();
                window.page(messages, rest.next().copied());
            };
            for step in steps {
                match step {
                    Step::Add(due_ms) => {
                        id += 1;
                        let new = delayed(due_ms, id);
                        waiting.insert(new.key);
                        store.insert(new.key);
                        window.add(new);
                    }
                    Step::TakeDue(now, max) => {
                        let below = window.horizon;
                        let expected: Vec<DelayedKey> = waiting.iter().copied()
                            .filter(|key| key.due_ms <= now && below.is_none_or(|below| *key < below))
                            .take(max).collect();
                        let taken = window.take_due(now, max);
                        prop_assert_eq!(taken.iter().map(|taken| taken.key).collect::<Vec<_>>(), expected);
                        for taken in taken {
                            waiting.remove(&taken.key);
                            departed.push(taken.key);
                        }
                    }
                    Step::Claim(at) => {
                        let Some(key) = waiting.iter().nth(at).copied() else { continue };
                        match window.claim(key) {
                            Claim::Taken(_) => {}
                            Claim::InStore => {
                                window.begin_read();
                                prop_assert!(window.claim_read(key));
                                window.end_read();
                            }
                            Claim::Gone => prop_assert!(false, "it waits"),
                        }
                        waiting.remove(&key);
                        departed.push(key);
                        prop_assert!(matches!(window.claim(key), Claim::Gone));
                    }
                    Step::BeginPage => {
                        if let Some(from) = window.wants_page() {
                            page = Some((from, store.clone()));
                        }
                    }
                    Step::EndPage(size) => end(&mut window, &mut page, size),
                    Step::TellStore => {
                        departed.iter().for_each(|key| { store.remove(key); });
                        window.left(departed.drain(..));
                    }
                }
            }
            end(&mut window, &mut page, 3);
            departed.iter().for_each(|key| { store.remove(key); });
            window.left(departed.drain(..));
            let mut rest: Vec<DelayedKey> = Vec::new();
            loop {
                rest.extend(window.take_due(u64::MAX, usize::MAX).iter().map(|taken| taken.key));
                let Some(from) = window.wants_page() else { break };
                page = Some((from, store.clone()));
                end(&mut window, &mut page, 4);
            }
            rest.sort();
            prop_assert_eq!(rest, waiting.into_iter().collect::<Vec<_>>());
        }
    }
}
