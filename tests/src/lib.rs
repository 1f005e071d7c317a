//! What the suites share: a real broker in a directory of its own, a client that speaks in frames, and a report on
//! scenarios that share a broker.

mod broker;
pub mod packages;
mod program;
mod proxy;
mod raw;
mod report;

pub use broker::{TestBroker, eventually};
pub use program::{broker_binary, client_example, console_binary, leveretctl_binary};
pub use proxy::Proxy;
pub use raw::{Content, Incoming, Login, RawClient};
pub use report::Report;
