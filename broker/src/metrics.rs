//! Counters of the whole broker: plain adds on the hot path, read by the admin API.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::queue_host::Counters;

/// What happened since the broker started.
#[derive(Debug, Default)]
pub struct Metrics {
    pub bytes_read: AtomicU64,
    pub bytes_written: AtomicU64,
    pub connections_opened: AtomicU64,
    pub connections_closed: AtomicU64,
    pub channels_opened: AtomicU64,
    pub channels_closed: AtomicU64,
    pub queues_declared: AtomicU64,
    pub queues_created: AtomicU64,
    pub queues_deleted: AtomicU64,
    /// Messages published.
    pub published: AtomicU64,
    /// Those of them published in confirm mode.
    pub published_confirm: AtomicU64,
    /// The most that was ever seen to be confirmed: see `admin::state`.
    pub confirmed: AtomicU64,
    /// Copies that reached a queue.
    pub routed: AtomicU64,
    /// Messages that matched no queue.
    pub unroutable: AtomicU64,
    /// Those of them that were sent back to their publishers.
    pub returned: AtomicU64,
    pub get_empty: AtomicU64,
    pub logins: AtomicU64,
    pub logins_failed: AtomicU64,
    /// What happened on queues that were deleted: totals of the broker never fall.
    pub deleted_queues: Mutex<Counters>,
}
