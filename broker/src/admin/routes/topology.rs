//! A vhost as a graph: who publishes to which exchange, what goes on to which queue, who takes it, and how much.
//!
//! What flows is counted from the exchange that messages were published to into queues (see [`crate::flows`]). Where
//! exchanges lie between, it is shown on the shortest way between the two.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::Query;
use leveret_core::session::host::Destination;
use leveret_protocol::admin::topology::{
    TopologyEdge, TopologyGraph, TopologyKind, TopologyLink, TopologyNode,
};

use super::*;
use crate::admin::live::alarms::application;
use crate::admin::live::flows::{ConsumerId, FlowRates};
use crate::admin::state;
use crate::broker::Vhost;
use crate::clock;
use crate::queue_host::QueueCell;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/topology",
            Who::Management,
            "A vhost as a graph, with what flows along its edges.",
            topology,
        )
        .query(&[("vhost", "The vhost; `/` if not given.")])
        .gives::<TopologyGraph>(),
    ]
}

async fn topology(
    State(broker): State<Arc<Broker>>,
    visitor: Visitor,
    query: Result<Query<HashMap<String, String>>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(query) = query.map_err(|_| ApiError::bad_request("the query string is malformed"))?;
    let name = query.get("vhost").map_or("/", String::as_str).to_owned();
    visitor.must_see_vhost(&broker, &name)?;
    broker.live().await_flows().await;
    answer(broker, move |broker| {
        let not_found = || ApiError::not_found(format!("vhost '{name}' not found"));
        let vhost = broker.vhost(&name).ok_or_else(not_found)?;
        Ok(Json(graph(broker, &vhost, &visitor)).into_response())
    })
    .await
}

fn graph(broker: &Broker, vhost: &Vhost, visitor: &Visitor) -> TopologyGraph {
    let flows = broker.live().flows();
    let mut builder =
        Builder { vhost, flows: &flows, nodes: Vec::new(), edges: Vec::new(), at: HashMap::new() };
    let truncated = builder.add_queues(broker);
    builder.add_exchanges();
    builder.add_flows();
    builder.add_publishers(broker, visitor);
    builder.finish(truncated)
}

struct Builder<'a> {
    vhost: &'a Vhost,
    flows: &'a FlowRates,
    nodes: Vec<TopologyNode>,
    edges: Vec<TopologyEdge>,
    /// Where in `edges` an edge is, by its ends and meaning.
    at: HashMap<(String, String, TopologyLink), usize>,
}

impl Builder<'_> {
    /// Queues with their consumers; true when some are left out.
    fn add_queues(&mut self, broker: &Broker) -> bool {
        let mut cells: Vec<(Arc<QueueCell>, u64)> = self
            .vhost
            .queues()
            .into_iter()
            .map(|cell| {
                let info = cell.info();
                let weight = info.ready + info.unacked + info.consumers;
                (cell, weight)
            })
            .collect();
        let truncated = cells.len() > QUEUES_MAX;
        if truncated {
            // Those with the most in them; which of the empty ones stay does not matter.
            cells.select_nth_unstable_by(QUEUES_MAX, |a, b| b.1.cmp(&a.1));
            cells.truncate(QUEUES_MAX);
        }
        let mut consumers_left = CONSUMERS_MAX;
        for (cell, _) in &cells {
            let id = queue_id(cell.name());
            let (kind, max_length) = {
                let topology = self.vhost.topology();
                let Some((definition, _)) = topology.queue(cell.name()) else { continue };
                let options = topology.options_in_force(definition);
                (options.kind.name(), options.max_length)
            };
            let info = cell.info();
            let mut rate_out = 0.0;
            for consumer in cell.consumers() {
                if consumers_left == 0 {
                    break;
                }
                consumers_left -= 1;
                let known = ConsumerId {
                    queue: cell.uid(),
                    connection: consumer.connection,
                    channel: consumer.channel,
                    tag: consumer.consumer_tag.clone(),
                };
                let rate = self.flows.consumer(&known);
                rate_out += rate;
                let (channel, detail) = broker
                    .connections()
                    .look(consumer.connection, |info| {
                        (state::channel_name(info, consumer.channel), application(info))
                    })
                    .unwrap_or_default();
                let consumer_id = format!("consumer:{}:{channel}:{}", cell.name(), consumer.consumer_tag);
                self.nodes.push(TopologyNode {
                    id: consumer_id.clone(),
                    kind: TopologyKind::Consumer,
                    name: consumer.consumer_tag.to_string(),
                    detail,
                    unacked: u64::from(consumer.held),
                    rate_in: rate,
                    state: if consumer.active { "running" } else { "idle" }.to_owned(),
                    ..TopologyNode::default()
                });
                self.edge(id.clone(), consumer_id, TopologyLink::Consume).rate = rate;
            }
            // In force, whether by an argument or a policy.
            if let Some(target) = cell.dead_letter_target() {
                let exchange = &target.exchange;
                let rate = self.flows.dead(cell.uid());
                self.edge(id.clone(), exchange_id(exchange), TopologyLink::DeadLetter).rate = rate;
                rate_out += rate;
            }
            self.nodes.push(TopologyNode {
                id,
                kind: TopologyKind::Queue,
                name: cell.name().to_string(),
                detail: kind.to_owned(),
                ready: info.ready,
                unacked: info.unacked,
                max_length,
                rate_out,
                state: state::queue_state(&info).to_owned(),
                ..TopologyNode::default()
            });
        }
        truncated
    }

    fn add_exchanges(&mut self) {
        let topology = self.vhost.topology();
        for definition in topology.exchanges() {
            let id = exchange_id(&definition.name);
            let rate = self.flows.exchange(self.vhost.name(), &definition.name);
            self.nodes.push(TopologyNode {
                id: id.clone(),
                kind: TopologyKind::Exchange,
                name: definition.name.clone(),
                detail: definition.kind.name().to_owned(),
                rate_in: rate.map_or(0.0, |rate| rate.published.rate),
                state: "running".to_owned(),
                ..TopologyNode::default()
            });
            if let Some(alternate) = topology.alternate_exchange(&definition.name) {
                self.edge(id, exchange_id(alternate), TopologyLink::AlternateExchange);
            }
        }
        for binding in topology.bindings() {
            let to = match binding.destination {
                Destination::Queue(queue) => queue_id(queue),
                Destination::Exchange(exchange) => exchange_id(exchange),
            };
            let edge = self.edge(exchange_id(binding.source), to, TopologyLink::Binding);
            edge.bindings += 1;
            if edge.keys.len() < KEYS_MAX {
                edge.keys.push(binding.routing_key.to_owned());
            }
        }
    }

    /// Puts what flows on the edges on its way.
    fn add_flows(&mut self) {
        let names: HashMap<u64, String> =
            self.vhost.queues().into_iter().map(|cell| (cell.uid(), cell.name().to_string())).collect();
        let mut next: HashMap<String, Vec<String>> = HashMap::new();
        for edge in &self.edges {
            if matches!(edge.link, TopologyLink::Binding | TopologyLink::AlternateExchange) {
                next.entry(edge.from.clone()).or_default().push(edge.to.clone());
            }
        }
        let exchanges: Vec<String> =
            self.vhost.topology().exchanges().map(|definition| definition.name.clone()).collect();
        for exchange in exchanges {
            let Some(rates) = self.flows.exchange(self.vhost.name(), &exchange) else { continue };
            let start = exchange_id(&exchange);
            let came_from = if exchange.is_empty() { HashMap::new() } else { ways(&start, &next) };
            for (uid, gauge) in &rates.queues {
                let Some(queue) = names.get(uid) else { continue };
                let mut at = queue_id(queue);
                if exchange.is_empty() {
                    // Every queue is bound to the default exchange; only where it is used is worth an edge.
                    let edge = self.edge(start.clone(), at, TopologyLink::Binding);
                    edge.rate += gauge.rate;
                    edge.bindings = 1;
                    edge.keys = vec![queue.clone()];
                    continue;
                }
                while at != start
                    && let Some(from) = came_from.get(&at)
                {
                    self.add_rate(from, &at, gauge.rate);
                    at = from.clone();
                }
            }
        }
    }

    fn add_rate(&mut self, from: &str, to: &str, rate: f64) {
        for link in [TopologyLink::Binding, TopologyLink::AlternateExchange] {
            if let Some(&at) = self.at.get(&(from.to_owned(), to.to_owned(), link)) {
                self.edges[at].rate += rate;
                return;
            }
        }
    }

    fn add_publishers(&mut self, broker: &Broker, visitor: &Visitor) {
        let mut publishers = Vec::new();
        broker.connections().look_at_all(|info| {
            let is_here = info.publishes && *info.vhost == **self.vhost.name();
            if is_here && visitor.sees_user(&info.user) && publishers.len() < PUBLISHERS_MAX {
                publishers.push((info.id, info.name(), application(info), info.blocked));
            }
        });
        for (connection, name, detail, is_blocked) in publishers {
            let Some(rates) = self.flows.publisher(connection) else { continue };
            let id = format!("publisher:{name}");
            for (exchange, gauge) in &rates.to {
                self.edge(id.clone(), exchange_id(exchange), TopologyLink::Publish).rate = gauge.rate;
            }
            self.nodes.push(TopologyNode {
                id,
                kind: TopologyKind::Publisher,
                name,
                detail,
                rate_out: rates.published.rate,
                state: if is_blocked { "blocked" } else { "running" }.to_owned(),
                ..TopologyNode::default()
            });
        }
    }

    /// The edge between the two, made when it is not there.
    fn edge(&mut self, from: String, to: String, link: TopologyLink) -> &mut TopologyEdge {
        let key = (from, to, link);
        let at = match self.at.get(&key) {
            Some(&at) => at,
            None => {
                let (from, to, link) = key.clone();
                self.edges.push(TopologyEdge { from, to, link, ..TopologyEdge::default() });
                self.at.insert(key, self.edges.len() - 1);
                self.edges.len() - 1
            }
        };
        &mut self.edges[at]
    }

    /// Takes out what leads nowhere, and sums up what goes through each node.
    fn finish(self, truncated: bool) -> TopologyGraph {
        let Builder { vhost, mut nodes, mut edges, .. } = self;
        let touched: std::collections::HashSet<&str> =
            edges.iter().flat_map(|edge| [edge.from.as_str(), edge.to.as_str()]).collect();
        // The exchanges that every vhost has are shown where they are used.
        nodes.retain(|node| {
            let is_predeclared = node.name.is_empty() || node.name.starts_with("amq.");
            node.kind != TopologyKind::Exchange || !is_predeclared || touched.contains(node.id.as_str())
        });
        let at: HashMap<String, usize> =
            nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        edges.retain(|edge| at.contains_key(&edge.from) && at.contains_key(&edge.to));
        for edge in &edges {
            let flows_in_exchanges =
                matches!(edge.link, TopologyLink::Binding | TopologyLink::AlternateExchange);
            if flows_in_exchanges {
                nodes[at[&edge.from]].rate_out += edge.rate;
                if nodes[at[&edge.to]].kind == TopologyKind::Queue || edge.link == TopologyLink::Binding {
                    nodes[at[&edge.to]].rate_in += edge.rate;
                }
            }
        }
        nodes.sort_by(|a, b| (a.kind, &a.name, &a.id).cmp(&(b.kind, &b.name, &b.id)));
        edges.sort_by(|a, b| (&a.from, &a.to, a.link).cmp(&(&b.from, &b.to, b.link)));
        TopologyGraph { vhost: vhost.name().to_string(), at: clock::now_ms(), nodes, edges, truncated }
    }
}

/// For everything that is reached from `start`, where the shortest way comes from.
fn ways(start: &str, next: &HashMap<String, Vec<String>>) -> HashMap<String, String> {
    let mut came_from = HashMap::new();
    let mut pending = VecDeque::from([start.to_owned()]);
    while let Some(from) = pending.pop_front() {
        for to in next.get(&from).into_iter().flatten() {
            if to != start && !came_from.contains_key(to) {
                came_from.insert(to.clone(), from.clone());
                pending.push_back(to.clone());
            }
        }
    }
    came_from
}

fn exchange_id(name: &str) -> String {
    format!("exchange:{name}")
}

fn queue_id(name: &str) -> String {
    format!("queue:{name}")
}

/// Queues in a graph; beyond, only those with the most in them.
const QUEUES_MAX: usize = 2000;
const CONSUMERS_MAX: usize = 4000;
const PUBLISHERS_MAX: usize = 1000;
/// Routing keys shown of an edge.
const KEYS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_way_is_found_and_circles_end() {
        let next: HashMap<String, Vec<String>> =
            [("a", vec!["b", "c"]), ("b", vec!["q", "a"]), ("c", vec!["b"])]
                .into_iter()
                .map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect()))
                .collect();
        let ways = ways("a", &next);
        assert_eq!((ways["q"].as_str(), ways["b"].as_str()), ("b", "a"));
        assert!(!ways.contains_key("a"));
    }
}
