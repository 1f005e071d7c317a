//! What a broker would answer: a shop with orders, mail and an audit log.

use leveret_protocol::admin::audit::{AuditEntry, AuditPage};
use leveret_protocol::admin::messages::{Death, MessagePage, QueuedMessage};
use leveret_protocol::admin::operations::{Operation, OperationKind, OperationState};
use leveret_protocol::admin::policies::Policy;
use leveret_protocol::admin::topology::{
    TopologyEdge, TopologyGraph, TopologyKind, TopologyLink, TopologyNode,
};
use leveret_protocol::admin::{self as api, MessageStats, QueueTotals, Rate};
use serde_json::json;

use super::NOW;

pub fn stats(publish: f64) -> MessageStats {
    MessageStats {
        publish: 1_000,
        publish_details: Rate::new(publish),
        deliver_get_details: Rate::new(publish * 0.9),
        ack_details: Rate::new(publish * 0.85),
        ..MessageStats::default()
    }
}

pub fn overview(second: u64) -> api::Overview {
    let wave = 400.0 + 300.0 * (second as f64 / 5.0).sin();
    api::Overview {
        product_name: "Leveret".to_owned(),
        message_stats: stats(wave),
        queue_totals: QueueTotals {
            messages_ready: 12_400 + second * 3,
            messages_unacknowledged: 250,
            ..QueueTotals::default()
        },
        object_totals: api::ObjectTotals {
            queues: 6,
            exchanges: 8,
            connections: 3,
            channels: 3,
            consumers: 3,
        },
        ..api::Overview::default()
    }
}

pub fn node() -> api::Node {
    api::Node {
        mem_used: 180 << 20,
        mem_limit: 9 << 30,
        disk_free: 40 << 30,
        disk_free_limit: 50 << 20,
        uptime: 7_300_000,
        ..api::Node::default()
    }
}

pub fn queue(name: &str, ready: u64, consumers: u16) -> api::Queue {
    api::Queue {
        name: name.to_owned(),
        vhost: "/".to_owned(),
        kind: "classic".to_owned(),
        durable: true,
        state: if consumers > 0 { "running" } else { "idle" }.to_owned(),
        consumers,
        totals: QueueTotals {
            messages: ready,
            messages_ready: ready,
            messages_ready_details: Rate::new(if consumers > 0 { 0.0 } else { 3.0 }),
            ..QueueTotals::default()
        },
        message_stats: stats(f64::from(consumers) * 40.0),
        ..api::Queue::default()
    }
}

pub fn queues() -> Vec<api::Queue> {
    vec![
        queue("audit.log", 0, 1),
        queue("orders.backlog", 12_345, 0),
        queue("orders.dlq", 42, 0),
        queue("orders.paid", 41, 2),
        queue("mail.outgoing", 3, 1),
        queue("订单.支付", 7, 1),
    ]
}

pub fn exchanges() -> Vec<api::Exchange> {
    let exchange = |name: &str, kind: &str| api::Exchange {
        name: name.to_owned(),
        vhost: "/".to_owned(),
        kind: kind.to_owned(),
        durable: true,
        message_stats: Some(api::ExchangeStats {
            publish_in_details: Rate::new(120.0),
            ..api::ExchangeStats::default()
        }),
        ..api::Exchange::default()
    };
    vec![
        exchange("", "direct"),
        exchange("amq.topic", "topic"),
        exchange("orders", "topic"),
        exchange("mail", "fanout"),
        exchange("later", "x-delayed-message"),
    ]
}

pub fn bindings() -> Vec<api::Binding> {
    let binding = |source: &str, destination: &str, key: &str| api::Binding {
        source: source.to_owned(),
        vhost: "/".to_owned(),
        destination: destination.to_owned(),
        destination_type: "queue".to_owned(),
        routing_key: key.to_owned(),
        properties_key: key.to_owned(),
        ..api::Binding::default()
    };
    vec![
        binding("", "orders.paid", "orders.paid"),
        binding("orders", "orders.paid", "*.paid"),
        binding("orders", "audit.log", "#"),
    ]
}

pub fn connection(at: u16) -> api::Connection {
    api::Connection {
        name: format!("127.0.0.1:{} -> 127.0.0.1:5672", 40_000 + at),
        user_provided_name: (at == 0).then(|| "billing".to_owned()),
        vhost: "/".to_owned(),
        user: "guest".to_owned(),
        state: "running".to_owned(),
        protocol: "AMQP 0-9-1".to_owned(),
        peer_host: "127.0.0.1".to_owned(),
        peer_port: 40_000 + at,
        channels: 1,
        connected_at: NOW - 60_000,
        ..api::Connection::default()
    }
}

pub fn channel(at: u16) -> api::Channel {
    let connection = connection(at);
    api::Channel {
        name: format!("{} (1)", connection.name),
        number: 1,
        connection_details: api::ConnectionDetails {
            name: connection.name,
            ..api::ConnectionDetails::default()
        },
        vhost: "/".to_owned(),
        user: "guest".to_owned(),
        state: "running".to_owned(),
        prefetch_count: 100,
        confirm: at == 1,
        ..api::Channel::default()
    }
}

pub fn consumer(at: u16) -> api::Consumer {
    let channel = channel(at);
    api::Consumer {
        consumer_tag: format!("ctag-{at}"),
        queue: api::QueueName { name: "orders.paid".to_owned(), vhost: "/".to_owned() },
        channel_details: api::ChannelDetails {
            name: channel.name,
            connection_name: channel.connection_details.name,
            ..api::ChannelDetails::default()
        },
        ack_required: true,
        active: true,
        activity_status: "up".to_owned(),
        prefetch_count: 100,
        ..api::Consumer::default()
    }
}

pub fn messages(unacked: bool) -> MessagePage {
    let message = |position: u64| QueuedMessage {
        id: format!("m{position}"),
        position,
        exchange: "orders".to_owned(),
        routing_key: "eu.paid".to_owned(),
        payload: format!("{{\"order\": {position}, \"amount\": 4200}}"),
        payload_encoding: "string".to_owned(),
        payload_bytes: 28,
        redelivered: position == 2,
        holder: unacked.then(|| api::messages::Holder {
            consumer_tag: "ctag-0".to_owned(),
            channel_details: api::ChannelDetails {
                connection_name: connection(0).name,
                ..api::ChannelDetails::default()
            },
            since: NOW - 90_000,
        }),
        ..QueuedMessage::default()
    };
    MessagePage { items: (1..=3).map(message).collect(), ..MessagePage::default() }
}

pub fn topology(rate: f64) -> TopologyGraph {
    let node = |id: &str, kind, detail: &str| TopologyNode {
        id: id.to_owned(),
        kind,
        name: id.split_once(':').map_or(id, |(_, name)| name).to_owned(),
        detail: detail.to_owned(),
        ready: if kind == TopologyKind::Queue { 1_234 } else { 0 },
        state: "running".to_owned(),
        ..TopologyNode::default()
    };
    let edge = |from: &str, to: &str, link| TopologyEdge {
        from: from.to_owned(),
        to: to.to_owned(),
        link,
        keys: vec!["order.#".to_owned()],
        bindings: 1,
        rate,
    };
    let mut graph = TopologyGraph {
        vhost: "/".to_owned(),
        nodes: vec![
            node("publisher:shop", TopologyKind::Publisher, "shop"),
            node("exchange:orders", TopologyKind::Exchange, "topic"),
            node("queue:orders.paid", TopologyKind::Queue, "classic"),
            node("exchange:dlx", TopologyKind::Exchange, "fanout"),
            node("queue:orders.dlq", TopologyKind::Queue, "classic"),
            node("exchange:amq.topic", TopologyKind::Exchange, "topic"),
        ],
        edges: vec![
            edge("publisher:shop", "exchange:orders", TopologyLink::Publish),
            edge("exchange:orders", "queue:orders.paid", TopologyLink::Binding),
            edge("queue:orders.paid", "exchange:dlx", TopologyLink::DeadLetter),
            edge("exchange:dlx", "queue:orders.dlq", TopologyLink::Binding),
        ],
        ..TopologyGraph::default()
    };
    for at in 0..3 {
        let id = format!("consumer:{at}");
        graph.edges.push(edge("queue:orders.paid", &id, TopologyLink::Consume));
        graph.nodes.push(node(&id, TopologyKind::Consumer, "worker"));
    }
    graph
}

pub fn dead_letters() -> MessagePage {
    let message = |position: u64| {
        let reason = if position.is_multiple_of(3) { "expired" } else { "rejected" };
        let death = Death {
            queue: "orders.paid".to_owned(),
            reason: reason.to_owned(),
            count: 2,
            exchange: "orders".to_owned(),
            routing_keys: vec!["order.paid".to_owned()],
            time: NOW / 1_000 - position,
        };
        QueuedMessage {
            id: format!("m{position}"),
            position,
            exchange: "dlx".to_owned(),
            routing_key: "order.paid".to_owned(),
            payload: json!({"order": position, "name": "王伟"}).to_string(),
            payload_encoding: "string".to_owned(),
            deaths: vec![death],
            ..QueuedMessage::default()
        }
    };
    MessagePage { items: (1..=9).map(message).collect(), ..MessagePage::default() }
}

pub fn operation() -> Operation {
    Operation {
        id: "7".to_owned(),
        kind: OperationKind::Requeue,
        state: OperationState::Running,
        vhost: "/".to_owned(),
        queue: "orders.dlq".to_owned(),
        destination: None,
        user: "guest".to_owned(),
        started_at: NOW - 2_000,
        finished_at: None,
        total: 400,
        seen: 100,
        done: 98,
        skipped: vec![],
        error: None,
    }
}

pub fn policy() -> Policy {
    Policy {
        vhost: "/".to_owned(),
        name: "limits".to_owned(),
        pattern: "^orders\\.".to_owned(),
        apply_to: "queues".to_owned(),
        priority: 1,
        definition: json!({"max-length": 1000}).as_object().cloned().unwrap_or_default(),
    }
}

pub fn user(name: &str) -> api::User {
    api::User {
        name: name.to_owned(),
        password_hash: "hash".to_owned(),
        hashing_algorithm: String::new(),
        tags: vec!["monitoring".to_owned()],
        limits: api::Arguments::new(),
    }
}

pub fn audit() -> AuditPage {
    let entry = AuditEntry {
        id: 1,
        at: NOW - 5_000,
        user: "guest".to_owned(),
        action: "purge".to_owned(),
        kind: "queue".to_owned(),
        name: "orders.paid".to_owned(),
        result: "ok".to_owned(),
        ..AuditEntry::default()
    };
    AuditPage { items: vec![entry], next: None }
}
