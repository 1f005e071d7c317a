//! What the suites share: a real broker in a directory of its own, a client that speaks in frames, and a report on
//! scenarios that share a broker.

mod broker;
mod proxy;
mod raw;
mod report;

pub use broker::{TestBroker, broker_binary, eventually};
pub use proxy::Proxy;
pub use raw::{Content, Incoming, Login, RawClient};
pub use report::Report;
