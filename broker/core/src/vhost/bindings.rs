//! The bindings of a vhost: each once, found by what it says and by its number.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::exchange::Target;

/// A binding between two indices.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Index of the exchange that it leads from.
    pub source: u32,
    pub target: Target,
    pub routing_key: Box<str>,
    /// Entries of a field table, sorted by name.
    pub arguments: Box<[u8]>,
    /// Where its number is in the source's list.
    pub at_source: u32,
    /// Where its number is in the target's list.
    pub at_target: u32,
}

pub(crate) type BindingId = u32;

/// All bindings but those of the default exchange, which are not kept: they follow from the queues' names.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    slots: Vec<Option<Bound>>,
    free: Vec<BindingId>,
    by_content: HashTable<BindingId>,
    hasher: DefaultHashBuilder,
}

impl Bindings {
    /// The binding must not exist.
    pub fn insert(&mut self, bound: Bound) -> BindingId {
        let hash = self.hash(bound.source, bound.target, &bound.routing_key, &bound.arguments);
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as BindingId - 1
        });
        self.slots[id as usize] = Some(bound);
        let Bindings { slots, by_content, hasher, .. } = self;
        by_content.insert_unique(hash, id, |&id| match &slots[id as usize] {
            Some(bound) => {
                hash_content(hasher, bound.source, bound.target, &bound.routing_key, &bound.arguments)
            }
            None => 0,
        });
        id
    }

    pub fn remove(&mut self, id: BindingId) -> Option<Bound> {
        let bound = self.slots.get_mut(id as usize)?.take()?;
        let hash = self.hash(bound.source, bound.target, &bound.routing_key, &bound.arguments);
        if let Ok(entry) = self.by_content.find_entry(hash, |&found| found == id) {
            entry.remove();
        }
        self.free.push(id);
        Some(bound)
    }

    pub fn find(
        &self,
        source: u32,
        target: Target,
        routing_key: &str,
        arguments: &[u8],
    ) -> Option<BindingId> {
        let hash = self.hash(source, target, routing_key, arguments);
        let is_same = |&id: &BindingId| {
            self.get(id).is_some_and(|bound| {
                bound.source == source
                    && bound.target == target
                    && *bound.routing_key == *routing_key
                    && *bound.arguments == *arguments
            })
        };
        self.by_content.find(hash, is_same).copied()
    }

    pub fn get(&self, id: BindingId) -> Option<&Bound> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: BindingId) -> Option<&mut Bound> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    pub fn len(&self) -> usize {
        self.by_content.len()
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Bound> {
        self.slots.iter().flatten()
    }

    fn hash(&self, source: u32, target: Target, routing_key: &str, arguments: &[u8]) -> u64 {
        hash_content(&self.hasher, source, target, routing_key, arguments)
    }
}

fn hash_content(
    hasher: &DefaultHashBuilder,
    source: u32,
    target: Target,
    routing_key: &str,
    arguments: &[u8],
) -> u64 {
    hasher.hash_one((source, target, routing_key, arguments))
}
