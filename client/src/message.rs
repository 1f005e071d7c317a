//! Messages as a program sees them: where they go, their properties, their body.
//!
//! Names and properties are plain strings here. AMQP's limit of 255 bytes is checked when a message is handed to a
//! publisher, which answers [`Error::TooLong`] instead of sending something the broker would close the connection for.

use crate::error::{Error, Result};
use bytes::Bytes;
use lapin::{BasicProperties, types::ShortString};

pub use lapin::types::{AMQPValue as Value, FieldTable as Table};

/// A message on its way to an exchange.
///
/// ```
/// use leveret_client::Message;
///
/// let message = Message::new("logs", "web-1.error", "disk full")
///     .persistent()
///     .mandatory()
///     .message_id("web-1/42")
///     .header("retries", 3);
/// assert_eq!(message.properties.message_id.as_deref(), Some("web-1/42"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The exchange; empty for the default exchange, which routes to the queue named by the routing key.
    pub exchange: String,
    /// What the exchange routes by.
    pub routing_key: String,
    /// Whether publishing fails when the message reaches no queue.
    pub mandatory: bool,
    /// Everything but the body.
    pub properties: Properties,
    /// The content.
    pub body: Bytes,
}

impl Message {
    /// A message to an exchange.
    pub fn new(exchange: impl Into<String>, routing_key: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Message {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            body: body.into(),
            ..Message::default()
        }
    }

    /// A message to one queue, by way of the default exchange.
    pub fn to_queue(queue: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Message::new("", queue, body)
    }

    /// Asks the broker to keep the message on disk when its queue is durable.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.properties.delivery_mode = Some(PERSISTENT);
        self
    }

    /// Makes publishing fail with [`Error::Unroutable`] when the message reaches no queue.
    #[must_use]
    pub fn mandatory(mut self) -> Self {
        self.mandatory = true;
        self
    }

    /// Sets the message id, by which a consumer can recognise a duplicate.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.properties.message_id = Some(id.into());
        self
    }

    /// Sets the MIME type of the body.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.properties.content_type = Some(content_type.into());
        self
    }

    /// Adds one header.
    ///
    /// # Panics
    /// When `key` is longer than AMQP's 255 bytes.
    #[must_use]
    pub fn header(mut self, key: &str, value: impl IntoValue) -> Self {
        let headers = self.properties.headers.get_or_insert_with(Table::default);
        headers.insert(ShortString::from(key), value.into_value());
        self
    }

    /// Replaces all properties.
    #[must_use]
    pub fn properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }
}

/// `delivery_mode` of a persistent message.
pub const PERSISTENT: u8 = 2;

/// The fourteen properties of AMQP 0-9-1, all optional. The broker reads `delivery_mode`, `priority`, `expiration`,
/// `user_id` and, for headers exchanges, `headers`; the others are for the programs at both ends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// MIME encoding of the body, such as `gzip`.
    pub content_encoding: Option<String>,
    /// Named values of the application's choice.
    pub headers: Option<Table>,
    /// 1 for transient, 2 for persistent.
    pub delivery_mode: Option<u8>,
    /// For queues declared with `x-max-priority`.
    pub priority: Option<u8>,
    /// Which request this answers.
    pub correlation_id: Option<String>,
    /// The queue an answer should go to.
    pub reply_to: Option<String>,
    /// Milliseconds to live in a queue, as decimal digits.
    pub expiration: Option<String>,
    /// The publisher's name for this message.
    pub message_id: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The property `type`: what the body means.
    pub kind: Option<String>,
    /// Must be the user of the connection when set.
    pub user_id: Option<String>,
    /// The publishing application.
    pub app_id: Option<String>,
    /// Unused by brokers today.
    pub cluster_id: Option<String>,
}

impl Properties {
    pub(crate) fn to_lapin(&self) -> Result<BasicProperties> {
        let mut lapin = BasicProperties::default();
        macro_rules! strings {
            ($($field:ident => $with:ident),*) => {$(
                if let Some(value) = &self.$field {
                    lapin = lapin.$with(shortstr(stringify!($field), value)?);
                }
            )*};
        }
        strings!(content_type => with_content_type, content_encoding => with_content_encoding,
            correlation_id => with_correlation_id, reply_to => with_reply_to, expiration => with_expiration,
            message_id => with_message_id, kind => with_type, user_id => with_user_id, app_id => with_app_id,
            cluster_id => with_cluster_id);
        if let Some(headers) = &self.headers {
            lapin = lapin.with_headers(headers.clone());
        }
        if let Some(delivery_mode) = self.delivery_mode {
            lapin = lapin.with_delivery_mode(delivery_mode);
        }
        if let Some(priority) = self.priority {
            lapin = lapin.with_priority(priority);
        }
        if let Some(timestamp) = self.timestamp {
            lapin = lapin.with_timestamp(timestamp);
        }
        Ok(lapin)
    }

    /// The text of a header that holds a string.
    #[must_use]
    pub fn header_text(&self, key: &str) -> Option<String> {
        match self.headers.as_ref()?.inner().get(key)? {
            Value::LongString(text) => Some(text.to_string()),
            Value::ShortString(text) => Some(text.to_string()),
            _ => None,
        }
    }
}

impl From<&BasicProperties> for Properties {
    fn from(lapin: &BasicProperties) -> Self {
        let string = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
        Properties {
            content_type: string(lapin.content_type()),
            content_encoding: string(lapin.content_encoding()),
            headers: lapin.headers().clone(),
            delivery_mode: *lapin.delivery_mode(),
            priority: *lapin.priority(),
            correlation_id: string(lapin.correlation_id()),
            reply_to: string(lapin.reply_to()),
            expiration: string(lapin.expiration()),
            message_id: string(lapin.message_id()),
            timestamp: *lapin.timestamp(),
            kind: string(lapin.kind()),
            user_id: string(lapin.user_id()),
            app_id: string(lapin.app_id()),
            cluster_id: string(lapin.cluster_id()),
        }
    }
}

/// What can stand in a header or an argument. Rust's integers all travel as AMQP's 64-bit signed ones, which every
/// broker and client reads; use a [`Value`] to choose another type.
pub trait IntoValue {
    /// The value as AMQP knows it.
    fn into_value(self) -> Value;
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Value {
        Value::Boolean(self)
    }
}

impl IntoValue for f64 {
    fn into_value(self) -> Value {
        Value::Double(self)
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        Value::LongString(self.into())
    }
}

impl IntoValue for String {
    fn into_value(self) -> Value {
        Value::LongString(self.into())
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl IntoValue for $integer {
            fn into_value(self) -> Value {
                Value::LongLongInt(self.into())
            }
        }
    )*};
}

integers!(i8, u8, i16, u16, i32, u32, i64);

/// A name as AMQP sends it, refusing what does not fit.
pub(crate) fn shortstr(what: &'static str, text: &str) -> Result<ShortString> {
    ShortString::try_new(text).map_err(|_| Error::TooLong { what, bytes: text.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_survive_the_way_to_lapin_and_back() {
        let mut headers = Table::default();
        headers.insert("retries".into(), Value::LongInt(3));
        let properties = Properties {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            headers: Some(headers),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: Some("c".into()),
            reply_to: Some("r".into()),
            expiration: Some("60000".into()),
            message_id: Some("m".into()),
            timestamp: Some(1_700_000_000),
            kind: Some("k".into()),
            user_id: Some("guest".into()),
            app_id: Some("a".into()),
            cluster_id: Some("c".into()),
        };
        let lapin = properties.to_lapin().expect("everything fits");
        assert_eq!(Properties::from(&lapin), properties);
        assert_eq!(Properties::from(&BasicProperties::default()), Properties::default());
    }

    #[test]
    fn a_property_of_256_bytes_is_refused_by_name() {
        let fits = Properties { message_id: Some("x".repeat(255)), ..Properties::default() };
        assert!(fits.to_lapin().is_ok());
        let long = Properties { message_id: Some("x".repeat(256)), ..Properties::default() };
        assert!(matches!(long.to_lapin(), Err(Error::TooLong { what: "message_id", bytes: 256 })));
    }
}
