//! Beside the drawing: everything of what was picked, with names that lead on.

use eframe::egui::{Frame, Margin, Panel, RichText, ScrollArea, Ui};
use leveret_admin_model::flow::graph::View;
use leveret_admin_model::flow::{Graph, Node};
use leveret_admin_model::{Route, format};
use leveret_protocol::admin::topology::{TopologyKind, TopologyLink};

use super::canvas::{kind_colour, kind_name};
use super::{label, paint, per_second};
use crate::cx::Cx;
use crate::shell::panes::{Pane, door};
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, dim, facts, faint, icon_button, link, meter, title};

texts! {
    CLOSE_INSPECTOR = "Close" | "关闭";
    RATE_IN = "In" | "流入";
    RATE_OUT = "Out" | "流出";
    LIMIT = "Limit" | "上限";
    NO_LIMIT = "none" | "无";
    COMES_FROM = "Comes from" | "来源";
    GOES_TO = "Goes to" | "去向";
    NOWHERE = "Nowhere: what is published here is dropped." | "无去向：发布到此处的消息会被丢弃。";
    NOBODY_TAKES = "Nobody takes from it." | "没有消费者。";
    MEMBERS = "Stands for {}" | "包含 {} 个";
    OPEN_GROUP = "Show its members" | "展开成员";
    OPEN_OBJECT = "Open {}" | "打开 {}";
    COPY_NAME = "Copy the name" | "复制名称";
    AND_OTHERS = "and {} more" | "以及另外 {} 个";
}

/// What is to be done.
pub enum Does {
    Close,
    Select(String),
    OpenGroup(String),
    Go(Route),
}

/// Members and edges that are listed.
const LISTED_MAX: usize = 40;

pub fn ui(ui: &mut Ui, cx: &Cx<'_>, vhost: &str, graph: &Graph, at: usize, view: &View) -> Option<Does> {
    let tk = tokens();
    let node = graph.nodes.get(at)?;
    let mut does = None;
    let frame = Frame::new().fill(tk.window).inner_margin(Margin { left: 14, right: 2, top: 2, bottom: 2 });
    Panel::right("flow-inspector")
        .frame(frame)
        .resizable(false)
        .exact_size(290.0)
        .show_separator_line(false)
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(paint::kind_icon(node)).font(theme::icon(18.0)).color(kind_colour(node)),
                );
                faint(ui, t(kind_name(node.kind)));
                ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                    let close = icon_button(ui, icons::X, t(CLOSE_INSPECTOR));
                    door(ui.ctx(), Pane::Inspector, close.id);
                    if close.clicked() {
                        does = Some(Does::Close);
                    }
                    if icon_button(ui, icons::COPY, t(COPY_NAME)).clicked() {
                        cx.copy(node.label.clone());
                    }
                });
            });
            ui.add(
                eframe::egui::Label::new(
                    RichText::new(label(node)).font(theme::strong_of(16.0)).color(tk.text),
                )
                .wrap(),
            );
            ui.add_space(space::S);
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                numbers(ui, node);
                ui.add_space(space::M);
                if let Some(route) = route_of(vhost, node)
                    && button(
                        ui,
                        true,
                        icons::ARROW_RIGHT,
                        &OPEN_OBJECT.with(&[&t(kind_name(node.kind)).to_lowercase()]),
                    )
                    .clicked()
                {
                    does = Some(Does::Go(route));
                }
                if node.is_group
                    && !view.opened.contains(&node.id)
                    && button(ui, true, icons::MAXIMIZE, t(OPEN_GROUP)).clicked()
                {
                    does = Some(Does::OpenGroup(node.id.clone()));
                }
                ends(ui, graph, at, true, &mut does);
                ends(ui, graph, at, false, &mut does);
                if node.members.len() > 1 {
                    ui.add_space(space::M);
                    title(ui, &MEMBERS.with(&[&format::count(node.members.len() as u64)]));
                    for name in node.members.iter().take(LISTED_MAX) {
                        let route = match node.kind {
                            TopologyKind::Queue => Some(Route::queue(vhost, name)),
                            TopologyKind::Exchange => Some(Route::exchange(vhost, name)),
                            TopologyKind::Publisher => Some(Route::Connection { name: name.clone() }),
                            TopologyKind::Consumer => None,
                        };
                        match route {
                            Some(route) if link(ui, name).clicked() => does = Some(Does::Go(route)),
                            Some(_) => {}
                            None => {
                                dim(ui, name);
                            }
                        }
                    }
                    more(ui, node.members.len());
                }
            });
        });
    does
}

fn numbers(ui: &mut Ui, node: &Node) {
    let mut list = Vec::new();
    if !node.detail.is_empty() {
        list.push((t(TYPE), node.detail.clone()));
    }
    if node.kind == TopologyKind::Queue {
        list.push((t(READY), format::count(node.ready)));
        list.push((t(UNACKED), format::count(node.unacked)));
        list.push((t(LIMIT), node.max_length.map_or_else(|| t(NO_LIMIT).to_owned(), format::count)));
    } else if node.kind == TopologyKind::Consumer {
        list.push((t(UNACKED), format::count(node.unacked)));
    }
    if node.kind != TopologyKind::Publisher {
        list.push((t(RATE_IN), per_second(node.rate_in)));
    }
    if node.kind != TopologyKind::Consumer {
        list.push((
            t(RATE_OUT),
            per_second(node.rate_out.max(if node.kind == TopologyKind::Publisher {
                node.rate()
            } else {
                0.0
            })),
        ));
    }
    if !node.state.is_empty() {
        list.push((t(STATE), node.state.clone()));
    }
    facts(ui, "flow-facts", &list);
    if let (TopologyKind::Queue, Some(_)) = (node.kind, node.max_length) {
        ui.add_space(space::XS);
        meter(ui, leveret_admin_model::flow::fill(node.ready, node.max_length), kind_colour(node));
    }
}

/// What leads here, or where it leads.
fn ends(ui: &mut Ui, graph: &Graph, at: usize, from: bool, does: &mut Option<Does>) {
    let node = &graph.nodes[at];
    let edges: Vec<_> =
        graph.edges.iter().filter(|edge| if from { edge.to == at } else { edge.from == at }).collect();
    if edges.is_empty() {
        if !from && matches!(node.kind, TopologyKind::Exchange | TopologyKind::Queue) {
            ui.add_space(space::M);
            let text = if node.kind == TopologyKind::Queue { NOBODY_TAKES } else { NOWHERE };
            dim(ui, t(text));
        }
        return;
    }
    ui.add_space(space::M);
    title(ui, t(if from { COMES_FROM } else { GOES_TO }));
    for edge in edges.iter().take(LISTED_MAX) {
        let other = &graph.nodes[if from { edge.from } else { edge.to }];
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(
                RichText::new(paint::kind_icon(other)).font(theme::icon(13.0)).color(kind_colour(other)),
            );
            let name = leveret_admin_model::payload::one_line(&label(other), 26);
            if link(ui, &name).clicked() {
                *does = Some(Does::Select(other.id.clone()));
            }
            ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                if edge.rate >= 0.05 {
                    ui.label(RichText::new(per_second(edge.rate)).color(tokens().text_dim));
                }
            });
        });
        let keys: Vec<&str> = edge.keys.iter().map(String::as_str).filter(|key| !key.is_empty()).collect();
        let what = match edge.link {
            TopologyLink::DeadLetter | TopologyLink::AlternateExchange => {
                Some(t(paint::link_name(edge.link)).to_owned())
            }
            _ if !keys.is_empty() => {
                let others = edge.bindings.saturating_sub(edge.keys.len() as u64);
                let others = (others > 0).then(|| AND_OTHERS.with(&[&others]));
                Some(keys.into_iter().chain(others.as_deref()).collect::<Vec<_>>().join("  "))
            }
            _ => None,
        };
        if let Some(what) = what {
            ui.horizontal_top(|ui| {
                ui.add_space(19.0);
                let what = RichText::new(what).font(theme::small()).color(tokens().text_faint);
                ui.add(eframe::egui::Label::new(what).wrap());
            });
        }
    }
    more(ui, edges.len());
}

fn more(ui: &mut Ui, all: usize) {
    if all > LISTED_MAX {
        faint(ui, AND_OTHERS.with(&[&(all - LISTED_MAX)]));
    }
}

/// The page of what a node stands for, when it is one thing that has a page.
pub fn route_of(vhost: &str, node: &Node) -> Option<Route> {
    let [name] = node.members.as_slice() else { return None };
    match node.kind {
        TopologyKind::Queue => Some(Route::queue(vhost, name)),
        TopologyKind::Exchange => Some(Route::exchange(vhost, name)),
        TopologyKind::Publisher => Some(Route::Connection { name: name.clone() }),
        TopologyKind::Consumer => Some(Route::Consumers),
    }
}
