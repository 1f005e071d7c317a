//! The last so many samples of something, for charts and sparklines.

use std::collections::VecDeque;

use crate::Millis;

/// Samples by time, the oldest let go.
#[derive(Debug, Clone)]
pub struct Ring<T> {
    samples: VecDeque<(Millis, T)>,
    capacity: usize,
}

impl<T: Copy> Ring<T> {
    /// Room for `capacity` samples. It is taken as they come.
    pub fn new(capacity: usize) -> Ring<T> {
        Ring { samples: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Adds a sample. One that is not later than the last is ignored: clocks may step back.
    pub fn push(&mut self, at: Millis, sample: T) {
        if self.samples.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back((at, sample));
    }

    /// Says that nothing has changed until shortly before `now`, if the last sample is older than `gap_ms`: a line through
    /// the samples is to be level there.
    pub fn hold(&mut self, now: Millis, gap_ms: Millis) {
        if let Some((at, last)) = self.last()
            && now.saturating_sub(at) > gap_ms
        {
            self.push(now - HELD_BEFORE_MS.min(gap_ms), last);
        }
    }

    /// The samples from `since` on, oldest first.
    pub fn since(&self, since: Millis) -> impl Iterator<Item = (Millis, T)> + '_ {
        let start = self.samples.partition_point(|(at, _)| *at < since);
        self.samples.range(start..).copied()
    }

    /// The last sample before `since`.
    pub fn before(&self, since: Millis) -> Option<T> {
        let start = self.samples.partition_point(|(at, _)| *at < since);
        self.samples.get(start.checked_sub(1)?).map(|(_, sample)| *sample)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Millis, T)> + '_ {
        self.samples.iter().copied()
    }

    pub fn last(&self) -> Option<(Millis, T)> {
        self.samples.back().copied()
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

/// Samples are about this far apart.
const HELD_BEFORE_MS: Millis = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_samples_go_and_time_never_runs_back() {
        let mut ring = Ring::new(3);
        for (at, sample) in [(1, 'a'), (2, 'b'), (2, 'x'), (1, 'y'), (3, 'c'), (5, 'd')] {
            ring.push(at, sample);
        }
        assert_eq!(ring.iter().collect::<Vec<_>>(), [(2, 'b'), (3, 'c'), (5, 'd')]);
        assert_eq!(ring.since(3).count(), 2);
        assert_eq!(ring.last(), Some((5, 'd')));
        assert_eq!((ring.before(2), ring.before(4), ring.before(9)), (None, Some('c'), Some('d')));
    }

    #[test]
    fn silence_is_level() {
        let mut ring = Ring::new(9);
        ring.hold(1_000, 2_500);
        ring.push(1_000, 'a');
        ring.hold(3_000, 2_500);
        ring.push(3_000, 'b');
        ring.hold(9_000, 2_500);
        ring.push(9_000, 'c');
        assert_eq!(ring.iter().collect::<Vec<_>>(), [(1_000, 'a'), (3_000, 'b'), (8_000, 'b'), (9_000, 'c')]);
    }
}
