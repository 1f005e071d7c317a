//! Reading messages back, for queues that keep only a window of their backlog in memory.
//!
//! A load waits until the generation it depends on is written, then walks `idx` from the position asked for and
//! reads whole chunks. Persistent and transient chunks of a lane are interleaved by position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use leveret_core::message::Message;
use leveret_core::session::host::Ticket;
use parking_lot::{Condvar, Mutex};

use super::chunk::{CHUNK_POSITIONS_MAX, ChunkMeta, ChunkReader, Damaged};
use super::commit::{Shared, spawn};
use super::keys::{self, IdxKey, Kind};
use super::rocks::{IdxScan, Rocks};
use super::{QueueUid, StoreError};

/// Asks for messages of one lane.
pub struct LoadRequest {
    /// The queue.
    pub uid: QueueUid,
    /// Its lane.
    pub lane: u8,
    /// The first position wanted.
    pub from: u64,
    /// The position after the last one wanted.
    pub upto: u64,
    /// Stop after this many messages.
    pub max_messages: usize,
    /// Stop after this many bytes of bodies, but not before one message.
    pub max_bytes: usize,
    /// What was appended by then has to be found.
    pub after: Ticket,
    /// Who gets the messages.
    pub sink: Arc<dyn LoadSink>,
}

/// A message read back.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its position in the lane.
    pub position: u64,
    /// Milliseconds since the epoch, 0 for never.
    pub expires_at_ms: u64,
    /// The message.
    pub message: Message,
}

/// Receives loaded messages.
pub trait LoadSink: Send + Sync {
    /// All messages of the lane below `next_position`, from where the request began, that were not settled. Called
    /// by a thread of the store; never called when the store fails or stops.
    fn loaded(&self, lane: u8, messages: Vec<Loaded>, next_position: u64);
}

/// Requests on their way to the reader threads.
#[derive(Default)]
pub(super) struct Loads {
    state: Mutex<LoadsState>,
    signal: Condvar,
}

#[derive(Default)]
struct LoadsState {
    ready: VecDeque<LoadRequest>,
    /// Wait for a generation to be written.
    parked: Vec<LoadRequest>,
    written: u64,
    stop: bool,
}

impl Loads {
    /// Lets go what waited for `generation`.
    pub(super) fn written(&self, generation: u64) {
        let mut state = self.state.lock();
        state.written = generation;
        if state.parked.is_empty() {
            return;
        }
        let LoadsState { parked, ready, .. } = &mut *state;
        ready.extend(parked.extract_if(.., |request| request.after.0 <= generation));
        drop(state);
        self.signal.notify_all();
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        let dropped = (std::mem::take(&mut state.ready), std::mem::take(&mut state.parked));
        drop(state);
        drop(dropped);
        self.signal.notify_all();
    }

    /// The next request to serve, `None` at the end.
    fn wait(&self) -> Option<LoadRequest> {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return None;
            }
            match state.ready.pop_front() {
                Some(request) => return Some(request),
                None => self.signal.wait(&mut state),
            }
        }
    }
}

impl Shared {
    pub(super) fn load(&self, request: LoadRequest) {
        let after = request.after;
        let mut state = self.loads.state.lock();
        if state.stop {
            return;
        }
        if after.0 <= state.written {
            state.ready.push_back(request);
            drop(state);
            self.loads.signal.notify_one();
        } else {
            state.parked.push(request);
            drop(state);
            self.hurry(after);
        }
    }
}

pub(super) fn spawn_reader(shared: Arc<Shared>, rocks: Arc<Rocks>) -> Result<JoinHandle<()>, StoreError> {
    spawn("store-read", shared, move |shared| {
        while let Some(request) = shared.loads.wait() {
            let (messages, next_position) = load(&rocks, &request)?;
            shared.stats.messages_loaded.fetch_add(messages.len() as u64, Ordering::Relaxed);
            request.sink.loaded(request.lane, messages, next_position);
        }
        Ok(())
    })
}

/// Reads what `request` asks for; the second value is where the next request should begin.
fn load(rocks: &Rocks, request: &LoadRequest) -> Result<(Vec<Loaded>, u64), StoreError> {
    let mut scans =
        [Scan::new(rocks, request, Kind::Persistent)?, Scan::new(rocks, request, Kind::Transient)?];
    let mut messages: Vec<Loaded> = Vec::new();
    let mut bytes = 0;
    let mut in_order = true;
    // Chunks in the order of their first positions. All messages in chunks not yet read come at or after `bound`.
    let bound = loop {
        let next = match (scans[0].first(), scans[1].first()) {
            (Some(a), Some(b)) if b < a => 1,
            (None, Some(_)) => 1,
            (Some(_), _) => 0,
            (None, None) => break request.upto,
        };
        let Some((key, chunk)) = scans[next].current.take() else { break request.upto };
        // Messages of an overlapping chunk of the other kind may still come before some of those read.
        let complete = match messages.last() {
            Some(last) if in_order && last.position < key.first => messages.len(),
            _ => messages.iter().filter(|loaded| loaded.position < key.first).count(),
        };
        if complete > 0 && (complete >= request.max_messages || bytes >= request.max_bytes) {
            break key.first.min(request.upto);
        }
        scans[next].advance()?;
        let begin = messages.len();
        bytes += read_chunk(rocks, request, key, &chunk, &mut messages)?;
        if let (Some(last), Some(first)) = (messages[..begin].last(), messages.get(begin)) {
            in_order &= last.position < first.position;
        }
    };
    if !in_order {
        messages.sort_unstable_by_key(|loaded| loaded.position);
    }
    messages.truncate(messages.partition_point(|loaded| loaded.position < bound));
    let max_messages = request.max_messages.max(1);
    if messages.len() > max_messages {
        // Chunks are read whole; what is over is left to the next request.
        let next_position = messages[max_messages].position;
        messages.truncate(max_messages);
        return Ok((messages, next_position));
    }
    Ok((messages, bound))
}

/// Appends the live messages of a chunk that the request asks for; returns the bytes of their bodies.
fn read_chunk(
    rocks: &Rocks,
    request: &LoadRequest,
    key: IdxKey,
    chunk: &ChunkMeta,
    messages: &mut Vec<Loaded>,
) -> Result<usize, StoreError> {
    let damaged = |why| StoreError::Damaged {
        what: format!("chunk {:#x} of queue {} at position {}", chunk.id, key.uid, key.first),
        why,
    };
    let Some(value) = rocks.chunk(chunk.id, chunk.log_bytes)? else {
        // Settled and removed since the index was read?
        let mut scan = rocks.scan_idx(&key.encode(), &IdxKey { first: key.first + 1, ..key }.encode());
        return match scan.next()? {
            None => Ok(0),
            Some(_) => Err(damaged("its messages are missing")),
        };
    };
    let mut read = || -> Result<usize, Damaged> {
        let mut reader = ChunkReader::new(&value)?;
        if (reader.uid, reader.lane, reader.kind, reader.first) != (key.uid, key.lane, key.kind, key.first) {
            return Err(Damaged("it belongs to another place"));
        }
        let mut bytes = 0;
        while let Some(stored) = reader.next()? {
            let position = key.first + u64::from(stored.offset);
            if position < request.upto && position >= request.from && chunk.live.contains(stored.offset) {
                bytes += stored.body_bytes();
                let expires_at_ms = stored.expires_at_ms;
                messages.push(Loaded { position, expires_at_ms, message: stored.to_message() });
            }
        }
        Ok(bytes)
    };
    read().map_err(|error| damaged(error.0))
}

/// A walk through the chunks of one kind that a request may touch.
struct Scan<'a> {
    scan: IdxScan<'a>,
    current: Option<(IdxKey, ChunkMeta)>,
    from: u64,
}

impl<'a> Scan<'a> {
    fn new(rocks: &'a Rocks, request: &LoadRequest, kind: Kind) -> Result<Scan<'a>, StoreError> {
        let key = |first| IdxKey { uid: request.uid, lane: request.lane, kind, first };
        // The chunk that contains `from` begins at most so far before it.
        let start = key(request.from.saturating_sub(CHUNK_POSITIONS_MAX - 1));
        let end = if request.upto == u64::MAX {
            keys::kind_end(request.uid, request.lane, kind)
        } else {
            key(request.upto).encode()
        };
        let scan = rocks.scan_idx(&start.encode(), &end);
        let mut this = Scan { scan, current: None, from: request.from };
        this.advance()?;
        Ok(this)
    }

    /// Moves to the next chunk that reaches past `from`.
    fn advance(&mut self) -> Result<(), StoreError> {
        loop {
            self.current = self.scan.next()?;
            if self.current.as_ref().is_none_or(|(_, chunk)| chunk.end() > self.from) {
                return Ok(());
            }
        }
    }

    fn first(&self) -> Option<u64> {
        self.current.as_ref().map(|(key, _)| key.first)
    }
}
