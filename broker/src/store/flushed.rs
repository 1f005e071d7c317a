//! Which chunks RocksDB has written to files.
//!
//! A chunk that is settled while it is in a write buffer is removed with a tombstone, and when the buffer is flushed
//! both are gone. For a chunk in a file a tombstone would go to another file, and a compaction would have to read both,
//! bodies and all, to find that nothing is left. Such a chunk leaves no trace in `log`: nothing in `idx` names it any
//! more, and the reclaimer unlinks files of such chunks without reading them.

use std::collections::VecDeque;

/// How much is written to `log` between two notes of what was the last chunk then.
const STEP_BYTES: u64 = 1 << 20;
/// How much is written between two looks at RocksDB's write buffers.
const LOOK_BYTES: u64 = 4 << 20;

/// What was written to `log` in this life, and how much of it is in files by now.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Chunk ids, and how many bytes had been written with them. Both rise.
    steps: VecDeque<(u64, u64)>,
    written: u64,
    looked: u64,
}

impl Flushed {
    /// A chunk was put into a write batch.
    pub(super) fn wrote(&mut self, id: u64, bytes: u32) {
        self.written += u64::from(bytes);
        if self.steps.back().is_none_or(|(_, written)| self.written >= written + STEP_BYTES) {
            self.steps.push_back((id, self.written));
        }
    }

    /// The last chunk that is in a file for sure, when it is time to look again. `buffered` tells how many bytes of
    /// `log` are in write buffers.
    pub(super) fn look(&mut self, buffered: impl FnOnce() -> u64) -> Option<u64> {
        if self.written < self.looked + LOOK_BYTES {
            return None;
        }
        self.looked = self.written;
        let flushed = self.written.saturating_sub(buffered());
        let upto = self.steps.partition_point(|(_, written)| *written <= flushed);
        self.steps.drain(..upto).next_back().map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_flushed_once_so_much_was_written_behind_them() {
        let mut flushed = Flushed::default();
        let mut next_id = 0;
        let mut write = |flushed: &mut Flushed, chunks: u64| {
            for _ in 0..chunks {
                next_id += 1;
                flushed.wrote(next_id, 64 << 10);
            }
        };
        write(&mut flushed, 32);
        assert_eq!(flushed.look(|| unreachable!("too early to look")), None);
        write(&mut flushed, 96);
        assert_eq!(flushed.look(|| 8 << 20), None, "all of it is in memory");
        write(&mut flushed, 128);
        // 16 MiB were written, of which the first 12 are in files.
        let upto = flushed.look(|| 4 << 20);
        assert!(upto.is_some_and(|upto| (176..=192).contains(&upto)), "{upto:?}");
        assert_eq!(flushed.look(|| 0), None, "nothing was written since");
        write(&mut flushed, 64);
        assert!(flushed.look(|| 0).is_some_and(|upto| (304..=320).contains(&upto)));
        assert!(flushed.steps.len() <= 1);
    }
}
