//! What requests of RabbitMQ's API carry in their bodies.
//!
//! Tools write numbers and booleans as text now and then (`"durable": "true"`), and RabbitMQ takes them so.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value as Json};

use super::Arguments;
use crate::table::{Table, Value};

/// `PUT /api/exchanges/{vhost}/{exchange}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DeclareExchange {
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

impl Default for DeclareExchange {
    fn default() -> DeclareExchange {
        DeclareExchange {
            kind: "direct".to_owned(),
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: Arguments::default(),
        }
    }
}

/// `PUT /api/queues/{vhost}/{queue}`. As with RabbitMQ a queue is durable only where that is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DeclareQueue {
    #[serde(deserialize_with = "boolean")]
    pub durable: bool,
    #[serde(deserialize_with = "boolean")]
    pub auto_delete: bool,
    #[serde(deserialize_with = "table")]
    pub arguments: Arguments,
}

/// `POST /api/bindings/{vhost}/e/{source}/q/{destination}`, and to exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BindingSpec {
    pub routing_key: String,
    #[serde(deserialize_with = "table")]
    pub arguments: Arguments,
}

/// `POST /api/exchanges/{vhost}/{exchange}/publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Publish {
    pub routing_key: String,
    pub payload: String,
    /// `string` or `base64`.
    pub payload_encoding: String,
    /// The message's properties under AMQP's names.
    #[serde(deserialize_with = "table")]
    pub properties: Arguments,
}

/// The answer to [`Publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Published {
    /// True when a queue got the message.
    pub routed: bool,
}

/// `POST /api/queues/{vhost}/{queue}/get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetMessages {
    /// The most messages to answer with.
    #[serde(deserialize_with = "integer")]
    pub count: i64,
    pub ackmode: AckMode,
    pub encoding: PayloadEncoding,
    /// Bytes of each payload to answer with at most.
    #[serde(default, deserialize_with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub truncate: Option<i64>,
}

/// What becomes of messages that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// They go back to their place.
    AckRequeueTrue,
    /// They are gone.
    AckRequeueFalse,
    /// They go back, as after `basic.reject`, which counts against a delivery limit.
    RejectRequeueTrue,
    /// They are dead-lettered where the queue says so, else gone.
    RejectRequeueFalse,
}

/// How payloads become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PayloadEncoding {
    /// As they are when they are UTF-8, in base64 otherwise.
    Auto,
    Base64,
}

/// A message, as [`GetMessages`] shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GotMessage {
    /// The payload's size, whatever is shown of it.
    pub payload_bytes: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    /// Messages left in the queue behind it.
    pub message_count: u64,
    pub properties: Arguments,
    pub payload: String,
    /// `string` or `base64`.
    pub payload_encoding: String,
}

/// `POST /api/queues/{vhost}/{queue}/actions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueAction {
    /// `sync` and `cancel_sync` are understood, and nothing has to be done for them.
    pub action: String,
}

/// `PUT /api/vhosts/{vhost}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PutVhost {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A list, or text with commas.
    #[serde(deserialize_with = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// `classic`, `quorum` or `stream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
    /// The same again, as definitions of newer releases carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<VhostMetadataSpec>,
}

/// What [`PutVhost`] says a second time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct VhostMetadataSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(deserialize_with = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
}

/// `PUT /api/users/{user}`: a password or its hash, and tags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PutUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// How the hash was made, `rabbit_password_hashing_sha256` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashing_algorithm: Option<String>,
    /// A list, or text with commas.
    #[serde(deserialize_with = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// What oldest tools say instead of tags.
    #[serde(deserialize_with = "optional_boolean", skip_serializing_if = "Option::is_none")]
    pub administrator: Option<bool>,
}

/// `POST /api/users/bulk-delete`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BulkDelete {
    pub users: Vec<String>,
}

/// `PUT /api/permissions/{vhost}/{user}`: patterns over names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutPermission {
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// `PUT /api/topic-permissions/{vhost}/{user}`: patterns over routing keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutTopicPermission {
    pub exchange: String,
    pub write: String,
    pub read: String,
}

/// `PUT /api/policies/{vhost}/{policy}`, and of operator policies; and what is tried with `preview`. What is in the
/// fields is checked as a whole, so that everything wrong with it is said at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PutPolicy {
    /// A regular expression for names.
    pub pattern: Option<Json>,
    /// `queues`, `classic_queues`, `quorum_queues`, `streams`, `exchanges`, or `all` if not given.
    #[serde(rename = "apply-to", skip_serializing_if = "Option::is_none")]
    pub apply_to: Option<Json>,
    /// 0 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Json>,
    pub definition: Option<Json>,
    /// For `preview`: the policy of this name is taken as replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `PUT` of a parameter, of a global parameter, or of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct PutValue {
    pub value: Option<Json>,
}

/// `GET` and `PUT /api/cluster-name`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterName {
    pub name: String,
}

/// `GET /api/auth/attempts/{node}`: logins by one protocol since start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthAttempts {
    /// `amqp091` or `http`.
    pub protocol: String,
    pub auth_attempts: u64,
    pub auth_attempts_failed: u64,
    pub auth_attempts_succeeded: u64,
}

/// Logins from one source since start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AuthAttemptsBySource {
    pub remote_address: String,
    pub username: String,
    #[serde(flatten)]
    pub attempts: AuthAttempts,
}

/// A table from JSON: whole numbers become 64-bit integers, text becomes long strings. Numbers beyond 64 bits, nulls and
/// names longer than the protocol allows are refused.
pub fn table_of(arguments: &Arguments) -> Result<Table, String> {
    let entry = |(name, value): (&String, &Json)| {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "the name '{}...' is longer than 255 bytes",
                name.chars().take(20).collect::<String>()
            ));
        }
        Ok((name.clone(), value_of(value)?))
    };
    arguments.iter().map(entry).collect()
}

fn value_of(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => return Err("null_not_allowed".to_owned()),
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::I64(integer),
            (None, Some(float)) if !number.is_u64() => Value::F64(float),
            _ => return Err(format!("the number {number} does not fit into 64 bits")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => Value::Array(values.iter().map(value_of).collect::<Result<_, _>>()?),
        Json::Object(fields) => Value::Table(table_of(fields)?),
    })
}

const NAME_BYTES_MAX: usize = 255;

/// A boolean, or the text of one.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Json::deserialize(deserializer)? {
        Json::Bool(value) => Ok(value),
        Json::String(text) if text == "true" => Ok(true),
        Json::String(text) if text == "false" => Ok(false),
        other => Err(serde::de::Error::custom(format!("not_boolean: {other}"))),
    }
}

/// A boolean or the text of one, where there is one.
pub fn optional_boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    boolean(deserializer).map(Some)
}

/// A list of tags, or text with commas between.
pub fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let refused = || serde::de::Error::custom("tags must be a list or text with commas");
    let split =
        |text: &str| text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect();
    match Json::deserialize(deserializer)? {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(split(&text))),
        Json::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>().map(Some).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

/// An integer, or the text of one.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let json = Json::deserialize(deserializer)?;
    let number = match &json {
        Json::Number(number) => whole(number),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| serde::de::Error::custom(format!("not_integer: {json}")))
}

/// An integer or the text of one, where there is one.
pub fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    integer(deserializer).map(Some)
}

/// `5.0` is a whole number, too: some tools know no others.
fn whole(number: &Number) -> Option<i64> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
    number.as_i64().or_else(|| float().map(|float| float as i64))
}

/// An object; the empty list and null that some tools write for an empty one are one, too.
pub fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arguments, D::Error> {
    match Json::deserialize(deserializer)? {
        Json::Object(fields) => Ok(fields),
        Json::Null => Ok(Arguments::default()),
        Json::Array(items) if items.is_empty() => Ok(Arguments::default()),
        Json::String(text) if text.is_empty() => Ok(Arguments::default()),
        other => Err(serde::de::Error::custom(format!("expected an object, not {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_write_as_text_is_understood() {
        let queue: DeclareQueue =
            serde_json::from_str(r#"{"durable":"true","auto_delete":"false","arguments":[]}"#)
                .expect("valid");
        assert_eq!(queue, DeclareQueue { durable: true, ..DeclareQueue::default() });
        let get = |count: &str| {
            let body = format!(r#"{{"count":{count},"ackmode":"ack_requeue_true","encoding":"auto"}}"#);
            serde_json::from_str::<GetMessages>(&body).map(|get| get.count).ok()
        };
        assert_eq!([get("1"), get("\"2\""), get("3.0")], [Some(1), Some(2), Some(3)]);
        assert_eq!([get("1.5"), get("null"), get("[]")], [None; 3]);
        assert!(serde_json::from_str::<DeclareQueue>(r#"{"durable":1}"#).is_err());
    }

    #[test]
    fn json_becomes_a_table() {
        let of = |json: Json| table_of(json.as_object().expect("an object"));
        let table = of(serde_json::json!({"n": -5, "f": 1.5, "t": "x", "b": true, "l": [1, {"a": "b"}]}));
        let inner = Value::Table(Table::from([("a", Value::from("b"))]));
        assert_eq!(
            table,
            Ok(Table::from([
                ("b", Value::Bool(true)),
                ("f", Value::F64(1.5)),
                ("l", Value::Array(vec![Value::I64(1), inner])),
                ("n", Value::I64(-5)),
                ("t", Value::from("x")),
            ]))
        );
        assert_eq!(of(serde_json::json!({"a": null})), Err("null_not_allowed".to_owned()));
        assert!(of(serde_json::json!({"a": u64::MAX})).is_err());
        assert!(of(serde_json::json!({"x".repeat(256): 1})).is_err());
    }
}
