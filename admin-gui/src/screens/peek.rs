//! Messages that lie in a queue: a list of them, and beside it the one that was picked.

use std::sync::Arc;

use eframe::egui::{ScrollArea, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::payload::Payload;
use leveret_protocol::admin::messages::QueuedMessage;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::widgets::inspector::beside;
use crate::widgets::message::{ViewState, holder_name, message};
use crate::widgets::table::{Paint, Table, TableColumn, TableState, column, hidden};

texts! {
    MESSAGE = "Message" | "消息";
    PLACE = "Place" | "位置";
    SIZE = "Size" | "大小";
    REDELIVERED = "Redelivered" | "重投";
    HELD_BY = "Held by" | "持有者";
    HELD_FOR = "For" | "时长";
}

/// What is remembered of how messages are looked at.
#[derive(Debug, Default)]
pub struct Peek {
    table: TableState,
    view: ViewState,
    list: Arc<Vec<QueuedMessage>>,
    /// Which list it is, and which version of it.
    of: (String, u64),
    /// Rises with each list that was taken.
    version: u64,
}

impl Peek {
    /// Takes a list, when it is another than the last.
    pub fn take(&mut self, of: String, version: u64, messages: impl IntoIterator<Item = QueuedMessage>) {
        let of = (of, version);
        if self.of != of {
            self.list = Arc::new(messages.into_iter().collect());
            self.of = of;
            self.version += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str) {
        let picked = self.table.selection.cursor();
        let picked = picked.and_then(|id| self.list.iter().find(|message| message.id == *id));
        // The first one is shown as long as none is picked: what is in the queue should not need a click.
        let Some(one) = picked.or(self.list.first()).cloned() else { return };
        beside(ui, "peek-message", |ui| {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                message(ui, cx, &mut self.view, vhost, queue, &one);
            });
        });
        self.table.also = if one.holder.is_some() { &["holder", "held"] } else { &[] };
        let rows = Arc::clone(&self.list);
        let table = Table {
            id: "peek",
            noun: MESSAGES,
            columns: COLUMNS,
            rows: &rows,
            version: self.version,
            key: |message: &QueuedMessage| message.id.clone(),
            scope: ("", &|_| true),
            sort: Sort::ascending("position"),
            below: 0.0,
        };
        table.show(ui, cx, &mut self.table, |_, _| {});
    }
}

const COLUMNS: &[TableColumn<QueuedMessage>] = &[
    column("message", MESSAGE, 260.0, Paint::Text, |message| {
        Cell::text(Payload::of(message).first_line(200))
    }),
    hidden(column("holder", HELD_BY, 120.0, Paint::Text, |message| {
        message.holder.as_ref().map_or(Cell::Nothing, |holder| Cell::text(holder_name(holder)))
    })),
    hidden(column("held", HELD_FOR, 96.0, Paint::Age, |message| {
        message.holder.as_ref().map_or(Cell::Nothing, |holder| Cell::count(holder.since))
    })),
    column("position", PLACE, 64.0, Paint::Count, |message| Cell::count(message.position)),
    column("exchange", EXCHANGE, 120.0, Paint::Text, |message| Cell::text(message.exchange.as_str())),
    column("key", ROUTING_KEY, 140.0, Paint::Mono, |message| Cell::text(message.routing_key.as_str())),
    column("redelivered", REDELIVERED, 90.0, Paint::Text, |message| {
        Cell::text(if message.redelivered { t(YES) } else { t(NO) })
    }),
    column("size", SIZE, 80.0, Paint::Bytes, |message| Cell::count(message.payload_bytes)),
];
