//! The drawing one moves about in: where one looks, what is under the pointer, what was picked.

use eframe::egui::{
    self, Color32, CursorIcon, Id, Key, Pos2, Rect, Sense, Stroke, Ui, Vec2, WidgetInfo, accesskit::Role,
    pos2,
};
use leveret_admin_model::flow::{Graph, Layout, Node, Point};
use leveret_admin_model::format;
use leveret_protocol::admin::topology::TopologyKind;

use super::paint::{self, Painting};
use super::{label, per_second};
use crate::cx::Cx;
use crate::shell::panes::{Pane, door};
use crate::text::common::MESSAGE_FLOW;
use crate::text::{Text, t};
use crate::texts;
use crate::theme::{RADIUS, tokens};

texts! {
    PUBLISHER = "Publisher" | "发布者";
    CONSUMER = "Consumer" | "消费者";
    EXCHANGE_KIND = "Exchange" | "交换机";
    QUEUE_KIND = "Queue" | "队列";
    PUBLISHERS_KIND = "Publishers" | "发布者";
    EXCHANGES_KIND = "Exchanges" | "交换机";
    QUEUES_KIND = "Queues" | "队列";
    CONSUMERS_KIND = "Consumers" | "消费者";
    OTHER_EXCHANGES = "other exchanges" | "其他交换机";
    OTHER_QUEUES = "other queues" | "其他队列";
    SAY_NODE = "{} {}" | "{} {}";
    SAY_COUNT = "{} of them" | "共 {} 个";
    SAY_QUEUE = "{} ready, {} unacknowledged" | "就绪 {}，未确认 {}";
    SAY_RATES = "{} in, {} out" | "流入 {}，流出 {}";
    SAY_FROM = "from {}" | "来自 {}";
    SAY_TO = "to {}" | "去往 {}";
}

/// What was done in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    Nothing,
    Selected(Option<usize>),
    Opened(usize),
}

/// Where one looks.
#[derive(Debug)]
pub struct Canvas {
    layout: Layout,
    /// Where the origin of the drawing is, from the corner of the canvas.
    offset: Vec2,
    zoom: f32,
    /// Everything is kept in sight until one moves it.
    follows: bool,
    look_at: Option<usize>,
    zoom_by: f32,
    /// The room that there was when everything was brought into sight.
    shown: Option<Vec2>,
}

impl Default for Canvas {
    fn default() -> Canvas {
        Canvas {
            layout: Layout::default(),
            offset: Vec2::ZERO,
            zoom: 1.0,
            follows: true,
            look_at: None,
            zoom_by: 1.0,
            shown: None,
        }
    }
}

const ZOOM: std::ops::RangeInclusive<f32> = 0.08..=2.5;
/// Around everything, when all of it is in sight: the titles of the columns are above.
const MARGIN: (f32, f32) = (28.0, 22.0);
/// Larger than this nothing gets by itself.
const FIT_MAX: f32 = 1.25;
/// How high the drawing has to be for a legend in it.
const LEGEND_ROOM: f32 = 520.0;
/// Names said of what a node leads to.
const SAID_MAX: usize = 6;

impl Canvas {
    pub fn set_layout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    pub fn is_empty(&self) -> bool {
        self.layout.nodes.is_empty()
    }

    /// Brings everything into sight.
    pub fn fit(&mut self) {
        self.follows = true;
    }

    pub fn look_at(&mut self, node: usize) {
        self.look_at = Some(node);
    }

    pub fn zoom_by(&mut self, factor: f32) {
        self.zoom_by *= factor;
    }

    pub fn ui(
        &mut self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        graph: &Graph,
        selected: Option<usize>,
        found: &[usize],
        legend: bool,
    ) -> Happened {
        let tk = tokens();
        let area = ui.available_rect_before_wrap();
        let canvas = ui.allocate_rect(area, Sense::click_and_drag());
        let name = t(MESSAGE_FLOW);
        canvas.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, name));
        self.move_about(ui, &canvas, area, selected);
        ui.painter().rect_filled(area, RADIUS, tk.card);
        let clipped = ui.painter().with_clip_rect(area.intersect(ui.clip_rect()));
        paint::grid(&clipped, area, self.offset, self.zoom);

        let mut happened = Happened::Nothing;
        if canvas.clicked() {
            happened = Happened::Selected(None);
        }
        let mut hovered = None;
        let child = egui::UiBuilder::new().max_rect(area);
        ui.scope_builder(child, |ui| {
            ui.set_clip_rect(area.intersect(ui.clip_rect()));
            for (at, node) in graph.nodes.iter().enumerate() {
                let Some(rect) = self.node_rect(at, area) else { continue };
                let id = Id::unique(("flow", &node.id));
                let response =
                    ui.interact(rect, id, Sense::click()).on_hover_cursor(CursorIcon::PointingHand);
                response.widget_info(|| {
                    WidgetInfo::selected(Role::Button, true, selected == Some(at), say(graph, at))
                });
                if selected.unwrap_or(0) == at {
                    door(ui.ctx(), Pane::Screen, id);
                }
                if response.hovered() {
                    hovered = Some(at);
                }
                if response.double_clicked() {
                    happened = Happened::Opened(at);
                } else if response.clicked() {
                    happened = Happened::Selected(Some(at));
                }
                if response.has_focus() {
                    clipped.rect_stroke(
                        rect.expand(4.0),
                        10.0,
                        Stroke::new(2.0, tk.accent),
                        egui::StrokeKind::Outside,
                    );
                    if let Some(next) = self.moved_by_key(ui, at) {
                        let id = Id::unique(("flow", &graph.nodes[next].id));
                        ui.ctx().memory_mut(|memory| memory.request_focus(id));
                        self.look_at_if_hidden(next, area);
                    }
                }
            }
        });
        if selected.is_some() && ui.input_mut(|input| input.consume_key(egui::Modifiers::NONE, Key::Escape)) {
            happened = Happened::Selected(None);
        }
        let hovered_wire = if hovered.is_none() { self.wire_under(&canvas, area) } else { None };
        let still = cx.state.settings.reduce_motion || !cx.state.is_live();
        let painting = Painting {
            graph,
            layout: &self.layout,
            area,
            offset: self.offset,
            zoom: self.zoom,
            selected,
            hovered,
            hovered_wire,
            found,
            seconds: if still { None } else { Some(ui.input(|input| input.time)) },
        };
        painting.everything(&clipped);
        if let Some(wire) = hovered_wire {
            canvas.on_hover_ui_at_pointer(|ui| paint::edge_tip(ui, graph, wire));
        }
        // Where there is little room, it would cover what it explains.
        if legend && area.height() > LEGEND_ROOM {
            paint::legend(ui, area);
        }
        ui.painter().rect_stroke(area, RADIUS, Stroke::new(1.0, tk.border), egui::StrokeKind::Inside);
        if !still && graph.is_flowing() {
            // Thirty times a second is smooth enough for dots, and half the work.
            ui.ctx().request_repaint_after(std::time::Duration::from_millis(33));
        }
        happened
    }

    fn move_about(&mut self, ui: &Ui, canvas: &egui::Response, area: Rect, selected: Option<usize>) {
        if canvas.dragged() {
            self.offset += canvas.drag_delta();
            self.follows = false;
        }
        let pointer = canvas.hover_pos().filter(|at| area.contains(*at));
        if let Some(pointer) =
            pointer.or_else(|| ui.input(|input| input.pointer.hover_pos()).filter(|at| area.contains(*at)))
        {
            let (zoom, scroll) = ui.input(|input| (input.zoom_delta(), input.smooth_scroll_delta()));
            if (zoom - 1.0).abs() > f32::EPSILON {
                self.zoom_around(pointer - area.min, zoom);
            } else if scroll != Vec2::ZERO {
                self.offset += scroll;
                self.follows = false;
            }
        }
        if (self.zoom_by - 1.0).abs() > f32::EPSILON {
            let factor = std::mem::replace(&mut self.zoom_by, 1.0);
            self.zoom_around(area.size() / 2.0, factor);
        }
        // Beside the inspector there is less room: what was read stays as large as it is, and in sight.
        let fitted = self.shown.get_or_insert(area.size());
        if let Some(at) = selected.filter(|_| self.follows && fitted.x > area.width()) {
            if let Some(rect) = self.node_rect(at, area) {
                self.offset.x -= (rect.right() + 24.0 - area.right()).max(0.0);
            }
        } else if self.follows && self.layout.width > 0.0 {
            self.shown = Some(area.size());
            let room = area.size() - Vec2::new(2.0 * MARGIN.0, 2.0 * MARGIN.1);
            let fitting = (room.x / self.layout.width).min(room.y / self.layout.height.max(1.0));
            self.zoom = fitting.clamp(*ZOOM.start(), FIT_MAX);
            let drawn = Vec2::new(self.layout.width, self.layout.height) * self.zoom;
            self.offset = (area.size() - drawn) / 2.0;
            // What is small stays near the top, under its titles.
            self.offset.y = self.offset.y.min(MARGIN.1 + 60.0);
        }
        if let Some(at) = self.look_at.take()
            && let Some(node) = self.layout.nodes.get(at)
        {
            self.follows = false;
            self.zoom = self.zoom.max(0.7);
            let middle = Vec2::new(node.x + node.width / 2.0, node.middle()) * self.zoom;
            self.offset = area.size() / 2.0 - middle;
        }
    }

    fn zoom_around(&mut self, point: Vec2, factor: f32) {
        let zoom = (self.zoom * factor).clamp(*ZOOM.start(), *ZOOM.end());
        self.offset = point - (point - self.offset) * (zoom / self.zoom);
        self.zoom = zoom;
        self.follows = false;
    }

    fn look_at_if_hidden(&mut self, node: usize, area: Rect) {
        if self.node_rect(node, area).is_some_and(|rect| !area.contains_rect(rect)) {
            self.look_at = Some(node);
        }
    }

    /// Where a node is on the screen.
    fn node_rect(&self, at: usize, area: Rect) -> Option<Rect> {
        let node = self.layout.nodes.get(at)?;
        let min = pos2(node.x, node.y).to_vec2() * self.zoom + self.offset;
        Some(Rect::from_min_size(area.min + min, Vec2::new(node.width, node.height) * self.zoom))
    }

    fn wire_under(&self, canvas: &egui::Response, area: Rect) -> Option<usize> {
        let pointer = canvas.hover_pos()? - area.min;
        let at = (pointer - self.offset) / self.zoom;
        let reach = 7.0 / self.zoom;
        let distances = self.layout.wires.iter().map(|wire| wire.distance(Point::new(at.x, at.y)));
        let (nearest, distance) = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))?;
        (distance <= reach).then_some(nearest)
    }

    /// The node that an arrow key leads to: the nearest in that direction.
    fn moved_by_key(&self, ui: &Ui, from: usize) -> Option<usize> {
        let directions = [
            (Key::ArrowLeft, Vec2::new(-1.0, 0.0)),
            (Key::ArrowRight, Vec2::new(1.0, 0.0)),
            (Key::ArrowUp, Vec2::new(0.0, -1.0)),
            (Key::ArrowDown, Vec2::new(0.0, 1.0)),
        ];
        let (_, direction) = directions
            .into_iter()
            .find(|(key, _)| ui.input_mut(|input| input.consume_key(egui::Modifiers::NONE, *key)))?;
        let centre = |at: usize| {
            self.layout.nodes.get(at).map(|node| Pos2::new(node.x + node.width / 2.0, node.middle()))
        };
        let start = centre(from)?;
        let costs = (0..self.layout.nodes.len()).filter_map(|at| {
            let away = centre(at)? - start;
            let along = away.dot(direction);
            (at != from && along > 8.0).then(|| (at, along + 2.5 * (away - direction * along).length()))
        });
        costs.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
    }
}

/// What a screen reader says of a node.
pub fn say(graph: &Graph, at: usize) -> String {
    let node = &graph.nodes[at];
    let mut parts = vec![SAY_NODE.with(&[&t(kind_name(node.kind)), &label(node)])];
    if node.members.len() > 1 {
        parts.push(SAY_COUNT.with(&[&node.members.len()]));
    }
    if node.kind == TopologyKind::Queue {
        parts.push(SAY_QUEUE.with(&[&format::count(node.ready), &format::count(node.unacked)]));
    }
    if node.rate() > 0.0 {
        parts.push(SAY_RATES.with(&[&per_second(node.rate_in), &per_second(node.rate_out)]));
    }
    let names = |ends: Vec<usize>| {
        let names: Vec<String> = ends.iter().take(SAID_MAX).map(|at| label(&graph.nodes[*at])).collect();
        names.join(", ")
    };
    let from: Vec<usize> = graph.edges.iter().filter(|edge| edge.to == at).map(|edge| edge.from).collect();
    let to: Vec<usize> = graph.edges.iter().filter(|edge| edge.from == at).map(|edge| edge.to).collect();
    if !from.is_empty() {
        parts.push(SAY_FROM.with(&[&names(from)]));
    }
    if !to.is_empty() {
        parts.push(SAY_TO.with(&[&names(to)]));
    }
    parts.join("; ")
}

pub fn kind_name(kind: TopologyKind) -> Text {
    match kind {
        TopologyKind::Publisher => PUBLISHER,
        TopologyKind::Exchange => EXCHANGE_KIND,
        TopologyKind::Queue => QUEUE_KIND,
        TopologyKind::Consumer => CONSUMER,
    }
}

pub fn kinds_name(kind: TopologyKind) -> Text {
    match kind {
        TopologyKind::Publisher => PUBLISHERS_KIND,
        TopologyKind::Exchange => EXCHANGES_KIND,
        TopologyKind::Queue => QUEUES_KIND,
        TopologyKind::Consumer => CONSUMERS_KIND,
    }
}

/// The colour of a kind, the same in drawing and inspector. Shapes and icons tell kinds apart too.
pub fn kind_colour(node: &Node) -> Color32 {
    let tk = tokens();
    match (node.lane, node.kind) {
        (leveret_admin_model::flow::Lane::Dead, TopologyKind::Exchange | TopologyKind::Queue) => tk.danger,
        (_, TopologyKind::Publisher) => tk.series[0],
        (_, TopologyKind::Exchange) => tk.series[3],
        (_, TopologyKind::Queue) => tk.series[1],
        (_, TopologyKind::Consumer) => tk.series[2],
    }
}
