//! What was sampled, and what changed since a tick.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::queue::Info;
use leveret_protocol::admin::events::{AlarmReport, QueueFigures, Topic};
use leveret_protocol::admin::operations::Operation;
use leveret_protocol::admin::{Channel, Connection, Consumer, Exchange, Overview};

use super::Topics;
use super::rows::{Removed, Rows, Scope};
use crate::queue_host::Counters;
use crate::store::QueueUid;

/// The rows of all topics that somebody watches.
#[derive(Default)]
pub struct Sampled {
    /// Of the last sample; 0 before the first.
    pub tick: u64,
    /// When that was, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it covered.
    pub topics: Topics,
    pub overview: Overview,
    pub overview_at: u64,
    pub queues: HashMap<QueueUid, QueueRow>,
    pub exchanges: Rows<Exchange>,
    pub connections: Rows<Connection>,
    pub channels: Rows<Channel>,
    pub consumers: Rows<Consumer>,
    pub operations: Rows<Operation>,
    pub alarms: AlarmReport,
    pub alarms_at: u64,
    pub generation: u64,
    pub generation_at: u64,
    removed: VecDeque<(u64, Topic, Removed)>,
    /// Ends after this tick are in `removed`, earlier ones may be forgotten.
    forgotten_upto: u64,
}

/// A queue in figures. Small, because there are many: what else is known of it is looked up when somebody wants it.
pub struct QueueRow {
    pub vhost: Arc<str>,
    pub name: Arc<str>,
    pub figures: Figures,
    pub rates: Rates,
    /// When something other than figures changed.
    pub whole_at: u64,
    pub figures_at: u64,
}

/// What of a queue changes while messages flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub info: Info,
    pub counters: Counters,
    pub state: &'static str,
}

/// How fast the figures change, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    ready: f64,
    unacked: f64,
    publish: f64,
    deliver: f64,
    deliver_no_ack: f64,
    get: f64,
    get_no_ack: f64,
    redeliver: f64,
    ack: f64,
}

impl Sampled {
    /// Remembers what is gone, as far back as there is room.
    pub fn note_removed(&mut self, tick: u64, topic: Topic, removed: Vec<Removed>) {
        self.removed.extend(removed.into_iter().map(|removed| (tick, topic, removed)));
        while self.removed.len() > REMOVED_MAX
            && let Some((tick, ..)) = self.removed.pop_front()
        {
            self.forgotten_upto = tick;
        }
    }

    /// A topic that nobody watched for a while has no history: who comes begins with a snapshot.
    pub fn has_history_since(&self, tick: u64) -> bool {
        tick > 0 && tick >= self.forgotten_upto
    }

    /// Keys of what is gone since `tick`, and was seen.
    pub fn removed_after(
        &self,
        tick: u64,
        topic: Topic,
        is_seen: impl Fn(Scope<'_>) -> bool,
    ) -> Vec<Arc<str>> {
        let late = self.removed.iter().rev().take_while(|(at, ..)| *at > tick);
        let seen = late.filter(|(_, of, removed)| *of == topic && is_seen(removed.scope()));
        seen.map(|(_, _, removed)| removed.key.clone()).collect()
    }

    /// Forgets everything: nobody watches.
    pub fn clear(&mut self) {
        *self = Sampled { tick: self.tick, forgotten_upto: self.tick, ..Sampled::default() };
    }
}

impl QueueRow {
    /// Where it is, for those who may see it.
    pub fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: None }
    }

    /// How its end is told.
    pub fn key(&self) -> String {
        format!("{}\n{}", self.vhost, self.name)
    }

    /// The figures as they are sent.
    pub fn to_figures(&self) -> QueueFigures {
        let Figures { info, counters, state } = self.figures;
        let Rates { ready, unacked, publish, deliver, deliver_no_ack, get, get_no_ack, redeliver, ack } =
            self.rates;
        QueueFigures {
            vhost: self.vhost.to_string(),
            name: self.name.to_string(),
            state: state.to_owned(),
            consumers: u16::try_from(info.consumers).unwrap_or(u16::MAX),
            consumer_utilisation: if info.consumers > 0 && info.ready == 0 { 1.0 } else { 0.0 },
            messages_ready: info.ready,
            messages_unacknowledged: info.unacked,
            messages_ready_rate: ready,
            messages_unacknowledged_rate: unacked,
            message_bytes_ready: info.ready_bytes,
            message_bytes_unacknowledged: info.unacked_bytes,
            messages_ram: info.ready - info.paged.min(info.ready) + info.unacked,
            message_bytes_ram: info.resident_bytes + info.unacked_bytes,
            publish: counters.published,
            publish_rate: publish,
            deliver: counters.delivered,
            deliver_rate: deliver,
            deliver_no_ack: counters.delivered_no_ack,
            deliver_no_ack_rate: deliver_no_ack,
            get: counters.got,
            get_rate: get,
            get_no_ack: counters.got_no_ack,
            get_no_ack_rate: get_no_ack,
            redeliver: counters.redelivered,
            redeliver_rate: redeliver,
            ack: counters.acked,
            ack_rate: ack,
        }
    }
}

impl Rates {
    /// How fast `before` became `now`.
    pub fn between(before: &Figures, now: &Figures, seconds: f64) -> Rates {
        let rate = |now: u64, before: u64| {
            let rate = (now as f64 - before as f64) / seconds;
            // Three digits are more than anybody reads, and half the bytes.
            (rate * 1000.0).round() / 1000.0
        };
        let (a, b) = (&before.counters, &now.counters);
        Rates {
            ready: rate(now.info.ready, before.info.ready),
            unacked: rate(now.info.unacked, before.info.unacked),
            publish: rate(b.published, a.published),
            deliver: rate(b.delivered, a.delivered),
            deliver_no_ack: rate(b.delivered_no_ack, a.delivered_no_ack),
            get: rate(b.got, a.got),
            get_no_ack: rate(b.got_no_ack, a.got_no_ack),
            redeliver: rate(b.redelivered, a.redelivered),
            ack: rate(b.acked, a.acked),
        }
    }
}

/// Ends that are remembered for slow readers.
const REMOVED_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(name: &str) -> Vec<Removed> {
        vec![Removed { key: name.into(), vhost: "/".into(), user: None }]
    }

    #[test]
    fn ends_are_told_to_those_who_have_not_heard_of_them() {
        let mut sampled = Sampled::default();
        sampled.note_removed(3, Topic::Queues, removed("a"));
        sampled.note_removed(4, Topic::Exchanges, removed("x"));
        sampled.note_removed(5, Topic::Queues, removed("b"));
        let keys = |tick| sampled.removed_after(tick, Topic::Queues, |_| true);
        assert_eq!((keys(2).len(), keys(3).len(), keys(5).len()), (2, 1, 0));
        assert!(sampled.removed_after(0, Topic::Queues, |_| false).is_empty());
    }

    #[test]
    fn whoever_sleeps_too_long_begins_again() {
        let mut sampled = Sampled::default();
        assert!(sampled.has_history_since(1) && !sampled.has_history_since(0));
        for tick in 1..=REMOVED_MAX as u64 + 10 {
            sampled.note_removed(tick, Topic::Queues, removed("q"));
        }
        assert!(!sampled.has_history_since(9) && sampled.has_history_since(10));
        sampled.tick = 30_000;
        sampled.clear();
        assert!(!sampled.has_history_since(29_999) && sampled.has_history_since(30_000));
    }
}
