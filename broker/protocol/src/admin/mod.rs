//! The JSON of the admin API: what the broker serves and what clients and the console read.
//!
//! Names and shapes are those of RabbitMQ's management API, because tools exist that read them and some are strict:
//! a count that is `null`, a table that is `[]` or a number beyond the width they expect makes them fail. Hence the
//! rules here: tables are always objects, what is unknown is left out and never `null`, and numbers that tools read
//! into narrow integers have that width, so that whoever fills them has to cap them. Reading is lenient: what
//! RabbitMQ leaves out takes its default.

pub mod audit;
pub mod definitions;
pub mod delayed;
pub mod events;
pub mod messages;
pub mod operations;
pub mod policies;
pub mod requests;
pub mod topology;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};

use crate::table::{Table, Value};

/// Arguments, capabilities and other field tables as JSON.
pub type Arguments = Map<String, Json>;

/// The answer to every request that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// Which kind of failure: `bad_request`, `not_authorised`, `Object Not Found`.
    pub error: String,
    /// What went wrong, for people.
    #[serde(default)]
    pub reason: String,
}

/// One page of a list, when a page was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T> {
    /// Items left by the filter, over all pages.
    pub filtered_count: usize,
    /// Items on this page.
    pub item_count: usize,
    pub items: Vec<T>,
    /// This page; the first is 1.
    pub page: usize,
    pub page_count: usize,
    pub page_size: usize,
    /// Items before the filter.
    pub total_count: usize,
}

/// How fast a counter rises, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Rate {
    rate: f64,
}

impl Rate {
    /// A rate; what is no number counts as zero, because JSON has no way to write it.
    pub fn new(per_second: f64) -> Rate {
        Rate { rate: if per_second.is_finite() { per_second } else { 0.0 } }
    }

    /// Per second.
    pub fn per_second(self) -> f64 {
        self.rate
    }
}

/// A struct of counters, each followed by its rate.
macro_rules! counters {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* $counter:ident $details:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* pub $counter: u64, pub $details: Rate,)*
        }

        impl $name {
            /// Fills in how fast each counter rose since `before`, which was so many seconds ago.
            pub fn rates_since(&mut self, before: &$name, seconds: f64) {
                $(self.$details = Rate::new((self.$counter as f64 - before.$counter as f64) / seconds);)*
            }
        }
    };
}

counters! {
    /// What happened to messages, counted since start.
    pub struct MessageStats {
        /// Published.
        publish publish_details,
        /// Confirmed to their publishers.
        confirm confirm_details,
        /// Mandatory and unroutable: returned.
        return_unroutable return_unroutable_details,
        /// Unroutable and dropped.
        drop_unroutable drop_unroutable_details,
        /// Delivered to consumers that acknowledge.
        deliver deliver_details,
        /// Delivered to consumers that do not.
        deliver_no_ack deliver_no_ack_details,
        /// Fetched by `basic.get`, to be acknowledged.
        get get_details,
        /// Fetched by `basic.get`, without acknowledgement.
        get_no_ack get_no_ack_details,
        /// `basic.get` on an empty queue.
        get_empty get_empty_details,
        /// The four above together, empty ones aside.
        deliver_get deliver_get_details,
        /// Delivered again.
        redeliver redeliver_details,
        /// Acknowledged.
        ack ack_details,
    }
}

counters! {
    /// What went through an exchange, counted since start.
    pub struct ExchangeStats {
        /// Published to it.
        publish_in publish_in_details,
        /// Routed by it to queues.
        publish_out publish_out_details,
    }
}

counters! {
    /// Messages in queues now. The rates may be negative.
    pub struct QueueTotals {
        messages messages_details,
        messages_ready messages_ready_details,
        messages_unacknowledged messages_unacknowledged_details,
    }
}

/// How many of each thing there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ObjectTotals {
    pub connections: u64,
    pub channels: u64,
    pub queues: u64,
    pub exchanges: u64,
    pub consumers: u64,
}

/// How much came and went, counted since start. Tools read 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ChurnRates {
    pub connection_created: u32,
    pub connection_closed: u32,
    pub channel_created: u32,
    pub channel_closed: u32,
    pub queue_declared: u32,
    pub queue_created: u32,
    pub queue_deleted: u32,
}

/// `GET /api/overview`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Overview {
    pub management_version: String,
    pub rates_mode: String,
    pub product_name: String,
    pub product_version: String,
    /// The version of RabbitMQ that tools may take this broker for.
    pub rabbitmq_version: String,
    pub cluster_name: String,
    /// What the global parameter `cluster_tags` says.
    pub cluster_tags: Arguments,
    pub node: String,
    pub exchange_types: Vec<NamedFeature>,
    pub message_stats: MessageStats,
    pub churn_rates: ChurnRates,
    pub queue_totals: QueueTotals,
    pub object_totals: ObjectTotals,
    pub statistics_db_event_queue: u64,
    pub disable_stats: bool,
    pub enable_queue_totals: bool,
    pub listeners: Vec<Listener>,
}

/// An exchange type or login mechanism that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedFeature {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub enabled: bool,
}

/// Where the broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listener {
    pub node: String,
    /// `amqp`, `amqp/ssl`, `http` or `https`.
    pub protocol: String,
    pub ip_address: String,
    pub port: u16,
    #[serde(default)]
    pub tls: bool,
}

/// `GET /api/nodes`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Node {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub running: bool,
    /// Milliseconds since start. Tools read 32 bits: it stays at the largest after 49 days.
    pub uptime: u32,
    /// The process id, as text.
    pub os_pid: String,
    pub run_queue: u32,
    pub processors: u32,
    pub fd_used: u32,
    pub fd_used_details: Rate,
    pub fd_total: u32,
    pub sockets_used: u32,
    pub sockets_used_details: Rate,
    pub sockets_total: u32,
    /// Tasks, which stand in for Erlang's processes.
    pub proc_used: u32,
    pub proc_total: u32,
    pub mem_used: u64,
    pub mem_used_details: Rate,
    pub mem_limit: u64,
    pub mem_alarm: bool,
    pub disk_free: u64,
    pub disk_free_details: Rate,
    pub disk_free_limit: u64,
    pub disk_free_alarm: bool,
    pub rates_mode: String,
    pub rabbitmq_version: String,
    /// Tools look here for an application called `rabbit`.
    pub applications: Vec<Application>,
    pub exchange_types: Vec<NamedFeature>,
    pub auth_mechanisms: Vec<NamedFeature>,
    pub enabled_plugins: Vec<String>,
    pub partitions: Vec<String>,
    pub config_files: Vec<String>,
    pub db_dir: String,
    pub being_drained: bool,
}

/// A part of the broker with a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Application {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub version: String,
}

/// `GET /api/whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhoAmI {
    pub name: String,
    pub tags: Vec<String>,
}

/// `GET /api/vhosts`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Vhost {
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    pub tracing: bool,
    pub protected_from_deletion: bool,
    /// The same again, where newer tools look for it.
    pub metadata: VhostMetadata,
    /// State by node: `running`.
    pub cluster_state: Arguments,
    #[serde(flatten)]
    pub totals: QueueTotals,
    pub message_stats: MessageStats,
}

/// Description and tags of a vhost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct VhostMetadata {
    pub description: String,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
}

/// `GET /api/users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub password_hash: String,
    #[serde(default)]
    pub hashing_algorithm: String,
    pub tags: Vec<String>,
    /// `max-connections` and `max-channels`, where limited.
    #[serde(default)]
    pub limits: Arguments,
}

/// `GET /api/permissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// `GET /api/topic-permissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopicPermission {
    pub user: String,
    pub vhost: String,
    pub exchange: String,
    pub write: String,
    pub read: String,
}

/// `GET /api/exchanges`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Exchange {
    pub name: String,
    pub vhost: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_stats: Option<ExchangeStats>,
    /// Messages that wait for their time in a delayed exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_delayed: Option<u64>,
    pub user_who_performed_action: String,
}

/// `GET /api/bindings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Binding {
    pub source: String,
    pub vhost: String,
    pub destination: String,
    /// `queue` or `exchange`.
    pub destination_type: String,
    pub routing_key: String,
    pub arguments: Arguments,
    /// Names the binding among those of the same source and destination, in paths.
    pub properties_key: String,
}

/// `GET /api/queues`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Queue {
    pub name: String,
    pub vhost: String,
    /// `classic`, `quorum` or `stream`.
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: bool,
    pub arguments: Arguments,
    pub node: String,
    /// `running`, or `idle` when nothing happens to it.
    pub state: String,
    /// Tools read 16 bits: it stays at the largest.
    pub consumers: u16,
    /// Share of the time in which the queue could deliver at once, 0 to 1.
    pub consumer_utilisation: f32,
    pub consumer_capacity: f32,
    #[serde(flatten)]
    pub totals: QueueTotals,
    /// Returned messages that wait before they are ready again; in no other count.
    pub messages_waiting: u64,
    pub messages_persistent: u64,
    pub messages_ram: u64,
    pub message_bytes: u64,
    pub message_bytes_ready: u64,
    pub message_bytes_unacknowledged: u64,
    pub message_bytes_persistent: u64,
    pub message_bytes_ram: u64,
    /// Bytes of memory that the queue takes.
    pub memory: u64,
    pub effective_policy_definition: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_consumer_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_active_consumer_tag: Option<String>,
    /// The connection that an exclusive queue belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_pid_details: Option<ConnectionDetails>,
    /// Since when nothing happens, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_message_timestamp: Option<u64>,
    pub message_stats: MessageStats,
    /// Only when one queue is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_details: Option<Vec<Consumer>>,
}

/// `GET /api/connections`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Connection {
    /// `peer:port -> host:port`; names the connection in paths.
    pub name: String,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_provided_name: Option<String>,
    pub node: String,
    pub vhost: String,
    pub user: String,
    pub user_who_performed_action: String,
    /// `AMQP 0-9-1`.
    pub protocol: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// `running`, `blocked`, `blocking` or `flow`.
    pub state: String,
    pub auth_mechanism: String,
    pub ssl: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_cert_subject: Option<String>,
    pub host: String,
    pub port: u16,
    pub peer_host: String,
    pub peer_port: u16,
    /// Milliseconds since 1970.
    pub connected_at: u64,
    pub channels: u16,
    pub channel_max: u16,
    pub frame_max: u32,
    /// The heartbeat in seconds.
    pub timeout: u16,
    pub client_properties: Arguments,
    pub recv_oct: u64,
    pub recv_oct_details: Rate,
    pub recv_cnt: u64,
    pub send_oct: u64,
    pub send_oct_details: Rate,
    pub send_cnt: u64,
    /// Bytes that wait to be sent.
    pub send_pend: u64,
}

/// The connection that something belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ConnectionDetails {
    pub name: String,
    pub peer_host: String,
    pub peer_port: u16,
}

/// `GET /api/channels`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Channel {
    /// The connection's name and the number in parentheses.
    pub name: String,
    pub number: u16,
    pub connection_details: ConnectionDetails,
    pub node: String,
    pub vhost: String,
    pub user: String,
    pub user_who_performed_action: String,
    /// `running` or `flow`.
    pub state: String,
    pub consumer_count: u32,
    /// True in confirm mode.
    pub confirm: bool,
    pub transactional: bool,
    pub prefetch_count: u32,
    pub global_prefetch_count: u32,
    pub messages_unacknowledged: u32,
    pub messages_unconfirmed: u32,
    pub messages_uncommitted: u32,
    pub acks_uncommitted: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<String>,
    pub message_stats: MessageStats,
}

/// `GET /api/consumers`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Consumer {
    pub consumer_tag: String,
    pub queue: QueueName,
    pub channel_details: ChannelDetails,
    pub ack_required: bool,
    pub exclusive: bool,
    /// False while another consumer is the single active one.
    pub active: bool,
    pub activity_status: String,
    pub prefetch_count: u32,
    /// How long a delivery may stay unacknowledged, in milliseconds.
    pub consumer_timeout: u64,
    pub arguments: Arguments,
}

/// A queue by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueName {
    pub name: String,
    pub vhost: String,
}

/// The channel that a consumer belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ChannelDetails {
    pub name: String,
    pub number: u16,
    pub connection_name: String,
    pub node: String,
    pub peer_host: String,
    pub peer_port: u16,
    pub user: String,
}

/// The answer of a health check: `ok`, or `failed` with the reason and a status of 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthCheck {
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only from the check for alarms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<Alarm>,
}

/// A resource that runs short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alarm {
    pub node: String,
    /// `memory` or `disk`.
    pub resource: String,
}

impl HealthCheck {
    /// All is well.
    pub fn ok() -> HealthCheck {
        HealthCheck { status: "ok".to_owned(), reason: None, alarms: Vec::new() }
    }

    /// Something is wrong.
    pub fn failed(reason: impl Into<String>) -> HealthCheck {
        HealthCheck { status: "failed".to_owned(), reason: Some(reason.into()), alarms: Vec::new() }
    }
}

/// A field table as JSON. Text that is no UTF-8 is shown as well as it can be; a repeated name keeps its last value.
pub fn arguments(table: &Table) -> Arguments {
    table.iter().map(|(name, value)| (name.to_owned(), json(value))).collect()
}

/// A field value as JSON.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::F32(value) => float(f64::from(*value)),
        Value::F64(value) => float(*value),
        Value::Decimal { scale, value } => float(f64::from(*value) / 10_f64.powi(i32::from(*scale))),
        Value::LongString(bytes) | Value::Bytes(bytes) => {
            Json::String(String::from_utf8_lossy(bytes).into_owned())
        }
        Value::Array(values) => Json::Array(values.iter().map(json).collect()),
        Value::Timestamp(seconds) => Json::Number((*seconds).into()),
        Value::Table(table) => Json::Object(arguments(table)),
        Value::Void => Json::Null,
        Value::I8(value) => Json::Number((*value).into()),
        Value::U8(value) => Json::Number((*value).into()),
        Value::I16(value) => Json::Number((*value).into()),
        Value::U16(value) => Json::Number((*value).into()),
        Value::I32(value) => Json::Number((*value).into()),
        Value::U32(value) => Json::Number((*value).into()),
        Value::I64(value) => Json::Number((*value).into()),
    }
}

/// JSON has no infinities; they show as null, inside of arguments only.
fn float(value: f64) -> Json {
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<T: Serialize>(value: &T) -> Map<String, Json> {
        match serde_json::to_value(value).expect("serialises") {
            Json::Object(object) => object,
            other => panic!("not an object: {other}"),
        }
    }

    /// The fields without which strict tools do not read the object.
    #[track_caller]
    fn has<T: Serialize>(value: &T, required: &str) {
        let object = object(value);
        for field in required.split(' ') {
            assert!(
                object.get(field).is_some_and(|value| !value.is_null()),
                "{field} is missing in {object:?}"
            );
        }
    }

    /// No `null` anywhere, and tables are objects.
    #[track_caller]
    fn no_traps<T: Serialize>(value: &T) {
        fn walk(name: &str, value: &Json) {
            match value {
                Json::Null => panic!("{name} is null"),
                Json::Array(values) => values.iter().for_each(|value| walk(name, value)),
                Json::Object(fields) => fields.iter().for_each(|(name, value)| walk(name, value)),
                _ => {}
            }
        }
        for (name, value) in &object(value) {
            walk(name, value);
            let is_table =
                name == "arguments" || name.ends_with("_definition") || name == "client_properties";
            assert!(!is_table || value.is_object(), "{name} is {value}");
        }
    }

    #[test]
    fn objects_have_the_fields_that_strict_tools_require() {
        has(&Queue::default(), "name vhost type durable auto_delete exclusive arguments messages consumers");
        has(&Connection::default(), "name node protocol user connected_at client_properties vhost");
        has(
            &Channel::default(),
            "number name connection_details vhost state consumer_count confirm prefetch_count \
             messages_unacknowledged messages_unconfirmed",
        );
        has(&ConnectionDetails::default(), "name peer_host peer_port");
        has(
            &Consumer::default(),
            "consumer_tag active ack_required prefetch_count exclusive arguments consumer_timeout queue \
             channel_details",
        );
        has(&ChannelDetails::default(), "number name connection_name node peer_host peer_port user");
        has(&Exchange::default(), "name vhost type durable auto_delete arguments");
        has(&Binding::default(), "vhost source destination destination_type routing_key arguments");
        has(&Vhost::default(), "name tags metadata cluster_state");
        has(
            &Node::default(),
            "name uptime run_queue processors os_pid fd_total proc_total mem_limit mem_alarm disk_free_limit \
             disk_free_alarm rates_mode enabled_plugins being_drained rabbitmq_version",
        );
        has(&Overview::default(), "queue_totals object_totals message_stats churn_rates listeners");
    }

    #[test]
    fn nothing_unknown_is_written_as_null() {
        no_traps(&Queue::default());
        no_traps(&Connection::default());
        no_traps(&Channel::default());
        no_traps(&Consumer::default());
        no_traps(&Exchange::default());
        no_traps(&Vhost::default());
        no_traps(&Node::default());
        no_traps(&Overview::default());
        no_traps(&HealthCheck::ok());
    }

    #[test]
    fn queue_totals_are_fields_of_the_queue() {
        let totals = QueueTotals { messages: 3, messages_ready: 2, ..QueueTotals::default() };
        let queue = object(&Queue { totals, ..Queue::default() });
        assert_eq!(queue["messages"], 3);
        assert_eq!(queue["messages_ready_details"]["rate"], 0.0);
    }

    #[test]
    fn what_rabbitmq_leaves_out_takes_its_default() {
        let queue: Queue = serde_json::from_str(
            r#"{"arguments":{"x-max-length":10},"auto_delete":false,"durable":false,"exclusive":true,"name":"q",
                "node":"n","state":"live","type":"classic","vhost":"/","policy":null,"messages":7}"#,
        )
        .expect("a queue as RabbitMQ writes it");
        assert_eq!((queue.totals.messages, queue.arguments["x-max-length"].as_i64()), (7, Some(10)));
        assert_eq!(queue.policy, None);
        let consumer: Consumer =
            serde_json::from_str(r#"{"consumer_tag":"c","queue":{"name":"q","vhost":"/"}}"#)
                .expect("a consumer without a channel");
        assert_eq!(consumer.channel_details, ChannelDetails::default());
    }

    #[test]
    fn tables_become_json() {
        let mut nested = Table::new();
        nested.insert("inf", Value::F64(f64::INFINITY));
        let table = Table::from_iter([
            ("bool", Value::Bool(true)),
            ("i8", Value::I8(-1)),
            ("u32", Value::U32(u32::MAX)),
            ("i64", Value::I64(i64::MIN)),
            ("f64", Value::F64(1.5)),
            ("decimal", Value::Decimal { scale: 2, value: 275 }),
            ("text", Value::LongString(b"caf\xc3\xa9".to_vec())),
            ("latin", Value::LongString(b"caf\xe9".to_vec())),
            ("time", Value::Timestamp(1_700_000_000)),
            ("list", Value::Array(vec![Value::U8(1), Value::Void])),
            ("table", Value::Table(nested)),
        ]);
        let expected = serde_json::json!({
            "bool": true, "i8": -1, "u32": 4_294_967_295_u32, "i64": i64::MIN, "f64": 1.5, "decimal": 2.75,
            "text": "café", "latin": "caf\u{fffd}", "time": 1_700_000_000, "list": [1, null],
            "table": {"inf": null},
        });
        assert_eq!(Json::Object(arguments(&table)), expected);
    }

    #[test]
    fn a_rate_is_always_a_number() {
        let text = |rate| serde_json::to_string(&Rate::new(rate)).expect("serialises");
        assert_eq!(text(2.5), r#"{"rate":2.5}"#);
        assert_eq!(text(f64::NAN), r#"{"rate":0.0}"#);
    }
}
