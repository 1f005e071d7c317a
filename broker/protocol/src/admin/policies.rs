//! Policies, limits and parameters.

use serde::{Deserialize, Serialize};

use super::Arguments;
use serde_json::Value as Json;

/// `GET /api/policies` and `GET /api/operator-policies`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Policy {
    pub vhost: String,
    pub name: String,
    /// A regular expression for names.
    pub pattern: String,
    /// `queues`, `classic_queues`, `quorum_queues`, `streams`, `exchanges` or `all`.
    #[serde(rename = "apply-to")]
    pub apply_to: String,
    /// The highest that matches is applied.
    pub priority: i16,
    pub definition: Arguments,
}

/// The answer of `POST /api/policies/{vhost}/preview`: what a policy would change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PolicyPreview {
    /// Names that match, whether or not another policy wins there.
    pub matches: Vec<PolicyMatch>,
}

/// A queue or exchange that a policy's pattern matches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PolicyMatch {
    pub name: String,
    /// `queue` or `exchange`.
    pub kind: String,
    /// The policy that is in effect there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// False when another policy of higher priority stays in effect.
    pub wins: bool,
    /// What would be in effect: policies and operator policies together.
    pub effective: Arguments,
}

/// `GET /api/parameters`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Parameter {
    pub vhost: String,
    pub component: String,
    pub name: String,
    pub value: Json,
}

/// `GET /api/global-parameters`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct GlobalParameter {
    pub name: String,
    pub value: Json,
}

/// `GET /api/vhost-limits`: limits by name, `max-connections` and `max-queues`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct VhostLimits {
    pub vhost: String,
    pub value: Arguments,
}

/// `GET /api/user-limits`: limits by name, `max-connections` and `max-channels`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct UserLimits {
    pub user: String,
    pub value: Arguments,
}
