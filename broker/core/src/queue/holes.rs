//! The positions of a page that were taken out of it.
//!
//! A page may stand for days while messages behind its front expire: what is remembered of them may not grow with how
//! many those were. Sixty-four positions share a word, and words of which nothing is left are ranges. Words that are not
//! full have a message that lives (or that was none before a restart), so memory is bounded by what is in the page.

use std::collections::BTreeMap;

/// A set of positions.
#[derive(Debug, Default)]
pub(super) struct Holes {
    /// Words of which some bits are set, and not all: by position / 64.
    words: BTreeMap<u64, u64>,
    /// Runs of words of which all bits are set: from the first to behind the last. No two of them touch.
    full: BTreeMap<u64, u64>,
}

impl Holes {
    pub(super) fn insert(&mut self, position: u64) {
        let at = position / 64;
        if self.is_full(at) {
            return;
        }
        let word = self.words.entry(at).or_default();
        *word |= 1 << (position % 64);
        if *word == u64::MAX {
            self.words.remove(&at);
            self.fill(at);
        }
    }

    pub(super) fn remove(&mut self, position: u64) -> bool {
        let (at, bit) = (position / 64, 1 << (position % 64));
        if let Some((start, end)) = self.run_of(at) {
            self.full.remove(&start);
            if start < at {
                self.full.insert(start, at);
            }
            if at + 1 < end {
                self.full.insert(at + 1, end);
            }
            self.words.insert(at, !bit);
            return true;
        }
        let Some(word) = self.words.get_mut(&at) else { return false };
        let was_here = *word & bit != 0;
        *word &= !bit;
        if *word == 0 {
            self.words.remove(&at);
        }
        was_here
    }

    #[inline]
    pub(super) fn contains(&self, position: u64) -> bool {
        if self.words.is_empty() && self.full.is_empty() {
            return false;
        }
        let at = position / 64;
        self.words.get(&at).is_some_and(|word| word >> (position % 64) & 1 == 1) || self.is_full(at)
    }

    /// Forgets positions below this one, mostly: a word is kept while some of it is at or above.
    pub(super) fn forget_below(&mut self, position: u64) {
        let first = position / 64;
        while let Some(word) = self.words.first_entry().filter(|word| *word.key() < first) {
            word.remove();
        }
        while let Some(run) = self.full.first_entry().filter(|run| *run.key() < first) {
            let end = run.remove();
            if end > first {
                self.full.insert(first, end);
            }
        }
    }

    fn is_full(&self, at: u64) -> bool {
        self.run_of(at).is_some()
    }

    fn run_of(&self, at: u64) -> Option<(u64, u64)> {
        let (start, end) = self.full.range(..=at).next_back()?;
        (at < *end).then_some((*start, *end))
    }

    fn fill(&mut self, at: u64) {
        let before =
            self.full.range(..at).next_back().filter(|(_, end)| **end == at).map(|(start, _)| *start);
        let end = self.full.remove(&(at + 1)).unwrap_or(at + 1);
        self.full.insert(before.unwrap_or(at), end);
    }

    /// What takes memory.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.words.len() + self.full.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_bounded_by_what_lives_between_the_holes() {
        let mut holes = Holes::default();
        // One message in a hundred thousand lives for ever, all others expire behind it.
        let lives = |position: u64| position % 100_000 == 17;
        let mut most = 0;
        for position in 0..1_000_000 {
            if !lives(position) {
                holes.insert(position);
            }
            most = most.max(holes.entries());
        }
        assert!(most <= 2 * 10 + 2, "{most} entries for 10 that live");
        assert!((0..1_000_000).step_by(997).all(|position| holes.contains(position) != lives(position)));
        holes.forget_below(999_999);
        assert!(holes.entries() <= 1);
    }

    #[derive(Debug, Clone)]
    enum Change {
        Insert(u64),
        Remove(u64),
        ForgetBelow(u64),
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            changes in proptest::collection::vec(
                prop_oneof![
                    8 => (0_u64..400).prop_map(Change::Insert),
                    2 => (0_u64..400).prop_map(Change::Remove),
                    1 => (0_u64..200).prop_map(Change::ForgetBelow),
                ],
                1..60,
            )
        ) {
            let (mut holes, mut plain) = (Holes::default(), BTreeSet::new());
            let mut forgotten = 0;
            for change in changes {
                match change {
                    // A stretch, so that words fill.
                    Change::Insert(start) => (start..start + 90).for_each(|position| {
                        holes.insert(position);
                        plain.insert(position);
                    }),
                    Change::Remove(position) => {
                        let was_here = plain.remove(&position);
                        prop_assert!(position < forgotten || holes.remove(position) == was_here);
                    }
                    Change::ForgetBelow(position) => {
                        holes.forget_below(position);
                        forgotten = forgotten.max(position);
                    }
                }
                for position in forgotten..500 {
                    prop_assert_eq!(holes.contains(position), plain.contains(&position), "{}", position);
                }
            }
        }
    }
}
