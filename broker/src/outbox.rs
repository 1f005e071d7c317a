//! What other tasks leave for a connection: deliveries, notices, a wake-up.
//!
//! Queues append under their own lock, so that a consumer's messages keep their order; the connection's task swaps the
//! whole list out. This lock is a leaf: nothing else is taken while it is held.
//!
//! Bytes bound it, not counts: a connection whose socket is slow stops being served ([`Outbox::has_room`]) and its
//! consumers are noted as stalled; once the socket took enough, the connection resumes them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use leveret_core::session::host::{ConsumerKey, Delivery};
use leveret_core::session::state::AuthRefused;
use parking_lot::Mutex;

use crate::queue_host::{QueueCell, delivery_bytes};
use crate::store::Wake;

/// The mailbox of one connection.
pub struct Outbox {
    inner: Mutex<Inner>,
    /// Bytes of deliveries given to the connection and not yet written to its socket.
    unwritten: AtomicUsize,
    /// A wake-up was sent and not yet seen, so another is not needed.
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

#[derive(Default)]
struct Inner {
    deliveries: Vec<Delivery>,
    notices: Vec<Notice>,
    stalled: Vec<(Arc<QueueCell>, ConsumerKey)>,
}

/// Something a connection has to be told besides deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A queue was deleted under this consumer.
    ConsumerCancelled(ConsumerKey),
    /// What came to this consumer, or to the gets of a channel, was held for longer than the queue allows.
    AckTimedOut { key: ConsumerKey, timeout_ms: u64 },
    /// An operator ends a channel; the text goes into `channel.close`.
    CloseChannel { channel: u16, text: String },
    /// An operator ends a consumer.
    EndConsumer { channel: u16, consumer_tag: String },
    /// An operator or a shutdown ends the connection; the text goes into `connection.close`.
    Close(String),
    /// Memory or disk ran short (the reason), or recovered.
    Blocked(Option<&'static str>),
    /// A login was checked: the user's name.
    Authenticated(Result<String, AuthRefused>),
    /// The store failed: nothing will be confirmed any more.
    Failed,
}

impl Outbox {
    /// An empty mailbox.
    pub fn new() -> Outbox {
        Outbox {
            inner: Mutex::default(),
            unwritten: AtomicUsize::new(0),
            woken: AtomicBool::new(false),
            task: Mutex::default(),
        }
    }

    /// Appends all of `staged`, which cost `bytes`. Wake the connection once the caller's lock is released.
    pub fn push(&self, staged: &mut Vec<Delivery>, bytes: usize) {
        self.unwritten.fetch_add(bytes, Ordering::Relaxed);
        let mut inner = self.inner.lock();
        if inner.deliveries.is_empty() {
            std::mem::swap(&mut inner.deliveries, staged);
        } else {
            inner.deliveries.append(staged);
        }
    }

    /// Appends a delivery that comes from no queue, and wakes the connection. False when the connection has more
    /// waiting than it may: there is no queue in which the delivery could wait, so it is lost.
    pub fn push_reply(&self, delivery: Delivery) -> bool {
        let bytes = delivery_bytes(&delivery);
        if self.unwritten.load(Ordering::Relaxed) + bytes > REPLIES_UNWRITTEN_MAX {
            return false;
        }
        self.unwritten.fetch_add(bytes, Ordering::Relaxed);
        self.inner.lock().deliveries.push(delivery);
        self.wake();
        true
    }

    /// Appends a notice and wakes the connection.
    pub fn notice(&self, notice: Notice) {
        self.inner.lock().notices.push(notice);
        self.wake();
    }

    /// True when the connection can take more, given `staged` bytes that are about to be pushed.
    pub fn has_room(&self, staged: usize) -> bool {
        self.unwritten.load(Ordering::Relaxed) + staged < UNWRITTEN_MAX
    }

    /// Notes that a consumer waits for room. False when room appeared meanwhile: it need not wait.
    pub fn stall(&self, cell: &Weak<QueueCell>, key: ConsumerKey, staged: usize) -> bool {
        let mut inner = self.inner.lock();
        if self.has_room(staged) {
            return false;
        }
        if let Some(cell) = cell.upgrade() {
            inner.stalled.push((cell, key));
        }
        true
    }

    /// Takes all deliveries; `into` must be empty and gives its capacity in return.
    pub fn take_deliveries(&self, into: &mut Vec<Delivery>) {
        let mut inner = self.inner.lock();
        if into.is_empty() {
            std::mem::swap(&mut inner.deliveries, into);
        } else {
            into.append(&mut inner.deliveries);
        }
    }

    /// Takes all notices.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.inner.lock().notices)
    }

    /// The socket took `bytes` of deliveries. Returns the consumers that can go on now.
    pub fn written(&self, bytes: usize) -> Vec<(Arc<QueueCell>, ConsumerKey)> {
        let before = self.unwritten.fetch_sub(bytes, Ordering::Relaxed);
        if before.saturating_sub(bytes) >= UNWRITTEN_MAX / 2 {
            return Vec::new();
        }
        let mut inner = self.inner.lock();
        if inner.stalled.is_empty() { Vec::new() } else { std::mem::take(&mut inner.stalled) }
    }

    /// Wakes the connection's task; cheap when it is awake already.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel)
            && let Some(task) = &*self.task.lock()
        {
            task.wake_by_ref();
        }
    }

    /// True when something was left here since the last call; otherwise the task of `context` is woken once it is.
    pub fn poll_woken(&self, context: &mut Context<'_>) -> bool {
        if self.woken.swap(false, Ordering::AcqRel) {
            return true;
        }
        {
            let mut task = self.task.lock();
            if !task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
                *task = Some(context.waker().clone());
            }
        }
        // A wake-up between the first look and the registration must not be lost.
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox::new()
    }
}

impl Wake for Outbox {
    fn wake(&self) {
        Outbox::wake(self);
    }
}

/// Bytes on their way to one connection at which its consumers wait. Twice what a socket buffer usually takes.
const UNWRITTEN_MAX: usize = 1 << 20;
/// Bytes on their way to one connection at which direct replies to it are dropped.
const REPLIES_UNWRITTEN_MAX: usize = 64 << 20;
