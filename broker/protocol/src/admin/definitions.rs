//! Definitions: what a broker is set up to be, as one file.
//!
//! The format is RabbitMQ's, of its releases 3 and 4, whole or of one vhost. Operator policies and the limits of vhosts
//! are parameters there, of the components `operator_policy` and `vhost-limits`.

use serde::{Deserialize, Serialize};

use super::policies::{GlobalParameter, Parameter, Policy};
use super::requests::{VhostMetadataSpec, boolean, table, tags};
use super::{Arguments, Permission, TopicPermission};

/// `GET` and `POST /api/definitions`, whole or of one vhost. What is missing is not touched by an import.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Definitions {
    /// Tools look here for the release of RabbitMQ.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rabbit_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rabbitmq_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<DefinedUser>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vhosts: Vec<DefinedVhost>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topic_permissions: Vec<TopicPermission>,
    pub parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub global_parameters: Vec<GlobalParameter>,
    pub policies: Vec<Policy>,
    pub queues: Vec<DefinedQueue>,
    pub exchanges: Vec<DefinedExchange>,
    pub bindings: Vec<DefinedBinding>,
}

/// A user with the hash of the password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedUser {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashing_algorithm: Option<String>,
    /// A list, or text with commas.
    #[serde(deserialize_with = "tags")]
    pub tags: Option<Vec<String>>,
    #[serde(deserialize_with = "table")]
    pub limits: Arguments,
}

/// A vhost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedVhost {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(deserialize_with = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<VhostMetadataSpec>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedQueue {
    pub name: String,
    /// Not in the definitions of one vhost.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost: String,
    /// `classic`, `quorum` or `stream`, where the arguments do not say it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "boolean")]
    pub durable: bool,
    #[serde(deserialize_with = "boolean")]
    pub auto_delete: bool,
    #[serde(deserialize_with = "table")]
    pub arguments: Arguments,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedExchange {
    pub name: String,
    /// Not in the definitions of one vhost.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "boolean")]
    pub durable: bool,
    #[serde(deserialize_with = "boolean")]
    pub auto_delete: bool,
    #[serde(deserialize_with = "boolean")]
    pub internal: bool,
    #[serde(deserialize_with = "table")]
    pub arguments: Arguments,
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedBinding {
    pub source: String,
    /// Not in the definitions of one vhost.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost: String,
    pub destination: String,
    /// `queue` or `exchange`.
    pub destination_type: String,
    pub routing_key: String,
    #[serde(deserialize_with = "table")]
    pub arguments: Arguments,
}

/// What an import changes, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Differences {
    /// Not there yet.
    pub added: Vec<DefinedObject>,
    /// There, and different.
    pub changed: Vec<DefinedObject>,
    /// There and different, which cannot be changed: they stay as they are.
    pub conflicting: Vec<DefinedObject>,
    /// How many are there as defined.
    pub unchanged: u64,
}

/// Something that definitions name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DefinedObject {
    /// `user`, `vhost`, `permission`, `topic permission`, `parameter`, `global parameter`, `policy`, `operator policy`,
    /// `exchange`, `queue` or `binding`.
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vhost: String,
    pub name: String,
    /// What is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
