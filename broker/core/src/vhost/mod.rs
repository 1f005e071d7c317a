//! What exists in one vhost and how messages find their way through it.
//!
//! [`Topology`] owns the exchanges, queues and bindings. It declares and deletes by RabbitMQ's rules and in
//! RabbitMQ's words, says which records of the store each change touches, and routes. Queues themselves are elsewhere:
//! the topology holds a handle to each, of a type that the shell chooses.
//!
//! Permissions, what consumers there are, and what a queue holds are not its business.

mod bindings;
mod definitions;
mod equivalence;
mod explain;
mod faults;
mod named;
mod policies;
mod records;
mod routing;
#[cfg(test)]
mod testing;
mod topology;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use self::definitions::{
    BindingDefinition, DestinationName, ExchangeDefinition, ExchangeOptions, QueueDefinition,
};
pub use self::explain::{Explained, Reached, Unmatched};
pub use self::policies::PolicyEffect;
pub use self::records::record_prefix;
pub use self::routing::{RouteScratch, extra_routing_keys, without_bcc};
pub use self::topology::{Change, Declarer, QueueCheck, RemovedQueue, Restored, Topology};

/// The name of a queue that was declared without one. The prefix is `amq.gen` where the client gave none.
pub fn generated_queue_name(prefix: Option<&str>, random: [u8; 16]) -> String {
    format!("{}-{}", prefix.unwrap_or("amq.gen"), URL_SAFE_NO_PAD.encode(random))
}

/// A name without carriage returns and line feeds, which RabbitMQ takes out of names that clients declare.
pub fn strip_cr_lf(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) { Cow::Owned(name.replace(['\r', '\n'], "")) } else { Cow::Borrowed(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_have_22_characters_after_their_prefix() {
        assert_eq!(generated_queue_name(None, [0xff; 16]), "amq.gen-_____________________w");
        assert_eq!(generated_queue_name(Some("shop"), [0; 16]).len(), "shop-".len() + 22);
    }

    #[test]
    fn line_ends_are_taken_out_of_names() {
        assert_eq!(strip_cr_lf("a\r\nb\n"), "ab");
        assert_eq!(strip_cr_lf("ab"), "ab");
    }
}
