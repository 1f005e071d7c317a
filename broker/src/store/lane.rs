//! What the commit thread remembers of the chunks of one queue lane, so that settling a message reads nothing.
//!
//! ```text
//! positions   0 ......... covered.start ....................... covered.end ............... next_position
//!             evicted,     the window: every chunk with live     not looked at since
//!             rarely any   messages is in `window`               it was written
//! ```
//!
//! A short queue is covered whole. A backlog is not: its tail leaves memory once written, and settling at the edge
//! reads the next few hundred index entries. Persistent chunks of a lane never overlap and rise with time; transient
//! ones never overlap but come in any order.

use std::collections::VecDeque;
use std::ops::Range;

use super::QueueUid;
use super::chunk::{CHUNK_POSITIONS_MAX, ChunkMeta, Volume};
use super::keys::{IdxKey, Kind};

/// Chunks that all windows together may hold; a chunk takes 100 bytes, and up to 1 KiB when bodies differ in size.
const WINDOW_CHUNKS_TOTAL: usize = 32 * 1024;

/// Chunks that one lane may hold when `lanes` share the memory.
pub(super) fn window_chunks_max(lanes: usize) -> usize {
    (WINDOW_CHUNKS_TOTAL / lanes.max(1)).clamp(8, 1024)
}

/// One lane of one queue, as far as one kind of chunk goes.
#[derive(Debug)]
pub(super) struct Lane {
    pub uid: QueueUid,
    pub lane: u8,
    pub kind: Kind,
    /// Above every position ever stored in it.
    pub next_position: u64,
    /// Positions below it have been delivered to somebody.
    pub delivered_upto: u64,
    /// Messages not settled.
    pub live: Volume,
    /// Bytes in `log` of the chunks that still exist.
    pub log_bytes: u64,
    /// Set while it is on the list of lanes whose state has to be written.
    pub state_changed: bool,
    /// Sorted by position, not overlapping. Settled chunks stay until they reach the front or become many.
    window: VecDeque<ChunkMeta>,
    settled_in_window: usize,
    /// Every chunk with live messages in these positions is in `window`.
    covered: Range<u64>,
}

impl Lane {
    /// A lane that nothing was stored in.
    pub(super) fn new(uid: QueueUid, lane: u8, kind: Kind) -> Lane {
        Lane {
            uid,
            lane,
            kind,
            next_position: 0,
            delivered_upto: 0,
            live: Volume::default(),
            log_bytes: 0,
            state_changed: false,
            window: VecDeque::new(),
            settled_in_window: 0,
            covered: 0..u64::MAX,
        }
    }

    /// A lane of which only totals are known; no live message lies below `first_position`.
    pub(super) fn recovered(uid: QueueUid, lane: u8, first_position: u64, next_position: u64) -> Lane {
        let empty = first_position >= next_position;
        // The chunk around the first message begins at most so far before it.
        let covered =
            0..if empty { u64::MAX } else { first_position.saturating_sub(CHUNK_POSITIONS_MAX - 1) };
        Lane { next_position, covered, ..Lane::new(uid, lane, Kind::Persistent) }
    }

    /// Takes note of a chunk that was just added to the write batch.
    pub(super) fn push(&mut self, chunk: ChunkMeta, window_chunks_max: usize) {
        self.live.add(chunk.volume());
        self.log_bytes += u64::from(chunk.log_bytes);
        match self.kind {
            Kind::Persistent => {
                assert!(chunk.first >= self.next_position, "persistent messages come in rising order");
            }
            Kind::Transient => {}
        }
        self.next_position = self.next_position.max(chunk.end());
        if !self.covered.contains(&chunk.first) {
            return;
        }
        let at = match self.window.back() {
            Some(last) if last.first > chunk.first => {
                self.window.partition_point(|other| other.first < chunk.first)
            }
            _ => self.window.len(),
        };
        assert!(
            (at == 0 || self.window[at - 1].end() <= chunk.first)
                && self.window.get(at).is_none_or(|next| chunk.end() <= next.first),
            "chunks do not overlap"
        );
        if at == self.window.len() && at >= window_chunks_max {
            self.covered.end = chunk.first.max(self.covered.start);
        } else {
            self.window.insert(at, chunk);
        }
    }

    /// What of `range` lies before, inside and past the window. Positions never stored are left out.
    pub(super) fn split(&self, range: &Range<u64>) -> [Range<u64>; 3] {
        let end = range.end.min(self.next_position);
        let cut = |low: u64, high: u64| range.start.max(low)..end.min(high);
        [
            cut(0, self.covered.start),
            cut(self.covered.start, self.covered.end),
            cut(self.covered.end, u64::MAX),
        ]
    }

    /// Settles `range` in the window. Chunks that changed are marked dirty and their first positions appended to
    /// `touched`.
    pub(super) fn settle(&mut self, range: &Range<u64>, touched: &mut Vec<u64>) {
        let start = match self.window.front() {
            Some(front) if front.end() > range.start => 0,
            _ => self.window.partition_point(|chunk| chunk.end() <= range.start),
        };
        for index in start..self.window.len() {
            let chunk = &mut self.window[index];
            if chunk.first >= range.end {
                break;
            }
            let settled = chunk.settle(range.start, range.end);
            if settled.messages == 0 {
                continue;
            }
            if !chunk.dirty {
                chunk.dirty = true;
                touched.push(chunk.first);
            }
            self.live.subtract(settled);
        }
    }

    /// Hands out the chunk that begins at `first`, with its key, to be written; drops settled chunks.
    pub(super) fn write_back(&mut self, first: u64, write: impl FnOnce(IdxKey, &ChunkMeta)) {
        let index = match self.window.front() {
            Some(front) if front.first == first => 0,
            _ => self.window.partition_point(|chunk| chunk.first < first),
        };
        let key = self.key(first);
        let Some(chunk) = self.window.get_mut(index).filter(|chunk| chunk.first == first && chunk.dirty)
        else {
            debug_assert!(false, "a touched chunk is in the window until it is written back");
            return;
        };
        chunk.dirty = false;
        write(key, chunk);
        if chunk.live.is_empty() {
            self.log_bytes = self.log_bytes.saturating_sub(u64::from(chunk.log_bytes));
            self.settled_in_window += 1;
        }
    }

    /// Drops settled chunks; call after writing back what was touched.
    pub(super) fn tidy(&mut self) {
        while self.window.front().is_some_and(|chunk| chunk.live.is_empty()) {
            self.window.pop_front();
            self.settled_in_window -= 1;
        }
        if self.settled_in_window > 64 && self.settled_in_window > self.window.len() / 2 {
            self.window.retain(|chunk| !chunk.live.is_empty());
            self.settled_in_window = 0;
        }
    }

    /// Adds `chunks`, the next ones on disk, to the window, which now reaches to `upto`. Nothing may be dirty.
    pub(super) fn extend(&mut self, chunks: impl ExactSizeIterator<Item = ChunkMeta>, upto: u64, max: usize) {
        let excess = (self.window.len() + chunks.len()).saturating_sub(max).min(self.window.len());
        if excess > 0 {
            self.settled_in_window -=
                self.window.drain(..excess).filter(|chunk| chunk.live.is_empty()).count();
            self.covered.start = self.window.front().map_or(self.covered.end, |front| front.first);
        }
        self.window.extend(chunks);
        self.covered.end = upto;
    }

    /// Moves the end of the window to `upto` without looking: all before it is settled.
    pub(super) fn skip_to(&mut self, upto: u64) {
        self.covered.end = if upto >= self.next_position { u64::MAX } else { upto };
    }

    /// Where the window ends; `u64::MAX` when it reaches the tail.
    pub(super) fn covered_end(&self) -> u64 {
        self.covered.end
    }

    /// No chunk with live messages begins below it.
    pub(super) fn first_possible(&self) -> u64 {
        match self.window.iter().find(|chunk| !chunk.live.is_empty()) {
            _ if self.covered.start > 0 => 0,
            Some(chunk) => chunk.first,
            None => self.covered.end.min(self.next_position),
        }
    }

    /// All its chunks, when all are known.
    pub(super) fn all_chunks(&self) -> Option<impl ExactSizeIterator<Item = &ChunkMeta>> {
        (self.covered == (0..u64::MAX)).then(|| self.window.iter())
    }

    /// The key of its chunk that begins at `first`.
    pub(super) fn key(&self, first: u64) -> IdxKey {
        IdxKey { uid: self.uid, lane: self.lane, kind: self.kind, first }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::ChunkWriter;
    use super::*;
    use leveret_core::message::Message;

    fn chunk(positions: Range<u64>) -> ChunkMeta {
        let mut writer = ChunkWriter::default();
        for position in positions.clone() {
            writer.push(1, 0, Kind::Persistent, position, 0, &Message::new("", "q", &[0, 0], b"12345"));
        }
        writer.finish(positions.start).0
    }

    fn lane(chunks: &[Range<u64>]) -> Lane {
        let mut lane = Lane::new(1, 0, Kind::Transient);
        for positions in chunks {
            lane.push(chunk(positions.clone()), 100);
        }
        lane
    }

    /// Settles in the window and returns what is written back: first position and live messages.
    fn settle(lane: &mut Lane, range: Range<u64>) -> Vec<(u64, u32)> {
        let (mut touched, mut written) = (Vec::new(), Vec::new());
        lane.settle(&range, &mut touched);
        for first in touched {
            lane.write_back(first, |key, chunk| written.push((key.first, chunk.live.len())));
        }
        lane.tidy();
        written
    }

    fn split(lane: &Lane, from: u64, to: u64) -> [Option<(u64, u64)>; 3] {
        lane.split(&(from..to)).map(|part| (!part.is_empty()).then_some((part.start, part.end)))
    }

    #[test]
    fn a_range_touches_exactly_the_chunks_it_meets() {
        let mut lane = lane(&[0..10, 10..20, 30..40, 40..50]);
        assert_eq!(lane.live, Volume { messages: 40, bytes: 200 });
        assert_eq!(settle(&mut lane, 5..12), [(0, 5), (10, 8)]);
        assert_eq!(settle(&mut lane, 20..30), []);
        assert_eq!(settle(&mut lane, 0..40), [(0, 0), (10, 0), (30, 0)]);
        assert_eq!(settle(&mut lane, 0..40), []);
        assert_eq!(lane.live, Volume { messages: 10, bytes: 50 });
        assert_eq!(lane.window.len(), 1);
        assert_eq!(settle(&mut lane, 0..u64::MAX), [(40, 0)]);
        assert_eq!((lane.window.len(), lane.log_bytes), (0, 0));
    }

    #[test]
    fn transient_chunks_fall_into_place_in_any_order() {
        let mut lane = lane(&[100..110, 0..10, 50..60]);
        assert_eq!(settle(&mut lane, 5..105), [(0, 5), (50, 0), (100, 5)]);
        lane.push(chunk(20..30), 100);
        assert_eq!(settle(&mut lane, 29..30), [(20, 9)]);
    }

    #[test]
    fn a_full_window_stops_at_the_tail_and_extends_from_disk() {
        let mut lane = Lane::new(1, 0, Kind::Persistent);
        for first in 0..5 {
            lane.push(chunk(first * 10..first * 10 + 10), 3);
        }
        assert_eq!((lane.window.len(), lane.covered_end()), (3, 30));
        assert!(lane.all_chunks().is_none());
        assert_eq!(split(&lane, 5, 45), [None, Some((5, 30)), Some((30, 45))]);
        assert_eq!(settle(&mut lane, 0..20), [(0, 0), (10, 0)]);

        lane.extend([chunk(30..40), chunk(40..50)].into_iter(), u64::MAX, 3);
        assert_eq!((lane.window.len(), lane.covered.clone()), (3, 0..u64::MAX));
        lane.extend([chunk(60..70)].into_iter(), u64::MAX, 3);
        assert_eq!((lane.window.len(), lane.covered.start), (3, 30));
        assert_eq!(split(&lane, 5, 45), [Some((5, 30)), Some((30, 45)), None]);
    }

    #[test]
    fn settled_chunks_in_the_middle_do_not_pile_up() {
        let mut lane = lane(&[]);
        for first in 0..200 {
            lane.push(chunk(first..first + 1), 1000);
        }
        for first in 1..200 {
            settle(&mut lane, first..first + 1);
        }
        assert!(lane.window.len() < 140, "{}", lane.window.len());
        assert_eq!(lane.live.messages, 1);
    }

    #[test]
    fn a_recovered_lane_knows_nothing_past_its_first_message() {
        let lane = Lane::recovered(1, 0, 500, 900);
        assert_eq!(split(&lane, 0, 1000), [None, Some((0, 245)), Some((245, 900))]);
        assert!(Lane::recovered(1, 0, 900, 900).all_chunks().is_some());
    }
}
