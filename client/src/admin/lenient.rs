//! Reading what brokers write, RabbitMQ of several versions among them.
//!
//! Most answers are read as they are. One that does not fit is read again with what is known to be written in more than
//! one way put right: `null` and `[]` where nothing is known, tags as one text, numbers out of range.

use leveret_protocol::admin::{ErrorBody, Page};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Result};

/// Reads an answer; an empty one counts as `null`.
pub fn read<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T> {
    let body = if body.is_empty() { b"null" } else { body };
    let first = match serde_json::from_slice(body) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let unreadable =
        |error: &serde_json::Error| Error::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let mut value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    put_right(&mut value);
    T::deserialize(value).map_err(|_| unreadable(&first))
}

/// Reads a list, whether it is a page or all of it.
pub fn read_page<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<Page<T>> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_list {
        return read(path, body);
    }
    let items: Vec<T> = read(path, body)?;
    let count = items.len();
    Ok(Page {
        filtered_count: count,
        item_count: count,
        items,
        page: 1,
        page_count: 1,
        page_size: count,
        total_count: count,
    })
}

/// What a broker says of a failure. Some reasons of RabbitMQ are tables.
pub fn error_body(body: &[u8]) -> Option<ErrorBody> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    value.is_object().then(|| ErrorBody { error: text("error"), reason: text("reason") })
}

/// JSON with what is written in more than one way put right.
pub fn put_right_text(body: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    put_right(&mut value);
    serde_json::to_vec(&value).ok()
}

fn put_right(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(put_right),
        Value::Object(fields) => {
            fields.retain(|name, value| !stands_for_nothing(name, value));
            for (name, value) in fields.iter_mut() {
                if name == "tags"
                    && let Value::String(tags) = value
                {
                    let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                    *value = tags.map(Value::from).collect();
                }
                if let Value::Number(number) = value
                    && let Some(right) = right_number(name, number)
                {
                    *value = right;
                }
                // What people wrote themselves stays as it is.
                if name != "arguments" && name != "client_properties" && !name.ends_with("definition") {
                    put_right(value);
                }
            }
        }
        _ => {}
    }
}

fn stands_for_nothing(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty() && is_table(name),
        Value::String(text) => {
            matches!(text.as_str(), "undefined" | "unknown" | "not_available") && !is_text(name)
        }
        _ => false,
    }
}

/// Fields that are tables, however an empty one is written.
fn is_table(name: &str) -> bool {
    name.ends_with("_details") && name != "consumer_details"
        || name.ends_with("definition")
        || name.ends_with("_stats")
        || name.ends_with("_totals")
        || name.ends_with("_rates")
        || matches!(
            name,
            "arguments"
                | "capabilities"
                | "client_properties"
                | "cluster_state"
                | "headers"
                | "limits"
                | "metadata"
                | "properties"
                | "value"
        )
}

/// Fields that hold text, in which such a word is a word.
fn is_text(name: &str) -> bool {
    matches!(
        name,
        "name" | "vhost" | "user" | "reason" | "description" | "payload" | "routing_key" | "consumer_tag"
    ) || name.ends_with("state")
        || name.ends_with("status")
}

fn right_number(name: &str, number: &serde_json::Number) -> Option<Value> {
    match (number.as_u64(), number.as_f64()) {
        (Some(number), _) if name == "uptime" && number > u64::from(u32::MAX) => Some(u32::MAX.into()),
        (Some(number), _) if name == "consumers" && number > u64::from(u16::MAX) => Some(u16::MAX.into()),
        // A count below nothing, which RabbitMQ shows while it adds up.
        (None, Some(number)) if !name.contains("rate") && number < 0.0 => Some(0.into()),
        (None, Some(number)) if !is_fraction(name) && number.fract() == 0.0 => Some((number as u64).into()),
        _ => None,
    }
}

fn is_fraction(name: &str) -> bool {
    name.contains("rate") || name.starts_with("avg") || name.contains("utili") || name.contains("capacity")
}

#[cfg(test)]
mod tests {
    use leveret_protocol::admin::{Consumer, Node, Overview, Queue, User};

    use super::*;

    #[test]
    fn a_list_is_a_page_of_its_own() {
        let page: Page<u8> = read_page("/", b" [1, 2]").expect("a list");
        assert_eq!((page.items, page.total_count, page.page_count), (vec![1, 2], 2, 1));
        let body = br#"{"filtered_count":9,"item_count":1,"items":[7],"page":2,"page_count":9,"page_size":1,
                        "total_count":12}"#;
        let page: Page<u8> = read_page("/", body).expect("a page");
        assert_eq!((page.items, page.total_count, page.page), (vec![7], 12, 2));
    }

    #[test]
    fn what_rabbitmq_writes_in_other_ways_is_read() {
        let queue: Queue = read(
            "/",
            br#"{"name":"unknown","vhost":"/","consumers":null,"consumer_utilisation":null,"arguments":[],
                 "messages":-1,"messages_ready":3.0,"message_stats":[],"owner_pid_details":[],"memory":"undefined",
                 "effective_policy_definition":[],"node":"n"}"#,
        )
        .expect("a queue");
        assert_eq!((queue.name.as_str(), queue.consumers, queue.totals.messages), ("unknown", 0, 0));
        assert_eq!(queue.totals.messages_ready, 3);
        let user: User = read("/", br#"{"name":"a","tags":"administrator, x"}"#).expect("a user");
        assert_eq!(user.tags, ["administrator", "x"]);
        let node: Node =
            read("/", br#"{"name":"n","uptime":9000000000,"disk_free":"unknown","mem_used":null}"#)
                .expect("a node");
        assert_eq!((node.uptime, node.disk_free), (u32::MAX, 0));
        let consumer: Consumer = read(
            "/",
            br#"{"consumer_tag":"undefined","queue":{"name":"q","vhost":"/"},"consumer_timeout":"undefined",
                 "channel_details":[],"arguments":{"x":null}}"#,
        )
        .expect("a consumer");
        assert_eq!((consumer.consumer_tag.as_str(), consumer.arguments.len()), ("undefined", 1));
        let overview: Overview =
            read("/", br#"{"message_stats":[],"queue_totals":[]}"#).expect("an overview");
        assert_eq!(overview, Overview::default());
    }

    #[test]
    fn nonsense_stays_nonsense_and_names_its_path() {
        let error = read::<Queue>("/api/queues/a/b", b"<html>").expect_err("no JSON");
        assert!(error.to_string().contains("/api/queues/a/b"), "{error}");
        assert!(read::<Queue>("/", br#"{"name":[1]}"#).is_err());
        assert_eq!(error_body(b"[]"), None);
        let body = error_body(br#"{"error":"x","reason":{"a":1}}"#).expect("a failure");
        assert_eq!(body.reason, r#"{"a":1}"#);
    }
}
