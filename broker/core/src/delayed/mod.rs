//! Delayed exchanges: which messages wait, until when, and what is told of it afterwards.
//!
//! An exchange of type `x-delayed-message` routes as the type that its argument `x-delayed-type` names, but holds back
//! messages that ask for it by one of two headers:
//!
//! - `x-delay`: how long, in milliseconds. A number of any type, or digits; the plugin for RabbitMQ reads the same.
//!   What is not above zero does not wait. When the message goes on the header has its sign turned, so that it does
//!   not wait again at the next such exchange, and so that consumers can see that it did.
//! - `x-deliver-at`: until when, in milliseconds since the epoch, or as a timestamp. Only read when there is no
//!   `x-delay`. It stays as it is: once it is past it holds nothing back.

mod window;

use leveret_protocol::table::{RawTable, RawValue, Table, Value};

use crate::exchange::ExchangeKind;
use crate::fault::Fault;
use crate::message::Message;

pub use window::{Claim, Delayed, DelayedKey, NEAR_BYTES_MAX, NEAR_MAX, Window};

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// To wait so many milliseconds, at least one.
    For(u64),
    /// To wait until so many milliseconds after the epoch.
    Until(u64),
}

impl Delay {
    /// Reads the headers.
    pub fn of(headers: RawTable<'_>) -> Option<Delay> {
        if headers.is_empty() {
            return None;
        }
        if let Some(value) = headers.get(DELAY) {
            let delay = number(value)?;
            return u64::try_from(delay).ok().filter(|delay| *delay > 0).map(Delay::For);
        }
        let until = match headers.get(DELIVER_AT)? {
            RawValue::Timestamp(seconds) => seconds.saturating_mul(1000),
            value => u64::try_from(number(value)?).ok()?,
        };
        Some(Delay::Until(until))
    }

    /// When the message goes on, in milliseconds since the epoch.
    pub fn due_ms(self, now_ms: u64) -> u64 {
        match self {
            Delay::For(delay) => now_ms.saturating_add(delay),
            Delay::Until(until) => until,
        }
    }
}

/// The message as it goes on after it waited: its delay has the sign turned.
pub fn after_waiting(message: Message) -> Message {
    let properties = message.properties();
    let headers = properties.headers().unwrap_or_default();
    let Some(delay) = headers.get(DELAY).and_then(number) else { return message };
    let Ok(mut headers) = headers.to_table() else { return message };
    let turned = delay.saturating_neg();
    headers.insert(DELAY, i32::try_from(turned).map_or(Value::I64(turned), Value::I32));
    let properties = properties.with_headers(&headers);
    message.rewritten(message.exchange(), message.routing_key(), &properties, message.has_died())
}

/// The type by which a delayed exchange routes; `None` for an exchange of another type.
pub fn delayed_kind(kind: ExchangeKind, arguments: &Table) -> Result<Option<ExchangeKind>, Fault> {
    if kind != ExchangeKind::Delayed {
        return Ok(None);
    }
    let Some(Value::LongString(name)) = arguments.get(DELAYED_TYPE) else {
        return Err(Fault::precondition_failed(
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ));
    };
    let name = String::from_utf8_lossy(name);
    match ExchangeKind::from_name(&name) {
        Some(ExchangeKind::Delayed) => Err(Fault::precondition_failed(
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        )),
        Some(kind) => Ok(Some(kind)),
        None => Err(Fault::precondition_failed(format!("unknown exchange type '{name}'"))),
    }
}

/// A number, whatever its type; fractions are cut off.
fn number(value: RawValue<'_>) -> Option<i64> {
    match value {
        RawValue::F32(number) => Some(f64::from(number) as i64),
        RawValue::F64(number) => Some(number as i64),
        RawValue::LongString(_) => value.as_str()?.parse().ok(),
        value => value.as_i64(),
    }
}

const DELAY: &str = "x-delay";
const DELIVER_AT: &str = "x-deliver-at";
const DELAYED_TYPE: &str = "x-delayed-type";

#[cfg(test)]
mod tests {
    use leveret_protocol::properties::Properties;

    use super::*;

    fn delay_of<const N: usize>(headers: [(&str, Value); N]) -> Option<Delay> {
        let mut bytes = Vec::new();
        Table::from(headers).encode_entries(&mut bytes);
        Delay::of(RawTable::validate(&bytes).unwrap())
    }

    #[test]
    fn a_delay_is_a_number_above_zero_of_any_type() {
        for value in [
            Value::I8(7),
            Value::U8(7),
            Value::I16(7),
            Value::U16(7),
            Value::I32(7),
            Value::U32(7),
            Value::I64(7),
            Value::F64(7.9),
            "7".into(),
        ] {
            assert_eq!(delay_of([("x-delay", value.clone())]), Some(Delay::For(7)), "{value:?}");
        }
        for value in [Value::I32(0), Value::I32(-5), Value::Void, "soon".into(), Value::Bool(true)] {
            assert_eq!(delay_of([("x-delay", value.clone())]), None, "{value:?}");
        }
        assert_eq!(delay_of([]), None);
        assert_eq!(delay_of([("x-delay", Value::I64(i64::MAX))]), Some(Delay::For(i64::MAX as u64)));
    }

    #[test]
    fn a_moment_counts_where_there_is_no_delay() {
        assert_eq!(
            delay_of([("x-deliver-at", Value::I64(1_700_000_000_123))]),
            Some(Delay::Until(1_700_000_000_123))
        );
        assert_eq!(
            delay_of([("x-deliver-at", Value::Timestamp(1_700_000_000))]),
            Some(Delay::Until(1_700_000_000_000))
        );
        assert_eq!(delay_of([("x-deliver-at", Value::I64(-1))]), None);
        assert_eq!(delay_of([("x-delay", 5.into()), ("x-deliver-at", Value::I64(9))]), Some(Delay::For(5)));
        assert_eq!(Delay::For(u64::MAX).due_ms(5), u64::MAX);
        assert_eq!((Delay::For(10).due_ms(5), Delay::Until(3).due_ms(5)), (15, 3));
    }

    #[test]
    fn a_message_that_waited_says_so_and_does_not_wait_again() {
        let waited = |headers: Option<Table>| {
            let mut raw = Vec::new();
            Properties { headers, app_id: Some("a".into()), ..Properties::default() }.encode(&mut raw);
            let message = after_waiting(Message::new("x", "k", &raw, b"body"));
            assert_eq!((message.exchange(), message.routing_key(), message.body()), ("x", "k", &b"body"[..]));
            message.properties().to_properties().unwrap().headers
        };
        let own = || ("own", Value::I32(1));
        assert_eq!(
            waited(Some(Table::from([own(), ("x-delay", Value::U8(5))]))),
            Some(Table::from([own(), ("x-delay", Value::I32(-5))]))
        );
        assert_eq!(
            waited(Some(Table::from([("x-delay", Value::I64(1 << 40))]))),
            Some(Table::from([("x-delay", Value::I64(-(1 << 40)))]))
        );
        let at = Table::from([("x-deliver-at", Value::I64(5))]);
        assert_eq!(waited(Some(at.clone())), Some(at));
        assert_eq!(waited(None), None);
    }

    #[test]
    fn the_type_behind_a_delayed_exchange_has_to_exist() {
        let kind = |arguments: Table| delayed_kind(ExchangeKind::Delayed, &arguments);
        assert_eq!(kind(Table::from([("x-delayed-type", "topic".into())])), Ok(Some(ExchangeKind::Topic)));
        assert_eq!(delayed_kind(ExchangeKind::Topic, &Table::new()), Ok(None));
        let refused = |arguments, text: &str| {
            assert_eq!(kind(arguments), Err(Fault::precondition_failed(text.to_owned())))
        };
        refused(Table::new(), "Invalid argument, 'x-delayed-type' must be an existing exchange type");
        refused(
            Table::from([("x-delayed-type", 5.into())]),
            "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        );
        refused(Table::from([("x-delayed-type", "quick".into())]), "unknown exchange type 'quick'");
        refused(
            Table::from([("x-delayed-type", "x-delayed-message".into())]),
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        );
    }
}
