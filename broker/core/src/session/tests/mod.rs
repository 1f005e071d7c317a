//! Byte scripts against a fake host, one file per part of the protocol.

mod channels;
mod closing;
mod confirming;
mod consuming;
mod handshake;
mod publishing;
mod rig;
mod robustness;
mod transactions;
