//! Making the write-ahead log durable, and noting beside the database how far it is.
//!
//! The sync thread does it while much is written: the commit thread writes the next generation meanwhile. A small
//! generation with nothing behind it is synced by the commit thread itself, which spares a message to and from another
//! thread: most of the time that a lone publisher waits for.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::commit::{Shared, spawn};
use super::recovery::write_synced;
use super::rocks::Rocks;
use super::{StoreError, SyncMode};

/// How often it is noted on disk how far the log is synced.
const NOTE_INTERVAL: Duration = Duration::from_millis(50);

/// The write-ahead log, as the threads that sync it share it.
pub(super) struct Log {
    rocks: Arc<Rocks>,
    notes: Mutex<Notes>,
}

/// How far was synced, by RocksDB's sequence numbers.
struct Notes {
    file: File,
    noted: Option<Instant>,
    unnoted: Option<u64>,
}

impl Log {
    /// The log of `rocks`; notes go to the file `synced`.
    pub(super) fn new(rocks: Arc<Rocks>, synced: File) -> Log {
        Log { rocks, notes: Mutex::new(Notes { file: synced, noted: None, unnoted: None }) }
    }

    /// Syncs what is written by now. True when that is not noted yet.
    pub(super) fn sync(&self, shared: &Shared) -> Result<bool, StoreError> {
        let sequence = self.rocks.db().latest_sequence_number();
        self.rocks.sync()?;
        shared.stats.syncs.fetch_add(1, Ordering::Relaxed);
        let mut notes = self.notes.lock();
        notes.unnoted = notes.unnoted.max(Some(sequence));
        // Not at every sync: it makes the next one dearer.
        if notes.noted.is_none_or(|noted| noted.elapsed() >= NOTE_INTERVAL) {
            notes.note()?;
        }
        Ok(notes.unnoted.is_some())
    }

    fn note(&self) -> Result<(), StoreError> {
        self.notes.lock().note()
    }
}

impl Notes {
    fn note(&mut self) -> Result<(), StoreError> {
        self.noted = Some(Instant::now());
        self.unnoted.take().map_or(Ok(()), |sequence| write_synced(&self.file, sequence))
    }
}

pub(super) fn spawn_syncer(shared: Arc<Shared>, log: Arc<Log>) -> Result<JoinHandle<()>, StoreError> {
    spawn("store-sync", shared, move |shared| match shared.sync_mode {
        SyncMode::Always => run_always(shared, &log),
        SyncMode::Interval(ms) => run_now_and_then(shared, &log, Duration::from_millis(ms)),
        SyncMode::Never => Ok(()),
    })
}

/// Syncs as long as something written is not synced, everything at once, and raises the watermark.
fn run_always(shared: &Shared, log: &Log) -> Result<(), StoreError> {
    let mut woken = Vec::new();
    loop {
        let mut inbox = shared.inbox.lock();
        inbox.syncing = false;
        while inbox.written == inbox.synced {
            if inbox.stop_syncing || shared.failure.get().is_some() {
                return Ok(());
            }
            if !inbox.unnoted {
                shared.sync_signal.wait(&mut inbox);
            } else if shared.sync_signal.wait_for(&mut inbox, NOTE_INTERVAL).timed_out() {
                inbox.unnoted = false;
                MutexGuard::unlocked(&mut inbox, || log.note())?;
            }
        }
        // Taken before the sync, so that nothing written during it is taken for synced.
        let generation = inbox.written;
        let needs_sync = std::mem::take(&mut inbox.needs_sync);
        inbox.syncing = true;
        drop(inbox);
        let unnoted = needs_sync && log.sync(shared)?;
        if shared.failure.get().is_some() {
            return Ok(());
        }
        let mut inbox = shared.inbox.lock();
        inbox.unnoted |= unnoted;
        inbox.synced = generation;
        inbox.syncing = inbox.written > generation;
        let wake = inbox.is_writer_held() && !inbox.syncing;
        drop(inbox);
        if wake {
            shared.inbox_signal.notify_one();
        }
        shared.raise(generation, &mut woken);
    }
}

/// Syncs at most every `interval`. The watermark does not wait for it.
fn run_now_and_then(shared: &Shared, log: &Log, interval: Duration) -> Result<(), StoreError> {
    loop {
        let mut inbox = shared.inbox.lock();
        while !inbox.needs_sync {
            if inbox.stop_syncing || shared.failure.get().is_some() {
                return Ok(());
            }
            shared.sync_signal.wait(&mut inbox);
        }
        let due = Instant::now() + interval;
        while !inbox.stop_syncing && shared.failure.get().is_none() && Instant::now() < due {
            shared.sync_signal.wait_until(&mut inbox, due);
        }
        inbox.needs_sync = false;
        drop(inbox);
        log.sync(shared)?;
    }
}
