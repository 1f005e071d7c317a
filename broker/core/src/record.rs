//! What the core asks the shell to keep: an opaque key and value of the store's `meta` column family.
//!
//! Users, vhosts, exchanges, queues and bindings all describe their changes this way, so that the store writes one
//! batch for one change and reads everything back without knowing what it means.
//!
//! ```text
//! key    kind '/' (length of name, 2 bytes ++ name)*      names may hold any byte, and keys of a kind stay together
//! value  version, 1 byte ++ JSON
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

/// One change to the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Unique over all kinds of records.
    pub key: Vec<u8>,
    /// What to write; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// Why a stored record cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Leveret.
    #[error("record '{key}' has version {version}, which this release does not know")]
    UnknownVersion { key: String, version: u8 },
    /// Damaged, or its content breaks a rule.
    #[error("record '{key}' is damaged: {reason}")]
    Damaged { key: String, reason: String },
}

impl Record {
    /// Writes `value` under `key`.
    pub fn put(key: Vec<u8>, value: Vec<u8>) -> Record {
        Record { key, value: Some(value) }
    }

    /// Writes `content` under `key` as JSON behind its version.
    pub fn put_json<T: Serialize>(key: Vec<u8>, version: u8, content: &T) -> Record {
        let mut value = vec![version];
        serde_json::to_writer(&mut value, content).expect("plain structs always serialise into memory");
        Record::put(key, value)
    }

    /// Removes `key`.
    pub fn remove(key: Vec<u8>) -> Record {
        Record { key, value: None }
    }
}

/// The key of the record of `kind` that `names` identify. Names are at most 64 KiB.
pub fn key(kind: &str, names: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(kind.len() + 1 + names.iter().map(|name| name.len() + 2).sum::<usize>());
    key.extend_from_slice(kind.as_bytes());
    key.push(b'/');
    for name in names {
        let len = u16::try_from(name.len()).expect("names are checked when they are given");
        key.extend_from_slice(&len.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key
}

/// True when `key` belongs to a record of `kind`.
pub fn is_kind(key: &[u8], kind: &str) -> bool {
    key.strip_prefix(kind.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Reads a value that [`Record::put_json`] wrote with this `version`.
pub fn read_json<T: DeserializeOwned>(key: &[u8], version: u8, value: &[u8]) -> Result<T, RecordError> {
    match value.split_first() {
        Some((&first, json)) if first == version => {
            serde_json::from_slice(json).map_err(|error| damaged(key, error))
        }
        Some((&first, _)) => Err(RecordError::UnknownVersion { key: printable(key), version: first }),
        None => Err(damaged(key, "it is empty")),
    }
}

/// A record whose content breaks a rule.
pub fn damaged(key: &[u8], reason: impl ToString) -> RecordError {
    RecordError::Damaged { key: printable(key), reason: reason.to_string() }
}

fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_names_never_meet() {
        assert_ne!(key("permission", &["ab", "c"]), key("permission", &["a", "bc"]));
        assert_eq!(key("user", &["a/b"]), b"user/\0\x03a/b");
        assert!(is_kind(&key("user", &["a"]), "user"));
        assert!(!is_kind(&key("user", &["a"]), "use"));
        assert!(!is_kind(b"user", "user"));
    }

    #[test]
    fn a_value_carries_its_version_and_reads_back() {
        let record = Record::put_json(key("k", &[]), 3, &vec!["x"]);
        let value = record.value.expect("written");
        assert_eq!(value, b"\x03[\"x\"]");
        assert_eq!(read_json::<Vec<String>>(&record.key, 3, &value), Ok(vec!["x".to_owned()]));
    }

    #[test]
    fn values_that_cannot_be_read_name_their_key() {
        let read = |value: &[u8]| {
            read_json::<Vec<String>>(b"k/\0\x01a", 1, value).expect_err("unreadable").to_string()
        };
        assert_eq!(read(b"\x02[]"), "record 'k/\\x00\\x01a' has version 2, which this release does not know");
        assert_eq!(read(b""), "record 'k/\\x00\\x01a' is damaged: it is empty");
        assert!(read(b"\x01[1").starts_with("record 'k/\\x00\\x01a' is damaged: "));
    }
}
