//! How the drawing looks.

use std::sync::Arc;

use eframe::egui::{
    Align2, Color32, CornerRadius, FontFamily, FontId, Galley, Painter, Pos2, Rect, RichText, Shape, Stroke,
    StrokeKind, Ui, Vec2, epaint::PathShape, pos2, text::LayoutJob, text::TextFormat,
};
use leveret_admin_model::flow::{self, Edge, Graph, Lane, Layout, Node, Point};
use leveret_admin_model::format;
use leveret_protocol::admin::topology::{TopologyKind, TopologyLink};

use super::canvas::{kind_colour, kinds_name};
use super::{label, per_second};
use crate::text::t;
use crate::texts;
use crate::theme::{self, blend, icons, tokens};
use crate::widgets::elided;

texts! {
    DEAD_LANE = "Dead letters and retries" | "死信与重试";
    READY_COUNT = "{} ready" | "{} 就绪";
    UNACKED_COUNT = "{} unacked" | "{} 未确认";
    NOBODY = "no consumer" | "无消费者";
    PAUSED = "paused" | "已暂停";
    BLOCKED = "blocked" | "已阻塞";
    LINK_PUBLISH = "publishes" | "发布";
    LINK_BINDING = "bound, or published by key" | "绑定";
    LINK_CONSUME = "delivered" | "投递";
    LINK_DEAD = "dead letters" | "死信";
    LINK_ALTERNATE = "unroutable" | "无法路由";
    LEGEND_WIDTH = "wider: more messages per second" | "越粗：每秒消息越多";
    LEGEND_FILL = "filled: messages that wait" | "填充：等待的消息";
    LEGEND_QUIET = "grey: nothing flows now" | "灰色：当前无消息";
    KEYS_OF = "Routing keys: {}" | "路由键：{}";
    EMPTY_KEY = "(empty)" | "（空）";
    BINDINGS_OF = "{} {binding|bindings}" | "{} 个绑定";
    FLOWS = "{} from {} to {}" | "{} 从 {} 到 {}";
}

/// Below this zoom names are all that is written.
const DETAILS_ZOOM: f32 = 0.5;
/// Below this zoom nothing is written.
const NAMES_ZOOM: f32 = 0.26;
/// With more edges than that their keys and rates are written only where one looks.
const LABELS_MAX: usize = 36;
/// Dots on the screen.
const DOTS_MAX: usize = 900;

/// One picture.
pub struct Painting<'a> {
    pub graph: &'a Graph,
    pub layout: &'a Layout,
    pub area: Rect,
    pub offset: Vec2,
    pub zoom: f32,
    pub selected: Option<usize>,
    pub hovered: Option<usize>,
    pub hovered_wire: Option<usize>,
    pub found: &'a [usize],
    /// The time, while dots move.
    pub seconds: Option<f64>,
}

/// What is in the light: the path of what was picked, or what was found, or all.
struct Light {
    nodes: Vec<bool>,
    edges: Vec<bool>,
    /// True when only some are.
    some: bool,
}

impl Painting<'_> {
    pub fn everything(&self, painter: &Painter) {
        let light = self.light();
        self.dead_lane(painter);
        // What is in the light lies above what is not.
        for lit in [false, true] {
            for at in (0..self.graph.edges.len()).filter(|at| light.edges[*at] == lit) {
                self.edge(painter, at, lit, light.some);
            }
        }
        self.dots(painter, &light);
        self.edge_labels(painter, &light);
        for at in 0..self.graph.nodes.len() {
            self.node(painter, at, light.nodes[at]);
        }
        self.column_titles(painter);
    }

    fn light(&self) -> Light {
        if let Some(at) = self.selected.or(self.hovered) {
            let (nodes, edges) = self.graph.path(at);
            return Light { nodes, edges, some: true };
        }
        let all = self.found.is_empty();
        let mut nodes = vec![all; self.graph.nodes.len()];
        self.found.iter().for_each(|at| nodes[*at] = true);
        Light { nodes, edges: vec![all; self.graph.edges.len()], some: !all }
    }

    fn to_screen(&self, point: Point) -> Pos2 {
        self.area.min + Vec2::new(point.x, point.y) * self.zoom + self.offset
    }

    fn rect(&self, at: usize) -> Rect {
        let node = self.layout.nodes.get(at).copied().unwrap_or_default();
        Rect::from_min_size(
            self.to_screen(Point::new(node.x, node.y)),
            Vec2::new(node.width, node.height) * self.zoom,
        )
    }

    /// Fonts grow with the drawing, in half points: the atlas of glyphs would not end otherwise.
    fn size(&self, size: f32) -> f32 {
        (size * self.zoom * 2.0).round().max(2.0) / 2.0
    }

    fn font(&self, size: f32) -> FontId {
        FontId::new(self.size(size), FontFamily::Proportional)
    }

    fn dead_lane(&self, painter: &Painter) {
        let Some((top, bottom)) = self.layout.dead else { return };
        let tk = tokens();
        let dead =
            self.graph.nodes.iter().zip(&self.layout.nodes).filter(|(node, _)| node.lane == Lane::Dead);
        let (mut left, mut right) = (f32::INFINITY, 0.0_f32);
        for (_, at) in dead {
            (left, right) = (left.min(at.x), right.max(at.right()));
        }
        let lane = Rect::from_min_max(
            self.to_screen(Point::new(left - 26.0, top)),
            self.to_screen(Point::new(right + 26.0, bottom)),
        );
        let radius = CornerRadius::same(radius(14.0 * self.zoom));
        painter.rect_filled(lane, radius, blend(tk.card, tk.danger, 0.055));
        painter.rect_stroke(
            lane,
            radius,
            Stroke::new(1.0, blend(tk.card, tk.danger, 0.3)),
            StrokeKind::Inside,
        );
        if self.zoom >= NAMES_ZOOM {
            let at = lane.min + Vec2::new(16.0, 17.0) * self.zoom;
            let icon = FontId::new(self.size(14.0), FontFamily::Name("icons".into()));
            painter.text(at, Align2::LEFT_CENTER, icons::SKULL, icon, tk.danger);
            let colour = blend(tk.card, tk.danger, 0.9);
            let at = at + Vec2::new(21.0 * self.zoom, 0.0);
            painter.text(at, Align2::LEFT_CENTER, t(DEAD_LANE), theme::strong_of(self.size(12.5)), colour);
        }
    }

    /// Above the columns, and in sight wherever one looks.
    fn column_titles(&self, painter: &Painter) {
        let tk = tokens();
        let mut drawn: Vec<(TopologyKind, f32, f32)> = Vec::new();
        for (kind, left, right) in &self.layout.columns {
            match drawn.last_mut() {
                Some(last) if last.0 == *kind => last.2 = *right,
                _ => drawn.push((*kind, *left, *right)),
            }
        }
        let top = (self.area.top() + self.offset.y - 6.0).max(self.area.top() + 8.0);
        for (kind, left, right) in drawn {
            let count = self.graph.nodes.iter().filter(|node| node.kind == kind && node.lane == Lane::Main);
            let count: usize = count.map(|node| node.members.len()).sum();
            let middle = self.to_screen(Point::new((left + right) / 2.0, 0.0)).x;
            let mut job = LayoutJob::default();
            let format = |font, color| TextFormat { font_id: font, color, ..TextFormat::default() };
            job.append(t(kinds_name(kind)), 0.0, format(theme::strong_of(12.0), tk.text_dim));
            job.append(&format::count(count as u64), 7.0, format(theme::body(), tk.text_faint));
            let galley = painter.layout_job(job);
            let at = pos2(middle - galley.size().x / 2.0, top);
            let back = Rect::from_min_size(at, galley.size()).expand2(Vec2::new(10.0, 4.0));
            painter.rect_filled(back, 9.0, tk.card.gamma_multiply(0.9));
            painter.galley(at, galley, tk.text_dim);
        }
    }

    fn edge(&self, painter: &Painter, at: usize, lit: bool, some: bool) {
        let tk = tokens();
        let (edge, Some(wire)) = (&self.graph.edges[at], self.layout.wires.get(at)) else { return };
        let flows = flow::dots(edge.rate).is_some();
        let looked_at = self.hovered_wire == Some(at) || (lit && some);
        let mut colour = link_colour(edge.link);
        let strength = match (lit, looked_at, flows) {
            (false, _, _) => 0.10,
            (true, true, true) => 0.85,
            (true, true, false) => 0.62,
            (true, false, true) => 0.50,
            (true, false, false) => 0.30,
        };
        if !flows && !looked_at && !is_dashed(edge.link) {
            colour = tk.border_strong;
        }
        let strength = if flows || is_dashed(edge.link) || looked_at || !lit { strength } else { 0.85 };
        let colour = blend(tk.card, colour, strength);
        let width = (flow::edge_width(edge.rate) * self.zoom.clamp(0.45, 1.4)).max(1.0);
        let points: Vec<Pos2> = wire.points.iter().map(|point| self.to_screen(*point)).collect();
        if !points.iter().any(|point| self.area.expand(200.0).contains(*point)) {
            return;
        }
        let tip = points.last().copied();
        let arrow = (5.0 + width * 1.1) * self.zoom.clamp(0.5, 1.2);
        if is_dashed(edge.link) {
            let dash = 7.0 * self.zoom.max(0.5);
            painter.extend(Shape::dashed_line(&points, Stroke::new(width, colour), dash, dash * 0.75));
        } else {
            painter.add(PathShape::line(points, Stroke::new(width, colour)));
        }
        if let (Some(tip), true) = (tip, self.zoom > 0.2) {
            let back = self.to_screen(wire.at((wire.length() - arrow / self.zoom).max(0.0)));
            let along = (tip - back).normalized() * arrow;
            let side = along.rot90() * 0.55;
            let colour = if lit {
                blend(tk.card, link_or_grey(edge, flows, looked_at), (strength + 0.25).min(1.0))
            } else {
                colour
            };
            painter.add(Shape::convex_polygon(
                vec![tip, tip - along + side, tip - along - side],
                colour,
                Stroke::NONE,
            ));
        }
    }

    fn dots(&self, painter: &Painter, light: &Light) {
        let Some(seconds) = self.seconds else { return };
        let tk = tokens();
        let mut left = DOTS_MAX;
        for (at, (edge, wire)) in self.graph.edges.iter().zip(&self.layout.wires).enumerate() {
            let Some((speed, apart)) = flow::dots(edge.rate).filter(|_| light.edges[at]) else { continue };
            let colour =
                blend(link_colour(edge.link), if tk.dark { Color32::WHITE } else { Color32::BLACK }, 0.28);
            let radius = (flow::edge_width(edge.rate) * 0.42 + 1.3) * self.zoom.clamp(0.45, 1.3);
            let mut along = ((seconds * f64::from(speed)) % f64::from(apart)) as f32;
            while along < wire.length() && left > 0 {
                let point = self.to_screen(wire.at(along));
                if self.area.contains(point) {
                    painter.circle_filled(point, radius, colour);
                    left -= 1;
                }
                along += apart;
            }
        }
    }

    fn edge_labels(&self, painter: &Painter, light: &Light) {
        if self.zoom < DETAILS_ZOOM {
            return;
        }
        let few = self.graph.edges.len() <= LABELS_MAX;
        let tk = tokens();
        let mut taken: Vec<Rect> = Vec::new();
        for (at, (edge, wire)) in self.graph.edges.iter().zip(&self.layout.wires).enumerate() {
            let looked_at = self.hovered_wire == Some(at) || (light.some && light.edges[at]);
            if !(looked_at || few && light.edges[at]) || edge.from == edge.to {
                continue;
            }
            let Some(text) = edge_text(edge) else { continue };
            let colour = if looked_at { tk.text } else { tk.text_dim };
            let galley = elided(painter, &text, self.font(11.5), colour, 132.0 * self.zoom);
            // Near the start, where wires of one source have parted; further on where there is something already.
            let place = [0.5, 0.34, 0.66, 0.22, 0.8].into_iter().find_map(|share| {
                let middle = self.to_screen(wire.at(wire.length() * share));
                let rect = Rect::from_center_size(middle, galley.size()).expand2(Vec2::new(5.0, 1.5));
                (!taken.iter().any(|other| other.intersects(rect))).then_some(rect)
            });
            let Some(rect) = place else { continue };
            taken.push(rect);
            painter.rect(
                rect,
                CornerRadius::same(radius(rect.height() / 2.0)),
                tk.card,
                Stroke::new(1.0, blend(tk.card, link_colour(edge.link), 0.35)),
                StrokeKind::Inside,
            );
            painter.galley(rect.center() - galley.size() / 2.0, galley, colour);
        }
    }

    fn node(&self, painter: &Painter, at: usize, lit: bool) {
        let tk = tokens();
        let node = &self.graph.nodes[at];
        let rect = self.rect(at);
        if !self.area.expand(20.0).intersects(rect) {
            return;
        }
        let mut painter = painter.clone();
        if !lit {
            painter.multiply_opacity(0.28);
        }
        let colour = kind_colour(node);
        let corner = match node.kind {
            TopologyKind::Exchange => rect.height() / 2.0,
            TopologyKind::Queue => 7.0 * self.zoom,
            TopologyKind::Publisher | TopologyKind::Consumer => 12.0 * self.zoom,
        };
        let corner = CornerRadius::same(radius(corner));
        let is_picked = self.selected == Some(at);
        let is_active = node.rate() >= 0.05;
        let edge = if is_picked {
            tk.accent
        } else if self.hovered == Some(at) {
            blend(tk.card, colour, 0.95)
        } else {
            blend(tk.card, colour, if is_active { 0.62 } else { 0.34 })
        };
        if node.is_group || node.members.len() > 1 {
            for step in [2.0, 1.0] {
                let behind = rect.translate(Vec2::splat(3.5 * step * self.zoom));
                painter.rect(
                    behind,
                    corner,
                    blend(tk.window, tk.card, 0.6),
                    Stroke::new(1.0, blend(tk.card, colour, 0.22)),
                    StrokeKind::Inside,
                );
            }
        }
        painter.rect_filled(rect, corner, blend(tk.panel, colour, if tk.dark { 0.075 } else { 0.05 }));
        if node.kind == TopologyKind::Queue {
            self.filling(&painter, node, rect, colour, corner);
        }
        let width = if is_picked { 2.2 } else { 1.3 };
        painter.rect_stroke(rect, corner, Stroke::new(width, edge), StrokeKind::Inside);
        if self.found.contains(&at) && !is_picked {
            painter.rect_stroke(rect.expand(3.0), corner, Stroke::new(1.5, tk.accent), StrokeKind::Outside);
        }
        if self.zoom >= NAMES_ZOOM {
            self.node_text(&painter, at, rect, colour);
        }
    }

    /// How full a queue is: from the left, with a line where it ends.
    fn filling(&self, painter: &Painter, node: &Node, rect: Rect, colour: Color32, corner: CornerRadius) {
        let share = flow::fill(node.ready, node.max_length);
        if share <= 0.0 {
            return;
        }
        let tk = tokens();
        let is_full = node.max_length.is_some() && share >= 0.9;
        let colour = if is_full { tk.danger } else { colour };
        let mut full = rect.shrink(1.0);
        full.set_width((full.width() * share).max(3.0));
        let clipped = painter.with_clip_rect(full.intersect(painter.clip_rect()));
        clipped.rect_filled(
            rect.shrink(1.0),
            corner,
            blend(tk.card, colour, if tk.dark { 0.34 } else { 0.26 }),
        );
        if share < 0.995 {
            clipped.vline(full.right() - 0.75, full.y_range(), Stroke::new(1.2, blend(tk.card, colour, 0.6)));
        }
    }

    fn node_text(&self, painter: &Painter, at: usize, rect: Rect, colour: Color32) {
        let tk = tokens();
        let node = &self.graph.nodes[at];
        let z = self.zoom;
        let details = z >= DETAILS_ZOOM;
        // Far away names are written larger than they are.
        let scale = if details { 1.08 } else { (0.42 / z).clamp(1.08, 1.8) };
        let icon_font = FontId::new(self.size(15.0), FontFamily::Name("icons".into()));
        let (pad, icon_width) = (12.0 * z, 22.0 * z);
        let y = if details { rect.top() + 17.0 * z } else { rect.center().y };
        let name_at = pos2(rect.left() + pad + icon_width, y);
        painter.text(pos2(rect.left() + pad, y), Align2::LEFT_CENTER, kind_icon(node), icon_font, colour);
        let mut room = rect.right() - pad - name_at.x;
        if node.members.len() > 1 {
            let text = format!("×{}", format::count(node.members.len() as u64));
            let at = pos2(rect.right() - pad, y);
            let drawn = painter.text(
                at,
                Align2::RIGHT_CENTER,
                text,
                theme::strong_of(self.size(11.5 * scale)),
                colour,
            );
            room -= drawn.width() + 6.0 * z;
        }
        let font = theme::strong_of(self.size(13.0 * scale));
        let name = elided(painter, &label(node), font, tk.text, room);
        painter.galley(pos2(name_at.x, y - name.size().y / 2.0), name, tk.text);
        if !details {
            return;
        }
        let left = rect.left() + pad;
        let small = self.font(12.5);
        let second =
            if node.kind == TopologyKind::Queue { rect.top() + 37.0 * z } else { rect.bottom() - 15.0 * z };
        let rates = match node.kind {
            TopologyKind::Queue if node.rate() >= 0.05 => {
                let rate = |rate| format::rate(rate);
                Some(format!("{} {} {}/s", rate(node.rate_in), icons::ARROW_RIGHT, rate(node.rate_out)))
            }
            TopologyKind::Queue => None,
            _ if node.rate() >= 0.05 => Some(per_second(node.rate())),
            _ => None,
        };
        let mut right = rect.right() - pad;
        if let Some(rates) = rates {
            let drawn =
                painter.text(pos2(right, second), Align2::RIGHT_CENTER, rates, small.clone(), tk.text_dim);
            right = drawn.left() - 6.0 * z;
        }
        let (text, text_colour) = self.second_line(at);
        let second_line = elided(painter, &text, small, text_colour, (right - left).max(10.0));
        painter.galley(pos2(left, second - second_line.size().y / 2.0), second_line, text_colour);
    }

    fn second_line(&self, at: usize) -> (String, Color32) {
        let tk = tokens();
        let node = &self.graph.nodes[at];
        match node.state.as_str() {
            "paused" => {
                return (
                    format!("{} · {}", t(PAUSED), READY_COUNT.with(&[&format::short(node.ready as f64)])),
                    tk.warning,
                );
            }
            "blocked" | "blocking" => return (t(BLOCKED).to_owned(), tk.danger),
            _ => {}
        }
        match node.kind {
            TopologyKind::Queue => {
                let mut text = READY_COUNT.with(&[&format::short(node.ready as f64)]);
                let is_taken = || {
                    self.graph.edges.iter().any(|edge| edge.from == at && edge.link == TopologyLink::Consume)
                };
                if node.lane == Lane::Main && node.ready > 0 && !is_taken() {
                    return (format!("{text} · {}", t(NOBODY)), tk.warning);
                }
                if node.unacked > 0 {
                    let unacked = UNACKED_COUNT.with(&[&format::short(node.unacked as f64)]);
                    // Of what is empty only the other is worth the room.
                    text = if node.ready == 0 { unacked } else { format!("{text} · {unacked}") };
                }
                (text, if node.ready > 0 { tk.text } else { tk.text_dim })
            }
            TopologyKind::Consumer if node.unacked > 0 => {
                (UNACKED_COUNT.with(&[&format::short(node.unacked as f64)]), tk.text_dim)
            }
            TopologyKind::Exchange => (node.detail.clone(), tk.text_dim),
            TopologyKind::Publisher | TopologyKind::Consumer => (String::new(), tk.text_dim),
        }
    }
}

/// Small points that make moving about visible.
pub fn grid(painter: &Painter, area: Rect, offset: Vec2, zoom: f32) {
    let step = 32.0 * if zoom < 0.5 { zoom * 3.0 } else { zoom };
    if step < 10.0 {
        return;
    }
    let colour = blend(tokens().card, tokens().border_strong, 0.30);
    let first = |offset: f32| offset.rem_euclid(step);
    let mut y = area.top() + first(offset.y);
    while y < area.bottom() {
        let mut x = area.left() + first(offset.x);
        while x < area.right() {
            painter.rect_filled(Rect::from_center_size(pos2(x, y), Vec2::splat(1.2)), 0.0, colour);
            x += step;
        }
        y += step;
    }
}

/// What is known of an edge, under the pointer.
pub fn edge_tip(ui: &mut Ui, graph: &Graph, at: usize) {
    let Some(edge) = graph.edges.get(at) else { return };
    let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
    let rate = per_second(edge.rate);
    ui.label(RichText::new(t(link_name(edge.link))).font(theme::strong()).color(link_colour(edge.link)));
    ui.label(FLOWS.with(&[&rate, &label(from), &label(to)]));
    if edge.link == TopologyLink::Binding && !edge.keys.is_empty() {
        let keys: Vec<&str> =
            edge.keys.iter().map(|key| if key.is_empty() { t(EMPTY_KEY) } else { key.as_str() }).collect();
        ui.label(KEYS_OF.with(&[&keys.join("  ")]));
        if edge.bindings > edge.keys.len() as u64 {
            crate::widgets::faint(ui, BINDINGS_OF.with(&[&edge.bindings]));
        }
    }
}

/// What the drawing means, in a corner of it.
pub fn legend(ui: &Ui, area: Rect) {
    let tk = tokens();
    let painter = ui.painter().with_clip_rect(area);
    let links = [
        TopologyLink::Publish,
        TopologyLink::Binding,
        TopologyLink::Consume,
        TopologyLink::DeadLetter,
        TopologyLink::AlternateExchange,
    ];
    let links = links.map(|link| (Some(link), t(link_name(link))));
    let rest = [LEGEND_WIDTH, LEGEND_FILL, LEGEND_QUIET].map(|text| (None, t(text)));
    let lines: Vec<(Option<TopologyLink>, Arc<Galley>)> = links
        .into_iter()
        .chain(rest)
        .map(|(link, text)| (link, painter.layout_no_wrap(text.to_owned(), theme::small(), tk.text_dim)))
        .collect();
    let widest = lines.iter().map(|(_, galley)| galley.size().x).fold(0.0, f32::max);
    let size = Vec2::new(widest + 60.0, lines.len() as f32 * 18.0 + 16.0);
    let at = Rect::from_min_size(pos2(area.left() + 12.0, area.bottom() - size.y - 12.0), size);
    painter.rect(at, 8.0, tk.panel.gamma_multiply(0.94), Stroke::new(1.0, tk.border), StrokeKind::Inside);
    for (line, (link, galley)) in lines.into_iter().enumerate() {
        let y = at.top() + 17.0 + line as f32 * 18.0;
        let (left, right) = (at.left() + 12.0, at.left() + 38.0);
        match link {
            Some(link) => {
                let stroke = Stroke::new(2.2, link_colour(link));
                if is_dashed(link) {
                    painter.extend(Shape::dashed_line(&[pos2(left, y), pos2(right, y)], stroke, 5.0, 3.5));
                } else {
                    painter.line_segment([pos2(left, y), pos2(right, y)], stroke);
                }
            }
            None if line == 5 => {
                let points = [(left, 0.7), (right, 3.2)];
                let top: Vec<Pos2> = points.iter().map(|(x, half)| pos2(*x, y - half)).collect();
                let below = points.iter().rev().map(|(x, half)| pos2(*x, y + half));
                let shape = top.into_iter().chain(below).collect();
                painter.add(Shape::convex_polygon(shape, tk.text_faint, Stroke::NONE));
            }
            None if line == 6 => {
                let rect = Rect::from_min_max(pos2(left, y - 5.0), pos2(right, y + 5.0));
                let mut full = rect;
                full.set_width(rect.width() * 0.6);
                painter.rect_filled(full, 2.0, blend(tk.card, tk.series[1], 0.4));
                painter.rect_stroke(rect, 2.0, Stroke::new(1.0, tk.series[1]), StrokeKind::Inside);
            }
            None => {
                painter.line_segment([pos2(left, y), pos2(right, y)], Stroke::new(1.2, tk.border_strong));
            }
        }
        painter.galley(pos2(at.left() + 48.0, y - galley.size().y / 2.0), galley, tk.text_dim);
    }
}

/// What is written on an edge: its key, or how much flows.
fn edge_text(edge: &Edge) -> Option<String> {
    let rate = (edge.rate >= 0.05).then(|| per_second(edge.rate));
    let key = match edge.keys.as_slice() {
        _ if edge.link != TopologyLink::Binding => None,
        [] => None,
        [only] if only.is_empty() => None,
        [only] if edge.bindings <= 1 => Some(only.clone()),
        [first, ..] => Some(format!("{first} +{}", edge.bindings.saturating_sub(1).max(1))),
    };
    match (key, rate) {
        (Some(key), Some(rate)) => Some(format!("{key} · {rate}")),
        (Some(text), None) | (None, Some(text)) => Some(text),
        (None, None) => None,
    }
}

pub fn kind_icon(node: &Node) -> &'static str {
    match (node.lane, node.kind) {
        (Lane::Dead, TopologyKind::Queue) => icons::SKULL,
        (_, TopologyKind::Publisher) => icons::SEND,
        (_, TopologyKind::Exchange) => icons::SHUFFLE,
        (_, TopologyKind::Queue) => icons::INBOX,
        (_, TopologyKind::Consumer) => icons::CPU,
    }
}

pub fn link_name(link: TopologyLink) -> crate::text::Text {
    match link {
        TopologyLink::Publish => LINK_PUBLISH,
        TopologyLink::Binding => LINK_BINDING,
        TopologyLink::AlternateExchange => LINK_ALTERNATE,
        TopologyLink::DeadLetter => LINK_DEAD,
        TopologyLink::Consume => LINK_CONSUME,
    }
}

pub fn link_colour(link: TopologyLink) -> Color32 {
    let tk = tokens();
    match link {
        TopologyLink::Publish => tk.series[0],
        TopologyLink::Binding => tk.series[1],
        TopologyLink::AlternateExchange => tk.warning,
        TopologyLink::DeadLetter => tk.danger,
        TopologyLink::Consume => tk.series[2],
    }
}

fn link_or_grey(edge: &Edge, flows: bool, looked_at: bool) -> Color32 {
    if flows || looked_at || is_dashed(edge.link) { link_colour(edge.link) } else { tokens().border_strong }
}

/// What takes another way than most is dashed: it is not told by colour alone.
fn is_dashed(link: TopologyLink) -> bool {
    matches!(link, TopologyLink::DeadLetter | TopologyLink::AlternateExchange)
}

fn radius(points: f32) -> u8 {
    points.clamp(0.0, 60.0) as u8
}
