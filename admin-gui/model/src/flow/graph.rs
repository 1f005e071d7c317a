//! What is drawn: nodes that stand for one thing or for many alike, and the edges between them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use leveret_protocol::admin::topology::{TopologyGraph, TopologyKind, TopologyLink};

use super::group;

/// Where a node is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Lane {
    /// What is published and taken.
    #[default]
    Main,
    /// What only dead letters reach.
    Dead,
}

/// One box of the drawing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// The same as long as what it stands for lives.
    pub id: String,
    pub kind: TopologyKind,
    pub lane: Lane,
    pub label: String,
    /// Type of the exchange or queue; nothing for a group.
    pub detail: String,
    /// Names of what it stands for.
    pub members: Vec<String>,
    /// True when it can be opened to show its members.
    pub is_group: bool,
    pub ready: u64,
    pub unacked: u64,
    pub max_length: Option<u64>,
    pub rate_in: f64,
    pub rate_out: f64,
    /// `running`, `idle`, `paused`, `flow`, `blocked`; the worst of all members.
    pub state: String,
}

impl Node {
    /// Messages per second that pass, whichever way is busier.
    pub fn rate(&self) -> f64 {
        self.rate_in.max(self.rate_out)
    }
}

/// One edge of the drawing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub link: TopologyLink,
    /// Routing keys, the first few.
    pub keys: Vec<String>,
    pub bindings: u64,
    pub rate: f64,
}

/// What is to be seen of a vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Exchanges to which nothing is bound and nobody publishes, too.
    pub idle: bool,
    /// Above so many nodes, those of one prefix become one.
    pub nodes_max: usize,
    /// Ids of groups that were opened.
    pub opened: BTreeSet<String>,
}

impl Default for View {
    fn default() -> View {
        View { idle: false, nodes_max: 200, opened: BTreeSet::new() }
    }
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// Exchanges that are not shown because they are idle.
    pub idle: usize,
}

/// Routing keys told of an edge.
const KEYS_MAX: usize = 8;

impl Graph {
    /// What is drawn of a vhost.
    pub fn of(topology: &TopologyGraph, view: &View) -> Graph {
        let mut graph = Graph::read(topology);
        graph.leave_out_idle(view.idle);
        graph.find_lanes();
        let graph = group::merge_alike(&graph);
        group::group_prefixes(graph, view)
    }

    /// The same nodes and edges, with indices in place of ids. Edges to nowhere are left out.
    fn read(topology: &TopologyGraph) -> Graph {
        let mut nodes: Vec<Node> = Vec::with_capacity(topology.nodes.len());
        let mut index: HashMap<&str, usize> = HashMap::with_capacity(topology.nodes.len());
        for node in &topology.nodes {
            if index.contains_key(node.id.as_str()) {
                continue;
            }
            index.insert(&node.id, nodes.len());
            nodes.push(Node {
                id: node.id.clone(),
                kind: node.kind,
                lane: Lane::Main,
                label: node.name.clone(),
                detail: node.detail.clone(),
                members: vec![node.name.clone()],
                is_group: false,
                ready: node.ready,
                unacked: node.unacked,
                max_length: node.max_length,
                rate_in: node.rate_in,
                rate_out: node.rate_out,
                state: node.state.clone(),
            });
        }
        let mut edges = Edges::default();
        for edge in &topology.edges {
            let (Some(from), Some(to)) = (index.get(edge.from.as_str()), index.get(edge.to.as_str())) else {
                continue;
            };
            // Every queue is bound to the default exchange; that says nothing until somebody uses it.
            let is_implied = edge.link == TopologyLink::Binding && nodes[*from].label.is_empty();
            if is_implied && edge.rate <= 0.0 {
                continue;
            }
            edges.add(Edge {
                from: *from,
                to: *to,
                link: edge.link,
                keys: edge.keys.clone(),
                bindings: edge.bindings,
                rate: edge.rate,
            });
        }
        Graph { nodes, edges: edges.list, idle: 0 }
    }

    fn leave_out_idle(&mut self, keep: bool) {
        let mut used = vec![false; self.nodes.len()];
        for edge in &self.edges {
            used[edge.from] = true;
            used[edge.to] = true;
        }
        let is_idle =
            |at: usize, node: &Node| node.kind == TopologyKind::Exchange && !used[at] && node.rate() <= 0.0;
        self.idle = self.nodes.iter().enumerate().filter(|(at, node)| is_idle(*at, node)).count();
        if keep || self.idle == 0 {
            return;
        }
        let mut moved = vec![usize::MAX; self.nodes.len()];
        let mut nodes = Vec::with_capacity(self.nodes.len() - self.idle);
        for (at, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if !is_idle(at, &node) {
                moved[at] = nodes.len();
                nodes.push(node);
            }
        }
        self.nodes = nodes;
        for edge in &mut self.edges {
            (edge.from, edge.to) = (moved[edge.from], moved[edge.to]);
        }
    }

    /// Puts into the dead lane what only dead letters reach.
    fn find_lanes(&mut self) {
        let mut is_dead = self.reached_by_dead_letters(&vec![false; self.nodes.len()]);
        // Where dead letters go round, everything is reached by them. What is worked on is the beginning then.
        let stays = self.components_without_beginning(&is_dead);
        if stays.iter().any(|stays| *stays) {
            is_dead = self.reached_by_dead_letters(&stays);
        }
        for (node, is_dead) in self.nodes.iter_mut().zip(is_dead) {
            node.lane = if is_dead { Lane::Dead } else { Lane::Main };
        }
    }

    /// Nodes all of whose edges in carry dead letters, or come from such nodes; never those of `stays`.
    fn reached_by_dead_letters(&self, stays: &[bool]) -> Vec<bool> {
        let mut is_dead = vec![false; self.nodes.len()];
        loop {
            let mut of_dead = vec![0_usize; self.nodes.len()];
            let mut of_all = vec![0_usize; self.nodes.len()];
            for edge in self.edges.iter().filter(|edge| edge.from != edge.to) {
                of_all[edge.to] += 1;
                of_dead[edge.to] += usize::from(edge.link == TopologyLink::DeadLetter || is_dead[edge.from]);
            }
            let mut changed = false;
            for at in 0..self.nodes.len() {
                if !is_dead[at] && !stays[at] && of_all[at] > 0 && of_dead[at] == of_all[at] {
                    is_dead[at] = true;
                    changed = true;
                }
            }
            if !changed {
                return is_dead;
            }
        }
    }

    /// Queues with consumers, and what is bound to them, of connected parts in which all exchanges and queues are dead.
    fn components_without_beginning(&self, is_dead: &[bool]) -> Vec<bool> {
        let mut stays = vec![false; self.nodes.len()];
        let mut seen = vec![false; self.nodes.len()];
        for start in 0..self.nodes.len() {
            if seen[start] {
                continue;
            }
            seen[start] = true;
            let mut part = vec![start];
            let mut next = 0;
            while let Some(at) = part.get(next).copied() {
                next += 1;
                for edge in self.edges.iter().filter(|edge| edge.from == at || edge.to == at) {
                    for other in [edge.from, edge.to] {
                        if !std::mem::replace(&mut seen[other], true) {
                            part.push(other);
                        }
                    }
                }
            }
            let is_object =
                |at: &&usize| matches!(self.nodes[**at].kind, TopologyKind::Exchange | TopologyKind::Queue);
            if part.len() < 2 || !part.iter().filter(is_object).all(|at| is_dead[*at]) {
                continue;
            }
            let is_worked_on = |at: usize| {
                self.edges.iter().any(|edge| edge.from == at && edge.link == TopologyLink::Consume)
            };
            for queue in part.iter().copied().filter(|at| is_worked_on(*at)) {
                stays[queue] = true;
                for edge in
                    self.edges.iter().filter(|edge| edge.to == queue && edge.link == TopologyLink::Binding)
                {
                    stays[edge.from] = true;
                }
            }
        }
        stays
    }

    /// The node with this id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// Nodes whose label, type or members contain `text`, in whatever case.
    pub fn search(&self, text: &str) -> Vec<usize> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return Vec::new();
        }
        let contains = |candidate: &String| candidate.to_lowercase().contains(&text);
        let matches = |node: &Node| contains(&node.label) || node.members.iter().any(contains);
        self.nodes.iter().enumerate().filter(|(_, node)| matches(node)).map(|(at, _)| at).collect()
    }

    /// Everything that messages pass on their way to `node` and from it on: nodes, and edges. Retries lead back to the
    /// beginning; that is where the path ends.
    pub fn path(&self, node: usize) -> (Vec<bool>, Vec<bool>) {
        let mut nodes = vec![false; self.nodes.len()];
        let mut edges = vec![false; self.edges.len()];
        if node >= self.nodes.len() {
            return (nodes, edges);
        }
        for forward in [true, false] {
            let mut seen = vec![false; self.nodes.len()];
            seen[node] = true;
            let mut queue = VecDeque::from([node]);
            while let Some(at) = queue.pop_front() {
                nodes[at] = true;
                for (number, edge) in self.edges.iter().enumerate() {
                    let (near, far) = if forward { (edge.from, edge.to) } else { (edge.to, edge.from) };
                    if near != at {
                        continue;
                    }
                    // What is tried again passes everything again: the path ends where it goes back.
                    let goes_back =
                        self.nodes[edge.from].lane == Lane::Dead && self.nodes[edge.to].lane == Lane::Main;
                    if goes_back {
                        edges[number] |= forward;
                        nodes[far] |= forward;
                    } else {
                        edges[number] = true;
                        if !std::mem::replace(&mut seen[far], true) {
                            queue.push_back(far);
                        }
                    }
                }
            }
        }
        (nodes, edges)
    }

    /// True when anything flows: the only time when the drawing has to move.
    pub fn is_flowing(&self) -> bool {
        self.edges.iter().any(|edge| super::dots(edge.rate).is_some())
    }

    /// What the layout depends on: who is there and what leads where, without numbers.
    pub fn shape(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        for node in &self.nodes {
            (&node.id, node.lane).hash(&mut hasher);
        }
        for edge in &self.edges {
            (edge.from, edge.to, edge.link).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Edges, one between the same two of the same kind.
#[derive(Debug, Default)]
pub(super) struct Edges {
    pub(super) list: Vec<Edge>,
    index: HashMap<(usize, usize, TopologyLink), usize>,
}

impl Edges {
    pub(super) fn add(&mut self, edge: Edge) {
        let at = *self.index.entry((edge.from, edge.to, edge.link)).or_insert(self.list.len());
        let Some(known) = self.list.get_mut(at) else {
            self.list.push(edge);
            return;
        };
        for key in edge.keys {
            if known.keys.len() < KEYS_MAX && !known.keys.contains(&key) {
                known.keys.push(key);
            }
        }
        known.bindings += edge.bindings;
        known.rate += edge.rate;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use leveret_protocol::admin::topology::{TopologyEdge, TopologyNode};

    /// `exchange:orders>queue:work`, with `!` for dead letters, `~` for alternate exchanges and a rate after `@`.
    pub(in crate::flow) fn topology(edges: &str) -> TopologyGraph {
        let mut graph = TopologyGraph::default();
        for word in edges.split_whitespace() {
            let (ends, rate) = word.split_once('@').unwrap_or((word, "0"));
            let (from, to, sign) = ['>', '!', '~']
                .into_iter()
                .find_map(|sign| ends.split_once(sign).map(|(from, to)| (from, to, sign)))
                .unwrap_or((ends, "", ' '));
            for id in [from, to] {
                if !id.is_empty() && !graph.nodes.iter().any(|node| node.id == id) {
                    graph.nodes.push(node(id));
                }
            }
            let link = match sign {
                '!' => TopologyLink::DeadLetter,
                '~' => TopologyLink::AlternateExchange,
                _ if from.starts_with("publisher:") => TopologyLink::Publish,
                _ if to.starts_with("consumer:") => TopologyLink::Consume,
                _ => TopologyLink::Binding,
            };
            if !to.is_empty() {
                let rate = rate.parse().expect("a rate");
                let (from, to) = (from.to_owned(), to.to_owned());
                graph.edges.push(TopologyEdge {
                    from,
                    to,
                    link,
                    bindings: 1,
                    rate,
                    ..TopologyEdge::default()
                });
            }
        }
        graph
    }

    fn node(id: &str) -> TopologyNode {
        let (kind, name) = id.split_once(':').expect("kind:name");
        let kind = match kind {
            "publisher" => TopologyKind::Publisher,
            "exchange" => TopologyKind::Exchange,
            "queue" => TopologyKind::Queue,
            _ => TopologyKind::Consumer,
        };
        let (name, detail) = name.split_once('/').unwrap_or((name, ""));
        TopologyNode {
            id: id.to_owned(),
            kind,
            name: name.to_owned(),
            detail: detail.to_owned(),
            ..TopologyNode::default()
        }
    }

    fn graph(edges: &str) -> Graph {
        Graph::of(&topology(edges), &View::default())
    }

    fn dead(graph: &Graph) -> Vec<&str> {
        let dead = graph.nodes.iter().filter(|node| node.lane == Lane::Dead);
        let mut labels: Vec<&str> = dead.map(|node| node.label.as_str()).collect();
        labels.sort_unstable();
        labels
    }

    #[test]
    fn what_only_dead_letters_reach_is_in_the_dead_lane() {
        let graph = graph(
            "publisher:app>exchange:orders exchange:orders>queue:work queue:work>consumer:c \
             queue:work!exchange:dlx exchange:dlx>queue:dlq queue:dlq>consumer:d",
        );
        assert_eq!(dead(&graph), ["d", "dlq", "dlx"]);
    }

    #[test]
    fn a_queue_that_is_also_published_to_stays_in_the_main_lane() {
        let graph = graph("exchange:orders>queue:a exchange:orders>queue:b queue:a!queue:b");
        assert!(dead(&graph).is_empty());
    }

    #[test]
    fn where_dead_letters_go_round_what_is_worked_on_is_the_beginning() {
        let graph = graph(
            "exchange:work>queue:work queue:work>consumer:c queue:work!exchange:retry exchange:retry>queue:retry \
             queue:retry!exchange:work",
        );
        assert_eq!(dead(&graph), ["retry", "retry"]);
    }

    #[test]
    fn idle_exchanges_are_counted_rather_than_shown() {
        let topology = topology("exchange:amq.topic exchange:orders>queue:q exchange:>queue:q");
        let graph = Graph::of(&topology, &View::default());
        assert_eq!((graph.nodes.len(), graph.idle), (2, 2));
        let graph = Graph::of(&topology, &View { idle: true, ..View::default() });
        assert_eq!(graph.nodes.len(), 4);
    }

    #[test]
    fn the_default_exchange_is_shown_when_it_is_used() {
        let graph = graph("exchange:>queue:q@5 exchange:>queue:other");
        assert_eq!(graph.edges.len(), 1);
    }

    #[test]
    fn edges_to_what_is_not_there_are_left_out() {
        let mut topology = topology("exchange:a>queue:b");
        topology.edges.push(TopologyEdge {
            from: "exchange:a".into(),
            to: "queue:gone".into(),
            ..Default::default()
        });
        assert_eq!(Graph::of(&topology, &View::default()).edges.len(), 1);
    }

    #[test]
    fn a_path_is_everything_up_and_down_and_nothing_beside() {
        let graph = graph(
            "publisher:p>exchange:a exchange:a>queue:x exchange:a>queue:y queue:x>consumer:c queue:y>consumer:d \
             exchange:other>queue:z",
        );
        let (nodes, edges) = graph.path(graph.find("queue:x").expect("there"));
        let mut labels: Vec<&str> = graph
            .nodes
            .iter()
            .zip(&nodes)
            .filter(|(_, on)| **on)
            .map(|(node, _)| node.label.as_str())
            .collect();
        labels.sort_unstable();
        assert_eq!(labels, ["a", "c", "p", "x"]);
        assert_eq!(edges.iter().filter(|on| **on).count(), 3);
        assert!(graph.path(999).0.iter().all(|on| !on));
    }

    #[test]
    fn a_path_does_not_go_round_with_what_is_tried_again() {
        let graph = graph(
            "publisher:p>exchange:work exchange:work>queue:a exchange:work>queue:b queue:a!exchange:dlx \
             exchange:dlx>queue:retry queue:retry!exchange:work",
        );
        let lit = |id: &str| {
            let (nodes, _) = graph.path(graph.find(id).expect("there"));
            let mut labels: Vec<&str> = graph
                .nodes
                .iter()
                .zip(&nodes)
                .filter(|(_, on)| **on)
                .map(|(node, _)| node.label.as_str())
                .collect();
            labels.sort_unstable();
            labels
        };
        assert_eq!(lit("queue:a"), ["a", "dlx", "p", "retry", "work"]);
        assert_eq!(lit("queue:b"), ["b", "p", "work"]);
    }

    #[test]
    fn search_looks_at_members_too() {
        let graph = graph("exchange:a>queue:Orders.Paid");
        assert_eq!(graph.search("paid").len(), 1);
        assert!(graph.search(" ").is_empty());
        assert!(graph.search("zzz").is_empty());
    }

    #[test]
    fn the_shape_changes_with_edges_and_not_with_numbers() {
        let quiet = graph("exchange:a>queue:b");
        let busy = graph("exchange:a>queue:b@50");
        assert_eq!(quiet.shape(), busy.shape());
        assert_ne!(quiet.shape(), graph("exchange:a>queue:c").shape());
        assert!(busy.is_flowing() && !quiet.is_flowing());
    }
}
