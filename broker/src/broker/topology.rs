//! What exists in the broker's vhosts, joined with the queues themselves: declare, bind, delete, restore.
//!
//! Every change is given to the store before the lock on the vhost is released, so that records keep the order of the
//! changes. Lock order: a vhost's topology, then a queue.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use leveret_core::auth::{Access, Resource};
use leveret_core::dead_letter::DeadLetterTarget;
use leveret_core::deduplication::{exchange_record_prefix, is_record, queue_record_prefix};
use leveret_core::fault::Fault;
use leveret_core::message::Message;
use leveret_core::parameters::Parameters;
use leveret_core::queue::ConnectionId;
use leveret_core::queue::arguments::{QueueKind, QueueOptions};
use leveret_core::record::Record;
use leveret_core::session::host::{
    Binding, Destination, ExchangeDeclare, QueueDeclare, QueueDeclared, Ticket,
};
use leveret_core::vhost::{
    Change, Declarer, QueueCheck, QueueDefinition, RouteScratch, Topology, record_prefix, strip_cr_lf,
};
use leveret_core::vhosts::DefaultQueueType;
use leveret_protocol::admin::Arguments;
use leveret_protocol::admin::audit::AuditEntry;
use leveret_protocol::table::Table;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tracing::{info, warn};

use super::Broker;
use crate::dead_letter;
use crate::delayed::{DelayedExchange, Held};
use crate::dispatch::describe;
use crate::exchange_memory::{ExchangeMemories, Verdict};
use crate::flows::Flows;
use crate::queue_host::{DeleteRefused, QueueCell};
use crate::store::RecoveredLane;
use crate::transfer::Transfer;

/// One vhost: what exists in it.
pub struct Vhost {
    name: Arc<str>,
    topology: RwLock<Topology<Arc<QueueCell>>>,
    /// It was deleted: who still has it may not make anything in it. Changes under the topology's lock.
    ended: AtomicBool,
    /// Held while a change of policies is carried to queues, so that they hear of changes in their order.
    pub(super) changing_policies: Mutex<()>,
    flows: Flows,
    memories: ExchangeMemories,
}

/// Asks whether the declaring user may use a resource: dead-letter exchanges are checked on declaration.
pub type MayUse<'a> = dyn Fn(Access, Resource<'_>) -> Result<(), Fault> + 'a;

impl Vhost {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What flowed through it.
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// What exists in it, for looking at.
    pub fn topology(&self) -> RwLockReadGuard<'_, Topology<Arc<QueueCell>>> {
        self.topology.read()
    }

    /// What exists in it, for changing.
    pub(super) fn topology_mut(&self) -> Result<RwLockWriteGuard<'_, Topology<Arc<QueueCell>>>, Fault> {
        let topology = self.topology.write();
        if self.ended.load(Ordering::Relaxed) {
            return Err(Fault::not_allowed(format!("vhost {} not found", self.name)));
        }
        Ok(topology)
    }

    /// Marks it as deleted; nothing is made in it after this.
    pub(super) fn end(&self) -> RwLockWriteGuard<'_, Topology<Arc<QueueCell>>> {
        let topology = self.topology.write();
        self.ended.store(true, Ordering::Relaxed);
        topology
    }

    /// The queue of that name, when `connection` may use it.
    pub fn queue(&self, name: &str, connection: ConnectionId) -> Result<Arc<QueueCell>, Fault> {
        Ok(self.topology.read().accessible_queue(name, connection)?.1.clone())
    }

    /// All its queues.
    pub fn queues(&self) -> Vec<Arc<QueueCell>> {
        self.topology.read().queues().map(|(_, cell)| cell.clone()).collect()
    }

    /// What its exchanges remember of messages.
    pub fn memories(&self) -> &ExchangeMemories {
        &self.memories
    }

    /// As [`Vhost::route`] for a message that is published now: exchanges on its way that remember messages do.
    #[cold]
    pub fn route_remembered(
        &self,
        message: &Message,
        scratch: &mut RouteScratch,
        found: &mut Vec<Arc<QueueCell>>,
    ) -> Result<Verdict, Fault> {
        found.clear();
        let topology = self.topology.read();
        let is_routed = topology.route(
            message.exchange(),
            message.routing_key(),
            message.properties(),
            scratch,
            found,
        )?;
        let is_taken = is_routed || !scratch.holding().is_empty();
        Ok(self.memories.publish(&topology, scratch, message, is_taken))
    }

    /// Finds the queues that a message goes to.
    pub fn route(
        &self,
        message: &Message,
        scratch: &mut RouteScratch,
        found: &mut Vec<Arc<QueueCell>>,
    ) -> Result<(), Fault> {
        let topology = self.topology.read();
        topology.route(message.exchange(), message.routing_key(), message.properties(), scratch, found)?;
        Ok(())
    }

    /// True when the exchange matches words of routing keys, so that topic permissions apply to it.
    pub fn is_topic_exchange(&self, exchange: &str) -> bool {
        let topology = self.topology.read();
        topology.exchange(exchange).is_some_and(|definition| definition.kind.name() == "topic")
    }
}

impl Broker {
    /// Rebuilds vhosts, users, exchanges, bindings and queues from what the store held.
    pub(super) fn restore(self: &Arc<Self>, meta: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
        let records = || meta.iter().map(|(key, value)| (key, value));
        *self.vhost_records.write() = leveret_core::vhosts::Vhosts::restore(records())?;
        let loopback = self.config.loopback_users.iter().cloned();
        *self.users.write() = leveret_core::auth::Users::restore(loopback, records())?;
        *self.parameters.write() = Parameters::restore(records())?;
        let operations = self.operations.restore(meta.iter().map(|(key, value)| (&**key, &**value)));
        self.write_records(operations);
        self.audit.restore(meta)?;
        let created = self.create_defaults()?;
        if !created.is_empty() {
            info!(user = self.config.default_user, "created vhost / and the default user");
            self.store.write_meta(created);
        }

        let names: Vec<Arc<str>> =
            self.vhost_records.read().iter().map(|vhost| vhost.name.as_str().into()).collect();
        // First the definitions, then one look into the store for all durable queues, then the queues.
        let mut uids = Vec::new();
        let mut delayed = Vec::new();
        for name in &names {
            let restored =
                Topology::restore(name, of_vhost(meta, name), |definition, _| uids.push(definition.uid))
                    .with_context(|| format!("cannot restore vhost '{name}'"))?;
            for exchange in restored.topology.exchanges().filter(|exchange| exchange.uid != 0) {
                delayed.push((exchange.uid, name.clone(), exchange.name.as_str().into()));
            }
            if !restored.dangling.is_empty() {
                warn!(vhost = %name, bindings = restored.dangling.len(), "dropped bindings of what does not exist");
                self.store.write_meta(restored.dangling);
            }
        }
        uids.extend(delayed.iter().map(|(uid, ..)| *uid));
        self.next_uid.store(uids.iter().max().map_or(1, |uid| uid + 1), Ordering::Relaxed);
        let mut lanes = self.store.recover_queues(&uids)?;
        let mut remembered = HashSet::new();
        for name in names {
            let topology = Topology::restore(&name, of_vhost(meta, &name), |definition, options| {
                let lanes = lanes.remove(&definition.uid).unwrap_or_default();
                if options.deduplication.rule().is_some() {
                    remembered.insert(queue_record_prefix(&name, &definition.name, definition.uid));
                }
                self.cell(&name, definition, options, &lanes, meta)
            })
            .with_context(|| format!("cannot restore vhost '{name}'"))?
            .topology;
            let memories = ExchangeMemories::default();
            for definition in topology.exchanges() {
                let Some(options) = topology.exchange_options(&definition.name) else { continue };
                memories.add(&name, definition, options, meta)?;
                if options.deduplication.rule().is_some() {
                    remembered.insert(exchange_record_prefix(&name, &definition.name));
                }
            }
            self.add_vhost(name, topology, memories);
        }
        for (uid, vhost, name) in delayed {
            self.add_delayed_exchange(uid, vhost, name);
        }
        // Left behind by what was deleted while messages were on their way to it.
        let is_left = |key: &[u8]| {
            let prefix = key.len().checked_sub(size_of::<u64>()).map(|end| &key[..end]);
            is_record(key) && !prefix.is_some_and(|prefix| remembered.contains(prefix))
        };
        let left = meta.iter().filter(|(key, _)| is_left(key));
        self.write_records(left.map(|(key, _)| Record::remove(key.clone())).collect());
        Ok(())
    }

    pub(super) fn add_vhost(
        &self,
        name: Arc<str>,
        topology: Topology<Arc<QueueCell>>,
        memories: ExchangeMemories,
    ) {
        let vhost = Arc::new(Vhost {
            name: name.clone(),
            topology: RwLock::new(topology),
            memories,
            ended: AtomicBool::new(false),
            changing_policies: Mutex::new(()),
            flows: Flows::default(),
        });
        self.vhosts.write().insert(name, vhost);
    }

    fn cell(
        &self,
        vhost: &Arc<str>,
        definition: &QueueDefinition,
        options: &QueueOptions,
        lanes: &[RecoveredLane],
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> Arc<QueueCell> {
        let name = definition.name.as_str().into();
        let setup = self.queue_setup(definition, options);
        let cell = QueueCell::new(definition.uid, vhost.clone(), name, setup, self.shared.clone(), lanes);
        if let Err(error) = cell.restore_seen(records) {
            warn!(queue = definition.name, %error, "forgot some of the messages that a queue had seen");
        }
        if definition.paused {
            cell.pause(true);
        }
        cell
    }

    /// Stops or resumes handing out what is in a queue, over restarts too.
    pub fn pause_queue(&self, vhost: &Vhost, queue: &str, paused: bool) -> Result<Ticket, Fault> {
        let mut topology = vhost.topology_mut()?;
        let cell = topology.accessible_queue(queue, ConnectionId(0))?.1.clone();
        let change = topology.pause_queue(queue, paused);
        cell.pause(paused);
        let after = self.carry_out(vhost, change, false);
        drop(topology);
        cell.deliver();
        Ok(after)
    }

    /// `exchange.declare`.
    pub fn exchange_declare(
        &self,
        vhost: &Vhost,
        request: &ExchangeDeclare<'_>,
        user: &str,
    ) -> Result<Ticket, Fault> {
        let mut topology = vhost.topology_mut()?;
        let generation = topology.generation();
        let uid = self.next_uid.fetch_add(1, Ordering::Relaxed);
        let change = topology.declare_exchange(request, user, uid)?;
        let changed = topology.generation() != generation;
        if changed
            && let Some(definition) = topology.exchange(&strip_cr_lf(request.exchange))
            && let Some(options) = topology.exchange_options(&definition.name)
        {
            if definition.uid == uid {
                self.add_delayed_exchange(uid, vhost.name.clone(), definition.name.as_str().into());
            }
            if let Err(error) = vhost.memories.add(&vhost.name, definition, options, &[]) {
                warn!(exchange = definition.name, %error, "an exchange remembers nothing");
            }
        }
        Ok(self.carry_out(vhost, change, changed))
    }

    /// `exchange.delete`.
    pub fn exchange_delete(&self, vhost: &Vhost, exchange: &str, if_unused: bool) -> Result<Ticket, Fault> {
        let mut topology = vhost.topology_mut()?;
        let change = topology.delete_exchange(exchange, if_unused)?;
        Ok(self.carry_out(vhost, change, true))
    }

    /// `queue.declare`.
    pub fn queue_declare(
        &self,
        vhost: &Arc<Vhost>,
        request: &QueueDeclare<'_>,
        connection: ConnectionId,
        user: &str,
        may_use: &MayUse<'_>,
    ) -> Result<QueueDeclared, Fault> {
        self.metrics.queues_declared.fetch_add(1, Ordering::Relaxed);
        let mut random = [0; 16];
        if request.queue.is_empty() {
            rand::fill(&mut random);
        }
        let (default_kind, max_queues) = self.defaults_of(vhost);
        let declarer = Declarer { connection, user, uid: 0, random, default_kind, max_queues };
        if let QueueCheck::Existing(definition, cell) =
            vhost.topology.read().check_queue_declare(request, &declarer)?
        {
            // Made by another connection a moment ago, its record may still be on the way to the disk.
            let after = if definition.durable { cell.created_at() } else { Ticket(0) };
            cell.declared_again();
            return Ok(declared(cell, after));
        }
        let mut topology = vhost.topology_mut()?;
        let declarer = Declarer { uid: self.next_uid.fetch_add(1, Ordering::Relaxed), ..declarer };
        let definition = match topology.check_queue_declare(request, &declarer)? {
            QueueCheck::Existing(_, cell) => return Ok(declared(cell, cell.created_at())),
            QueueCheck::New(definition) => definition,
        };
        if let Some(exchange) = &definition.options.dead_letter_exchange {
            may_use(Access::Read, Resource::Queue(&definition.name))?;
            may_use(Access::Write, Resource::Exchange(exchange))?;
        }
        if definition.options.dead_letter_auto
            && definition.options.dead_letter_exchange.is_none()
            && let Some(queue) = DeadLetterTarget::own_queue(&definition.name).and_then(|own| own.routing_key)
        {
            may_use(Access::Read, Resource::Queue(&definition.name))?;
            may_use(Access::Configure, Resource::Queue(&queue))?;
        }
        let cell = self.insert_queue(vhost, &mut topology, definition);
        Ok(declared(&cell, cell.created_at()))
    }

    fn insert_queue(
        &self,
        vhost: &Vhost,
        topology: &mut Topology<Arc<QueueCell>>,
        definition: Box<QueueDefinition>,
    ) -> Arc<QueueCell> {
        let cell = self.cell(&vhost.name, &definition, &topology.options_in_force(&definition), &[], &[]);
        let change = topology.insert_queue(definition, cell.clone());
        let after = self.carry_out(vhost, change, true);
        cell.set_created_at(after);
        cell.start();
        self.metrics.queues_created.fetch_add(1, Ordering::Relaxed);
        cell
    }

    /// Makes the queue that the dead letters of `source` go to, unless it is there.
    pub fn make_dead_letter_queue(&self, vhost: &Vhost, source: &QueueCell, queue: &str) {
        if vhost.topology().queue(queue).is_some() {
            return;
        }
        let Ok(mut topology) = vhost.topology_mut() else { return };
        if topology.queue(queue).is_some() {
            return;
        }
        let user = topology.queue(source.name()).map_or("", |(definition, _)| &definition.user).to_owned();
        let definition = QueueDefinition {
            uid: self.next_uid.fetch_add(1, Ordering::Relaxed),
            name: queue.to_owned(),
            durable: true,
            auto_delete: false,
            exclusive_owner: None,
            arguments: Table::new(),
            options: QueueOptions::default(),
            user,
            paused: false,
        };
        self.insert_queue(vhost, &mut topology, Box::new(definition));
        info!(queue, vhost = %vhost.name, source = %source.name(), "made a queue for dead letters");
    }

    /// The type of queues that say nothing of theirs, and how many queues there may be.
    fn defaults_of(&self, vhost: &Vhost) -> (Option<QueueKind>, Option<u64>) {
        let records = self.vhost_records.read();
        let Some(record) = records.get(&vhost.name) else { return (None, None) };
        let kind = match record.default_queue_type {
            Some(DefaultQueueType::Classic) => Some(QueueKind::Classic),
            Some(DefaultQueueType::Quorum) => Some(QueueKind::Quorum),
            Some(DefaultQueueType::Stream) | None => None,
        };
        (kind, record.limits.max_queues)
    }

    /// `queue.delete`. Deleting what does not exist deletes nothing.
    pub fn queue_delete(
        &self,
        vhost: &Vhost,
        queue: &str,
        connection: ConnectionId,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(u32, Ticket), Fault> {
        let mut topology = vhost.topology.write();
        if topology.queue(queue).is_none() {
            return Ok((0, Ticket(0)));
        }
        let (definition, cell) = topology.accessible_queue(queue, connection)?;
        if definition.options.kind == QueueKind::Quorum && (if_unused || if_empty) {
            return Err(Fault::connection(
                leveret_protocol::reply_code::ReplyCode::NotImplemented,
                format!(
                    "cannot delete {}. queue.delete operations with {} flag set are not supported by quorum queues",
                    describe(cell),
                    if if_unused { "if-unused" } else { "if-empty" }
                ),
            ));
        }
        let cell = cell.clone();
        let ready = cell.delete(if_unused, if_empty).map_err(|refused| {
            let why = match refused {
                DeleteRefused::InUse => "in use",
                DeleteRefused::NotEmpty => "not empty",
            };
            Fault::precondition_failed(format!("{} {why}", describe(&cell)))
        })?;
        let after = self.remove_queue(vhost, &mut topology, &cell);
        Ok((u32::try_from(ready).unwrap_or(u32::MAX), after))
    }

    /// Deletes a queue that had consumers and has none any more, when it was declared to go then.
    pub fn delete_auto_delete_queue(&self, vhost: &Vhost, cell: &QueueCell) {
        let mut topology = vhost.topology.write();
        let Some((definition, current)) = topology.queue(cell.name()) else { return };
        // A consumer that came meanwhile keeps it.
        if definition.uid == cell.uid() && definition.auto_delete {
            let current = current.clone();
            let is_shared = definition.exclusive_owner.is_none();
            if current.delete(true, false).is_ok() {
                self.remove_queue(vhost, &mut topology, &current);
                if is_shared {
                    self.note_queue_gone(&current, "its last consumer went");
                }
            }
        }
    }

    /// Deletes a queue that nobody has used for as long as it may be unused.
    pub(super) fn delete_expired_queue(&self, cell: &QueueCell) {
        let Some(vhost) = self.vhost(cell.vhost()) else { return };
        let mut topology = vhost.topology.write();
        let Some((definition, current)) = topology.queue(cell.name()) else { return };
        if definition.uid == cell.uid() {
            let current = current.clone();
            let is_shared = definition.exclusive_owner.is_none();
            if current.delete_if_unused_too_long() {
                self.remove_queue(&vhost, &mut topology, &current);
                if is_shared {
                    self.note_queue_gone(&current, "nobody used it for too long");
                }
            }
        }
    }

    /// Deletes the queues that belong to a connection that is gone.
    pub fn delete_exclusive_queues(&self, vhost: &Vhost, connection: ConnectionId) {
        if vhost.topology.read().exclusive_queues(connection).next().is_none() {
            return;
        }
        let mut topology = vhost.topology.write();
        let own: Vec<Arc<QueueCell>> = topology
            .exclusive_queues(connection)
            .filter_map(|definition| Some(topology.queue(&definition.name)?.1.clone()))
            .collect();
        for cell in own {
            if cell.delete(false, false).is_ok() {
                self.remove_queue(vhost, &mut topology, &cell);
            }
        }
    }

    /// `queue.bind` and `exchange.bind`.
    pub fn bind(
        &self,
        vhost: &Vhost,
        binding: &Binding<'_>,
        connection: ConnectionId,
    ) -> Result<Ticket, Fault> {
        let mut topology = vhost.topology_mut()?;
        let generation = topology.generation();
        let change = topology.bind(binding, connection)?;
        let is_new = topology.generation() != generation;
        let after = self.carry_out(vhost, change, true);
        if !is_new {
            return Ok(after);
        }
        let history = vhost.memories.history(binding.source);
        if history.is_empty() {
            return Ok(after);
        }
        // Under the lock, so that no message published meanwhile is missed, or comes twice or too early.
        let transfer = for_bound_queues(&topology, binding.destination, history);
        let carried = transfer.carry_out(&self.store, |_| after);
        drop(topology);
        dead_letter::send_on_all(carried.dead);
        Ok(carried.ticket)
    }

    /// `queue.unbind` and `exchange.unbind`.
    pub fn unbind(
        &self,
        vhost: &Vhost,
        binding: &Binding<'_>,
        connection: ConnectionId,
    ) -> Result<Ticket, Fault> {
        let mut topology = vhost.topology_mut()?;
        let change = topology.unbind(binding, connection)?;
        Ok(self.carry_out(vhost, change, true))
    }

    pub(super) fn remove_queue(
        &self,
        vhost: &Vhost,
        topology: &mut Topology<Arc<QueueCell>>,
        cell: &Arc<QueueCell>,
    ) -> Ticket {
        let Some(mut removed) = topology.remove_queue(cell.name()) else { return Ticket(0) };
        removed.change.records.extend(cell.forget_seen());
        self.metrics.queues_deleted.fetch_add(1, Ordering::Relaxed);
        *self.metrics.deleted_queues.lock() += cell.counters();
        vhost.flows.forget_queue(cell.uid());
        let after = self.carry_out(vhost, removed.change, true);
        if cell.was_stored() { after.max(self.store.delete_queue(cell.uid())) } else { after }
    }

    fn add_delayed_exchange(&self, uid: u64, vhost: Arc<str>, name: Arc<str>) {
        let (messages, bytes) = self.store.delayed_volume(uid);
        let held = Held { messages, bytes };
        let exchange = DelayedExchange::new(uid, vhost, name, self.shared.clone(), held);
        self.delayed.write().insert(uid, exchange);
    }

    /// Drops what a delayed exchange holds that was deleted.
    pub fn remove_delayed_exchange(&self, uid: u64) -> Ticket {
        let Some(exchange) = self.delayed.write().remove(&uid) else { return Ticket(0) };
        exchange.delete();
        self.store.delete_queue(uid)
    }

    /// Writes down that the broker itself deleted a queue.
    fn note_queue_gone(&self, cell: &QueueCell, why: &str) {
        self.audit.note(AuditEntry {
            via: "broker".to_owned(),
            action: "delete".to_owned(),
            kind: "queue".to_owned(),
            vhost: Some(cell.vhost().to_string()),
            name: cell.name().to_string(),
            details: Arguments::from_iter([("why".to_owned(), why.into())]),
            result: "ok".to_owned(),
            ..AuditEntry::default()
        });
    }

    /// Stores what a change calls for and lets connections forget what they remember. The vhost's topology is locked, so
    /// that records keep the order of the changes.
    pub(super) fn carry_out(&self, vhost: &Vhost, mut change: Change, routes_changed: bool) -> Ticket {
        for exchange in &change.exchanges_removed {
            vhost.flows.forget_exchange(exchange);
            change.records.extend(vhost.memories.remove(exchange));
        }
        if routes_changed {
            self.changed();
        }
        let dropped = change.delayed_removed.iter().map(|uid| self.remove_delayed_exchange(*uid)).max();
        self.write_records(change.records).max(dropped.unwrap_or_default())
    }

    /// Stores records, if there are any.
    pub fn write_records(&self, records: Vec<Record>) -> Ticket {
        if records.is_empty() { Ticket(0) } else { self.store.write_meta(records) }
    }
}

fn declared(cell: &QueueCell, after: Ticket) -> QueueDeclared {
    let info = cell.info();
    QueueDeclared {
        queue: cell.name().to_string(),
        message_count: u32::try_from(info.ready).unwrap_or(u32::MAX),
        consumer_count: u32::try_from(info.consumers).unwrap_or(u32::MAX),
        after,
    }
}

/// The history of an exchange on its way to the queues that it reaches now that it leads to `destination`.
fn for_bound_queues(
    topology: &Topology<Arc<QueueCell>>,
    destination: Destination<'_>,
    history: Vec<Message>,
) -> Transfer {
    let mut transfer = Transfer::new(history.len());
    let mut scratch = RouteScratch::seeded(rand::random());
    let mut found: Vec<Arc<QueueCell>> = Vec::new();
    for (index, message) in history.into_iter().enumerate() {
        match destination {
            Destination::Queue(name) => found.extend(topology.queue(name).map(|(_, cell)| cell.clone())),
            Destination::Exchange(name) => {
                let keys = [message.routing_key()];
                topology.route_dead_letter(name, &keys, message.properties(), &mut scratch, &mut found);
            }
        }
        for cell in found.drain(..) {
            transfer.add(cell, index, message.clone());
        }
    }
    transfer
}

fn of_vhost<'a>(meta: &'a [(Vec<u8>, Vec<u8>)], vhost: &str) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let prefix = record_prefix(vhost);
    let matching = meta.iter().filter(move |(key, _)| key.starts_with(&prefix));
    matching.map(|(key, value)| (key.as_slice(), value.as_slice()))
}
