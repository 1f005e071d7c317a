//! Channels.

use eframe::egui::Ui;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Route, query};
use leveret_protocol::admin::Channel;

use super::queues;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::icons;
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column, hidden};
use crate::widgets::{head, panel};

texts! {
    CHANNEL = "Channel" | "信道";
    MODE = "Mode" | "模式";
    UNCONFIRMED = "Unconfirmed" | "待确认发布";
    CONSUMER_COUNT = "Consumers" | "消费者";
    NO_CHANNELS = "There are no channels." | "没有信道。";
    NO_CHANNELS_WHY = "Applications open them in their connections to publish and consume." | "应用程序在连接中打开信道以发布和消费。";
}

/// What is remembered of this screen, and of the channels of one connection.
#[derive(Debug, Default)]
pub struct State {
    table: TableState,
    pub of_connection: TableState,
}

const COLUMNS: &[TableColumn<Channel>] = &[
    column("name", CHANNEL, 320.0, Paint::Link, |channel| Cell::text(channel.name.as_str())),
    column("user", USER, 100.0, Paint::Text, |channel| Cell::text(channel.user.as_str())),
    hidden(column("vhost", VHOST, 80.0, Paint::Text, |channel| Cell::text(channel.vhost.as_str()))),
    column("state", STATE, 90.0, Paint::Custom(state), |channel| Cell::text(channel.state.as_str())),
    column("mode", MODE, 80.0, Paint::Text, |channel| match (channel.confirm, channel.transactional) {
        (true, _) => Cell::text("confirm"),
        (_, true) => Cell::text("tx"),
        _ => Cell::Nothing,
    }),
    column("consumers", CONSUMER_COUNT, 90.0, Paint::Count, |channel| Cell::number(channel.consumer_count)),
    column("prefetch", PREFETCH, 80.0, Paint::Count, |channel| Cell::number(channel.prefetch_count)),
    column("unacked", UNACKED, 90.0, Paint::Count, |channel| Cell::number(channel.messages_unacknowledged)),
    column("unconfirmed", UNCONFIRMED, 100.0, Paint::Count, |channel| {
        Cell::number(channel.messages_unconfirmed)
    }),
    column("publish", PUBLISH_RATE, 90.0, Paint::Rate, |channel| {
        Cell::Number(channel.message_stats.publish_details.per_second())
    }),
    column("deliver", DELIVER_RATE, 90.0, Paint::Rate, |channel| {
        Cell::Number(channel.message_stats.deliver_get_details.per_second())
    }),
    column("ack", ACK_RATE, 80.0, Paint::Rate, |channel| {
        Cell::Number(channel.message_stats.ack_details.per_second())
    }),
];

fn state(cell: &CellPainter<'_>, channel: &Channel) {
    cell.dot(queues::state_colour(&channel.state), &channel.state);
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(CHANNELS), "", |_| {});
    table(&mut state.table, ui, cx, "channels", |_| true);
}

/// A table of the channels that `which` takes.
pub fn table(
    state: &mut TableState,
    ui: &mut Ui,
    cx: &Cx<'_>,
    id: &'static str,
    which: impl Fn(&Channel) -> bool,
) {
    let answer = cx.read(&query::channels());
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(channels) = &answer.value else { return };
        if channels.is_empty() {
            panel::empty(ui, icons::LAYERS, t(NO_CHANNELS), t(NO_CHANNELS_WHY), |_| {});
            return;
        }
        let scope = format!("{:?} {}", cx.state.vhost, cx.state.route());
        let table = Table {
            id,
            noun: CHANNELS,
            columns: COLUMNS,
            rows: channels,
            version: answer.version(),
            key: |channel| channel.name.clone(),
            scope: (&scope, &|channel: &Channel| cx.shows_vhost(&channel.vhost) && which(channel)),
            sort: Sort::ascending("name"),
            below: 0.0,
        };
        let response = table.show(ui, cx, state, |_, _| {});
        if let Some(channel) = response.opened.and_then(|at| channels.get(at)) {
            cx.go(Route::Connection { name: channel.connection_details.name.clone() });
        }
    });
}
