//! The live feed: a snapshot, then what changes.
//!
//! `GET /api/events` answers with server-sent events. Each has the name of its [`Topic`] as `event` and an
//! [`EventData`] as `data`. The first of each topic is a snapshot; whoever reads slowly gets fewer and newer ones.

use serde::{Deserialize, Serialize};

use super::operations::Operation;
use super::{Channel, Connection, Consumer, Exchange, Overview, Queue};

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

/// What one event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "topic", rename_all = "lowercase")]
pub enum EventData {
    /// Boxed, because it is much larger than the others.
    Overview(Box<Overview>),
    Queues(ListChange<Queue>),
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
    /// True when `changed` is all there is, and anything else known before is gone.
    pub snapshot: bool,
    /// New ones and those that changed, whole.
    pub changed: Vec<T>,
    /// Keys of those that are gone: `vhost` and name of queues and exchanges, separated by a line feed, else the name.
    pub removed: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

impl<T> Default for ListChange<T> {
    fn default() -> ListChange<T> {
        ListChange { snapshot: false, changed: Vec::new(), removed: Vec::new(), at: 0 }
    }
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
