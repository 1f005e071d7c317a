//! What waits in delayed exchanges: looked at, dropped, sent on at once.
//!
//! Looking needs the right to read from the exchange, sending on the right to write to it, dropping the right to
//! configure it.

use std::collections::HashMap;

use axum::Json;
use leveret_core::auth::{Access, Resource};
use leveret_core::delayed::{Delayed, DelayedKey};
use leveret_core::session::host::Ticket;
use leveret_protocol::admin::delayed::{DelayedMessage, DelayedPage, DelayedPurged};
use leveret_protocol::admin::requests::PayloadEncoding;

use super::*;
use crate::admin::message;
use crate::delayed::{DelayedExchange, StoreGone};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/exchanges/{vhost}/{exchange}/delayed",
            Who::UsesVhost,
            "What waits in a delayed exchange, the next due first. Needs the right to read from it.",
            list,
        )
        .query(&[
            ("cursor", "The `next` of the page before; the first page without it."),
            ("limit", "Messages on a page, 100 if not given, 500 at most."),
            ("truncate", "The most bytes shown of each payload, 4096 if not given."),
        ])
        .gives::<DelayedPage>(),
        delete(
            "/api/exchanges/{vhost}/{exchange}/delayed",
            Who::UsesVhost,
            "Drops all that waits in a delayed exchange. Needs the right to configure it.",
            purge,
        )
        .gives::<DelayedPurged>(),
        delete(
            "/api/exchanges/{vhost}/{exchange}/delayed/{id}",
            Who::UsesVhost,
            "Drops one message that waits. Needs the right to configure the exchange.",
            cancel,
        ),
        post(
            "/api/exchanges/{vhost}/{exchange}/delayed/{id}/release",
            Who::UsesVhost,
            "Sends one message on now, and answers once it is safe in its queues. Needs the right to write to the exchange.",
            release,
        ),
    ]
}

async fn list(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let found = find(&broker, &visitor, &vhost, &exchange, Access::Read)?;
    let number = |name: &str, default: usize| match query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| ApiError::bad_request(format!("{name} is not a number"))),
    };
    let (limit, truncate) = (number("limit", 100)?.clamp(1, LIMIT_MAX), number("truncate", 4096)?);
    let from = match query.get("cursor") {
        None => DelayedKey::FIRST,
        Some(cursor) => parse_id(cursor).ok_or_else(|| ApiError::bad_request("the cursor is malformed"))?,
    };
    answer(broker, move |_| {
        let (messages, next) = found.list(from, limit)?;
        let items = messages.iter().map(|delayed| view(delayed, truncate)).collect();
        let page = DelayedPage { items, next: next.map(id_of), total: found.held().messages };
        Ok(Json(page).into_response())
    })
    .await
}

async fn purge(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
) -> Answer {
    let (purged, ticket) = find(&broker, &visitor, &vhost, &exchange, Access::Configure)?.purge();
    broker.await_durable(ticket).await?;
    Ok(Json(DelayedPurged { purged }).into_response())
}

async fn cancel(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange, id)): InPath<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    let found = find(&broker, &visitor, &vhost, &exchange, Access::Configure)?;
    one(&broker, &id, move |key| found.cancel(key)).await
}

async fn release(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange, id)): InPath<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    let found = find(&broker, &visitor, &vhost, &exchange, Access::Write)?;
    one(&broker, &id, move |key| found.release(key)).await
}

/// Does something with one message, and waits until that is safe.
async fn one(
    broker: &Arc<Broker>,
    id: &str,
    work: impl FnOnce(DelayedKey) -> Result<Option<Ticket>, StoreGone> + Send + 'static,
) -> Result<StatusCode, ApiError> {
    let not_found = || ApiError::not_found(format!("no message '{id}' waits there"));
    let key = parse_id(id).ok_or_else(not_found)?;
    // Reading it may take the disk's time.
    let done = tokio::task::spawn_blocking(move || work(key)).await;
    let done = done.map_err(|_| ApiError::internal("the request failed; see the broker's log"))?;
    let ticket = done?.ok_or_else(not_found)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The delayed exchange of this name, when the visitor has the right.
fn find(
    broker: &Arc<Broker>,
    visitor: &Visitor,
    vhost: &str,
    exchange: &str,
    access: Access,
) -> Result<Arc<DelayedExchange>, ApiError> {
    visitor.user().check(vhost, Resource::Exchange(exchange), access)?;
    let there = broker.vhost(vhost).ok_or_else(|| ApiError::not_found("Object Not Found"))?;
    let uid = there.topology().exchange(exchange).map(|definition| definition.uid);
    let uid =
        uid.ok_or_else(|| ApiError::not_found(format!("no exchange '{exchange}' in vhost '{vhost}'")))?;
    let is_none =
        || ApiError::not_found(format!("exchange '{exchange}' in vhost '{vhost}' holds nothing back"));
    broker.delayed_exchange(uid).ok_or_else(is_none)
}

fn view(delayed: &Delayed, truncate: usize) -> DelayedMessage {
    let Delayed { key, message } = delayed;
    let shown = truncate.min(message.body().len());
    let (payload, payload_encoding) = message::encode(&message.body()[..shown], PayloadEncoding::Auto);
    DelayedMessage {
        id: id_of(*key),
        exchange: message.exchange().to_owned(),
        routing_key: message.routing_key().to_owned(),
        due_at: key.due_ms,
        properties: message::properties(message),
        payload_bytes: message.body().len() as u64,
        payload,
        payload_encoding: payload_encoding.to_owned(),
        truncated: shown < message.body().len(),
    }
}

/// What a message is called in paths, and where a page begins.
fn id_of(key: DelayedKey) -> String {
    format!("{}-{}", key.due_ms, key.id)
}

fn parse_id(id: &str) -> Option<DelayedKey> {
    let (due_ms, id) = id.split_once('-')?;
    Some(DelayedKey { due_ms: due_ms.parse().ok()?, id: id.parse().ok()? })
}

impl From<StoreGone> for ApiError {
    fn from(gone: StoreGone) -> ApiError {
        ApiError::unavailable(gone.to_string())
    }
}

/// Messages on a page.
const LIMIT_MAX: usize = 500;
