//! Content: method, header and body frames become a message.
//!
//! Arithmetic of the usual case, a small message whose frames are all in one read: no lookup but the channel's, one
//! copy into a reused buffer, one allocation (the message), one copy into it. Only content that is spread over reads
//! keeps a buffer of its own, which grows with what arrives and never with what is announced.

use bytes::{Bytes, BytesMut};
use leveret_protocol::codec::Reader;
use leveret_protocol::error::DecodeError;
use leveret_protocol::frame::{ContentHeader, FrameKind, decode_frame};
use leveret_protocol::properties::PropertiesView;
use leveret_protocol::reply_code::ReplyCode;

use crate::fault::Fault;
use crate::message::{INLINE_BODY_MAX, Message};
use crate::session::host::Host;

/// The fields of `basic.publish`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Publish<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) flags: Flags,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) mandatory: bool,
    pub(super) immediate: bool,
}

impl<'a> Publish<'a> {
    /// The fields, if `payload` is a well-formed `basic.publish`: [`Method::decode`] for the method that arrives most.
    ///
    /// [`Method::decode`]: leveret_protocol::method::Method::decode
    #[inline]
    pub(super) fn decode(payload: &'a [u8]) -> Option<Publish<'a>> {
        // Class 60, method 40, then a reserved short.
        let fields = payload.strip_prefix(&[0, 60, 0, 40])?.get(2..)?;
        let mut reader = Reader::new(fields);
        let exchange = reader.shortstr().ok()?;
        let routing_key = reader.shortstr().ok()?;
        let &[bits] = reader.rest() else {
            return None;
        };
        let flags = Flags { mandatory: bits & 1 != 0, immediate: bits & 2 != 0 };
        Some(Publish { exchange, routing_key, flags })
    }
}

/// The message, if its header and its body of one frame at most stand complete at the start of `input`, and the bytes
/// that they take. Whatever is unusual is left to [`Content`].
#[inline]
pub(super) fn message_in(
    input: &[u8],
    channel: u16,
    publish: Publish<'_>,
    frame_max: u32,
    body_bytes_max: u64,
    parts: &mut Vec<u8>,
) -> Option<(Message, usize)> {
    let (frame, header_bytes) = decode_frame(input, frame_max).ok()??;
    if frame.kind != FrameKind::Header || frame.channel != channel {
        return None;
    }
    let header = ContentHeader::decode(frame.payload).ok()?;
    if header.class_id != 60 || header.body_size > body_bytes_max.min(INLINE_BODY_MAX as u64) {
        return None;
    }
    PropertiesView::validate(header.properties).ok()?;
    let (body, body_bytes): (&[u8], usize) = if header.body_size == 0 {
        (&[], 0)
    } else {
        let (frame, body_bytes) = decode_frame(&input[header_bytes..], frame_max).ok()??;
        let whole = frame.payload.len() as u64 == header.body_size;
        if frame.kind != FrameKind::Body || frame.channel != channel || !whole {
            return None;
        }
        (frame.payload, body_bytes)
    };
    parts.clear();
    parts.extend_from_slice(publish.exchange.as_bytes());
    parts.extend_from_slice(publish.routing_key.as_bytes());
    parts.extend_from_slice(header.properties);
    parts.extend_from_slice(body);
    let (exchange_len, routing_key_len) = (publish.exchange.len() as u8, publish.routing_key.len() as u8);
    let message = Message::from_parts(parts, exchange_len, routing_key_len, header.properties.len() as u32);
    Some((message, header_bytes + body_bytes))
}

/// Content that is still arriving.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) flags: Flags,
    exchange_len: u8,
    routing_key_len: u8,
    /// Known once the header is there.
    properties_len: Option<u32>,
    /// Body bytes still to come.
    body_left: u64,
    /// Exchange, routing key, properties, and a small body.
    parts: Vec<u8>,
    /// A body that does not go into `parts`.
    large_body: Option<BytesMut>,
}

impl Content {
    pub(super) fn new(publish: Publish<'_>) -> Content {
        Content {
            flags: publish.flags,
            exchange_len: publish.exchange.len() as u8,
            routing_key_len: publish.routing_key.len() as u8,
            properties_len: None,
            body_left: 0,
            parts: [publish.exchange.as_bytes(), publish.routing_key.as_bytes()].concat(),
            large_body: None,
        }
    }

    /// Takes the next frame. True when the content is complete.
    pub(super) fn add(
        &mut self,
        kind: FrameKind,
        payload: &[u8],
        body_bytes_max: u64,
    ) -> Result<bool, Fault> {
        match (self.properties_len, kind) {
            (None, FrameKind::Header) => self.add_header(payload, body_bytes_max)?,
            (None, _) => {
                return Err(unexpected_frame(
                    "expected content header for class 60, got non content header frame instead",
                ));
            }
            (Some(_), FrameKind::Body) => self.add_body(payload)?,
            (Some(_), _) => {
                return Err(unexpected_frame("expected content body, got non content body frame instead"));
            }
        }
        Ok(self.body_left == 0)
    }

    /// The complete message.
    pub(super) fn into_message(self) -> Message {
        let properties_len = self.properties_len.unwrap_or_default();
        match self.large_body {
            None => Message::from_parts(&self.parts, self.exchange_len, self.routing_key_len, properties_len),
            Some(body) => Message::from_parts_and_body(
                &self.parts,
                self.exchange_len,
                self.routing_key_len,
                properties_len,
                exact(body),
            ),
        }
    }

    fn add_header(&mut self, payload: &[u8], body_bytes_max: u64) -> Result<(), Fault> {
        let fault = |error: DecodeError| Fault::connection(error.code, error.what);
        let header = ContentHeader::decode(payload).map_err(fault)?;
        if header.class_id != 60 {
            let class_id = header.class_id;
            return Err(unexpected_frame(format!(
                "expected content header for class 60, got one for class {class_id} instead"
            )));
        }
        if header.body_size > body_bytes_max {
            let size = header.body_size;
            return Err(Fault::precondition_failed(format!(
                "message size {size} is larger than configured max size {body_bytes_max}"
            )));
        }
        PropertiesView::validate(header.properties).map_err(fault)?;
        self.parts.extend_from_slice(header.properties);
        self.properties_len = Some(header.properties.len() as u32);
        self.body_left = header.body_size;
        if header.body_size > INLINE_BODY_MAX as u64 {
            self.large_body = Some(BytesMut::new());
        }
        Ok(())
    }

    fn add_body(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let Some(left) = self.body_left.checked_sub(payload.len() as u64) else {
            let text = "content body frame exceeds remaining content size";
            return Err(Fault::connection(ReplyCode::FrameError, text));
        };
        self.body_left = left;
        match &mut self.large_body {
            Some(body) => body.extend_from_slice(payload),
            None => self.parts.extend_from_slice(payload),
        }
        Ok(())
    }
}

fn unexpected_frame(text: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::connection(ReplyCode::UnexpectedFrame, text)
}

/// The body without the slack that growing by doubling left, where that is worth a copy.
fn exact(body: BytesMut) -> Bytes {
    if body.capacity() - body.len() > body.len() / 4 { Bytes::copy_from_slice(&body) } else { body.freeze() }
}

/// Checks what a publisher says in a message's properties.
#[inline]
pub fn check_properties<H: Host>(properties: PropertiesView<'_>, host: &H) -> Result<(), Fault> {
    if let Some(expiration) = properties.expiration_bytes() {
        check_expiration(expiration)?;
    }
    if let Some(user_id) = properties.user_id_bytes() {
        check_user_id(user_id, host)?;
    }
    Ok(())
}

/// The user in a message must be the one who publishes it, unless they may write in others' names.
fn check_user_id<H: Host>(user_id: &[u8], host: &H) -> Result<(), Fault> {
    if user_id == host.user().as_bytes() || host.may_impersonate() {
        return Ok(());
    }
    let (claimed, user) = (String::from_utf8_lossy(user_id), host.user());
    Err(Fault::precondition_failed(format!(
        "user_id property set to '{claimed}' but authenticated user was '{user}'"
    )))
}

/// Checks the `expiration` property: milliseconds as a decimal number of at most ten years.
fn check_expiration(expiration: &[u8]) -> Result<(), Fault> {
    let digits = match expiration {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, leftover) = digits.split_at(count);
    let value = number
        .iter()
        .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let negative = expiration.starts_with(b"-") && value > 0;
    // The wording of the reasons is that of the Erlang terms which RabbitMQ prints.
    let reason = if number.is_empty() {
        "no_integer".to_owned()
    } else if !leftover.is_empty() {
        format!("{{leftover_string,\"{}\"}}", String::from_utf8_lossy(leftover))
    } else if negative {
        format!("{{value_negative,-{value}}}")
    } else if value > EXPIRATION_MS_MAX {
        format!("{{value_too_large,{value}}}")
    } else {
        return Ok(());
    };
    let shown = String::from_utf8_lossy(expiration);
    Err(Fault::precondition_failed(format!("invalid expiration '{shown}': {reason}")))
}

/// Ten years.
const EXPIRATION_MS_MAX: u64 = 315_360_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_decimal_milliseconds_of_at_most_ten_years() {
        fn check(expiration: &str, refused: Option<&str>) {
            let text = check_expiration(expiration.as_bytes()).err().map(|fault| fault.text);
            let expected = refused.map(|reason| format!("invalid expiration '{expiration}': {reason}"));
            assert_eq!(text.as_deref(), expected.as_deref());
        }
        check("0", None);
        check("60000", None);
        check("+5", None);
        check("-0", None);
        check("315360000000", None);
        check("315360000001", Some("{value_too_large,315360000001}"));
        check("-1", Some("{value_negative,-1}"));
        check("", Some("no_integer"));
        check("abc", Some("no_integer"));
        check("10s", Some("{leftover_string,\"s\"}"));
        check("1.5", Some("{leftover_string,\".5\"}"));
    }

    #[test]
    fn a_body_is_not_kept_in_more_memory_than_it_needs() {
        let mut grown = BytesMut::with_capacity(1000);
        grown.extend_from_slice(&[1; 600]);
        assert_eq!(exact(grown), vec![1; 600]);
    }
}
