//! The live feed: what the broker does, sampled once a second for everybody who watches.
//!
//! ```text
//! queues, connections, flows ──sampler, 1/s──▶ Sampled: each row with the tick at which it changed last
//!                                                  │ rows after the reader's tick, when its socket has room
//!                                                  ▼
//!                                         one task per reader ──▶ events
//! ```
//!
//! One sampler serves all readers, and sleeps while there are none. A reader is only a tick: a slow one reads what changed
//! since, as it is then, so it costs no more memory than a fast one and skips what is out of date. What went away is
//! remembered for a while; who slept longer begins again with a snapshot.
//!
//! - this file: who watches what, and when to sample
//! - `sampled`: the rows, and what changed since a tick
//! - `sampler`: how they are filled
//! - `rows`: lists of whole objects
//! - `feed`: a reader's task, and events as bytes
//! - `flows`: rates between exchanges, queues and connections
//! - `alarms`: what runs short, and who fills it

pub mod alarms;
pub mod feed;
pub mod flows;
mod rows;
mod sampled;
mod sampler;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use leveret_protocol::admin::events::Topic;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::broker::Broker;
use flows::FlowRates;
use sampled::Sampled;

pub use sampler::run;

/// Who watches, and what was sampled for them.
pub struct Live {
    watchers: Mutex<Watchers>,
    /// Somebody came who wants what was not sampled.
    wakes: Notify,
    sampled: RwLock<Sampled>,
    flows: RwLock<FlowRates>,
    /// Rises with every sample.
    tick: watch::Sender<u64>,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    readers: HashMap<u64, Want>,
    /// Somebody asked for rates a moment ago and is likely to ask again.
    flows_until: Option<Instant>,
}

/// A reader's wishes.
#[derive(Debug, Clone, Copy)]
struct Want {
    topics: Topics,
    every: Duration,
}

/// A set of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Topics(u16);

/// A place among the readers; given back when dropped.
pub struct Reader {
    broker: Arc<Broker>,
    id: u64,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            watchers: Mutex::default(),
            wakes: Notify::new(),
            sampled: RwLock::default(),
            flows: RwLock::default(),
            tick: watch::Sender::new(0),
        }
    }
}

impl Live {
    /// Adds a reader; `None` when there are as many as there may be.
    pub fn watch(broker: &Arc<Broker>, topics: Topics, every: Duration) -> Option<Reader> {
        let live = broker.live();
        let mut watchers = live.watchers.lock();
        if watchers.readers.len() >= READERS_MAX {
            return None;
        }
        watchers.next += 1;
        let id = watchers.next;
        watchers.readers.insert(id, Want { topics, every });
        drop(watchers);
        live.wakes.notify_one();
        Some(Reader { broker: broker.clone(), id })
    }

    /// Waits until there are rates of flows, which takes a second when nobody asked for them lately.
    pub async fn await_flows(&self) {
        let before = self.watchers.lock().flows_until.replace(Instant::now() + FLOWS_KEPT);
        let mut ticks = self.tick.subscribe();
        // Once they are sampled the sampler keeps its pace: who asks again does not hurry it.
        if before.is_none() {
            self.wakes.notify_one();
        }
        let ready = async {
            while !self.flows.read().is_ready() {
                if ticks.changed().await.is_err() {
                    return;
                }
            }
        };
        // A broker that is too busy to sample answers without rates.
        let _ = tokio::time::timeout(FLOWS_WAIT_MAX, ready).await;
    }

    /// Rates between exchanges, queues and connections, as of the last sample.
    pub fn flows(&self) -> parking_lot::RwLockReadGuard<'_, FlowRates> {
        self.flows.read()
    }

    /// What is to be sampled now, and how often.
    fn wanted(&self) -> Option<Wanted> {
        let mut watchers = self.watchers.lock();
        let now = Instant::now();
        if watchers.flows_until.is_some_and(|until| until <= now) {
            watchers.flows_until = None;
        }
        let asked = watchers.flows_until.is_some();
        let mut wanted = Wanted { topics: Topics::default(), flows: asked, every: EVERY_MAX };
        if asked {
            wanted.every = EVERY_MIN;
        }
        for want in watchers.readers.values() {
            wanted.topics = wanted.topics.and(want.topics);
            wanted.every = wanted.every.min(want.every);
        }
        // Who publishes most is part of the alarms, how much goes through an exchange of the exchange.
        wanted.flows |= wanted.topics.has(Topic::Alarms) || wanted.topics.has(Topic::Exchanges);
        (asked || !watchers.readers.is_empty()).then_some(wanted)
    }
}

/// What the sampler has to do.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    topics: Topics,
    flows: bool,
    every: Duration,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.broker.live().watchers.lock().readers.remove(&self.id);
    }
}

impl Reader {
    /// True when the last sample covers all of `topics`.
    pub fn is_sampled(&self, topics: Topics) -> bool {
        let sampled = self.broker.live().sampled.read();
        topics.iter().all(|topic| sampled.topics.has(topic))
    }

    /// Counts samples.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.broker.live().tick.subscribe()
    }
}

impl Topics {
    /// All of them.
    pub fn all() -> Topics {
        Topic::ALL.into_iter().collect()
    }

    /// True when `topic` is one of them.
    pub fn has(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u16) != 0
    }

    /// Those of both.
    pub fn and(self, other: Topics) -> Topics {
        Topics(self.0 | other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Topic> {
        Topic::ALL.into_iter().filter(move |topic| self.has(*topic))
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Topics {
        Topics(topics.into_iter().fold(0, |set, topic| set | (1 << topic as u16)))
    }
}

/// Readers at a time. Further ones are refused, and may poll.
const READERS_MAX: usize = 64;
/// Connections show what they did once a second; looking more often shows nothing new.
pub const EVERY_MIN: Duration = Duration::from_secs(1);
/// Somebody who wants less than that can ask without the feed.
pub const EVERY_MAX: Duration = Duration::from_secs(60);
/// How long flows are sampled on after they were asked for.
const FLOWS_KEPT: Duration = Duration::from_secs(30);
/// How long a request waits for rates.
const FLOWS_WAIT_MAX: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_a_set() {
        let some: Topics = [Topic::Queues, Topic::Topology].into_iter().collect();
        assert!(some.has(Topic::Queues) && some.has(Topic::Topology) && !some.has(Topic::Overview));
        assert_eq!(some.and([Topic::Overview].into_iter().collect()).iter().count(), 3);
        assert_eq!(Topics::all().iter().count(), Topic::ALL.len());
    }
}
