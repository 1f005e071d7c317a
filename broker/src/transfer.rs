//! Messages on their way into queues, and out of the place they come from, in one batch of the store: a crash finds each
//! where it was or where it went, never in both and never in neither.
//!
//! ```text
//! let mut transfer = Transfer::new(messages.len());
//! transfer.add(queue, index, message);                            as often as queues get a message
//! let carried = transfer.carry_out(store, |accepted| { … });      what goes away for it: settles, records
//! dead_letter::send_on_all(carried.dead);                         what died of it, in full queues
//! ```
//!
//! Queues are locked one after the other, under the store's transfer ([`Store::begin_transfer`]); connections are woken
//! when that is over.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::message::Message;

use crate::dead_letter::Dead;
use crate::queue_host::{Aftermath, QueueCell};
use crate::store::{QueueUid, Store, Ticket};

/// Messages by the queues that get them. Built with no lock held.
#[derive(Default)]
pub struct Transfer {
    /// How many messages there are; a queue gets each once at most.
    count: usize,
    groups: Vec<Group>,
    by_uid: HashMap<QueueUid, usize>,
}

/// A queue and what it gets.
type Group = (Arc<QueueCell>, Vec<(usize, Message)>);

/// What became of a transfer.
pub struct Carried {
    /// When all of it is durable.
    pub ticket: Ticket,
    /// By message: at least one queue took it.
    pub accepted: Vec<bool>,
    /// What died of it in which queue; see [`crate::dead_letter::send_on_all`].
    pub dead: Vec<(Arc<QueueCell>, Vec<Dead>)>,
}

impl Transfer {
    /// A transfer of `count` messages.
    pub fn new(count: usize) -> Transfer {
        Transfer { count, ..Transfer::default() }
    }

    /// A queue gets the message with this index, below the count. Each queue gets its messages in the order of these calls.
    pub fn add(&mut self, cell: Arc<QueueCell>, index: usize, message: Message) {
        let at = *self.by_uid.entry(cell.uid()).or_insert_with(|| {
            self.groups.push((cell, Vec::new()));
            self.groups.len() - 1
        });
        self.groups[at].1.push((index, message));
    }

    /// Gives the messages to their queues, then calls `leave`, which says what goes away for them: what it gives to the
    /// store is in the same batch. It is told which messages were accepted; it may lock a queue, and begins no transfer.
    ///
    /// No lock may be held, except on a vhost's topology; then what died is sent on when it is released.
    pub fn carry_out(self, store: &Store, leave: impl FnOnce(&[bool]) -> Ticket) -> Carried {
        let mut accepted = vec![false; self.count];
        let mut left: Vec<(Arc<QueueCell>, Aftermath)> = Vec::with_capacity(self.groups.len());
        let transfer = store.begin_transfer();
        for (cell, messages) in self.groups {
            let aftermath = cell.take_in(messages, &mut accepted);
            left.push((cell, aftermath));
        }
        let mut ticket = leave(&accepted);
        drop(transfer);
        let mut dead = Vec::new();
        for (cell, aftermath) in left {
            let (after, died) = cell.conclude(aftermath);
            ticket = ticket.max(after);
            if !died.is_empty() {
                dead.push((cell, died));
            }
        }
        Carried { ticket, accepted, dead }
    }
}
