//! The flow as a table: an edge a row. What the drawing shows to eyes, this says to screen readers.

use std::sync::Arc;

use eframe::egui::Ui;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::flow::Graph;
use leveret_admin_model::index::Sort;
use leveret_protocol::admin::topology::TopologyLink;

use super::canvas::kind_name;
use super::{label, paint};
use crate::cx::Cx;
use crate::text::t;
use crate::texts;
use crate::widgets::table::{Paint, Table, TableColumn, TableState, column};

texts! {
    EDGES = "Connections of the flow" | "连线";
    FROM = "From" | "来源";
    FROM_KIND = "From a" | "来源类型";
    HOW = "How" | "方式";
    TO = "To" | "去向";
    TO_KIND = "To a" | "去向类型";
    KEYS = "Routing keys" | "路由键";
    RATE = "Per second" | "每秒";
    WAITING = "Ready there" | "目标就绪数";
}

/// One edge.
#[derive(Debug, Clone, Default)]
pub struct Row {
    from: String,
    from_id: String,
    from_kind: &'static str,
    how: &'static str,
    link: TopologyLink,
    to: String,
    to_id: String,
    to_kind: &'static str,
    keys: String,
    rate: f64,
    ready: u64,
}

static COLUMNS: [TableColumn<Row>; 8] = [
    column("from", FROM, 180.0, Paint::Link, |row: &Row| Cell::text(&row.from)),
    column("from-kind", FROM_KIND, 96.0, Paint::Text, |row: &Row| Cell::text(row.from_kind)),
    column(
        "how",
        HOW,
        200.0,
        Paint::Custom(|cell, row: &Row| cell.dot(paint::link_colour(row.link), row.how)),
        |row| Cell::text(row.how),
    ),
    column("to", TO, 180.0, Paint::Text, |row: &Row| Cell::text(&row.to)),
    column("to-kind", TO_KIND, 96.0, Paint::Text, |row: &Row| Cell::text(row.to_kind)),
    column("rate", RATE, 100.0, Paint::Rate, |row: &Row| Cell::number(row.rate)),
    column("ready", WAITING, 100.0, Paint::Count, |row: &Row| Cell::count(row.ready)),
    column("keys", KEYS, 170.0, Paint::Mono, |row: &Row| Cell::text(&row.keys)),
];

/// The rows, and what the table remembers.
#[derive(Debug, Default)]
pub struct Rows {
    list: Arc<Vec<Row>>,
    table: TableState,
    version: u64,
}

impl Rows {
    pub fn set(&mut self, graph: &Graph) {
        let row = |edge: &leveret_admin_model::flow::Edge| {
            let (from, to) = (&graph.nodes[edge.from], &graph.nodes[edge.to]);
            Row {
                from: label(from),
                from_id: from.id.clone(),
                from_kind: t(kind_name(from.kind)),
                how: t(paint::link_name(edge.link)),
                link: edge.link,
                to: label(to),
                to_id: to.id.clone(),
                to_kind: t(kind_name(to.kind)),
                keys: edge.keys.join("  "),
                rate: edge.rate,
                ready: to.ready,
            }
        };
        self.list = Arc::new(graph.edges.iter().map(row).collect());
        self.version += 1;
    }

    /// Draws it; the id of a node that is to be shown in the drawing.
    pub fn ui(&mut self, ui: &mut Ui, cx: &Cx<'_>) -> Option<String> {
        let table = Table {
            id: "flow",
            noun: EDGES,
            columns: &COLUMNS,
            rows: &self.list,
            version: self.version,
            key: |row: &Row| format!("{}\n{}\n{:?}", row.from_id, row.to_id, row.link),
            scope: ("", &|_| true),
            sort: Sort::descending("rate"),
            below: 0.0,
        };
        let answer = table.show(ui, cx, &mut self.table, |_, _| {});
        answer.opened.and_then(|at| self.list.get(at)).map(|row| row.from_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_can_be_filtered_by_its_name() {
        for column in &COLUMNS {
            assert!(
                leveret_admin_model::filter::Filter::parse(&format!("{}:x", column.key), &COLUMNS).is_ok()
            );
        }
    }
}
