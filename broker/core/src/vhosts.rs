//! Vhosts as such: names, descriptions and settings. What lives inside one is its topology.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::record::{self, Record, RecordError};

/// All vhosts of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vhosts {
    vhosts: BTreeMap<String, Vhost>,
}

/// One vhost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vhost {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// For people and tools; none has a meaning here.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The type of queues that are declared without `x-queue-type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<DefaultQueueType>,
    #[serde(default)]
    pub limits: VhostLimits,
    /// When set, deleting it is refused.
    #[serde(default)]
    pub protected_from_deletion: bool,
}

/// How much a vhost may hold; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VhostLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queues: Option<u64>,
}

/// A queue type that a vhost can make its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultQueueType {
    Classic,
    Quorum,
    Stream,
}

/// Why a change was refused; nothing changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VhostsError {
    #[error("vhost name must have 1 to 255 bytes")]
    InvalidName,
    #[error("vhost '{0}' does not exist")]
    NoSuchVhost(String),
    #[error("vhost '{0}' is protected from deletion")]
    Protected(String),
}

impl Vhosts {
    /// Reads vhosts back from stored keys and values; records of other kinds are skipped.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vhosts, RecordError> {
        let mut vhosts = Vhosts::default();
        for (key, value) in records {
            if record::is_kind(key.as_ref(), KIND) {
                let vhost: Vhost = record::read_json(key.as_ref(), VERSION, value.as_ref())?;
                vhosts.vhosts.insert(vhost.name.clone(), vhost);
            }
        }
        Ok(vhosts)
    }

    /// Creates a vhost, or changes the settings of one that exists.
    pub fn put(&mut self, vhost: Vhost) -> Result<Vec<Record>, VhostsError> {
        if vhost.name.is_empty() || vhost.name.len() > NAME_BYTES_MAX {
            return Err(VhostsError::InvalidName);
        }
        let record = Record::put_json(record::key(KIND, &[&vhost.name]), VERSION, &vhost);
        self.vhosts.insert(vhost.name.clone(), vhost);
        Ok(vec![record])
    }

    /// Deletes a vhost. What lived in it and who had rights in it is for the caller to clear.
    pub fn delete(&mut self, name: &str) -> Result<Vec<Record>, VhostsError> {
        let vhost = self.vhosts.get(name).ok_or_else(|| VhostsError::NoSuchVhost(name.to_owned()))?;
        if vhost.protected_from_deletion {
            return Err(VhostsError::Protected(name.to_owned()));
        }
        self.vhosts.remove(name);
        Ok(vec![Record::remove(record::key(KIND, &[name]))])
    }

    /// A vhost by name.
    pub fn get(&self, name: &str) -> Option<&Vhost> {
        self.vhosts.get(name)
    }

    /// Whether a connection may open `name`, as far as its existence goes.
    pub fn check_exists(&self, name: &str) -> Result<(), Fault> {
        if self.vhosts.contains_key(name) {
            return Ok(());
        }
        Err(Fault::not_allowed(format!("vhost {name} not found")))
    }

    /// All vhosts, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Vhost> {
        self.vhosts.values()
    }

    /// True when the first vhost has yet to be created.
    pub fn is_empty(&self) -> bool {
        self.vhosts.is_empty()
    }
}

impl Vhost {
    /// A vhost without settings.
    pub fn new(name: &str) -> Vhost {
        Vhost { name: name.to_owned(), ..Vhost::default() }
    }
}

impl DefaultQueueType {
    /// The name in `x-queue-type`.
    pub fn name(self) -> &'static str {
        match self {
            DefaultQueueType::Classic => "classic",
            DefaultQueueType::Quorum => "quorum",
            DefaultQueueType::Stream => "stream",
        }
    }
}

const KIND: &str = "vhost";
const VERSION: u8 = 1;
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn eu() -> Vhost {
        Vhost {
            description: "orders of Europe".to_owned(),
            tags: vec!["production".to_owned()],
            default_queue_type: Some(DefaultQueueType::Quorum),
            limits: VhostLimits { max_connections: Some(10), max_queues: None },
            ..Vhost::new("eu")
        }
    }

    fn restore(records: Vec<Record>) -> Result<Vhosts, RecordError> {
        Vhosts::restore(records.into_iter().filter_map(|record| Some((record.key, record.value?))))
    }

    #[test]
    fn stored_vhosts_come_back_as_they_were() {
        let mut vhosts = Vhosts::default();
        assert!(vhosts.is_empty());
        let mut records = vhosts.put(Vhost::new("/")).expect("valid");
        records.extend(vhosts.put(eu()).expect("valid"));
        assert_eq!(restore(records), Ok(vhosts.clone()));
        assert_eq!(vhosts.get("eu"), Some(&eu()));
        assert_eq!(vhosts.iter().map(|vhost| vhost.name.as_str()).collect::<Vec<_>>(), ["/", "eu"]);
    }

    #[test]
    fn the_stored_format_stays_readable() {
        let records: [(&[u8], &[u8]); 3] = [
            (b"vhosts-of-another-kind/", b""),
            (b"vhost/\0\x01/", b"\x01{\"name\":\"/\"}"),
            (
                b"vhost/\0\x02eu",
                b"\x01{\"name\":\"eu\",\"description\":\"orders of Europe\",\"tags\":[\"production\"],\
                  \"default_queue_type\":\"quorum\",\"limits\":{\"max-connections\":10},\
                  \"protected_from_deletion\":false}",
            ),
        ];
        let vhosts = Vhosts::restore(records).expect("readable");
        assert_eq!(vhosts.get("/"), Some(&Vhost::new("/")));
        assert_eq!(vhosts.get("eu"), Some(&eu()));
        assert_eq!(Vhosts::default().put(eu()).expect("valid")[0].value.as_deref(), Some(records[2].1));
        assert!(Vhosts::restore([(b"vhost/\0\x01/", b"\x09{}")]).is_err());
        assert!(Vhosts::restore([(b"vhost/\0\x01/", b"\x01{}")]).is_err());
    }

    #[test]
    fn a_missing_vhost_is_named() {
        let mut vhosts = Vhosts::default();
        vhosts.put(Vhost::new("/")).expect("valid");
        assert_eq!(vhosts.check_exists("/"), Ok(()));
        assert_eq!(vhosts.check_exists("foo"), Err(Fault::not_allowed("vhost foo not found")));
    }

    #[test]
    fn deleting_removes_the_record_unless_protected() {
        let mut vhosts = Vhosts::default();
        vhosts.put(Vhost { protected_from_deletion: true, ..eu() }).expect("valid");
        assert_eq!(vhosts.delete("eu"), Err(VhostsError::Protected("eu".to_owned())));
        vhosts.put(eu()).expect("valid");
        assert_eq!(vhosts.delete("eu"), Ok(vec![Record::remove(b"vhost/\0\x02eu".to_vec())]));
        assert_eq!(vhosts.delete("eu"), Err(VhostsError::NoSuchVhost("eu".to_owned())));
        assert_eq!(vhosts.put(Vhost::new("")), Err(VhostsError::InvalidName));
        assert_eq!(vhosts.put(Vhost::new(&"v".repeat(256))), Err(VhostsError::InvalidName));
    }
}
