//! The broker as one connection sees it: sessions meet queues here and nowhere else.
//!
//! Publishes are routed through a cache that is valid while the topology's generation stands still, and grouped per
//! queue; [`Host::flush`] hands each queue its group in one call.

mod audit;
mod route_cache;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use leveret_core::auth::{Access, Resource, User, UserLimits};
use leveret_core::deduplication::Sighting;
use leveret_core::delayed::Delay;
use leveret_core::fault::Fault;
use leveret_core::message::Message;
use leveret_core::queue::{ConnectionId, Subscription};
use leveret_core::session::host::{
    Binding, Consume, ConsumerKey, Delivery, Destination, ExchangeDeclare, Got, Host, QueueDeclare,
    QueueDeclared, Receipts, Routed, Settle, Ticket,
};
use leveret_core::vhost::without_bcc;
use leveret_protocol::table::{RawTable, Table};
use serde_json::json;

use tokio::task::AbortHandle;
use tracing::info;

use crate::broker::{Broker, Vhost};
use crate::clock;
use crate::connections::ConnectionInfo;
use crate::delayed::DelayedExchange;
use crate::exchange_memory::{self, Noted, Verdict};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::queue_host::{ChannelWindow, Link, Publish, QueueCell, SubscribeError, delivery_bytes};
use crate::replies::{is_reply, is_reply_name};
use crate::store::Store;
use route_cache::RouteCache;

/// A queue as sessions hold it; compared by identity.
#[derive(Clone)]
pub struct QueueRef(pub Arc<QueueCell>);

impl PartialEq for QueueRef {
    fn eq(&self, other: &QueueRef) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One connection's side of the broker.
pub struct ConnectionHost {
    broker: Arc<Broker>,
    id: ConnectionId,
    outbox: Arc<Outbox>,
    peer: SocketAddr,
    /// The name in the client's TLS certificate.
    certificate_user: Option<String>,
    /// Who is connected, with rights as of `user_generation`.
    user: Option<Arc<User>>,
    user_generation: u64,
    /// The user that the connection and its channels are counted for, also when that user is deleted meanwhile.
    counted_as: Option<Box<str>>,
    vhost: Option<Arc<Vhost>>,
    channels: HashMap<u16, ChannelState>,
    consumers: HashMap<ConsumerKey, ConsumerState>,
    routes: RouteCache,
    groups: Groups,
    /// Messages on their way into delayed exchanges since the last flush, with the moments at which they are due.
    held: Vec<Holding>,
    /// Messages published since the last flush that their exchange remembers.
    noted: Vec<Noted>,
    /// When the first ones are safe of which duplicates came since the last flush.
    duplicates_after: Ticket,
    /// Deliveries from the outbox that the session has not got yet.
    waiting: VecDeque<Delivery>,
    /// Bytes of deliveries that the session has got and that the outbox still counts as unwritten.
    owed: usize,
    /// The latest ticket that the store was asked to wake this connection for.
    awaited: Ticket,
    /// Published since the last flush: all, and those in confirm mode.
    published: (u64, u64),
    /// A queue that was published to and whose consumers may have to catch up first.
    congested: Option<Arc<QueueCell>>,
    /// The connection had to wait for consumers since it was last shown.
    was_held_up: bool,
    /// The login that is being checked.
    login: Option<AbortHandle>,
    /// True when whoever acts through this writes down what was changed.
    is_audited_elsewhere: bool,
}

/// A delayed exchange, and what it is to hold until when.
type Holding = (Arc<DelayedExchange>, Vec<(u64, Message)>);

struct ChannelState {
    window: Arc<ChannelWindow>,
    /// Queues that this channel got messages from, with the key that holds them.
    getters: Vec<(Arc<QueueCell>, ConsumerKey)>,
    /// Consumers that were cancelled and may still hold messages.
    cancelled: Vec<(Arc<QueueCell>, ConsumerKey)>,
    /// Where the channel's direct reply-to consumer is reached.
    reply_address: Option<Box<str>>,
}

struct ConsumerState {
    cell: Arc<QueueCell>,
    channel: u16,
    no_ack: bool,
}

impl ConnectionHost {
    /// The host of a new connection.
    pub fn new(
        broker: Arc<Broker>,
        id: ConnectionId,
        peer: SocketAddr,
        certificate_user: Option<String>,
        outbox: Arc<Outbox>,
    ) -> ConnectionHost {
        ConnectionHost {
            broker,
            id,
            outbox,
            peer,
            certificate_user,
            user: None,
            user_generation: 0,
            counted_as: None,
            vhost: None,
            channels: HashMap::new(),
            consumers: HashMap::new(),
            routes: RouteCache::seeded(rand::random()),
            groups: Groups::default(),
            held: Vec::new(),
            noted: Vec::new(),
            duplicates_after: Ticket(0),
            waiting: VecDeque::new(),
            owed: 0,
            awaited: Ticket(0),
            published: (0, 0),
            congested: None,
            was_held_up: false,
            login: None,
            is_audited_elsewhere: false,
        }
    }

    /// The connection's mailbox.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The store behind the broker.
    pub fn store(&self) -> &Store {
        self.broker.store()
    }

    /// Asks to be woken once `ticket` is durable.
    pub fn wake_when_durable(&mut self, ticket: Ticket) {
        if ticket > self.awaited {
            self.awaited = ticket;
            self.broker.store().wake_when_durable(ticket, self.outbox.clone());
        }
    }

    /// The next deliveries for the session, of about `bytes_max` together.
    pub fn next_deliveries(&mut self, bytes_max: usize) -> impl Iterator<Item = Delivery> {
        if self.waiting.is_empty() {
            let mut list = Vec::from(std::mem::take(&mut self.waiting));
            if list.capacity() > DELIVERIES_CAPACITY_MAX {
                list = Vec::new();
            }
            self.outbox.take_deliveries(&mut list);
            self.waiting = list.into();
        }
        let mut room = bytes_max;
        std::iter::from_fn(move || {
            if room == 0 {
                return None;
            }
            let delivery = self.waiting.pop_front()?;
            let bytes = delivery_bytes(&delivery);
            room = room.saturating_sub(bytes);
            self.owed += bytes;
            Some(delivery)
        })
    }

    /// Everything that the session got was written to the socket, or will never be. Consumers that waited for room go
    /// on.
    pub fn deliveries_written(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        if owed > 0 {
            for (cell, key) in self.outbox.written(owed) {
                self.resume(&cell, key);
            }
        }
    }

    /// Why publishers have to wait at present.
    pub fn alarm(&self) -> Option<&'static str> {
        self.broker.alarms().reason()
    }

    /// Until when this connection has to wait for the consumers of a queue it published to, by the monotonic clock; it is
    /// woken when it may go on sooner. `None` when it need not wait.
    pub fn held_up_until(&mut self, now_ms: u64) -> Option<u64> {
        let until_ms = self.congested.as_ref()?.hold_up(&self.outbox, now_ms);
        match until_ms {
            Some(_) => self.was_held_up = true,
            None => self.congested = None,
        }
        until_ms
    }

    /// True when [`ConnectionHost::held_up_until`] may have something to say.
    pub fn may_be_held_up(&self) -> bool {
        self.congested.is_some()
    }

    /// Counts bytes on the wire.
    pub fn note_traffic(&self, read: u64, written: u64) {
        let metrics = self.metrics();
        metrics.bytes_read.fetch_add(read, Ordering::Relaxed);
        metrics.bytes_written.fetch_add(written, Ordering::Relaxed);
    }

    /// A login was checked: remembers whose connection this is.
    pub fn logged_in(&mut self, user: &str) {
        self.refresh_user(user);
        self.broker.connections().update(self.id, |info| info.user = user.to_owned());
    }

    /// Acts in a vhost for somebody who is not connected: nothing is counted towards limits on connections.
    pub fn act_in(&mut self, vhost: &str) -> Result<(), Fault> {
        let not_found = || Fault::not_allowed(format!("vhost {vhost} not found"));
        let found = self.broker.vhost(vhost).ok_or_else(not_found)?;
        self.current_user().ok_or_else(not_found)?.check_vhost(vhost)?;
        self.vhost = Some(found);
        Ok(())
    }

    /// A consumer waits no longer.
    fn resume(&self, cell: &QueueCell, key: ConsumerKey) {
        cell.resume(self.id, key);
    }

    /// Its queue was deleted under this consumer.
    pub fn consumer_cancelled(&mut self, key: ConsumerKey) {
        self.consumers.remove(&key);
    }

    /// The socket is gone, after the session told of its end.
    pub fn disconnected(&mut self) {
        self.broker.connections().remove(self.id);
        // Nobody waits for the answer: others who wait for theirs move up.
        if let Some(login) = self.login.take() {
            login.abort();
        }
        // Frees the consumers that waited for this socket; they are gone from their queues already.
        drop(self.outbox.written(self.owed));
    }

    /// How many channels are open.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Shows the connection as it is now to the admin API, and adds up what it published where.
    pub fn show(&mut self, change: impl FnOnce(&mut ConnectionInfo)) {
        self.add_flows();
        let was_held_up = std::mem::take(&mut self.was_held_up);
        self.broker.connections().update(self.id, |info| {
            info.held_up = was_held_up;
            change(info);
        });
    }

    /// Adds up what was published since the last time, see [`crate::flows`].
    fn add_flows(&mut self) {
        let Some(vhost) = &self.vhost else { return };
        self.routes.credit();
        if !self.routes.is_counted {
            return;
        }
        vhost.flows().add(self.routes.runs(), self.routes.uncached_copies());
        self.broker.connections().update(self.id, |info| {
            for run in self.routes.runs() {
                info.count_published(run.exchange, run.messages);
            }
        });
        self.routes.forget_counts();
    }

    fn metrics(&self) -> &Metrics {
        self.broker.metrics()
    }

    fn vhost(&self) -> Result<Arc<Vhost>, Fault> {
        self.vhost.clone().ok_or_else(|| Fault::not_allowed("no vhost is open"))
    }

    fn user_name(&self) -> &str {
        self.user.as_ref().map_or("", |user| user.name())
    }

    fn refresh_user(&mut self, name: &str) {
        let users = self.broker.users().read();
        self.user_generation = users.generation();
        self.user = users.user(name).cloned();
    }

    fn check(&mut self, access: Access, resource: Resource<'_>) -> Result<(), Fault> {
        let vhost = self.vhost()?;
        match self.current_user() {
            Some(user) => user.check(vhost.name(), resource, access),
            None => Err(Fault::access_refused("the user of this connection was deleted")),
        }
    }

    /// The user with the rights they have now.
    fn current_user(&mut self) -> Option<Arc<User>> {
        let user = self.user.clone()?;
        if self.broker.users().read().generation() != self.user_generation {
            self.refresh_user(user.name());
        }
        self.user.clone()
    }

    /// The queue of this name, when this connection may use it.
    fn queue(&self, name: &str) -> Result<Arc<QueueCell>, Fault> {
        self.vhost()?.queue(name, self.id)
    }

    /// `queue.declare` of an address for direct replies: asks whether somebody waits there.
    fn declare_replies(&self, name: &str) -> Result<QueueDeclared, Fault> {
        let vhost = self.vhost()?;
        if !self.broker.replies().exists(vhost.name(), name) {
            return Err(Fault::not_found(format!("no queue '{name}' in vhost '{}'", vhost.name())));
        }
        Ok(QueueDeclared { queue: name.to_owned(), message_count: 0, consumer_count: 1, after: Ticket(0) })
    }

    fn check_binding(&mut self, binding: &Binding<'_>) -> Result<(), Fault> {
        match binding.destination {
            Destination::Queue(queue) if is_reply_name(queue) => {
                return Err(Fault::access_refused("operation not permitted on a direct reply-to address"));
            }
            Destination::Queue(queue) => self.check(Access::Write, Resource::Queue(queue))?,
            Destination::Exchange(exchange) => self.check(Access::Write, Resource::Exchange(exchange))?,
        }
        self.check(Access::Read, Resource::Exchange(binding.source))
    }

    fn release(&self, channel: u16, count: u32) {
        if let Some(state) = self.channels.get(&channel) {
            for (cell, key) in state.window.release(count) {
                cell.resume(self.id, key);
            }
        }
    }

    /// Ends a queue that was to live only as long as it had consumers.
    fn delete_unused(&self, cell: &QueueCell) {
        if let Some(vhost) = &self.vhost {
            self.broker.delete_auto_delete_queue(vhost, cell);
        }
    }

    /// Finds where a message goes, and caches it where that depends on exchange and routing key only. True when it
    /// names further keys.
    fn route(&mut self, message: &Message) -> Result<bool, Fault> {
        let vhost = self.vhost()?;
        let generation = self.broker.generation();
        if self.routes.generation != generation {
            self.add_flows();
            self.routes.clear(generation);
        }
        let names_more_keys = has_routing_headers(message);
        if !names_more_keys && self.routes.find(message) {
            self.routes.is_remembered = false;
            return Ok(false);
        }
        let (exchange, routing_key) = (message.exchange(), message.routing_key());
        self.check(Access::Write, Resource::Exchange(exchange))?;
        self.routes.forget_found();
        let RouteCache { scratch, found, holding, .. } = &mut self.routes;
        vhost.route(message, scratch, found)?;
        holding.extend_from_slice(scratch.holding());
        if let Some(user) = &self.user
            && user.has_topic_permissions(vhost.name())
            && vhost.is_topic_exchange(exchange)
        {
            user.check_topic(vhost.name(), exchange, routing_key, Access::Write)?;
        }
        if self.routes.scratch.is_repeatable() {
            if self.routes.is_full() {
                self.add_flows();
            }
            self.routes.remember(message);
        }
        self.routes.is_remembered = self.routes.scratch.is_remembered();
        Ok(names_more_keys)
    }

    /// Notes a message for the delayed exchanges that are to hold it back.
    #[cold]
    fn hold(&mut self, message: &Message) {
        let headers = message.properties().headers().unwrap_or_default();
        let Some(delay) = Delay::of(headers) else { return };
        let due_ms = delay.due_ms(clock::now_ms());
        for uid in &self.routes.holding {
            let Some(exchange) = self.broker.delayed_exchange(*uid) else { continue };
            let held = (due_ms, message.clone());
            match self.held.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &exchange)) {
                Some((_, messages)) => messages.push(held),
                None => self.held.push((exchange, vec![held])),
            }
        }
    }

    /// Tells the exchanges on the way of a message of it. False when it goes no further, as a duplicate.
    #[cold]
    fn remember(&mut self, channel: u16, sequence: u64, message: &Message) -> Result<bool, Fault> {
        let vhost = self.vhost()?;
        // Found anew, with what remembers it: bindings may have changed since the look.
        self.routes.forget_found();
        let RouteCache { scratch, found, holding, .. } = &mut self.routes;
        let persistent = message.is_persistent();
        let verdict = vhost.route_remembered(message, scratch, found)?;
        holding.extend_from_slice(scratch.holding());
        let (memory, digest, is_duplicate) = match verdict {
            Verdict::New => return Ok(true),
            Verdict::Noted(memory, digest) => (memory, digest, false),
            Verdict::Duplicate(memory, digest, Sighting::InFlight) => (memory, digest, true),
            Verdict::Duplicate(_, _, Sighting::Safe(after)) => {
                self.duplicates_after = self.duplicates_after.max(after);
                self.metrics().deduplicated.fetch_add(1, Ordering::Relaxed);
                return Ok(false);
            }
        };
        if is_duplicate {
            self.metrics().deduplicated.fetch_add(1, Ordering::Relaxed);
        }
        self.noted.push(Noted { memory, digest, channel, sequence, persistent, is_duplicate });
        Ok(!is_duplicate)
    }

    /// Takes care of a message that no queue gets: it may be a direct reply.
    fn publish_unrouted(&self, message: &Message) -> Routed {
        let is_delivered = is_reply(message)
            && self.vhost.as_ref().is_some_and(|vhost| self.broker.replies().deliver(vhost.name(), message));
        if is_delivered {
            return Routed::Yes;
        }
        self.metrics().unroutable.fetch_add(1, Ordering::Relaxed);
        Routed::No
    }
}

impl Host for ConnectionHost {
    type Queue = QueueRef;

    fn authenticate(&mut self, mechanism: &str, response: &[u8]) {
        let certificate_user = self.certificate_user.as_deref();
        let peer = self.peer.ip();
        self.login =
            self.broker.authenticate(mechanism, response, certificate_user, peer, self.outbox.clone());
        self.broker.connections().update(self.id, |info| info.auth_mechanism = mechanism.to_owned());
    }

    fn client_properties(&mut self, properties: &Table) {
        self.broker.connections().update(self.id, |info| info.client_properties = properties.clone());
    }

    fn tuned(&mut self, channel_max: u16, frame_max: u32, heartbeat_s: u16) {
        self.broker.connections().update(self.id, |info| {
            info.channel_max = channel_max;
            info.frame_max = frame_max;
            info.heartbeat_s = heartbeat_s;
        });
    }

    fn open(&mut self, vhost: &str) -> Result<(), Fault> {
        let not_found = || Fault::not_allowed(format!("vhost {vhost} not found"));
        let found = self.broker.vhost(vhost).ok_or_else(not_found)?;
        let user = self.current_user().ok_or_else(not_found)?;
        let limits =
            self.broker.vhost_records().read().get(vhost).map(|record| record.limits).unwrap_or_default();
        let mut tallies = self.broker.tallies().lock();
        tallies.open_connection(user.name(), vhost, limits, user.limits())?;
        if let Err(fault) = user.check_vhost(vhost) {
            tallies.close_connection(user.name(), vhost, 0);
            return Err(fault);
        }
        drop(tallies);
        self.counted_as = Some(user.name().into());
        self.broker.connections().update(self.id, |info| info.vhost = vhost.to_owned());
        self.vhost = Some(found);
        Ok(())
    }

    fn update_secret(&mut self, _secret: &[u8], _reason: &str) -> Result<(), Fault> {
        // Passwords of internal users do not expire: as RabbitMQ's internal backend, the new one is taken as read.
        Ok(())
    }

    fn user(&self) -> &str {
        self.user_name()
    }

    fn may_impersonate(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.tags().may_impersonate())
    }

    fn closed(&mut self) {
        self.add_flows();
        let channels: Vec<u16> = self.channels.keys().copied().collect();
        for channel in channels {
            self.channel_closed(channel);
        }
        if let Some(vhost) = self.vhost.take() {
            if let Some(user) = self.counted_as.take() {
                self.broker.tallies().lock().close_connection(&user, vhost.name(), 0);
            }
            self.broker.delete_exclusive_queues(&vhost, self.id);
        }
    }

    fn faulted(&mut self, channel: u16, fault: &Fault) {
        info!(channel, code = fault.code.code(), %fault, "fault");
    }

    fn channel_opened(&mut self, channel: u16) -> Result<(), Fault> {
        let limits = self.current_user().map_or_else(UserLimits::default, |user| user.limits());
        if let Some(user) = &self.counted_as {
            self.broker.tallies().lock().open_channel(user, limits)?;
        }
        let state = ChannelState {
            window: Arc::new(ChannelWindow::new()),
            getters: Vec::new(),
            cancelled: Vec::new(),
            reply_address: None,
        };
        self.channels.insert(channel, state);
        self.metrics().channels_opened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn channel_closed(&mut self, channel: u16) {
        self.cancel_replies(channel);
        let Some(state) = self.channels.remove(&channel) else { return };
        if let Some(user) = &self.counted_as {
            self.broker.tallies().lock().close_channel(user);
        }
        let mut consumers = Vec::new();
        self.consumers.retain(|key, consumer| {
            let stays = consumer.channel != channel;
            if !stays {
                consumers.push((*key, consumer.cell.clone()));
            }
            stays
        });
        for (key, cell) in consumers {
            if cell.drop_consumer(self.id, key) {
                self.delete_unused(&cell);
            }
        }
        for (cell, key) in state.getters.into_iter().chain(state.cancelled) {
            cell.drop_consumer(self.id, key);
        }
        self.metrics().channels_closed.fetch_add(1, Ordering::Relaxed);
    }

    fn channel_prefetch(&mut self, channel: u16, count: u16) {
        if let Some(state) = self.channels.get(&channel) {
            for (cell, key) in state.window.set_limit(u32::from(count)) {
                cell.resume(self.id, key);
            }
        }
    }

    fn exchange_declare(&mut self, request: ExchangeDeclare<'_>) -> Result<Ticket, Fault> {
        if !request.passive {
            self.check(Access::Configure, Resource::Exchange(request.exchange))?;
        }
        let is_new = self.is_new_exchange(&request);
        let ticket = self.broker.exchange_declare(&*self.vhost()?, &request, self.user_name())?;
        if is_new {
            self.note_exchange(&request);
        }
        Ok(ticket)
    }

    fn exchange_delete(&mut self, exchange: &str, if_unused: bool) -> Result<Ticket, Fault> {
        self.check(Access::Configure, Resource::Exchange(exchange))?;
        let is_there = self.has_exchange(exchange) == Some(true);
        let ticket = self.broker.exchange_delete(&*self.vhost()?, exchange, if_unused)?;
        if is_there {
            self.note("delete", "exchange", exchange, json!({}));
        }
        Ok(ticket)
    }

    fn queue_declare(&mut self, request: QueueDeclare<'_>) -> Result<QueueDeclared, Fault> {
        if is_reply_name(request.queue) {
            return self.declare_replies(request.queue);
        }
        if !request.passive && !request.queue.is_empty() {
            self.check(Access::Configure, Resource::Queue(request.queue))?;
        }
        let vhost = self.vhost()?;
        let Some(user) = self.current_user() else {
            return Err(Fault::access_refused("the user of this connection was deleted"));
        };
        let may_use = |access, resource: Resource<'_>| user.check(vhost.name(), resource, access);
        let is_new = self.is_new_queue(&request);
        let declared = self.broker.queue_declare(&vhost, &request, self.id, user.name(), &may_use)?;
        if is_new {
            self.note_queue(&declared.queue, &request);
        }
        Ok(declared)
    }

    fn queue_delete(&mut self, queue: &str, if_unused: bool, if_empty: bool) -> Result<(u32, Ticket), Fault> {
        self.check(Access::Configure, Resource::Queue(queue))?;
        let is_shared = self.has_shared_queue(queue) == Some(true);
        let deleted = self.broker.queue_delete(&*self.vhost()?, queue, self.id, if_unused, if_empty)?;
        if is_shared {
            self.note("delete", "queue", queue, json!({"messages": deleted.0}));
        }
        Ok(deleted)
    }

    fn queue_purge(&mut self, queue: &str) -> Result<(u32, Ticket), Fault> {
        self.check(Access::Read, Resource::Queue(queue))?;
        let (purged, ticket) = self.queue(queue)?.purge();
        if self.has_shared_queue(queue) == Some(true) {
            self.note("purge", "queue", queue, json!({"messages": purged}));
        }
        Ok((u32::try_from(purged).unwrap_or(u32::MAX), ticket))
    }

    fn bind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.check_binding(&binding)?;
        let is_new = self.has_shared_binding(&binding) == Some(false);
        let ticket = self.broker.bind(&*self.vhost()?, &binding, self.id)?;
        if is_new {
            self.note_binding("bind", &binding);
        }
        Ok(ticket)
    }

    fn unbind(&mut self, binding: Binding<'_>) -> Result<Ticket, Fault> {
        self.check_binding(&binding)?;
        let is_there = self.has_shared_binding(&binding) == Some(true);
        let ticket = self.broker.unbind(&*self.vhost()?, &binding, self.id)?;
        if is_there {
            self.note_binding("unbind", &binding);
        }
        Ok(ticket)
    }

    fn publish(&mut self, channel: u16, sequence: Option<u64>, message: Message) -> Result<Routed, Fault> {
        let names_more_keys = self.route(&message)?;
        self.published.0 += 1;
        self.routes.count(message.exchange());
        self.published.1 += u64::from(sequence.is_some());
        if self.routes.is_remembered && !self.remember(channel, sequence.unwrap_or(0), &message)? {
            return Ok(Routed::Yes);
        }
        let is_held = !self.routes.holding.is_empty();
        if is_held {
            // As it came: it is routed when its time has come.
            self.hold(&message);
        }
        let message = if names_more_keys { without_bcc(message) } else { message };
        let Some((last, others)) = self.routes.found.split_last() else {
            if is_held {
                return Ok(Routed::Yes);
            }
            return Ok(self.publish_unrouted(&message));
        };
        let sequence = sequence.unwrap_or(0);
        for cell in others {
            self.groups.add(cell, Publish { message: message.clone(), channel, sequence });
        }
        self.groups.add(last, Publish { message, channel, sequence });
        Ok(Routed::Yes)
    }

    fn returned(&mut self) {
        self.metrics().returned.fetch_add(1, Ordering::Relaxed);
    }

    fn check_publish(&mut self, message: &Message) -> Result<(), Fault> {
        self.route(message).map(drop)
    }

    fn flush(&mut self, receipts: &mut Receipts) {
        let (published, in_confirm_mode) = std::mem::take(&mut self.published);
        if published > 0 {
            self.metrics().published.fetch_add(published, Ordering::Relaxed);
            self.metrics().published_confirm.fetch_add(in_confirm_mode, Ordering::Relaxed);
        }
        let messages = self.groups.flush(receipts, &mut self.congested);
        for (exchange, messages) in self.held.drain(..) {
            receipts.after = receipts.after.max(exchange.hold(messages.into_iter()));
        }
        if !self.noted.is_empty() || self.duplicates_after > Ticket(0) {
            let after = receipts.after.max(std::mem::take(&mut self.duplicates_after));
            let store = self.broker.store();
            receipts.after = exchange_memory::settle(&mut self.noted, store, after, &mut receipts.rejected);
        }
        if messages > 0 {
            self.metrics().routed.fetch_add(messages, Ordering::Relaxed);
        }
    }

    fn consume(&mut self, consume: Consume<'_>) -> Result<QueueRef, Fault> {
        self.check(Access::Read, Resource::Queue(consume.queue))?;
        let cell = self.queue(consume.queue)?;
        let priority = consumer_priority(consume.arguments, &cell)?;
        let Some(channel) = self.channels.get(&consume.channel) else {
            return Err(Fault::not_allowed("the channel is not open"));
        };
        let subscription = Subscription {
            connection: self.id,
            key: consume.key,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: u32::from(consume.prefetch_count),
            priority,
            subscribed: true,
        };
        let link = Link {
            outbox: self.outbox.clone(),
            window: channel.window.clone(),
            consumer_tag: consume.consumer_tag.into(),
            channel: consume.channel,
        };
        cell.subscribe(subscription, link).map_err(|error| match error {
            SubscribeError::InExclusiveUse => {
                Fault::access_refused(format!("{} in exclusive use", describe(&cell)))
            }
            SubscribeError::Gone => Fault::not_found(format!("no {}", describe(&cell))),
        })?;
        let state = ConsumerState { cell: cell.clone(), channel: consume.channel, no_ack: consume.no_ack };
        self.consumers.insert(consume.key, state);
        Ok(QueueRef(cell))
    }

    fn cancel(&mut self, queue: &QueueRef, key: ConsumerKey) {
        // The channel keeps what the consumer holds, so the queue must still know it when the channel goes.
        if let Some(consumer) = self.consumers.remove(&key)
            && !consumer.no_ack
            && let Some(state) = self.channels.get_mut(&consumer.channel)
        {
            state.cancelled.push((consumer.cell, key));
        }
        if queue.0.cancel(self.id, key) {
            self.delete_unused(&queue.0);
        }
    }

    fn consume_replies(&mut self, channel: u16, key: ConsumerKey) -> Result<Box<str>, Fault> {
        let vhost = self.vhost()?;
        let Some(state) = self.channels.get_mut(&channel) else {
            return Err(Fault::not_allowed("the channel is not open"));
        };
        let address = self.broker.replies().add(vhost.name().clone(), self.outbox.clone(), key);
        state.reply_address = Some(address.clone());
        Ok(address)
    }

    fn cancel_replies(&mut self, channel: u16) {
        if let Some(address) = self.channels.get_mut(&channel).and_then(|state| state.reply_address.take()) {
            self.broker.replies().remove(&address);
        }
    }

    fn take_deliveries(&mut self, deliveries: &mut Vec<Delivery>) {
        let known = deliveries.len();
        deliveries.extend(self.waiting.drain(..));
        self.outbox.take_deliveries(deliveries);
        self.owed += deliveries[known..].iter().map(delivery_bytes).sum::<usize>();
    }

    fn get(
        &mut self,
        channel: u16,
        key: ConsumerKey,
        queue: &str,
        no_ack: bool,
    ) -> Result<(QueueRef, Option<Got>), Fault> {
        self.check(Access::Read, Resource::Queue(queue))?;
        let cell = self.queue(queue)?;
        if cell.is_single_active() {
            return Err(Fault::resource_locked(format!(
                "cannot obtain access to locked {}. basic.get operations are not supported by queues with single active consumer",
                describe(&cell)
            )));
        }
        let got = cell.get(self.id, channel, key, no_ack);
        if got.is_none() {
            self.metrics().get_empty.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(state) = self.channels.get_mut(&channel)
            && !state.getters.iter().any(|(other, held)| *held == key && Arc::ptr_eq(other, &cell))
        {
            state.getters.push((cell.clone(), key));
        }
        Ok((QueueRef(cell), got))
    }

    fn settle(
        &mut self,
        channel: u16,
        queue: &QueueRef,
        key: ConsumerKey,
        outcome: Settle,
        deliveries: &[Range<u64>],
    ) {
        queue.0.settle(self.id, key, outcome, deliveries);
        if !self.channels.get(&channel).is_some_and(|state| state.is_getter(key)) {
            let count: u64 = deliveries.iter().map(|ids| ids.end - ids.start).sum();
            self.release(channel, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    fn durable(&self) -> Ticket {
        self.broker.store().durable()
    }
}

impl ChannelState {
    fn is_getter(&self, key: ConsumerKey) -> bool {
        self.getters.iter().any(|(_, held)| *held == key)
    }
}

/// Messages on their way to queues since the last flush, by queue.
#[derive(Default)]
struct Groups {
    groups: Vec<Group>,
    /// How many of `groups` are in use; the others keep their buffers.
    used: usize,
    /// Where each queue's group is, once there are more than a few.
    by_uid: HashMap<u64, usize>,
}

struct Group {
    cell: Arc<QueueCell>,
    batch: Vec<Publish>,
}

impl Groups {
    fn add(&mut self, cell: &Arc<QueueCell>, publish: Publish) {
        let near = self.used.saturating_sub(GROUPS_SCANNED);
        let found = self.groups[near..self.used].iter().rposition(|group| Arc::ptr_eq(&group.cell, cell));
        let at = match found {
            Some(at) => near + at,
            None => match self.by_uid.get(&cell.uid()) {
                Some(at) if self.used > GROUPS_SCANNED => *at,
                _ => self.start(cell),
            },
        };
        self.groups[at].batch.push(publish);
    }

    fn start(&mut self, cell: &Arc<QueueCell>) -> usize {
        let at = self.used;
        match self.groups.get_mut(at) {
            Some(group) => group.cell = cell.clone(),
            None => self.groups.push(Group { cell: cell.clone(), batch: Vec::new() }),
        }
        self.used += 1;
        self.by_uid.insert(cell.uid(), at);
        at
    }

    /// Hands every queue its messages; returns how many there were. Notes a queue that is congested by them.
    fn flush(&mut self, receipts: &mut Receipts, congested: &mut Option<Arc<QueueCell>>) -> u64 {
        let mut messages = 0;
        for group in &mut self.groups[..self.used] {
            messages += group.batch.len() as u64;
            let ticket = group.cell.publish(&mut group.batch, &mut receipts.rejected);
            receipts.after = receipts.after.max(ticket);
            if group.cell.is_congested() && congested.is_none() {
                *congested = Some(group.cell.clone());
            }
            if group.batch.capacity() > BATCH_CAPACITY_MAX {
                group.batch = Vec::new();
            }
        }
        self.by_uid.clear();
        self.used = 0;
        self.groups.truncate(GROUPS_KEPT);
        messages
    }
}

/// `x-priority`, 0 when absent.
fn consumer_priority(arguments: RawTable<'_>, cell: &QueueCell) -> Result<i32, Fault> {
    let Some(value) = arguments.get("x-priority") else { return Ok(0) };
    let Some(priority) = value.as_i64() else {
        return Err(Fault::precondition_failed(format!(
            "invalid arg 'x-priority' for {}: \"expected integer, got {}\"",
            describe(cell),
            value.type_name()
        )));
    };
    Ok(priority.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
}

/// True when headers name more routing keys (`CC`, `BCC`).
fn has_routing_headers(message: &Message) -> bool {
    message
        .properties()
        .headers()
        .is_some_and(|headers| headers.get("CC").is_some() || headers.get("BCC").is_some())
}

/// A queue as RabbitMQ's texts name it.
pub fn describe(cell: &QueueCell) -> String {
    format!("queue '{}' in vhost '{}'", cell.name(), cell.vhost())
}

/// Groups searched one by one before the map is asked.
const GROUPS_SCANNED: usize = 8;
/// Groups whose buffers are kept between flushes.
const GROUPS_KEPT: usize = 64;
/// A group's buffer beyond this many messages is given back.
const BATCH_CAPACITY_MAX: usize = 16 << 10;
/// A list of deliveries that grew beyond this is given back.
const DELIVERIES_CAPACITY_MAX: usize = 16 << 10;
