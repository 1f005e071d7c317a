//! Open channels.

use axum::http::HeaderMap;
use leveret_core::queue::ConnectionId;
use leveret_protocol::admin::Channel;
use serde_json::{Value as Json, json};

use super::connections::{must_own, reason};
use super::*;
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::list::Extended;
use crate::admin::state;
use crate::history::CHANNEL;
use crate::outbox::Notice;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/channels", Who::Management, "Open channels.", list)
            .query(PAGED_WITH_AGES)
            .lists::<Channel>(),
        get("/api/channels/{channel}", Who::Management, "One channel: one's own, or for monitors any.", one)
            .query(WITH_AGES)
            .gives::<Channel>(),
        delete(
            "/api/channels/{channel}",
            Who::Management,
            "Closes a channel: one's own, or for administrators any. The header `X-Reason` tells the client why. \
             RabbitMQ has only connections closed.",
            close,
        ),
    ]
}

async fn list(State(broker): State<Arc<Broker>>, visitor: Visitor, ages: Ages, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let mut channels = state::identified_channels(broker);
        channels.retain(|(_, channel)| visitor.sees_user(&channel.user));
        if !ages.any_in(&query, channels.len()) {
            return query.respond(channels.into_iter().map(|(_, channel)| channel).collect());
        }
        query.respond_lazily(
            channels,
            |(_, channel)| (channel.vhost.as_str(), channel.name.as_str()),
            |_, _| None,
            |(id, channel)| {
                let json = with_past(broker, *id, channel, &ages);
                Some(Extended { json, item: channel.clone() })
            },
        )
    })
    .await
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

/// A channel with the samples that were asked for.
fn with_past(broker: &Broker, id: ConnectionId, channel: &Channel, ages: &Ages) -> Json {
    let mut shown = json!(channel);
    let past = broker.history().channel(id, channel.number);
    add_samples(&mut shown["message_stats"], MESSAGES, past.as_ref(), ages.msg_rates);
    shown
}

/// Which of a channel's figures stand behind which fields.
const MESSAGES: &[Field] = &[
    ("publish", &[CHANNEL.publish]),
    ("confirm", &[CHANNEL.confirm]),
    ("return_unroutable", &[CHANNEL.return_unroutable]),
    ("drop_unroutable", &[CHANNEL.drop_unroutable]),
    ("deliver", &[CHANNEL.deliver]),
    ("deliver_no_ack", &[CHANNEL.deliver_no_ack]),
    ("get", &[CHANNEL.get]),
    ("get_no_ack", &[CHANNEL.get_no_ack]),
    ("get_empty", &[CHANNEL.get_empty]),
    ("deliver_get", &[CHANNEL.deliver, CHANNEL.deliver_no_ack, CHANNEL.get, CHANNEL.get_no_ack]),
    ("redeliver", &[CHANNEL.redeliver]),
    ("ack", &[CHANNEL.ack]),
];

async fn close(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath(name): InPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let (id, channel) = find(&broker, &visitor, &name)?;
    must_own(&visitor, &channel.user)?;
    broker.connections().notice(id, Notice::CloseChannel { channel: channel.number, text: reason(&headers) });
    Ok(StatusCode::NO_CONTENT)
}

/// The channel of this name, which the visitor has to be allowed to see, and its connection.
fn find(broker: &Broker, visitor: &Visitor, name: &str) -> Result<(ConnectionId, Channel), ApiError> {
    let found = state::channel(broker, name).ok_or_else(|| ApiError::not_found("Not Found"))?;
    if !visitor.sees_user(&found.1.user) {
        return Err(ApiError::not_authorised("User not authorised to access object"));
    }
    Ok(found)
}
