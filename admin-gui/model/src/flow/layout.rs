//! Where everything is drawn.
//!
//! ```text
//!   publishers   exchanges      queues      consumers
//!   ┌───┐        ┌───┐         ┌───┐        ┌───┐
//!   │   ├───────▶│   ├────────▶│   ├───────▶│   │        main lane
//!   └───┘        └───┘         └─┬─┘        └───┘
//!                                ╰─────────▶┌───┐   ┌───┐
//!                                           │   ├──▶│   │ dead lane
//!                                           └───┘   └───┘
//! ```
//!
//! Columns come from what things are; the order within one from the middle of a node's neighbours. What was placed
//! once keeps its order, whatever comes or goes beside it.

use std::collections::HashMap;

use leveret_protocol::admin::topology::{TopologyKind, TopologyLink};

use super::geometry::{Point, Rect, Wire};
use super::graph::{Graph, Lane};
use super::order::{self, Columns};

/// A drawing, ready to be painted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// Of each node of the graph.
    pub nodes: Vec<Rect>,
    /// Of each edge of the graph.
    pub wires: Vec<Wire>,
    /// Columns of the main lane: what is in it, and its left and right side.
    pub columns: Vec<(TopologyKind, f32, f32)>,
    /// Where the dead lane begins and ends, from top to bottom, when there is one.
    pub dead: Option<(f32, f32)>,
    pub width: f32,
    pub height: f32,
}

/// What was placed before: the order that it keeps.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    middles: HashMap<String, f32>,
}

impl Memory {
    /// Forgets it: the next layout is as good as it can be, and nothing is where it was.
    pub fn forget(&mut self) {
        self.middles.clear();
    }
}

/// Size of a node by its kind.
pub fn size(kind: TopologyKind) -> (f32, f32) {
    match kind {
        TopologyKind::Queue => (214.0, 54.0),
        TopologyKind::Exchange => (180.0, 48.0),
        TopologyKind::Publisher | TopologyKind::Consumer => (172.0, 48.0),
    }
}

/// Between one node and the next below it.
const GAP: f32 = 15.0;
/// Between an edge that passes a column and what is beside it.
const PASSING_GAP: f32 = 11.0;
/// Between columns, for few edges and for many.
const GUTTER: (f32, f32) = (112.0, 170.0);
/// Between the lanes: room for a title.
const LANE_GAP: f32 = 62.0;
/// Above the first node: room for the titles of the columns.
const HEAD: f32 = 34.0;
const PASSES: usize = 8;

/// Places everything.
pub fn layout(graph: &Graph, memory: &mut Memory) -> Layout {
    let mut plan = Plan::new(graph);
    plan.order(memory);
    let middles = plan.middles();
    let layout = plan.draw(&middles);
    memory.middles =
        graph.nodes.iter().zip(&layout.nodes).map(|(node, at)| (node.id.clone(), at.middle())).collect();
    layout
}

/// A place in a column: a node, or an edge on its way through.
#[derive(Debug, Clone, Copy)]
struct Slot {
    lane: Lane,
    /// Which node; `None` for an edge that passes.
    node: Option<usize>,
    height: f32,
}

struct Plan<'a> {
    graph: &'a Graph,
    /// Of each node.
    column: Vec<usize>,
    count: usize,
    slots: Vec<Slot>,
    columns: Columns,
    /// Slots that each edge passes, from left to right, its ends included; empty for those that go back.
    ways: Vec<Vec<usize>>,
}

impl<'a> Plan<'a> {
    fn new(graph: &'a Graph) -> Plan<'a> {
        let column = columns_of(graph);
        let count = column.iter().max().map_or(0, |last| last + 1);
        let slots: Vec<Slot> = graph
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| Slot { lane: node.lane, node: Some(at), height: size(node.kind).1 })
            .collect();
        let mut plan = Plan { graph, column, count, slots, columns: Columns::default(), ways: Vec::new() };
        let mut of_column = plan.column.clone();
        let mut pairs = Vec::new();
        for edge in &graph.edges {
            let (from, to) = (plan.column[edge.from], plan.column[edge.to]);
            let mut way = Vec::new();
            if from < to {
                way.push(edge.from);
                let lane = graph.nodes[edge.from].lane.max(graph.nodes[edge.to].lane);
                for passed in from + 1..to {
                    way.push(plan.slots.len());
                    plan.slots.push(Slot { lane, node: None, height: 2.0 });
                    of_column.push(passed);
                }
                way.push(edge.to);
                pairs.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
            }
            plan.ways.push(way);
        }
        plan.columns.order = vec![Vec::new(); plan.count];
        plan.columns.left = vec![Vec::new(); plan.slots.len()];
        plan.columns.right = vec![Vec::new(); plan.slots.len()];
        for (slot, column) in of_column.iter().enumerate() {
            plan.columns.order[*column].push(slot);
        }
        for (from, to) in pairs {
            plan.columns.right[from].push(to);
            plan.columns.left[to].push(from);
        }
        plan
    }

    /// Orders the columns: what is remembered as it was, everything else between it.
    fn order(&mut self, memory: &Memory) {
        let label = |slot: &Slot| slot.node.map(|at| self.graph.nodes[at].label.clone());
        for column in &mut self.columns.order {
            column.sort_by_key(|slot| label(&self.slots[*slot]));
        }
        let known: Vec<Option<f32>> = self
            .slots
            .iter()
            .map(|slot| slot.node.and_then(|at| memory.middles.get(&self.graph.nodes[at].id).copied()))
            .collect();
        if known.iter().all(Option::is_none) {
            self.columns.untangle();
        } else {
            let wanted: Vec<f32> = (0..self.slots.len()).map(|slot| self.remembered(slot, &known)).collect();
            for column in &mut self.columns.order {
                column.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
            }
        }
        for column in &mut self.columns.order {
            column.sort_by_key(|slot| self.slots[*slot].lane);
        }
    }

    /// Where a slot was, or where its neighbours were, near or far; at the end when nothing is known of any.
    fn remembered(&self, slot: usize, known: &[Option<f32>]) -> f32 {
        if let Some(middle) = known[slot] {
            return middle;
        }
        let mut sum = (0.0, 0.0);
        for side in [&self.columns.left, &self.columns.right] {
            let mut near = side[slot].clone();
            // An edge on its way knows its ends only.
            for _ in 0..self.count {
                if near.iter().any(|near| known[*near].is_some()) {
                    break;
                }
                near = near.iter().flat_map(|near| side[*near].iter().copied()).take(64).collect();
            }
            for middle in near.iter().filter_map(|near| known[*near]) {
                sum = (sum.0 + middle, sum.1 + 1.0);
            }
        }
        if sum.1 > 0.0 { sum.0 / sum.1 } else { f32::MAX }
    }

    /// The middle of each slot from the top of its lane.
    fn middles(&self) -> Vec<f32> {
        let mut middles = vec![0.0_f32; self.slots.len()];
        for lane in [Lane::Main, Lane::Dead] {
            let columns: Vec<Vec<usize>> = self
                .columns
                .order
                .iter()
                .map(|column| column.iter().copied().filter(|slot| self.slots[*slot].lane == lane).collect())
                .collect();
            for column in &columns {
                let placed = self.spread(column, &vec![0.0; column.len()]);
                column.iter().zip(placed).for_each(|(slot, middle)| middles[*slot] = middle);
            }
            for pass in 0..PASSES {
                let count = columns.len();
                for step in 0..count {
                    let column = &columns[if pass % 2 == 0 { step } else { count - 1 - step }];
                    let wanted: Vec<f32> =
                        column.iter().map(|slot| self.between_neighbours(*slot, &middles)).collect();
                    let placed = self.spread(column, &wanted);
                    column.iter().zip(placed).for_each(|(slot, middle)| middles[*slot] = middle);
                }
            }
        }
        middles
    }

    /// The middle of a slot's neighbours in its own lane; edges on their way pull harder, so that they are straight.
    fn between_neighbours(&self, slot: usize, middles: &[f32]) -> f32 {
        let mut sum = (0.0, 0.0);
        let near = self.columns.left[slot].iter().chain(&self.columns.right[slot]);
        for near in near.filter(|near| self.slots[**near].lane == self.slots[slot].lane) {
            let passing = self.slots[*near].node.is_none() || self.slots[slot].node.is_none();
            let weight = if passing { 4.0 } else { 1.0 };
            sum = (sum.0 + middles[*near] * weight, sum.1 + weight);
        }
        if sum.1 > 0.0 { sum.0 / sum.1 } else { middles[slot] }
    }

    fn spread(&self, column: &[usize], wanted: &[f32]) -> Vec<f32> {
        let apart: Vec<f32> = column
            .iter()
            .enumerate()
            .map(|(at, slot)| {
                let Some(before) = at.checked_sub(1) else { return 0.0 };
                let (a, b) = (&self.slots[column[before]], &self.slots[*slot]);
                let gap = if a.node.is_some() && b.node.is_some() { GAP } else { PASSING_GAP };
                (a.height + b.height) / 2.0 + gap
            })
            .collect();
        order::place(wanted, &apart)
    }

    fn draw(&self, middles: &[f32]) -> Layout {
        let mut layout = Layout { height: HEAD, ..Layout::default() };
        let (lefts, widths) = self.place_columns();
        layout.width = lefts.last().zip(widths.last()).map_or(0.0, |(left, width)| left + width);
        // Lanes one below the other, each from its highest slot.
        let mut y = vec![0.0_f32; self.slots.len()];
        for lane in [Lane::Main, Lane::Dead] {
            let slots: Vec<usize> =
                (0..self.slots.len()).filter(|slot| self.slots[*slot].lane == lane).collect();
            let top = |slot: &usize| middles[*slot] - self.slots[*slot].height / 2.0;
            let bottom = |slot: &usize| middles[*slot] + self.slots[*slot].height / 2.0;
            let Some(first) = slots.iter().map(top).min_by(f32::total_cmp) else { continue };
            let Some(last) = slots.iter().map(bottom).max_by(f32::total_cmp) else { continue };
            let begin = if lane == Lane::Main { HEAD } else { layout.height + LANE_GAP };
            slots.iter().for_each(|slot| y[*slot] = middles[*slot] - first + begin);
            layout.height = begin + last - first;
            if lane == Lane::Dead {
                layout.dead = Some((begin - LANE_GAP + 16.0, layout.height + 16.0));
            }
        }
        for (at, node) in self.graph.nodes.iter().enumerate() {
            let (width, height) = size(node.kind);
            let column = self.column[at];
            let x = lefts[column] + (widths[column] - width) / 2.0;
            layout.nodes.push(Rect { x, y: y[at] - height / 2.0, width, height });
        }
        for (column, (left, width)) in lefts.iter().zip(&widths).enumerate() {
            let of_column =
                |at: &usize| self.column[*at] == column && self.graph.nodes[*at].lane == Lane::Main;
            if let Some(at) = (0..self.graph.nodes.len()).find(of_column) {
                layout.columns.push((self.graph.nodes[at].kind, *left, left + width));
            }
        }
        self.draw_wires(&mut layout, &y, &lefts, &widths);
        layout
    }

    /// Left side and width of each column. The more edges, the more room between two.
    fn place_columns(&self) -> (Vec<f32>, Vec<f32>) {
        let mut widths = vec![0.0_f32; self.count];
        for (at, node) in self.graph.nodes.iter().enumerate() {
            let width = &mut widths[self.column[at]];
            *width = width.max(size(node.kind).0);
        }
        let mut lefts = Vec::with_capacity(self.count);
        let mut x = 0.0;
        for (column, width) in widths.iter().enumerate() {
            lefts.push(x);
            let edges: usize =
                self.columns.order[column].iter().map(|slot| self.columns.right[*slot].len()).sum();
            x += width + (GUTTER.0 + edges as f32 * 2.0).min(GUTTER.1);
        }
        (lefts, widths)
    }

    fn draw_wires(&self, layout: &mut Layout, y: &[f32], lefts: &[f32], widths: &[f32]) {
        let ports = Ports::new(self.graph, &layout.nodes);
        let mut back = 0;
        let floor = layout.height;
        for (number, (edge, way)) in self.graph.edges.iter().zip(&self.ways).enumerate() {
            let (from, to) = (layout.nodes[edge.from], layout.nodes[edge.to]);
            let start = Point::new(from.right(), from.middle() + ports.out[number]);
            let end = Point::new(to.x, to.middle() + ports.into[number]);
            let (from_column, to_column) = (self.column[edge.from], self.column[edge.to]);
            let wire = if let [_, passed @ .., _] = way.as_slice() {
                let mut wire = Wire::from(start);
                for (slot, column) in passed.iter().zip(from_column + 1..) {
                    wire.flow_to(Point::new(lefts[column], y[*slot]));
                    wire.line_to(Point::new(lefts[column] + widths[column], y[*slot]));
                }
                wire.flow_to(end);
                wire
            } else if from_column == to_column && edge.from != edge.to {
                // Beside each other: out on the right and in on the right.
                let end = Point::new(to.right(), end.y);
                let reach = 34.0 + (start.y - end.y).abs().min(200.0) * 0.16;
                let mut wire = Wire::from(start);
                wire.curve_to(Point::new(start.x + reach, start.y), Point::new(end.x + reach, end.y), end);
                wire
            } else {
                // Back: around below everything.
                let step = back as f32;
                back += 1;
                let below = floor + 34.0 + 12.0 * step;
                let out = lefts[from_column] + widths[from_column] + 22.0 + 7.0 * step.min(8.0);
                let into = lefts[to_column] - 22.0 - 7.0 * step.min(8.0);
                let corners = [
                    Point::new(out, start.y),
                    Point::new(out, below),
                    Point::new(into, below),
                    Point::new(into, end.y),
                    end,
                ];
                layout.height = layout.height.max(below + 8.0);
                Wire::rounded(start, &corners, 18.0)
            };
            layout.wires.push(wire);
        }
        for wire in &layout.wires {
            layout.width = wire.points.iter().map(|point| point.x).fold(layout.width, f32::max);
        }
    }
}

/// Where edges leave and enter their nodes, above or below the middle: in the order of their other ends, so that they
/// do not cross right there.
struct Ports {
    out: Vec<f32>,
    into: Vec<f32>,
}

impl Ports {
    fn new(graph: &Graph, nodes: &[Rect]) -> Ports {
        let mut out_of: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        for (number, edge) in graph.edges.iter().enumerate() {
            out_of[edge.from].push(number);
            into[edge.to].push(number);
        }
        let mut ports = Ports { out: vec![0.0; graph.edges.len()], into: vec![0.0; graph.edges.len()] };
        for (at, node) in nodes.iter().enumerate() {
            let end = |edge: &usize| {
                let edge = &graph.edges[*edge];
                // Dead letters leave at the bottom: they go down in any case.
                (edge.link == TopologyLink::DeadLetter, nodes[edge.to].middle())
            };
            out_of[at].sort_by(|a, b| end(a).0.cmp(&end(b).0).then(end(a).1.total_cmp(&end(b).1)));
            let start = |edge: &usize| nodes[graph.edges[*edge].from].middle();
            into[at].sort_by(|a, b| start(a).total_cmp(&start(b)));
            for (edges, offsets) in [(&out_of[at], &mut ports.out), (&into[at], &mut ports.into)] {
                let step = if edges.len() > 1 {
                    ((node.height - 16.0) / (edges.len() - 1) as f32).min(11.0)
                } else {
                    0.0
                };
                for (place, edge) in edges.iter().enumerate() {
                    offsets[*edge] = (place as f32 - (edges.len() - 1) as f32 / 2.0) * step;
                }
            }
        }
        ports
    }
}

/// The column of each node.
///
/// Main lane: publishers, exchanges (as deep as they are bound to each other), queues, consumers. Dead lane: as many
/// columns after the queues as it takes to get there.
fn columns_of(graph: &Graph) -> Vec<usize> {
    let is_exchange = |at: usize| graph.nodes[at].kind == TopologyKind::Exchange;
    let is_main = |at: usize| graph.nodes[at].lane == Lane::Main;
    let between_exchanges = longest_paths(graph, |edge| {
        is_main(edge.from) && is_main(edge.to) && is_exchange(edge.from) && is_exchange(edge.to)
    });
    let has =
        |kind: TopologyKind| graph.nodes.iter().any(|node| node.kind == kind && node.lane == Lane::Main);
    let first_exchange = usize::from(has(TopologyKind::Publisher));
    let deepest = (0..graph.nodes.len())
        .filter(|at| is_exchange(*at) && is_main(*at))
        .map(|at| between_exchanges[at] + 1)
        .max()
        .unwrap_or(0);
    let queues = first_exchange + deepest;
    let from_queues = longest_paths(graph, |edge| !is_main(edge.to));
    graph
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| match (node.lane, node.kind) {
            (Lane::Dead, _) => queues + from_queues[at].max(1),
            (Lane::Main, TopologyKind::Publisher) => 0,
            (Lane::Main, TopologyKind::Exchange) => first_exchange + between_exchanges[at],
            (Lane::Main, TopologyKind::Queue) => queues,
            (Lane::Main, TopologyKind::Consumer) => queues + 1,
        })
        .collect()
}

/// The length of the longest way to each node along some edges; edges that close a circle do not count.
fn longest_paths(graph: &Graph, counts: impl Fn(&super::Edge) -> bool) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut into: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for edge in graph.edges.iter().filter(|edge| counts(edge) && edge.from != edge.to) {
        into[edge.to].push(edge.from);
    }
    let mut marks = vec![Mark::New; graph.nodes.len()];
    let mut lengths = vec![0_usize; graph.nodes.len()];
    // Depth first with a stack of its own: chains may be as long as a vhost is large.
    for start in 0..graph.nodes.len() {
        let mut stack = vec![(start, 0_usize)];
        while let Some((at, next)) = stack.pop() {
            if next == 0 {
                if marks[at] != Mark::New {
                    continue;
                }
                marks[at] = Mark::Open;
            }
            match into[at].get(next).copied() {
                Some(before) => {
                    stack.push((at, next + 1));
                    if marks[before] == Mark::New {
                        stack.push((before, 0));
                    }
                }
                None => {
                    let done = into[at].iter().filter(|before| marks[**before] == Mark::Done);
                    lengths[at] = done.map(|before| lengths[*before] + 1).max().unwrap_or(0);
                    marks[at] = Mark::Done;
                }
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::super::graph::View;
    use super::super::graph::tests::topology;
    use super::*;

    fn graph(edges: &str) -> Graph {
        Graph::of(&topology(edges), &View::default())
    }

    fn drawn(edges: &str) -> (Graph, Layout) {
        let graph = graph(edges);
        let layout = layout(&graph, &mut Memory::default());
        (graph, layout)
    }

    fn x(graph: &Graph, layout: &Layout, label: &str) -> f32 {
        layout.nodes[graph.nodes.iter().position(|node| node.label == label).expect("a node")].x
    }

    const SHOP: &str = "publisher:web>exchange:orders exchange:orders>exchange:audit exchange:orders>queue:work \
        exchange:audit>queue:log queue:work>consumer:worker queue:log>consumer:logger queue:work!exchange:dlx \
        exchange:dlx>queue:dlq queue:dlq!exchange:orders exchange:orders~exchange:lost exchange:lost>queue:lost";

    #[test]
    fn messages_flow_from_left_to_right() {
        let (graph, layout) = drawn(SHOP);
        let x = |label| x(&graph, &layout, label);
        assert!(x("web") < x("orders") && x("orders") < x("audit") && x("audit") < x("work"));
        assert_eq!(x("work"), x("log"));
        assert!(x("work") < x("worker") && x("dlx") < x("dlq"));
    }

    #[test]
    fn nothing_lies_on_anything_else() {
        let (graph, layout) = drawn(SHOP);
        for (at, a) in layout.nodes.iter().enumerate() {
            for (other, b) in layout.nodes.iter().enumerate().skip(at + 1) {
                assert!(!a.overlaps(*b), "{} and {}", graph.nodes[at].label, graph.nodes[other].label);
            }
            assert!(a.x >= 0.0 && a.y >= 0.0 && a.right() <= layout.width && a.bottom() <= layout.height);
        }
    }

    #[test]
    fn the_dead_lane_is_below_everything_else() {
        let (graph, layout) = drawn(SHOP);
        let (top, bottom) = layout.dead.expect("a dead lane");
        for (node, at) in graph.nodes.iter().zip(&layout.nodes) {
            let expected = if node.lane == Lane::Dead {
                at.y >= top && at.bottom() <= bottom
            } else {
                at.bottom() <= top
            };
            assert!(expected, "{} at {at:?}, the lane at {top}..{bottom}", node.label);
        }
        assert_eq!(drawn("exchange:a>queue:b").1.dead, None);
    }

    #[test]
    fn every_edge_leads_from_one_node_to_the_other() {
        let (graph, layout) = drawn(SHOP);
        for (edge, wire) in graph.edges.iter().zip(&layout.wires) {
            let (from, to) = (layout.nodes[edge.from], layout.nodes[edge.to]);
            let (first, last) = (wire.points[0], wire.points[wire.points.len() - 1]);
            assert!(first.x == from.right() && first.y > from.y && first.y < from.bottom());
            assert!(last.x == to.x && last.y > to.y && last.y < to.bottom());
        }
    }

    #[test]
    fn a_chain_is_a_straight_line() {
        let (_, layout) = drawn("publisher:p>exchange:a exchange:a>queue:b queue:b>consumer:c");
        let middles: Vec<f32> = layout.nodes.iter().map(|node| node.middle()).collect();
        assert!(middles.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.5), "{middles:?}");
    }

    #[test]
    fn what_was_placed_keeps_its_order_when_something_comes_or_goes() {
        let mut memory = Memory::default();
        let labels = |edges: &str, memory: &mut Memory| -> Vec<String> {
            let graph = graph(edges);
            let layout = layout(&graph, memory);
            let mut queues: Vec<(f32, String)> = graph
                .nodes
                .iter()
                .zip(&layout.nodes)
                .filter(|(node, _)| node.kind == TopologyKind::Queue)
                .map(|(node, at)| (at.y, node.label.clone()))
                .collect();
            queues.sort_by(|a, b| a.0.total_cmp(&b.0));
            queues.into_iter().map(|(_, label)| label).collect()
        };
        let before = labels(
            "exchange:x>queue:a exchange:y>queue:b exchange:x>queue:c exchange:y>queue:d",
            &mut memory,
        );
        let after = labels(
            "exchange:x>queue:a exchange:y>queue:b exchange:x>queue:c exchange:y>queue:d exchange:x>queue:aa",
            &mut memory,
        );
        let kept: Vec<&String> = after.iter().filter(|label| *label != "aa").collect();
        assert_eq!(kept, before.iter().collect::<Vec<_>>());
        let fewer = labels("exchange:x>queue:a exchange:y>queue:d", &mut memory);
        let kept: Vec<&String> = before.iter().filter(|label| ["a", "d"].contains(&label.as_str())).collect();
        assert_eq!(fewer.iter().collect::<Vec<_>>(), kept);
    }

    #[test]
    fn circles_and_loops_end() {
        let (_, layout) =
            drawn("exchange:a>exchange:b exchange:b>exchange:a exchange:a>exchange:a queue:q!queue:q");
        assert_eq!(layout.wires.len(), 4);
        assert!(layout.wires.iter().all(|wire| wire.length() > 10.0));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let layout = layout(&Graph::default(), &mut Memory::default());
        assert!(layout.nodes.is_empty() && layout.columns.is_empty());
    }

    #[test]
    fn two_hundred_nodes_are_placed_while_a_frame_is_drawn() {
        use std::fmt::Write;
        let mut edges = String::new();
        for at in 0..60 {
            let _ = write!(edges, "exchange:e{}>queue:q{at} queue:q{at}>consumer:c{at} ", at % 7);
            let _ = write!(edges, "exchange:e{}>queue:q{at} queue:q{at}!exchange:dlx ", (at * 5) % 7);
        }
        let graph = graph(&edges);
        let started = std::time::Instant::now();
        let layout = layout(&graph, &mut Memory::default());
        assert_eq!(layout.nodes.len(), graph.nodes.len());
        assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
    }
}
