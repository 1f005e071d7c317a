//! Gives disk space back: deletes ranges that were settled or deleted at once, and drops files of dead chunks.
//!
//! A chunk that is settled once it is in a file of `log` leaves no trace there. This thread looks at what lives: chunk
//! ids rise with time and files of `log` hold ranges of ids, so a file is dead when no live chunk lies in its range. Dead
//! files are unlinked without being read. When much is dead in files that also hold something alive, tombstones are
//! written for what is dead there, and these files are compacted, a few at a time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rocksdb::{CompactOptions, WriteBatch};

use super::StoreError;
use super::commit::{Reclaimed, Shared, Stop, spawn};
use super::keys::{self, IdxRange};
use super::rocks::{LOG, Rocks, all_idx, remove_chunk};

/// Dead bytes worth looking for.
const DEAD_BYTES_MIN: u64 = 64 << 20;
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Chunks deleted in one batch.
const SLICE_CHUNKS: usize = 1024;
/// As many dead chunks side by side get one tombstone.
const RANGE_CHUNKS_MIN: u64 = 64;
/// Bytes of files compacted in one call.
const COMPACT_BYTES_MAX: u64 = 256 << 20;

/// What the reclaimer has to do.
#[derive(Default)]
pub(super) struct Reclaim {
    state: Mutex<State>,
    signal: Condvar,
}

#[derive(Default)]
struct State {
    doomed: Vec<Doomed>,
    /// Bytes of chunks removed since the last look.
    removed_bytes: u64,
    reports: Vec<Reclaimed>,
    stop: Option<Stop>,
}

/// A range of `idx` to delete.
struct Doomed {
    range: IdxRange,
    /// Its chunks are part of the totals of lanes and of live bytes.
    counted: bool,
}

impl Reclaim {
    /// Has ranges of `idx`, and the chunks they name, deleted. Those `counted` in totals are reported.
    pub(super) fn doom(&self, ranges: impl ExactSizeIterator<Item = IdxRange>, counted: bool) {
        if ranges.len() > 0 {
            self.state.lock().doomed.extend(ranges.map(|range| Doomed { range, counted }));
            self.signal.notify_one();
        }
    }

    /// Takes note of chunks that were removed.
    pub(super) fn removed(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        let before = state.removed_bytes;
        state.removed_bytes += bytes;
        if before < DEAD_BYTES_MIN && state.removed_bytes >= DEAD_BYTES_MIN {
            self.signal.notify_one();
        }
    }

    /// Has files looked at, whatever was removed: an earlier life may have left dead ones.
    pub(super) fn look(&self) {
        self.removed(DEAD_BYTES_MIN);
    }

    /// What was found in ranges deleted since the last call.
    pub(super) fn take_reports(&self) -> Vec<Reclaimed> {
        std::mem::take(&mut self.state.lock().reports)
    }

    pub(super) fn stop(&self, stop: Stop) {
        self.state.lock().stop.get_or_insert(stop);
        self.signal.notify_all();
    }

    fn stopped(&self) -> Option<Stop> {
        self.state.lock().stop
    }
}

pub(super) fn spawn_reclaimer(shared: Arc<Shared>, rocks: Arc<Rocks>) -> Result<JoinHandle<()>, StoreError> {
    spawn("store-reclaim", shared, move |shared| {
        let mut last_look = None;
        while let Some(work) = wait(&shared.reclaim, last_look) {
            match work {
                Work::Delete(doomed) => delete(shared, &rocks, doomed)?,
                Work::Look => {
                    drop_dead_files(shared, &rocks)?;
                    last_look = Some(Instant::now());
                }
            }
        }
        Ok(())
    })
}

enum Work {
    Delete(Doomed),
    Look,
}

/// Waits for something to do; `None` at the end. A clean end comes after all deletions.
fn wait(reclaim: &Reclaim, last_look: Option<Instant>) -> Option<Work> {
    let mut state = reclaim.state.lock();
    loop {
        if state.stop == Some(Stop::Abandon) {
            return None;
        }
        if let Some(doomed) = state.doomed.pop() {
            return Some(Work::Delete(doomed));
        }
        if state.stop.is_some() {
            return None;
        }
        if state.removed_bytes < DEAD_BYTES_MIN {
            reclaim.signal.wait(&mut state);
            continue;
        }
        let due = last_look.map(|at| at + PAUSE).filter(|due| Instant::now() < *due);
        match due {
            Some(due) => {
                reclaim.signal.wait_until(&mut state, due);
            }
            None => {
                state.removed_bytes = 0;
                return Some(Work::Look);
            }
        }
    }
}

/// Deletes a range of `idx` and the chunks it names, slice by slice, each of which leaves nothing behind.
fn delete(shared: &Shared, rocks: &Rocks, doomed: Doomed) -> Result<(), StoreError> {
    let Doomed { range: (start, end), counted } = doomed;
    let mut scan = rocks.scan_idx(&start, &end);
    let mut deleted = 0;
    loop {
        if shared.reclaim.stopped() == Some(Stop::Abandon) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        let mut slice_bytes = 0;
        let mut reports: Vec<Reclaimed> = Vec::new();
        let mut chunks = 0;
        while chunks < SLICE_CHUNKS {
            let Some((key, chunk)) = scan.next()? else { break };
            remove_chunk(rocks, &mut batch, key, chunk.id, shared.is_flushed(chunk.id));
            chunks += 1;
            let log_bytes = u64::from(chunk.log_bytes);
            slice_bytes += log_bytes;
            match reports.last_mut() {
                Some(last)
                    if (last.key.uid, last.key.lane, last.key.kind) == (key.uid, key.lane, key.kind) =>
                {
                    last.volume.add(chunk.volume());
                    last.log_bytes += log_bytes;
                }
                _ => reports.push(Reclaimed { key, volume: chunk.volume(), log_bytes }),
            }
        }
        deleted += chunks;
        let done = chunks < SLICE_CHUNKS;
        if done {
            batch.delete_cf(rocks.meta(), keys::doomed(&start));
        }
        rocks.write(batch)?;
        let mut state = shared.reclaim.state.lock();
        if counted {
            shared.live_log_bytes.fetch_sub(slice_bytes, Ordering::Relaxed);
            state.reports.append(&mut reports);
        }
        state.removed_bytes += slice_bytes;
        drop(state);
        if done {
            break;
        }
    }
    if deleted > 8 * SLICE_CHUNKS {
        // Otherwise whoever walks the index there has to step over every tombstone.
        rocks.db().compact_range_cf(rocks.idx(), Some(start), Some(end));
    }
    Ok(())
}

/// Unlinks files of `log` without a live chunk and compacts those with few.
fn drop_dead_files(shared: &Shared, rocks: &Rocks) -> Result<(), StoreError> {
    let sizes = || -> Result<u64, StoreError> {
        let size = rocks.db().property_int_value_cf(rocks.log(), "rocksdb.live-sst-files-size");
        Ok(size.map_err(|source| StoreError::Rocks { what: "read the size of files", source })?.unwrap_or(0))
    };
    let before = sizes()?;
    let live_bytes = shared.live_log_bytes.load(Ordering::Relaxed);
    if before < live_bytes + live_bytes / 8 + DEAD_BYTES_MIN {
        return Ok(());
    }
    // Chunks written later are not in what is read now: they are above the horizon, and so are their files.
    let horizon = shared.written_chunk_id.load(Ordering::Acquire);
    let live = live_chunks(rocks)?;
    let mut sparse = Vec::new();
    for file in files(rocks)?.into_iter().filter(|file| file.last <= horizon) {
        let live_bytes = live_bytes_in(&live, file.first, file.last);
        if live_bytes == 0 && file.level > 0 {
            rocks
                .db()
                .delete_file_in_range_cf(rocks.log(), file.first.to_be_bytes(), file.last.to_be_bytes())
                .map_err(|source| StoreError::Rocks { what: "unlink a file", source })?;
        } else if live_bytes < file.bytes / 2 && file.bytes > DEAD_BYTES_MIN / 16 {
            sparse.push(file);
        }
    }
    // A queue that is being drained will leave these files dead in a moment.
    if sizes()? >= live_bytes + live_bytes / 8 + 2 * DEAD_BYTES_MIN {
        compact(shared, rocks, &live, sparse)?;
    }
    shared.stats.bytes_reclaimed.fetch_add(before.saturating_sub(sizes()?), Ordering::Relaxed);
    Ok(())
}

/// A file of `log`.
#[derive(Debug, Clone, Copy)]
struct LogFile {
    first: u64,
    last: u64,
    bytes: u64,
    level: i32,
}

fn files(rocks: &Rocks) -> Result<Vec<LogFile>, StoreError> {
    let files = rocks.db().live_files();
    let files = files.map_err(|source| StoreError::Rocks { what: "list files", source })?;
    let of_log = files.into_iter().filter(|file| file.column_family_name == LOG);
    Ok(of_log
        .filter_map(|file| {
            Some(LogFile {
                first: keys::decode_chunk_id(file.start_key.as_deref()?)?,
                last: keys::decode_chunk_id(file.end_key.as_deref()?)?,
                bytes: file.size as u64,
                level: file.level,
            })
        })
        .collect())
}

/// Ids of all chunks with live messages, sorted, each with the bytes of those before it.
fn live_chunks(rocks: &Rocks) -> Result<Vec<(u64, u64)>, StoreError> {
    let (start, end) = all_idx();
    let mut scan = rocks.scan_idx(&start, &end);
    let mut live = Vec::new();
    while let Some((_, chunk)) = scan.next()? {
        live.push((chunk.id, u64::from(chunk.log_bytes)));
    }
    live.sort_unstable();
    let mut sum = 0;
    for (_, bytes) in &mut live {
        sum += std::mem::replace(bytes, sum);
    }
    live.push((u64::MAX, sum));
    Ok(live)
}

fn live_bytes_in(live: &[(u64, u64)], first: u64, last: u64) -> u64 {
    let bytes_before = |index: usize| live.get(index).map_or(0, |(_, bytes)| *bytes);
    let begin = live.partition_point(|(id, _)| *id < first);
    let end = live.partition_point(|(id, _)| *id <= last);
    bytes_before(end).saturating_sub(bytes_before(begin))
}

/// Compacts files that lie side by side together, a bounded number of bytes at a time.
fn compact(
    shared: &Shared,
    rocks: &Rocks,
    live: &[(u64, u64)],
    mut files: Vec<LogFile>,
) -> Result<(), StoreError> {
    files.sort_unstable_by_key(|file| file.first);
    let mut options = CompactOptions::default();
    // Compactions that writes wait for go on meanwhile.
    options.set_exclusive_manual_compaction(false);
    let mut rest = files.as_slice();
    while let Some(first) = rest.first() {
        if shared.reclaim.stopped().is_some() {
            return Ok(());
        }
        let mut bytes = 0;
        let count = rest
            .iter()
            .take_while(|file| {
                bytes += file.bytes;
                bytes <= COMPACT_BYTES_MAX || file.first == first.first
            })
            .count();
        let last = rest[..count].iter().map(|file| file.last).max().unwrap_or(first.last);
        for file in &rest[..count] {
            bury(rocks, live, file.first, file.last)?;
        }
        let (start, end) = (first.first.to_be_bytes(), last.to_be_bytes());
        rocks.db().compact_range_cf_opt(rocks.log(), Some(start), Some(end), &options);
        rest = &rest[count..];
    }
    Ok(())
}

/// Writes tombstones for all chunks in `first..=last` that are dead, so that a compaction drops them. Ids are given out
/// one after the other: those that are not alive are dead.
fn bury(rocks: &Rocks, live: &[(u64, u64)], first: u64, last: u64) -> Result<(), StoreError> {
    let mut batch = WriteBatch::default();
    for dead in gaps(live, first, last) {
        if dead.end - dead.start >= RANGE_CHUNKS_MIN {
            batch.delete_range_cf(rocks.log(), dead.start.to_be_bytes(), dead.end.to_be_bytes());
        } else {
            dead.for_each(|id| batch.single_delete_cf(rocks.log(), id.to_be_bytes()));
        }
        if batch.len() >= SLICE_CHUNKS {
            rocks.write(std::mem::take(&mut batch))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { rocks.write(batch) }
}

/// Writes tombstones for everything dead in all files.
#[cfg(test)]
pub(super) fn bury_all(rocks: &Rocks) -> Result<(), StoreError> {
    let live = live_chunks(rocks)?;
    files(rocks)?.iter().try_for_each(|file| bury(rocks, &live, file.first, file.last))
}

/// What lies between live ids in `first..=last`.
fn gaps(live: &[(u64, u64)], first: u64, last: u64) -> impl Iterator<Item = Range<u64>> {
    let begin = live.partition_point(|(id, _)| *id < first);
    let end = live.partition_point(|(id, _)| *id <= last);
    let after = last.saturating_add(1);
    let mut from = first;
    live[begin..end].iter().map(|(id, _)| *id).chain([after]).filter_map(move |id| {
        let gap = from..id;
        from = id + 1;
        (!gap.is_empty()).then_some(gap)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_bytes_are_counted_by_range_of_ids() {
        let live = [(3, 0), (5, 10), (9, 30), (u64::MAX, 60)];
        let check = |first, last, expected| assert_eq!(live_bytes_in(&live, first, last), expected);
        check(0, 2, 0);
        check(0, 3, 10);
        check(3, 5, 30);
        check(4, 4, 0);
        check(5, 100, 50);
        check(10, u64::MAX - 1, 0);
        check(0, u64::MAX - 1, 60);
    }

    #[test]
    fn what_is_not_alive_is_dead() {
        let live = [(3, 0), (4, 10), (9, 30), (u64::MAX, 60)];
        let check = |first, last, expected: &[(u64, u64)]| {
            let found: Vec<_> = gaps(&live, first, last).map(|gap| (gap.start, gap.end)).collect();
            assert_eq!(found, expected);
        };
        check(0, 2, &[(0, 3)]);
        check(0, 3, &[(0, 3)]);
        check(3, 4, &[]);
        check(3, 8, &[(5, 9)]);
        check(1, 12, &[(1, 3), (5, 9), (10, 13)]);
        check(10, 10, &[(10, 11)]);
    }
}
