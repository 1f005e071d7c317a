//! What exchanges remember of messages: the latest ones (`x-recent-history`), and which they have seen
//! (`x-message-deduplication`).
//!
//! Most exchanges remember nothing and have no entry here; a route across one that does is never cached
//! ([`RouteScratch::is_remembered`]). Both memories are used while the vhost's topology is locked, for reading by
//! publishers and for writing by who binds: a queue that is bound gets each message either from the history or by its
//! route, and in order.
//!
//! A message is noted as seen when it is routed, and kept once it is in its queues; only then is its digest given to the
//! store. Lock order: a vhost's topology, then one of these.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::deduplication::{Digest, Sighting, Window, exchange_record_prefix};
use leveret_core::message::Message;
use leveret_core::record::Record;
use leveret_core::session::host::Ticket;
use leveret_core::vhost::{ExchangeDefinition, ExchangeOptions, RouteScratch, Topology, without_bcc};
use parking_lot::{Mutex, RwLock};

use crate::clock;
use crate::queue_host::QueueCell;
use crate::store::Store;

/// The exchanges of a vhost that remember messages, by name.
#[derive(Default)]
pub struct ExchangeMemories {
    by_name: RwLock<HashMap<String, Arc<ExchangeMemory>>>,
}

/// What one exchange remembers.
pub struct ExchangeMemory {
    history: Option<Mutex<History>>,
    /// Absent while the exchange does not deduplicate, which a policy can change.
    seen: Mutex<Option<Window>>,
    /// Digests outlive a restart.
    durable: bool,
}

/// Whether a message goes on from the exchange that it was published to.
pub enum Verdict {
    /// It does.
    New,
    /// It does, and is remembered: tell with [`settle`] what became of it.
    Noted(Arc<ExchangeMemory>, Digest),
    /// One like it came before.
    Duplicate(Arc<ExchangeMemory>, Digest, Sighting),
}

/// A message that was published and not yet settled with the memory of its exchange.
pub struct Noted {
    pub memory: Arc<ExchangeMemory>,
    pub digest: Digest,
    pub channel: u16,
    /// Its number in confirm mode, 0 when nobody waits for a confirm.
    pub sequence: u64,
    pub persistent: bool,
    /// It is a duplicate of one that was still on its way to its queues.
    pub is_duplicate: bool,
}

struct History {
    messages: VecDeque<Message>,
    length: usize,
    bytes: usize,
}

impl ExchangeMemories {
    /// Makes room for what an exchange is to remember, if anything. `records` are those of its vhost, by rising keys.
    pub fn add(
        &self,
        vhost: &str,
        definition: &ExchangeDefinition,
        options: &ExchangeOptions,
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> anyhow::Result<()> {
        let history = options
            .history_length
            .map(|length| Mutex::new(History { messages: VecDeque::new(), length, bytes: 0 }));
        let seen = match options.deduplication.rule() {
            None => None,
            Some(rule) => {
                let mut window = Window::new(rule, exchange_record_prefix(vhost, &definition.name));
                restore_window(&mut window, records)?;
                Some(window)
            }
        };
        if history.is_some() || seen.is_some() {
            let memory = ExchangeMemory { history, seen: Mutex::new(seen), durable: definition.durable };
            self.by_name.write().insert(definition.name.clone(), Arc::new(memory));
        }
        Ok(())
    }

    /// Has exchanges deduplicate as their options say now; returns what goes of their records. The topology is locked for
    /// writing.
    pub fn refresh(&self, topology: &Topology<Arc<QueueCell>>) -> Vec<Record> {
        let mut records = Vec::new();
        for definition in topology.exchanges() {
            let Some(options) = topology.exchange_options(&definition.name) else { continue };
            let rule = options.deduplication.rule();
            match (self.memory(&definition.name), rule) {
                (Some(memory), rule) => {
                    let mut seen = memory.seen.lock();
                    match (&mut *seen, rule) {
                        (Some(seen), Some(rule)) => {
                            seen.set_rule(rule);
                            records.extend(seen.take_records());
                        }
                        (Some(window), None) => {
                            records.extend(window.close());
                            *seen = None;
                        }
                        (None, Some(rule)) => {
                            let prefix = exchange_record_prefix(topology.vhost(), &definition.name);
                            *seen = Some(Window::new(rule, prefix));
                        }
                        (None, None) => {}
                    }
                }
                (None, Some(rule)) => {
                    let prefix = exchange_record_prefix(topology.vhost(), &definition.name);
                    let seen = Mutex::new(Some(Window::new(rule, prefix)));
                    let memory = ExchangeMemory { history: None, seen, durable: definition.durable };
                    self.by_name.write().insert(definition.name.clone(), Arc::new(memory));
                }
                (None, None) => {}
            }
        }
        records
    }

    /// Forgets an exchange; returns what removes its records.
    pub fn remove(&self, exchange: &str) -> Vec<Record> {
        let memory = self.by_name.write().remove(exchange);
        memory.map_or_else(Vec::new, |memory| memory.close())
    }

    /// Forgets all exchanges; returns what removes their records.
    pub fn remove_all(&self) -> Vec<Record> {
        self.by_name.write().drain().flat_map(|(_, memory)| memory.close()).collect()
    }

    /// Has the exchanges on the way of a message that was just routed remember it. The message was published by a
    /// client; `is_routed` when a queue gets it.
    pub fn publish(
        &self,
        topology: &Topology<Arc<QueueCell>>,
        scratch: &RouteScratch,
        message: &Message,
        is_routed: bool,
    ) -> Verdict {
        let mut verdict = Verdict::New;
        let first = topology.remembering(scratch).next().filter(|first| first.name == message.exchange());
        if is_routed
            && let Some(memory) = first.and_then(|first| self.memory(&first.name))
            && let Some((digest, sighting)) = memory.look(message)
        {
            if let Some(sighting) = sighting {
                return Verdict::Duplicate(memory, digest, sighting);
            }
            verdict = Verdict::Noted(memory, digest);
        }
        self.remember(topology, scratch, message);
        verdict
    }

    /// Adds a message that was just routed to the histories of the exchanges on its way.
    pub fn remember(&self, topology: &Topology<Arc<QueueCell>>, scratch: &RouteScratch, message: &Message) {
        let headers = message.properties().headers();
        let not_stored = headers.and_then(|headers| headers.get(NO_STORE)?.as_bool()) == Some(true);
        if not_stored {
            return;
        }
        for exchange in topology.remembering(scratch) {
            if let Some(memory) = self.memory(&exchange.name)
                && let Some(history) = &memory.history
            {
                history.lock().push(without_bcc(message.clone()));
            }
        }
    }

    /// The latest messages of an exchange, oldest first.
    pub fn history(&self, exchange: &str) -> Vec<Message> {
        let memory = self.memory(exchange);
        let history = memory.as_ref().and_then(|memory| memory.history.as_ref());
        history.map_or_else(Vec::new, |history| history.lock().messages.iter().cloned().collect())
    }

    fn memory(&self, exchange: &str) -> Option<Arc<ExchangeMemory>> {
        self.by_name.read().get(exchange).cloned()
    }
}

impl ExchangeMemory {
    fn close(&self) -> Vec<Record> {
        self.seen.lock().take().map_or_else(Vec::new, |mut seen| seen.close())
    }

    /// What a message calls itself, when it says, and what is known of an earlier one; a new one is noted.
    fn look(&self, message: &Message) -> Option<(Digest, Option<Sighting>)> {
        let mut seen = self.seen.lock();
        let seen = seen.as_mut()?;
        let digest = seen.rule().digest(message.properties())?;
        let now_ms = clock::now_ms();
        let sighting = seen.look(now_ms, &digest);
        if sighting.is_none() {
            seen.note(now_ms, digest);
        }
        Some((digest, sighting))
    }
}

/// Tells the memories what became of the messages that were noted: those that a queue refused (`rejected`) are forgotten,
/// the others are kept. `after` is when all of them are safe in their queues; returns when their digests are too.
#[cold]
pub fn settle(
    noted: &mut Vec<Noted>,
    store: &Store,
    after: Ticket,
    rejected: &mut Vec<(u16, u64)>,
) -> Ticket {
    let mut latest = after;
    let (duplicates, originals): (Vec<Noted>, Vec<Noted>) =
        noted.drain(..).partition(|noted| noted.is_duplicate);
    for run in originals.chunk_by(|a, b| Arc::ptr_eq(&a.memory, &b.memory)) {
        let memory = &run[0].memory;
        let mut seen = memory.seen.lock();
        let Some(seen) = seen.as_mut() else { continue };
        for noted in run {
            if noted.sequence > 0 && rejected.contains(&(noted.channel, noted.sequence)) {
                seen.forget(&noted.digest);
            } else {
                seen.keep(&noted.digest, memory.durable && noted.persistent);
            }
        }
        // Given to the store under the lock, so that records keep the order of their numbers.
        let records = seen.take_records();
        let ticket = if records.is_empty() { after } else { store.write_meta(records).max(after) };
        for noted in run {
            seen.safe_after(&noted.digest, ticket);
        }
        latest = latest.max(ticket);
    }
    for noted in duplicates {
        let mut seen = noted.memory.seen.lock();
        let sighting = seen.as_mut().and_then(|seen| seen.look(clock::now_ms(), &noted.digest));
        drop(seen);
        match sighting {
            Some(Sighting::Safe(ticket)) => latest = latest.max(ticket),
            // Nobody can say yet that the first one is safe, or it was refused: the publisher may try again.
            Some(Sighting::InFlight) | None if noted.sequence > 0 => {
                rejected.push((noted.channel, noted.sequence));
            }
            Some(Sighting::InFlight) | None => {}
        }
    }
    latest
}

/// Gives a window back what the store has of it. `records` are sorted by key.
pub fn restore_window(window: &mut Window, records: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
    let prefix = window.record_prefix().to_vec();
    let from = records.partition_point(|(key, _)| *key < prefix);
    let now_ms = clock::now_ms();
    for (key, value) in records[from..].iter().take_while(|(key, _)| key.starts_with(&prefix)) {
        window.restore(now_ms, key, value)?;
    }
    Ok(())
}

impl History {
    /// Adds a message; as many of the oldest go as are above the number or the bytes that are kept.
    fn push(&mut self, message: Message) {
        self.bytes += message.memory_bytes();
        self.messages.push_back(message);
        while self.messages.len() > self.length || (self.bytes > HISTORY_BYTES_MAX && self.messages.len() > 1)
        {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.memory_bytes();
        }
    }
}

/// A message with this header set goes into no history.
const NO_STORE: &str = "x-recent-history-no-store";
/// What one history may hold in memory, apart from its latest message.
const HISTORY_BYTES_MAX: usize = 64 << 20;
