//! The commit thread, and what the threads of the store share.
//!
//! While a sync is under way the commit thread waits unless much is pending: what comes meanwhile goes into one
//! larger generation, and is often settled before it would be written. How much is much depends on that: where
//! consumers keep up with publishers, each millisecond spares the writing of messages; where they do not, writing and
//! syncing at a time is faster.
//!
//! A generation may take several write batches: what was appended comes first, so that a crash between them forgets
//! nothing. Its last batch is written as a whole, whatever its size, and a transfer has all its sides there:
//!
//! ```text
//! batch … batch │ batch                                            written after all others, in one piece
//! appends       │ settled positions ─ appends of transfers ─ delayed messages that left ─ deletions ─ records
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leveret_core::record::Record;
use leveret_core::session::host::Ticket;
use parking_lot::{Condvar, Mutex, RwLock};
use rocksdb::WriteBatch;

use super::chunk::{CHUNK_POSITIONS_MAX, ChunkMeta, ChunkWriter, Volume};
use super::delayed::{self, DelayedChanges};
use super::flushed::Flushed;
use super::keys::{self, IdxKey, IdxRange, Kind};
use super::lane::{Lane, window_chunks_max};
use super::load::Loads;
use super::reclaim::Reclaim;
use super::recovery::LaneState;
use super::returned::{self, Places};
use super::rocks::{Rocks, remove_chunk};
use super::sync::Log;
use super::{Append, Pending, PendingSource, QueueUid, StoreError, StoreStats, SyncMode, Wake};

/// How long what nobody waits for may stay pending, in milliseconds.
pub const SOON_MS: u64 = 10;

/// With this much pending the commit thread writes while a sync is under way.
const PIPELINE_BYTES: usize = 256 * 1024;
/// The same while at least one message in [`SPARED_SHARE`] is settled before it is taken.
const PIPELINE_BYTES_SPARING: usize = 4 * 1024 * 1024;
const SPARED_SHARE: u64 = 8;
/// How often it looks whether there is that much.
const PIPELINE_POLL: Duration = Duration::from_micros(500);
/// A generation of so many bytes at most is synced by the commit thread.
const SYNC_HERE_BYTES_MAX: usize = 64 * 1024;
/// A write batch is written when it exceeds this, unless it is the last of its generation. What RocksDB then copies is
/// still in the processor's cache.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Index entries read at once when settling leaves a window.
const PREFETCH_CHUNKS: usize = 256;
/// A settled range that reaches this many positions past the window is deleted in the background.
const INLINE_POSITIONS_MAX: u64 = 64 * 1024;
/// A deleted queue with more chunks is deleted in the background.
const INLINE_CHUNKS_MAX: usize = 1024;
/// Messages that empty lists have room for which are kept to be used again.
const SPARE_APPENDS_MAX: usize = 256 * 1024;

// ---- what threads share ------------------------------------------------------------------------------------------

/// The store's state, shared by handles and threads.
pub(super) struct Shared {
    pub sync_mode: SyncMode,
    /// Held for writing while a generation is collected, and for reading by transfers: each is in one generation.
    pub collecting: RwLock<()>,
    pub inbox: Mutex<Inbox>,
    /// The commit thread waits on it.
    pub inbox_signal: Condvar,
    /// The sync thread waits on it, with `inbox`.
    pub sync_signal: Condvar,
    durable: AtomicU64,
    waiters: Mutex<Vec<(Ticket, Arc<dyn Wake>)>>,
    poison_waiters: Mutex<Vec<Arc<dyn Wake>>>,
    pub failure: OnceLock<Arc<StoreError>>,
    pub inbox_bytes: Arc<AtomicUsize>,
    /// Held by the commit thread during a generation.
    pub queues: Mutex<Queues>,
    pub loads: Loads,
    pub reclaim: Reclaim,
    /// Every chunk up to this id is written.
    pub written_chunk_id: AtomicU64,
    /// Chunks up to this id are in files of `log`, see [`Flushed`].
    pub flushed_chunk_id: AtomicU64,
    /// Bytes in `log` of chunks with live messages.
    pub live_log_bytes: AtomicU64,
    /// See [`super::Store::next_delayed_id`].
    pub next_delayed_id: AtomicU64,
    pub stats: Stats,
    /// Writes until one fails on purpose; 0 when none is to.
    pub writes_until_failure: AtomicU64,
}

/// What has been handed in and not been taken, and how far writing and syncing are.
pub(super) struct Inbox {
    /// The generation that is being collected.
    generation: u64,
    dirty: Vec<Arc<dyn PendingSource>>,
    records: Vec<Record>,
    deleted: Vec<QueueUid>,
    /// Somebody waits for this generation.
    urgent: bool,
    /// When it is taken though nobody waits for it.
    due: Option<Instant>,
    writer: Writing,
    /// The last generation written, and the last made durable.
    pub written: u64,
    pub synced: u64,
    pub needs_sync: bool,
    /// The sync thread is at work.
    pub syncing: bool,
    /// The sync thread has to note how far is synced.
    pub unnoted: bool,
    stop: Option<Stop>,
    pub stop_syncing: bool,
}

impl Inbox {
    /// The commit thread waits for the sync under way.
    pub(super) fn is_writer_held(&self) -> bool {
        self.writer == Writing::Held
    }
}

/// What the commit thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Writes; it will look at the inbox before it rests.
    Busy,
    /// Waits for something to write.
    Idle,
    /// Waits for the generation to be due or urgent.
    Waiting,
    /// Waits for the sync under way.
    Held,
}

/// How the threads end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// After writing everything.
    Close,
    /// Now.
    Abandon,
}

#[derive(Default)]
pub(super) struct Stats {
    commits: AtomicU64,
    pub syncs: AtomicU64,
    messages_written: AtomicU64,
    messages_elided: AtomicU64,
    bytes_written: AtomicU64,
    pub messages_loaded: AtomicU64,
    pub bytes_reclaimed: AtomicU64,
}

impl Stats {
    pub(super) fn snapshot(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            commits: read(&self.commits),
            syncs: read(&self.syncs),
            messages_written: read(&self.messages_written),
            messages_elided: read(&self.messages_elided),
            bytes_written: read(&self.bytes_written),
            messages_loaded: read(&self.messages_loaded),
            bytes_reclaimed: read(&self.bytes_reclaimed),
        }
    }
}

impl Shared {
    /// `next_id` is above all ids given in earlier lives.
    pub(super) fn new(sync_mode: SyncMode, next_id: u64) -> Shared {
        Shared {
            sync_mode,
            collecting: RwLock::new(()),
            inbox: Mutex::new(Inbox {
                generation: 1,
                dirty: Vec::new(),
                records: Vec::new(),
                deleted: Vec::new(),
                urgent: false,
                due: None,
                writer: Writing::Busy,
                written: 0,
                synced: 0,
                needs_sync: false,
                syncing: false,
                unnoted: false,
                stop: None,
                stop_syncing: false,
            }),
            inbox_signal: Condvar::new(),
            sync_signal: Condvar::new(),
            durable: AtomicU64::new(0),
            waiters: Mutex::default(),
            poison_waiters: Mutex::default(),
            failure: OnceLock::new(),
            inbox_bytes: Arc::default(),
            queues: Mutex::default(),
            loads: Loads::default(),
            reclaim: Reclaim::default(),
            written_chunk_id: AtomicU64::new(0),
            // Opening writes what it replays of the log to files.
            flushed_chunk_id: AtomicU64::new(next_id.saturating_sub(1)),
            live_log_bytes: AtomicU64::new(0),
            next_delayed_id: AtomicU64::new(next_id),
            stats: Stats::default(),
            writes_until_failure: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn mark_dirty(&self, source: Arc<dyn PendingSource>) -> Ticket {
        self.hand_in(|inbox| inbox.dirty.push(source))
    }

    pub(super) fn write_meta(&self, mut records: Vec<Record>) -> Ticket {
        self.hand_in(|inbox| inbox.records.append(&mut records))
    }

    pub(super) fn delete_queue(&self, uid: QueueUid) -> Ticket {
        self.hand_in(|inbox| inbox.deleted.push(uid))
    }

    /// Adds to the generation that is being collected.
    #[inline]
    fn hand_in(&self, add: impl FnOnce(&mut Inbox)) -> Ticket {
        let mut inbox = self.inbox.lock();
        let ticket = Ticket(inbox.generation);
        if self.failure.get().is_some() {
            return ticket;
        }
        add(&mut inbox);
        if inbox.due.is_none() {
            inbox.due = Some(Instant::now() + Duration::from_millis(SOON_MS));
        }
        let wake = inbox.writer == Writing::Idle;
        if wake {
            // Once is enough.
            inbox.writer = Writing::Busy;
        }
        drop(inbox);
        if wake {
            self.inbox_signal.notify_one();
        }
        ticket
    }

    /// True for a chunk that is in a file rather than in a write buffer.
    pub(super) fn is_flushed(&self, id: u64) -> bool {
        id <= self.flushed_chunk_id.load(Ordering::Relaxed)
    }

    /// Has a generation taken now rather than soon, because somebody waits for it.
    pub(super) fn hurry(&self, ticket: Ticket) {
        let mut inbox = self.inbox.lock();
        if ticket.0 < inbox.generation || inbox.urgent {
            return;
        }
        inbox.urgent = true;
        let wake = matches!(inbox.writer, Writing::Idle | Writing::Waiting);
        if wake {
            inbox.writer = Writing::Busy;
        }
        drop(inbox);
        if wake {
            self.inbox_signal.notify_one();
        }
    }

    #[inline]
    pub(super) fn durable(&self) -> Ticket {
        Ticket(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn wake_when_durable(&self, ticket: Ticket, waker: Arc<dyn Wake>) {
        if self.durable() < ticket {
            let mut waiters = self.waiters.lock();
            // Looked at again under the lock that `raise` takes after it raises.
            if self.durable() < ticket {
                waiters.push((ticket, waker));
                drop(waiters);
                return self.hurry(ticket);
            }
        }
        waker.wake();
    }

    pub(super) fn wake_when_poisoned(&self, waker: Arc<dyn Wake>) {
        let mut waiters = self.poison_waiters.lock();
        if self.failure.get().is_some() {
            drop(waiters);
            return waker.wake();
        }
        waiters.push(waker);
    }

    /// Everything up to `generation` is durable. The commit thread may be ahead of the sync thread.
    pub(super) fn raise(&self, generation: u64, woken: &mut Vec<Arc<dyn Wake>>) {
        self.durable.fetch_max(generation, Ordering::Release);
        let mut waiters = self.waiters.lock();
        let mut index = 0;
        while index < waiters.len() {
            if waiters[index].0.0 <= generation {
                woken.push(waiters.swap_remove(index).1);
            } else {
                index += 1;
            }
        }
        drop(waiters);
        for waker in woken.drain(..) {
            waker.wake();
        }
    }

    /// Ends everything: nothing becomes durable any more.
    pub(super) fn poison(&self, error: StoreError) {
        let error = Arc::new(error);
        let mut waiters = self.poison_waiters.lock();
        if self.failure.set(error.clone()).is_err() {
            return;
        }
        let wakers = std::mem::take(&mut *waiters);
        drop(waiters);
        tracing::error!(%error, "the message store has failed; nothing can be stored any more");
        let mut inbox = self.inbox.lock();
        let dropped = (std::mem::take(&mut inbox.dirty), std::mem::take(&mut inbox.records));
        drop(inbox);
        drop(dropped);
        self.inbox_signal.notify_all();
        self.sync_signal.notify_all();
        self.loads.stop();
        self.reclaim.stop(Stop::Abandon);
        for waker in wakers {
            waker.wake();
        }
    }

    pub(super) fn stop(&self, stop: Stop) {
        let mut inbox = self.inbox.lock();
        // What was stopped stays stopped: closing and then dropping the handle is a clean shutdown.
        inbox.stop.get_or_insert(stop);
        drop(inbox);
        self.inbox_signal.notify_all();
    }

    /// The commit thread has ended; the sync thread follows once all is synced.
    pub(super) fn stop_syncing(&self) {
        self.inbox.lock().stop_syncing = true;
        self.sync_signal.notify_all();
    }

    /// Runs the body of a thread; an error or a panic poisons the store.
    pub(super) fn guard(&self, body: impl FnOnce() -> Result<(), StoreError>) {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.poison(error),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned());
                self.poison(StoreError::Panicked(text.unwrap_or_default()));
            }
        }
    }
}

/// Starts a named thread whose failure poisons the store.
pub(super) fn spawn(
    name: &str,
    shared: Arc<Shared>,
    body: impl FnOnce(&Shared) -> Result<(), StoreError> + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || shared.guard(|| body(&shared)))
        .map_err(|source| StoreError::Io { what: "start a thread", source })
}

// ---- the commit thread -------------------------------------------------------------------------------------------

/// The lanes of all queues that something was stored of.
#[derive(Default)]
pub(super) struct Queues {
    map: hashbrown::HashMap<QueueUid, Vec<Lane>>,
    lanes: usize,
    /// Lanes whose state has to be written.
    changed: Vec<(QueueUid, u8)>,
    /// What delayed exchanges hold.
    pub delayed: hashbrown::HashMap<QueueUid, Volume>,
    /// Messages of queues that were returned.
    pub returned: hashbrown::HashMap<QueueUid, Places>,
}

impl Queues {
    pub(super) fn insert(&mut self, lane: Lane) {
        self.lanes += 1;
        self.map.entry(lane.uid).or_default().push(lane);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.map.values().flatten()
    }

    /// Takes off what the reclaimer deleted.
    pub(super) fn apply_reports(&mut self, reports: Vec<Reclaimed>) {
        for Reclaimed { key, volume, log_bytes } in reports {
            if let Some(lane) = self.lane_mut(key.uid, key.lane, key.kind) {
                lane.live.subtract(volume);
                lane.log_bytes = lane.log_bytes.saturating_sub(log_bytes);
            }
        }
    }

    fn lane_or_new(&mut self, uid: QueueUid, lane: u8, kind: Kind) -> &mut Lane {
        let lanes = self.map.entry(uid).or_default();
        let index = lanes.iter().position(|this| this.lane == lane && this.kind == kind);
        let index = index.unwrap_or_else(|| {
            self.lanes += 1;
            lanes.push(Lane::new(uid, lane, kind));
            lanes.len() - 1
        });
        &mut lanes[index]
    }

    /// True when settling these positions of one lane takes a look at the index.
    fn must_read(&self, settled: &[Settled]) -> bool {
        let Some((uid, lane, _)) = settled.first() else { return false };
        let lanes = self.map.get(uid).into_iter().flatten().filter(|this| this.lane == *lane);
        let outside = |this: &Lane, range| {
            let [before, _, past] = this.split(range);
            !before.is_empty() || !past.is_empty()
        };
        lanes.into_iter().any(|this| settled.iter().any(|(_, _, range)| outside(this, range)))
    }

    fn lane_mut(&mut self, uid: QueueUid, lane: u8, kind: Kind) -> Option<&mut Lane> {
        self.map.get_mut(&uid)?.iter_mut().find(|this| this.lane == lane && this.kind == kind)
    }
}

/// Positions of one lane of a queue.
type Settled = (QueueUid, u8, Range<u64>);

/// What the reclaimer found in a settled range that it deleted.
pub(super) struct Reclaimed {
    pub key: IdxKey,
    pub volume: Volume,
    pub log_bytes: u64,
}

pub(super) fn spawn_writer(
    shared: Arc<Shared>,
    rocks: Arc<Rocks>,
    log: Arc<Log>,
    next_chunk_id: u64,
) -> Result<JoinHandle<()>, StoreError> {
    spawn("store-commit", shared, move |shared| {
        let mut writer = Writer {
            shared,
            log: &log,
            output: Output {
                shared,
                rocks: &rocks,
                batch: WriteBatch::new(),
                batch_hint: 64 * 1024,
                largest_batch: 0,
                value: Vec::new(),
                next_chunk_id,
                flushed: Flushed::default(),
                written_bytes: 0,
                needs_sync: false,
                is_last: false,
                removed_bytes: 0,
                doomed: Vec::new(),
            },
            chunk: ChunkWriter::default(),
            dirty: Vec::new(),
            taken: Vec::new(),
            spare: Vec::new(),
            records: Vec::new(),
            deleted: Vec::new(),
            settled: Vec::new(),
            touched: Vec::new(),
            woken: Vec::new(),
            pipeline_bytes: PIPELINE_BYTES,
        };
        while let Some(generation) = writer.wait() {
            writer.commit(generation)?;
        }
        Ok(())
    })
}

/// The commit thread's own state: mostly buffers that are used again and again.
struct Writer<'a> {
    shared: &'a Shared,
    log: &'a Log,
    output: Output<'a>,
    chunk: ChunkWriter,
    dirty: Vec<Arc<dyn PendingSource>>,
    /// What queues have for the generation.
    taken: Vec<(QueueUid, Pending)>,
    /// Lists that are empty, for their buffers.
    spare: Vec<Pending>,
    records: Vec<Record>,
    deleted: Vec<QueueUid>,
    /// What this generation settles.
    settled: Vec<Settled>,
    /// Chunks of one lane that changed, by first position.
    touched: Vec<u64>,
    woken: Vec<Arc<dyn Wake>>,
    /// With this much pending the next generation is written while a sync is under way.
    pipeline_bytes: usize,
}

impl Writer<'_> {
    /// Waits for a generation and takes it from the inbox; `None` when the thread should end.
    fn wait(&mut self) -> Option<u64> {
        let mut inbox = self.shared.inbox.lock();
        loop {
            let stop = inbox.stop;
            if stop == Some(Stop::Abandon) || self.shared.failure.get().is_some() {
                return None;
            }
            match inbox.due {
                None if stop.is_some() => return None,
                None => {
                    inbox.writer = Writing::Idle;
                    self.shared.inbox_signal.wait(&mut inbox);
                }
                Some(due) if !inbox.urgent && stop.is_none() && Instant::now() < due => {
                    inbox.writer = Writing::Waiting;
                    self.shared.inbox_signal.wait_until(&mut inbox, due);
                }
                Some(_) if inbox.syncing && stop.is_none() && self.pending_bytes() < self.pipeline_bytes => {
                    inbox.writer = Writing::Held;
                    self.shared.inbox_signal.wait_for(&mut inbox, PIPELINE_POLL);
                }
                Some(_) => break,
            }
        }
        inbox.writer = Writing::Busy;
        drop(inbox);
        Some(self.collect())
    }

    /// Takes a generation from the inbox and from the queues that have something for it. No transfer is under way
    /// meanwhile.
    fn collect(&mut self) -> u64 {
        let collecting = self.shared.collecting.write();
        let mut inbox = self.shared.inbox.lock();
        inbox.due = None;
        inbox.urgent = false;
        std::mem::swap(&mut inbox.dirty, &mut self.dirty);
        std::mem::swap(&mut inbox.records, &mut self.records);
        std::mem::swap(&mut inbox.deleted, &mut self.deleted);
        let generation = inbox.generation;
        inbox.generation += 1;
        drop(inbox);
        for source in &self.dirty {
            let mut pending = self.spare.pop().unwrap_or_default();
            source.take_pending(&mut pending);
            self.taken.push((source.uid(), pending));
        }
        drop(collecting);
        self.dirty.clear();
        self.note_spared();
        generation
    }

    /// Learns from the generation just taken whether it pays to take the next one later.
    fn note_spared(&mut self) {
        let spared: u64 = self.taken.iter().map(|(_, pending)| pending.spared).sum();
        let taken: usize = self.taken.iter().map(|(_, pending)| pending.appends.len()).sum();
        let messages = spared + taken as u64;
        if messages > 0 {
            let spares = spared * SPARED_SHARE >= messages;
            self.pipeline_bytes = if spares { PIPELINE_BYTES_SPARING } else { PIPELINE_BYTES };
        }
        self.shared.stats.messages_elided.fetch_add(spared, Ordering::Relaxed);
    }

    fn pending_bytes(&self) -> usize {
        self.shared.inbox_bytes.load(Ordering::Relaxed)
    }

    /// Writes one generation.
    fn commit(&mut self, generation: u64) -> Result<(), StoreError> {
        let shared = self.shared;
        let mut queues = shared.queues.lock();
        queues.apply_reports(shared.reclaim.take_reports());
        self.deleted.sort_unstable();
        let mut taken_bytes = 0;
        let mut taken = std::mem::take(&mut self.taken);
        for (uid, pending) in &mut taken {
            taken_bytes += pending.bytes;
            if self.deleted.binary_search(uid).is_ok() {
                pending.clear();
            }
            coalesce(&mut pending.settled);
            self.settled.extend(pending.settled.iter().map(|(lane, range)| (*uid, *lane, range.clone())));
            self.note_returned(&mut queues, *uid, pending);
            if !pending.transfers {
                self.append(&mut queues, *uid, pending)?;
                self.hold(&mut queues, *uid, pending)?;
            }
        }
        self.settle(&mut queues)?;
        for (uid, pending) in &mut taken {
            if pending.transfers {
                self.append(&mut queues, *uid, pending)?;
                self.hold(&mut queues, *uid, pending)?;
            }
            self.depart(&mut queues, *uid, pending);
        }
        self.recycle(&mut taken);
        self.taken = taken;
        self.delete_queues(&mut queues);
        self.write_lane_states(&mut queues);
        self.records.drain(..).for_each(|record| self.output.put_record(record));
        drop(queues);
        self.output.write()?;
        self.output.end_generation();
        self.chunk.shrink();
        shared.inbox_bytes.fetch_sub(taken_bytes, Ordering::Relaxed);
        shared.stats.commits.fetch_add(1, Ordering::Relaxed);
        shared.loads.written(generation);
        shared.reclaim.removed(std::mem::take(&mut self.output.removed_bytes));
        let needs_sync = std::mem::take(&mut self.output.needs_sync);
        let bytes = std::mem::take(&mut self.output.written_bytes);
        self.written(generation, needs_sync, bytes)
    }

    /// Keeps the buffers of lists that were written.
    fn recycle(&mut self, taken: &mut Vec<(QueueUid, Pending)>) {
        let mut kept: usize = self.spare.iter().map(|spare| spare.appends.capacity()).sum();
        for (_, mut pending) in taken.drain(..) {
            pending.clear();
            kept += pending.appends.capacity().max(1);
            if kept <= SPARE_APPENDS_MAX {
                self.spare.push(pending);
            }
        }
    }

    /// Makes a written generation of `bytes` durable, when it needs no sync or is small, or passes it on to the sync
    /// thread.
    fn written(&mut self, generation: u64, needs_sync: bool, bytes: usize) -> Result<(), StoreError> {
        let mut inbox = self.shared.inbox.lock();
        let is_next = !inbox.syncing && inbox.synced + 1 == generation;
        let here = self.shared.sync_mode == SyncMode::Always && needs_sync && is_next;
        if here && bytes <= SYNC_HERE_BYTES_MAX && inbox.stop.is_none() {
            drop(inbox);
            return self.sync(generation);
        }
        inbox.written = generation;
        inbox.needs_sync |= needs_sync;
        let raise = match self.shared.sync_mode {
            SyncMode::Always => !inbox.needs_sync && is_next,
            SyncMode::Interval(_) | SyncMode::Never => true,
        };
        let wake = match self.shared.sync_mode {
            SyncMode::Always => !raise && !inbox.syncing,
            SyncMode::Interval(_) => inbox.needs_sync,
            SyncMode::Never => false,
        };
        if raise {
            inbox.synced = generation;
        } else {
            inbox.syncing = true;
        }
        drop(inbox);
        if wake {
            self.shared.sync_signal.notify_one();
        }
        if raise {
            self.shared.raise(generation, &mut self.woken);
        }
        Ok(())
    }

    /// Syncs a generation here, with nothing that is not synced before it.
    fn sync(&mut self, generation: u64) -> Result<(), StoreError> {
        let unnoted = self.log.sync(self.shared)?;
        if self.shared.failure.get().is_some() {
            return Ok(());
        }
        let mut inbox = self.shared.inbox.lock();
        inbox.written = generation;
        inbox.synced = generation;
        let wake = unnoted && !std::mem::replace(&mut inbox.unnoted, unnoted);
        drop(inbox);
        if wake {
            self.shared.sync_signal.notify_one();
        }
        self.shared.raise(generation, &mut self.woken);
        Ok(())
    }

    /// Adds what a queue appends to the batch, except what it settles itself.
    fn append(
        &mut self,
        queues: &mut Queues,
        uid: QueueUid,
        pending: &mut Pending,
    ) -> Result<(), StoreError> {
        let Writer { chunk, output, .. } = self;
        let by_position = |append: &Append| (append.lane, append.transient, append.position);
        if !pending.appends.is_sorted_by_key(by_position) {
            pending.appends.sort_by_key(by_position);
        }
        let mut elided = 0;
        let mut written = 0;
        let mut at = (0, Kind::Persistent);
        let mut cut = 0;
        for append in &pending.appends {
            let kind = if append.transient { Kind::Transient } else { Kind::Persistent };
            let (lane, position) = (append.lane, append.position);
            // Both lists rise, except that the transient messages of a lane begin anew.
            if at != (lane, kind) {
                if !chunk.is_empty() {
                    output.put_chunk(queues, uid, at, chunk)?;
                }
                at = (lane, kind);
                cut =
                    pending.settled.partition_point(|(other, range)| (*other, range.end) <= (lane, position));
            }
            while pending
                .settled
                .get(cut)
                .is_some_and(|(other, range)| (*other, range.end) <= (lane, position))
            {
                cut += 1;
            }
            if pending
                .settled
                .get(cut)
                .is_some_and(|(other, range)| *other == lane && range.contains(&position))
            {
                elided += 1;
                continue;
            }
            if !chunk.is_empty() {
                // Transient chunks have no gaps, so that none can come to lie inside another.
                let gap = kind == Kind::Transient && chunk.last() + 1 != position;
                if gap || !chunk.has_room(position, &append.message) {
                    output.put_chunk(queues, uid, at, chunk)?;
                }
            }
            chunk.push(uid, lane, kind, position, append.expires_at_ms, &append.message);
            written += 1;
        }
        if !chunk.is_empty() {
            output.put_chunk(queues, uid, at, chunk)?;
        }
        pending.appends.clear();
        pending.records.drain(..).for_each(|record| output.put_record(record));
        for (lane, position) in pending.delivered_upto.drain(..) {
            // A consumer may be there before the first message.
            let this = queues.lane_or_new(uid, lane, Kind::Persistent);
            this.delivered_upto = position;
            if !std::mem::replace(&mut this.state_changed, true) {
                queues.changed.push((uid, lane));
            }
        }
        let stats = &self.shared.stats;
        stats.messages_written.fetch_add(written, Ordering::Relaxed);
        stats.messages_elided.fetch_add(elided, Ordering::Relaxed);
        Ok(())
    }

    /// Adds what a queue knows of returned messages to the batch: before anything is settled, which ends that.
    fn note_returned(&mut self, queues: &mut Queues, uid: QueueUid, pending: &mut Pending) {
        let output = &mut self.output;
        for entry in pending.returned.drain(..) {
            returned::encode(&entry, &mut output.value);
            let key = returned::encode_key(uid, entry.lane, entry.position);
            output.batch.put_cf(output.rocks.returned(), key, &output.value);
            queues.returned.entry(uid).or_default().insert((entry.lane, entry.position));
        }
    }

    /// Adds what a delayed exchange takes in to the batch.
    fn hold(&mut self, queues: &mut Queues, uid: QueueUid, pending: &mut Pending) -> Result<(), StoreError> {
        let DelayedChanges { purge, added, .. } = &mut pending.delayed;
        if !*purge && added.is_empty() {
            return Ok(());
        }
        let output = &mut self.output;
        let volume = queues.delayed.entry(uid).or_default();
        let family = output.rocks.delayed();
        if *purge {
            let (start, end) = delayed::range_of(uid);
            output.batch.delete_range_cf(family, start, end);
            *volume = Volume::default();
        }
        for delayed in added.drain(..) {
            delayed::encode_message(&delayed.message, &mut output.value);
            output.batch.put_cf(family, delayed::encode_key(uid, delayed.key), &output.value);
            volume.add(Volume { messages: 1, bytes: delayed.message.body().len() as u64 });
        }
        output.put_delayed_volume(uid, *volume);
        output.needs_sync = true;
        output.write_if_large()
    }

    /// Adds what leaves a delayed exchange to the last batch, where also is what it becomes in queues.
    fn depart(&mut self, queues: &mut Queues, uid: QueueUid, pending: &mut Pending) {
        let removed = &mut pending.delayed.removed;
        // A deleted exchange is unknown.
        let Some(volume) = queues.delayed.get_mut(&uid).filter(|_| !removed.is_empty()) else { return };
        for (key, bytes) in removed.drain(..) {
            self.output.batch.delete_cf(self.output.rocks.delayed(), delayed::encode_key(uid, key));
            volume.subtract(Volume { messages: 1, bytes });
        }
        self.output.put_delayed_volume(uid, *volume);
    }

    /// Adds what this generation settles to its last batch.
    fn settle(&mut self, queues: &mut Queues) -> Result<(), StoreError> {
        let max = window_chunks_max(queues.lanes);
        let mut settled = std::mem::take(&mut self.settled);
        // Reading the index must find what was appended. What is settled now is not in it before the whole batch is
        // written: each chunk outside of the windows is therefore read once.
        if settled.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).any(|of_lane| queues.must_read(of_lane)) {
            self.output.write()?;
        }
        self.output.is_last = true;
        for of_lane in settled.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (uid, lane) = (of_lane[0].0, of_lane[0].1);
            if let Some(places) = queues.returned.get_mut(&uid) {
                for (_, _, range) in of_lane {
                    self.output.forget_returned(uid, places, (lane, range.start)..(lane, range.end));
                }
                if places.is_empty() {
                    queues.returned.remove(&uid);
                }
            }
            let Some(lanes) = queues.map.get_mut(&uid) else { continue };
            for this in lanes.iter_mut().filter(|this| this.lane == lane) {
                self.settle_before_window(this, of_lane)?;
                for (_, _, range) in of_lane {
                    let [_, inside, past] = this.split(range);
                    if !inside.is_empty() {
                        this.settle(&inside, &mut self.touched);
                    }
                    if !past.is_empty() {
                        self.output.write_back(this, &mut self.touched);
                        self.settle_past_window(this, past, max)?;
                    }
                }
                self.output.write_back(this, &mut self.touched);
            }
        }
        settled.clear();
        self.settled = settled;
        Ok(())
    }

    /// Settles positions whose chunks were in the window once. Rare: the window slides over what consumers settle.
    fn settle_before_window(&mut self, lane: &mut Lane, settled: &[Settled]) -> Result<(), StoreError> {
        let before = settled.iter().map(|(_, _, range)| lane.split(range)[0].clone());
        let before: Vec<Range<u64>> = before.filter(|range| !range.is_empty()).collect();
        let rocks = self.output.rocks;
        // No chunk reaches from one run of ranges into the next.
        for run in before.chunk_by(|a, b| b.start - a.end < CHUNK_POSITIONS_MAX) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let start = rocks
                .chunk_at_or_before(lane.key(first.start))?
                .filter(|chunk| chunk.end() > first.start)
                .map_or(first.start, |chunk| chunk.first);
            let mut scan = rocks.scan_idx(&lane.key(start).encode(), &lane.key(last.end).encode());
            while let Some((key, mut chunk)) = scan.next()? {
                let mut volume = Volume::default();
                let meets = run.partition_point(|range| range.end <= chunk.first);
                let end = chunk.end();
                for range in run[meets..].iter().take_while(|range| range.start < end) {
                    volume.add(chunk.settle(range.start, range.end));
                }
                if volume.messages > 0 {
                    lane.live.subtract(volume);
                    if chunk.live.is_empty() {
                        lane.log_bytes = lane.log_bytes.saturating_sub(u64::from(chunk.log_bytes));
                    }
                    self.output.put_index(key, &chunk);
                }
            }
        }
        Ok(())
    }

    /// Settles positions past the window by moving the window there.
    fn settle_past_window(
        &mut self,
        lane: &mut Lane,
        range: Range<u64>,
        max: usize,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let rocks = self.output.rocks;
        while lane.covered_end() < range.end {
            let start = lane.covered_end();
            if start >= range.start && range.end - start > INLINE_POSITIONS_MAX {
                let end = self.doom(lane, start, range.end)?;
                lane.skip_to(end);
                continue;
            }
            let mut scan =
                rocks.scan_idx(&lane.key(start).encode(), &keys::kind_end(lane.uid, lane.lane, lane.kind));
            let mut chunks = Vec::with_capacity(PREFETCH_CHUNKS);
            while chunks.len() < PREFETCH_CHUNKS.min(max) {
                match scan.next()? {
                    Some((_, chunk)) => chunks.push(chunk),
                    None => break,
                }
            }
            let upto = match (scan.entry()?, chunks.last()) {
                (Some(_), Some(last)) => last.end(),
                _ => u64::MAX,
            };
            drop(scan);
            lane.extend(chunks.into_iter(), upto, max);
            lane.settle(&range, &mut self.touched);
            self.output.write_back(lane, &mut self.touched);
        }
        Ok(())
    }

    /// Has the whole chunks in `start..end` deleted in the background; returns where the last of them ends.
    /// A chunk begins at `start`, or none contains it.
    fn doom(&mut self, lane: &Lane, start: u64, end: u64) -> Result<u64, StoreError> {
        let across = self.output.rocks.chunk_at_or_before(lane.key(end))?;
        let across = across.filter(|chunk| chunk.first < end && end < chunk.end());
        let end = across.map_or(end, |chunk| chunk.first);
        self.output.doomed.push((lane.key(start).encode(), lane.key(end).encode()));
        Ok(end)
    }

    fn delete_queues(&mut self, queues: &mut Queues) {
        for uid in self.deleted.drain(..) {
            if queues.delayed.remove(&uid).is_some() {
                let Output { batch, rocks, needs_sync, .. } = &mut self.output;
                let (start, end) = delayed::range_of(uid);
                batch.delete_range_cf(rocks.delayed(), start, end);
                batch.delete_cf(rocks.meta(), keys::delayed(uid));
                *needs_sync = true;
                continue;
            }
            if queues.returned.remove(&uid).is_some() {
                let (start, end) = returned::range_of(uid);
                self.output.batch.delete_range_cf(self.output.rocks.returned(), start, end);
            }
            let Some(lanes) = queues.map.remove(&uid) else { continue };
            queues.lanes -= lanes.len();
            self.output.needs_sync = true;
            let known: Option<Vec<_>> = lanes.iter().map(|lane| Some((lane, lane.all_chunks()?))).collect();
            match known {
                Some(known)
                    if known.iter().map(|(_, chunks)| chunks.len()).sum::<usize>() <= INLINE_CHUNKS_MAX =>
                {
                    for (lane, chunks) in known {
                        for chunk in chunks.filter(|chunk| !chunk.live.is_empty()) {
                            self.output.remove(lane.key(chunk.first), chunk);
                        }
                    }
                }
                _ => self.output.doomed.push((keys::queue_start(uid), keys::queue_end(uid))),
            }
            for lane in lanes.iter().filter(|lane| lane.kind == Kind::Persistent) {
                let meta = self.output.rocks.meta();
                self.output.batch.delete_cf(meta, keys::lane_state(uid, lane.lane));
            }
        }
    }

    fn write_lane_states(&mut self, queues: &mut Queues) {
        let mut changed = std::mem::take(&mut queues.changed);
        // Queues hold messages back until their marks are durable; marks are rare.
        self.output.needs_sync |= !changed.is_empty();
        for (uid, lane) in changed.drain(..) {
            let Some(this) = queues.lane_mut(uid, lane, Kind::Persistent) else { continue };
            this.state_changed = false;
            let meta = self.output.rocks.meta();
            self.output.batch.put_cf(meta, keys::lane_state(uid, lane), LaneState::of(this, 0).encode());
        }
        queues.changed = changed;
    }
}

/// The write batch and what goes with it.
struct Output<'a> {
    shared: &'a Shared,
    rocks: &'a Rocks,
    batch: WriteBatch,
    /// Bytes to reserve for the next batch: somewhat more than the largest one of the generation before.
    batch_hint: usize,
    /// Bytes of the largest batch of this generation.
    largest_batch: usize,
    value: Vec<u8>,
    next_chunk_id: u64,
    flushed: Flushed,
    /// Bytes of the batches of this generation.
    written_bytes: usize,
    /// Something was written that somebody may wait for.
    needs_sync: bool,
    /// The last batch of a generation is written as a whole.
    is_last: bool,
    /// Bytes of chunks removed since the reclaimer was told.
    removed_bytes: u64,
    /// Ranges of `idx` to be deleted in the background once the batch is written.
    doomed: Vec<IdxRange>,
}

impl Output<'_> {
    /// Ends the chunk that is being built and adds it.
    fn put_chunk(
        &mut self,
        queues: &mut Queues,
        uid: QueueUid,
        (lane, kind): (u8, Kind),
        chunk: &mut ChunkWriter,
    ) -> Result<(), StoreError> {
        let id = self.next_chunk_id;
        self.next_chunk_id += 1;
        let (meta, value) = chunk.finish(id);
        self.batch.put_cf(self.rocks.log(), id.to_be_bytes(), value);
        let key = IdxKey { uid, lane, kind, first: meta.first };
        self.value.clear();
        meta.encode(&mut self.value);
        self.batch.put_cf(self.rocks.idx(), key.encode(), &self.value);
        self.needs_sync |= kind == Kind::Persistent;
        self.shared.stats.bytes_written.fetch_add(u64::from(meta.log_bytes), Ordering::Relaxed);
        self.shared.live_log_bytes.fetch_add(u64::from(meta.log_bytes), Ordering::Relaxed);
        self.flushed.wrote(id, meta.log_bytes);

        let window = window_chunks_max(queues.lanes);
        queues.lane_or_new(uid, lane, kind).push(meta, window);
        self.write_if_large()
    }

    /// Removes what is known of returned messages that are settled.
    fn forget_returned(&mut self, uid: QueueUid, places: &mut Places, settled: Range<(u8, u64)>) {
        let gone: Vec<(u8, u64)> = places.range(settled).copied().collect();
        for place in gone {
            places.remove(&place);
            self.batch.delete_cf(self.rocks.returned(), returned::encode_key(uid, place.0, place.1));
        }
    }

    /// Adds how much a delayed exchange holds, in the batch that changes it.
    fn put_delayed_volume(&mut self, uid: QueueUid, volume: Volume) {
        self.batch.put_cf(self.rocks.meta(), keys::delayed(uid), delayed::encode_volume(volume));
    }

    fn write_if_large(&mut self) -> Result<(), StoreError> {
        if !self.is_last && self.batch.size_in_bytes() >= BATCH_BYTES_MAX { self.write() } else { Ok(()) }
    }

    /// Adds a record of the broker.
    fn put_record(&mut self, record: Record) {
        self.needs_sync = true;
        let meta = self.rocks.meta();
        match record.value {
            Some(value) => self.batch.put_cf(meta, record.key, value),
            None => self.batch.delete_cf(meta, record.key),
        }
    }

    /// Adds what changed in a lane's window.
    fn write_back(&mut self, lane: &mut Lane, touched: &mut Vec<u64>) {
        for first in touched.drain(..) {
            lane.write_back(first, |key, chunk| self.put_index(key, chunk));
        }
        lane.tidy();
    }

    /// Adds the index entry of a chunk that was partly settled, or its removal when nothing is left.
    fn put_index(&mut self, key: IdxKey, chunk: &ChunkMeta) {
        if chunk.live.is_empty() {
            self.remove(key, chunk);
        } else {
            self.value.clear();
            chunk.encode(&mut self.value);
            self.batch.put_cf(self.rocks.idx(), key.encode(), &self.value);
        }
    }

    fn remove(&mut self, key: IdxKey, chunk: &ChunkMeta) {
        remove_chunk(self.rocks, &mut self.batch, key, chunk.id, self.shared.is_flushed(chunk.id));
        self.removed_bytes += u64::from(chunk.log_bytes);
        self.shared.live_log_bytes.fetch_sub(u64::from(chunk.log_bytes), Ordering::Relaxed);
    }

    fn end_generation(&mut self) {
        self.is_last = false;
        let largest = std::mem::take(&mut self.largest_batch);
        self.batch_hint = (self.batch_hint * 3 / 4).max(largest + largest / 4).min(BATCH_BYTES_MAX * 2);
    }

    /// Writes the batch, if there is anything in it.
    fn write(&mut self) -> Result<(), StoreError> {
        // What is to be deleted in the background is remembered on disk until it is done.
        for (start, end) in &self.doomed {
            self.batch.put_cf(self.rocks.meta(), keys::doomed(start), end);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let size = self.batch.size_in_bytes();
        let left = &self.shared.writes_until_failure;
        if left.load(Ordering::Relaxed) > 0 && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let source = std::io::Error::other("failed on purpose");
            return Err(StoreError::Io { what: "write", source });
        }
        self.largest_batch = self.largest_batch.max(size);
        self.batch_hint = self.batch_hint.max(size + size / 4).min(BATCH_BYTES_MAX * 2);
        let next = WriteBatch::with_capacity_bytes(self.batch_hint);
        self.rocks.write(std::mem::replace(&mut self.batch, next))?;
        self.written_bytes += size;
        self.shared.written_chunk_id.store(self.next_chunk_id - 1, Ordering::Release);
        if let Some(id) = self.flushed.look(|| self.rocks.buffered_log_bytes()) {
            self.shared.flushed_chunk_id.store(id, Ordering::Relaxed);
        }
        self.shared.reclaim.doom(self.doomed.drain(..), true);
        Ok(())
    }
}

/// Sorts settled ranges by lane and position and joins those that touch or overlap.
fn coalesce(settled: &mut Vec<(u8, Range<u64>)>) {
    let sorted = settled.is_sorted_by(|a, b| (a.0, a.1.start) <= (b.0, b.1.start));
    if !sorted {
        settled.sort_unstable_by_key(|(lane, range)| (*lane, range.start));
    }
    settled.dedup_by(|next, last| {
        let joins = next.0 == last.0 && next.1.start <= last.1.end;
        if joins {
            last.1.end = last.1.end.max(next.1.end);
        }
        joins
    });
}
