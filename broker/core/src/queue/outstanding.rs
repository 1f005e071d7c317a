//! Messages that were delivered and not yet settled, found by delivery id in constant time.
//!
//! Ids rise by one, so a ring indexed by `id - base` holds them. A consumer that sits on one message for ever would
//! make the ring grow with everything delivered after it; such stragglers move to an ordered map.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::lane::Entry;
use crate::session::host::DeliveryId;

/// One delivered message and who holds it.
#[derive(Debug)]
pub struct Held {
    pub entry: Entry,
    pub lane: u8,
    pub consumer: u32,
    /// When it was delivered, in milliseconds since the epoch.
    pub since_ms: u64,
}

/// All delivered, unsettled messages of a queue.
#[derive(Debug, Default)]
pub struct Outstanding {
    ring: VecDeque<Option<Held>>,
    /// The id of the ring's front.
    base: u64,
    stragglers: BTreeMap<u64, Held>,
    live: usize,
    body_bytes: u64,
}

impl Outstanding {
    /// Remembers a delivery and gives it its id.
    pub fn insert(&mut self, held: Held) -> DeliveryId {
        let id = self.base + self.ring.len() as u64;
        self.live += 1;
        self.body_bytes += u64::from(held.entry.body_bytes);
        self.ring.push_back(Some(held));
        if self.ring.len() >= RING_MIN && self.live < self.ring.len() / 4 {
            self.move_stragglers();
        }
        DeliveryId(id)
    }

    /// Takes a delivery out. Settling twice finds nothing.
    pub fn remove(&mut self, id: u64) -> Option<Held> {
        let held = match id.checked_sub(self.base) {
            Some(at) => {
                let held = self.ring.get_mut(at as usize)?.take()?;
                while matches!(self.ring.front(), Some(None)) {
                    self.ring.pop_front();
                    self.base += 1;
                }
                held
            }
            None => self.stragglers.remove(&id)?,
        };
        self.live -= 1;
        self.body_bytes -= u64::from(held.entry.body_bytes);
        Some(held)
    }

    /// Looks at a delivery.
    pub fn get(&self, id: u64) -> Option<&Held> {
        match id.checked_sub(self.base) {
            Some(at) => self.ring.get(at as usize)?.as_ref(),
            None => self.stragglers.get(&id),
        }
    }

    /// The ids that `consumer` holds, in rising order, as ranges.
    pub fn held_by(&self, consumer: u32) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (id, held) in self.iter() {
            if held.consumer != consumer {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == id => last.end += 1,
                _ => ranges.push(id..id + 1),
            }
        }
        ranges
    }

    /// All deliveries in rising order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        let ring = self.ring.iter().enumerate();
        self.stragglers
            .iter()
            .map(|(id, held)| (*id, held))
            .chain(ring.filter_map(|(at, held)| Some((self.base + at as u64, held.as_ref()?))))
    }

    /// The one that has been held the longest.
    #[inline]
    pub fn oldest(&self) -> Option<&Held> {
        match self.stragglers.values().next() {
            Some(held) => Some(held),
            None => self.ring.front()?.as_ref(),
        }
    }

    /// The deliveries at and above an id, in rising order.
    pub fn iter_from(&self, id: u64) -> impl Iterator<Item = (u64, &Held)> {
        let start = id.saturating_sub(self.base).min(self.ring.len() as u64) as usize;
        let ring = self.ring.range(start..).enumerate();
        let first = self.base + start as u64;
        self.stragglers
            .range(id..)
            .map(|(id, held)| (*id, held))
            .chain(ring.filter_map(move |(at, held)| Some((first + at as u64, held.as_ref()?))))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Bytes of their bodies.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    fn move_stragglers(&mut self) {
        let half = self.ring.len() / 2;
        for held in self.ring.drain(..half) {
            if let Some(held) = held {
                self.stragglers.insert(self.base, held);
            }
            self.base += 1;
        }
        while matches!(self.ring.front(), Some(None)) {
            self.ring.pop_front();
            self.base += 1;
        }
    }
}

/// Below this many slots a sparse ring is not worth tidying.
const RING_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn held(consumer: u32) -> Held {
        let entry = Entry {
            position: 0,
            message: None,
            expires_at_ms: 0,
            body_bytes: 1,
            delivery_count: 0,
            redelivered: false,
            stored: false,
        };
        Held { entry, lane: 0, consumer, since_ms: 0 }
    }

    #[test]
    fn ids_rise_by_one_and_settle_once() {
        let mut outstanding = Outstanding::default();
        let ids: Vec<u64> = (0..3).map(|_| outstanding.insert(held(0)).0).collect();
        assert_eq!(ids, [0, 1, 2]);
        assert!(outstanding.remove(1).is_some());
        assert!(outstanding.remove(1).is_none());
        assert!(outstanding.remove(0).is_some());
        assert_eq!(outstanding.insert(held(0)).0, 3);
        assert_eq!(outstanding.len(), 2);
    }

    #[test]
    fn one_message_held_for_ever_does_not_keep_the_ring_growing() {
        let mut outstanding = Outstanding::default();
        let stuck = outstanding.insert(held(7)).0;
        for _ in 0..100_000 {
            let id = outstanding.insert(held(1)).0;
            assert!(outstanding.remove(id).is_some());
        }
        assert!(outstanding.ring.len() <= RING_MIN);
        assert_eq!(outstanding.held_by(7), std::slice::from_ref(&(stuck..stuck + 1)));
        assert!(outstanding.remove(stuck).is_some());
        assert!(outstanding.len() == 0 && outstanding.body_bytes() == 0);
    }
}
