//! Who is connected, for the admin API, for alarms and for shutting down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use leveret_core::queue::ConnectionId;
use leveret_core::session::channel::ChannelInfo;
use leveret_protocol::table::Table;
use parking_lot::Mutex;

use crate::clock;
use crate::outbox::{Notice, Outbox};

/// All open connections.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<ConnectionId, Arc<Entry>>>,
}

struct Entry {
    outbox: Arc<Outbox>,
    /// With a lock of its own, so that listing ten thousand connections holds up none that comes or goes.
    info: Mutex<ConnectionInfo>,
}

/// A connection as the admin API shows it.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    pub id: ConnectionId,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub tls: bool,
    /// Milliseconds since the epoch.
    pub connected_at_ms: u64,
    pub user: String,
    pub vhost: String,
    /// How the user logged in; empty before.
    pub auth_mechanism: String,
    /// A second old at most, as the fields below.
    pub channels: Vec<ChannelInfo>,
    pub traffic: Traffic,
    /// It publishes and has to wait for an alarm to be over.
    pub blocked: bool,
    /// Had to wait for consumers to catch up lately.
    pub held_up: bool,
    /// It published at least once.
    pub publishes: bool,
    /// Messages published.
    pub published: u64,
    /// The same by exchange, of the first exchanges that it published to.
    pub published_to: Vec<(Box<str>, u64)>,
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat_s: u16,
    pub client_properties: Table,
}

/// What went over a connection since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    pub read_bytes: u64,
    pub reads: u64,
    pub written_bytes: u64,
    pub writes: u64,
    /// Waiting to be written now.
    pub unsent_bytes: u64,
}

impl ConnectionInfo {
    /// The name that RabbitMQ gives to connections: `127.0.0.1:41234 -> 127.0.0.1:5672`.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }

    /// Adds messages published to an exchange.
    pub fn count_published(&mut self, exchange: &str, messages: u64) {
        self.published += messages;
        if let Some((_, count)) = self.published_to.iter_mut().find(|(known, _)| **known == *exchange) {
            *count += messages;
        } else if self.published_to.len() < EXCHANGES_COUNTED {
            self.published_to.push((exchange.into(), messages));
        }
    }
}

impl Connections {
    /// Adds a connection that was just accepted.
    pub fn add(&self, peer: SocketAddr, local: SocketAddr, tls: bool, outbox: Arc<Outbox>) -> ConnectionId {
        let id = self.reserve();
        let info = ConnectionInfo {
            id,
            peer,
            local,
            tls,
            connected_at_ms: clock::now_ms(),
            user: String::new(),
            vhost: String::new(),
            auth_mechanism: String::new(),
            channels: Vec::new(),
            traffic: Traffic::default(),
            blocked: false,
            held_up: false,
            publishes: false,
            published: 0,
            published_to: Vec::new(),
            channel_max: 0,
            frame_max: 0,
            heartbeat_s: 0,
            client_properties: Table::default(),
        };
        self.open.lock().insert(id, Arc::new(Entry { outbox, info: Mutex::new(info) }));
        id
    }

    /// A number that no connection has, for somebody who acts like one.
    pub fn reserve(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Forgets a connection that ended.
    pub fn remove(&self, id: ConnectionId) {
        self.open.lock().remove(&id);
    }

    /// Changes what is known about a connection.
    pub fn update(&self, id: ConnectionId, change: impl FnOnce(&mut ConnectionInfo)) {
        let entry = self.open.lock().get(&id).cloned();
        if let Some(entry) = entry {
            change(&mut entry.info.lock());
        }
    }

    /// Leaves a notice for every connection.
    pub fn notice_all(&self, notice: &Notice) {
        let outboxes: Vec<Arc<Outbox>> =
            self.open.lock().values().map(|entry| entry.outbox.clone()).collect();
        for outbox in outboxes {
            outbox.notice(notice.clone());
        }
    }

    /// Leaves a notice for those connections that `wanted` picks. Returns how many there were.
    pub fn notice_where(&self, wanted: impl Fn(&ConnectionInfo) -> bool, notice: &Notice) -> usize {
        let entries: Vec<Arc<Entry>> = self.open.lock().values().cloned().collect();
        let mut noticed = 0;
        for entry in entries {
            let is_wanted = wanted(&entry.info.lock());
            if is_wanted {
                entry.outbox.notice(notice.clone());
                noticed += 1;
            }
        }
        noticed
    }

    /// Leaves a notice for one connection. False when it is gone.
    pub fn notice(&self, id: ConnectionId, notice: Notice) -> bool {
        let outbox = self.open.lock().get(&id).map(|entry| entry.outbox.clone());
        outbox.is_some_and(|outbox| {
            outbox.notice(notice);
            true
        })
    }

    /// Looks at what is known about one connection.
    pub fn look<R>(&self, id: ConnectionId, at: impl FnOnce(&ConnectionInfo) -> R) -> Option<R> {
        let entry = self.open.lock().get(&id).cloned()?;
        let seen = at(&entry.info.lock());
        Some(seen)
    }

    /// Looks at each open connection, in no order.
    pub fn look_at_all(&self, mut at: impl FnMut(&ConnectionInfo)) {
        let entries: Vec<Arc<Entry>> = self.open.lock().values().cloned().collect();
        for entry in entries {
            at(&entry.info.lock());
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// True when nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.open.lock().is_empty()
    }
}

/// Exchanges for which it is known how much a connection published to each. What goes to more is in the sum only.
const EXCHANGES_COUNTED: usize = 64;
