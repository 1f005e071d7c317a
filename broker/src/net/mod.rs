//! Sockets: listeners, TLS, and the task of each connection.

pub mod driver;
pub mod listener;
pub mod tls;
