//! An import, in two steps: everything is checked against a copy of what exists, and only when nothing is wrong with any
//! of it is all of it done.
//!
//! Users, permissions and vhosts are replaced by what is defined. An exchange or a queue that is there and different
//! cannot be replaced without losing what is in it: as with RabbitMQ it stays as it is.
//!
//! The second step begins with a record of the whole import and ends with its removal. Records keep their order, so after
//! a crash either nothing of the import is there, or all of it, or its record: then the next start does it again, which
//! completes it. One batch for all of it would need everybody who declares to wait for the import.

use std::sync::Arc;

use leveret_core::auth::{Algorithm, PasswordHash, Permission, SALT_BYTES, Tags, UserLimits, Users};
use leveret_core::fault::Fault;
use leveret_core::record::{self, Record};
use leveret_core::session::host::Ticket;
use leveret_core::vhosts::{DefaultQueueType, Vhost as VhostRecord, Vhosts};
use leveret_protocol::admin::definitions::{
    DefinedBinding, DefinedExchange, DefinedObject, DefinedQueue, DefinedUser, DefinedVhost, Definitions,
    Differences,
};
use leveret_protocol::admin::requests::VhostMetadataSpec;
use leveret_protocol::admin::{Permission as DefinedPermission, TopicPermission as DefinedTopicPermission};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::rules::{self, Rule};
use super::scratch::{self, Scratch, Tried};
use super::{CLUSTER_NAME, is_reserved};
use crate::admin::views;
use crate::broker::Broker;

/// Why nothing was imported: which object, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} '{name}': {reason}")]
pub struct ImportError {
    pub kind: &'static str,
    pub name: String,
    pub reason: String,
}

/// A checked import: what it would change.
#[derive(Default)]
pub struct Plan {
    steps: Vec<Step>,
    differences: Differences,
    /// What is kept while it is carried out: the definitions, with hashes in place of passwords.
    record: Option<Record>,
}

pub(super) enum Step {
    Vhost(VhostRecord),
    User { name: String, password: PasswordHash, tags: Tags, limits: UserLimits },
    Permission { user: String, vhost: String, permission: Permission },
    TopicPermission(DefinedTopicPermission),
    ClusterName(String),
    Exchange(DefinedExchange),
    Queue(DefinedQueue),
    Binding(DefinedBinding),
    Rule(Rule),
}

impl Plan {
    /// Checks definitions against what exists. Those of one vhost name none: `into` is then where they go.
    pub fn new(
        broker: &Broker,
        mut definitions: Definitions,
        into: Option<&str>,
    ) -> Result<Plan, ImportError> {
        if let Some(vhost) = into {
            narrow(&mut definitions, vhost);
        }
        hash_passwords(&mut definitions.users)?;
        let record = Record::put_json(record_key(), RECORD_VERSION, &definitions);
        let mut plan = Plan { record: Some(record), ..Plan::default() };
        let mut vhosts = broker.vhost_records().read().clone();
        plan.vhosts(&mut vhosts, definitions.vhosts)?;
        let mut users = broker.users().read().clone();
        plan.users(&mut users, definitions.users)?;
        plan.permissions(&mut users, &vhosts, definitions.permissions)?;
        plan.topic_permissions(&mut users, &vhosts, definitions.topic_permissions)?;
        for parameter in definitions.global_parameters {
            match parameter.value.as_str() {
                Some(name) if parameter.name == CLUSTER_NAME => plan.cluster_name(broker, name),
                _ => rules::plan_global(&mut plan, broker, parameter)?,
            }
        }
        rules::plan_policies(&mut plan, broker, &vhosts, definitions.policies)?;
        let mut scratch = Scratch::default();
        for vhost in vhosts.iter() {
            scratch.add(&vhost.name, broker.vhost(&vhost.name).as_deref());
        }
        for exchange in definitions.exchanges {
            plan.exchange(&mut scratch, exchange)?;
        }
        for queue in definitions.queues {
            plan.queue(&mut scratch, &vhosts, queue)?;
        }
        for binding in definitions.bindings {
            plan.binding(&mut scratch, binding)?;
        }
        // Last, so that a limit does not stand in the way of what is defined beside it.
        rules::plan_parameters(&mut plan, broker, &vhosts, definitions.parameters)?;
        Ok(plan)
    }

    /// What is kept of it while it is carried out.
    #[cfg(test)]
    pub fn record(&self) -> &Record {
        self.record.as_ref().expect("every plan but the empty one has it")
    }

    /// What the import would change.
    pub fn differences(&self) -> &Differences {
        &self.differences
    }

    /// Does it, in the name of `user`. Returns when it is safe. Takes its time: not on a thread that carries messages.
    pub fn carry_out(self, broker: &Arc<Broker>, user: &str) -> Result<Ticket, Fault> {
        // One after the other: two imports at once would see each other's halves.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock();
        for conflict in &self.differences.conflicting {
            warn!(
                kind = conflict.kind,
                vhost = conflict.vhost,
                name = conflict.name,
                reason = conflict.reason,
                "stays as it is"
            );
        }
        let steps = self.steps.into_iter();
        broker.write_records(self.record.into_iter().collect());
        let done = steps
            .map(|step| step.carry_out(broker, user))
            .try_fold(Ticket(0), |after, step| step.map(|ticket| after.max(ticket)));
        let after = broker.write_records(vec![Record::remove(record_key())]);
        let after = after.max(done?);
        let Differences { added, changed, unchanged, .. } = &self.differences;
        info!(user, added = added.len(), changed = changed.len(), unchanged, "definitions imported");
        Ok(after)
    }

    /// Does again what a crash interrupted, of which `meta` has the record. Once, before anybody is connected.
    pub fn complete(broker: &Arc<Broker>, meta: &[(Vec<u8>, Vec<u8>)]) -> Ticket {
        let Some((key, value)) = meta.iter().find(|(key, _)| *key == record_key()) else { return Ticket(0) };
        let plan = record::read_json(key, RECORD_VERSION, value)
            .map_err(|error| error.to_string())
            .and_then(|definitions| Plan::new(broker, definitions, None).map_err(|error| error.to_string()));
        let completed =
            plan.and_then(|plan| plan.carry_out(broker, RECORD).map_err(|fault| fault.to_string()));
        match completed {
            Ok(ticket) => ticket,
            Err(reason) => {
                error!(
                    reason,
                    "an import that a crash interrupted cannot be completed: a part of it is there"
                );
                broker.write_records(vec![Record::remove(record_key())])
            }
        }
    }

    fn vhosts(&mut self, vhosts: &mut Vhosts, defined: Vec<DefinedVhost>) -> Result<(), ImportError> {
        for vhost in defined {
            let error = |reason: String| error("vhost", &vhost.name, reason);
            let before = vhosts.get(&vhost.name).cloned();
            let record = before.clone().unwrap_or_else(|| VhostRecord::new(&vhost.name));
            let record = merged_vhost(record, &vhost).map_err(error)?;
            vhosts.put(record.clone()).map_err(|refused| error(refused.to_string()))?;
            let is_same = before.as_ref() == Some(&record);
            self.note("vhost", "", &vhost.name, before.is_some(), is_same, Step::Vhost(record));
        }
        Ok(())
    }

    fn users(&mut self, users: &mut Users, defined: Vec<DefinedUser>) -> Result<(), ImportError> {
        for user in defined {
            let error = |reason: String| error("user", &user.name, reason);
            let tags = user.tags.clone().ok_or_else(|| error("tags_not_present".to_owned()))?;
            let tags = Tags::new(tags);
            let limits = serde_json::from_value(user.limits.clone().into())
                .map_err(|refused| error(refused.to_string()))?;
            let before = users.user(&user.name).cloned();
            let password = password(&user).map_err(error)?;
            let put = |users: &mut Users| {
                users.put_user(&user.name, password.clone(), tags.clone())?;
                users.set_limits(&user.name, limits)
            };
            put(users).map_err(|refused| error(refused.to_string()))?;
            let is_same = before.as_ref().is_some_and(|before| {
                users.user(&user.name).is_some_and(|after| views::user(before) == views::user(after))
            });
            let exists = before.is_some();
            let step = Step::User { name: user.name.clone(), password, tags, limits };
            self.note("user", "", &user.name, exists, is_same, step);
        }
        Ok(())
    }

    fn permissions(
        &mut self,
        users: &mut Users,
        vhosts: &Vhosts,
        defined: Vec<DefinedPermission>,
    ) -> Result<(), ImportError> {
        for permission in defined {
            let DefinedPermission { user, vhost, configure, write, read } = &permission;
            let error = |reason: String| error("permission", user, reason);
            must_have(vhosts, vhost).map_err(error)?;
            let of_user = |users: &Users| {
                let found = users.user(user)?.permissions().find(|(other, _)| other == vhost);
                found.map(|(_, permission)| permission.clone())
            };
            let rights =
                Permission::new(configure, write, read).map_err(|refused| error(refused.to_string()))?;
            let before = of_user(users);
            users
                .set_permission(user, vhost, rights.clone())
                .map_err(|refused| error(refused.to_string()))?;
            let is_same = before.as_ref() == Some(&rights);
            let step = Step::Permission { user: user.clone(), vhost: vhost.clone(), permission: rights };
            self.note("permission", vhost, user, before.is_some(), is_same, step);
        }
        Ok(())
    }

    fn topic_permissions(
        &mut self,
        users: &mut Users,
        vhosts: &Vhosts,
        defined: Vec<DefinedTopicPermission>,
    ) -> Result<(), ImportError> {
        for permission in defined {
            let DefinedTopicPermission { user, vhost, exchange, write, read } = &permission;
            let error = |reason: String| error("topic permission", user, reason);
            must_have(vhosts, vhost).map_err(error)?;
            let before = users.user(user).and_then(|user| {
                views::topic_permissions(user)
                    .find(|other| other.vhost == *vhost && other.exchange == *exchange)
            });
            users
                .set_topic_permission(user, vhost, exchange, write, read)
                .map_err(|refused| error(refused.to_string()))?;
            let is_same = before.as_ref() == Some(&permission);
            let name = format!("{user} on {exchange}");
            let (vhost, step) = (vhost.clone(), Step::TopicPermission(permission.clone()));
            self.note("topic permission", &vhost, &name, before.is_some(), is_same, step);
        }
        Ok(())
    }

    fn cluster_name(&mut self, broker: &Broker, name: &str) {
        // RabbitMQ exports an empty one where none was given.
        if (1..=255).contains(&name.len()) {
            let is_same = broker.cluster_name() == name;
            let step = Step::ClusterName(name.to_owned());
            self.note("global parameter", "", CLUSTER_NAME, true, is_same, step);
        }
    }

    fn exchange(&mut self, scratch: &mut Scratch, exchange: DefinedExchange) -> Result<(), ImportError> {
        if is_reserved(&exchange.name) && scratch.has(&exchange.vhost) {
            // Every vhost has its own of these, whatever the definitions say.
            self.differences.unchanged += 1;
            return Ok(());
        }
        let tried = scratch.exchange(&exchange);
        let tried = tried.map_err(|reason| error("exchange", &exchange.name, reason))?;
        let (vhost, name) = (exchange.vhost.clone(), exchange.name.clone());
        self.tried("exchange", &vhost, &name, tried, Step::Exchange(exchange));
        Ok(())
    }

    fn queue(
        &mut self,
        scratch: &mut Scratch,
        vhosts: &Vhosts,
        queue: DefinedQueue,
    ) -> Result<(), ImportError> {
        let (vhost, name) = (queue.vhost.clone(), queue.name.clone());
        let tried = if is_reserved(&queue.name) && scratch.has(&queue.vhost) {
            Tried::Conflict("only the broker gives names that begin with amq.".to_owned())
        } else {
            let limit = vhosts.get(&queue.vhost).and_then(|vhost| vhost.limits.max_queues);
            scratch.queue(&queue, limit).map_err(|reason| error("queue", &queue.name, reason))?
        };
        self.tried("queue", &vhost, &name, tried, Step::Queue(queue));
        Ok(())
    }

    fn binding(&mut self, scratch: &mut Scratch, binding: DefinedBinding) -> Result<(), ImportError> {
        let name = format!("{} -> {} ({})", binding.source, binding.destination, binding.routing_key);
        let tried = if binding.source.is_empty() {
            // It follows from the queue's name.
            Tried::Unchanged
        } else if is_reserved(&binding.destination) && binding.destination_type == "queue" {
            Tried::Conflict("its queue is not imported".to_owned())
        } else {
            scratch.binding(&binding).map_err(|reason| error("binding", &name, reason))?
        };
        let vhost = binding.vhost.clone();
        self.tried("binding", &vhost, &name, tried, Step::Binding(binding));
        Ok(())
    }

    fn tried(&mut self, kind: &str, vhost: &str, name: &str, tried: Tried, step: Step) {
        match tried {
            Tried::Unchanged => self.differences.unchanged += 1,
            Tried::Added => self.note(kind, vhost, name, false, false, step),
            Tried::Conflict(reason) => {
                self.differences.conflicting.push(object(kind, vhost, name, Some(reason)));
            }
        }
    }

    pub(super) fn note(
        &mut self,
        kind: &str,
        vhost: &str,
        name: &str,
        exists: bool,
        is_same: bool,
        step: Step,
    ) {
        let list = match (exists, is_same) {
            (_, true) => {
                self.differences.unchanged += 1;
                return;
            }
            (true, false) => &mut self.differences.changed,
            (false, false) => &mut self.differences.added,
        };
        list.push(object(kind, vhost, name, None));
        self.steps.push(step);
    }
}

impl Step {
    fn carry_out(self, broker: &Arc<Broker>, acting: &str) -> Result<Ticket, Fault> {
        let wrong = |text: String| Fault::precondition_failed(text);
        match self {
            Step::Vhost(record) => {
                broker.put_vhost(record).map(|(_, ticket)| ticket).map_err(|error| wrong(error.to_string()))
            }
            Step::User { name, password, tags, limits } => broker
                .change_users(|users| {
                    let mut records = users.put_user(&name, password, tags)?;
                    records.extend(users.set_limits(&name, limits)?);
                    Ok::<_, leveret_core::auth::UsersError>(records)
                })
                .map_err(|error| wrong(error.to_string())),
            Step::Permission { user, vhost, permission } => broker
                .change_users(|users| users.set_permission(&user, &vhost, permission))
                .map_err(|error| wrong(error.to_string())),
            Step::TopicPermission(DefinedTopicPermission { user, vhost, exchange, write, read }) => broker
                .change_users(|users| users.set_topic_permission(&user, &vhost, &exchange, &write, &read))
                .map_err(|error| wrong(error.to_string())),
            Step::Rule(rule) => rule.carry_out(broker),
            Step::ClusterName(name) => broker.set_cluster_name(&name),
            Step::Exchange(exchange) => {
                let arguments = scratch::encoded(&exchange.arguments).map_err(wrong)?;
                let vhost = vhost(broker, &exchange.vhost)?;
                let declare = scratch::exchange_declare(&exchange, &arguments);
                broker.exchange_declare(&vhost, &declare, acting)
            }
            Step::Queue(queue) => {
                let arguments = scratch::encoded(&scratch::queue_arguments(&queue)).map_err(wrong)?;
                let vhost = vhost(broker, &queue.vhost)?;
                let declare = scratch::queue_declare(&queue, &arguments);
                let everything = |_, _: leveret_core::auth::Resource<'_>| Ok(());
                broker
                    .queue_declare(&vhost, &declare, scratch::NOBODY, acting, &everything)
                    .map(|declared| declared.after)
            }
            Step::Binding(binding) => {
                let arguments = scratch::encoded(&binding.arguments).map_err(wrong)?;
                let vhost = vhost(broker, &binding.vhost)?;
                let binding = scratch::bind(&binding, &arguments).map_err(wrong)?;
                broker.bind(&vhost, &binding, scratch::NOBODY)
            }
        }
    }
}

/// What definitions of one vhost may hold, with the vhost's name in it.
fn narrow(definitions: &mut Definitions, vhost: &str) {
    definitions.users.clear();
    definitions.vhosts.clear();
    definitions.permissions.clear();
    definitions.topic_permissions.clear();
    definitions.global_parameters.clear();
    let name = || vhost.to_owned();
    definitions.queues.iter_mut().for_each(|queue| queue.vhost = name());
    definitions.exchanges.iter_mut().for_each(|exchange| exchange.vhost = name());
    definitions.bindings.iter_mut().for_each(|binding| binding.vhost = name());
    definitions.policies.iter_mut().for_each(|policy| policy.vhost = name());
    definitions.parameters.iter_mut().for_each(|parameter| parameter.vhost = name());
}

/// A vhost with what definitions say of it. What they say twice counts where they say it first.
pub fn merged_vhost(mut record: VhostRecord, defined: &DefinedVhost) -> Result<VhostRecord, String> {
    let metadata = defined.metadata.clone().unwrap_or_default();
    let VhostMetadataSpec { description, tags, default_queue_type, protected_from_deletion } = metadata;
    if let Some(description) = defined.description.clone().or(description) {
        record.description = description;
    }
    if let Some(tags) = defined.tags.clone().or(tags) {
        record.tags = tags;
    }
    if let Some(kind) = defined.default_queue_type.clone().or(default_queue_type) {
        record.default_queue_type = match kind.as_str() {
            "classic" | "rabbit_classic_queue" => Some(DefaultQueueType::Classic),
            "quorum" | "rabbit_quorum_queue" => Some(DefaultQueueType::Quorum),
            "stream" | "rabbit_stream_queue" => Some(DefaultQueueType::Stream),
            "" | "undefined" => None,
            _ => return Err("Unsupported default queue type".to_owned()),
        };
    }
    if let Some(protected) = defined.protected_from_deletion.or(protected_from_deletion) {
        record.protected_from_deletion = protected;
    }
    Ok(record)
}

/// Puts hashes in place of passwords: neither steps nor records have any.
fn hash_passwords(users: &mut [DefinedUser]) -> Result<(), ImportError> {
    for user in users {
        let Some(password) = &user.password else { continue };
        let wrong = |reason: String| error("user", &user.name, reason);
        if user.password_hash.is_some() {
            return Err(wrong("both_password_and_password_hash_are_provided".to_owned()));
        }
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt);
        let hash = PasswordHash::new(password.as_bytes(), salt).map_err(|error| wrong(error.to_string()))?;
        user.password = None;
        user.hashing_algorithm = Some(hash.algorithm().name().to_owned());
        user.password_hash = Some(hash.as_str().to_owned());
    }
    Ok(())
}

fn password(user: &DefinedUser) -> Result<PasswordHash, String> {
    let Some(hash) = &user.password_hash else { return Ok(PasswordHash::none()) };
    let algorithm = user.hashing_algorithm.as_deref();
    let algorithm = algorithm.unwrap_or_else(|| Algorithm::of_unnamed(hash).name());
    PasswordHash::import(algorithm, hash).map_err(|error| error.to_string())
}

fn record_key() -> Vec<u8> {
    record::key(RECORD, &[])
}

pub(super) fn must_have(vhosts: &Vhosts, vhost: &str) -> Result<(), String> {
    vhosts.get(vhost).map(drop).ok_or_else(|| format!("no_such_vhost: {vhost}"))
}

pub(super) fn vhost(broker: &Broker, name: &str) -> Result<Arc<crate::broker::Vhost>, Fault> {
    broker.vhost(name).ok_or_else(|| Fault::not_found(format!("no vhost '{name}'")))
}

fn object(kind: &str, vhost: &str, name: &str, reason: Option<String>) -> DefinedObject {
    DefinedObject { kind: kind.to_owned(), vhost: vhost.to_owned(), name: name.to_owned(), reason }
}

pub(super) fn error(kind: &'static str, name: &str, reason: String) -> ImportError {
    ImportError { kind, name: name.to_owned(), reason }
}

/// The kind of the record, and in whose name an import is completed.
const RECORD: &str = "import";
const RECORD_VERSION: u8 = 1;
