//! What a queue is asked to be: the `x-` arguments of its declaration, read once into [`QueueOptions`].
//!
//! [`ARGUMENTS`] is the list of what is understood, by which kind of queue, within which bounds. Bounds and reply texts
//! are RabbitMQ's. An argument that no kind of queue knows is kept with the queue and otherwise ignored; one that only
//! another kind knows is refused. Where RabbitMQ 4.3 began to refuse what older clients send (`x-queue-mode`,
//! `x-queue-version`), it is accepted and has no effect.

use std::borrow::Cow;
use std::fmt;

use leveret_protocol::table::{Table, Value};

use super::Overflow;
use super::retry::{RetryDelay, parse_duration};
use crate::deduplication::DeduplicationOptions;
use crate::fault::Fault;

/// A queue's arguments, typed. What they do not mention is `None` or the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueOptions {
    pub kind: QueueKind,
    /// How long a message may wait, 0 for not at all.
    pub message_ttl_ms: Option<u64>,
    /// How long the queue may be unused, at least 1.
    pub expires_ms: Option<u64>,
    /// Ready messages allowed.
    pub max_length: Option<u64>,
    /// Bytes of ready bodies allowed.
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    /// Where dead messages go; the exchange need not exist. "" is the default exchange.
    pub dead_letter_exchange: Option<String>,
    /// Replaces a dead message's routing keys. Only with `dead_letter_exchange`.
    pub dead_letter_routing_key: Option<String>,
    pub dead_letter_strategy: DeadLetterStrategy,
    /// Without a dead-letter exchange, dead messages go to a queue that is made for them.
    pub dead_letter_auto: bool,
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    /// Returns allowed before a message is given up. Negative lifts whatever limit is the default.
    pub delivery_limit: Option<i64>,
    /// How long a returned message waits before it is ready again.
    pub retry_delay: Option<RetryDelay>,
    /// By how many percent that is spread, at most 100.
    pub retry_jitter: Option<u8>,
    /// The longest such wait.
    pub retry_max_ms: Option<u64>,
    /// Returns of any kind allowed before a message is given up.
    pub retry_limit: Option<u32>,
    pub expiry_mode: ExpiryMode,
    /// How long a consumer may hold a message.
    pub consumer_timeout_ms: Option<u64>,
    pub deduplication: DeduplicationOptions,
}

/// Which messages expire at their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpiryMode {
    /// All.
    #[default]
    Anywhere,
    /// The one at the front; others once they get there, as on RabbitMQ.
    Head,
}

/// The type of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QueueKind {
    #[default]
    Classic,
    Quorum,
}

impl QueueKind {
    /// What clients call it.
    pub fn name(self) -> &'static str {
        match self {
            QueueKind::Classic => "classic",
            QueueKind::Quorum => "quorum",
        }
    }
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How safely a message is handed to a dead-letter exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeadLetterStrategy {
    #[default]
    AtMostOnce,
    AtLeastOnce,
}

impl QueueOptions {
    /// Reads the arguments of a new queue. `queue` is how reply texts call it: `queue 'q' in vhost '/'`.
    pub fn parse(queue: &str, arguments: &Table) -> Result<QueueOptions, Fault> {
        if let Some(value) = arguments.get("x-dead-letter-exchange")
            && !matches!(value, Value::LongString(_))
        {
            return Err(Fault::precondition_failed(format!(
                "invalid type '{}' for arg 'x-dead-letter-exchange' in {queue}",
                value.type_name()
            )));
        }
        let kind = parse_kind(queue, arguments)?;
        let mut options = QueueOptions { kind, ..QueueOptions::default() };
        for argument in ARGUMENTS.iter().filter(|argument| argument.is_for(kind)) {
            if let Some(value) = arguments.get(argument.name) {
                (argument.read)(value, arguments, &mut options)
                    .map_err(|reason| invalid(argument.name, queue, &reason))?;
            }
        }
        for (name, _) in arguments.iter() {
            if ARGUMENTS.iter().any(|argument| argument.name == name && !argument.is_for(kind)) {
                return Err(Fault::precondition_failed(format!(
                    "invalid arg '{name}' for {queue} of queue type {kind}"
                )));
            }
        }
        Ok(options)
    }
}

/// The arguments that have to be the same when a queue of this kind is declared again.
pub fn compared_arguments(kind: QueueKind) -> impl Iterator<Item = &'static str> {
    ARGUMENTS
        .iter()
        .filter(move |argument| argument.is_for(kind))
        // RabbitMQ's classic queues do not know this one and let it differ; deployed clients rely on that.
        .filter(move |argument| argument.name != "x-consumer-timeout" || kind == QueueKind::Quorum)
        .map(|argument| argument.name)
}

/// One argument that some kind of queue understands.
struct Argument {
    name: &'static str,
    /// The kinds of queue that understand it; none for what only streams do.
    kinds: &'static [QueueKind],
    /// Checks the value and notes it. The error is the reason in RabbitMQ's notation.
    read: fn(&Value, &Table, &mut QueueOptions) -> Result<(), Reason>,
}

type Reason = Cow<'static, str>;

impl Argument {
    fn is_for(&self, kind: QueueKind) -> bool {
        self.kinds.contains(&kind)
    }
}

const CLASSIC: &[QueueKind] = &[QueueKind::Classic];
const QUORUM: &[QueueKind] = &[QueueKind::Quorum];
const BOTH: &[QueueKind] = &[QueueKind::Classic, QueueKind::Quorum];
const STREAM_ONLY: &[QueueKind] = &[];

/// In the order in which they are checked.
static ARGUMENTS: &[Argument] = &[
    Argument { name: "x-queue-type", kinds: BOTH, read: |_, _, _| Ok(()) },
    Argument {
        name: "x-expires",
        kinds: BOTH,
        read: |value, _, options| {
            let ms = positive(value)?;
            options.expires_ms = Some(duration_ms(ms)?);
            Ok(())
        },
    },
    Argument {
        name: "x-message-ttl",
        kinds: BOTH,
        read: |value, _, options| {
            options.message_ttl_ms = Some(duration_ms(integer(value)?)?);
            Ok(())
        },
    },
    Argument {
        name: "x-dead-letter-exchange",
        kinds: BOTH,
        read: |value, _, options| {
            options.dead_letter_exchange = Some(short_text(value)?.to_owned());
            Ok(())
        },
    },
    Argument {
        name: "x-dead-letter-routing-key",
        kinds: BOTH,
        read: |value, arguments, options| {
            let routing_key = short_text(value)?;
            if arguments.get("x-dead-letter-exchange").is_none() {
                return Err("routing_key_but_no_dlx_defined".into());
            }
            options.dead_letter_routing_key = Some(routing_key.to_owned());
            Ok(())
        },
    },
    Argument {
        name: "x-dead-letter-strategy",
        kinds: QUORUM,
        read: |value, _, options| {
            options.dead_letter_strategy = match text(value)? {
                b"at-most-once" => DeadLetterStrategy::AtMostOnce,
                b"at-least-once" => DeadLetterStrategy::AtLeastOnce,
                _ => return Err("invalid_dlx_strategy".into()),
            };
            Ok(())
        },
    },
    // Not RabbitMQ's.
    Argument {
        name: "x-dead-letter-auto",
        kinds: BOTH,
        read: |value, _, options| {
            options.dead_letter_auto = value.as_bool().ok_or_else(|| unacceptable_type(value))?;
            Ok(())
        },
    },
    Argument {
        name: "x-max-length",
        kinds: BOTH,
        read: |value, _, options| {
            options.max_length = Some(non_negative(value)?);
            Ok(())
        },
    },
    Argument {
        name: "x-max-length-bytes",
        kinds: BOTH,
        read: |value, _, options| {
            options.max_length_bytes = Some(non_negative(value)?);
            Ok(())
        },
    },
    Argument {
        name: "x-max-in-memory-length",
        kinds: QUORUM,
        read: |value, _, _| non_negative(value).map(drop),
    },
    Argument {
        name: "x-max-in-memory-bytes",
        kinds: QUORUM,
        read: |value, _, _| non_negative(value).map(drop),
    },
    Argument {
        name: "x-max-priority",
        kinds: CLASSIC,
        read: |value, _, options| {
            let priority = non_negative(value)?;
            let priority =
                u8::try_from(priority).map_err(|_| format!("{{max_value_exceeded,{priority}}}"))?;
            options.max_priority = Some(priority);
            Ok(())
        },
    },
    Argument {
        name: "x-overflow",
        kinds: BOTH,
        read: |value, _, options| {
            options.overflow = match text(value)? {
                b"drop-head" => Overflow::DropHead,
                b"reject-publish" => Overflow::RejectPublish,
                b"reject-publish-dlx" => Overflow::RejectPublishDlx,
                _ => return Err("invalid_overflow".into()),
            };
            Ok(())
        },
    },
    Argument {
        name: "x-queue-mode",
        kinds: CLASSIC,
        read: |value, _, _| match text(value)? {
            b"default" | b"lazy" => Ok(()),
            other => Err(format!("\"unsupported queue mode '{}'\"", String::from_utf8_lossy(other)).into()),
        },
    },
    Argument {
        name: "x-queue-version",
        kinds: CLASSIC,
        read: |value, _, _| match non_negative(value)? {
            1 | 2 => Ok(()),
            other => Err(format!("\"unsupported queue version '{other}'\"").into()),
        },
    },
    Argument {
        name: "x-single-active-consumer",
        kinds: BOTH,
        read: |value, _, options| {
            options.single_active_consumer = value.as_bool().ok_or_else(|| unacceptable_type(value))?;
            Ok(())
        },
    },
    // RabbitMQ's classic queues know no delivery limit; here every queue does.
    Argument {
        name: "x-delivery-limit",
        kinds: BOTH,
        read: |value, _, options| {
            options.delivery_limit = Some(integer(value)?);
            Ok(())
        },
    },
    // These five are not RabbitMQ's.
    Argument {
        name: "x-retry-delay",
        kinds: BOTH,
        read: |value, _, options| {
            options.retry_delay = Some(match value {
                Value::LongString(_) => {
                    RetryDelay::parse(as_text(value)?).map_err(|error| error.to_string())?
                }
                _ => RetryDelay::fixed(wait_ms(value)?),
            });
            Ok(())
        },
    },
    Argument {
        name: "x-retry-jitter",
        kinds: BOTH,
        read: |value, _, options| {
            let percent = non_negative(value)?;
            let is_percent = |percent: &u8| *percent <= 100;
            let percent = u8::try_from(percent).ok().filter(is_percent);
            options.retry_jitter = Some(percent.ok_or("\"expected a percentage of 0 to 100\"")?);
            Ok(())
        },
    },
    Argument {
        name: "x-retry-max",
        kinds: BOTH,
        read: |value, _, options| {
            options.retry_max_ms = Some(match value {
                Value::LongString(_) => parse_duration(as_text(value)?).map_err(|error| error.to_string())?,
                _ => wait_ms(value)?,
            });
            Ok(())
        },
    },
    Argument {
        name: "x-retry-limit",
        kinds: BOTH,
        read: |value, _, options| {
            let limit = non_negative(value)?;
            options.retry_limit =
                Some(u32::try_from(limit).map_err(|_| format!("{{value_too_big,{limit}}}"))?);
            Ok(())
        },
    },
    Argument {
        name: "x-expiry-mode",
        kinds: BOTH,
        read: |value, _, options| {
            options.expiry_mode = match text(value)? {
                b"anywhere" => ExpiryMode::Anywhere,
                b"head" => ExpiryMode::Head,
                _ => return Err("invalid_expiry_mode".into()),
            };
            Ok(())
        },
    },
    Argument {
        name: "x-consumer-timeout",
        kinds: BOTH,
        read: |value, _, options| {
            options.consumer_timeout_ms = Some(non_negative(value)?);
            Ok(())
        },
    },
    Argument {
        name: "x-message-deduplication",
        kinds: BOTH,
        read: |value, _, options| options.deduplication.read("x-message-deduplication", value).map(drop),
    },
    Argument {
        name: "x-deduplication-key",
        kinds: BOTH,
        read: |value, _, options| options.deduplication.read("x-deduplication-key", value).map(drop),
    },
    Argument {
        name: "x-deduplication-window",
        kinds: BOTH,
        read: |value, _, options| options.deduplication.read("x-deduplication-window", value).map(drop),
    },
    Argument {
        name: "x-deduplication-size",
        kinds: BOTH,
        read: |value, _, options| options.deduplication.read("x-deduplication-size", value).map(drop),
    },
    Argument {
        name: "x-quorum-initial-group-size",
        kinds: QUORUM,
        read: |value, _, _| positive(value).map(drop),
    },
    Argument {
        name: "x-quorum-target-group-size",
        kinds: QUORUM,
        read: |value, _, _| positive(value).map(drop),
    },
    Argument { name: "x-queue-master-locator", kinds: CLASSIC, read: |_, _, _| Ok(()) },
    Argument {
        name: "x-queue-leader-locator",
        kinds: BOTH,
        read: |value, _, _| match text(value)? {
            b"client-local" | b"balanced" => Ok(()),
            _ => Err("invalid_queue_locator_arg".into()),
        },
    },
    Argument { name: "x-max-age", kinds: STREAM_ONLY, read: |_, _, _| Ok(()) },
    Argument { name: "x-stream-max-segment-size-bytes", kinds: STREAM_ONLY, read: |_, _, _| Ok(()) },
    Argument { name: "x-stream-filter-size-bytes", kinds: STREAM_ONLY, read: |_, _, _| Ok(()) },
    Argument { name: "x-initial-cluster-size", kinds: STREAM_ONLY, read: |_, _, _| Ok(()) },
];

fn parse_kind(queue: &str, arguments: &Table) -> Result<QueueKind, Fault> {
    let Some(value) = arguments.get("x-queue-type") else { return Ok(QueueKind::Classic) };
    match text(value).map_err(|reason| invalid("x-queue-type", queue, &reason))? {
        b"classic" => Ok(QueueKind::Classic),
        b"quorum" => Ok(QueueKind::Quorum),
        b"stream" => Err(Fault::not_implemented(format!(
            "queue type 'stream' is not supported yet, asked for {queue}"
        ))),
        other => {
            let reason = format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other));
            Err(invalid("x-queue-type", queue, &reason))
        }
    }
}

fn invalid(name: &str, queue: &str, reason: &str) -> Fault {
    Fault::precondition_failed(format!("invalid arg '{name}' for {queue}: {reason}"))
}

fn integer(value: &Value) -> Result<i64, Reason> {
    value.as_i64().ok_or_else(|| format!("\"expected integer, got {}\"", value.type_name()).into())
}

fn non_negative(value: &Value) -> Result<u64, Reason> {
    let number = integer(value)?;
    u64::try_from(number).map_err(|_| format!("{{value_negative,{number}}}").into())
}

fn positive(value: &Value) -> Result<i64, Reason> {
    match integer(value)? {
        0 => Err("{value_zero,0}".into()),
        number => non_negative(value).map(|_| number),
    }
}

fn duration_ms(number: i64) -> Result<u64, Reason> {
    match u64::try_from(number) {
        Err(_) => Err(format!("{{value_negative,{number}}}").into()),
        Ok(ms) if ms > DURATION_MS_MAX => Err(format!("{{value_too_large,{number}}}").into()),
        Ok(ms) => Ok(ms),
    }
}

/// A wait as a number of milliseconds.
fn wait_ms(value: &Value) -> Result<u64, Reason> {
    duration_ms(positive(value)?)
}

fn as_text(value: &Value) -> Result<&str, Reason> {
    std::str::from_utf8(text(value)?).map_err(|_| "invalid_utf8".into())
}

fn text(value: &Value) -> Result<&[u8], Reason> {
    match value {
        Value::LongString(bytes) => Ok(bytes),
        _ => Err(unacceptable_type(value)),
    }
}

/// Text that fits a short string, as names and routing keys do.
fn short_text(value: &Value) -> Result<&str, Reason> {
    let bytes = text(value)?;
    if bytes.len() > usize::from(u8::MAX) {
        return Err(format!("{{value_too_long,{}}}", bytes.len()).into());
    }
    std::str::from_utf8(bytes).map_err(|_| "invalid_utf8".into())
}

fn unacceptable_type(value: &Value) -> Reason {
    format!("{{unacceptable_type,{}}}", value.type_name()).into()
}

/// Ten years: the longest time that RabbitMQ lets a message or queue live.
pub const DURATION_MS_MAX: u64 = 315_360_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deduplication::DeduplicationKey;

    const QUEUE: &str = "queue 'q' in vhost '/'";

    fn parse<const N: usize>(arguments: [(&str, Value); N]) -> Result<QueueOptions, Fault> {
        QueueOptions::parse(QUEUE, &Table::from(arguments))
    }

    fn parsed<const N: usize>(arguments: [(&str, Value); N]) -> QueueOptions {
        parse(arguments).unwrap()
    }

    fn check_invalid(name: &str, value: impl Into<Value>, reason: &str) {
        let fault = parse([(name, value.into())]).unwrap_err();
        assert_eq!(fault, Fault::precondition_failed(format!("invalid arg '{name}' for {QUEUE}: {reason}")));
    }

    #[test]
    fn without_arguments_a_queue_is_classic_and_unlimited() {
        assert_eq!(parsed([]), QueueOptions::default());
        assert_eq!(parsed([]).kind, QueueKind::Classic);
    }

    #[test]
    fn every_argument_is_noted() {
        let options = parsed([
            ("x-message-ttl", 0.into()),
            ("x-expires", Value::U32(1)),
            ("x-max-length", Value::I64(5)),
            ("x-max-length-bytes", Value::U16(6)),
            ("x-overflow", "reject-publish-dlx".into()),
            ("x-dead-letter-exchange", "".into()),
            ("x-dead-letter-routing-key", "dead".into()),
            ("x-dead-letter-auto", true.into()),
            ("x-max-priority", Value::U8(255)),
            ("x-single-active-consumer", true.into()),
            ("x-delivery-limit", (-1).into()),
            ("x-retry-delay", "1s,5s".into()),
            ("x-retry-jitter", 20.into()),
            ("x-retry-max", "1h".into()),
            ("x-retry-limit", 0.into()),
            ("x-expiry-mode", "head".into()),
            ("x-consumer-timeout", 1_000.into()),
            ("x-queue-mode", "lazy".into()),
            ("x-queue-version", 2.into()),
            ("x-queue-leader-locator", "balanced".into()),
            ("x-queue-type", "classic".into()),
            ("x-message-deduplication", true.into()),
            ("x-deduplication-key", "message-id".into()),
            ("x-deduplication-window", 7.into()),
            ("x-deduplication-size", 8.into()),
        ]);
        let expected = QueueOptions {
            kind: QueueKind::Classic,
            message_ttl_ms: Some(0),
            expires_ms: Some(1),
            max_length: Some(5),
            max_length_bytes: Some(6),
            overflow: Overflow::RejectPublishDlx,
            dead_letter_exchange: Some("".into()),
            dead_letter_routing_key: Some("dead".into()),
            dead_letter_auto: true,
            dead_letter_strategy: DeadLetterStrategy::AtMostOnce,
            max_priority: Some(255),
            single_active_consumer: true,
            delivery_limit: Some(-1),
            retry_delay: Some(RetryDelay::Ladder([1_000, 5_000].into())),
            retry_jitter: Some(20),
            retry_max_ms: Some(3_600_000),
            retry_limit: Some(0),
            expiry_mode: ExpiryMode::Head,
            consumer_timeout_ms: Some(1_000),
            deduplication: DeduplicationOptions {
                enabled: Some(true),
                key: Some(DeduplicationKey::MessageId),
                window_ms: Some(7),
                size: Some(8),
            },
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn durations_lie_between_nothing_and_ten_years() {
        assert_eq!(
            parsed([("x-message-ttl", 315_360_000_000i64.into())]).message_ttl_ms,
            Some(DURATION_MS_MAX)
        );
        check_invalid("x-message-ttl", 315_360_000_001i64, "{value_too_large,315360000001}");
        check_invalid("x-message-ttl", -1, "{value_negative,-1}");
        check_invalid("x-message-ttl", "60000", "\"expected integer, got longstr\"");
        check_invalid("x-message-ttl", Value::Timestamp(5), "\"expected integer, got timestamp\"");
        check_invalid("x-expires", 0, "{value_zero,0}");
        check_invalid("x-expires", -5, "{value_negative,-5}");
        check_invalid("x-expires", 315_360_000_001i64, "{value_too_large,315360000001}");
    }

    #[test]
    fn numbers_stay_in_their_bounds() {
        check_invalid("x-max-length", -1, "{value_negative,-1}");
        check_invalid("x-max-length-bytes", Value::F64(1.5), "\"expected integer, got double\"");
        check_invalid("x-max-priority", 256, "{max_value_exceeded,256}");
        check_invalid("x-max-priority", -1, "{value_negative,-1}");
        check_invalid("x-queue-version", 3, "\"unsupported queue version '3'\"");
        check_invalid("x-delivery-limit", "5", "\"expected integer, got longstr\"");
    }

    #[test]
    fn retries_wait_for_times_that_can_be_read() {
        let delay = |value: Value| parsed([("x-retry-delay", value)]).retry_delay;
        assert_eq!(delay(5_000.into()), Some(RetryDelay::fixed(5_000)));
        assert_eq!(delay("linear:2s".into()), Some(RetryDelay::Linear(2_000)));
        check_invalid("x-retry-delay", 0, "{value_zero,0}");
        check_invalid("x-retry-delay", true, "\"expected integer, got bool\"");
        let reason = "\"expected a duration such as 500ms, 5s, 10m, 1h or 1d, got 'x'\"";
        check_invalid("x-retry-delay", "5s,x", reason);
        check_invalid("x-retry-max", "x", reason);
        check_invalid("x-retry-jitter", 101, "\"expected a percentage of 0 to 100\"");
        check_invalid("x-retry-jitter", -1, "{value_negative,-1}");
        check_invalid("x-retry-limit", 1i64 << 32, "{value_too_big,4294967296}");
        check_invalid("x-expiry-mode", "tail", "invalid_expiry_mode");
    }

    #[test]
    fn words_are_of_the_known_ones() {
        check_invalid("x-overflow", "drop-tail", "invalid_overflow");
        check_invalid("x-overflow", 1, "{unacceptable_type,signedint}");
        check_invalid("x-queue-mode", "eager", "\"unsupported queue mode 'eager'\"");
        check_invalid("x-queue-leader-locator", "here", "invalid_queue_locator_arg");
        check_invalid("x-single-active-consumer", "true", "{unacceptable_type,longstr}");
        check_invalid("x-queue-type", "mqtt", "\"unsupported queue type 'mqtt'\"");
        check_invalid("x-queue-type", 1, "{unacceptable_type,signedint}");
    }

    #[test]
    fn a_dead_letter_routing_key_needs_an_exchange() {
        check_invalid("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined");
        check_invalid("x-dead-letter-routing-key", 1, "{unacceptable_type,signedint}");
        assert_eq!(
            parse([("x-dead-letter-exchange", 1.into())]).unwrap_err().text,
            "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
        );
        check_invalid("x-dead-letter-exchange", "x".repeat(256).as_str(), "{value_too_long,256}");
    }

    #[test]
    fn arguments_of_another_kind_are_refused_and_unknown_ones_ignored() {
        let refused = |kind: &str, name: &str, value: Value| {
            let fault = parse([("x-queue-type", kind.into()), (name, value)]).unwrap_err();
            assert_eq!(fault.text, format!("invalid arg '{name}' for {QUEUE} of queue type {kind}"));
        };
        refused("quorum", "x-max-priority", 5.into());
        refused("quorum", "x-queue-mode", "lazy".into());
        refused("classic", "x-max-age", "1D".into());
        refused("classic", "x-quorum-initial-group-size", 3.into());
        assert_eq!(
            parsed([("x-whatever", 5.into()), ("alternate-exchange", 1.into())]),
            QueueOptions::default()
        );
        let quorum =
            parsed([("x-queue-type", "quorum".into()), ("x-dead-letter-strategy", "at-least-once".into())]);
        assert_eq!(quorum.kind, QueueKind::Quorum);
        assert_eq!(quorum.dead_letter_strategy, DeadLetterStrategy::AtLeastOnce);
    }

    #[test]
    fn streams_are_not_there_yet() {
        let fault = parse([("x-queue-type", "stream".into())]).unwrap_err();
        assert_eq!(
            fault,
            Fault::not_implemented(
                "queue type 'stream' is not supported yet, asked for queue 'q' in vhost '/'"
            )
        );
    }

    #[test]
    fn a_consumer_timeout_is_compared_for_quorum_queues_only() {
        let compared = |kind| compared_arguments(kind).any(|name| name == "x-consumer-timeout");
        assert!(!compared(QueueKind::Classic));
        assert!(compared(QueueKind::Quorum));
    }
}
