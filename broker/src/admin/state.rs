//! The broker as the admin API sees it: collected from queues, connections and counters.
//!
//! Lists are of one vhost or, without a name, of all; a vhost that does not exist has nothing. They come in any order and
//! without regard to who asks: order, filters and permissions are applied by the routes. Collecting may take its time: it
//! does not belong on a thread that carries messages.
//!
//! Lists lock one thing at a time and for a short while, so they are no picture of one moment: a message may be counted
//! twice or not at all while it moves. A vhost's queues are looked at in batches; between them others may declare.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use leveret_core::auth::User;
use leveret_core::policy::Applied;
use leveret_core::queue::{ConnectionId, Info};
use leveret_core::session::channel::{ChannelCounters, ChannelInfo};
use leveret_core::session::host::Destination;
use leveret_core::vhost::QueueDefinition;
use leveret_protocol::admin::requests::{AuthAttempts, AuthAttemptsBySource};
use leveret_protocol::admin::{
    Alarm, Application, Arguments, Binding, Channel, ChannelDetails, ChurnRates, Connection,
    ConnectionDetails, Consumer, Exchange, ExchangeStats, Listener, MessageStats, NamedFeature, Node,
    ObjectTotals, Overview, Queue, QueueName, QueueTotals, Rate, Vhost, arguments,
};
use leveret_protocol::table::Value;

use super::{Metrics, views};
use crate::broker::{self, Broker, Listening};
use crate::connections::ConnectionInfo;
use crate::history::{CHANNEL, CHANNEL_FIGURES, CONNECTION, EXCHANGE, QUEUE, QUEUE_FIGURES, TOTAL};
use crate::metrics::LoginSource;
use crate::queue_host::{ConsumerInfo, Counters, QueueCell};
use crate::runtime;

/// The whole broker at a glance.
pub fn overview(broker: &Broker) -> Overview {
    let sums = Sums::of(broker);
    let metrics = broker.metrics();
    let rates = broker.history().total_rates();
    let mut of_queues = [0.0; QUEUE_FIGURES];
    for (queue, total) in [
        (QUEUE.delivered, TOTAL.deliver),
        (QUEUE.delivered_no_ack, TOTAL.deliver_no_ack),
        (QUEUE.got, TOTAL.get),
        (QUEUE.got_no_ack, TOTAL.get_no_ack),
        (QUEUE.redelivered, TOTAL.redeliver),
        (QUEUE.acked, TOTAL.ack),
        (QUEUE.ready, TOTAL.ready),
        (QUEUE.unacked, TOTAL.unacked),
    ] {
        of_queues[queue] = rates[total];
    }
    let cap = |counter: &std::sync::atomic::AtomicU64| narrow(counter.load(Relaxed));
    Overview {
        management_version: RABBITMQ_VERSION.to_owned(),
        rates_mode: RATES_MODE.to_owned(),
        product_name: PRODUCT.to_owned(),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        rabbitmq_version: RABBITMQ_VERSION.to_owned(),
        cluster_name: broker.cluster_name(),
        cluster_tags: broker.cluster_tags(),
        node: node_name().to_owned(),
        exchange_types: views::exchange_types(),
        message_stats: MessageStats {
            publish: metrics.published.load(Relaxed),
            confirm: confirmed(broker, sums.unconfirmed),
            return_unroutable: metrics.returned.load(Relaxed),
            drop_unroutable: dropped(broker),
            get_empty: metrics.get_empty.load(Relaxed),
            publish_details: Rate::new(rates[TOTAL.publish]),
            confirm_details: Rate::new(rates[TOTAL.confirm]),
            return_unroutable_details: Rate::new(rates[TOTAL.return_unroutable]),
            drop_unroutable_details: Rate::new(rates[TOTAL.drop_unroutable]),
            get_empty_details: Rate::new(rates[TOTAL.get_empty]),
            ..message_stats(sums.counters, &of_queues)
        },
        churn_rates: ChurnRates {
            connection_created: cap(&metrics.connections_opened),
            connection_closed: cap(&metrics.connections_closed),
            channel_created: cap(&metrics.channels_opened),
            channel_closed: cap(&metrics.channels_closed),
            queue_declared: cap(&metrics.queues_declared),
            queue_created: cap(&metrics.queues_created),
            queue_deleted: cap(&metrics.queues_deleted),
        },
        queue_totals: totals(sums.ready, sums.unacked, &of_queues),
        object_totals: ObjectTotals {
            connections: broker.connections().len() as u64,
            channels: sums.channels,
            queues: sums.queues,
            exchanges: sums.exchanges,
            consumers: sums.consumers,
        },
        enable_queue_totals: true,
        listeners: broker.listeners().iter().map(listener).collect(),
        ..Overview::default()
    }
}

/// The nodes of the cluster.
pub fn nodes(broker: &Broker) -> Vec<Node> {
    let rates = broker.history().total_rates();
    let (usage, files) = (broker.alarms().usage(), Files::count());
    let tasks =
        tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    let config = broker.config();
    let mechanism = |name: &String| NamedFeature {
        name: name.clone(),
        description: format!("SASL {name}"),
        enabled: true,
    };
    let application = |name: &str, description: &str, version: &str| Application {
        name: name.to_owned(),
        description: description.to_owned(),
        version: version.to_owned(),
    };
    vec![Node {
        name: node_name().to_owned(),
        kind: "disc".to_owned(),
        running: true,
        uptime: narrow(u64::try_from(broker.uptime().as_millis()).unwrap_or(u64::MAX)),
        os_pid: std::process::id().to_string(),
        processors: narrow(runtime::threads(&config.runtime) as u64),
        fd_used: narrow(files.open),
        fd_total: narrow(files.max),
        sockets_used: narrow(broker.connections().len() as u64),
        sockets_total: narrow(files.max),
        proc_used: narrow(tasks as u64),
        proc_total: TASKS_MAX,
        mem_used: usage.memory_bytes,
        mem_used_details: Rate::new(rates[TOTAL.memory_bytes]),
        fd_used_details: Rate::new(rates[TOTAL.open_files]),
        sockets_used_details: Rate::new(rates[TOTAL.connections]),
        disk_free_details: Rate::new(rates[TOTAL.disk_free_bytes]),
        mem_limit: broker.alarms().memory_limit_bytes(),
        mem_alarm: broker.alarms().memory(),
        disk_free: usage.disk_free_bytes,
        disk_free_limit: broker.alarms().disk_free_limit_bytes(),
        disk_free_alarm: broker.alarms().disk(),
        rates_mode: RATES_MODE.to_owned(),
        rabbitmq_version: RABBITMQ_VERSION.to_owned(),
        applications: vec![
            application("leveret", PRODUCT, env!("CARGO_PKG_VERSION")),
            application("rabbit", "The version that tools may take this broker for", RABBITMQ_VERSION),
        ],
        exchange_types: views::exchange_types(),
        auth_mechanisms: broker.session_config().mechanisms.iter().map(mechanism).collect(),
        db_dir: config.data_dir.display().to_string(),
        being_drained: broker.is_stopping(),
        ..Node::default()
    }]
}

/// All vhosts.
pub fn vhosts(broker: &Broker) -> Vec<Vhost> {
    let records: Vec<_> = broker.vhost_records().read().iter().cloned().collect();
    let filled = records.iter().map(|record| {
        let mut sums = Sums::default();
        let mut rates = [0.0; QUEUE_FIGURES];
        if let Some(vhost) = broker.vhost(&record.name) {
            sums.add_queues(&vhost);
            for cell in vhost.queues() {
                let of_queue = broker.history().queue_rates(cell.uid());
                rates.iter_mut().zip(of_queue).for_each(|(sum, rate)| *sum += rate);
            }
        }
        Vhost {
            totals: totals(sums.ready, sums.unacked, &rates),
            message_stats: message_stats(sums.counters, &rates),
            ..views::vhost(record, node_name())
        }
    });
    filled.collect()
}

/// Queues.
pub fn queues(broker: &Broker, vhost: Option<&str>) -> Vec<Queue> {
    let mut queues = Vec::new();
    for vhost in asked_for(broker, vhost) {
        for cells in vhost.queues().chunks(QUEUES_PER_LOCK) {
            let topology = vhost.topology();
            for cell in cells {
                if let Some((definition, current)) = topology.queue(cell.name()) {
                    let applied = topology.applied_to_queue(cell.name());
                    queues.push(view_queue(broker, definition, current, applied));
                }
            }
        }
    }
    queues
}

/// One queue, with its consumers.
pub fn queue(broker: &Broker, vhost: &str, name: &str) -> Option<Queue> {
    let vhost = broker.vhost(vhost)?;
    let topology = vhost.topology();
    let (definition, cell) = topology.queue(name)?;
    let consumer_details = Some(view_consumers(broker, cell));
    let applied = topology.applied_to_queue(name);
    Some(Queue { consumer_details, ..view_queue(broker, definition, cell, applied) })
}

/// One queue, without what others have to do with it.
pub fn queue_alone(broker: &Broker, vhost: &str, name: &str) -> Option<Queue> {
    let vhost = broker.vhost(vhost)?;
    let topology = vhost.topology();
    let (definition, cell) = topology.queue(name)?;
    Some(view_queue(broker, definition, cell, topology.applied_to_queue(name)))
}

/// What a queue is doing, in a word.
pub fn queue_state(info: &Info) -> &'static str {
    if info.paused { "paused" } else { "running" }
}

/// Exchanges.
pub fn exchanges(broker: &Broker, vhost: Option<&str>) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for vhost in asked_for(broker, vhost) {
        let topology = vhost.topology();
        exchanges.extend(topology.exchanges().map(|definition| {
            let applied = topology.applied_to_exchange(&definition.name);
            view_exchange(broker, &vhost, definition, applied)
        }));
    }
    exchanges
}

/// One exchange.
pub fn exchange(broker: &Broker, vhost: &str, name: &str) -> Option<Exchange> {
    let vhost = broker.vhost(vhost)?;
    let topology = vhost.topology();
    let applied = topology.applied_to_exchange(name);
    Some(view_exchange(broker, &vhost, topology.exchange(name)?, applied))
}

/// Bindings, those of the default exchange included.
pub fn bindings(broker: &Broker, vhost: Option<&str>) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for vhost in asked_for(broker, vhost) {
        let topology = vhost.topology();
        bindings.extend(topology.queues().map(|(queue, _)| default_binding(vhost.name(), &queue.name)));
        bindings.extend(topology.bindings().map(|found| view_binding(vhost.name(), &found)));
    }
    bindings
}

/// Open connections.
pub fn connections(broker: &Broker) -> Vec<Connection> {
    identified_connections(broker).into_iter().map(|(_, connection)| connection).collect()
}

/// Open connections, each with what the broker knows it by.
pub fn identified_connections(broker: &Broker) -> Vec<(ConnectionId, Connection)> {
    let mut connections = Vec::new();
    broker.connections().look_at_all(|info| connections.push((info.id, view_connection(broker, info))));
    connections
}

/// A connection by name.
pub fn connection(broker: &Broker, name: &str) -> Option<(ConnectionId, Connection)> {
    let mut found = None;
    broker.connections().look_at_all(|info| {
        if found.is_none() && info.name() == name {
            found = Some((info.id, view_connection(broker, info)));
        }
    });
    found
}

/// Where the broker listens.
pub fn listeners(broker: &Broker) -> Vec<Listener> {
    broker.listeners().iter().map(listener).collect()
}

/// Files that are open.
pub fn open_files() -> u64 {
    Files::count().open
}

/// The queues of one vhost or of all, not looked at yet.
pub fn queue_cells(broker: &Broker, vhost: Option<&str>) -> Vec<Arc<QueueCell>> {
    asked_for(broker, vhost).iter().flat_map(|vhost| vhost.queues()).collect()
}

/// What [`queues`] shows of one of them; `None` when it was deleted.
pub fn queue_of(broker: &Broker, cell: &QueueCell) -> Option<Queue> {
    let vhost = broker.vhost(cell.vhost())?;
    let topology = vhost.topology();
    let (definition, current) = topology.queue(cell.name())?;
    Some(view_queue(broker, definition, current, topology.applied_to_queue(cell.name())))
}

/// A figure of a queue by the path of its field, when it is had without looking at all of the queue.
pub fn queue_figure(broker: &Broker, cell: &QueueCell, path: &str) -> Option<f64> {
    let rate = |figures: &[usize]| {
        let rates = broker.history().queue_rates(cell.uid());
        figures.iter().map(|figure| rates[*figure]).sum()
    };
    let of = |figure: fn(&Info) -> u64| figure(&cell.info()) as f64;
    Some(match path {
        "messages" => of(|info| info.ready + info.unacked),
        "messages_ready" => of(|info| info.ready),
        "messages_unacknowledged" => of(|info| info.unacked),
        "consumers" => of(|info| info.consumers),
        "message_bytes" => of(|info| info.ready_bytes + info.unacked_bytes),
        "message_bytes_ready" => of(|info| info.ready_bytes),
        "message_bytes_unacknowledged" => of(|info| info.unacked_bytes),
        "memory" => of(|info| info.resident_bytes + info.unacked_bytes),
        "messages_details.rate" => rate(&[QUEUE.ready, QUEUE.unacked]),
        "messages_ready_details.rate" => rate(&[QUEUE.ready]),
        "message_stats.publish_details.rate" => rate(&[QUEUE.published]),
        "message_stats.ack_details.rate" => rate(&[QUEUE.acked]),
        "message_stats.deliver_get_details.rate" => {
            rate(&[QUEUE.delivered, QUEUE.delivered_no_ack, QUEUE.got, QUEUE.got_no_ack])
        }
        _ => return None,
    })
}

/// How many connections the limit on open files allows.
pub fn connection_limit() -> u64 {
    runtime::file_limit().unwrap_or(u64::MAX)
}

/// Logins by protocol.
pub fn auth_attempts(broker: &Broker) -> Vec<AuthAttempts> {
    let logins = broker.metrics().logins();
    let attempts = |protocol: &str, (succeeded, failed): (u64, u64)| AuthAttempts {
        protocol: protocol.to_owned(),
        auth_attempts: succeeded + failed,
        auth_attempts_failed: failed,
        auth_attempts_succeeded: succeeded,
    };
    vec![attempts("amqp091", logins.amqp), attempts("http", logins.http)]
}

/// Logins by where they came from, the latest first.
pub fn auth_attempts_by_source(broker: &Broker) -> Vec<AuthAttemptsBySource> {
    let sources = broker.metrics().login_sources.lock().list();
    let view = |(source, (succeeded, failed)): (LoginSource, (u64, u64))| AuthAttemptsBySource {
        remote_address: source.address.to_string(),
        username: source.user,
        attempts: AuthAttempts {
            protocol: source.protocol.to_owned(),
            auth_attempts: succeeded + failed,
            auth_attempts_failed: failed,
            auth_attempts_succeeded: succeeded,
        },
    };
    sources.into_iter().map(view).collect()
}

/// What takes memory.
pub struct Memory {
    pub total_bytes: u64,
    /// Messages that queues hold.
    pub queues_bytes: u64,
    /// What waits to be sent.
    pub connections_bytes: u64,
}

/// What takes memory now.
pub fn memory(broker: &Broker) -> Memory {
    let mut memory =
        Memory { total_bytes: broker.alarms().usage().memory_bytes, queues_bytes: 0, connections_bytes: 0 };
    for cell in broker.all_vhosts().iter().flat_map(|vhost| vhost.queues()) {
        let info = cell.info();
        memory.queues_bytes += info.resident_bytes + info.unacked_bytes;
    }
    broker.connections().look_at_all(|info| memory.connections_bytes += info.traffic.unsent_bytes);
    memory
}

/// Open channels.
pub fn channels(broker: &Broker) -> Vec<Channel> {
    identified_channels(broker).into_iter().map(|(_, channel)| channel).collect()
}

/// Open channels, each with its connection.
pub fn identified_channels(broker: &Broker) -> Vec<(ConnectionId, Channel)> {
    let mut channels = Vec::new();
    broker.connections().look_at_all(|info| {
        let of_connection = info.channels.iter();
        channels.extend(of_connection.map(|seen| (info.id, view_channel(broker, info, seen))));
    });
    channels
}

/// A channel by name, and its connection.
pub fn channel(broker: &Broker, name: &str) -> Option<(ConnectionId, Channel)> {
    let (connection, number) = name.strip_suffix(')')?.rsplit_once(" (")?;
    let number: u16 = number.parse().ok()?;
    let mut found = None;
    broker.connections().look_at_all(|info| {
        if found.is_none()
            && info.name() == connection
            && let Some(seen) = info.channels.iter().find(|seen| seen.number == number)
        {
            found = Some((info.id, view_channel(broker, info, seen)));
        }
    });
    found
}

/// Consumers.
pub fn consumers(broker: &Broker, vhost: Option<&str>) -> Vec<Consumer> {
    let cells = asked_for(broker, vhost).into_iter().flat_map(|vhost| vhost.queues());
    cells.flat_map(|cell| view_consumers(broker, &cell)).collect()
}

/// All users.
pub fn users(broker: &Broker) -> Vec<Arc<User>> {
    broker.users().read().iter().cloned().collect()
}

/// Resources that run short now.
pub fn alarms(broker: &Broker) -> Vec<Alarm> {
    let alarms = broker.alarms();
    [(alarms.memory(), "memory"), (alarms.disk(), "disk")]
        .into_iter()
        .filter(|(raised, _)| *raised)
        .map(|(_, resource)| Alarm { node: node_name().to_owned(), resource: resource.to_owned() })
        .collect()
}

/// False while the broker starts, stops or is kept from serving.
pub fn is_in_service(broker: &Broker) -> bool {
    !broker.listeners().is_empty() && !broker.is_stopping() && !broker.store().poisoned()
}

/// The figures that Prometheus collects.
pub fn metrics(broker: &Broker) -> Metrics {
    let sums = Sums::of(broker);
    let (usage, files) = (broker.alarms().usage(), Files::count());
    let counted = broker.metrics();
    let Counters { delivered, delivered_no_ack, got, got_no_ack, redelivered, acked, .. } = sums.counters;
    Metrics {
        node: node_name().to_owned(),
        cluster: broker.cluster_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rabbitmq_version: RABBITMQ_VERSION.to_owned(),
        uptime_s: broker.uptime().as_secs_f64(),
        received: counted.published.load(Relaxed),
        received_confirm: counted.published_confirm.load(Relaxed),
        confirmed: confirmed(broker, sums.unconfirmed),
        routed: counted.routed.load(Relaxed),
        unroutable_dropped: dropped(broker),
        unroutable_returned: counted.returned.load(Relaxed),
        delivered_consume_auto_ack: delivered_no_ack,
        delivered_consume_manual_ack: delivered,
        delivered_get_auto_ack: got_no_ack,
        delivered_get_manual_ack: got,
        get_empty: counted.get_empty.load(Relaxed),
        redelivered,
        acknowledged: acked,
        deduplicated: counted.deduplicated.load(Relaxed) + sums.counters.deduplicated,
        publishers: sums.publishers,
        consumers: sums.consumers,
        connections: broker.connections().len() as u64,
        channels: sums.channels,
        queues: sums.queues,
        messages_ready: sums.ready,
        messages_unacked: sums.unacked,
        connections_opened: counted.connections_opened.load(Relaxed),
        connections_closed: counted.connections_closed.load(Relaxed),
        channels_opened: counted.channels_opened.load(Relaxed),
        channels_closed: counted.channels_closed.load(Relaxed),
        queues_declared: counted.queues_declared.load(Relaxed),
        queues_created: counted.queues_created.load(Relaxed),
        queues_deleted: counted.queues_deleted.load(Relaxed),
        bytes_read: counted.bytes_read.load(Relaxed),
        bytes_written: counted.bytes_written.load(Relaxed),
        logins_succeeded: counted.logins.load(Relaxed),
        logins_failed: counted.logins_failed.load(Relaxed),
        memory_bytes: usage.memory_bytes,
        memory_limit_bytes: broker.alarms().memory_limit_bytes(),
        disk_free_bytes: usage.disk_free_bytes,
        disk_free_limit_bytes: broker.alarms().disk_free_limit_bytes(),
        open_fds: files.open,
        max_fds: files.max,
        memory_alarm: broker.alarms().memory(),
        disk_alarm: broker.alarms().disk(),
        store_backlog_bytes: broker.store().backlog_bytes() as u64,
        resident_message_bytes: broker.resident_message_bytes(),
        history_bytes: broker.history().memory_bytes() as u64,
        store: broker.store().stats(),
        ..Metrics::default()
    }
}

fn asked_for(broker: &Broker, vhost: Option<&str>) -> Vec<Arc<broker::Vhost>> {
    match vhost {
        Some(name) => broker.vhost(name).into_iter().collect(),
        None => broker.all_vhosts(),
    }
}

fn view_queue(
    broker: &Broker,
    definition: &QueueDefinition,
    cell: &QueueCell,
    applied: Option<&Applied>,
) -> Queue {
    let (info, counters) = (cell.info(), cell.counters());
    let rates = broker.history().queue_rates(cell.uid());
    let consumers = if info.consumers > 0 { cell.consumers() } else { Vec::new() };
    let could_deliver = if info.consumers > 0 && info.ready == 0 { 1.0 } else { 0.0 };
    let tag = |wanted: &dyn Fn(&ConsumerInfo) -> bool| {
        consumers.iter().find(|consumer| wanted(consumer)).map(|found| found.consumer_tag.to_string())
    };
    let owner = definition.exclusive_owner;
    Queue {
        name: definition.name.clone(),
        vhost: cell.vhost().to_string(),
        kind: definition.options.kind.name().to_owned(),
        durable: definition.durable,
        auto_delete: definition.auto_delete,
        exclusive: owner.is_some(),
        arguments: arguments(&definition.arguments),
        node: node_name().to_owned(),
        state: queue_state(&info).to_owned(),
        consumers: u16::try_from(info.consumers).unwrap_or(u16::MAX),
        consumer_utilisation: could_deliver,
        consumer_capacity: could_deliver,
        totals: totals(info.ready, info.unacked, &rates),
        messages_waiting: info.waiting,
        messages_ram: info.ready - info.paged.min(info.ready) + info.unacked,
        message_bytes: info.ready_bytes + info.unacked_bytes,
        message_bytes_ready: info.ready_bytes,
        message_bytes_unacknowledged: info.unacked_bytes,
        message_bytes_ram: info.resident_bytes + info.unacked_bytes,
        memory: info.resident_bytes + info.unacked_bytes,
        policy: applied.and_then(|applied| Some(applied.policy.as_ref()?.name.clone())),
        operator_policy: applied.and_then(|applied| Some(applied.operator_policy.as_ref()?.name.clone())),
        effective_policy_definition: applied.map(|applied| applied.definition.clone()).unwrap_or_default(),
        exclusive_consumer_tag: tag(&|consumer| consumer.exclusive),
        single_active_consumer_tag: tag(&|consumer| cell.is_single_active() && consumer.active),
        owner_pid_details: owner.and_then(|owner| broker.connections().look(owner, connection_details)),
        message_stats: message_stats(counters, &rates),
        ..Queue::default()
    }
}

/// A channel as others refer to it. Of a connection that is just gone there is nothing to tell.
pub fn channel_details(broker: &Broker, connection: ConnectionId, channel: u16) -> ChannelDetails {
    let details = |info: &ConnectionInfo| ChannelDetails {
        name: channel_name(info, channel),
        number: channel,
        connection_name: info.name(),
        node: node_name().to_owned(),
        peer_host: info.peer.ip().to_string(),
        peer_port: info.peer.port(),
        user: info.user.clone(),
    };
    broker.connections().look(connection, details).unwrap_or_default()
}

fn view_consumers(broker: &Broker, cell: &QueueCell) -> Vec<Consumer> {
    let single_active = cell.is_single_active();
    let timeout_ms = cell.config().consumer_timeout_ms.unwrap_or(0);
    let view = |consumer: ConsumerInfo| {
        let status = match (single_active, consumer.active) {
            (false, _) => "up",
            (true, true) => "single_active",
            (true, false) => "waiting",
        };
        let priority = (consumer.priority != 0).then(|| ("x-priority".to_owned(), consumer.priority.into()));
        Consumer {
            consumer_tag: consumer.consumer_tag.to_string(),
            queue: QueueName { name: cell.name().to_string(), vhost: cell.vhost().to_string() },
            channel_details: channel_details(broker, consumer.connection, consumer.channel),
            ack_required: !consumer.no_ack,
            exclusive: consumer.exclusive,
            active: consumer.active,
            activity_status: status.to_owned(),
            prefetch_count: consumer.prefetch,
            consumer_timeout: timeout_ms,
            arguments: priority.into_iter().collect(),
        }
    };
    cell.consumers().into_iter().map(view).collect()
}

/// Confirms sent: what was published for them and does not wait any more. What waits is known to the second, so the
/// figure may be a little behind; it never falls.
pub fn confirmed(broker: &Broker, unconfirmed: u64) -> u64 {
    let metrics = broker.metrics();
    let confirmed = metrics.published_confirm.load(Relaxed).saturating_sub(unconfirmed);
    metrics.confirmed.fetch_max(confirmed, Relaxed).max(confirmed)
}

/// Unroutable messages that nobody was told of.
pub fn dropped(broker: &Broker) -> u64 {
    let metrics = broker.metrics();
    metrics.unroutable.load(Relaxed).saturating_sub(metrics.returned.load(Relaxed))
}

/// Figures over all queues and connections.
#[derive(Default)]
pub struct Sums {
    queues: u64,
    exchanges: u64,
    consumers: u64,
    channels: u64,
    /// Connections that published, which stand for their channels.
    publishers: u64,
    pub unconfirmed: u64,
    pub ready: u64,
    pub unacked: u64,
    pub counters: Counters,
}

impl Sums {
    /// Adds up.
    pub fn of(broker: &Broker) -> Sums {
        let mut sums = Sums::default();
        for vhost in broker.all_vhosts() {
            sums.exchanges += vhost.topology().exchange_count() as u64;
            sums.add_queues(&vhost);
        }
        sums.counters += *broker.metrics().deleted_queues.lock();
        broker.connections().look_at_all(|info| {
            sums.channels += info.channels.len() as u64;
            sums.publishers += u64::from(info.publishes);
            sums.unconfirmed += info.channels.iter().map(|channel| channel.messages_unconfirmed).sum::<u64>();
        });
        sums
    }

    fn add_queues(&mut self, vhost: &broker::Vhost) {
        for cell in vhost.queues() {
            let info = cell.info();
            self.queues += 1;
            self.consumers += info.consumers;
            self.ready += info.ready;
            self.unacked += info.unacked;
            self.counters += cell.counters();
        }
    }
}

fn totals(ready: u64, unacked: u64, rates: &[f64; QUEUE_FIGURES]) -> QueueTotals {
    let (ready_rate, unacked_rate) = (rates[QUEUE.ready], rates[QUEUE.unacked]);
    QueueTotals {
        messages: ready + unacked,
        messages_ready: ready,
        messages_unacknowledged: unacked,
        messages_details: Rate::new(ready_rate + unacked_rate),
        messages_ready_details: Rate::new(ready_rate),
        messages_unacknowledged_details: Rate::new(unacked_rate),
    }
}

fn message_stats(counters: Counters, rates: &[f64; QUEUE_FIGURES]) -> MessageStats {
    let rate = |figures: &[usize]| Rate::new(figures.iter().map(|figure| rates[*figure]).sum());
    let Counters { published, delivered, delivered_no_ack, got, got_no_ack, redelivered, acked, .. } =
        counters;
    MessageStats {
        publish: published,
        deliver: delivered,
        deliver_no_ack: delivered_no_ack,
        get: got,
        get_no_ack: got_no_ack,
        deliver_get: delivered + delivered_no_ack + got + got_no_ack,
        redeliver: redelivered,
        ack: acked,
        publish_details: rate(&[QUEUE.published]),
        deliver_details: rate(&[QUEUE.delivered]),
        deliver_no_ack_details: rate(&[QUEUE.delivered_no_ack]),
        get_details: rate(&[QUEUE.got]),
        get_no_ack_details: rate(&[QUEUE.got_no_ack]),
        deliver_get_details: rate(&[QUEUE.delivered, QUEUE.delivered_no_ack, QUEUE.got, QUEUE.got_no_ack]),
        redeliver_details: rate(&[QUEUE.redelivered]),
        ack_details: rate(&[QUEUE.acked]),
        ..MessageStats::default()
    }
}

fn channel_stats(counters: ChannelCounters, rates: &[f64; CHANNEL_FIGURES]) -> MessageStats {
    let rate = |figures: &[usize]| Rate::new(figures.iter().map(|figure| rates[*figure]).sum());
    MessageStats {
        publish: counters.published,
        publish_details: rate(&[CHANNEL.publish]),
        confirm: counters.confirmed,
        confirm_details: rate(&[CHANNEL.confirm]),
        return_unroutable: counters.returned,
        return_unroutable_details: rate(&[CHANNEL.return_unroutable]),
        drop_unroutable: counters.dropped,
        drop_unroutable_details: rate(&[CHANNEL.drop_unroutable]),
        deliver: counters.delivered,
        deliver_details: rate(&[CHANNEL.deliver]),
        deliver_no_ack: counters.delivered_no_ack,
        deliver_no_ack_details: rate(&[CHANNEL.deliver_no_ack]),
        get: counters.got,
        get_details: rate(&[CHANNEL.get]),
        get_no_ack: counters.got_no_ack,
        get_no_ack_details: rate(&[CHANNEL.get_no_ack]),
        get_empty: counters.got_nothing,
        get_empty_details: rate(&[CHANNEL.get_empty]),
        deliver_get: counters.delivered + counters.delivered_no_ack + counters.got + counters.got_no_ack,
        deliver_get_details: rate(&[
            CHANNEL.deliver,
            CHANNEL.deliver_no_ack,
            CHANNEL.get,
            CHANNEL.get_no_ack,
        ]),
        redeliver: counters.redelivered,
        redeliver_details: rate(&[CHANNEL.redeliver]),
        ack: counters.acked,
        ack_details: rate(&[CHANNEL.ack]),
    }
}

fn view_exchange(
    broker: &Broker,
    vhost: &broker::Vhost,
    definition: &leveret_core::vhost::ExchangeDefinition,
    applied: Option<&Applied>,
) -> Exchange {
    // Only delayed exchanges have a uid.
    let delayed = (definition.uid != 0).then(|| broker.delayed_exchange(definition.uid)).flatten();
    let (publish_in, publish_out) = vhost.flows().of_exchange(&definition.name);
    let rates = broker.history().exchange_rates(vhost.name(), &definition.name);
    let message_stats = ExchangeStats {
        publish_in,
        publish_in_details: Rate::new(rates[EXCHANGE.publish_in]),
        publish_out,
        publish_out_details: Rate::new(rates[EXCHANGE.publish_out]),
    };
    Exchange {
        messages_delayed: delayed.map(|exchange| exchange.held().messages),
        name: definition.name.clone(),
        vhost: vhost.name().to_string(),
        kind: definition.kind.name().to_owned(),
        durable: definition.durable,
        auto_delete: definition.auto_delete,
        internal: definition.internal,
        arguments: arguments(&definition.arguments),
        policy: applied.and_then(|applied| Some(applied.policy.as_ref()?.name.clone())),
        // RabbitMQ's name for itself, where nobody else declared it.
        user_who_performed_action: match definition.user.as_str() {
            "" => "rmq-internal".to_owned(),
            user => user.to_owned(),
        },
        message_stats: Some(message_stats),
    }
}

/// A binding of a vhost.
pub fn view_binding(vhost: &str, binding: &leveret_core::session::host::Binding<'_>) -> Binding {
    let (destination, destination_type) = match binding.destination {
        Destination::Queue(name) => (name, "queue"),
        Destination::Exchange(name) => (name, "exchange"),
    };
    // Arguments were checked when the binding was made.
    let table = binding.arguments.to_table().unwrap_or_default();
    Binding {
        source: binding.source.to_owned(),
        vhost: vhost.to_owned(),
        destination: destination.to_owned(),
        destination_type: destination_type.to_owned(),
        routing_key: binding.routing_key.to_owned(),
        properties_key: views::properties_key(binding.routing_key, &table),
        arguments: arguments(&table),
    }
}

/// How every queue is bound to the default exchange.
fn default_binding(vhost: &str, queue: &str) -> Binding {
    Binding {
        source: String::new(),
        vhost: vhost.to_owned(),
        destination: queue.to_owned(),
        destination_type: "queue".to_owned(),
        routing_key: queue.to_owned(),
        arguments: Arguments::default(),
        properties_key: views::properties_key(queue, &Default::default()),
    }
}

fn view_connection(broker: &Broker, info: &ConnectionInfo) -> Connection {
    let rates = broker.history().connection_rates(info.id);
    let user_provided_name = match info.client_properties.get("connection_name") {
        Some(Value::LongString(name)) => Some(String::from_utf8_lossy(name).into_owned()),
        _ => None,
    };
    let state = match (info.blocked, info.vhost.as_str()) {
        (true, _) => "blocked",
        (false, "") => "starting",
        (false, _) if info.held_up => "flow",
        (false, _) => "running",
    };
    Connection {
        name: info.name(),
        user_provided_name,
        node: node_name().to_owned(),
        vhost: info.vhost.clone(),
        user: info.user.clone(),
        user_who_performed_action: info.user.clone(),
        protocol: "AMQP 0-9-1".to_owned(),
        kind: "network".to_owned(),
        state: state.to_owned(),
        auth_mechanism: info.auth_mechanism.clone(),
        ssl: info.tls,
        host: info.local.ip().to_string(),
        port: info.local.port(),
        peer_host: info.peer.ip().to_string(),
        peer_port: info.peer.port(),
        connected_at: info.connected_at_ms,
        channels: u16::try_from(info.channels.len()).unwrap_or(u16::MAX),
        channel_max: info.channel_max,
        frame_max: info.frame_max,
        timeout: info.heartbeat_s,
        client_properties: arguments(&info.client_properties),
        recv_oct: info.traffic.read_bytes,
        recv_oct_details: Rate::new(rates[CONNECTION.read_bytes]),
        recv_cnt: info.traffic.reads,
        send_oct: info.traffic.written_bytes,
        send_oct_details: Rate::new(rates[CONNECTION.written_bytes]),
        send_cnt: info.traffic.writes,
        send_pend: info.traffic.unsent_bytes,
        ..Connection::default()
    }
}

fn view_channel(broker: &Broker, info: &ConnectionInfo, seen: &ChannelInfo) -> Channel {
    let rates = broker.history().channel_rates(info.id, seen.number);
    Channel {
        name: channel_name(info, seen.number),
        number: seen.number,
        connection_details: connection_details(info),
        node: node_name().to_owned(),
        vhost: info.vhost.clone(),
        user: info.user.clone(),
        user_who_performed_action: info.user.clone(),
        state: "running".to_owned(),
        consumer_count: narrow(seen.consumer_count as u64),
        confirm: seen.confirm,
        transactional: seen.transactional,
        prefetch_count: seen.prefetch_count.into(),
        global_prefetch_count: seen.global_prefetch_count.into(),
        messages_unacknowledged: narrow(seen.messages_unacknowledged as u64),
        messages_unconfirmed: narrow(seen.messages_unconfirmed),
        messages_uncommitted: narrow(seen.messages_uncommitted as u64),
        acks_uncommitted: narrow(seen.acks_uncommitted as u64),
        message_stats: channel_stats(seen.counters, &rates),
        ..Channel::default()
    }
}

pub fn channel_name(info: &ConnectionInfo, number: u16) -> String {
    format!("{} ({number})", info.name())
}

fn connection_details(info: &ConnectionInfo) -> ConnectionDetails {
    ConnectionDetails {
        name: info.name(),
        peer_host: info.peer.ip().to_string(),
        peer_port: info.peer.port(),
    }
}

fn listener(listening: &Listening) -> Listener {
    let (protocol, tls) = match listening.protocol {
        "amqp" => ("amqp", false),
        "amqps" => ("amqp/ssl", true),
        "admin" => ("http", false),
        _ => ("https", true),
    };
    Listener {
        node: node_name().to_owned(),
        protocol: protocol.to_owned(),
        ip_address: listening.address.ip().to_string(),
        port: listening.address.port(),
        tls,
    }
}

/// `leveret@` and the machine's name up to its first dot.
pub fn node_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        match host.trim().split('.').next() {
            None | Some("") => "leveret@localhost".to_owned(),
            Some(host) => format!("leveret@{host}"),
        }
    })
}

/// Files that this process has open, and may.
struct Files {
    open: u64,
    max: u64,
}

impl Files {
    fn count() -> Files {
        // One of those counted is the folder being read.
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count().saturating_sub(1));
        Files { open: open as u64, max: runtime::file_limit().unwrap_or(u64::MAX) }
    }
}

/// A number for tools that read 32 bits: it stays at the largest.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const PRODUCT: &str = "Leveret";
/// Of RabbitMQ, whose API this is: tools decide by it what they may ask for.
pub const RABBITMQ_VERSION: &str = "4.1.0";
/// Rates of totals, queues and connections, not of each pair of them.
const RATES_MODE: &str = "basic";
/// RabbitMQ's default for Erlang's processes. Tasks have no bound; tools divide by it.
const TASKS_MAX: u32 = 1_048_576;
/// Queues that are looked at while a vhost's topology stays locked for reading.
const QUEUES_PER_LOCK: usize = 256;
