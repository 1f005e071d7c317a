//! The table of policy keys: what each accepts, which types of queue know it, how it merges and what it sets.
//!
//! A new setting is one entry in [`KEYS`]. Where RabbitMQ knows the key, bounds, merging and reply texts are its; keys
//! of its plugins that are not here are refused, as RabbitMQ refuses them without the plugin.

use leveret_protocol::table::Table;
use serde_json::Value;

use super::{Definition, PolicyKind};
use crate::deduplication::DeduplicationOptions;
use crate::queue::Overflow;
use crate::queue::arguments::{DURATION_MS_MAX, DeadLetterStrategy, ExpiryMode, QueueKind, QueueOptions};
use crate::queue::retry::{RetryDelay, parse_duration};
use crate::term::JsonTerm;
use crate::vhost::ExchangeOptions;

/// One setting.
struct Key {
    /// What it is called in definitions. The argument that asks for the same has an `x-` in front.
    name: &'static str,
    is_valid: fn(&Value) -> bool,
    /// What is said of a value that is not, which stands for `~p`.
    complaint: &'static str,
    /// How operator policies merge with it; `None` keeps it out of them.
    operator: Option<Merge>,
    /// How it merges with the argument of the declaration.
    argument: Merge,
    /// Types of queue that do not know it: a policy that has it does not apply to them.
    unknown_to: &'static [QueueKind],
    /// Puts a valid value into a queue's options.
    queue: fn(&Value, &mut QueueOptions),
    /// Puts a valid value into an exchange's options.
    exchange: fn(&Value, &mut ExchangeOptions),
}

/// Which of two values counts: the setting's own and the one that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// The smaller.
    Smaller,
    /// The smaller; but a negative one means no limit, and wins.
    SmallerOrNone,
    /// The smaller; but 0 means no limit, and loses.
    SmallerNotZero,
    /// The other: the argument, or the operator policy.
    Other,
    /// The argument, except on quorum queues.
    OtherUnlessQuorum,
}

/// What a key is unless its entry says otherwise.
const KEY: Key = Key {
    name: "",
    is_valid: |_| false,
    complaint: "",
    operator: None,
    argument: Merge::Other,
    unknown_to: &[],
    queue: |_, _| (),
    exchange: |_, _| (),
};

const CLASSIC: &[QueueKind] = &[QueueKind::Classic];
const QUORUM: &[QueueKind] = &[QueueKind::Quorum];
const ANY: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum];

static KEYS: &[Key] = &[
    // ---- exchanges -----------------------------------------------------------------------------------------------
    Key {
        name: "alternate-exchange",
        is_valid: Value::is_string,
        complaint: "~p is not a valid alternate exchange name",
        exchange: |value, options| options.alternate_exchange = text(value),
        ..KEY
    },
    // ---- limits of queues ----------------------------------------------------------------------------------------
    Key {
        name: "message-ttl",
        is_valid: is_duration,
        complaint: "~p is not a valid message TTL",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        queue: |value, options| options.message_ttl_ms = value.as_u64(),
        ..KEY
    },
    Key {
        name: "expires",
        is_valid: |value| is_duration(value) && value.as_u64() != Some(0),
        complaint: "~p is not a valid queue expiry",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        queue: |value, options| options.expires_ms = value.as_u64(),
        ..KEY
    },
    Key {
        name: "max-length",
        is_valid: is_count,
        complaint: "~p is not a valid maximum length",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        queue: |value, options| options.max_length = value.as_u64(),
        ..KEY
    },
    Key {
        name: "max-length-bytes",
        is_valid: is_count,
        complaint: "~p is not a valid maximum length in bytes",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        queue: |value, options| options.max_length_bytes = value.as_u64(),
        ..KEY
    },
    // RabbitMQ's classic queues know no delivery limit; here every queue does.
    Key {
        name: "delivery-limit",
        is_valid: Value::is_i64,
        complaint: "~p is not a valid delivery limit",
        operator: Some(Merge::SmallerOrNone),
        argument: Merge::SmallerOrNone,
        queue: |value, options| options.delivery_limit = value.as_i64(),
        ..KEY
    },
    Key {
        name: "consumer-timeout",
        is_valid: is_count,
        complaint: "~p is not a valid consumer timeout",
        operator: Some(Merge::SmallerNotZero),
        argument: Merge::SmallerNotZero,
        queue: |value, options| options.consumer_timeout_ms = value.as_u64(),
        ..KEY
    },
    Key {
        name: "max-in-memory-length",
        is_valid: is_count,
        complaint: "~p is not a valid maximum memory in bytes",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        unknown_to: CLASSIC,
        ..KEY
    },
    Key {
        name: "max-in-memory-bytes",
        is_valid: is_count,
        complaint: "~p is not a valid maximum memory in bytes",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        unknown_to: CLASSIC,
        ..KEY
    },
    // ---- what becomes of messages ----------------------------------------------------------------------------------
    Key {
        name: "overflow",
        is_valid: |value| is_one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"]),
        complaint: "~p is not a valid overflow value",
        operator: Some(Merge::Other),
        argument: Merge::OtherUnlessQuorum,
        queue: |value, options| {
            options.overflow = match value.as_str() {
                Some("reject-publish") => Overflow::RejectPublish,
                Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
                _ => Overflow::DropHead,
            };
        },
        ..KEY
    },
    Key {
        name: "dead-letter-exchange",
        is_valid: is_short_text,
        complaint: "~p is not a valid dead letter exchange name",
        queue: |value, options| options.dead_letter_exchange = text(value),
        ..KEY
    },
    Key {
        name: "dead-letter-routing-key",
        is_valid: is_short_text,
        complaint: "~p is not a valid dead letter routing key",
        queue: |value, options| options.dead_letter_routing_key = text(value),
        ..KEY
    },
    Key {
        name: "dead-letter-strategy",
        is_valid: |value| is_one_of(value, &["at-most-once", "at-least-once"]),
        complaint: "~p is not a valid dead letter strategy",
        unknown_to: CLASSIC,
        queue: |value, options| {
            options.dead_letter_strategy = match value.as_str() {
                Some("at-least-once") => DeadLetterStrategy::AtLeastOnce,
                _ => DeadLetterStrategy::AtMostOnce,
            };
        },
        ..KEY
    },
    Key {
        name: "dead-letter-auto",
        is_valid: Value::is_boolean,
        complaint: "dead-letter-auto must be true or false, got ~p",
        queue: |value, options| options.dead_letter_auto = value.as_bool() == Some(true),
        ..KEY
    },
    Key {
        name: "retry-delay",
        is_valid: |value| retry_delay(value).is_some(),
        complaint: "~p is not a valid retry delay",
        queue: |value, options| options.retry_delay = retry_delay(value),
        ..KEY
    },
    Key {
        name: "retry-jitter",
        is_valid: |value| percent(value).is_some(),
        complaint: "retry-jitter must be a percentage of 0 to 100, got ~p",
        queue: |value, options| options.retry_jitter = percent(value),
        ..KEY
    },
    Key {
        name: "retry-max",
        is_valid: |value| wait_ms(value).is_some(),
        complaint: "~p is not a valid longest retry delay",
        operator: Some(Merge::Other),
        queue: |value, options| options.retry_max_ms = wait_ms(value),
        ..KEY
    },
    Key {
        name: "retry-limit",
        is_valid: |value| value.as_u64().is_some_and(|limit| u32::try_from(limit).is_ok()),
        complaint: "~p is not a valid retry limit",
        operator: Some(Merge::Smaller),
        argument: Merge::Smaller,
        queue: |value, options| {
            options.retry_limit = value.as_u64().and_then(|limit| u32::try_from(limit).ok())
        },
        ..KEY
    },
    Key {
        name: "expiry-mode",
        is_valid: |value| is_one_of(value, &["anywhere", "head"]),
        complaint: "expiry-mode must be \"anywhere\" or \"head\", got ~p",
        queue: |value, options| {
            options.expiry_mode = match value.as_str() {
                Some("head") => ExpiryMode::Head,
                _ => ExpiryMode::Anywhere,
            };
        },
        ..KEY
    },
    // ---- deduplication, by queues and exchanges --------------------------------------------------------------------
    Key {
        name: "message-deduplication",
        is_valid: |value| {
            deduplication("x-message-deduplication", value, &mut DeduplicationOptions::default())
        },
        complaint: "message-deduplication must be true or false, got ~p",
        queue: |value, options| {
            deduplication("x-message-deduplication", value, &mut options.deduplication);
        },
        exchange: |value, options| {
            deduplication("x-message-deduplication", value, &mut options.deduplication);
        },
        ..KEY
    },
    Key {
        name: "deduplication-key",
        is_valid: |value| deduplication("x-deduplication-key", value, &mut DeduplicationOptions::default()),
        complaint: "~p is not a valid deduplication key",
        queue: |value, options| {
            deduplication("x-deduplication-key", value, &mut options.deduplication);
        },
        exchange: |value, options| {
            deduplication("x-deduplication-key", value, &mut options.deduplication);
        },
        ..KEY
    },
    Key {
        name: "deduplication-window",
        is_valid: |value| {
            deduplication("x-deduplication-window", value, &mut DeduplicationOptions::default())
        },
        complaint: "~p is not a valid deduplication window",
        queue: |value, options| {
            deduplication("x-deduplication-window", value, &mut options.deduplication);
        },
        exchange: |value, options| {
            deduplication("x-deduplication-window", value, &mut options.deduplication);
        },
        ..KEY
    },
    Key {
        name: "deduplication-size",
        is_valid: |value| deduplication("x-deduplication-size", value, &mut DeduplicationOptions::default()),
        complaint: "~p is not a valid deduplication size",
        queue: |value, options| {
            deduplication("x-deduplication-size", value, &mut options.deduplication);
        },
        exchange: |value, options| {
            deduplication("x-deduplication-size", value, &mut options.deduplication);
        },
        ..KEY
    },
    // ---- accepted, and nothing for one node to do --------------------------------------------------------------------
    Key {
        name: "queue-mode",
        is_valid: |value| is_one_of(value, &["default", "lazy"]),
        complaint: "~p is not a valid queue-mode value",
        unknown_to: QUORUM,
        ..KEY
    },
    Key {
        name: "queue-version",
        is_valid: |value| matches!(value.as_u64(), Some(1 | 2)),
        complaint: "~p is not a valid queue-version value",
        operator: Some(Merge::Other),
        ..KEY
    },
    Key {
        name: "queue-leader-locator",
        is_valid: |value| is_one_of(value, &["client-local", "balanced", "random", "least-leaders"]),
        complaint: "~p is not a valid queue leader locator value",
        ..KEY
    },
    Key {
        name: "queue-master-locator",
        is_valid: |value| is_one_of(value, &["client-local", "min-masters", "random"]),
        complaint: "~p invalid queue-master-locator value",
        unknown_to: QUORUM,
        ..KEY
    },
    Key {
        name: "target-group-size",
        is_valid: |value| is_count(value) && value.as_u64() != Some(0),
        complaint: "~p is not a valid target group size",
        operator: Some(Merge::Other),
        unknown_to: CLASSIC,
        ..KEY
    },
    Key {
        name: "ha-mode",
        is_valid: |value| is_one_of(value, &["all", "exactly", "nodes"]),
        complaint: "~p is not a valid ha-mode value",
        operator: Some(Merge::Other),
        unknown_to: QUORUM,
        ..KEY
    },
    Key { name: "ha-params", is_valid: |_| true, operator: Some(Merge::Other), unknown_to: QUORUM, ..KEY },
    Key {
        name: "ha-sync-mode",
        is_valid: |value| is_one_of(value, &["manual", "automatic"]),
        complaint: "ha-sync-mode must be \"manual\" or \"automatic\", got ~p",
        operator: Some(Merge::Other),
        unknown_to: QUORUM,
        ..KEY
    },
    Key {
        name: "ha-sync-batch-size",
        is_valid: |value| is_count(value) && value.as_u64() != Some(0),
        complaint: "ha-sync-batch-size takes an integer greater than 0, ~p given",
        unknown_to: QUORUM,
        ..KEY
    },
    Key {
        name: "ha-promote-on-shutdown",
        is_valid: |value| is_one_of(value, &["always", "when-synced"]),
        complaint: "ha-promote-on-shutdown must be \"always\" or \"when-synced\", got ~p",
        unknown_to: QUORUM,
        ..KEY
    },
    Key {
        name: "ha-promote-on-failure",
        is_valid: |value| is_one_of(value, &["always", "when-synced"]),
        complaint: "ha-promote-on-failure must be \"always\" or \"when-synced\", got ~p",
        unknown_to: QUORUM,
        ..KEY
    },
    // What a broker that is federated with others exports; there is nobody here to federate with.
    Key {
        name: "federation-upstream",
        is_valid: Value::is_string,
        complaint: "~p is not a valid federation upstream name",
        ..KEY
    },
    Key {
        name: "federation-upstream-set",
        is_valid: Value::is_string,
        complaint: "~p is not a valid federation upstream set name",
        ..KEY
    },
    Key {
        name: "federation-upstream-pattern",
        is_valid: Value::is_string,
        complaint: "~p is not a valid federation upstream pattern",
        ..KEY
    },
    // ---- what only streams know --------------------------------------------------------------------------------------
    Key { name: "max-age", is_valid: is_age, complaint: "~p is not a valid max age", unknown_to: ANY, ..KEY },
    Key {
        name: "stream-max-segment-size-bytes",
        is_valid: is_count,
        complaint: "~p is not a valid segment size",
        unknown_to: ANY,
        ..KEY
    },
    Key {
        name: "initial-cluster-size",
        is_valid: is_count,
        complaint: "~p is not a valid cluster size",
        unknown_to: ANY,
        ..KEY
    },
];

/// A schedule, or a number of milliseconds.
fn retry_delay(value: &Value) -> Option<RetryDelay> {
    match value {
        Value::String(text) => RetryDelay::parse(text).ok(),
        _ => wait_ms(value).map(RetryDelay::fixed),
    }
}

/// A duration, or a number of milliseconds.
fn wait_ms(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => parse_duration(text).ok(),
        _ => value.as_u64().filter(|ms| (1..=DURATION_MS_MAX).contains(ms)),
    }
}

fn percent(value: &Value) -> Option<u8> {
    u8::try_from(value.as_u64()?).ok().filter(|percent| *percent <= 100)
}

/// Sets what the argument of this name asks for; false when the value is none for it.
fn deduplication(argument: &str, value: &Value, options: &mut DeduplicationOptions) -> bool {
    let value = match value {
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        number => match number.as_i64() {
            Some(number) => number.into(),
            None => return false,
        },
    };
    options.read(argument, &value).is_ok()
}

/// The definition, when all of it is known and valid; otherwise what is wrong with it.
pub(super) fn check(kind: PolicyKind, definition: &Value) -> Result<Definition, String> {
    let Value::Object(definition) = definition else {
        return Err(format!(
            "parse error while reading policy definition: {}. Validator: {}_validator.",
            JsonTerm(definition),
            kind.name()
        ));
    };
    if definition.is_empty() {
        return Err("no policy provided".to_owned());
    }
    let known = |name: &str| find(name).filter(|key| kind == PolicyKind::Policy || key.operator.is_some());
    let mut unknown = Vec::new();
    for (name, value) in definition {
        match known(name) {
            Some(key) if (key.is_valid)(value) => {}
            Some(key) => return Err(key.complaint.replace("~p", &JsonTerm(value).to_string())),
            None => unknown.push(format!("{{<<\"{name}\">>,{}}}", JsonTerm(value))),
        }
    }
    if unknown.is_empty() {
        return Ok(definition.clone());
    }
    Err(format!("[{}] are not recognised policy settings", unknown.join(",")))
}

/// False for a setting that queues of this type do not know.
pub(super) fn is_known_to(name: &str, kind: QueueKind) -> bool {
    find(name).is_some_and(|key| !key.unknown_to.contains(&kind))
}

/// The settings of a policy and an operator policy together.
pub(super) fn merged(policy: &Definition, operator: &Definition) -> Definition {
    let mut merged = policy.clone();
    for (name, value) in operator {
        let merge = find(name).and_then(|key| key.operator).unwrap_or(Merge::Other);
        if let Some(own) = merged.get(name)
            && own_wins(merge, own.as_i64(), value.as_i64(), None)
        {
            continue;
        }
        merged.insert(name.clone(), value.clone());
    }
    merged
}

/// Puts settings into what a queue's arguments ask for, where they count.
pub(super) fn apply_to_queue(definition: &Definition, arguments: &Table, options: &mut QueueOptions) {
    for (key, value) in in_force(definition, arguments, Some(options.kind)) {
        (key.queue)(value, options);
    }
}

/// Puts settings into what an exchange's arguments ask for, where they count.
pub(super) fn apply_to_exchange(definition: &Definition, arguments: &Table, options: &mut ExchangeOptions) {
    for (key, value) in in_force(definition, arguments, None) {
        (key.exchange)(value, options);
    }
}

/// Those settings that no argument stands against.
fn in_force<'a>(
    definition: &'a Definition,
    arguments: &'a Table,
    kind: Option<QueueKind>,
) -> impl Iterator<Item = (&'static Key, &'a Value)> {
    definition.iter().filter_map(move |(name, value)| {
        let key = find(name)?;
        // `alternate-exchange` is the one argument without the prefix.
        let argument = arguments.get(&format!("x-{name}")).or_else(|| arguments.get(name));
        let counts =
            argument.is_none_or(|argument| own_wins(key.argument, value.as_i64(), argument.as_i64(), kind));
        counts.then_some((key, value))
    })
}

fn own_wins(merge: Merge, own: Option<i64>, other: Option<i64>, kind: Option<QueueKind>) -> bool {
    match (merge, own, other) {
        (Merge::Smaller, Some(own), Some(other)) => own < other,
        (Merge::SmallerOrNone, Some(own), Some(other)) if own < 0 || other < 0 => own < 0,
        (Merge::SmallerOrNone, Some(own), Some(other)) => own < other,
        (Merge::SmallerNotZero, Some(own), Some(other)) => own != 0 && (other == 0 || own < other),
        (Merge::Smaller | Merge::SmallerOrNone | Merge::SmallerNotZero | Merge::Other, ..) => false,
        (Merge::OtherUnlessQuorum, ..) => kind == Some(QueueKind::Quorum),
    }
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Names and routing keys are short strings.
fn is_short_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() <= usize::from(u8::MAX))
}

fn is_count(value: &Value) -> bool {
    value.as_i64().is_some_and(|count| count >= 0)
}

fn is_duration(value: &Value) -> bool {
    value.as_u64().is_some_and(|ms| ms <= DURATION_MS_MAX)
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|word| words.contains(&word))
}

/// A number and its unit: `7D`.
fn is_age(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let digits = text.trim_end_matches(['Y', 'M', 'D', 'h', 'm', 's']);
    text.len() == digits.len() + 1 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
