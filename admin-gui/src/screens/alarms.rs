//! What runs short and why, work that goes on in the broker, and who changed what.

use std::sync::Arc;

use eframe::egui::{RichText, ScrollArea, Ui};
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::{Route, format, lookups, query};
use leveret_protocol::admin::audit::AuditEntry;
use leveret_protocol::admin::events::AlarmReport;
use leveret_protocol::admin::operations::Operation;

use super::dead_letters::progress;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column};
use crate::widgets::{card, dim, faint, head, icon_button_if, link, meter, panel, tabs, title};

texts! {
    NOW = "Alarms" | "告警";
    OPERATIONS = "Operations" | "操作";
    AUDIT = "Audit log" | "审计日志";
    ALL_WELL = "Nothing runs short" | "资源充足";
    ALL_WELL_WHY = "Publishers are stopped when memory or disk run short; then it says here why, and who fills it." | "内存或磁盘不足时会暂停发布者，届时此处会说明原因及来源。";
    MEMORY = "Memory" | "内存";
    DISK = "Free disk" | "可用磁盘";
    USED_OF = "{} of {}" | "{} / {}";
    FREE_LEAST = "{}, at least {}" | "{}，下限 {}";
    SINCE = "since {}" | "自 {}";
    STOPPED_NOW = "{} {connection is|connections are} stopped now." | "当前有 {} 个连接被暂停。";
    TOP_PUBLISHERS = "Who publishes most" | "发布最多的连接";
    TOP_QUEUES = "What holds most" | "占用最多的队列";
    MESSAGES_BYTES = "{} {message|messages}, {}" | "{} 条消息，{}";
    NO_OPERATIONS = "No operations" | "没有操作";
    NO_OPERATIONS_WHY = "Moving, copying, requeueing and deleting many messages goes on in the broker and shows here." | "批量移动、复制、重新投递和删除消息将在此显示。";
    OPERATION = "Operation" | "操作";
    QUEUE_COLUMN = "Queue" | "队列";
    PROGRESS = "Done" | "进度";
    STARTED = "Started" | "开始时间";
    BY = "By" | "用户";
    OPERATIONS_NOUN = "Operations" | "操作";
    WHEN = "When" | "时间";
    ACTION = "Action" | "操作";
    WHAT = "What" | "对象类型";
    RESULT = "Result" | "结果";
    VIA = "Via" | "方式";
    SOURCE = "Source" | "来源";
    DETAILS = "Details" | "详情";
    ENTRIES = "Changes" | "变更";
    NO_AUDIT = "Nothing was changed yet" | "暂无变更";
    NO_AUDIT_WHY = "Every declaration, deletion, permission and purge is written down here, with who did it and from where." | "每次声明、删除、授权和清空都会记录操作者与来源。";
    OLDER = "Older" | "更早";
    NEWER = "Newer" | "更新";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    tab: Tab,
    operations: TableState,
    audit: TableState,
    cursors: Vec<String>,
    entries: (Arc<Vec<AuditEntry>>, String, u64),
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Tab {
    #[default]
    Now,
    Operations,
    Audit,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(ALARMS), "", |_| {});
    tabs(ui, &mut state.tab, &[(Tab::Now, t(NOW)), (Tab::Operations, t(OPERATIONS)), (Tab::Audit, t(AUDIT))]);
    ui.add_space(space::XS);
    if state.tab == Tab::Now {
        if cx.is_leveret() {
            let answer = cx.read(&lookups::alarms());
            panel::remote(ui, cx, &answer, |ui, report| alarms(ui, cx, report));
        } else {
            let nodes = cx.read(&query::nodes());
            panel::remote(ui, cx, &nodes, |ui, nodes| {
                for node in nodes {
                    let report = AlarmReport {
                        memory_used: node.mem_used,
                        memory_limit: node.mem_limit,
                        disk_free: node.disk_free,
                        disk_free_limit: node.disk_free_limit,
                        ..AlarmReport::default()
                    };
                    alarms(ui, cx, &report);
                }
            });
        }
        return;
    }
    if !cx.is_leveret() && cx.state.product.is_some() {
        panel::needs_leveret(ui, cx);
        return;
    }
    match state.tab {
        Tab::Operations => operations(state, ui, cx),
        _ => audit(state, ui, cx),
    }
}

/// True when little is free. A broker that has not measured yet says that nothing is, and does not mean it.
pub fn is_tight(free: u64, limit: u64) -> bool {
    free > 0 && free < limit.saturating_mul(2)
}

fn alarms(ui: &mut Ui, cx: &Cx<'_>, report: &AlarmReport) {
    let tk = tokens();
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if report.alarms.is_empty() {
            panel::note(ui, tk.success, icons::CIRCLE_CHECK, |ui| {
                ui.label(RichText::new(t(ALL_WELL)).font(theme::strong()).color(tk.text));
                dim(ui, t(ALL_WELL_WHY));
            });
        }
        for alarm in &report.alarms {
            panel::note(ui, tk.danger, icons::TRIANGLE_ALERT, |ui| {
                ui.vertical(|ui| {
                    ui.label(RichText::new(&alarm.cause).font(theme::strong()).color(tk.text));
                    ui.label(RichText::new(&alarm.remedy).color(tk.text_dim));
                    faint(ui, SINCE.with(&[&format::date(alarm.since)]));
                });
            });
        }
        if report.blocked_connections > 0 {
            panel::note(ui, tk.warning, icons::PAUSE, |ui| {
                ui.label(STOPPED_NOW.with(&[&report.blocked_connections]));
            });
        }
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f32 / whole as f32 };
            let memory = share(report.memory_used, report.memory_limit);
            title(ui, t(MEMORY));
            dim(
                ui,
                USED_OF.with(&[
                    &format::bytes(report.memory_used as f64),
                    &format::bytes(report.memory_limit as f64),
                ]),
            );
            meter(ui, memory, if memory > 0.85 { tk.danger } else { tk.series[1] });
            ui.add_space(space::M);
            title(ui, t(DISK));
            dim(
                ui,
                FREE_LEAST.with(&[
                    &if report.disk_free > 0 {
                        format::bytes(report.disk_free as f64)
                    } else {
                        "–".to_owned()
                    },
                    &format::bytes(report.disk_free_limit as f64),
                ]),
            );
            // As on the overview: what is free, until it is little.
            let tight = is_tight(report.disk_free, report.disk_free_limit);
            meter(ui, if tight { 0.1 } else { 1.0 }, if tight { tk.danger } else { tk.success });
        });
        ui.add_space(space::S);
        if !report.top_publishers.is_empty() {
            card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                title(ui, t(TOP_PUBLISHERS));
                ui.spacing_mut().interact_size.y = 20.0;
                for publisher in &report.top_publishers {
                    ui.horizontal(|ui| {
                        let has_name = !publisher.application.is_empty();
                        let name = if has_name { &publisher.application } else { &publisher.connection };
                        if link(ui, name).clicked() {
                            cx.go(Route::Connection { name: publisher.connection.clone() });
                        }
                        ui.label(PER_SECOND.with(&[&format::rate(publisher.rate)]));
                        dim(ui, PER_SECOND.with(&[&format::bytes(publisher.bytes_rate)]));
                        faint(ui, &publisher.user);
                        if has_name {
                            faint(ui, &publisher.connection);
                        }
                    });
                }
            });
            ui.add_space(space::S);
        }
        if !report.top_queues.is_empty() {
            card(ui, |ui| {
                ui.set_min_width(ui.available_width());
                title(ui, t(TOP_QUEUES));
                ui.spacing_mut().interact_size.y = 20.0;
                for queue in &report.top_queues {
                    ui.horizontal(|ui| {
                        if link(ui, &queue.name).clicked() {
                            cx.go(Route::queue(&queue.vhost, &queue.name));
                        }
                        let size = format::bytes(queue.message_bytes as f64);
                        dim(ui, MESSAGES_BYTES.with(&[&format::count(queue.messages), &size]));
                    });
                }
            });
        }
    });
}

const OPERATION_COLUMNS: &[TableColumn<Operation>] = &[
    column("operation", OPERATION, 130.0, Paint::Text, |operation| {
        Cell::text(t(progress::kind_word(operation.kind)))
    }),
    column("queue", QUEUE_COLUMN, 220.0, Paint::Link, |operation| Cell::text(operation.queue.as_str())),
    column("state", STATE, 130.0, Paint::Custom(operation_state), |operation| {
        Cell::text(t(progress::state_word(operation.state)))
    }),
    column("done", PROGRESS, 150.0, Paint::Text, |operation| {
        Cell::text(
            USED_OF
                .with(&[&format::count(operation.done), &format::count(operation.total.max(operation.done))]),
        )
    }),
    column("started", STARTED, 170.0, Paint::Date, |operation| Cell::count(operation.started_at)),
    column("by", BY, 100.0, Paint::Text, |operation| Cell::text(operation.user.as_str())),
    column("result", RESULT, 220.0, Paint::Text, |operation| Cell::text(outcome(operation))),
];

fn operation_state(cell: &CellPainter<'_>, operation: &Operation) {
    cell.dot(progress::state_colour(operation.state), t(progress::state_word(operation.state)));
}

fn outcome(operation: &Operation) -> String {
    let mut parts: Vec<String> = operation.error.iter().cloned().collect();
    parts.extend(
        operation
            .skipped
            .iter()
            .map(|skipped| format!("{} {}", format::count(skipped.messages), skipped.reason)),
    );
    parts.join(", ")
}

fn operations(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let answer = cx.read(&lookups::operations());
    let (version, list) = (answer.version(), answer.value.clone());
    panel::remote(ui, cx, &answer, |ui, _| {
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            panel::empty(ui, icons::ACTIVITY, t(NO_OPERATIONS), t(NO_OPERATIONS_WHY), |_| {});
            return;
        };
        let table = Table {
            id: "operations",
            noun: OPERATIONS_NOUN,
            columns: OPERATION_COLUMNS,
            rows: &list,
            version,
            key: |operation: &Operation| operation.id.clone(),
            scope: ("", &|_| true),
            sort: Sort::descending("started"),
            below: 0.0,
        };
        let answer = table.show(ui, cx, &mut state.operations, |_, _| {});
        if let Some(operation) = answer.opened.and_then(|at| list.get(at)) {
            cx.go(Route::queue(&operation.vhost, &operation.queue));
        }
    });
}

const AUDIT_COLUMNS: &[TableColumn<AuditEntry>] = &[
    column("name", NAME, 200.0, Paint::Text, |entry| Cell::text(entry.name.as_str())),
    column("when", WHEN, 170.0, Paint::Date, |entry| Cell::count(entry.at)),
    column("user", USER, 100.0, Paint::Text, |entry| Cell::text(entry.user.as_str())),
    column("action", ACTION, 90.0, Paint::Text, |entry| Cell::text(entry.action.as_str())),
    column("kind", WHAT, 100.0, Paint::Text, |entry| Cell::text(entry.kind.as_str())),
    column("vhost", VHOST, 90.0, Paint::Text, |entry| {
        entry.vhost.as_deref().map_or(Cell::Nothing, Cell::text)
    }),
    column("result", RESULT, 190.0, Paint::Custom(result), |entry| Cell::text(entry.result.as_str())),
    column("via", VIA, 60.0, Paint::Text, |entry| Cell::text(entry.via.as_str())),
    column("source", SOURCE, 170.0, Paint::Text, |entry| Cell::text(entry.source.as_str())),
    column("details", DETAILS, 260.0, Paint::Mono, |entry| {
        if entry.details.is_empty() {
            Cell::Nothing
        } else {
            Cell::text(serde_json::to_string(&entry.details).unwrap_or_default())
        }
    }),
];

fn result(cell: &CellPainter<'_>, entry: &AuditEntry) {
    let colour = if entry.result == "ok" { tokens().success } else { tokens().danger };
    cell.dot(colour, &entry.result);
}

fn audit(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    let cursor = state.cursors.last().cloned();
    let answer = cx.read(&lookups::audit(cursor.as_deref()));
    let version = answer.version();
    panel::remote(ui, cx, &answer, |ui, page| {
        let of = cursor.clone().unwrap_or_default();
        if state.entries.1 != of || state.entries.2 != version {
            state.entries = (Arc::new(page.items.clone()), of, version);
        }
        if page.items.is_empty() && state.cursors.is_empty() {
            panel::empty(ui, icons::HISTORY, t(NO_AUDIT), t(NO_AUDIT_WHY), |_| {});
            return;
        }
        let rows = Arc::clone(&state.entries.0);
        let is_first = state.cursors.is_empty();
        let (mut older, mut newer) = (false, false);
        let table = Table {
            id: "audit",
            noun: ENTRIES,
            columns: AUDIT_COLUMNS,
            rows: &rows,
            version,
            key: |entry: &AuditEntry| entry.id.to_string(),
            scope: (cursor.as_deref().unwrap_or_default(), &|_| true),
            sort: Sort::descending("when"),
            below: 0.0,
        };
        table.show(ui, cx, &mut state.audit, |ui, _| {
            newer = icon_button_if(ui, !is_first, icons::CHEVRON_LEFT, t(NEWER)).clicked();
            older = icon_button_if(ui, page.next.is_some(), icons::CHEVRON_RIGHT, t(OLDER)).clicked();
        });
        if older {
            state.cursors.extend(page.next.clone());
        } else if newer {
            state.cursors.pop();
        }
    });
}
