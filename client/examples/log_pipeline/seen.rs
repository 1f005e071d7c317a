//! The ids of the newest messages, to recognise those that come twice.
//!
//! A message comes again at most as far back as what was unconfirmed or unacknowledged when a connection broke, so a
//! bounded memory is enough. Ids are kept as 64-bit hashes: among a million of them the chance that any two are equal
//! is one in 37 million.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

/// Remembers up to a number of ids and forgets the oldest.
#[derive(Debug)]
pub struct Seen {
    ids: HashSet<u64>,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Seen {
    pub fn with_capacity(capacity: usize) -> Self {
        Seen { ids: HashSet::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Remembers `id` and answers whether it is new.
    pub fn insert(&mut self, id: &str) -> bool {
        let hash = hash(id);
        if !self.ids.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once() {
        let mut seen = Seen::with_capacity(10);
        assert!(seen.insert("a") && seen.insert("b"));
        assert!(!seen.insert("a") && !seen.insert("b"));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut seen = Seen::with_capacity(2);
        assert!(seen.insert("a") && seen.insert("b") && seen.insert("c"));
        assert!(!seen.insert("b") && !seen.insert("c"));
        assert!(seen.insert("a"), "it comes as new again");
    }
}
