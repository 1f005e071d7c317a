//! The exchanges, queues and bindings a program relies on, written down once and declared whenever they are needed.
//!
//! Declaring is idempotent in AMQP: what exists with the same settings is left alone, what exists with others is
//! refused with 406 PRECONDITION_FAILED. [`Connection::declare`](crate::Connection::declare) declares a topology at
//! once and again after every reconnect, before publishers and consumers go on.

use crate::{
    error::Result,
    message::{IntoValue, Table, shortstr},
};
use lapin::{
    ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::ShortString,
};

/// A set of declarations, in the order exchanges, queues, bindings.
///
/// ```
/// use leveret_client::{Binding, Exchange, Queue, Topology};
///
/// let topology = Topology::new()
///     .exchange(Exchange::topic("logs").durable())
///     .queue(Queue::new("store").durable().argument("x-max-length", 1_000_000))
///     .binding(Binding::queue("logs", "store", "#"));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    exchanges: Vec<Exchange>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
}

impl Topology {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Topology::default()
    }

    /// Adds an exchange.
    #[must_use]
    pub fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchanges.push(exchange);
        self
    }

    /// Adds a queue.
    #[must_use]
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }

    /// Adds a binding.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// Takes over everything in `other` that is not here yet.
    pub fn merge(&mut self, other: &Topology) {
        fn extend<T: Clone + PartialEq>(into: &mut Vec<T>, from: &[T]) {
            for item in from {
                if !into.contains(item) {
                    into.push(item.clone());
                }
            }
        }
        extend(&mut self.exchanges, &other.exchanges);
        extend(&mut self.queues, &other.queues);
        extend(&mut self.bindings, &other.bindings);
    }

    /// Whether there is nothing to declare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty() && self.queues.is_empty() && self.bindings.is_empty()
    }

    pub(crate) async fn declare(&self, channel: &lapin::Channel) -> Result<()> {
        for exchange in &self.exchanges {
            exchange.declare(channel).await?;
        }
        for queue in &self.queues {
            queue.declare(channel).await?;
        }
        for binding in &self.bindings {
            binding.declare(channel).await?;
        }
        Ok(())
    }
}

/// An exchange to declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    name: String,
    kind: String,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
}

impl Exchange {
    /// An exchange of any type.
    pub fn new(name: impl Into<String>, kind: &str) -> Self {
        Exchange {
            name: name.into(),
            kind: kind.into(),
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: Table::default(),
        }
    }

    /// Routes to bindings whose key equals the message's.
    pub fn direct(name: impl Into<String>) -> Self {
        Exchange::new(name, "direct")
    }

    /// Routes to all bindings.
    pub fn fanout(name: impl Into<String>) -> Self {
        Exchange::new(name, "fanout")
    }

    /// Routes by patterns: `*` stands for one word, `#` for any number of them.
    pub fn topic(name: impl Into<String>) -> Self {
        Exchange::new(name, "topic")
    }

    /// Routes by the message's headers.
    pub fn headers(name: impl Into<String>) -> Self {
        Exchange::new(name, "headers")
    }

    /// Survives a restart of the broker.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Goes away with its last binding.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }

    /// Takes messages from other exchanges only.
    #[must_use]
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Adds an argument, such as `alternate-exchange`.
    ///
    /// # Panics
    /// When `key` is longer than AMQP's 255 bytes.
    #[must_use]
    pub fn argument(mut self, key: &str, value: impl IntoValue) -> Self {
        self.arguments.insert(key.into(), value.into_value());
        self
    }

    async fn declare(&self, channel: &lapin::Channel) -> Result<()> {
        let options = ExchangeDeclareOptions {
            durable: self.durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            ..ExchangeDeclareOptions::default()
        };
        let name = shortstr("exchange name", &self.name)?;
        let kind = ExchangeKind::Custom(shortstr("exchange type", &self.kind)?.to_string());
        Ok(channel.exchange_declare(name, kind, options, self.arguments.clone()).await?)
    }
}

/// A queue to declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    name: String,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
}

impl Queue {
    /// A queue that goes when the broker restarts.
    pub fn new(name: impl Into<String>) -> Self {
        Queue {
            name: name.into(),
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Table::default(),
        }
    }

    /// Survives a restart of the broker, with its persistent messages.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Belongs to this connection and goes away with it.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Goes away with its last consumer.
    #[must_use]
    pub fn auto_delete(mut self) -> Self {
        self.auto_delete = true;
        self
    }

    /// Adds an argument, such as `x-message-ttl`.
    ///
    /// # Panics
    /// When `key` is longer than AMQP's 255 bytes.
    #[must_use]
    pub fn argument(mut self, key: &str, value: impl IntoValue) -> Self {
        self.arguments.insert(key.into(), value.into_value());
        self
    }

    /// Declares the queue and answers its name, which the broker chooses when ours is empty.
    pub(crate) async fn declare(&self, channel: &lapin::Channel) -> Result<ShortString> {
        let options = QueueDeclareOptions {
            durable: self.durable,
            exclusive: self.exclusive,
            auto_delete: self.auto_delete,
            ..QueueDeclareOptions::default()
        };
        let name = shortstr("queue name", &self.name)?;
        Ok(channel.queue_declare(name, options, self.arguments.clone()).await?.name().clone())
    }
}

/// A binding to declare: messages that reach `source` and match go on to the destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    source: String,
    destination: Destination,
    routing_key: String,
    arguments: Table,
}

#[derive(Debug, Clone, PartialEq)]
enum Destination {
    Queue(String),
    Exchange(String),
}

impl Binding {
    /// From an exchange to a queue.
    pub fn queue(
        source: impl Into<String>,
        queue: impl Into<String>,
        routing_key: impl Into<String>,
    ) -> Self {
        Binding::to(source.into(), Destination::Queue(queue.into()), routing_key.into())
    }

    /// From an exchange to another exchange.
    pub fn exchange(
        source: impl Into<String>,
        destination: impl Into<String>,
        routing_key: impl Into<String>,
    ) -> Self {
        Binding::to(source.into(), Destination::Exchange(destination.into()), routing_key.into())
    }

    /// Adds an argument, such as a header to match.
    ///
    /// # Panics
    /// When `key` is longer than AMQP's 255 bytes.
    #[must_use]
    pub fn argument(mut self, key: &str, value: impl IntoValue) -> Self {
        self.arguments.insert(key.into(), value.into_value());
        self
    }

    fn to(source: String, destination: Destination, routing_key: String) -> Self {
        Binding { source, destination, routing_key, arguments: Table::default() }
    }

    async fn declare(&self, channel: &lapin::Channel) -> Result<()> {
        let source = shortstr("exchange name", &self.source)?;
        let routing_key = shortstr("routing key", &self.routing_key)?;
        let arguments = self.arguments.clone();
        match &self.destination {
            Destination::Queue(queue) => {
                let queue = shortstr("queue name", queue)?;
                channel
                    .queue_bind(queue, source, routing_key, QueueBindOptions::default(), arguments)
                    .await?;
            }
            Destination::Exchange(exchange) => {
                let exchange = shortstr("exchange name", exchange)?;
                channel
                    .exchange_bind(exchange, source, routing_key, ExchangeBindOptions::default(), arguments)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_the_same_topology_twice_changes_nothing() {
        let topology = Topology::new()
            .exchange(Exchange::topic("logs").durable())
            .queue(Queue::new("store").durable())
            .binding(Binding::queue("logs", "store", "#"));
        let mut merged = topology.clone();
        merged.merge(&topology);
        assert_eq!(merged, topology);

        merged.merge(&Topology::new().binding(Binding::queue("logs", "store", "*.error")));
        assert_eq!(merged.bindings.len(), 2);
        assert!(Topology::new().is_empty() && !merged.is_empty());
    }
}
