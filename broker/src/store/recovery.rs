//! Opening a data directory, finding out what queues hold, and leaving it so that the next start need not look.
//!
//! After a crash the chunks of all durable queues are counted in `idx`; after a clean shutdown their totals are in
//! `meta`. Bodies are never read. The file `synced` beside the database holds how far the write-ahead log had been
//! synced: RocksDB ends the log at the first damage, taking it for the unfinished end of the last write, and would
//! drop what had been confirmed without a word.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use rocksdb::WriteBatch;

use super::chunk::Volume;
use super::commit::Shared;
use super::delayed;
use super::keys::{self, IdxKey, IdxRange, Kind};
use super::lane::Lane;
use super::returned::{self, Returned};
use super::rocks::{Rocks, all_idx, newest_wal, read_meta, remove_chunk};
use super::{KeyValue, QueueUid, RecoveredLane, StoreError, StoreOptions};

/// Beside the database: how far the write-ahead log has been synced.
pub(super) const SYNCED_FILE: &str = "synced";

/// How long opening may take before that is logged.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// Chunks removed in one batch.
const SLICE_CHUNKS: usize = 4096;
const VERSION: u8 = 1;

/// An open data directory.
pub(super) struct Opened {
    pub rocks: Rocks,
    pub boot: Boot,
    pub synced_file: File,
    /// The broker's records.
    pub meta: Vec<KeyValue>,
    pub clean: bool,
    pub next_chunk_id: u64,
}

/// What [`recover_queues`] goes by.
pub(super) struct Boot {
    clean: bool,
    states: HashMap<(QueueUid, u8), LaneState>,
    /// Ranges whose deletion did not finish.
    doomed: Vec<IdxRange>,
    /// What delayed exchanges hold.
    delayed: Vec<(QueueUid, Volume)>,
}

/// The record of a lane in `meta`. The totals are right only after a clean shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LaneState {
    first_position: u64,
    next_position: u64,
    delivered_upto: u64,
    live: Volume,
    log_bytes: u64,
}

const LANE_STATE_BYTES: usize = 1 + 6 * 8;

impl LaneState {
    pub(super) fn of(lane: &Lane, first_position: u64) -> LaneState {
        LaneState {
            first_position,
            next_position: lane.next_position,
            delivered_upto: lane.delivered_upto,
            live: lane.live,
            log_bytes: lane.log_bytes,
        }
    }

    pub(super) fn encode(&self) -> [u8; LANE_STATE_BYTES] {
        let mut value = [0; LANE_STATE_BYTES];
        value[0] = VERSION;
        let fields = [
            self.first_position,
            self.next_position,
            self.delivered_upto,
            self.live.messages,
            self.live.bytes,
            self.log_bytes,
        ];
        for (field, place) in fields.iter().zip(value[1..].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        value
    }

    fn decode(value: &[u8]) -> Option<LaneState> {
        if value.len() != LANE_STATE_BYTES || value[0] != VERSION {
            return None;
        }
        let mut fields =
            value[1..].chunks_exact(8).filter_map(|field| field.try_into().ok()).map(u64::from_be_bytes);
        Some(LaneState {
            first_position: fields.next()?,
            next_position: fields.next()?,
            delivered_upto: fields.next()?,
            live: Volume { messages: fields.next()?, bytes: fields.next()? },
            log_bytes: fields.next()?,
        })
    }
}

// ---- opening -----------------------------------------------------------------------------------------------------

pub(super) fn open(options: &StoreOptions) -> Result<Opened, StoreError> {
    let path = &options.path;
    fs::create_dir_all(path)
        .map_err(|source| StoreError::Io { what: "create the data directory", source })?;
    let watchdog = watch_opening(path);
    let opened = Rocks::open(options);
    drop(watchdog);
    let rocks = opened.map_err(|source| {
        if source.as_ref().contains("LOCK: Resource temporarily unavailable")
            || source.as_ref().contains("lock hold by current process")
        {
            StoreError::InUse { path: path.clone() }
        } else {
            StoreError::Rocks { what: "open the data directory", source }
        }
    })?;
    let synced_file = open_synced(path)?;
    let (found, synced) = (rocks.db().latest_sequence_number(), read_synced(&synced_file)?);
    if found < synced {
        return Err(StoreError::LostData { path: path.clone(), found, synced });
    }

    let damaged = |key: &[u8], why| StoreError::Damaged { what: format!("record {key:02x?}"), why };
    let mut boot = Boot { clean: false, states: HashMap::new(), doomed: Vec::new(), delayed: Vec::new() };
    let mut epoch: u64 = 0;
    let mut meta = Vec::new();
    for (key, value) in read_meta(&rocks)? {
        if key.first() != Some(&keys::OWN_META_PREFIX) {
            meta.push((key, value));
        } else if key == keys::EPOCH {
            let bytes = value.as_slice().try_into().map_err(|_| damaged(&key, "not a boot epoch"))?;
            epoch = u64::from_be_bytes(bytes);
        } else if key == keys::CLEAN {
            boot.clean = true;
        } else if let Some(lane) = keys::decode_lane_state(&key) {
            let state = LaneState::decode(&value).ok_or_else(|| damaged(&key, "not the state of a lane"))?;
            boot.states.insert(lane, state);
        } else if let Some(uid) = keys::decode_delayed(&key) {
            let volume = delayed::decode_volume(&value);
            boot.delayed.push((uid, volume.ok_or_else(|| damaged(&key, "not the totals of an exchange"))?));
        } else if let (Some(start), Ok(end)) = (keys::decode_doomed(&key), value.as_slice().try_into()) {
            boot.doomed.push((start, end));
        } else {
            return Err(damaged(&key, "unknown kind of record"));
        }
    }

    let is_new = epoch == 0;
    epoch += 1;
    if epoch >> (64 - keys::CHUNK_COUNTER_BITS) != 0 {
        return Err(damaged(keys::EPOCH, "started too often"));
    }
    let mut batch = WriteBatch::default();
    batch.put_cf(rocks.meta(), keys::EPOCH, epoch.to_be_bytes());
    batch.delete_cf(rocks.meta(), keys::CLEAN);
    rocks.write(batch)?;
    rocks.sync()?;
    let clean = boot.clean || is_new;
    let next_chunk_id = (epoch << keys::CHUNK_COUNTER_BITS) + 1;
    Ok(Opened { rocks, boot, synced_file, meta, clean, next_chunk_id })
}

/// Says so when opening takes long: some damages of the write-ahead log make RocksDB read it for ever. Ends when the
/// returned value is dropped.
fn watch_opening(path: &Path) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    let path = path.to_owned();
    let watch = move || {
        while receiver.recv_timeout(OPEN_PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let wal = newest_wal(&path).unwrap_or_else(|| "*.log".into());
            tracing::warn!(
                path = %path.display(),
                %wal,
                "opening the data directory takes long; a large write-ahead log needs a minute, but when its end is \
                 damaged it may never finish: then stop, keep a copy of the file named here, and cut off its end"
            );
        }
    };
    if let Err(error) = std::thread::Builder::new().name("store-open".into()).spawn(watch) {
        tracing::warn!(%error, "cannot start a thread to watch the opening of the data directory");
    }
    sender
}

// ---- how far the log was synced ----------------------------------------------------------------------------------

fn open_synced(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(SYNCED_FILE))
        .map_err(|source| StoreError::Io { what: "open the file `synced`", source })
}

/// Notes that everything up to `sequence` is durable.
pub(super) fn write_synced(file: &File, sequence: u64) -> Result<(), StoreError> {
    let mut record = [0; 16];
    record[..8].copy_from_slice(&sequence.to_be_bytes());
    record[8..].copy_from_slice(&(!sequence).to_be_bytes());
    file.write_all_at(&record, 0).map_err(|source| StoreError::Io { what: "write the file `synced`", source })
}

/// 0 when nothing was noted, or nothing legible: the file is only an alarm.
fn read_synced(file: &File) -> Result<u64, StoreError> {
    let mut record = [0; 16];
    match file.read_exact_at(&mut record, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(0),
        Err(source) => return Err(StoreError::Io { what: "read the file `synced`", source }),
    }
    let [sequence, check] = [0, 8].map(|at| record[at..at + 8].try_into().map_or(0, u64::from_be_bytes));
    Ok(if check == !sequence { sequence } else { 0 })
}

// ---- what queues hold --------------------------------------------------------------------------------------------

pub(super) fn recover_queues(
    shared: &Shared,
    rocks: &Rocks,
    mut boot: Boot,
    uids: &[QueueUid],
) -> Result<HashMap<QueueUid, Vec<RecoveredLane>>, StoreError> {
    let mut known: Vec<QueueUid> = uids.to_vec();
    known.sort_unstable();
    let is_known = |uid: QueueUid| known.binary_search(&uid).is_ok();
    boot.doomed.sort_unstable();
    recover_delayed(shared, rocks, std::mem::take(&mut boot.delayed), is_known)?;

    let mut lanes: HashMap<(QueueUid, u8), LaneState> = HashMap::new();
    let mut unknown: Vec<QueueUid> = Vec::new();
    for (&(uid, lane), state) in &boot.states {
        if is_known(uid) {
            let mut state = *state;
            if !boot.clean {
                (state.live, state.log_bytes, state.first_position) = (Volume::default(), 0, u64::MAX);
            }
            lanes.insert((uid, lane), state);
        } else {
            unknown.push(uid);
        }
    }
    if !boot.clean {
        count_chunks(rocks, &boot.doomed, is_known, &mut lanes, &mut unknown)?;
    }
    // What is deleted in the background must not hit messages of a new life.
    for (_, end) in &boot.doomed {
        let Some(end) = IdxKey::decode(end) else { continue };
        if let Some(state) = lanes.get_mut(&(end.uid, end.lane)).filter(|_| end.kind == Kind::Persistent) {
            state.next_position = state.next_position.max(end.first);
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    forget_queues(rocks, &boot, &unknown)?;

    let mut recovered: HashMap<QueueUid, Vec<RecoveredLane>> = HashMap::new();
    let mut queues = shared.queues.lock();
    let mut log_bytes = 0;
    for ((uid, lane), state) in lanes {
        let next_position = state.next_position.max(state.delivered_upto);
        let first_position = state.first_position.min(next_position);
        let mut this = Lane::recovered(uid, lane, first_position, next_position);
        this.delivered_upto = state.delivered_upto;
        this.live = state.live;
        this.log_bytes = state.log_bytes;
        log_bytes += state.log_bytes;
        queues.insert(this);
        recovered.entry(uid).or_default().push(RecoveredLane {
            lane,
            first_position,
            next_position,
            messages: state.live.messages,
            bytes: state.live.bytes,
            delivered_upto: state.delivered_upto,
        });
    }
    drop(queues);
    for lanes in recovered.values_mut() {
        lanes.sort_unstable_by_key(|lane| lane.lane);
    }
    recover_returned(shared, rocks, &recovered)?;
    shared.live_log_bytes.fetch_add(log_bytes, Ordering::Relaxed);
    let unknown = unknown.into_iter().map(|uid| (keys::queue_start(uid), keys::queue_end(uid)));
    let doomed: Vec<IdxRange> = boot.doomed.into_iter().chain(unknown).collect();
    shared.reclaim.doom(doomed.into_iter(), false);
    shared.reclaim.look();
    Ok(recovered)
}

/// Remembers what known delayed exchanges hold, and drops what the others do.
fn recover_delayed(
    shared: &Shared,
    rocks: &Rocks,
    held: Vec<(QueueUid, Volume)>,
    is_known: impl Fn(QueueUid) -> bool,
) -> Result<(), StoreError> {
    let mut queues = shared.queues.lock();
    let mut batch = WriteBatch::default();
    for (uid, volume) in held {
        if is_known(uid) {
            queues.delayed.insert(uid, volume);
        } else {
            let (start, end) = delayed::range_of(uid);
            batch.delete_range_cf(rocks.delayed(), start, end);
            batch.delete_cf(rocks.meta(), keys::delayed(uid));
        }
    }
    if batch.is_empty() { Ok(()) } else { rocks.write(batch) }
}

/// Remembers which messages were returned, and drops what is known of such that are not there any more.
fn recover_returned(
    shared: &Shared,
    rocks: &Rocks,
    lanes: &HashMap<QueueUid, Vec<RecoveredLane>>,
) -> Result<(), StoreError> {
    let mut queues = shared.queues.lock();
    let mut batch = WriteBatch::default();
    let (start, end) = (returned::range_of(0).0, returned::range_of(u64::MAX).1);
    returned::walk(rocks, &start, &end, |uid, Returned { lane, position, .. }| {
        let is_there = |this: &RecoveredLane| {
            this.lane == lane && (this.first_position..this.next_position).contains(&position)
        };
        if lanes.get(&uid).is_some_and(|lanes| lanes.iter().any(is_there)) {
            queues.returned.entry(uid).or_default().insert((lane, position));
        } else {
            batch.delete_cf(rocks.returned(), returned::encode_key(uid, lane, position));
        }
    })?;
    if batch.is_empty() { Ok(()) } else { rocks.write(batch) }
}

/// Adds up what `idx` holds of known queues and drops their transient chunks.
fn count_chunks(
    rocks: &Rocks,
    doomed: &[IdxRange],
    is_known: impl Fn(QueueUid) -> bool,
    lanes: &mut HashMap<(QueueUid, u8), LaneState>,
    unknown: &mut Vec<QueueUid>,
) -> Result<(), StoreError> {
    let (start, end) = all_idx();
    let mut scan = rocks.scan_idx(&start, &end);
    let mut batch = WriteBatch::default();
    let mut doomed = doomed.iter().peekable();
    // The lane that is being added up; chunks of one lane come together.
    let mut current: Option<((QueueUid, u8), LaneState)> = None;
    while let Some((key, chunk)) = scan.entry()? {
        let encoded = key.encode();
        while doomed.next_if(|(_, end)| *end <= encoded).is_some() {}
        if let Some((_, end)) = doomed.peek().filter(|(start, _)| *start <= encoded) {
            scan.seek(end);
            continue;
        }
        if !is_known(key.uid) {
            unknown.push(key.uid);
            scan.seek(&keys::queue_end(key.uid));
            continue;
        }
        match key.kind {
            Kind::Transient => {
                // Opening has written what it replayed to files.
                remove_chunk(rocks, &mut batch, key, chunk.id, true);
                if batch.len() >= 2 * SLICE_CHUNKS {
                    rocks.write(std::mem::take(&mut batch))?;
                }
            }
            Kind::Persistent => {
                let lane = (key.uid, key.lane);
                if current.as_ref().is_none_or(|(current, _)| *current != lane) {
                    let fresh = || LaneState { first_position: u64::MAX, ..LaneState::default() };
                    let state = lanes.get(&lane).copied().unwrap_or_else(fresh);
                    lanes.extend(current.replace((lane, state)));
                }
                if let Some((_, state)) = &mut current {
                    state.first_position = state.first_position.min(chunk.first_live());
                    state.next_position = state.next_position.max(chunk.end());
                    state.live.add(chunk.volume());
                    state.log_bytes += u64::from(chunk.log_bytes);
                }
            }
        }
        scan.advance();
    }
    lanes.extend(current);
    if batch.is_empty() { Ok(()) } else { rocks.write(batch) }
}

/// Removes the records of queues that are gone, and notes that their chunks are being deleted.
fn forget_queues(rocks: &Rocks, boot: &Boot, unknown: &[QueueUid]) -> Result<(), StoreError> {
    let mut batch = WriteBatch::default();
    for (uid, lane) in boot.states.keys().filter(|(uid, _)| unknown.binary_search(uid).is_ok()) {
        batch.delete_cf(rocks.meta(), keys::lane_state(*uid, *lane));
    }
    for uid in unknown {
        batch.put_cf(rocks.meta(), keys::doomed(&keys::queue_start(*uid)), keys::queue_end(*uid));
    }
    rocks.write(batch)
}

// ---- a clean end -------------------------------------------------------------------------------------------------

/// The last steps of a clean shutdown, when all threads have ended: drops transient chunks, writes the totals of all
/// lanes, and flushes everything so that the next start replays nothing.
pub(super) fn save_clean_state(shared: &Shared, rocks: &Rocks) -> Result<(), StoreError> {
    let mut queues = shared.queues.lock();
    queues.apply_reports(shared.reclaim.take_reports());
    let mut batch = WriteBatch::default();
    for lane in queues.iter() {
        match lane.kind {
            Kind::Transient if lane.live.messages > 0 => {
                let end = keys::kind_end(lane.uid, lane.lane, lane.kind);
                let mut scan = rocks.scan_idx(&lane.key(0).encode(), &end);
                while let Some((key, chunk)) = scan.next()? {
                    remove_chunk(rocks, &mut batch, key, chunk.id, shared.is_flushed(chunk.id));
                    if batch.len() >= 2 * SLICE_CHUNKS {
                        rocks.write(std::mem::take(&mut batch))?;
                    }
                }
            }
            Kind::Transient => {}
            Kind::Persistent => {
                let first = if lane.live.messages == 0 {
                    lane.next_position
                } else {
                    let end = keys::kind_end(lane.uid, lane.lane, lane.kind);
                    let mut scan = rocks.scan_idx(&lane.key(lane.first_possible()).encode(), &end);
                    scan.next()?.map_or(lane.next_position, |(_, chunk)| chunk.first_live())
                };
                let state = LaneState::of(lane, first).encode();
                batch.put_cf(rocks.meta(), keys::lane_state(lane.uid, lane.lane), state);
            }
        }
    }
    batch.put_cf(rocks.meta(), keys::CLEAN, [VERSION]);
    rocks.write(batch)?;
    rocks.sync()?;
    rocks.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_synced_file_remembers_a_number_and_ignores_damage() {
        let directory = tempfile::tempdir().unwrap();
        let file = open_synced(directory.path()).unwrap();
        assert_eq!(read_synced(&file).unwrap(), 0);
        write_synced(&file, 77).unwrap();
        assert_eq!(read_synced(&open_synced(directory.path()).unwrap()).unwrap(), 77);
        file.write_all_at(&[9], 3).unwrap();
        assert_eq!(read_synced(&file).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn lane_states_come_back_and_other_bytes_do_not_panic(fields: [u64; 6], noise: Vec<u8>) {
            let state = LaneState {
                first_position: fields[0],
                next_position: fields[1],
                delivered_upto: fields[2],
                live: Volume { messages: fields[3], bytes: fields[4] },
                log_bytes: fields[5],
            };
            prop_assert_eq!(LaneState::decode(&state.encode()), Some(state));
            LaneState::decode(&noise);
        }
    }
}
