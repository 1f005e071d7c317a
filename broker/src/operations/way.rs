//! Where an operation sends a message: to a queue, by an exchange, or back to where it was published.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::auth::{Access, Resource, User};
use leveret_core::message::Message;
use leveret_core::vhost::{RouteScratch, Topology};
use leveret_protocol::admin::operations::{OperationKind, OperationRequest, OperationTarget};
use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::RawValue;

use crate::broker::{Broker, Vhost};
use crate::message_filter::first_death;
use crate::queue_host::{QueueCell, Seen};

/// What becomes of a message.
pub enum Way {
    To(Box<Sent>),
    /// It stays where it is, for this reason.
    Nowhere(&'static str),
}

/// A message as it arrives, and where.
pub struct Sent {
    pub message: Message,
    pub cells: Vec<Arc<QueueCell>>,
    /// What leads there: no exchange and the queue's name for what is put straight into a queue.
    pub exchange: String,
    pub routing_key: String,
}

/// Finds ways.
pub struct Router {
    broker: Arc<Broker>,
    vhost: Arc<Vhost>,
    user: Arc<User>,
    kind: OperationKind,
    destination: Option<OperationTarget>,
    into_queue: bool,
    forget_deaths: bool,
    scratch: RouteScratch,
    /// Exchanges that the user may write to, or may not.
    may_write: HashMap<String, bool>,
}

impl Router {
    pub fn new(
        broker: Arc<Broker>,
        vhost: Arc<Vhost>,
        user: Arc<User>,
        kind: OperationKind,
        request: &OperationRequest,
    ) -> Router {
        Router {
            broker,
            vhost,
            user,
            kind,
            destination: request.destination.clone(),
            into_queue: request.into_queue,
            forget_deaths: request.forget_deaths,
            scratch: RouteScratch::seeded(rand::random()),
            may_write: HashMap::new(),
        }
    }

    /// Where messages go as things are now.
    pub fn find(&mut self, batch: &[Seen]) -> Vec<Way> {
        self.may_write.clear();
        if let Some(user) = self.broker.users().read().user(self.user.name()).cloned() {
            self.user = user;
        }
        let vhost = self.vhost.clone();
        let topology = vhost.topology();
        batch.iter().map(|seen| self.way(&topology, &seen.message)).collect()
    }

    fn way(&mut self, topology: &Topology<Arc<QueueCell>>, message: &Message) -> Way {
        if self.kind == OperationKind::Requeue {
            return self.way_back(topology, message);
        }
        match self.destination.clone() {
            Some(OperationTarget::Queue(queue)) => into_queue(topology, &queue, message.clone()),
            Some(OperationTarget::Exchange { name, routing_key: Some(routing_key) }) => {
                let properties = without_cc(message);
                let message = message.rewritten(&name, &routing_key, &properties, message.has_died());
                self.by_exchange(topology, message, &[&routing_key])
            }
            Some(OperationTarget::Exchange { name, routing_key: None }) => {
                let headers = message.properties().headers().unwrap_or_default();
                let mut keys = vec![message.routing_key()];
                if let Some(RawValue::Array(more)) = headers.get("CC") {
                    keys.extend(more.iter().filter_map(RawValue::as_str));
                }
                let (key, properties) = (message.routing_key(), message.properties_raw());
                self.by_exchange(
                    topology,
                    message.rewritten(&name, key, properties, message.has_died()),
                    &keys,
                )
            }
            None => Way::Nowhere(NO_ROUTE),
        }
    }

    /// Where a dead letter was published, or straight into the queue that it died in first.
    fn way_back(&mut self, topology: &Topology<Arc<QueueCell>>, message: &Message) -> Way {
        let Some(death) = first_death(message) else { return Way::Nowhere(NEVER_DIED) };
        let keys: Vec<&str> = death.routing_keys.iter().map(String::as_str).collect();
        let key = keys.first().copied().unwrap_or(&death.queue);
        let message = if self.forget_deaths {
            message.rewritten(&death.exchange, key, &without_deaths(message), false)
        } else {
            message.rewritten(&death.exchange, key, message.properties_raw(), message.has_died())
        };
        let is_there = death.exchange.is_empty() || topology.exchange(&death.exchange).is_some();
        if self.into_queue || !is_there {
            return match self.may_write_queue(&death.queue) {
                true => into_queue(topology, &death.queue, message),
                false => Way::Nowhere(REFUSED),
            };
        }
        let keys = if keys.is_empty() { vec![key] } else { keys };
        self.by_exchange(topology, message, &keys)
    }

    /// By the exchange that the message names.
    fn by_exchange(&mut self, topology: &Topology<Arc<QueueCell>>, message: Message, keys: &[&str]) -> Way {
        let exchange = message.exchange().to_owned();
        if !self.may_write_exchange(&exchange) {
            return Way::Nowhere(REFUSED);
        }
        let mut cells = Vec::new();
        topology.route_at_once(&exchange, keys, message.properties(), &mut self.scratch, &mut cells);
        if cells.is_empty() {
            return Way::Nowhere(NO_ROUTE);
        }
        let routing_key = keys.first().map_or_else(String::new, |key| (*key).to_owned());
        Way::To(Box::new(Sent { message, cells, exchange, routing_key }))
    }

    fn may_write_exchange(&mut self, exchange: &str) -> bool {
        if let Some(may) = self.may_write.get(exchange) {
            return *may;
        }
        let may = self.user.check(self.vhost.name(), Resource::Exchange(exchange), Access::Write).is_ok();
        self.may_write.insert(exchange.to_owned(), may);
        may
    }

    fn may_write_queue(&self, queue: &str) -> bool {
        self.user.check(self.vhost.name(), Resource::Queue(queue), Access::Write).is_ok()
    }
}

fn into_queue(topology: &Topology<Arc<QueueCell>>, queue: &str, message: Message) -> Way {
    let Some((_, cell)) = topology.queue(queue) else { return Way::Nowhere(NO_ROUTE) };
    let cells = vec![cell.clone()];
    Way::To(Box::new(Sent { message, cells, exchange: String::new(), routing_key: queue.to_owned() }))
}

/// Properties without further routing keys: one key was given for all of them.
fn without_cc(message: &Message) -> Vec<u8> {
    let headers = message.properties().headers().filter(|headers| headers.get("CC").is_some());
    let Some(Ok(mut headers)) = headers.map(|headers| headers.to_table()) else {
        return message.properties_raw().to_vec();
    };
    headers.remove("CC");
    message.properties().with_headers(&headers)
}

/// Properties as before the first death; only the expiration of then is gone.
fn without_deaths(message: &Message) -> Vec<u8> {
    let raw = message.wire_properties();
    let properties = PropertiesView::new_unchecked_valid(&raw);
    let Some(Ok(mut headers)) = properties.headers().map(|headers| headers.to_table()) else {
        return raw;
    };
    headers.remove("x-death");
    for which in ["first", "last"] {
        for what in ["queue", "reason", "exchange"] {
            headers.remove(&format!("x-{which}-death-{what}"));
        }
    }
    properties.with_headers(&headers)
}

const NO_ROUTE: &str = "no route";
const NEVER_DIED: &str = "never died";
const REFUSED: &str = "write access refused";
