//! Messages between AMQP and JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_core::message::Message;
use leveret_core::session::host::Got;
use leveret_protocol::admin::requests::{GotMessage, PayloadEncoding, table_of};
use leveret_protocol::admin::{Arguments, arguments};
use leveret_protocol::properties::{Properties, PropertiesView};
use serde_json::Value as Json;

use super::error::ApiError;

/// A payload in the encoding that a request names.
pub fn decode(payload: String, encoding: &str) -> Result<Vec<u8>, ApiError> {
    match encoding {
        "string" => Ok(payload.into_bytes()),
        "base64" => BASE64.decode(payload).map_err(|_| ApiError::bad_request("payload is not valid base64")),
        other => Err(ApiError::bad_request(format!("unsupported_encoding: {other}"))),
    }
}

/// A payload as text, and what was made of it.
pub fn encode(payload: &[u8], encoding: PayloadEncoding) -> (String, &'static str) {
    match (encoding, std::str::from_utf8(payload)) {
        (PayloadEncoding::Auto, Ok(text)) => (text.to_owned(), "string"),
        _ => (BASE64.encode(payload), "base64"),
    }
}

/// A message that was got, of whose payload `truncate` bytes are shown at most.
pub fn got(got: &Got, encoding: PayloadEncoding, truncate: Option<usize>) -> GotMessage {
    let message = &got.message;
    let shown = truncate.unwrap_or(usize::MAX).min(message.body().len());
    let (payload, payload_encoding) = encode(&message.body()[..shown], encoding);
    GotMessage {
        payload_bytes: message.body().len() as u64,
        redelivered: got.redelivered,
        exchange: message.exchange().to_owned(),
        routing_key: message.routing_key().to_owned(),
        message_count: got.remaining.into(),
        properties: properties(message),
        payload,
        payload_encoding: payload_encoding.to_owned(),
    }
}

/// A message's properties, those that it has.
pub fn properties(message: &Message) -> Arguments {
    let raw = message.wire_properties();
    // They were decoded when the message came.
    let decoded = PropertiesView::validate(&raw).and_then(PropertiesView::to_properties).unwrap_or_default();
    let mut shown = Arguments::new();
    let mut add = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value);
        }
    };
    add("content_type", decoded.content_type.map(Json::from));
    add("content_encoding", decoded.content_encoding.map(Json::from));
    add("headers", decoded.headers.map(|headers| Json::Object(arguments(&headers))));
    add("delivery_mode", decoded.delivery_mode.map(Json::from));
    add("priority", decoded.priority.map(Json::from));
    add("correlation_id", decoded.correlation_id.map(Json::from));
    add("reply_to", decoded.reply_to.map(Json::from));
    add("expiration", decoded.expiration.map(Json::from));
    add("message_id", decoded.message_id.map(Json::from));
    add("timestamp", decoded.timestamp.map(Json::from));
    add("type", decoded.kind.map(Json::from));
    add("user_id", decoded.user_id.map(Json::from));
    add("app_id", decoded.app_id.map(Json::from));
    add("cluster_id", decoded.cluster_id.map(Json::from));
    shown
}

/// Raw properties from a request. Names that AMQP does not know are passed over.
pub fn raw_properties(given: &Arguments) -> Result<Vec<u8>, ApiError> {
    let refused = |what: &str, name: &str| ApiError::bad_request(format!("{what}: {name}"));
    let text = |name: &str| match given.get(name) {
        None => Ok(None),
        Some(Json::String(text)) if text.len() <= SHORT_STRING_MAX => Ok(Some(text.clone())),
        Some(_) => Err(refused("not_string", name)),
    };
    let octet = |name: &str| match given.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64().and_then(|value| u8::try_from(value).ok()) {
            Some(value) => Ok(Some(value)),
            None => Err(refused("not_int", name)),
        },
    };
    let timestamp = match given.get("timestamp") {
        None => None,
        Some(value) if value.is_u64() => value.as_u64(),
        Some(_) => return Err(refused("not_int", "timestamp")),
    };
    let headers = match given.get("headers") {
        None => None,
        Some(Json::Object(headers)) => Some(table_of(headers).map_err(ApiError::bad_request)?),
        Some(Json::Array(items)) if items.is_empty() => None,
        Some(_) => return Err(refused("not_object", "headers")),
    };
    let properties = Properties {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers,
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: text("expiration")?,
        message_id: text("message_id")?,
        timestamp,
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    };
    let mut raw = Vec::new();
    properties.encode(&mut raw);
    // Tables may be nested too deep for the wire.
    PropertiesView::validate(&raw).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(raw)
}

const SHORT_STRING_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_come_back_as_they_were_given() {
        let given = json!({
            "content_type": "text/plain", "headers": {"a": 1, "b": ["x"]}, "delivery_mode": 2, "priority": 5,
            "correlation_id": "c", "expiration": "100", "timestamp": 1_700_000_000, "type": "t", "app_id": "a",
        });
        let raw = raw_properties(given.as_object().expect("an object")).expect("valid");
        let message = Message::new("x", "k", &raw, b"body");
        assert_eq!(Json::Object(properties(&message)), given);
        assert!(message.is_persistent());
    }

    #[test]
    fn properties_of_a_wrong_type_are_refused() {
        for given in [
            json!({"delivery_mode": "2"}),
            json!({"priority": 256}),
            json!({"timestamp": -1}),
            json!({"content_type": 1}),
            json!({"content_type": "x".repeat(256)}),
            json!({"headers": "x"}),
            json!({"headers": {"a": null}}),
        ] {
            assert!(raw_properties(given.as_object().expect("an object")).is_err(), "{given}");
        }
        assert!(raw_properties(json!({"unknown": 1, "headers": []}).as_object().expect("an object")).is_ok());
    }

    #[test]
    fn payloads_are_text_where_they_can_be() {
        assert_eq!(encode("ü".as_bytes(), PayloadEncoding::Auto), ("ü".to_owned(), "string"));
        assert_eq!(encode(b"\xff", PayloadEncoding::Auto), ("/w==".to_owned(), "base64"));
        assert_eq!(encode(b"a", PayloadEncoding::Base64), ("YQ==".to_owned(), "base64"));
        assert_eq!(decode("YQ==".to_owned(), "base64").ok(), Some(b"a".to_vec()));
        assert!(decode("!".to_owned(), "base64").is_err() && decode(String::new(), "hex").is_err());
    }
}
