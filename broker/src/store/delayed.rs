//! Messages that wait for their time, in the order of their times: the family `delayed`.
//!
//! ```text
//! key     exchange uid:8  due ms:8  id:8
//! value   version:1  exchange len:1  routing key len:1  properties len: varint  exchange  routing key  properties  body
//! meta    00 'd' exchange uid:8                        version:1  messages:8  bytes of their bodies:8
//! ```
//!
//! One key per message: unlike in a queue neighbours come and go at different times, so chunks would only be rewritten.
//! The totals of an exchange are part of every batch that changes them; a start reads nothing else, clean or not.
//!
//! What crosses a crash: a message is put in the generation that its publisher's confirm waits for. When its time has
//! come it leaves here and enters its queues as a transfer, in one batch: a crash finds it here or there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use leveret_core::delayed::{Delayed, DelayedKey};
use leveret_core::message::{INLINE_BODY_MAX, Message};
use leveret_core::session::host::Ticket;

use super::chunk::{Damaged, Input, Volume, push_varint};
use super::commit::Shared;
use super::rocks::Rocks;
use super::{QueueUid, StoreError};

/// What a delayed exchange has for the next generation.
#[derive(Debug, Default)]
pub struct DelayedChanges {
    /// Everything stored so far goes, before anything is added.
    pub purge: bool,
    /// New messages, in any order.
    pub added: Vec<Delayed>,
    /// Messages that were stored, each named once, with the bytes of their bodies.
    pub removed: Vec<(DelayedKey, u64)>,
}

impl DelayedChanges {
    /// True when there is nothing to store.
    pub fn is_empty(&self) -> bool {
        !self.purge && self.added.is_empty() && self.removed.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.purge = false;
        self.added.clear();
        self.removed.clear();
    }
}

/// Asks for messages of a delayed exchange.
pub struct DelayedLoad {
    /// The exchange.
    pub uid: QueueUid,
    /// The first key wanted, and the one after the last.
    pub from: DelayedKey,
    pub upto: DelayedKey,
    /// Stop after so many messages, or so many bytes of them, whichever comes first.
    pub max_messages: usize,
    pub max_bytes: usize,
    /// What was handed in by then is taken into account.
    pub after: Ticket,
    /// Who gets them.
    pub sink: Arc<dyn DelayedSink>,
}

/// Receives delayed messages.
pub trait DelayedSink: Send + Sync {
    /// All messages from where the request began up to `next`, in order; `None` at the end. Called by a thread of the
    /// store, once; never when the store fails or stops.
    fn loaded(&self, messages: Vec<Delayed>, next: Option<DelayedKey>);
}

pub(super) const KEY_BYTES: usize = 24;

pub(super) fn encode_key(uid: QueueUid, key: DelayedKey) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    bytes[..8].copy_from_slice(&uid.to_be_bytes());
    bytes[8..16].copy_from_slice(&key.due_ms.to_be_bytes());
    bytes[16..].copy_from_slice(&key.id.to_be_bytes());
    bytes
}

fn decode_key(bytes: &[u8]) -> Option<DelayedKey> {
    let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let key = DelayedKey { due_ms: number(8)?, id: number(16)? };
    (bytes.len() == KEY_BYTES).then_some(key)
}

/// Keys of one exchange: the first possible one, and one above all of them.
pub(super) fn range_of(uid: QueueUid) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
    let end = match uid.checked_add(1) {
        Some(next) => encode_key(next, DelayedKey::FIRST),
        None => [0xff; KEY_BYTES],
    };
    (encode_key(uid, DelayedKey::FIRST), end)
}

pub(super) fn encode_message(message: &Message, out: &mut Vec<u8>) {
    let (exchange_len, routing_key_len, properties_len) = message.part_lens();
    out.clear();
    out.extend_from_slice(&[VERSION, exchange_len, routing_key_len]);
    push_varint(out, u64::from(properties_len));
    out.extend_from_slice(message.names_and_properties());
    out.extend_from_slice(message.body());
}

fn decode_message(value: &[u8]) -> Result<Message, Damaged> {
    let mut input = Input(value);
    let [version, exchange_len, routing_key_len] = *input.array::<3>()?;
    if version != VERSION {
        return Err(Damaged("unknown version of a delayed message"));
    }
    let properties_len = input.varint_u32()?;
    let parts = input.0;
    let body_start = usize::from(exchange_len) + usize::from(routing_key_len) + properties_len as usize;
    if parts.len() < body_start {
        return Err(Damaged("a delayed message is shorter than it says"));
    }
    Ok(if parts.len() - body_start <= INLINE_BODY_MAX {
        Message::from_parts(parts, exchange_len, routing_key_len, properties_len)
    } else {
        let (parts, body) = parts.split_at(body_start);
        let body = Bytes::copy_from_slice(body);
        Message::from_parts_and_body(parts, exchange_len, routing_key_len, properties_len, body)
    })
}

pub(super) fn encode_volume(volume: Volume) -> [u8; VOLUME_BYTES] {
    let mut value = [0; VOLUME_BYTES];
    value[0] = VERSION;
    value[1..9].copy_from_slice(&volume.messages.to_be_bytes());
    value[9..].copy_from_slice(&volume.bytes.to_be_bytes());
    value
}

pub(super) fn decode_volume(value: &[u8]) -> Option<Volume> {
    let value: &[u8; VOLUME_BYTES] = value.try_into().ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(value.get(at..at + 8)?.try_into().ok()?));
    (value[0] == VERSION).then_some(Volume { messages: number(1)?, bytes: number(9)? })
}

/// Serves a request.
pub(super) fn load(shared: &Shared, rocks: &Rocks, request: &DelayedLoad) -> Result<(), StoreError> {
    let (from, upto) = (encode_key(request.uid, request.from), encode_key(request.uid, request.upto));
    let mut scan = rocks.scan_values(rocks.delayed(), &from, &upto);
    let mut messages = Vec::new();
    let mut bytes = 0;
    let next = loop {
        let Some((key, value)) = scan.entry()? else { break None };
        let damaged = |why| StoreError::Damaged { what: format!("delayed message {key:02x?}"), why };
        let key = decode_key(key).ok_or_else(|| damaged("its key has another form"))?;
        if messages.len() >= request.max_messages || (bytes >= request.max_bytes && !messages.is_empty()) {
            break Some(key);
        }
        let message = decode_message(value).map_err(|error| damaged(error.0))?;
        bytes += message.memory_bytes();
        messages.push(Delayed { key, message });
        scan.advance();
    };
    shared.stats.messages_loaded.fetch_add(messages.len() as u64, Ordering::Relaxed);
    request.sink.loaded(messages, next);
    Ok(())
}

const VERSION: u8 = 1;
const VOLUME_BYTES: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_exchange_then_time_then_arrival() {
        let sorted = [
            (1, DelayedKey::FIRST),
            (1, DelayedKey { due_ms: 5, id: 9 }),
            (1, DelayedKey { due_ms: 6, id: 1 }),
            (1, DelayedKey { due_ms: 6, id: 2 }),
            (2, DelayedKey { due_ms: 1, id: 1 }),
        ];
        let encoded = sorted.map(|(uid, key)| encode_key(uid, key));
        assert!(encoded.is_sorted());
        for ((uid, key), bytes) in sorted.iter().zip(&encoded) {
            assert_eq!(decode_key(bytes), Some(*key));
            let (start, end) = range_of(*uid);
            assert!(start <= *bytes && *bytes < end);
        }
        assert_eq!(decode_key(&[0; 23]), None);
        assert_eq!(decode_key(&[0; 25]), None);
    }

    #[test]
    fn messages_come_back_and_damage_is_told() {
        for body in [b"small".to_vec(), vec![7; INLINE_BODY_MAX + 1]] {
            let message = Message::new("orders", "eu", &[0x10, 0, 2], &body);
            let mut value = Vec::new();
            encode_message(&message, &mut value);
            let again = decode_message(&value).unwrap();
            assert_eq!(again.names_and_properties(), message.names_and_properties());
            assert_eq!((again.body(), again.is_persistent()), (&body[..], true));
            assert!(decode_message(&value[..8]).is_err());
            value[0] = 9;
            assert!(decode_message(&value).is_err());
        }
        assert!(decode_message(&[]).is_err());
        let volume = Volume { messages: 3, bytes: 70 };
        assert_eq!(decode_volume(&encode_volume(volume)), Some(volume));
        assert_eq!(decode_volume(&[1; 5]), None);
    }
}
