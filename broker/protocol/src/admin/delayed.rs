//! Messages that wait for their time in a delayed exchange.

use serde::{Deserialize, Serialize};

use super::Arguments;

/// `GET /api/exchanges/{vhost}/{exchange}/delayed`: some of what waits there, the next due first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DelayedPage {
    pub items: Vec<DelayedMessage>,
    /// Where the next page begins; none after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// All that wait there.
    pub total: u64,
}

/// One message that waits for its time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DelayedMessage {
    /// Names it in paths.
    pub id: String,
    pub exchange: String,
    pub routing_key: String,
    /// When it goes on, in milliseconds since 1970.
    pub due_at: u64,
    pub properties: Arguments,
    /// Bytes of the whole body.
    pub payload_bytes: u64,
    /// The body, or its beginning.
    pub payload: String,
    /// `string` for UTF-8, else `base64`.
    pub payload_encoding: String,
    /// True when `payload` is only the beginning.
    pub truncated: bool,
}

/// `DELETE /api/exchanges/{vhost}/{exchange}/delayed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DelayedPurged {
    /// How many messages were dropped.
    pub purged: u64,
}
