//! Deduplication: which messages a queue or an exchange has seen lately.
//!
//! A message names itself by a header or its message-id. Of each name a [`Window`] keeps a digest for a time, and only
//! so many of them: a message whose digest is there is a duplicate. Messages that name nothing are never duplicates.
//!
//! ```text
//!            look          note           keep or forget         take_records
//! message ─▶ duplicate?  ─▶ in flight  ─▶ it is in its queues  ─▶ written behind the message, never before it
//! ```
//!
//! What outlives a restart are records of digests. They are handed to the store after the messages they stand for: a
//! crash may forget a digest together with its message, but never keep a digest whose message is lost, which would turn
//! the publisher's next attempt away.

use std::borrow::Cow;
use std::collections::VecDeque;

use hashbrown::HashMap;
use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::{Table, Value};
use sha2::{Digest as _, Sha256};

use crate::exchange::write_value;
use crate::queue::arguments::DURATION_MS_MAX;
use crate::record::{self, Record, RecordError, damaged};
use crate::session::host::Ticket;

/// What arguments or a policy say of deduplication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeduplicationOptions {
    pub enabled: Option<bool>,
    pub key: Option<DeduplicationKey>,
    /// At least 1.
    pub window_ms: Option<u64>,
    /// At least 1, at most [`SIZE_MAX`].
    pub size: Option<u64>,
}

/// Where a message says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeduplicationKey {
    Header(String),
    MessageId,
}

/// Deduplication that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub key: DeduplicationKey,
    /// How long a message is remembered.
    pub window_ms: u64,
    /// How many are.
    pub size: usize,
}

/// Stands for the name that a message gave itself.
pub type Digest = [u8; DIGEST_BYTES];

impl DeduplicationOptions {
    /// Reads one argument. The error is the reason in RabbitMQ's notation; `false` when it is none of ours.
    pub fn read(&mut self, name: &str, value: &Value) -> Result<bool, Cow<'static, str>> {
        match name {
            "x-message-deduplication" => {
                self.enabled = Some(value.as_bool().ok_or_else(|| unacceptable_type(value))?);
            }
            "x-deduplication-key" => {
                let name = value.as_str().ok_or_else(|| unacceptable_type(value))?;
                self.key = Some(match name {
                    "message-id" => DeduplicationKey::MessageId,
                    "" => return Err("\"expected 'message-id' or the name of a header\"".into()),
                    header => DeduplicationKey::Header(header.to_owned()),
                });
            }
            "x-deduplication-window" => self.window_ms = Some(within(value, DURATION_MS_MAX)?),
            "x-deduplication-size" => self.size = Some(within(value, SIZE_MAX)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads all of them; the error is the name of an argument and what is wrong with it.
    pub fn parse(arguments: &Table) -> Result<DeduplicationOptions, (&'static str, Cow<'static, str>)> {
        let mut options = DeduplicationOptions::default();
        for name in ARGUMENTS {
            if let Some(value) = arguments.get(name) {
                options.read(name, value).map_err(|reason| (name, reason))?;
            }
        }
        Ok(options)
    }

    /// What is to be done; `None` for nothing.
    pub fn rule(&self) -> Option<Rule> {
        (self.enabled == Some(true)).then(|| Rule {
            key: self.key.clone().unwrap_or_else(|| DeduplicationKey::Header(DEFAULT_HEADER.to_owned())),
            window_ms: self.window_ms.unwrap_or(DEFAULT_WINDOW_MS),
            size: usize::try_from(self.size.unwrap_or(DEFAULT_SIZE)).unwrap_or(usize::MAX),
        })
    }
}

impl Rule {
    /// The digest of what a message calls itself.
    pub fn digest(&self, properties: PropertiesView<'_>) -> Option<Digest> {
        let mut hash = Sha256::new();
        match &self.key {
            DeduplicationKey::MessageId => hash.update(properties.message_id()?.as_bytes()),
            DeduplicationKey::Header(name) => {
                write_value(properties.headers()?.get(name)?, &mut |bytes| hash.update(bytes));
            }
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hash.finalize()[..DIGEST_BYTES]);
        Some(digest)
    }
}

/// What is known of a message that came again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// The first one is on its way to its queues.
    InFlight,
    /// The first one is safe once this is durable.
    Safe(Ticket),
}

/// The digests of one queue or exchange.
#[derive(Debug)]
pub struct Window {
    rule: Rule,
    /// What the keys of its records begin with.
    record_prefix: Vec<u8>,
    /// By digest, the number of the sighting.
    numbers: HashMap<Digest, u64>,
    /// In the order in which they came; the first has number `base`.
    sightings: VecDeque<Seen>,
    base: u64,
    /// Digests for the next record.
    unwritten: Vec<(u64, Digest)>,
    next_record: u64,
    /// How many sightings of each record are remembered.
    records: HashMap<u64, u32>,
    /// Records that hold nothing any more.
    obsolete: Vec<u64>,
    is_closed: bool,
}

#[derive(Debug)]
struct Seen {
    digest: Digest,
    at_ms: u64,
    sighting: Sighting,
    /// 0 when it is in no record.
    record: u64,
}

impl Window {
    /// An empty window, whose records have keys that begin with `record_prefix`.
    pub fn new(rule: Rule, record_prefix: Vec<u8>) -> Window {
        Window {
            rule,
            record_prefix,
            numbers: HashMap::new(),
            sightings: VecDeque::new(),
            base: 0,
            unwritten: Vec::new(),
            next_record: 1,
            records: HashMap::new(),
            obsolete: Vec::new(),
            is_closed: false,
        }
    }

    /// What the keys of its records begin with.
    pub fn record_prefix(&self) -> &[u8] {
        &self.record_prefix
    }

    /// Takes back one of its records after a restart. Records come by rising keys.
    pub fn restore(&mut self, now_ms: u64, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let number = key.strip_prefix(self.record_prefix.as_slice()).and_then(|rest| rest.try_into().ok());
        let Some(number) = number.map(u64::from_be_bytes).filter(|number| *number > 0) else {
            return Err(damaged(key, "it has no number"));
        };
        let sightings = match value.split_first() {
            Some((&VERSION, sightings)) if sightings.len() % SIGHTING_BYTES == 0 => sightings,
            Some((&VERSION, _)) | None => return Err(damaged(key, "it has no end")),
            Some((&version, _)) => {
                let key = key.escape_ascii().to_string();
                return Err(RecordError::UnknownVersion { key, version });
            }
        };
        self.next_record = self.next_record.max(number + 1);
        self.records.insert(number, 0);
        for sighting in sightings.chunks_exact(SIGHTING_BYTES) {
            let (at_ms, digest) = sighting.split_at(8);
            let (Ok(at_ms), Ok(digest)) = (at_ms.try_into(), Digest::try_from(digest)) else { continue };
            let at_ms = u64::from_be_bytes(at_ms);
            if at_ms.saturating_add(self.rule.window_ms) > now_ms && !self.numbers.contains_key(&digest) {
                self.insert(digest, at_ms, Sighting::Safe(Ticket(0)), number);
            }
        }
        if self.records.get(&number) == Some(&0) {
            self.records.remove(&number);
            self.obsolete.push(number);
        }
        self.evict(now_ms);
        Ok(())
    }

    /// How duplicates are told.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Goes on under another rule. What was seen under another key means nothing then.
    pub fn set_rule(&mut self, rule: Rule) {
        if rule.key != self.rule.key {
            self.clear();
        }
        self.rule = rule;
    }

    /// What is known of an earlier message with this digest; `None` when the message is new.
    pub fn look(&mut self, now_ms: u64, digest: &Digest) -> Option<Sighting> {
        self.evict(now_ms);
        let number = *self.numbers.get(digest)?;
        Some(self.sightings.get(usize::try_from(number - self.base).ok()?)?.sighting)
    }

    /// Remembers a new message, which is on its way to its queues.
    pub fn note(&mut self, now_ms: u64, digest: Digest) {
        self.insert(digest, now_ms, Sighting::InFlight, 0);
        self.evict(now_ms);
    }

    /// The message has arrived; `stored` when it outlives a restart, and so must its digest.
    pub fn keep(&mut self, digest: &Digest, stored: bool) {
        let record = self.next_record;
        let Some(seen) = self.seen_mut(digest) else { return };
        seen.sighting = Sighting::Safe(Ticket(0));
        if stored {
            seen.record = record;
            let unwritten = (seen.at_ms, *digest);
            self.unwritten.push(unwritten);
            *self.records.entry(record).or_default() += 1;
        }
    }

    /// The message and its digest are safe once `ticket` is durable.
    pub fn safe_after(&mut self, digest: &Digest, ticket: Ticket) {
        if let Some(seen) = self.seen_mut(digest) {
            seen.sighting = Sighting::Safe(ticket);
        }
    }

    /// The message was refused: the next one with this digest is new.
    pub fn forget(&mut self, digest: &Digest) {
        self.numbers.remove(digest);
    }

    /// What the store has to write for what was kept and what was given up since the last call. It belongs behind the
    /// messages that were kept.
    pub fn take_records(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        if self.is_closed {
            return records;
        }
        if !self.unwritten.is_empty() {
            let mut value = Vec::with_capacity(1 + self.unwritten.len() * SIGHTING_BYTES);
            value.push(VERSION);
            for (at_ms, digest) in self.unwritten.drain(..) {
                value.extend_from_slice(&at_ms.to_be_bytes());
                value.extend_from_slice(&digest);
            }
            records.push(Record::put(self.record_key(self.next_record), value));
            self.next_record += 1;
        }
        let obsolete = std::mem::take(&mut self.obsolete);
        records.extend(obsolete.into_iter().map(|number| Record::remove(self.record_key(number))));
        records
    }

    /// Removes all its records, and writes none any more.
    pub fn close(&mut self) -> Vec<Record> {
        self.clear();
        let records = self.take_records();
        self.is_closed = true;
        records
    }

    /// How many messages are remembered.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.base += self.sightings.len() as u64;
        self.sightings.clear();
        if !self.unwritten.is_empty() {
            self.unwritten.clear();
            self.records.remove(&self.next_record);
        }
        self.obsolete.extend(self.records.drain().map(|(number, _)| number));
        // The order of a hash map must not show.
        self.obsolete.sort_unstable();
    }

    fn insert(&mut self, digest: Digest, at_ms: u64, sighting: Sighting, record: u64) {
        let number = self.base + self.sightings.len() as u64;
        self.numbers.insert(digest, number);
        self.sightings.push_back(Seen { digest, at_ms, sighting, record });
        if record > 0 {
            *self.records.entry(record).or_default() += 1;
        }
    }

    fn seen_mut(&mut self, digest: &Digest) -> Option<&mut Seen> {
        let number = *self.numbers.get(digest)?;
        self.sightings.get_mut(usize::try_from(number - self.base).ok()?)
    }

    /// Gives up what is too old or too much.
    fn evict(&mut self, now_ms: u64) {
        while let Some(first) = self.sightings.front() {
            let is_over = first.at_ms.saturating_add(self.rule.window_ms) <= now_ms;
            if !is_over && self.sightings.len() <= self.rule.size {
                return;
            }
            let number = self.base;
            self.base += 1;
            let Some(Seen { digest, record, .. }) = self.sightings.pop_front() else { return };
            if self.numbers.get(&digest) == Some(&number) {
                self.numbers.remove(&digest);
            }
            if let Some(live) = self.records.get_mut(&record) {
                *live -= 1;
                // What waits to be written is written first, and removed some other time.
                if *live == 0 {
                    self.records.remove(&record);
                    self.obsolete.push(record);
                }
            }
        }
    }

    fn record_key(&self, number: u64) -> Vec<u8> {
        [self.record_prefix.as_slice(), &number.to_be_bytes()].concat()
    }
}

/// What the keys of an exchange's records begin with.
pub fn exchange_record_prefix(vhost: &str, exchange: &str) -> Vec<u8> {
    record::key(KIND, &[vhost, "exchange", exchange])
}

/// What the keys of a queue's records begin with.
pub fn queue_record_prefix(vhost: &str, queue: &str, uid: u64) -> Vec<u8> {
    let mut prefix = record::key(KIND, &[vhost, "queue", queue]);
    prefix.extend_from_slice(&uid.to_be_bytes());
    prefix
}

/// True for the key of a window's record.
pub fn is_record(key: &[u8]) -> bool {
    record::is_kind(key, KIND)
}

fn within(value: &Value, max: u64) -> Result<u64, Cow<'static, str>> {
    let number = value.as_i64().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()))?;
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}").into()),
        Ok(0) => Err("{value_zero,0}".into()),
        Ok(number) if number > max => Err(format!("{{value_too_large,{number}}}").into()),
        Ok(number) => Ok(number),
    }
}

fn unacceptable_type(value: &Value) -> Cow<'static, str> {
    format!("{{unacceptable_type,{}}}", value.type_name()).into()
}

/// The arguments of queues and exchanges that are read here.
pub const ARGUMENTS: [&str; 4] =
    ["x-message-deduplication", "x-deduplication-key", "x-deduplication-window", "x-deduplication-size"];

/// Digests so long do not meet by chance, nor can anybody make two that do.
const DIGEST_BYTES: usize = 16;
/// A sighting in a record: when, and the digest.
const SIGHTING_BYTES: usize = 8 + DIGEST_BYTES;
const KIND: &str = "seen";
const VERSION: u8 = 1;
const DEFAULT_HEADER: &str = "x-deduplication-header";
/// An hour.
const DEFAULT_WINDOW_MS: u64 = 3_600_000;
const DEFAULT_SIZE: u64 = 100_000;
/// What one window may be asked to remember: some 100 MB.
pub const SIZE_MAX: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leveret_protocol::properties::Properties;

    use super::*;

    fn rule(window_ms: u64, size: usize) -> Rule {
        Rule { key: DeduplicationKey::MessageId, window_ms, size }
    }

    fn digest(name: &str) -> Digest {
        let mut raw = Vec::new();
        Properties { message_id: Some(name.to_owned()), ..Properties::default() }.encode(&mut raw);
        rule(1, 1).digest(PropertiesView::validate(&raw).unwrap()).unwrap()
    }

    /// A window and what its store holds.
    struct Rig {
        window: Window,
        stored: BTreeMap<Vec<u8>, Vec<u8>>,
    }

    impl Rig {
        fn new(window_ms: u64, size: usize) -> Rig {
            let window = Window::new(rule(window_ms, size), exchange_record_prefix("/", "x"));
            Rig { window, stored: BTreeMap::new() }
        }

        /// True when the message is new; it arrives at once.
        fn publish(&mut self, now_ms: u64, name: &str) -> bool {
            let digest = digest(name);
            if self.window.look(now_ms, &digest).is_some() {
                return false;
            }
            self.window.note(now_ms, digest);
            self.window.keep(&digest, true);
            self.write();
            true
        }

        fn write(&mut self) {
            for record in self.window.take_records() {
                match record.value {
                    Some(value) => assert!(self.stored.insert(record.key, value).is_none()),
                    None => assert!(self.stored.remove(&record.key).is_some(), "removed twice"),
                }
            }
        }

        fn restart(&mut self, now_ms: u64) {
            let Rule { window_ms, size, .. } = *self.window.rule();
            self.window = Rig::new(window_ms, size).window;
            for (key, value) in self.stored.clone() {
                self.window.restore(now_ms, &key, &value).unwrap();
            }
            self.write();
        }
    }

    #[test]
    fn what_was_seen_is_a_duplicate_until_its_time_is_over() {
        let mut rig = Rig::new(100, 10);
        assert!(rig.publish(0, "a"));
        assert!(!rig.publish(99, "a"), "the window begins with the first one");
        assert!(rig.publish(99, "b"));
        assert!(rig.publish(100, "a"));
        assert!(!rig.publish(198, "b"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut rig = Rig::new(1_000, 2);
        assert!(rig.publish(0, "a") && rig.publish(0, "b") && rig.publish(0, "c"));
        assert!(!rig.publish(0, "b") && !rig.publish(0, "c"));
        assert!(rig.publish(0, "a"));
        assert_eq!((rig.window.len(), rig.stored.len()), (2, 2));
    }

    #[test]
    fn what_was_kept_is_known_after_a_restart() {
        let mut rig = Rig::new(100, 10);
        assert!(rig.publish(0, "a") && rig.publish(50, "b"));
        rig.restart(60);
        assert!(!rig.publish(60, "a") && !rig.publish(60, "b") && rig.publish(60, "c"));
        rig.restart(120);
        assert_eq!(rig.stored.len(), 2, "the record of what is over went");
        assert!(rig.publish(120, "a") && !rig.publish(120, "b") && !rig.publish(120, "c"));
    }

    #[test]
    fn records_go_with_the_last_of_what_they_hold() {
        let mut rig = Rig::new(100, 10);
        for name in ["a", "b"] {
            rig.window.note(0, digest(name));
            rig.window.keep(&digest(name), true);
        }
        rig.write();
        assert_eq!(rig.stored.len(), 1, "one record for what was kept together");
        assert!(rig.publish(150, "c"));
        assert_eq!(rig.stored.len(), 1);
        rig.restart(150);
        assert!(rig.publish(150, "a") && !rig.publish(150, "c"));
    }

    #[test]
    fn what_was_refused_is_new_the_next_time() {
        let mut rig = Rig::new(100, 10);
        rig.window.note(0, digest("a"));
        assert_eq!(rig.window.look(0, &digest("a")), Some(Sighting::InFlight));
        rig.window.forget(&digest("a"));
        rig.write();
        assert!(rig.stored.is_empty() && rig.publish(0, "a") && !rig.publish(0, "a"));
    }

    #[test]
    fn what_does_not_outlive_a_restart_is_not_written() {
        let mut rig = Rig::new(100, 10);
        rig.window.note(0, digest("a"));
        rig.window.keep(&digest("a"), false);
        rig.window.safe_after(&digest("a"), Ticket(7));
        rig.write();
        assert!(rig.stored.is_empty());
        assert_eq!(rig.window.look(0, &digest("a")), Some(Sighting::Safe(Ticket(7))));
    }

    #[test]
    fn a_closed_window_leaves_nothing_behind() {
        let mut rig = Rig::new(100, 10);
        rig.publish(0, "a");
        rig.window.note(1, digest("b"));
        rig.window.keep(&digest("b"), true);
        for record in rig.window.close() {
            assert!(record.value.is_none() && rig.stored.remove(&record.key).is_some());
        }
        assert!(rig.stored.is_empty());
        rig.window.note(2, digest("c"));
        rig.window.keep(&digest("c"), true);
        assert!(rig.window.take_records().is_empty());
    }

    #[test]
    fn another_key_begins_anew() {
        let mut rig = Rig::new(100, 10);
        rig.publish(0, "a");
        rig.window.set_rule(rule(50, 5));
        assert!(!rig.publish(0, "a"), "bounds may change");
        rig.window.set_rule(Rule { key: DeduplicationKey::Header("h".into()), ..rule(50, 5) });
        assert!(rig.publish(0, "a"));
        assert_eq!(rig.stored.len(), 1);
    }

    #[test]
    fn damaged_records_are_refused() {
        let prefix = exchange_record_prefix("/", "x");
        let key = |number: u64| [prefix.as_slice(), &number.to_be_bytes()].concat();
        let mut window = Rig::new(1, 1).window;
        assert!(window.restore(0, &prefix, &[VERSION]).is_err());
        assert!(window.restore(0, &key(0), &[VERSION]).is_err());
        assert!(window.restore(0, &key(1), &[]).is_err());
        assert!(window.restore(0, &key(1), &[VERSION, 1, 2]).is_err());
        assert!(window.restore(0, &key(1), &[9]).is_err());
        assert!(window.restore(0, &key(u64::MAX - 1), &[VERSION]).is_ok());
    }

    #[test]
    fn options_are_read_once_and_say_what_is_wrong() {
        let parse = |arguments: &[(&str, Value)]| {
            let table: Table = arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
            DeduplicationOptions::parse(&table).map(|options| options.rule())
        };
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[("x-message-deduplication", false.into())]), Ok(None));
        let header = |name: &str| DeduplicationKey::Header(name.to_owned());
        assert_eq!(
            parse(&[("x-message-deduplication", true.into())]),
            Ok(Some(Rule { key: header(DEFAULT_HEADER), window_ms: 3_600_000, size: 100_000 }))
        );
        assert_eq!(
            parse(&[
                ("x-message-deduplication", true.into()),
                ("x-deduplication-key", "order".into()),
                ("x-deduplication-window", 500.into()),
                ("x-deduplication-size", 7.into()),
            ]),
            Ok(Some(Rule { key: header("order"), window_ms: 500, size: 7 }))
        );
        for (name, value, reason) in [
            ("x-message-deduplication", Value::from("yes"), "{unacceptable_type,longstr}"),
            ("x-deduplication-key", 1.into(), "{unacceptable_type,signedint}"),
            ("x-deduplication-window", 0.into(), "{value_zero,0}"),
            ("x-deduplication-window", (-1).into(), "{value_negative,-1}"),
            ("x-deduplication-size", 1_000_001.into(), "{value_too_large,1000001}"),
            ("x-deduplication-size", "1".into(), "\"expected integer, got longstr\""),
        ] {
            assert_eq!(parse(&[(name, value)]), Err((name, reason.into())));
        }
    }

    #[test]
    fn names_are_told_apart_and_numbers_of_any_width_are_alike() {
        let of = |value: Value| {
            let mut raw = Vec::new();
            let headers = Some(Table::from([("h", value)]));
            Properties { headers, ..Properties::default() }.encode(&mut raw);
            let rule = Rule { key: DeduplicationKey::Header("h".into()), ..rule(1, 1) };
            rule.digest(PropertiesView::validate(&raw).unwrap()).unwrap()
        };
        assert_eq!(of(Value::I32(5)), of(Value::I64(5)));
        assert_ne!(of("a".into()), of("b".into()));
        assert_ne!(digest("a"), digest("b"));
        let none = Properties::default();
        let mut raw = Vec::new();
        none.encode(&mut raw);
        assert_eq!(rule(1, 1).digest(PropertiesView::validate(&raw).unwrap()), None);
    }
}
