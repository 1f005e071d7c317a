//! Declaring, binding and deleting.

use std::borrow::Cow;

use hashbrown::HashMap;
use leveret_protocol::table::{RawTable, Table};

use super::bindings::{BindingId, Bindings, Bound};
use super::definitions::{
    BindingDefinition, DestinationName, ExchangeDefinition, ExchangeOptions, QueueDefinition,
    canonical_arguments, owned_arguments,
};
use super::equivalence::{check_arguments, check_field};
use super::named::Named;
use super::policies::{exchange_options_with, queue_subject};
use super::records::{self, Stored};
use super::{faults, generated_queue_name, strip_cr_lf};
use crate::delayed::delayed_kind;
use crate::exchange::{ExchangeKind, Matcher, Target, TargetKind, destination_seed};
use crate::fault::Fault;
use crate::limits::check_queue_count;
use crate::policy::{Applied, Policies, Subject};
use crate::queue::ConnectionId;
use crate::queue::arguments::{QueueKind, QueueOptions, compared_arguments};
use crate::record::{Record, RecordError, damaged};
use crate::session::host::{Binding, Destination, ExchangeDeclare, QueueDeclare};

/// The exchanges, queues and bindings of one vhost. `H` is the shell's handle to a queue.
///
/// Owned by the registry, which changes it under a write lock and routes under a read lock. Nothing here depends on
/// the order in which hash maps give out their entries.
#[derive(Debug)]
pub struct Topology<H> {
    pub(super) vhost: String,
    pub(super) exchanges: Named<Exchange>,
    pub(super) queues: Named<Queue<H>>,
    pub(super) policies: Policies,
    bindings: Bindings,
    /// Indices of the queues that each connection owns.
    exclusive: HashMap<ConnectionId, Vec<u32>>,
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub definition: Box<ExchangeDefinition>,
    /// In force now; the definition keeps what was asked for.
    pub options: ExchangeOptions,
    /// What policies make of it.
    pub applied: Option<Box<Applied>>,
    pub matcher: Matcher,
    /// It has to be told of each message: see [`ExchangeOptions`].
    pub remembers: bool,
    /// Bindings that lead away from it.
    outgoing: Vec<BindingId>,
    /// Bindings that lead to it.
    incoming: Vec<BindingId>,
}

#[derive(Debug)]
pub(super) struct Queue<H> {
    pub handle: H,
    incoming: Vec<BindingId>,
    definition: Box<QueueDefinition>,
    /// What policies make of it.
    pub applied: Option<Box<Applied>>,
}

impl<H> Queue<H> {
    pub fn definition(&self) -> &QueueDefinition {
        &self.definition
    }
}

/// Who declares a queue, and what a new one needs that only the shell can give.
#[derive(Debug, Clone, Copy)]
pub struct Declarer<'a> {
    pub connection: ConnectionId,
    pub user: &'a str,
    /// The new queue's uid.
    pub uid: u64,
    /// Makes up the name of a queue that is declared without one, see [`generated_queue_name`].
    pub random: [u8; 16],
    /// What a queue is that says nothing of its type, where the vhost has a default that suits it.
    pub default_kind: Option<QueueKind>,
    /// How many queues the vhost may have.
    pub max_queues: Option<u64>,
}

/// What a queue declaration comes to.
#[derive(Debug)]
pub enum QueueCheck<'a, H> {
    /// The queue is there and as asked for.
    Existing(&'a QueueDefinition, &'a H),
    /// The queue is not there: make it, then [`Topology::insert_queue`].
    New(Box<QueueDefinition>),
}

/// What a call changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To be stored as one.
    pub records: Vec<Record>,
    /// Bindings that went with what they joined, or were unbound.
    pub bindings_removed: Vec<BindingDefinition>,
    /// Exchanges deleted, among them those that were to go with their last binding.
    pub exchanges_removed: Vec<String>,
    /// The uids of those of them that may hold messages.
    pub delayed_removed: Vec<u64>,
}

/// A queue that was taken out.
#[derive(Debug)]
pub struct RemovedQueue<H> {
    pub definition: QueueDefinition,
    pub handle: H,
    pub change: Change,
}

/// A topology read back from its records.
#[derive(Debug)]
pub struct Restored<H> {
    pub topology: Topology<H>,
    /// Removes stored bindings that lead from or to what does not exist; empty unless records were lost.
    pub dangling: Vec<Record>,
}

impl<H> Topology<H> {
    /// A vhost with the exchanges that every vhost has.
    pub fn new(vhost: &str) -> Topology<H> {
        let mut topology = Topology {
            vhost: vhost.to_owned(),
            exchanges: Named::default(),
            queues: Named::default(),
            policies: Policies::default(),
            bindings: Bindings::default(),
            exclusive: HashMap::new(),
            generation: 0,
        };
        for (name, kind, internal) in PREDECLARED {
            topology.insert_exchange(
                ExchangeDefinition {
                    uid: 0,
                    name: name.to_owned(),
                    kind,
                    durable: true,
                    auto_delete: false,
                    internal,
                    arguments: Default::default(),
                    user: String::new(),
                },
                ExchangeOptions::default(),
                None,
            );
        }
        topology
    }

    /// A vhost from its records, in any order; other records are passed over. `handle` is asked for every queue, given
    /// the options that are in force for it.
    ///
    /// Its records are all those whose keys begin with [`super::record_prefix`].
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        vhost: &str,
        records: impl IntoIterator<Item = (K, V)>,
        mut handle: impl FnMut(&QueueDefinition, &QueueOptions) -> H,
    ) -> Result<Restored<H>, RecordError> {
        let mut topology = Topology::new(vhost);
        let (mut exchanges, mut queues, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in records {
            let key = key.as_ref();
            match records::read(vhost, key, value.as_ref())? {
                None => {}
                Some(Stored::Exchange(definition)) => exchanges.push((key.to_vec(), definition)),
                Some(Stored::Queue(definition)) => queues.push((key.to_vec(), definition)),
                Some(Stored::Binding(definition)) => bindings.push(definition),
                Some(Stored::Policy(kind, policy)) => topology.policies.put(kind, policy),
            }
        }
        for (key, definition) in exchanges {
            if topology.exchanges.index(&definition.name).is_some() {
                return Err(damaged(&key, "there is another such exchange"));
            }
            let resource = faults::exchange(&definition.name, vhost);
            let options = ExchangeOptions::parse(&resource, definition.kind, &definition.arguments)
                .map_err(|fault| damaged(&key, fault.text))?;
            let behind = delayed_kind(definition.kind, &definition.arguments)
                .map_err(|fault| damaged(&key, fault.text))?;
            topology.insert_exchange(definition, options, behind);
        }
        for (key, definition) in queues {
            if topology.queues.index(&definition.name).is_some() {
                return Err(damaged(&key, "there is another such queue"));
            }
            let handle = handle(&definition, &topology.options_in_force(&definition));
            topology.insert_queue(Box::new(definition), handle);
        }
        // What every vhost begins with was there before its policies were.
        topology.apply_policies(|_, _, _| ());
        let mut dangling = Vec::new();
        for definition in bindings {
            match topology.resolve(&definition.as_binding()) {
                Ok((source, target)) => {
                    topology.link(source, target, &definition.routing_key, definition.arguments);
                }
                Err(_) => dangling.push(records::remove_binding(vhost, &definition)),
            }
        }
        Ok(Restored { topology, dangling })
    }

    // ---- exchanges ---------------------------------------------------------------------------------------------

    /// `exchange.declare`. `uid` is for a new exchange that needs one.
    pub fn declare_exchange(
        &mut self,
        request: &ExchangeDeclare<'_>,
        user: &str,
        uid: u64,
    ) -> Result<Change, Fault> {
        let name = &*strip_cr_lf(request.exchange);
        if request.passive {
            refuse_default(name)?;
            return match self.exchanges.get(name) {
                Some(_) => Ok(Change::default()),
                None => Err(faults::not_found(self.exchange_resource(name))),
            };
        }
        let kind = ExchangeKind::from_name(request.kind)
            .ok_or_else(|| Fault::precondition_failed(format!("unknown exchange type '{}'", request.kind)))?;
        refuse_default(name)?;
        let resource = self.exchange_resource(name);
        let arguments = owned_arguments(request.arguments)?;
        if let Some(exchange) = self.exchanges.get(name) {
            let current = &exchange.definition;
            check_field("type", current.kind, kind, &resource)?;
            check_field("durable", current.durable, request.durable, &resource)?;
            check_field("auto_delete", current.auto_delete, request.auto_delete, &resource)?;
            check_field("internal", current.internal, request.internal, &resource)?;
            check_arguments(["alternate-exchange"].into_iter(), &current.arguments, &arguments, &resource)?;
            return Ok(Change::default());
        }
        if name.starts_with(RESERVED) {
            return Err(faults::reserved_name("exchange", name));
        }
        let behind = delayed_kind(kind, &arguments)?;
        let options = ExchangeOptions::parse(&resource, kind, &arguments)?;
        let definition = ExchangeDefinition {
            uid: if behind.is_some() { uid } else { 0 },
            name: name.to_owned(),
            kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            arguments,
            user: user.to_owned(),
        };
        let mut change = Change::default();
        if definition.durable {
            change.records.push(records::put_exchange(&self.vhost, &definition));
        }
        self.insert_exchange(definition, options, behind);
        Ok(change)
    }

    /// `exchange.delete`. Deleting what does not exist succeeds.
    pub fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<Change, Fault> {
        let name = &*strip_cr_lf(name);
        refuse_default(name)?;
        if name.starts_with(RESERVED) {
            return Err(faults::system_exchange(self.exchange_resource(name)));
        }
        let mut change = Change::default();
        if let Some(index) = self.exchanges.index(name) {
            if if_unused && self.exchanges.at(index).is_some_and(|exchange| !exchange.outgoing.is_empty()) {
                return Err(faults::in_use(self.exchange_resource(name)));
            }
            let mut touched = Vec::new();
            self.remove_exchange(index, &mut touched, &mut change);
            self.remove_unused(touched, &mut change);
        }
        Ok(change)
    }

    pub fn exchange(&self, name: &str) -> Option<&ExchangeDefinition> {
        self.exchanges.get(name).map(|exchange| &*exchange.definition)
    }

    /// Where an exchange sends what it cannot route.
    pub fn alternate_exchange(&self, name: &str) -> Option<&str> {
        self.exchanges.get(name)?.options.alternate_exchange.as_deref()
    }

    /// What an exchange does beyond its kind, at present.
    pub fn exchange_options(&self, name: &str) -> Option<&ExchangeOptions> {
        self.exchanges.get(name).map(|exchange| &exchange.options)
    }

    /// All exchanges, in an order that only changes when exchanges come and go.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeDefinition> {
        self.exchanges.iter().map(|exchange| &*exchange.definition)
    }

    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    // ---- queues ------------------------------------------------------------------------------------------------

    /// The first half of `queue.declare`: either the queue is there, or what it is to be.
    pub fn check_queue_declare(
        &self,
        request: &QueueDeclare<'_>,
        declarer: &Declarer<'_>,
    ) -> Result<QueueCheck<'_, H>, Fault> {
        let name = strip_cr_lf(request.queue);
        if request.passive {
            let (definition, handle) = self.accessible_queue(&name, declarer.connection)?;
            return Ok(QueueCheck::Existing(definition, handle));
        }
        let mut arguments = owned_arguments(request.arguments)?;
        if let Some(kind) = declarer.default_kind
            && arguments.get("x-queue-type").is_none()
            && suits(kind, request)
        {
            arguments.insert("x-queue-type", kind.name());
        }
        let durable = request.durable && !request.exclusive;
        let exclusive_owner = request.exclusive.then_some(declarer.connection);
        let is_generated = name.is_empty();
        let name = if is_generated {
            let prefix = name_prefix(&arguments, &self.queue_resource(&name))?;
            generated_queue_name(prefix.as_deref(), declarer.random)
        } else {
            name.into_owned()
        };
        let resource = self.queue_resource(&name);
        if let Some(queue) = self.queues.get(&name) {
            let current = &queue.definition;
            if current.exclusive_owner != exclusive_owner {
                return Err(faults::exclusive_to_another(resource));
            }
            check_field("durable", current.durable, durable, &resource)?;
            check_field("auto_delete", current.auto_delete, request.auto_delete, &resource)?;
            check_arguments(
                compared_arguments(current.options.kind),
                &current.arguments,
                &arguments,
                &resource,
            )?;
            return Ok(QueueCheck::Existing(current, &queue.handle));
        }
        if name.starts_with(RESERVED) && !is_generated {
            return Err(faults::reserved_name("queue", &name));
        }
        check_queue_count(&self.vhost, &name, self.queues.len(), declarer.max_queues)?;
        let options = QueueOptions::parse(&resource, &arguments)?;
        if options.kind == QueueKind::Quorum {
            check_quorum(&resource, request, is_generated)?;
        }
        Ok(QueueCheck::New(Box::new(QueueDefinition {
            uid: declarer.uid,
            name,
            durable,
            auto_delete: request.auto_delete,
            exclusive_owner,
            arguments,
            options,
            user: declarer.user.to_owned(),
            paused: false,
        })))
    }

    /// The second half of `queue.declare`: `definition` came from [`Topology::check_queue_declare`] and nothing was
    /// inserted since.
    pub fn insert_queue(&mut self, definition: Box<QueueDefinition>, handle: H) -> Change {
        let mut change = Change::default();
        if definition.durable {
            change.records.push(records::put_queue(&self.vhost, &definition));
        }
        let name = definition.name.clone();
        let owner = definition.exclusive_owner;
        let applied = self.policies.apply(queue_subject(&definition));
        let index = self.queues.insert(&name, Queue { handle, incoming: Vec::new(), definition, applied });
        if let Some(owner) = owner {
            self.exclusive.entry(owner).or_default().push(index);
        }
        self.generation += 1;
        change
    }

    /// Notes that nothing is handed out of a queue, or no longer. The queue itself is told by the caller.
    pub fn pause_queue(&mut self, name: &str, paused: bool) -> Change {
        let mut change = Change::default();
        let queue = self.queues.index(name).and_then(|index| self.queues.at_mut(index));
        if let Some(Queue { definition, .. }) = queue
            && definition.paused != paused
        {
            definition.paused = paused;
            if definition.durable {
                change.records.push(records::put_queue(&self.vhost, definition));
            }
        }
        change
    }

    /// Takes a queue out, with its bindings, and with the exchanges that were to go with their last binding.
    pub fn remove_queue(&mut self, name: &str) -> Option<RemovedQueue<H>> {
        let mut change = Change::default();
        let mut touched = Vec::new();
        let index = self.queues.index(name)?;
        while let Some(&binding) = self.queues.at(index)?.incoming.last() {
            self.unlink(binding, &mut touched, &mut change);
        }
        let (_, queue) = self.queues.remove(name)?;
        if queue.definition.durable {
            change.records.push(records::remove_queue(&self.vhost, name));
        }
        if let Some(owner) = queue.definition.exclusive_owner
            && let Some(owned) = self.exclusive.get_mut(&owner)
        {
            owned.retain(|&owned| owned != index);
            if owned.is_empty() {
                self.exclusive.remove(&owner);
            }
        }
        self.remove_unused(touched, &mut change);
        self.generation += 1;
        Some(RemovedQueue { definition: *queue.definition, handle: queue.handle, change })
    }

    pub fn queue(&self, name: &str) -> Option<(&QueueDefinition, &H)> {
        self.queues.get(name).map(|queue| (&*queue.definition, &queue.handle))
    }

    /// The queue that `connection` wants to use: there, and not another connection's own.
    pub fn accessible_queue(
        &self,
        name: &str,
        connection: ConnectionId,
    ) -> Result<(&QueueDefinition, &H), Fault> {
        let (definition, handle) =
            self.queue(name).ok_or_else(|| faults::not_found(self.queue_resource(name)))?;
        self.check_access(definition, connection)?;
        Ok((definition, handle))
    }

    /// All queues, in an order that only changes when queues come and go.
    pub fn queues(&self) -> impl Iterator<Item = (&QueueDefinition, &H)> {
        self.queues.iter().map(|queue| (&*queue.definition, &queue.handle))
    }

    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// The queues that go when `connection` does.
    pub fn exclusive_queues(&self, connection: ConnectionId) -> impl Iterator<Item = &QueueDefinition> {
        self.exclusive
            .get(&connection)
            .into_iter()
            .flatten()
            .filter_map(|&index| self.queues.at(index))
            .map(|queue| &*queue.definition)
    }

    // ---- bindings ----------------------------------------------------------------------------------------------

    /// `queue.bind` and `exchange.bind`. Binding twice is binding once.
    pub fn bind(&mut self, binding: &Binding<'_>, connection: ConnectionId) -> Result<Change, Fault> {
        let (source, destination) = (strip_cr_lf(binding.source), stripped(binding.destination));
        let binding = Binding { source: &source, destination: destination.as_destination(), ..*binding };
        refuse_default_of(&binding)?;
        let (source, target) = self.resolve(&binding)?;
        let arguments = canonical_arguments(binding.arguments)?;
        let exchange = self.exchanges.at(source);
        exchange.map_or(Ok(()), |exchange| {
            exchange.matcher.validate(binding.routing_key, RawTable::new_unchecked_valid(&arguments))
        })?;
        self.check_target_access(target, connection)?;
        let mut change = Change::default();
        if self.bindings.find(source, target, binding.routing_key, &arguments).is_none() {
            let id = self.link(source, target, binding.routing_key, arguments);
            if let Some(definition) = self.bindings.get(id).and_then(|bound| self.durable_definition(bound)) {
                change.records.push(records::put_binding(&self.vhost, &definition));
            }
        }
        Ok(change)
    }

    /// `queue.unbind` and `exchange.unbind`. Unbinding what is not bound succeeds.
    pub fn unbind(&mut self, binding: &Binding<'_>, connection: ConnectionId) -> Result<Change, Fault> {
        let (source, destination) = (strip_cr_lf(binding.source), stripped(binding.destination));
        let binding = Binding { source: &source, destination: destination.as_destination(), ..*binding };
        refuse_default_of(&binding)?;
        let mut change = Change::default();
        let Ok((source, target)) = self.resolve(&binding) else { return Ok(change) };
        let arguments = canonical_arguments(binding.arguments)?;
        if let Some(id) = self.bindings.find(source, target, binding.routing_key, &arguments) {
            self.check_target_access(target, connection)?;
            let mut touched = Vec::new();
            self.unlink(id, &mut touched, &mut change);
            self.remove_unused(touched, &mut change);
        }
        Ok(change)
    }

    /// True when there is exactly this binding.
    pub fn is_bound(&self, binding: &Binding<'_>) -> bool {
        let Ok((source, target)) = self.resolve(binding) else { return false };
        canonical_arguments(binding.arguments).is_ok_and(|arguments| {
            self.bindings.find(source, target, binding.routing_key, &arguments).is_some()
        })
    }

    /// All bindings but the default exchange's, which follow from the names of the queues.
    pub fn bindings(&self) -> impl Iterator<Item = Binding<'_>> {
        self.bindings.iter().filter_map(|bound| self.view(bound))
    }

    /// The bindings that lead away from an exchange.
    pub fn bindings_from(&self, exchange: &str) -> impl Iterator<Item = Binding<'_>> {
        let ids = self.exchanges.get(exchange).map_or(&[][..], |exchange| &exchange.outgoing);
        ids.iter().filter_map(|&id| self.view(self.bindings.get(id)?))
    }

    /// The bindings that lead to a queue or exchange.
    pub fn bindings_to(&self, destination: Destination<'_>) -> impl Iterator<Item = Binding<'_>> {
        let ids = match destination {
            Destination::Queue(name) => self.queues.get(name).map_or(&[][..], |queue| &queue.incoming),
            Destination::Exchange(name) => {
                self.exchanges.get(name).map_or(&[][..], |exchange| &exchange.incoming)
            }
        };
        ids.iter().filter_map(|&id| self.view(self.bindings.get(id)?))
    }

    pub fn binding_count(&self) -> usize {
        self.bindings.len()
    }

    // ---- all of it ---------------------------------------------------------------------------------------------

    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Rises with every change that could send a message another way: what was routed before may be remembered
    /// until then.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn routes_changed(&mut self) {
        self.generation += 1;
    }

    pub(super) fn exchange_resource(&self, name: &str) -> String {
        faults::exchange(name, &self.vhost)
    }

    fn queue_resource(&self, name: &str) -> String {
        faults::queue(name, &self.vhost)
    }

    /// `declared` is what the definition's arguments ask for; `behind` the type by which a delayed exchange routes.
    fn insert_exchange(
        &mut self,
        definition: ExchangeDefinition,
        declared: ExchangeOptions,
        behind: Option<ExchangeKind>,
    ) {
        let matcher = Matcher::new(behind.unwrap_or(definition.kind), &declared.hash_on);
        let name = definition.name.clone();
        let applied = self.policies.apply(Subject::Exchange(&name));
        let options = exchange_options_with(&definition, declared, applied.as_deref());
        let definition = Box::new(definition);
        let remembers = options.remembers();
        let exchange = Exchange {
            definition,
            options,
            applied,
            matcher,
            remembers,
            outgoing: Vec::new(),
            incoming: Vec::new(),
        };
        self.exchanges.insert(&name, exchange);
        self.generation += 1;
    }

    /// Both ends of a binding; the source is looked for first, as its absence is reported first.
    fn resolve(&self, binding: &Binding<'_>) -> Result<(u32, Target), Fault> {
        let exchange =
            |name| self.exchanges.index(name).ok_or_else(|| faults::not_found(self.exchange_resource(name)));
        let queue =
            |name| self.queues.index(name).ok_or_else(|| faults::not_found(self.queue_resource(name)));
        let source = exchange(binding.source)?;
        let target = match binding.destination {
            Destination::Queue(name) => Target::queue(queue(name)?),
            Destination::Exchange(name) => Target::exchange(exchange(name)?),
        };
        Ok((source, target))
    }

    fn check_access(&self, definition: &QueueDefinition, connection: ConnectionId) -> Result<(), Fault> {
        match definition.exclusive_owner {
            Some(owner) if owner != connection => {
                Err(faults::exclusive_to_another(self.queue_resource(&definition.name)))
            }
            _ => Ok(()),
        }
    }

    fn check_target_access(&self, target: Target, connection: ConnectionId) -> Result<(), Fault> {
        match target.kind() {
            TargetKind::Queue(index) => match self.queues.at(index) {
                Some(queue) => self.check_access(&queue.definition, connection),
                None => Ok(()),
            },
            TargetKind::Exchange(_) => Ok(()),
        }
    }

    /// Adds a binding that does not exist.
    fn link(&mut self, source: u32, target: Target, routing_key: &str, arguments: Box<[u8]>) -> BindingId {
        let needs_seed = self.exchanges.at(source).is_some_and(|exchange| exchange.matcher.needs_seeds());
        let seed = if needs_seed { self.seed_of(target) } else { 0 };
        if let Some(exchange) = self.exchanges.at_mut(source) {
            exchange.matcher.bind(routing_key, RawTable::new_unchecked_valid(&arguments), target, seed);
        }
        let id = self.bindings.insert(Bound {
            source,
            target,
            routing_key: routing_key.into(),
            arguments,
            at_source: 0,
            at_target: 0,
        });
        let at_source = push(self.outgoing_mut(source), id);
        let at_target = push(self.incoming_mut(target), id);
        if let Some(bound) = self.bindings.get_mut(id) {
            (bound.at_source, bound.at_target) = (at_source, at_target);
        }
        self.generation += 1;
        id
    }

    /// Takes a binding out and notes its source in `touched`: its last binding may be gone.
    fn unlink(&mut self, id: BindingId, touched: &mut Vec<u32>, change: &mut Change) {
        let Some(bound) = self.bindings.remove(id) else { return };
        let definition = self.define(&bound);
        if let Some(exchange) = self.exchanges.at_mut(bound.source) {
            exchange.matcher.unbind(
                &bound.routing_key,
                RawTable::new_unchecked_valid(&bound.arguments),
                bound.target,
            );
        }
        if let Some(moved) = swap_remove(self.outgoing_mut(bound.source), bound.at_source)
            && let Some(moved) = self.bindings.get_mut(moved)
        {
            moved.at_source = bound.at_source;
        }
        if let Some(moved) = swap_remove(self.incoming_mut(bound.target), bound.at_target)
            && let Some(moved) = self.bindings.get_mut(moved)
        {
            moved.at_target = bound.at_target;
        }
        if self.is_durable(&bound) {
            change.records.push(records::remove_binding(&self.vhost, &definition));
        }
        change.bindings_removed.push(definition);
        // One entry for a run of bindings from one exchange: a queue's often come from one.
        if touched.last() != Some(&bound.source) {
            touched.push(bound.source);
        }
        self.generation += 1;
    }

    fn remove_exchange(&mut self, index: u32, touched: &mut Vec<u32>, change: &mut Change) {
        // Its own bindings first, and without regard to auto-delete: it goes anyway.
        while let Some(&binding) = self.exchanges.at(index).and_then(|exchange| exchange.outgoing.last()) {
            self.unlink(binding, &mut Vec::new(), change);
        }
        while let Some(&binding) = self.exchanges.at(index).and_then(|exchange| exchange.incoming.last()) {
            self.unlink(binding, touched, change);
        }
        let Some(exchange) = self.exchanges.at(index) else { return };
        let name = exchange.definition.name.clone();
        if exchange.definition.durable {
            change.records.push(records::remove_exchange(&self.vhost, &name));
        }
        if exchange.definition.kind == ExchangeKind::Delayed {
            change.delayed_removed.push(exchange.definition.uid);
        }
        self.exchanges.remove(&name);
        change.exchanges_removed.push(name);
        self.generation += 1;
    }

    /// Deletes those of `touched` that were to go with their last binding, and so on up to where bindings come from.
    fn remove_unused(&mut self, mut touched: Vec<u32>, change: &mut Change) {
        while let Some(index) = touched.pop() {
            let is_unused =
                |exchange: &Exchange| exchange.definition.auto_delete && exchange.outgoing.is_empty();
            if self.exchanges.at(index).is_some_and(is_unused) {
                self.remove_exchange(index, &mut touched, change);
            }
        }
    }

    fn outgoing_mut(&mut self, source: u32) -> Option<&mut Vec<BindingId>> {
        self.exchanges.at_mut(source).map(|exchange| &mut exchange.outgoing)
    }

    fn incoming_mut(&mut self, target: Target) -> Option<&mut Vec<BindingId>> {
        match target.kind() {
            TargetKind::Queue(index) => self.queues.at_mut(index).map(|queue| &mut queue.incoming),
            TargetKind::Exchange(index) => {
                self.exchanges.at_mut(index).map(|exchange| &mut exchange.incoming)
            }
        }
    }

    /// A binding is as durable as the less durable of its ends.
    fn is_durable(&self, bound: &Bound) -> bool {
        let exchange = |index| self.exchanges.at(index).is_some_and(|exchange| exchange.definition.durable);
        exchange(bound.source)
            && match bound.target.kind() {
                TargetKind::Queue(index) => {
                    self.queues.at(index).is_some_and(|queue| queue.definition.durable)
                }
                TargetKind::Exchange(index) => exchange(index),
            }
    }

    /// What stands for a destination's name where hashes decide.
    fn seed_of(&self, target: Target) -> u64 {
        match target.kind() {
            TargetKind::Queue(index) => {
                self.queues.at(index).map_or(0, |queue| destination_seed(true, &queue.definition.name))
            }
            TargetKind::Exchange(index) => {
                let exchange = self.exchanges.at(index);
                exchange.map_or(0, |exchange| destination_seed(false, &exchange.definition.name))
            }
        }
    }

    fn durable_definition(&self, bound: &Bound) -> Option<BindingDefinition> {
        self.is_durable(bound).then(|| self.define(bound))
    }

    fn define(&self, bound: &Bound) -> BindingDefinition {
        let exchange = |index| self.exchanges.at(index).map(|exchange| exchange.definition.name.clone());
        BindingDefinition {
            source: exchange(bound.source).unwrap_or_default(),
            destination: match bound.target.kind() {
                TargetKind::Queue(index) => {
                    let name = self.queues.at(index).map(|queue| queue.definition.name.clone());
                    DestinationName::Queue(name.unwrap_or_default())
                }
                TargetKind::Exchange(index) => DestinationName::Exchange(exchange(index).unwrap_or_default()),
            },
            routing_key: bound.routing_key.clone(),
            arguments: bound.arguments.clone(),
        }
    }

    fn view<'a>(&'a self, bound: &'a Bound) -> Option<Binding<'a>> {
        Some(Binding {
            source: &self.exchanges.at(bound.source)?.definition.name,
            destination: match bound.target.kind() {
                TargetKind::Queue(index) => Destination::Queue(&self.queues.at(index)?.definition.name),
                TargetKind::Exchange(index) => {
                    Destination::Exchange(&self.exchanges.at(index)?.definition.name)
                }
            },
            routing_key: &bound.routing_key,
            arguments: RawTable::new_unchecked_valid(&bound.arguments),
        })
    }
}

fn refuse_default(exchange: &str) -> Result<(), Fault> {
    if exchange.is_empty() { Err(faults::default_exchange()) } else { Ok(()) }
}

fn refuse_default_of(binding: &Binding<'_>) -> Result<(), Fault> {
    if let Destination::Exchange(name) = binding.destination {
        refuse_default(name)?;
    }
    refuse_default(binding.source)
}

/// What RabbitMQ demands of a quorum queue, in the order in which it does.
/// What the name is to begin with that the broker makes up (`x-name-prefix`).
fn name_prefix<'a>(arguments: &'a Table, resource: &str) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(prefix) = arguments.get("x-name-prefix") else { return Ok(None) };
    match prefix.as_str() {
        Some(prefix) if prefix.len() <= NAME_PREFIX_BYTES_MAX => Ok(Some(strip_cr_lf(prefix))),
        _ => Err(Fault::precondition_failed(format!(
            "invalid arg 'x-name-prefix' for {resource}: expected a string of at most {NAME_PREFIX_BYTES_MAX} bytes"
        ))),
    }
}

fn check_quorum(resource: &str, request: &QueueDeclare<'_>, is_generated: bool) -> Result<(), Fault> {
    if is_generated {
        return Err(Fault::precondition_failed(
            "Cannot declare a server-named queue for type rabbit_quorum_queue",
        ));
    }
    let refused =
        |property| Err(Fault::precondition_failed(format!("invalid property '{property}' for {resource}")));
    if request.auto_delete {
        refused("auto-delete")
    } else if request.exclusive {
        refused("exclusive-owner")
    } else if !request.durable {
        refused("non-durable")
    } else {
        Ok(())
    }
}

/// Whether a vhost's default applies to a queue declared like this.
fn suits(kind: QueueKind, request: &QueueDeclare<'_>) -> bool {
    match kind {
        QueueKind::Classic => true,
        QueueKind::Quorum => request.durable && !request.exclusive && !request.auto_delete,
    }
}

fn stripped(destination: Destination<'_>) -> DestinationName {
    match destination {
        Destination::Queue(name) => DestinationName::Queue(strip_cr_lf(name).into_owned()),
        Destination::Exchange(name) => DestinationName::Exchange(strip_cr_lf(name).into_owned()),
    }
}

/// Appends to a list that is there, and says where.
fn push(list: Option<&mut Vec<BindingId>>, id: BindingId) -> u32 {
    let Some(list) = list else { return 0 };
    list.push(id);
    list.len() as u32 - 1
}

/// Takes the entry at a position out and gives back the one that has moved there.
fn swap_remove(list: Option<&mut Vec<BindingId>>, at: u32) -> Option<BindingId> {
    let list = list?;
    debug_assert!((at as usize) < list.len(), "bindings know their place in the lists");
    if (at as usize) < list.len() {
        list.swap_remove(at as usize);
    }
    list.get(at as usize).copied()
}

/// What every vhost begins with, and whether only the broker publishes to it.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// Index of the default exchange: the first of [`PREDECLARED`].
pub(super) const DEFAULT_EXCHANGE: u32 = 0;

/// Names that clients may not give to what they make.
const RESERVED: &str = "amq.";
/// How long the beginning of a made up name may be, as on RabbitMQ.
const NAME_PREFIX_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests;
