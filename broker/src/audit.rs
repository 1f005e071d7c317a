//! The audit log: who changed what, and from where.
//!
//! A change is written in the same way as what it changed, so that both are durable together. The log lives in memory and
//! in the store; at its bounds the oldest entries go. What repeats itself changes nothing and is not here: a declaration of
//! what is there already, a binding that exists. Neither are queues that belong to one connection: they come and go with
//! it, many of them, and nobody else ever sees them.

use std::collections::VecDeque;

use leveret_core::record::{self, Record, RecordError};
use leveret_protocol::admin::audit::{AuditEntry, AuditPage};
use parking_lot::Mutex;

use crate::clock;
use crate::store::Store;

/// What is kept of the past.
pub struct Audit {
    store: Store,
    bounds: Bounds,
    log: Mutex<Log>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub entries: usize,
    pub age_ms: u64,
}

#[derive(Default)]
struct Log {
    /// Ids rise.
    entries: VecDeque<AuditEntry>,
    last_id: u64,
}

/// Which entries are wanted, the latest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only entries before this one.
    pub before: Option<u64>,
    pub limit: usize,
    pub user: Option<String>,
    pub kind: Option<String>,
    /// What the name contains.
    pub name: Option<String>,
    pub vhost: Option<String>,
    /// Not earlier, in milliseconds since 1970.
    pub since: Option<u64>,
}

impl Audit {
    /// An empty log.
    pub fn new(store: Store, bounds: Bounds) -> Audit {
        Audit { store, bounds, log: Mutex::default() }
    }

    /// Takes up what was written before the last stop.
    pub fn restore(&self, meta: &[(Vec<u8>, Vec<u8>)]) -> Result<(), RecordError> {
        let stored = meta.iter().filter(|(key, _)| record::is_kind(key, KIND));
        let mut entries = stored
            .map(|(key, value)| record::read_json(key, VERSION, value))
            .collect::<Result<Vec<AuditEntry>, RecordError>>()?;
        entries.sort_by_key(|entry| entry.id);
        let mut log = self.log.lock();
        log.last_id = entries.last().map_or(0, |entry| entry.id);
        log.entries = entries.into();
        Ok(())
    }

    /// Writes an entry down; its id and time are set here.
    pub fn note(&self, entry: AuditEntry) {
        let now_ms = clock::now_ms();
        let mut log = self.log.lock();
        log.last_id += 1;
        let entry = AuditEntry { id: log.last_id, at: now_ms, ..entry };
        let mut records = vec![Record::put_json(key(entry.id), VERSION, &entry)];
        log.entries.push_back(entry);
        let oldest = now_ms.saturating_sub(self.bounds.age_ms);
        // A few at a time: a log that was long is not shortened at the cost of one change.
        for _ in 0..REMOVED_AT_ONCE {
            let too_many = log.entries.len() > self.bounds.entries;
            let Some(first) = log.entries.front().filter(|first| too_many || first.at < oldest) else {
                break;
            };
            records.push(Record::remove(key(first.id)));
            log.entries.pop_front();
        }
        // Given to the store under the lock, so that entries are written in their order.
        self.store.write_meta(records);
    }

    /// The entries asked for.
    pub fn find(&self, query: &AuditQuery) -> AuditPage {
        let log = self.log.lock();
        let limit = query.limit.clamp(1, PAGE_MAX);
        let mut page = AuditPage::default();
        let name = query.name.as_ref().map(|name| name.to_lowercase());
        let from = query.before.unwrap_or(u64::MAX);
        for entry in log.entries.iter().rev().skip_while(|entry| entry.id >= from) {
            if query.since.is_some_and(|since| entry.at < since) {
                break;
            }
            let is =
                |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
            let fits = is(&query.user, &entry.user)
                && is(&query.kind, &entry.kind)
                && query.vhost.as_ref().is_none_or(|vhost| entry.vhost.as_ref() == Some(vhost))
                && name.as_ref().is_none_or(|name| entry.name.to_lowercase().contains(name));
            if !fits {
                continue;
            }
            if page.items.len() == limit {
                page.next = page.items.last().map(|last| last.id.to_string());
                break;
            }
            page.items.push(entry.clone());
        }
        page
    }
}

fn key(id: u64) -> Vec<u8> {
    let mut key = record::key(KIND, &[]);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

const KIND: &str = "audit";
const VERSION: u8 = 1;
/// Old entries that go with a new one at most.
const REMOVED_AT_ONCE: usize = 64;
/// Entries in one answer.
const PAGE_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{StoreOptions, SyncMode};

    fn store(directory: &tempfile::TempDir) -> (Store, crate::store::Recovered) {
        let options = StoreOptions { sync: SyncMode::Never, ..StoreOptions::new(directory.path()) };
        Store::open(options).expect("opens")
    }

    fn change(user: &str, kind: &str, name: &str) -> AuditEntry {
        AuditEntry {
            user: user.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..AuditEntry::default()
        }
    }

    #[test]
    fn the_log_is_searched_bounded_and_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let bounds = Bounds { entries: 5, age_ms: u64::MAX };
        let (opened, _) = store(&directory);
        let audit = Audit::new(opened.clone(), bounds);
        for at in 0..8 {
            let (user, kind) = if at % 2 == 0 { ("anna", "queue") } else { ("otto", "exchange") };
            audit.note(change(user, kind, &format!("Name{at}")));
        }
        let ids = |audit: &Audit, query: &AuditQuery| -> Vec<u64> {
            audit.find(query).items.iter().map(|entry| entry.id).collect()
        };
        let all = AuditQuery { limit: 100, ..AuditQuery::default() };
        assert_eq!(ids(&audit, &all), [8, 7, 6, 5, 4]);
        let anna = AuditQuery { user: Some("anna".to_owned()), ..all.clone() };
        assert_eq!(ids(&audit, &anna), [7, 5]);
        let queues =
            AuditQuery { kind: Some("exchange".to_owned()), name: Some("name7".to_owned()), ..all.clone() };
        assert_eq!(ids(&audit, &queues), [8]);
        let page = audit.find(&AuditQuery { limit: 2, ..all.clone() });
        assert_eq!(page.next.as_deref(), Some("7"));
        assert_eq!(ids(&audit, &AuditQuery { limit: 3, before: Some(7), ..all.clone() }), [6, 5, 4]);
        assert_eq!(ids(&audit, &AuditQuery { since: Some(u64::MAX), ..all.clone() }), Vec::<u64>::new());
        opened.close().expect("closes");
        drop(audit);

        let (opened, recovered) = store(&directory);
        let audit = Audit::new(opened.clone(), bounds);
        audit.restore(&recovered.meta).expect("readable");
        assert_eq!(ids(&audit, &all), [8, 7, 6, 5, 4]);
        audit.note(change("anna", "queue", "next"));
        assert_eq!(ids(&audit, &all), [9, 8, 7, 6, 5]);
        opened.close().expect("closes");
    }
}
