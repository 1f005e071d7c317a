//! A message that is being written: by hand, from a template, or from one that died.

use leveret_protocol::admin::messages::QueuedMessage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::query::{Method, Request};
use crate::route::encode;

/// A message that is being written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// What the template is called; empty for one that is none.
    pub name: String,
    pub vhost: String,
    pub exchange: String,
    pub routing_key: String,
    /// As typed: what reads as a number or a truth value is one, anything else is text.
    pub headers: Vec<(String, String)>,
    pub content_type: String,
    pub persistent: bool,
    pub correlation_id: String,
    pub reply_to: String,
    pub message_id: String,
    /// As AMQP's property of that name.
    pub r#type: String,
    pub expiration: String,
    pub priority: String,
    pub payload: String,
    pub base64: bool,
}

/// What keeps a draft from being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftProblem {
    /// The priority is no number from 0 to 255.
    Priority,
    /// The expiration is no number of milliseconds.
    Expiration,
    /// The content type says JSON and the body is none.
    NotJson,
    /// The body is not base64.
    NotBase64,
}

impl Draft {
    /// What a JSON message starts with.
    pub fn json(vhost: &str, exchange: &str) -> Draft {
        Draft {
            vhost: vhost.to_owned(),
            exchange: exchange.to_owned(),
            content_type: "application/json".to_owned(),
            persistent: true,
            payload: "{}".to_owned(),
            ..Draft::default()
        }
    }

    /// A copy of a message, as it was published when it died.
    pub fn of(message: &QueuedMessage, vhost: &str) -> Draft {
        let deaths = crate::deaths::deaths_of(message);
        let first = deaths.last();
        let text =
            |name: &str| message.properties.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let headers = message.properties.get("headers").and_then(Json::as_object);
        let headers = headers.into_iter().flatten().filter(|(name, _)| !is_of_broker(name));
        let key = first.and_then(|death| death.routing_keys.first()).unwrap_or(&message.routing_key);
        Draft {
            vhost: vhost.to_owned(),
            exchange: first.map_or(&message.exchange, |death| &death.exchange).clone(),
            routing_key: key.clone(),
            headers: headers.map(|(name, value)| (name.clone(), typed(value))).collect(),
            content_type: text("content_type"),
            persistent: message.properties.get("delivery_mode").and_then(Json::as_u64) == Some(2),
            correlation_id: text("correlation_id"),
            reply_to: text("reply_to"),
            message_id: text("message_id"),
            r#type: text("type"),
            // Its time is over: with it the copy would die at once.
            expiration: String::new(),
            priority: message.properties.get("priority").map(Json::to_string).unwrap_or_default(),
            payload: message.payload.clone(),
            base64: message.payload_encoding == "base64",
            ..Draft::default()
        }
    }

    /// What is wrong with it; not all of it keeps it from being sent.
    pub fn problem(&self) -> Option<DraftProblem> {
        use base64::Engine;
        let is_none = |text: &str| text.trim().is_empty();
        if !is_none(&self.priority) && self.priority.trim().parse::<u8>().is_err() {
            return Some(DraftProblem::Priority);
        }
        if !is_none(&self.expiration) && self.expiration.trim().parse::<u64>().is_err() {
            return Some(DraftProblem::Expiration);
        }
        if self.base64 {
            let read = base64::engine::general_purpose::STANDARD.decode(self.payload.trim());
            return read.is_err().then_some(DraftProblem::NotBase64);
        }
        let says_json = self.content_type.contains("json");
        let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(&self.payload).is_ok();
        (says_json && !is_json()).then_some(DraftProblem::NotJson)
    }

    /// True when it can be sent as it is: a body that is not what its content type says can.
    pub fn can_be_sent(&self) -> bool {
        matches!(self.problem(), None | Some(DraftProblem::NotJson))
    }

    /// The request that publishes it.
    pub fn request(&self) -> Request {
        let mut properties = Map::new();
        properties.insert("delivery_mode".to_owned(), json!(if self.persistent { 2 } else { 1 }));
        for (name, text) in [
            ("content_type", &self.content_type),
            ("correlation_id", &self.correlation_id),
            ("reply_to", &self.reply_to),
            ("message_id", &self.message_id),
            ("type", &self.r#type),
            ("expiration", &self.expiration),
        ] {
            if !text.trim().is_empty() {
                properties.insert(name.to_owned(), json!(text.trim()));
            }
        }
        if let Ok(priority) = self.priority.trim().parse::<u8>() {
            properties.insert("priority".to_owned(), json!(priority));
        }
        let named = self.headers.iter().filter(|(name, _)| !name.trim().is_empty());
        let headers: Map<String, Json> =
            named.map(|(name, text)| (name.trim().to_owned(), value(text))).collect();
        if !headers.is_empty() {
            properties.insert("headers".to_owned(), Json::Object(headers));
        }
        let exchange = if self.exchange.is_empty() { "amq.default" } else { &self.exchange };
        let path = format!("/api/exchanges/{}/{}/publish", encode(&self.vhost), encode(exchange));
        Request::new(Method::Post, path).body(&json!({
            "properties": properties,
            "routing_key": self.routing_key,
            "payload": if self.base64 { self.payload.trim() } else { &self.payload },
            "payload_encoding": if self.base64 { "base64" } else { "string" },
        }))
    }
}

/// A header's value as it was typed.
pub fn value(text: &str) -> Json {
    let text = text.trim();
    match serde_json::from_str(text) {
        Ok(value @ (Json::Number(_) | Json::Bool(_) | Json::Object(_) | Json::Array(_))) => value,
        Ok(Json::String(quoted)) => Json::String(quoted),
        _ => Json::String(text.to_owned()),
    }
}

/// A value as it is typed to be read as the same again.
pub fn typed(value: &Json) -> String {
    match value {
        Json::String(text) if self::value(text) == *value => text.clone(),
        other => other.to_string(),
    }
}

/// Headers that tell what the broker did with a message; a copy starts without them.
fn is_of_broker(name: &str) -> bool {
    name == "x-death"
        || name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
        || name == "x-delivery-count"
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_protocol::admin::messages::Death;

    fn body(draft: &Draft) -> Json {
        serde_json::from_str(draft.request().body.as_deref().unwrap_or_default()).expect("a body")
    }

    #[test]
    fn a_draft_becomes_a_request() {
        let mut draft = Draft::json("/", "");
        draft.routing_key = "q".to_owned();
        draft.headers = vec![("n".to_owned(), " 5 ".to_owned()), (" ".to_owned(), "x".to_owned())];
        draft.priority = "3".to_owned();
        assert_eq!(draft.request().path, "/api/exchanges/%2F/amq.default/publish");
        assert_eq!(
            body(&draft),
            json!({
                "properties": {"delivery_mode": 2, "content_type": "application/json", "priority": 3, "headers": {"n": 5}},
                "routing_key": "q", "payload": "{}", "payload_encoding": "string",
            })
        );
    }

    #[test]
    fn a_copy_of_a_dead_letter_goes_where_the_first_was_published() {
        let properties = json!({
            "delivery_mode": 2, "expiration": "100", "priority": 4, "content_type": "text/plain",
            "headers": {"x-death": [], "x-first-death-queue": "work", "tenant": "7", "tries": 7},
        });
        let death = |exchange: &str, key: &str| Death {
            exchange: exchange.into(),
            routing_keys: vec![key.into()],
            ..Death::default()
        };
        let message = QueuedMessage {
            exchange: "dlx".into(),
            routing_key: "dead".into(),
            properties: properties.as_object().cloned().unwrap_or_default(),
            payload: "hello".into(),
            payload_encoding: "string".into(),
            deaths: vec![death("retry", "r"), death("orders", "paid")],
            ..QueuedMessage::default()
        };
        let draft = Draft::of(&message, "/");
        assert_eq!((draft.exchange.as_str(), draft.routing_key.as_str()), ("orders", "paid"));
        assert_eq!(draft.expiration, "");
        assert_eq!(body(&draft)["properties"]["headers"], json!({"tenant": "7", "tries": 7}));
    }

    #[test]
    fn what_is_wrong_is_told_and_not_all_of_it_stops() {
        let draft = |change: fn(&mut Draft)| {
            let mut draft = Draft::json("/", "x");
            change(&mut draft);
            (draft.problem(), draft.can_be_sent())
        };
        assert_eq!(draft(|_| {}), (None, true));
        assert_eq!(draft(|draft| draft.payload = "{".into()), (Some(DraftProblem::NotJson), true));
        assert_eq!(draft(|draft| draft.priority = "300".into()), (Some(DraftProblem::Priority), false));
        assert_eq!(draft(|draft| draft.expiration = "soon".into()), (Some(DraftProblem::Expiration), false));
        assert_eq!(draft(|draft| draft.base64 = true), (Some(DraftProblem::NotBase64), false));
    }

    #[test]
    fn values_are_typed_as_they_are_read() {
        for value in
            [json!("text"), json!("5"), json!(5), json!(true), json!("true"), json!([1]), json!("a\"b")]
        {
            assert_eq!(self::value(&typed(&value)), value, "{value}");
        }
    }
}
