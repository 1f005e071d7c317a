//! What a dead letter died of, as a story: where it was published, what happened to it, and where it is now.
//!
//! The story is data; the sentences are the screen's.

use leveret_protocol::admin::Arguments;
use leveret_protocol::admin::messages::{Death, Holder, QueuedMessage};
use serde_json::Value as Json;

use crate::Millis;

/// Why a message left its queue for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A consumer did not want it, and not again.
    Rejected,
    /// It waited longer than it was allowed to.
    Expired,
    /// The queue was full.
    MaxLength,
    /// It was returned too often.
    DeliveryLimit,
    /// Something that this console has not heard of.
    Other(String),
}

impl Reason {
    pub fn read(text: &str) -> Reason {
        match text {
            "rejected" => Reason::Rejected,
            "expired" => Reason::Expired,
            "maxlen" => Reason::MaxLength,
            "delivery_limit" => Reason::DeliveryLimit,
            other => Reason::Other(other.to_owned()),
        }
    }

    /// As it stands in `x-death`.
    pub fn as_str(&self) -> &str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLength => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
            Reason::Other(other) => other,
        }
    }
}

/// A sentence of the story, the first first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chapter {
    /// It was published to this exchange (empty for the default one) with this key.
    Published { exchange: String, routing_key: String },
    /// It died in this queue. `first_at` is when it did so first, where that is known.
    Died { queue: String, reason: Reason, times: u64, first_at: Option<Millis> },
    /// It was sent on to another exchange and key than those that it was published with.
    SentOn { exchange: String, routing_key: String },
    /// It waits here now.
    Here { queue: String },
    /// It was taken from here, and who took it has not settled it.
    Held { queue: String, holder: Holder },
}

/// The story of a message that lies in `queue`.
pub fn story(message: &QueuedMessage, queue: &str) -> Vec<Chapter> {
    let deaths = deaths_of(message);
    // `x-death` has the latest first; of the same time the order is kept, latest last.
    let mut in_order: Vec<&Death> = deaths.iter().rev().collect();
    in_order.sort_by_key(|death| death.time);
    let mut story = Vec::new();
    match in_order.first() {
        Some(first) => story.push(Chapter::Published {
            exchange: first.exchange.clone(),
            routing_key: first.routing_keys.first().cloned().unwrap_or_default(),
        }),
        None => story.push(Chapter::Published {
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
        }),
    }
    for death in &in_order {
        story.push(Chapter::Died {
            queue: death.queue.clone(),
            reason: Reason::read(&death.reason),
            times: death.count.max(1),
            first_at: (death.time > 0).then(|| death.time.saturating_mul(1_000)),
        });
    }
    if let Some(first) = in_order.first() {
        let is_changed =
            message.exchange != first.exchange || first.routing_keys.first() != Some(&message.routing_key);
        if is_changed && !(message.exchange.is_empty() && message.routing_key.is_empty()) {
            story.push(Chapter::SentOn {
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
            });
        }
    }
    let queue = queue.to_owned();
    story.push(match message.holder.clone() {
        Some(holder) => Chapter::Held { queue, holder },
        None => Chapter::Here { queue },
    });
    story
}

/// The deaths of a message, the latest first; from its header, where the broker does not tell them apart.
pub fn deaths_of(message: &QueuedMessage) -> Vec<Death> {
    if message.deaths.is_empty() {
        message.properties.get("headers").and_then(Json::as_object).map(deaths_in).unwrap_or_default()
    } else {
        message.deaths.clone()
    }
}

/// The deaths that the headers of a message tell; whatever is not as it should be is left out.
pub fn deaths_in(headers: &Arguments) -> Vec<Death> {
    let Some(deaths) = headers.get("x-death").and_then(Json::as_array) else { return Vec::new() };
    deaths
        .iter()
        .filter_map(|death| {
            let text = |name: &str| death.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let keys = death.get("routing-keys").and_then(Json::as_array);
            let keys = keys.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
            Some(Death {
                queue: death.get("queue")?.as_str()?.to_owned(),
                reason: text("reason"),
                count: death.get("count").and_then(Json::as_u64).unwrap_or(1),
                exchange: text("exchange"),
                routing_keys: keys.collect(),
                time: death.get("time").and_then(Json::as_u64).unwrap_or(0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(x_death: Json) -> QueuedMessage {
        let properties = json!({"headers": {"x-death": x_death}});
        QueuedMessage {
            exchange: "dlx".to_owned(),
            routing_key: "dead".to_owned(),
            properties: properties.as_object().cloned().unwrap_or_default(),
            ..QueuedMessage::default()
        }
    }

    #[test]
    fn a_story_begins_where_the_message_was_published_and_ends_where_it_is() {
        let message = message(json!([
            {"queue": "retry", "reason": "expired", "count": 3, "exchange": "retry", "routing-keys": ["orders.paid"], "time": 110},
            {"queue": "work", "reason": "rejected", "count": 4, "exchange": "orders", "routing-keys": ["orders.paid", "cc"], "time": 100},
        ]));
        assert_eq!(
            story(&message, "dlq"),
            [
                Chapter::Published { exchange: "orders".into(), routing_key: "orders.paid".into() },
                Chapter::Died {
                    queue: "work".into(),
                    reason: Reason::Rejected,
                    times: 4,
                    first_at: Some(100_000)
                },
                Chapter::Died {
                    queue: "retry".into(),
                    reason: Reason::Expired,
                    times: 3,
                    first_at: Some(110_000)
                },
                Chapter::SentOn { exchange: "dlx".into(), routing_key: "dead".into() },
                Chapter::Here { queue: "dlq".into() },
            ]
        );
    }

    #[test]
    fn a_message_that_never_died_was_published_and_is_here() {
        let message =
            QueuedMessage { exchange: "orders".into(), routing_key: "a".into(), ..QueuedMessage::default() };
        assert_eq!(
            story(&message, "q"),
            [
                Chapter::Published { exchange: "orders".into(), routing_key: "a".into() },
                Chapter::Here { queue: "q".into() }
            ]
        );
    }

    #[test]
    fn the_story_of_a_message_that_somebody_holds_ends_with_the_holder() {
        let holder = Holder { consumer_tag: "worker-1".into(), ..Holder::default() };
        let message = QueuedMessage { holder: Some(holder.clone()), ..QueuedMessage::default() };
        assert_eq!(story(&message, "q").last(), Some(&Chapter::Held { queue: "q".into(), holder }));
    }

    #[test]
    fn headers_that_make_no_sense_tell_nothing() {
        for header in [json!("x"), json!([1, {}, {"queue": 5}]), json!(null)] {
            assert_eq!(deaths_of(&message(header)), []);
        }
        assert_eq!(deaths_of(&message(json!([{"queue": "q"}]))).len(), 1);
    }

    #[test]
    fn reasons_are_written_as_they_are_read() {
        for reason in ["rejected", "expired", "maxlen", "delivery_limit", "sun spots"] {
            assert_eq!(Reason::read(reason).as_str(), reason);
        }
    }
}
