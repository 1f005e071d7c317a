//! Map keys that are mostly short.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// Text as a map's key, inside the map's own memory when it is at most [`INLINE_MAX`] bytes.
///
/// A lookup in a large map waits for memory once for the map and once more for a key that is elsewhere; binding keys
/// and words are rarely so long. Compared and hashed as bytes, which look up by `str::as_bytes`.
#[derive(Debug)]
pub(crate) enum Key {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(Box<[u8]>),
}

pub(crate) const INLINE_MAX: usize = 22;

impl Key {
    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Key::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Key::Heap(bytes) => bytes,
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Key {
        let text = text.as_bytes();
        if text.len() > INLINE_MAX {
            return Key::Heap(text.into());
        }
        let mut bytes = [0; INLINE_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Key::Inline { len: text.len() as u8, bytes }
    }
}

impl Borrow<[u8]> for Key {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Hash for Key {
    #[inline]
    fn hash<S: Hasher>(&self, state: &mut S) {
        self.as_bytes().hash(state);
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Key) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;

    use super::*;

    #[test]
    fn short_and_long_keys_are_found_by_their_bytes() {
        assert_eq!(size_of::<Key>(), 24);
        let texts: Vec<String> = (0..60).map(|len| "x".repeat(len)).collect();
        let map: HashMap<Key, usize> =
            texts.iter().map(|text| (Key::from(text.as_str()), text.len())).collect();
        for text in &texts {
            assert_eq!(map.get(text.as_bytes()), Some(&text.len()));
        }
        assert_eq!(map.get(b"y".as_slice()), None);
    }
}
