//! Remembers which password was right, so that a thousand connections of one user cost one argon2 run.
//!
//! What is kept is a keyed hash over user, stored hash and password; the key is random per process and never leaves
//! it. A changed password changes the stored hash, so that an entry made before it cannot match any more, even when
//! nobody told the cache. Wrong passwords are not remembered: guessing stays slow.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::password::PasswordHash;

/// The passwords that were verified lately, one per user.
pub struct VerifiedCache {
    key: [u8; 32],
    entries: HashMap<String, [u8; 32]>,
    /// The users of `entries`, the one first verified in front; at the bound it makes room.
    order: VecDeque<String>,
    users_max: usize,
}

impl VerifiedCache {
    /// An empty cache for at most `users_max` users. `key` comes from the caller's random source.
    pub fn new(key: [u8; 32], users_max: usize) -> VerifiedCache {
        VerifiedCache { key, entries: HashMap::new(), order: VecDeque::new(), users_max }
    }

    /// Remembers that `password` is right for `user`, whose stored hash is `stored`.
    pub fn insert(&mut self, user: &str, stored: &PasswordHash, password: &[u8]) {
        if self.users_max == 0 {
            return;
        }
        let mark = self.mark(user, stored, password);
        if let Some(known) = self.entries.get_mut(user) {
            *known = mark;
            return;
        }
        if self.entries.len() >= self.users_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.entries.insert(user.to_owned(), mark);
        self.order.push_back(user.to_owned());
    }

    /// Drops what is known of `user`: the password changed or the user is gone.
    pub fn forget(&mut self, user: &str) {
        if self.entries.remove(user).is_some() {
            self.order.retain(|name| name != user);
        }
    }

    /// True when this very password was verified against this very hash before.
    pub fn contains(&self, user: &str, stored: &PasswordHash, password: &[u8]) -> bool {
        let Some(known) = self.entries.get(user) else { return false };
        self.mark(user, stored, password).ct_eq(known).into()
    }

    /// Number of users that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keyed inside and outside, after HMAC's construction. Lengths keep `ab` + `c` apart from `a` + `bc`.
    fn mark(&self, user: &str, stored: &PasswordHash, password: &[u8]) -> [u8; 32] {
        let mut inner = Sha256::new().chain_update([0x36]).chain_update(self.key);
        for part in [user.as_bytes(), stored.as_str().as_bytes(), password] {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        Sha256::new()
            .chain_update([0x5c])
            .chain_update(self.key)
            .chain_update(inner.finalize())
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> PasswordHash {
        PasswordHash::import("rabbit_password_hashing_sha256", text).expect("valid")
    }

    fn two_hashes() -> (PasswordHash, PasswordHash) {
        (
            hash("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
            hash("AAAAAS+u9wPMk06jbd9TR/8THqyPjfyNV8eNaWmxQyTyhU6b"),
        )
    }

    #[test]
    fn only_the_verified_password_of_that_user_is_known() {
        let (stored, other) = two_hashes();
        let mut cache = VerifiedCache::new([1; 32], 8);
        assert!(!cache.contains("anna", &stored, b"test12"));
        cache.insert("anna", &stored, b"test12");
        assert!(cache.contains("anna", &stored, b"test12"));
        assert!(!cache.contains("anna", &stored, b"test1"));
        assert!(!cache.contains("bert", &stored, b"test12"));
        assert!(!cache.contains("anna", &other, b"test12"), "the stored hash changed");
    }

    #[test]
    fn a_changed_password_replaces_the_entry_and_forget_removes_it() {
        let (old, new) = two_hashes();
        let mut cache = VerifiedCache::new([1; 32], 8);
        cache.insert("anna", &old, b"test12");
        cache.insert("anna", &new, b"guest");
        assert_eq!(cache.len(), 1);
        assert!(cache.contains("anna", &new, b"guest"));
        assert!(!cache.contains("anna", &old, b"test12"));
        cache.forget("anna");
        assert!(cache.is_empty());
    }

    #[test]
    fn at_the_bound_the_first_user_makes_room() {
        let (stored, _) = two_hashes();
        let mut cache = VerifiedCache::new([1; 32], 2);
        for user in ["a", "b", "c"] {
            cache.insert(user, &stored, b"test12");
        }
        assert_eq!(cache.len(), 2);
        assert!(!cache.contains("a", &stored, b"test12"));
        assert!(cache.contains("c", &stored, b"test12"));
        cache.forget("b");
        cache.insert("d", &stored, b"test12");
        cache.insert("e", &stored, b"test12");
        assert!(!cache.contains("c", &stored, b"test12"));
        assert!(cache.contains("e", &stored, b"test12"));
        let mut none = VerifiedCache::new([1; 32], 0);
        none.insert("a", &stored, b"test12");
        assert!(none.is_empty());
    }

    #[test]
    fn two_processes_keep_different_marks() {
        let (stored, _) = two_hashes();
        let marks = [1, 2].map(|key| VerifiedCache::new([key; 32], 1).mark("a", &stored, b"test12"));
        assert_ne!(marks[0], marks[1]);
        let cache = VerifiedCache::new([1; 32], 1);
        assert_ne!(cache.mark("ab", &stored, b"c"), cache.mark("a", &stored, b"bc"));
    }
}
