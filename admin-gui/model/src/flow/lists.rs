//! The flow of a vhost from its lists, for brokers that do not tell it as a graph.
//!
//! Such a broker counts what comes into an exchange and into a queue, but not what passes a binding, nor which
//! connection publishes to which exchange. Rates of bindings are therefore estimated, and publishers are left out.

use std::collections::HashMap;

use leveret_protocol::admin::topology::{
    TopologyEdge, TopologyGraph, TopologyKind, TopologyLink, TopologyNode,
};
use leveret_protocol::admin::{Arguments, Binding, Consumer, Exchange, Queue};

use crate::Millis;

/// The lists of a broker.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    pub exchanges: &'a [Exchange],
    pub queues: &'a [Queue],
    pub bindings: &'a [Binding],
    pub consumers: &'a [Consumer],
}

/// Routing keys told of an edge.
const KEYS_MAX: usize = 8;

/// The graph of one vhost.
pub fn topology(vhost: &str, lists: Lists<'_>, now: Millis) -> TopologyGraph {
    let mut graph = TopologyGraph { vhost: vhost.to_owned(), at: now, ..TopologyGraph::default() };
    let exchanges: Vec<&Exchange> =
        lists.exchanges.iter().filter(|exchange| exchange.vhost == vhost).collect();
    let queues: HashMap<&str, &Queue> = lists
        .queues
        .iter()
        .filter(|queue| queue.vhost == vhost)
        .map(|queue| (queue.name.as_str(), queue))
        .collect();
    for exchange in &exchanges {
        graph.nodes.push(exchange_node(exchange));
        if let Some(to) = text(&exchange.arguments, "alternate-exchange") {
            graph.edges.push(edge(
                exchange_id(&exchange.name),
                exchange_id(to),
                TopologyLink::AlternateExchange,
                0.0,
            ));
        }
    }
    let mut names: Vec<&&str> = queues.keys().collect();
    names.sort_unstable();
    for queue in names.into_iter().filter_map(|name| queues.get(*name)) {
        graph.nodes.push(queue_node(queue));
        if let Some(to) = dead_letter_target(queue) {
            graph.edges.push(edge(queue_id(&queue.name), to, TopologyLink::DeadLetter, 0.0));
        }
    }
    add_bindings(&mut graph, vhost, lists.bindings, &exchanges, &queues);
    add_consumers(
        &mut graph,
        lists.consumers.iter().filter(|consumer| consumer.queue.vhost == vhost),
        &queues,
    );
    graph
}

/// Where the dead letters of a queue go: an exchange, or with the default exchange a queue.
fn dead_letter_target(queue: &Queue) -> Option<String> {
    let policy = &queue.effective_policy_definition;
    let exchange =
        text(&queue.arguments, "x-dead-letter-exchange").or_else(|| text(policy, "dead-letter-exchange"))?;
    if !exchange.is_empty() {
        return Some(exchange_id(exchange));
    }
    let key = text(&queue.arguments, "x-dead-letter-routing-key")
        .or_else(|| text(policy, "dead-letter-routing-key"))?;
    Some(queue_id(key))
}

fn add_bindings(
    graph: &mut TopologyGraph,
    vhost: &str,
    bindings: &[Binding],
    exchanges: &[&Exchange],
    queues: &HashMap<&str, &Queue>,
) {
    let busy: HashMap<&str, f64> = exchanges
        .iter()
        .map(|exchange| {
            let stats = exchange.message_stats.unwrap_or_default();
            let rate = stats.publish_in_details.per_second().max(stats.publish_out_details.per_second());
            (exchange.name.as_str(), rate)
        })
        .collect();
    let rate_of = |source: &str| busy.get(source).copied().unwrap_or(0.0);
    // What comes into a queue is shared among the exchanges bound to it, by how busy they are.
    let mut edges: Vec<TopologyEdge> = Vec::new();
    let mut index: HashMap<(&str, &str, &str), usize> = HashMap::new();
    let mut sources: HashMap<&str, f64> = HashMap::new();
    for binding in bindings.iter().filter(|binding| binding.vhost == vhost) {
        let is_queue = binding.destination_type != "exchange";
        let key = (binding.source.as_str(), binding.destination_type.as_str(), binding.destination.as_str());
        let at = *index.entry(key).or_insert_with(|| {
            if is_queue {
                *sources.entry(&binding.destination).or_default() += rate_of(&binding.source);
            }
            let to =
                if is_queue { queue_id(&binding.destination) } else { exchange_id(&binding.destination) };
            let rate =
                if is_queue { 0.0 } else { rate_of(&binding.destination).min(rate_of(&binding.source)) };
            edges.push(edge(exchange_id(&binding.source), to, TopologyLink::Binding, rate));
            edges.len() - 1
        });
        let Some(edge) = edges.get_mut(at) else { continue };
        edge.bindings += 1;
        if edge.keys.len() < KEYS_MAX {
            edge.keys.push(binding.routing_key.clone());
        }
    }
    for ((source, _, destination), at) in index {
        let (Some(edge), Some(queue)) = (edges.get_mut(at), queues.get(destination)) else { continue };
        let all = sources.get(destination).copied().unwrap_or(0.0);
        if edge.to == queue_id(destination) && all > 0.0 {
            edge.rate = queue.message_stats.publish_details.per_second() * rate_of(source) / all;
        }
    }
    graph.edges.append(&mut edges);
}

fn add_consumers<'a>(
    graph: &mut TopologyGraph,
    consumers: impl Iterator<Item = &'a Consumer>,
    queues: &HashMap<&str, &Queue>,
) {
    for consumer in consumers {
        let Some(queue) = queues.get(consumer.queue.name.as_str()) else { continue };
        let stats = &queue.message_stats;
        let delivered = stats.deliver_details.per_second() + stats.deliver_no_ack_details.per_second();
        let rate = if consumer.active || consumer.activity_status.is_empty() {
            delivered / f64::from(queue.consumers.max(1))
        } else {
            0.0
        };
        let id = format!("consumer:{}:{}", consumer.channel_details.name, consumer.consumer_tag);
        graph.edges.push(edge(queue_id(&queue.name), id.clone(), TopologyLink::Consume, rate));
        graph.nodes.push(TopologyNode {
            id,
            kind: TopologyKind::Consumer,
            name: consumer.consumer_tag.clone(),
            detail: consumer.channel_details.peer_host.clone(),
            rate_in: rate,
            state: "running".to_owned(),
            ..TopologyNode::default()
        });
    }
}

fn exchange_node(exchange: &Exchange) -> TopologyNode {
    let stats = exchange.message_stats.unwrap_or_default();
    TopologyNode {
        id: exchange_id(&exchange.name),
        kind: TopologyKind::Exchange,
        name: exchange.name.clone(),
        detail: exchange.kind.clone(),
        rate_in: stats.publish_in_details.per_second(),
        rate_out: stats.publish_out_details.per_second(),
        state: "running".to_owned(),
        ..TopologyNode::default()
    }
}

fn queue_node(queue: &Queue) -> TopologyNode {
    let limit = |table: &Arguments, name| table.get(name).and_then(serde_json::Value::as_u64);
    let stats = &queue.message_stats;
    let out = stats.deliver_get_details.per_second();
    TopologyNode {
        id: queue_id(&queue.name),
        kind: TopologyKind::Queue,
        name: queue.name.clone(),
        detail: queue.kind.clone(),
        ready: queue.totals.messages_ready,
        unacked: queue.totals.messages_unacknowledged,
        max_length: limit(&queue.arguments, "x-max-length")
            .or_else(|| limit(&queue.effective_policy_definition, "max-length")),
        rate_in: stats.publish_details.per_second(),
        rate_out: out,
        state: queue.state.clone(),
    }
}

fn edge(from: String, to: String, link: TopologyLink, rate: f64) -> TopologyEdge {
    TopologyEdge { from, to, link, rate, ..TopologyEdge::default() }
}

fn exchange_id(name: &str) -> String {
    format!("exchange:{name}")
}

fn queue_id(name: &str) -> String {
    format!("queue:{name}")
}

fn text<'a>(table: &'a Arguments, name: &str) -> Option<&'a str> {
    table.get(name).and_then(serde_json::Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_protocol::admin::{ExchangeStats, MessageStats, Rate};
    use serde_json::json;

    fn exchange(name: &str, rate: f64) -> Exchange {
        let stats = ExchangeStats { publish_in_details: Rate::new(rate), ..ExchangeStats::default() };
        Exchange { name: name.into(), vhost: "/".into(), message_stats: Some(stats), ..Exchange::default() }
    }

    fn queue(name: &str, rate: f64, arguments: serde_json::Value) -> Queue {
        let message_stats = MessageStats { publish_details: Rate::new(rate), ..MessageStats::default() };
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        Queue { name: name.into(), vhost: "/".into(), arguments, message_stats, ..Queue::default() }
    }

    fn binding(source: &str, destination: &str, key: &str) -> Binding {
        Binding {
            source: source.into(),
            vhost: "/".into(),
            destination: destination.into(),
            destination_type: "queue".into(),
            routing_key: key.into(),
            ..Binding::default()
        }
    }

    fn edges(graph: &TopologyGraph) -> Vec<String> {
        let of = |edge: &TopologyEdge| format!("{}>{} {:?} {}", edge.from, edge.to, edge.link, edge.rate);
        let mut edges: Vec<String> = graph.edges.iter().map(of).collect();
        edges.sort();
        edges
    }

    #[test]
    fn what_comes_into_a_queue_is_shared_among_the_exchanges_bound_to_it() {
        let lists = Lists {
            exchanges: &[exchange("a", 30.0), exchange("b", 10.0)],
            queues: &[queue("q", 20.0, json!({}))],
            bindings: &[binding("a", "q", "x"), binding("a", "q", "y"), binding("b", "q", "z")],
            consumers: &[],
        };
        let graph = topology("/", lists, 0);
        assert_eq!(edges(&graph), ["exchange:a>queue:q Binding 15", "exchange:b>queue:q Binding 5"]);
        assert_eq!((graph.edges[0].bindings, graph.edges[0].keys.len()), (2, 2));
    }

    #[test]
    fn dead_letters_go_to_an_exchange_or_by_name_to_a_queue() {
        let lists = Lists {
            exchanges: &[exchange("dlx", 0.0)],
            queues: &[
                queue("a", 0.0, json!({"x-dead-letter-exchange": "dlx"})),
                queue("b", 0.0, json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "c"})),
                queue("c", 0.0, json!({"x-dead-letter-exchange": ""})),
            ],
            bindings: &[],
            consumers: &[],
        };
        let graph = topology("/", lists, 0);
        assert_eq!(edges(&graph), ["queue:a>exchange:dlx DeadLetter 0", "queue:b>queue:c DeadLetter 0"]);
    }

    #[test]
    fn other_vhosts_are_not_shown() {
        let lists = Lists {
            exchanges: &[exchange("a", 0.0)],
            queues: &[queue("q", 0.0, json!({}))],
            bindings: &[binding("a", "q", "")],
            consumers: &[],
        };
        assert_eq!(topology("other", lists, 0).nodes, []);
    }
}
