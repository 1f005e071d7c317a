//! Health checks: 200 when all is well, 503 with the reason when it is not.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use leveret_protocol::admin::HealthCheck;
use serde_json::json;

use super::*;
use crate::admin::state;
use crate::net::tls;

pub(super) fn routes() -> Vec<Route> {
    let check = |path, summary| get(path, Who::Management, summary, ok).checks::<HealthCheck>();
    vec![
        get("/api/health/checks/alarms", Who::Management, "Fails while memory or disk is short.", alarms)
            .checks::<HealthCheck>(),
        get(
            "/api/health/checks/local-alarms",
            Who::Management,
            "Fails while memory or disk is short.",
            alarms,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/is-in-service",
            Who::Anyone,
            "Fails while the broker starts or stops. For load balancers: without a login.",
            is_in_service,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/ready-to-serve-clients",
            Who::Anyone,
            "Fails while the broker starts or stops. For load balancers: without a login.",
            is_in_service,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/below-node-connection-limit",
            Who::Anyone,
            "Fails when no further connection could be taken.",
            below_connection_limit,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/certificate-expiration/{within}/{unit}",
            Who::Management,
            "Fails when the certificate expires within that many `days`, `weeks`, `months` or `years`.",
            certificate_expiration,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/port-listener/{port}",
            Who::Management,
            "Fails when nothing listens on the port.",
            port_listener,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/protocol-listener/{protocols}",
            Who::Management,
            "Fails when one of the protocols, with commas between, has no listener.",
            protocol_listener,
        )
        .checks::<HealthCheck>(),
        check("/api/health/checks/virtual-hosts", "All vhosts run: never fails."),
        check(
            "/api/health/checks/node-is-quorum-critical",
            "One node carries every quorum alone: never fails.",
        ),
        check("/api/health/checks/node-is-mirror-sync-critical", "There are no mirrors: never fails."),
        check("/api/health/checks/metadata-store/initialized", "The store is open: never fails."),
        check(
            "/api/health/checks/metadata-store/initialized/with-data",
            "The store has its data: never fails.",
        ),
        check(
            "/api/health/checks/reached-target-cluster-size",
            "One node is the whole cluster: never fails.",
        ),
        check(
            "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts",
            "Every queue has its one leader: never fails.",
        ),
        check(
            "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
            "Every queue has its one leader: never fails.",
        ),
        get(
            "/api/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}",
            Who::SeesVhost,
            "Every queue has its one leader: never fails.",
            ok,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
            Who::SeesVhost,
            "Every queue has its one leader: never fails.",
            ok,
        )
        .checks::<HealthCheck>(),
        get(
            "/api/aliveness-test/{vhost}",
            Who::SeesVhost,
            "The vhost is there. Nothing is published: see the other checks.",
            ok,
        )
        .checks::<HealthCheck>(),
        get("/api/healthchecks/node", Who::Management, "Fails while memory or disk is short.", alarms)
            .checks::<HealthCheck>(),
        get("/api/healthchecks/node/{node}", Who::Management, "Fails while memory or disk is short.", alarms)
            .checks::<HealthCheck>(),
    ]
}

async fn ok() -> Response {
    healthy()
}

async fn alarms(State(broker): State<Arc<Broker>>) -> Response {
    let alarms = state::alarms(&broker);
    if alarms.is_empty() {
        return healthy();
    }
    failed(HealthCheck { alarms, ..HealthCheck::failed("There are alarms in effect in the cluster") })
}

async fn is_in_service(State(broker): State<Arc<Broker>>) -> Response {
    if state::is_in_service(&broker) {
        return healthy();
    }
    failed(HealthCheck::failed("this node is not currently available to serve"))
}

async fn below_connection_limit(State(broker): State<Arc<Broker>>) -> Response {
    // What ends first is the number of files that may be open.
    let limit = state::connection_limit();
    let current = broker.connections().len() as u64;
    let status = if current < limit { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if current < limit { "ok" } else { "failed" };
    (status, Json(json!({"status": word, "limit": limit, "connections": current}))).into_response()
}

async fn certificate_expiration(
    State(broker): State<Arc<Broker>>,
    InPath((within, unit)): InPath<(String, String)>,
) -> Answer {
    let within: i64 = within.parse().map_err(|_| ApiError::bad_request("Invalid expiration value."))?;
    let unit_s = match unit.to_lowercase().as_str() {
        "days" => DAY_S,
        "weeks" => 7 * DAY_S,
        "months" => 365 * DAY_S / 12,
        "years" => 365 * DAY_S,
        _ => {
            let reason = "Time unit not recognised. Supported units: days, weeks, months, years.";
            return Err(ApiError::bad_request(reason));
        }
    };
    answer(broker, move |broker| {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let until_s = now_s.saturating_add(within.saturating_mul(unit_s));
        let config = &broker.config().tls;
        let ends = match tls::certificates_expire_at(config) {
            Ok(ends) => ends,
            Err(error) => return Ok(failed(HealthCheck::failed(error.to_string()))),
        };
        if ends.is_none_or(|end_s| end_s >= until_s) {
            return Ok(healthy());
        }
        Ok(failed(HealthCheck::failed("Certificates expiring")))
    })
    .await
}

async fn port_listener(State(broker): State<Arc<Broker>>, InPath(port): InPath<String>) -> Answer {
    let port: u16 = port.parse().map_err(|_| ApiError::bad_request("Invalid port"))?;
    let ports: Vec<u16> = broker.listeners().iter().map(|listening| listening.address.port()).collect();
    if ports.contains(&port) {
        return Ok(Json(json!({"status": "ok", "port": port})).into_response());
    }
    let body = json!({"status": "failed", "reason": "No active listener", "missing": port, "ports": ports});
    Ok((StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response())
}

async fn protocol_listener(State(broker): State<Arc<Broker>>, InPath(wanted): InPath<String>) -> Response {
    let listening: Vec<String> =
        state::listeners(&broker).into_iter().map(|listener| listener.protocol).collect();
    let name = |protocol: &str| match protocol.trim().to_lowercase().as_str() {
        "amqp091" | "amqp0.9.1" | "amqp-0-9-1" | "amqp" => "amqp".to_owned(),
        "amqps" | "amqp/ssl" => "amqp/ssl".to_owned(),
        other => other.to_owned(),
    };
    let wanted: Vec<String> = wanted.split(',').map(name).collect();
    let missing: Vec<&String> = wanted.iter().filter(|protocol| !listening.contains(protocol)).collect();
    if missing.is_empty() {
        let protocols = wanted.join(",");
        return Json(json!({"status": "ok", "protocol": protocols})).into_response();
    }
    let body = json!({"status": "failed", "reason": "No active listener", "missing": missing,
                      "protocols": listening});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

fn healthy() -> Response {
    Json(HealthCheck::ok()).into_response()
}

fn failed(check: HealthCheck) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(check)).into_response()
}

const DAY_S: i64 = 86_400;
