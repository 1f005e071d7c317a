//! Request and reply over queues.
//!
//! A [`RpcClient`] sends requests with a correlation id and the name of its own private reply queue; a [`RpcServer`]
//! consumes a queue of requests, runs a handler for each and publishes what it answers to that reply queue.
//!
//! ```text
//!   RpcClient ──request (mandatory, reply_to, correlation_id, expiration)──► queue ──► RpcServer ──► handler
//!       ▲                                                                                  │
//!       └───────────────────────── private queue ◄──reply (correlation_id)─────────────────┘
//! ```
//!
//! Requests are sent at most once: when the connection is lost the calls under way fail with
//! [`Error::Interrupted`], and only the caller can know whether asking again is safe. A request expires in its queue
//! when its caller has stopped waiting. The server acknowledges a request after its reply was confirmed, so a request
//! whose server died is given to another one, which may do its work a second time.

use crate::{
    connection::Connection,
    consumer::{Consumer, Delivery, Subscription},
    error::{Error, Result},
    message::{Message, Properties},
    publisher::{OnLoss, Publisher, PublisherOptions},
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};
use tracing::{debug, warn};

/// The property `type` of a reply that tells of a failure; its body is the text.
pub const ERROR_REPLY: &str = "leveret.rpc.error";

/// Calls servers. Clones share the reply queue.
///
/// ```no_run
/// # async fn example() -> leveret_client::Result<()> {
/// use leveret_client::{Connection, Message, RpcClient};
/// use std::time::Duration;
///
/// let connection = Connection::open("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
/// let client = RpcClient::start(&connection).await?;
/// let reply = client.call(Message::to_queue("square", "12"), Duration::from_secs(5)).await?;
/// assert_eq!(reply.body, "144");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RpcClient {
    publisher: Publisher,
    calls: Arc<Calls>,
    subscription: watch::Receiver<Option<Subscription>>,
    _replies: Arc<AbortOnDrop>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Everything but the body.
    pub properties: Properties,
    /// The content.
    pub body: Bytes,
}

impl<T: Into<Bytes>> From<T> for Reply {
    fn from(body: T) -> Reply {
        Reply { properties: Properties::default(), body: body.into() }
    }
}

/// The calls that wait for their replies, by correlation id.
#[derive(Debug)]
struct Calls {
    waiting: Mutex<HashMap<String, Waiting>>,
    next_id: AtomicU64,
    /// Distinguishes this client's ids from those of others, for people who read logs.
    prefix: u64,
}

#[derive(Debug)]
struct Waiting {
    /// The subscription of the reply queue the reply will come to.
    epoch: u64,
    reply: oneshot::Sender<Result<Reply>>,
}

/// Takes a call off the list when its caller stops waiting.
struct Registered<'a> {
    calls: &'a Calls,
    id: String,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl RpcClient {
    /// Opens the reply queue.
    ///
    /// # Errors
    /// What the broker or the connection says against it.
    pub async fn start(connection: &Connection) -> Result<RpcClient> {
        let consumer = Consumer::private(connection).no_ack().start().await?;
        let subscription = consumer.watch_subscription();
        let calls = Arc::new(Calls {
            waiting: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(0),
            prefix: rand::random(),
        });
        let replies = tokio::spawn(take_replies(consumer, Arc::clone(&calls)));
        let options = PublisherOptions { on_loss: OnLoss::Fail, ..PublisherOptions::default() };
        Ok(RpcClient {
            publisher: Publisher::with_options(connection, options),
            calls,
            subscription,
            _replies: Arc::new(AbortOnDrop(replies)),
        })
    }

    /// Sends a request and waits for its reply. The request is made mandatory, and expires with `timeout` unless it
    /// has an expiration; `reply_to` and `correlation_id` are overwritten.
    ///
    /// # Errors
    /// [`Error::Unroutable`] when there is no such queue, [`Error::Timeout`], [`Error::Interrupted`],
    /// [`Error::Remote`] when the handler failed, and what publishing reports.
    pub async fn call(&self, request: Message, timeout: Duration) -> Result<Reply> {
        let answered = tokio::time::timeout(timeout, self.call_without_timeout(request, timeout));
        answered.await.unwrap_or(Err(Error::Timeout(timeout)))
    }

    async fn call_without_timeout(&self, mut request: Message, timeout: Duration) -> Result<Reply> {
        let (registered, queue, reply) = self.register().await?;
        request.mandatory = true;
        request.properties.reply_to = Some(queue);
        request.properties.correlation_id = Some(registered.id.clone());
        request.properties.expiration.get_or_insert_with(|| timeout.as_millis().to_string());
        match self.publisher.publish(request).await {
            Ok(()) => {}
            Err(Error::Unconfirmed) => return Err(Error::Interrupted),
            Err(error) => return Err(error),
        }
        reply.await.unwrap_or(Err(Error::Closed))
    }

    /// Puts a call on the list, with the name of the reply queue that is alive now.
    async fn register(&self) -> Result<(Registered<'_>, String, oneshot::Receiver<Result<Reply>>)> {
        let id = self.calls.next_id.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:016x}-{id}", self.calls.prefix);
        let mut subscription = self.subscription.clone();
        loop {
            let current = subscription.wait_for(Option::is_some).await.map_err(|_| Error::Closed)?.clone();
            let Some(current) = current else { continue };
            let mut waiting = self.calls.lock();
            // Checked under the lock: whoever ends an epoch fails its calls after changing the subscription, so a
            // call is either entered before that and failed, or sees the change here.
            if subscription.borrow().as_ref() != Some(&current) {
                continue;
            }
            let (sender, reply) = oneshot::channel();
            waiting.insert(id.clone(), Waiting { epoch: current.epoch, reply: sender });
            return Ok((Registered { calls: &self.calls, id }, current.queue, reply));
        }
    }
}

async fn take_replies(mut consumer: Consumer, calls: Arc<Calls>) {
    let mut subscription = consumer.watch_subscription();
    loop {
        tokio::select! {
            delivery = consumer.next() => match delivery {
                Some(Ok(delivery)) => calls.answer(delivery),
                Some(Err(error)) => {
                    warn!(%error, "the reply queue is gone");
                    return calls.fail(|| None);
                }
                None => return calls.fail(|| None),
            },
            changed = subscription.changed() => {
                calls.fail(|| subscription.borrow_and_update().as_ref().map(|current| current.epoch));
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

impl Calls {
    fn answer(&self, delivery: Delivery) {
        let Some(id) = &delivery.properties.correlation_id else {
            return debug!("a reply without a correlation id");
        };
        let Some(waiting) = self.lock().remove(id) else {
            return debug!(id, "a reply to a call nobody waits for any more");
        };
        let reply = if delivery.properties.kind.as_deref() == Some(ERROR_REPLY) {
            Err(Error::Remote(String::from_utf8_lossy(&delivery.body).into_owned()))
        } else {
            Ok(Reply { properties: delivery.properties, body: delivery.body })
        };
        let _ = waiting.reply.send(reply);
    }

    /// Fails all calls whose replies cannot come any more: all but those of the epoch that is alive. It is asked for
    /// under the lock, so that no call of the next epoch comes in between and fails with those of the last.
    fn fail(&self, alive: impl FnOnce() -> Option<u64>) {
        let interrupted: Vec<Waiting> = {
            let mut waiting = self.lock();
            let alive = alive();
            waiting.extract_if(|_, call| Some(call.epoch) != alive).map(|(_, call)| call).collect()
        };
        for call in interrupted {
            let _ = call.reply.send(Err(Error::Interrupted));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers the requests of one queue.
///
/// ```no_run
/// # async fn example() -> leveret_client::Result<()> {
/// use leveret_client::{Connection, Queue, RpcServer, Topology};
///
/// let connection = Connection::open("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
/// connection.declare(&Topology::new().queue(Queue::new("square"))).await?;
/// let server = RpcServer::start(&connection, "square", 16, |request| async move {
///     let text = String::from_utf8_lossy(&request.body).into_owned();
///     let n: i64 = text.trim().parse().map_err(|_| format!("not a number: {text}"))?;
///     Ok::<_, String>((n * n).to_string())
/// })
/// .await?;
/// # server.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RpcServer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A request as the handler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The exchange it was published to.
    pub exchange: String,
    /// The key it was published with.
    pub routing_key: String,
    /// Whether a server had it before and may have acted on it.
    pub redelivered: bool,
    /// Everything but the body.
    pub properties: Properties,
    /// The content.
    pub body: Bytes,
}

impl RpcServer {
    /// Serves a queue, running at most `concurrency` handlers at a time. The queue must exist, or be part of what the
    /// connection [declares](Connection::declare). A handler's error is sent to the caller as [`Error::Remote`].
    ///
    /// # Errors
    /// What the broker or the connection says against the queue.
    pub async fn start<H, F, R, E>(
        connection: &Connection,
        queue: &str,
        concurrency: u16,
        handler: H,
    ) -> Result<RpcServer>
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Reply> + Send + 'static,
        E: Display + Send + 'static,
    {
        let consumer = Consumer::builder(connection, queue).prefetch(concurrency).start().await?;
        let publisher = Publisher::new(connection);
        let handler = Arc::new(handler);
        let (stop, stopping) = oneshot::channel();
        let task = tokio::spawn(serve(consumer, stopping, move |delivery| {
            let (handler, publisher) = (Arc::clone(&handler), publisher.clone());
            async move { answer(delivery, &*handler, &publisher).await }
        }));
        Ok(RpcServer { stop, task })
    }

    /// Takes no more requests and waits for the handlers that run.
    pub async fn close(self) {
        // The task may have ended with its connection already.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn serve<F>(mut consumer: Consumer, mut stop: oneshot::Receiver<()>, run: impl Fn(Delivery) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            delivery = consumer.next() => match delivery {
                Some(Ok(delivery)) => {
                    running.spawn(run(delivery));
                }
                Some(Err(error)) => {
                    warn!(%error, "no more requests");
                    break;
                }
                None => break,
            },
            Some(_) = running.join_next() => {}
            // Also when the handle was dropped.
            _ = &mut stop => break,
        }
    }
    while running.join_next().await.is_some() {}
    consumer.close().await;
}

async fn answer<F, R, E>(delivery: Delivery, handler: &impl Fn(Request) -> F, publisher: &Publisher)
where
    F: Future<Output = Result<R, E>>,
    R: Into<Reply>,
    E: Display,
{
    let Delivery { exchange, routing_key, redelivered, properties, body, acker } = delivery;
    let reply_to = properties.reply_to.clone();
    let correlation_id = properties.correlation_id.clone();
    let answered = handler(Request { exchange, routing_key, redelivered, properties, body }).await;
    let Some(reply_to) = reply_to else {
        acker.ack();
        return;
    };
    let reply = match answered {
        Ok(reply) => reply.into(),
        Err(error) => {
            let properties = Properties { kind: Some(ERROR_REPLY.to_owned()), ..Properties::default() };
            Reply { properties, body: error.to_string().into() }
        }
    };
    let mut message = Message::to_queue(reply_to, reply.body).properties(reply.properties);
    message.properties.correlation_id = correlation_id;
    match publisher.publish(message).await {
        Ok(()) => acker.ack(),
        // The reply can never be sent: handling the request again would not help.
        Err(error @ (Error::Refused { .. } | Error::TooLong { .. })) => {
            warn!(%error, "a reply cannot be sent");
            acker.ack()
        }
        Err(error) => {
            debug!(%error, "a reply was not sent");
            acker.nack(true)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Calls {
        Calls { waiting: Mutex::new(HashMap::new()), next_id: AtomicU64::new(0), prefix: 7 }
    }

    fn wait(calls: &Calls, id: &str, epoch: u64) -> oneshot::Receiver<Result<Reply>> {
        let (reply, receiver) = oneshot::channel();
        calls.lock().insert(id.to_owned(), Waiting { epoch, reply });
        receiver
    }

    #[test]
    fn losing_the_reply_queue_fails_the_calls_of_its_epoch_only() {
        let calls = calls();
        let mut old = wait(&calls, "a", 1);
        let mut new = wait(&calls, "b", 2);
        calls.fail(|| Some(2));
        assert!(matches!(old.try_recv(), Ok(Err(Error::Interrupted))));
        assert!(new.try_recv().is_err(), "still waiting");
        calls.fail(|| None);
        assert!(matches!(new.try_recv(), Ok(Err(Error::Interrupted))));
    }

    #[test]
    fn a_caller_that_stops_waiting_leaves_nothing_behind() {
        let calls = calls();
        let _reply = wait(&calls, "a", 1);
        drop(Registered { calls: &calls, id: "a".into() });
        assert!(calls.lock().is_empty());
    }
}
