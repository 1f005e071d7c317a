//! Messages on stdout.

use crate::{arguments::FormatArguments, json::JsonMessage};
use leveret_client::{Delivery, Properties};
use std::io::{BufWriter, StdoutLock, Write};

/// A message as it came.
#[derive(Debug)]
pub struct Received<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub redelivered: bool,
    /// Messages left in the queue, if it was taken with get.
    pub message_count: Option<u32>,
    pub properties: &'a Properties,
    pub body: &'a [u8],
}

impl<'a> From<&'a Delivery> for Received<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Received {
            exchange: &delivery.exchange,
            routing_key: &delivery.routing_key,
            redelivered: delivery.redelivered,
            message_count: None,
            properties: &delivery.properties,
            body: &delivery.body,
        }
    }
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Lines,
    Raw,
    Json,
}

/// Buffered stdout; what was written is out only after a flush.
pub struct Output {
    format: Format,
    writer: BufWriter<StdoutLock<'static>>,
}

impl From<&FormatArguments> for Format {
    fn from(arguments: &FormatArguments) -> Self {
        match arguments {
            FormatArguments { json: true, .. } => Format::Json,
            FormatArguments { raw: true, .. } => Format::Raw,
            FormatArguments { .. } => Format::Lines,
        }
    }
}

impl Output {
    pub fn new(arguments: &FormatArguments) -> Self {
        Output {
            format: arguments.into(),
            writer: BufWriter::with_capacity(64 * 1024, std::io::stdout().lock()),
        }
    }

    pub fn write(&mut self, received: &Received) -> std::io::Result<()> {
        write(&mut self.writer, self.format, received)
    }

    pub fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

fn write(writer: &mut impl Write, format: Format, received: &Received) -> std::io::Result<()> {
    match format {
        Format::Raw => return writer.write_all(received.body),
        Format::Lines => writer.write_all(received.body)?,
        Format::Json => serde_json::to_writer(&mut *writer, &JsonMessage::new(received))?,
    }
    writer.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_differ_in_what_stands_between_messages() {
        let properties = Properties { priority: Some(1), ..Properties::default() };
        let received = Received {
            exchange: "x",
            routing_key: "k",
            redelivered: true,
            message_count: None,
            properties: &properties,
            body: b"a\xff",
        };
        let check = |format, expected: &[u8]| {
            let mut out = Vec::new();
            write(&mut out, format, &received).expect("memory takes everything");
            assert_eq!(out, expected, "{format:?}");
        };
        check(Format::Raw, b"a\xff");
        check(Format::Lines, b"a\xff\n");
        let json = br#"{"exchange":"x","routing_key":"k","redelivered":true,"properties":{"priority":1},"body_base64":"Yf8="}"#;
        check(Format::Json, &[json.as_slice(), b"\n"].concat());
    }
}
