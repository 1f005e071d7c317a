//! The message store: what survives a restart, on RocksDB.
//!
//! Queues keep what they want stored in a [`Pending`] list of their own and tell the store that there is something.
//! One thread takes all lists at once, a *generation*, writes them in one batch, and another makes the write-ahead
//! log durable and raises the watermark:
//!
//! ```text
//! queue cells ─mark_dirty─▶ Inbox ─▶ commit thread ─▶ WriteBatch ─▶ sync thread ─▶ durable ─▶ wake who waits
//!   ▲   ▲                             │  take_pending                 one fdatasync for all that was written
//!   │   └──── LoadSink ◀─ readers     └─▶ released loads
//!   └ Pending: appends, settled ranges, delivered marks
//! ```
//!
//! A generation is named by its [`Ticket`]. It is taken at once when somebody waits for it, else after
//! [`SOON_MS`] milliseconds: a message that is settled by then is never written.
//!
//! Messages lie in chunks (see `chunk`); which of them live is all in `idx`, so there is nothing to repair after a
//! crash. A message that leaves one queue and enters others does so in one batch ([`Store::begin_transfer`]): a crash
//! finds it where it was or where it went, never in both and never in neither.
//!
//! Any failed write, sync or read poisons the store: no ticket becomes durable any more, and the broker has to stop.
//!
//! Lock order: a transfer, then a queue's lock, then any other of the store's; the store holds none of its own while it
//! calls a queue, except `Shared::collecting`, which nobody takes who has locked a queue.

mod chunk;
mod commit;
mod delayed;
mod expiry;
mod flushed;
mod keys;
mod lane;
mod load;
mod reclaim;
mod recovery;
mod returned;
mod rocks;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use leveret_core::message::Message;
use leveret_core::record::Record;
pub use leveret_core::session::host::Ticket;
use parking_lot::{Mutex, RwLockReadGuard};

use commit::{Shared, Stop};
use rocks::Rocks;

pub use commit::SOON_MS;
pub use delayed::{DelayedChanges, DelayedLoad, DelayedSink};
pub use expiry::{ExpiryRequest, ExpirySink};
pub use load::{LoadRequest, LoadSink, Loaded};
pub use returned::Returned;

/// Names a queue for ever; never given to another one.
pub type QueueUid = u64;

/// Where and how to store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory. Created when missing.
    pub path: PathBuf,
    /// When what was written is forced to the disk.
    pub sync: SyncMode,
    /// One of the four buffers that hold message bodies before they go to a file.
    pub write_buffer_bytes: usize,
    /// The write-ahead log is kept below about this size.
    pub wal_bytes_max: u64,
    /// Memory for blocks and index blocks read from files.
    pub block_cache_bytes: usize,
}

impl StoreOptions {
    /// Default options for a data directory.
    pub fn new(path: impl Into<PathBuf>) -> StoreOptions {
        StoreOptions {
            path: path.into(),
            sync: SyncMode::Always,
            write_buffer_bytes: 32 << 20,
            wal_bytes_max: 256 << 20,
            block_cache_bytes: 16 << 20,
        }
    }
}

/// When tickets become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// After an `fdatasync`: survives a power cut.
    Always,
    /// When the operating system has it, which survives a crash of the broker; synced every so many milliseconds.
    Interval(u64),
    /// When the operating system has it; never synced before a clean shutdown.
    Never,
}

/// One message for the store.
#[derive(Debug, Clone)]
pub struct Append {
    /// Lane of the queue: each has positions of its own.
    pub lane: u8,
    /// Rises within a lane; never stored twice.
    pub position: u64,
    /// Only put aside to save memory; dropped by a restart.
    pub transient: bool,
    /// Milliseconds since the epoch, 0 for never.
    pub expires_at_ms: u64,
    /// The message.
    pub message: Message,
}

/// What one queue has for the next generation. Buffers are swapped with the commit thread and reused.
#[derive(Debug, Default)]
pub struct Pending {
    /// New messages, in rising positions per lane. Those that `settled` names too are never written.
    pub appends: Vec<Append>,
    /// How many more there were, settled before they were taken.
    pub spared: u64,
    /// Positions settled, by lane. May name positions that were never stored.
    pub settled: Vec<(u8, Range<u64>)>,
    /// Nothing at or above this position was ever delivered, by lane. The last one of a lane counts.
    pub delivered_upto: Vec<(u8, u64)>,
    /// Some of the messages leave another place for it, see [`Store::begin_transfer`].
    pub transfers: bool,
    /// Messages returned by consumers, in the order in which they were.
    pub returned: Vec<Returned>,
    /// For delayed exchanges, which have nothing of the above.
    pub delayed: DelayedChanges,
    /// The owner's records, written behind its messages.
    pub records: Vec<Record>,
    /// What the owner added to [`Store::inbox_bytes`] for it; taken off when written.
    pub bytes: usize,
}

impl Pending {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.appends.clear();
        self.spared = 0;
        self.settled.clear();
        self.delivered_upto.clear();
        self.transfers = false;
        self.returned.clear();
        self.delayed.clear();
        self.records.clear();
        self.bytes = 0;
    }

    /// True when there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty()
            && self.settled.is_empty()
            && self.delivered_upto.is_empty()
            && self.returned.is_empty()
            && self.delayed.is_empty()
            && self.records.is_empty()
    }
}

/// A queue, as the commit thread sees it.
pub trait PendingSource: Send + Sync {
    /// Which queue it is.
    fn uid(&self) -> QueueUid;
    /// Swaps everything pending into `into`, which is empty. Called by the commit thread; has to be quick.
    fn take_pending(&self, into: &mut Pending);
}

/// Somebody who waits for a ticket.
pub trait Wake: Send + Sync {
    /// The ticket is durable. Called by a thread of the store; has to be quick.
    fn wake(&self);
}

/// A stored record.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// What the store held when it was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The broker's records.
    pub meta: Vec<KeyValue>,
    /// The last shutdown was clean, or there was none.
    pub clean: bool,
}

/// What the store holds of one lane of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveredLane {
    /// Which lane.
    pub lane: u8,
    /// All stored messages are at or above it.
    pub first_position: u64,
    /// Above every position in use; new messages go on from here.
    pub next_position: u64,
    /// Messages stored.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Messages below it may have been delivered.
    pub delivered_upto: u64,
}

/// Why the store cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error("data directory {} is in use by another leveret", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The write-ahead log lost what had been synced.
    #[error(
        "data directory {} has lost data that was already safe: it ends at change {found}, but {synced} had been \
         synced. Check the disk. To go on with what is there, remove the file {}",
        path.display(),
        recovery::SYNCED_FILE
    )]
    LostData {
        /// The data directory.
        path: PathBuf,
        /// Where the data ends.
        found: u64,
        /// How far it had been synced.
        synced: u64,
    },
    /// RocksDB refused.
    #[error("cannot {what}: {source}")]
    Rocks {
        /// What was tried.
        what: &'static str,
        /// RocksDB's reason.
        source: rocksdb::Error,
    },
    /// A file operation failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Something stored is not as this version writes it.
    #[error("the data directory is damaged: {what}: {why}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A thread of the store panicked.
    #[error("a store thread panicked: {0}")]
    Panicked(String),
}

/// The store. A handle; clones share it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// Owns the threads. The threads own the database, so that it is closed when they have ended, whoever still holds a
/// handle.
struct Handle {
    shared: Arc<Shared>,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    commit: Option<JoinHandle<()>>,
    sync: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    /// For recovery and the last steps of a clean shutdown.
    rocks: Option<Arc<Rocks>>,
    boot: Option<recovery::Boot>,
}

impl Store {
    /// Opens or creates a data directory. [`Store::recover_queues`] comes next, before any message.
    pub fn open(options: StoreOptions) -> Result<(Store, Recovered), StoreError> {
        let recovery::Opened { rocks, boot, synced_file, meta, clean, next_chunk_id } =
            recovery::open(&options)?;
        let rocks = Arc::new(rocks);
        let log = Arc::new(sync::Log::new(rocks.clone(), synced_file));
        let shared = Arc::new(Shared::new(options.sync, next_chunk_id));
        let threads = Threads {
            commit: Some(commit::spawn_writer(shared.clone(), rocks.clone(), log.clone(), next_chunk_id)?),
            sync: Some(sync::spawn_syncer(shared.clone(), log)?),
            others: vec![
                load::spawn_reader(shared.clone(), rocks.clone())?,
                load::spawn_reader(shared.clone(), rocks.clone())?,
                reclaim::spawn_reclaimer(shared.clone(), rocks.clone())?,
            ],
            rocks: Some(rocks),
            boot: Some(boot),
        };
        let handle = Arc::new(Handle { shared, threads: Mutex::new(threads) });
        Ok((Store { handle }, Recovered { meta, clean }))
    }

    /// What is stored of the queues that exist and are durable. Messages of all others, and transient ones, are
    /// dropped; so is what delayed exchanges hold that are not among `uids`. Called once, between [`Store::open`] and the first message.
    pub fn recover_queues(
        &self,
        uids: &[QueueUid],
    ) -> Result<HashMap<QueueUid, Vec<RecoveredLane>>, StoreError> {
        let mut threads = self.handle.threads.lock();
        let (Some(rocks), Some(boot)) = (threads.rocks.clone(), threads.boot.take()) else {
            return Ok(HashMap::new());
        };
        recovery::recover_queues(&self.handle.shared, &rocks, boot, uids)
    }

    /// Stores records of the broker: all or none, after all that were given before. `None` removes a key.
    pub fn write_meta(&self, records: Vec<Record>) -> Ticket {
        self.handle.shared.write_meta(records)
    }

    /// Announces that a queue has something pending. Called under the queue's lock when its list is no longer
    /// empty; everything that is in the list when the commit thread takes it belongs to the ticket or an earlier
    /// one.
    #[inline]
    pub fn mark_dirty(&self, source: Arc<dyn PendingSource>) -> Ticket {
        self.handle.shared.mark_dirty(source)
    }

    /// Begins a transfer. What queues and others give to the store while it goes on belongs to one generation. Of that
    /// generation, lists with [`Pending::transfers`], settled positions, deletions and records are in one batch.
    ///
    /// The caller has locked neither a queue nor anything that somebody who has locked a queue waits for, begins no other
    /// transfer, and is quick: nothing is written meanwhile.
    pub fn begin_transfer(&self) -> TransferGuard<'_> {
        TransferGuard(self.handle.shared.collecting.read())
    }

    /// How far everything is durable.
    #[inline]
    pub fn durable(&self) -> Ticket {
        self.handle.shared.durable()
    }

    /// Calls `waker` once when `ticket` is durable, at once if it is already; and sees to it that it becomes so
    /// without delay.
    pub fn wake_when_durable(&self, ticket: Ticket, waker: Arc<dyn Wake>) {
        self.handle.shared.wake_when_durable(ticket, waker);
    }

    /// Reads messages back on a thread of the store.
    pub fn load(&self, request: LoadRequest) {
        self.handle.shared.load(request);
    }

    /// Finds what has expired, on a thread of the store.
    pub fn look_for_expired(&self, request: ExpiryRequest) {
        self.handle.shared.look_for_expired(request);
    }

    /// Reads messages of a delayed exchange on a thread of the store.
    pub fn load_delayed(&self, request: DelayedLoad) {
        self.handle.shared.load_delayed(request);
    }

    /// A number for a message that is to wait: higher than all before, in earlier lives of the broker too.
    pub fn next_delayed_id(&self) -> u64 {
        self.handle.shared.next_delayed_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Messages that the store holds of a delayed exchange, and the bytes of their bodies. Waits for the generation that
    /// is being written: for starting up.
    pub fn delayed_volume(&self, uid: QueueUid) -> (u64, u64) {
        let volume = self.handle.shared.queues.lock().delayed.get(&uid).copied().unwrap_or_default();
        (volume.messages, volume.bytes)
    }

    /// Forgets a queue or delayed exchange and all its messages. Nothing of it may become pending afterwards.
    pub fn delete_queue(&self, uid: QueueUid) -> Ticket {
        self.handle.shared.delete_queue(uid)
    }

    /// Bytes that wait to be written, for back-pressure on publishers.
    #[inline]
    pub fn backlog_bytes(&self) -> usize {
        self.handle.shared.inbox_bytes.load(Ordering::Relaxed)
    }

    /// Where owners of pending lists add what they put in; see [`Pending::bytes`].
    #[inline]
    pub fn inbox_bytes(&self) -> &Arc<AtomicUsize> {
        &self.handle.shared.inbox_bytes
    }

    /// True once a write, sync or read has failed: nothing becomes durable any more.
    pub fn poisoned(&self) -> bool {
        self.handle.shared.failure.get().is_some()
    }

    /// Why the store is poisoned.
    pub fn failure(&self) -> Option<Arc<StoreError>> {
        self.handle.shared.failure.get().cloned()
    }

    /// Calls `waker` once when the store is poisoned, at once if it already is.
    pub fn wake_when_poisoned(&self, waker: Arc<dyn Wake>) {
        self.handle.shared.wake_when_poisoned(waker);
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> StoreStats {
        self.handle.shared.stats.snapshot()
    }

    /// Writes everything pending, remembers what queues hold so that the next start reads no index, and closes the
    /// data directory, whoever still has a handle.
    pub fn close(self) -> Result<(), StoreError> {
        let handle = &self.handle;
        handle.stop(Stop::Close);
        let rocks = handle.threads.lock().rocks.take();
        if let Some(error) = self.failure() {
            return Err(StoreError::Damaged { what: error.to_string(), why: "not everything was stored" });
        }
        match rocks {
            Some(rocks) => recovery::save_clean_state(&handle.shared, &rocks),
            None => Ok(()),
        }
    }

    /// Stops as a crash would: what is pending is lost.
    #[doc(hidden)]
    pub fn crash(self) {
        self.handle.stop(Stop::Abandon);
        self.handle.threads.lock().rocks = None;
    }

    /// Makes a write fail, counted from 1, to test what follows.
    #[doc(hidden)]
    pub fn fail_write(&self, number: u64) {
        self.handle.shared.writes_until_failure.store(number, Ordering::Relaxed);
    }
}

/// A transfer that goes on as long as this lives; see [`Store::begin_transfer`].
#[must_use]
pub struct TransferGuard<'a>(#[allow(dead_code, reason = "held, not looked at")] RwLockReadGuard<'a, ()>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("durable", &self.durable()).field("poisoned", &self.poisoned()).finish()
    }
}

impl Handle {
    /// Ends the threads, in the order in which they feed one another.
    fn stop(&self, stop: Stop) {
        let mut threads = self.threads.lock();
        self.shared.stop(stop);
        let join = |thread: JoinHandle<()>| {
            // The last handle may be dropped by a thread of the store, which cannot wait for itself. A panic was
            // reported where it happened.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        };
        threads.commit.take().map(join);
        self.shared.stop_syncing();
        threads.sync.take().map(join);
        self.shared.loads.stop();
        self.shared.reclaim.stop(stop);
        for thread in threads.others.drain(..) {
            join(thread);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop(Stop::Abandon);
    }
}

/// Totals since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Generations committed.
    pub commits: u64,
    /// Syncs of the write-ahead log.
    pub syncs: u64,
    /// Messages written.
    pub messages_written: u64,
    /// Messages settled before they were written.
    pub messages_elided: u64,
    /// Bytes of chunks written.
    pub bytes_written: u64,
    /// Messages read back.
    pub messages_loaded: u64,
    /// Bytes of files given back to the operating system by the reclaimer.
    pub bytes_reclaimed: u64,
}
