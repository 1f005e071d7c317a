//! RabbitMQ's command line tool for the management API against the real broker, in both of its versions.

mod debian;
mod v2;
