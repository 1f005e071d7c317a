//! The cluster's name, and features as RabbitMQ counts them.

use axum::Json;
use leveret_protocol::admin::requests::ClusterName;
use serde_json::{Value, json};

use super::*;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/cluster-name", Who::Management, "The broker's name.", name).gives::<ClusterName>(),
        put("/api/cluster-name", Who::Administrator, "Changes the broker's name.", rename)
            .takes::<ClusterName>(),
        get("/api/feature-flags", Who::Management, "Feature flags, all of them enabled.", flags)
            .gives::<Vec<Value>>(),
        put(
            "/api/feature-flags/{name}/enable",
            Who::Administrator,
            "Enables a feature flag. All are: nothing is done.",
            enable,
        ),
        get("/api/deprecated-features", Who::Monitor, "Deprecated features: none.", none)
            .gives::<Vec<Value>>(),
        get("/api/deprecated-features/used", Who::Monitor, "Deprecated features in use: none.", none)
            .gives::<Vec<Value>>(),
    ]
}

async fn name(State(broker): State<Arc<Broker>>) -> Response {
    Json(ClusterName { name: broker.cluster_name() }).into_response()
}

async fn rename(
    State(broker): State<Arc<Broker>>,
    InBody(wanted): InBody<ClusterName>,
) -> Result<StatusCode, ApiError> {
    let ticket = broker.set_cluster_name(&wanted.name)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn flags() -> Response {
    let flag = |(name, description): &(&str, &str)| {
        json!({"name": name, "desc": description, "doc_url": "", "state": "enabled", "stability": "stable",
               "provided_by": "leveret"})
    };
    Json(FLAGS.iter().map(flag).collect::<Vec<Value>>()).into_response()
}

async fn enable(InPath(name): InPath<String>) -> Result<StatusCode, ApiError> {
    if name != "all" && !FLAGS.iter().any(|(flag, _)| *flag == name) {
        return Err(ApiError::bad_request("unsupported"));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn none() -> Response {
    Json(json!([])).into_response()
}

/// What RabbitMQ made switchable once, and is always on here.
const FLAGS: &[(&str, &str)] = &[
    ("classic_queue_type_delivery_support", "Deliveries of classic queues through queue types"),
    ("direct_exchange_routing_v2", "Routing of direct exchanges through an index"),
    ("drop_unroutable_metric", "Counts of unroutable messages that were dropped"),
    ("empty_basic_get_metric", "Counts of `basic.get` on empty queues"),
    ("implicit_default_bindings", "Bindings of the default exchange follow from the names of queues"),
    ("quorum_queue", "Queues of type `quorum`"),
    ("user_limits", "Limits on what a user may open"),
    ("virtual_host_metadata", "Descriptions and tags of vhosts"),
];
