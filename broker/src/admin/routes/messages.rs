//! Messages in queues: looked at, and held back.

use std::time::{Duration, Instant};

use leveret_core::auth::{Access, Resource};
use leveret_protocol::admin::messages::{Holder, MessageFilter, MessagePage, MessageState, QueuedMessage};
use leveret_protocol::admin::requests::PayloadEncoding;
use serde::Deserialize;

use super::*;
use crate::admin::{message, state};
use crate::clock;
use crate::message_filter::{Filter, deaths};
use crate::operations::message_id;
use crate::queue_host::{Look, Place, QueueCell, Seen, StoreFailed};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/queues/{vhost}/{queue}/messages",
            Who::UsesVhost,
            "Messages of a queue, looked at without being touched. Needs the right to read from it.",
            messages,
        )
        .query(PEEK)
        .gives::<MessagePage>(),
        get(
            "/api/queues/{vhost}/{queue}/unacked",
            Who::UsesVhost,
            "Messages that were handed out and not acknowledged, and who holds them. Needs the right to read from it.",
            unacked,
        )
        .query(PEEK)
        .gives::<MessagePage>(),
        put(
            "/api/queues/{vhost}/{queue}/pause",
            Who::UsesVhost,
            "Stops deliveries from a queue, over restarts too; it goes on to take messages in. Needs the right to \
             configure it.",
            pause,
        ),
        put(
            "/api/queues/{vhost}/{queue}/resume",
            Who::UsesVhost,
            "Ends a pause. Needs the right to configure the queue.",
            resume,
        ),
    ]
}

const PEEK: &[(&str, &str)] = &[
    ("cursor", "Where to go on: `next` of the page before."),
    ("limit", "Messages on a page, 50 if not given, 500 at most."),
    (
        "state",
        "`ready`, which are those that nobody holds and that wait for nothing, `unacked`, or `delayed`, which were returned \
         and wait for their next try.",
    ),
    ("payload_max", "Bytes of each body, 4096 if not given."),
    ("filter", "Only messages that fit: a `MessageFilter` as JSON."),
];

/// What a page shall show.
#[derive(Deserialize)]
struct PeekQuery {
    cursor: Option<String>,
    limit: Option<usize>,
    state: Option<MessageState>,
    payload_max: Option<usize>,
    filter: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for PeekQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PeekQuery, ApiError> {
        let query = Query::<PeekQuery>::from_request_parts(parts, state).await;
        query.map(|Query(query)| query).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

async fn messages(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    query: PeekQuery,
) -> Answer {
    let wanted = query.state.unwrap_or_default();
    peek(broker, visitor, vhost, queue, query, wanted).await
}

async fn unacked(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    query: PeekQuery,
) -> Answer {
    peek(broker, visitor, vhost, queue, query, MessageState::Unacked).await
}

async fn peek(
    broker: Arc<Broker>,
    visitor: Visitor,
    vhost: String,
    queue: String,
    query: PeekQuery,
    wanted: MessageState,
) -> Answer {
    visitor.user().check(&vhost, Resource::Queue(&queue), Access::Read)?;
    // A look at what is on disk waits for it.
    answer(broker, move |broker| {
        let cell = cell(broker, &vhost, &queue)?;
        let filter: MessageFilter = match query.filter.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => {
                serde_json::from_str(text).map_err(|error| ApiError::bad_request(error.to_string()))?
            }
            None => MessageFilter::default(),
        };
        let filter = Filter::new(&filter).map_err(ApiError::bad_request)?;
        let peek = Peek {
            broker,
            cell: &cell,
            filter,
            limit: query.limit.unwrap_or(50).clamp(1, LIMIT_MAX),
            payload_max: query.payload_max.unwrap_or(4096).min(PAYLOAD_MAX),
        };
        let cursor = query.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let page = match wanted {
            MessageState::Ready => peek.ready(cursor)?,
            MessageState::Unacked => peek.unacked(cursor)?,
            MessageState::Delayed => peek.waiting(cursor)?,
        };
        Ok(axum::Json(page).into_response())
    })
    .await
}

/// The queue of this name, whoever it belongs to.
pub(super) fn cell(broker: &Broker, vhost: &str, queue: &str) -> Result<Arc<QueueCell>, ApiError> {
    let found = broker.vhost(vhost).and_then(|vhost| Some(vhost.topology().queue(queue)?.1.clone()));
    found.ok_or_else(|| ApiError::not_found(format!("no queue '{queue}' in vhost '{vhost}'")))
}

impl From<StoreFailed> for ApiError {
    fn from(failed: StoreFailed) -> ApiError {
        ApiError::internal(failed.to_string())
    }
}

/// A page in the making.
struct Peek<'a> {
    broker: &'a Broker,
    cell: &'a QueueCell,
    filter: Filter,
    limit: usize,
    payload_max: usize,
}

impl Peek<'_> {
    fn ready(&self, cursor: Option<&str>) -> Result<MessagePage, ApiError> {
        let begin = match cursor.map(|cursor| cursor.split_once('.').ok_or_else(bad_cursor)).transpose()? {
            Some((lane, position)) => Place {
                lane: lane.parse().map_err(|_| bad_cursor())?,
                position: position.parse().map_err(|_| bad_cursor())?,
            },
            None => Place::FRONT,
        };
        let behind = |seen: &Seen| Place { position: seen.place.position + 1, ..seen.place };
        let write = |place: Place| format!("{}.{}", place.lane, place.position);
        self.page(MessageState::Ready, begin, |from| self.cell.look_at_ready(from), behind, write)
    }

    fn unacked(&self, cursor: Option<&str>) -> Result<MessagePage, ApiError> {
        let begin = cursor.map_or(Ok(0), |cursor| cursor.parse().map_err(|_| bad_cursor()))?;
        let behind = |seen: &Seen| seen.holder.as_ref().map_or(u64::MAX, |holder| holder.delivery + 1);
        let look = |from| self.cell.look_at_unacked(from);
        self.page(MessageState::Unacked, begin, look, behind, |id| id.to_string())
    }

    /// Those that were returned and wait for their next try.
    fn waiting(&self, cursor: Option<&str>) -> Result<MessagePage, ApiError> {
        let parse = |cursor: &str| {
            let mut parts = cursor.splitn(3, '.');
            let mut next = || parts.next().ok_or_else(bad_cursor);
            let (at_ms, lane, position) = (next()?, next()?, next()?);
            let number = |text: &str| text.parse::<u64>().map_err(|_| bad_cursor());
            let lane: u8 = lane.parse().map_err(|_| bad_cursor())?;
            Ok::<_, ApiError>((number(at_ms)?, lane, number(position)?))
        };
        let begin = cursor.map_or(Ok((0, 0, 0)), parse)?;
        let behind = |seen: &Seen| (seen.ready_at_ms, seen.place.lane, seen.place.position + 1);
        let write = |(at_ms, lane, position)| format!("{at_ms}.{lane}.{position}");
        self.page(MessageState::Delayed, begin, |from| self.cell.look_at_waiting(from), behind, write)
    }

    /// Looks until the page is full, nothing is left, or it has looked for long enough.
    fn page<C>(
        &self,
        state: MessageState,
        begin: C,
        look: impl Fn(C) -> Result<Look<C>, StoreFailed>,
        behind: impl Fn(&Seen) -> C,
        write: impl Fn(C) -> String,
    ) -> Result<MessagePage, ApiError> {
        let (now_ms, until) = (clock::now_ms(), Instant::now() + LOOK_TIME);
        let mut page = MessagePage::default();
        let mut bytes = 0;
        let mut from = begin;
        loop {
            let look = look(from)?;
            for seen in look.seen {
                page.scanned += 1;
                let since_ms = seen.holder.as_ref().map(|holder| holder.since_ms);
                if !self.filter.fits(&seen.message, since_ms, now_ms) {
                    continue;
                }
                let next = behind(&seen);
                bytes += seen.message.properties_raw().len();
                page.items.push(self.view(seen, state));
                bytes += page.items.last().map_or(0, |item| item.payload.len());
                if page.items.len() >= self.limit || bytes >= ANSWER_BYTES_MAX {
                    page.next = Some(write(next));
                    return Ok(page);
                }
            }
            match look.next {
                Some(next) if page.scanned < SCANNED_MAX && Instant::now() < until => from = next,
                next => {
                    page.next = next.map(write);
                    return Ok(page);
                }
            }
        }
    }

    fn view(&self, seen: Seen, state: MessageState) -> QueuedMessage {
        let Seen { place, message, redelivered, delivery_count, expires_at_ms, ready_at_ms, holder } = seen;
        let body = message.body();
        let shown = beginning(body, self.payload_max);
        let (payload, payload_encoding) = message::encode(shown, PayloadEncoding::Auto);
        QueuedMessage {
            id: message_id(self.cell, place),
            state,
            position: place.position,
            exchange: message.exchange().to_owned(),
            routing_key: message.routing_key().to_owned(),
            properties: message::properties(&message),
            payload_bytes: body.len() as u64,
            payload,
            payload_encoding: payload_encoding.to_owned(),
            truncated: shown.len() < body.len(),
            redelivered,
            delivery_count: delivery_count.into(),
            expires_at: Some(expires_at_ms).filter(|at| *at > 0),
            due_at: Some(ready_at_ms).filter(|at| *at > 0),
            deaths: deaths(&message),
            holder: holder.map(|holder| Holder {
                consumer_tag: holder.consumer_tag.to_string(),
                channel_details: state::channel_details(self.broker, holder.connection, holder.channel),
                since: holder.since_ms,
            }),
        }
    }
}

/// At most so many bytes, and no half of a character at their end.
fn beginning(body: &[u8], bytes_max: usize) -> &[u8] {
    let cut = &body[..bytes_max.min(body.len())];
    match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() && cut.len() < body.len() => &cut[..error.valid_up_to()],
        _ => cut,
    }
}

fn bad_cursor() -> ApiError {
    ApiError::bad_request("the cursor is none that a page gave")
}

async fn pause(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    set_paused(&broker, &visitor, &vhost, &queue, true).await
}

async fn resume(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    set_paused(&broker, &visitor, &vhost, &queue, false).await
}

async fn set_paused(
    broker: &Arc<Broker>,
    visitor: &Visitor,
    vhost: &str,
    queue: &str,
    paused: bool,
) -> Result<StatusCode, ApiError> {
    visitor.user().check(vhost, Resource::Queue(queue), Access::Configure)?;
    let Some(found) = broker.vhost(vhost) else {
        return Err(ApiError::not_found(format!("vhost '{vhost}' not found")));
    };
    let ticket = broker.pause_queue(&found, queue, paused)?;
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Messages on a page at most.
const LIMIT_MAX: usize = 500;
/// Bytes of each body at most.
const PAYLOAD_MAX: usize = 1 << 20;
/// Bytes of bodies and properties at which a page is full.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// After so many messages, or so long, a page is answered though it is not full: the next one goes on.
const SCANNED_MAX: u64 = 20_000;
const LOOK_TIME: Duration = Duration::from_millis(500);
