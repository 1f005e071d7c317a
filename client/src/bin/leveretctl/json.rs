//! Messages and AMQP values as JSON.
//!
//! ```json
//! {"exchange":"logs","routing_key":"a.b","redelivered":false,
//!  "properties":{"delivery_mode":2,"headers":{"n":3}},"body":"text"}
//! ```
//!
//! A body that is not UTF-8 is `body_base64`. AMQP values that JSON has no word for are objects with one key that
//! begins with `$`: `{"$timestamp":1700000000}`, `{"$base64":"..."}` for bytes and for strings that are not UTF-8,
//! `{"$decimal":[2,314]}`. Integers of any width come back as 64-bit ones.

use crate::output::Received;
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use leveret_client::{Message, Properties, Table, Value, lapin::types};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// A message on a line of its own. Every field may be missing in what is read.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redelivered: Option<bool>,
    /// Messages left in the queue, for those that were taken with get.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_count: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    properties: JsonProperties,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonProperties {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Map<String, Json>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_mode: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl JsonMessage {
    pub fn new(received: &Received) -> Self {
        let (body, body_base64) = match std::str::from_utf8(received.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(received.body))),
        };
        let properties = received.properties.clone();
        JsonMessage {
            exchange: Some(received.exchange.to_owned()),
            routing_key: Some(received.routing_key.to_owned()),
            redelivered: Some(received.redelivered),
            message_count: received.message_count,
            properties: JsonProperties {
                content_type: properties.content_type,
                content_encoding: properties.content_encoding,
                headers: properties.headers.as_ref().map(table_to_json),
                delivery_mode: properties.delivery_mode,
                priority: properties.priority,
                correlation_id: properties.correlation_id,
                reply_to: properties.reply_to,
                expiration: properties.expiration,
                message_id: properties.message_id,
                timestamp: properties.timestamp,
                kind: properties.kind,
                user_id: properties.user_id,
                app_id: properties.app_id,
                cluster_id: properties.cluster_id,
            },
            body,
            body_base64,
        }
    }

    /// The message to publish, with what is missing taken from `template`. A template that names a target wins over
    /// the line: lines often come from `consume`, and say where the message was.
    pub fn into_message(self, template: &Message, target_from_line: bool) -> anyhow::Result<Message> {
        let body = match (self.body, self.body_base64) {
            (Some(text), None) => text.into(),
            (None, Some(encoded)) => STANDARD.decode(encoded).context("body_base64 is not base64")?.into(),
            (None, None) => template.body.clone(),
            (Some(_), Some(_)) => bail!("both body and body_base64"),
        };
        let (line, default) = (self.properties, template.properties.clone());
        let mut headers = default.headers;
        if let Some(more) = line.headers {
            let headers = headers.get_or_insert_with(Table::default);
            for (name, value) in more {
                headers.insert(shortstr(&name)?, json_to_value(value)?);
            }
        }
        let (mut exchange, mut routing_key) = (template.exchange.clone(), template.routing_key.clone());
        if target_from_line {
            exchange = self.exchange.unwrap_or(exchange);
            routing_key = self.routing_key.unwrap_or(routing_key);
        }
        Ok(Message {
            exchange,
            routing_key,
            mandatory: template.mandatory,
            properties: Properties {
                content_type: line.content_type.or(default.content_type),
                content_encoding: line.content_encoding.or(default.content_encoding),
                headers,
                delivery_mode: line.delivery_mode.or(default.delivery_mode),
                priority: line.priority.or(default.priority),
                correlation_id: line.correlation_id.or(default.correlation_id),
                reply_to: line.reply_to.or(default.reply_to),
                expiration: line.expiration.or(default.expiration),
                message_id: line.message_id.or(default.message_id),
                timestamp: line.timestamp.or(default.timestamp),
                kind: line.kind.or(default.kind),
                user_id: line.user_id.or(default.user_id),
                app_id: line.app_id.or(default.app_id),
                cluster_id: line.cluster_id.or(default.cluster_id),
            },
            body,
        })
    }
}

/// `name=text` or `name:=JSON`.
pub fn parse_argument(text: &str) -> anyhow::Result<(String, Value)> {
    let (name, value) = text.split_once('=').context("expected NAME=TEXT or NAME:=JSON")?;
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => {
            let json = serde_json::from_str(value).with_context(|| format!("'{value}' is not JSON"))?;
            (name, json_to_value(json)?)
        }
        None => (name, Value::LongString(value.into())),
    };
    shortstr(name)?;
    Ok((name.to_owned(), value))
}

/// `name=text` or `name:=JSON`, for what goes over HTTP.
pub fn parse_json_argument(text: &str) -> anyhow::Result<(String, Json)> {
    let (name, value) = text.split_once('=').context("expected NAME=TEXT or NAME:=JSON")?;
    match name.strip_suffix(':') {
        Some(name) => {
            let json = serde_json::from_str(value).with_context(|| format!("'{value}' is not JSON"))?;
            Ok((name.to_owned(), json))
        }
        None => Ok((name.to_owned(), value.into())),
    }
}

/// As [`parse_json_argument`], and a name alone, whatever its value.
pub fn parse_json_condition(text: &str) -> anyhow::Result<(String, Json)> {
    if text.contains('=') { parse_json_argument(text) } else { Ok((text.to_owned(), Json::Null)) }
}

fn json_to_value(json: Json) -> anyhow::Result<Value> {
    Ok(match json {
        Json::Null => Value::Void,
        Json::Bool(bool) => Value::Boolean(bool),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::LongLongInt(integer),
            None => Value::Double(number.as_f64().context("a number AMQP cannot express")?),
        },
        Json::String(text) => Value::LongString(text.into()),
        Json::Array(items) => {
            let items: anyhow::Result<Vec<Value>> = items.into_iter().map(json_to_value).collect();
            Value::FieldArray(items?.into())
        }
        Json::Object(map) => match special(&map)? {
            Some(value) => value,
            None => {
                let mut table = Table::default();
                for (name, value) in map {
                    table.insert(shortstr(&name)?, json_to_value(value)?);
                }
                Value::FieldTable(table)
            }
        },
    })
}

/// The value of an object such as `{"$timestamp": 1700000000}`.
fn special(map: &Map<String, Json>) -> anyhow::Result<Option<Value>> {
    let Some((name, json)) = map.iter().next().filter(|(name, _)| map.len() == 1 && name.starts_with('$'))
    else {
        return Ok(None);
    };
    let value = match name.as_str() {
        "$timestamp" => json.as_u64().map(Value::Timestamp),
        "$base64" => json
            .as_str()
            .and_then(|text| STANDARD.decode(text).ok())
            .map(|bytes| Value::ByteArray(bytes.into())),
        "$decimal" => serde_json::from_value::<(u8, u32)>(json.clone())
            .ok()
            .map(|(scale, value)| Value::DecimalValue(types::DecimalValue { scale, value })),
        _ => return Ok(None),
    };
    value.map(Some).with_context(|| format!("{name} does not hold what it should"))
}

fn table_to_json(table: &Table) -> Map<String, Json> {
    table.into_iter().map(|(name, value)| (name.to_string(), value_to_json(value))).collect()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Boolean(bool) => json!(bool),
        Value::ShortShortInt(integer) => json!(integer),
        Value::ShortShortUInt(integer) => json!(integer),
        Value::ShortInt(integer) => json!(integer),
        Value::ShortUInt(integer) => json!(integer),
        Value::LongInt(integer) => json!(integer),
        Value::LongUInt(integer) => json!(integer),
        Value::LongLongInt(integer) => json!(integer),
        // Not finite: JSON has no word for it.
        Value::Float(float) => json!(float),
        Value::Double(float) => json!(float),
        Value::DecimalValue(decimal) => json!({"$decimal": [decimal.scale, decimal.value]}),
        Value::ShortString(text) => json!(text.as_str()),
        Value::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => json!(text),
            Err(_) => json!({"$base64": STANDARD.encode(text.as_bytes())}),
        },
        Value::FieldArray(items) => items.as_slice().iter().map(value_to_json).collect(),
        Value::Timestamp(seconds) => json!({"$timestamp": seconds}),
        Value::FieldTable(table) => Json::Object(table_to_json(table)),
        Value::ByteArray(bytes) => json!({"$base64": STANDARD.encode(bytes.as_slice())}),
        Value::Void => Json::Null,
    }
}

fn shortstr(name: &str) -> anyhow::Result<types::ShortString> {
    types::ShortString::try_new(name).map_err(|error| anyhow::anyhow!("name '{name:.20}...': {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> anyhow::Result<Message> {
        let message: JsonMessage = serde_json::from_str(line)?;
        message.into_message(&Message::new("x", "k", "template body").persistent(), true)
    }

    #[test]
    fn a_line_overrides_the_options() {
        let message =
            read(r#"{"routing_key":"other","properties":{"priority":3},"body":"hi"}"#).expect("valid");
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("x", "other"));
        assert_eq!((message.properties.priority, message.properties.delivery_mode), (Some(3), Some(2)));
        assert_eq!(message.body, "hi");
        assert_eq!(read("{}").expect("valid").body, "template body");
        assert_eq!(&read(r#"{"body_base64":"/wA="}"#).expect("valid").body[..], [0xff, 0]);
    }

    #[test]
    fn lines_with_mistakes_are_refused() {
        let check = |line: &str| assert!(read(line).is_err(), "{line}");
        check("not json");
        check(r#"{"bodi":"typo"}"#);
        check(r#"{"properties":{"prio":3}}"#);
        check(r#"{"properties":{"priority":300}}"#);
        check(r#"{"body":"a","body_base64":"YQ=="}"#);
        check(r#"{"body_base64":"*"}"#);
        check(&format!(r#"{{"properties":{{"headers":{{"{}":1}}}}}}"#, "n".repeat(256)));
        check(r#"{"properties":{"headers":{"t":{"$timestamp":"late"}}}}"#);
    }

    #[test]
    fn values_survive_the_way_through_json() {
        let check = |text: &str| {
            let json: Json = serde_json::from_str(text).expect("valid");
            let value = json_to_value(json.clone()).expect("expressible");
            assert_eq!(value_to_json(&value), json, "{text}");
        };
        check("null");
        check("true");
        check("-9223372036854775808");
        check("1.5");
        check(r#""text""#);
        check(r#"[1,["a",{"b":null}]]"#);
        check(r#"{"$timestamp":1700000000}"#);
        check(r#"{"$base64":"/wA="}"#);
        check(r#"{"$decimal":[2,314]}"#);
        check(r#"{"$other":1}"#);
        check(r#"{"$timestamp":1,"and":"more"}"#);
    }

    #[test]
    fn arguments_are_text_or_json() {
        let check = |text: &str, name: &str, value: Value| {
            assert_eq!(parse_argument(text).expect(text), (name.to_owned(), value));
        };
        check("a=b", "a", Value::LongString("b".into()));
        check("a=", "a", Value::LongString("".into()));
        check("a=b=c", "a", Value::LongString("b=c".into()));
        check("a:=3", "a", Value::LongLongInt(3));
        check("a:=true", "a", Value::Boolean(true));
        assert_eq!(parse_json_argument("a:=[1]").expect("JSON"), ("a".to_owned(), json!([1])));
        assert_eq!(parse_json_condition("a=1").expect("text"), ("a".to_owned(), json!("1")));
        assert_eq!(parse_json_condition("a").expect("a name"), ("a".to_owned(), Json::Null));
        assert!(parse_json_argument("a").is_err() && parse_json_argument("a:=b").is_err());
        assert!(parse_argument("a").is_err());
        assert!(parse_argument("a:=b").is_err());
        assert!(parse_argument(&format!("{}=x", "n".repeat(256))).is_err());
    }
}
