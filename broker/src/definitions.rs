//! Definitions: everything a broker is set up to be, exported to and imported from one JSON object.
//!
//! - this file: export
//! - `import`: what an import would change, checked as a whole, and then done
//! - `rules`: policies, parameters and limits
//! - `scratch`: a copy of what exists, on which an import is tried
//!
//! The format is RabbitMQ's ([`leveret_protocol::admin::definitions`]).

mod import;
mod rules;
mod scratch;
#[cfg(test)]
mod tests;

use leveret_core::session::host::Destination;
use leveret_protocol::admin::arguments;
use leveret_protocol::admin::definitions::{
    DefinedBinding, DefinedExchange, DefinedQueue, DefinedUser, DefinedVhost, Definitions,
};
use leveret_protocol::admin::policies::GlobalParameter;
use leveret_protocol::admin::requests::VhostMetadataSpec;

use crate::admin::{RABBITMQ_VERSION, views};
use crate::broker::{Broker, Vhost};

pub use import::{ImportError, Plan, merged_vhost};

/// Everything that the broker is set up to be.
pub fn export(broker: &Broker) -> Definitions {
    let users: Vec<_> = broker.users().read().iter().cloned().collect();
    let mut definitions = Definitions {
        rabbit_version: RABBITMQ_VERSION.to_owned(),
        rabbitmq_version: RABBITMQ_VERSION.to_owned(),
        product_name: "Leveret".to_owned(),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        users: users.iter().map(|user| view_user(user)).collect(),
        vhosts: broker.vhost_records().read().iter().map(view_vhost).collect(),
        permissions: users.iter().flat_map(|user| views::permissions(user)).collect(),
        topic_permissions: users.iter().flat_map(|user| views::topic_permissions(user)).collect(),
        global_parameters: vec![GlobalParameter {
            name: CLUSTER_NAME.to_owned(),
            value: broker.cluster_name().into(),
        }],
        ..Definitions::default()
    };
    for vhost in broker.all_vhosts() {
        add_vhost(&mut definitions, &vhost, vhost.name());
    }
    rules::add_parameters(&mut definitions, broker, None);
    definitions
}

/// What is in one vhost, without its name: it can be imported into another.
pub fn export_vhost(broker: &Broker, vhost: &Vhost) -> Definitions {
    let mut definitions =
        Definitions { rabbit_version: RABBITMQ_VERSION.to_owned(), ..Definitions::default() };
    add_vhost(&mut definitions, vhost, "");
    rules::add_parameters(&mut definitions, broker, Some(vhost.name()));
    definitions
}

/// Adds what is in a vhost under the name given. What every vhost begins with and what belongs to a connection is not
/// part of definitions.
fn add_vhost(definitions: &mut Definitions, vhost: &Vhost, name: &str) {
    rules::add_policies(definitions, vhost);
    let topology = vhost.topology();
    let name = || name.to_owned();
    for exchange in topology.exchanges().filter(|exchange| !is_reserved(&exchange.name)) {
        definitions.exchanges.push(DefinedExchange {
            name: exchange.name.clone(),
            vhost: name(),
            kind: exchange.kind.name().to_owned(),
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: arguments(&exchange.arguments),
        });
    }
    let owned = |queue: &str| {
        topology.queue(queue).is_some_and(|(definition, _)| definition.exclusive_owner.is_some())
    };
    for (queue, _) in topology.queues().filter(|(queue, _)| queue.exclusive_owner.is_none()) {
        definitions.queues.push(DefinedQueue {
            name: queue.name.clone(),
            vhost: name(),
            kind: None,
            durable: queue.durable,
            auto_delete: queue.auto_delete,
            arguments: arguments(&queue.arguments),
        });
    }
    for binding in topology.bindings() {
        let (destination, destination_type) = match binding.destination {
            Destination::Queue(queue) if owned(queue) => continue,
            Destination::Queue(queue) => (queue, "queue"),
            Destination::Exchange(exchange) => (exchange, "exchange"),
        };
        // Arguments were checked when the binding was made.
        let table = binding.arguments.to_table().unwrap_or_default();
        definitions.bindings.push(DefinedBinding {
            source: binding.source.to_owned(),
            vhost: name(),
            destination: destination.to_owned(),
            destination_type: destination_type.to_owned(),
            routing_key: binding.routing_key.to_owned(),
            arguments: arguments(&table),
        });
    }
}

fn view_user(user: &leveret_core::auth::User) -> DefinedUser {
    let shown = views::user(user);
    DefinedUser {
        name: shown.name,
        password: None,
        password_hash: Some(shown.password_hash),
        hashing_algorithm: Some(shown.hashing_algorithm),
        tags: Some(shown.tags),
        limits: shown.limits,
    }
}

fn view_vhost(vhost: &leveret_core::vhosts::Vhost) -> DefinedVhost {
    let default_queue_type = vhost.default_queue_type.map(|kind| kind.name().to_owned());
    let protected_from_deletion = vhost.protected_from_deletion.then_some(true);
    DefinedVhost {
        name: vhost.name.clone(),
        description: Some(vhost.description.clone()),
        tags: Some(vhost.tags.clone()),
        default_queue_type: default_queue_type.clone(),
        protected_from_deletion,
        metadata: Some(VhostMetadataSpec {
            description: Some(vhost.description.clone()),
            tags: Some(vhost.tags.clone()),
            default_queue_type,
            protected_from_deletion,
        }),
    }
}

/// Names that only the broker gives.
fn is_reserved(name: &str) -> bool {
    name.is_empty() || name.starts_with("amq.")
}

/// The global parameter that holds the broker's name.
const CLUSTER_NAME: &str = "cluster_name";
