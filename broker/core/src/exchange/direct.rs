//! Direct exchanges: a binding matches when its key is the routing key.

use hashbrown::HashMap;

use super::id_set::IdSet;
use super::key::Key;

/// Binding keys and where they lead.
#[derive(Debug, Default)]
pub(crate) struct DirectMatcher {
    keys: HashMap<Key, IdSet>,
}

impl DirectMatcher {
    pub fn bind(&mut self, key: &str, target: u32) {
        self.keys.entry(key.into()).or_default().insert(target);
    }

    pub fn unbind(&mut self, key: &str, target: u32) {
        if let Some(targets) = self.keys.get_mut(key.as_bytes()) {
            targets.remove(target);
            if targets.is_empty() {
                self.keys.remove(key.as_bytes());
            }
        }
    }

    /// Appends the targets of one routing key, each once.
    #[inline]
    pub fn route(&self, key: &str, out: &mut Vec<u32>) {
        if let Some(targets) = self.keys.get(key.as_bytes()) {
            targets.append_to(out);
        }
    }
}
