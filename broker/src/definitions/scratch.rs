//! A copy of what exists in vhosts, without the queues themselves, on which declarations are tried before they are made.

use std::collections::BTreeMap;

use leveret_core::fault::Fault;
use leveret_core::queue::ConnectionId;
use leveret_core::session::host::{Binding, Destination, ExchangeDeclare, QueueDeclare};
use leveret_core::vhost::{Declarer, QueueCheck, Topology};
use leveret_protocol::admin::Arguments;
use leveret_protocol::admin::definitions::{DefinedBinding, DefinedExchange, DefinedQueue};
use leveret_protocol::admin::requests::table_of;
use leveret_protocol::table::{RawTable, Table};

use crate::broker::Vhost;

/// The vhosts that an import meets.
#[derive(Default)]
pub struct Scratch {
    vhosts: BTreeMap<String, Topology<()>>,
}

/// What trying a declaration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    Added,
    Unchanged,
    /// It is there, and different.
    Conflict(String),
}

impl Scratch {
    /// Adds a vhost with what is in it, or an empty one.
    pub fn add(&mut self, name: &str, existing: Option<&Vhost>) {
        let topology = existing.map_or_else(|| Topology::new(name), copy);
        self.vhosts.insert(name.to_owned(), topology);
    }

    /// True when the vhost was added.
    pub fn has(&self, vhost: &str) -> bool {
        self.vhosts.contains_key(vhost)
    }

    /// Tries an exchange.
    pub fn exchange(&mut self, exchange: &DefinedExchange) -> Result<Tried, String> {
        let arguments = encoded(&exchange.arguments)?;
        let topology = self.topology(&exchange.vhost)?;
        let exists = topology.exchange(&exchange.name).is_some();
        tried(exists, topology.declare_exchange(&exchange_declare(exchange, &arguments), "", 0).map(drop))
    }

    /// Tries a queue in a vhost that may hold `limit`.
    pub fn queue(&mut self, queue: &DefinedQueue, limit: Option<u64>) -> Result<Tried, String> {
        let arguments = encoded(&queue_arguments(queue))?;
        let topology = self.topology(&queue.vhost)?;
        let exists = topology.queue(&queue.name).is_some();
        let checked = topology.check_queue_declare(
            &queue_declare(queue, &arguments),
            &Declarer { max_queues: limit, ..DECLARER },
        );
        let definition = match checked {
            Ok(QueueCheck::Existing(..)) => return Ok(Tried::Unchanged),
            Ok(QueueCheck::New(definition)) => definition,
            Err(fault) => return tried(exists, Err(fault)),
        };
        topology.insert_queue(definition, ());
        Ok(Tried::Added)
    }

    /// Tries a binding.
    pub fn binding(&mut self, binding: &DefinedBinding) -> Result<Tried, String> {
        let arguments = encoded(&binding.arguments)?;
        let topology = self.topology(&binding.vhost)?;
        let before = topology.generation();
        topology.bind(&bind(binding, &arguments)?, NOBODY).map_err(|fault| fault.text.into_owned())?;
        Ok(if topology.generation() == before { Tried::Unchanged } else { Tried::Added })
    }

    fn topology(&mut self, vhost: &str) -> Result<&mut Topology<()>, String> {
        self.vhosts.get_mut(vhost).ok_or_else(|| format!("no_such_vhost: {vhost}"))
    }
}

/// `exchange.declare` of what is defined.
pub fn exchange_declare<'a>(exchange: &'a DefinedExchange, arguments: &'a [u8]) -> ExchangeDeclare<'a> {
    ExchangeDeclare {
        exchange: &exchange.name,
        kind: &exchange.kind,
        passive: false,
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        arguments: RawTable::new_unchecked_valid(arguments),
    }
}

/// `queue.declare` of what is defined.
pub fn queue_declare<'a>(queue: &'a DefinedQueue, arguments: &'a [u8]) -> QueueDeclare<'a> {
    QueueDeclare {
        queue: &queue.name,
        passive: false,
        durable: queue.durable,
        exclusive: false,
        auto_delete: queue.auto_delete,
        arguments: RawTable::new_unchecked_valid(arguments),
    }
}

/// A queue's arguments, which say its type.
pub fn queue_arguments(queue: &DefinedQueue) -> Arguments {
    let mut arguments = queue.arguments.clone();
    if let Some(kind) = &queue.kind
        && kind != "classic"
    {
        arguments.entry("x-queue-type").or_insert_with(|| kind.as_str().into());
    }
    arguments
}

/// `queue.bind` or `exchange.bind` of what is defined.
pub fn bind<'a>(binding: &'a DefinedBinding, arguments: &'a [u8]) -> Result<Binding<'a>, String> {
    let destination = match binding.destination_type.as_str() {
        "queue" => Destination::Queue(&binding.destination),
        "exchange" => Destination::Exchange(&binding.destination),
        other => return Err(format!("destination_type must be queue or exchange, not {other}")),
    };
    if binding.routing_key.len() > 255 {
        return Err("the routing key is longer than 255 bytes".to_owned());
    }
    Ok(Binding {
        source: &binding.source,
        destination,
        routing_key: &binding.routing_key,
        arguments: RawTable::new_unchecked_valid(arguments),
    })
}

/// Arguments as entries of a table, within the bounds of the wire.
pub fn encoded(arguments: &Arguments) -> Result<Vec<u8>, String> {
    let entries = entries(&table_of(arguments)?);
    RawTable::validate(&entries).map_err(|error| error.to_string())?;
    Ok(entries)
}

fn entries(table: &Table) -> Vec<u8> {
    let mut entries = Vec::new();
    table.encode_entries(&mut entries);
    entries
}

fn tried(exists: bool, declared: Result<(), Fault>) -> Result<Tried, String> {
    match declared {
        Ok(()) if exists => Ok(Tried::Unchanged),
        Ok(()) => Ok(Tried::Added),
        Err(fault) if exists => Ok(Tried::Conflict(fault.text.into_owned())),
        Err(fault) => Err(fault.text.into_owned()),
    }
}

fn copy(vhost: &Vhost) -> Topology<()> {
    let existing = vhost.topology();
    let mut copy = Topology::new(vhost.name());
    for exchange in existing.exchanges().filter(|exchange| !super::is_reserved(&exchange.name)) {
        let arguments = entries(&exchange.arguments);
        let declare = ExchangeDeclare {
            exchange: &exchange.name,
            kind: exchange.kind.name(),
            passive: false,
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: RawTable::new_unchecked_valid(&arguments),
        };
        // It was declared so once.
        let _ = copy.declare_exchange(&declare, &exchange.user, 0);
    }
    for (queue, _) in existing.queues() {
        copy.insert_queue(Box::new(queue.clone()), ());
    }
    for binding in existing.bindings() {
        let owner = match binding.destination {
            Destination::Queue(name) => existing.queue(name).and_then(|(queue, _)| queue.exclusive_owner),
            Destination::Exchange(_) => None,
        };
        // As above.
        let _ = copy.bind(&binding, owner.unwrap_or(NOBODY));
    }
    copy
}

/// Not the number of any connection: they begin at 1.
pub const NOBODY: ConnectionId = ConnectionId(0);

const DECLARER: Declarer<'static> =
    Declarer { connection: NOBODY, user: "", uid: 0, random: [0; 16], default_kind: None, max_queues: None };
