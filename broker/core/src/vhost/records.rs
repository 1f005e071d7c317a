//! The form in which exchanges, queues and bindings are stored (see [`crate::record`] for what all records share).
//!
//! ```text
//! topology/  vhost  "exchange"  name
//! topology/  vhost  "queue"     name
//! topology/  vhost  "binding"   source  "queue" or "exchange"  destination  routing key  arguments
//! topology/  vhost  "policy" or "operator_policy"  name
//! ```
//!
//! One vhost's records are one range of keys. Keys are only compared; everything that is read back is in the value.

use leveret_protocol::table::{RawTable, Table};
use serde::{Deserialize, Serialize};

use super::definitions::{
    BindingDefinition, DestinationName, ExchangeDefinition, QueueDefinition, canonical_arguments,
};
use super::faults;
use crate::exchange::ExchangeKind;
use crate::policy::{Policy, PolicyKind, Proposal};
use crate::queue::arguments::QueueOptions;
use crate::record::{self, Record, RecordError, damaged, read_json};

/// What the keys of one vhost's topology begin with.
pub fn record_prefix(vhost: &str) -> Vec<u8> {
    record::key(KIND, &[vhost])
}

/// What one record holds.
pub(crate) enum Stored {
    Exchange(ExchangeDefinition),
    Queue(QueueDefinition),
    Binding(BindingDefinition),
    Policy(PolicyKind, Policy),
}

#[derive(Serialize, Deserialize)]
struct PolicyRecord {
    name: String,
    #[serde(flatten)]
    proposal: Proposal,
}

#[derive(Serialize, Deserialize)]
struct ExchangeRecord {
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u64,
    name: String,
    kind: String,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
    user: String,
}

#[derive(Serialize, Deserialize)]
struct QueueRecord {
    uid: u64,
    name: String,
    auto_delete: bool,
    arguments: Table,
    user: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
}

#[derive(Serialize, Deserialize)]
struct BindingRecord {
    source: String,
    destination: StoredDestination,
    routing_key: String,
    arguments: Table,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredDestination {
    Queue(String),
    Exchange(String),
}

pub(crate) fn put_exchange(vhost: &str, definition: &ExchangeDefinition) -> Record {
    let ExchangeDefinition { uid, name, kind, durable: _, auto_delete, internal, arguments, user } =
        definition.clone();
    let content =
        ExchangeRecord { uid, name, kind: kind.name().to_owned(), auto_delete, internal, arguments, user };
    Record::put_json(exchange_key(vhost, &definition.name), VERSION, &content)
}

pub(crate) fn remove_exchange(vhost: &str, name: &str) -> Record {
    Record::remove(exchange_key(vhost, name))
}

pub(crate) fn put_queue(vhost: &str, definition: &QueueDefinition) -> Record {
    let content = QueueRecord {
        uid: definition.uid,
        name: definition.name.clone(),
        auto_delete: definition.auto_delete,
        arguments: definition.arguments.clone(),
        user: definition.user.clone(),
        paused: definition.paused,
    };
    Record::put_json(queue_key(vhost, &definition.name), VERSION, &content)
}

pub(crate) fn remove_queue(vhost: &str, name: &str) -> Record {
    Record::remove(queue_key(vhost, name))
}

pub(crate) fn put_binding(vhost: &str, definition: &BindingDefinition) -> Record {
    let content = BindingRecord {
        source: definition.source.clone(),
        destination: match definition.destination.clone() {
            DestinationName::Queue(name) => StoredDestination::Queue(name),
            DestinationName::Exchange(name) => StoredDestination::Exchange(name),
        },
        routing_key: definition.routing_key.clone().into(),
        arguments: RawTable::new_unchecked_valid(&definition.arguments).to_table().unwrap_or_default(),
    };
    Record::put_json(binding_key(vhost, definition), VERSION, &content)
}

pub(crate) fn remove_binding(vhost: &str, definition: &BindingDefinition) -> Record {
    Record::remove(binding_key(vhost, definition))
}

pub(crate) fn put_policy(vhost: &str, kind: PolicyKind, policy: &Policy) -> Record {
    let content = PolicyRecord { name: policy.name.clone(), proposal: policy.proposal() };
    Record::put_json(policy_key(vhost, kind, &policy.name), VERSION, &content)
}

pub(crate) fn remove_policy(vhost: &str, kind: PolicyKind, name: &str) -> Record {
    Record::remove(policy_key(vhost, kind, name))
}

/// Reads a record back; `None` for one that is not part of this vhost's topology.
pub(crate) fn read(vhost: &str, key: &[u8], value: &[u8]) -> Result<Option<Stored>, RecordError> {
    let Some(rest) = key.strip_prefix(&*record_prefix(vhost)) else { return Ok(None) };
    let is = |kind: &str| {
        rest.strip_prefix(&(kind.len() as u16).to_be_bytes())
            .is_some_and(|rest| rest.starts_with(kind.as_bytes()))
    };
    let stored = if is(EXCHANGE) {
        read_exchange(key, read_json(key, VERSION, value)?).map(Stored::Exchange)
    } else if is(QUEUE) {
        read_queue(vhost, key, read_json(key, VERSION, value)?).map(Stored::Queue)
    } else if is(BINDING) {
        read_binding(key, read_json(key, VERSION, value)?).map(Stored::Binding)
    } else if let Some(kind) =
        [PolicyKind::Policy, PolicyKind::Operator].into_iter().find(|kind| is(kind.name()))
    {
        let PolicyRecord { name, proposal } = read_json(key, VERSION, value)?;
        let policy = Policy::new(kind, &name, &proposal).map_err(|error| damaged(key, error));
        policy.map(|policy| Stored::Policy(kind, policy))
    } else {
        Err(damaged(key, "it is neither an exchange nor a queue nor a binding nor a policy"))
    };
    stored.map(Some)
}

fn read_exchange(key: &[u8], record: ExchangeRecord) -> Result<ExchangeDefinition, RecordError> {
    let ExchangeRecord { uid, name, kind, auto_delete, internal, arguments, user } = record;
    let kind = ExchangeKind::from_name(&kind)
        .ok_or_else(|| damaged(key, format_args!("there are no exchanges of type '{kind}'")))?;
    Ok(ExchangeDefinition { uid, name, kind, durable: true, auto_delete, internal, arguments, user })
}

fn read_queue(vhost: &str, key: &[u8], record: QueueRecord) -> Result<QueueDefinition, RecordError> {
    let QueueRecord { uid, name, auto_delete, arguments, user, paused } = record;
    let options = QueueOptions::parse(&faults::queue(&name, vhost), &arguments)
        .map_err(|fault| damaged(key, fault.text))?;
    Ok(QueueDefinition {
        uid,
        name,
        durable: true,
        auto_delete,
        exclusive_owner: None,
        arguments,
        options,
        user,
        paused,
    })
}

fn read_binding(key: &[u8], record: BindingRecord) -> Result<BindingDefinition, RecordError> {
    let mut bytes = Vec::new();
    record.arguments.encode_entries(&mut bytes);
    let arguments = RawTable::validate(&bytes).map_err(|error| damaged(key, error))?;
    Ok(BindingDefinition {
        source: record.source,
        destination: match record.destination {
            StoredDestination::Queue(name) => DestinationName::Queue(name),
            StoredDestination::Exchange(name) => DestinationName::Exchange(name),
        },
        routing_key: record.routing_key.into(),
        arguments: canonical_arguments(arguments).map_err(|fault| damaged(key, fault.text))?,
    })
}

fn is_zero(uid: &u64) -> bool {
    *uid == 0
}

fn exchange_key(vhost: &str, name: &str) -> Vec<u8> {
    record::key(KIND, &[vhost, EXCHANGE, name])
}

fn queue_key(vhost: &str, name: &str) -> Vec<u8> {
    record::key(KIND, &[vhost, QUEUE, name])
}

fn policy_key(vhost: &str, kind: PolicyKind, name: &str) -> Vec<u8> {
    record::key(KIND, &[vhost, kind.name(), name])
}

fn binding_key(vhost: &str, definition: &BindingDefinition) -> Vec<u8> {
    let (kind, destination) = match &definition.destination {
        DestinationName::Queue(name) => (QUEUE, name),
        DestinationName::Exchange(name) => (EXCHANGE, name),
    };
    let names = [vhost, BINDING, &definition.source, kind, destination, &definition.routing_key];
    let mut key = record::key(KIND, &names);
    key.extend_from_slice(&definition.arguments);
    key
}

const KIND: &str = "topology";
const EXCHANGE: &str = "exchange";
const QUEUE: &str = "queue";
const BINDING: &str = "binding";
const VERSION: u8 = 1;

/// Tables and arrays inside one another that arguments may have. The protocol allows 64, but every level is three
/// levels of JSON, of which the reader allows 128.
pub(crate) const NESTING_MAX: u32 = 32;
