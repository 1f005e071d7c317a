//! Work on many messages that goes on in the background: move, copy, requeue, delete.

use serde::{Deserialize, Serialize};

use super::messages::{MessageId, Selection};

/// The body of `POST /api/queues/{vhost}/{queue}/move`, `…/copy`, `…/requeue` and `…/delete-messages`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OperationRequest {
    pub selection: Selection,
    /// Where to; needed by move and copy, and not allowed to requeue and delete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<OperationTarget>,
    /// Only says what would happen; nothing is changed.
    pub dry_run: bool,
    /// Messages per second at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Takes the history of deaths off messages that are requeued.
    pub forget_deaths: bool,
    /// Puts messages that are requeued straight into the queue in which each died first, rather than publishing them to
    /// the exchange again, by which other queues may get them a second time.
    pub into_queue: bool,
}

/// Where messages are moved or copied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperationTarget {
    /// This queue of the same vhost.
    Queue(String),
    /// An exchange of the same vhost; without a routing key each message keeps its own.
    Exchange {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        routing_key: Option<String>,
    },
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    Move,
    Copy,
    /// Back to where each message was published when it died.
    Requeue,
    Delete,
}

/// The answer to a dry run: what the operation would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct OperationPlan {
    /// Messages in the queue.
    pub total: u64,
    /// Those that are selected.
    pub selected: u64,
    /// How many go where.
    pub routes: Vec<PlannedRoute>,
    /// How many go elsewhere, when there are too many routes to tell of each.
    pub other: u64,
    /// Selected, but left where they are, by reason.
    pub skipped: Vec<SkippedMessages>,
    /// False when the queue is so long that only its beginning was looked at.
    pub complete: bool,
}

/// The answer to a request for an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum OperationAnswer {
    /// It goes on.
    Started(Operation),
    /// It was a dry run.
    Plan(OperationPlan),
}

/// So many messages would go there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PlannedRoute {
    pub exchange: String,
    pub routing_key: String,
    /// The queues that this reaches now.
    pub queues: Vec<String>,
    pub messages: u64,
}

/// So many messages were or would be left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct SkippedMessages {
    /// `no route`, `never died`, `gone`, `target full`, `write access refused`: a word or two.
    pub reason: String,
    pub messages: u64,
    /// Some of them.
    pub examples: Vec<MessageId>,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    #[default]
    Running,
    Done,
    Cancelled,
    Failed,
    /// The broker stopped while it ran; what it had done is done.
    Interrupted,
}

/// `GET /api/operations/{id}`, and the answer to a request that started one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operation {
    pub id: String,
    pub kind: OperationKind,
    pub state: OperationState,
    pub vhost: String,
    /// The queue whose messages it works on.
    pub queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<OperationTarget>,
    /// Who asked for it.
    pub user: String,
    /// Milliseconds since 1970.
    pub started_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<u64>,
    /// Messages it will look at, as far as known.
    pub total: u64,
    /// Messages it has looked at.
    pub seen: u64,
    /// Messages moved, copied, requeued or deleted.
    pub done: u64,
    #[serde(default)]
    pub skipped: Vec<SkippedMessages>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
