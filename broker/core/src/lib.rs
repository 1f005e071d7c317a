//! Leveret's pure core: deterministic machines that never ask the world anything.
//!
//! Nothing here knows a socket, a file, a thread or a clock: time is an argument, effects are calls on a trait that
//! the caller implements. The shell around it is the `leveret-broker` crate.

pub mod auth;
pub mod dead_letter;
pub mod deduplication;
pub mod delayed;
pub mod exchange;
pub mod fault;
pub mod limits;
pub mod message;
pub mod parameters;
pub mod pattern;
pub mod policy;
pub mod queue;
pub mod record;
pub mod session;
mod term;
pub mod vhost;
pub mod vhosts;
