//! A chunk: up to 64 KiB or 256 positions of one queue lane, written once and read as a whole.
//!
//! ```text
//! log value   version:1 kind:1 lane:1 messages-1:1 uid:8 first:8  message*
//! message     offset:1 exchange len:1 routing key len:1  properties len, body len, expires at ms: varint
//!             exchange  routing key  properties  body
//! idx value   version:1 flags:1 chunk id:8 positions-1:1  log value's bytes: varint
//!             [when the first of its messages expires, in ms: varint]
//!             [bitmap of live positions, when some are not]  body sizes of the live messages, or one for all: varint
//! ```
//!
//! Positions inside a chunk may have gaps: messages that were settled before they were written. In memory a chunk is
//! a [`ChunkMeta`], about 100 bytes; its `idx` value is rewritten when some of its messages are settled, and both
//! values are removed when all are. Body sizes are kept beside the bitmap so that a restart knows how many bytes a
//! queue holds without reading bodies.

use bytes::Bytes;
use leveret_core::message::{INLINE_BODY_MAX, Message};

use super::QueueUid;
use super::keys::Kind;

/// Positions that one chunk may span: an offset is one byte.
pub(super) const CHUNK_POSITIONS_MAX: u64 = 256;
/// A chunk is closed before its log value would exceed this many bytes. One larger message makes its own chunk.
pub(super) const CHUNK_BYTES_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const LOG_HEADER_BYTES: usize = 20;
const FLAG_BITMAP: u8 = 1;
const FLAG_UNIFORM: u8 = 2;
const FLAG_EXPIRES: u8 = 4;

/// Bytes that are not what this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damaged(pub &'static str);

// ---- positions -----------------------------------------------------------------------------------------------

/// A set of offsets inside a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Offsets([u64; 4]);

impl Offsets {
    /// All offsets of `from..to`, both at most 256.
    pub(super) fn range(from: u32, to: u32) -> Offsets {
        let mut words = [0; 4];
        for (index, word) in words.iter_mut().enumerate() {
            let base = index as u32 * 64;
            let (low, high) = (from.clamp(base, base + 64) - base, to.clamp(base, base + 64) - base);
            if low < high {
                *word = (u64::MAX >> (64 - (high - low))) << low;
            }
        }
        Offsets(words)
    }

    #[inline]
    pub(super) fn insert(&mut self, offset: u8) {
        self.0[offset as usize / 64] |= 1 << (offset % 64);
    }

    #[inline]
    pub(super) fn contains(&self, offset: u8) -> bool {
        self.0[offset as usize / 64] & (1 << (offset % 64)) != 0
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Removes what `other` has too and returns it.
    pub(super) fn take(&mut self, other: &Offsets) -> Offsets {
        let mut taken = Offsets::default();
        for index in 0..4 {
            taken.0[index] = self.0[index] & other.0[index];
            self.0[index] &= !other.0[index];
        }
        taken
    }

    /// In rising order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((index as u32 * 64 + bit) as u8)
            })
        })
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (index, word) in self.0.iter().enumerate() {
            bytes[index * 8..index * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Offsets {
        let mut offsets = Offsets::default();
        for (index, &byte) in bytes.iter().take(32).enumerate() {
            offsets.0[index / 8] |= u64::from(byte) << (index % 8 * 8);
        }
        offsets
    }
}

// ---- what memory and `idx` hold of a chunk ----------------------------------------------------------------------

/// What is known of a chunk without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    /// Position of its first message.
    pub first: u64,
    /// Key in `log`.
    pub id: u64,
    /// Bytes of its value in `log`.
    pub log_bytes: u32,
    /// Positions it covers, 1 to 256.
    pub span: u16,
    /// When the first of its messages expires, also when that one is settled; 0 for never.
    pub expires_at_ms: u64,
    /// Set while the change of `live` is not yet in the write batch.
    pub dirty: bool,
    /// Messages that are not settled. Empty only between the settle and the removal of the chunk.
    pub live: Offsets,
    sizes: Sizes,
}

/// Body sizes of a chunk's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sizes {
    Uniform(u32),
    /// By offset; positions without a message are 0.
    Each(Box<[u32]>),
}

/// Messages and their body bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Volume {
    pub messages: u64,
    pub bytes: u64,
}

impl Volume {
    pub(super) fn subtract(&mut self, other: Volume) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    pub(super) fn add(&mut self, other: Volume) {
        *self = self.plus(other);
    }

    pub(super) fn plus(self, other: Volume) -> Volume {
        Volume { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

impl ChunkMeta {
    /// The position after its last one.
    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.span)
    }

    /// Marks positions `from..to` as settled, as far as they are in this chunk, and returns what that changed.
    pub(super) fn settle(&mut self, from: u64, to: u64) -> Volume {
        let offset = |position: u64| (position.clamp(self.first, self.end()) - self.first) as u32;
        let taken = self.live.take(&Offsets::range(offset(from), offset(to)));
        self.volume_of(&taken)
    }

    /// What is live in it.
    pub(super) fn volume(&self) -> Volume {
        self.volume_of(&self.live)
    }

    fn volume_of(&self, offsets: &Offsets) -> Volume {
        let messages = u64::from(offsets.len());
        let bytes = match &self.sizes {
            Sizes::Uniform(size) => messages * u64::from(*size),
            Sizes::Each(sizes) => offsets
                .iter()
                .map(|offset| sizes.get(offset as usize).map_or(0, |&size| u64::from(size)))
                .sum(),
        };
        Volume { messages, bytes }
    }

    /// The position of the first live message, or where the chunk begins when there is none.
    pub(super) fn first_live(&self) -> u64 {
        self.first + self.live.iter().next().map_or(0, u64::from)
    }

    /// Appends the `idx` value to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        debug_assert!(
            !self.live.is_empty() && (1..=256).contains(&self.span),
            "an empty chunk has no idx value"
        );
        let full = self.live == Offsets::range(0, u32::from(self.span));
        let uniform = matches!(self.sizes, Sizes::Uniform(_));
        let expires = self.expires_at_ms != 0;
        let flags = if full { 0 } else { FLAG_BITMAP }
            | if uniform { FLAG_UNIFORM } else { 0 }
            | if expires { FLAG_EXPIRES } else { 0 };
        out.extend_from_slice(&[VERSION, flags]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.push((self.span - 1) as u8);
        push_varint(out, u64::from(self.log_bytes));
        if expires {
            push_varint(out, self.expires_at_ms);
        }
        if !full {
            out.extend_from_slice(&self.live.to_bytes()[..usize::from(self.span).div_ceil(8)]);
        }
        match &self.sizes {
            Sizes::Uniform(size) => push_varint(out, u64::from(*size)),
            Sizes::Each(sizes) => {
                for offset in self.live.iter() {
                    push_varint(out, u64::from(sizes[offset as usize]));
                }
            }
        }
    }

    /// Reads an `idx` value; `first` comes from its key.
    pub(super) fn decode(first: u64, value: &[u8]) -> Result<ChunkMeta, Damaged> {
        let mut input = Input(value);
        if input.byte()? != VERSION {
            return Err(Damaged("unknown version of a chunk's index entry"));
        }
        let flags = input.byte()?;
        if flags & !(FLAG_BITMAP | FLAG_UNIFORM | FLAG_EXPIRES) != 0 {
            return Err(Damaged("unknown flags in a chunk's index entry"));
        }
        let id = input.u64()?;
        let span = u16::from(input.byte()?) + 1;
        first.checked_add(u64::from(span)).ok_or(Damaged("a chunk's positions overflow"))?;
        let log_bytes = input.varint_u32()?;
        let expires_at_ms = if flags & FLAG_EXPIRES != 0 { input.varint()? } else { 0 };
        let all = Offsets::range(0, u32::from(span));
        let live = if flags & FLAG_BITMAP == 0 {
            all
        } else {
            let live = Offsets::from_bytes(input.take(usize::from(span).div_ceil(8))?);
            let mut outside = live;
            outside.take(&all);
            if live.is_empty() || live == all || !outside.is_empty() {
                return Err(Damaged("a chunk's bitmap does not fit its positions"));
            }
            live
        };
        let sizes = if flags & FLAG_UNIFORM != 0 {
            Sizes::Uniform(input.varint_u32()?)
        } else {
            let mut sizes = vec![0; usize::from(span)].into_boxed_slice();
            for offset in live.iter() {
                sizes[usize::from(offset)] = input.varint_u32()?;
            }
            Sizes::Each(sizes)
        };
        if !input.0.is_empty() {
            return Err(Damaged("a chunk's index entry is longer than it should be"));
        }
        Ok(ChunkMeta { first, id, log_bytes, span, expires_at_ms, dirty: false, live, sizes })
    }
}

// ---- writing ---------------------------------------------------------------------------------------------------

/// Collects messages of one chunk; reused from chunk to chunk.
#[derive(Debug, Default)]
pub(super) struct ChunkWriter {
    value: Vec<u8>,
    first: u64,
    last: u64,
    offsets: Offsets,
    sizes: Vec<(u8, u32)>,
    uniform: bool,
    /// The earliest moment at which one expires, 0 for never.
    expires_at_ms: u64,
}

impl ChunkWriter {
    pub(super) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Position of the last message in it.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// True when a message at `position` still belongs into this chunk.
    #[inline]
    pub(super) fn has_room(&self, position: u64, message: &Message) -> bool {
        position - self.first < CHUNK_POSITIONS_MAX
            && self.value.len() + message.names_and_properties().len() + message.body().len() + 24
                <= CHUNK_BYTES_MAX
    }

    /// Adds a message; positions rise. Begins a new chunk after [`ChunkWriter::finish`].
    #[inline]
    pub(super) fn push(
        &mut self,
        uid: QueueUid,
        lane: u8,
        kind: Kind,
        position: u64,
        expires_at_ms: u64,
        message: &Message,
    ) {
        let size = u32::try_from(message.body().len()).unwrap_or(u32::MAX);
        if self.is_empty() {
            self.value.clear();
            self.value.extend_from_slice(&[VERSION, kind as u8, lane, 0]);
            self.value.extend_from_slice(&uid.to_be_bytes());
            self.value.extend_from_slice(&position.to_be_bytes());
            self.first = position;
            self.offsets = Offsets::default();
            self.uniform = true;
            self.expires_at_ms = 0;
        } else {
            assert!(
                position > self.last && position - self.first < CHUNK_POSITIONS_MAX,
                "positions rise in a chunk"
            );
            self.uniform &= size == self.sizes[0].1;
        }
        if expires_at_ms != 0 && (self.expires_at_ms == 0 || expires_at_ms < self.expires_at_ms) {
            self.expires_at_ms = expires_at_ms;
        }
        let offset = (position - self.first) as u8;
        self.last = position;
        self.offsets.insert(offset);
        self.sizes.push((offset, size));

        let (exchange_len, routing_key_len, properties_len) = message.part_lens();
        let (names_and_properties, body) = (message.names_and_properties(), message.body());
        self.value.reserve(names_and_properties.len() + body.len() + 24);
        self.value.extend_from_slice(&[offset, exchange_len, routing_key_len]);
        push_varint(&mut self.value, u64::from(properties_len));
        push_varint(&mut self.value, body.len() as u64);
        push_varint(&mut self.value, expires_at_ms);
        self.value.extend_from_slice(names_and_properties);
        self.value.extend_from_slice(body);
    }

    /// Ends the chunk: what to remember of it, and its `log` value.
    pub(super) fn finish(&mut self, id: u64) -> (ChunkMeta, &[u8]) {
        debug_assert!(!self.is_empty(), "a chunk holds at least one message");
        let span = (self.last - self.first + 1) as u16;
        self.value[3] = (self.sizes.len() - 1) as u8;
        let sizes = if self.uniform {
            Sizes::Uniform(self.sizes[0].1)
        } else {
            let mut sizes = vec![0; usize::from(span)].into_boxed_slice();
            for &(offset, size) in &self.sizes {
                sizes[usize::from(offset)] = size;
            }
            Sizes::Each(sizes)
        };
        self.sizes.clear();
        let meta = ChunkMeta {
            first: self.first,
            id,
            log_bytes: u32::try_from(self.value.len()).unwrap_or(u32::MAX),
            span,
            expires_at_ms: self.expires_at_ms,
            dirty: false,
            live: self.offsets,
            sizes,
        };
        (meta, &self.value)
    }

    /// Gives back the memory that one very large message needed.
    pub(super) fn shrink(&mut self) {
        if self.value.capacity() > 16 * CHUNK_BYTES_MAX {
            self.value = Vec::new();
        }
    }
}

// ---- reading ---------------------------------------------------------------------------------------------------

/// Walks through a `log` value.
#[derive(Debug)]
pub(super) struct ChunkReader<'a> {
    input: Input<'a>,
    messages: u16,
    last_offset: Option<u8>,
    pub uid: QueueUid,
    pub lane: u8,
    pub kind: Kind,
    pub first: u64,
}

/// A message as it lies in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredMessage<'a> {
    pub offset: u8,
    pub expires_at_ms: u64,
    exchange_len: u8,
    routing_key_len: u8,
    properties_len: u32,
    /// Exchange, routing key, properties, body.
    parts: &'a [u8],
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(value: &'a [u8]) -> Result<ChunkReader<'a>, Damaged> {
        let mut input = Input(value);
        if input.byte()? != VERSION {
            return Err(Damaged("unknown version of a chunk"));
        }
        let kind = Kind::from_byte(input.byte()?).ok_or(Damaged("unknown kind of chunk"))?;
        let lane = input.byte()?;
        let messages = u16::from(input.byte()?) + 1;
        let (uid, first) = (input.u64()?, input.u64()?);
        first.checked_add(CHUNK_POSITIONS_MAX).ok_or(Damaged("a chunk's positions overflow"))?;
        debug_assert_eq!(value.len() - input.0.len(), LOG_HEADER_BYTES);
        Ok(ChunkReader { input, messages, last_offset: None, uid, lane, kind, first })
    }

    /// The next message, `None` after the last.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<StoredMessage<'a>>, Damaged> {
        if self.messages == 0 {
            return if self.input.0.is_empty() {
                Ok(None)
            } else {
                Err(Damaged("a chunk is longer than its messages"))
            };
        }
        self.messages -= 1;
        let [offset, exchange_len, routing_key_len] = *self.input.array::<3>()?;
        if self.last_offset.is_some_and(|last| last >= offset) {
            return Err(Damaged("positions in a chunk do not rise"));
        }
        self.last_offset = Some(offset);
        let properties_len = self.input.varint_u32()?;
        let body_len = self.input.varint()?;
        let expires_at_ms = self.input.varint()?;
        let names_and_properties =
            usize::from(exchange_len) + usize::from(routing_key_len) + properties_len as usize;
        let len = usize::try_from(body_len)
            .ok()
            .and_then(|body_len| body_len.checked_add(names_and_properties))
            .ok_or(Damaged("a message in a chunk is longer than memory"))?;
        let parts = self.input.take(len)?;
        Ok(Some(StoredMessage {
            offset,
            expires_at_ms,
            exchange_len,
            routing_key_len,
            properties_len,
            parts,
        }))
    }
}

impl StoredMessage<'_> {
    fn body_bytes(&self) -> usize {
        self.parts.len() - self.body_start()
    }

    #[inline]
    pub(super) fn to_message(self) -> Message {
        if self.body_bytes() <= INLINE_BODY_MAX {
            Message::from_parts(self.parts, self.exchange_len, self.routing_key_len, self.properties_len)
        } else {
            let (parts, body) = self.parts.split_at(self.body_start());
            Message::from_parts_and_body(
                parts,
                self.exchange_len,
                self.routing_key_len,
                self.properties_len,
                Bytes::copy_from_slice(body),
            )
        }
    }

    fn body_start(&self) -> usize {
        usize::from(self.exchange_len) + usize::from(self.routing_key_len) + self.properties_len as usize
    }
}

// ---- bytes -----------------------------------------------------------------------------------------------------

/// Seven bits a byte, lowest first.
#[inline]
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[derive(Debug)]
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Damaged("a stored value is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged("a stored value is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|&[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.array::<8>().map(|bytes| u64::from_be_bytes(*bytes))
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if shift == 63 && byte > 1 {
                    Err(Damaged("a stored number overflows"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Damaged("a stored number overflows"))
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged("a stored number overflows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(key: &str, body_bytes: usize) -> Message {
        Message::new("exchange", key, &[0x10, 0x00, 2], &vec![key.len() as u8; body_bytes])
    }

    fn chunk(entries: &[(u64, usize)]) -> (ChunkMeta, Vec<u8>) {
        let mut writer = ChunkWriter::default();
        for &(position, body_bytes) in entries {
            writer.push(5, 1, Kind::Persistent, position, position * 10, &message("key", body_bytes));
        }
        let (meta, value) = writer.finish(99);
        (meta, value.to_vec())
    }

    #[test]
    fn offsets_cover_word_boundaries() {
        for (from, to) in [(0, 0), (0, 1), (0, 64), (63, 65), (10, 256), (0, 256), (255, 256), (200, 100)] {
            let offsets = Offsets::range(from, to);
            let expected: Vec<u8> = (from..to).map(|offset| offset as u8).collect();
            assert_eq!(offsets.iter().collect::<Vec<_>>(), expected, "{from}..{to}");
            assert_eq!(offsets.len() as usize, expected.len());
            assert_eq!(Offsets::from_bytes(&offsets.to_bytes()), offsets);
        }
    }

    #[test]
    fn messages_come_back_with_their_gaps() {
        let (meta, value) = chunk(&[(1000, 3), (1001, 0), (1005, 70_000)]);
        assert_eq!((meta.first, meta.end(), meta.id), (1000, 1006, 99));
        assert_eq!(meta.volume(), Volume { messages: 3, bytes: 70_003 });

        let mut reader = ChunkReader::new(&value).unwrap();
        assert_eq!((reader.uid, reader.lane, reader.kind, reader.first), (5, 1, Kind::Persistent, 1000));
        for (offset, body_bytes) in [(0, 3), (1, 0), (5, 70_000)] {
            let stored = reader.next().unwrap().unwrap();
            assert_eq!((stored.offset, stored.body_bytes()), (offset, body_bytes));
            assert_eq!(stored.expires_at_ms, (1000 + u64::from(offset)) * 10);
            let read = stored.to_message();
            assert_eq!((read.exchange(), read.routing_key()), ("exchange", "key"));
            assert_eq!(read.body(), message("key", body_bytes).body());
            assert!(read.is_persistent());
        }
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn settling_counts_each_message_once() {
        let (mut meta, _) = chunk(&[(10, 1), (11, 2), (12, 4), (14, 8)]);
        assert_eq!(meta.settle(0, 11), Volume { messages: 1, bytes: 1 });
        assert_eq!(meta.settle(10, 13), Volume { messages: 2, bytes: 6 });
        assert_eq!(meta.settle(10, 13), Volume::default());
        assert_eq!(meta.settle(13, 14), Volume::default());
        assert_eq!(meta.first_live(), 14);
        assert_eq!(meta.settle(14, u64::MAX), Volume { messages: 1, bytes: 8 });
        assert!(meta.live.is_empty());
    }

    #[test]
    fn index_entries_come_back_full_partly_settled_and_uniform() {
        let check = |mut meta: ChunkMeta, settled: &[(u64, u64)]| {
            for &(from, to) in settled {
                meta.settle(from, to);
            }
            let mut value = Vec::new();
            meta.encode(&mut value);
            let read = ChunkMeta::decode(meta.first, &value).unwrap();
            assert_eq!((read.live, read.volume(), read.id), (meta.live, meta.volume(), meta.id));
            assert_eq!((read.span, read.log_bytes), (meta.span, meta.log_bytes));
        };
        let full: Vec<_> = (0..256).map(|position| (position, 7)).collect();
        check(chunk(&full).0, &[]);
        check(chunk(&full).0, &[(0, 255)]);
        check(chunk(&full).0, &[(3, 4), (64, 130)]);
        check(chunk(&[(u64::MAX - 300, 5)]).0, &[]);
        check(chunk(&[(7, 5), (9, 600)]).0, &[]);
        check(chunk(&[(7, 5), (9, 600), (10, 1)]).0, &[(7, 8)]);
    }

    #[test]
    fn an_index_entry_that_contradicts_itself_is_refused() {
        let (meta, _) = chunk(&[(7, 5), (9, 600)]);
        let mut value = Vec::new();
        meta.encode(&mut value);
        assert!(ChunkMeta::decode(7, &value).is_ok());
        assert!(ChunkMeta::decode(u64::MAX, &value).is_err(), "positions overflow");
        assert!(ChunkMeta::decode(7, &value[..value.len() - 1]).is_err(), "cut short");
        let changed = |index: usize, byte: u8| {
            let mut value = value.clone();
            value[index] = byte;
            ChunkMeta::decode(7, &value)
        };
        assert!(changed(0, 2).is_err(), "version");
        assert!(changed(1, 0xff).is_err(), "flags");
        value.push(0);
        assert!(ChunkMeta::decode(7, &value).is_err(), "too long");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(first: u64, mut value in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = ChunkMeta::decode(first, &value);
            for version in [None, Some(VERSION)] {
                if let (Some(version), false) = (version, value.is_empty()) {
                    value[0] = version;
                }
                if let Ok(meta) = ChunkMeta::decode(first, &value) {
                    let mut again = Vec::new();
                    meta.encode(&mut again);
                    prop_assert_eq!(ChunkMeta::decode(first, &again), Ok(meta));
                }
                if let Ok(mut reader) = ChunkReader::new(&value) {
                    while let Ok(Some(stored)) = reader.next() {
                        stored.to_message();
                    }
                }
            }
        }

        #[test]
        fn a_damaged_chunk_never_panics(at in 0usize..400, byte: u8) {
            let (_, mut value) = chunk(&[(1, 30), (2, 100), (9, 200)]);
            let at = at % value.len();
            value[at] = byte;
            if let Ok(mut reader) = ChunkReader::new(&value) {
                while let Ok(Some(stored)) = reader.next() {
                    stored.to_message();
                }
            }
        }
    }
}
