//! Reading and writing the protocol's elementary types: octets, integers, strings, bits.
//!
//! Consecutive bits share an octet (AMQP 0-9-1 §4.2.5.2): [`Reader::bit`] and [`Writer::bit`] keep the open octet, and
//! any other field closes it.

use crate::error::DecodeError;
use crate::table::RawTable;

/// A cursor over received bytes. Every read checks the length first.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    bits: u8,
    /// Bits still unread in `bits`.
    bits_left: u8,
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0, bits: 0, bits_left: 0 }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        self.bits_left = 0;
        match self.input[self.at..].get(..len) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => Err(DecodeError::syntax("field reaches past the end", self.at)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bits_left = 0;
        match self.input[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(DecodeError::syntax("field reaches past the end", self.at)),
        }
    }

    #[inline]
    pub fn octet(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub fn short(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    #[inline]
    pub fn long(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    #[inline]
    pub fn longlong(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A string of at most 255 bytes, which must be UTF-8.
    #[inline]
    pub fn shortstr(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.shortstr_bytes()?;
        std::str::from_utf8(bytes)
            .map_err(|_| DecodeError::syntax("malformed UTF-8 in shortstr", self.at - bytes.len()))
    }

    /// A string of at most 255 bytes, whatever they are.
    #[inline]
    pub fn shortstr_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.octet()?;
        self.take(len as usize)
    }

    /// A string of bytes with a 32-bit length.
    #[inline]
    pub fn longstr(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.long()?;
        self.take(len as usize)
    }

    /// A field table, checked to its end.
    #[inline]
    pub fn table(&mut self) -> Result<RawTable<'a>, DecodeError> {
        let start = self.at + 4;
        RawTable::validate(self.longstr()?)
            .map_err(|error| DecodeError { offset: start + error.offset, ..error })
    }

    /// The next bit of a run of bits.
    #[inline]
    pub fn bit(&mut self) -> Result<bool, DecodeError> {
        if self.bits_left == 0 {
            self.bits = self.octet()?;
            self.bits_left = 8;
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.bits_left -= 1;
        Ok(bit)
    }

    /// How many bytes were read.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at == self.input.len()
    }

    /// Fails when bytes are left.
    #[inline]
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::syntax("bytes after the last field", self.at)) }
    }
}

/// Appends fields to a buffer.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Bits written into the last octet of `out`, 0 when it is closed.
    bits_used: u8,
}

impl<'o> Writer<'o> {
    #[inline]
    pub fn new(out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer { out, bits_used: 0 }
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bits_used = 0;
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    pub fn octet(&mut self, value: u8) {
        self.bits_used = 0;
        self.out.push(value);
    }

    #[inline]
    pub fn short(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    pub fn long(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    #[inline]
    pub fn longlong(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A short string; what does not fit 255 bytes is cut at a character boundary.
    #[inline]
    pub fn shortstr(&mut self, text: &str) {
        let text = if text.len() > SHORTSTR_MAX { cut(text) } else { text };
        self.octet(text.len() as u8);
        self.bytes(text.as_bytes());
    }

    #[inline]
    pub fn longstr(&mut self, bytes: &[u8]) {
        self.long(bytes.len() as u32);
        self.bytes(bytes);
    }

    #[inline]
    pub fn table(&mut self, table: RawTable<'_>) {
        self.longstr(table.as_bytes());
    }

    /// The next bit of a run of bits.
    #[inline]
    pub fn bit(&mut self, value: bool) {
        if self.bits_used == 0 || self.bits_used == 8 {
            self.out.push(0);
            self.bits_used = 0;
        }
        if let Some(last) = self.out.last_mut() {
            *last |= u8::from(value) << self.bits_used;
        }
        self.bits_used += 1;
    }

    /// Writes what `fill` appends behind its own 32-bit length.
    #[inline]
    pub fn length_prefixed(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        self.bits_used = 0;
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        fill(self.out);
        let len = (self.out.len() - start - 4) as u32;
        self.out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

/// The longest short string in bytes.
pub const SHORTSTR_MAX: usize = 255;

/// The longest prefix of `text` that fits a short string.
#[cold]
fn cut(text: &str) -> &str {
    let mut end = SHORTSTR_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_share_an_octet_until_another_field_follows() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        for bit in [true, false, true] {
            writer.bit(bit);
        }
        writer.octet(9);
        for bit in [true; 9] {
            writer.bit(bit);
        }
        assert_eq!(out, [0b101, 9, 0xFF, 1]);

        let mut reader = Reader::new(&out);
        let bits: Vec<bool> = (0..3).map(|_| reader.bit().unwrap()).collect();
        assert_eq!(bits, [true, false, true]);
        assert_eq!(reader.octet(), Ok(9));
        assert!((0..9).all(|_| reader.bit().unwrap()));
        assert_eq!(reader.finish(), Ok(()));
        assert!(reader.bit().is_ok(), "seven bits of the last octet are left");
    }

    #[test]
    fn short_strings_are_cut_at_a_character_boundary() {
        let mut out = Vec::new();
        Writer::new(&mut out).shortstr(&"é".repeat(200));
        assert_eq!(out[0], 254);
        assert_eq!(Reader::new(&out).shortstr(), Ok("é".repeat(127).as_str()));
    }

    #[test]
    fn reads_past_the_end_fail_without_moving() {
        fn check<T: std::fmt::Debug>(
            input: &[u8],
            read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
            expected: DecodeError,
        ) {
            assert_eq!(read(&mut Reader::new(input)).unwrap_err(), expected);
        }
        check(&[], |r| r.octet(), DecodeError::syntax("field reaches past the end", 0));
        check(&[1], |r| r.short(), DecodeError::syntax("field reaches past the end", 0));
        check(&[1, 2, 3], |r| r.long(), DecodeError::syntax("field reaches past the end", 0));
        check(&[0; 7], |r| r.longlong(), DecodeError::syntax("field reaches past the end", 0));
        check(
            &[2, b'a'],
            |r| r.shortstr().map(str::len),
            DecodeError::syntax("field reaches past the end", 1),
        );
        check(
            &[0xFF; 8],
            |r| r.longstr().map(<[u8]>::len),
            DecodeError::syntax("field reaches past the end", 4),
        );
        check(
            &[1, 0xFF],
            |r| r.shortstr().map(str::len),
            DecodeError::syntax("malformed UTF-8 in shortstr", 1),
        );
    }
}
