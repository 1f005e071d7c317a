//! The audit log.

use axum::Json;
use axum::extract::Query;
use leveret_protocol::admin::audit::AuditPage;

use super::*;
use crate::audit::AuditQuery;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/audit", Who::Administrator, "Who changed what, and from where; the latest first.", audit)
            .query(&[
                ("cursor", "Where the last answer said that the next page begins."),
                ("limit", "Entries in the answer, 100 if not given, 1000 at most."),
                ("user", "Only changes by this user."),
                ("kind", "Only changes of this: queue, exchange, user, policy and so on."),
                ("name", "Only changes of what has this text in its name, in any case."),
                ("vhost", "Only changes in this vhost."),
                ("since", "Only changes since this time, in milliseconds since 1970."),
            ])
            .gives::<AuditPage>(),
    ]
}

async fn audit(
    State(broker): State<Arc<Broker>>,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
    let text = |name: &str| query.get(name).filter(|text| !text.is_empty()).cloned();
    let number = |name: &str| -> Result<Option<u64>, ApiError> {
        let parsed = text(name).map(|text| text.parse());
        parsed.transpose().map_err(|_| ApiError::bad_request(format!("{name} is no number")))
    };
    let query = AuditQuery {
        before: number("cursor")?,
        limit: usize::try_from(number("limit")?.unwrap_or(100)).unwrap_or(usize::MAX),
        user: text("user"),
        kind: text("kind"),
        name: text("name"),
        vhost: text("vhost"),
        since: number("since")?,
    };
    answer(broker, move |broker| Ok(Json(broker.audit().find(&query)).into_response())).await
}
