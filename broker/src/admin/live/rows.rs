//! Lists of whole objects: each with the tick at which it changed last.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_protocol::admin::operations::Operation;
use leveret_protocol::admin::{Channel, Connection, Consumer, Exchange, Rate};

use crate::admin::login::Visitor;

/// One list.
pub struct Rows<T> {
    rows: HashMap<Arc<str>, Row<T>>,
}

struct Row<T> {
    changed_at: u64,
    value: T,
}

impl<T> Default for Rows<T> {
    fn default() -> Rows<T> {
        Rows { rows: HashMap::new() }
    }
}

/// An object of a list.
pub trait Listed: PartialEq + Clone {
    /// Tells it from the others of its list, and is how its end is told.
    fn key(&self) -> String;
    /// Whose it is.
    fn scope(&self) -> Scope<'_>;
    /// Fills in how fast its counters rose.
    fn rates_since(&mut self, _before: &Self, _seconds: f64) {}
}

/// Who may see something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Empty for a connection that has not opened one.
    pub vhost: &'a str,
    /// Set for what belongs to a user and is seen by them only.
    pub user: Option<&'a str>,
}

/// Something that is gone, and was in this scope.
#[derive(Debug, Clone)]
pub struct Removed {
    pub key: Arc<str>,
    pub vhost: Box<str>,
    pub user: Option<Box<str>>,
}

impl Removed {
    pub fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: self.user.as_deref() }
    }
}

impl Scope<'_> {
    /// True when `visitor` may see it, and it is in the vhost that they want to see.
    pub fn is_seen(self, visitor: &Visitor, only: Option<&str>) -> bool {
        only.is_none_or(|only| only == self.vhost)
            && match self.user {
                Some(user) => visitor.sees_user(user),
                None => visitor.sees_vhost(self.vhost),
            }
    }
}

impl<T: Listed> Rows<T> {
    /// Takes in what is there now; what is not any more goes to `removed`.
    pub fn update(&mut self, tick: u64, seconds: f64, now: Vec<T>, removed: &mut Vec<Removed>) {
        let mut kept = HashMap::with_capacity(now.len());
        for mut value in now {
            let key = value.key();
            let (key, changed_at) = match self.rows.remove_entry(key.as_str()) {
                Some((key, before)) => {
                    value.rates_since(&before.value, seconds);
                    let changed_at = if before.value == value { before.changed_at } else { tick };
                    (key, changed_at)
                }
                None => (key.into(), tick),
            };
            kept.insert(key, Row { changed_at, value });
        }
        for (key, row) in std::mem::replace(&mut self.rows, kept) {
            let scope = row.value.scope();
            removed.push(Removed { key, vhost: scope.vhost.into(), user: scope.user.map(Into::into) });
        }
    }

    /// Keys of those that changed after `tick` and that `is_seen`.
    pub fn changed_after(&self, tick: u64, is_seen: impl Fn(Scope<'_>) -> bool) -> Vec<Arc<str>> {
        let changed = self.rows.iter().filter(|(_, row)| row.changed_at > tick && is_seen(row.value.scope()));
        changed.map(|(key, _)| key.clone()).collect()
    }

    /// One of them, unless it is gone.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key).map(|row| &row.value)
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.rows = HashMap::new();
    }
}

impl Listed for Exchange {
    fn key(&self) -> String {
        format!("{}\n{}", self.vhost, self.name)
    }

    fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: None }
    }

    fn rates_since(&mut self, before: &Exchange, seconds: f64) {
        if let (Some(now), Some(before)) = (&mut self.message_stats, &before.message_stats) {
            now.rates_since(before, seconds);
        }
    }
}

impl Listed for Connection {
    fn key(&self) -> String {
        self.name.clone()
    }

    fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: Some(&self.user) }
    }

    fn rates_since(&mut self, before: &Connection, seconds: f64) {
        let rate = |now: u64, before: u64| Rate::new(now.saturating_sub(before) as f64 / seconds);
        self.recv_oct_details = rate(self.recv_oct, before.recv_oct);
        self.send_oct_details = rate(self.send_oct, before.send_oct);
    }
}

impl Listed for Channel {
    fn key(&self) -> String {
        self.name.clone()
    }

    fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: Some(&self.user) }
    }

    fn rates_since(&mut self, before: &Channel, seconds: f64) {
        self.message_stats.rates_since(&before.message_stats, seconds);
    }
}

impl Listed for Consumer {
    fn key(&self) -> String {
        format!("{}\n{}", self.channel_details.name, self.consumer_tag)
    }

    fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.queue.vhost, user: None }
    }
}

impl Listed for Operation {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn scope(&self) -> Scope<'_> {
        Scope { vhost: &self.vhost, user: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(name: &str, recv_oct: u64) -> Connection {
        Connection { name: name.to_owned(), user: "u".to_owned(), recv_oct, ..Connection::default() }
    }

    #[test]
    fn rows_remember_when_they_changed_and_what_is_gone() {
        let mut rows = Rows::default();
        let mut removed = Vec::new();
        let names = |rows: &Rows<Connection>, tick| {
            let mut keys = rows.changed_after(tick, |_| true);
            keys.sort();
            keys.iter().map(|key| key.to_string()).collect::<Vec<_>>()
        };
        rows.update(1, 1.0, vec![connection("a", 0), connection("b", 0)], &mut removed);
        assert_eq!(names(&rows, 0), ["a", "b"]);
        rows.update(2, 2.0, vec![connection("a", 100), connection("b", 0)], &mut removed);
        assert_eq!(names(&rows, 1), ["a"]);
        let rate = rows.get("a").map(|row| row.recv_oct_details.per_second());
        assert_eq!((rate, removed.len()), (Some(50.0), 0));
        // Nothing more comes: the rate falls, which is a change, once.
        rows.update(3, 1.0, vec![connection("a", 100)], &mut removed);
        assert_eq!(names(&rows, 2), ["a"]);
        assert_eq!((removed.len(), &*removed[0].key, removed[0].scope().user), (1, "b", Some("u")));
        rows.update(4, 1.0, vec![connection("a", 100)], &mut removed);
        assert_eq!(names(&rows, 3), Vec::<String>::new());
        assert_eq!(rows.changed_after(0, |scope| scope.user == Some("x")).len(), 0);
    }
}
