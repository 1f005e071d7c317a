//! Publishers that wait while a queue's consumers catch up.
//!
//! Taking a message in costs less than handing it out, above all to many queues. A publisher that is not held back
//! outruns even the fastest consumers, and what they would take within milliseconds fills memory and goes to disk and
//! back. So a queue whose backlog grows while it has consumers is *congested*, and publishers to it wait until most of
//! that is taken. Consumers who do not manage that within a tenth of a second are not merely a little behind: then the queue
//! does what it is there for, and buffers whatever comes, until the backlog is gone.
//!
//! ```text
//!                 backlog > HIGH, has consumers                patience is over
//!   flowing ────────────────────────────────► congested ─────────────────────────► buffering
//!      ▲                                          │                                     │
//!      └────────── backlog ≤ LOW, or no consumers ┴─────────────────────────────────────┘
//! ```
//!
//! The wait is short because a connection that publishes may also be the one whose acknowledgements the queue waits for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{QueueCell, Shared, State};
use crate::clock;
use crate::outbox::Outbox;

/// How long publishers wait for consumers to catch up, in milliseconds.
const PATIENCE_MS: u64 = 100;
/// Ready messages in memory, in bytes, at which a queue is congested. A quarter of that ends it: there and back costs a
/// moment in which the publisher stands still, so it should be worth the while.
const BACKLOG_HIGH: usize = 4 << 20;
/// The same while all queues together hold more than half of their budget.
const BACKLOG_HIGH_FULL: usize = 128 << 10;

/// Who waits for a queue's consumers.
#[derive(Default)]
pub(super) struct Congestion {
    /// How long publishers wait, by the monotonic clock.
    until_ms: u64,
    /// Connections to be woken once the backlog has receded.
    held_up: Vec<Arc<Outbox>>,
    /// The consumers are slow: nobody waits for them until the backlog has receded.
    buffers: bool,
}

impl QueueCell {
    /// True while publishers to this queue are to wait for its consumers.
    #[inline]
    pub fn is_congested(&self) -> bool {
        self.congested.load(Ordering::Relaxed)
    }

    /// Until when a publisher is to wait, by the monotonic clock; it is woken when it may go on sooner. `None` when it
    /// need not wait, or has waited for long enough.
    pub fn hold_up(&self, outbox: &Arc<Outbox>, now_ms: u64) -> Option<u64> {
        let mut state = self.state.lock();
        if !self.is_congested() {
            return None;
        }
        let Congestion { until_ms, held_up, buffers } = &mut state.congestion;
        if now_ms < *until_ms {
            if !held_up.iter().any(|other| Arc::ptr_eq(other, outbox)) {
                held_up.push(outbox.clone());
            }
            return Some(*until_ms);
        }
        *buffers = true;
        let held_up = self.release(&mut state);
        drop(state);
        held_up.iter().for_each(|outbox| outbox.wake());
        None
    }

    /// Looks at the backlog after it changed.
    pub(super) fn note_backlog(&self, state: &mut State, bytes: usize, wakes: &mut Vec<Arc<Outbox>>) {
        let is_congested = self.is_congested();
        if bytes <= BACKLOG_HIGH_FULL && !is_congested && !state.congestion.buffers {
            return;
        }
        let high = self.shared.backlog_high();
        // What is on disk is part of the backlog, and no consumer is only a little behind with it.
        let is_paged = state.machine.is_paged();
        if (bytes <= high / 4 && !is_paged) || state.machine.consumer_count() == 0 {
            state.congestion.buffers = false;
            wakes.append(&mut self.release(state));
        } else if bytes > high && !is_paged && !is_congested && !state.congestion.buffers {
            state.congestion.until_ms = clock::monotonic_ms() + PATIENCE_MS;
            self.congested.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the congestion; returns who is to be woken.
    pub(super) fn release(&self, state: &mut State) -> Vec<Arc<Outbox>> {
        self.congested.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.congestion.held_up)
    }
}

impl Shared {
    fn backlog_high(&self) -> usize {
        let is_half_full = self.resident_bytes.load(Ordering::Relaxed) > self.resident_bytes_max / 2;
        if is_half_full { BACKLOG_HIGH_FULL } else { BACKLOG_HIGH }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Waker};

    use leveret_core::message::Message;
    use leveret_core::queue::{Config, ConnectionId, Subscription};
    use leveret_core::session::host::ConsumerKey;

    use super::*;
    use crate::deadlines::Deadlines;
    use crate::queue_host::{ChannelWindow, Link, Publish, QueueSetup, delivery_bytes};
    use crate::store::{Store, StoreOptions};

    const CONSUMER: (ConnectionId, ConsumerKey) = (ConnectionId(1), ConsumerKey(1));

    /// A queue, the mailbox of its consumer, and that of a publisher.
    struct Rig {
        cell: Arc<QueueCell>,
        consumer: Arc<Outbox>,
        publisher: Arc<Outbox>,
        _directory: tempfile::TempDir,
    }

    impl Rig {
        fn new() -> Rig {
            let directory = tempfile::tempdir().expect("a directory");
            let (store, _) = Store::open(StoreOptions::new(directory.path())).expect("opens");
            let shared = Shared {
                store,
                resident_bytes: AtomicUsize::new(0),
                resident_bytes_max: 128 << 20,
                deadlines: Deadlines::default(),
                broker: OnceLock::new(),
            };
            let setup = QueueSetup {
                machine: Config::default(),
                dead_letter_target: None,
                expires_ms: None,
                deduplication: None,
            };
            let cell = QueueCell::new(1, "/".into(), "q".into(), setup, Arc::new(shared), &[]);
            Rig { cell, consumer: Arc::default(), publisher: Arc::default(), _directory: directory }
        }

        fn consume(&self) {
            let subscription = Subscription {
                connection: CONSUMER.0,
                key: CONSUMER.1,
                no_ack: true,
                exclusive: false,
                prefetch: 0,
                priority: 0,
                subscribed: true,
            };
            let link = Link {
                outbox: self.consumer.clone(),
                window: Arc::new(ChannelWindow::new()),
                consumer_tag: "c".into(),
                channel: 1,
            };
            assert!(self.cell.subscribe(subscription, link).is_ok());
        }

        /// Publishes more than the consumer's connection takes and a queue lets stand.
        fn publish(&self) {
            let message = Message::new("", "q", &[0, 0], &[b'x'; 16 << 10]);
            let publish = || Publish { message: message.clone(), channel: 1, sequence: 0 };
            self.cell.publish(&mut (0..400).map(|_| publish()).collect(), &mut Vec::new());
        }

        /// The consumer takes what its connection was given; false when that was nothing.
        fn take(&self) -> bool {
            let mut deliveries = Vec::new();
            self.consumer.take_deliveries(&mut deliveries);
            for (cell, key) in self.consumer.written(deliveries.iter().map(delivery_bytes).sum()) {
                cell.resume(CONSUMER.0, key);
            }
            !deliveries.is_empty()
        }

        fn is_woken(&self) -> bool {
            self.publisher.poll_woken(&mut Context::from_waker(Waker::noop()))
        }
    }

    #[test]
    fn a_publisher_waits_until_most_of_the_backlog_is_taken() {
        let rig = Rig::new();
        rig.consume();
        rig.publish();
        let until_ms = rig.cell.hold_up(&rig.publisher, 0).expect("it waits");
        assert_eq!(rig.cell.hold_up(&rig.publisher, until_ms - 1), Some(until_ms), "to its end");
        while rig.cell.is_congested() {
            assert!(!rig.is_woken());
            assert!(rig.take(), "no end is reached");
        }
        assert!(rig.is_woken());
        assert!(rig.cell.info().resident_bytes <= (BACKLOG_HIGH / 4) as u64);
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None);
    }

    #[test]
    fn nobody_waits_for_slow_consumers_until_they_have_caught_up_once() {
        let rig = Rig::new();
        rig.consume();
        rig.publish();
        let until_ms = rig.cell.hold_up(&rig.publisher, 0).expect("it waits");
        assert_eq!(rig.cell.hold_up(&Arc::default(), until_ms), None, "long enough");
        assert!(rig.is_woken(), "others wait no longer either");
        rig.publish();
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None, "the queue buffers");
        while rig.take() {}
        rig.publish();
        assert!(rig.cell.hold_up(&rig.publisher, 0).is_some(), "it flows again");
    }

    #[test]
    fn nobody_waits_where_nobody_consumes() {
        let rig = Rig::new();
        rig.publish();
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None);
        rig.consume();
        rig.publish();
        assert!(rig.cell.hold_up(&rig.publisher, 0).is_some());
        rig.cell.cancel(CONSUMER.0, CONSUMER.1);
        assert!(rig.is_woken(), "the consumer is gone");
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None);
    }

    #[test]
    fn nobody_waits_while_part_of_the_backlog_is_on_disk() {
        let rig = Rig::new();
        while !rig.cell.state.lock().machine.is_paged() {
            rig.publish();
        }
        rig.consume();
        rig.publish();
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None);
    }

    #[test]
    fn a_queue_that_is_deleted_holds_nobody_up() {
        let rig = Rig::new();
        rig.consume();
        rig.publish();
        assert!(rig.cell.hold_up(&rig.publisher, 0).is_some());
        assert!(rig.cell.delete(false, false).is_ok());
        assert!(rig.is_woken());
        assert_eq!(rig.cell.hold_up(&rig.publisher, 0), None);
    }
}
