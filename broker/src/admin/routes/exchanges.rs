//! Exchanges.

use leveret_core::fault::Fault;
use leveret_core::message::Message;
use leveret_core::session::check_properties;
use leveret_core::session::host::{ExchangeDeclare, Host, Receipts, Routed};
use leveret_protocol::admin::requests::{DeclareExchange, Publish, Published};
use leveret_protocol::admin::{Binding, Exchange};
use serde_json::{Value as Json, json};

use super::*;
use crate::admin::actor::{Actor, encoded_arguments};
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::list::Extended;
use crate::admin::{message, state};
use crate::history::EXCHANGE;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/exchanges", Who::Management, "Exchanges.", list).query(PAGED_WITH_AGES).lists::<Exchange>(),
        get("/api/exchanges/{vhost}", Who::SeesVhost, "Exchanges of one vhost.", list_of_vhost)
            .query(PAGED_WITH_AGES)
            .lists::<Exchange>(),
        get("/api/exchanges/{vhost}/{exchange}", Who::SeesVhost, "One exchange.", one)
            .query(WITH_AGES)
            .gives::<Exchange>(),
        put(
            "/api/exchanges/{vhost}/{exchange}",
            Who::UsesVhost,
            "Declares an exchange. Needs the right to configure it.",
            declare,
        )
        .takes::<DeclareExchange>(),
        delete(
            "/api/exchanges/{vhost}/{exchange}",
            Who::UsesVhost,
            "Deletes an exchange. Needs the right to configure it.",
            remove,
        )
        .query(&[("if-unused", "`true` refuses to delete an exchange from which bindings lead away.")]),
        post(
            "/api/exchanges/{vhost}/{exchange}/publish",
            Who::UsesVhost,
            "Publishes a message and answers once it is safe. Needs the right to write to the exchange.",
            publish,
        )
        .takes::<Publish>()
        .gives::<Published>(),
        get(
            "/api/exchanges/{vhost}/{exchange}/bindings/source",
            Who::SeesVhost,
            "Bindings that lead away from an exchange.",
            bindings_from,
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
        get(
            "/api/exchanges/{vhost}/{exchange}/bindings/destination",
            Who::SeesVhost,
            "Bindings that lead to an exchange.",
            bindings_to,
        )
        .query(LIST)
        .gives::<Vec<Binding>>(),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, ages: Ages, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        respond(broker, visible(&visitor, state::exchanges(broker, None)), &query, &ages)
    })
    .await
}

async fn list_of_vhost(
    State(broker): State<Arc<Broker>>,
    InPath(vhost): InPath<String>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| respond(broker, state::exchanges(broker, Some(&vhost)), &query, &ages)).await
}

fn respond(broker: &Broker, exchanges: Vec<Exchange>, query: &ListQuery, ages: &Ages) -> Answer {
    if !ages.any_in(query, exchanges.len()) {
        return query.respond(exchanges);
    }
    query.respond_lazily(
        exchanges,
        |exchange| (exchange.vhost.as_str(), exchange.name.as_str()),
        |_, _| None,
        |exchange| Some(Extended { json: with_past(broker, exchange, ages), item: exchange.clone() }),
    )
}

/// An exchange with the samples that were asked for.
fn with_past(broker: &Broker, exchange: &Exchange, ages: &Ages) -> Json {
    let mut shown = json!(exchange);
    let past = broker.history().exchange(&exchange.vhost, &exchange.name);
    add_samples(&mut shown["message_stats"], MESSAGES, past.as_ref(), ages.msg_rates);
    shown
}

const MESSAGES: &[Field] =
    &[("publish_in", &[EXCHANGE.publish_in]), ("publish_out", &[EXCHANGE.publish_out])];

async fn one(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, exchange)): InPath<(String, String)>,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let found = state::exchange(broker, &vhost, exchange_name(&exchange))
            .ok_or_else(|| ApiError::not_found(format!("no exchange '{exchange}' in vhost '{vhost}'")))?;
        if !ages.any() {
            return query.respond_one(&found);
        }
        query.respond_one(&with_past(broker, &found, &ages))
    })
    .await
}

async fn declare(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
    InBody(wanted): InBody<DeclareExchange>,
) -> Result<StatusCode, ApiError> {
    let exchange = exchange_name(&exchange);
    let is_new = state::exchange(&broker, &vhost, exchange).is_none();
    let arguments = encoded_arguments(&wanted.arguments)?;
    let declare = ExchangeDeclare {
        exchange,
        kind: &wanted.kind,
        passive: false,
        durable: wanted.durable,
        auto_delete: wanted.auto_delete,
        internal: wanted.internal,
        arguments: arguments.as_raw(),
    };
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let ticket = actor.host().exchange_declare(declare).map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    Ok(created(is_new))
}

async fn remove(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    if state::exchange(&broker, &vhost, exchange_name(&exchange)).is_none() {
        return Err(ApiError::not_found("Not Found"));
    }
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let deleted = actor.host().exchange_delete(exchange_name(&exchange), conditions.if_unused);
    let ticket = deleted.map_err(ApiError::of_declaration)?;
    drop(actor);
    broker.await_durable(ticket).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As a mandatory publish in confirm mode: it answers when the message is safe, or that no queue got it.
async fn publish(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, exchange)): InPath<(String, String)>,
    InBody(publish): InBody<Publish>,
) -> Answer {
    if let Some(reason) = broker.alarms().reason() {
        return Err(ApiError::unavailable(format!("publishers are held up: {reason}")));
    }
    let body = message::decode(publish.payload, &publish.payload_encoding)?;
    if body.len() as u64 > broker.config().amqp.max_message_bytes {
        return Err(ApiError::bad_request("the payload is larger than amqp.max_message_bytes"));
    }
    if publish.routing_key.len() > 255 {
        return Err(ApiError::bad_request("the routing key is longer than 255 bytes"));
    }
    let properties = message::raw_properties(&publish.properties)?;
    let message = Message::new(exchange_name(&exchange), &publish.routing_key, &properties, &body);
    // Whatever is wrong with a publish closes its channel, which RabbitMQ tells as a bad request.
    let refused = |fault: Fault| ApiError::bad_request(format!("{} {fault}", fault.code.code()));
    let mut actor = Actor::new(&broker, &visitor, &vhost)?;
    let host = actor.host();
    check_properties(message.properties(), host).map_err(refused)?;
    let routed = host.publish(1, Some(1), message).map_err(refused)?;
    let mut receipts = Receipts::default();
    host.flush(&mut receipts);
    if routed == Routed::No {
        host.returned();
    }
    drop(actor);
    if !receipts.rejected.is_empty() {
        return Err(ApiError::bad_request("rejected Unable to publish message. Check queue limits."));
    }
    broker.await_durable(receipts.after).await?;
    Ok(axum::Json(Published { routed: routed == Routed::Yes }).into_response())
}

async fn bindings_from(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, exchange)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let exchange = exchange_name(&exchange);
        let mut bindings = state::bindings(broker, Some(&vhost));
        bindings.retain(|binding| binding.source == exchange);
        query.respond(bindings)
    })
    .await
}

async fn bindings_to(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, exchange)): InPath<(String, String)>,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let exchange = exchange_name(&exchange);
        let mut bindings = state::bindings(broker, Some(&vhost));
        bindings.retain(|binding| binding.destination_type == "exchange" && binding.destination == exchange);
        query.respond(bindings)
    })
    .await
}
