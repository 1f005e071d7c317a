//! A reader's task: sends what changed since the last time, when the socket has room and not too often.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use leveret_protocol::admin::events::{EventData, ListChange, QueueChange, Topic};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::error;

use super::rows::{Listed, Rows, Scope};
use super::sampled::Sampled;
use super::{Live, Reader, Topics};
use crate::admin::login::Visitor;
use crate::admin::{routes, state};
use crate::broker::Broker;
use crate::store::QueueUid;

/// What one reader asked for.
pub struct FeedRequest {
    pub topics: Topics,
    /// Only what is in this vhost.
    pub vhost: Option<String>,
    /// Updates are so far apart at least.
    pub every: Duration,
}

/// Opens a feed; `None` when there are too many. It ends when the body is dropped.
pub fn open(broker: &Arc<Broker>, visitor: Visitor, request: FeedRequest) -> Option<Body> {
    let reader = Live::watch(broker, request.topics, request.every)?;
    // One part waits in the channel and one in the socket: the rest is not made before there is room for it.
    let (parts, received) = mpsc::channel(1);
    let feed = Feed { broker: broker.clone(), visitor, request, reader, parts };
    tokio::spawn(feed.run());
    Some(Body::new(FeedBody(received)))
}

struct Feed {
    broker: Arc<Broker>,
    visitor: Visitor,
    request: FeedRequest,
    reader: Reader,
    parts: mpsc::Sender<Bytes>,
}

impl Feed {
    async fn run(mut self) {
        let mut ticks = self.reader.ticks();
        // Topics by their numbers, with the tick up to which the reader knows them.
        let mut known = [0; Topic::ALL.len()];
        let parts = self.parts.clone();
        if parts.send(Bytes::from_static(GREETING)).await.is_err() {
            return;
        }
        if !self.reader.is_sampled(self.request.topics) {
            // Not for ever: what can be told is told.
            let _ = timeout(FIRST_SAMPLE, ticks.changed()).await;
        }
        let mut spoke = Instant::now();
        loop {
            // Rights may have been taken away since.
            let Some(visitor) = self.visitor.refreshed(&self.broker) else { return };
            self.visitor = visitor;
            let began = Instant::now();
            for topic in self.request.topics.iter() {
                let at = &mut known[topic as usize];
                match self.send_topic(topic, at).await {
                    Ok(true) => spoke = Instant::now(),
                    Ok(false) => {}
                    Err(()) => return,
                }
            }
            let due = began + self.request.every - SLACK;
            let wait = async {
                loop {
                    let tick = async {
                        sleep_until(due).await;
                        ticks.changed().await
                    };
                    let ticked = timeout_at(spoke + SILENCE, tick).await.is_ok();
                    if spoke.elapsed() >= SILENCE {
                        spoke = Instant::now();
                        if parts.send(Bytes::from_static(STILL_HERE)).await.is_err() {
                            return;
                        }
                    }
                    if ticked {
                        return;
                    }
                }
            };
            tokio::select! {
                () = wait => {}
                () = parts.closed() => return,
            }
            if self.broker.is_stopping() {
                return;
            }
        }
    }

    /// Sends what is new of one topic, in parts; true when there was something. An error means that nobody reads any more.
    async fn send_topic(&self, topic: Topic, known: &mut u64) -> Result<bool, ()> {
        let context = (self.visitor.clone(), self.request.vhost.clone());
        let since = *known;
        let planned = self.blocking(move |broker| {
            let (visitor, only) = &context;
            Batch::plan(broker, topic, since, |scope| scope.is_seen(visitor, only.as_deref()))
        });
        let Some(Some(mut batch)) = planned.await else { return Ok(false) };
        *known = batch.tick;
        let visitor = Arc::new(self.visitor.clone());
        loop {
            let visitor = visitor.clone();
            let made = self.blocking(move |broker| {
                let part = batch.next_part(broker, &visitor);
                (batch, part)
            });
            let Some((rest, Some(part))) = made.await else { return Ok(true) };
            batch = rest;
            self.parts.send(part).await.map_err(|_| ())?;
        }
    }

    /// Collecting may take its time, which does not belong to those who carry messages.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> Option<R> {
        let broker = self.broker.clone();
        match tokio::task::spawn_blocking(move || work(&broker)).await {
            Ok(result) => Some(result),
            Err(error) => {
                error!(%error, "a part of the live feed cannot be made");
                None
            }
        }
    }
}

/// What one reader is to be told of one topic.
struct Batch {
    topic: Topic,
    /// Up to where the reader knows the topic afterwards.
    tick: u64,
    at: u64,
    /// What is told first: that it is a snapshot, and what is gone.
    is_first: bool,
    snapshot: bool,
    removed: Vec<Arc<str>>,
    /// Rows still to be told, the next one last.
    rows: Vec<Arc<str>>,
    queues: Vec<QueueUid>,
    figures: Vec<QueueUid>,
}

impl Batch {
    /// What is new since `known`; nothing when nothing is.
    fn plan(
        broker: &Broker,
        topic: Topic,
        known: u64,
        is_seen: impl Fn(Scope<'_>) -> bool + Copy,
    ) -> Option<Batch> {
        let sampled = broker.live().sampled.read();
        // The first sample for this reader is still to come.
        if !sampled.topics.has(topic) || sampled.tick == 0 || sampled.tick == known {
            return None;
        }
        let snapshot = !sampled.has_history_since(known);
        let since = if snapshot { 0 } else { known };
        let mut batch = Batch {
            topic,
            tick: sampled.tick,
            at: sampled.at_ms,
            is_first: true,
            snapshot,
            removed: Vec::new(),
            rows: Vec::new(),
            queues: Vec::new(),
            figures: Vec::new(),
        };
        let is_new = match topic {
            Topic::Overview => snapshot || sampled.overview_at > since,
            Topic::Alarms => snapshot || sampled.alarms_at > since,
            Topic::Topology => snapshot || sampled.generation_at > since,
            Topic::Queues => {
                let seen = sampled.queues.iter().filter(|(_, row)| is_seen(row.scope()));
                for (uid, row) in seen {
                    if row.whole_at > since {
                        batch.queues.push(*uid);
                    } else if row.figures_at > since {
                        batch.figures.push(*uid);
                    }
                }
                !batch.queues.is_empty() || !batch.figures.is_empty()
            }
            Topic::Exchanges => batch.take_rows(&sampled.exchanges, since, is_seen),
            Topic::Connections => batch.take_rows(&sampled.connections, since, is_seen),
            Topic::Channels => batch.take_rows(&sampled.channels, since, is_seen),
            Topic::Consumers => batch.take_rows(&sampled.consumers, since, is_seen),
            Topic::Operations => batch.take_rows(&sampled.operations, since, is_seen),
        };
        if !snapshot {
            batch.removed = sampled.removed_after(since, topic, is_seen);
        }
        (snapshot || is_new || !batch.removed.is_empty()).then_some(batch)
    }

    fn take_rows<T: Listed>(
        &mut self,
        rows: &Rows<T>,
        since: u64,
        is_seen: impl Fn(Scope<'_>) -> bool,
    ) -> bool {
        self.rows = rows.changed_after(since, is_seen);
        !self.rows.is_empty()
    }

    /// The next event; none when all is told. What changed since it was planned is told as it is now.
    fn next_part(&mut self, broker: &Broker, visitor: &Visitor) -> Option<Bytes> {
        let is_first = std::mem::take(&mut self.is_first);
        if !is_first && self.rows.is_empty() && self.queues.is_empty() && self.figures.is_empty() {
            return None;
        }
        let sampled = broker.live().sampled.read();
        let data = match self.topic {
            Topic::Overview if visitor.sees_everything() => {
                EventData::Overview(Box::new(sampled.overview.clone()))
            }
            Topic::Overview => {
                let overview = sampled.overview.clone();
                drop(sampled);
                EventData::Overview(Box::new(routes::narrowed_overview(overview, broker, visitor)))
            }
            Topic::Alarms => {
                let mut report = sampled.alarms.clone();
                if !visitor.sees_everything() {
                    report.top_publishers.clear();
                    report.top_queues.clear();
                }
                EventData::Alarms(report)
            }
            Topic::Topology => EventData::Topology { generation: sampled.generation },
            Topic::Queues => EventData::Queues(self.queue_part(broker, sampled, is_first)),
            Topic::Exchanges => EventData::Exchanges(self.part(&sampled.exchanges, is_first)),
            Topic::Connections => EventData::Connections(self.part(&sampled.connections, is_first)),
            Topic::Channels => EventData::Channels(self.part(&sampled.channels, is_first)),
            Topic::Consumers => EventData::Consumers(self.part(&sampled.consumers, is_first)),
            Topic::Operations => EventData::Operations(self.part(&sampled.operations, is_first)),
        };
        event(self.topic, &data)
    }

    fn part<T: Listed>(&mut self, rows: &Rows<T>, is_first: bool) -> ListChange<T> {
        let keys = self.rows.split_off(self.rows.len().saturating_sub(ROWS_PER_PART));
        let removed = std::mem::take(&mut self.removed).into_iter();
        ListChange {
            snapshot: self.snapshot && is_first,
            changed: keys.iter().filter_map(|key| rows.get(key).cloned()).collect(),
            // Made again meanwhile, it is told as a change.
            removed: removed.filter(|key| rows.get(key).is_none()).map(|key| key.to_string()).collect(),
            more: !self.rows.is_empty(),
            at: self.at,
        }
    }

    fn queue_part(
        &mut self,
        broker: &Broker,
        sampled: parking_lot::RwLockReadGuard<'_, Sampled>,
        is_first: bool,
    ) -> QueueChange {
        let mut change =
            QueueChange { snapshot: self.snapshot && is_first, at: self.at, ..QueueChange::default() };
        let is_there = |key: &str| {
            let (vhost, name) = key.split_once('\n').unwrap_or_default();
            broker.vhost(vhost).is_some_and(|vhost| vhost.topology().queue(name).is_some())
        };
        let removed = std::mem::take(&mut self.removed).into_iter().filter(|key| !is_there(key));
        change.removed = removed.map(|key| key.to_string()).collect();
        if !self.queues.is_empty() {
            let uids = self.queues.split_off(self.queues.len().saturating_sub(QUEUES_PER_PART));
            let known: Vec<_> = uids
                .iter()
                .filter_map(|uid| {
                    let row = sampled.queues.get(uid)?;
                    Some((row.vhost.clone(), row.name.clone(), row.to_figures()))
                })
                .collect();
            change.more = !self.queues.is_empty() || !self.figures.is_empty();
            // Looking them up takes locks that whoever fills the rows may need.
            drop(sampled);
            change.changed = known
                .into_iter()
                .filter_map(|(vhost, name, figures)| {
                    let mut queue = state::queue_alone(broker, &vhost, &name)?;
                    figures.apply(&mut queue);
                    Some(queue)
                })
                .collect();
            return change;
        }
        let uids = self.figures.split_off(self.figures.len().saturating_sub(FIGURES_PER_PART));
        change.more = !self.figures.is_empty();
        let rows = uids.iter().filter_map(|uid| sampled.queues.get(uid));
        change.figures = rows.map(|row| row.to_figures()).collect();
        change
    }
}

/// An event as it goes over the wire.
fn event(topic: Topic, data: &impl Serialize) -> Option<Bytes> {
    let mut text = format!("event: {}\ndata: ", topic.name()).into_bytes();
    if let Err(error) = serde_json::to_writer(&mut text, data) {
        error!(%error, topic = topic.name(), "an event cannot be written");
        return None;
    }
    text.extend_from_slice(b"\n\n");
    Some(text.into())
}

/// The feed as the body of an answer.
struct FeedBody(mpsc::Receiver<Bytes>);

impl hyper::body::Body for FeedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

/// Sent at once, so that who asks knows that somebody answers; and when to come back after an interruption.
const GREETING: &[u8] = b": the live feed\nretry: 1000\n\n";
/// Sent when there is nothing else to say, so that a dead connection or a broker that hangs is noticed.
const STILL_HERE: &[u8] = b": still here\n\n";
/// How long there may be nothing to say.
const SILENCE: Duration = Duration::from_secs(3);
/// How long the first sample may take.
const FIRST_SAMPLE: Duration = Duration::from_secs(2);
/// A reader who wants every sample is to be ready before the next.
const SLACK: Duration = Duration::from_millis(100);
/// Whole queues in one event.
const QUEUES_PER_PART: usize = 250;
/// Figures of queues in one event.
const FIGURES_PER_PART: usize = 2500;
/// Other rows in one event.
const ROWS_PER_PART: usize = 500;
