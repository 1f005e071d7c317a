//! Consuming, over reconnects.
//!
//! A [`Consumer`] yields deliveries; one driver task owns the channel, forwards deliveries and sends acknowledgements.
//! When the channel or the connection is lost it subscribes again: after a reconnect the connection has declared its
//! topology already; then come the private queue (if that is what is consumed), the prefetch, and the consumer itself.
//!
//! A queue that is deleted while the connection stands is not created again behind the back of whoever deleted it: the
//! consumer waits for it to come back, and ends when [`ConsumerBuilder::refusal_patience`] is over.
//!
//! Every subscription is a new *epoch*. The broker puts everything that was unacknowledged in the old epoch back into
//! the queue and delivers it again (with `redelivered` set), so
//!
//! * deliveries of an old epoch that the program has not taken yet are dropped: they come again;
//! * acknowledging a delivery of an old epoch does nothing. Its tag may name another message by now, or none, which
//!   the broker would punish by closing the channel.

use crate::{
    connection::{Connection, Live},
    error::{Error, Result},
    message::{IntoValue, Properties, Table, shortstr},
    settle::{Command, Settlement, Unsettled},
    topology::Queue,
};
use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        QueueBindOptions,
    },
    types::ShortString,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

/// A stream of deliveries from one queue.
///
/// ```no_run
/// # async fn example() -> leveret_client::Result<()> {
/// use leveret_client::{Connection, Consumer, Queue, Topology};
///
/// let connection = Connection::open("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
/// connection.declare(&Topology::new().queue(Queue::new("orders").durable())).await?;
///
/// let mut consumer = Consumer::builder(&connection, "orders").prefetch(50).start().await?;
/// while let Some(delivery) = consumer.next().await {
///     let delivery = delivery?;
///     println!("{}", String::from_utf8_lossy(&delivery.body));
///     delivery.ack();
/// }
/// # Ok(()) }
/// ```
///
/// Dropping it cancels the subscription; deliveries that are still held can be settled as long as their
/// [`Delivery`] or [`Acker`] lives.
#[derive(Debug)]
pub struct Consumer {
    deliveries: mpsc::Receiver<Result<Delivery>>,
    close: Option<oneshot::Sender<oneshot::Sender<()>>>,
    subscription: watch::Receiver<Option<Subscription>>,
}

/// What a consumer is subscribed to right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Counts the subscriptions of this consumer, from 1.
    pub epoch: u64,
    /// The queue, whose name the broker chose if it is a private one.
    pub queue: String,
}

/// How to consume. Start with [`Consumer::builder`] or [`Consumer::private`].
#[derive(Debug, Clone)]
pub struct ConsumerBuilder {
    connection: Connection,
    source: Source,
    tag: String,
    prefetch: u16,
    no_ack: bool,
    exclusive: bool,
    arguments: Table,
    refusal_patience: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    Named(String),
    /// An exclusive queue named by the broker, with its bindings `(exchange, routing key)`.
    Private(Vec<(String, String)>),
}

/// A message, and the means to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// The exchange it was published to.
    pub exchange: String,
    /// The key it was published with.
    pub routing_key: String,
    /// Whether it was delivered before, to this consumer or another.
    pub redelivered: bool,
    /// Everything but the body.
    pub properties: Properties,
    /// The content.
    pub body: Bytes,
    /// Settles this delivery; can be cloned and sent elsewhere.
    pub acker: Acker,
}

/// Settles one delivery. Settling again, or after the connection was lost, does nothing.
#[derive(Debug, Clone)]
pub struct Acker {
    epoch: u64,
    tag: u64,
    /// `None` for consumers without acknowledgements.
    settlements: Option<mpsc::UnboundedSender<Settle>>,
    current_epoch: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Settle {
    epoch: u64,
    tag: u64,
    settlement: Settlement,
}

impl Consumer {
    /// Describes a consumer of an existing queue.
    #[must_use]
    pub fn builder(connection: &Connection, queue: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(connection, Source::Named(queue.into()))
    }

    /// Describes a consumer with a queue of its own, which exists while the consumer is subscribed and is bound with
    /// [`ConsumerBuilder::bind`]. After a reconnect there is a new, empty one: messages published meanwhile are
    /// missed.
    #[must_use]
    pub fn private(connection: &Connection) -> ConsumerBuilder {
        ConsumerBuilder::new(connection, Source::Private(Vec::new()))
    }

    /// The next delivery. Waits over reconnects. `None` when the consumer is closed; an error is the last item.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker would not have the consumer back for [`ConsumerBuilder::refusal_patience`],
    /// or what ended the connection.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        loop {
            match self.deliveries.recv().await? {
                Ok(delivery) if delivery.acker.is_stale() => {}
                item => return Some(item),
            }
        }
    }

    /// A delivery that is here already, if there is one.
    ///
    /// # Errors
    /// As [`next`](Consumer::next).
    pub fn try_next(&mut self) -> Option<Result<Delivery>> {
        loop {
            match self.deliveries.try_recv().ok()? {
                Ok(delivery) if delivery.acker.is_stale() => {}
                item => return Some(item),
            }
        }
    }

    /// What is consumed now; `None` while the consumer is not subscribed.
    #[must_use]
    pub fn subscription(&self) -> Option<Subscription> {
        self.subscription.borrow().clone()
    }

    /// Follows what is consumed.
    #[must_use]
    pub fn watch_subscription(&self) -> watch::Receiver<Option<Subscription>> {
        self.subscription.clone()
    }

    /// Sends the acknowledgements given so far and ends the subscription. Deliveries that are not settled go back to
    /// the queue.
    pub async fn close(mut self) {
        let (done, wait) = oneshot::channel();
        if let Some(close) = self.close.take()
            && close.send(done).is_ok()
        {
            // The driver may have ended by itself meanwhile.
            let _ = wait.await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.deliveries.close();
        while let Ok(Ok(delivery)) = self.deliveries.try_recv() {
            delivery.nack(true);
        }
    }
}

impl ConsumerBuilder {
    fn new(connection: &Connection, source: Source) -> Self {
        ConsumerBuilder {
            connection: connection.clone(),
            source,
            tag: String::new(),
            prefetch: 100,
            no_ack: false,
            exclusive: false,
            arguments: Table::default(),
            refusal_patience: Duration::from_secs(60),
        }
    }

    /// How many unacknowledged deliveries may be under way; 100 unless set. At least 1: without a bound the whole
    /// queue could end up in this program's memory.
    #[must_use]
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch.max(1);
        self
    }

    /// The consumer tag; chosen by the broker unless set.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    /// Takes messages without acknowledgements: the broker forgets them as it sends them, however slow this program
    /// is. What was sent when the connection breaks is lost.
    #[must_use]
    pub fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }

    /// Refuses to share the queue with other consumers.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Adds an argument, such as `x-priority`.
    ///
    /// # Panics
    /// When `key` is longer than AMQP's 255 bytes.
    #[must_use]
    pub fn argument(mut self, key: &str, value: impl IntoValue) -> Self {
        self.arguments.insert(key.into(), value.into_value());
        self
    }

    /// Binds the private queue.
    ///
    /// # Panics
    /// For a consumer of a named queue: its bindings belong into a [`Topology`](crate::Topology).
    #[must_use]
    pub fn bind(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        match &mut self.source {
            Source::Private(bindings) => bindings.push((exchange.into(), routing_key.into())),
            Source::Named(queue) => panic!("queue '{queue}' is not private, bind it through a Topology"),
        }
        self
    }

    /// How long to go on after a reconnect while the broker refuses the consumer; 60 s unless set. It may for a
    /// while, for instance as long as it has not noticed that an old exclusive consumer is gone.
    #[must_use]
    pub fn refusal_patience(mut self, patience: Duration) -> Self {
        self.refusal_patience = patience;
        self
    }

    /// Subscribes.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker refuses this first subscription; what ended the connection.
    pub async fn start(self) -> Result<Consumer> {
        let (outbox, deliveries) = mpsc::channel(usize::from(self.prefetch));
        let (close, closing) = oneshot::channel();
        let (subscription, watch) = watch::channel(None);
        let (settle, settlements) = mpsc::unbounded_channel();
        let mut driver = Driver {
            options: self,
            outbox,
            closing,
            subscription,
            settle: Some(settle),
            settlements,
            epoch: 0,
            current_epoch: Arc::new(AtomicU64::new(0)),
        };
        let mut attempt = 0;
        let channel = loop {
            let live = driver.options.connection.live().await?;
            match driver.subscribe(&live).await {
                Ok(channel) => break (live, channel),
                Err(Error::Connect(_)) => driver.options.connection.pause(&live, attempt).await,
                Err(error) => return Err(error),
            }
            attempt += 1;
        };
        tokio::spawn(driver.run(channel));
        Ok(Consumer { deliveries, close: Some(close), subscription: watch })
    }
}

impl Delivery {
    /// Tells the broker that the message is done with. Answers whether the subscription it came from is still alive;
    /// if not, the message will be delivered again.
    pub fn ack(&self) -> bool {
        self.acker.ack()
    }

    /// Gives the message back: to its place in the queue, or else to the dead-letter exchange if the queue has one.
    /// Answers as [`ack`](Delivery::ack) does.
    pub fn nack(&self, requeue: bool) -> bool {
        self.acker.nack(requeue)
    }
}

impl Acker {
    /// See [`Delivery::ack`].
    pub fn ack(&self) -> bool {
        self.settle(Settlement::Ack)
    }

    /// See [`Delivery::nack`].
    pub fn nack(&self, requeue: bool) -> bool {
        self.settle(Settlement::Nack { requeue })
    }

    /// Whether the subscription this came from is gone, so that settling does nothing.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.settlements.is_some() && self.epoch != self.current_epoch.load(Ordering::Acquire)
    }

    fn settle(&self, settlement: Settlement) -> bool {
        let Some(settlements) = &self.settlements else { return true };
        !self.is_stale() && settlements.send(Settle { epoch: self.epoch, tag: self.tag, settlement }).is_ok()
    }
}

struct Driver {
    options: ConsumerBuilder,
    outbox: mpsc::Sender<Result<Delivery>>,
    closing: oneshot::Receiver<oneshot::Sender<()>>,
    subscription: watch::Sender<Option<Subscription>>,
    /// Given to every delivery. `None` once the program dropped the consumer, so that the last acker ends the driver.
    settle: Option<mpsc::UnboundedSender<Settle>>,
    settlements: mpsc::UnboundedReceiver<Settle>,
    epoch: u64,
    /// What ackers compare their epoch with; 0 while there is no subscription.
    current_epoch: Arc<AtomicU64>,
}

/// One subscription.
struct Subscribed {
    channel: lapin::Channel,
    consumer: lapin::Consumer,
    unsettled: Unsettled,
}

/// Why a subscription ended.
enum End {
    /// The program closed or dropped the consumer; the sender is told when that is done.
    Closed(Option<oneshot::Sender<()>>),
    Lost(String),
}

impl Driver {
    async fn run(mut self, first: (Arc<Live>, Subscribed)) {
        let mut next = Some(first);
        loop {
            let (live, subscribed) = match next.take() {
                Some(first) => first,
                None => match self.resubscribe().await {
                    Ok(again) => again,
                    Err(Some(error)) => {
                        // The program may have dropped the consumer; then nobody wants to know.
                        let _ = self.outbox.send(Err(error)).await;
                        return;
                    }
                    Err(None) => return,
                },
            };
            match self.serve(subscribed).await {
                End::Closed(done) => {
                    self.end_epoch();
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                    return;
                }
                End::Lost(reason) => {
                    info!(reason, epoch = self.epoch, "lost a subscription, subscribing again");
                    self.end_epoch();
                    self.options.connection.pause(&live, 0).await;
                }
            }
        }
    }

    /// Subscribes on the next link, or says why not: an error for the program, or `None` when it lost interest.
    async fn resubscribe(&mut self) -> Result<(Arc<Live>, Subscribed), Option<Error>> {
        let mut attempt = 0;
        let mut refused_since = None;
        loop {
            let connection = self.options.connection.clone();
            let live = tokio::select! {
                live = connection.live() => live?,
                () = self.outbox.closed() => return Err(None),
                done = &mut self.closing => {
                    if let Ok(done) = done {
                        let _ = done.send(());
                    }
                    return Err(None);
                }
            };
            match self.subscribe(&live).await {
                Ok(subscribed) => return Ok((live, subscribed)),
                Err(Error::Connect(reason)) => debug!(reason, "subscribing failed, trying again"),
                Err(refusal) => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= self.options.refusal_patience {
                        return Err(Some(refusal));
                    }
                    info!(%refusal, "the broker does not have the consumer back yet");
                }
            }
            connection.pause(&live, attempt).await;
            attempt += 1;
        }
    }

    async fn subscribe(&mut self, live: &Live) -> Result<Subscribed> {
        let channel = live.channel().await?;
        let queue = self.declare_source(&channel).await?;
        if !self.options.no_ack {
            channel.basic_qos(self.options.prefetch, BasicQosOptions::default()).await?;
        }
        let options = BasicConsumeOptions {
            no_ack: self.options.no_ack,
            exclusive: self.options.exclusive,
            ..BasicConsumeOptions::default()
        };
        let tag = shortstr("consumer tag", &self.options.tag)?;
        let consumer =
            channel.basic_consume(queue.clone(), tag, options, self.options.arguments.clone()).await?;
        self.epoch += 1;
        self.current_epoch.store(self.epoch, Ordering::Release);
        self.subscription.send_replace(Some(Subscription { epoch: self.epoch, queue: queue.to_string() }));
        Ok(Subscribed { channel, consumer, unsettled: Unsettled::default() })
    }

    async fn declare_source(&self, channel: &lapin::Channel) -> Result<ShortString> {
        let bindings = match &self.options.source {
            Source::Named(queue) => return shortstr("queue name", queue),
            Source::Private(bindings) => bindings,
        };
        let queue = Queue::new("").exclusive().auto_delete().declare(channel).await?;
        for (exchange, routing_key) in bindings {
            let exchange = shortstr("exchange name", exchange)?;
            let routing_key = shortstr("routing key", routing_key)?;
            let (options, arguments) = (QueueBindOptions::default(), Table::default());
            channel.queue_bind(queue.clone(), exchange, routing_key, options, arguments).await?;
        }
        Ok(queue)
    }

    async fn serve(&mut self, mut subscribed: Subscribed) -> End {
        // Taken from the library, waiting for a place in the outbox. Only consumers without acknowledgements ever
        // wait: the others have at most a prefetch of deliveries under way, which is the size of the outbox.
        let mut next: Option<Delivery> = None;
        let mut settles = Vec::new();
        let done = loop {
            tokio::select! {
                permit = self.outbox.reserve(), if next.is_some() => match permit {
                    Ok(permit) => {
                        if let Some(delivery) = next.take() {
                            permit.send(Ok(delivery));
                        }
                    }
                    Err(_) => break None,
                },
                delivery = subscribed.consumer.next(), if next.is_none() => match delivery {
                    Some(Ok(delivery)) => {
                        if !self.options.no_ack {
                            subscribed.unsettled.delivered(delivery.delivery_tag);
                        }
                        next = Some(self.received(delivery));
                    }
                    Some(Err(error)) => return End::Lost(error.to_string()),
                    None => return End::Lost("cancelled by the broker".to_owned()),
                },
                _ = self.settlements.recv_many(&mut settles, SETTLE_BATCH) => {
                    if let Err(error) = self.send_settlements(&mut subscribed, &mut settles).await {
                        return End::Lost(error.to_string());
                    }
                }
                () = self.outbox.closed(), if next.is_none() => break None,
                done = &mut self.closing => break done.ok(),
            }
        };
        if let Some(delivery) = next {
            delivery.nack(true);
        }
        match done {
            Some(done) => {
                self.flush(&mut subscribed).await;
                End::Closed(Some(done))
            }
            None => self.wind_down(subscribed).await,
        }
    }

    fn received(&self, delivery: lapin::message::Delivery) -> Delivery {
        Delivery {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            properties: Properties::from(&delivery.properties),
            body: delivery.data.into(),
            acker: Acker {
                epoch: self.epoch,
                tag: delivery.delivery_tag,
                settlements: if self.options.no_ack { None } else { self.settle.clone() },
                current_epoch: Arc::clone(&self.current_epoch),
            },
        }
    }

    async fn send_settlements(
        &self,
        subscribed: &mut Subscribed,
        settles: &mut Vec<Settle>,
    ) -> lapin::Result<()> {
        let mut commands = Vec::new();
        let current = settles.drain(..).filter(|settle| settle.epoch == self.epoch);
        subscribed.unsettled.settle(current.map(|settle| (settle.tag, settle.settlement)), &mut commands);
        let channel = &subscribed.channel;
        for command in commands {
            match command {
                Command::Ack { tag, multiple } => {
                    channel.basic_ack(tag, BasicAckOptions { multiple }).await?
                }
                Command::Nack { tag, requeue } => {
                    channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue }).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends what was settled so far and closes the channel, which gives the rest back.
    async fn flush(&mut self, subscribed: &mut Subscribed) {
        let mut settles = Vec::new();
        while let Ok(settle) = self.settlements.try_recv() {
            settles.push(settle);
        }
        // A connection lost here gives everything back, too.
        let _ = self.send_settlements(subscribed, &mut settles).await;
        let _ = subscribed.channel.close(200, "consumer closed".into()).await;
    }

    /// The program dropped the consumer: no more deliveries, but those it still holds can be settled.
    async fn wind_down(&mut self, mut subscribed: Subscribed) -> End {
        self.settle = None;
        let tag = subscribed.consumer.tag();
        if subscribed.channel.basic_cancel(tag, BasicCancelOptions::default()).await.is_ok() {
            // What the program has not seen would stay unacknowledged while it holds other deliveries.
            self.give_back_undelivered(&mut subscribed).await;
            let mut settles = Vec::new();
            while self.settlements.recv_many(&mut settles, SETTLE_BATCH).await > 0 {
                if self.send_settlements(&mut subscribed, &mut settles).await.is_err() {
                    break;
                }
            }
            let _ = subscribed.channel.close(200, "consumer dropped".into()).await;
        }
        End::Closed(None)
    }

    async fn give_back_undelivered(&mut self, subscribed: &mut Subscribed) {
        // The consumer gave back what it had itself, which is older.
        let mut settles = Vec::new();
        while let Ok(settle) = self.settlements.try_recv() {
            settles.push(settle);
        }
        while let Some(Ok(delivery)) = subscribed.consumer.next().await {
            if !self.options.no_ack {
                let tag = delivery.delivery_tag;
                subscribed.unsettled.delivered(tag);
                let settlement = Settlement::Nack { requeue: true };
                settles.push(Settle { epoch: self.epoch, tag, settlement });
            }
        }
        // A connection lost here gives everything back, too.
        let _ = self.send_settlements(subscribed, &mut settles).await;
    }

    fn end_epoch(&mut self) {
        self.current_epoch.store(0, Ordering::Release);
        self.subscription.send_replace(None);
    }
}

/// Settlements turned into frames at once.
const SETTLE_BATCH: usize = 1024;
