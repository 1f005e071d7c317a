//! The live feed: a snapshot, then what changes.
//!
//! `GET /api/events` answers with server-sent events. Each has the name of its [`Topic`] as `event` and an
//! [`EventData`] as `data`. The first of each topic is a snapshot; whoever reads slowly gets fewer and newer ones. A long
//! list comes in parts: its first is the snapshot, the others follow as changes, and all but the last say `more`.

use serde::{Deserialize, Serialize};

use super::operations::Operation;
use super::{Channel, Connection, Consumer, Exchange, Overview, Queue, Rate};

/// What can be subscribed to, in `?topics=a,b`; all of them when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    Overview,
    Queues,
    Exchanges,
    Connections,
    Channels,
    Consumers,
    Alarms,
    Operations,
    /// Something was declared, deleted, bound or unbound: lists that are shown may be fetched again.
    Topology,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 9] = [
        Topic::Overview,
        Topic::Queues,
        Topic::Exchanges,
        Topic::Connections,
        Topic::Channels,
        Topic::Consumers,
        Topic::Alarms,
        Topic::Operations,
        Topic::Topology,
    ];

    /// As it is written in paths and events.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Overview => "overview",
            Topic::Queues => "queues",
            Topic::Exchanges => "exchanges",
            Topic::Connections => "connections",
            Topic::Channels => "channels",
            Topic::Consumers => "consumers",
            Topic::Alarms => "alarms",
            Topic::Operations => "operations",
            Topic::Topology => "topology",
        }
    }

    /// The topic of this name.
    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// What one event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "topic", rename_all = "lowercase")]
pub enum EventData {
    /// Boxed, because it is much larger than the others.
    Overview(Box<Overview>),
    Queues(QueueChange),
    Exchanges(ListChange<Exchange>),
    Connections(ListChange<Connection>),
    Channels(ListChange<Channel>),
    Consumers(ListChange<Consumer>),
    Alarms(AlarmReport),
    Operations(ListChange<Operation>),
    Topology {
        /// Rises with every change of exchanges, queues, bindings and policies.
        generation: u64,
    },
}

/// What changed in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ListChange<T> {
    /// True when `changed`, with the parts that follow, is all there is, and anything else known before is gone.
    pub snapshot: bool,
    /// New ones and those that changed, whole.
    pub changed: Vec<T>,
    /// Keys of those that are gone: `vhost` and name of queues and exchanges, the channel's name and the tag of consumers,
    /// separated by a line feed, else the name or id.
    pub removed: Vec<String>,
    /// True when further parts of this follow at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: bool,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

impl<T> Default for ListChange<T> {
    fn default() -> ListChange<T> {
        ListChange { snapshot: false, changed: Vec::new(), removed: Vec::new(), more: false, at: 0 }
    }
}

/// What changed among queues. Mostly only figures do, of many queues at a time: then only those are told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueChange {
    /// True when `changed`, with the parts that follow, is all there is, and anything else known before is gone.
    pub snapshot: bool,
    /// New ones and those that changed otherwise than in figures, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Queue>,
    /// Figures of those that are known already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<QueueFigures>,
    /// Keys of those that are gone: `vhost` and name, separated by a line feed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// True when further parts of this follow at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: bool,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// The figures of a queue that change while messages flow. What is zero is left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueueFigures {
    pub vhost: String,
    pub name: String,
    pub state: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub consumers: u16,
    #[serde(skip_serializing_if = "is_zero")]
    pub consumer_utilisation: f32,
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_ready: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_unacknowledged: u64,
    /// Per second, and below zero where there are fewer than before.
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_ready_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_unacknowledged_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub message_bytes_ready: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub message_bytes_unacknowledged: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub messages_ram: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub message_bytes_ram: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub publish: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub publish_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub deliver: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub deliver_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub deliver_no_ack: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub deliver_no_ack_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub get: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub get_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub get_no_ack: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub get_no_ack_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub redeliver: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub redeliver_rate: f64,
    #[serde(skip_serializing_if = "is_zero")]
    pub ack: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub ack_rate: f64,
}

impl QueueFigures {
    /// Brings a queue that is known up to date.
    pub fn apply(&self, queue: &mut Queue) {
        let rate = Rate::new;
        if !self.state.is_empty() {
            queue.state.clone_from(&self.state);
        }
        queue.consumers = self.consumers;
        queue.consumer_utilisation = self.consumer_utilisation;
        queue.consumer_capacity = self.consumer_utilisation;
        let totals = &mut queue.totals;
        totals.messages_ready = self.messages_ready;
        totals.messages_unacknowledged = self.messages_unacknowledged;
        totals.messages = self.messages_ready + self.messages_unacknowledged;
        totals.messages_ready_details = rate(self.messages_ready_rate);
        totals.messages_unacknowledged_details = rate(self.messages_unacknowledged_rate);
        totals.messages_details = rate(self.messages_ready_rate + self.messages_unacknowledged_rate);
        queue.message_bytes_ready = self.message_bytes_ready;
        queue.message_bytes_unacknowledged = self.message_bytes_unacknowledged;
        queue.message_bytes = self.message_bytes_ready + self.message_bytes_unacknowledged;
        queue.messages_ram = self.messages_ram;
        queue.message_bytes_ram = self.message_bytes_ram;
        queue.memory = self.message_bytes_ram;
        let stats = &mut queue.message_stats;
        (stats.publish, stats.publish_details) = (self.publish, rate(self.publish_rate));
        (stats.deliver, stats.deliver_details) = (self.deliver, rate(self.deliver_rate));
        (stats.deliver_no_ack, stats.deliver_no_ack_details) =
            (self.deliver_no_ack, rate(self.deliver_no_ack_rate));
        (stats.get, stats.get_details) = (self.get, rate(self.get_rate));
        (stats.get_no_ack, stats.get_no_ack_details) = (self.get_no_ack, rate(self.get_no_ack_rate));
        (stats.redeliver, stats.redeliver_details) = (self.redeliver, rate(self.redeliver_rate));
        (stats.ack, stats.ack_details) = (self.ack, rate(self.ack_rate));
        stats.deliver_get = self.deliver + self.deliver_no_ack + self.get + self.get_no_ack;
        stats.deliver_get_details =
            rate(self.deliver_rate + self.deliver_no_ack_rate + self.get_rate + self.get_no_ack_rate);
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// `GET /api/alarms`: what runs short, why, and who fills it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AlarmReport {
    pub alarms: Vec<AlarmCause>,
    /// Bytes of memory in use, and at how many publishers are stopped.
    pub memory_used: u64,
    pub memory_limit: u64,
    /// Bytes of free disk, and below how many publishers are stopped.
    pub disk_free: u64,
    pub disk_free_limit: u64,
    /// Connections that are stopped now.
    pub blocked_connections: u64,
    /// Those that publish most, the busiest first.
    pub top_publishers: Vec<TopPublisher>,
    /// Queues that hold most, the largest first.
    pub top_queues: Vec<TopQueue>,
}

/// One alarm that is on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AlarmCause {
    /// `memory` or `disk`.
    pub resource: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// In words: what is how far over which limit.
    pub cause: String,
    /// What helps.
    pub remedy: String,
}

/// A connection that publishes much.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopPublisher {
    pub connection: String,
    pub user: String,
    pub vhost: String,
    /// What the client calls itself.
    pub application: String,
    /// Messages per second.
    pub rate: f64,
    /// Bytes received per second.
    pub bytes_rate: f64,
}

/// A queue that holds much.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopQueue {
    pub vhost: String,
    pub name: String,
    pub messages: u64,
    pub message_bytes: u64,
    pub consumers: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_small_on_the_wire_and_bring_a_queue_up_to_date() {
        let figures = QueueFigures {
            vhost: "/".to_owned(),
            name: "q".to_owned(),
            state: "running".to_owned(),
            messages_ready: 3,
            messages_unacknowledged: 1,
            messages_ready_rate: -2.5,
            publish: 9,
            deliver: 4,
            deliver_rate: 2.0,
            get: 1,
            ..QueueFigures::default()
        };
        let text = serde_json::to_string(&figures).expect("serialises");
        assert_eq!(
            text,
            r#"{"vhost":"/","name":"q","state":"running","messages_ready":3,"messages_unacknowledged":1,"messages_ready_rate":-2.5,"publish":9,"deliver":4,"deliver_rate":2.0,"get":1}"#
        );
        assert_eq!(serde_json::from_str::<QueueFigures>(&text).expect("reads back"), figures);
        let mut queue = Queue { durable: true, ..Queue::default() };
        figures.apply(&mut queue);
        assert!(queue.durable);
        assert_eq!((queue.totals.messages, queue.message_stats.deliver_get), (4, 5));
        assert_eq!(queue.totals.messages_details.per_second(), -2.5);
        assert_eq!(queue.message_stats.deliver_get_details.per_second(), 2.0);
    }

    #[test]
    fn topics_are_named_as_they_are_written() {
        for topic in Topic::ALL {
            assert_eq!(serde_json::to_value(topic).expect("serialises"), topic.name());
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
        }
    }
}
