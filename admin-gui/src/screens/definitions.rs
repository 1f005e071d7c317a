//! Definitions: exporting them, and importing others as a list of differences to choose from.

use std::collections::BTreeSet;
use std::sync::Arc;

use eframe::egui::{self, RichText, ScrollArea, TextEdit, Ui};
use leveret_admin_model::definitions::{self, Change, Entry, FileProblem, KINDS};
use leveret_admin_model::{Action, Danger, Intent, format, lookups};
use serde_json::Value as Json;

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{
    badge, button, card, column_card, dim, faint, form, head, named, panel, primary, title,
};

texts! {
    EXPORT = "Export" | "导出";
    EXPORT_WHY = "Everything that was declared: vhosts, users with the hashes of their passwords, permissions, policies, exchanges, queues, bindings. No messages." | "所有已声明的内容：虚拟主机、用户（含密码哈希）、权限、策略、交换机、队列和绑定，不含消息。";
    EXPORT_FILE = "Save to a file" | "保存到文件";
    COPY_ALL = "Copy" | "复制";
    NOTHING = "There is nothing to export." | "没有可导出的内容。";
    AS_OF = "as of {}" | "截至 {}";
    FETCH = "Read from the broker" | "从服务器读取";
    IMPORT = "Import" | "导入";
    IMPORT_WHY = "Drop a file here, name one, or paste its text. Nothing is changed before you choose." | "拖入文件、输入路径或粘贴文本。选择之前不会更改任何内容。";
    FILE_PATH = "File" | "文件";
    CHOOSE_FILE = "Choose…" | "选择…";
    READ_FILE = "Read the file" | "读取文件";
    PASTE = "Definitions as JSON" | "JSON 定义";
    COMPARE = "Compare" | "比较";
    NOT_JSON = "This is not JSON: {}" | "不是有效的 JSON：{}";
    NO_DEFINITIONS = "There are no definitions in it." | "其中没有定义。";
    ONLY_HERE = "The whole broker" | "整个服务器";
    COMPARED = "{} new, {} different, {} the same, {} only here" | "新增 {}，不同 {}，相同 {}，仅在此处 {}";
    SHOW_SAME = "Show those that are the same" | "显示相同项";
    ADDED = "new" | "新增";
    CHANGED = "different" | "不同";
    KEPT = "An import leaves it as it is. Delete it first to have it as in the file." | "导入不会更改它。如需与文件一致，请先将其删除。";
    SAME = "same" | "相同";
    HERE = "only here" | "仅在此处";
    CHOOSE_ALL = "All" | "全选";
    CHOOSE_NONE = "None" | "全不选";
    FIELD_CHANGE = "{}: {} → {}" | "{}：{} → {}";
    MISSING = "{} needs {}, which is neither here nor chosen." | "{} 需要 {}，但其既不存在也未被选中。";
    IMPORT_CHOSEN = "Import {} {definition|definitions}" | "导入 {} 项定义";
    IMPORT_TITLE = "Import {} {definition|definitions}?" | "导入 {} 项定义？";
    IMPORT_LOSS = "{} {is|are} added, {} that {exists is|exist are} replaced by what the file says." | "新增 {} 项，{} 项已有定义将被文件内容替换。";
    IMPORTED = "{} {definition was|definitions were} imported" | "已导入 {} 项定义";
    IMPORT_WHAT = "Import definitions" | "导入定义";
    START_OVER = "Another file" | "另选文件";
    NOTHING_NEW = "Everything in the file is here already." | "文件中的内容均已存在。";
    MORE_ROWS = "{} more" | "另有 {} 项";
}

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    path: String,
    pasted: String,
    mistake: Option<String>,
    file: Option<Arc<Json>>,
    entries: Vec<Entry>,
    of_version: u64,
    chosen: BTreeSet<(&'static str, String)>,
    show_same: bool,
    /// The number of the last file that was taken of those chosen.
    file_number: u64,
}

/// Larger files are no definitions.
const FILE_MAX: u64 = 64 << 20;
/// How long definitions are taken for those of now.
const KEPT_MS: u64 = 60_000;
/// Height of a long text that was pasted.
const PASTED_HEIGHT: f32 = 320.0;
/// Entries of a kind that are shown.
const SHOWN_MAX: usize = 300;

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(DEFINITIONS), "", |_| {});
    let vhost = cx.state.vhost.clone();
    let query = lookups::definitions(vhost.as_deref());
    let answer = cx.state.store.peek::<Json>(&query.key);
    // Nobody exports what was true an hour ago; what an import is compared with stays what it is.
    let is_old = answer.value.is_none() || cx.now().saturating_sub(answer.arrived_at()) >= KEPT_MS;
    let is_asked = answer.is_pending() || answer.problem().is_some() || state.file.is_some();
    if is_old && !is_asked && cx.state.is_live() {
        cx.fetch(&query);
    }
    if let Some((number, file)) = cx.state.chosen.as_ref().filter(|(number, _)| *number != state.file_number)
    {
        state.file_number = *number;
        state.path.clone_from(file);
        state.read_file(file);
    }
    for file in ui.input(|input| input.raw.dropped_files.clone()) {
        state.read_file(&file.path().display().to_string());
    }
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if state.file.is_some() {
            state.compared(ui, cx, answer.value.as_deref(), answer.version(), vhost.as_deref());
            return;
        }
        ui.columns(2, |columns| {
            if let [left, right] = columns {
                column_card(left, |ui| {
                    title(ui, t(EXPORT));
                    dim(ui, t(EXPORT_WHY));
                    ui.add_space(space::S);
                    faint(ui, vhost.as_deref().unwrap_or(t(ONLY_HERE)));
                    panel::fetched(ui, cx, &query, |ui, value| export(ui, cx, value, vhost.as_deref()));
                    ui.horizontal(|ui| {
                        if button(ui, cx.state.is_live(), icons::REFRESH_CW, t(FETCH)).clicked() {
                            cx.fetch(&query);
                        }
                        if answer.value.is_some() {
                            faint(ui, AS_OF.with(&[&format::clock(answer.arrived_at())]));
                        }
                    });
                });
                column_card(right, |ui| {
                    title(ui, t(IMPORT));
                    dim(ui, t(IMPORT_WHY));
                    ui.add_space(space::S);
                    state.source(ui, cx, &query);
                });
            }
        });
    });
}

fn export(ui: &mut Ui, cx: &Cx<'_>, value: &Json, vhost: Option<&str>) {
    ui.spacing_mut().interact_size.y = 20.0;
    let text = || serde_json::to_string_pretty(value).unwrap_or_default();
    let count_of = |kind: &str| value.get(kind).and_then(Json::as_array).map_or(0, Vec::len);
    if KINDS.iter().all(|kind| count_of(kind) == 0) {
        dim(ui, t(NOTHING));
        return;
    }
    for kind in KINDS {
        let count = count_of(kind);
        if count > 0 {
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(format::count(count as u64)).font(theme::strong()).color(tokens().text),
                );
                dim(ui, kind.replace('_', " "));
            });
        }
    }
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        if primary(ui, true, icons::DOWNLOAD, t(EXPORT_FILE)).clicked() {
            let of =
                vhost.map(|vhost| vhost.replace(|c: char| !c.is_alphanumeric(), "_")).unwrap_or_default();
            let name =
                if of.is_empty() { "definitions.json".to_owned() } else { format!("definitions-{of}.json") };
            cx.send(Intent::Export { name, contents: text() });
        }
        if button(ui, true, icons::COPY, t(COPY_ALL)).clicked() {
            cx.copy(text());
        }
    });
}

impl State {
    fn source(&mut self, ui: &mut Ui, cx: &Cx<'_>, query: &leveret_admin_model::query::Query<Json>) {
        ui.horizontal_wrapped(|ui| {
            let beside_buttons = ui.available_width() - 250.0;
            let width = if beside_buttons < 120.0 { ui.available_width() - 20.0 } else { beside_buttons };
            form::field(ui, t(FILE_PATH), &mut self.path, "definitions.json", width);
            if button(ui, true, icons::FOLDER_OPEN, t(CHOOSE_FILE)).clicked() {
                cx.send(Intent::Choose);
            }
            if button(ui, !self.path.trim().is_empty(), icons::FILE_DIFF, t(READ_FILE)).clicked() {
                let path = self.path.trim().to_owned();
                self.read_file(&path);
            }
        });
        ui.add_space(space::S);
        ScrollArea::vertical().id_salt("pasted").max_height(PASTED_HEIGHT).show(ui, |ui| {
            let edit = TextEdit::multiline(&mut self.pasted)
                .font(theme::mono())
                .desired_rows(8)
                .desired_width(f32::INFINITY)
                .hint_text(t(PASTE));
            named(ui.add(edit), t(PASTE));
        });
        if let Some(mistake) = &self.mistake {
            panel::note(ui, tokens().danger, icons::CIRCLE_ALERT, |ui| {
                ui.label(mistake);
            });
        }
        ui.add_space(space::S);
        if primary(ui, !self.pasted.trim().is_empty(), icons::FILE_DIFF, t(COMPARE)).clicked() {
            let text = self.pasted.clone();
            self.take(&text);
            cx.fetch(query);
        }
    }

    /// A file that somebody chose: read here and now, it is on this machine.
    fn read_file(&mut self, path: &str) {
        let read = std::fs::metadata(path).and_then(|about| {
            if about.len() > FILE_MAX {
                return Err(std::io::Error::other("the file is too large"));
            }
            std::fs::read_to_string(path)
        });
        match read {
            Ok(text) => self.take(&text),
            Err(error) => self.mistake = Some(format!("{path}: {error}")),
        }
    }

    fn take(&mut self, text: &str) {
        match definitions::read(text) {
            Ok(file) => {
                (self.file, self.mistake, self.of_version) = (Some(Arc::new(file)), None, 0);
                self.chosen.clear();
                self.entries.clear();
            }
            Err(FileProblem::NotJson(error)) => self.mistake = Some(NOT_JSON.with(&[&error])),
            Err(FileProblem::NoDefinitions) => self.mistake = Some(t(NO_DEFINITIONS).to_owned()),
        }
    }

    fn compared(&mut self, ui: &mut Ui, cx: &Cx<'_>, here: Option<&Json>, version: u64, vhost: Option<&str>) {
        let (Some(here), Some(file)) = (here, self.file.clone()) else {
            panel::skeleton(ui);
            return;
        };
        if self.of_version != version {
            let first = self.entries.is_empty();
            self.entries = definitions::diff(here, &file, vhost);
            self.of_version = version;
            if first {
                // What is new is chosen; what would be replaced waits for a choice.
                let new = self.entries.iter().filter(|entry| entry.change == Change::Added);
                self.chosen = new.map(Entry::key).collect();
            }
        }
        let count = |of: fn(&Change) -> bool| self.entries.iter().filter(|entry| of(&entry.change)).count();
        let new = count(|change| *change == Change::Added);
        let different = count(|change| matches!(change, Change::Changed(_) | Change::Kept(_)));
        ui.horizontal_wrapped(|ui| {
            let same = count(|change| *change == Change::Same);
            let only_here = count(|change| *change == Change::Here);
            ui.label(
                RichText::new(COMPARED.with(&[&new, &different, &same, &only_here]))
                    .font(theme::strong())
                    .color(tokens().text),
            );
            ui.checkbox(&mut self.show_same, t(SHOW_SAME));
            if button(ui, true, icons::UNDO_2, t(START_OVER)).clicked() {
                self.file = None;
            }
        });
        if new + different == 0 {
            panel::empty(ui, icons::CIRCLE_CHECK, t(NOTHING_NEW), "", |_| {});
        }
        for kind in KINDS {
            self.kind(ui, kind);
        }
        self.import(ui, cx, vhost);
    }

    fn kind(&mut self, ui: &mut Ui, kind: &'static str) {
        let tk = tokens();
        let shown: Vec<Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .filter(|entry| self.show_same || !matches!(entry.change, Change::Same | Change::Here))
            .cloned()
            .collect();
        if shown.is_empty() {
            return;
        }
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.horizontal(|ui| {
                title(ui, &kind.replace('_', " "));
                faint(ui, format::count(shown.len() as u64));
                if ui.small_button(t(CHOOSE_ALL)).clicked() {
                    self.chosen.extend(shown.iter().filter(|entry| entry.can_be_imported()).map(Entry::key));
                }
                if ui.small_button(t(CHOOSE_NONE)).clicked() {
                    self.chosen.retain(|(of, _)| *of != kind);
                }
            });
            for entry in shown.iter().take(SHOWN_MAX) {
                ui.horizontal_wrapped(|ui| {
                    let key = entry.key();
                    let mut is_chosen = self.chosen.contains(&key);
                    let response =
                        ui.add_enabled(entry.can_be_imported(), egui::Checkbox::without_text(&mut is_chosen));
                    if named(response, &entry.name).changed() {
                        if is_chosen {
                            self.chosen.insert(key)
                        } else {
                            self.chosen.remove(&key)
                        };
                    }
                    let (word, colour) = match &entry.change {
                        Change::Added => (ADDED, tk.success),
                        Change::Changed(_) | Change::Kept(_) => (CHANGED, tk.warning),
                        Change::Same => (SAME, tk.text_faint),
                        Change::Here => (HERE, tk.accent),
                    };
                    badge(ui, t(word), colour);
                    ui.label(RichText::new(&entry.name).color(tk.text));
                    if !entry.vhost.is_empty() && entry.vhost != "/" {
                        faint(ui, &entry.vhost);
                    }
                    for (name, old, new) in entry.differences().iter().take(6) {
                        let text = FIELD_CHANGE.with(&[name, &brief(old), &brief(new)]);
                        ui.label(RichText::new(text).font(theme::mono()).color(tk.text_dim));
                    }
                    if matches!(entry.change, Change::Kept(_)) {
                        dim(ui, t(KEPT));
                    }
                });
            }
            if shown.len() > SHOWN_MAX {
                faint(ui, MORE_ROWS.with(&[&(shown.len() - SHOWN_MAX)]));
            }
        });
        ui.add_space(space::XS);
    }

    fn import(&self, ui: &mut Ui, cx: &Cx<'_>, vhost: Option<&str>) {
        let chosen: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| entry.can_be_imported() && self.chosen.contains(&entry.key()))
            .collect();
        for (what, needs) in
            definitions::missing(&self.entries, |entry| self.chosen.contains(&entry.key())).iter().take(5)
        {
            panel::note(ui, tokens().warning, icons::TRIANGLE_ALERT, |ui| {
                ui.label(MISSING.with(&[what, needs]));
            });
        }
        let verb = IMPORT_CHOSEN.with(&[&format::count(chosen.len() as u64)]);
        if primary(ui, cx.may_write() && !chosen.is_empty(), icons::UPLOAD, &verb).clicked() {
            let file = definitions::chosen(chosen.iter().copied());
            let replaced = chosen.iter().filter(|entry| matches!(entry.change, Change::Changed(_))).count();
            let added = chosen.len() - replaced;
            let query = lookups::definitions(vhost);
            let mut action = Action::new(
                t(IMPORT_WHAT),
                IMPORTED.with(&[&chosen.len()]),
                lookups::import_definitions(vhost, &file),
            );
            action.refresh.push(query.key);
            cx.ask(Danger {
                title: IMPORT_TITLE.with(&[&chosen.len()]),
                loss: IMPORT_LOSS.with(&[&added, &replaced]),
                objects: chosen.iter().map(|entry| entry.name.clone()).collect(),
                verb,
                type_name: None,
                action,
            });
        }
    }
}

/// A value in a few letters.
fn brief(value: &Json) -> String {
    leveret_admin_model::payload::one_line(&value.to_string(), 40)
}
