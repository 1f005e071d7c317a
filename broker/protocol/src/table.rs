//! Field tables, borrowed and owned.
//!
//! [`RawTable`] is bytes that were walked once to their end, so that reading them again cannot fail; [`Table`] is the
//! owned form. The letters are those of RabbitMQ's errata, not of the 0-9-1 text: most clients follow them.
//!
//! ```text
//! table   u32 length, then entries: shortstr name, letter, value
//! array   u32 length, then entries: letter, value
//! ```

use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Writer};
use crate::error::DecodeError;

/// A table as received: entries without the leading length. Cheap to copy.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RawTable<'a>(&'a [u8]);

impl<'a> RawTable<'a> {
    /// Checks that `entries` (without the leading length) are well-formed to the end and to every depth.
    #[inline]
    pub fn validate(entries: &'a [u8]) -> Result<RawTable<'a>, DecodeError> {
        if !entries.is_empty() {
            skip_entries(entries, true, 0)?;
        }
        Ok(RawTable(entries))
    }

    /// A table whose bytes were validated before. Damaged bytes only shorten what [`RawTable::iter`] yields.
    #[inline]
    pub fn new_unchecked_valid(entries: &'a [u8]) -> RawTable<'a> {
        RawTable(entries)
    }

    /// The table without entries.
    #[inline]
    pub const fn empty() -> RawTable<'static> {
        RawTable(&[])
    }

    /// The entries' bytes, without the leading length.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order.
    #[inline]
    pub fn iter(self) -> RawTableIter<'a> {
        RawTableIter(Reader::new(self.0))
    }

    /// The first entry of this name.
    pub fn get(self, name: &str) -> Option<RawValue<'a>> {
        self.iter().find(|(entry, _)| *entry == name).map(|(_, value)| value)
    }

    /// The owned form.
    pub fn to_table(self) -> Result<Table, DecodeError> {
        self.to_table_at(0)
    }

    fn to_table_at(self, depth: u32) -> Result<Table, DecodeError> {
        check_depth(depth)?;
        let mut reader = Reader::new(self.0);
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let name = reader.shortstr()?.to_owned();
            entries.push((name, RawValue::decode_shallow(&mut reader)?.to_value_at(depth)?));
        }
        Ok(Table(entries))
    }
}

impl std::fmt::Debug for RawTable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Yields the entries of a [`RawTable`].
#[derive(Debug, Clone)]
pub struct RawTableIter<'a>(Reader<'a>);

impl<'a> Iterator for RawTableIter<'a> {
    type Item = (&'a str, RawValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = self.0.shortstr().ok()?;
        Some((name, RawValue::decode_shallow(&mut self.0).ok()?))
    }
}

/// An array as received, without the leading length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawArray<'a>(&'a [u8]);

impl<'a> RawArray<'a> {
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The elements in order.
    pub fn iter(self) -> RawArrayIter<'a> {
        RawArrayIter(Reader::new(self.0))
    }

    /// The owned form.
    pub fn to_values(self) -> Result<Vec<Value>, DecodeError> {
        self.to_values_at(0)
    }

    fn to_values_at(self, depth: u32) -> Result<Vec<Value>, DecodeError> {
        check_depth(depth)?;
        let mut reader = Reader::new(self.0);
        let mut values = Vec::new();
        while !reader.is_empty() {
            values.push(RawValue::decode_shallow(&mut reader)?.to_value_at(depth)?);
        }
        Ok(values)
    }
}

impl std::fmt::Debug for RawArray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Yields the elements of a [`RawArray`].
#[derive(Debug, Clone)]
pub struct RawArrayIter<'a>(Reader<'a>);

impl<'a> Iterator for RawArrayIter<'a> {
    type Item = RawValue<'a>;

    fn next(&mut self) -> Option<RawValue<'a>> {
        if self.0.is_empty() { None } else { RawValue::decode_shallow(&mut self.0).ok() }
    }
}

/// A field value as received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RawValue<'a> {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    Decimal { scale: u8, value: u32 },
    LongString(&'a [u8]),
    Array(RawArray<'a>),
    Timestamp(u64),
    Table(RawTable<'a>),
    Void,
    Bytes(&'a [u8]),
}

impl<'a> RawValue<'a> {
    /// Reads one letter and value, checking nested ones too. `depth` counts the tables and arrays around it.
    fn decode(reader: &mut Reader<'a>, depth: u32) -> Result<RawValue<'a>, DecodeError> {
        let value = RawValue::decode_shallow(reader)?;
        match value {
            RawValue::Table(RawTable(nested)) => skip_entries(nested, true, depth + 1)?,
            RawValue::Array(RawArray(nested)) => skip_entries(nested, false, depth + 1)?,
            _ => {}
        }
        Ok(value)
    }

    /// Reads one letter and value, without looking into what is nested in it.
    #[inline]
    fn decode_shallow(reader: &mut Reader<'a>) -> Result<RawValue<'a>, DecodeError> {
        Ok(match reader.octet()? {
            b'S' => RawValue::LongString(reader.longstr()?),
            b'I' => RawValue::I32(reader.long()? as i32),
            b't' => RawValue::Bool(reader.octet()? != 0),
            b'b' => RawValue::I8(reader.octet()? as i8),
            b'B' => RawValue::U8(reader.octet()?),
            b's' => RawValue::I16(reader.short()? as i16),
            b'u' => RawValue::U16(reader.short()?),
            b'i' => RawValue::U32(reader.long()?),
            // Both letters mean signed 64 bits in practice, as RabbitMQ reads them.
            b'l' | b'L' => RawValue::I64(reader.longlong()? as i64),
            b'f' => RawValue::F32(f32::from_bits(reader.long()?)),
            b'd' => RawValue::F64(f64::from_bits(reader.longlong()?)),
            b'D' => RawValue::Decimal { scale: reader.octet()?, value: reader.long()? },
            b'T' => RawValue::Timestamp(reader.longlong()?),
            b'A' => RawValue::Array(RawArray(reader.longstr()?)),
            b'F' => RawValue::Table(RawTable(reader.longstr()?)),
            b'V' => RawValue::Void,
            b'x' => RawValue::Bytes(reader.longstr()?),
            _ => return Err(DecodeError::syntax("unknown field value type", reader.position() - 1)),
        })
    }

    /// The owned form.
    pub fn to_value(self) -> Result<Value, DecodeError> {
        self.to_value_at(0)
    }

    /// `depth` counts the tables and arrays around it.
    fn to_value_at(self, depth: u32) -> Result<Value, DecodeError> {
        Ok(match self {
            RawValue::Bool(value) => Value::Bool(value),
            RawValue::I8(value) => Value::I8(value),
            RawValue::U8(value) => Value::U8(value),
            RawValue::I16(value) => Value::I16(value),
            RawValue::U16(value) => Value::U16(value),
            RawValue::I32(value) => Value::I32(value),
            RawValue::U32(value) => Value::U32(value),
            RawValue::I64(value) => Value::I64(value),
            RawValue::F32(value) => Value::F32(value),
            RawValue::F64(value) => Value::F64(value),
            RawValue::Decimal { scale, value } => Value::Decimal { scale, value },
            RawValue::LongString(bytes) => Value::LongString(bytes.to_vec()),
            RawValue::Array(array) => Value::Array(array.to_values_at(depth + 1)?),
            RawValue::Timestamp(value) => Value::Timestamp(value),
            RawValue::Table(table) => Value::Table(table.to_table_at(depth + 1)?),
            RawValue::Void => Value::Void,
            RawValue::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        })
    }

    /// The number, for integers of any width.
    pub fn as_i64(self) -> Option<i64> {
        Some(match self {
            RawValue::I8(value) => value.into(),
            RawValue::U8(value) => value.into(),
            RawValue::I16(value) => value.into(),
            RawValue::U16(value) => value.into(),
            RawValue::I32(value) => value.into(),
            RawValue::U32(value) => value.into(),
            RawValue::I64(value) => value,
            _ => return None,
        })
    }

    /// The text, for long strings that are UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            RawValue::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub fn as_bool(self) -> Option<bool> {
        match self {
            RawValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// What RabbitMQ calls the type in reply texts.
    pub fn type_name(self) -> &'static str {
        match self {
            RawValue::Bool(_) => "bool",
            RawValue::I8(_) => "byte",
            RawValue::U8(_) => "unsignedbyte",
            RawValue::I16(_) => "short",
            RawValue::U16(_) => "unsignedshort",
            RawValue::I32(_) => "signedint",
            RawValue::U32(_) => "unsignedint",
            RawValue::I64(_) => "long",
            RawValue::F32(_) => "float",
            RawValue::F64(_) => "double",
            RawValue::Decimal { .. } => "decimal",
            RawValue::LongString(_) => "longstr",
            RawValue::Array(_) => "array",
            RawValue::Timestamp(_) => "timestamp",
            RawValue::Table(_) => "table",
            RawValue::Void => "void",
            RawValue::Bytes(_) => "binary",
        }
    }
}

/// Walks entries (`named`) or elements to their end.
fn skip_entries(entries: &[u8], named: bool, depth: u32) -> Result<(), DecodeError> {
    check_depth(depth)?;
    let mut reader = Reader::new(entries);
    while !reader.is_empty() {
        if named {
            reader.shortstr()?;
        }
        RawValue::decode(&mut reader, depth)?;
    }
    Ok(())
}

fn check_depth(depth: u32) -> Result<(), DecodeError> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(DecodeError::syntax("field table nested too deeply", 0)) }
}

/// Tables and arrays inside one another. Deeper ones are refused, so that no peer can exhaust the stack.
pub const DEPTH_MAX: u32 = 64;

/// A field table. Keeps the order of its entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table(pub Vec<(String, Value)>);

impl Table {
    pub fn new() -> Table {
        Table::default()
    }

    /// Replaces the entry of this name, or adds one at the end.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(entry, _)| *entry == name) {
            Some((_, current)) => *current = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes out all entries of this name and gives back the first.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(entry, _)| entry == name)?;
        let (_, value) = self.0.remove(at);
        self.0.retain(|(entry, _)| entry != name);
        Some(value)
    }

    /// The first entry of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(entry, _)| entry == name).map(|(_, value)| value)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the table with its leading length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Writer::new(out).length_prefixed(|out| self.encode_entries(out));
    }

    /// Appends the entries without a length: what [`RawTable::validate`] takes.
    ///
    /// Names longer than 255 bytes are cut. Only tables that came from the wire are known to be shallow enough for
    /// [`RawTable::validate`].
    pub fn encode_entries(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            Writer::new(out).shortstr(name);
            value.encode(out);
        }
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Table {
    fn from(entries: [(&str, Value); N]) -> Table {
        entries.into_iter().collect()
    }
}

impl<N: Into<String>> FromIterator<(N, Value)> for Table {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(entries: I) -> Table {
        Table(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// A field value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    #[serde(with = "stored::f32_bits")]
    F32(f32),
    #[serde(with = "stored::f64_bits")]
    F64(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    #[serde(with = "stored::text_or_bytes")]
    LongString(Vec<u8>),
    Array(Vec<Value>),
    /// Seconds since 1970.
    Timestamp(u64),
    Table(Table),
    Void,
    Bytes(Vec<u8>),
}

impl Value {
    /// Appends letter and value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        match self {
            Value::Bool(value) => writer.bytes(&[b't', u8::from(*value)]),
            Value::I8(value) => writer.bytes(&[b'b', *value as u8]),
            Value::U8(value) => writer.bytes(&[b'B', *value]),
            Value::I16(value) => {
                writer.octet(b's');
                writer.short(*value as u16);
            }
            Value::U16(value) => {
                writer.octet(b'u');
                writer.short(*value);
            }
            Value::I32(value) => {
                writer.octet(b'I');
                writer.long(*value as u32);
            }
            Value::U32(value) => {
                writer.octet(b'i');
                writer.long(*value);
            }
            Value::I64(value) => {
                writer.octet(b'l');
                writer.longlong(*value as u64);
            }
            Value::F32(value) => {
                writer.octet(b'f');
                writer.long(value.to_bits());
            }
            Value::F64(value) => {
                writer.octet(b'd');
                writer.longlong(value.to_bits());
            }
            Value::Decimal { scale, value } => {
                writer.bytes(&[b'D', *scale]);
                writer.long(*value);
            }
            Value::LongString(bytes) => {
                writer.octet(b'S');
                writer.longstr(bytes);
            }
            Value::Array(values) => {
                writer.octet(b'A');
                writer.length_prefixed(|out| values.iter().for_each(|value| value.encode(out)));
            }
            Value::Timestamp(value) => {
                writer.octet(b'T');
                writer.longlong(*value);
            }
            Value::Table(table) => {
                writer.octet(b'F');
                writer.length_prefixed(|out| table.encode_entries(out));
            }
            Value::Void => writer.octet(b'V'),
            Value::Bytes(bytes) => {
                writer.octet(b'x');
                writer.longstr(bytes);
            }
        }
    }

    /// The number, for integers of any width.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_raw_scalar().and_then(RawValue::as_i64)
    }

    /// The text, for long strings that are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_table(&self) -> Option<&Table> {
        match self {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// What RabbitMQ calls the type in reply texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Array(_) => "array",
            Value::Table(_) => "table",
            scalar => scalar.as_raw_scalar().map_or("void", RawValue::type_name),
        }
    }

    /// The borrowed form of everything but arrays and tables, whose borrowed form is encoded bytes.
    fn as_raw_scalar(&self) -> Option<RawValue<'_>> {
        Some(match self {
            Value::Bool(value) => RawValue::Bool(*value),
            Value::I8(value) => RawValue::I8(*value),
            Value::U8(value) => RawValue::U8(*value),
            Value::I16(value) => RawValue::I16(*value),
            Value::U16(value) => RawValue::U16(*value),
            Value::I32(value) => RawValue::I32(*value),
            Value::U32(value) => RawValue::U32(*value),
            Value::I64(value) => RawValue::I64(*value),
            Value::F32(value) => RawValue::F32(*value),
            Value::F64(value) => RawValue::F64(*value),
            Value::Decimal { scale, value } => RawValue::Decimal { scale: *scale, value: *value },
            Value::LongString(bytes) => RawValue::LongString(bytes),
            Value::Timestamp(value) => RawValue::Timestamp(*value),
            Value::Void => RawValue::Void,
            Value::Bytes(bytes) => RawValue::Bytes(bytes),
            Value::Array(_) | Value::Table(_) => return None,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::LongString(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::LongString(text.into_bytes())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::I32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::I64(value)
    }
}

impl From<Table> for Value {
    fn from(table: Table) -> Value {
        Value::Table(table)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Value {
        Value::Array(values)
    }
}

/// How values look in stored records: nothing is lost, not even a NaN's payload or a string that is not text.
mod stored {
    pub mod f32_bits {
        use serde::{Deserialize, Deserializer, Serializer};

        pub fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u32(value.to_bits())
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
            u32::deserialize(deserializer).map(f32::from_bits)
        }
    }

    pub mod f64_bits {
        use serde::{Deserialize, Deserializer, Serializer};

        pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(value.to_bits())
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
            u64::deserialize(deserializer).map(f64::from_bits)
        }
    }

    pub mod text_or_bytes {
        use serde::{Deserialize, Deserializer, Serializer};

        #[derive(Deserialize)]
        #[serde(untagged)]
        enum TextOrBytes {
            Text(String),
            Bytes(Vec<u8>),
        }

        pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
            match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.collect_seq(bytes),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
            Ok(match TextOrBytes::deserialize(deserializer)? {
                TextOrBytes::Text(text) => text.into_bytes(),
                TextOrBytes::Bytes(bytes) => bytes,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bytes` are the letter and the value of an entry named "k".
    fn check(bytes: &[u8], expected: Value) {
        let entries = [b"\x01k", bytes].concat();
        let table = RawTable::validate(&entries).unwrap();
        assert_eq!(table.to_table().unwrap(), Table(vec![("k".into(), expected.clone())]));
        assert_eq!(table.get("k").unwrap().to_value().unwrap(), expected);
        assert_eq!(table.get("k").unwrap().type_name(), expected.type_name());
        let mut encoded = Vec::new();
        expected.encode(&mut encoded);
        if bytes[0] != b'L' {
            assert_eq!(encoded, bytes);
        }
    }

    #[test]
    fn every_letter_has_its_type_and_sign() {
        check(b"t\x01", Value::Bool(true));
        check(b"t\x00", Value::Bool(false));
        check(b"b\xFF", Value::I8(-1));
        check(b"B\xFF", Value::U8(255));
        check(b"s\xFF\xFE", Value::I16(-2));
        check(b"u\xFF\xFE", Value::U16(65534));
        check(b"I\xFF\xFF\xFF\xFD", Value::I32(-3));
        check(b"i\xFF\xFF\xFF\xFD", Value::U32(4294967293));
        check(b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC", Value::I64(-4));
        check(b"L\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC", Value::I64(-4));
        check(b"f\x3F\x80\x00\x00", Value::F32(1.0));
        check(b"d\xBF\xF0\x00\x00\x00\x00\x00\x00", Value::F64(-1.0));
        check(b"D\x02\x00\x00\x01\x3A", Value::Decimal { scale: 2, value: 314 });
        check(b"S\x00\x00\x00\x02hi", Value::from("hi"));
        check(b"S\x00\x00\x00\x01\xFF", Value::LongString(vec![0xFF]));
        check(b"T\x00\x00\x00\x00\x00\x00\x00\x07", Value::Timestamp(7));
        check(b"V", Value::Void);
        check(b"x\x00\x00\x00\x01\x00", Value::Bytes(vec![0]));
        check(b"A\x00\x00\x00\x03Vt\x01", Value::Array(vec![Value::Void, Value::Bool(true)]));
        check(b"F\x00\x00\x00\x03\x01aV", Value::Table(Table::from([("a", Value::Void)])));
    }

    #[test]
    fn malformed_tables_are_refused() {
        fn refused(entries: &[u8], what: &str) {
            assert_eq!(RawTable::validate(entries).unwrap_err().what, what, "{entries:?}");
        }
        refused(b"\x01", "field reaches past the end");
        refused(b"\x01kZ", "unknown field value type");
        refused(b"\x01kS\xFF\xFF\xFF\xFF", "field reaches past the end");
        refused(b"\x01kA\x00\x00\x00\x01Z", "unknown field value type");
        refused(b"\x01kF\x00\x00\x00\x02\x01k", "field reaches past the end");
        refused(b"\x01\xFFV", "malformed UTF-8 in shortstr");
    }

    #[test]
    fn nesting_is_bounded() {
        fn nested(levels: u32) -> Vec<u8> {
            let value = (0..levels).fold(Value::Void, |inner, _| Value::Array(vec![inner]));
            let mut entries = Vec::new();
            Table::from([("k", value)]).encode_entries(&mut entries);
            entries
        }
        assert!(RawTable::validate(&nested(DEPTH_MAX - 1)).is_ok());
        assert_eq!(RawTable::validate(&nested(DEPTH_MAX)).unwrap_err().what, "field table nested too deeply");
        assert!(RawTable::validate(&nested(2000)).is_err());
    }

    #[test]
    fn insert_replaces_and_keeps_the_order() {
        let mut table = Table::from([("a", Value::I32(1)), ("b", Value::I32(2))]);
        table.insert("a", 3);
        table.insert("c", true);
        let names: Vec<&str> = table.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(table.get("a"), Some(&Value::I32(3)));
        assert_eq!(table.remove("b"), Some(Value::I32(2)));
        assert_eq!(table.remove("b"), None);
    }

    #[test]
    fn integers_of_any_width_are_numbers() {
        for value in [Value::I8(5), Value::U8(5), Value::I16(5), Value::U16(5), Value::U32(5), Value::I64(5)]
        {
            assert_eq!(value.as_i64(), Some(5));
        }
        assert_eq!(Value::Timestamp(5).as_i64(), None);
        assert_eq!(Value::from("5").as_i64(), None);
    }

    #[test]
    fn stored_records_lose_nothing() {
        let table = Table::from([
            ("nan", Value::F32(f32::NAN)),
            ("third", Value::F64(1.0 / 3.0)),
            ("text", Value::from("né")),
            ("bytes", Value::LongString(vec![0xFF, 0])),
            ("array", Value::Array(vec![Value::Decimal { scale: 1, value: 2 }, Value::Void])),
            ("table", Value::Table(Table::from([("x", Value::Bytes(vec![1]))]))),
        ]);
        let json = serde_json::to_string(&table).unwrap();
        let back: Table = serde_json::from_str(&json).unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        table.encode(&mut before);
        back.encode(&mut after);
        assert_eq!(before, after, "{json}");
    }
}
