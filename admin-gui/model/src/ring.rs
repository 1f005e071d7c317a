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

    /// The samples from `since` on, oldest first.
    pub fn since(&self, since: Millis) -> impl Iterator<Item = (Millis, T)> + '_ {
        let start = self.samples.partition_point(|(at, _)| *at < since);
        self.samples.range(start..).copied()
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
    }
}
