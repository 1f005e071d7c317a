//! Does what a scenario says and writes down what the broker answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leveret_protocol::frame::{ContentHeader, FrameKind, PROTOCOL_HEADER, encode_body};
use leveret_protocol::method::{LAYOUTS, Method};
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};
use leveret_tests::{Incoming, RawClient};

use super::script::{self, Scenario, Step};

/// The transcript of a scenario. Its number keeps its names apart from those of others.
pub fn run(scenario: &Scenario, number: usize, address: SocketAddr) -> Vec<String> {
    let mut runner = Runner {
        address,
        prefix: format!("d{number}-"),
        connections: BTreeMap::new(),
        last: String::new(),
        reply: String::new(),
        names: BTreeSet::new(),
        lines: Vec::new(),
    };
    for step in &scenario.steps {
        runner.lines.push(format!("> {}", step.text));
        if let Err(error) = runner.step(step) {
            runner.lines.push(format!("! {error:#}"));
            break;
        }
    }
    runner.connections.clear();
    let lines = std::mem::take(&mut runner.lines);
    runner.clean_up();
    lines.iter().map(|line| plain(line, &runner.prefix)).collect()
}

/// The version that a broker says it has.
pub fn version(address: SocketAddr) -> String {
    let mut client = RawClient::connect(address).expect("a broker listens there");
    client.write(&PROTOCOL_HEADER).expect("sends");
    let start = client.read().expect("an answer");
    let Ok(Method::ConnectionStart { server_properties, .. }) = start.method() else {
        panic!("not connection.start: {start:?}")
    };
    let version = server_properties.get("version").and_then(|version| version.as_str());
    version.expect("the broker has a version").to_owned()
}

struct Runner {
    address: SocketAddr,
    prefix: String,
    connections: BTreeMap<char, Connection>,
    /// The queue declared last, and the address for replies of the message that came last.
    last: String,
    reply: String,
    /// Queues and exchanges that may be left.
    names: BTreeSet<String>,
    lines: Vec<String>,
}

struct Connection {
    client: RawClient,
    channels: BTreeSet<u16>,
    /// By channel, the publishes that are confirmed.
    confirmed: BTreeMap<u16, BTreeSet<u64>>,
    is_gone: bool,
}

/// What came from the broker.
struct Event {
    frame: Incoming,
    text: String,
}

impl Runner {
    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        let words: Vec<String> = step.words.iter().map(|word| self.resolve(word)).collect();
        let number = |index: usize| words.get(index).map_or(Ok(1), |word| word.parse::<usize>());
        match words[0].as_str() {
            "wait" => self.wait(step, number(1)?),
            "confirms" => self.confirms(step, number(1)?),
            "quiet" => self.quiet(step),
            "await" => self.await_counts(&words),
            "disconnect" => {
                self.connections.remove(&step.connection);
                Ok(())
            }
            _ => self.call(step, &words),
        }
    }

    fn call(&mut self, step: &Step, words: &[String]) -> anyhow::Result<()> {
        let call = script::call(words)?;
        let name = call.layout.name;
        if matches!(name, "queue.declare" | "exchange.declare") && words[1].starts_with(&self.prefix) {
            self.names.insert(words[1].clone());
        }
        let channel = if name.starts_with("connection.") { 0 } else { step.channel };
        let connection = self.connection(step, name == "channel.open")?;
        let mut frames = Vec::new();
        frames.push(1);
        frames.extend(channel.to_be_bytes());
        frames.extend((call.payload.len() as u32).to_be_bytes());
        frames.extend(&call.payload);
        frames.push(0xCE);
        if let Some((properties, body)) = &call.content {
            let mut raw = Vec::new();
            properties.encode(&mut raw);
            let header = ContentHeader { class_id: 60, body_size: body.len() as u64, properties: &raw };
            header.encode(channel, &mut frames);
            encode_body(channel, body, 131_072, &mut frames);
        }
        connection.client.write(&frames)?;
        let answer = format!("{name}-ok");
        let answers = [answer.as_str(), if name == "basic.get" { "basic.get-empty" } else { "" }];
        if call.no_wait || !LAYOUTS.iter().any(|layout| layout.name == answers[0]) {
            return Ok(());
        }
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let Some(event) = self.event(step.connection, deadline)? else {
                self.lines.push("< (no answer)".to_owned());
                return Ok(());
            };
            self.lines.push(event.text);
            let method = event.frame.method()?;
            if event.frame.channel == channel && answers.contains(&method.name()) {
                match (name, method) {
                    (_, Method::QueueDeclareOk { queue, .. }) => self.last = queue.to_owned(),
                    ("channel.close", _) => self.forget_channel(step.connection, channel),
                    ("connection.close", _) => drop(self.connections.remove(&step.connection)),
                    _ => {}
                }
                return Ok(());
            }
            if self.is_closed(step.connection, channel) {
                return Ok(());
            }
        }
    }

    /// Reads until `count` more messages, confirms or closes have come.
    fn wait(&mut self, step: &Step, count: usize) -> anyhow::Result<()> {
        self.connection(step, false)?;
        let deadline = Instant::now() + WAIT_LIMIT;
        for _ in 0..count {
            match self.event(step.connection, deadline)? {
                Some(event) => self.lines.push(event.text),
                None => {
                    self.lines.push("< (nothing more comes)".to_owned());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads until `count` publishes of the channel are confirmed, however the confirms are put together.
    fn confirms(&mut self, step: &Step, count: usize) -> anyhow::Result<()> {
        self.connection(step, false)?;
        let deadline = Instant::now() + WAIT_LIMIT;
        let (mut acked, mut nacked) = (BTreeSet::new(), BTreeSet::new());
        while acked.len() + nacked.len() < count {
            let Some(event) = self.event(step.connection, deadline)? else {
                self.lines.push("< (nothing more comes)".to_owned());
                break;
            };
            let Some(connection) = self.connections.get_mut(&step.connection) else { break };
            let confirmed = connection.confirmed.entry(step.channel).or_default();
            let (into, tag, multiple) = match event.frame.method()? {
                Method::BasicAck { delivery_tag, multiple } => (&mut acked, delivery_tag, multiple),
                Method::BasicNack { delivery_tag, multiple, .. } => (&mut nacked, delivery_tag, multiple),
                _ => {
                    self.lines.push(event.text);
                    if self.is_closed(step.connection, step.channel) {
                        break;
                    }
                    continue;
                }
            };
            for number in if multiple { 1 } else { tag }..=tag {
                if confirmed.insert(number) {
                    into.insert(number);
                }
            }
        }
        for (word, numbers) in [("acked", acked), ("nacked", nacked)] {
            if !numbers.is_empty() {
                self.lines.push(format!("< {word} {numbers:?}"));
            }
        }
        Ok(())
    }

    fn quiet(&mut self, step: &Step) -> anyhow::Result<()> {
        self.connection(step, false)?;
        let deadline = Instant::now() + QUIET;
        let mut is_quiet = true;
        while let Some(event) = self.event(step.connection, deadline)? {
            is_quiet = false;
            self.lines.push(event.text);
        }
        if is_quiet {
            self.lines.push("< (nothing)".to_owned());
        }
        Ok(())
    }

    /// Asks for the counts of a queue until they are as expected, or it is gone when that is.
    fn await_counts(&mut self, words: &[String]) -> anyhow::Result<()> {
        let queue = words.get(1).map_or("", String::as_str);
        let wanted = words[2..].join(" ");
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let mut client = RawClient::open(self.address)?;
            client.send(1, &passive(queue))?;
            let answer = client.read()?;
            let seen = match answer.method()? {
                Method::QueueDeclareOk { message_count, consumer_count, .. } => {
                    let of = |name: &str| wanted.contains(name);
                    let ready = of("ready=").then(|| format!("ready={message_count}"));
                    let consumers = of("consumers=").then(|| format!("consumers={consumer_count}"));
                    ready.into_iter().chain(consumers).collect::<Vec<_>>().join(" ")
                }
                Method::ChannelClose { reply_code: 404, .. } => "gone".to_owned(),
                Method::ChannelClose { reply_code, .. } => format!("refused {reply_code}"),
                other => anyhow::bail!("unexpected {other:?}"),
            };
            if seen == wanted || Instant::now() > deadline {
                self.lines.push(format!("< {seen}"));
                return Ok(());
            }
        }
    }

    /// The connection of a step, with its channel open.
    fn connection(&mut self, step: &Step, opens: bool) -> anyhow::Result<&mut Connection> {
        let (name, channel) = (step.connection, step.channel);
        if self.connections.get(&name).is_none_or(|connection| connection.is_gone) {
            let client = RawClient::open(self.address)?;
            let connection = Connection {
                client,
                channels: BTreeSet::from([1]),
                confirmed: BTreeMap::new(),
                is_gone: false,
            };
            self.connections.insert(name, connection);
        }
        let Some(connection) = self.connections.get_mut(&name) else { unreachable!("just put there") };
        if connection.channels.insert(channel) && !opens {
            connection.client.open_channel(channel)?;
        }
        Ok(connection)
    }

    /// The next thing that comes on a connection, `None` when nothing does in time. Closes are answered.
    fn event(&mut self, name: char, deadline: Instant) -> anyhow::Result<Option<Event>> {
        let Some(connection) = self.connections.get_mut(&name) else { return Ok(None) };
        if connection.is_gone {
            return Ok(None);
        }
        let frame = match next_frame(&mut connection.client, deadline) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(_) => {
                connection.is_gone = true;
                self.lines.push(format!("< {name} (the connection is gone)"));
                return Ok(None);
            }
        };
        let channel = frame.channel;
        let method = frame.method()?;
        let mut text = format!("< {name}{channel} {method:?}");
        if matches!(
            method,
            Method::BasicDeliver { .. } | Method::BasicReturn { .. } | Method::BasicGetOk { .. }
        ) {
            let content = connection.client.content()?;
            let properties = PropertiesView::validate(&content.properties)?.to_properties()?;
            self.reply = properties.reply_to.clone().unwrap_or_default();
            text += &format!(" {} {:?}", describe(&properties), String::from_utf8_lossy(&content.body));
        }
        match method {
            Method::ChannelClose { .. } => {
                connection.client.send(channel, &Method::ChannelCloseOk {})?;
                connection.channels.remove(&channel);
                connection.confirmed.remove(&channel);
            }
            Method::ConnectionClose { .. } => {
                let _ = connection.client.send(0, &Method::ConnectionCloseOk {});
                connection.is_gone = true;
            }
            _ => {}
        }
        Ok(Some(Event { frame, text }))
    }

    fn forget_channel(&mut self, name: char, channel: u16) {
        if let Some(connection) = self.connections.get_mut(&name) {
            connection.channels.remove(&channel);
            connection.confirmed.remove(&channel);
        }
    }

    fn is_closed(&self, name: char, channel: u16) -> bool {
        self.connections.get(&name).is_none_or(|connection| {
            connection.is_gone || (channel > 0 && !connection.channels.contains(&channel))
        })
    }

    /// A word with its names filled in.
    fn resolve(&self, word: &str) -> String {
        let word = word.replace("$last", &self.last).replace("$reply", &self.reply);
        word.replace('$', &self.prefix)
    }

    /// Deletes what the scenario left behind.
    fn clean_up(&self) {
        for name in &self.names {
            let delete_queue =
                Method::QueueDelete { queue: name, if_unused: false, if_empty: false, no_wait: false };
            let delete_exchange = Method::ExchangeDelete { exchange: name, if_unused: false, no_wait: false };
            for delete in [delete_queue, delete_exchange] {
                // An exclusive queue may refuse for as long as its connection takes to end.
                let Ok(mut client) = RawClient::open(self.address) else { return };
                let _ = client.send(1, &delete);
                let _ = client.read();
            }
        }
    }
}

fn passive(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue,
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::empty(),
    }
}

/// The next method frame.
fn next_frame(client: &mut RawClient, deadline: Instant) -> anyhow::Result<Option<Incoming>> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match client.read_within(left)? {
            Some(frame) if frame.kind == FrameKind::Heartbeat => {}
            Some(frame) => return Ok(Some(frame)),
            None if Instant::now() >= deadline => return Ok(None),
            None => {}
        }
    }
}

/// The properties that are set, in one line.
fn describe(properties: &Properties) -> String {
    let mut text = Vec::new();
    let Properties {
        content_type,
        content_encoding,
        headers,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id,
        timestamp,
        kind,
        user_id,
        app_id,
        cluster_id,
    } = properties;
    let texts = [
        ("content_type", content_type),
        ("content_encoding", content_encoding),
        ("correlation_id", correlation_id),
        ("reply_to", reply_to),
        ("expiration", expiration),
        ("message_id", message_id),
        ("type", kind),
        ("user_id", user_id),
        ("app_id", app_id),
        ("cluster_id", cluster_id),
    ];
    text.extend(texts.into_iter().filter_map(|(name, value)| Some(format!("{name}={:?}", value.as_ref()?))));
    text.extend(delivery_mode.map(|mode| format!("delivery_mode={mode}")));
    text.extend(priority.map(|priority| format!("priority={priority}")));
    text.extend(timestamp.map(|timestamp| format!("timestamp={timestamp}")));
    text.extend(headers.as_ref().map(|headers| format!("headers={}", show_table(headers))));
    format!("({})", text.join(" "))
}

/// Entries by name: their order means nothing to clients.
fn show_table(table: &Table) -> String {
    let mut entries: Vec<String> =
        table.iter().map(|(name, value)| format!("{name}={}", show(value))).collect();
    entries.sort();
    format!("{{{}}}", entries.join(" "))
}

/// A value with the letter of its type, where that is not plain.
fn show(value: &Value) -> String {
    match value {
        Value::LongString(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Value::I32(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::I64(number) => format!("l:{number}"),
        Value::Timestamp(seconds) if *seconds > 1_500_000_000 => "T:now".to_owned(),
        Value::Table(table) => show_table(table),
        Value::Array(values) => format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

/// A line without what differs from run to run.
fn plain(line: &str, prefix: &str) -> String {
    let mut line = line.replace(prefix, "$");
    for generated in ["amq.gen-", "amq.ctag-", "amq.rabbitmq.reply-to."] {
        let mut plain = String::new();
        let mut rest = line.as_str();
        while let Some(at) = rest.find(generated) {
            let (before, after) = rest.split_at(at + generated.len());
            let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.+/=@".contains(c);
            let name: usize = after.chars().take_while(|c| is_part(*c)).map(char::len_utf8).sum();
            plain += before;
            plain += if name > 0 { "*" } else { "" };
            rest = &after[name..];
        }
        line = plain + rest;
    }
    line
}

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long what should come may take.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
/// How long to look out for what should not come.
const QUIET: Duration = Duration::from_millis(150);
