//! Many that are alike become one: the workers of a queue, and, when there is too much to see, names of one prefix.

use std::collections::HashMap;
use std::hash::Hash;

use leveret_protocol::admin::topology::TopologyKind;

use super::graph::{Edges, Graph, Lane, Node, View};

/// Characters that end a part of a name.
const SEPARATORS: [char; 5] = ['.', ':', '/', '-', '_'];
/// Parts of a name that a group may be called by.
const PARTS_MAX: usize = 4;
/// Fewer are not worth a group.
const GROUP_MIN: usize = 3;

/// Publishers of the same application to the same exchanges become one, and so do consumers of the same queues.
pub(super) fn merge_alike(graph: &Graph) -> Graph {
    let mut neighbours: Vec<Vec<&str>> = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        if graph.nodes[edge.from].kind == TopologyKind::Publisher {
            neighbours[edge.from].push(&graph.nodes[edge.to].id);
        }
        if graph.nodes[edge.to].kind == TopologyKind::Consumer {
            neighbours[edge.to].push(&graph.nodes[edge.from].id);
        }
    }
    merge(graph, |at, node| {
        if !matches!(node.kind, TopologyKind::Publisher | TopologyKind::Consumer) {
            return None;
        }
        neighbours[at].sort_unstable();
        let word = if node.kind == TopologyKind::Publisher { "publishers" } else { "consumers" };
        let label = if node.is_group || !node.detail.is_empty() { &node.detail } else { "" };
        Some(Alike {
            id: format!("{word}:{label}:{}", neighbours[at].join("+")),
            // Tags and addresses differ; what the application calls itself does not.
            label: (!label.is_empty()).then(|| label.to_owned()),
            is_group: false,
        })
    })
}

/// Puts names of one prefix together until it is no more than may be shown.
pub(super) fn group_prefixes(graph: Graph, view: &View) -> Graph {
    if graph.nodes.len() <= view.nodes_max {
        return graph;
    }
    let mut grouped = graph.clone();
    for parts in (1..PARTS_MAX).rev() {
        let mut sizes: HashMap<String, usize> = HashMap::new();
        for node in graph.nodes.iter().filter(|node| is_named(node)) {
            if let Some((id, _)) = group_of(node, parts, view) {
                *sizes.entry(id).or_default() += 1;
            }
        }
        let merged = merge(&graph, |_, node| {
            let (id, label) = is_named(node).then(|| group_of(node, parts, view))??;
            (sizes.get(&id).copied().unwrap_or(0) >= GROUP_MIN).then_some(Alike {
                id,
                label: Some(label),
                is_group: true,
            })
        });
        grouped = merge_alike(&merged);
        if grouped.nodes.len() <= view.nodes_max {
            return grouped;
        }
    }
    keep_busiest(grouped, view)
}

/// Names of no common prefix: the busiest stay, the others become one of each kind.
fn keep_busiest(graph: Graph, view: &View) -> Graph {
    let mut kept = vec![true; graph.nodes.len()];
    for kind in [TopologyKind::Queue, TopologyKind::Exchange] {
        let mut of_kind: Vec<usize> = (0..graph.nodes.len())
            .filter(|at| graph.nodes[*at].kind == kind && !graph.nodes[*at].is_group)
            .collect();
        of_kind.sort_by(|a, b| {
            let (a, b) = (&graph.nodes[*a], &graph.nodes[*b]);
            b.rate().total_cmp(&a.rate()).then(b.ready.cmp(&a.ready)).then(a.label.cmp(&b.label))
        });
        let room = view.nodes_max / 4;
        for at in of_kind.into_iter().skip(room) {
            kept[at] = false;
        }
    }
    let merged = merge(&graph, |at, node| {
        let id = others_id(node);
        (!kept[at] && !view.opened.contains(&id)).then(|| Alike {
            id,
            label: Some(String::new()),
            is_group: true,
        })
    });
    merge_alike(&merged)
}

fn others_id(node: &Node) -> String {
    format!("others:{:?}:{:?}", node.kind, node.lane)
}

fn is_named(node: &Node) -> bool {
    matches!(node.kind, TopologyKind::Queue | TopologyKind::Exchange) && !node.label.is_empty()
}

/// Id and label of the group that the node is in, called by so many parts of its name or, where that was opened, by
/// more.
fn group_of(node: &Node, parts: usize, view: &View) -> Option<(String, String)> {
    (parts..=PARTS_MAX).find_map(|parts| {
        let prefix = prefix(&node.label, parts)?;
        let lane = if node.lane == Lane::Dead { "dead:" } else { "" };
        let id = format!("group:{:?}:{lane}{prefix}", node.kind);
        (!view.opened.contains(&id)).then(|| (id, format!("{prefix}*")))
    })
}

/// The first parts of a name with the separator after them; `None` when it has no more than that.
fn prefix(name: &str, parts: usize) -> Option<&str> {
    let (end, separator) = name.match_indices(SEPARATORS).nth(parts.checked_sub(1)?)?;
    name.get(..end + separator.len())
}

struct Alike {
    id: String,
    /// Nothing keeps the label of the first.
    label: Option<String>,
    is_group: bool,
}

/// Nodes for which `alike` gives one id become one.
fn merge(graph: &Graph, mut alike: impl FnMut(usize, &Node) -> Option<Alike>) -> Graph {
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut moved = Vec::with_capacity(graph.nodes.len());
    for (at, node) in graph.nodes.iter().enumerate() {
        let alike = alike(at, node);
        let Some(alike) = alike else {
            moved.push(nodes.len());
            nodes.push(node.clone());
            continue;
        };
        let position = entry(&mut index, alike.id.clone(), nodes.len());
        moved.push(position);
        match nodes.get_mut(position) {
            Some(known) => absorb(known, node),
            None => nodes.push(Node {
                id: alike.id,
                label: alike.label.unwrap_or_else(|| node.label.clone()),
                detail: if alike.is_group { String::new() } else { node.detail.clone() },
                is_group: alike.is_group || node.is_group,
                ..node.clone()
            }),
        }
    }
    let mut edges = Edges::default();
    for edge in &graph.edges {
        edges.add(super::Edge { from: moved[edge.from], to: moved[edge.to], ..edge.clone() });
    }
    Graph { nodes, edges: edges.list, idle: graph.idle }
}

fn entry<K: Hash + Eq>(index: &mut HashMap<K, usize>, key: K, next: usize) -> usize {
    *index.entry(key).or_insert(next)
}

fn absorb(known: &mut Node, other: &Node) {
    known.members.extend(other.members.iter().cloned());
    known.ready += other.ready;
    known.unacked += other.unacked;
    known.max_length = known.max_length.zip(other.max_length).map(|(a, b)| a.saturating_add(b));
    known.rate_in += other.rate_in;
    known.rate_out += other.rate_out;
    if severity(&other.state) > severity(&known.state) {
        known.state.clone_from(&other.state);
    }
}

fn severity(state: &str) -> u8 {
    match state {
        "blocked" | "blocking" => 4,
        "flow" => 3,
        "paused" => 2,
        "running" => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::topology;
    use super::*;
    use std::fmt::Write;

    fn labels(graph: &Graph, kind: TopologyKind) -> Vec<String> {
        let of_kind = graph.nodes.iter().filter(|node| node.kind == kind);
        let mut labels: Vec<String> =
            of_kind.map(|node| format!("{} ×{}", node.label, node.members.len())).collect();
        labels.sort();
        labels
    }

    #[test]
    fn workers_of_one_application_on_one_queue_are_one_node() {
        let topology = topology(
            "queue:q>consumer:1/worker@2 queue:q>consumer:2/worker@3 queue:q>consumer:3/other \
             publisher:a/app>exchange:x publisher:b/app>exchange:x publisher:c/app>exchange:y",
        );
        let graph = Graph::of(&topology, &View::default());
        assert_eq!(labels(&graph, TopologyKind::Consumer), ["other ×1", "worker ×2"]);
        assert_eq!(labels(&graph, TopologyKind::Publisher), ["app ×1", "app ×2"]);
        let rate: f64 = graph.edges.iter().map(|edge| edge.rate).sum();
        assert_eq!(rate, 5.0);
    }

    /// Queues of a shop in many countries, each with a worker.
    fn shop(countries: usize) -> leveret_protocol::admin::topology::TopologyGraph {
        let mut edges = String::new();
        for country in 0..countries {
            for queue in ["orders", "payments"] {
                let _ = write!(edges, "exchange:shop>queue:{queue}.c{country}.in ");
                let _ = write!(edges, "queue:{queue}.c{country}.in>consumer:{queue}{country}/worker ");
            }
        }
        topology(&edges)
    }

    #[test]
    fn too_many_queues_become_groups_of_one_prefix() {
        let topology = shop(300);
        let graph = Graph::of(&topology, &View::default());
        assert_eq!(labels(&graph, TopologyKind::Queue), ["orders.* ×300", "payments.* ×300"]);
        assert_eq!(labels(&graph, TopologyKind::Consumer), ["worker ×300", "worker ×300"]);
        assert!(graph.nodes.iter().filter(|node| node.kind == TopologyKind::Queue).all(|node| node.is_group));
    }

    #[test]
    fn few_are_not_grouped() {
        let graph = Graph::of(&shop(20), &View::default());
        assert!(graph.nodes.iter().all(|node| !node.is_group));
    }

    #[test]
    fn an_opened_group_shows_its_members() {
        let topology = shop(300);
        let mut view = View::default();
        view.opened.insert("group:Queue:orders.".to_owned());
        view.nodes_max = 10_000;
        let graph = Graph::of(&topology, &view);
        assert!(graph.nodes.iter().all(|node| !node.is_group));
        view.nodes_max = 900;
        let graph = Graph::of(&topology, &view);
        assert!(graph.find("group:Queue:payments.").is_some());
        assert!(graph.find("group:Queue:orders.").is_none());
    }

    #[test]
    fn names_without_a_common_prefix_leave_the_busiest() {
        let mut edges = String::new();
        for at in 0..2_000 {
            let _ = write!(edges, "exchange:shop>queue:q{at}@{at} ");
        }
        let mut topology = topology(&edges);
        for node in &mut topology.nodes {
            node.rate_in = node.name.trim_start_matches('q').parse().unwrap_or(0.0);
        }
        let graph = Graph::of(&topology, &View::default());
        assert!(graph.nodes.len() <= 200, "{}", graph.nodes.len());
        assert!(graph.find("queue:q1999").is_some() && graph.find("queue:q3").is_none());
        let others = graph.nodes.iter().find(|node| node.is_group).expect("the others");
        assert_eq!(others.members.len(), 1_950);
    }

    #[test]
    fn prefixes_end_with_their_separator() {
        assert_eq!(prefix("orders.eu.in", 1), Some("orders."));
        assert_eq!(prefix("orders.eu.in", 2), Some("orders.eu."));
        assert_eq!(prefix("orders.eu.in", 3), None);
        assert_eq!(prefix("订单.支付", 1), Some("订单."));
        assert_eq!(prefix("", 1), None);
    }

    #[test]
    fn the_worst_state_of_the_members_is_shown() {
        let mut a = Node { state: "running".to_owned(), max_length: Some(5), ..Node::default() };
        absorb(&mut a, &Node { state: "paused".to_owned(), max_length: None, ready: 3, ..Node::default() });
        assert_eq!((a.state.as_str(), a.max_length, a.ready), ("paused", None, 3));
    }
}
