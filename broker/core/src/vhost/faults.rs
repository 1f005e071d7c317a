//! What a vhost answers when it refuses something, word for word as RabbitMQ does.

use std::fmt::Display;

use crate::fault::Fault;

/// How reply texts call a queue: `queue 'q' in vhost '/'`.
pub(crate) fn queue(name: &str, vhost: &str) -> String {
    format!("queue '{name}' in vhost '{vhost}'")
}

/// How reply texts call an exchange: `exchange 'x' in vhost '/'`.
pub(crate) fn exchange(name: &str, vhost: &str) -> String {
    format!("exchange '{name}' in vhost '{vhost}'")
}

#[cold]
pub(crate) fn not_found(resource: impl Display) -> Fault {
    Fault::not_found(format!("no {resource}"))
}

pub(crate) fn in_use(resource: impl Display) -> Fault {
    Fault::precondition_failed(format!("{resource} in use"))
}

pub(crate) fn reserved_name(kind: &str, name: &str) -> Fault {
    Fault::access_refused(format!("{kind} name '{name}' contains reserved prefix 'amq.*'"))
}

pub(crate) fn default_exchange() -> Fault {
    Fault::access_refused("operation not permitted on the default exchange")
}

pub(crate) fn system_exchange(resource: impl Display) -> Fault {
    Fault::access_refused(format!("deletion of system {resource} not allowed"))
}

pub(crate) fn exclusive_to_another(resource: impl Display) -> Fault {
    Fault::resource_locked(format!(
        "cannot obtain exclusive access to locked {resource}. It could be originally declared on another connection \
         or the exclusive property value does not match that of the original declaration."
    ))
}

#[cold]
pub(crate) fn internal_exchange(resource: impl Display) -> Fault {
    Fault::access_refused(format!("cannot publish to internal {resource}"))
}

pub(crate) fn arguments_too_deep() -> Fault {
    Fault::precondition_failed(format!("arguments are nested more than {} deep", super::records::NESTING_MAX))
}
