//! Dead letters: what a message says of its deaths, and by which keys it goes on.
//!
//! The headers are RabbitMQ's: `x-death` has one entry per queue and reason, the latest death first; a repeated death
//! counts up and moves to the front, and keeps what it says of the first time. Only headers that this broker wrote are
//! read ([`Message::has_died`]): a client that publishes a dead letter anew begins a new life, whatever headers it
//! copied.
//!
//! ```text
//! publish ─▶ queue a ─rejected─▶ exchange ─▶ queue b ─expired─▶ …     x-death: [b expired 1], [a rejected 1]
//!               ▲──────────────────────────────────────┘              goes round as long as somebody rejects
//! ```

use leveret_protocol::table::{RawTable, RawValue, Table, Value};

use crate::message::Message;
use crate::queue::DeadReason;

/// Where a queue's dead messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterTarget {
    /// It need not exist; then they are dropped.
    pub exchange: Box<str>,
    /// Replaces all their routing keys.
    pub routing_key: Option<Box<str>>,
    /// The routing key names a queue, which is made when it is not there.
    pub makes_queue: bool,
}

impl DeadLetterTarget {
    /// Where dead messages of a queue go that has no dead-letter exchange and is not to lose them: the queue of its name
    /// with [`DEAD_LETTER_SUFFIX`]. `None` when there can be no such name.
    pub fn own_queue(queue: &str) -> Option<DeadLetterTarget> {
        let name = format!("{queue}{DEAD_LETTER_SUFFIX}");
        (name.len() <= usize::from(u8::MAX)).then(|| DeadLetterTarget {
            exchange: "".into(),
            routing_key: Some(name.into()),
            makes_queue: true,
        })
    }
}

/// What the queue is called that a queue's dead letters go to when it has no dead-letter exchange.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";

/// A message that died, on its way to its next exchange.
#[derive(Debug)]
pub struct DeadLetter {
    /// What the next queues get: its exchange is the dead-letter exchange, its routing key the first of the keys.
    pub message: Message,
    /// All keys it is routed by, at least one.
    pub routing_keys: Vec<String>,
    reason: DeadReason,
}

impl DeadLetter {
    /// What becomes of `message`, which died in `queue`.
    pub fn new(
        message: &Message,
        queue: &str,
        reason: DeadReason,
        now_ms: u64,
        target: &DeadLetterTarget,
    ) -> DeadLetter {
        let properties = message.properties();
        let mut headers =
            properties.headers().and_then(|headers| headers.to_table().ok()).unwrap_or_default();
        let mut routing_keys = vec![message.routing_key().to_owned()];
        if let Some(Value::Array(keys)) = headers.get("CC") {
            routing_keys.extend(keys.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let expiration = properties.expiration().and_then(|text| text.parse::<u64>().ok());
        let death = Table::from_iter(
            expiration.map(|ms| ("original-expiration", Value::from(ms.to_string()))).into_iter().chain([
                ("count", Value::I64(1)),
                ("reason", reason.name().into()),
                ("queue", queue.into()),
                ("time", Value::Timestamp(now_ms / 1000)),
                ("exchange", message.exchange().into()),
                ("routing-keys", Value::Array(routing_keys.iter().map(|key| key.as_str().into()).collect())),
            ]),
        );
        let earlier = if message.has_died() { headers.remove("x-death") } else { None };
        headers.insert("x-death", with_death(earlier, death, queue, reason));
        for (name, value) in [("queue", queue), ("reason", reason.name()), ("exchange", message.exchange())] {
            let first = format!("x-first-death-{name}");
            if !message.has_died() || headers.get(&first).is_none() {
                headers.insert(first, value);
            }
            headers.insert(format!("x-last-death-{name}"), value);
        }
        if let Some(routing_key) = &target.routing_key {
            headers.remove("CC");
            routing_keys = vec![routing_key.to_string()];
        }
        let properties = properties.with_headers(&headers);
        let properties = leveret_protocol::properties::PropertiesView::new_unchecked_valid(&properties)
            .without_expiration();
        let message = message.rewritten(&target.exchange, &routing_keys[0], &properties, true);
        DeadLetter { message, routing_keys, reason }
    }

    /// True when the message has come round to `queue` without anybody having rejected it on the way: it would go
    /// round for ever and is dropped. A rejection is somebody's decision and goes anywhere.
    pub fn is_cycle(&self, queue: &str) -> bool {
        if self.reason == DeadReason::Rejected {
            return false;
        }
        let Some(RawValue::Array(deaths)) = self.headers().get("x-death") else { return false };
        for death in deaths.iter() {
            let RawValue::Table(death) = death else { continue };
            let text = |name| death.get(name).and_then(RawValue::as_str);
            if text("reason") == Some(DeadReason::Rejected.name()) {
                return false;
            }
            if text("queue") == Some(queue) {
                return true;
            }
        }
        false
    }

    /// Its headers, for exchanges that route by them.
    pub fn headers(&self) -> RawTable<'_> {
        self.message.properties().headers().unwrap_or_default()
    }
}

/// The deaths with the latest in front.
fn with_death(earlier: Option<Value>, death: Table, queue: &str, reason: DeadReason) -> Value {
    let mut deaths = match earlier {
        Some(Value::Array(deaths)) => deaths,
        _ => Vec::new(),
    };
    let is_same = |death: &Value| {
        let Value::Table(death) = death else { return false };
        let text = |name| death.get(name).and_then(Value::as_str);
        text("queue") == Some(queue) && text("reason") == Some(reason.name())
    };
    let mut latest = death;
    if let Some(at) = deaths.iter().position(is_same)
        && let Value::Table(mut repeated) = deaths.remove(at)
    {
        let count = repeated.get("count").and_then(Value::as_i64).unwrap_or(0);
        repeated.insert("count", count.saturating_add(1));
        latest = repeated;
    }
    deaths.insert(0, Value::Table(latest));
    Value::Array(deaths)
}

#[cfg(test)]
mod tests {
    use leveret_protocol::properties::Properties;

    use super::*;

    fn target(exchange: &str, routing_key: Option<&str>) -> DeadLetterTarget {
        DeadLetterTarget {
            exchange: exchange.into(),
            routing_key: routing_key.map(Into::into),
            makes_queue: false,
        }
    }

    fn message(headers: Option<Table>, expiration: Option<&str>) -> Message {
        let properties = Properties {
            headers,
            expiration: expiration.map(str::to_owned),
            delivery_mode: Some(2),
            app_id: Some("app".into()),
            ..Properties::default()
        };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        Message::new("orders", "eu", &raw, b"body")
    }

    fn keys(keys: &[&str]) -> Value {
        Value::Array(keys.iter().map(|key| Value::from(*key)).collect())
    }

    fn death(queue: &str, reason: &str, count: i64, time: u64, exchange: &str, keys_: &[&str]) -> Value {
        Value::Table(Table::from([
            ("count", Value::I64(count)),
            ("reason", reason.into()),
            ("queue", queue.into()),
            ("time", Value::Timestamp(time)),
            ("exchange", exchange.into()),
            ("routing-keys", keys(keys_)),
        ]))
    }

    /// Dies in these queues one after the other, each sending to exchange `dlx` by key `again`.
    fn after(message: Message, deaths: &[(&str, DeadReason)]) -> DeadLetter {
        let target = target("dlx", Some("again"));
        let (last, before) = deaths.split_last().unwrap();
        let mut message = message;
        for (at, (queue, reason)) in before.iter().enumerate() {
            message = DeadLetter::new(&message, queue, *reason, at as u64 * 1000, &target).message;
        }
        DeadLetter::new(&message, last.0, last.1, before.len() as u64 * 1000, &target)
    }

    fn headers(letter: &DeadLetter) -> Table {
        letter.headers().to_table().unwrap()
    }

    #[test]
    fn the_first_death_is_told_in_full_and_the_expiration_is_gone() {
        let own = Table::from([("own", Value::I32(1))]);
        let letter = DeadLetter::new(
            &message(Some(own), Some("60000")),
            "q",
            DeadReason::Expired,
            1_700_000_000_999,
            &target("dlx", None),
        );
        let expected = Table::from([
            ("own", Value::I32(1)),
            (
                "x-death",
                Value::Array(vec![Value::Table(Table::from([
                    ("original-expiration", "60000".into()),
                    ("count", Value::I64(1)),
                    ("reason", "expired".into()),
                    ("queue", "q".into()),
                    ("time", Value::Timestamp(1_700_000_000)),
                    ("exchange", "orders".into()),
                    ("routing-keys", keys(&["eu"])),
                ]))]),
            ),
            ("x-first-death-queue", "q".into()),
            ("x-last-death-queue", "q".into()),
            ("x-first-death-reason", "expired".into()),
            ("x-last-death-reason", "expired".into()),
            ("x-first-death-exchange", "orders".into()),
            ("x-last-death-exchange", "orders".into()),
        ]);
        assert_eq!(headers(&letter), expected);
        let message = &letter.message;
        assert_eq!((message.exchange(), message.routing_key(), message.body()), ("dlx", "eu", &b"body"[..]));
        assert_eq!(message.properties().expiration(), None);
        assert_eq!(message.properties().app_id(), Some("app"));
        assert!(message.is_persistent());
    }

    #[test]
    fn a_repeated_death_counts_up_and_moves_to_the_front() {
        use DeadReason::{MaxLen, Rejected};
        let letter =
            after(message(None, None), &[("a", Rejected), ("b", MaxLen), ("a", MaxLen), ("a", Rejected)]);
        let headers = headers(&letter);
        let expected = Value::Array(vec![
            death("a", "rejected", 2, 0, "orders", &["eu"]),
            death("a", "maxlen", 1, 2, "dlx", &["again"]),
            death("b", "maxlen", 1, 1, "dlx", &["again"]),
        ]);
        assert_eq!(headers.get("x-death"), Some(&expected));
        let text = |name| headers.get(name).and_then(Value::as_str);
        assert_eq!(text("x-first-death-exchange"), Some("orders"));
        assert_eq!(text("x-last-death-exchange"), Some("dlx"));
        assert_eq!((text("x-first-death-queue"), text("x-last-death-reason")), (Some("a"), Some("rejected")));
    }

    #[test]
    fn what_clients_say_of_deaths_is_not_believed() {
        let made_up = Table::from([
            ("x-death", Value::Array(vec![death("q", "rejected", 7, 0, "x", &["k"])])),
            ("x-first-death-queue", "elsewhere".into()),
        ]);
        let letter = after(message(Some(made_up), None), &[("q", DeadReason::Rejected)]);
        let headers = headers(&letter);
        let expected = Value::Array(vec![death("q", "rejected", 1, 0, "orders", &["eu"])]);
        assert_eq!(headers.get("x-death"), Some(&expected));
        assert_eq!(headers.get("x-first-death-queue"), Some(&"q".into()));
    }

    #[test]
    fn further_keys_go_on_unless_the_queue_has_a_key_of_its_own() {
        let copied = || Some(Table::from([("CC", keys(&["us", "asia"]))]));
        let check = |routing_key: Option<&str>, expected: &[&str], keeps_cc: bool| {
            let target = target("dlx", routing_key);
            let letter = DeadLetter::new(&message(copied(), None), "q", DeadReason::Rejected, 0, &target);
            assert_eq!(letter.routing_keys, expected);
            assert_eq!(letter.message.routing_key(), expected[0]);
            let headers = headers(&letter);
            assert_eq!(headers.get("CC").is_some(), keeps_cc);
            let told = death("q", "rejected", 1, 0, "orders", &["eu", "us", "asia"]);
            assert_eq!(headers.get("x-death"), Some(&Value::Array(vec![told])));
        };
        check(None, &["eu", "us", "asia"], true);
        check(Some("dead"), &["dead"], false);
    }

    #[test]
    fn only_a_circle_without_a_rejection_is_a_cycle() {
        use DeadReason::{DeliveryLimit, Expired, MaxLen, Rejected};
        fn check(deaths: &[(&str, DeadReason)], queue: &str, expected: bool) {
            let letter = after(message(None, None), deaths);
            assert_eq!(letter.is_cycle(queue), expected, "{deaths:?} to {queue}");
        }
        check(&[("a", Expired)], "a", true);
        check(&[("a", Expired)], "b", false);
        check(&[("a", Rejected)], "a", false);
        check(&[("a", Expired), ("b", MaxLen)], "a", true);
        check(&[("a", Rejected), ("b", Expired)], "a", false);
        check(&[("a", Expired), ("b", Rejected), ("c", DeliveryLimit)], "a", false);
        check(&[("a", Expired), ("b", Rejected), ("c", DeliveryLimit)], "c", true);
        check(&[("b", Rejected), ("a", Expired), ("c", Expired)], "a", true);
    }
}
