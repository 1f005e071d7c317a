//! Counters of the whole broker: plain adds on the hot path, read by the admin API.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

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
    /// Messages that an exchange dropped because they had come before.
    pub deduplicated: AtomicU64,
    /// Copies that reached a queue.
    pub routed: AtomicU64,
    /// Messages that matched no queue.
    pub unroutable: AtomicU64,
    /// Those of them that were sent back to their publishers.
    pub returned: AtomicU64,
    pub get_empty: AtomicU64,
    pub logins: AtomicU64,
    pub logins_failed: AtomicU64,
    /// Those of them over the admin API.
    pub http_logins: AtomicU64,
    pub http_logins_failed: AtomicU64,
    /// How far they had been counted when an operator last began anew.
    pub logins_forgotten: Mutex<Logins>,
    /// What happened on queues that were deleted: totals of the broker never fall.
    pub deleted_queues: Mutex<Counters>,
}

/// Logins by AMQP and by HTTP: those that succeeded, those that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logins {
    pub amqp: (u64, u64),
    pub http: (u64, u64),
}

impl Metrics {
    /// Logins since start, or since they were last forgotten.
    pub fn logins(&self) -> Logins {
        let (now, before) = (self.all_logins(), *self.logins_forgotten.lock());
        let since = |now: (u64, u64), before: (u64, u64)| {
            (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
        };
        Logins { amqp: since(now.amqp, before.amqp), http: since(now.http, before.http) }
    }

    /// Counts logins from zero again, for [`Metrics::logins`] alone.
    pub fn forget_logins(&self) {
        *self.logins_forgotten.lock() = self.all_logins();
    }

    fn all_logins(&self) -> Logins {
        let http = (self.http_logins.load(Relaxed), self.http_logins_failed.load(Relaxed));
        let all = (self.logins.load(Relaxed), self.logins_failed.load(Relaxed));
        Logins { amqp: (all.0.saturating_sub(http.0), all.1.saturating_sub(http.1)), http }
    }
}
