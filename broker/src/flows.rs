//! What flowed from which exchange into which queue, counted without touching the path of a message.
//!
//! A connection knows its routes anyway: it counts each run of messages that take the same one, with one addition per
//! message to a number of its own, and adds the sums up here when it shows itself to the admin API, once a second at
//! most. So these counters lag by a second and cost a lock per second and busy connection. Messages are counted for the
//! exchange that they were published to, wherever exchanges sent them on the way.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::queue_host::QueueCell;
use crate::store::QueueUid;

/// The flows of one vhost.
#[derive(Default)]
pub struct Flows {
    /// By the exchange that messages were published to; the default exchange has an empty name.
    exchanges: RwLock<HashMap<String, ExchangeFlow>>,
    /// Messages that died in a queue and were sent on.
    dead: RwLock<HashMap<QueueUid, u64>>,
}

/// What went through one exchange since it was made, or since the broker started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExchangeFlow {
    /// Messages published to it.
    pub published: u64,
    /// Copies of them that reached queues, those deleted since among them.
    pub routed: u64,
    /// Copies by queue, of queues that exist.
    pub queues: HashMap<QueueUid, u64>,
}

/// So many messages took the same way.
pub struct Run<'a> {
    pub exchange: &'a str,
    pub messages: u64,
    pub queues: &'a [Arc<QueueCell>],
}

impl Flows {
    /// Adds what a connection has counted: runs of messages, and copies that are in none of them.
    pub fn add<'a>(
        &self,
        runs: impl Iterator<Item = Run<'a>>,
        copies: impl Iterator<Item = (&'a str, &'a Arc<QueueCell>, u64)>,
    ) {
        let mut exchanges = self.exchanges.write();
        for Run { exchange, messages, queues } in runs {
            let flow = exchanges.entry_ref(exchange).or_default();
            flow.published += messages;
            flow.routed += messages * queues.len() as u64;
            // A queue that is gone was forgotten already.
            for cell in queues.iter().filter(|cell| !cell.is_deleted()) {
                *flow.queues.entry(cell.uid()).or_default() += messages;
            }
        }
        for (exchange, cell, copies) in copies {
            let flow = exchanges.entry_ref(exchange).or_default();
            flow.routed += copies;
            if !cell.is_deleted() {
                *flow.queues.entry(cell.uid()).or_default() += copies;
            }
        }
    }

    /// Adds messages that died in a queue and went to its dead-letter exchange, and the copies that reached queues.
    pub fn add_dead(&self, queue: QueueUid, messages: u64, exchange: &str, copies: &[(Arc<QueueCell>, u64)]) {
        *self.dead.write().entry(queue).or_default() += messages;
        let run = Run { exchange, messages, queues: &[] };
        self.add(std::iter::once(run), copies.iter().map(|(cell, copies)| (exchange, cell, *copies)));
    }

    /// Looks at each queue in which messages died.
    pub fn look_at_dead(&self, mut at: impl FnMut(QueueUid, u64)) {
        self.dead.read().iter().for_each(|(uid, messages)| at(*uid, *messages));
    }

    /// A queue was deleted.
    pub fn forget_queue(&self, uid: QueueUid) {
        self.dead.write().remove(&uid);
        for flow in self.exchanges.write().values_mut() {
            flow.queues.remove(&uid);
        }
    }

    /// An exchange was deleted.
    pub fn forget_exchange(&self, exchange: &str) {
        self.exchanges.write().remove(exchange);
    }

    /// Messages published to an exchange, and copies that reached queues.
    pub fn of_exchange(&self, exchange: &str) -> (u64, u64) {
        self.exchanges.read().get(exchange).map_or((0, 0), |flow| (flow.published, flow.routed))
    }

    /// Looks at each exchange that messages were published to.
    pub fn look_at_all(&self, mut at: impl FnMut(&str, &ExchangeFlow)) {
        self.exchanges.read().iter().for_each(|(exchange, flow)| at(exchange, flow));
    }
}
