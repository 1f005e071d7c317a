//! When which queue or delayed exchange has to be looked at: messages that expire or become due, queues that nobody
//! uses.
//!
//! A queue is noted here with the earliest moment at which something of it is over, when that is earlier than what it
//! is noted with already; a queue where nothing ever expires is never noted. Notes that were overtaken stay until
//! their moment comes and are passed over then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::delayed::DelayedExchange;
use crate::queue_host::QueueCell;

/// The queues that wait for a moment, earliest first. The lock is a leaf.
#[derive(Default)]
pub struct Deadlines {
    notes: Mutex<BinaryHeap<Reverse<Note>>>,
    changed: Notify,
}

/// A moment, and what to look at then.
#[derive(Debug)]
pub struct Note {
    pub at_ms: u64,
    pub whose: Whose,
}

/// What can wait for a moment.
#[derive(Debug)]
pub enum Whose {
    Queue(Weak<QueueCell>),
    Delayed(Weak<DelayedExchange>),
}

impl Deadlines {
    /// Notes a queue. True when it is the earliest now: then call [`Deadlines::wake`], without a lock.
    pub fn add(&self, note: Note) -> bool {
        let mut notes = self.notes.lock();
        let is_earliest = notes.peek().is_none_or(|Reverse(first)| note.at_ms < first.at_ms);
        notes.push(Reverse(note));
        is_earliest
    }

    /// Lets [`Deadlines::wait`] look again.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Takes out what is due.
    pub fn take_due(&self, now_ms: u64) -> Vec<Note> {
        let mut notes = self.notes.lock();
        let mut due = Vec::new();
        while notes.peek().is_some_and(|Reverse(first)| first.at_ms <= now_ms) {
            due.extend(notes.pop().map(|Reverse(note)| note));
        }
        due
    }

    /// Waits until something may be due, at most a second: the time of day can be set.
    pub async fn wait(&self, now_ms: u64) {
        let first = self.notes.lock().peek().map(|Reverse(first)| first.at_ms);
        let wait = first.map_or(WAIT_MAX, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        let _ = tokio::time::timeout(wait.min(WAIT_MAX), self.changed.notified()).await;
    }
}

impl Ord for Note {
    fn cmp(&self, other: &Note) -> std::cmp::Ordering {
        self.at_ms.cmp(&other.at_ms)
    }
}

impl PartialOrd for Note {
    fn partial_cmp(&self, other: &Note) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Note {
    fn eq(&self, other: &Note) -> bool {
        self.at_ms == other.at_ms
    }
}

impl Eq for Note {}

/// The moments that queues are noted with are multiples of this, so that a busy queue is not noted for each message.
pub const STEP_MS: u64 = 10;
const WAIT_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_out_earliest_first() {
        let deadlines = Deadlines::default();
        let add = |at_ms| deadlines.add(Note { at_ms, whose: Whose::Queue(Weak::new()) });
        assert_eq!([add(30), add(10), add(20), add(5)], [true, true, false, true]);
        let due = |now_ms| -> Vec<u64> { deadlines.take_due(now_ms).iter().map(|note| note.at_ms).collect() };
        assert!(due(4).is_empty());
        assert_eq!(due(20), [5, 10, 20]);
        assert_eq!(due(100), [30]);
    }
}
