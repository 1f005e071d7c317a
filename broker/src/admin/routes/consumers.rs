//! Consumers.

use leveret_protocol::admin::Consumer;

use super::connections::{find, must_own};
use super::*;
use crate::admin::state;
use crate::outbox::Notice;
use crate::queue_host::ConsumerInfo;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/consumers", Who::Management, "Consumers.", in_every_vhost!(state::consumers))
            .query(LIST)
            .gives::<Vec<Consumer>>(),
        get(
            "/api/consumers/{vhost}",
            Who::SeesVhost,
            "Consumers of one vhost.",
            in_one_vhost!(state::consumers),
        )
        .query(LIST)
        .gives::<Vec<Consumer>>(),
        delete(
            "/api/consumers/{vhost}/{connection}/{channel}/{tag}",
            Who::SeesVhost,
            "Cancels a consumer: one's own, or for administrators any. RabbitMQ has only connections closed.",
            cancel,
        ),
    ]
}

async fn cancel(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    InPath((vhost, connection, channel, consumer_tag)): InPath<(String, String, String, String)>,
) -> Result<StatusCode, ApiError> {
    let (id, found) = find(&broker, &visitor, &connection)?;
    must_own(&visitor, &found.user)?;
    let channel: u16 = channel.parse().map_err(|_| ApiError::bad_request("the channel is no number"))?;
    let is_it = |consumer: &ConsumerInfo| {
        consumer.connection == id && consumer.channel == channel && *consumer.consumer_tag == *consumer_tag
    };
    let cells = state::queue_cells(&broker, Some(&vhost));
    if !cells.iter().any(|cell| cell.consumers().iter().any(is_it)) {
        return Err(ApiError::not_found("Not Found"));
    }
    broker.connections().notice(id, Notice::EndConsumer { channel, consumer_tag });
    Ok(StatusCode::NO_CONTENT)
}
