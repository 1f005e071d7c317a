//! Vhosts coming and going.

use std::sync::Arc;

use leveret_core::queue::ConnectionId;
use leveret_core::session::host::Ticket;
use leveret_core::vhost::{Change, DestinationName, Topology};
use leveret_core::vhosts::{Vhost as VhostRecord, VhostsError};
use tracing::info;

use super::Broker;
use crate::exchange_memory::ExchangeMemories;
use crate::outbox::Notice;
use crate::queue_host::QueueCell;

impl Broker {
    /// Creates a vhost, or changes the settings of one that exists. True when it is new.
    pub fn put_vhost(&self, record: VhostRecord) -> Result<(bool, Ticket), VhostsError> {
        let name: Arc<str> = record.name.as_str().into();
        let mut records = self.vhost_records.write();
        let is_new = records.get(&name).is_none();
        let changed = records.put(record)?;
        let ticket = self.write_records(changed);
        if is_new {
            info!(vhost = %name, "vhost created");
            self.add_vhost(name.clone(), Topology::new(&name), ExchangeMemories::default());
        }
        drop(records);
        self.changed();
        Ok((is_new, ticket))
    }

    /// Deletes a vhost with all that is in it and everybody's permissions there; its connections are closed.
    pub fn delete_vhost(&self, name: &str) -> Result<Ticket, VhostsError> {
        let mut records = self.vhost_records.write();
        let mut removed = records.delete(name)?;
        let vhost = self.vhosts.write().remove(name);
        let mut ticket = Ticket(0);
        if let Some(vhost) = vhost {
            let mut topology = vhost.end();
            let mut change = topology.clear_policies();
            clear_bindings(&mut topology, &mut change);
            let cells: Vec<Arc<QueueCell>> = topology.queues().map(|(_, cell)| cell.clone()).collect();
            for cell in cells {
                if cell.delete(false, false).is_ok() {
                    ticket = ticket.max(self.remove_queue(&vhost, &mut topology, &cell));
                }
            }
            let exchanges: Vec<String> = topology.exchanges().map(|exchange| exchange.name.clone()).collect();
            for exchange in exchanges {
                // Those that every vhost begins with refuse, and have no records.
                if let Ok(deleted) = topology.delete_exchange(&exchange, false) {
                    change.records.extend(deleted.records);
                    change.delayed_removed.extend(deleted.delayed_removed);
                }
            }
            change.records.extend(vhost.memories().remove_all());
            for uid in change.delayed_removed {
                ticket = ticket.max(self.remove_delayed_exchange(uid));
            }
            removed.extend(change.records);
        }
        removed.extend(self.users.write().clear_vhost(name));
        removed.extend(self.parameters.write().clear_vhost(name));
        ticket = ticket.max(self.write_records(removed));
        drop(records);
        self.changed();
        info!(vhost = name, "vhost deleted");
        let notice = Notice::Close(format!("vhost '{name}' is deleted"));
        self.connections.notice_where(|connection| connection.vhost == name, &notice);
        Ok(ticket)
    }
}

fn clear_bindings(topology: &mut Topology<Arc<QueueCell>>, change: &mut Change) {
    let bindings: Vec<_> =
        topology.bindings().map(|binding| leveret_core::vhost::BindingDefinition::from(&binding)).collect();
    for binding in bindings {
        // An exclusive queue's own connection may unbind it.
        let owner = match &binding.destination {
            DestinationName::Queue(name) => topology.queue(name).and_then(|(queue, _)| queue.exclusive_owner),
            DestinationName::Exchange(_) => None,
        };
        let connection = owner.unwrap_or(ConnectionId(0));
        if let Ok(unbound) = topology.unbind(&binding.as_binding(), connection) {
            change.records.extend(unbound.records);
            change.delayed_removed.extend(unbound.delayed_removed);
        }
    }
}
