//! Who may log in and what they may do.
//!
//! ```text
//! SASL response ─▶ sasl: Credentials ─▶ verified: known? ──no──▶ password: verify (slow, outside of locks)
//!                                                 └──yes─▶ users: User ─▶ permissions: vhost, resource, topic
//! ```
//!
//! [`users::Users`] is the machine: mutations change it and say what to store. A connection keeps the `Arc<User>` it
//! logged in with for its checks and fetches it again when [`users::Users::generation`] has moved. Nothing here keeps
//! vhosts; they are in [`crate::vhosts`].

pub mod password;
pub mod permissions;
pub mod sasl;
pub mod tags;
pub mod users;
pub mod verified;
