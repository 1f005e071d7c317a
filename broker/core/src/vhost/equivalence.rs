//! Declaring again what exists: whether it is the same, and RabbitMQ's words for what is not.

use std::fmt::Display;

use leveret_protocol::table::{Table, Value};

use crate::fault::Fault;
use crate::term::Term;

/// Fails when a plain property differs.
pub(crate) fn check_field<T: PartialEq + Display>(
    name: &str,
    current: T,
    received: T,
    resource: impl Display,
) -> Result<(), Fault> {
    if current == received {
        return Ok(());
    }
    Err(inequivalent(name, resource, format!("'{received}'"), format!("'{current}'")))
}

/// Fails when one of the named arguments differs. Integers of any width are the same when their values are.
pub(crate) fn check_arguments(
    names: impl Iterator<Item = &'static str>,
    current: &Table,
    received: &Table,
    resource: impl Display,
) -> Result<(), Fault> {
    for name in names {
        let (was, is) = match (current.get(name), received.get(name)) {
            (None, None) => continue,
            (Some(current), Some(received)) if same(current, received) => continue,
            (Some(current), Some(received)) => (bare(current), bare(received)),
            // A queue without a type is a classic one.
            (Some(value), None) | (None, Some(value))
                if name == "x-queue-type" && value.as_str() == Some("classic") =>
            {
                continue;
            }
            (current, received) => (with_type(current), with_type(received)),
        };
        return Err(inequivalent(name, resource, is, was));
    }
    Ok(())
}

fn inequivalent(name: &str, resource: impl Display, received: String, current: String) -> Fault {
    Fault::precondition_failed(format!(
        "inequivalent arg '{name}' for {resource}: received {received} but current is {current}"
    ))
}

fn same(current: &Value, received: &Value) -> bool {
    match (current.as_i64(), received.as_i64()) {
        (Some(current), Some(received)) => current == received,
        _ => current == received,
    }
}

fn bare(value: &Value) -> String {
    format!("'{}'", plain(value))
}

fn with_type(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("the value '{}' of type '{}'", plain(value), value.type_name()),
    }
}

/// Text without Erlang's brackets, other values as Erlang prints them.
fn plain(value: &Value) -> String {
    match value {
        Value::LongString(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => Term(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "queue 'q' in vhost '/'";

    fn check(name: &'static str, current: Option<Value>, received: Option<Value>, expected: Option<&str>) {
        let table = |value: Option<Value>| value.map(|value| (name, value)).into_iter().collect::<Table>();
        let result = check_arguments([name].into_iter(), &table(current), &table(received), QUEUE);
        let expected = expected.map(|text| format!("inequivalent arg '{name}' for {QUEUE}: {text}"));
        assert_eq!(result.err().map(|fault| fault.text.into_owned()), expected);
    }

    #[test]
    fn plain_properties_are_shown_with_both_values() {
        assert_eq!(check_field("durable", true, true, QUEUE), Ok(()));
        assert_eq!(
            check_field("durable", false, true, QUEUE).unwrap_err().text,
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"
        );
    }

    #[test]
    fn a_missing_argument_is_shown_with_the_type_of_the_other() {
        let ttl = || Some(Value::I32(60_000));
        check("x-message-ttl", ttl(), ttl(), None);
        check(
            "x-message-ttl",
            ttl(),
            None,
            Some("received none but current is the value '60000' of type 'signedint'"),
        );
        check(
            "x-overflow",
            None,
            Some("drop-head".into()),
            Some("received the value 'drop-head' of type 'longstr' but current is none"),
        );
    }

    #[test]
    fn two_values_are_shown_bare() {
        check("x-max-length", Some(5.into()), Some(6.into()), Some("received '6' but current is '5'"));
        check("x-overflow", Some("a".into()), Some("b".into()), Some("received 'b' but current is 'a'"));
        check("x-max-length", Some(5.into()), Some("5".into()), Some("received '5' but current is '5'"));
    }

    #[test]
    fn integers_compare_by_value_whatever_their_width() {
        check("x-max-length", Some(Value::I32(5)), Some(Value::I64(5)), None);
        check("x-max-length", Some(Value::U8(5)), Some(Value::I16(5)), None);
    }

    #[test]
    fn a_queue_without_a_type_is_classic() {
        check("x-queue-type", None, Some("classic".into()), None);
        check("x-queue-type", Some("classic".into()), None, None);
        check(
            "x-queue-type",
            Some("classic".into()),
            Some("quorum".into()),
            Some("received 'quorum' but current is 'classic'"),
        );
        check(
            "x-queue-type",
            None,
            Some("quorum".into()),
            Some("received the value 'quorum' of type 'longstr' but current is none"),
        );
    }
}
