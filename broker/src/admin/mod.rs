//! The admin listener: RabbitMQ's management HTTP API over what the broker knows, and metrics for Prometheus.
//!
//! - this file: what the API asks of the broker ([`AdminState`])
//! - `server`: connections, TLS, their bounds
//! - `routes`: the table of paths and what each answers
//! - `login`: who asks, and what they may see
//! - `list`: filter, order, pages and columns of lists
//! - `state`: what the broker knows, collected
//! - `views`: core types as the API's JSON
//! - `metrics`: Prometheus' text format
//! - `error`: failures as status and JSON
//!
//! The JSON types are in [`leveret_protocol::admin`].

mod error;
mod list;
mod login;
pub mod metrics;
mod routes;
mod server;
mod state;
#[cfg(test)]
mod tests;
pub mod views;

use std::net::IpAddr;
use std::sync::Arc;

use leveret_core::auth::User;
use leveret_core::fault::Fault;
use leveret_protocol::admin::{
    Alarm, Binding, Channel, Connection, Consumer, Exchange, Node, Overview, Queue, Vhost,
};

pub use metrics::Metrics;
pub use server::{Limits, serve, serve_with};

/// What the admin API asks of the broker.
///
/// Lists are of one vhost or, without a name, of all; a vhost that does not exist has nothing. They come in any order
/// and without regard to who asks: order, filters and permissions are applied here. They are called on a thread that
/// may take its time, the asynchronous ones aside.
pub trait AdminState: Send + Sync + 'static {
    /// Checks a login. Costs as much time for a user who does not exist as for a wrong password.
    fn authenticate(
        &self,
        user: &str,
        password: &[u8],
        peer: IpAddr,
    ) -> impl Future<Output = Result<Arc<User>, LoginRefused>> + Send;

    /// The whole broker at a glance.
    fn overview(&self) -> Overview;
    /// The nodes of the cluster.
    fn nodes(&self) -> Vec<Node>;
    /// All vhosts.
    fn vhosts(&self) -> Vec<Vhost>;
    /// True when there is a vhost of that name.
    fn has_vhost(&self, name: &str) -> bool;
    /// Queues.
    fn queues(&self, vhost: Option<&str>) -> Vec<Queue>;
    /// One queue, with its consumers.
    fn queue(&self, vhost: &str, name: &str) -> Option<Queue>;
    /// Exchanges.
    fn exchanges(&self, vhost: Option<&str>) -> Vec<Exchange>;
    /// One exchange.
    fn exchange(&self, vhost: &str, name: &str) -> Option<Exchange>;
    /// Bindings, those of the default exchange included.
    fn bindings(&self, vhost: Option<&str>) -> Vec<Binding>;
    /// Open connections.
    fn connections(&self) -> Vec<Connection>;
    /// Open channels.
    fn channels(&self) -> Vec<Channel>;
    /// Consumers.
    fn consumers(&self, vhost: Option<&str>) -> Vec<Consumer>;
    /// All users.
    fn users(&self) -> Vec<Arc<User>>;
    /// Resources that run short now.
    fn alarms(&self) -> Vec<Alarm>;
    /// False while the broker starts, stops or is kept from serving.
    fn is_in_service(&self) -> bool;
    /// The figures that Prometheus collects.
    fn metrics(&self) -> Metrics;

    /// Removes the ready messages of a queue; answers when that is durable, with their number.
    fn purge(&self, vhost: &str, queue: &str) -> impl Future<Output = Result<u64, Fault>> + Send;
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefused {
    /// No such user, or a wrong password: which of the two is not told.
    Credentials,
    /// The credentials are right, but the user may only log in from the broker's own machine.
    NotFromHere,
    /// Too many logins are being checked.
    Busy,
}
