//! The running broker: brings store, topology, users and listeners together, starts them, stops them.

mod logins;
mod parameters;
mod policies;
mod setup;
mod topology;
mod vhosts;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hashbrown::HashMap;
use leveret_core::auth::{PasswordHash, Permission, Tags, Users};
use leveret_core::fault::Fault;
use leveret_core::limits::Tallies;
use leveret_core::parameters::Parameters;
use leveret_core::record::{self, Record};
use leveret_core::session::config::SessionConfig;
use leveret_core::session::host::Ticket;
use leveret_core::vhosts::Vhosts;
use leveret_protocol::reply_code::ReplyCode;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::admin;
use crate::admin::live::{self, Live};
use crate::alarm::Alarms;
use crate::audit::{Audit, Bounds};
use crate::clock;
use crate::config::{Config, SyncPolicy};
use crate::connections::Connections;
use crate::deadlines::{Deadlines, Whose};
use crate::definitions::Plan;
use crate::delayed::DelayedExchange;
use crate::history::{self, History};
use crate::metrics::Metrics;
use crate::net::{listener, tls};
use crate::operations::Operations;
use crate::outbox::Notice;
use crate::queue_host::Shared;
use crate::replies::Replies;
use crate::store::{Store, StoreOptions, SyncMode, Wake};

use logins::Logins;
pub use parameters::{NotSet, ParameterOf};
pub use topology::Vhost;

/// Everything that connections and the admin API share.
pub struct Broker {
    config: Config,
    store: Store,
    shared: Arc<Shared>,
    users: RwLock<Users>,
    logins: Logins,
    vhost_records: RwLock<Vhosts>,
    parameters: RwLock<Parameters>,
    /// What connections have open, for limits.
    tallies: Mutex<Tallies>,
    vhosts: RwLock<HashMap<Arc<str>, Arc<Vhost>>>,
    /// Moves with every change of topology or permissions: what connections remember is out of date then.
    generation: AtomicU64,
    next_uid: AtomicU64,
    /// By uid.
    delayed: RwLock<HashMap<u64, Arc<DelayedExchange>>>,
    connections: Connections,
    replies: Replies,
    metrics: Metrics,
    history: History,
    operations: Operations,
    alarms: Alarms,
    live: Live,
    audit: Audit,
    session_config: RwLock<Arc<SessionConfig>>,
    /// Set once it serves.
    listeners: OnceLock<Vec<Listening>>,
    stopping: AtomicBool,
    started: Instant,
}

/// A broker that accepts connections, until it is stopped.
pub struct Running {
    broker: Arc<Broker>,
    listeners: Vec<Listening>,
    tasks: Vec<JoinHandle<()>>,
    recovered: Recovered,
}

/// One open listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// `amqp`, `amqps`, `admin` or `admin+tls`.
    pub protocol: &'static str,
    pub address: SocketAddr,
}

/// What start-up found in the data directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recovered {
    pub queues: usize,
    pub messages: u64,
    /// False after a crash; true when there was nothing yet.
    pub clean: bool,
    pub took: Duration,
}

impl Broker {
    /// Opens the data directory, restores what is in it, and listens.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        let began = Instant::now();
        let acceptor = tls::acceptor(&config.tls)?;
        let (store, recovered) = open_store(&config)?;
        let clean = recovered.clean;
        let broker = Broker::new(config, store);
        broker.restore(&recovered.meta)?;
        broker.restore_cluster_name(&recovered.meta)?;
        Plan::complete(&broker, &recovered.meta);
        broker.load_definitions().await?;
        drop(recovered);
        for vhost in broker.all_vhosts() {
            vhost.queues().iter().for_each(|cell| cell.start());
        }
        broker.delayed.read().values().for_each(|exchange| exchange.start());
        let (queues, messages) = broker.count_messages();
        let recovered = Recovered { queues, messages, clean, took: began.elapsed() };

        let mut listeners = Vec::new();
        let mut tasks = Vec::new();
        let config = broker.config().clone();
        for (addresses, tls) in [(&config.amqp.listen, None), (&config.amqp.tls_listen, acceptor.clone())] {
            for address in addresses {
                let listener = listener::bind(*address)?;
                let protocol = if tls.is_some() { "amqps" } else { "amqp" };
                listeners.push(Listening { protocol, address: listener.local_addr()? });
                tasks.push(tokio::spawn(listener::accept_amqp(broker.clone(), listener, tls.clone())));
            }
        }
        for (addresses, tls) in [(&config.admin.listen, None), (&config.admin.tls_listen, acceptor)] {
            for address in addresses {
                let listener = listener::bind(*address)?;
                let protocol = if tls.is_some() { "admin+tls" } else { "admin" };
                listeners.push(Listening { protocol, address: listener.local_addr()? });
                tasks.push(tokio::spawn(admin::serve(broker.clone(), listener, tls.clone())));
            }
        }
        broker.listeners.get_or_init(|| listeners.clone());
        for listening in &listeners {
            info!(listener = listening.protocol, address = %listening.address, "listening");
        }
        tasks.push(tokio::spawn(watch_alarms(broker.clone())));
        tasks.push(tokio::spawn(watch_deadlines(broker.clone())));
        tasks.push(tokio::spawn(history::watch(broker.clone())));
        tasks.push(tokio::spawn(live::run(broker.clone())));
        Ok(Running { broker, listeners, tasks, recovered })
    }

    fn new(config: Config, store: Store) -> Arc<Broker> {
        let shared = Arc::new(Shared {
            store: store.clone(),
            resident_bytes: AtomicUsize::new(0),
            resident_bytes_max: usize::try_from(config.memory.message_bytes).unwrap_or(usize::MAX),
            deadlines: Deadlines::default(),
            broker: OnceLock::new(),
        });
        let session_config = Arc::new(session_config(&config));
        let alarms =
            Alarms::new(&config.data_dir, config.memory.high_watermark, config.disk.free_limit_bytes);
        let bounds = Bounds {
            entries: usize::try_from(config.audit.entries_max).unwrap_or(usize::MAX),
            age_ms: config.audit.days_max.saturating_mul(24 * 60 * 60 * 1000),
        };
        let audit = Audit::new(store.clone(), bounds);
        let broker = Arc::new(Broker {
            store,
            shared,
            users: RwLock::new(Users::new(config.loopback_users.iter().cloned())),
            logins: Logins::new(),
            vhost_records: RwLock::default(),
            parameters: RwLock::default(),
            tallies: Mutex::default(),
            vhosts: RwLock::default(),
            generation: AtomicU64::new(1),
            next_uid: AtomicU64::new(1),
            delayed: RwLock::default(),
            connections: Connections::default(),
            replies: Replies::default(),
            metrics: Metrics::default(),
            history: History::default(),
            operations: Operations::new(),
            alarms,
            live: Live::default(),
            audit,
            session_config: RwLock::new(session_config),
            listeners: OnceLock::new(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
            config,
        });
        let _ = broker.shared.broker.set(Arc::downgrade(&broker));
        broker
    }

    /// Creates the first vhost and the first user in an empty data directory.
    fn create_defaults(&self) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut vhosts = self.vhost_records.write();
        if vhosts.is_empty() && self.config.load_definitions.is_none() {
            records.extend(vhosts.put(leveret_core::vhosts::Vhost::new("/"))?);
            let mut users = self.users.write();
            let mut salt = [0; leveret_core::auth::SALT_BYTES];
            rand::fill(&mut salt);
            let hash = PasswordHash::new(self.config.default_password.0.as_bytes(), salt)?;
            let name = &self.config.default_user;
            records.extend(users.put_user(name, hash, Tags::new(["administrator"]))?);
            records.extend(users.set_permission(name, "/", Permission::full())?);
        }
        Ok(records)
    }

    /// Imports the file that the configuration names.
    async fn load_definitions(self: &Arc<Self>) -> anyhow::Result<()> {
        let Some(file) = self.config.load_definitions.clone() else { return Ok(()) };
        let broker = self.clone();
        let load = move || {
            let text = std::fs::read(&file)?;
            let plan = Plan::new(&broker, serde_json::from_slice(&text)?, None)?;
            plan.carry_out(&broker, "load_definitions").map_err(|fault| anyhow!("{fault}"))
        };
        let loaded = tokio::task::spawn_blocking(load).await.context("the import panicked")?;
        let ticket = loaded.with_context(|| {
            let file = self.config.load_definitions.as_deref().unwrap_or(Path::new(""));
            format!("load_definitions: cannot import {}", file.display())
        })?;
        self.await_durable(ticket).await.map_err(|fault| anyhow!("{fault}"))
    }

    /// Tells every session that what it remembers of topology and permissions is out of date.
    pub fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// See [`Broker::changed`].
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn users(&self) -> &RwLock<Users> {
        &self.users
    }

    pub fn vhost_records(&self) -> &RwLock<Vhosts> {
        &self.vhost_records
    }

    /// Runtime parameters.
    pub fn parameters(&self) -> &RwLock<Parameters> {
        &self.parameters
    }

    /// What connections have open, for limits.
    pub fn tallies(&self) -> &Mutex<Tallies> {
        &self.tallies
    }

    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The direct reply-to consumers.
    pub fn replies(&self) -> &Replies {
        &self.replies
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Bytes of messages that queues hold in memory, to some 64 KiB a queue.
    pub fn resident_message_bytes(&self) -> u64 {
        self.shared.resident_bytes.load(Ordering::Relaxed) as u64
    }

    /// How figures rose lately.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Work on queues' messages that goes on in the background.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The live feed of the admin API.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// What new connections are told and held to.
    pub fn session_config(&self) -> Arc<SessionConfig> {
        self.session_config.read().clone()
    }

    /// The name of this broker, for people.
    pub fn cluster_name(&self) -> String {
        self.session_config.read().cluster_name.clone()
    }

    /// Gives the broker another name than the configured one.
    pub fn set_cluster_name(&self, name: &str) -> Result<Ticket, Fault> {
        if name.is_empty() || name.len() > 255 {
            return Err(Fault::precondition_failed("the name of a cluster has 1 to 255 bytes"));
        }
        let mut config = self.session_config.write();
        *config = Arc::new(SessionConfig { cluster_name: name.to_owned(), ..SessionConfig::clone(&config) });
        let record = Record::put_json(record::key(CLUSTER_NAME, &[]), 1, &name);
        Ok(self.write_records(vec![record]))
    }

    /// Takes up the name that was given before the last stop.
    fn restore_cluster_name(&self, meta: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
        let key = record::key(CLUSTER_NAME, &[]);
        if let Some((key, value)) = meta.iter().find(|(other, _)| *other == key) {
            let cluster_name: String = record::read_json(key, 1, value)?;
            let mut config = self.session_config.write();
            *config = Arc::new(SessionConfig { cluster_name, ..SessionConfig::clone(&config) });
        }
        Ok(())
    }

    /// Its listeners; none while it starts.
    pub fn listeners(&self) -> &[Listening] {
        self.listeners.get().map_or(&[], Vec::as_slice)
    }

    /// True once it takes no new connections.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `ticket` is durable. When the store fails meanwhile, so does the process, and nobody is answered.
    pub async fn await_durable(&self, ticket: Ticket) -> Result<(), Fault> {
        struct Waiter(Notify);
        impl Wake for Waiter {
            fn wake(&self) {
                self.0.notify_one();
            }
        }
        if self.store.poisoned() {
            return Err(Fault::new(ReplyCode::InternalError, "the message store failed"));
        }
        if self.store.durable() < ticket {
            let waiter = Arc::new(Waiter(Notify::new()));
            self.store.wake_when_durable(ticket, waiter.clone());
            waiter.0.notified().await;
        }
        Ok(())
    }

    /// A vhost by name.
    pub fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.read().get(name).cloned()
    }

    /// The delayed exchange of this uid, as long as it exists.
    pub fn delayed_exchange(&self, uid: u64) -> Option<Arc<DelayedExchange>> {
        self.delayed.read().get(&uid).cloned()
    }

    /// All vhosts, by name.
    pub fn all_vhosts(&self) -> Vec<Arc<Vhost>> {
        let mut all: Vec<Arc<Vhost>> = self.vhosts.read().values().cloned().collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    fn count_messages(&self) -> (usize, u64) {
        let mut counted = (0, 0);
        for vhost in self.all_vhosts() {
            for cell in vhost.queues() {
                counted.0 += 1;
                counted.1 += cell.info().ready;
            }
        }
        counted
    }
}

impl Running {
    /// The listeners, with the ports that the system chose.
    pub fn listeners(&self) -> &[Listening] {
        &self.listeners
    }

    /// The broker itself.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// What a person wants to know when the broker has started.
    pub fn banner(&self) -> String {
        let config = self.broker.config();
        let mut text = format!("{} {}\n", config.identity.product, env!("CARGO_PKG_VERSION"));
        for listening in &self.listeners {
            text += &format!("  {:<10} {}\n", listening.protocol, listening.address);
        }
        let Recovered { queues, messages, clean, took } = self.recovered;
        text += &format!("  {:<10} {}\n", "data", config.data_dir.display());
        let after = if clean { "" } else { ", after an unclean stop" };
        text += &format!(
            "  {:<10} {queues} queues and {messages} messages in {:.2} s{after}",
            "recovered",
            took.as_secs_f64()
        );
        text
    }

    /// Waits for SIGTERM, SIGINT or a failure of the store, then stops. An error means that it stopped by failure.
    pub async fn wait_for_signal_and_stop(self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
            reason = store_failed(&self.broker.store) => {
                error!(reason, "the store failed; nothing more will be confirmed");
                self.broker.connections.notice_all(&Notice::Failed);
                tokio::time::sleep(FAILURE_GRACE).await;
                return Err(anyhow!("the store failed: {reason}"));
            }
        }
        self.stop().await
    }

    /// Closes connections with 320, writes everything down, and ends.
    pub async fn stop(self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.broker.stopping.store(true, Ordering::Release);
        for task in &self.tasks {
            task.abort();
        }
        let reason = "broker forced connection closure with reason 'shutdown'".to_owned();
        self.broker.connections.notice_all(&Notice::Close(reason));
        while !self.broker.connections.is_empty() && began.elapsed() < CLOSE_GRACE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for vhost in self.broker.all_vhosts() {
            for cell in vhost.queues().iter().filter(|cell| cell.is_durable()) {
                cell.settle_marks();
            }
        }
        let store = self.broker.store.clone();
        tokio::task::spawn_blocking(move || store.close()).await.context("closing the store panicked")??;
        info!(took_ms = began.elapsed().as_millis() as u64, "stopped");
        Ok(())
    }
}

/// Looks at queues when something of them is over.
async fn watch_deadlines(broker: Arc<Broker>) {
    loop {
        broker.shared.deadlines.wait(clock::now_ms()).await;
        for (at, note) in broker.shared.deadlines.take_due(clock::now_ms()).into_iter().enumerate() {
            match note.whose {
                Whose::Queue(cell) => {
                    if let Some(cell) = cell.upgrade()
                        && cell.tick(note.at_ms)
                    {
                        broker.delete_expired_queue(&cell);
                    }
                }
                Whose::Delayed(exchange) => {
                    if let Some(exchange) = exchange.upgrade() {
                        exchange.tick(note.at_ms);
                    }
                }
            }
            if at % DEADLINES_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Raises and clears alarms.
async fn watch_alarms(broker: Arc<Broker>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Some(change) = broker.alarms.check() {
            match change {
                Some(reason) => warn!(reason, "alarm: publishers are held up"),
                None => info!("alarm cleared"),
            }
            broker.connections.notice_all(&Notice::Blocked(change));
        }
    }
}

/// Waits until the store cannot go on, and says why.
async fn store_failed(store: &Store) -> String {
    struct Failed(Notify);
    impl Wake for Failed {
        fn wake(&self) {
            self.0.notify_one();
        }
    }
    let failed = Arc::new(Failed(Notify::new()));
    store.wake_when_poisoned(failed.clone());
    failed.0.notified().await;
    store.failure().map_or_else(String::new, |error| error.to_string())
}

fn open_store(config: &Config) -> anyhow::Result<(Store, crate::store::Recovered)> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot create the data directory {}", config.data_dir.display()))?;
    let options = StoreOptions {
        sync: match config.store.sync {
            SyncPolicy::Always => SyncMode::Always,
            SyncPolicy::Interval => SyncMode::Interval(config.store.sync_interval_ms),
            SyncPolicy::Never => SyncMode::Never,
        },
        write_buffer_bytes: usize::try_from(config.store.write_buffer_bytes).unwrap_or(usize::MAX),
        wal_bytes_max: config.store.wal_bytes_max,
        ..StoreOptions::new(&config.data_dir)
    };
    Ok(Store::open(options)?)
}

fn session_config(config: &Config) -> SessionConfig {
    let mut mechanisms = vec!["PLAIN".to_owned(), "AMQPLAIN".to_owned()];
    if config.tls.client_ca.is_some() {
        mechanisms.push("EXTERNAL".to_owned());
    }
    SessionConfig {
        product: config.identity.product.clone(),
        version: config.identity.version.clone(),
        platform: format!("Rust, {}", std::env::consts::OS),
        cluster_name: config.identity.cluster_name.clone(),
        copyright: "the Leveret developers".to_owned(),
        information: "Licensed under MIT or Apache-2.0".to_owned(),
        frame_max: config.amqp.frame_max,
        channel_max: config.amqp.channel_max,
        heartbeat_s: config.amqp.heartbeat_s,
        max_message_bytes: config.amqp.max_message_bytes,
        handshake_timeout_ms: config.amqp.handshake_timeout_ms,
        mechanisms,
    }
}

/// The kind of the record that holds the broker's name.
const CLUSTER_NAME: &str = "cluster-name";
/// Queues looked at before other tasks get their turn.
const DEADLINES_PER_TURN: usize = 16;
/// How long closing handshakes may take at a stop.
const CLOSE_GRACE: Duration = Duration::from_millis(1500);
/// How long connections have to read that the broker fails.
const FAILURE_GRACE: Duration = Duration::from_millis(200);
