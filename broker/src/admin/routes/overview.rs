//! The broker at a glance, and who asks.

use leveret_protocol::admin::{ChurnRates, MessageStats, ObjectTotals, Overview, QueueTotals, Rate, WhoAmI};
use serde_json::json;

use super::*;
use crate::admin::ages::{Ages, Field, add_samples};
use crate::admin::{state, views};
use crate::history::TOTAL;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/overview", Who::Management, "The whole broker at a glance.", overview)
            .query(WITH_AGES)
            .gives::<Overview>(),
        get("/api/whoami", Who::Management, "Who is logged in.", whoami).gives::<WhoAmI>(),
    ]
}

async fn overview(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    ages: Ages,
    query: ListQuery,
) -> Answer {
    answer(broker, move |broker| {
        let overview = state::overview(broker);
        if !visitor.sees_everything() {
            return query.respond_one(&narrowed(overview, broker, &visitor));
        }
        if !ages.any() {
            return query.respond_one(&overview);
        }
        let mut shown = json!(overview);
        let past = broker.history().totals(ages.oldest_s());
        add_samples(&mut shown["queue_totals"], LENGTHS, past.as_ref(), ages.lengths);
        add_samples(&mut shown["message_stats"], MESSAGES, past.as_ref(), ages.msg_rates);
        query.respond_one(&shown)
    })
    .await
}

/// Which of the broker's figures stand behind which fields.
const LENGTHS: &[Field] = &[
    ("messages", &[TOTAL.ready, TOTAL.unacked]),
    ("messages_ready", &[TOTAL.ready]),
    ("messages_unacknowledged", &[TOTAL.unacked]),
];
const MESSAGES: &[Field] = &[
    ("publish", &[TOTAL.publish]),
    ("confirm", &[TOTAL.confirm]),
    ("return_unroutable", &[TOTAL.return_unroutable]),
    ("drop_unroutable", &[TOTAL.drop_unroutable]),
    ("deliver", &[TOTAL.deliver]),
    ("deliver_no_ack", &[TOTAL.deliver_no_ack]),
    ("get", &[TOTAL.get]),
    ("get_no_ack", &[TOTAL.get_no_ack]),
    ("get_empty", &[TOTAL.get_empty]),
    ("deliver_get", &[TOTAL.deliver, TOTAL.deliver_no_ack, TOTAL.get, TOTAL.get_no_ack]),
    ("redeliver", &[TOTAL.redeliver]),
    ("ack", &[TOTAL.ack]),
];

/// The overview for somebody who does not see the whole broker: what they see is counted for them.
pub(in crate::admin) fn narrowed(overview: Overview, broker: &Broker, visitor: &Visitor) -> Overview {
    let queues = visible(visitor, state::queues(broker, None));
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
    let count = |items: usize| items as u64;
    let connections = state::connections(broker);
    let channels = state::channels(broker);
    Overview {
        queue_totals: totals,
        object_totals: ObjectTotals {
            queues: count(queues.len()),
            exchanges: count(visible(visitor, state::exchanges(broker, None)).len()),
            consumers: count(visible(visitor, state::consumers(broker, None)).len()),
            connections: count(connections.iter().filter(|it| visitor.sees_user(&it.user)).count()),
            channels: count(channels.iter().filter(|it| visitor.sees_user(&it.user)).count()),
        },
        message_stats: MessageStats::default(),
        churn_rates: ChurnRates::default(),
        listeners: Vec::new(),
        ..overview
    }
}

async fn whoami(visitor: Visitor) -> Response {
    axum::Json(views::whoami(visitor.user())).into_response()
}
