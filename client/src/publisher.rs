//! Publishing with confirms, over reconnects.
//!
//! A [`Publisher`] is a handle; one driver task owns the channel and everything that is not confirmed:
//!
//! ```text
//!   send ──(window)──► requests ──► queue ──► in flight ──► outcome to the caller's Confirm
//!                                     ▲           │
//!                                     └───────────┘ connection lost: back to the front, in order
//! ```
//!
//! *At least once.* When the connection is lost, the broker may or may not have the messages whose confirms had not
//! arrived. They are published again, in their order and before anything newer, so a message can arrive twice but is
//! not lost while the program lives. Give messages an id ([`Message::message_id`]) and let the consumer drop
//! duplicates where it matters, or choose [`OnLoss::Fail`].
//!
//! *A message the broker cannot take* (its exchange does not exist, it is too large) makes the broker close the
//! channel, without saying which of the messages under way it was. The driver then publishes those one at a time on
//! new channels until it has found out; only the guilty one fails.

use crate::{
    confirms::{ConfirmChannel, NotSent, Outcome},
    connection::{Connection, Live},
    error::{Error, Fault, Result},
    message::Message,
};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::debug;

/// Publishes messages and learns what became of them. Clones share the window and the order.
///
/// ```no_run
/// # async fn example() -> leveret_client::Result<()> {
/// use leveret_client::{Connection, Message, Publisher};
///
/// let connection = Connection::open("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
/// let publisher = Publisher::new(&connection);
///
/// // One at a time: waits for the broker's confirm.
/// publisher.publish(Message::to_queue("orders", "one").persistent().mandatory()).await?;
///
/// // Pipelined: `send` waits only for a place in the window.
/// let mut confirms = Vec::new();
/// for n in 0..1000 {
///     confirms.push(publisher.send(Message::to_queue("orders", format!("{n}"))).await?);
/// }
/// for confirm in confirms {
///     confirm.await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Publisher {
    requests: mpsc::UnboundedSender<Pending>,
    window: Arc<Semaphore>,
    window_size: u32,
}

/// How a [`Publisher`] behaves.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// How many messages may be unconfirmed; [`Publisher::send`] waits beyond that. At least 1.
    pub window: u32,
    /// What to do with unconfirmed messages when the connection is lost.
    pub on_loss: OnLoss,
}

impl Default for PublisherOptions {
    /// A window of 1000, publishing again after a loss.
    fn default() -> Self {
        PublisherOptions { window: 1000, on_loss: OnLoss::Republish }
    }
}

/// What becomes of messages that were sent but not confirmed when the connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLoss {
    /// Publish them again: at least once.
    Republish,
    /// Report [`Error::Unconfirmed`] and leave it to the caller: at most once.
    Fail,
}

/// The outcome of one message. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "a message may fail; await its confirm"]
pub struct Confirm(oneshot::Receiver<Result<()>>);

impl Publisher {
    /// A publisher with the default options.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Publisher::with_options(connection, PublisherOptions::default())
    }

    /// A publisher. Its channel is opened in the background.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn with_options(connection: &Connection, options: PublisherOptions) -> Self {
        let window_size = options.window.max(1);
        let (requests, receiver) = mpsc::unbounded_channel();
        let driver = Driver {
            connection: connection.clone(),
            requests: receiver,
            on_loss: options.on_loss,
            window: window_size as usize,
            next_sequence: 0,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            suspects: 0,
            handles_gone: false,
        };
        tokio::spawn(driver.run());
        Publisher { requests, window: Arc::new(Semaphore::new(window_size as usize)), window_size }
    }

    /// Publishes a message and waits until the broker has confirmed it.
    ///
    /// While the connection is down this waits for it to come back; use [`tokio::time::timeout`] to wait less long.
    /// A message given up that way may still arrive.
    ///
    /// # Errors
    /// [`Error::Unroutable`] for a mandatory message that reached no queue, [`Error::Nacked`], [`Error::Refused`],
    /// [`Error::TooLong`], and [`Error::Closed`] or [`Error::GaveUp`] when there is no connection any more.
    pub async fn publish(&self, message: Message) -> Result<()> {
        self.send(message).await?.await
    }

    /// Hands a message over, waiting only while the window is full, and answers where its outcome will be.
    /// Messages are published in the order in which calls of this function return.
    ///
    /// # Errors
    /// [`Error::Closed`] when there is no connection any more.
    pub async fn send(&self, message: Message) -> Result<Confirm> {
        let permit = Arc::clone(&self.window).acquire_owned().await.map_err(|_| Error::Closed)?;
        let (outcome, confirm) = oneshot::channel();
        let pending = Pending { message: Arc::new(message), outcome, _permit: permit };
        self.requests.send(pending).map_err(|_| Error::Closed)?;
        Ok(Confirm(confirm))
    }

    /// Waits until everything sent so far has its outcome.
    pub async fn flush(&self) {
        // The semaphore is fair and never closed: this gets all permits once those before it gave theirs back.
        let _all = self.window.acquire_many(self.window_size).await;
    }
}

impl Future for Confirm {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}

/// A message without an outcome; keeps its place in the window.
#[derive(Debug)]
struct Pending {
    message: Arc<Message>,
    outcome: oneshot::Sender<Result<()>>,
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    fn settle(self, outcome: Result<()>) {
        // Nobody waits when the caller dropped its Confirm.
        let _ = self.outcome.send(outcome);
    }
}

struct Driver {
    connection: Connection,
    requests: mpsc::UnboundedReceiver<Pending>,
    on_loss: OnLoss,
    window: usize,
    next_sequence: u64,
    /// Not handed to the current channel. Together with `in_flight` at most a window of messages.
    queue: VecDeque<(u64, Pending)>,
    /// Handed to the current channel, unconfirmed. Sequence numbers are below those in `queue`.
    in_flight: BTreeMap<u64, Pending>,
    /// The next so many messages may include the one the broker closed a channel for: one at a time.
    suspects: usize,
    handles_gone: bool,
}

/// Why serving a channel ended.
enum End {
    /// All handles are dropped and everything is settled.
    Finished,
    /// The channel is gone.
    Fault(Fault),
}

impl Driver {
    async fn run(mut self) {
        let mut attempt = 0;
        loop {
            let live = match self.wait_for_link().await {
                ControlFlow::Continue(Ok(live)) => live,
                ControlFlow::Continue(Err(closed)) => return self.fail_everything(&closed).await,
                ControlFlow::Break(()) => return,
            };
            let fault = match ConfirmChannel::open(&live).await {
                Ok(channel) => match self.serve(channel, &mut attempt).await {
                    End::Finished => return,
                    End::Fault(fault) => fault,
                },
                Err(error) => Fault::Lost(error.to_string()),
            };
            debug!(?fault, unconfirmed = self.in_flight.len(), "publishing channel lost");
            let refused = matches!(fault, Fault::Refused { .. });
            self.take_back(fault);
            if !refused {
                self.connection.pause(&live, attempt).await;
                attempt += 1;
            }
        }
    }

    /// Waits for a link, taking requests meanwhile so that dropped handles are noticed.
    async fn wait_for_link(&mut self) -> ControlFlow<(), Result<Arc<Live>>> {
        let connection = self.connection.clone();
        let live = connection.live();
        tokio::pin!(live);
        loop {
            if self.handles_gone && self.queue.is_empty() {
                return ControlFlow::Break(());
            }
            tokio::select! {
                live = &mut live => return ControlFlow::Continue(live),
                request = self.requests.recv(), if !self.handles_gone => self.enqueue(request),
            }
        }
    }

    async fn serve(&mut self, mut channel: ConfirmChannel, attempt: &mut u32) -> End {
        loop {
            let channel_gone = self.fill(&mut channel).is_break();
            if channel_gone && self.in_flight.is_empty() {
                return End::Fault(Fault::Lost("the channel is closed".to_owned()));
            }
            if self.handles_gone && self.in_flight.is_empty() && self.queue.is_empty() {
                channel.close().await;
                return End::Finished;
            }
            tokio::select! {
                settled = channel.settled(), if !self.in_flight.is_empty() => {
                    let mut fault = None;
                    for (sequence, outcome) in settled {
                        match outcome {
                            // What the broker said outweighs what the library says of the closed channel.
                            Outcome::Failed(refused @ Fault::Refused { .. }) => fault = Some(refused),
                            Outcome::Failed(other) => fault = fault.or(Some(other)),
                            outcome => {
                                *attempt = 0;
                                self.settle(sequence, outcome);
                            }
                        }
                    }
                    if let Some(fault) = fault {
                        return End::Fault(fault);
                    }
                }
                request = self.requests.recv(), if !self.handles_gone => self.enqueue(request),
            }
        }
    }

    fn enqueue(&mut self, request: Option<Pending>) {
        let mut next = request;
        if next.is_none() {
            self.handles_gone = true;
        }
        while let Some(pending) = next {
            self.queue.push_back((self.next_sequence, pending));
            self.next_sequence += 1;
            next = self.requests.try_recv().ok();
        }
    }

    /// Publishes from the queue as far as the window allows. Breaks when the channel takes no more.
    fn fill(&mut self, channel: &mut ConfirmChannel) -> ControlFlow<()> {
        let limit = if self.suspects > 0 { 1 } else { self.window };
        while self.in_flight.len() < limit
            && let Some((sequence, pending)) = self.queue.pop_front()
        {
            match channel.publish(sequence, &pending.message) {
                Ok(()) => {
                    self.in_flight.insert(sequence, pending);
                }
                Err(NotSent::Invalid(error)) => {
                    self.suspects = self.suspects.saturating_sub(1);
                    pending.settle(Err(error));
                }
                Err(NotSent::ChannelGone) => {
                    self.queue.push_front((sequence, pending));
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn settle(&mut self, sequence: u64, outcome: Outcome) {
        let Some(pending) = self.in_flight.remove(&sequence) else {
            debug_assert!(false, "an outcome for {sequence}, which is not in flight");
            return;
        };
        self.suspects = self.suspects.saturating_sub(1);
        pending.settle(match outcome {
            Outcome::Confirmed => Ok(()),
            Outcome::Nacked => Err(Error::Nacked),
            Outcome::Returned(returned) => Err(Error::Unroutable(returned)),
            Outcome::Failed(fault) => Err(fault.into()),
        });
    }

    /// Decides over what was in flight on a channel that is gone.
    fn take_back(&mut self, fault: Fault) {
        let in_flight = std::mem::take(&mut self.in_flight);
        let lost = matches!(fault, Fault::Lost(_));
        let guilty_known = !lost && in_flight.len() == 1;
        if self.on_loss == OnLoss::Republish && !guilty_known {
            if !lost {
                self.suspects = in_flight.len();
            }
            for unconfirmed in in_flight.into_iter().rev() {
                self.queue.push_front(unconfirmed);
            }
            return;
        }
        let outcome = if lost { Error::Unconfirmed } else { fault.into() };
        for (_, pending) in in_flight {
            self.suspects = self.suspects.saturating_sub(1);
            pending.settle(Err(outcome.clone()));
        }
    }

    async fn fail_everything(mut self, closed: &Error) {
        self.requests.close();
        while let Some(pending) = self.requests.recv().await {
            pending.settle(Err(closed.clone()));
        }
        for (_, pending) in self.queue {
            pending.settle(Err(closed.clone()));
        }
    }
}
