//! The live feed of a session: opened, widened when a screen wants more, opened again when it is cut.
//!
//! What it tells need not be asked for. While it is cut everything is, so a screen never waits for it.

use std::collections::HashMap;
use std::time::Duration;

use leveret_admin_model::feed::{self, News, Patience};
use leveret_admin_model::{Event, Problem, ProblemKind};
use leveret_client::admin::{Client, Error, EventQuery};
use leveret_protocol::admin::events::{EventData, Topic};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Outbox, problem, unix_now};

/// The live feed of a session.
pub struct Feed {
    client: Client,
    outbox: Outbox,
    link: Link,
    patience: Patience,
    /// What is told.
    topics: Vec<Topic>,
    /// What the screens want now.
    wanted: Vec<Topic>,
    /// When each topic was wanted last.
    wanted_at: HashMap<Topic, Instant>,
    /// Topics that were told whole since there is a feed, and when they were told of last.
    told: HashMap<Topic, Instant>,
}

enum Link {
    /// The broker has none, or is not connected.
    Closed,
    Broken {
        at: Instant,
    },
    Open {
        reading: Reading,
        said: Receiver<Said>,
        since: Instant,
    },
}

/// Ends the reading when nobody listens any more.
struct Reading(JoinHandle<()>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Said {
    Opened,
    Told(Box<EventData>),
    Ended(Option<Error>),
}

/// What a session has to know of it.
pub enum Outcome {
    /// There is news of this topic.
    Told(Topic),
    /// What was told has to be asked for again.
    Broken,
    Other,
}

impl Feed {
    pub fn new(client: Client, outbox: Outbox) -> Feed {
        Feed {
            client,
            outbox,
            link: Link::Closed,
            patience: Patience::default(),
            topics: Vec::new(),
            wanted: ALWAYS.to_vec(),
            wanted_at: HashMap::new(),
            told: HashMap::new(),
        }
    }

    /// The broker is there, and may have one.
    pub fn start(&mut self, has_feed: bool) {
        self.told.clear();
        self.patience = Patience::default();
        if has_feed {
            self.open();
        } else {
            self.outbox.send(Event::News(News::Absent));
        }
    }

    /// The broker is lost.
    pub fn stop(&mut self) {
        self.told.clear();
        self.link = Link::Closed;
        self.outbox.send(Event::News(News::Absent));
    }

    /// Screens want the answers under these keys.
    pub fn want<'a>(&mut self, keys: impl Iterator<Item = &'a str>) {
        let now = Instant::now();
        let before = std::mem::take(&mut self.wanted);
        self.wanted_at.extend(before.into_iter().map(|topic| (topic, now)));
        self.wanted = ALWAYS.into_iter().chain(keys.filter_map(feed::topic_of)).collect();
        self.fit();
    }

    /// True when what is under `key` comes by itself.
    pub fn covers(&self, key: &str) -> bool {
        matches!(self.link, Link::Open { .. })
            && feed::topic_of(key).is_some_and(|topic| self.told.contains_key(&topic))
    }

    /// True when there was news of what is under `key` since then.
    pub fn has_told_since(&self, key: &str, then: Instant) -> bool {
        feed::topic_of(key).and_then(|topic| self.told.get(&topic)).is_some_and(|told| *told >= then)
    }

    /// True when it is told whether something was declared or bound.
    pub fn tells_topology(&self) -> bool {
        matches!(self.link, Link::Open { .. }) && self.told.contains_key(&Topic::Topology)
    }

    /// Waits for something to happen. May be dropped and called again.
    pub async fn step(&mut self) -> Outcome {
        match &mut self.link {
            Link::Closed => std::future::pending().await,
            Link::Broken { at } => {
                tokio::time::sleep_until(*at).await;
                self.open();
                Outcome::Other
            }
            Link::Open { said, .. } => {
                let said = said.recv().await.unwrap_or(Said::Ended(None));
                self.hear(said)
            }
        }
    }

    fn hear(&mut self, said: Said) -> Outcome {
        match said {
            Said::Opened => {
                self.outbox.send(Event::News(News::Opened));
                Outcome::Other
            }
            Said::Told(event) => {
                let (topic, more) = feed::told(&event);
                if !more {
                    self.told.insert(topic, Instant::now());
                }
                self.outbox.send(Event::News(News::Told(event)));
                self.fit();
                Outcome::Told(topic)
            }
            Said::Ended(error) => self.ended(error),
        }
    }

    fn ended(&mut self, error: Option<Error>) -> Outcome {
        let Link::Open { since, .. } = &self.link else { return Outcome::Other };
        if let Some(Error::Unsupported { .. }) = error {
            self.stop();
            return Outcome::Broken;
        }
        let lived_ms = since.elapsed().as_millis() as u64;
        let Some(wait_ms) = self.patience.after(lived_ms, error.is_some()) else {
            self.open();
            return Outcome::Other;
        };
        let silent_ms = match error {
            Some(Error::Timeout { after, .. }) => after.as_millis() as u64,
            _ => 0,
        };
        let problem = match error {
            None => Problem::new(ProblemKind::Unreachable, REQUEST, "it ended"),
            Some(error) => problem(&error, REQUEST),
        };
        self.link = Link::Broken { at: Instant::now() + Duration::from_millis(wait_ms) };
        let now = unix_now();
        self.outbox.send(Event::News(News::Broken {
            problem,
            retry_at: now + wait_ms,
            told: self.told.drain().map(|(topic, _)| topic).collect(),
            heard_at: now - silent_ms,
        }));
        Outcome::Broken
    }

    /// Wanted now, or a moment ago: going back and forth between screens opens no new feeds.
    fn wanted_lately(&self) -> Vec<Topic> {
        let is_wanted = |topic: &Topic| {
            self.wanted.contains(topic) || self.wanted_at.get(topic).is_some_and(|at| at.elapsed() < KEPT)
        };
        Topic::ALL.into_iter().filter(is_wanted).collect()
    }

    /// Opens it anew when more is wanted, or less for a while.
    fn fit(&mut self) {
        if !matches!(self.link, Link::Open { .. }) {
            return;
        }
        let lately = self.wanted_lately();
        let more = self.wanted.iter().any(|topic| !self.topics.contains(topic));
        if more || self.topics.iter().any(|topic| !lately.contains(topic)) {
            self.open();
        }
    }

    fn open(&mut self) {
        self.topics = self.wanted_lately();
        let topics = self.topics.clone();
        self.told.retain(|topic, _| topics.contains(topic));
        if !matches!(self.link, Link::Open { .. }) {
            self.outbox.send(Event::News(News::Opening));
        }
        let query = EventQuery { topics, ..EventQuery::default() };
        let (sender, said) = channel(AHEAD);
        let task = tokio::spawn(read(self.client.clone(), query, sender));
        self.link = Link::Open { reading: Reading(task), said, since: Instant::now() };
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Link::Closed => "Closed",
            Link::Broken { .. } => "Broken",
            Link::Open { reading, .. } if reading.0.is_finished() => "Ended",
            Link::Open { .. } => "Open",
        })
    }
}

/// Reads a feed to its end.
async fn read(client: Client, query: EventQuery, said: Sender<Said>) {
    let mut events = match client.events(&query).await {
        Ok(events) => events,
        Err(error) => {
            let _ = said.send(Said::Ended(Some(error))).await;
            return;
        }
    };
    let mut next = Said::Opened;
    loop {
        let is_end = matches!(next, Said::Ended(_));
        // Nobody listens any more: another feed was opened.
        if said.send(next).await.is_err() || is_end {
            return;
        }
        next = match events.next().await {
            Some(Ok(event)) => Said::Told(Box::new(event)),
            Some(Err(error)) => Said::Ended(Some(error)),
            None => Said::Ended(None),
        };
    }
}

/// The figures of the whole, and when to ask for lists again.
const ALWAYS: [Topic; 2] = [Topic::Overview, Topic::Topology];
const REQUEST: &str = "GET /api/events";
/// Events that wait to be looked at. Whoever reads slowly is told less.
const AHEAD: usize = 16;
/// What was looked at within this time is told on.
const KEPT: Duration = Duration::from_secs(120);
