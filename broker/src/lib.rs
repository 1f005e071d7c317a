//! Leveret, an AMQP 0-9-1 message broker: everything that touches the world around the pure core.

pub mod admin;
pub mod alarm;
pub mod audit;
pub mod broker;
pub mod clock;
pub mod config;
pub mod connections;
pub mod dead_letter;
pub mod deadlines;
pub mod definitions;
pub mod delayed;
pub mod dispatch;
pub mod exchange_memory;
pub mod flows;
pub mod history;
pub mod logging;
pub mod message_filter;
pub mod metrics;
pub mod net;
pub mod operations;
pub mod outbox;
pub mod queue_host;
pub mod replies;
pub mod runtime;
pub mod store;
pub mod transfer;
