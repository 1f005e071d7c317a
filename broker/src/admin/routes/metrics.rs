//! What Prometheus collects.

use super::*;
use crate::admin::{metrics, state};

pub(super) fn routes() -> Vec<Route> {
    vec![get("/metrics", Who::Anyone, "Figures for Prometheus: totals, which name nobody.", totals)]
}

async fn totals(State(broker): State<Arc<Broker>>) -> Answer {
    answer(broker, |broker| {
        let text = metrics::render(&state::metrics(broker));
        Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    })
    .await
}
