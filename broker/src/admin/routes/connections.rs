//! Open connections.

use axum::http::HeaderMap;
use leveret_core::queue::ConnectionId;
use leveret_protocol::admin::{Channel, Connection};
use serde_json::{Value as Json, json};

use super::*;
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::list::Extended;
use crate::admin::state;
use crate::history::CONNECTION;
use crate::outbox::Notice;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/connections", Who::Management, "Open connections.", list)
            .query(PAGED_WITH_AGES)
            .lists::<Connection>(),
        get(
            "/api/connections/{connection}",
            Who::Management,
            "One connection: one's own, or for monitors any.",
            one,
        )
        .query(WITH_AGES)
        .gives::<Connection>(),
        delete(
            "/api/connections/{connection}",
            Who::Management,
            "Closes a connection: one's own, or for administrators any. The header `X-Reason` tells the client why.",
            close,
        ),
        get(
            "/api/connections/{connection}/channels",
            Who::Management,
            "Open channels of a connection.",
            channels,
        )
        .query(LIST)
        .gives::<Vec<Channel>>(),
        get("/api/connections/username/{user}", Who::Management, "Open connections of a user.", of_user)
            .query(PAGED)
            .lists::<Connection>(),
        delete(
            "/api/connections/username/{user}",
            Who::Management,
            "Closes all connections of a user: one's own, or for administrators anybody's.",
            close_of_user,
        ),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, ages: Ages, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let mut connections = state::identified_connections(broker);
        connections.retain(|(_, connection)| visitor.sees_user(&connection.user));
        if !ages.any_in(&query, connections.len()) {
            return query.respond(connections.into_iter().map(|(_, connection)| connection).collect());
        }
        query.respond_lazily(
            connections,
            |(_, connection)| (connection.vhost.as_str(), connection.name.as_str()),
            |_, _| None,
            |(id, connection)| {
                let json = with_past(broker, *id, connection, &ages);
                Some(Extended { json, item: connection.clone() })
            },
        )
    })
    .await
}

/// A connection with the samples that were asked for.
fn with_past(broker: &Broker, id: ConnectionId, connection: &Connection, ages: &Ages) -> Json {
    let mut shown = json!(connection);
    add_samples(&mut shown, BYTES, broker.history().connection(id).as_ref(), ages.data_rates);
    shown
}

async fn one(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let (id, found) = find(broker, &visitor, &name)?;
        if !ages.any() {
            return query.respond_one(&found);
        }
        query.respond_one(&with_past(broker, id, &found, &ages))
    })
    .await
}

/// Which of a connection's figures stand behind which fields.
const BYTES: &[Field] = &[("recv_oct", &[CONNECTION.read_bytes]), ("send_oct", &[CONNECTION.written_bytes])];

async fn channels(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        find(broker, &visitor, &name)?;
        let mut channels = state::channels(broker);
        channels.retain(|channel| channel.connection_details.name == name);
        query.respond(channels)
    })
    .await
}

async fn close(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let (id, connection) = find(&broker, &visitor, &name)?;
    must_own(&visitor, &connection.user)?;
    broker.connections().notice(id, Notice::Close(reason(&headers)));
    Ok(StatusCode::NO_CONTENT)
}

async fn of_user(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(user): InPath<String>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut connections = state::connections(broker);
        connections.retain(|connection| connection.user == user && visitor.sees_user(&connection.user));
        query.respond(connections)
    })
    .await
}

async fn close_of_user(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(user): InPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    must_own(&visitor, &user)?;
    broker.connections().notice_where(|connection| connection.user == user, &Notice::Close(reason(&headers)));
    Ok(StatusCode::NO_CONTENT)
}

/// What the client is told, cut to what AMQP carries.
pub(super) fn reason(headers: &HeaderMap) -> String {
    let given = headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    given.unwrap_or("Closed via management plugin").chars().take(200).collect()
}

pub(super) fn find(
    broker: &Broker,
    visitor: &Visitor,
    name: &str,
) -> Result<(ConnectionId, Connection), ApiError> {
    let found = state::connection(broker, name).ok_or_else(|| ApiError::not_found("Not Found"))?;
    if !visitor.sees_user(&found.1.user) {
        return Err(ApiError::not_authorised("User not authorised to access object"));
    }
    Ok(found)
}

/// Only one's own, or for administrators anybody's.
pub(super) fn must_own(visitor: &Visitor, user: &str) -> Result<(), ApiError> {
    if visitor.user().tags().is_administrator() || visitor.user().name() == user {
        return Ok(());
    }
    Err(ApiError::not_authorised("User not authorised to access object"))
}
