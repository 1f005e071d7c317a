//! An AMQP 0-9-1 client for programs that have to keep running.
//!
//! Built on [`lapin`](https://docs.rs/lapin), which speaks the protocol; this crate adds what every long-running
//! program writes around such a library: a [`Connection`] that comes back after the broker was away, a [`Publisher`]
//! whose every message has an outcome, a [`Consumer`] that subscribes again, request and reply ([`RpcClient`],
//! [`RpcServer`]), and a [`Topology`] that is declared again when it has to be. It works with Leveret and with every
//! other broker that speaks RabbitMQ's dialect.
//!
//! ```no_run
//! use leveret_client::{Binding, Connection, Consumer, Exchange, Message, Publisher, Queue, Topology};
//!
//! #[tokio::main]
//! async fn main() -> leveret_client::Result<()> {
//!     let connection = Connection::open("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
//!     connection
//!         .declare(
//!             &Topology::new()
//!                 .exchange(Exchange::topic("logs").durable())
//!                 .queue(Queue::new("errors").durable())
//!                 .binding(Binding::queue("logs", "errors", "*.error")),
//!         )
//!         .await?;
//!
//!     // Resolves when the broker has the message safely on disk and in every queue it belongs to.
//!     let publisher = Publisher::new(&connection);
//!     publisher.publish(Message::new("logs", "web-1.error", "disk full").persistent()).await?;
//!
//!     let mut consumer = Consumer::builder(&connection, "errors").prefetch(100).start().await?;
//!     while let Some(delivery) = consumer.next().await {
//!         let delivery = delivery?;
//!         println!("{}: {}", delivery.routing_key, String::from_utf8_lossy(&delivery.body));
//!         delivery.ack();
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What survives what
//!
//! | | connection lost | broker killed and restarted | this program killed |
//! |---|---|---|---|
//! | a persistent message, confirmed, in a durable queue | kept | kept | kept |
//! | a message not confirmed yet | published again, perhaps twice | published again, perhaps twice | unknown |
//! | a delivery that was not acknowledged | delivered again | delivered again | delivered again |
//! | exchanges, queues and bindings given to [`Connection::declare`] | declared again | declared again | - |
//! | a [private](Consumer::private) queue | new and empty | new and empty | gone |
//! | an [`RpcClient`] call | [`Error::Interrupted`] | [`Error::Interrupted`] | - |
//!
//! So a message is processed at least once. Where twice is too often, set [`Message::message_id`] and remember the
//! ids that are done, as `examples/log_pipeline` does.
//!
//! # Administering
//!
//! [`admin`] speaks the admin API over HTTP: queues, exchanges, messages in queues, users, policies, and a live feed.
//!
//! # Features
//!
//! All are on by default.
//!
//! - `amqp`: everything above but [`admin`].
//! - `tls`: `amqps://` URIs, with rustls and the system's certificates.
//! - `admin`: the admin API. A program that only administers leaves the others out.
//! - `ctl`: what `leveretctl` needs, a command line for the same operations that is built with the crate.

#[cfg(feature = "admin")]
pub mod admin;

#[cfg(feature = "amqp")]
mod backoff;
#[cfg(feature = "amqp")]
mod confirms;
#[cfg(feature = "amqp")]
mod connection;
#[cfg(feature = "amqp")]
mod consumer;
#[cfg(feature = "amqp")]
mod error;
#[cfg(feature = "amqp")]
mod message;
#[cfg(feature = "amqp")]
mod publisher;
#[cfg(feature = "amqp")]
mod rpc;
#[cfg(feature = "amqp")]
mod settle;
#[cfg(feature = "amqp")]
mod topology;

#[cfg(feature = "amqp")]
pub use backoff::Backoff;
#[cfg(feature = "amqp")]
pub use connection::{Connection, ConnectionBuilder, Status, StatusWatch};
#[cfg(feature = "amqp")]
pub use consumer::{Acker, Consumer, ConsumerBuilder, Delivery, Subscription};
#[cfg(feature = "amqp")]
pub use error::{Error, Result, Returned};
#[cfg(feature = "amqp")]
pub use message::{IntoValue, Message, PERSISTENT, Properties, Table, Value};
#[cfg(feature = "amqp")]
pub use publisher::{Confirm, OnLoss, Publisher, PublisherOptions};
#[cfg(feature = "amqp")]
pub use rpc::{ERROR_REPLY, Reply, Request, RpcClient, RpcServer};
#[cfg(feature = "amqp")]
pub use topology::{Binding, Exchange, Queue, Topology};

/// The library underneath, for what this crate does not wrap; see [`Connection::on_channel`].
#[cfg(feature = "amqp")]
pub use lapin;
