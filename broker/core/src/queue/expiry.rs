//! Which messages of a lane expire before others that are in front of them, so that none of them has to wait for those.
//!
//! Messages that expire one after the other, as with one time-to-live for the whole queue, need nothing here: the front
//! is the next. Of those in memory only the ones that something in front outlives are noted, each with its moment. Of
//! those on disk nothing single is remembered: runs of positions are, each with the earliest moment in it. When that has
//! come the store is asked for what has expired there. Runs grow when they become many, so memory stays bounded.
//!
//! ```text
//!   in memory           on disk
//!   17 18 19 20 21 22 │ 23 ......... 1046 │ 1047 ........ 2070 │ 2071 ...
//!    9  9  5  9  -  7 │ earliest: 6       │ earliest: none     │ earliest: 8
//!          ▲        ▲ noted
//! ```
//!
//! A message that expired on disk is gone from the count at once, but the store learns of it a little later, when it is
//! safe elsewhere. Until no read can bring it back it is remembered in `gone`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;

/// Positions on disk, and when the first message of them expires; 0 for never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub positions: Range<u64>,
    pub expires_at_ms: u64,
}

/// See the module. Nothing is noted while it is off.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    is_on: bool,
    /// When the last of the messages in memory so far expires; `u64::MAX` when one never does.
    latest_ms: u64,
    /// Moment and position of messages in memory that another in front outlives. Some may have left since.
    early: BinaryHeap<Reverse<(u64, u64)>>,
    /// By rising position; only those in which something expires.
    runs: VecDeque<Run>,
    /// The earliest moment of all runs.
    runs_next_ms: Option<u64>,
    /// Positions that the last run may span before a new one begins.
    run_positions: u64,
    /// Positions on disk of which nothing is known yet, as after a restart.
    unknown: Option<Range<u64>>,
    /// What the store is being asked about.
    looking: Option<Range<u64>>,
    /// Expired on disk; the store may still have them.
    gone: BTreeSet<u64>,
    /// Of those, the ones that the store was told of while reads were under way.
    told: Vec<u64>,
    /// Reads of this lane that are under way.
    reads: usize,
}

impl Expiry {
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Begins to take notes; the caller tells of what is there.
    pub(super) fn turn_on(&mut self, on_disk: Option<Range<u64>>) {
        self.is_on = true;
        self.run_positions = RUN_POSITIONS;
        self.unknown = on_disk;
    }

    /// Forgets everything but what reads may bring back.
    pub(super) fn turn_off(&mut self) {
        self.is_on = false;
        self.latest_ms = 0;
        self.early = BinaryHeap::new();
        self.runs = VecDeque::new();
        self.runs_next_ms = None;
        self.unknown = None;
    }

    /// A message was added behind all others in memory.
    #[inline]
    pub(super) fn push_back(&mut self, position: u64, expires_at_ms: u64) {
        if !self.is_on {
            return;
        }
        if expires_at_ms == 0 {
            self.latest_ms = u64::MAX;
        } else if expires_at_ms >= self.latest_ms {
            self.latest_ms = expires_at_ms;
        } else {
            self.early.push(Reverse((expires_at_ms, position)));
        }
    }

    /// A message came back to its place.
    pub(super) fn put_back(&mut self, position: u64, expires_at_ms: u64) {
        if self.is_on && expires_at_ms != 0 {
            self.early.push(Reverse((expires_at_ms, position)));
        } else {
            self.latest_ms = u64::MAX;
        }
    }

    /// No message is in memory any more.
    #[inline]
    pub(super) fn emptied(&mut self) {
        self.latest_ms = 0;
        self.early.clear();
    }

    /// A message was added on disk.
    pub(super) fn push_paged(&mut self, position: u64, expires_at_ms: u64) {
        if !self.is_on || expires_at_ms == 0 {
            return;
        }
        self.runs_next_ms = Some(self.runs_next_ms.map_or(expires_at_ms, |next| next.min(expires_at_ms)));
        match self.runs.back_mut() {
            Some(last) if position - last.positions.start < self.run_positions => {
                last.positions.end = position + 1;
                last.expires_at_ms = last.expires_at_ms.min(expires_at_ms);
            }
            _ => {
                self.runs.push_back(Run { positions: position..position + 1, expires_at_ms });
                self.bound_runs();
            }
        }
    }

    /// Everything on disk below `position` was read into memory, or is gone.
    pub(super) fn paged_in(&mut self, position: u64) {
        let before = self.runs.len();
        while self.runs.front().is_some_and(|run| run.positions.end <= position) {
            self.runs.pop_front();
        }
        if self.runs.len() < before {
            self.note_next();
        }
        if let Some(front) = self.runs.front_mut() {
            front.positions.start = front.positions.start.max(position);
        }
        self.unknown = self.unknown.take().map(|unknown| unknown.start.max(position)..unknown.end);
        self.unknown.take_if(|unknown| unknown.is_empty());
    }

    /// True when a message in memory may have expired behind another that has not.
    #[inline]
    pub(super) fn is_early(&self, now_ms: u64) -> bool {
        self.early.peek().is_some_and(|Reverse((at_ms, _))| *at_ms <= now_ms)
    }

    /// The positions in memory that may have expired, each once, without those at the front that expire in order.
    pub(super) fn take_early(&mut self, now_ms: u64) -> Vec<u64> {
        let mut positions = Vec::new();
        while let Some(Reverse((_, position))) = self.early.peek().filter(|Reverse((at, _))| *at <= now_ms) {
            positions.push(*position);
            self.early.pop();
        }
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// Many notes of messages that have left: call [`Expiry::emptied`], then tell again of all that are there.
    pub(super) fn wants_rebuild(&self, in_memory: usize) -> bool {
        self.early.len() > 2 * in_memory + STALE_MIN
    }

    /// When something may expire that is not at the front.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let early = self.early.peek().map(|Reverse((at_ms, _))| *at_ms);
        let on_disk = self.runs_next_ms.filter(|_| self.looking.is_none());
        early.into_iter().chain(on_disk).min()
    }

    /// Where the store is to look for what has expired by now. [`Expiry::looked`] ends it.
    pub(super) fn wants_look(&mut self, now_ms: u64) -> Option<Range<u64>> {
        if self.looking.is_some() || (self.unknown.is_none() && self.runs.is_empty()) {
            return None;
        }
        let is_due = self.runs_next_ms.is_some_and(|next| next <= now_ms);
        let due =
            || self.runs.iter().find(|run| run.expires_at_ms <= now_ms).map(|run| run.positions.clone());
        let positions = self.unknown.clone().or_else(|| if is_due { due() } else { None })?;
        self.looking = Some(positions.clone());
        self.reads += 1;
        Some(positions)
    }

    /// What was found out about `..upto` of the positions asked for: when the rest of what is there expires.
    pub(super) fn looked(&mut self, upto: u64, runs: Vec<Run>, from: u64) {
        let Some(asked) = self.looking.take() else { return };
        self.end_read();
        if !self.is_on {
            return;
        }
        if self.unknown.as_ref().is_some_and(|unknown| unknown.start < asked.end) {
            self.unknown = (upto < asked.end).then_some(upto..asked.end);
        }
        let start = self.runs.partition_point(|run| run.positions.end <= asked.start);
        let end = self.runs.partition_point(|run| run.positions.start < upto);
        let rest: Vec<Run> = if start < end { self.runs.drain(start..end).collect() } else { Vec::new() };
        let before = rest
            .iter()
            .map(|run| Run { positions: run.positions.start..run.positions.end.min(asked.start), ..*run });
        let after = rest
            .iter()
            .map(|run| Run { positions: run.positions.start.max(upto)..run.positions.end, ..*run });
        let known = runs.into_iter().filter(|run| run.expires_at_ms != 0);
        let mut replaced: Vec<Run> = before.chain(known).chain(after).collect();
        replaced.retain_mut(|run| {
            run.positions.start = run.positions.start.max(from);
            !run.positions.is_empty()
        });
        for run in replaced.into_iter().rev() {
            self.runs.insert(start.min(self.runs.len()), run);
        }
        self.bound_runs();
        self.note_next();
    }

    /// A message expired on disk. False when that is known.
    pub(super) fn bury(&mut self, position: u64) -> bool {
        self.gone.insert(position)
    }

    /// True for a message that a read brought though it is gone.
    #[inline]
    pub(super) fn is_gone(&self, position: u64) -> bool {
        !self.gone.is_empty() && self.gone.contains(&position)
    }

    /// The store was told that a message is gone.
    pub(super) fn told(&mut self, position: u64) {
        if self.reads > 0 {
            self.told.push(position);
        } else {
            self.gone.remove(&position);
        }
    }

    pub(super) fn begin_read(&mut self) {
        self.reads += 1;
    }

    pub(super) fn end_read(&mut self) {
        self.reads = self.reads.saturating_sub(1);
        if self.reads == 0 {
            for position in self.told.drain(..) {
                self.gone.remove(&position);
            }
        }
    }

    /// Nothing is on disk any more.
    pub(super) fn cleared(&mut self) {
        self.runs.clear();
        self.runs_next_ms = None;
        self.unknown = None;
    }

    fn note_next(&mut self) {
        self.runs_next_ms = self.runs.iter().map(|run| run.expires_at_ms).min();
    }

    fn bound_runs(&mut self) {
        if self.runs.len() <= RUNS_MAX {
            return;
        }
        let runs = std::mem::take(&mut self.runs);
        self.run_positions = self.run_positions.saturating_mul(2);
        for run in runs {
            match self.runs.back_mut() {
                Some(last) if run.positions.end - last.positions.start <= self.run_positions => {
                    last.positions.end = run.positions.end;
                    last.expires_at_ms = last.expires_at_ms.min(run.expires_at_ms);
                }
                _ => self.runs.push_back(run),
            }
        }
    }
}

/// Positions that a run spans at first.
pub const RUN_POSITIONS: u64 = 1024;
/// With more runs than this, runs become longer.
const RUNS_MAX: usize = 4096;
/// Fewer stale notes than this are not worth tidying.
const STALE_MIN: usize = 1024;
