//! A vhost for tests: short calls, and the records it would have stored.

use std::collections::BTreeMap;

use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table};

use super::{Change, Declarer, QueueCheck, RouteScratch, Topology};
use crate::fault::Fault;
use crate::message::Message;
use crate::queue::ConnectionId;
use crate::queue::arguments::QueueKind;
use crate::record::Record;
use crate::session::host::{Binding, Destination, ExchangeDeclare, QueueDeclare};

/// A topology whose queue handles are the queues' names.
pub(crate) struct Vhost {
    pub topology: Topology<String>,
    pub stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub default_kind: Option<QueueKind>,
    scratch: RouteScratch,
    uid: u64,
}

/// The connection that tests use unless they name another.
pub(crate) const ME: ConnectionId = ConnectionId(1);

/// A table as it arrives from the wire.
pub(crate) fn encoded(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.encode_entries(&mut bytes);
    bytes
}

pub(crate) fn properties_with(headers: Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    Properties { headers: Some(headers), ..Properties::default() }.encode(&mut bytes);
    bytes
}

impl Vhost {
    pub fn new() -> Vhost {
        Vhost {
            topology: Topology::new("/"),
            stored: BTreeMap::new(),
            default_kind: None,
            scratch: RouteScratch::default(),
            uid: 0,
        }
    }

    /// Seeds the choices of random exchanges.
    pub fn seed(&mut self, seed: u64) {
        self.scratch = RouteScratch::seeded(seed);
    }

    pub fn store(&mut self, records: Vec<Record>) {
        for record in records {
            match record.value {
                Some(value) => self.stored.insert(record.key, value),
                None => {
                    let stored = self.stored.remove(&record.key);
                    assert!(stored.is_some(), "only stored records are removed");
                    stored
                }
            };
        }
    }

    fn keep(&mut self, result: Result<Change, Fault>) -> Result<Change, Fault> {
        result.inspect(|change| self.store(change.records.clone()))
    }

    /// `flags` is any of "passive durable auto_delete internal".
    pub fn exchange(
        &mut self,
        name: &str,
        kind: &str,
        flags: &str,
        arguments: Table,
    ) -> Result<Change, Fault> {
        let bytes = encoded(&arguments);
        let request = ExchangeDeclare {
            exchange: name,
            kind,
            passive: flags.contains("passive"),
            durable: flags.contains("durable"),
            auto_delete: flags.contains("auto_delete"),
            internal: flags.contains("internal"),
            arguments: RawTable::validate(&bytes).unwrap(),
        };
        let result = self.topology.declare_exchange(&request, "guest", 7);
        self.keep(result)
    }

    pub fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<Change, Fault> {
        let result = self.topology.delete_exchange(name, if_unused);
        self.keep(result)
    }

    /// `flags` is any of "passive durable exclusive auto_delete". Gives back the queue's name.
    pub fn queue_of(
        &mut self,
        connection: ConnectionId,
        name: &str,
        flags: &str,
        arguments: Table,
    ) -> Result<String, Fault> {
        let bytes = encoded(&arguments);
        let request = QueueDeclare {
            queue: name,
            passive: flags.contains("passive"),
            durable: flags.contains("durable"),
            exclusive: flags.contains("exclusive"),
            auto_delete: flags.contains("auto_delete"),
            arguments: RawTable::validate(&bytes).unwrap(),
        };
        self.uid += 1;
        let declarer = Declarer {
            connection,
            user: "guest",
            uid: self.uid,
            random: [7; 16],
            default_kind: self.default_kind,
            max_queues: None,
        };
        match self.topology.check_queue_declare(&request, &declarer)? {
            QueueCheck::Existing(definition, handle) => {
                assert_eq!(&definition.name, handle);
                Ok(handle.clone())
            }
            QueueCheck::New(definition) => {
                let name = definition.name.clone();
                let change = self.topology.insert_queue(definition, name.clone());
                self.store(change.records);
                Ok(name)
            }
        }
    }

    pub fn queue(&mut self, name: &str, flags: &str, arguments: Table) -> Result<String, Fault> {
        self.queue_of(ME, name, flags, arguments)
    }

    /// Declares classic transient queues.
    pub fn queues<const N: usize>(&mut self, names: [&str; N]) {
        for name in names {
            self.queue(name, "", Table::new()).unwrap();
        }
    }

    pub fn delete_queue(&mut self, name: &str) -> Option<Change> {
        let removed = self.topology.remove_queue(name)?;
        assert_eq!(removed.handle, name);
        self.store(removed.change.records.clone());
        Some(removed.change)
    }

    /// `destination` is the name of an exchange when it begins with "x", else of a queue.
    pub fn bind_with(
        &mut self,
        connection: ConnectionId,
        source: &str,
        destination: &str,
        routing_key: &str,
        arguments: Table,
    ) -> Result<Change, Fault> {
        let bytes = encoded(&arguments);
        let result = self.topology.bind(&binding(source, destination, routing_key, &bytes), connection);
        self.keep(result)
    }

    pub fn bind(&mut self, source: &str, destination: &str, routing_key: &str) -> Change {
        self.bind_with(ME, source, destination, routing_key, Table::new()).unwrap()
    }

    pub fn unbind_with(
        &mut self,
        connection: ConnectionId,
        source: &str,
        destination: &str,
        routing_key: &str,
        arguments: Table,
    ) -> Result<Change, Fault> {
        let bytes = encoded(&arguments);
        let result = self.topology.unbind(&binding(source, destination, routing_key, &bytes), connection);
        self.keep(result)
    }

    pub fn unbind(&mut self, source: &str, destination: &str, routing_key: &str) -> Change {
        self.unbind_with(ME, source, destination, routing_key, Table::new()).unwrap()
    }

    /// The queues that a message reaches, sorted.
    pub fn route_with(
        &mut self,
        exchange: &str,
        routing_key: &str,
        headers: Table,
    ) -> Result<Vec<String>, Fault> {
        let properties = properties_with(headers);
        let properties = PropertiesView::validate(&properties).unwrap();
        let mut reached = Vec::new();
        let routed =
            self.topology.route(exchange, routing_key, properties, &mut self.scratch, &mut reached)?;
        assert_eq!(routed, !reached.is_empty());
        reached.sort();
        Ok(reached)
    }

    pub fn route(&mut self, exchange: &str, routing_key: &str) -> Vec<String> {
        self.route_with(exchange, routing_key, Table::new()).unwrap()
    }

    pub fn is_repeatable(&self) -> bool {
        self.scratch.is_repeatable()
    }

    /// Names of the exchanges that have to remember the last message.
    pub fn remembering(&self) -> Vec<&str> {
        self.topology.remembering(&self.scratch).map(|exchange| exchange.name.as_str()).collect()
    }

    /// The delayed exchanges that hold back what was routed last.
    pub fn holding(&self) -> &[u64] {
        self.scratch.holding()
    }

    /// The queues that a message reaches once it has waited at `exchange`, sorted.
    pub fn route_after_waiting(&mut self, exchange: &str, routing_key: &str, headers: Table) -> Vec<String> {
        let message = Message::new("elsewhere", routing_key, &properties_with(headers), b"");
        let mut reached = Vec::new();
        self.topology.route_after_waiting(exchange, &message, &mut self.scratch, &mut reached);
        reached.sort();
        reached
    }
}

fn binding<'a>(
    source: &'a str,
    destination: &'a str,
    routing_key: &'a str,
    arguments: &'a [u8],
) -> Binding<'a> {
    let destination = match destination {
        exchange if exchange.starts_with('x') || exchange.is_empty() => Destination::Exchange(exchange),
        queue => Destination::Queue(queue),
    };
    Binding { source, destination, routing_key, arguments: RawTable::validate(arguments).unwrap() }
}
