//! The table of paths, and what each answers.
//!
//! Paths, methods, statuses and permissions are RabbitMQ's. Names in paths are percent-encoded, so that the vhost `/` is
//! `%2F`; the default exchange is `amq.default`.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get};
use leveret_core::auth::{Access, Resource};
use leveret_protocol::admin::{
    ChurnRates, HealthCheck, MessageStats, ObjectTotals, Overview, QueueTotals, Rate,
};
use serde::de::DeserializeOwned;
use tracing::error;

use super::error::ApiError;
use super::list::{Item, ListQuery};
use super::login::Visitor;
use super::{AdminState, metrics, views};

type Answer = Result<Response, ApiError>;

/// Everything that the admin listener answers.
pub fn router<S: AdminState>(state: Arc<S>, body_bytes_max: usize) -> Router {
    let mut router = Router::new();
    for (path, methods) in table::<S>() {
        // RabbitMQ answers with a slash at the end, too.
        router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
    }
    router
        .fallback(|| async { ApiError::not_found("Not Found") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(middleware::from_fn(move |request, next| envelope(request, next, body_bytes_max)))
        .with_state(state)
}

fn table<S: AdminState>() -> Vec<(&'static str, MethodRouter<Arc<S>>)> {
    vec![
        ("/api/overview", get(overview::<S>)),
        ("/api/whoami", get(whoami)),
        ("/api/nodes", get(nodes::<S>)),
        ("/api/vhosts", get(vhosts::<S>)),
        ("/api/users", get(users::<S>)),
        ("/api/permissions", get(permissions::<S>)),
        ("/api/topic-permissions", get(topic_permissions::<S>)),
        ("/api/connections", get(connections::<S>)),
        ("/api/channels", get(channels::<S>)),
        ("/api/consumers", in_every_vhost(S::consumers)),
        ("/api/consumers/{vhost}", in_one_vhost(S::consumers)),
        ("/api/exchanges", in_every_vhost(S::exchanges)),
        ("/api/exchanges/{vhost}", in_one_vhost(S::exchanges)),
        ("/api/exchanges/{vhost}/{exchange}", get(exchange::<S>)),
        ("/api/bindings", in_every_vhost(S::bindings)),
        ("/api/bindings/{vhost}", in_one_vhost(S::bindings)),
        ("/api/queues", in_every_vhost(S::queues)),
        ("/api/queues/{vhost}", in_one_vhost(S::queues)),
        ("/api/queues/{vhost}/{queue}", get(queue::<S>)),
        ("/api/queues/{vhost}/{queue}/contents", delete(purge::<S>)),
        ("/api/health/checks/alarms", get(check_alarms::<S>)),
        ("/api/health/checks/local-alarms", get(check_alarms::<S>)),
        ("/api/health/checks/is-in-service", get(check_in_service::<S>)),
        ("/metrics", get(prometheus::<S>)),
    ]
}

// ---- the broker -----------------------------------------------------------------------------------------------

async fn overview<S: AdminState>(State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(state, move |state| {
        let overview = state.overview();
        let overview = if visitor.sees_everything() { overview } else { narrowed(overview, state, &visitor) };
        query.respond_one(&overview)
    })
    .await
}

/// The overview for somebody who does not see the whole broker: what they see is counted for them.
fn narrowed<S: AdminState>(overview: Overview, state: &S, visitor: &Visitor) -> Overview {
    let queues = visible(visitor, state.queues(None));
    let mut totals = QueueTotals::default();
    for queue in &queues {
        let add = |sum: Rate, rate: Rate| Rate::new(sum.per_second() + rate.per_second());
        let of = &queue.totals;
        totals.messages += of.messages;
        totals.messages_ready += of.messages_ready;
        totals.messages_unacknowledged += of.messages_unacknowledged;
        totals.messages_details = add(totals.messages_details, of.messages_details);
        totals.messages_ready_details = add(totals.messages_ready_details, of.messages_ready_details);
        totals.messages_unacknowledged_details =
            add(totals.messages_unacknowledged_details, of.messages_unacknowledged_details);
    }
    let own = |users: usize| users as u64;
    Overview {
        queue_totals: totals,
        object_totals: ObjectTotals {
            queues: own(queues.len()),
            exchanges: own(visible(visitor, state.exchanges(None)).len()),
            consumers: own(visible(visitor, state.consumers(None)).len()),
            connections: own(state.connections().iter().filter(|it| visitor.sees_user(&it.user)).count()),
            channels: own(state.channels().iter().filter(|it| visitor.sees_user(&it.user)).count()),
        },
        message_stats: MessageStats::default(),
        churn_rates: ChurnRates::default(),
        listeners: Vec::new(),
        ..overview
    }
}

async fn whoami(visitor: Visitor) -> Response {
    Json(views::whoami(visitor.user())).into_response()
}

async fn nodes<S: AdminState>(State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery) -> Answer {
    visitor.must_monitor()?;
    answer(state, move |state| query.respond(state.nodes())).await
}

async fn check_alarms<S: AdminState>(State(state): State<Arc<S>>, _visitor: Visitor) -> Answer {
    answer(state, |state| {
        let alarms = state.alarms();
        if alarms.is_empty() {
            return Ok(Json(HealthCheck::ok()).into_response());
        }
        let failed =
            HealthCheck { alarms, ..HealthCheck::failed("There are alarms in effect in the cluster") };
        Ok((StatusCode::SERVICE_UNAVAILABLE, Json(failed)).into_response())
    })
    .await
}

/// Needs no login: load balancers ask it.
async fn check_in_service<S: AdminState>(State(state): State<Arc<S>>) -> Response {
    if state.is_in_service() {
        return Json(HealthCheck::ok()).into_response();
    }
    let failed = HealthCheck::failed("this node is not currently available to serve");
    (StatusCode::SERVICE_UNAVAILABLE, Json(failed)).into_response()
}

/// Needs no login, as RabbitMQ's exporter: totals name nobody.
async fn prometheus<S: AdminState>(State(state): State<Arc<S>>) -> Answer {
    answer(state, |state| {
        let text = metrics::render(&state.metrics());
        Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    })
    .await
}

// ---- users and vhosts -----------------------------------------------------------------------------------------

async fn vhosts<S: AdminState>(State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(state, move |state| {
        let mut vhosts = state.vhosts();
        vhosts.retain(|vhost| visitor.sees_vhost(&vhost.name));
        query.respond(vhosts)
    })
    .await
}

async fn users<S: AdminState>(State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery) -> Answer {
    visitor.must_administrate()?;
    answer(state, move |state| query.respond(state.users().iter().map(|user| views::user(user)).collect()))
        .await
}

async fn permissions<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    query: ListQuery,
) -> Answer {
    visitor.must_administrate()?;
    answer(state, move |state| {
        query.respond(state.users().iter().flat_map(|user| views::permissions(user)).collect())
    })
    .await
}

async fn topic_permissions<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    query: ListQuery,
) -> Answer {
    visitor.must_administrate()?;
    answer(state, move |state| {
        query.respond(state.users().iter().flat_map(|user| views::topic_permissions(user)).collect())
    })
    .await
}

// ---- connections ----------------------------------------------------------------------------------------------

async fn connections<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    query: ListQuery,
) -> Answer {
    answer(state, move |state| {
        let mut connections = state.connections();
        connections.retain(|connection| visitor.sees_user(&connection.user));
        query.respond(connections)
    })
    .await
}

async fn channels<S: AdminState>(State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(state, move |state| {
        let mut channels = state.channels();
        channels.retain(|channel| visitor.sees_user(&channel.user));
        query.respond(channels)
    })
    .await
}

// ---- what is in vhosts ----------------------------------------------------------------------------------------

/// The list of what is in all vhosts that the visitor sees.
fn in_every_vhost<S: AdminState, T: Item + 'static>(
    list: fn(&S, Option<&str>) -> Vec<T>,
) -> MethodRouter<Arc<S>> {
    get(move |State(state): State<Arc<S>>, visitor: Visitor, query: ListQuery| {
        answer(state, move |state| query.respond(visible(&visitor, list(state, None))))
    })
}

/// The list of what is in the vhost of the path.
fn in_one_vhost<S: AdminState, T: Item + 'static>(
    list: fn(&S, Option<&str>) -> Vec<T>,
) -> MethodRouter<Arc<S>> {
    get(
        move |State(state): State<Arc<S>>,
              visitor: Visitor,
              InPath(vhost): InPath<String>,
              query: ListQuery| {
            answer(state, move |state| {
                visitor.must_see_vhost(state, &vhost)?;
                query.respond(list(state, Some(&vhost)))
            })
        },
    )
}

fn visible<T: Item>(visitor: &Visitor, mut items: Vec<T>) -> Vec<T> {
    items.retain(|item| visitor.sees_vhost(item.vhost()));
    items
}

async fn exchange<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(state, move |state| {
        visitor.must_see_vhost(state, &vhost)?;
        let name = if exchange == "amq.default" { "" } else { &exchange };
        let found = state
            .exchange(&vhost, name)
            .ok_or_else(|| ApiError::not_found(format!("no exchange '{exchange}' in vhost '{vhost}'")))?;
        query.respond_one(&found)
    })
    .await
}

async fn queue<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(state, move |state| {
        visitor.must_see_vhost(state, &vhost)?;
        let found = state
            .queue(&vhost, &queue)
            .ok_or_else(|| ApiError::not_found(format!("no queue '{queue}' in vhost '{vhost}'")))?;
        query.respond_one(&found)
    })
    .await
}

/// Needs what `queue.purge` needs: the right to read from the queue. Tags do not give it.
async fn purge<S: AdminState>(
    State(state): State<Arc<S>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    visitor.must_see_vhost(&*state, &vhost)?;
    visitor.user().check(&vhost, Resource::Queue(&queue), Access::Read)?;
    state.purge(&vhost, &queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

// ---- around all of them ---------------------------------------------------------------------------------------

/// What is in the path, with failures as everywhere else.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(names)| InPath(names)).map_err(|_| ApiError::bad_request("the path is malformed"))
    }
}

/// Answers on a thread that may take its time: a list of 100,000 queues must not hold up those who carry messages.
async fn answer<S: AdminState>(state: Arc<S>, work: impl FnOnce(&S) -> Answer + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(move || work(&state)).await {
        Ok(answer) => answer,
        Err(error) => {
            error!(%error, "admin request failed");
            Err(ApiError::internal("the request failed; see the broker's log"))
        }
    }
}

/// Refuses what is too large before it is read, and keeps answers out of caches.
async fn envelope(request: Request, next: Next, body_bytes_max: usize) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let too_large = announced
        .is_some_and(|length| length.parse::<u64>().map_or(true, |length| length > body_bytes_max as u64));
    let mut response = if too_large {
        ApiError::bad_request("Exceeded HTTP request body size limit").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
