//! Policies of a running broker: put, removed, and carried to the queues they change.
//!
//! Queues are told after the lock on the topology is released, since what they drop is sent on by way of the topology;
//! [`Vhost::changing_policies`] keeps two changes from reaching a queue in different orders.

use std::sync::Arc;

use leveret_core::fault::Fault;
use leveret_core::policy::{Policy, PolicyKind};
use leveret_core::queue::arguments::QueueOptions;
use leveret_core::session::host::Ticket;
use leveret_core::vhost::{Change, QueueDefinition, Topology};

use super::{Broker, Vhost};
use crate::queue_host::{QueueCell, QueueSetup};

impl Broker {
    /// Puts a policy in effect, in place of one of the same name. It is on all queues and exchanges when this returns.
    pub fn put_policy(&self, vhost: &Vhost, kind: PolicyKind, policy: Policy) -> Result<Ticket, Fault> {
        self.change_policies(vhost, |topology, affected| Ok(topology.put_policy(kind, policy, affected)))
    }

    /// Takes a policy out of effect; 404 when there is none of that name.
    pub fn remove_policy(&self, vhost: &Vhost, kind: PolicyKind, name: &str) -> Result<Ticket, Fault> {
        let not_found = || Fault::not_found(format!("no policy '{name}' in vhost '{}'", vhost.name()));
        self.change_policies(vhost, |topology, affected| {
            topology.remove_policy(kind, name, affected).ok_or_else(not_found)
        })
    }

    fn change_policies(
        &self,
        vhost: &Vhost,
        change: impl FnOnce(&mut Topology<Arc<QueueCell>>, Affected<'_>) -> Result<Change, Fault>,
    ) -> Result<Ticket, Fault> {
        let _one_at_a_time = vhost.changing_policies.lock();
        let mut setups: Vec<(Arc<QueueCell>, QueueSetup)> = Vec::new();
        let ticket = {
            let mut topology = vhost.topology_mut()?;
            let generation = topology.generation();
            let mut affected =
                |cell: &Arc<QueueCell>, definition: &QueueDefinition, options: &QueueOptions| {
                    setups.push((cell.clone(), self.queue_setup(definition, options)));
                };
            let mut change = change(&mut topology, &mut affected)?;
            change.records.extend(vhost.memories().refresh(&topology));
            let routes_changed = topology.generation() != generation;
            self.carry_out(vhost, change, routes_changed)
        };
        for (cell, setup) in setups {
            cell.reconfigure(setup);
        }
        Ok(ticket)
    }
}

/// Told of every queue that a change of policies changes.
type Affected<'a> = &'a mut dyn FnMut(&Arc<QueueCell>, &QueueDefinition, &QueueOptions);

#[cfg(test)]
mod tests;
