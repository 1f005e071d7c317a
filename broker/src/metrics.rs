//! Counters of the whole broker: plain adds on the hot path, read by the admin API.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::HashMap;
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
    /// Logins by where they came from.
    pub login_sources: Mutex<LoginSources>,
    /// What happened on queues that were deleted: totals of the broker never fall.
    pub deleted_queues: Mutex<Counters>,
}

/// Logins by AMQP and by HTTP: those that succeeded, those that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logins {
    pub amqp: (u64, u64),
    pub http: (u64, u64),
}

/// Where a login comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoginSource {
    pub address: IpAddr,
    pub user: String,
    /// `amqp091` or `http`.
    pub protocol: &'static str,
}

impl LoginSource {
    /// A source; of a name that is too long to be a user's, the beginning.
    pub fn new(address: IpAddr, user: &str, protocol: &'static str) -> LoginSource {
        LoginSource { address, user: user.chars().take(USER_CHARS_MAX).collect(), protocol }
    }
}

/// Logins by source: as many sources as there is room for, those forgotten first that were not heard of for longest.
#[derive(Debug, Default)]
pub struct LoginSources {
    attempts: u64,
    sources: HashMap<LoginSource, Attempts>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    succeeded: u64,
    failed: u64,
    /// The number of the latest attempt, which rises.
    latest: u64,
}

impl LoginSources {
    /// Counts a login.
    pub fn note(&mut self, source: LoginSource, succeeded: bool) {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            let oldest = self.sources.iter().min_by_key(|(_, attempts)| attempts.latest);
            if let Some(oldest) = oldest.map(|(source, _)| source.clone()) {
                self.sources.remove(&oldest);
            }
        }
        self.attempts += 1;
        let attempts = self.sources.entry(source).or_default();
        attempts.latest = self.attempts;
        attempts.succeeded += u64::from(succeeded);
        attempts.failed += u64::from(!succeeded);
    }

    /// Sources with the logins that succeeded and that failed; the latest first.
    pub fn list(&self) -> Vec<(LoginSource, (u64, u64))> {
        let mut sources: Vec<_> = self.sources.iter().collect();
        sources.sort_by_key(|(_, attempts)| std::cmp::Reverse(attempts.latest));
        let counts = |attempts: &Attempts| (attempts.succeeded, attempts.failed);
        sources.into_iter().map(|(source, attempts)| (source.clone(), counts(attempts))).collect()
    }
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

    /// Counts logins from zero again, for [`Metrics::logins`] and by source.
    pub fn forget_logins(&self) {
        *self.logins_forgotten.lock() = self.all_logins();
        self.login_sources.lock().sources.clear();
    }

    fn all_logins(&self) -> Logins {
        let http = (self.http_logins.load(Relaxed), self.http_logins_failed.load(Relaxed));
        let all = (self.logins.load(Relaxed), self.logins_failed.load(Relaxed));
        Logins { amqp: (all.0.saturating_sub(http.0), all.1.saturating_sub(http.1)), http }
    }
}

/// Sources that are kept: guessing names makes as many as one likes.
const SOURCES_MAX: usize = 1000;
const USER_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn sources_that_were_silent_for_longest_are_forgotten() {
        let mut sources = LoginSources::default();
        let source = |number: usize| LoginSource {
            address: Ipv4Addr::LOCALHOST.into(),
            user: format!("u{number}"),
            protocol: "http",
        };
        for number in 0..SOURCES_MAX {
            sources.note(source(number), true);
        }
        sources.note(source(0), false);
        sources.note(source(SOURCES_MAX), false);
        let list = sources.list();
        assert_eq!(list.len(), SOURCES_MAX);
        assert_eq!(list[0], (source(SOURCES_MAX), (0, 1)));
        assert_eq!(list[1], (source(0), (1, 1)));
        assert!(!list.iter().any(|(known, _)| *known == source(1)));
    }
}
