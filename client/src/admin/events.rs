//! The live feed, as it comes over HTTP: server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use leveret_protocol::admin::events::{EventData, Topic};
use reqwest::{Method, header};

use super::path::Path;
use super::{Client, Error, Result};

/// What the live feed is asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventQuery {
    /// All of them when empty.
    pub topics: Vec<Topic>,
    /// Only what is in this vhost.
    pub vhost: Option<String>,
    /// Updates a second at most; the broker's choice when nothing is said.
    pub max_rate: Option<f64>,
}

/// An open live feed. A feed that has ended stays so: whoever wants to go on opens another, which begins with snapshots.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    client: Client,
    parser: Parser,
    ready: VecDeque<EventData>,
    pub(super) silence_max: Duration,
}

impl Client {
    /// Opens the live feed: first a snapshot of each topic, then what changes.
    pub async fn events(&self, query: &EventQuery) -> Result<Events> {
        let topics: Vec<&str> = query.topics.iter().map(|topic| topic.name()).collect();
        let topics = (!topics.is_empty()).then(|| topics.join(","));
        let path = Path::new("events")
            .query_if("topics", topics)
            .query_if("vhost", query.vhost.as_deref())
            .query_if("max_rate", query.max_rate)
            .into_text();
        let request = self.request(Method::GET, &path).header(header::ACCEPT, "text/event-stream");
        let answer = tokio::time::timeout(self.timeout, request.send())
            .await
            .map_err(|_| Error::Timeout { url: self.base.clone(), after: self.timeout })?
            .map_err(|error| self.failed(&error))?;
        let answer = self.check(&path, answer).await?;
        let is_stream = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            return Err(Error::Unreadable { path, reason: "it is no stream of events".to_owned() });
        }
        Ok(Events {
            answer,
            client: self.clone(),
            parser: Parser::default(),
            ready: VecDeque::new(),
            silence_max: SILENCE_MAX,
        })
    }
}

impl Events {
    /// The next event, or `None` when the broker has ended the feed. A broker from which not even a sign of life comes is
    /// given up. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Result<EventData>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let Ok(chunk) = tokio::time::timeout(self.silence_max, self.answer.chunk()).await else {
                return Some(Err(Error::Timeout { url: self.client.base.clone(), after: self.silence_max }));
            };
            match chunk {
                Ok(None) => return None,
                Ok(Some(chunk)) => {
                    if let Err(reason) = self.parser.feed(&chunk, &mut self.ready) {
                        return Some(Err(Error::Unreadable { path: "/api/events".to_owned(), reason }));
                    }
                }
                Err(error) => return Some(Err(self.client.failed(&error))),
            }
        }
    }
}

/// Cuts a stream of bytes into events. Lines end with LF, with or without CR; an empty line ends an event.
#[derive(Debug, Default)]
struct Parser {
    /// A line that is not complete.
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Parser {
    fn feed(&mut self, mut bytes: &[u8], events: &mut VecDeque<EventData>) -> Result<(), String> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.take_line(&line, events)?;
            line.clear();
            self.line = line;
        }
        self.line.extend_from_slice(bytes);
        self.check_size()
    }

    fn take_line(&mut self, line: &[u8], events: &mut VecDeque<EventData>) -> Result<(), String> {
        if !line.is_empty() {
            // Names and numbers of events, and comments, say nothing that is not in the data.
            if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
            return self.check_size();
        }
        if self.data.is_empty() {
            return Ok(());
        }
        let data = std::mem::take(&mut self.data);
        match serde_json::from_slice(&data) {
            Ok(event) => events.push_back(event),
            // A newer broker tells of more than this client knows.
            Err(_) if is_unknown_topic(&data) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), String> {
        if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(format!("an event is larger than {EVENT_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

fn is_unknown_topic(data: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(data).ok();
    let topic = value.as_ref().and_then(|value| value.get("topic")?.as_str());
    topic.is_some_and(|topic| Topic::from_name(topic).is_none())
}

/// The broker says something every 3 seconds, be it that there is nothing to say. Two of those may be late or lost; beyond
/// that what was told is not known to be true any more.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// An event beyond this is refused. The broker sends long lists in parts; a feed that ends here begins anew with snapshots.
const EVENT_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&str]) -> Result<Vec<EventData>, String> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for piece in pieces {
            parser.feed(piece.as_bytes(), &mut events)?;
        }
        Ok(events.into())
    }

    #[test]
    fn events_are_cut_at_empty_lines_wherever_the_pieces_end() {
        let text = "retry: 1000\n\n: hello\r\nevent: topology\r\ndata: {\"topic\":\"topology\",\r\n\
                    data:\"generation\":7}\r\n\r\nid: 3\ndata: {\"topic\":\"topology\",\"generation\":8}\n\n";
        let expected: Vec<EventData> =
            [7, 8].map(|generation| EventData::Topology { generation }).into_iter().collect();
        assert_eq!(parse(&[text]).as_ref(), Ok(&expected));
        for at in 1..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(parse(&[a, b]).as_ref(), Ok(&expected), "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
        let piece = vec![b'x'; 1 << 20];
        let mut parser = Parser::default();
        let refused = (0..1_000).find(|_| parser.feed(&piece, &mut VecDeque::new()).is_err());
        assert_eq!(refused, Some(EVENT_BYTES_MAX / piece.len()));
        assert!(parser.line.capacity() <= 2 * EVENT_BYTES_MAX, "{}", parser.line.capacity());
    }

    #[test]
    fn what_a_newer_broker_adds_is_passed_over_and_nonsense_is_not() {
        let unknown = "data: {\"topic\":\"weather\",\"rain\":1}\n\n";
        assert_eq!(parse(&[unknown]), Ok(Vec::new()));
        assert!(parse(&["data: {\"topic\":\"topology\"}\n\n"]).is_err());
        assert!(parse(&["data: <html>\n\n"]).is_err());
    }
}
