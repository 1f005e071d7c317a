//! Field values as RabbitMQ's reply texts show them: the way Erlang prints terms.

use std::fmt;

use leveret_protocol::table::Value;
use serde_json::Value as Json;

/// Prints a value as Erlang's `~p` does: text as `<<"text">>`, numbers and booleans bare.
pub(crate) struct Term<'a>(pub &'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(value) => write!(f, "{value}"),
            Value::LongString(bytes) | Value::Bytes(bytes) if bytes.is_empty() => f.write_str("<<>>"),
            Value::LongString(bytes) | Value::Bytes(bytes) => {
                write!(f, "<<\"{}\">>", String::from_utf8_lossy(bytes))
            }
            Value::Timestamp(seconds) => write!(f, "{seconds}"),
            Value::F32(float) => write!(f, "{float:?}"),
            Value::F64(float) => write!(f, "{float:?}"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Void => f.write_str("undefined"),
            Value::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{{{},{}}}", value.type_name(), Term(value))?;
                }
                f.write_str("]")
            }
            Value::Table(table) => {
                f.write_str("[")?;
                for (index, (name, value)) in table.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{{<<\"{name}\">>,{},{}}}", value.type_name(), Term(value))?;
                }
                f.write_str("]")
            }
            integer => write!(f, "{}", integer.as_i64().unwrap_or_default()),
        }
    }
}

/// Prints JSON as Erlang prints what it reads from it: objects as maps, text as `<<"text">>`.
pub(crate) struct JsonTerm<'a>(pub &'a Json);

impl fmt::Display for JsonTerm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(number) => write!(f, "{number}"),
            Json::String(text) => {
                let encoding = if text.is_ascii() { "" } else { "/utf8" };
                write!(f, "<<\"{}\"{encoding}>>", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Json::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}", JsonTerm(value))?;
                }
                f.write_str("]")
            }
            Json::Object(entries) => {
                f.write_str("#{")?;
                for (index, (name, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}<<\"{name}\">> => {}", JsonTerm(value))?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use leveret_protocol::table::Table;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_like_erlang_terms() {
        let check = |value: Value, expected| assert_eq!(Term(&value).to_string(), expected);
        check(1.into(), "1");
        check((-1i64).into(), "-1");
        check(true.into(), "true");
        check("a".into(), "<<\"a\">>");
        check("".into(), "<<>>");
        check(Value::F64(1.0), "1.0");
        check(Value::Void, "undefined");
        check(vec![Value::from("a"), 1.into()].into(), "[{longstr,<<\"a\">>},{signedint,1}]");
        check(Table::from([("a", true.into())]).into(), "[{<<\"a\">>,bool,true}]");
    }

    #[test]
    fn json_looks_like_what_erlang_reads_from_it() {
        let check = |json: Json, expected| assert_eq!(JsonTerm(&json).to_string(), expected);
        check(json!(null), "null");
        check(json!(-1), "-1");
        check(json!(1.5), "1.5");
        check(json!("a\"b"), "<<\"a\\\"b\">>");
        check(json!("ä"), "<<\"ä\"/utf8>>");
        check(json!([1, "a"]), "[1,<<\"a\">>]");
        check(json!({"a": true}), "#{<<\"a\">> => true}");
    }
}
