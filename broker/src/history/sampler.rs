//! What is noted of the broker, and how often.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use leveret_core::session::channel::ChannelInfo;
use tokio::time::MissedTickBehavior;
use tracing::error;

use super::{CHANNEL_FIGURES, ExchangeKey, Objects, QUEUE_FIGURES, Sample, TOTAL_FIGURES};
use crate::admin::state::Sums;
use crate::broker::Broker;
use crate::clock;
use crate::queue_host::{Counters, QueueCell};

/// Where each figure of a queue is.
pub const QUEUE: QueueFigures = QueueFigures {
    published: 0,
    delivered: 1,
    delivered_no_ack: 2,
    got: 3,
    got_no_ack: 4,
    redelivered: 5,
    acked: 6,
    ready: 7,
    unacked: 8,
};

/// See [`QUEUE`].
pub struct QueueFigures {
    pub published: usize,
    pub delivered: usize,
    pub delivered_no_ack: usize,
    pub got: usize,
    pub got_no_ack: usize,
    pub redelivered: usize,
    pub acked: usize,
    pub ready: usize,
    pub unacked: usize,
}

/// Where each figure of a connection is: bytes received, bytes sent.
pub const CONNECTION: ConnectionFigures = ConnectionFigures { read_bytes: 0, written_bytes: 1 };

/// See [`CONNECTION`].
pub struct ConnectionFigures {
    pub read_bytes: usize,
    pub written_bytes: usize,
}

/// Where each figure of an exchange is: published to it, routed by it to queues.
pub const EXCHANGE: ExchangeFigures = ExchangeFigures { publish_in: 0, publish_out: 1 };

/// See [`EXCHANGE`].
pub struct ExchangeFigures {
    pub publish_in: usize,
    pub publish_out: usize,
}

/// Where each figure of a channel is.
pub const CHANNEL: ChannelFigures = ChannelFigures {
    publish: 0,
    confirm: 1,
    return_unroutable: 2,
    drop_unroutable: 3,
    deliver: 4,
    deliver_no_ack: 5,
    get: 6,
    get_no_ack: 7,
    get_empty: 8,
    redeliver: 9,
    ack: 10,
};

/// See [`CHANNEL`].
pub struct ChannelFigures {
    pub publish: usize,
    pub confirm: usize,
    pub return_unroutable: usize,
    pub drop_unroutable: usize,
    pub deliver: usize,
    pub deliver_no_ack: usize,
    pub get: usize,
    pub get_no_ack: usize,
    pub get_empty: usize,
    pub redeliver: usize,
    pub ack: usize,
}

/// Where each figure of the broker is.
pub const TOTAL: TotalFigures = TotalFigures {
    publish: 0,
    confirm: 1,
    return_unroutable: 2,
    drop_unroutable: 3,
    deliver: 4,
    deliver_no_ack: 5,
    get: 6,
    get_no_ack: 7,
    get_empty: 8,
    redeliver: 9,
    ack: 10,
    ready: 11,
    unacked: 12,
    memory_bytes: 13,
    disk_free_bytes: 14,
    open_files: 15,
    connections: 16,
    read_bytes: 17,
    written_bytes: 18,
};

/// See [`TOTAL`].
pub struct TotalFigures {
    pub publish: usize,
    pub confirm: usize,
    pub return_unroutable: usize,
    pub drop_unroutable: usize,
    pub deliver: usize,
    pub deliver_no_ack: usize,
    pub get: usize,
    pub get_no_ack: usize,
    pub get_empty: usize,
    pub redeliver: usize,
    pub ack: usize,
    pub ready: usize,
    pub unacked: usize,
    pub memory_bytes: usize,
    pub disk_free_bytes: usize,
    pub open_files: usize,
    pub connections: usize,
    pub read_bytes: usize,
    pub written_bytes: usize,
}

/// Samples until it is dropped: totals every second, objects every fifth time.
pub async fn watch(broker: Arc<Broker>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0_u64.. {
        every.tick().await;
        let broker = broker.clone();
        // Thousands of queues are looked at: not on a thread that carries messages.
        let sampled = tokio::task::spawn_blocking(move || {
            note_totals(&broker);
            if turn % OBJECTS_EVERY == 0 {
                note_objects(&broker);
            }
        });
        if let Err(error) = sampled.await {
            error!(%error, "taking samples failed");
        }
    }
}

fn note_totals(broker: &Broker) {
    let sums = Sums::of(broker);
    let metrics = broker.metrics();
    let usage = broker.alarms().usage();
    let Counters { delivered, delivered_no_ack, got, got_no_ack, redelivered, acked, .. } = sums.counters;
    let mut figures = [0; TOTAL_FIGURES];
    for (figure, value) in [
        (TOTAL.publish, metrics.published.load(Relaxed)),
        (TOTAL.confirm, crate::admin::state::confirmed(broker, sums.unconfirmed)),
        (TOTAL.return_unroutable, metrics.returned.load(Relaxed)),
        (TOTAL.drop_unroutable, crate::admin::state::dropped(broker)),
        (TOTAL.deliver, delivered),
        (TOTAL.deliver_no_ack, delivered_no_ack),
        (TOTAL.get, got),
        (TOTAL.get_no_ack, got_no_ack),
        (TOTAL.get_empty, metrics.get_empty.load(Relaxed)),
        (TOTAL.redeliver, redelivered),
        (TOTAL.ack, acked),
        (TOTAL.ready, sums.ready),
        (TOTAL.unacked, sums.unacked),
        (TOTAL.memory_bytes, usage.memory_bytes),
        (TOTAL.disk_free_bytes, usage.disk_free_bytes),
        (TOTAL.open_files, crate::admin::state::open_files()),
        (TOTAL.connections, broker.connections().len() as u64),
        (TOTAL.read_bytes, metrics.bytes_read.load(Relaxed)),
        (TOTAL.written_bytes, metrics.bytes_written.load(Relaxed)),
    ] {
        figures[figure] = value;
    }
    broker.history().note_totals(Sample { at_ms: clock::now_ms(), figures });
}

fn note_objects(broker: &Broker) {
    let cells = broker.all_vhosts().into_iter().flat_map(|vhost| vhost.queues());
    // Looked at before the history is locked: nobody waits for it behind a queue.
    let mut seen = Objects {
        queues: cells.map(|cell| (cell.uid(), queue_figures(&cell))).collect(),
        ..Objects::default()
    };
    for vhost in broker.all_vhosts() {
        vhost.flows().look_at_all(|exchange, flow| {
            let key = ExchangeKey { vhost: vhost.name().clone(), exchange: exchange.into() };
            seen.exchanges.push((key, [flow.published, flow.routed]));
        });
    }
    broker.connections().look_at_all(|info| {
        seen.connections.push((info.id, [info.traffic.read_bytes, info.traffic.written_bytes]));
        let channels = info.channels.iter();
        seen.channels.extend(channels.map(|channel| ((info.id, channel.number), channel_figures(channel))));
    });
    broker.history().note_objects(clock::now_ms(), seen);
}

fn channel_figures(channel: &ChannelInfo) -> [u64; CHANNEL_FIGURES] {
    let counters = channel.counters;
    let mut figures = [0; CHANNEL_FIGURES];
    for (figure, value) in [
        (CHANNEL.publish, counters.published),
        (CHANNEL.confirm, counters.confirmed),
        (CHANNEL.return_unroutable, counters.returned),
        (CHANNEL.drop_unroutable, counters.dropped),
        (CHANNEL.deliver, counters.delivered),
        (CHANNEL.deliver_no_ack, counters.delivered_no_ack),
        (CHANNEL.get, counters.got),
        (CHANNEL.get_no_ack, counters.got_no_ack),
        (CHANNEL.get_empty, counters.got_nothing),
        (CHANNEL.redeliver, counters.redelivered),
        (CHANNEL.ack, counters.acked),
    ] {
        figures[figure] = value;
    }
    figures
}

fn queue_figures(cell: &QueueCell) -> [u64; QUEUE_FIGURES] {
    let (info, counters) = (cell.info(), cell.counters());
    let Counters { published, delivered, delivered_no_ack, got, got_no_ack, redelivered, acked, .. } =
        counters;
    let mut figures = [0; QUEUE_FIGURES];
    for (figure, value) in [
        (QUEUE.published, published),
        (QUEUE.delivered, delivered),
        (QUEUE.delivered_no_ack, delivered_no_ack),
        (QUEUE.got, got),
        (QUEUE.got_no_ack, got_no_ack),
        (QUEUE.redelivered, redelivered),
        (QUEUE.acked, acked),
        (QUEUE.ready, info.ready),
        (QUEUE.unacked, info.unacked),
    ] {
        figures[figure] = value;
    }
    figures
}

const OBJECTS_EVERY: u64 = 5;
