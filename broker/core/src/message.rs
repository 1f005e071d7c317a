//! A message as every queue holds it: immutable, shared, one allocation.
//!
//! ```text
//! Head (lengths, flags, priority)  exchange  routing key  properties (raw)  body
//! ```
//!
//! Properties stay the bytes the publisher sent; they are decoded when somebody asks. A body above
//! [`INLINE_BODY_MAX`] lives beside the allocation, so that assembling it from frames costs no second copy.

use std::fmt;

use bytes::Bytes;
use leveret_protocol::properties::PropertiesView;
use triomphe::ThinArc;

/// A published message. Cloning it adds a reference.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

/// The parts of a message that are not bytes on the wire.
struct Head {
    properties_len: u32,
    exchange_len: u8,
    routing_key_len: u8,
    /// [`PERSISTENT`] and [`DIED`].
    flags: u8,
    priority: u8,
    /// Set when the body does not follow the properties inside the allocation.
    large_body: Option<Bytes>,
}

/// Bodies up to this many bytes are kept inside the message's own allocation.
pub const INLINE_BODY_MAX: usize = 64 * 1024;

impl Message {
    /// A message from `parts`: exchange, routing key, raw properties and an inline body, one after the other.
    ///
    /// `exchange_len` and `routing_key_len` are in bytes, both at most 255 as the protocol's short strings are.
    pub fn from_parts(parts: &[u8], exchange_len: u8, routing_key_len: u8, properties_len: u32) -> Message {
        Message::build(parts, exchange_len, routing_key_len, properties_len, None)
    }

    /// A message whose body is kept apart: `parts` ends with the properties.
    pub fn from_parts_and_body(
        parts: &[u8],
        exchange_len: u8,
        routing_key_len: u8,
        properties_len: u32,
        body: Bytes,
    ) -> Message {
        Message::build(parts, exchange_len, routing_key_len, properties_len, Some(body))
    }

    /// A message from its pieces. The hot path uses [`Message::from_parts`].
    ///
    /// Names longer than 255 bytes do not exist on the wire; they are cut here.
    pub fn new(exchange: &str, routing_key: &str, properties: &[u8], body: &[u8]) -> Message {
        let (exchange, routing_key) = (short(exchange), short(routing_key));
        let mut parts =
            Vec::with_capacity(exchange.len() + routing_key.len() + properties.len() + body.len());
        parts.extend_from_slice(exchange);
        parts.extend_from_slice(routing_key);
        parts.extend_from_slice(properties);
        let lens = (exchange.len() as u8, routing_key.len() as u8, properties.len() as u32);
        if body.len() > INLINE_BODY_MAX {
            Message::from_parts_and_body(&parts, lens.0, lens.1, lens.2, Bytes::copy_from_slice(body))
        } else {
            parts.extend_from_slice(body);
            Message::from_parts(&parts, lens.0, lens.1, lens.2)
        }
    }

    fn build(
        parts: &[u8],
        exchange_len: u8,
        routing_key_len: u8,
        properties_len: u32,
        large_body: Option<Bytes>,
    ) -> Message {
        let fixed = exchange_len as usize + routing_key_len as usize;
        let properties_end = fixed + properties_len as usize;
        assert!(parts.len() >= properties_end, "message parts are shorter than their lengths say");
        let properties = PropertiesView::new_unchecked_valid(&parts[fixed..properties_end]);
        let head = Head {
            properties_len,
            exchange_len,
            routing_key_len,
            flags: if properties.delivery_mode() == Some(2) { PERSISTENT } else { 0 }
                | if properties.raw().get(1).is_some_and(|low| low & DIED_FLAG != 0) { DIED } else { 0 },
            priority: properties.priority().unwrap_or(0),
            large_body,
        };
        Message(ThinArc::from_header_and_slice(head, parts))
    }

    /// The exchange it was published to, "" for the default exchange.
    #[inline]
    pub fn exchange(&self) -> &str {
        as_str(&self.0.slice[..self.0.header.header.exchange_len as usize])
    }

    /// The routing key it was published with.
    #[inline]
    pub fn routing_key(&self) -> &str {
        let start = self.head().exchange_len as usize;
        as_str(&self.0.slice[start..start + self.head().routing_key_len as usize])
    }

    /// The property section of the content header: flag words and fields, as on the wire.
    #[inline]
    pub fn properties_raw(&self) -> &[u8] {
        let start = self.fixed_len();
        &self.0.slice[start..start + self.head().properties_len as usize]
    }

    /// The properties, decoded on demand.
    #[inline]
    pub fn properties(&self) -> PropertiesView<'_> {
        PropertiesView::new_unchecked_valid(self.properties_raw())
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        match &self.head().large_body {
            Some(body) => body,
            None => &self.0.slice[self.fixed_len() + self.head().properties_len as usize..],
        }
    }

    /// The body when it is kept apart from the message's own allocation.
    #[inline]
    pub fn large_body(&self) -> Option<&Bytes> {
        self.head().large_body.as_ref()
    }

    /// Exchange, routing key and properties, one after the other: what storage writes before the body.
    #[inline]
    pub fn names_and_properties(&self) -> &[u8] {
        &self.0.slice[..self.fixed_len() + self.head().properties_len as usize]
    }

    /// What routing by exchange and key depends on: the exchange's length, and both names one after the other.
    #[inline]
    pub fn route_key(&self) -> (u8, &[u8]) {
        (self.head().exchange_len, &self.0.slice[..self.fixed_len()])
    }

    /// Lengths in bytes of exchange, routing key and properties.
    #[inline]
    pub fn part_lens(&self) -> (u8, u8, u32) {
        let head = self.head();
        (head.exchange_len, head.routing_key_len, head.properties_len)
    }

    /// True when the publisher asked for delivery mode 2.
    #[inline]
    pub fn is_persistent(&self) -> bool {
        self.head().flags & PERSISTENT != 0
    }

    /// True for a dead letter of this broker: its headers tell of its deaths, and are not what a client made up. Its
    /// raw properties carry a mark that no client may see, see [`Message::wire_properties`].
    #[inline]
    pub fn has_died(&self) -> bool {
        self.head().flags & DIED != 0
    }

    /// The properties as clients may see them, when [`Message::properties_raw`] are not.
    pub fn wire_properties(&self) -> Vec<u8> {
        let mut raw = self.properties_raw().to_vec();
        if let Some(low) = raw.get_mut(1) {
            *low &= !DIED_FLAG;
        }
        raw
    }

    /// The same body under other names and properties. `died` marks it as a dead letter.
    pub fn rewritten(&self, exchange: &str, routing_key: &str, properties: &[u8], died: bool) -> Message {
        let mut raw = properties.to_vec();
        if died && let Some(low) = raw.get_mut(1) {
            *low |= DIED_FLAG;
        }
        let Some(body) = self.large_body() else {
            return Message::new(exchange, routing_key, &raw, self.body());
        };
        let (exchange, routing_key) = (short(exchange), short(routing_key));
        let parts = [exchange, routing_key, &raw].concat();
        let (exchange_len, routing_key_len) = (exchange.len() as u8, routing_key.len() as u8);
        let properties_len = raw.len() as u32;
        Message::from_parts_and_body(&parts, exchange_len, routing_key_len, properties_len, body.clone())
    }

    /// The priority property, 0 when absent.
    #[inline]
    pub fn priority(&self) -> u8 {
        self.head().priority
    }

    /// Bytes of memory that holding this message costs, shared between its holders.
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Head>() + 32 + self.0.slice.len() + self.head().large_body.as_ref().map_or(0, Bytes::len)
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    #[inline]
    fn fixed_len(&self) -> usize {
        self.head().exchange_len as usize + self.head().routing_key_len as usize
    }
}

/// The publisher asked for delivery mode 2.
const PERSISTENT: u8 = 1;
/// See [`Message::has_died`].
const DIED: u8 = 2;
/// The bit of the second octet of the property flags that stands for no property: set in dead letters, where it is
/// stored with them. What clients send with this bit is refused when it is decoded.
const DIED_FLAG: u8 = 0b10;

fn short(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(255)]
}

/// Names were decoded as text on the way in; anything else can only come from a damaged store and shows as empty.
#[inline]
fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("body_bytes", &self.body().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let properties = [0x10, 0x00, 2]; // delivery-mode 2
        let message = Message::new("orders", "eu.created", &properties, b"hello");
        assert_eq!(message.exchange(), "orders");
        assert_eq!(message.routing_key(), "eu.created");
        assert_eq!(message.properties_raw(), properties);
        assert_eq!(message.body(), b"hello");
        assert!(message.is_persistent());
    }

    #[test]
    fn a_large_body_is_kept_apart() {
        let body = vec![7; INLINE_BODY_MAX + 1];
        let message = Message::new("", "q", &[0, 0], &body);
        assert!(message.large_body().is_some());
        assert_eq!(message.body(), body);
        assert!(!message.is_persistent());
    }

    #[test]
    fn a_rewritten_message_keeps_its_body_and_tells_of_its_death() {
        for body in [b"small".to_vec(), vec![7; INLINE_BODY_MAX + 1]] {
            let message = Message::new("x", "k", &[0, 0], &body);
            assert!(!message.has_died());
            let properties = message.properties().with_reply_to("r");
            let dead = message.rewritten("dlx", "dead", &properties, true);
            assert_eq!((dead.exchange(), dead.routing_key(), dead.body()), ("dlx", "dead", &body[..]));
            assert!(dead.has_died());
            assert_eq!(dead.properties().reply_to(), Some("r"));
            assert!(PropertiesView::validate(&dead.wire_properties()).is_ok(), "clients do not see the mark");
            assert!(PropertiesView::validate(dead.properties_raw()).is_err(), "nor can they set it");
        }
    }
}
