//! What has expired in the middle of a backlog: `idx` tells of each chunk when the first of its messages expires, so
//! only chunks are read in which one has.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_core::queue::{RUN_POSITIONS, Run};
use leveret_core::session::host::Ticket;

use super::chunk::{CHUNK_POSITIONS_MAX, ChunkMeta};
use super::commit::Shared;
use super::keys::{IdxKey, Kind};
use super::load::{Loaded, read_chunk};
use super::rocks::Rocks;
use super::{QueueUid, StoreError};

/// Asks what has expired in positions of a lane.
pub struct ExpiryRequest {
    /// The queue.
    pub uid: QueueUid,
    /// Its lane.
    pub lane: u8,
    /// Where to look.
    pub positions: Range<u64>,
    /// What expires by then has expired.
    pub now_ms: u64,
    /// What was appended and settled by then is taken into account.
    pub after: Ticket,
    /// Who gets the answer.
    pub sink: Arc<dyn ExpirySink>,
}

/// Receives what has expired.
pub trait ExpirySink: Send + Sync {
    /// All messages below `upto`, from where the request began, that have expired, and when the others there do. Called
    /// by a thread of the store; never when the store fails or stops.
    fn expired(&self, lane: u8, messages: Vec<Loaded>, upto: u64, runs: Vec<Run>);
}

/// Serves a request.
pub(super) fn look(shared: &Shared, rocks: &Rocks, request: &ExpiryRequest) -> Result<(), StoreError> {
    let Range { start, end } = request.positions;
    let mut messages = Vec::new();
    let mut runs: Vec<Run> = Vec::new();
    let mut upto = end;
    // Kinds one after the other: their chunks are interleaved, and the second is looked at as far as the first was.
    for kind in [Kind::Persistent, Kind::Transient] {
        let key = |first| IdxKey { uid: request.uid, lane: request.lane, kind, first };
        let from = key(start.saturating_sub(CHUNK_POSITIONS_MAX - 1));
        let mut scan = rocks.scan_idx(&from.encode(), &key(upto).encode());
        let before = messages.len();
        while let Some((key, mut chunk)) = scan.next()? {
            chunk.settle(0, start);
            chunk.settle(upto, u64::MAX);
            if chunk.expires_at_ms == 0 || chunk.live.is_empty() {
                continue;
            }
            if chunk.expires_at_ms > request.now_ms {
                note(&mut runs, &chunk, chunk.expires_at_ms);
                continue;
            }
            if messages.len() - before >= MESSAGES_MAX {
                upto = key.first.max(start);
                break;
            }
            let value = rocks.chunk(chunk.id, chunk.log_bytes)?;
            let mut found = Vec::new();
            read_chunk(rocks, key, &chunk, value.as_deref(), &mut found)?;
            let rest =
                found.iter().map(|loaded| loaded.expires_at_ms).filter(|at_ms| *at_ms > request.now_ms);
            if let Some(expires_at_ms) = rest.min() {
                note(&mut runs, &chunk, expires_at_ms);
            }
            found.retain(|loaded| loaded.expires_at_ms != 0 && loaded.expires_at_ms <= request.now_ms);
            messages.append(&mut found);
        }
    }
    messages.retain(|loaded: &Loaded| loaded.position < upto);
    messages.sort_unstable_by_key(|loaded| loaded.position);
    runs.sort_unstable_by_key(|run| run.positions.start);
    for run in &mut runs {
        run.positions.end = run.positions.end.min(upto);
    }
    runs.retain(|run| !run.positions.is_empty());
    shared.stats.messages_loaded.fetch_add(messages.len() as u64, Ordering::Relaxed);
    request.sink.expired(request.lane, messages, upto, join(runs));
    Ok(())
}

fn note(runs: &mut Vec<Run>, chunk: &ChunkMeta, expires_at_ms: u64) {
    let run = Run { positions: chunk.first_live()..chunk.end(), expires_at_ms };
    match runs.last_mut() {
        Some(last)
            if last.positions.start <= run.positions.start
                && run.positions.end - last.positions.start <= RUN_POSITIONS =>
        {
            last.positions.end = last.positions.end.max(run.positions.end);
            last.expires_at_ms = last.expires_at_ms.min(run.expires_at_ms);
        }
        _ => runs.push(run),
    }
}

/// Makes runs that overlap, as those of two kinds of chunks do, into ones that do not.
fn join(runs: Vec<Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.positions.start < last.positions.end => {
                last.positions.end = last.positions.end.max(run.positions.end);
                last.expires_at_ms = last.expires_at_ms.min(run.expires_at_ms);
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// Expired messages brought at a time; a chunk more at most.
const MESSAGES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_overlap_become_one() {
        let run = |positions, expires_at_ms| Run { positions, expires_at_ms };
        let runs = vec![run(0..100, 9), run(50..60, 7), run(100..150, 3), run(140..300, 5)];
        assert_eq!(join(runs), [run(0..100, 7), run(100..300, 3)]);
    }
}
