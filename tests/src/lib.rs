//! What the suites share: a real broker in a directory of its own, and a client that speaks in frames.

mod broker;
mod raw;

pub use broker::{TestBroker, broker_binary, eventually};
pub use raw::{Content, Incoming, RawClient};
