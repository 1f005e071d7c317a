//! The dead-letter workbench: what died, of what, and what to do with it.
//!
//! ```text
//!  queues of dead   groups by reason and origin        one message:
//!  letters, found   filter · messages by peek          its story, body,
//!  by themselves    plan → confirm → progress          headers, edit and resend
//! ```

mod plan;
pub mod progress;

use std::sync::Arc;

use eframe::egui::{
    self, Frame, Margin, Panel, RichText, ScrollArea, Sense, Stroke, Ui, Vec2, WidgetInfo, accesskit::Role,
};
use leveret_admin_model::dead::{self, DeadQueue, Group, Why};
use leveret_admin_model::deaths;
use leveret_admin_model::draft::Draft;
use leveret_admin_model::filter::Cell;
use leveret_admin_model::index::Sort;
use leveret_admin_model::payload::Payload;
use leveret_admin_model::{Intent, Route, format, lookups, query};
use leveret_protocol::admin::messages::{MessageFilter, MessagePage, QueuedMessage, Selection};
use leveret_protocol::admin::operations::OperationKind;

use super::messages::Editor;
use crate::cx::Cx;
use crate::shell::panes::{Pane, door};
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, blend, icons, space, tokens};
use crate::widgets::inspector::beside;
use crate::widgets::message::{ViewState, message, reason_mark, reason_word};
use crate::widgets::table::{CellPainter, Paint, Table, TableColumn, TableState, column};
use crate::widgets::{
    button, danger_button, elided, faint, form, head, icon_button, icon_button_if, panel, primary,
};

texts! {
    IN_ALL = "{} {message|messages} in {} {queue|queues}" | "{} 条消息，{} 个队列";
    NO_DEAD = "No queue of dead letters was found" | "没有发现死信队列";
    NO_DEAD_WHY = "A queue is taken for one when another sends its dead letters there (x-dead-letter-exchange), or when it is called so." | "当其他队列将死信发送到某队列（x-dead-letter-exchange），或名称如此时，即视为死信队列。";
    FROM_QUEUES = "from {}" | "来自 {}";
    BY_NAME = "by its name" | "按名称识别";
    GROWING = "+{}/s" | "+{}/秒";
    ALL_EMPTY = "Nothing died" | "没有死信";
    ALL_EMPTY_WHY = "This queue is empty. What its sources reject, let expire or push out comes here." | "此队列为空。来源队列拒绝、过期或溢出的消息会到这里。";
    NONE_MATCH = "No message fits" | "没有匹配的消息";
    NONE_MATCH_WHY = "Other messages are there." | "队列中还有其他消息。";
    GROUP_ALL = "All of them" | "全部";
    GROUP_DIED = "{} in {}" | "{}，队列 {}";
    GROUP_ALIVE = "never died" | "未曾成为死信";
    GROUP_KEYS = "keys {}" | "路由键 {}";
    SEEN_OF = "{} of the {} looked at" | "{} / 已查看 {}";
    TEXT_FILTER = "Body contains" | "消息体包含";
    KEY_FILTER = "Key matches" | "路由键匹配";
    PREVIOUS_PAGE = "Previous page" | "上一页";
    NEXT_PAGE = "Next page" | "下一页";
    PAGE_NUMBER = "Page {}" | "第 {} 页";

    MESSAGES_NOUN = "Messages" | "消息";
    DIED = "Died" | "时间";
    REASON = "Reason" | "原因";
    DIED_IN = "In queue" | "所在队列";
    KEY = "Key" | "路由键";
    TRIES = "Deaths" | "次数";
    SIZE = "Size" | "大小";
    FIRST_LINE = "Message" | "消息";

    ON_SELECTED = "{} selected" | "已选 {} 条";
    ON_MATCHING = "All that fit" | "所有匹配的消息";
    ON_ALL = "All messages of the queue" | "队列中的所有消息";
    REQUEUE = "Requeue…" | "重新投递…";
    MOVE = "Move…" | "移动…";
    COPY_TO = "Copy…" | "复制到…";
    EXPORT = "Export" | "导出";
    EDIT_RESEND = "Edit and send a copy…" | "编辑并发送副本…";
    OPEN_QUEUE = "Open the queue" | "打开队列";

    TAKEN_TITLE = "{} shows messages only by handing them out" | "{} 只能通过取出来查看消息";
    TAKEN_WHY = "They are put back at once, but count as delivered: their place and their redelivered flag may change. Moving and requeueing need Leveret." | "消息会立即放回，但视为已投递：位置和重投标记可能改变。移动和重新投递需要 Leveret。";
    TAKE_LOOK = "Look at 50 messages" | "查看 50 条消息";
}

/// With less room than this the queues are in a menu, and a message is shown only when it was picked.
const NARROW: f32 = 1_000.0;
/// Width of the list of queues.
const LIST: f32 = 232.0;
/// Height of the line with the pages.
const PAGER: f32 = 38.0;

/// What the screen remembers.
#[derive(Debug, Default)]
pub struct State {
    queue: Option<(String, String)>,
    /// The queues found, and what they were found in.
    found: (Vec<DeadQueue>, u64),
    group: Option<Group>,
    groups: (Vec<Group>, u64),
    text: String,
    key: String,
    /// Where the pages before this one began.
    cursors: Vec<String>,
    list: Arc<Vec<QueuedMessage>>,
    list_of: (String, u64),
    list_version: u64,
    table: TableState,
    view: ViewState,
    plan: Option<plan::Plan>,
    editor: Option<Editor>,
    taken: bool,
}

/// Draws the workbench; `queue` is the one that is opened.
pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>, queue: Option<(&String, &String)>) {
    state.find(cx);
    let wanted = queue.map(|(vhost, name)| (vhost.clone(), name.clone()));
    let first = || {
        state
            .found
            .0
            .iter()
            .find(|dead| cx.shows_vhost(&dead.vhost))
            .map(|dead| (dead.vhost.clone(), dead.name.clone()))
    };
    let chosen = wanted.or_else(first);
    if state.queue != chosen {
        let found = std::mem::take(&mut state.found);
        *state = State { queue: chosen, found, ..State::default() };
    }
    let queues = cx.read(&query::queues());
    let shown: Vec<DeadQueue> =
        state.found.0.iter().filter(|dead| cx.shows_vhost(&dead.vhost)).cloned().collect();
    let messages: u64 = shown.iter().map(|dead| dead.messages).sum();
    let about = if shown.is_empty() {
        String::new()
    } else {
        IN_ALL.with(&[&format::count(messages), &format::count(shown.len() as u64)])
    };
    head(ui, t(DEAD_LETTERS), &about, |_| {});
    // Without them, queues of dead letters are found by their names alone.
    let (exchanges, bindings) = (cx.read(&query::exchanges()), cx.read(&query::bindings()));
    panel::partial(ui, cx, &queues, &[exchanges.problem(), bindings.problem()]);
    panel::remote(ui, cx, &queues, |ui, _| {
        if shown.is_empty() && state.queue.is_none() {
            panel::empty(ui, icons::SKULL, t(NO_DEAD), t(NO_DEAD_WHY), |_| {});
            return;
        }
        if ui.available_width() < NARROW {
            choose_queue(state, ui, cx, &shown);
        } else {
            list_queues(state, ui, cx, &shown);
        }
        if let Some((vhost, name)) = state.queue.clone() {
            state.workbench(ui, cx, &vhost, &name);
        }
    });
}

/// The queues of dead letters, where there is no room for a list of them.
fn choose_queue(state: &State, ui: &mut Ui, cx: &Cx<'_>, shown: &[DeadQueue]) {
    let name = |dead: &DeadQueue| format!("{} · {}", dead.name, format::count(dead.messages));
    let is_here = |dead: &DeadQueue| {
        state.queue.as_ref().is_some_and(|(vhost, name)| *vhost == dead.vhost && *name == dead.name)
    };
    let here = shown.iter().find(|dead| is_here(dead)).map(name).unwrap_or_default();
    let choice = egui::ComboBox::from_id_salt("dead-queue").selected_text(here).width(260.0);
    let response = choice.show_ui(ui, |ui| {
        for dead in shown {
            if ui.selectable_label(is_here(dead), name(dead)).clicked() {
                cx.send(Intent::Replace(Route::DeadQueue {
                    vhost: dead.vhost.clone(),
                    name: dead.name.clone(),
                }));
            }
        }
    });
    crate::widgets::named(response.response, t(DEAD_LETTERS));
    ui.add_space(space::XS);
}

/// The queues of dead letters, at the left.
fn list_queues(state: &State, ui: &mut Ui, cx: &Cx<'_>, shown: &[DeadQueue]) {
    let tk = tokens();
    let frame = Frame::new().fill(tk.window).inner_margin(Margin { left: 0, right: 12, top: 2, bottom: 0 });
    Panel::left("dead-queues")
        .frame(frame)
        .resizable(false)
        .exact_size(LIST)
        .show_separator_line(false)
        .show(ui, |ui| {
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 6.0;
                for dead in shown {
                    let here = state
                        .queue
                        .as_ref()
                        .is_some_and(|(vhost, name)| *vhost == dead.vhost && *name == dead.name);
                    if queue_entry(ui, dead, here, cx.state.vhost.is_none()) {
                        cx.send(Intent::Replace(Route::DeadQueue {
                            vhost: dead.vhost.clone(),
                            name: dead.name.clone(),
                        }));
                    }
                }
            });
        });
}

fn queue_entry(ui: &mut Ui, dead: &DeadQueue, here: bool, with_vhost: bool) -> bool {
    let tk = tokens();
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 62.0), Sense::click());
    let count = format::count(dead.messages);
    let why = match &dead.why {
        Why::Target { of } => FROM_QUEUES.with(&[&of.join(", ")]),
        Why::Name => t(BY_NAME).to_owned(),
    };
    let why = if with_vhost && dead.vhost != "/" { format!("{} · {why}", dead.vhost) } else { why };
    response.widget_info(|| {
        WidgetInfo::selected(Role::ListBoxOption, true, here, format!("{}: {count}; {why}", dead.name))
    });
    let fill = if here {
        tk.selected
    } else if response.hovered() {
        tk.hover
    } else {
        tk.card
    };
    let border = if here || response.has_focus() { tk.accent } else { tk.border };
    ui.painter().rect(rect, theme::RADIUS, fill, Stroke::new(1.0, border), egui::StrokeKind::Inside);
    let inner = rect.shrink2(Vec2::new(10.0, 8.0));
    let colour = if dead.messages > 0 { tk.danger } else { tk.text_faint };
    let painter = ui.painter().with_clip_rect(inner);
    painter.text(
        inner.left_top() + Vec2::new(0.0, 1.0),
        egui::Align2::LEFT_TOP,
        icons::SKULL,
        theme::icon(14.0),
        colour,
    );
    let line = |text: &str, y: f32, font, colour| {
        let at = inner.left_top() + Vec2::new(20.0, y);
        painter.galley(at, elided(&painter, text, font, colour, inner.right() - at.x), colour);
    };
    line(&dead.name, 0.0, theme::strong(), tk.text);
    line(&why, 17.0, theme::small(), tk.text_faint);
    line(&count, 31.0, theme::strong(), if dead.messages > 0 { tk.text } else { tk.text_faint });
    if dead.growth >= 0.05 {
        let at = inner.right_bottom();
        painter.text(
            at,
            egui::Align2::RIGHT_BOTTOM,
            GROWING.with(&[&format::rate(dead.growth)]),
            theme::small(),
            tk.warning,
        );
    }
    response.on_hover_text(format!("{}\n{why}", dead.name)).clicked()
}

impl State {
    /// Looks for queues of dead letters when the lists changed.
    fn find(&mut self, cx: &Cx<'_>) {
        let (queues, exchanges, bindings) =
            (cx.read(&query::queues()), cx.read(&query::exchanges()), cx.read(&query::bindings()));
        let version = queues.version() + exchanges.version() + bindings.version();
        if version != self.found.1 {
            self.found = (
                dead::dead_queues(&queues.or_default(), &exchanges.or_default(), &bindings.or_default()),
                version,
            );
        }
    }

    /// What is asked for: the group that was picked, and what was typed.
    fn filter(&self) -> MessageFilter {
        let mut filter = self.group.as_ref().map(Group::filter).unwrap_or_default();
        let typed = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        filter.text = typed(&self.text);
        filter.routing_key = typed(&self.key);
        filter
    }

    fn workbench(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str) {
        if cx.is_leveret() || cx.state.product.is_none() {
            let filter = self.filter();
            let answer =
                cx.read(&lookups::messages(vhost, queue, &filter, self.cursors.last().map(String::as_str)));
            let (version, key) = (answer.version(), serde_json::to_string(&filter).unwrap_or_default());
            // What was there stays until the other answer comes.
            if answer.value.is_none() && answer.problem().is_none() && !self.list_of.0.is_empty() {
                let page = MessagePage { items: self.list.to_vec(), ..MessagePage::default() };
                self.show(ui, cx, vhost, queue, &page);
                return;
            }
            panel::remote(ui, cx, &answer, |ui, page| {
                self.take(format!("{key} {:?}", self.cursors.last()), version, page.items.iter().cloned());
                self.show(ui, cx, vhost, queue, page);
            });
        } else {
            self.by_taking(ui, cx, vhost, queue);
        }
    }

    /// For brokers that hand messages out to show them.
    fn by_taking(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str) {
        let look = lookups::get_messages(vhost, queue, 50, true);
        let answer = cx.state.store.peek::<Vec<lookups::GotMessage>>(&look.key);
        if answer.value.is_none() || !self.taken {
            let name = cx.state.product.as_ref().map_or("RabbitMQ", |product| product.name.as_str());
            panel::empty(ui, icons::EYE, &TAKEN_TITLE.with(&[&name]), t(TAKEN_WHY), |ui| {
                ui.vertical_centered(|ui| {
                    if primary(ui, cx.may_write() && !answer.is_pending(), icons::EYE, t(TAKE_LOOK)).clicked()
                    {
                        self.taken = true;
                        cx.fetch(&look);
                    }
                });
            });
            return;
        }
        let version = answer.version();
        panel::fetched(ui, cx, &look, |ui, got| {
            self.take("got".to_owned(), version, got.iter().enumerate().map(|(at, got)| got.shown(at)));
            let page = MessagePage { items: self.list.to_vec(), ..MessagePage::default() };
            self.show(ui, cx, vhost, queue, &page);
        });
    }

    /// Takes a new list, when it is new.
    fn take(&mut self, of: String, version: u64, messages: impl Iterator<Item = QueuedMessage>) {
        if self.list_of == (of.clone(), version) {
            return;
        }
        self.list_of = (of, version);
        self.list = Arc::new(messages.collect());
        self.list_version += 1;
        if self.group.is_none() && self.text.is_empty() && self.key.is_empty() {
            self.groups = (dead::group(&self.list), self.list.len() as u64);
        }
    }

    fn show(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str, page: &MessagePage) {
        progress::ui(ui, cx, vhost, queue);
        let is_filtered = self.filter() != MessageFilter::default();
        if self.list.is_empty() && !is_filtered && self.cursors.is_empty() {
            panel::empty(ui, icons::CIRCLE_CHECK, t(ALL_EMPTY), t(ALL_EMPTY_WHY), |_| {});
            return;
        }
        let picked = self.table.selection.cursor();
        let picked = picked.and_then(|id| self.list.iter().find(|message| message.id == *id));
        // The first one is shown as long as none is picked: what is in the queue should not need a click.
        let first = self.list.first().filter(|_| ui.available_width() + LIST > NARROW);
        let one = picked.or(first).cloned();
        if let Some(one) = &one {
            self.inspector(ui, cx, vhost, queue, one);
        }
        self.group_strip(ui);
        if self.list.is_empty() {
            self.filters(ui);
            panel::empty(ui, icons::FILTER, t(NONE_MATCH), t(NONE_MATCH_WHY), |ui| {
                ui.vertical_centered(|ui| {
                    if button(ui, true, icons::X, t(CLEAR_FILTER)).clicked() {
                        (self.group, self.text, self.key) = (None, String::new(), String::new());
                    }
                });
            });
            return;
        }
        self.actions(ui, cx, vhost, queue, is_filtered);
        let list = Arc::clone(&self.list);
        let table = Table {
            id: "dead-messages",
            noun: MESSAGES_NOUN,
            columns: COLUMNS,
            rows: &list,
            version: self.list_version,
            key: |message: &QueuedMessage| message.id.clone(),
            scope: ("", &|_| true),
            sort: Sort::ascending("position"),
            below: if self.has_pages(page) { PAGER } else { 0.0 },
        };
        let mut remembered = std::mem::take(&mut self.table);
        let answer = table.show(ui, cx, &mut remembered, |ui, _| self.filters(ui));
        self.table = remembered;
        if self.has_pages(page) {
            self.pager(ui, page);
        }
        if answer.delete && cx.may_write() {
            self.plan = Some(plan::Plan::new(OperationKind::Delete, vhost, queue, self.selection()));
        }
        if let Some(mut plan) = self.plan.take()
            && plan.ui(ui, cx)
        {
            self.plan = Some(plan);
        }
        if let Some(mut editor) = self.editor.take()
            && editor.dialog(ui, cx)
        {
            self.editor = Some(editor);
        }
    }

    /// What is meant by the buttons: what is selected, or else all that fit.
    fn selection(&self) -> Selection {
        if !self.table.selection.is_empty() {
            let chosen = self.list.iter().filter(|message| self.table.selection.contains(&message.id));
            Selection::Ids(chosen.map(|message| message.id.clone()).collect())
        } else {
            Selection::Filter(self.filter())
        }
    }

    /// What they died of, as cards to pick from.
    fn group_strip(&mut self, ui: &mut Ui) {
        let (groups, total) = (&self.groups.0, self.groups.1);
        if groups.len() < 2 && self.group.is_none() && groups.iter().all(|group| group.reason.is_none()) {
            return;
        }
        let mut picked: Option<Option<Group>> = None;
        ScrollArea::horizontal().id_salt("groups").show(ui, |ui| {
            ui.horizontal(|ui| {
                let all = group_card(
                    ui,
                    icons::LAYERS,
                    tokens().text_dim,
                    t(GROUP_ALL),
                    &format::count(total),
                    "",
                    self.group.is_none(),
                );
                if all {
                    picked = Some(None);
                }
                for group in groups {
                    let (icon, colour) = reason_mark(group.reason.as_ref());
                    let name = match &group.reason {
                        Some(reason) => GROUP_DIED.with(&[&reason_word(reason), &group.queue]),
                        None => t(GROUP_ALIVE).to_owned(),
                    };
                    let keys: Vec<&str> = group
                        .keys
                        .iter()
                        .take(3)
                        .map(|(key, _)| key.as_str())
                        .filter(|key| !key.is_empty())
                        .collect();
                    let keys =
                        if keys.is_empty() { String::new() } else { GROUP_KEYS.with(&[&keys.join(", ")]) };
                    let is_picked = self.group.as_ref().is_some_and(|known| {
                        (&known.reason, &known.queue, &known.exchange)
                            == (&group.reason, &group.queue, &group.exchange)
                    });
                    let count = SEEN_OF.with(&[&format::count(group.messages as u64), &format::count(total)]);
                    if group_card(ui, icon, colour, &name, &count, &keys, is_picked) {
                        picked = Some((!is_picked).then(|| group.clone()));
                    }
                }
            });
        });
        if let Some(group) = picked {
            self.group = group;
            self.cursors.clear();
            self.table.selection.clear();
        }
        ui.add_space(space::XS);
    }

    fn filters(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let before = (self.text.clone(), self.key.clone());
            form::field(ui, t(TEXT_FILTER), &mut self.text, t(TEXT_FILTER), 120.0);
            form::field(ui, t(KEY_FILTER), &mut self.key, t(KEY_FILTER), 100.0);
            if before != (self.text.clone(), self.key.clone()) {
                self.cursors.clear();
            }
        });
    }

    fn has_pages(&self, page: &MessagePage) -> bool {
        page.next.is_some() || !self.cursors.is_empty()
    }

    /// Other pages, below the table.
    fn pager(&mut self, ui: &mut Ui, page: &MessagePage) {
        ui.horizontal(|ui| {
            let is_first = self.cursors.is_empty();
            if icon_button_if(ui, !is_first, icons::CHEVRON_LEFT, t(PREVIOUS_PAGE)).clicked() {
                self.cursors.pop();
            }
            faint(ui, PAGE_NUMBER.with(&[&(self.cursors.len() + 1)]));
            if icon_button_if(ui, page.next.is_some(), icons::CHEVRON_RIGHT, t(NEXT_PAGE)).clicked() {
                self.cursors.extend(page.next.clone());
            }
        });
    }

    fn actions(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str, is_filtered: bool) {
        let tk = tokens();
        let selected = self.table.selection.len();
        let can = cx.may_write() && cx.is_leveret();
        ui.horizontal_wrapped(|ui| {
            let (text, colour) = match (selected, is_filtered) {
                (0, true) => (t(ON_MATCHING).to_owned(), tk.text),
                (0, false) => (t(ON_ALL).to_owned(), tk.text),
                (count, _) => (ON_SELECTED.with(&[&format::count(count as u64)]), tk.accent),
            };
            ui.label(RichText::new(text).font(theme::strong()).color(colour));
            let mut start = None;
            if primary(ui, can, icons::ROTATE_CCW, t(REQUEUE)).clicked() {
                start = Some(OperationKind::Requeue);
            }
            if button(ui, can, icons::MOVE, t(MOVE)).clicked() {
                start = Some(OperationKind::Move);
            }
            if button(ui, can, icons::COPY, t(COPY_TO)).clicked() {
                start = Some(OperationKind::Copy);
            }
            if button(ui, true, icons::DOWNLOAD, t(EXPORT)).clicked() {
                self.export(cx, queue);
            }
            if danger_button(ui, can, icons::TRASH_2, t(DELETE_DOTS)).clicked() {
                start = Some(OperationKind::Delete);
            }
            if let Some(kind) = start {
                self.plan = Some(plan::Plan::new(kind, vhost, queue, self.selection()));
            }
        });
        ui.add_space(2.0);
    }

    /// Writes what is selected, or what is in the list, to a file, a message a line.
    fn export(&self, cx: &Cx<'_>, queue: &str) {
        let chosen = self
            .list
            .iter()
            .filter(|message| self.table.selection.is_empty() || self.table.selection.contains(&message.id));
        let name: String = queue
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
            .collect();
        cx.send(Intent::Export { name: format!("{name}.ndjson"), contents: dead::ndjson(chosen) });
    }

    fn inspector(&mut self, ui: &mut Ui, cx: &Cx<'_>, vhost: &str, queue: &str, one: &QueuedMessage) {
        beside(ui, "dead-message", |ui| {
            ui.horizontal(|ui| {
                let may = cx.may_write();
                let edit = button(ui, may, icons::PENCIL, t(EDIT_RESEND));
                door(ui.ctx(), Pane::Inspector, edit.id);
                if edit.clicked() {
                    self.editor = Some(Editor::new(Draft::of(one, vhost)));
                }
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if icon_button(ui, icons::INBOX, t(OPEN_QUEUE)).clicked() {
                        cx.go(Route::queue(vhost, queue));
                    }
                });
            });
            ui.add_space(space::S);
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                message(ui, cx, &mut self.view, vhost, queue, one);
            });
        });
    }
}

/// A group as a card one can pick.
fn group_card(
    ui: &mut Ui,
    icon: &str,
    colour: egui::Color32,
    name: &str,
    count: &str,
    below: &str,
    picked: bool,
) -> bool {
    let tk = tokens();
    let galley = ui.painter().layout_no_wrap(name.to_owned(), theme::strong(), tk.text);
    let second = if below.is_empty() { count.to_owned() } else { format!("{count} · {below}") };
    let second = ui.painter().layout_no_wrap(second, theme::small(), tk.text_dim);
    let width = galley.size().x.max(second.size().x) + 46.0;
    let (rect, response) = ui.allocate_exact_size(Vec2::new(width, 48.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, picked, format!("{name}: {count}")));
    let fill = if picked {
        tk.selected
    } else if response.hovered() {
        tk.hover
    } else {
        blend(tk.card, colour, 0.06)
    };
    let border = if picked || response.has_focus() { tk.accent } else { blend(tk.card, colour, 0.35) };
    ui.painter().rect(rect, theme::RADIUS, fill, Stroke::new(1.0, border), egui::StrokeKind::Inside);
    ui.painter().text(
        rect.left_center() + Vec2::new(12.0, 0.0),
        egui::Align2::LEFT_CENTER,
        icon,
        theme::icon(17.0),
        colour,
    );
    ui.painter().galley(rect.min + Vec2::new(36.0, 7.0), galley, tk.text);
    ui.painter().galley(rect.min + Vec2::new(36.0, 26.0), second, tk.text_dim);
    response.clicked()
}

const COLUMNS: &[TableColumn<QueuedMessage>] = &[
    column("message", FIRST_LINE, 240.0, Paint::Custom(first_line), |message| {
        Cell::text(Payload::of(message).first_line(200))
    }),
    column("died", DIED, 170.0, Paint::Date, |message| {
        deaths::deaths_of(message)
            .first()
            .filter(|death| death.time > 0)
            .map_or(Cell::Nothing, |death| Cell::count(death.time * 1_000))
    }),
    column("reason", REASON, 124.0, Paint::Custom(reason), |message| {
        deaths::deaths_of(message).first().map_or(Cell::Nothing, |death| Cell::text(death.reason.clone()))
    }),
    column("queue", DIED_IN, 120.0, Paint::Text, |message| {
        deaths::deaths_of(message).first().map_or(Cell::Nothing, |death| Cell::text(death.queue.clone()))
    }),
    column("key", KEY, 130.0, Paint::Mono, |message| {
        let deaths = deaths::deaths_of(message);
        let key = deaths.last().and_then(|death| death.routing_keys.first());
        Cell::text(key.unwrap_or(&message.routing_key).clone())
    }),
    column("deaths", TRIES, 64.0, Paint::Count, |message| {
        Cell::count(deaths::deaths_of(message).iter().map(|death| death.count).sum())
    }),
    column("size", SIZE, 72.0, Paint::Bytes, |message| Cell::count(message.payload_bytes)),
];

fn first_line(cell: &CellPainter<'_>, message: &QueuedMessage) {
    cell.text(&Payload::of(message).first_line(160), tokens().text);
}

fn reason(cell: &CellPainter<'_>, message: &QueuedMessage) {
    if let Some(death) = deaths::deaths_of(message).first() {
        let reason = deaths::Reason::read(&death.reason);
        cell.dot(reason_mark(Some(&reason)).1, &reason_word(&reason));
    }
}
