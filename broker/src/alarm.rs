//! Memory and disk alarms: when one rises, publishers wait and clients that asked for it are told.
//!
//! RabbitMQ's rule: memory is short above a share of what the machine (or its control group) has, disk is short below
//! an absolute amount of free space in the data directory's file system. Consumers are never held up: they are what
//! makes room.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::clock;

/// What is watched, and at which point it is short.
pub struct Alarms {
    data_dir: PathBuf,
    memory_limit_bytes: u64,
    disk_free_limit_bytes: u64,
    raised: AtomicU8,
    /// When each was raised, in milliseconds since 1970.
    memory_since_ms: AtomicU64,
    disk_since_ms: AtomicU64,
}

/// One look at the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory of this process.
    pub memory_bytes: u64,
    /// Free space that this process may use in the data directory's file system.
    pub disk_free_bytes: u64,
}

const MEMORY: u8 = 1;
const DISK: u8 = 2;

impl Alarms {
    /// Alarms for a share of the machine's memory and an absolute amount of free disk.
    pub fn new(data_dir: &Path, memory_high_watermark: f64, disk_free_limit_bytes: u64) -> Alarms {
        let memory_limit_bytes = (total_memory_bytes() as f64 * memory_high_watermark) as u64;
        Alarms {
            data_dir: data_dir.to_owned(),
            memory_limit_bytes,
            disk_free_limit_bytes,
            raised: AtomicU8::new(0),
            memory_since_ms: AtomicU64::new(0),
            disk_since_ms: AtomicU64::new(0),
        }
    }

    /// Looks at memory and disk. Returns the new state when it changed: the reason, or `None` when all is well again.
    pub fn check(&self) -> Option<Option<&'static str>> {
        self.judge(self.usage())
    }

    /// The present use of memory and disk. What cannot be read counts as plenty.
    pub fn usage(&self) -> Usage {
        let disk_free_bytes = rustix::fs::statvfs(&self.data_dir)
            .map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        Usage { memory_bytes: resident_bytes().unwrap_or(0), disk_free_bytes }
    }

    /// The reason that publishers wait, in RabbitMQ's words.
    pub fn reason(&self) -> Option<&'static str> {
        match self.raised.load(Ordering::Relaxed) {
            0 => None,
            MEMORY => Some("low on memory"),
            DISK => Some("low on disk"),
            _ => Some("low on memory & disk"),
        }
    }

    /// True while memory is short.
    pub fn memory(&self) -> bool {
        self.raised.load(Ordering::Relaxed) & MEMORY != 0
    }

    /// True while disk is short.
    pub fn disk(&self) -> bool {
        self.raised.load(Ordering::Relaxed) & DISK != 0
    }

    /// Since when memory is short, while it is.
    pub fn memory_since_ms(&self) -> Option<u64> {
        self.memory().then(|| self.memory_since_ms.load(Ordering::Relaxed))
    }

    /// Since when disk is short, while it is.
    pub fn disk_since_ms(&self) -> Option<u64> {
        self.disk().then(|| self.disk_since_ms.load(Ordering::Relaxed))
    }

    /// Bytes of memory above which publishers wait.
    pub fn memory_limit_bytes(&self) -> u64 {
        self.memory_limit_bytes
    }

    /// Bytes of free disk below which publishers wait.
    pub fn disk_free_limit_bytes(&self) -> u64 {
        self.disk_free_limit_bytes
    }

    fn judge(&self, usage: Usage) -> Option<Option<&'static str>> {
        let memory = if usage.memory_bytes > self.memory_limit_bytes { MEMORY } else { 0 };
        let disk = if usage.disk_free_bytes < self.disk_free_limit_bytes { DISK } else { 0 };
        let now = memory | disk;
        let before = self.raised.load(Ordering::Relaxed);
        for (alarm, since_ms) in [(MEMORY, &self.memory_since_ms), (DISK, &self.disk_since_ms)] {
            if now & !before & alarm != 0 {
                since_ms.store(clock::now_ms(), Ordering::Relaxed);
            }
        }
        self.raised.store(now, Ordering::Relaxed);
        (before != now).then(|| self.reason())
    }
}

/// Resident memory of this process.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Memory that this process may use: the machine's, or its control group's when that is less.
fn total_memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    });
    let group =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.unwrap_or(u64::MAX).min(group.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_reported_once_with_its_reason() {
        let alarms = Alarms {
            data_dir: PathBuf::from("."),
            memory_limit_bytes: 100,
            disk_free_limit_bytes: 50,
            raised: AtomicU8::new(0),
            memory_since_ms: AtomicU64::new(0),
            disk_since_ms: AtomicU64::new(0),
        };
        let at = |memory_bytes, disk_free_bytes| alarms.judge(Usage { memory_bytes, disk_free_bytes });
        assert_eq!(at(100, 50), None);
        assert_eq!(at(101, 50), Some(Some("low on memory")));
        assert_eq!(at(101, 50), None);
        assert_eq!(at(101, 49), Some(Some("low on memory & disk")));
        assert!(alarms.memory_since_ms().is_some_and(|since_ms| since_ms > 0));
        assert_eq!(at(0, 49), Some(Some("low on disk")));
        assert!(alarms.memory_since_ms().is_none() && alarms.disk_since_ms().is_some());
        assert_eq!(at(0, 50), Some(None));
    }

    #[test]
    fn the_machine_can_be_looked_at() {
        let alarms = Alarms::new(Path::new("."), 0.6, 1);
        assert!(alarms.usage().memory_bytes > 0 && alarms.memory_limit_bytes() > 0);
    }
}
