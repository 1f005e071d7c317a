//! How often messages were returned, and when they are ready again: the family `returned`.
//!
//! ```text
//! key     queue uid:8  lane:1  position:8
//! value   version:1  returns: varint  ready at ms: varint, 0 for at once
//! ```
//!
//! Only messages that came back have an entry, written over at each return and removed when the message is settled. The
//! commit thread knows which there are, so that settling reads nothing; a start reads all of them, which are few and
//! small beside the messages.

use std::collections::BTreeSet;
use std::ops::Range;

use super::chunk::{Damaged, Input, push_varint};
use super::rocks::Rocks;
use super::{Loaded, QueueUid, StoreError};

/// What is known of a message that was returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    pub lane: u8,
    pub position: u64,
    /// How often.
    pub returns: u32,
    /// Milliseconds since the epoch, 0 for at once.
    pub ready_at_ms: u64,
}

/// Messages of one queue that were returned, by lane and position.
pub(super) type Places = BTreeSet<(u8, u64)>;

pub(super) const KEY_BYTES: usize = 17;

pub(super) fn encode_key(uid: QueueUid, lane: u8, position: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&uid.to_be_bytes());
    key[8] = lane;
    key[9..].copy_from_slice(&position.to_be_bytes());
    key
}

fn decode_key(key: &[u8]) -> Option<(QueueUid, u8, u64)> {
    let key: &[u8; KEY_BYTES] = key.try_into().ok()?;
    let uid = u64::from_be_bytes(key[..8].try_into().ok()?);
    Some((uid, key[8], u64::from_be_bytes(key[9..].try_into().ok()?)))
}

/// Keys of one queue: the first possible one, and one above all of them.
pub(super) fn range_of(uid: QueueUid) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
    let end = uid.checked_add(1).map_or([0xff; KEY_BYTES], |next| encode_key(next, 0, 0));
    (encode_key(uid, 0, 0), end)
}

pub(super) fn encode(returned: &Returned, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    push_varint(out, u64::from(returned.returns));
    push_varint(out, returned.ready_at_ms);
}

fn decode(value: &[u8]) -> Result<(u32, u64), Damaged> {
    let mut input = Input(value);
    if *input.array::<1>()? != [VERSION] {
        return Err(Damaged("unknown version of a return"));
    }
    Ok((input.varint_u32()?, input.varint()?))
}

/// Walks all entries in a range of keys.
pub(super) fn walk(
    rocks: &Rocks,
    start: &[u8],
    end: &[u8],
    mut each: impl FnMut(QueueUid, Returned),
) -> Result<(), StoreError> {
    let mut scan = rocks.scan_values(rocks.returned(), start, end);
    while let Some((key, value)) = scan.entry()? {
        let damaged = |why| StoreError::Damaged { what: format!("return {key:02x?}"), why };
        let (uid, lane, position) = decode_key(key).ok_or_else(|| damaged("its key has another form"))?;
        let (returns, ready_at_ms) = decode(value).map_err(|error| damaged(error.0))?;
        each(uid, Returned { lane, position, returns, ready_at_ms });
        scan.advance();
    }
    Ok(())
}

/// Adds to messages of a lane, sorted by position, how often they were returned.
pub(super) fn annotate(
    rocks: &Rocks,
    uid: QueueUid,
    lane: u8,
    positions: Range<u64>,
    messages: &mut [Loaded],
) -> Result<(), StoreError> {
    let (start, end) = (encode_key(uid, lane, positions.start), encode_key(uid, lane, positions.end));
    walk(rocks, &start, &end, |_, returned| {
        if let Ok(at) = messages.binary_search_by_key(&returned.position, |loaded| loaded.position) {
            messages[at].returns = returned.returns;
            messages[at].ready_at_ms = returned.ready_at_ms;
        }
    })
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_damage_is_told() {
        let returned = Returned { lane: 3, position: 1 << 40, returns: 500, ready_at_ms: 1_700_000_000_000 };
        let mut value = Vec::new();
        encode(&returned, &mut value);
        assert_eq!(decode(&value).unwrap(), (500, 1_700_000_000_000));
        assert!(decode(&value[..2]).is_err());
        assert!(decode(&[9, 1, 1]).is_err());
        let key = encode_key(7, 3, 1 << 40);
        assert_eq!(decode_key(&key), Some((7, 3, 1 << 40)));
        assert_eq!(decode_key(&key[1..]), None);
        let (start, end) = range_of(7);
        assert!(start <= key && key < end && end <= encode_key(8, 0, 0));
    }
}
