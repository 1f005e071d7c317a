//! The broker at a glance, and who asks.

use leveret_protocol::admin::{ChurnRates, MessageStats, ObjectTotals, Overview, QueueTotals, Rate, WhoAmI};

use super::*;
use crate::admin::{state, views};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/overview", Who::Management, "The whole broker at a glance.", overview)
            .query(ONE)
            .gives::<Overview>(),
        get("/api/whoami", Who::Management, "Who is logged in.", whoami).gives::<WhoAmI>(),
    ]
}

async fn overview(State(broker): State<Arc<Broker>>, visitor: Visitor, query: ListQuery) -> Answer {
    answer(broker, move |broker| {
        let overview = state::overview(broker);
        let overview =
            if visitor.sees_everything() { overview } else { narrowed(overview, broker, &visitor) };
        query.respond_one(&overview)
    })
    .await
}

/// The overview for somebody who does not see the whole broker: what they see is counted for them.
fn narrowed(overview: Overview, broker: &Broker, visitor: &Visitor) -> Overview {
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
