//! All bindings in one table, and making new ones.

use eframe::egui::Ui;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Route, query};
use leveret_protocol::admin::Binding;

use super::forms::NewBinding;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, tokens};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, aka, column, hidden};
use crate::widgets::{button, head, panel, primary};

texts! {
    NEW_BINDING = "New binding" | "新建绑定";
    FROM = "From" | "来源";
    TO = "To" | "目标";
    KIND = "Kind" | "种类";
    NO_BINDINGS = "There are no bindings yet." | "还没有绑定。";
    NO_BINDINGS_WHY = "A binding says which messages of an exchange go to which queue." | "绑定决定交换机的哪些消息进入哪个队列。";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    table: TableState,
    form: Option<NewBinding>,
}

const COLUMNS: &[TableColumn<Binding>] = &[
    aka(
        column("from", FROM, 240.0, Paint::Link, |binding| Cell::text(binding.source.as_str())),
        &["source", "name"],
    ),
    column("key", ROUTING_KEY, 240.0, Paint::Mono, |binding| Cell::text(binding.routing_key.as_str())),
    column("kind", KIND, 90.0, Paint::Text, |binding| Cell::text(binding.destination_type.as_str())),
    aka(
        column("to", TO, 260.0, Paint::Custom(to), |binding| Cell::text(binding.destination.as_str())),
        &["destination"],
    ),
    hidden(column("vhost", VHOST, 90.0, Paint::Text, |binding| Cell::text(binding.vhost.as_str()))),
    column("arguments", ARGUMENTS, 180.0, Paint::Mono, |binding| {
        if binding.arguments.is_empty() {
            Cell::Nothing
        } else {
            Cell::text(serde_json::Value::Object(binding.arguments.clone()).to_string())
        }
    }),
];

fn to(cell: &CellPainter<'_>, binding: &Binding) {
    cell.text(&binding.destination, tokens().text);
}

fn key(binding: &Binding) -> String {
    [
        &binding.vhost,
        &binding.source,
        &binding.destination_type,
        &binding.destination,
        &binding.properties_key,
    ]
    .map(String::as_str)
    .join("\n")
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&query::bindings());
    head(ui, t(BINDINGS), "", |ui| {
        if primary(ui, cx.may_write(), icons::PLUS, t(NEW_BINDING)).clicked() {
            state.form = Some(NewBinding::default());
        }
    });
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(bindings) = &answer.value else { return };
        if bindings.iter().all(|binding| binding.source.is_empty()) {
            panel::empty(ui, icons::CABLE, t(NO_BINDINGS), t(NO_BINDINGS_WHY), |_| {});
            return;
        }
        let in_scope = |binding: &Binding| !binding.source.is_empty() && cx.shows_vhost(&binding.vhost);
        let table = Table {
            id: "bindings",
            noun: BINDINGS,
            columns: COLUMNS,
            rows: bindings,
            version: answer.version(),
            key,
            scope: (cx.state.vhost.as_deref().unwrap_or(""), &in_scope),
            sort: Sort::ascending("from"),
            below: 0.0,
        };
        let response = table.show(ui, cx, &mut state.table, |ui, table| {
            if !table.selection.is_empty() && button(ui, cx.may_write(), icons::UNLINK, t(UNBIND)).clicked() {
                for binding in bindings.iter().filter(|binding| table.selection.contains(&key(binding))) {
                    super::queue::unbind(cx, binding);
                }
            }
        });
        if let Some(binding) = response.opened.and_then(|at| bindings.get(at)) {
            cx.go(Route::exchange(&binding.vhost, &binding.source));
        }
    });
    if let Some(form) = &mut state.form
        && form.ui(ui, cx)
    {
        state.form = None;
    }
}
