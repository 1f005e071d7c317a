//! Which messages are meant: conditions on routing key, headers, deaths, age and body, and what a message tells of its
//! deaths.
//!
//! Patterns are searched in linear time and bounded in size, because they come from outside.

use leveret_core::message::Message;
use leveret_core::pattern::Pattern;
use leveret_protocol::admin::json;
use leveret_protocol::admin::messages::{Death, MessageFilter};
use leveret_protocol::table::{RawValue, Value};
use regex::bytes::Regex;
use serde_json::Value as Json;

/// A filter, ready to be held against messages.
pub struct Filter {
    routing_key: Option<Pattern>,
    exchange: Option<String>,
    /// Names, and values unless it is enough that the header is there.
    headers: Vec<(String, Option<Json>)>,
    reason: Option<String>,
    died_in: Option<String>,
    text: Option<Regex>,
    min_age_ms: Option<u64>,
    max_age_ms: Option<u64>,
}

impl Filter {
    /// Compiles what somebody asked for.
    pub fn new(given: &MessageFilter) -> Result<Filter, String> {
        let MessageFilter { routing_key, exchange, headers, reason, died_in, text, min_age_ms, max_age_ms } =
            given;
        if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(format!("the text to look for is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let routing_key =
            routing_key.as_deref().map(Pattern::new).transpose().map_err(|error| error.to_string())?;
        let text = text.as_deref().map(|text| Regex::new(&regex::escape(text)));
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), Some(value.clone()).filter(|v| !v.is_null())));
        Ok(Filter {
            routing_key,
            exchange: exchange.clone(),
            headers: headers.collect(),
            reason: reason.clone(),
            died_in: died_in.clone(),
            text: text.transpose().map_err(|error| error.to_string())?,
            min_age_ms: *min_age_ms,
            max_age_ms: *max_age_ms,
        })
    }

    /// True when the message fits. `since_ms` is when it was handed out, for those that were.
    pub fn fits(&self, message: &Message, since_ms: Option<u64>, now_ms: u64) -> bool {
        self.routing_key.as_ref().is_none_or(|pattern| pattern.is_match(message.routing_key()))
            && self.exchange.as_ref().is_none_or(|exchange| exchange == message.exchange())
            && self.headers.iter().all(|(name, value)| has_header(message, name, value.as_ref()))
            && self.fits_deaths(message)
            && self.fits_age(message, since_ms, now_ms)
            && self.text.as_ref().is_none_or(|text| text.is_match(message.body()))
    }

    fn fits_deaths(&self, message: &Message) -> bool {
        if self.reason.is_none() && self.died_in.is_none() {
            return true;
        }
        let deaths = deaths(message);
        deaths.first().is_some_and(|death| {
            self.reason.as_ref().is_none_or(|reason| *reason == death.reason)
                && self.died_in.as_ref().is_none_or(|queue| *queue == death.queue)
        })
    }

    fn fits_age(&self, message: &Message, since_ms: Option<u64>, now_ms: u64) -> bool {
        if self.min_age_ms.is_none() && self.max_age_ms.is_none() {
            return true;
        }
        let Some(since_ms) = since_ms.or_else(|| born_ms(message)) else { return false };
        let age = now_ms.saturating_sub(since_ms);
        self.min_age_ms.is_none_or(|min| age >= min) && self.max_age_ms.is_none_or(|max| age <= max)
    }
}

/// What a message tells of its deaths, the latest first.
pub fn deaths(message: &Message) -> Vec<Death> {
    let headers = message.properties().headers().unwrap_or_default();
    let Some(RawValue::Array(deaths)) = headers.get("x-death") else { return Vec::new() };
    let deaths = deaths.iter().filter_map(|death| {
        let RawValue::Table(death) = death else { return None };
        let text = |name| death.get(name).and_then(RawValue::as_str).unwrap_or_default().to_owned();
        let routing_keys = match death.get("routing-keys") {
            Some(RawValue::Array(keys)) => {
                keys.iter().filter_map(RawValue::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Some(Death {
            queue: text("queue"),
            reason: text("reason"),
            count: death
                .get("count")
                .and_then(RawValue::as_i64)
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
            exchange: text("exchange"),
            routing_keys,
            time: match death.get("time") {
                Some(RawValue::Timestamp(seconds)) => seconds,
                _ => 0,
            },
        })
    });
    deaths.collect()
}

/// The death by which a message left the place where it was published: the first of all. Its exchange and keys say how to
/// get there again.
pub fn first_death(message: &Message) -> Option<Death> {
    let headers = message.properties().headers().unwrap_or_default();
    let text = |name| headers.get(name).and_then(RawValue::as_str);
    let (queue, reason) = (text("x-first-death-queue"), text("x-first-death-reason"));
    let mut deaths = deaths(message);
    let is_first =
        |death: &Death| Some(death.queue.as_str()) == queue && Some(death.reason.as_str()) == reason;
    match deaths.iter().position(is_first) {
        Some(at) => Some(deaths.swap_remove(at)),
        None => deaths.pop(),
    }
}

/// When a message came into being, as far as it tells: its latest kind of death, else its timestamp.
fn born_ms(message: &Message) -> Option<u64> {
    if let Some(death) = deaths(message).first().filter(|death| death.time > 0) {
        return death.time.checked_mul(1000);
    }
    // AMQP says seconds; many clients send milliseconds.
    let timestamp = message.properties().timestamp()?;
    if timestamp < MILLISECONDS_FROM { timestamp.checked_mul(1000) } else { Some(timestamp) }
}

fn has_header(message: &Message, name: &str, wanted: Option<&Json>) -> bool {
    let headers = message.properties().headers().unwrap_or_default();
    let Some(found) = headers.get(name) else { return false };
    let Some(wanted) = wanted else { return true };
    let found: Option<Value> = found.to_value().ok();
    let found = found.map_or(Json::Null, |found| json(&found));
    match (wanted, &found) {
        // People write 5 and "5" for the same.
        (Json::String(text), Json::Number(number)) => text == &number.to_string(),
        (Json::String(text), Json::Bool(is_so)) => text == if *is_so { "true" } else { "false" },
        (Json::Number(wanted), Json::Number(found)) => wanted.as_f64() == found.as_f64(),
        _ => *wanted == found,
    }
}

/// The longest text that bodies are searched for.
const TEXT_BYTES_MAX: usize = 4096;
/// A timestamp above this, which is in the year 5138, is in milliseconds.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

#[cfg(test)]
mod tests {
    use leveret_core::dead_letter::{DeadLetter, DeadLetterTarget};
    use leveret_core::queue::DeadReason;
    use leveret_protocol::properties::Properties;
    use leveret_protocol::table::Table;
    use serde_json::json;

    use super::*;

    fn message(headers: Table, timestamp: Option<u64>, body: &str) -> Message {
        let properties = Properties { headers: Some(headers), timestamp, ..Properties::default() };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        Message::new("orders", "eu.created", &raw, body.as_bytes())
    }

    fn died(message: &Message, queue: &str, reason: DeadReason, at_s: u64) -> Message {
        let target = DeadLetterTarget { exchange: "dlx".into(), routing_key: None, makes_queue: false };
        DeadLetter::new(message, queue, reason, at_s * 1000, &target).message
    }

    fn fits(filter: serde_json::Value, message: &Message) -> bool {
        let given: MessageFilter = serde_json::from_value(filter).expect("a filter");
        Filter::new(&given).expect("a good filter").fits(message, None, 1_000_000)
    }

    #[test]
    fn every_condition_has_to_hold() {
        let headers =
            Table::from([("tries", Value::I32(5)), ("kind", "a".into()), ("ok", Value::Bool(true))]);
        let message = message(headers, Some(900), "price: 5 €");
        let check = |filter: serde_json::Value, expected: bool| {
            assert_eq!(fits(filter.clone(), &message), expected, "{filter}");
        };
        check(json!({}), true);
        check(json!({"routing_key": "^eu\\."}), true);
        check(json!({"routing_key": "created"}), true);
        check(json!({"routing_key": "^created"}), false);
        check(json!({"exchange": "orders", "routing_key": "eu"}), true);
        check(json!({"exchange": "order"}), false);
        check(json!({"headers": {"tries": null}}), true);
        check(json!({"headers": {"tries": 5}}), true);
        check(json!({"headers": {"tries": "5", "kind": "a", "ok": "true"}}), true);
        check(json!({"headers": {"tries": 6}}), false);
        check(json!({"headers": {"other": null}}), false);
        check(json!({"text": "5 €"}), true);
        check(json!({"text": "5.€"}), false);
        check(json!({"min_age_ms": 100_000}), true);
        check(json!({"min_age_ms": 100_001}), false);
        check(json!({"max_age_ms": 99_999}), false);
        check(json!({"reason": "rejected"}), false);
        check(json!({"text": "price", "exchange": "other"}), false);
    }

    #[test]
    fn a_message_without_a_time_has_no_age() {
        let message = message(Table::new(), None, "");
        assert!(
            !fits(json!({"min_age_ms": 0}), &message) && !fits(json!({"max_age_ms": u64::MAX}), &message)
        );
        let in_ms = Message::clone(&super::tests::message(Table::new(), Some(1_700_000_000_000), ""));
        assert_eq!(born_ms(&in_ms), Some(1_700_000_000_000));
    }

    #[test]
    fn the_latest_death_is_what_it_died_of_and_the_first_is_where_it_came_from() {
        let young = message(Table::new(), None, "");
        assert!(first_death(&young).is_none());
        let dead = died(&died(&young, "work", DeadReason::Rejected, 500), "retry", DeadReason::Expired, 800);
        assert!(fits(json!({"reason": "expired", "died_in": "retry", "max_age_ms": 200_000}), &dead));
        assert!(!fits(json!({"reason": "rejected"}), &dead));
        let first = first_death(&dead).expect("it died");
        assert_eq!((first.queue.as_str(), first.exchange.as_str(), first.count), ("work", "orders", 1));
        assert_eq!(first.routing_keys, ["eu.created"]);
        let again = died(&dead, "work", DeadReason::Rejected, 900);
        assert_eq!(deaths(&again)[0].count, 2);
        assert_eq!(first_death(&again).expect("it died").exchange, "orders");
    }

    #[test]
    fn a_filter_that_cannot_be_used_is_refused() {
        let refused = |filter: MessageFilter| Filter::new(&filter).is_err();
        assert!(refused(MessageFilter { routing_key: Some("(".into()), ..MessageFilter::default() }));
        assert!(refused(MessageFilter { text: Some("x".repeat(5000)), ..MessageFilter::default() }));
    }
}
