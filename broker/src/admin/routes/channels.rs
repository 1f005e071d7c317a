//! Open channels.

use leveret_protocol::admin::Channel;

use super::*;
use crate::admin::state;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/channels", Who::Management, "Open channels.", list).query(PAGED).gives::<Vec<Channel>>(),
        get("/api/channels/{channel}", Who::Management, "One channel: one's own, or for monitors any.", one)
            .query(ONE)
            .gives::<Channel>(),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let mut channels = state::channels(broker);
        channels.retain(|channel| visitor.sees_user(&channel.user));
        query.respond(channels)
    })
    .await
}

async fn one(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let found = state::channels(broker).into_iter().find(|channel| channel.name == name);
        let found = found.ok_or_else(|| ApiError::not_found("Not Found"))?;
        if !visitor.sees_user(&found.user) {
            return Err(ApiError::not_authorised("User not authorised to access object"));
        }
        query.respond_one(&found)
    })
    .await
}
