//! The audit log: who changed what, and from where.

use serde::{Deserialize, Serialize};

use super::Arguments;

/// `GET /api/audit?cursor&limit&user&kind&name&since`: the latest changes first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AuditPage {
    pub items: Vec<AuditEntry>,
    /// Where the next page begins; none after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AuditEntry {
    pub id: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    pub user: String,
    /// `amqp`, `http`, or `broker` for what it did by itself.
    pub via: String,
    /// Address of the peer, or the connection's name.
    pub source: String,
    /// `declare`, `delete`, `bind`, `unbind`, `purge`, `put`, `close`, `move`, …
    pub action: String,
    /// `queue`, `exchange`, `binding`, `user`, `vhost`, `permission`, `policy`, `connection`, `definitions`, …
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vhost: Option<String>,
    pub name: String,
    /// What else is to be known, such as arguments or a count.
    pub details: Arguments,
    /// `ok`, or why it was refused.
    pub result: String,
}
