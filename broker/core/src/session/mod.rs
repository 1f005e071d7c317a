//! One AMQP connection as a machine: bytes in, bytes out, calls on a [`host::Host`].
//!
//! ```text
//!                 handle_bytes ─▶ ┌────────────┐ ─▶ Host: declare, publish, settle, consume, …
//!  driver         deliver      ─▶ │ Connection │ ─▶ poll_transmit: bytes, up to the first unsatisfied barrier
//!  (socket,       durable_…    ─▶ │  channels  │ ─▶ poll_timeout, awaited, is_blocked
//!   clock)        timeouts     ─▶ └────────────┘
//! ```
//!
//! What belongs here: the handshake, frames and content assembly, channels and their modes, delivery tags, confirms,
//! transactions, heartbeats, closing. What does not: whether things exist, who may use them, where messages go and who
//! gets them next. That is the host's.

pub mod channel;
pub mod config;
mod confirm;
pub mod connection;
mod delivery;
mod handshake;
mod heartbeat;
pub mod host;
mod output;
mod publish;
mod reply;
pub mod state;
mod tx;

pub use self::publish::check_properties;

#[cfg(test)]
mod tests;
