//! Alarms with their cause, and who fills the broker.

use axum::Json;
use leveret_protocol::admin::events::AlarmReport;

use super::*;
use crate::admin::live::alarms::report;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/alarms", Who::Monitor, "What runs short, why, and who fills it.", alarms)
            .gives::<AlarmReport>(),
    ]
}

async fn alarms(State(broker): State<Arc<Broker>>) -> Answer {
    broker.live().await_flows().await;
    answer(broker, |broker| Ok(Json(report(broker, &broker.live().flows())).into_response())).await
}
