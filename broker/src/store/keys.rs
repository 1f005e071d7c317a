//! The keys of the column families. Integers are big-endian, so that keys sort as the numbers do.
//!
//! ```text
//! meta   00 'e'                                   the boot epoch
//!        00 'c'                                   present after a clean shutdown
//!        00 'q' uid:8 lane:1                      state of one lane of a queue
//!        00 'x' start of a range of idx:18        a range that is being deleted in the background
//!        00 'd' exchange uid:8                        how much a delayed exchange holds
//!        anything else                            records of the broker, opaque here
//! idx    uid:8 lane:1 kind:1 first position:8     one chunk of messages
//! log    chunk id:8                               the chunk's messages
//! delayed                                         see `delayed`
//! returned                                        see `returned`
//! ```

use super::QueueUid;

/// First byte of the keys in `meta` that belong to the store; the broker's own begin with a letter.
pub(super) const OWN_META_PREFIX: u8 = 0;
/// Holds the boot epoch, the upper bits of chunk ids.
pub(super) const EPOCH: &[u8] = &[OWN_META_PREFIX, b'e'];
/// Written last by a clean shutdown, removed first by the next start.
pub(super) const CLEAN: &[u8] = &[OWN_META_PREFIX, b'c'];

const LANE_STATE: u8 = b'q';
const DOOMED: u8 = b'x';
const DELAYED: u8 = b'd';

/// Bytes of a chunk id that count chunks of one boot; the boot epoch is above them.
pub(super) const CHUNK_COUNTER_BITS: u32 = 40;

/// What a chunk's messages are to a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Survive it.
    Persistent = 0,
    /// Were only put aside to save memory: dropped by it.
    Transient = 1,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            0 => Some(Kind::Persistent),
            1 => Some(Kind::Transient),
            _ => None,
        }
    }
}

/// Where a chunk of messages is in a queue: a key of `idx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdxKey {
    pub uid: QueueUid,
    pub lane: u8,
    pub kind: Kind,
    /// Position of the chunk's first message.
    pub first: u64,
}

pub(super) const IDX_KEY_BYTES: usize = 18;
/// A range of `idx`: first key, and the key after the last.
pub(super) type IdxRange = ([u8; IDX_KEY_BYTES], [u8; IDX_KEY_BYTES]);

impl IdxKey {
    pub(super) fn encode(self) -> [u8; IDX_KEY_BYTES] {
        let mut key = [0; IDX_KEY_BYTES];
        key[..8].copy_from_slice(&self.uid.to_be_bytes());
        key[8] = self.lane;
        key[9] = self.kind as u8;
        key[10..].copy_from_slice(&self.first.to_be_bytes());
        key
    }

    pub(super) fn decode(key: &[u8]) -> Option<IdxKey> {
        let key: &[u8; IDX_KEY_BYTES] = key.try_into().ok()?;
        Some(IdxKey {
            uid: u64_at(key, 0)?,
            lane: key[8],
            kind: Kind::from_byte(key[9])?,
            first: u64_at(key, 10)?,
        })
    }
}

/// The first possible key of a queue.
pub(super) fn queue_start(uid: QueueUid) -> [u8; IDX_KEY_BYTES] {
    IdxKey { uid, lane: 0, kind: Kind::Persistent, first: 0 }.encode()
}

/// A key above all of a queue and below all of the next one.
pub(super) fn queue_end(uid: QueueUid) -> [u8; IDX_KEY_BYTES] {
    match uid.checked_add(1) {
        Some(next) => queue_start(next),
        None => [0xff; IDX_KEY_BYTES],
    }
}

/// A key above all chunks of one kind in a lane.
pub(super) fn kind_end(uid: QueueUid, lane: u8, kind: Kind) -> [u8; IDX_KEY_BYTES] {
    let mut key = IdxKey { uid, lane, kind, first: 0 }.encode();
    key[9] += 1;
    key
}

pub(super) fn lane_state(uid: QueueUid, lane: u8) -> [u8; 11] {
    let mut key = [0; 11];
    key[0] = OWN_META_PREFIX;
    key[1] = LANE_STATE;
    key[2..10].copy_from_slice(&uid.to_be_bytes());
    key[10] = lane;
    key
}

pub(super) fn decode_lane_state(key: &[u8]) -> Option<(QueueUid, u8)> {
    match key {
        [OWN_META_PREFIX, LANE_STATE, uid @ .., lane] => {
            Some((u64::from_be_bytes(uid.try_into().ok()?), *lane))
        }
        _ => None,
    }
}

pub(super) fn doomed(start: &[u8; IDX_KEY_BYTES]) -> [u8; 2 + IDX_KEY_BYTES] {
    let mut key = [0; 2 + IDX_KEY_BYTES];
    key[0] = OWN_META_PREFIX;
    key[1] = DOOMED;
    key[2..].copy_from_slice(start);
    key
}

pub(super) fn decode_doomed(key: &[u8]) -> Option<[u8; IDX_KEY_BYTES]> {
    match key {
        [OWN_META_PREFIX, DOOMED, start @ ..] => start.try_into().ok(),
        _ => None,
    }
}

pub(super) fn delayed(uid: QueueUid) -> [u8; 10] {
    let mut key = [0; 10];
    key[0] = OWN_META_PREFIX;
    key[1] = DELAYED;
    key[2..].copy_from_slice(&uid.to_be_bytes());
    key
}

pub(super) fn decode_delayed(key: &[u8]) -> Option<QueueUid> {
    match key {
        [OWN_META_PREFIX, DELAYED, uid @ ..] => Some(u64::from_be_bytes(uid.try_into().ok()?)),
        _ => None,
    }
}

pub(super) fn decode_chunk_id(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// The big-endian number at `offset`.
fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_by_queue_lane_kind_position() {
        let key = |uid, lane, kind, first| IdxKey { uid, lane, kind, first };
        let sorted = [
            key(1, 0, Kind::Persistent, 0),
            key(1, 0, Kind::Persistent, 256),
            key(1, 0, Kind::Transient, 5),
            key(1, 255, Kind::Transient, u64::MAX),
            key(2, 0, Kind::Persistent, 1),
            key(u64::MAX, 255, Kind::Transient, u64::MAX),
        ];
        assert!(sorted.windows(2).all(|pair| pair[0].encode() < pair[1].encode()));
        for key in sorted {
            assert_eq!(IdxKey::decode(&key.encode()), Some(key));
            assert!(key.encode() >= queue_start(key.uid));
            assert!(key.encode() < queue_end(key.uid));
            assert!(key.encode() < kind_end(key.uid, key.lane, key.kind));
        }
    }

    #[test]
    fn own_meta_keys_come_back_and_are_told_apart() {
        assert_eq!(decode_lane_state(&lane_state(77, 3)), Some((77, 3)));
        let start = queue_start(9);
        assert_eq!(decode_doomed(&doomed(&start)), Some(start));
        assert_eq!(decode_lane_state(&doomed(&start)), None);
        assert_eq!(decode_doomed(&lane_state(77, 3)), None);
        assert_eq!(decode_lane_state(EPOCH), None);
        assert_eq!(decode_lane_state(b"queue"), None);
    }

    #[test]
    fn keys_of_another_length_or_kind_are_refused() {
        assert_eq!(IdxKey::decode(&[0; 17]), None);
        assert_eq!(IdxKey::decode(&[0; 19]), None);
        assert_eq!(IdxKey::decode(&[9; 18]), None);
        assert_eq!(decode_chunk_id(&[1, 2, 3]), None);
    }
}
