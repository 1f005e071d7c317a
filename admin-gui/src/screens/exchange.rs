//! One exchange: what leads from it and to it, publishing, and where a message would go.

use eframe::egui::{self, RichText, ScrollArea, Ui};
use leveret_admin_model::{Route, format, query};
use leveret_protocol::admin as api;

use super::exchanges;
use super::forms::{NewBinding, PUBLISH_TO, Publish, WhereTo};
use super::queue::{plain, unbind, yes};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, card, danger_button, dim, faint, head, link, panel, title};

texts! {
    LEADS_TO = "Leads to" | "路由目标";
    COMES_FROM = "Comes from" | "来源";
    NO_BINDINGS = "Nothing is bound to it: what is published here is dropped." | "没有绑定，发布到此的消息会被丢弃。";
    DEFAULT_ABOUT = "The default exchange leads to every queue by its name." | "默认交换机按队列名路由到每个队列。";
    GONE = "There is no such exchange." | "没有此交换机。";
    GONE_WHY = "It may have been deleted." | "它可能已被删除。";
    NEW_BINDING = "New binding" | "新建绑定";
    FLOW = "in {}/s, out {}/s" | "流入 {}/秒，流出 {}/秒";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    of: Option<(String, String)>,
    binding: Option<NewBinding>,
    publish: Publish,
    where_to: WhereTo,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, (vhost, name): (&str, &str)) {
    let of = (vhost.to_owned(), name.to_owned());
    if state.of.as_ref() != Some(&of) {
        *state = State { of: Some(of), ..State::default() };
    }
    let answer = cx.read(&query::exchanges());
    let exchange = answer.value.as_ref().and_then(|all| {
        all.iter().find(|exchange| exchange.vhost == vhost && exchange.name == name).cloned()
    });
    let shown = if name.is_empty() { t(DEFAULT_EXCHANGE) } else { name };
    head(ui, shown, &format!("{} {vhost}", t(VHOST)), |ui| {
        if let Some(exchange) = &exchange {
            let may = cx.may_write() && exchanges::is_own(exchange);
            if danger_button(ui, may, icons::TRASH_2, t(DELETE_DOTS)).clicked() {
                exchanges::delete(cx, &[exchange], Some(Route::Exchanges));
            }
            if button(ui, cx.may_write() && !name.is_empty(), icons::PLUS, t(NEW_BINDING)).clicked() {
                let mut form = NewBinding::in_vhost(vhost);
                name.clone_into(&mut form.source);
                state.binding = Some(form);
            }
        }
    });
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(exchange) = &exchange else {
            panel::empty(ui, icons::SEARCH, t(GONE), t(GONE_WHY), |_| {});
            return;
        };
        about(ui, exchange);
        ui.add_space(space::S);
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.columns(2, |columns| {
                let [left, right] = columns else { return };
                bindings(left, cx, exchange, "source");
                left.add_space(space::S);
                bindings(left, cx, exchange, "destination");
                card(right, |ui| {
                    ui.set_min_width(ui.available_width());
                    state.where_to.ui(ui, cx, vhost, exchange);
                });
                right.add_space(space::S);
                card(right, |ui| {
                    ui.set_min_width(ui.available_width());
                    title(ui, &PUBLISH_TO.with(&[&shown]));
                    ui.add_space(space::XS);
                    state.publish.ui(ui, cx, vhost, name);
                });
            });
        });
    });
    if let Some(form) = &mut state.binding
        && form.ui(ui, cx)
    {
        state.binding = None;
    }
}

fn about(ui: &mut Ui, exchange: &api::Exchange) {
    card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        let mut list = vec![(t(TYPE), exchange.kind.clone()), (t(DURABLE), yes(exchange.durable).to_owned())];
        if exchange.internal {
            list.push((t(INTERNAL), yes(true).to_owned()));
        }
        if let Some(policy) = &exchange.policy {
            list.push((t(POLICY), policy.clone()));
        }
        let arguments: Vec<(String, String)> =
            exchange.arguments.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        list.extend(arguments.iter().map(|(name, value)| (name.as_str(), value.clone())));
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().interact_size.y = 18.0;
            for (name, value) in &list {
                faint(ui, *name);
                ui.label(RichText::new(value).color(tokens().text));
                ui.add_space(space::M);
            }
            if let Some(stats) = exchange.message_stats {
                let rates = [stats.publish_in_details, stats.publish_out_details];
                let [rate_in, rate_out] = rates.map(|rate| format::rate(rate.per_second()));
                faint(ui, FLOW.with(&[&rate_in, &rate_out]));
            }
        });
    });
}

fn bindings(ui: &mut Ui, cx: &Cx<'_>, exchange: &api::Exchange, end: &str) {
    let answer = cx.read(&query::exchange_bindings(&exchange.vhost, &exchange.name, end));
    let outgoing = end == "source";
    if !outgoing && answer.or_default().is_empty() && answer.problem().is_none() {
        return;
    }
    card(ui, |ui| {
        ui.set_min_width(ui.available_width());
        title(ui, t(if outgoing { LEADS_TO } else { COMES_FROM }));
        if exchange.name.is_empty() {
            dim(ui, t(DEFAULT_ABOUT));
            return;
        }
        panel::remote(ui, cx, &answer, |ui, list: &Vec<api::Binding>| {
            binding_list(ui, cx, list, outgoing, end)
        });
    });
}

fn binding_list(ui: &mut Ui, cx: &Cx<'_>, list: &[api::Binding], outgoing: bool, end: &str) {
    if list.is_empty() {
        dim(ui, t(NO_BINDINGS));
        return;
    }
    let grid = egui::Grid::new(("bindings", end)).num_columns(4).spacing(egui::vec2(space::L, 5.0));
    grid.show(ui, |ui| {
        for binding in list.iter().take(500) {
            let (name, route) = if !outgoing {
                (&binding.source, Route::exchange(&binding.vhost, &binding.source))
            } else if binding.destination_type == "exchange" {
                (&binding.destination, Route::exchange(&binding.vhost, &binding.destination))
            } else {
                (&binding.destination, Route::queue(&binding.vhost, &binding.destination))
            };
            let is_exchange = !outgoing || binding.destination_type == "exchange";
            let icon = if is_exchange { icons::SHUFFLE } else { icons::INBOX };
            ui.horizontal(|ui| {
                ui.label(RichText::new(icon).font(theme::icon(14.0)).color(tokens().text_faint));
                if link(ui, name).clicked() {
                    cx.go(route);
                }
            });
            ui.label(RichText::new(&binding.routing_key).font(theme::mono()));
            facts_inline(ui, &binding.arguments);
            if crate::widgets::icon_button_if(
                ui,
                cx.may_write(),
                icons::UNLINK,
                &format!("{} {name}", t(UNBIND)),
            )
            .clicked()
            {
                unbind(cx, binding);
            }
            ui.end_row();
        }
    });
}

fn facts_inline(ui: &mut Ui, arguments: &api::Arguments) {
    let text: Vec<String> =
        arguments.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    faint(ui, text.join(" "));
}
