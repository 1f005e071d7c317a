//! Leveret, an AMQP 0-9-1 message broker: everything that touches the world around the pure core.

pub mod config;
pub mod logging;
pub mod runtime;
pub mod store;
