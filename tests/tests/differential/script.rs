//! The language of `scenarios.txt`.
//!
//! ```text
//! == name_of_the_scenario
//! queue.declare $q durable a:x-max-length=5      a method: words fill its fields in order, bits are set by name
//! @B2 basic.consume $q tag                       on channel 2 of connection B instead of channel 1 of A
//! basic.publish "" $q body mandatory p:priority=5 h:name=value
//! wait 2                                         reads until two more messages, confirms or closes have come
//! confirms 3                                     reads until three publishes are confirmed
//! quiet                                          shows what comes though nothing should
//! await $q ready=1 consumers=0                   asks until the queue says so
//! ```
//!
//! Connections and channels are opened when they are first used, and again after they were closed. A method that is
//! answered is answered before the next line is done. `$name` becomes a name that no other scenario uses, `$last` the
//! queue that was declared last, `$reply` the reply-to property of the message that came last.
//!
//! Values of `a:` (arguments), `h:` (headers): words are text, numbers 32-bit integers, `true` and `false` booleans;
//! `l:5` is an integer with its letter in field tables, `[a b]` an array of text.

use anyhow::{Context, Result, bail, ensure};
use leveret_protocol::method::{LAYOUTS, Layout};
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{Table, Value};

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    pub steps: Vec<Step>,
}

/// One line.
#[derive(Debug)]
pub struct Step {
    /// As it stands in the file.
    pub text: String,
    pub connection: char,
    pub channel: u16,
    pub words: Vec<String>,
}

/// Reads all scenarios.
pub fn parse(text: &str) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            ensure!(scenarios.iter().all(|other| other.name != name), "{name} is there twice");
            scenarios.push(Scenario { name: name.to_owned(), steps: Vec::new() });
            continue;
        }
        let step = parse_step(line).with_context(|| format!("line {}", number + 1))?;
        scenarios.last_mut().context("the file begins with a scenario")?.steps.push(step);
    }
    Ok(scenarios)
}

fn parse_step(line: &str) -> Result<Step> {
    let mut words = split(line)?;
    let (mut connection, mut channel) = ('A', 1);
    if let Some(place) = words[0].strip_prefix('@') {
        connection = place.chars().next().context("a connection is a letter")?;
        if place.len() > 1 {
            channel = place[1..].parse()?;
        }
        words.remove(0);
    }
    ensure!(!words.is_empty(), "nothing to do");
    Ok(Step { text: line.to_owned(), connection, channel, words })
}

/// Words with blanks between; quotes and brackets hold together.
fn split(line: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut in_word, mut quoted, mut bracketed) = (false, false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                in_word = true;
            }
            ' ' if !quoted && !bracketed => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                }
                in_word = false;
            }
            _ => {
                bracketed = (bracketed || (c == '[' && !quoted)) && c != ']';
                in_word = true;
                word.push(c);
            }
        }
    }
    ensure!(!quoted && !bracketed, "a quote or bracket is left open");
    if in_word {
        words.push(word);
    }
    Ok(words)
}

/// A method, ready to be sent.
#[derive(Debug)]
pub struct Call {
    pub layout: &'static Layout,
    /// The method frame's payload.
    pub payload: Vec<u8>,
    pub no_wait: bool,
    /// Of `basic.publish`.
    pub content: Option<(Properties, Vec<u8>)>,
}

/// Puts a method together from its words.
pub fn call(words: &[String]) -> Result<Call> {
    let (name, words) = words.split_first().context("no method")?;
    let layout = LAYOUTS.iter().find(|layout| layout.name == name);
    let layout = layout.with_context(|| format!("there is no method {name}"))?;
    let (mut arguments, mut properties, mut headers) = (Table::new(), Properties::default(), Table::new());
    let mut bits = Vec::new();
    let mut values = Vec::new();
    for word in words {
        if let Some(argument) = word.strip_prefix("a:") {
            let (name, value) = pair(argument)?;
            arguments.insert(name, self::value(value)?);
        } else if let Some(header) = word.strip_prefix("h:") {
            let (name, value) = pair(header)?;
            headers.insert(name, self::value(value)?);
        } else if let Some(property) = word.strip_prefix("p:") {
            let (name, value) = pair(property)?;
            set_property(&mut properties, name, value)?;
        } else if layout.fields.contains(&(word.as_str(), "bit")) {
            bits.push(word.as_str());
        } else {
            values.push(word.as_str());
        }
    }
    if !headers.is_empty() {
        properties.headers = Some(headers);
    }
    let mut values = values.into_iter();
    let payload = encode(layout, &mut values, &bits, &arguments)?;
    let content = (layout.name == "basic.publish")
        .then(|| (properties, values.next().unwrap_or_default().as_bytes().to_vec()));
    ensure!(values.next().is_none(), "{name} has not so many fields");
    Ok(Call { layout, payload, no_wait: bits.contains(&"no_wait"), content })
}

fn encode<'a>(
    layout: &Layout,
    values: &mut impl Iterator<Item = &'a str>,
    bits: &[&str],
    arguments: &Table,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(layout.class_id.to_be_bytes());
    out.extend(layout.method_id.to_be_bytes());
    let mut bits_before = 0;
    for (name, kind) in layout.fields {
        let value = if name.is_empty() || matches!(*kind, "bit" | "table") { None } else { values.next() };
        let number = || value.map_or(Ok(0), str::parse::<u64>);
        bits_before = if *kind == "bit" { bits_before + 1 } else { 0 };
        match *kind {
            "bit" => {
                let at = (bits_before - 1) % 8;
                if at == 0 {
                    out.push(0);
                }
                if let Some(octet) = out.last_mut() {
                    *octet |= u8::from(bits.contains(name)) << at;
                }
            }
            "octet" => out.push(number()? as u8),
            "short" => out.extend((number()? as u16).to_be_bytes()),
            "long" => out.extend((number()? as u32).to_be_bytes()),
            "longlong" => out.extend(number()?.to_be_bytes()),
            "shortstr" => {
                let text = value.unwrap_or_default();
                out.push(u8::try_from(text.len()).context("too long for a short string")?);
                out.extend(text.as_bytes());
            }
            "longstr" => {
                let text = value.unwrap_or_default();
                out.extend((text.len() as u32).to_be_bytes());
                out.extend(text.as_bytes());
            }
            "table" => arguments.encode(&mut out),
            other => bail!("no field is a {other}"),
        }
    }
    Ok(out)
}

fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once('=').with_context(|| format!("{text} has no value"))
}

fn set_property(properties: &mut Properties, name: &str, value: &str) -> Result<()> {
    let text = Some(value.to_owned());
    match name {
        "content_type" => properties.content_type = text,
        "content_encoding" => properties.content_encoding = text,
        "delivery_mode" => properties.delivery_mode = Some(value.parse()?),
        "priority" => properties.priority = Some(value.parse()?),
        "correlation_id" => properties.correlation_id = text,
        "reply_to" => properties.reply_to = text,
        "expiration" => properties.expiration = text,
        "message_id" => properties.message_id = text,
        "timestamp" => properties.timestamp = Some(value.parse()?),
        "type" => properties.kind = text,
        "user_id" => properties.user_id = text,
        "app_id" => properties.app_id = text,
        "cluster_id" => properties.cluster_id = text,
        other => bail!("there is no property {other}"),
    }
    Ok(())
}

fn value(text: &str) -> Result<Value> {
    if let Some(elements) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Ok(Value::Array(elements.split_whitespace().map(value).collect::<Result<_>>()?));
    }
    Ok(match text.split_at_checked(2) {
        Some(("b:", number)) => Value::I8(number.parse()?),
        Some(("B:", number)) => Value::U8(number.parse()?),
        Some(("s:", number)) => Value::I16(number.parse()?),
        Some(("u:", number)) => Value::U16(number.parse()?),
        Some(("I:", number)) => Value::I32(number.parse()?),
        Some(("i:", number)) => Value::U32(number.parse()?),
        Some(("l:", number)) => Value::I64(number.parse()?),
        Some(("d:", number)) => Value::F64(number.parse()?),
        Some(("T:", number)) => Value::Timestamp(number.parse()?),
        Some(("S:", text)) => Value::from(text),
        _ if text == "V:" => Value::Void,
        _ => match (text.parse::<i32>(), text) {
            (Ok(number), _) => Value::I32(number),
            (_, "true") => Value::Bool(true),
            (_, "false") => Value::Bool(false),
            _ => Value::from(text),
        },
    })
}
