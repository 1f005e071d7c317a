//! Answers of the broker, by query.
//!
//! [`Store::read`] gives what is known and notes that it is wanted. After each frame [`Store::take_wanted`] tells what
//! was wanted in it: that is what the network thread polls. What nobody has wanted for a while is let go.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::Millis;
use crate::query::{AnyQuery, Query, Value};
use crate::remote::{Problem, Remote};

/// Answers that nobody has looked at for this long are forgotten.
const KEPT_MS: Millis = 10 * 60 * 1_000;

/// Answers kept at most, beside those that are wanted now.
const KEPT_MAX: usize = 64;

struct Entry {
    remote: Remote<Value>,
    wanted_at: Millis,
}

/// What is known of a query.
#[derive(Debug)]
pub struct Answer<T> {
    pub value: Option<Arc<T>>,
    remote: Remote<Value>,
}

impl<T> Answer<T> {
    pub fn problem(&self) -> Option<&Problem> {
        self.remote.problem()
    }

    pub fn version(&self) -> u64 {
        self.remote.version()
    }

    pub fn arrived_at(&self) -> Millis {
        self.remote.arrived_at()
    }

    pub fn is_pending(&self) -> bool {
        self.remote.is_pending()
    }

    pub fn first_load(&self, now: Millis) -> Option<Millis> {
        self.remote.first_load(now)
    }

    pub fn stale(&self, now: Millis) -> Option<Millis> {
        self.remote.stale(now)
    }

    pub fn waiting(&self, now: Millis) -> Option<Millis> {
        self.remote.waiting(now)
    }

    /// The value, or an empty one.
    pub fn or_default(&self) -> Arc<T>
    where
        T: Default,
    {
        self.value.clone().unwrap_or_default()
    }
}

/// Answers of the broker, by query.
#[derive(Default)]
pub struct Store {
    entries: HashMap<String, Entry>,
    /// What this frame has asked for, in order.
    wanted: RefCell<Vec<AnyQuery>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// What is known of `query`, which is thereby wanted.
    pub fn read<T: Any + Send + Sync>(&self, query: &Query<T>) -> Answer<T> {
        let mut wanted = self.wanted.borrow_mut();
        if query.period_ms.is_some() && !wanted.iter().any(|wanted| wanted.key == query.key) {
            wanted.push(query.into());
        }
        drop(wanted);
        self.peek(&query.key)
    }

    /// What is known under `key`, wanted or not.
    pub fn peek<T: Any + Send + Sync>(&self, key: &str) -> Answer<T> {
        let Some(entry) = self.entries.get(key) else {
            return Answer { value: None, remote: Remote::default() };
        };
        let value = entry.remote.value().and_then(|value| Value::clone(value).downcast::<T>().ok());
        Answer { value, remote: entry.remote.clone() }
    }

    /// What was wanted since this was last called.
    pub fn take_wanted(&mut self, now: Millis) -> Vec<AnyQuery> {
        let wanted = self.wanted.take();
        for query in &wanted {
            self.entry(&query.key, now).wanted_at = now;
        }
        if self.entries.len() > KEPT_MAX + wanted.len() {
            self.entries.retain(|_, entry| now.saturating_sub(entry.wanted_at) < KEPT_MS);
        }
        while self.entries.len() > KEPT_MAX + wanted.len() {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.wanted_at);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            self.entries.remove(&key);
        }
        wanted
    }

    pub fn begin(&mut self, key: &str, now: Millis) {
        self.entry(key, now).remote.begin(now);
    }

    pub fn complete(&mut self, key: &str, value: Value, now: Millis) {
        self.entry(key, now).remote.complete(Arc::new(value), now);
    }

    /// The answer is what it was.
    pub fn confirm(&mut self, key: &str, now: Millis) {
        self.entry(key, now).remote.confirm(now);
    }

    /// The answers under keys that `which` names were still true then.
    pub fn held_until(&mut self, then: Millis, which: impl Fn(&str) -> bool) {
        for (_, entry) in self.entries.iter_mut().filter(|(key, _)| which(key)) {
            entry.remote.held_until(then);
        }
    }

    /// Changes an answer in place where nobody else holds it, and a copy of it otherwise. Without an answer it begins
    /// with an empty one.
    pub fn update<T: Any + Clone + Default + Send + Sync>(
        &mut self,
        query: &Query<T>,
        now: Millis,
        change: impl FnOnce(&mut T),
    ) {
        let remote = &mut self.entry(&query.key, now).remote;
        let value =
            remote.take().map(|value| Arc::try_unwrap(value).unwrap_or_else(|held| Value::clone(&held)));
        let mut value = value.and_then(|value| value.downcast::<T>().ok()).unwrap_or_default();
        change(Arc::make_mut(&mut value));
        remote.complete(Arc::new(value), now);
    }

    /// How often the answer under `key` has changed.
    pub fn version(&self, key: &str) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.remote.version())
    }

    pub fn fail(&mut self, key: &str, problem: Problem, now: Millis) {
        self.entry(key, now).remote.fail(problem);
    }

    /// Forgets one answer: a dialog that opens again does not show what the last one got.
    pub fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Forgets all: another broker.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.wanted.take();
    }

    /// Puts a value in place of an answer.
    pub fn put<T: Any + Send + Sync>(&mut self, query: &Query<T>, value: T, now: Millis) {
        self.complete(&query.key, Arc::new(value), now);
    }

    fn entry(&mut self, key: &str, now: Millis) -> &mut Entry {
        if !self.entries.contains_key(key) {
            self.entries.insert(key.to_owned(), Entry { remote: Remote::default(), wanted_at: now });
        }
        self.entries.get_mut(key).expect("it was just put there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query;
    use crate::remote::ProblemKind;

    #[test]
    fn what_is_read_is_wanted_once_and_what_is_not_read_is_not() {
        let mut store = Store::default();
        assert!(store.read(&query::nodes()).value.is_none());
        store.read(&query::nodes());
        store.read(&query::queues());
        let keys: Vec<String> = store.take_wanted(0).into_iter().map(|query| query.key).collect();
        assert_eq!(keys, ["/api/nodes", "/api/queues"]);
        assert!(store.take_wanted(0).is_empty());
    }

    #[test]
    fn a_value_stays_beside_the_problem_of_its_next_fetch() {
        let mut store = Store::default();
        store.put(&query::nodes(), vec![], 5);
        store.fail("/api/nodes", Problem::new(ProblemKind::Server, "", "500"), 9);
        let answer = store.read(&query::nodes());
        assert!(answer.value.is_some());
        assert_eq!((answer.stale(15), answer.version()), (Some(10), 1));
    }

    #[test]
    fn what_nobody_wants_is_forgotten_in_the_end() {
        let mut store = Store::default();
        for name in 0..200 {
            store.put(&query::queue("/", &name.to_string()), Default::default(), name);
        }
        store.read(&query::queue("/", "7"));
        store.take_wanted(1_000);
        assert!(store.entries.len() <= KEPT_MAX + 1, "{}", store.entries.len());
        assert!(store.peek::<leveret_protocol::admin::Queue>("/api/queues/%2F/7").value.is_some());
        assert!(store.peek::<leveret_protocol::admin::Queue>("/api/queues/%2F/0").value.is_none());
    }

    #[test]
    fn an_answer_of_another_type_is_none() {
        let mut store = Store::default();
        store.put(&query::nodes(), vec![], 5);
        assert!(store.peek::<String>("/api/nodes").value.is_none());
    }
}
