//! Queues.

use leveret_core::fault::Fault;
use leveret_core::session::host::{ConsumerKey, Got, Host, QueueDeclare, Settle};
use leveret_protocol::admin::requests::{AckMode, DeclareQueue, GetMessages, GotMessage, QueueAction};
use leveret_protocol::admin::{Binding, Queue};
use leveret_protocol::reply_code::ReplyCode;
use serde_json::{Value as Json, json};

use super::*;
use crate::admin::actor::{Actor, encoded_arguments};
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::list::Extended;
use crate::admin::{message, state};
use crate::history::QUEUE;
use crate::queue_host::QueueCell;
use crate::store::QueueUid;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/queues", Who::Management, "Queues.", list).query(PAGED_WITH_AGES).lists::<Queue>(),
        get("/api/queues/detailed", Who::Management, "Queues, as `/api/queues` lists them.", list)
            .query(PAGED_WITH_AGES)
            .lists::<Queue>(),
        get("/api/queues/{vhost}", Who::SeesVhost, "Queues of one vhost.", list_of_vhost)
            .query(PAGED_WITH_AGES)
            .lists::<Queue>(),
        get("/api/queues/{vhost}/{queue}", Who::SeesVhost, "One queue, with its consumers.", one)
            .query(WITH_AGES)
            .gives::<Queue>(),
        put(
            "/api/queues/{vhost}/{queue}",
            Who::UsesVhost,
            "Declares a queue. Needs the right to configure it.",
            declare,
        )
        .takes::<DeclareQueue>(),
        delete(
            "/api/queues/{vhost}/{queue}",
            Who::UsesVhost,
            "Deletes a queue. Needs the right to configure it.",
            remove,
        )
        .query(&[
            ("if-empty", "`true` refuses to delete a queue with messages in it."),
            ("if-unused", "`true` refuses to delete a queue with consumers."),
        ]),
        get(
            "/api/queues/{vhost}/{queue}/bindings",
            Who::SeesVhost,
            "Bindings that lead to a queue.",
            bindings,
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        post(
            "/api/queues/{vhost}/{queue}/get",
            Who::UsesVhost,
            "Takes messages out of a queue, or looks at them. Needs the right to read from it.",
            fetch,
        )
        .takes::<GetMessages>()
        .gives::<Vec<GotMessage>>(),
        post(
            "/api/queues/{vhost}/{queue}/actions",
            Who::UsesVhost,
            "Actions on mirrors, of which a queue here has none: nothing is done.",
            act,
        )
        .takes::<QueueAction>(),
        delete(
            "/api/queues/{vhost}/{queue}/contents",
            Who::UsesVhost,
            "Removes the ready messages of a queue. Needs the right to read from it.",
            purge,
        ),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, ages: Ages, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        if !query.is_paged() && !ages.any() {
            return query.respond(visible(&visitor, state::queues(broker, None)));
        }
        let mut cells = state::queue_cells(broker, None);
        if !visitor.sees_everything() {
            cells.retain(|cell| visitor.sees_vhost(cell.vhost()));
        }
        page(broker, cells, &query, &ages)
    })
    .await
}

async fn list_of_vhost(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        if !query.is_paged() && !ages.any() {
            return query.respond(state::queues(broker, Some(&vhost)));
        }
        page(broker, state::queue_cells(broker, Some(&vhost)), &query, &ages)
    })
    .await
}

fn page(broker: &Broker, cells: Vec<Arc<QueueCell>>, query: &ListQuery, ages: &Ages) -> Answer {
    fn key(cell: &Arc<QueueCell>) -> (&str, &str) {
        (cell.vhost(), cell.name())
    }
    let figure = |cell: &Arc<QueueCell>, path: &str| state::queue_figure(broker, cell, path);
    if !ages.any_in(query, cells.len()) {
        return query.respond_lazily(cells, key, figure, |cell| state::queue_of(broker, cell));
    }
    query.respond_lazily(cells, key, figure, |cell| {
        let item = state::queue_of(broker, cell)?;
        let json = with_past(broker, cell.uid(), &item, ages);
        Some(Extended { item, json })
    })
}

/// A queue with the samples that were asked for.
fn with_past(broker: &Broker, uid: QueueUid, queue: &Queue, ages: &Ages) -> Json {
    let mut shown = json!(queue);
    let past = broker.history().queue(uid);
    add_samples(&mut shown, LENGTHS, past.as_ref(), ages.lengths);
    add_samples(&mut shown["message_stats"], MESSAGES, past.as_ref(), ages.msg_rates);
    shown
}

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, queue)): InPath<(String, String)>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let not_found = || ApiError::not_found(format!("no queue '{queue}' in vhost '{vhost}'"));
        let found = state::queue(broker, &vhost, &queue).ok_or_else(not_found)?;
        if !ages.any() {
            return query.respond_one(&found);
        }
        let cell = super::messages::cell(broker, &vhost, &queue)?;
        query.respond_one(&with_past(broker, cell.uid(), &found, &ages))
    })
    .await
}

/// Which of a queue's figures stand behind which fields.
const LENGTHS: &[Field] = &[
    ("messages", &[QUEUE.ready, QUEUE.unacked]),
    ("messages_ready", &[QUEUE.ready]),
    ("messages_unacknowledged", &[QUEUE.unacked]),
];
const MESSAGES: &[Field] = &[
    ("publish", &[QUEUE.published]),
    ("deliver", &[QUEUE.delivered]),
    ("deliver_no_ack", &[QUEUE.delivered_no_ack]),
    ("get", &[QUEUE.got]),
    ("get_no_ack", &[QUEUE.got_no_ack]),
    ("deliver_get", &[QUEUE.delivered, QUEUE.delivered_no_ack, QUEUE.got, QUEUE.got_no_ack]),
    ("redeliver", &[QUEUE.redelivered]),
    ("ack", &[QUEUE.acked]),
];

async fn declare(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    InBody(wanted): InBody<DeclareQueue>,
) -> Result<StatusCode, ApiError> {
    let is_new = state::queue(&broker, &vhost, &queue).is_none();
    let arguments = encoded_arguments(&wanted.arguments)?;
    let declare = QueueDeclare {
        queue: &queue,
        passive: false,
        durable: wanted.durable,
        exclusive: false,
        auto_delete: wanted.auto_delete,
        arguments: arguments.as_raw(),
    };
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let declared = actor.host().queue_declare(declare).map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(declared.after).await?;
    Ok(created(is_new))
}

async fn remove(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    if state::queue(&broker, &vhost, &queue).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let deleted = actor.host().queue_delete(&queue, conditions.if_unused, conditions.if_empty);
    let (_, ticket) = deleted.map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn bindings(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, queue)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let mut bindings = state::bindings(broker, Some(&vhost));
        bindings.retain(|binding| binding.destination_type == "queue" && binding.destination == queue);
        query.respond(bindings)
    })
    .await
}

async fn fetch(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
    InBody(wanted): InBody<GetMessages>,
) -> Answer {
    // A message on disk is waited for.
    answer(broker, move |broker| {
        if state::queue(broker, &vhost, &queue).is_none() {
            return Err(ApiError::not_found("Not Found"));
        }
        let mut actor = Actor::new(broker, &visitor, &vhost)?;
        // As a channel would be told, for this RabbitMQ does through one.
        let refused = |fault: Fault| match fault.code {
            ReplyCode::AccessRefused => ApiError::not_authorised(fault.to_string()),
            _ => fault.into(),
        };
        let messages = get_messages(actor.host(), &queue, &wanted).map_err(refused)?;
        Ok(axum::Json(messages).into_response())
    })
    .await
}

/// All are taken before any is given back: otherwise the first would come again.
fn get_messages(host: &mut impl Host, queue: &str, wanted: &GetMessages) -> Result<Vec<GotMessage>, Fault> {
    host.channel_opened(CHANNEL)?;
    let no_ack = wanted.ackmode == AckMode::AckRequeueFalse;
    let truncate = wanted.truncate.map(|bytes| usize::try_from(bytes).unwrap_or(0));
    let mut messages: Vec<GotMessage> = Vec::new();
    let mut bytes = 0;
    let mut held: Vec<(_, Got)> = Vec::new();
    while (messages.len() as i64) < wanted.count && bytes < GET_BYTES_MAX {
        let (from, got) = host.get(CHANNEL, GETTER, queue, no_ack)?;
        let Some(got) = got else { break };
        let shown = message::got(&got, wanted.encoding, truncate);
        bytes += shown.payload.len() + got.message.properties_raw().len();
        messages.push(shown);
        if !no_ack {
            held.push((from, got));
        }
    }
    let outcome = match wanted.ackmode {
        AckMode::AckRequeueFalse | AckMode::AckRequeueTrue => Settle::Requeue,
        AckMode::RejectRequeueTrue => Settle::RejectRequeue,
        AckMode::RejectRequeueFalse => Settle::Reject,
    };
    for (from, got) in held {
        let delivery = got.id.0..got.id.0 + 1;
        host.settle(CHANNEL, &from, GETTER, outcome, std::slice::from_ref(&delivery));
    }
    Ok(messages)
}

const CHANNEL: u16 = 1;
const GETTER: ConsumerKey = ConsumerKey(1);
/// Bytes of payload at which no more messages are taken.
const GET_BYTES_MAX: usize = 64 << 20;

async fn act(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, queue)): InPath<(String, String)>,
    InBody(wanted): InBody<QueueAction>,
) -> Result<StatusCode, ApiError> {
    if state::queue(&broker, &vhost, &queue).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    match wanted.action.as_str() {
        "sync" | "cancel_sync" => Ok(StatusCode::NO_CONTENT),
        other => Err(ApiError::bad_request(format!("unknown action: {other}"))),
    }
}

async fn purge(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, queue)): InPath<(String, String)>,
) -> Result<StatusCode, ApiError> {
    if state::queue(&broker, &vhost, &queue).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let (_, ticket) = actor.host().queue_purge(&queue).map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}
