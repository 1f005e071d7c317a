//! All keys on one page.

use eframe::egui::{Grid, RichText, Ui, Vec2};

use super::commands;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, space, tokens};
use crate::widgets::form;

texts! {
    TITLE = "Keys" | "快捷键";
    EVERYWHERE = "Everywhere" | "全局";
    IN_TABLES = "In tables" | "表格中";
    FILTER_KEY = "Filter" | "筛选";
    MOVE = "Move" | "移动";
    RANGE = "Select a range" | "选择一段";
    TOGGLE = "Select one more, or one less" | "增选或取消一行";
    PANE = "Next part of the window; with Shift the one before" | "窗口的下一区域；按住 Shift 为上一区域";
    HELP = "This list" | "快捷键列表";
    ALL = "Select all" | "全选";
    OPEN_ROW = "Open" | "打开";
    COPY_ROWS = "Copy the selected rows" | "复制所选行";
    DELETE_ROWS = "Delete the selected rows" | "删除所选行";
    LEAVE = "One step out: menu, dialog, filter, selection" | "逐级退出：菜单、对话框、筛选、选择";
    SUBMIT = "Done, in a form" | "提交表单";
    ZOOM = "Larger, smaller, as it was" | "放大、缩小、还原";
}

/// Draws it; false when it is closed.
pub fn ui(ui: &Ui) -> bool {
    let closed = form::dialog(ui, "help", t(TITLE), 560.0, |ui| {
        let mut closed = None;
        ui.columns(2, |columns| {
            let [left, right] = columns else { return };
            section(left, t(EVERYWHERE), &every());
            section(right, t(IN_TABLES), &tables());
        });
        ui.add_space(space::S);
        if crate::widgets::button(ui, true, "", t(CLOSE)).clicked() {
            closed = Some(true);
        }
        closed
    });
    closed.is_none()
}

fn section(ui: &mut Ui, title: &str, keys: &[(String, &str)]) {
    crate::widgets::title(ui, title);
    Grid::new(title).num_columns(2).spacing(Vec2::new(space::M, 4.0)).show(ui, |ui| {
        for (key, what) in keys {
            ui.label(RichText::new(key).font(theme::mono()).color(tokens().text));
            crate::widgets::dim(ui, *what);
            ui.end_row();
        }
    });
}

fn every() -> Vec<(String, &'static str)> {
    let mut keys: Vec<(String, &str)> = commands::all()
        .into_iter()
        .filter_map(|command| {
            let key = command.key?.format(&eframe::egui::ModifierNames::NAMES, false);
            Some((key, t(command.name)))
        })
        .collect();
    keys.push(("?".to_owned(), t(HELP)));
    keys.push(("F6".to_owned(), t(PANE)));
    keys.push(("Esc".to_owned(), t(LEAVE)));
    keys.push(("Ctrl+Enter".to_owned(), t(SUBMIT)));
    keys.push(("Ctrl++ Ctrl+- Ctrl+0".to_owned(), t(ZOOM)));
    keys
}

fn tables() -> Vec<(String, &'static str)> {
    let keys = [
        ("/  Ctrl+F", FILTER_KEY),
        ("↑ ↓ PgUp PgDn", MOVE),
        ("Shift+↑ ↓", RANGE),
        ("Space  Ctrl+click", TOGGLE),
        ("Ctrl+A", ALL),
        ("Enter", OPEN_ROW),
        ("Ctrl+C", COPY_ROWS),
        ("Del", DELETE_ROWS),
    ];
    keys.map(|(key, what)| (key.to_owned(), t(what))).to_vec()
}
