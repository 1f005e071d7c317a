//! The live feed, folded into the answers of the store.
//!
//! A list that was told whole is kept up to date by what changes of it, in place: a second in which ten of ten thousand
//! queues change costs ten look-ups. Whoever reads a list cannot tell whether it was polled or told.

use std::collections::HashMap;

use leveret_protocol::admin::events::{EventData, ListChange, QueueChange, Topic};
use leveret_protocol::admin::operations::Operation;
use leveret_protocol::admin::{Channel, Connection, Consumer, Exchange, Queue};

use crate::Millis;
use crate::lookups;
use crate::query::{self, Query};
use crate::remote::Problem;
use crate::store::Store;

/// How news comes.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Feed {
    /// By asking again and again: the broker has no feed, or is not connected.
    #[default]
    None,
    /// The feed was asked for.
    Opening,
    /// By itself.
    Live,
    /// It was cut, or refused, and is opened again at this time. Meanwhile the broker is asked.
    Broken { problem: Problem, retry_at: Millis },
}

/// What the network thread says of the feed.
#[derive(Debug, Clone)]
pub enum News {
    Opening,
    Opened,
    /// What it told.
    Told(Box<EventData>),
    Broken {
        problem: Problem,
        retry_at: Millis,
        /// What was told whole until then,
        told: Vec<Topic>,
        /// and until when it is known to have been true.
        heard_at: Millis,
    },
    /// This broker has none.
    Absent,
}

/// How long to leave a feed alone that ends again and again.
#[derive(Debug, Clone)]
pub struct Patience {
    /// How long after the next failure.
    wait_ms: Millis,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { wait_ms: WAIT_FIRST_MS }
    }
}

impl Patience {
    /// How long to wait before another is opened, after one that was open for `lived_ms`; not at all after one that
    /// ended in its time, which feeds do.
    pub fn after(&mut self, lived_ms: Millis, failed: bool) -> Option<Millis> {
        let lived = lived_ms >= LIVED_MS;
        if lived {
            self.wait_ms = WAIT_FIRST_MS;
        }
        if lived && !failed {
            return None;
        }
        let wait = self.wait_ms;
        self.wait_ms = (wait * 2).min(WAIT_LAST_MS);
        Some(wait)
    }
}

const WAIT_FIRST_MS: Millis = 1_000;
const WAIT_LAST_MS: Millis = 30_000;
/// A feed that held so long was a good one.
const LIVED_MS: Millis = 10_000;

/// What the feed calls the answers under `key`, if it tells them.
pub fn topic_of(key: &str) -> Option<Topic> {
    Some(match key {
        "/api/overview" => Topic::Overview,
        "/api/queues" => Topic::Queues,
        "/api/exchanges" => Topic::Exchanges,
        "/api/connections" => Topic::Connections,
        "/api/channels" => Topic::Channels,
        "/api/consumers" => Topic::Consumers,
        "/api/alarms" => Topic::Alarms,
        "/api/operations" => Topic::Operations,
        _ => return None,
    })
}

/// True for answers that change only when something is declared, deleted, bound or unbound, which the feed tells of.
pub fn follows_topology(key: &str) -> bool {
    key == "/api/bindings"
        || key.contains("/bindings/")
        || key.ends_with("/bindings")
        || key.ends_with("policies")
}

/// What an event is about, and whether more of the same follows at once.
pub fn told(event: &EventData) -> (Topic, bool) {
    match event {
        EventData::Overview(_) => (Topic::Overview, false),
        EventData::Queues(change) => (Topic::Queues, change.more),
        EventData::Exchanges(change) => (Topic::Exchanges, change.more),
        EventData::Connections(change) => (Topic::Connections, change.more),
        EventData::Channels(change) => (Topic::Channels, change.more),
        EventData::Consumers(change) => (Topic::Consumers, change.more),
        EventData::Alarms(_) => (Topic::Alarms, false),
        EventData::Operations(change) => (Topic::Operations, change.more),
        EventData::Topology { .. } => (Topic::Topology, false),
    }
}

/// Where the rows of each list are.
#[derive(Debug, Default)]
pub struct Lists {
    queues: Rows<Queue>,
    exchanges: Rows<Exchange>,
    connections: Rows<Connection>,
    channels: Rows<Channel>,
    consumers: Rows<Consumer>,
    operations: Rows<Operation>,
}

impl Lists {
    /// Brings the answers in `store` up to date.
    pub fn fold(&mut self, event: EventData, store: &mut Store, now: Millis) {
        match event {
            EventData::Overview(overview) => store.put(&query::overview(), *overview, now),
            EventData::Alarms(report) => store.put(&lookups::alarms(), report, now),
            EventData::Queues(change) => self.queues.fold_queues(change, store, now),
            EventData::Exchanges(change) => self.exchanges.fold(&query::exchanges(), change, store, now),
            EventData::Connections(change) => {
                self.connections.fold(&query::connections(), change, store, now)
            }
            EventData::Channels(change) => self.channels.fold(&query::channels(), change, store, now),
            EventData::Consumers(change) => self.consumers.fold(&query::consumers(), change, store, now),
            EventData::Operations(change) => self.operations.fold(&lookups::operations(), change, store, now),
            EventData::Topology { .. } => {}
        }
    }
}

/// A row that has a name among its like.
trait Listed: Clone + Send + Sync + 'static {
    /// Writes how the feed calls it, in place of what was there.
    fn write_key(&self, key: &mut String);
}

#[derive(Debug)]
struct Rows<T> {
    places: HashMap<String, usize>,
    /// The version of the answer that the places are of.
    of: u64,
    /// A snapshot of which further parts follow.
    incoming: Option<Vec<T>>,
    key: String,
}

impl<T> Default for Rows<T> {
    fn default() -> Rows<T> {
        Rows { places: HashMap::new(), of: 0, incoming: None, key: String::new() }
    }
}

impl<T: Listed> Rows<T> {
    fn fold(&mut self, query: &Query<Vec<T>>, change: ListChange<T>, store: &mut Store, now: Millis) {
        let ListChange { snapshot, changed, removed, more, .. } = change;
        if let Some(changed) = self.take_snapshot(query, snapshot, changed, more, store, now) {
            self.update(query, changed, removed, store, now, |_, _, _| {});
        }
    }

    /// Takes parts of a snapshot; gives back what is none.
    fn take_snapshot(
        &mut self,
        query: &Query<Vec<T>>,
        first: bool,
        changed: Vec<T>,
        more: bool,
        store: &mut Store,
        now: Millis,
    ) -> Option<Vec<T>> {
        if !first && self.incoming.is_none() {
            return Some(changed);
        }
        let mut rows = if first { Vec::new() } else { self.incoming.take().unwrap_or_default() };
        rows.extend(changed);
        if more {
            self.incoming = Some(rows);
            return None;
        }
        self.incoming = None;
        self.sort(&mut rows);
        store.put(query, rows, now);
        self.of = store.version(&query.key);
        None
    }

    /// Changes rows in place; `figures` may change more of them by their places.
    fn update(
        &mut self,
        query: &Query<Vec<T>>,
        changed: Vec<T>,
        removed: Vec<String>,
        store: &mut Store,
        now: Millis,
        figures: impl FnOnce(&mut Vec<T>, &HashMap<String, usize>, &mut String),
    ) {
        // Nothing is known that could change: it was let go, and will be asked for again.
        if store.peek::<Vec<T>>(&query.key).value.is_none() {
            return;
        }
        let version = store.version(&query.key);
        let of = self.of;
        store.update(query, now, |rows| {
            // Somebody asked meanwhile, and got another list.
            if of != version {
                self.sort(rows);
            }
            let mut is_sorted = true;
            for row in changed {
                row.write_key(&mut self.key);
                match self.places.get(&self.key).and_then(|place| rows.get_mut(*place)) {
                    Some(known) => *known = row,
                    None => {
                        self.places.insert(self.key.clone(), rows.len());
                        rows.push(row);
                        is_sorted = false;
                    }
                }
            }
            figures(rows, &self.places, &mut self.key);
            let before = self.places.len();
            for key in &removed {
                self.places.remove(key);
            }
            if self.places.len() != before {
                rows.retain(|row| {
                    row.write_key(&mut self.key);
                    self.places.contains_key(&self.key)
                });
                is_sorted = false;
            }
            if !is_sorted {
                self.sort(rows);
            }
        });
        self.of = store.version(&query.key);
    }

    /// Puts rows into the order of their names, one of each name.
    fn sort(&mut self, rows: &mut Vec<T>) {
        let mut keyed: Vec<(String, T)> = std::mem::take(rows)
            .into_iter()
            .map(|row| {
                let mut key = String::new();
                row.write_key(&mut key);
                (key, row)
            })
            .collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Of two rows of one name the later one is true.
        keyed.reverse();
        keyed.dedup_by(|(a, _), (b, _)| a == b);
        keyed.reverse();
        self.places.clear();
        rows.reserve(keyed.len());
        for (key, row) in keyed {
            self.places.insert(key, rows.len());
            rows.push(row);
        }
    }
}

impl Rows<Queue> {
    fn fold_queues(&mut self, change: QueueChange, store: &mut Store, now: Millis) {
        let QueueChange { snapshot, changed, figures, removed, more, .. } = change;
        let query = query::queues();
        let Some(changed) = self.take_snapshot(&query, snapshot, changed, more, store, now) else { return };
        self.update(&query, changed, removed, store, now, |rows, places, key| {
            for figures in &figures {
                write_pair(key, &figures.vhost, &figures.name);
                if let Some(queue) = places.get(key.as_str()).and_then(|place| rows.get_mut(*place)) {
                    figures.apply(queue);
                }
            }
        });
    }
}

fn write_pair(key: &mut String, first: &str, second: &str) {
    key.clear();
    key.push_str(first);
    key.push('\n');
    key.push_str(second);
}

impl Listed for Queue {
    fn write_key(&self, key: &mut String) {
        write_pair(key, &self.vhost, &self.name);
    }
}

impl Listed for Exchange {
    fn write_key(&self, key: &mut String) {
        write_pair(key, &self.vhost, &self.name);
    }
}

impl Listed for Connection {
    fn write_key(&self, key: &mut String) {
        key.clear();
        key.push_str(&self.name);
    }
}

impl Listed for Channel {
    fn write_key(&self, key: &mut String) {
        key.clear();
        key.push_str(&self.name);
    }
}

impl Listed for Consumer {
    fn write_key(&self, key: &mut String) {
        write_pair(key, &self.channel_details.name, &self.consumer_tag);
    }
}

impl Listed for Operation {
    fn write_key(&self, key: &mut String) {
        key.clear();
        key.push_str(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use leveret_protocol::admin::events::QueueFigures;

    fn queue(name: &str) -> Queue {
        Queue { name: name.to_owned(), vhost: "/".to_owned(), durable: true, ..Queue::default() }
    }

    fn snapshot(names: &[&str], more: bool) -> EventData {
        let changed = names.iter().map(|name| queue(name)).collect();
        EventData::Queues(QueueChange { snapshot: true, changed, more, ..QueueChange::default() })
    }

    fn figures(name: &str, ready: u64) -> EventData {
        let figures = QueueFigures {
            vhost: "/".to_owned(),
            name: name.to_owned(),
            messages_ready: ready,
            ..QueueFigures::default()
        };
        EventData::Queues(QueueChange { figures: vec![figures], ..QueueChange::default() })
    }

    struct Told {
        store: Store,
        lists: Lists,
    }

    impl Told {
        fn new(events: Vec<EventData>) -> Told {
            let mut told = Told { store: Store::default(), lists: Lists::default() };
            for event in events {
                told.fold(event);
            }
            told
        }

        fn fold(&mut self, event: EventData) {
            self.lists.fold(event, &mut self.store, 5);
        }

        fn queues(&self) -> Option<Arc<Vec<Queue>>> {
            self.store.peek(&query::queues().key).value
        }

        fn names(&self) -> Vec<(String, u64)> {
            let queues = self.queues().unwrap_or_default();
            queues.iter().map(|queue| (queue.name.clone(), queue.totals.messages_ready)).collect()
        }
    }

    fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter().map(|(name, ready)| ((*name).to_owned(), *ready)).collect()
    }

    #[test]
    fn a_list_is_told_whole_and_then_what_changes_of_it() {
        let mut told = Told::new(vec![snapshot(&["b", "a"], false), figures("b", 7)]);
        assert_eq!(told.names(), rows(&[("a", 0), ("b", 7)]));
        told.fold(EventData::Queues(QueueChange {
            changed: vec![queue("c"), queue("aa")],
            removed: vec!["/\na".to_owned(), "/\nnever".to_owned()],
            ..QueueChange::default()
        }));
        assert_eq!(told.names(), rows(&[("aa", 0), ("b", 7), ("c", 0)]));
        told.fold(figures("c", 3));
        told.fold(figures("gone", 3));
        assert_eq!(told.names(), rows(&[("aa", 0), ("b", 7), ("c", 3)]));
        assert!(told.queues().is_some_and(|queues| queues.iter().all(|queue| queue.durable)));
    }

    #[test]
    fn a_snapshot_in_parts_is_shown_when_it_is_whole() {
        let mut told = Told::new(vec![snapshot(&["old"], false), snapshot(&["b"], true)]);
        assert_eq!(told.names(), rows(&[("old", 0)]));
        told.fold(EventData::Queues(QueueChange { changed: vec![queue("a")], ..QueueChange::default() }));
        assert_eq!(told.names(), rows(&[("a", 0), ("b", 0)]));
        told.fold(figures("a", 1));
        assert_eq!(told.names(), rows(&[("a", 1), ("b", 0)]));
    }

    #[test]
    fn a_snapshot_that_was_cut_off_is_forgotten_when_the_next_begins() {
        let mut told = Told::new(vec![snapshot(&["old"], false), snapshot(&["cut"], true)]);
        told.fold(snapshot(&["b"], true));
        told.fold(EventData::Queues(QueueChange {
            changed: vec![queue("a")],
            more: true,
            ..QueueChange::default()
        }));
        assert_eq!(told.names(), rows(&[("old", 0)]), "two of three parts");
        told.fold(EventData::Queues(QueueChange { changed: vec![queue("c")], ..QueueChange::default() }));
        assert_eq!(told.names(), rows(&[("a", 0), ("b", 0), ("c", 0)]));
    }

    #[test]
    fn figures_that_come_in_parts_are_taken_as_they_come() {
        let mut told = Told::new(vec![snapshot(&["a", "b"], false)]);
        let EventData::Queues(first) = figures("a", 1) else { panic!("of queues") };
        told.fold(EventData::Queues(QueueChange { more: true, ..first }));
        assert_eq!(told.names(), rows(&[("a", 1), ("b", 0)]));
        told.fold(figures("b", 2));
        assert_eq!(told.names(), rows(&[("a", 1), ("b", 2)]));
    }

    #[test]
    fn only_the_last_part_tells_a_topic_whole() {
        assert_eq!(super::told(&snapshot(&["a"], true)), (Topic::Queues, true));
        assert_eq!(super::told(&snapshot(&["a"], false)), (Topic::Queues, false));
        let exchanges = ListChange { snapshot: true, more: true, ..ListChange::default() };
        assert_eq!(super::told(&EventData::Exchanges(exchanges)), (Topic::Exchanges, true));
    }

    /// Feeds that lived so long, and whether they failed: how long is waited after each.
    fn waits(feeds: &[(Millis, bool)]) -> Vec<Option<Millis>> {
        let mut patience = Patience::default();
        feeds.iter().map(|(lived, failed)| patience.after(*lived, *failed)).collect()
    }

    #[test]
    fn a_feed_that_fails_again_and_again_is_tried_ever_more_rarely() {
        let expected = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].map(Some);
        assert_eq!(waits(&[(0, true); 7]), expected);
        assert_eq!(waits(&[(LIVED_MS - 1, false); 7]), expected, "to end at once is to fail");
    }

    #[test]
    fn a_feed_that_held_is_opened_again_soon() {
        let feeds = [(0, true), (0, true), (LIVED_MS, true), (0, true), (3_600_000, false), (0, true)];
        let expected = [Some(1_000), Some(2_000), Some(1_000), Some(2_000), None, Some(1_000)];
        assert_eq!(waits(&feeds), expected);
    }

    #[test]
    fn a_list_that_was_asked_for_meanwhile_goes_on_from_there() {
        let mut told = Told::new(vec![snapshot(&["a", "b"], false)]);
        told.store.put(&query::queues(), vec![queue("z"), queue("b")], 9);
        told.fold(figures("b", 4));
        assert_eq!(told.names(), rows(&[("b", 4), ("z", 0)]));
    }

    #[test]
    fn rows_change_in_place_unless_somebody_holds_the_list() {
        let mut told = Told::new(vec![snapshot(&["a"], false)]);
        let at = |told: &Told| told.queues().map(|queues| Arc::as_ptr(&queues));
        let before = at(&told);
        told.fold(figures("a", 1));
        assert_eq!(at(&told), before);
        let held = told.queues().unwrap_or_default();
        told.fold(figures("a", 2));
        assert_eq!((held[0].totals.messages_ready, told.names()), (1, rows(&[("a", 2)])));
    }

    #[test]
    fn every_change_is_a_new_version() {
        let mut told = Told::new(vec![snapshot(&["a"], false)]);
        let before = told.store.version("/api/queues");
        told.fold(figures("a", 1));
        assert!(told.store.version("/api/queues") > before);
    }

    #[test]
    fn topics_are_the_answers_of_the_lists() {
        assert_eq!(topic_of(&query::queues().key), Some(Topic::Queues));
        assert_eq!(topic_of(&query::overview().key), Some(Topic::Overview));
        assert_eq!(topic_of(&lookups::alarms().key), Some(Topic::Alarms));
        assert_eq!(topic_of(&lookups::operations().key), Some(Topic::Operations));
        assert_eq!(topic_of(&query::consumers().key), Some(Topic::Consumers));
        assert_eq!(topic_of(&query::queue("/", "q").key), None);
        assert!(follows_topology(&query::bindings().key));
        assert!(follows_topology(&query::queue_bindings("/", "q").key));
        assert!(follows_topology(&query::exchange_bindings("/", "e", "source").key));
        assert!(follows_topology(&lookups::policies(true).key));
        assert!(!follows_topology(&query::queues().key));
    }

    /// As Leveret writes it.
    #[test]
    fn a_feed_as_it_comes_is_understood() {
        let document = include_str!("../tests/feed.txt");
        let mut told = Told::new(Vec::new());
        let mut topics = Vec::new();
        for line in document.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let event: EventData = serde_json::from_str(line).expect("an event");
            topics.push(super::told(&event).0);
            told.fold(event);
        }
        for topic in Topic::ALL {
            assert!(topics.contains(&topic), "{topic:?}");
        }
        let queues = told.queues().unwrap_or_default();
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["invoices", "orders", "订单.支付"]);
        let orders = &queues[1];
        assert_eq!((orders.totals.messages_ready, orders.message_stats.publish), (5, 5));
        let connections = told.store.peek::<Vec<Connection>>("/api/connections").value.unwrap_or_default();
        let consumers = told.store.peek::<Vec<Consumer>>("/api/consumers").value.unwrap_or_default();
        assert_eq!((connections.len(), consumers.len()), (1, 1));
    }
}
