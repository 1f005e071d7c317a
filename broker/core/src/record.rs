//! What the core asks the shell to keep: an opaque key and value of the store's `meta` column family.
//!
//! Users, vhosts, exchanges, queues and bindings all describe their changes this way, so that the store writes one
//! batch for one change and reads everything back without knowing what it means. The first bytes of a key name the
//! kind of record (see the constants beside each machine); the first byte of a value is the version of its format.

/// One change to the stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Unique over all kinds of records.
    pub key: Vec<u8>,
    /// What to write; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

impl Record {
    /// Writes `value` under `key`.
    pub fn put(key: Vec<u8>, value: Vec<u8>) -> Record {
        Record { key, value: Some(value) }
    }

    /// Removes `key`.
    pub fn remove(key: Vec<u8>) -> Record {
        Record { key, value: None }
    }
}
