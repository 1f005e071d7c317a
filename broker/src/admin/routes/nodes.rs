//! Nodes of the cluster, which is this one, and what is asked of a cluster.

use axum::Json;
use leveret_protocol::admin::Node;
use serde_json::json;

use super::*;
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::list::Extended;
use crate::admin::state;
use crate::history::TOTAL;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/nodes", Who::Monitor, "The nodes of the cluster.", list)
            .query(LIST_WITH_AGES)
            .gives::<Vec<Node>>(),
        get("/api/nodes/{node}", Who::Monitor, "One node.", one).query(WITH_AGES).gives::<Node>(),
        get("/api/nodes/{node}/memory", Who::Monitor, "What takes memory, in bytes.", memory)
            .gives::<serde_json::Value>(),
        get("/api/nodes/{node}/memory/relative", Who::Monitor, "What takes memory, in percent.", relative)
            .gives::<serde_json::Value>(),
        get("/api/version", Who::Anyone, "Leveret's version.", version).gives::<String>(),
        get("/api/extensions", Who::Management, "Extensions of the API: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get(
            "/api/config/effective",
            Who::Administrator,
            "The configuration in force, without secrets.",
            effective_config,
        )
        .gives::<serde_json::Value>(),
        delete(
            "/api/reset",
            Who::Administrator,
            "Resets a statistics database, of which there is none.",
            nothing,
        ),
        delete(
            "/api/reset/{node}",
            Who::Administrator,
            "Resets a statistics database, of which there is none.",
            nothing,
        ),
        post(
            "/api/rebalance/queues",
            Who::Administrator,
            "Spreads queues over nodes, of which there is one: nothing is done.",
            nothing,
        ),
        get("/api/shovels", Who::Monitor, "Shovels: none.", none).gives::<Vec<serde_json::Value>>(),
        get("/api/shovels/{vhost}", Who::Monitor, "Shovels: none.", none).gives::<Vec<serde_json::Value>>(),
        get("/api/federation-links", Who::Monitor, "Federation links: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get("/api/federation-links/{vhost}", Who::Monitor, "Federation links: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get("/api/stream/connections", Who::Management, "Connections of the stream protocol: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get(
            "/api/stream/connections/{vhost}",
            Who::SeesVhost,
            "Connections of the stream protocol: none.",
            none,
        )
        .gives::<Vec<serde_json::Value>>(),
        get("/api/stream/publishers", Who::Management, "Publishers of the stream protocol: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get(
            "/api/stream/publishers/{vhost}",
            Who::SeesVhost,
            "Publishers of the stream protocol: none.",
            none,
        )
        .gives::<Vec<serde_json::Value>>(),
        get("/api/stream/consumers", Who::Management, "Consumers of the stream protocol: none.", none)
            .gives::<Vec<serde_json::Value>>(),
        get("/api/stream/consumers/{vhost}", Who::SeesVhost, "Consumers of the stream protocol: none.", none)
            .gives::<Vec<serde_json::Value>>(),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, ages: Ages, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let nodes = state::nodes(broker);
        if !ages.any() {
            return query.respond(nodes);
        }
        let extended = |item: Node| Extended { json: with_past(broker, &item, &ages), item };
        query.respond(nodes.into_iter().map(extended).collect())
    })
    .await
}

/// A node with the samples that were asked for.
fn with_past(broker: &Broker, node: &Node, ages: &Ages) -> serde_json::Value {
    let mut shown = json!(node);
    let past = broker.history().totals(ages.oldest_s());
    add_samples(&mut shown, USED, past.as_ref(), ages.node_stats);
    shown
}

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath(name): InPath<String>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let found = node(broker, &name)?;
        if !ages.any() {
            return query.respond_one(&found);
        }
        query.respond_one(&with_past(broker, &found, &ages))
    })
    .await
}

/// Which of the broker's figures stand behind which fields.
const USED: &[Field] = &[
    ("mem_used", &[TOTAL.memory_bytes]),
    ("fd_used", &[TOTAL.open_files]),
    ("sockets_used", &[TOTAL.connections]),
    ("disk_free", &[TOTAL.disk_free_bytes]),
];

async fn memory(State(broker): State<Arc<Broker>>, InPath(name): InPath<String>) -> Answer {
    answer(broker, move |broker| {
        node(broker, &name)?;
        let parts = state::memory(broker);
        let total = parts.total_bytes;
        let mut memory = breakdown(&parts, |bytes| bytes);
        memory.insert("strategy".to_owned(), "rss".into());
        memory.insert("total".to_owned(), json!({"erlang": total, "rss": total, "allocated": total}));
        Ok(Json(json!({ "memory": memory })).into_response())
    })
    .await
}

async fn relative(State(broker): State<Arc<Broker>>, InPath(name): InPath<String>) -> Answer {
    answer(broker, move |broker| {
        node(broker, &name)?;
        let parts = state::memory(broker);
        let total = parts.total_bytes.max(1);
        let mut memory = breakdown(&parts, |bytes| (bytes * 100).div_ceil(total));
        memory.insert("total".to_owned(), 100.into());
        Ok(Json(json!({ "memory": memory })).into_response())
    })
    .await
}

/// All of RabbitMQ's parts; those of its virtual machine take nothing.
fn breakdown(
    parts: &state::Memory,
    shown: impl Fn(u64) -> u64,
) -> serde_json::Map<String, serde_json::Value> {
    let mut memory: serde_json::Map<_, _> =
        MEMORY_PARTS.iter().map(|name| ((*name).to_owned(), 0.into())).collect();
    let known = parts.queues_bytes + parts.connections_bytes;
    let rest = parts.total_bytes.saturating_sub(known);
    for (name, bytes) in [
        ("queue_procs", parts.queues_bytes),
        ("connection_other", parts.connections_bytes),
        ("other_proc", rest),
    ] {
        memory.insert(name.to_owned(), shown(bytes).into());
    }
    memory
}

const MEMORY_PARTS: [&str; 27] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
];

fn node(broker: &Broker, name: &str) -> Result<Node, ApiError> {
    let found = state::nodes(broker).into_iter().find(|node| node.name == name);
    found.ok_or_else(|| ApiError::not_found("Not Found"))
}

async fn version() -> Response {
    Json(env!("CARGO_PKG_VERSION")).into_response()
}

async fn none() -> Response {
    Json(json!([])).into_response()
}

async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn effective_config(State(broker): State<Arc<Broker>>) -> Response {
    let shown = broker.config().shown();
    let value = |text: Option<String>| match text {
        None => serde_json::Value::Null,
        Some(text) => serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)),
    };
    let settings: serde_json::Map<_, _> =
        shown.into_iter().map(|(name, text)| (name.to_owned(), value(text))).collect();
    Json(settings).into_response()
}
