//! What visitors do to the broker, done as an AMQP connection of theirs would do it.
//!
//! Declaring, binding, publishing and getting through the API follow the same code, the same permissions and the same
//! words as over AMQP, because they go through the same [`Host`]. Nobody is connected: an actor is not listed among the
//! connections and lives no longer than its request.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_core::session::host::Host;
use leveret_protocol::admin::Arguments;
use leveret_protocol::admin::requests::table_of;
use leveret_protocol::table::RawTable;

use super::error::ApiError;
use super::login::Visitor;
use crate::broker::Broker;
use crate::dispatch::ConnectionHost;
use crate::outbox::Outbox;

/// A visitor's hand in one vhost. What it holds goes back when it is dropped.
pub struct Actor {
    host: ConnectionHost,
}

impl Actor {
    /// An actor in `vhost`, which the visitor needs permissions in.
    pub fn new(broker: &Arc<Broker>, visitor: &Visitor, vhost: &str) -> Result<Actor, ApiError> {
        let id = broker.connections().reserve();
        let peer = SocketAddr::new(visitor.peer(), 0);
        let mut host = ConnectionHost::new(broker.clone(), id, peer, None, Arc::new(Outbox::new()));
        // Requests are written down as such.
        host.audited_elsewhere();
        host.logged_in(visitor.user().name());
        host.act_in(vhost)?;
        Ok(Actor { host })
    }

    /// What an AMQP session would ask.
    pub fn host(&mut self) -> &mut ConnectionHost {
        &mut self.host
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.host.closed();
    }
}

/// Arguments of a request in the form in which they would have come over the wire.
pub struct EncodedArguments(Vec<u8>);

/// Brings a request's arguments into the wire's form, within the wire's bounds.
pub fn encoded_arguments(arguments: &Arguments) -> Result<EncodedArguments, ApiError> {
    let mut entries = Vec::new();
    table_of(arguments).map_err(ApiError::bad_request)?.encode_entries(&mut entries);
    RawTable::validate(&entries).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(EncodedArguments(entries))
}

impl EncodedArguments {
    /// The arguments.
    pub fn as_raw(&self) -> RawTable<'_> {
        RawTable::new_unchecked_valid(&self.0)
    }
}
