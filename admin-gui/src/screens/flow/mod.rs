//! Message flow: what flows where, drawn.
//!
//! The drawing follows the broker: widths are rates, fillings are depths, dots move as messages do. One picks a node and
//! sees everything that leads to it and from it; the same is there as a table.

mod canvas;
mod inspector;
mod paint;
mod rows;

use eframe::egui::Ui;
use leveret_admin_model::flow::graph::View;
use leveret_admin_model::flow::layout::{Memory, layout};
use leveret_admin_model::flow::{self, Graph, lists};
use leveret_admin_model::{Intent, ProblemKind, lookups, query};
use leveret_protocol::admin::topology::TopologyGraph;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, space, tokens};
use crate::widgets::{form, head, icon_button, icon_button_if, named, panel};

pub use canvas::Canvas;

texts! {
    FIND_NODE = "Find in the drawing" | "在图中查找";
    FOUND = "{} of {}" | "{} / {}";
    NEXT_FOUND = "Next one found" | "下一个结果";
    DRAWING = "Drawing" | "图形";
    TABLE = "Table" | "表格";
    FIT = "Show everything" | "显示全部";
    ZOOM_IN = "Larger" | "放大";
    ZOOM_OUT = "Smaller" | "缩小";
    TIDY = "Arrange again" | "重新排列";
    MOTION_OFF = "Stop the dots" | "停止动画";
    MOTION_ON = "Let the dots move" | "开启动画";
    LEGEND = "Legend" | "图例";
    SHOW_IDLE = "{} unused {exchange|exchanges}" | "{} 个未使用的交换机";
    NOTHING_FLOWS = "There is nothing to draw yet" | "暂无可显示的内容";
    NOTHING_WHY = "As soon as a queue is declared in this vhost or somebody publishes, it shows here." | "在此虚拟主机中声明队列或发布消息后，将在此显示。";
    PART_ONLY = "This vhost has more than can be drawn: only its busiest part is here." | "内容过多，仅显示最繁忙的部分。";
    ESTIMATED = "{} does not tell what passes a binding: those rates are estimated, and publishers are not shown." | "{} 不提供绑定的速率：这些速率为估算值，且不显示发布者。";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    view: View,
    graph: Graph,
    /// What the graph was made from: vhost, version of the answer, and the view.
    made_of: Option<(String, u64, View)>,
    shape: u64,
    memory: Memory,
    canvas: Canvas,
    selected: Option<String>,
    find: String,
    found_at: usize,
    as_table: bool,
    legend: Legend,
    rows: rows::Rows,
    vhost: Option<String>,
    /// Whether there is more than the broker told.
    truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Legend(bool);

impl Default for Legend {
    fn default() -> Legend {
        Legend(true)
    }
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    state.ui(ui, cx);
}

impl State {
    fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let vhost = self.vhost(cx);
        self.tools(ui, cx, &vhost);
        if self.reads_graph(cx) {
            let answer = cx.read(&lookups::topology(&vhost));
            let lacks = answer.value.is_none()
                && answer.problem().is_some_and(|problem| problem.kind == ProblemKind::NotFound);
            if !lacks {
                let version = answer.version();
                panel::remote(ui, cx, &answer, |ui, topology| self.show(ui, cx, &vhost, topology, version));
                return;
            }
        }
        self.show_lists(ui, cx, &vhost);
    }

    /// True unless it is known that this broker does not tell the flow as a graph.
    fn reads_graph(&self, cx: &Cx<'_>) -> bool {
        cx.state.product.is_none() || cx.is_leveret()
    }

    fn show_lists(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str) {
        let queues = cx.read(&query::queues());
        let (exchanges, bindings) = (cx.read(&query::exchanges()), cx.read(&query::bindings()));
        let consumers = cx.read(&query::consumers());
        let version = queues.version() + exchanges.version() + bindings.version() + consumers.version();
        panel::remote(ui, cx, &queues, |ui, queues| {
            let name = cx.state.product.as_ref().map_or("RabbitMQ", |product| product.name.as_str());
            panel::note(ui, tokens().accent, icons::INFO, |ui| {
                ui.label(ESTIMATED.with(&[&name]));
            });
            let (exchanges, bindings, consumers) =
                (exchanges.or_default(), bindings.or_default(), consumers.or_default());
            let is_made = self.made_of.as_ref().is_some_and(|made| made.0 == vhost && made.1 == version);
            let topology = if is_made {
                TopologyGraph::default()
            } else {
                let lists = lists::Lists {
                    exchanges: &exchanges,
                    queues,
                    bindings: &bindings,
                    consumers: &consumers,
                };
                lists::topology(vhost, lists, cx.now())
            };
            self.show(ui, cx, vhost, &topology, version);
        });
    }

    /// The vhost that is drawn: the one that is looked at, or the first.
    fn vhost(&mut self, cx: &Cx<'_>) -> String {
        if let Some(vhost) = &cx.state.vhost {
            return vhost.clone();
        }
        let vhosts = cx.read(&query::vhosts()).or_default();
        let exists = |name: &String| vhosts.iter().any(|vhost| vhost.name == *name);
        if let Some(chosen) = self.vhost.clone().filter(exists) {
            return chosen;
        }
        let default = vhosts.iter().find(|vhost| vhost.name == "/").or(vhosts.first());
        default.map_or_else(|| "/".to_owned(), |vhost| vhost.name.clone())
    }

    fn show(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, topology: &TopologyGraph, version: u64) {
        self.remake(vhost, topology, version);
        if self.graph.nodes.is_empty() {
            panel::empty(ui, icons::WAYPOINTS, t(NOTHING_FLOWS), t(NOTHING_WHY), |_| {});
            return;
        }
        if self.truncated {
            panel::note(ui, tokens().warning, icons::INFO, |ui| {
                ui.label(t(PART_ONLY));
            });
        }
        if self.as_table {
            if let Some(id) = self.rows.ui(ui, cx) {
                self.selected = Some(id);
                self.as_table = false;
            }
            return;
        }
        let selected = self.selected.as_deref().and_then(|id| self.graph.find(id));
        if let Some(at) = selected
            && let Some(does) = inspector::ui(ui, cx, vhost, &self.graph, at, &self.view)
        {
            self.inspected(cx, does);
        }
        let found = self.graph.search(&self.find);
        let happened = self.canvas.ui(ui, cx, &self.graph, selected, &found, self.legend.0);
        match happened {
            canvas::Happened::Nothing => {}
            canvas::Happened::Selected(at) => {
                self.selected = at.and_then(|at| self.graph.nodes.get(at)).map(|node| node.id.clone());
            }
            canvas::Happened::Opened(at) => {
                if let Some(node) = self.graph.nodes.get(at) {
                    if node.is_group {
                        self.view.opened.insert(node.id.clone());
                    } else if let Some(route) = inspector::route_of(vhost, node) {
                        cx.go(route);
                    }
                }
            }
        }
    }

    fn inspected(&mut self, cx: &Cx<'_>, does: inspector::Does) {
        match does {
            inspector::Does::Close => self.selected = None,
            inspector::Does::Select(id) => {
                if let Some(at) = self.graph.find(&id) {
                    self.canvas.look_at(at);
                }
                self.selected = Some(id);
            }
            inspector::Does::OpenGroup(id) => {
                self.view.opened.insert(id);
                self.selected = None;
            }
            inspector::Does::Go(route) => cx.go(route),
        }
    }

    /// Makes the graph anew when what it is made of changed, and the drawing when its shape did.
    fn remake(&mut self, vhost: &str, topology: &TopologyGraph, version: u64) {
        let made_of = (vhost.to_owned(), version, self.view.clone());
        if self.made_of.as_ref() == Some(&made_of) {
            return;
        }
        // A view that changed alone has nothing to be made of when the lists were not joined again.
        if topology.nodes.is_empty()
            && self.made_of.as_ref().is_some_and(|made| made.0 == vhost && made.1 == version)
        {
            self.made_of = None;
            return;
        }
        if self.made_of.as_ref().is_some_and(|made| made.0 != vhost) {
            self.memory.forget();
            self.canvas = Canvas::default();
            self.selected = None;
        }
        self.graph = Graph::of(topology, &self.view);
        self.truncated = topology.truncated;
        let shape = self.graph.shape();
        if self.shape != shape || self.canvas.is_empty() {
            self.shape = shape;
            self.canvas.set_layout(layout(&self.graph, &mut self.memory));
        }
        self.rows.set(&self.graph);
        self.made_of = Some(made_of);
    }

    fn tools(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str) {
        let about = if cx.state.vhost.is_none() { String::new() } else { vhost.to_owned() };
        head(ui, t(MESSAGE_FLOW), &about, |ui| {
            for (as_table, icon, name) in [(true, icons::TABLE, TABLE), (false, icons::WAYPOINTS, DRAWING)] {
                let text = crate::widgets::with_icon(icon, t(name));
                if named(ui.selectable_label(self.as_table == as_table, text), t(name)).clicked() {
                    self.as_table = as_table;
                }
            }
            if !self.as_table {
                ui.add_space(space::S);
                self.buttons(ui, cx);
            }
        });
        ui.horizontal(|ui| {
            if cx.state.vhost.is_none() {
                let vhosts = cx.read(&query::vhosts()).or_default();
                if vhosts.len() > 1 {
                    let mut at = vhosts.iter().position(|known| known.name == vhost).unwrap_or(0);
                    let names: Vec<(usize, &str)> =
                        vhosts.iter().enumerate().map(|(at, vhost)| (at, vhost.name.as_str())).collect();
                    if form::choice(ui, t(VHOST), &mut at, &names) {
                        self.vhost = vhosts.get(at).map(|vhost| vhost.name.clone());
                    }
                }
            }
            let width = (ui.available_width() * 0.3).clamp(160.0, 320.0);
            let hint = format!("{}  {}", icons::SEARCH, t(FIND_NODE));
            let field = form::field(ui, t(FIND_NODE), &mut self.find, &hint, width);
            let typing = ui.ctx().egui_wants_keyboard_input();
            let wants_find = ui.input_mut(|input| {
                use eframe::egui::{Key, Modifiers};
                input.consume_key(Modifiers::COMMAND, Key::F)
                    || (!typing && input.consume_key(Modifiers::NONE, Key::Slash))
            });
            if wants_find && !self.as_table {
                field.request_focus();
            }
            let found = self.graph.search(&self.find);
            if !self.find.trim().is_empty() {
                let entered =
                    field.lost_focus() && ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
                if field.changed() {
                    self.found_at = 0;
                }
                crate::widgets::faint(ui, FOUND.with(&[&(self.found_at + 1).min(found.len()), &found.len()]));
                let next =
                    icon_button_if(ui, !found.is_empty(), icons::CHEVRON_DOWN, t(NEXT_FOUND)).clicked();
                if (next || entered) && !found.is_empty() {
                    let shown = self.selected.as_deref().and_then(|id| self.graph.find(id));
                    if shown.is_some() && shown == found.get(self.found_at).copied() {
                        self.found_at = (self.found_at + 1) % found.len();
                    }
                    self.found_at = self.found_at.min(found.len() - 1);
                    let at = found[self.found_at];
                    self.selected = Some(self.graph.nodes[at].id.clone());
                    self.canvas.look_at(at);
                    if entered {
                        field.request_focus();
                    }
                }
            }
            if self.graph.idle > 0 {
                let text = SHOW_IDLE.with(&[&self.graph.idle]);
                named(ui.checkbox(&mut self.view.idle, &text), &text);
            }
        });
        ui.add_space(space::XS);
    }

    fn buttons(&mut self, ui: &mut Ui, cx: &Cx<'_>) {
        let still = cx.state.settings.reduce_motion;
        let (icon, name) = if still { (icons::PLAY, MOTION_ON) } else { (icons::PAUSE, MOTION_OFF) };
        if icon_button(ui, icon, t(name)).clicked() {
            let mut settings = cx.state.settings.clone();
            settings.reduce_motion = !still;
            cx.send(Intent::Settings(Box::new(settings)));
        }
        if icon_button(ui, icons::INFO, t(LEGEND)).clicked() {
            self.legend.0 = !self.legend.0;
        }
        if icon_button(ui, icons::SPARKLES, t(TIDY)).clicked() {
            self.memory.forget();
            self.canvas.set_layout(layout(&self.graph, &mut self.memory));
            self.canvas.fit();
        }
        if icon_button(ui, icons::MAXIMIZE, t(FIT)).clicked() {
            self.canvas.fit();
        }
        if icon_button(ui, icons::ZOOM_IN, t(ZOOM_IN)).clicked() {
            self.canvas.zoom_by(1.25);
        }
        if icon_button(ui, icons::ZOOM_OUT, t(ZOOM_OUT)).clicked() {
            self.canvas.zoom_by(0.8);
        }
    }
}

/// `120/s`.
fn per_second(rate: f64) -> String {
    PER_SECOND.with(&[&leveret_admin_model::format::rate(rate)])
}

/// What something is called: the default exchange has no name.
fn label(node: &flow::Node) -> String {
    use leveret_protocol::admin::topology::TopologyKind;
    match (node.kind, node.label.as_str()) {
        (TopologyKind::Exchange, "") if node.is_group => canvas::OTHER_EXCHANGES.get().to_owned(),
        (TopologyKind::Queue, "") if node.is_group => canvas::OTHER_QUEUES.get().to_owned(),
        (TopologyKind::Exchange, "") => DEFAULT_EXCHANGE.get().to_owned(),
        (_, label) => label.to_owned(),
    }
}
