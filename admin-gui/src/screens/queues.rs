//! All queues.

use eframe::egui::{Color32, Sense, Ui, Vec2};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::route::{QueueTab, encode};
use leveret_admin_model::state::Sample;
use leveret_admin_model::{Action, Danger, Method, Request, Route, format, query};
use leveret_protocol::admin::Queue;

use super::forms::DeclareQueue;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, series, space, tokens};
use crate::widgets::inspector::{About, inspector};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, aka, column, hidden};
use crate::widgets::{badge, button, danger_button, dot, facts, head, panel, primary, spark, title};

texts! {
    NEW_QUEUE = "New queue" | "新建队列";
    TREND = "Ready, lately" | "就绪趋势";
    GROWTH = "Growth/s" | "增长/秒";
    BYTES = "Size" | "大小";
    MEMORY = "Memory" | "内存";
    UTILISATION = "Utilisation" | "利用率";
    NO_QUEUES = "There are no queues yet." | "还没有队列。";
    NO_QUEUES_WHY = "Applications declare them, or you do it here." | "可由应用程序声明，也可在此创建。";
    PURGE_TITLE = "Purge {} queues?" | "清空 {} 个队列？";
    PURGE_ONE = "Purge queue {}?" | "清空队列 {}？";
    PURGE_LOSS = "{} ready {message is|messages are} removed for good. Unacknowledged ones stay." | "将永久删除 {} 条就绪消息，未确认的消息保留。";
    PURGE_VERB = "Purge {} {message|messages}" | "清空 {} 条消息";
    PURGED = "Purged: {}" | "已清空：{}";
    PURGE_WHAT = "Purge {}" | "清空 {}";
    DELETE_TITLE = "Delete {} queues?" | "删除 {} 个队列？";
    DELETE_ONE = "Delete queue {}?" | "删除队列 {}？";
    DELETE_LOSS = "{} {message is|messages are} lost, {} {consumer is|consumers are} cancelled, bindings are removed." | "将丢失 {} 条消息，取消 {} 个消费者，并移除绑定。";
    DELETE_VERB = "Delete {} queues" | "删除 {} 个队列";
    DELETE_VERB_ONE = "Delete the queue" | "删除队列";
    DELETED = "Deleted: {}" | "已删除：{}";
    DELETE_WHAT = "Delete {}" | "删除 {}";
    SEVERAL = "{} queues" | "{} 个队列";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    pub table: TableState,
    declare: Option<DeclareQueue>,
    /// Whether queues are of several vhosts, in which version of the list.
    several: (u64, bool),
}

const COLUMNS: &[TableColumn<Queue>] = &[
    column("name", NAME, 200.0, Paint::Link, |queue| Cell::text(queue.name.as_str())),
    hidden(column("vhost", VHOST, 90.0, Paint::Text, |queue| Cell::text(queue.vhost.as_str()))),
    column("features", FEATURES, 112.0, Paint::Custom(features), |queue| {
        Cell::text(feature_words(queue).join(" "))
    }),
    column("state", STATE, 92.0, Paint::Custom(state), |queue| Cell::text(queue.state.as_str())),
    column("trend", TREND, 104.0, Paint::Custom(trend), |queue| Cell::count(queue.totals.messages_ready)),
    aka(
        column("ready", READY, 86.0, Paint::Count, |queue| Cell::count(queue.totals.messages_ready)),
        &["depth"],
    ),
    column("unacked", UNACKED, 84.0, Paint::Count, |queue| Cell::count(queue.totals.messages_unacknowledged)),
    hidden(aka(
        column("messages", TOTAL, 96.0, Paint::Count, |queue| Cell::count(queue.totals.messages)),
        &["total"],
    )),
    hidden(column("growth", GROWTH, 90.0, Paint::Rate, |queue| {
        Cell::Number(queue.totals.messages_ready_details.per_second())
    })),
    aka(
        column("publish", PUBLISH_RATE, 90.0, Paint::Rate, |queue| {
            Cell::Number(f64::from(sample(queue).publish))
        }),
        &["in"],
    ),
    aka(
        column("deliver", DELIVER_RATE, 90.0, Paint::Rate, |queue| {
            Cell::Number(f64::from(sample(queue).deliver))
        }),
        &["out"],
    ),
    column("ack", ACK_RATE, 70.0, Paint::Rate, |queue| Cell::Number(f64::from(sample(queue).ack))),
    column("consumers", CONSUMERS, 92.0, Paint::Count, |queue| Cell::number(queue.consumers)),
    hidden(column("utilisation", UTILISATION, 92.0, Paint::Text, |queue| {
        Cell::text(format!("{:.0} %", queue.consumer_utilisation * 100.0))
    })),
    hidden(aka(
        column("bytes", BYTES, 96.0, Paint::Bytes, |queue| Cell::count(queue.message_bytes)),
        &["size"],
    )),
    hidden(column("memory", MEMORY, 96.0, Paint::Bytes, |queue| Cell::count(queue.memory))),
    hidden(column("type", TYPE, 80.0, Paint::Text, |queue| Cell::text(queue.kind.as_str()))),
    hidden(column("policy", POLICY, 110.0, Paint::Text, |queue| {
        queue.policy.as_deref().map_or(Cell::Nothing, Cell::text)
    })),
];

fn sample(queue: &Queue) -> Sample {
    Sample::of(&queue.message_stats, &queue.totals)
}

/// Short names of what is special about a queue, as the management page of RabbitMQ has them.
pub fn feature_words(queue: &Queue) -> Vec<&'static str> {
    let has = |name: &str| {
        queue.arguments.contains_key(name) || queue.effective_policy_definition.contains_key(name)
    };
    let mut words = Vec::new();
    let mut add = |holds: bool, word: &'static str| {
        if holds {
            words.push(word);
        }
    };
    add(queue.durable, "D");
    add(queue.auto_delete, "AD");
    add(queue.exclusive, "Excl");
    add(has("x-message-ttl") || has("message-ttl"), "TTL");
    add(has("x-expires") || has("expires"), "Exp");
    add(
        has("x-max-length") || has("max-length") || has("x-max-length-bytes") || has("max-length-bytes"),
        "Lim",
    );
    add(has("x-dead-letter-exchange") || has("dead-letter-exchange"), "DLX");
    add(has("x-max-priority"), "Pri");
    add(has("x-single-active-consumer"), "SAC");
    add(has("x-delivery-limit") || has("delivery-limit"), "DL");
    words
}

fn features(cell: &CellPainter<'_>, queue: &Queue) {
    let tk = tokens();
    cell.badges(feature_words(queue).into_iter().map(|word| (word, tk.text_faint)));
}

fn state(cell: &CellPainter<'_>, queue: &Queue) {
    cell.dot(state_colour(&queue.state), &queue.state);
}

pub fn state_colour(state: &str) -> Color32 {
    let tk = tokens();
    match state {
        "running" => tk.success,
        "paused" | "flow" | "blocked" | "blocking" => tk.warning,
        "down" | "crashed" | "stopped" => tk.danger,
        _ => tk.text_faint,
    }
}

fn trend(cell: &CellPainter<'_>, queue: &Queue) {
    spark::paint(
        cell.painter,
        cell.rect.shrink2((0.0, 6.0).into()),
        cell.cx.state.spark(&queue.vhost, &queue.name).into_iter(),
        tokens().series[series::READY],
    );
}

fn key(queue: &Queue) -> String {
    format!("{}\n{}", queue.vhost, queue.name)
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&query::queues());
    head(ui, t(QUEUES), "", |ui| {
        if primary(ui, cx.may_write(), icons::PLUS, t(NEW_QUEUE)).clicked() {
            state.declare = Some(DeclareQueue::default());
        }
    });
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(queues) = &answer.value else { return };
        if queues.is_empty() {
            panel::empty(ui, icons::INBOX, t(NO_QUEUES), t(NO_QUEUES_WHY), |_| {});
            return;
        }
        if let Some(queue) = one_selected(queues, &state.table)
            && inspect(ui, cx, queue)
        {
            state.table.selection.clear();
        }
        // Names alone do not tell queues of several vhosts apart.
        if state.several.0 != answer.version() {
            let differ = |first: &Queue| queues.iter().any(|queue| queue.vhost != first.vhost);
            state.several = (answer.version(), queues.first().is_some_and(differ));
        }
        let shows_vhost = cx.state.vhost.is_none() && state.several.1;
        state.table.also = if shows_vhost { &["vhost"] } else { &[] };
        let table = Table {
            id: "queues",
            noun: QUEUES,
            columns: COLUMNS,
            rows: queues,
            version: answer.version(),
            key,
            scope: (cx.state.vhost.as_deref().unwrap_or(""), &|queue: &Queue| cx.shows_vhost(&queue.vhost)),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let response = table.show(ui, cx, &mut state.table, |ui, table| {
            if table.selection.is_empty() {
                return;
            }
            if button(ui, cx.may_write(), icons::ERASER, t(PURGE_DOTS)).clicked() {
                purge(cx, &selected(queues, table));
            }
            if danger_button(ui, cx.may_write(), icons::TRASH_2, t(DELETE_DOTS)).clicked() {
                delete(cx, &selected(queues, table), None);
            }
        });
        if let Some(queue) = response.opened.and_then(|at| queues.get(at)) {
            cx.go(Route::queue(&queue.vhost, &queue.name));
        }
        if response.delete {
            delete(cx, &selected(queues, &state.table), None);
        }
    });
    if let Some(form) = &mut state.declare
        && form.ui(ui, cx)
    {
        state.declare = None;
    }
}

/// The one that is selected, when it is only one.
fn one_selected<'a>(queues: &'a [Queue], table: &TableState) -> Option<&'a Queue> {
    let cursor = table.selection.cursor().filter(|_| table.selection.len() == 1)?;
    queues.iter().find(|queue| key(queue) == *cursor)
}

/// What one wants to know of a queue before opening it; true when it is to be closed.
fn inspect(ui: &mut Ui, cx: &Cx<'_>, queue: &Queue) -> bool {
    let about = About { id: "queue-inspector", icon: icons::INBOX, kind: t(QUEUE), name: &queue.name };
    inspector(ui, &about, |ui| {
        ui.horizontal_wrapped(|ui| {
            dot(ui, state_colour(&queue.state), &queue.state);
            for word in feature_words(queue) {
                badge(ui, word, tokens().text_dim);
            }
        });
        ui.add_space(space::XS);
        let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 46.0), Sense::hover());
        let values = cx.state.spark(&queue.vhost, &queue.name).into_iter();
        spark::paint(ui.painter(), rect.shrink(3.0), values, tokens().series[series::READY]);
        ui.add_space(space::XS);
        let sample = sample(queue);
        let rate = |value: f32| format::rate(f64::from(value));
        let mut list = vec![
            (t(READY), format::count(queue.totals.messages_ready)),
            (t(UNACKED), format::count(queue.totals.messages_unacknowledged)),
            (t(BYTES), format::bytes(queue.message_bytes as f64)),
            (t(PUBLISH_RATE), rate(sample.publish)),
            (t(DELIVER_RATE), rate(sample.deliver)),
            (t(ACK_RATE), rate(sample.ack)),
            (t(CONSUMERS), queue.consumers.to_string()),
            (t(VHOST), queue.vhost.clone()),
        ];
        if let Some(policy) = &queue.policy {
            list.push((t(POLICY), policy.clone()));
        }
        facts(ui, "queue inspector", &list);
        if !queue.arguments.is_empty() {
            ui.add_space(space::S);
            title(ui, t(ARGUMENTS));
            let arguments: Vec<(&str, String)> = queue
                .arguments
                .iter()
                .map(|(name, value)| (name.as_str(), super::queue::plain(value)))
                .collect();
            facts(ui, "queue arguments", &arguments);
        }
        ui.add_space(space::S);
        let tabs = [
            (QueueTab::Overview, icons::ARROW_RIGHT, OPEN),
            (QueueTab::Messages, icons::MAIL, MESSAGES),
            (QueueTab::Consumers, icons::USERS, CONSUMERS),
            (QueueTab::Bindings, icons::CABLE, BINDINGS),
        ];
        ui.horizontal_wrapped(|ui| {
            for (tab, icon, name) in tabs {
                if button(ui, true, icon, t(name)).clicked() {
                    cx.go(Route::Queue { vhost: queue.vhost.clone(), name: queue.name.clone(), tab });
                }
            }
        });
    })
}

fn selected<'a>(queues: &'a [Queue], table: &TableState) -> Vec<&'a Queue> {
    queues.iter().filter(|queue| table.selection.contains(&key(queue))).collect()
}

/// What several queues are called together.
fn together(queues: &[&Queue]) -> String {
    match queues {
        [one] => one.name.clone(),
        several => SEVERAL.with(&[&several.len()]),
    }
}

fn path(queue: &Queue) -> String {
    format!("/api/queues/{}/{}", encode(&queue.vhost), encode(&queue.name))
}

/// Asks before queues are purged.
pub fn purge(cx: &Cx<'_>, queues: &[&Queue]) {
    let ready: u64 = queues.iter().map(|queue| queue.totals.messages_ready).sum();
    let title = match queues {
        [] => return,
        [one] => PURGE_ONE.with(&[&one.name]),
        several => PURGE_TITLE.with(&[&several.len()]),
    };
    let requests =
        queues.iter().map(|queue| Request::new(Method::Delete, format!("{}/contents", path(queue))));
    let name = together(queues);
    cx.ask(Danger {
        title,
        loss: PURGE_LOSS.with(&[&format::count(ready)]),
        objects: names(queues),
        verb: PURGE_VERB.with(&[&format::count(ready)]),
        type_name: (queues.len() > 10 || ready > 100_000).then(|| name.clone()),
        action: Action::all(PURGE_WHAT.with(&[&name]), PURGED.with(&[&name]), requests.collect()),
    });
}

/// Asks before queues are deleted.
pub fn delete(cx: &Cx<'_>, queues: &[&Queue], then: Option<Route>) {
    let messages: u64 = queues.iter().map(|queue| queue.totals.messages).sum();
    let consumers: u64 = queues.iter().map(|queue| u64::from(queue.consumers)).sum();
    let (title, verb) = match queues {
        [] => return,
        [one] => (DELETE_ONE.with(&[&one.name]), t(DELETE_VERB_ONE).to_owned()),
        several => (DELETE_TITLE.with(&[&several.len()]), DELETE_VERB.with(&[&several.len()])),
    };
    let requests = queues.iter().map(|queue| Request::new(Method::Delete, path(queue)));
    let name = together(queues);
    let mut action = Action::all(DELETE_WHAT.with(&[&name]), DELETED.with(&[&name]), requests.collect());
    action.then = then;
    cx.ask(Danger {
        title,
        loss: DELETE_LOSS.with(&[&format::count(messages), &format::count(consumers)]),
        objects: names(queues),
        verb,
        type_name: (messages > 0 || queues.len() > 1).then(|| name.clone()),
        action,
    });
}

fn names(queues: &[&Queue]) -> Vec<String> {
    if queues.len() < 2 { Vec::new() } else { queues.iter().map(|queue| queue.name.clone()).collect() }
}
