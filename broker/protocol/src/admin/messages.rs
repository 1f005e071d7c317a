//! Messages in queues: looked at without being touched, and selected for an operation.

use serde::{Deserialize, Serialize};

use super::{Arguments, ChannelDetails};

/// Names a message in its queue for as long as it is there: opaque text, safe in paths.
pub type MessageId = String;

/// `GET /api/queues/{vhost}/{queue}/messages`: some of a queue's messages, in the order in which they would leave.
///
/// Nothing is consumed: no redelivered flag is set and no place in the queue changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MessagePage {
    pub items: Vec<QueuedMessage>,
    /// Where the next page begins; none after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Messages that were looked at for this page, matching or not.
    pub scanned: u64,
}

/// Whether a message waits for a consumer or is with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    #[default]
    Ready,
    Unacked,
    /// Waits for its time, in a delayed exchange or for its next try.
    Delayed,
}

/// One message as it lies in a queue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct QueuedMessage {
    pub id: MessageId,
    pub state: MessageState,
    /// Place in the queue; rises in the order of arrival and is never used again.
    pub position: u64,
    pub exchange: String,
    pub routing_key: String,
    /// The basic properties by their names in AMQP, `headers` among them.
    pub properties: Arguments,
    /// Bytes of the whole body.
    pub payload_bytes: u64,
    /// The body, or its beginning.
    pub payload: String,
    /// How `payload` is written: `string` for UTF-8, else `base64`.
    pub payload_encoding: String,
    /// True when `payload` is only the beginning.
    pub truncated: bool,
    pub redelivered: bool,
    /// How often it was returned.
    pub delivery_count: u64,
    /// When it expires, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When it becomes ready, in milliseconds since 1970; for delayed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<u64>,
    /// What it died of before it came here, the latest death first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<Death>,
    /// Who holds it; for unacknowledged ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// One entry of a message's `x-death` header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Death {
    /// The queue it died in.
    pub queue: String,
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub reason: String,
    /// How often it died there of that.
    pub count: u64,
    /// The exchange it had been published to.
    pub exchange: String,
    pub routing_keys: Vec<String>,
    /// When it died first of that, in seconds since 1970.
    pub time: u64,
}

/// Who holds an unacknowledged message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Holder {
    /// Empty for a message that was fetched by `basic.get`.
    pub consumer_tag: String,
    pub channel_details: ChannelDetails,
    /// When it was handed out, in milliseconds since 1970.
    pub since: u64,
}

/// Which messages of a queue are meant: all that fit every condition given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MessageFilter {
    /// A regular expression that the routing key matches somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<String>,
    /// The exchange it was published to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<String>,
    /// Headers with these values; a `null` asks only that the header is there.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub headers: Arguments,
    /// What it died of last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The queue it died in last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_in: Option<String>,
    /// Text that the body contains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// At least this long in the queue or dead, in milliseconds, as far as the message tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
}

/// The messages that an operation works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// These.
    Ids(Vec<MessageId>),
    /// All ready ones that fit.
    Filter(MessageFilter),
}

impl Default for Selection {
    fn default() -> Selection {
        Selection::Filter(MessageFilter::default())
    }
}
