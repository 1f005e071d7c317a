//! What flows where: a vhost as a graph, and where one message would go.

use serde::{Deserialize, Serialize};

use super::Arguments;

/// `GET /api/topology?vhost=…`: who publishes to which exchange, what goes on to which queue, and who takes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopologyGraph {
    pub vhost: String,
    /// When it was taken, in milliseconds since 1970.
    pub at: u64,
    pub nodes: Vec<TopologyNode>,
    pub edges: Vec<TopologyEdge>,
    /// True when the vhost has more than fits and only the busiest part is here.
    pub truncated: bool,
}

/// What a node of the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TopologyKind {
    /// A connection that publishes.
    Publisher,
    #[default]
    Exchange,
    Queue,
    /// A consumer of a queue.
    Consumer,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopologyNode {
    /// `exchange:orders`, `queue:orders.paid`, `consumer:…`, `publisher:…`; the same as long as the thing lives.
    pub id: String,
    pub kind: TopologyKind,
    /// The name of the exchange, queue or connection, or the consumer's tag.
    pub name: String,
    /// Type of the exchange or queue; what the application calls itself, for a publisher or consumer.
    pub detail: String,
    /// Messages that are ready, for a queue.
    pub ready: u64,
    /// Messages that are unacknowledged, for a queue or consumer.
    pub unacked: u64,
    /// Most messages that the queue may hold, where it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Messages per second that come in.
    pub rate_in: f64,
    /// Messages per second that go out.
    pub rate_out: f64,
    /// `running`, `idle`, `paused`, `blocked`, `flow`.
    pub state: String,
}

/// What an edge of the graph means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TopologyLink {
    /// A connection publishes to an exchange.
    Publish,
    #[default]
    /// A binding.
    Binding,
    /// What the exchange cannot route goes there.
    AlternateExchange,
    /// What dies in the queue goes there.
    DeadLetter,
    /// A consumer takes from the queue.
    Consume,
}

/// One edge of the graph. Bindings between the same two are one edge.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TopologyEdge {
    /// A node's id.
    pub from: String,
    /// A node's id.
    pub to: String,
    pub link: TopologyLink,
    /// Routing keys of the bindings, the first few.
    pub keys: Vec<String>,
    /// Bindings that this edge stands for.
    pub bindings: u64,
    /// Messages per second.
    pub rate: f64,
}

/// The body of `POST /api/exchanges/{vhost}/{exchange}/route`: a message that is not sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteRequest {
    pub routing_key: String,
    pub headers: Arguments,
}

/// Where that message would go.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RouteAnswer {
    /// The queues it would reach.
    pub queues: Vec<RoutedQueue>,
    /// Bindings of the exchange that do not match, the first hundred.
    pub unmatched: Vec<UnmatchedBinding>,
    /// The alternate exchange that took it, because nothing matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_exchange: Option<String>,
    /// What else is to be said, such as that one of several queues is chosen by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A queue that a message would reach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RoutedQueue {
    pub queue: String,
    /// Exchanges on the way, this one first.
    pub path: Vec<String>,
    /// The key of the binding that matched last on that way.
    pub routing_key: String,
    pub arguments: Arguments,
}

/// A binding that a message does not match.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct UnmatchedBinding {
    pub destination: String,
    /// `queue` or `exchange`.
    pub destination_type: String,
    pub routing_key: String,
    pub arguments: Arguments,
    /// Why not: `word 2 is 'paid', the message has 'open'`.
    pub reason: String,
}
