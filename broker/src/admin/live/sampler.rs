//! Fills the rows: once a second while somebody watches, and not at all otherwise.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use leveret_protocol::admin::Overview;
use leveret_protocol::admin::events::Topic;
use tokio::time::{Duration, sleep_until};
use tracing::error;

use super::rows::{Listed, Removed, Rows};
use super::sampled::{Figures, QueueRow, Rates, Sampled};
use super::{Wanted, alarms};
use crate::admin::state;
use crate::broker::Broker;
use crate::clock;
use crate::store::QueueUid;

/// Samples for as long as the broker runs.
pub async fn run(broker: Arc<Broker>) {
    let mut last: Option<Instant> = None;
    loop {
        let live = broker.live();
        let Some(wanted) = live.wanted() else {
            // What is known is of no use to anybody, and would be wrong by the time that it is.
            live.sampled.write().clear();
            live.flows.write().clear();
            last = None;
            live.wakes.notified().await;
            continue;
        };
        let began = Instant::now();
        let seconds = last.map_or(1.0, |last| began.duration_since(last).as_secs_f64());
        last = Some(began);
        let sampling = broker.clone();
        // Looking at 10,000 queues takes milliseconds that belong to those who carry messages.
        if let Err(error) = tokio::task::spawn_blocking(move || sample(&sampling, wanted, seconds)).await {
            error!(%error, "the live feed cannot be sampled");
        }
        let tick = live.sampled.read().tick;
        live.tick.send_replace(tick);
        let next = tokio::time::Instant::from_std(began + wanted.every);
        let soonest = tokio::time::Instant::from_std(began + BETWEEN_MIN);
        tokio::select! {
            () = sleep_until(next) => {}
            () = live.wakes.notified() => sleep_until(soonest).await,
        }
    }
}

fn sample(broker: &Broker, wanted: Wanted, seconds: f64) {
    let live = broker.live();
    let topics = wanted.topics;
    if wanted.flows {
        live.flows.write().sample(broker, seconds);
    }
    // Collected before the rows are locked: readers may go on meanwhile.
    let wants = |topic| topics.has(topic);
    let queues = wants(Topic::Queues).then(|| look_at_queues(broker));
    let overview = wants(Topic::Overview).then(|| state::overview(broker));
    let exchanges = wants(Topic::Exchanges).then(|| state::exchanges(broker, None));
    let connections = wants(Topic::Connections).then(|| state::connections(broker));
    let channels = wants(Topic::Channels).then(|| state::channels(broker));
    let consumers = wants(Topic::Consumers).then(|| state::consumers(broker, None));
    let operations = wants(Topic::Operations).then(|| broker.operations().list());
    let is_alarm_due = {
        let sampled = live.sampled.read();
        let is_old = sampled.tick >= sampled.alarms_at + ALARMS_EVERY || sampled.alarms_at == 0;
        is_old || sampled.alarms.alarms.len() != state::alarms(broker).len()
    };
    let alarms = (wants(Topic::Alarms) && is_alarm_due).then(|| alarms::report(broker, &live.flows()));
    let generation = broker.generation();

    let mut sampled = live.sampled.write();
    sampled.tick += 1;
    let tick = sampled.tick;
    sampled.at_ms = clock::now_ms();
    sampled.topics = topics;
    if let Some(overview) = overview {
        let rated = rate_overview(overview, &sampled.overview, seconds);
        if rated != sampled.overview {
            sampled.overview = rated;
            sampled.overview_at = tick;
        }
    }
    update_queues(&mut sampled, queues, tick, seconds);
    let Sampled { exchanges: old_exchanges, connections: old_connections, .. } = &mut *sampled;
    let gone_exchanges = update(old_exchanges, exchanges, tick, seconds);
    let gone_connections = update(old_connections, connections, tick, seconds);
    let gone_operations = update(&mut sampled.operations, operations, tick, seconds);
    sampled.note_removed(tick, Topic::Operations, gone_operations);
    let Sampled { channels: old_channels, consumers: old_consumers, .. } = &mut *sampled;
    let gone_channels = update(old_channels, channels, tick, seconds);
    let gone_consumers = update(old_consumers, consumers, tick, seconds);
    sampled.note_removed(tick, Topic::Exchanges, gone_exchanges);
    sampled.note_removed(tick, Topic::Connections, gone_connections);
    sampled.note_removed(tick, Topic::Channels, gone_channels);
    sampled.note_removed(tick, Topic::Consumers, gone_consumers);
    if let Some(report) = alarms {
        sampled.alarms = report;
        sampled.alarms_at = tick;
    }
    if sampled.generation != generation {
        sampled.generation = generation;
        sampled.generation_at = tick;
    }
}

/// Brings one list up to date, or forgets it when nobody wants it.
fn update<T: Listed>(rows: &mut Rows<T>, now: Option<Vec<T>>, tick: u64, seconds: f64) -> Vec<Removed> {
    let mut removed = Vec::new();
    match now {
        Some(now) => rows.update(tick, seconds, now, &mut removed),
        None => rows.clear(),
    }
    removed
}

type Seen = (QueueUid, Arc<str>, Arc<str>, Figures);

fn look_at_queues(broker: &Broker) -> Vec<Seen> {
    let mut seen = Vec::new();
    for vhost in broker.all_vhosts() {
        let cells = vhost.queues();
        seen.reserve(cells.len());
        for cell in cells {
            if cell.is_deleted() {
                continue;
            }
            let (info, counters) = (cell.info(), cell.counters());
            let figures = Figures { info, counters, state: state::queue_state(&info) };
            seen.push((cell.uid(), cell.vhost().clone(), cell.name().clone(), figures));
        }
    }
    seen
}

fn update_queues(sampled: &mut Sampled, seen: Option<Vec<Seen>>, tick: u64, seconds: f64) {
    let Some(seen) = seen else {
        sampled.queues = HashMap::new();
        return;
    };
    let mut before = std::mem::take(&mut sampled.queues);
    let mut now = HashMap::with_capacity(seen.len());
    for (uid, vhost, name, figures) in seen {
        let row = match before.remove(&uid) {
            Some(mut row) => {
                let rates = Rates::between(&row.figures, &figures, seconds);
                if row.figures != figures || row.rates != rates {
                    row.figures_at = tick;
                }
                // A consumer that comes or goes may be the exclusive or the single active one.
                if row.figures.info.consumers != figures.info.consumers || row.figures.state != figures.state
                {
                    row.whole_at = tick;
                }
                QueueRow { figures, rates, ..row }
            }
            None => {
                QueueRow { vhost, name, figures, rates: Rates::default(), whole_at: tick, figures_at: tick }
            }
        };
        now.insert(uid, row);
    }
    let removed = before.into_values().map(|row| Removed {
        key: row.key().into(),
        vhost: (*row.vhost).into(),
        user: None,
    });
    let removed = removed.collect();
    sampled.queues = now;
    sampled.note_removed(tick, Topic::Queues, removed);
}

fn rate_overview(mut overview: Overview, before: &Overview, seconds: f64) -> Overview {
    // Before the first sample there is nothing to compare with.
    if !before.node.is_empty() {
        overview.message_stats.rates_since(&before.message_stats, seconds);
        overview.queue_totals.rates_since(&before.queue_totals, seconds);
    }
    overview
}

/// Samples are so far apart at least. Connections show once a second what they did: over less, rates would be nothing and
/// twice as much in turn.
const BETWEEN_MIN: Duration = Duration::from_millis(950);
/// Who fills the broker is looked for once in so many samples, or when an alarm rises or ends.
const ALARMS_EVERY: u64 = 5;

#[cfg(test)]
mod tests {
    use leveret_core::queue::Info;

    use super::*;
    use crate::queue_host::Counters;

    fn seen(uid: u64, ready: u64, consumers: u64) -> Seen {
        let info = Info { ready, consumers, ..Info::default() };
        let counters = Counters { published: ready, ..Counters::default() };
        (uid, "/".into(), format!("q{uid}").as_str().into(), Figures { info, counters, state: "running" })
    }

    #[test]
    fn a_queue_changes_in_figures_mostly() {
        let mut sampled = Sampled::default();
        update_queues(&mut sampled, Some(vec![seen(1, 0, 0), seen(2, 5, 0)]), 1, 1.0);
        update_queues(&mut sampled, Some(vec![seen(1, 10, 0), seen(2, 5, 0)]), 2, 2.0);
        let row = &sampled.queues[&1];
        assert_eq!((row.whole_at, row.figures_at), (1, 2));
        let figures = row.to_figures();
        assert_eq!((figures.publish_rate, figures.messages_ready_rate), (5.0, 5.0));
        assert_eq!(sampled.queues[&2].figures_at, 1);
        update_queues(&mut sampled, Some(vec![seen(1, 10, 1)]), 3, 1.0);
        let row = &sampled.queues[&1];
        assert_eq!((row.whole_at, row.figures_at), (3, 3));
        let removed = sampled.removed_after(2, Topic::Queues, |_| true);
        assert_eq!(removed, vec![Arc::from("/\nq2")]);
    }
}
