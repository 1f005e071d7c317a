//! What Prometheus collects.

use super::*;
use crate::admin::metrics::{Family, Objects};
use crate::admin::{metrics, state};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/metrics", Who::Anyone, "Figures for Prometheus: totals, which name nobody.", totals)
            .gives_text(TEXT),
        get(
            "/metrics/per-object",
            Who::Monitor,
            "Figures for Prometheus: totals, and of each queue, connection and channel.",
            per_object,
        )
        .gives_text(TEXT),
        get(
            "/metrics/detailed",
            Who::Monitor,
            "Figures for Prometheus: the families of objects that are asked for.",
            detailed,
        )
        .query(&[
            ("family", "A family such as `queue_coarse_metrics`; may be given several times."),
            ("vhost", "Only objects of this vhost; may be given several times."),
        ])
        .gives_text(TEXT),
    ]
}

async fn totals(State(broker): State<Arc<Broker>>) -> Answer {
    answer(broker, |broker| Ok(text(metrics::render(&state::metrics(broker))))).await
}

async fn per_object(State(broker): State<Arc<Broker>>) -> Answer {
    answer(broker, |broker| {
        let mut all = metrics::render_without_objects(&state::metrics(broker));
        let families = [
            Family::QueueCoarse,
            Family::QueueConsumerCount,
            Family::Queue,
            Family::QueueDelivery,
            Family::ConnectionCoarse,
            Family::Connection,
            Family::Channel,
        ];
        all += &metrics::render_objects(&objects(broker, &families, &[]), &families, "rabbitmq");
        Ok(text(all))
    })
    .await
}

async fn detailed(
    State(broker): State<Arc<Broker>>,
    axum::extract::Query(query): axum::extract::Query<Vec<(String, String)>>,
) -> Answer {
    let of = |wanted: &str| -> Vec<String> {
        query.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect()
    };
    // RabbitMQ passes over families that it does not know, and so does this.
    let mut families: Vec<Family> = Vec::new();
    for family in of("family").iter().filter_map(|name| Family::named(name)) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    let vhosts = of("vhost");
    answer(broker, move |broker| {
        let objects = objects(broker, &families, &vhosts);
        Ok(text(metrics::render_objects(&objects, &families, "rabbitmq_detailed")))
    })
    .await
}

/// What the families need, of these vhosts or of all.
fn objects(broker: &Broker, families: &[Family], vhosts: &[String]) -> Objects {
    let has = |wanted: &[Family]| families.iter().any(|family| wanted.contains(family));
    let is_wanted = |vhost: &str| vhosts.is_empty() || vhosts.iter().any(|wanted| wanted == vhost);
    let mut objects = Objects::default();
    if has(&[Family::QueueCoarse, Family::QueueConsumerCount, Family::Queue, Family::QueueDelivery]) {
        objects.queues = state::queues(broker, None);
        objects.queues.retain(|queue| is_wanted(&queue.vhost));
    }
    if has(&[Family::ConnectionCoarse, Family::Connection]) {
        objects.connections = state::connections(broker);
        objects.connections.retain(|connection| is_wanted(&connection.vhost));
    }
    if has(&[Family::Channel]) {
        objects.channels = state::channels(broker);
        objects.channels.retain(|channel| is_wanted(&channel.vhost));
    }
    if has(&[Family::ExchangeNames]) {
        objects.exchanges = state::exchanges(broker, None);
        objects.exchanges.retain(|exchange| is_wanted(&exchange.vhost));
    }
    if has(&[Family::VhostStatus]) {
        objects.vhosts = broker.all_vhosts().iter().map(|vhost| vhost.name().to_string()).collect();
        objects.vhosts.retain(|vhost| is_wanted(vhost));
    }
    objects
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// Prometheus' text format.
const TEXT: &str = "text/plain";
