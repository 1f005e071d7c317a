//! Who may log in and what they may do.
//!
//! ```text
//! SASL response ─▶ sasl: Credentials ─▶ verified: known? ──no──▶ password: verify (slow, outside of locks)
//!                                                 └──yes─▶ users: User ─▶ permissions: vhost, resource, topic
//! ```
//!
//! [`Users`] is the machine: mutations change it and say what to store. A connection keeps the `Arc<User>` it
//! logged in with for its checks and fetches it again when [`Users::generation`] has moved. Nothing here keeps
//! vhosts; they are in [`crate::vhosts`].

mod password;
mod permissions;
mod sasl;
mod tags;
mod users;
mod verified;

pub use password::{Algorithm, PasswordError, PasswordHash, SALT_BYTES, verify_decoy};
pub use permissions::{Access, Permission, PermissionError, Resource, TopicPermission};
pub use sasl::{Credentials, Mechanism, Proof, SaslError};
pub use tags::Tags;
pub use users::{User, UserLimits, Users, UsersError};
pub use verified::VerifiedCache;
