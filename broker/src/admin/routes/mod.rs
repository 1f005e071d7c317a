//! What the admin listener answers: one table of routes, joined from a file for each family of objects.
//!
//! Paths, methods, statuses and permissions are RabbitMQ's. Names in paths are percent-encoded, so that the vhost `/` is
//! `%2F`; the default exchange is `amq.default`.
//!
//! A family is a file with a function `routes` that gives its part of the table, and a line in [`table`]. Names in braces
//! are the same in all families: `{vhost}` is looked at by those who decide who may (see [`Who`]).

mod alarms;
mod audit;
mod bindings;
mod channels;
mod cluster;
mod connections;
mod consumers;
mod definitions;
mod delayed;
mod events;
mod exchanges;
mod health;
mod limits;
mod logins;
mod messages;
mod metrics;
mod nodes;
mod operations;
mod overview;
pub(in crate::admin) mod parameters;
mod permissions;
pub(in crate::admin) mod policies;
mod queues;
mod reference;
mod route;
mod route_test;
#[cfg(test)]
mod tests;
mod topology;
mod users;
mod vhosts;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use leveret_core::session::host::Ticket;
use serde::de::DeserializeOwned;
use tracing::error;

pub(super) use self::overview::narrowed as narrowed_overview;
pub use self::route::{Route, Who};
use self::route::{delete, get, post, put};
use super::error::ApiError;
use super::list::{Item, ListQuery};
use super::login::Visitor;
use crate::broker::Broker;

/// What a handler comes to.
type Answer = Result<Response, ApiError>;

/// Every route there is.
pub fn table() -> Vec<Route> {
    let families = [
        overview::routes,
        nodes::routes,
        cluster::routes,
        logins::routes,
        vhosts::routes,
        users::routes,
        permissions::routes,
        limits::routes,
        policies::routes,
        parameters::routes,
        connections::routes,
        channels::routes,
        consumers::routes,
        exchanges::routes,
        delayed::routes,
        bindings::routes,
        queues::routes,
        definitions::routes,
        messages::routes,
        operations::routes,
        health::routes,
        metrics::routes,
        reference::routes,
        events::routes,
        topology::routes,
        alarms::routes,
        audit::routes,
        route_test::routes,
    ];
    families.into_iter().flat_map(|family: fn() -> Vec<Route>| family()).collect()
}

/// Everything that the admin listener answers.
pub fn router(broker: Arc<Broker>, body_bytes_max: usize) -> Router {
    let mut router = Router::new();
    for route in table() {
        let path = route.path;
        let handler = route.guarded(&broker);
        router = router.route(path, handler.clone());
        // RabbitMQ answers with a slash at the end, too.
        if !path.ends_with('/') {
            router = router.route(&format!("{path}/"), handler);
        }
    }
    router
        .fallback(|| async { ApiError::not_found("Not Found") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn(move |request, next| envelope(request, next, body_bytes_max)))
        .with_state(broker)
}

/// What is in the path, with failures as everywhere else.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(names)| InPath(names)).map_err(|_| ApiError::bad_request("the path is malformed"))
    }
}

/// The JSON object in the body. As with RabbitMQ its content type does not matter, and an empty body is an empty object.
struct InBody<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<InBody<T>, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|_| too_large())?;
        let json: &[u8] = match bytes.trim_ascii() {
            b"" | b"null" | b"undefined" => b"{}",
            json => json,
        };
        if json.first() != Some(&b'{') {
            return Err(ApiError::bad_request("not_json"));
        }
        match serde_json::from_slice(json) {
            Ok(content) => Ok(InBody(content)),
            Err(error) if error.is_data() => Err(ApiError::bad_request(error.to_string())),
            Err(_) => Err(ApiError::bad_request("not_json")),
        }
    }
}

/// Under which conditions something is deleted.
struct Conditions {
    if_unused: bool,
    if_empty: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Conditions, ApiError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
        let is_true = |name: &str| query.get(name).is_some_and(|value| value == "true");
        Ok(Conditions { if_unused: is_true("if-unused"), if_empty: is_true("if-empty") })
    }
}

/// Answers on a thread that may take its time: a list of 100,000 queues must not hold up those who carry messages.
async fn answer(broker: Arc<Broker>, work: impl FnOnce(&Arc<Broker>) -> Answer + Send + 'static) -> Answer {
    take_time(broker, work).await
}

/// Works on a thread that may take its time.
async fn take_time<T: Send + 'static>(
    broker: Arc<Broker>,
    work: impl FnOnce(&Arc<Broker>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(move || work(&broker)).await {
        Ok(done) => done,
        Err(error) => {
            error!(%error, "admin request failed");
            Err(ApiError::internal("the request failed; see the broker's log"))
        }
    }
}

/// Makes a change on a thread that may take its time, and answers with its status once it is durable.
async fn change(
    broker: Arc<Broker>,
    work: impl FnOnce(&Arc<Broker>) -> Result<(StatusCode, Ticket), ApiError> + Send + 'static,
) -> Result<StatusCode, ApiError> {
    let changed = tokio::task::spawn_blocking({
        let broker = broker.clone();
        move || work(&broker)
    });
    let changed = changed.await.map_err(|error| {
        error!(%error, "admin request failed");
        ApiError::internal("the request failed; see the broker's log")
    })?;
    let (status, ticket) = changed?;
    broker.await_durable(ticket).await?;
    Ok(status)
}

/// 201 for what was made, 204 for what was there.
fn created(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }
}

/// Those of a list that the visitor may see.
fn visible<T: Item>(visitor: &Visitor, mut items: Vec<T>) -> Vec<T> {
    items.retain(|item| visitor.sees_vhost(item.vhost()));
    items
}

/// The exchange that a path means.
fn exchange_name(in_path: &str) -> &str {
    if in_path == "amq.default" { "" } else { in_path }
}

fn too_large() -> ApiError {
    ApiError::bad_request("Exceeded HTTP request body size limit")
}

/// Refuses what is too large before it is read, and keeps answers out of caches.
async fn envelope(request: Request, next: Next, body_bytes_max: usize) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let is_too_large = announced
        .is_some_and(|length| length.parse::<u64>().map_or(true, |length| length > body_bytes_max as u64));
    let mut response = if is_too_large { too_large().into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The list of what is in all vhosts that the visitor sees.
macro_rules! in_every_vhost {
    ($list:path) => {
        |State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery| {
            answer(broker, move |broker| query.respond(visible(&visitor, $list(broker, None))))
        }
    };
}

/// The list of what is in the vhost of the path.
macro_rules! in_one_vhost {
    ($list:path) => {
        |State(broker): State<Arc<Broker>>, InPath(vhost): InPath<String>, query: ListQuery| {
            answer(broker, move |broker| query.respond($list(broker, Some(&vhost))))
        }
    };
}

use {in_every_vhost, in_one_vhost};

/// What every list understands.
const LIST: &[(&str, &str)] = &[
    ("name", "Only items whose name contains this text, in any case."),
    ("use_regex", "`true` takes `name` for a regular expression."),
    ("sort", "The field to order by; fields of fields with dots between."),
    ("sort_reverse", "`true` orders the other way round."),
    ("columns", "Only these fields, with commas between."),
];

/// The list of nodes.
const LIST_WITH_AGES: &[(&str, &str)] = &[
    ("name", "Only items whose name contains this text, in any case."),
    ("use_regex", "`true` takes `name` for a regular expression."),
    ("sort", "The field to order by; fields of fields with dots between."),
    ("sort_reverse", "`true` orders the other way round."),
    ("columns", "Only these fields, with commas between."),
    ("node_stats_age", "How far back samples of what a node uses go, in seconds."),
    ("node_stats_incr", "How far those samples are apart, in seconds."),
];

/// What lists understand that come in pages.
const PAGED: &[(&str, &str)] = &[
    ("page", "The page to answer with, from 1; without it the answer is a plain list."),
    ("page_size", "Items on a page, 100 if not given, 500 at most."),
    ("name", "Only items whose name contains this text, in any case."),
    ("use_regex", "`true` takes `name` for a regular expression."),
    ("sort", "The field to order by; fields of fields with dots between."),
    ("sort_reverse", "`true` orders the other way round."),
    ("columns", "Only these fields, with commas between."),
    ("disable_stats", "`true` leaves figures out."),
];

/// What lists in pages understand whose items have a past. Samples are in pages, and in lists of 500 at most.
const PAGED_WITH_AGES: &[(&str, &str)] = &[
    ("page", "The page to answer with, from 1; without it the answer is a plain list."),
    ("page_size", "Items on a page, 100 if not given, 500 at most."),
    ("name", "Only items whose name contains this text, in any case."),
    ("use_regex", "`true` takes `name` for a regular expression."),
    ("sort", "The field to order by; fields of fields with dots between."),
    ("sort_reverse", "`true` orders the other way round."),
    ("columns", "Only these fields, with commas between."),
    ("disable_stats", "`true` leaves figures out."),
    ("enable_queue_totals", "`true` leaves how full queues are nevertheless."),
    (
        "lengths_age",
        "How far back samples of lengths go, in seconds. Only in pages and in lists of up to 500.",
    ),
    ("lengths_incr", "How far samples of lengths are apart, in seconds."),
    ("msg_rates_age", "How far back samples of what happens to messages go, in seconds."),
    ("msg_rates_incr", "How far those samples are apart, in seconds."),
    ("data_rates_age", "How far back samples of bytes sent and received go, in seconds."),
    ("data_rates_incr", "How far those samples are apart, in seconds."),
];

/// What single objects with a past understand.
const WITH_AGES: &[(&str, &str)] = &[
    ("columns", "Only these fields, with commas between."),
    ("lengths_age", "How far back samples of lengths go, in seconds."),
    ("lengths_incr", "How far samples of lengths are apart, in seconds."),
    ("msg_rates_age", "How far back samples of what happens to messages go, in seconds."),
    ("msg_rates_incr", "How far those samples are apart, in seconds."),
    ("data_rates_age", "How far back samples of bytes sent and received go, in seconds."),
    ("data_rates_incr", "How far those samples are apart, in seconds."),
    ("node_stats_age", "How far back samples of what a node uses go, in seconds."),
    ("node_stats_incr", "How far those samples are apart, in seconds."),
];

/// What single objects understand.
const ONE: &[(&str, &str)] = &[("columns", "Only these fields, with commas between.")];
