//! All exchanges.

use eframe::egui::{RichText, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::route::encode;
use leveret_admin_model::{Action, Danger, Method, Request, Route, format, query};
use leveret_protocol::admin::Exchange;

use super::forms::DeclareExchange;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::inspector::{About, inspector};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column, hidden};
use crate::widgets::{button, danger_button, facts, faint, head, link, panel, primary, title};

texts! {
    NEW_EXCHANGE = "New exchange" | "新建交换机";
    IN_RATE = "In/s" | "流入/秒";
    OUT_RATE = "Out/s" | "流出/秒";
    DELETE_TITLE = "Delete exchange {}?" | "删除交换机 {}？";
    DELETE_SEVERAL = "Delete {} exchanges?" | "删除 {} 个交换机？";
    DELETE_LOSS = "Its bindings go with it. What is published to it from then on is an error for the publisher." | "其绑定将一并移除，之后向其发布会导致错误。";
    DELETE_VERB = "Delete {} exchanges" | "删除 {} 个交换机";
    DELETE_ONE = "Delete the exchange" | "删除交换机";
    DELETED = "Deleted: {}" | "已删除：{}";
    DELETE_WHAT = "Delete {}" | "删除 {}";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    table: TableState,
    declare: Option<DeclareExchange>,
}

const COLUMNS: &[TableColumn<Exchange>] = &[
    column("name", NAME, 300.0, Paint::Link, |exchange| Cell::text(exchange.name.as_str())),
    column("vhost", VHOST, 90.0, Paint::Text, |exchange| Cell::text(exchange.vhost.as_str())),
    column("type", TYPE, 140.0, Paint::Text, |exchange| Cell::text(exchange.kind.as_str())),
    column("features", FEATURES, 140.0, Paint::Custom(features), |exchange| {
        Cell::text(words(exchange).join(" "))
    }),
    column("in", IN_RATE, 100.0, Paint::Rate, |exchange| {
        Cell::Number(exchange.message_stats.map_or(0.0, |stats| stats.publish_in_details.per_second()))
    }),
    column("out", OUT_RATE, 100.0, Paint::Rate, |exchange| {
        Cell::Number(exchange.message_stats.map_or(0.0, |stats| stats.publish_out_details.per_second()))
    }),
    hidden(column("policy", POLICY, 120.0, Paint::Text, |exchange| {
        exchange.policy.as_deref().map_or(Cell::Nothing, Cell::text)
    })),
];

pub fn words(exchange: &Exchange) -> Vec<&'static str> {
    let mut words = Vec::new();
    for (holds, word) in [
        (exchange.durable, "D"),
        (exchange.auto_delete, "AD"),
        (exchange.internal, "I"),
        (exchange.arguments.contains_key("alternate-exchange"), "AE"),
    ] {
        if holds {
            words.push(word);
        }
    }
    words
}

fn features(cell: &CellPainter<'_>, exchange: &Exchange) {
    let tk = tokens();
    cell.badges(words(exchange).into_iter().map(|word| (word, tk.text_faint)));
}

fn key(exchange: &Exchange) -> String {
    format!("{}\n{}", exchange.vhost, exchange.name)
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&query::exchanges());
    head(ui, t(EXCHANGES), "", |ui| {
        if primary(ui, cx.may_write(), icons::PLUS, t(NEW_EXCHANGE)).clicked() {
            state.declare = Some(DeclareExchange::default());
        }
    });
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(exchanges) = &answer.value else { return };
        let one = state.table.selection.cursor().filter(|_| state.table.selection.len() == 1);
        if let Some(exchange) = one.and_then(|one| exchanges.iter().find(|exchange| key(exchange) == *one))
            && inspect(ui, cx, exchange)
        {
            state.table.selection.clear();
        }
        let table = Table {
            id: "exchanges",
            noun: EXCHANGES,
            columns: COLUMNS,
            rows: exchanges,
            version: answer.version(),
            key,
            scope: (cx.state.vhost.as_deref().unwrap_or(""), &|exchange: &Exchange| {
                cx.shows_vhost(&exchange.vhost)
            }),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let chosen = |table: &TableState| -> Vec<&Exchange> {
            exchanges.iter().filter(|exchange| table.selection.contains(&key(exchange))).collect()
        };
        let response = table.show(ui, cx, &mut state.table, |ui, table| {
            let selected = chosen(table);
            let may = cx.may_write() && selected.iter().all(|exchange| is_own(exchange));
            if !selected.is_empty() && danger_button(ui, may, icons::TRASH_2, t(DELETE_DOTS)).clicked() {
                delete(cx, &selected, None);
            }
        });
        if let Some(exchange) = response.opened.and_then(|at| exchanges.get(at)) {
            cx.go(Route::exchange(&exchange.vhost, &exchange.name));
        }
        if response.delete {
            let selected = chosen(&state.table);
            if selected.iter().all(|exchange| is_own(exchange)) {
                delete(cx, &selected, None);
            }
        }
    });
    if let Some(form) = &mut state.declare
        && form.ui(ui, cx)
    {
        state.declare = None;
    }
}

/// What one wants to know of an exchange before opening it; true when it is to be closed.
fn inspect(ui: &mut Ui, cx: &Cx<'_>, exchange: &Exchange) -> bool {
    let name = if exchange.name.is_empty() { t(DEFAULT_EXCHANGE) } else { &exchange.name };
    let about = About { id: "exchange-inspector", icon: icons::SHUFFLE, kind: t(EXCHANGE), name };
    inspector(ui, &about, |ui| {
        let stats = exchange.message_stats.unwrap_or_default();
        let mut list = vec![
            (t(TYPE), exchange.kind.clone()),
            (t(VHOST), exchange.vhost.clone()),
            (t(FEATURES), words(exchange).join(" ")),
            (t(IN_RATE), format::rate(stats.publish_in_details.per_second())),
            (t(OUT_RATE), format::rate(stats.publish_out_details.per_second())),
        ];
        if let Some(policy) = exchange.policy.as_ref().filter(|policy| !policy.is_empty()) {
            list.push((t(POLICY), policy.clone()));
        }
        for (name, value) in &exchange.arguments {
            list.push((name.as_str(), super::queue::plain(value)));
        }
        facts(ui, "exchange inspector", &list);
        ui.add_space(space::S);
        title(ui, t(BINDINGS));
        let bindings = cx.read(&query::bindings()).or_default();
        let own: Vec<_> = bindings
            .iter()
            .filter(|binding| binding.vhost == exchange.vhost && binding.source == exchange.name)
            .collect();
        if own.is_empty() {
            faint(ui, t(NONE));
        }
        for binding in own.iter().take(LISTED_MAX) {
            ui.horizontal_wrapped(|ui| {
                if !binding.routing_key.is_empty() {
                    ui.label(
                        RichText::new(&binding.routing_key).font(theme::mono()).color(tokens().text_dim),
                    );
                }
                ui.label(
                    RichText::new(icons::ARROW_RIGHT).font(theme::icon(12.0)).color(tokens().text_faint),
                );
                if link(ui, &binding.destination).clicked() {
                    cx.go(if binding.destination_type == "exchange" {
                        Route::exchange(&binding.vhost, &binding.destination)
                    } else {
                        Route::queue(&binding.vhost, &binding.destination)
                    });
                }
            });
        }
        if own.len() > LISTED_MAX {
            faint(ui, format!("… {}", own.len() - LISTED_MAX));
        }
        ui.add_space(space::S);
        if button(ui, true, icons::ARROW_RIGHT, t(OPEN)).clicked() {
            cx.go(Route::exchange(&exchange.vhost, &exchange.name));
        }
    })
}

/// Bindings that are listed beside the table.
const LISTED_MAX: usize = 40;

/// False for those that every vhost has: they cannot be deleted.
pub fn is_own(exchange: &Exchange) -> bool {
    !exchange.name.is_empty() && !exchange.name.starts_with("amq.")
}

/// Asks before exchanges are deleted.
pub fn delete(cx: &Cx<'_>, exchanges: &[&Exchange], then: Option<Route>) {
    let (title, verb, name) = match exchanges {
        [] => return,
        [one] => (DELETE_TITLE.with(&[&one.name]), t(DELETE_ONE).to_owned(), one.name.clone()),
        several => {
            let verb = DELETE_VERB.with(&[&several.len()]);
            (DELETE_SEVERAL.with(&[&several.len()]), verb.clone(), verb)
        }
    };
    let path = |exchange: &&Exchange| {
        Request::new(
            Method::Delete,
            format!("/api/exchanges/{}/{}", encode(&exchange.vhost), encode(&exchange.name)),
        )
    };
    let mut action =
        Action::all(DELETE_WHAT.with(&[&name]), DELETED.with(&[&name]), exchanges.iter().map(path).collect());
    action.then = then;
    let objects = exchanges.iter().map(|exchange| exchange.name.clone()).collect();
    cx.ask(Danger { title, loss: t(DELETE_LOSS).to_owned(), objects, verb, type_name: None, action });
}
