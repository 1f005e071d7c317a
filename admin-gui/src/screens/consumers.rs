//! Consumers: who takes from which queue.

use eframe::egui::Ui;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Route, query};
use leveret_protocol::admin::Consumer;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{icons, tokens};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, aka, column, hidden};
use crate::widgets::{head, panel};

texts! {
    TAG = "Tag" | "标签";
    FROM = "From" | "来源";
    ACKS = "Acknowledges" | "需确认";
    ACTIVITY = "Activity" | "活动状态";
    NO_CONSUMERS = "Nobody consumes." | "没有消费者。";
    NO_CONSUMERS_WHY = "Applications that read from queues show here." | "从队列读取的应用会显示在此。";
}

/// What is remembered of this screen.
#[derive(Debug, Default)]
pub struct State {
    table: TableState,
}

const COLUMNS: &[TableColumn<Consumer>] = &[
    aka(
        column("tag", TAG, 240.0, Paint::Text, |consumer| Cell::text(consumer.consumer_tag.as_str())),
        &["name"],
    ),
    column("queue", QUEUE, 220.0, Paint::Link, |consumer| Cell::text(consumer.queue.name.as_str())),
    column("from", FROM, 240.0, Paint::Text, |consumer| {
        Cell::text(consumer.channel_details.connection_name.as_str())
    }),
    hidden(column("user", USER, 100.0, Paint::Text, |consumer| {
        Cell::text(consumer.channel_details.user.as_str())
    })),
    hidden(column("vhost", VHOST, 80.0, Paint::Text, |consumer| Cell::text(consumer.queue.vhost.as_str()))),
    column("activity", ACTIVITY, 130.0, Paint::Custom(activity), |consumer| {
        Cell::text(activity_word(consumer))
    }),
    column("ack", ACKS, 100.0, Paint::Text, |consumer| Cell::text(super::queue::yes(consumer.ack_required))),
    hidden(column("exclusive", EXCLUSIVE, 90.0, Paint::Text, |consumer| {
        Cell::text(super::queue::yes(consumer.exclusive))
    })),
    column("prefetch", PREFETCH, 80.0, Paint::Count, |consumer| Cell::number(consumer.prefetch_count)),
];

fn activity_word(consumer: &Consumer) -> &str {
    match consumer.activity_status.as_str() {
        "" if consumer.active => "up",
        "" => "waiting",
        known => known,
    }
}

fn activity(cell: &CellPainter<'_>, consumer: &Consumer) {
    let tk = tokens();
    let word = activity_word(consumer);
    let colour = match word {
        "up" | "single_active" => tk.success,
        "waiting" => tk.text_faint,
        _ => tk.warning,
    };
    cell.dot(colour, word);
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(CONSUMERS), "", |_| {});
    table(&mut state.table, ui, cx, "consumers", |_| true);
}

/// A table of the consumers that `which` takes.
pub fn table(
    state: &mut TableState,
    ui: &mut Ui,
    cx: &Cx<'_>,
    id: &'static str,
    which: impl Fn(&Consumer) -> bool,
) {
    let answer = cx.read(&query::consumers());
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(consumers) = &answer.value else { return };
        if !consumers.iter().any(&which) {
            panel::empty(ui, icons::USERS, t(NO_CONSUMERS), t(NO_CONSUMERS_WHY), |_| {});
            return;
        }
        let scope = format!("{:?} {}", cx.state.vhost, cx.state.route());
        let table = Table {
            id,
            noun: CONSUMERS,
            columns: COLUMNS,
            rows: consumers,
            version: answer.version(),
            key: |consumer| format!("{}\n{}", consumer.channel_details.name, consumer.consumer_tag),
            scope: (&scope, &|consumer: &Consumer| cx.shows_vhost(&consumer.queue.vhost) && which(consumer)),
            sort: Sort::ascending("queue"),
            below: 0.0,
        };
        let response = table.show(ui, cx, state, |_, _| {});
        if let Some(consumer) = response.opened.and_then(|at| consumers.get(at)) {
            cx.go(Route::queue(&consumer.queue.vhost, &consumer.queue.name));
        }
    });
}
