//! Messages that wait for their time in delayed exchanges: when each goes on, and sending it now or never.

use std::sync::Arc;

use eframe::egui::{ScrollArea, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::payload::Payload;
use leveret_admin_model::{Action, Danger, format, lookups, query};
use leveret_protocol::admin::delayed::DelayedMessage;
use leveret_protocol::admin::messages::{MessageState, QueuedMessage};

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, space, tokens};
use crate::widgets::inspector::beside;
use crate::widgets::message::{self, ViewState};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column};
use crate::widgets::{button, danger_button, dim, form, head, icon_button_if, panel};

texts! {
    WAITING = "{} {message waits|messages wait}" | "{} 条消息等待中";
    NO_EXCHANGES = "There is no delayed exchange" | "没有延迟交换机";
    NO_EXCHANGES_WHY = "Declare an exchange of the type x-delayed-message and publish with the header x-delay, in milliseconds." | "声明类型为 x-delayed-message 的交换机，并使用 x-delay 消息头（毫秒）发布。";
    NOTHING_WAITS = "Nothing waits here" | "没有等待的消息";
    NOTHING_WAITS_WHY = "Messages that are published with a delay wait here until their time." | "带延迟发布的消息会在此等待至到期。";
    DUE = "Goes on at" | "到期时间";
    LEFT = "In" | "剩余";
    DUE_NOW = "now" | "即将";
    MESSAGE = "Message" | "消息";
    KEY = "Key" | "路由键";
    SIZE = "Size" | "大小";
    RELEASE = "Send now" | "立即发送";
    RELEASED = "Sent on: {} {message|messages}" | "已发送 {} 条消息";
    RELEASE_WHAT = "Send {} delayed {message|messages} now" | "立即发送 {} 条延迟消息";
    CANCEL_TITLE = "Delete {} delayed {message|messages}?" | "删除 {} 条延迟消息？";
    CANCEL_LOSS = "They are never delivered." | "这些消息将不会被投递。";
    CANCEL_VERB = "Delete {} {message|messages}" | "删除 {} 条消息";
    CANCELLED = "Deleted: {} delayed {message|messages}" | "已删除 {} 条延迟消息";
    NOUN = "Messages" | "消息";
    NEXT_PAGE = "Next page" | "下一页";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    exchange: Option<(String, String)>,
    cursors: Vec<String>,
    table: TableState,
    view: ViewState,
    list: Arc<Vec<DelayedMessage>>,
    list_of: (String, u64),
    version: u64,
}

const COLUMNS: &[TableColumn<DelayedMessage>] = &[
    column("message", MESSAGE, 220.0, Paint::Text, |message| {
        Cell::text(
            Payload::read(&message.payload, &message.payload_encoding, message.payload_bytes).first_line(160),
        )
    }),
    column("due", DUE, 170.0, Paint::Date, |message| Cell::count(message.due_at)),
    column("left", LEFT, 100.0, Paint::Custom(left), |message| Cell::count(message.due_at)),
    column("key", KEY, 140.0, Paint::Mono, |message| Cell::text(message.routing_key.as_str())),
    column("size", SIZE, 80.0, Paint::Bytes, |message| Cell::count(message.payload_bytes)),
];

fn left(cell: &CellPainter<'_>, message: &DelayedMessage) {
    let left = message.due_at.saturating_sub(cell.cx.now());
    let text = if left == 0 { t(DUE_NOW).to_owned() } else { format::duration(left / 1_000 * 1_000) };
    cell.text(&text, tokens().text_dim);
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(DELAYED), "", |_| {});
    if !cx.is_leveret() && cx.state.product.is_some() {
        panel::needs_leveret(ui, cx);
        return;
    }
    let exchanges = cx.read(&query::exchanges());
    panel::remote(ui, cx, &exchanges, |ui, exchanges| {
        let delayed: Vec<(String, String)> = exchanges
            .iter()
            .filter(|exchange| exchange.kind == "x-delayed-message" && cx.shows_vhost(&exchange.vhost))
            .map(|exchange| (exchange.vhost.clone(), exchange.name.clone()))
            .collect();
        let Some(first) = delayed.first() else {
            panel::empty(ui, icons::CALENDAR_CLOCK, t(NO_EXCHANGES), t(NO_EXCHANGES_WHY), |_| {});
            return;
        };
        let chosen =
            state.exchange.clone().filter(|chosen| delayed.contains(chosen)).unwrap_or_else(|| first.clone());
        if delayed.len() > 1 {
            let mut at = delayed.iter().position(|known| *known == chosen).unwrap_or(0);
            let names: Vec<(usize, &str)> =
                delayed.iter().enumerate().map(|(at, (_, name))| (at, name.as_str())).collect();
            form::row(ui, t(EXCHANGE), |ui| {
                if form::choice(ui, t(EXCHANGE), &mut at, &names) {
                    state.exchange = delayed.get(at).cloned();
                    state.cursors.clear();
                }
            });
        }
        let chosen = state.exchange.clone().filter(|chosen| delayed.contains(chosen)).unwrap_or(chosen);
        waiting(state, ui, cx, &chosen);
    });
}

fn waiting(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, (vhost, exchange): &(String, String)) {
    let query = lookups::delayed(vhost, exchange, state.cursors.last().map(String::as_str));
    let answer = cx.read(&query);
    let version = answer.version();
    panel::remote(ui, cx, &answer, |ui, page| {
        if state.list_of != (query.key.clone(), version) {
            state.list = Arc::new(page.items.clone());
            state.list_of = (query.key.clone(), version);
            state.version += 1;
        }
        if page.items.is_empty() && state.cursors.is_empty() {
            panel::empty(ui, icons::CALENDAR_CLOCK, t(NOTHING_WAITS), t(NOTHING_WAITS_WHY), |_| {});
            return;
        }
        dim(ui, WAITING.with(&[&format::count(page.total.max(page.items.len() as u64))]));
        ui.add_space(space::XS);
        let rows = Arc::clone(&state.list);
        let one = state.table.selection.cursor().and_then(|id| rows.iter().find(|message| message.id == *id));
        if let Some(one) = one {
            let shown = as_queued(one);
            beside(ui, "delayed-message", |ui| {
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    message::body(ui, cx, &mut state.view, &shown);
                    ui.add_space(space::M);
                    message::properties(ui, &shown);
                });
            });
        }
        let (mut release, mut cancel, mut next, mut back) = (false, false, false, false);
        let is_first = state.cursors.is_empty();
        let table = Table {
            id: "delayed",
            noun: NOUN,
            columns: COLUMNS,
            rows: &rows,
            version: state.version,
            key: |message: &DelayedMessage| message.id.clone(),
            scope: ("", &|_| true),
            sort: Sort::ascending("due"),
            below: 0.0,
        };
        let answer = table.show(ui, cx, &mut state.table, |ui, table| {
            let can = cx.may_write() && !table.selection.is_empty();
            release = button(ui, can, icons::PLAY, t(RELEASE)).clicked();
            cancel = danger_button(ui, can, icons::TRASH_2, t(DELETE_DOTS)).clicked();
            back = icon_button_if(ui, !is_first, icons::CHEVRON_LEFT, t(BACK)).clicked();
            next = icon_button_if(ui, page.next.is_some(), icons::CHEVRON_RIGHT, t(NEXT_PAGE)).clicked();
        });
        if next {
            state.cursors.extend(page.next.clone());
        } else if back {
            state.cursors.pop();
        }
        let chosen: Vec<&DelayedMessage> =
            rows.iter().filter(|message| state.table.selection.contains(&message.id)).collect();
        let count = chosen.len();
        if release && count > 0 {
            let requests =
                chosen.iter().map(|message| lookups::release_delayed(vhost, exchange, &message.id)).collect();
            cx.act(Action::all(RELEASE_WHAT.with(&[&count]), RELEASED.with(&[&count]), requests));
        }
        if (cancel || answer.delete) && count > 0 && cx.may_write() {
            let requests =
                chosen.iter().map(|message| lookups::cancel_delayed(vhost, exchange, &message.id)).collect();
            let title = CANCEL_TITLE.with(&[&count]);
            cx.ask(Danger {
                loss: t(CANCEL_LOSS).to_owned(),
                objects: Vec::new(),
                verb: CANCEL_VERB.with(&[&count]),
                type_name: None,
                action: Action::all(title.clone(), CANCELLED.with(&[&count]), requests),
                title,
            });
        }
    });
}

/// In the form in which messages are shown.
fn as_queued(message: &DelayedMessage) -> QueuedMessage {
    QueuedMessage {
        id: message.id.clone(),
        state: MessageState::Delayed,
        exchange: message.exchange.clone(),
        routing_key: message.routing_key.clone(),
        properties: message.properties.clone(),
        payload_bytes: message.payload_bytes,
        payload: message.payload.clone(),
        payload_encoding: message.payload_encoding.clone(),
        truncated: message.truncated,
        due_at: Some(message.due_at),
        ..QueuedMessage::default()
    }
}
