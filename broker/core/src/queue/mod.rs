//! Queues as machines: what a queue holds, who gets it, what happens when it comes back.
//!
//! [`Machine`] is the whole of one queue. It never asks the world anything: time comes in [`Meta`], and what has to
//! happen outside is a call on [`Effects`]. The shell runs it under the queue's lock, a batch at a time.

pub mod arguments;
mod consumers;
mod expiry;
mod holes;
mod lane;
mod machine;
mod outstanding;
pub mod retry;

pub use consumers::{ConnectionId, Consumer, Subscription};
pub use expiry::{RUN_POSITIONS, Run};
pub use lane::{Entry, Lane, Paged};
pub use machine::{
    Config, DeadReason, Effects, GetOutcome, Info, LoadedMessage, Machine, Meta, Overflow, Published, Refused,
};
pub use outstanding::Held;
