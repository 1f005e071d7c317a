//! Reading messages back, for queues that keep only a window of their backlog in memory.
//!
//! A load waits until the generation it depends on is written, then walks `idx` from the position asked for to see
//! which chunks it needs, and reads them whole. Persistent and transient chunks of a lane are interleaved by position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use leveret_core::message::Message;
use leveret_core::session::host::Ticket;
use parking_lot::{Condvar, Mutex};

use super::chunk::{CHUNK_POSITIONS_MAX, ChunkMeta, ChunkReader, Damaged, Volume};
use super::commit::{Shared, spawn};
use super::delayed::{self, DelayedLoad};
use super::expiry::{self, ExpiryRequest};
use super::keys::{self, IdxKey, Kind};
use super::rocks::{IdxScan, Rocks};
use super::{QueueUid, StoreError, returned};

/// Chunks up to this size are read by walking when they lie side by side.
const SMALL_CHUNK_BYTES: u32 = 16 * 1024;

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
    /// Stop with the chunk that reaches so many messages: at most 255 more.
    pub max_messages: usize,
    /// Stop with the chunk that reaches so many bytes of bodies.
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
    /// How often it was returned.
    pub returns: u32,
    /// When it is ready, in milliseconds since the epoch; 0 for at once.
    pub ready_at_ms: u64,
    /// The message.
    pub message: Message,
}

/// Receives loaded messages.
pub trait LoadSink: Send + Sync {
    /// All messages of the lane below `next_position`, from where the request began, that were not settled. Called
    /// by a thread of the store; never called when the store fails or stops.
    fn loaded(&self, lane: u8, messages: Vec<Loaded>, next_position: u64);
}

/// What the reader threads serve.
enum Request {
    Queue(LoadRequest),
    Delayed(DelayedLoad),
    Expiry(ExpiryRequest),
}

impl Request {
    fn after(&self) -> Ticket {
        match self {
            Request::Queue(request) => request.after,
            Request::Delayed(request) => request.after,
            Request::Expiry(request) => request.after,
        }
    }
}

/// Requests on their way to the reader threads.
#[derive(Default)]
pub(super) struct Loads {
    state: Mutex<LoadsState>,
    signal: Condvar,
}

#[derive(Default)]
struct LoadsState {
    ready: VecDeque<Request>,
    /// Wait for a generation to be written.
    parked: Vec<Request>,
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
        ready.extend(parked.extract_if(.., |request| request.after().0 <= generation));
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
    fn wait(&self) -> Option<Request> {
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
        self.request(Request::Queue(request));
    }

    pub(super) fn load_delayed(&self, request: DelayedLoad) {
        self.request(Request::Delayed(request));
    }

    pub(super) fn look_for_expired(&self, request: ExpiryRequest) {
        self.request(Request::Expiry(request));
    }

    fn request(&self, request: Request) {
        let after = request.after();
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
            match request {
                Request::Queue(request) => {
                    let (messages, next_position) = load(&rocks, &request)?;
                    shared.stats.messages_loaded.fetch_add(messages.len() as u64, Ordering::Relaxed);
                    request.sink.loaded(request.lane, messages, next_position);
                }
                Request::Delayed(request) => delayed::load(shared, &rocks, &request)?,
                Request::Expiry(request) => expiry::look(shared, &rocks, &request)?,
            }
        }
        Ok(())
    })
}

/// Reads what `request` asks for; the second value is where the next request should begin.
fn load(rocks: &Rocks, request: &LoadRequest) -> Result<(Vec<Loaded>, u64), StoreError> {
    let (chunks, next_position) = plan(rocks, request)?;
    let mut messages = Vec::with_capacity(chunks.iter().map(|(_, chunk)| chunk.live.len() as usize).sum());
    for run in chunks.chunk_by(|a, b| a.1.id + 1 == b.1.id && b.1.log_bytes <= SMALL_CHUNK_BYTES) {
        if run.len() < 4 {
            for (key, chunk) in run {
                let value = rocks.chunk(chunk.id, chunk.log_bytes)?;
                read_chunk(rocks, *key, chunk, value.as_deref(), &mut messages)?;
            }
        } else {
            // Many small chunks in a row, as one slow publisher leaves them: walking costs less than looking each up.
            let mut scan = rocks.scan_log(run[0].1.id);
            for (key, chunk) in run {
                scan.advance_to(chunk.id)?;
                read_chunk(rocks, *key, chunk, scan.value(chunk.id), &mut messages)?;
            }
        }
    }
    if !messages.is_sorted_by_key(|loaded| loaded.position) {
        messages.sort_unstable_by_key(|loaded| loaded.position);
    }
    returned::annotate(rocks, request.uid, request.lane, request.from..next_position, &mut messages)?;
    Ok((messages, next_position))
}

/// Which chunks to read, each with `live` cut down to what is wanted of it, and how far that reaches.
fn plan(rocks: &Rocks, request: &LoadRequest) -> Result<(Vec<(IdxKey, ChunkMeta)>, u64), StoreError> {
    let mut scans =
        [Scan::new(rocks, request, Kind::Persistent)?, Scan::new(rocks, request, Kind::Transient)?];
    let mut chunks: Vec<(IdxKey, ChunkMeta)> = Vec::new();
    let mut planned = Volume::default();
    let mut end = 0;
    let reached = |volume: Volume| {
        volume.messages > 0
            && (volume.messages >= request.max_messages as u64 || volume.bytes >= request.max_bytes as u64)
    };
    // Chunks in the order of their first positions: all that are not yet planned lie at or after the next one's.
    let next_position = loop {
        let next = match (scans[0].first(), scans[1].first()) {
            (Some(a), Some(b)) if b < a => 1,
            (None, Some(_)) => 1,
            _ => 0,
        };
        let Some((key, mut chunk)) = scans[next].current.take() else { break request.upto };
        if reached(planned) {
            // A chunk of the other kind may have begun inside one that is planned: what it holds comes first.
            let overlap = end > key.first;
            let complete = |(_, chunk): &(IdxKey, ChunkMeta)| chunk.clone().settle(0, key.first);
            let complete = if overlap {
                chunks.iter().map(complete).fold(Volume::default(), Volume::plus)
            } else {
                planned
            };
            if reached(complete) {
                break key.first.min(request.upto);
            }
        }
        scans[next].advance()?;
        chunk.settle(0, request.from);
        chunk.settle(request.upto, u64::MAX);
        planned = planned.plus(chunk.volume());
        end = end.max(chunk.end());
        chunks.push((key, chunk));
    };
    for (_, chunk) in chunks.iter_mut().filter(|(_, chunk)| chunk.end() > next_position) {
        chunk.settle(next_position, u64::MAX);
    }
    chunks.retain(|(_, chunk)| !chunk.live.is_empty());
    Ok((chunks, next_position))
}

/// Appends the live messages of a chunk, given its value in `log`.
pub(super) fn read_chunk(
    rocks: &Rocks,
    key: IdxKey,
    chunk: &ChunkMeta,
    value: Option<&[u8]>,
    messages: &mut Vec<Loaded>,
) -> Result<(), StoreError> {
    let damaged = |why| StoreError::Damaged {
        what: format!("chunk {:#x} of queue {} at position {}", chunk.id, key.uid, key.first),
        why,
    };
    let Some(value) = value else {
        // Settled and removed since the index was read?
        let mut scan = rocks.scan_idx(&key.encode(), &IdxKey { first: key.first + 1, ..key }.encode());
        return match scan.next()? {
            None => Ok(()),
            Some(_) => Err(damaged("its messages are missing")),
        };
    };
    let mut read = || -> Result<(), Damaged> {
        let mut reader = ChunkReader::new(value)?;
        if (reader.uid, reader.lane, reader.kind, reader.first) != (key.uid, key.lane, key.kind, key.first) {
            return Err(Damaged("it belongs to another place"));
        }
        while let Some(stored) = reader.next()? {
            if chunk.live.contains(stored.offset) {
                messages.push(Loaded {
                    position: key.first + u64::from(stored.offset),
                    expires_at_ms: stored.expires_at_ms,
                    returns: 0,
                    ready_at_ms: 0,
                    message: stored.to_message(),
                });
            }
        }
        Ok(())
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
