//! The admin listener: RabbitMQ's management HTTP API over what the broker knows, and metrics for Prometheus.
//!
//! - `server`: connections, TLS, their bounds
//! - `routes`: the table of paths, who may use each and what it answers; a file for each family of objects
//! - `login`: who asks, and what they may see
//! - `actor`: what they do, done as over AMQP
//! - `audited`: what they did, for the audit log
//! - `message`: messages as JSON
//! - `ages`: how much of the past is shown
//! - `columns`: chosen fields of what is listed
//! - `list`: filter, order, pages and columns of lists
//! - `live`: the live feed, and rates of what flows where
//! - `state`: what the broker knows, collected
//! - `views`: core types as the API's JSON
//! - `metrics`: Prometheus' text format
//! - `openapi`: the OpenAPI document, made from the table of routes
//! - `error`: failures as status and JSON
//!
//! The JSON types are in [`leveret_protocol::admin`].

mod actor;
mod ages;
mod audited;
mod columns;
mod error;
mod list;
pub mod live;
mod login;
mod message;
pub mod metrics;
mod openapi;
mod routes;
mod server;
pub(crate) mod state;
pub mod views;

pub use metrics::Metrics;
pub use server::{Limits, serve, serve_with};
pub(crate) use state::RABBITMQ_VERSION;

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
