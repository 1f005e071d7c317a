//! What the benchmarks work on, and what the counts of instructions are of (`examples/instructions.rs`).
#![allow(dead_code, reason = "each program uses some of it")]

pub mod queue;
pub mod routing;
pub mod session;
