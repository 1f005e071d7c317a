//! A connection that comes back.
//!
//! One supervisor task owns the link: it connects, declares the recorded [`Topology`], publishes the live link to
//! everybody who shares this connection, waits until the link is lost, and starts again with [`Backoff`] between the
//! attempts. Publishers and consumers hold a clone of [`Connection`] and take the live link when they need one:
//!
//! ```text
//!   Connection (handles) ──close──► supervisor ──watch──► Link::Down / Up(Arc<Live>) / Closed(error)
//!        ▲                              ▲                     │
//!        │ declare                      │ "look again"        ▼
//!      program                    publishers, consumers, rpc (each opens its own channel on Live)
//! ```
//!
//! Every successful connect is a new *epoch*. Nothing that belongs to an old epoch (a delivery tag, a server-named
//! queue, an exclusive queue) means anything in a new one.

use crate::{
    backoff::Backoff,
    error::{Error, Fault, Result},
    topology::Topology,
};
use futures_util::StreamExt;
use lapin::{ConnectionProperties, uri::AMQPUri};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{debug, info, warn};

/// A connection to a broker, shared by cheap clones, that reconnects by itself.
///
/// It closes when [`close`](Connection::close) is called or the last clone is dropped; publishers and consumers hold
/// clones.
///
/// A broker that is short of memory or disk stops reading from connections that publish, acknowledgements included.
/// A program that publishes and consumes heavily should use two connections.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    link: watch::Receiver<Link>,
    topology: Arc<Mutex<Topology>>,
    /// Wakes the supervisor to look whether the link is still up.
    look_again: Arc<Notify>,
    /// Dropping the last sender ends the supervisor.
    close: mpsc::Sender<oneshot::Sender<()>>,
    backoff: Backoff,
}

/// How to connect. Start with [`Connection::builder`].
#[derive(Clone)]
pub struct ConnectionBuilder {
    uri: String,
    name: Option<String>,
    backoff: Backoff,
    connect_timeout: Duration,
    wait_for_broker: bool,
}

/// What a connection is doing.
#[derive(Debug, Clone)]
pub enum Status {
    /// Trying to reach the broker.
    Reconnecting {
        /// What the last attempt said.
        last_error: String,
    },
    /// Usable.
    Connected {
        /// Counts the connects, from 1.
        epoch: u64,
    },
    /// Closed for good.
    Closed(Error),
}

/// Tells how the status of a connection changes; see [`Connection::watch`].
#[derive(Debug)]
pub struct StatusWatch(watch::Receiver<Link>);

impl StatusWatch {
    /// Waits for a change and answers the newest status. `None` when the connection is closed and stays so.
    pub async fn changed(&mut self) -> Option<Status> {
        self.0.changed().await.ok()?;
        Some(Status::from(&*self.0.borrow_and_update()))
    }
}

/// One connect that worked.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) epoch: u64,
    connection: lapin::Connection,
}

#[derive(Debug, Clone)]
enum Link {
    Down { last_error: String },
    Up(Arc<Live>),
    Closed(Error),
}

impl Connection {
    /// Connects with the defaults. The URI is `amqp://user:password@host:port/vhost`, with `%2f` for the vhost `/`;
    /// `amqps://` connects with TLS.
    ///
    /// # Errors
    /// When this first attempt fails: [`Error::Uri`], [`Error::Connect`] or [`Error::Refused`].
    pub async fn open(uri: &str) -> Result<Connection> {
        Connection::builder(uri).open().await
    }

    /// Starts describing a connection.
    #[must_use]
    pub fn builder(uri: &str) -> ConnectionBuilder {
        ConnectionBuilder {
            uri: uri.to_owned(),
            name: None,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            wait_for_broker: false,
        }
    }

    /// Declares a topology now, and again after every reconnect before anything else is done.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker does not accept it; nothing is recorded then.
    pub async fn declare(&self, topology: &Topology) -> Result<()> {
        self.on_channel(async |channel| topology.declare(&channel).await).await?;
        self.shared.topology.lock().unwrap_or_else(PoisonError::into_inner).merge(topology);
        Ok(())
    }

    /// Runs `work` with a channel of its own, again from the start when the connection is lost under it. For
    /// operations this crate does not wrap; everything of `lapin` is available.
    ///
    /// # Errors
    /// What `work` returns, unless that says that the connection was lost.
    pub async fn on_channel<T>(&self, work: impl AsyncFn(lapin::Channel) -> Result<T>) -> Result<T> {
        let mut attempt = 0;
        loop {
            let live = self.live().await?;
            let outcome = match live.channel().await {
                Ok(channel) => {
                    let outcome = work(channel.clone()).await;
                    if outcome.is_ok() && channel.status().connected() {
                        // A failing close changes nothing about work that is done.
                        let _ = channel.close(200, "done".into()).await;
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(Error::Connect(reason)) => {
                    debug!(reason, "lost the connection during an operation, trying again");
                    self.pause(&live, attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// What the connection is doing now.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::from(&*self.shared.link.borrow())
    }

    /// Follows the status from now on.
    #[must_use]
    pub fn watch(&self) -> StatusWatch {
        let mut link = self.shared.link.clone();
        link.mark_unchanged();
        StatusWatch(link)
    }

    /// Closes the connection; every clone, publisher and consumer on it ends with [`Error::Closed`].
    pub async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.shared.close.send(done).await.is_ok() {
            // An error means that the supervisor ended meanwhile, which is what was asked for.
            let _ = wait.await;
        }
    }

    /// The live link, waiting for it when it is down.
    pub(crate) async fn live(&self) -> Result<Arc<Live>> {
        let mut link = self.shared.link.clone();
        let settled = |link: &Link| match link {
            Link::Down { .. } => false,
            Link::Up(live) => live.is_connected(),
            Link::Closed(_) => true,
        };
        match link.wait_for(settled).await.as_deref() {
            Ok(Link::Up(live)) => Ok(Arc::clone(live)),
            Ok(Link::Closed(error)) => Err(error.clone()),
            Ok(Link::Down { .. }) | Err(_) => Err(Error::Closed),
        }
    }

    /// Asks the supervisor to look at a link that just failed somebody, and waits before the next attempt.
    pub(crate) async fn pause(&self, live: &Live, attempt: u32) {
        if !live.is_connected() {
            self.shared.look_again.notify_one();
        }
        tokio::time::sleep(self.shared.backoff.random_delay(attempt)).await;
    }
}

impl ConnectionBuilder {
    /// The name shown in the broker's list of connections.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The pace of reconnecting.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long one attempt may take; 10 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Keeps trying when the first attempt does not reach a broker, instead of failing. A broker that answers and
    /// refuses (wrong password, no such vhost) is still an error at once.
    #[must_use]
    pub fn wait_for_broker(mut self) -> Self {
        self.wait_for_broker = true;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// When this first attempt fails: [`Error::Uri`], [`Error::Connect`], [`Error::Refused`], [`Error::GaveUp`].
    pub async fn open(self) -> Result<Connection> {
        let uri: AMQPUri = self.uri.parse().map_err(Error::Uri)?;
        let topology = Arc::new(Mutex::new(Topology::default()));
        let look_again = Arc::new(Notify::new());
        let (publish, link) = watch::channel(Link::Down { last_error: "not connected yet".into() });
        let (close, closing) = mpsc::channel(1);
        let backoff = self.backoff.clone();
        let mut supervisor = Supervisor {
            uri,
            options: self,
            topology: Arc::clone(&topology),
            look_again: Arc::clone(&look_again),
            link: publish,
            closing,
            epoch: 0,
        };
        let live = match supervisor.connect().await {
            Ok(live) => Some(live),
            Err(Error::Connect(_)) if supervisor.options.wait_for_broker => None,
            Err(error) => return Err(error),
        };
        let connection =
            Connection { shared: Arc::new(Shared { link, topology, look_again, close, backoff }) };
        tokio::spawn(supervisor.run(live));
        connection.live().await?;
        Ok(connection)
    }
}

impl fmt::Debug for ConnectionBuilder {
    /// Without the URI, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl From<&Link> for Status {
    fn from(link: &Link) -> Status {
        match link {
            Link::Down { last_error } => Status::Reconnecting { last_error: last_error.clone() },
            Link::Up(live) => Status::Connected { epoch: live.epoch },
            Link::Closed(error) => Status::Closed(error.clone()),
        }
    }
}

impl Live {
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    pub(crate) async fn channel(&self) -> Result<lapin::Channel> {
        Ok(self.connection.create_channel().await?)
    }
}

/// Owns the link. Ends when the last [`Connection`] is dropped, when one is closed, or when it gives up.
struct Supervisor {
    uri: AMQPUri,
    options: ConnectionBuilder,
    topology: Arc<Mutex<Topology>>,
    look_again: Arc<Notify>,
    link: watch::Sender<Link>,
    closing: mpsc::Receiver<oneshot::Sender<()>>,
    epoch: u64,
}

impl Supervisor {
    async fn run(mut self, first: Option<Arc<Live>>) {
        let mut next = first;
        loop {
            let live = match next.take() {
                Some(live) => live,
                None => match self.reconnect().await {
                    Ok(live) => live,
                    Err(closed) => return self.end(closed, None).await,
                },
            };
            self.link.send_replace(Link::Up(Arc::clone(&live)));
            tokio::select! {
                reason = lost(&live, &self.look_again) => {
                    warn!(reason, "lost the connection to the broker");
                    self.link.send_replace(Link::Down { last_error: reason });
                }
                close = self.closing.recv() => return self.end(Closing::Asked(close), Some(live)).await,
            }
        }
    }

    /// Tries until it works, the time is up, or nobody wants the connection any more.
    async fn reconnect(&mut self) -> Result<Arc<Live>, Closing> {
        let lost_at = Instant::now();
        let mut attempt = 0;
        loop {
            let delay = self.options.backoff.random_delay(attempt);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                close = self.closing.recv() => return Err(Closing::Asked(close)),
            }
            let last = match self.connect().await {
                Ok(live) => {
                    info!(epoch = live.epoch, attempts = attempt + 1, "connected to the broker again");
                    return Ok(live);
                }
                Err(error @ Error::Refused { .. }) => {
                    // The broker is there and says no: waiting alone may not help.
                    warn!(attempt, %error, "the broker refuses the connection or its topology");
                    error.to_string()
                }
                Err(error) => {
                    debug!(attempt, %error, "reconnecting failed");
                    error.to_string()
                }
            };
            self.link.send_replace(Link::Down { last_error: last.clone() });
            if self.options.backoff.exhausted(lost_at.elapsed()) {
                return Err(Closing::GaveUp(Error::GaveUp { after: lost_at.elapsed(), last }));
            }
            attempt = attempt.saturating_add(1);
        }
    }

    /// One attempt: connect, log in, declare the topology.
    async fn connect(&mut self) -> Result<Arc<Live>> {
        let mut properties = ConnectionProperties::default()
            .with_client_property("product".into(), "leveret-client".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        if let Some(name) = &self.options.name {
            properties = properties.with_connection_name(name.as_str().into());
        }
        let timeout = self.options.connect_timeout;
        let attempt = async {
            let connection = lapin::Connection::connect_uri(self.uri.clone(), properties).await?;
            let live = Live { epoch: self.epoch + 1, connection };
            let topology = self.topology.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !topology.is_empty() {
                let channel = live.channel().await?;
                topology.declare(&channel).await?;
                channel.close(200, "done".into()).await?;
            }
            Ok(live)
        };
        let live = tokio::time::timeout(timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(Error::Connect(format!("no answer within {timeout:?}"))))?;
        self.epoch = live.epoch;
        Ok(Arc::new(live))
    }

    async fn end(self, closing: Closing, live: Option<Arc<Live>>) {
        let (error, done) = match closing {
            Closing::Asked(done) => (Error::Closed, done),
            Closing::GaveUp(error) => (error, None),
        };
        self.link.send_replace(Link::Closed(error));
        if let Some(live) = live {
            // The broker may be gone already; there is nobody to tell then.
            let _ = live.connection.close(200, "goodbye".into()).await;
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

/// Why a supervisor ends.
enum Closing {
    /// By [`Connection::close`], or (`None`) because every handle is gone.
    Asked(Option<oneshot::Sender<()>>),
    GaveUp(Error),
}

/// Waits until the link is lost and says why.
async fn lost(live: &Live, look_again: &Notify) -> String {
    let mut events = live.connection.events_listener();
    let mut last_error = None;
    // The library announces most ends with an event; looking once a second covers the others.
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    while live.is_connected() {
        tokio::select! {
            Some(event) = events.next() => match event {
                lapin::Event::Error(error) => last_error = Some(error),
                lapin::Event::ConnectionBlocked(reason) => warn!(reason, "the broker blocks publishing"),
                lapin::Event::ConnectionUnblocked => info!("the broker accepts publishing again"),
                _ => {}
            },
            () = look_again.notified() => {}
            _ = tick.tick() => {}
        }
    }
    match last_error.as_ref().map(Fault::of) {
        Some(Fault::Refused { code, text }) => format!("{code} {text}"),
        Some(Fault::Lost(text) | Fault::Local(text)) => text,
        None => "connection closed".to_owned(),
    }
}
