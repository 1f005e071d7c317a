//! Health checks: 200 when all is well, 503 with the reason when it is not.

use axum::Json;
use leveret_protocol::admin::HealthCheck;

use super::*;
use crate::admin::state;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/health/checks/alarms", Who::Management, "Fails while memory or disk is short.", alarms)
            .gives::<HealthCheck>(),
        get(
            "/api/health/checks/local-alarms",
            Who::Management,
            "Fails while memory or disk is short.",
            alarms,
        )
        .gives::<HealthCheck>(),
        get(
            "/api/health/checks/is-in-service",
            Who::Anyone,
            "Fails while the broker starts or stops. For load balancers: without a login.",
            is_in_service,
        )
        .gives::<HealthCheck>(),
    ]
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

fn healthy() -> Response {
    Json(HealthCheck::ok()).into_response()
}

fn failed(check: HealthCheck) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(check)).into_response()
}
