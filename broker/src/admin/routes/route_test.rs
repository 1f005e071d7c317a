//! Where a message would go, without sending it.

use axum::Json;
use leveret_protocol::admin::arguments;
use leveret_protocol::admin::topology::{RouteAnswer, RouteRequest, RoutedQueue, UnmatchedBinding};
use leveret_protocol::table::RawTable;

use super::*;
use crate::admin::actor::encoded_arguments;

pub(super) fn routes() -> Vec<Route> {
    vec![
        post(
            "/api/exchanges/{vhost}/{exchange}/route",
            Who::SeesVhost,
            "Which queues a message would reach, by which bindings, and why not the others. Nothing is published.",
            route_test,
        )
        .takes::<RouteRequest>()
        .gives::<RouteAnswer>(),
    ]
}

async fn route_test(
    State(broker): State<Arc<Broker>>,
    InPath((vhost, exchange)): InPath<(String, String)>,
    InBody(message): InBody<RouteRequest>,
) -> Answer {
    answer(broker, move |broker| {
        let not_found = || ApiError::not_found(format!("vhost '{vhost}' not found"));
        let vhost = broker.vhost(&vhost).ok_or_else(not_found)?;
        let headers = encoded_arguments(&message.headers)?;
        let topology = vhost.topology();
        let explained = topology.explain(exchange_name(&exchange), &message.routing_key, headers.as_raw())?;
        drop(topology);
        // Bindings keep their arguments as valid entries.
        let shown = |entries: &[u8]| {
            arguments(&RawTable::new_unchecked_valid(entries).to_table().unwrap_or_default())
        };
        let queues = explained.reached.into_iter().map(|reached| RoutedQueue {
            arguments: shown(&reached.arguments),
            queue: reached.queue,
            path: reached.path,
            routing_key: reached.routing_key,
        });
        let unmatched = explained.unmatched.into_iter().map(|binding| UnmatchedBinding {
            arguments: shown(&binding.arguments),
            destination: binding.destination,
            destination_type: if binding.to_exchange { "exchange" } else { "queue" }.to_owned(),
            routing_key: binding.routing_key,
            reason: binding.reason,
        });
        Ok(Json(RouteAnswer {
            queues: queues.collect(),
            unmatched: unmatched.collect(),
            alternate_exchange: explained.alternates.into_iter().next(),
            note: note(&explained.exchanges),
        })
        .into_response())
    })
    .await
}

/// What the types of the exchanges on the way make of the answer.
fn note(exchanges: &[(String, &'static str)]) -> Option<String> {
    let notes = exchanges.iter().filter_map(|(name, kind)| {
        let name = if name.is_empty() { "the default exchange" } else { name };
        match *kind {
            "x-consistent-hash" | "x-modulus-hash" => {
                Some(format!("{name} sends each message to one of these, by a hash"))
            }
            "x-random" | "x-local-random" => {
                Some(format!("{name} sends each message to one of these, by chance"))
            }
            "x-delayed-message" => Some(format!("{name} holds messages back that ask for a delay")),
            _ => None,
        }
    });
    let notes: Vec<String> = notes.collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
