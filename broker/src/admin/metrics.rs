//! What Prometheus collects, in its text format and under the names that RabbitMQ's exporter uses, so that dashboards
//! and alerts made for RabbitMQ go on working.
//!
//! [`render`] has totals over all queues only: the size of the answer does not depend on what clients create, and it
//! names nobody. [`render_objects`] has single objects, in the families that are asked for.

use std::fmt::{Display, Write};

use leveret_protocol::admin::{Channel, Connection, Exchange, Queue};

use crate::store::StoreStats;

/// The figures. Counters start at zero with the process.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    pub node: String,
    pub cluster: String,
    /// Of Leveret.
    pub version: String,
    /// The version of RabbitMQ that tools may take this broker for.
    pub rabbitmq_version: String,
    pub uptime_s: f64,

    /// Messages published.
    pub received: u64,
    /// Those of them published in confirm mode.
    pub received_confirm: u64,
    /// Confirms sent.
    pub confirmed: u64,
    /// Messages that reached a queue, once for each queue.
    pub routed: u64,
    pub unroutable_dropped: u64,
    pub unroutable_returned: u64,
    pub delivered_consume_auto_ack: u64,
    pub delivered_consume_manual_ack: u64,
    pub delivered_get_auto_ack: u64,
    pub delivered_get_manual_ack: u64,
    pub get_empty: u64,
    pub redelivered: u64,
    pub acknowledged: u64,
    /// Messages dropped because they had come before.
    pub deduplicated: u64,
    pub dead_lettered_expired: u64,
    pub dead_lettered_rejected: u64,
    pub dead_lettered_maxlen: u64,
    pub dead_lettered_delivery_limit: u64,
    pub dead_lettered_confirmed: u64,

    /// Channels that publish.
    pub publishers: u64,
    pub consumers: u64,
    pub connections: u64,
    pub channels: u64,
    pub queues: u64,
    pub messages_ready: u64,
    pub messages_unacked: u64,

    pub connections_opened: u64,
    pub connections_closed: u64,
    pub channels_opened: u64,
    pub channels_closed: u64,
    pub queues_declared: u64,
    pub queues_created: u64,
    pub queues_deleted: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub logins_succeeded: u64,
    pub logins_failed: u64,

    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    pub disk_free_bytes: u64,
    pub disk_free_limit_bytes: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub memory_alarm: bool,
    pub disk_alarm: bool,

    /// Bytes of messages that wait to be written to disk.
    pub store_backlog_bytes: u64,
    /// Bytes of messages in memory.
    pub resident_message_bytes: u64,
    /// Bytes that past figures take.
    pub history_bytes: u64,
    /// What the store has done since the broker started.
    pub store: StoreStats,
}

/// Figures of single objects, to be rendered in families.
#[derive(Default)]
pub struct Objects {
    pub queues: Vec<Queue>,
    pub exchanges: Vec<Exchange>,
    pub connections: Vec<Connection>,
    pub channels: Vec<Channel>,
    pub vhosts: Vec<String>,
}

/// The families of `/metrics/detailed`, under RabbitMQ's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    QueueCoarse,
    QueueConsumerCount,
    Queue,
    QueueDelivery,
    ConnectionCoarse,
    Connection,
    Channel,
    VhostStatus,
    ExchangeNames,
}

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The figures as text.
pub fn render(metrics: &Metrics) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    identity(&mut text, metrics);
    messages(&mut text, metrics);
    objects(&mut text, metrics);
    resources(&mut text, metrics);
    text.0
}

/// The figures as text, without those that [`render_objects`] tells apart by labels: a name may be there once.
pub fn render_without_objects(metrics: &Metrics) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    identity(&mut text, metrics);
    messages(&mut text, metrics);
    resources(&mut text, metrics);
    text.0
}

/// Figures of single objects as text: names begin with `prefix`, `rabbitmq` or `rabbitmq_detailed`.
pub fn render_objects(objects: &Objects, families: &[Family], prefix: &str) -> String {
    let mut text = Text(String::with_capacity(64 * 1024));
    for family in families {
        match family {
            Family::QueueCoarse => queues(&mut text, prefix, objects, COARSE),
            Family::QueueConsumerCount => {
                queues(&mut text, prefix, objects, &[("consumers", "Consumers.", |it| it.consumers.into())]);
            }
            Family::Queue => queues(&mut text, prefix, objects, QUEUES),
            Family::QueueDelivery => queue_counters(&mut text, prefix, objects),
            Family::ConnectionCoarse => connections(&mut text, prefix, objects, true),
            Family::Connection => connections(&mut text, prefix, objects, false),
            Family::Channel => channels(&mut text, prefix, objects),
            Family::VhostStatus => {
                text.header("rabbitmq_cluster_vhost_status", "gauge", "1 for a vhost that runs.");
                for vhost in &objects.vhosts {
                    text.sample("rabbitmq_cluster_vhost_status", &[("vhost", vhost)], 1);
                }
            }
            Family::ExchangeNames => {
                text.header("rabbitmq_cluster_exchange_name", "gauge", "1 for an exchange.");
                for exchange in &objects.exchanges {
                    let labels =
                        [("vhost", &*exchange.vhost), ("exchange", &exchange.name), ("type", &exchange.kind)];
                    text.sample("rabbitmq_cluster_exchange_name", &labels, 1);
                }
            }
        }
    }
    text.0
}

type QueueFigure = (&'static str, &'static str, fn(&Queue) -> u64);

const COARSE: &[QueueFigure] = &[
    ("messages_ready", "Messages ready to be delivered.", |it| it.totals.messages_ready),
    ("messages_unacked", "Messages delivered and not acknowledged.", |it| it.totals.messages_unacknowledged),
    ("messages", "Messages ready and unacknowledged.", |it| it.totals.messages),
];

const QUEUES: &[QueueFigure] = &[
    ("messages_ram", "Messages in memory.", |it| it.messages_ram),
    ("messages_bytes", "Bytes of message bodies.", |it| it.message_bytes),
    ("messages_ready_bytes", "Bytes of bodies ready to be delivered.", |it| it.message_bytes_ready),
    ("messages_unacked_bytes", "Bytes of bodies not acknowledged.", |it| it.message_bytes_unacknowledged),
    ("messages_ram_bytes", "Bytes of bodies in memory.", |it| it.message_bytes_ram),
    ("process_memory_bytes", "Bytes of memory that the queue takes.", |it| it.memory),
];

fn queues(text: &mut Text, prefix: &str, objects: &Objects, figures: &[QueueFigure]) {
    for (name, help, figure) in figures {
        let name = format!("{prefix}_queue_{name}");
        text.header(&name, "gauge", help);
        for queue in &objects.queues {
            text.sample(&name, &[("vhost", &queue.vhost), ("queue", &queue.name)], figure(queue));
        }
    }
}

fn queue_counters(text: &mut Text, prefix: &str, objects: &Objects) {
    let figures: &[QueueFigure] = &[
        ("messages_published", "Messages that reached the queue.", |it| it.message_stats.publish),
        ("messages_delivered", "Messages delivered to consumers that acknowledge.", |it| {
            it.message_stats.deliver
        }),
        ("messages_delivered_no_ack", "Messages delivered without acknowledgement.", |it| {
            it.message_stats.deliver_no_ack
        }),
        ("messages_got", "Messages fetched by basic.get.", |it| {
            it.message_stats.get + it.message_stats.get_no_ack
        }),
        ("messages_redelivered", "Messages delivered again.", |it| it.message_stats.redeliver),
        ("messages_acked", "Messages acknowledged.", |it| it.message_stats.ack),
    ];
    for (name, help, figure) in figures {
        let name = match *name {
            // The only one of these that RabbitMQ counts by queue alone.
            "messages_published" => format!("{prefix}_queue_messages_published_total"),
            name => format!("{}_queue_{name}_total", prefix.replace("rabbitmq", "leveret")),
        };
        text.header(&name, "counter", help);
        for queue in &objects.queues {
            text.sample(&name, &[("vhost", &queue.vhost), ("queue", &queue.name)], figure(queue));
        }
    }
}

fn connections(text: &mut Text, prefix: &str, objects: &Objects, is_coarse: bool) {
    type Figure = (&'static str, &'static str, &'static str, fn(&Connection) -> u64);
    let figures: &[Figure] = if is_coarse {
        &[
            ("incoming_bytes_total", "counter", "Bytes received.", |it| it.recv_oct),
            ("outgoing_bytes_total", "counter", "Bytes sent.", |it| it.send_oct),
        ]
    } else {
        &[
            ("incoming_packets_total", "counter", "Reads from the socket.", |it| it.recv_cnt),
            ("outgoing_packets_total", "counter", "Writes to the socket.", |it| it.send_cnt),
            ("channels", "gauge", "Open channels.", |it| it.channels.into()),
        ]
    };
    for (name, kind, help, figure) in figures {
        let name = format!("{prefix}_connection_{name}");
        text.header(&name, kind, help);
        for connection in &objects.connections {
            let labels = [("vhost", &*connection.vhost), ("connection", &connection.name)];
            text.sample(&name, &labels, figure(connection));
        }
    }
}

fn channels(text: &mut Text, prefix: &str, objects: &Objects) {
    type Figure = (&'static str, &'static str, fn(&Channel) -> u32);
    let figures: &[Figure] = &[
        ("consumers", "Consumers.", |it| it.consumer_count),
        ("messages_unacked", "Messages delivered and not acknowledged.", |it| it.messages_unacknowledged),
        ("messages_unconfirmed", "Messages published and not confirmed.", |it| it.messages_unconfirmed),
        ("messages_uncommitted", "Messages that wait for a commit.", |it| it.messages_uncommitted),
        ("acks_uncommitted", "Acknowledgements that wait for a commit.", |it| it.acks_uncommitted),
        ("prefetch", "Prefetch of new consumers.", |it| it.prefetch_count),
    ];
    for (name, help, figure) in figures {
        let name = format!("{prefix}_channel_{name}");
        text.header(&name, "gauge", help);
        for channel in &objects.channels {
            text.sample(&name, &[("vhost", &channel.vhost), ("channel", &channel.name)], figure(channel));
        }
    }
}

impl Family {
    /// Every family, each with its name in `?family=`.
    pub const ALL: [(&'static str, Family); 9] = [
        ("queue_coarse_metrics", Family::QueueCoarse),
        ("queue_consumer_count", Family::QueueConsumerCount),
        ("queue_metrics", Family::Queue),
        ("queue_delivery_metrics", Family::QueueDelivery),
        ("connection_coarse_metrics", Family::ConnectionCoarse),
        ("connection_metrics", Family::Connection),
        ("channel_metrics", Family::Channel),
        ("vhost_status", Family::VhostStatus),
        ("exchange_names", Family::ExchangeNames),
    ];

    /// The family of that name. What RabbitMQ has besides these has no meaning here.
    pub fn named(name: &str) -> Option<Family> {
        Family::ALL.iter().find(|(other, _)| *other == name).map(|(_, family)| *family)
    }
}

fn identity(text: &mut Text, metrics: &Metrics) {
    let Metrics { node, cluster, version, rabbitmq_version, .. } = metrics;
    text.labelled(
        "rabbitmq_build_info",
        "gauge",
        "Versions.",
        &[("rabbitmq_version", rabbitmq_version), ("product_name", "Leveret"), ("product_version", version)],
        1,
    );
    text.labelled(
        "rabbitmq_identity_info",
        "gauge",
        "Node and cluster.",
        &[("rabbitmq_node", node), ("rabbitmq_cluster", cluster), ("rabbitmq_endpoint", "aggregated")],
        1,
    );
    // RabbitMQ's name for it; dashboards show the uptime by it.
    text.gauge("rabbitmq_erlang_uptime_seconds", "Seconds since start.", metrics.uptime_s);
}

fn messages(text: &mut Text, metrics: &Metrics) {
    let delivered = metrics.delivered_consume_auto_ack
        + metrics.delivered_consume_manual_ack
        + metrics.delivered_get_auto_ack
        + metrics.delivered_get_manual_ack;
    let protocol = [("protocol", "amqp091")];
    for (name, help, value) in [
        ("received", "Messages published.", metrics.received),
        ("received_confirm", "Messages published in confirm mode.", metrics.received_confirm),
        ("confirmed", "Messages confirmed to publishers.", metrics.confirmed),
        ("routed", "Messages that reached a queue.", metrics.routed),
        ("unroutable_dropped", "Unroutable messages dropped.", metrics.unroutable_dropped),
        ("unroutable_returned", "Unroutable messages returned to publishers.", metrics.unroutable_returned),
    ] {
        text.labelled(&format!("rabbitmq_global_messages_{name}_total"), "counter", help, &protocol, value);
    }
    let queue_type = [("protocol", "amqp091"), ("queue_type", "rabbit_classic_queue")];
    for (name, help, value) in [
        ("delivered", "Messages delivered to consumers and to basic.get.", delivered),
        (
            "delivered_consume_auto_ack",
            "Messages delivered to consumers without acknowledgement.",
            metrics.delivered_consume_auto_ack,
        ),
        (
            "delivered_consume_manual_ack",
            "Messages delivered to consumers that acknowledge.",
            metrics.delivered_consume_manual_ack,
        ),
        (
            "delivered_get_auto_ack",
            "Messages fetched by basic.get without acknowledgement.",
            metrics.delivered_get_auto_ack,
        ),
        (
            "delivered_get_manual_ack",
            "Messages fetched by basic.get, to be acknowledged.",
            metrics.delivered_get_manual_ack,
        ),
        ("get_empty", "basic.get on an empty queue.", metrics.get_empty),
        ("redelivered", "Messages delivered again.", metrics.redelivered),
        ("acknowledged", "Messages acknowledged by consumers.", metrics.acknowledged),
    ] {
        text.labelled(&format!("rabbitmq_global_messages_{name}_total"), "counter", help, &queue_type, value);
    }
    let strategy = [("queue_type", "rabbit_classic_queue"), ("dead_letter_strategy", "at_most_once")];
    for (name, help, value) in [
        ("expired", "Messages dead-lettered because they expired.", metrics.dead_lettered_expired),
        ("rejected", "Messages dead-lettered because they were rejected.", metrics.dead_lettered_rejected),
        ("maxlen", "Messages dead-lettered because their queue was full.", metrics.dead_lettered_maxlen),
        (
            "delivery_limit",
            "Messages dead-lettered because they were delivered too often.",
            metrics.dead_lettered_delivery_limit,
        ),
        ("confirmed", "Dead-lettered messages that reached their queues.", metrics.dead_lettered_confirmed),
    ] {
        let name = format!("rabbitmq_global_messages_dead_lettered_{name}_total");
        text.labelled(&name, "counter", help, &strategy, value);
    }
    text.counter(
        "leveret_messages_deduplicated_total",
        "Messages dropped on the way in because they had come before.",
        metrics.deduplicated,
    );
    text.labelled(
        "rabbitmq_global_publishers",
        "gauge",
        "Channels that publish.",
        &protocol,
        metrics.publishers,
    );
    text.labelled("rabbitmq_global_consumers", "gauge", "Consumers.", &protocol, metrics.consumers);
}

fn objects(text: &mut Text, metrics: &Metrics) {
    for (name, help, value) in [
        ("connections", "Open connections.", metrics.connections),
        ("channels", "Open channels.", metrics.channels),
        ("consumers", "Consumers.", metrics.consumers),
        ("queues", "Queues.", metrics.queues),
        ("queue_messages", "Messages in queues.", metrics.messages_ready + metrics.messages_unacked),
        ("queue_messages_ready", "Messages ready to be delivered.", metrics.messages_ready),
        ("queue_messages_unacked", "Messages delivered and not acknowledged.", metrics.messages_unacked),
    ] {
        text.gauge(&format!("rabbitmq_{name}"), help, value);
    }
    for (name, help, value) in [
        ("connections_opened", "Connections opened.", metrics.connections_opened),
        ("connections_closed", "Connections closed.", metrics.connections_closed),
        ("channels_opened", "Channels opened.", metrics.channels_opened),
        ("channels_closed", "Channels closed.", metrics.channels_closed),
        ("queues_declared", "Queue declarations.", metrics.queues_declared),
        ("queues_created", "Queues created.", metrics.queues_created),
        ("queues_deleted", "Queues deleted.", metrics.queues_deleted),
        ("connection_incoming_bytes", "Bytes received from clients.", metrics.bytes_read),
        ("connection_outgoing_bytes", "Bytes sent to clients.", metrics.bytes_written),
        ("auth_attempts_succeeded", "Logins.", metrics.logins_succeeded),
        ("auth_attempts_failed", "Logins refused.", metrics.logins_failed),
        ("auth_attempts", "Logins tried.", metrics.logins_succeeded + metrics.logins_failed),
    ] {
        text.counter(&format!("rabbitmq_{name}_total"), help, value);
    }
}

fn resources(text: &mut Text, metrics: &Metrics) {
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory used.", metrics.memory_bytes),
        (
            "resident_memory_limit_bytes",
            "Memory above which publishers are held back.",
            metrics.memory_limit_bytes,
        ),
        ("disk_space_available_bytes", "Free disk space.", metrics.disk_free_bytes),
        (
            "disk_space_available_limit_bytes",
            "Free disk space below which publishers are held back.",
            metrics.disk_free_limit_bytes,
        ),
        ("process_open_fds", "Open file descriptors.", metrics.open_fds),
        ("process_max_fds", "File descriptors that may be open.", metrics.max_fds),
        ("alarms_memory_used_watermark", "1 while memory is short.", u64::from(metrics.memory_alarm)),
        ("alarms_free_disk_space_watermark", "1 while disk space is short.", u64::from(metrics.disk_alarm)),
    ] {
        text.gauge(&format!("rabbitmq_{name}"), help, value);
    }
    for (name, help, value) in [
        ("store_backlog_bytes", "Bytes of messages that wait to be written.", metrics.store_backlog_bytes),
        ("message_memory_bytes", "Bytes of messages in memory.", metrics.resident_message_bytes),
        ("history_memory_bytes", "Bytes that past figures take.", metrics.history_bytes),
    ] {
        text.gauge(&format!("leveret_{name}"), help, value);
    }
    let store = &metrics.store;
    for (name, help, value) in [
        ("commits", "Generations of changes written.", store.commits),
        ("syncs", "Times that the write-ahead log was forced to the disk.", store.syncs),
        ("messages_written", "Messages written.", store.messages_written),
        ("messages_elided", "Messages settled before they were to be written.", store.messages_elided),
        ("written_bytes", "Bytes of messages written.", store.bytes_written),
        ("messages_loaded", "Messages read back.", store.messages_loaded),
        ("reclaimed_bytes", "Bytes of files given back.", store.bytes_reclaimed),
    ] {
        text.counter(&format!("leveret_store_{name}_total"), help, value);
    }
}

/// The text as far as it is written. Writing to a string does not fail, hence the ignored results.
struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.labelled(name, "counter", help, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.labelled(name, "gauge", help, &[], value);
    }

    fn labelled(&mut self, name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        self.header(name, kind, help);
        self.sample(name, labels, value);
    }

    /// What stands in front of the samples of one name.
    fn header(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.0;
        text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{label}=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        render(&Metrics {
            node: "leveret@\"host\\\n".to_owned(),
            received: 7,
            delivered_consume_manual_ack: 4,
            delivered_get_auto_ack: 2,
            messages_ready: 3,
            messages_unacked: 1,
            uptime_s: 1.5,
            disk_alarm: true,
            ..Metrics::default()
        })
    }

    #[track_caller]
    fn has(line: &str) {
        let text = text();
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }

    #[test]
    fn every_name_that_dashboards_rely_on_is_there() {
        let text = text();
        let global = "received received_confirm confirmed routed delivered delivered_consume_auto_ack \
            delivered_consume_manual_ack delivered_get_auto_ack delivered_get_manual_ack get_empty redelivered \
            acknowledged unroutable_dropped unroutable_returned dead_lettered_expired dead_lettered_rejected \
            dead_lettered_maxlen dead_lettered_delivery_limit dead_lettered_confirmed";
        for name in global.split_whitespace() {
            let line = format!("\nrabbitmq_global_messages_{name}_total{{");
            assert!(text.contains(&line), "{name}");
        }
        for name in ["global_publishers{", "global_consumers{", "queue_messages ", "queue_messages_ready "] {
            assert!(text.contains(&format!("\nrabbitmq_{name}")), "{name}");
        }
    }

    #[test]
    fn figures_stand_behind_their_names_and_labels() {
        has("rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 7");
        has(
            "rabbitmq_global_messages_delivered_total{protocol=\"amqp091\",queue_type=\"rabbit_classic_queue\"} 6",
        );
        has("# TYPE rabbitmq_queue_messages gauge");
        has("rabbitmq_queue_messages 4");
        has("rabbitmq_erlang_uptime_seconds 1.5");
        has("rabbitmq_alarms_memory_used_watermark 0");
        has("rabbitmq_alarms_free_disk_space_watermark 1");
    }

    #[test]
    fn the_format_is_well_formed() {
        let text = text();
        assert!(text.contains("rabbitmq_node=\"leveret@\\\"host\\\\\\n\""), "labels are escaped");
        well_formed(&text);
    }

    #[test]
    fn objects_are_told_apart_by_labels() {
        let queue = |name: &str, consumers| Queue {
            name: name.to_owned(),
            vhost: "/".to_owned(),
            consumers,
            ..Queue::default()
        };
        let objects = Objects {
            queues: vec![queue("a", 1), queue("b\"", 2)],
            connections: vec![Connection { name: "c".to_owned(), recv_oct: 5, ..Connection::default() }],
            channels: vec![Channel { name: "c (1)".to_owned(), ..Channel::default() }],
            exchanges: vec![Exchange {
                name: "x".to_owned(),
                kind: "topic".to_owned(),
                ..Exchange::default()
            }],
            vhosts: vec!["/".to_owned()],
        };
        let families = Family::ALL.map(|(_, family)| family);
        let text = render_objects(&objects, &families, "rabbitmq_detailed");
        well_formed(&text);
        for line in [
            "rabbitmq_detailed_queue_consumers{vhost=\"/\",queue=\"b\\\"\"} 2",
            "rabbitmq_detailed_queue_messages_ready{vhost=\"/\",queue=\"a\"} 0",
            "rabbitmq_detailed_connection_incoming_bytes_total{vhost=\"\",connection=\"c\"} 5",
            "rabbitmq_detailed_channel_prefetch{vhost=\"\",channel=\"c (1)\"} 0",
            "rabbitmq_cluster_vhost_status{vhost=\"/\"} 1",
            "rabbitmq_cluster_exchange_name{vhost=\"\",exchange=\"x\",type=\"topic\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert_eq!(Family::named("queue_metrics"), Some(Family::Queue));
        assert_eq!(Family::named("ra_metrics"), None);
    }

    #[track_caller]
    fn well_formed(text: &str) {
        let mut seen = std::collections::HashSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(seen.insert(name.to_owned()), "{name} is described twice");
                assert_eq!(rest.ends_with("counter"), name.ends_with("_total"), "{name}");
            } else if !line.starts_with('#') {
                let (_, value) = line.rsplit_once(' ').expect("a value");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
}
