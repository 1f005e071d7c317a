//! Queues, exchanges and bindings; connections, channels and consumers.

use leveret_protocol::admin::{Arguments, Binding, Channel, Connection, Consumer, Exchange, Page, Queue};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::path::{self, Path};
use super::{Client, ListQuery, Result};

/// A queue to be declared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeclareQueue {
    pub durable: bool,
    pub auto_delete: bool,
    pub arguments: Arguments,
}

impl Default for DeclareQueue {
    fn default() -> DeclareQueue {
        DeclareQueue { durable: true, auto_delete: false, arguments: Arguments::default() }
    }
}

/// An exchange to be declared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeclareExchange {
    /// `direct`, `fanout`, `topic`, `headers`, or another type that the broker has.
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Arguments,
}

impl DeclareExchange {
    /// A durable exchange of this type.
    pub fn new(kind: impl Into<String>) -> DeclareExchange {
        DeclareExchange {
            kind: kind.into(),
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::default(),
        }
    }
}

/// A binding to be made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewBinding {
    pub source: String,
    pub destination: String,
    /// The destination is an exchange.
    pub to_exchange: bool,
    pub routing_key: String,
    pub arguments: Arguments,
}

/// A message to be published through the admin API: for trying things out, not for traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishRequest {
    pub routing_key: String,
    /// The basic properties by their names in AMQP, `headers` among them.
    pub properties: Arguments,
    pub payload: String,
    /// How `payload` is written: `string` or `base64`.
    pub payload_encoding: String,
}

/// Messages to be fetched from a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GetRequest {
    pub count: u32,
    #[serde(rename = "ackmode")]
    pub ack_mode: AckMode,
    /// `auto` for text where it is UTF-8, or `base64`.
    pub encoding: String,
    /// Only so many bytes of each body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<u64>,
}

/// What becomes of messages that were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// They are gone.
    AckRequeueFalse,
    /// They return, marked as redelivered.
    AckRequeueTrue,
    /// As the first, by `basic.reject`: they go where dead letters go.
    RejectRequeueFalse,
    /// As the second, by `basic.reject`.
    RejectRequeueTrue,
}

/// A message that was fetched.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct GotMessage {
    pub payload_bytes: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    /// Messages left in the queue.
    pub message_count: u64,
    pub properties: Arguments,
    pub payload: String,
    pub payload_encoding: String,
}

/// Whose connections are to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionTarget {
    /// One connection, by its name.
    Name(String),
    /// All of a user.
    User(String),
}

impl Client {
    /// Queues of one vhost, or of all.
    pub async fn queues(&self, vhost: Option<&str>, query: &ListQuery) -> Result<Page<Queue>> {
        self.get_page(query.add_to(Path::new("queues").name_if(vhost))).await
    }

    /// One queue, with its consumers.
    pub async fn queue(&self, vhost: &str, queue: &str) -> Result<Queue> {
        self.queue_with(vhost, queue, &ListQuery::new()).await
    }

    /// One queue, with samples over time, where the query asks for them.
    pub async fn queue_with(&self, vhost: &str, queue: &str, query: &ListQuery) -> Result<Queue> {
        self.get(query.add_to(Path::new("queues").name(vhost).name(queue))).await
    }

    /// Declares a queue; one that is there has to be the same.
    pub async fn declare_queue(&self, vhost: &str, queue: &str, declare: &DeclareQueue) -> Result<()> {
        self.put(Path::new("queues").name(vhost).name(queue), declare).await
    }

    /// Deletes a queue with its messages.
    pub async fn delete_queue(
        &self,
        vhost: &str,
        queue: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<()> {
        let path = Path::new("queues").name(vhost).name(queue);
        self.delete(conditions(path, if_unused, if_empty)).await
    }

    /// Removes a queue's ready messages.
    pub async fn purge_queue(&self, vhost: &str, queue: &str) -> Result<()> {
        self.delete(Path::new("queues").name(vhost).name(queue).fixed("contents")).await
    }

    /// Stops deliveries from a queue. It goes on to take messages in, over restarts too.
    pub async fn pause_queue(&self, vhost: &str, queue: &str) -> Result<()> {
        self.put(Path::new("queues").name(vhost).name(queue).fixed("pause"), &json!({})).await
    }

    /// Ends a pause.
    pub async fn resume_queue(&self, vhost: &str, queue: &str) -> Result<()> {
        self.put(Path::new("queues").name(vhost).name(queue).fixed("resume"), &json!({})).await
    }

    /// Exchanges of one vhost, or of all.
    pub async fn exchanges(&self, vhost: Option<&str>, query: &ListQuery) -> Result<Page<Exchange>> {
        self.get_page(query.add_to(Path::new("exchanges").name_if(vhost))).await
    }

    /// One exchange; the default one has an empty name.
    pub async fn exchange(&self, vhost: &str, exchange: &str) -> Result<Exchange> {
        self.get(Path::new("exchanges").name(vhost).name(path::exchange(exchange))).await
    }

    /// Declares an exchange; one that is there has to be the same.
    pub async fn declare_exchange(
        &self,
        vhost: &str,
        exchange: &str,
        declare: &DeclareExchange,
    ) -> Result<()> {
        self.put(Path::new("exchanges").name(vhost).name(exchange), declare).await
    }

    /// Deletes an exchange with its bindings.
    pub async fn delete_exchange(&self, vhost: &str, exchange: &str, if_unused: bool) -> Result<()> {
        self.delete(conditions(Path::new("exchanges").name(vhost).name(exchange), if_unused, false)).await
    }

    /// Publishes a message; true when it reached a queue.
    pub async fn publish(&self, vhost: &str, exchange: &str, message: &PublishRequest) -> Result<bool> {
        #[derive(Deserialize)]
        struct Published {
            routed: bool,
        }
        let path = Path::new("exchanges").name(vhost).name(path::exchange(exchange)).fixed("publish");
        Ok(self.post::<Published>(path, message).await?.routed)
    }

    /// Fetches messages, and leaves with the queue what the request says. To look without touching there is
    /// [`Client::messages`].
    pub async fn get_messages(
        &self,
        vhost: &str,
        queue: &str,
        request: &GetRequest,
    ) -> Result<Vec<GotMessage>> {
        self.post(Path::new("queues").name(vhost).name(queue).fixed("get"), request).await
    }

    /// Bindings of one vhost, or of all.
    pub async fn bindings(&self, vhost: Option<&str>) -> Result<Vec<Binding>> {
        self.get(Path::new("bindings").name_if(vhost)).await
    }

    /// Bindings that lead to a queue.
    pub async fn bindings_of_queue(&self, vhost: &str, queue: &str) -> Result<Vec<Binding>> {
        self.get(Path::new("queues").name(vhost).name(queue).fixed("bindings")).await
    }

    /// Bindings that lead away from an exchange.
    pub async fn bindings_from(&self, vhost: &str, exchange: &str) -> Result<Vec<Binding>> {
        let path = Path::new("exchanges").name(vhost).name(path::exchange(exchange));
        self.get(path.fixed("bindings/source")).await
    }

    /// Bindings that lead to an exchange.
    pub async fn bindings_to(&self, vhost: &str, exchange: &str) -> Result<Vec<Binding>> {
        let path = Path::new("exchanges").name(vhost).name(path::exchange(exchange));
        self.get(path.fixed("bindings/destination")).await
    }

    /// Binds. One that is there stays.
    pub async fn bind(&self, vhost: &str, binding: &NewBinding) -> Result<()> {
        let kind = if binding.to_exchange { "e" } else { "q" };
        let path = Path::new("bindings").name(vhost).fixed("e").name(&binding.source);
        let content = json!({"routing_key": binding.routing_key, "arguments": binding.arguments});
        self.send(Method::POST, path.fixed(kind).name(&binding.destination), Some(&content)).await
    }

    /// Takes a binding away that a list has shown.
    pub async fn unbind(&self, binding: &Binding) -> Result<()> {
        let kind = if binding.destination_type == "exchange" { "e" } else { "q" };
        let path = Path::new("bindings").name(&binding.vhost).fixed("e").name(&binding.source);
        self.delete(path.fixed(kind).name(&binding.destination).name(&binding.properties_key)).await
    }

    /// Open connections.
    pub async fn connections(&self, query: &ListQuery) -> Result<Page<Connection>> {
        self.get_page(query.add_to(Path::new("connections"))).await
    }

    /// One connection, by its name.
    pub async fn connection(&self, name: &str) -> Result<Connection> {
        self.get(Path::new("connections").name(name)).await
    }

    /// Channels of one connection.
    pub async fn channels_of(&self, connection: &str) -> Result<Vec<Channel>> {
        self.get(Path::new("connections").name(connection).fixed("channels")).await
    }

    /// Closes connections; their clients are told the reason.
    pub async fn close_connection(&self, target: &ConnectionTarget, reason: &str) -> Result<()> {
        let path = match target {
            ConnectionTarget::Name(name) => Path::new("connections").name(name),
            ConnectionTarget::User(user) => Path::new("connections/username").name(user),
        };
        self.delete_with_reason(path, reason).await
    }

    /// Open channels.
    pub async fn channels(&self, query: &ListQuery) -> Result<Page<Channel>> {
        self.get_page(query.add_to(Path::new("channels"))).await
    }

    /// One channel, by its name: the connection's, and its number in parentheses.
    pub async fn channel(&self, name: &str) -> Result<Channel> {
        self.get(Path::new("channels").name(name)).await
    }

    /// Closes a channel, by its name; its client is told the reason. RabbitMQ has only connections closed.
    pub async fn close_channel(&self, name: &str, reason: &str) -> Result<()> {
        self.delete_with_reason(Path::new("channels").name(name), reason).await
    }

    /// Cancels a consumer that a list has shown. RabbitMQ has only connections closed.
    pub async fn cancel_consumer(&self, consumer: &Consumer) -> Result<()> {
        let channel = &consumer.channel_details;
        let path = Path::new("consumers").name(&consumer.queue.vhost).name(&channel.connection_name);
        self.delete(path.name(&channel.number.to_string()).name(&consumer.consumer_tag)).await
    }

    /// Consumers of one vhost, or of all.
    pub async fn consumers(&self, vhost: Option<&str>) -> Result<Vec<Consumer>> {
        self.get(Path::new("consumers").name_if(vhost)).await
    }

    /// Any other path of the API, as JSON: `path` is what follows `/api/`, encoded.
    pub async fn raw(&self, path: &str) -> Result<Value> {
        self.get(Path::new(path)).await
    }
}

fn conditions(mut path: Path, if_unused: bool, if_empty: bool) -> Path {
    if if_unused {
        path = path.query("if-unused", "true");
    }
    if if_empty {
        path = path.query("if-empty", "true");
    }
    path
}
