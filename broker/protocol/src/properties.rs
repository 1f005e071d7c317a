//! The basic properties of a message.
//!
//! ```text
//! flags u16: bit 15 content-type … bit 2 cluster-id, bit 1 unused, bit 0 "another flag word follows"
//! then the fields whose bits are set, in that order
//! ```
//!
//! The broker keeps them as the bytes the publisher sent and reads single fields on demand ([`PropertiesView`]).

use crate::codec::{Reader, Writer};
use crate::error::DecodeError;
use crate::table::{RawTable, Table};

/// Properties as received: flags and fields. Cheap to copy; each accessor walks to its field.
///
/// Short strings that are not UTF-8 are carried along, as RabbitMQ does; their accessors answer `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropertiesView<'a>(&'a [u8]);

impl<'a> PropertiesView<'a> {
    /// Checks that the fields end where `raw` ends and that the headers are well-formed.
    #[inline]
    pub fn validate(raw: &'a [u8]) -> Result<PropertiesView<'a>, DecodeError> {
        let mut reader = Reader::new(raw);
        let flags = reader.short()?;
        if flags & UNKNOWN_FLAGS != 0 {
            return Err(DecodeError::syntax("unknown property flags", 0));
        }
        let mut left = flags;
        while left != 0 {
            let index = left.leading_zeros();
            left &= !(FIRST_FLAG >> index);
            if index == HEADERS {
                reader.table()?;
            } else {
                skip(&mut reader, index)?;
            }
        }
        reader.finish()?;
        Ok(PropertiesView(raw))
    }

    /// Properties that were validated before. Damaged bytes only make accessors answer `None`.
    #[inline]
    pub fn new_unchecked_valid(raw: &'a [u8]) -> PropertiesView<'a> {
        PropertiesView(raw)
    }

    /// Flags and fields as on the wire.
    #[inline]
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn content_type(self) -> Option<&'a str> {
        self.text(CONTENT_TYPE)
    }

    #[inline]
    pub fn content_encoding(self) -> Option<&'a str> {
        self.text(CONTENT_ENCODING)
    }

    #[inline]
    pub fn headers(self) -> Option<RawTable<'a>> {
        self.seek(HEADERS)?.longstr().ok().map(RawTable::new_unchecked_valid)
    }

    /// 2 for persistent.
    #[inline]
    pub fn delivery_mode(self) -> Option<u8> {
        self.seek(DELIVERY_MODE)?.octet().ok()
    }

    #[inline]
    pub fn priority(self) -> Option<u8> {
        self.seek(PRIORITY)?.octet().ok()
    }

    #[inline]
    pub fn correlation_id(self) -> Option<&'a str> {
        self.text(CORRELATION_ID)
    }

    #[inline]
    pub fn reply_to(self) -> Option<&'a str> {
        self.text(REPLY_TO)
    }

    #[inline]
    pub fn expiration(self) -> Option<&'a str> {
        self.text(EXPIRATION)
    }

    /// The expiration as sent, UTF-8 or not: its absence has to be told from its being wrong.
    #[inline]
    pub fn expiration_bytes(self) -> Option<&'a [u8]> {
        self.seek(EXPIRATION)?.shortstr_bytes().ok()
    }

    #[inline]
    pub fn message_id(self) -> Option<&'a str> {
        self.text(MESSAGE_ID)
    }

    /// Seconds since 1970.
    #[inline]
    pub fn timestamp(self) -> Option<u64> {
        self.seek(TIMESTAMP)?.longlong().ok()
    }

    /// The property that the protocol calls `type`.
    #[inline]
    pub fn kind(self) -> Option<&'a str> {
        self.text(KIND)
    }

    #[inline]
    pub fn user_id(self) -> Option<&'a str> {
        self.text(USER_ID)
    }

    /// The user id as sent, UTF-8 or not: a claim that cannot be read is still a claim.
    #[inline]
    pub fn user_id_bytes(self) -> Option<&'a [u8]> {
        self.seek(USER_ID)?.shortstr_bytes().ok()
    }

    #[inline]
    pub fn app_id(self) -> Option<&'a str> {
        self.text(APP_ID)
    }

    #[inline]
    pub fn cluster_id(self) -> Option<&'a str> {
        self.text(CLUSTER_ID)
    }

    /// The owned form. Fails on short strings that are not UTF-8.
    pub fn to_properties(self) -> Result<Properties, DecodeError> {
        let owned = |index: u32| -> Result<Option<String>, DecodeError> {
            self.seek(index).map(|mut reader| reader.shortstr().map(str::to_owned)).transpose()
        };
        Ok(Properties {
            content_type: owned(CONTENT_TYPE)?,
            content_encoding: owned(CONTENT_ENCODING)?,
            headers: self.headers().map(RawTable::to_table).transpose()?,
            delivery_mode: self.delivery_mode(),
            priority: self.priority(),
            correlation_id: owned(CORRELATION_ID)?,
            reply_to: owned(REPLY_TO)?,
            expiration: owned(EXPIRATION)?,
            message_id: owned(MESSAGE_ID)?,
            timestamp: self.timestamp(),
            kind: owned(KIND)?,
            user_id: owned(USER_ID)?,
            app_id: owned(APP_ID)?,
            cluster_id: owned(CLUSTER_ID)?,
        })
    }

    /// A copy with other headers; every other field keeps its bytes.
    pub fn with_headers(self, headers: &Table) -> Vec<u8> {
        let mut field = Vec::new();
        Writer::new(&mut field).length_prefixed(|out| headers.encode_entries(out));
        self.with_field(HEADERS, Some(&field))
    }

    /// A copy with another address for replies; every other field keeps its bytes.
    pub fn with_reply_to(self, reply_to: &str) -> Vec<u8> {
        let mut field = Vec::new();
        Writer::new(&mut field).shortstr(reply_to);
        self.with_field(REPLY_TO, Some(&field))
    }

    /// A copy that never expires; every other field keeps its bytes.
    pub fn without_expiration(self) -> Vec<u8> {
        self.with_field(EXPIRATION, None)
    }

    /// A copy in which field `index` is `value`, as encoded, or absent.
    fn with_field(self, index: u32, value: Option<&[u8]>) -> Vec<u8> {
        let flag = FIRST_FLAG >> index;
        let mut reader = Reader::new(self.0);
        let flags = reader.short().unwrap_or_default();
        let mut walk = |fields: u16| {
            let mut left = fields & !UNKNOWN_FLAGS;
            while left != 0 {
                let field = left.leading_zeros();
                left &= !(FIRST_FLAG >> field);
                if skip(&mut reader, field).is_err() {
                    break;
                }
            }
            self.0.len() - reader.rest().len()
        };
        let start = walk(flags & !(flag | (flag - 1)));
        let end = walk(flags & flag);
        let flags = if value.is_some() { flags | flag } else { flags & !flag };
        let mut raw = Vec::with_capacity(self.0.len() + value.map_or(0, <[u8]>::len));
        raw.extend_from_slice(&flags.to_be_bytes());
        raw.extend_from_slice(self.0.get(2..start).unwrap_or_default());
        raw.extend_from_slice(value.unwrap_or_default());
        raw.extend_from_slice(&self.0[end..]);
        raw
    }

    #[inline]
    fn text(self, index: u32) -> Option<&'a str> {
        self.seek(index)?.shortstr().ok()
    }

    /// A reader at the start of field `index`, if it is there.
    #[inline]
    fn seek(self, index: u32) -> Option<Reader<'a>> {
        let mut reader = Reader::new(self.0);
        let flags = reader.short().ok()?;
        let flag = FIRST_FLAG >> index;
        if flags & flag == 0 {
            return None;
        }
        // The bits above `flag` are the fields before it.
        let mut before = flags & !(flag | (flag - 1));
        while before != 0 {
            let field = before.leading_zeros();
            before &= !(FIRST_FLAG >> field);
            skip(&mut reader, field).ok()?;
        }
        Some(reader)
    }
}

/// Moves over field `index` without looking into it.
#[inline]
fn skip(reader: &mut Reader<'_>, index: u32) -> Result<(), DecodeError> {
    match index {
        HEADERS => reader.longstr().map(drop),
        DELIVERY_MODE | PRIORITY => reader.octet().map(drop),
        TIMESTAMP => reader.longlong().map(drop),
        _ => reader.shortstr_bytes().map(drop),
    }
}

const CONTENT_TYPE: u32 = 0;
const CONTENT_ENCODING: u32 = 1;
const HEADERS: u32 = 2;
const DELIVERY_MODE: u32 = 3;
const PRIORITY: u32 = 4;
const CORRELATION_ID: u32 = 5;
const REPLY_TO: u32 = 6;
const EXPIRATION: u32 = 7;
const MESSAGE_ID: u32 = 8;
const TIMESTAMP: u32 = 9;
const KIND: u32 = 10;
const USER_ID: u32 = 11;
const APP_ID: u32 = 12;
const CLUSTER_ID: u32 = 13;

/// The flag of field 0; field n has the flag n bits lower.
const FIRST_FLAG: u16 = 0x8000;
/// No field stands behind these: the unused one and the one that announces more flags.
const UNKNOWN_FLAGS: u16 = 0b11;

/// The properties of a message, owned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub headers: Option<Table>,
    /// 2 for persistent.
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    /// Milliseconds, as decimal digits.
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The property that the protocol calls `type`.
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

impl Properties {
    /// Appends flags and fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut flags = 0;
        let mut writer = Writer::new(out);
        writer.short(0);
        let mut text = |writer: &mut Writer<'_>, index: u32, value: &Option<String>| {
            if let Some(value) = value {
                flags |= FIRST_FLAG >> index;
                writer.shortstr(value);
            }
        };
        text(&mut writer, CONTENT_TYPE, &self.content_type);
        text(&mut writer, CONTENT_ENCODING, &self.content_encoding);
        if let Some(headers) = &self.headers {
            writer.length_prefixed(|out| headers.encode_entries(out));
        }
        if let Some(delivery_mode) = self.delivery_mode {
            writer.octet(delivery_mode);
        }
        if let Some(priority) = self.priority {
            writer.octet(priority);
        }
        text(&mut writer, CORRELATION_ID, &self.correlation_id);
        text(&mut writer, REPLY_TO, &self.reply_to);
        text(&mut writer, EXPIRATION, &self.expiration);
        text(&mut writer, MESSAGE_ID, &self.message_id);
        if let Some(timestamp) = self.timestamp {
            writer.longlong(timestamp);
        }
        text(&mut writer, KIND, &self.kind);
        text(&mut writer, USER_ID, &self.user_id);
        text(&mut writer, APP_ID, &self.app_id);
        text(&mut writer, CLUSTER_ID, &self.cluster_id);
        for (index, present) in [
            (HEADERS, self.headers.is_some()),
            (DELIVERY_MODE, self.delivery_mode.is_some()),
            (PRIORITY, self.priority.is_some()),
            (TIMESTAMP, self.timestamp.is_some()),
        ] {
            if present {
                flags |= FIRST_FLAG >> index;
            }
        }
        out[start..start + 2].copy_from_slice(&flags.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_fields_are_found_behind_others() {
        fn check(raw: &[u8], read: impl Fn(PropertiesView<'_>) -> Option<String>, expected: Option<&str>) {
            assert_eq!(read(PropertiesView::validate(raw).unwrap()).as_deref(), expected, "{raw:?}");
        }
        let all_three = b"\x81\x00\x0atext/plain\x0560000"; // content-type, expiration
        check(all_three, |p| p.content_type().map(String::from), Some("text/plain"));
        check(all_three, |p| p.expiration().map(String::from), Some("60000"));
        check(all_three, |p| p.message_id().map(String::from), None);
        check(b"\x38\x00\x00\x00\x00\x03\x01kV\x02\x09", |p| p.priority().map(|n| n.to_string()), Some("9"));
        check(
            b"\x38\x00\x00\x00\x00\x03\x01kV\x02\x09",
            |p| p.headers()?.get("k").map(|value| value.type_name().into()),
            Some("void"),
        );
        check(b"\x00\x40\0\0\0\0\0\0\0\x07", |p| p.timestamp().map(|n| n.to_string()), Some("7"));
        check(b"\x00\x04\x01c", |p| p.cluster_id().map(String::from), Some("c"));
        check(b"\x00\x00", |p| p.delivery_mode().map(|n| n.to_string()), None);
    }

    #[test]
    fn fields_are_replaced_and_the_others_keep_their_bytes() {
        let headers = Table::from([("k", 1.into())]);
        let whole = Properties {
            content_type: Some("text/plain".into()),
            headers: Some(Table::from([("old", "x".into())])),
            priority: Some(3),
            reply_to: Some("there".into()),
            expiration: Some("60000".into()),
            app_id: Some("app".into()),
            ..Properties::default()
        };
        for (before, expected_text) in [(Properties::default(), None), (whole, Some("app"))] {
            let mut raw = Vec::new();
            before.encode(&mut raw);
            let view = PropertiesView::validate(&raw).unwrap();
            let changed = view.with_headers(&headers);
            let changed = PropertiesView::validate(&changed).unwrap().with_reply_to("here");
            let changed = PropertiesView::validate(&changed).unwrap().without_expiration();
            let after = PropertiesView::validate(&changed).unwrap().to_properties().unwrap();
            let expected = Properties {
                headers: Some(headers.clone()),
                reply_to: Some("here".into()),
                expiration: None,
                ..before
            };
            assert_eq!(after, expected);
            assert_eq!(after.app_id.as_deref(), expected_text);
        }
        let unreadable = PropertiesView::validate(b"\x04\x00\x02\xFF\xFE").unwrap();
        assert_eq!(unreadable.with_reply_to("r"), b"\x06\x00\x02\xFF\xFE\x01r");
    }

    #[test]
    fn malformed_sections_are_refused() {
        fn refused(raw: &[u8], what: &'static str, offset: usize) {
            assert_eq!(PropertiesView::validate(raw), Err(DecodeError::syntax(what, offset)));
        }
        refused(b"", "field reaches past the end", 0);
        refused(b"\x00\x01\x00\x00", "unknown property flags", 0);
        refused(b"\x00\x02", "unknown property flags", 0);
        refused(b"\x00\x00\x00", "bytes after the last field", 2);
        refused(b"\x80\x00\x05abc", "field reaches past the end", 3);
        refused(b"\x20\x00\x00\x00\x00\x03\x01kZ", "unknown field value type", 8);
    }

    #[test]
    fn strings_that_are_not_text_pass_through_unread() {
        let view = PropertiesView::validate(b"\x04\x00\x02\xFF\xFE").unwrap();
        assert_eq!(view.correlation_id(), None);
        assert!(view.to_properties().is_err());
    }
}
