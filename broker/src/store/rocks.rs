//! RocksDB as this store uses it: its column families, their options, and reading `idx` in order.
//!
//! Chunk ids rise with time over all queues, so files of `log` do not overlap and compactions move them instead of
//! rewriting them. Memory is bounded: four write buffers of `log`, small ones of the others, and one block cache
//! that also holds the index blocks.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBPinnableSlice,
    DBRawIterator, DBRecoveryMode, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use rustix::fs::OFlags;

use super::chunk::ChunkMeta;
use super::keys::{self, IdxKey};
use super::{StoreError, StoreOptions};

pub(super) const META: &str = "meta";
pub(super) const IDX: &str = "idx";
pub(super) const LOG: &str = "log";
const DELAYED: &str = "delayed";
const RETURNED: &str = "returned";

/// The open database.
pub(super) struct Rocks {
    db: DB,
    writes: WriteOptions,
}

impl Rocks {
    pub(super) fn open(options: &StoreOptions) -> Result<Rocks, rocksdb::Error> {
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = [
            ColumnFamilyDescriptor::new(META, family(&cache, 2 << 20, 2)),
            ColumnFamilyDescriptor::new(IDX, family(&cache, 4 << 20, 2)),
            ColumnFamilyDescriptor::new(LOG, log_family(&cache, options.write_buffer_bytes)),
            ColumnFamilyDescriptor::new(DELAYED, family(&cache, 8 << 20, 2)),
            ColumnFamilyDescriptor::new(RETURNED, family(&cache, 2 << 20, 2)),
        ];
        let db = DB::open_cf_descriptors(&database(options), &options.path, families)?;
        let mut writes = WriteOptions::default();
        writes.set_sync(false);
        Ok(Rocks { db, writes })
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    pub(super) fn meta(&self) -> &ColumnFamily {
        self.family(META)
    }

    pub(super) fn idx(&self) -> &ColumnFamily {
        self.family(IDX)
    }

    pub(super) fn log(&self) -> &ColumnFamily {
        self.family(LOG)
    }

    pub(super) fn delayed(&self) -> &ColumnFamily {
        self.family(DELAYED)
    }

    pub(super) fn returned(&self) -> &ColumnFamily {
        self.family(RETURNED)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every column family was opened with the database")
    }

    /// Writes a batch to the log of the operating system; [`Rocks::sync`] makes it durable.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.db.write_opt(batch, &self.writes).map_err(|source| StoreError::Rocks { what: "write", source })
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(|source| StoreError::Rocks { what: "sync", source })
    }

    /// Writes all buffers to files, so that the next start has nothing to replay.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let families = [self.meta(), self.idx(), self.log(), self.delayed(), self.returned()];
        families
            .iter()
            .try_for_each(|family| self.db.flush_cf(*family))
            .map_err(|source| StoreError::Rocks { what: "write the buffers to files", source })
    }

    /// Bytes of `log` in write buffers, roughly; more than there are rather than fewer.
    pub(super) fn buffered_log_bytes(&self) -> u64 {
        let bytes = self.db.property_int_value_cf(self.log(), "rocksdb.cur-size-all-mem-tables");
        bytes.ok().flatten().unwrap_or(u64::MAX)
    }

    /// The `log` value of a chunk.
    pub(super) fn chunk(&self, id: u64, log_bytes: u32) -> Result<Option<DBPinnableSlice<'_>>, StoreError> {
        let mut reads = ReadOptions::default();
        // A chunk that fills blocks of its own is read once; smaller ones share theirs with neighbours.
        reads.fill_cache((log_bytes as usize) < LOG_BLOCK_BYTES);
        self.db
            .get_pinned_cf_opt(self.log(), id.to_be_bytes(), &reads)
            .map_err(|source| StoreError::Rocks { what: "read a chunk", source })
    }

    /// Walks `log` from chunk `first`.
    pub(super) fn scan_log(&self, first: u64) -> LogScan<'_> {
        let mut reads = ReadOptions::default();
        reads.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(self.log(), reads);
        iterator.seek(first.to_be_bytes());
        LogScan { iterator }
    }

    /// Walks a family from `start` up to `end`, exclusive.
    pub(super) fn scan_values(&self, family: &ColumnFamily, start: &[u8], end: &[u8]) -> ValueScan<'_> {
        let mut reads = ReadOptions::default();
        reads.set_iterate_upper_bound(end);
        reads.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(family, reads);
        iterator.seek(start);
        ValueScan { iterator }
    }

    /// Walks `idx` from `start` up to `end`, exclusive.
    pub(super) fn scan_idx(&self, start: &[u8], end: &[u8]) -> IdxScan<'_> {
        let mut reads = ReadOptions::default();
        reads.set_iterate_upper_bound(end);
        let mut iterator = self.db.raw_iterator_cf_opt(self.idx(), reads);
        iterator.seek(start);
        IdxScan { iterator }
    }

    /// The last chunk of a lane that begins at or before `position`.
    pub(super) fn chunk_at_or_before(&self, key: IdxKey) -> Result<Option<ChunkMeta>, StoreError> {
        let mut reads = ReadOptions::default();
        reads.set_iterate_lower_bound(IdxKey { first: 0, ..key }.encode());
        let mut iterator = self.db.raw_iterator_cf_opt(self.idx(), reads);
        iterator.seek_for_prev(key.encode());
        IdxScan { iterator }.entry().map(|entry| entry.map(|(_, chunk)| chunk))
    }
}

/// A walk through `log`.
pub(super) struct LogScan<'a> {
    iterator: DBRawIterator<'a>,
}

impl LogScan<'_> {
    /// Moves forward to the first chunk at or after `id`.
    pub(super) fn advance_to(&mut self, id: u64) -> Result<(), StoreError> {
        while self.iterator.key().is_some_and(|key| key < id.to_be_bytes().as_slice()) {
            self.iterator.next();
        }
        self.iterator.status().map_err(|source| StoreError::Rocks { what: "read chunks", source })
    }

    /// The chunk at which the walk is, if that is `id`.
    pub(super) fn value(&self, id: u64) -> Option<&[u8]> {
        self.iterator.item().filter(|(key, _)| *key == id.to_be_bytes()).map(|(_, value)| value)
    }
}

/// A key and its value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// A walk through keys and values as they are.
pub(super) struct ValueScan<'a> {
    iterator: DBRawIterator<'a>,
}

impl ValueScan<'_> {
    /// Where the walk is, `None` at its end.
    pub(super) fn entry(&self) -> Result<Option<Entry<'_>>, StoreError> {
        match self.iterator.item() {
            Some(entry) => Ok(Some(entry)),
            None => {
                let status = self.iterator.status();
                status
                    .map(|()| None)
                    .map_err(|source| StoreError::Rocks { what: "read stored values", source })
            }
        }
    }

    pub(super) fn advance(&mut self) {
        self.iterator.next();
    }
}

/// A walk through `idx`.
pub(super) struct IdxScan<'a> {
    iterator: DBRawIterator<'a>,
}

impl IdxScan<'_> {
    /// Where the walk is, `None` at its end.
    pub(super) fn entry(&self) -> Result<Option<(IdxKey, ChunkMeta)>, StoreError> {
        let Some((key, value)) = self.iterator.item() else {
            return self
                .iterator
                .status()
                .map(|()| None)
                .map_err(|source| StoreError::Rocks { what: "read the index", source });
        };
        let damaged = |why| StoreError::Damaged { what: format!("index entry {key:02x?}"), why };
        let key = IdxKey::decode(key).ok_or_else(|| damaged("its key has another form"))?;
        let chunk = ChunkMeta::decode(key.first, value).map_err(|error| damaged(error.0))?;
        Ok(Some((key, chunk)))
    }

    pub(super) fn advance(&mut self) {
        self.iterator.next();
    }

    /// Jumps forward.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.iterator.seek(key);
    }

    /// Moves on and returns where it was.
    pub(super) fn next(&mut self) -> Result<Option<(IdxKey, ChunkMeta)>, StoreError> {
        let entry = self.entry()?;
        if entry.is_some() {
            self.advance();
        }
        Ok(entry)
    }
}

/// Everything in `meta`.
pub(super) fn read_meta(rocks: &Rocks) -> Result<Vec<super::KeyValue>, StoreError> {
    let mut iterator = rocks.db.raw_iterator_cf(rocks.meta());
    iterator.seek_to_first();
    let mut records = Vec::new();
    while let Some((key, value)) = iterator.item() {
        records.push((key.to_vec(), value.to_vec()));
        iterator.next();
    }
    iterator.status().map_err(|source| StoreError::Rocks { what: "read stored records", source })?;
    Ok(records)
}

/// Adds the removal of a chunk to a batch. One that is in a file already leaves no tombstone, see [`super::flushed`].
pub(super) fn remove_chunk(rocks: &Rocks, batch: &mut WriteBatch, key: IdxKey, id: u64, is_flushed: bool) {
    batch.delete_cf(rocks.idx(), key.encode());
    if !is_flushed {
        batch.single_delete_cf(rocks.log(), id.to_be_bytes());
    }
}

/// The newest write-ahead log in a data directory, to name it in messages.
pub(super) fn newest_wal(path: &Path) -> Option<String> {
    let names = std::fs::read_dir(path).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".log")).max()
}

/// Blocks of `log`: small, so that a short chunk does not drag its neighbours in; a long one gets its own block.
const LOG_BLOCK_BYTES: usize = 16 * 1024;

fn database(options: &StoreOptions) -> Options {
    let mut database = Options::default();
    database.create_if_missing(true);
    database.create_missing_column_families(true);
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    database.set_max_total_wal_size(options.wal_bytes_max);
    database.set_max_background_jobs(2);
    database.set_max_open_files(512);
    // Files are written past the page cache: each page of it would be allocated, filled and written out to no avail,
    // since what is read back soon comes from the write buffers. Halves the CPU of publishing.
    database.set_use_direct_io_for_flush_and_compaction(takes_direct_io(&options.path));
    // A backlog is read in the order in which it was written: the kernel may read ahead.
    database.set_advise_random_on_open(false);
    database.set_bytes_per_sync(1 << 20);
    // One thread writes nearly everything: no machinery for concurrent writers.
    database.set_allow_concurrent_memtable_write(false);
    database.set_enable_write_thread_adaptive_yield(false);
    database.set_avoid_unnecessary_blocking_io(true);
    database.set_skip_stats_update_on_db_open(true);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    database.set_log_level(LogLevel::Warn);
    database.set_max_log_file_size(4 << 20);
    database.set_keep_log_file_num(4);
    database
}

/// True when files in `path` can be opened for direct I/O; some file systems refuse it.
fn takes_direct_io(path: &Path) -> bool {
    let probe = path.join(".direct-io-probe");
    let flags = OFlags::DIRECT.bits().cast_signed();
    let opened = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(&probe);
    let _ = std::fs::remove_file(&probe);
    opened.is_ok()
}

fn family(cache: &Cache, write_buffer_bytes: usize, write_buffers: i32) -> Options {
    let mut family = Options::default();
    family.set_write_buffer_size(write_buffer_bytes);
    family.set_max_write_buffer_number(write_buffers);
    family.set_compression_type(rocksdb::DBCompressionType::None);
    family.set_level_compaction_dynamic_level_bytes(true);
    family.set_block_based_table_factory(&blocks(cache, 16 * 1024));
    family
}

fn log_family(cache: &Cache, write_buffer_bytes: usize) -> Options {
    let mut log = family(cache, write_buffer_bytes, 4);
    // Two write buffers are flushed as one: what was settled meanwhile never reaches a file.
    log.set_min_write_buffer_number_to_merge(2);
    // Files hardly ever overlap, so each moves down at once, as it is, to where it can be unlinked.
    log.set_level_zero_file_num_compaction_trigger(1);
    log.set_target_file_size_base(64 << 20);
    log.set_max_bytes_for_level_base(512 << 20);
    log.set_block_based_table_factory(&blocks(cache, LOG_BLOCK_BYTES));
    log
}

fn blocks(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(block_bytes);
    blocks.set_format_version(6);
    // Index blocks live in the cache, in pieces: their memory is bounded however much is stored.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks
}

/// Ranges of `idx` that hold everything.
pub(super) fn all_idx() -> ([u8; keys::IDX_KEY_BYTES], [u8; keys::IDX_KEY_BYTES]) {
    (keys::queue_start(0), keys::queue_end(u64::MAX))
}
