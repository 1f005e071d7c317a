//! One AMQP connection as a machine: bytes in, bytes out, calls on a [`host::Host`].

pub mod host;
