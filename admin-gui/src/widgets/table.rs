//! A table that does not care how long its list is.
//!
//! Only the rows on the screen are drawn. It sorts by any column, filters by the language of
//! [`leveret_admin_model::filter`], remembers widths and chosen columns, selects with Shift, Ctrl and the keyboard, and
//! tells screen readers of its rows and cells. While the pointer is over the rows their order stays, so that nothing
//! moves away under a click.
//!
//! ```text
//!  toolbar   filter ……………… [what the screen adds] [columns]
//!  header    Name ↑ │ Ready │ …
//!  rows      virtual
//!  footer    12 of 10,000 queues · 3 selected
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{
    self, Align2, Color32, CursorIcon, FontId, Id, Key, Modifiers, Painter, Rect, RichText, ScrollArea,
    Sense, Stroke, Ui, UiBuilder, Vec2,
    accesskit::{Role, SortDirection},
    pos2,
};
use leveret_admin_model::filter::{Cell, Column, FilterProblem};
use leveret_admin_model::index::{Index, Pick, Selection, Sort};
use leveret_admin_model::settings::TableSettings;
use leveret_admin_model::{Intent, format};

use super::{icon_button, panel};
use crate::cx::Cx;
use crate::shell::panes::{Pane, door};
use crate::text::{self, Text, common::*, t};
use crate::texts;
use crate::theme::{self, ROW, icons, space, tokens};

texts! {
    FILTER = "Filter" | "筛选";
    COLUMNS = "Columns" | "列";
    RESET_COLUMNS = "As they were" | "恢复默认";
    COUNT = "{} {}" | "{} 个{}";
    COUNT_OF = "{} of {} {}" | "{} / {} 个{}";
    SELECTED = "{} selected" | "已选 {} 个";
    NO_COLUMN = "There is no column “{}”." | "没有名为“{}”的列。";
    DID_YOU_MEAN = "Did you mean “{}”?" | "是否想用“{}”？";
    NO_NUMBER = "“{}” is not a number." | "“{}”不是数字。";
    FILTER_HELP = "Words are looked for in the name. name:orders* · ready>1000 · consumers=0 · -state:idle" | "输入的词在名称中查找。name:orders* · ready>1000 · consumers=0 · -state:idle";
    ORDER_HELD = "The order is kept while the pointer is here." | "指针停留时保持当前顺序。";
}

/// How a column looks.
pub struct Look<R> {
    pub title: Text,
    pub width: f32,
    /// Shown unless chosen otherwise.
    pub shown: bool,
    pub paint: Paint<R>,
}

/// What is drawn in a cell.
pub enum Paint<R> {
    Text,
    /// What opens the row.
    Link,
    Mono,
    /// `1,234`.
    Count,
    /// `12.3k`, and nothing when it is zero.
    Rate,
    Bytes,
    /// A moment: milliseconds since 1970.
    Date,
    /// How long ago a moment was.
    Age,
    Custom(fn(&CellPainter<'_>, &R)),
}

pub type TableColumn<R> = Column<R, Look<R>>;

/// A column of a table.
pub const fn column<R>(
    key: &'static str,
    title: Text,
    width: f32,
    paint: Paint<R>,
    value: fn(&R) -> Cell<'_>,
) -> TableColumn<R> {
    Column { key, aliases: &[], value, look: Look { title, width, shown: true, paint } }
}

/// A column that goes by other names in filters, too.
pub const fn aka<R>(mut column: TableColumn<R>, aliases: &'static [&'static str]) -> TableColumn<R> {
    column.aliases = aliases;
    column
}

/// A column that is not shown unless chosen.
pub const fn hidden<R>(mut column: TableColumn<R>) -> TableColumn<R> {
    column.look.shown = false;
    column
}

/// Where a cell is drawn.
pub struct CellPainter<'a> {
    pub painter: &'a Painter,
    pub rect: Rect,
    pub cx: &'a Cx<'a>,
    /// There was no room for all of it.
    is_cut: std::cell::Cell<bool>,
}

impl CellPainter<'_> {
    /// Text at the left, cut off where the cell ends.
    pub fn text(&self, text: &str, colour: Color32) {
        self.text_in(self.rect, text, theme::body(), colour);
    }

    fn text_in(&self, rect: Rect, text: &str, font: FontId, colour: Color32) -> f32 {
        let galley = super::elided(self.painter, text, font, colour, rect.width());
        if galley.elided {
            self.is_cut.set(true);
        }
        let width = galley.size().x.min(rect.width());
        self.painter.galley(pos2(rect.left(), rect.center().y - galley.size().y / 2.0), galley, colour);
        width
    }

    /// A dot in a colour, and a word.
    pub fn dot(&self, colour: Color32, text: &str) {
        let centre = pos2(self.rect.left() + 4.0, self.rect.center().y);
        self.painter.circle_filled(centre, 4.0, colour);
        let beside = self.rect.with_min_x(self.rect.left() + 14.0);
        self.text_in(beside, text, theme::body(), tokens().text_dim);
    }

    /// Short words in boxes, from the left.
    pub fn badges<'t>(&self, badges: impl IntoIterator<Item = (&'t str, Color32)>) {
        let mut x = self.rect.left();
        for (text, colour) in badges {
            let galley = self.painter.layout_no_wrap(text.to_owned(), theme::strong_of(10.0), colour);
            let size = galley.size() + Vec2::new(8.0, 3.0);
            if x + size.x > self.rect.right() {
                break;
            }
            let rect = Rect::from_min_size(pos2(x, self.rect.center().y - size.y / 2.0), size);
            self.painter.rect_filled(rect, 3.0, theme::blend(tokens().card, colour, 0.16));
            self.painter.galley(rect.min + Vec2::new(4.0, 1.5), galley, colour);
            x += size.x + 4.0;
        }
    }
}

/// What a table remembers from frame to frame.
#[derive(Debug, Default)]
pub struct TableState {
    pub filter: String,
    pub selection: Selection<String>,
    index: Index,
    /// The version of the list that the index is of.
    version: u64,
    /// Columns that the screen shows although they are not usually, because they tell rows apart.
    pub also: &'static [&'static str],
    /// Widths while they are dragged.
    widths: BTreeMap<&'static str, f32>,
    held: bool,
    scroll_to: Option<usize>,
}

/// What happened to a table.
#[derive(Debug, Default)]
pub struct TableResponse {
    /// Position in the list of a row that is to be opened.
    pub opened: Option<usize>,
    /// The selected rows are to be deleted.
    pub delete: bool,
}

/// A table over a list.
pub struct Table<'a, R> {
    /// Names it in the settings.
    pub id: &'static str,
    /// What the rows are: "queues".
    pub noun: Text,
    pub columns: &'a [TableColumn<R>],
    pub rows: &'a Arc<Vec<R>>,
    /// Rises when the rows change.
    pub version: u64,
    /// Names a row for good.
    pub key: fn(&R) -> String,
    /// Which rows belong to what is looked at, and a name for that choice.
    pub scope: (&'a str, &'a dyn Fn(&R) -> bool),
    pub sort: Sort,
    /// Room left below.
    pub below: f32,
}

impl<R> Table<'_, R> {
    /// Draws it over what is left of `ui`.
    pub fn show(
        self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        toolbar: impl FnOnce(&mut Ui, &mut TableState),
    ) -> TableResponse {
        let settings = cx.state.settings.tables.get(self.id).cloned().unwrap_or_default();
        let sort = self.sort_of(&settings);
        let mut answer = TableResponse::default();
        self.toolbar(ui, cx, state, &settings, toolbar);
        self.refresh_index(state, sort);

        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|at| is_shown(&self.columns[*at], &settings, state.also))
            .collect();
        let outer = ui.available_rect_before_wrap();
        let footer = 24.0;
        let area = Rect::from_min_max(outer.min, pos2(outer.right(), outer.bottom() - footer - self.below));
        ui.scope_builder(UiBuilder::new().max_rect(area), |ui| {
            super::card_frame().inner_margin(0).show(ui, |ui| {
                ui.set_min_size(area.size() - Vec2::splat(2.0));
                ui.set_max_size(area.size() - Vec2::splat(2.0));
                let widths = self.widths(&shown, &settings, state, ui.available_width());
                ScrollArea::horizontal().id_salt((self.id, "across")).auto_shrink(false).show(ui, |ui| {
                    ui.spacing_mut().item_spacing = Vec2::ZERO;
                    ui.set_min_width(widths.iter().sum());
                    let table =
                        UiBuilder::new().accessibility_role(Role::Table).accessibility_label(t(self.noun));
                    ui.scope_builder(table, |ui| {
                        ui.ctx().accesskit_node_builder(ui.unique_id(), |node| {
                            node.set_row_count(state.index.len());
                            node.set_column_count(shown.len());
                        });
                        self.header(ui, cx, state, &settings, &shown, &widths, sort);
                        self.body(ui, cx, state, &shown, &widths, &mut answer);
                    });
                });
            });
        });
        ui.allocate_rect(area, Sense::hover());
        self.footer(ui, cx, state);
        answer
    }

    fn sort_of(&self, settings: &TableSettings) -> Sort {
        let Some(saved) = &settings.sort else { return self.sort };
        let (name, descending) = match saved.strip_prefix('-') {
            Some(name) => (name, true),
            None => (saved.as_str(), false),
        };
        match self.columns.iter().find(|column| column.key == name) {
            Some(column) => Sort { key: column.key, descending },
            None => self.sort,
        }
    }

    fn refresh_index(&self, state: &mut TableState, sort: Sort) {
        // The order is kept under the pointer, unless rows came or went.
        let version =
            if state.held && state.index_fits(self.rows.len()) { state.version } else { self.version };
        let (scope, in_scope) = self.scope;
        state.index.update(self.rows, version, self.columns, scope, in_scope, &state.filter, sort);
        state.version = version;
    }

    fn toolbar(
        &self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        settings: &TableSettings,
        more: impl FnOnce(&mut Ui, &mut TableState),
    ) {
        ui.horizontal(|ui| {
            let id = Id::unique((self.id, "filter"));
            let width = (ui.available_width() * 0.42).clamp(180.0, 460.0);
            let edit = egui::TextEdit::singleline(&mut state.filter)
                .id(id)
                .hint_text(
                    RichText::new(format!("{}  {}", icons::SEARCH, t(FILTER))).color(tokens().text_faint),
                )
                .desired_width(width)
                .margin(egui::Margin::symmetric(8, 6));
            let response = super::named(ui.add(edit), t(FILTER)).on_hover_text(t(FILTER_HELP));
            if response.has_focus() && ui.input(|input| input.key_pressed(Key::Escape)) {
                state.filter.clear();
                response.surrender_focus();
            }
            let typing = ui.ctx().egui_wants_keyboard_input();
            let wants_filter = ui.input_mut(|input| {
                input.consume_key(Modifiers::COMMAND, Key::F)
                    || (!typing && input.consume_key(Modifiers::NONE, Key::Slash))
            });
            if wants_filter {
                response.request_focus();
            }
            if !state.filter.is_empty() && icon_button(ui, icons::X, t(CLEAR_FILTER)).clicked() {
                state.filter.clear();
            }
            more(ui, state);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let button = icon_button(ui, icons::COLUMNS_3, t(COLUMNS));
                egui::Popup::menu(&button)
                    .close_behavior(egui::PopupCloseBehavior::CloseOnClickOutside)
                    .show(|ui| self.chooser(ui, cx, settings, state.also));
            });
        });
        if let Some(problem) = state.index.problem() {
            ui.horizontal(|ui| {
                let text = match problem {
                    FilterProblem::NoColumn { name, meant: Some(meant) } => {
                        format!("{} {}", NO_COLUMN.with(&[name]), DID_YOU_MEAN.with(&[meant]))
                    }
                    FilterProblem::NoColumn { name, meant: None } => NO_COLUMN.with(&[name]),
                    FilterProblem::NoNumber { value } => NO_NUMBER.with(&[value]),
                };
                ui.label(RichText::new(icons::CIRCLE_ALERT).font(theme::icon(13.0)).color(tokens().warning));
                ui.label(RichText::new(text).color(tokens().warning));
            });
        }
    }

    fn chooser(&self, ui: &mut Ui, cx: &Cx<'_>, settings: &TableSettings, also: &[&str]) {
        ui.set_min_width(180.0);
        for column in self.columns.iter().skip(1) {
            let mut shown = is_shown(column, settings, also);
            if ui.checkbox(&mut shown, t(column.look.title)).changed() {
                let mut settings = settings.clone();
                settings.hidden.retain(|key| key != column.key);
                settings.shown.retain(|key| key != column.key);
                if shown != (column.look.shown || also.contains(&column.key)) {
                    let list = if shown { &mut settings.shown } else { &mut settings.hidden };
                    list.push(column.key.to_owned());
                }
                self.save(cx, settings);
            }
        }
        ui.separator();
        if ui.button(t(RESET_COLUMNS)).clicked() {
            self.save(cx, TableSettings { sort: settings.sort.clone(), ..TableSettings::default() });
            ui.close();
        }
    }

    fn save(&self, cx: &Cx<'_>, table: TableSettings) {
        let mut settings = cx.state.settings.clone();
        settings.tables.insert(self.id.to_owned(), table);
        cx.send(Intent::Settings(Box::new(settings)));
    }

    /// Widths of the shown columns; the first takes what is left.
    fn widths(
        &self,
        shown: &[usize],
        settings: &TableSettings,
        state: &TableState,
        available: f32,
    ) -> Vec<f32> {
        let mut widths: Vec<f32> = shown
            .iter()
            .map(|at| {
                let column = &self.columns[*at];
                let saved = settings.widths.get(column.key).copied();
                state
                    .widths
                    .get(column.key)
                    .copied()
                    .or(saved)
                    .unwrap_or(column.look.width)
                    .clamp(40.0, 1_200.0)
            })
            .collect();
        let left = available - widths.iter().sum::<f32>();
        if let Some(first) = widths.first_mut().filter(|_| left > 0.0) {
            *first += left;
        }
        widths
    }

    #[expect(clippy::too_many_arguments, reason = "parts of one table")]
    fn header(
        &self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        settings: &TableSettings,
        shown: &[usize],
        widths: &[f32],
        sort: Sort,
    ) {
        let tk = tokens();
        let (rect, _) = ui.allocate_exact_size(Vec2::new(widths.iter().sum(), ROW), Sense::hover());
        ui.painter().rect_filled(
            rect,
            egui::CornerRadius { nw: theme::RADIUS, ne: theme::RADIUS, sw: 0, se: 0 },
            tk.panel,
        );
        ui.painter().hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, tk.border));
        let mut x = rect.left();
        for (at, width) in shown.iter().zip(widths) {
            let column = &self.columns[*at];
            let cell = Rect::from_min_size(pos2(x, rect.top()), Vec2::new(*width, ROW));
            x += width;
            let id = ui.scope_id().with((self.id, column.key, "head"));
            let response = ui.interact(cell, id, Sense::click()).on_hover_cursor(CursorIcon::PointingHand);
            let sorted = sort.key == column.key;
            let title = t(column.look.title);
            response.widget_info(|| egui::WidgetInfo::labeled(Role::ColumnHeader, true, title));
            if sorted {
                let direction =
                    if sort.descending { SortDirection::Descending } else { SortDirection::Ascending };
                ui.ctx().accesskit_node_builder(response.id, |node| node.set_sort_direction(direction));
            }
            if response.clicked() {
                let descending = if sorted { !sort.descending } else { is_number(&column.look.paint) };
                let sort = format!("{}{}", if descending { "-" } else { "" }, column.key);
                self.save(cx, TableSettings { sort: Some(sort), ..settings.clone() });
                state.held = false;
            }
            let colour = if sorted || response.hovered() { tk.text } else { tk.text_dim };
            let inner = cell.shrink2(Vec2::new(10.0, 0.0));
            let painter = ui.painter().with_clip_rect(inner.expand(2.0).intersect(ui.clip_rect()));
            let font = theme::strong_of(11.5);
            let arrow = if sort.descending { icons::ARROW_DOWN } else { icons::ARROW_UP };
            if is_number(&column.look.paint) {
                let text = painter.text(inner.right_center(), Align2::RIGHT_CENTER, title, font, colour);
                if sorted {
                    let at = pos2(text.left() - 3.0, inner.center().y);
                    painter.text(at, Align2::RIGHT_CENTER, arrow, theme::icon(12.0), tk.accent);
                }
            } else {
                let text = painter.text(inner.left_center(), Align2::LEFT_CENTER, title, font, colour);
                if sorted {
                    let at = pos2(text.right() + 3.0, inner.center().y);
                    painter.text(at, Align2::LEFT_CENTER, arrow, theme::icon(12.0), tk.accent);
                }
            }
            if response.has_focus() {
                ui.painter().rect_stroke(
                    cell.shrink(2.0),
                    3.0,
                    Stroke::new(1.5, tk.accent),
                    egui::StrokeKind::Inside,
                );
            }
            self.resize(ui, cx, state, settings, column, cell, *width);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "parts of one table")]
    fn resize(
        &self,
        ui: &Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        settings: &TableSettings,
        column: &TableColumn<R>,
        cell: Rect,
        width: f32,
    ) {
        let edge =
            Rect::from_center_size(pos2(cell.right() - 2.0, cell.center().y), Vec2::new(7.0, cell.height()));
        let id = ui.scope_id().with((self.id, column.key, "edge"));
        let response =
            ui.interact(edge, id, Sense::drag()).on_hover_and_drag_cursor(CursorIcon::ResizeHorizontal);
        let active = response.hovered() || response.dragged();
        let colour = if active { tokens().accent } else { tokens().border };
        ui.painter().vline(cell.right() - 1.0, cell.y_range().shrink(7.0), Stroke::new(1.0, colour));
        if response.dragged() {
            let width = (width + response.drag_delta().x).clamp(40.0, 1_200.0);
            state.widths.insert(column.key, width);
        }
        if response.drag_stopped()
            && let Some(width) = state.widths.remove(column.key)
        {
            let mut settings = settings.clone();
            settings.widths.insert(column.key.to_owned(), width.round());
            self.save(cx, settings);
        }
    }

    fn body(
        &self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        shown: &[usize],
        widths: &[f32],
        answer: &mut TableResponse,
    ) {
        let count = state.index.len();
        let id = Id::unique((self.id, "rows"));
        let body = ui.available_rect_before_wrap();
        // Below the rows, so that they get the clicks; keys come here.
        let table = ui.interact(body, id, Sense::focusable_noninteractive());
        door(ui.ctx(), Pane::Screen, id);
        ui.ctx().accesskit_node_builder(id, |node| {
            node.set_role(Role::RowGroup);
            node.set_label(t(self.noun));
        });
        if count == 0 && !state.filter.is_empty() {
            panel::empty(ui, icons::LIST_FILTER, &NOTHING_MATCHES.with(&[&state.filter]), "", |ui| {
                if super::button(ui, true, icons::X, t(CLEAR_FILTER)).clicked() {
                    state.filter.clear();
                }
            });
            return;
        }
        let keys_are_ours = table.has_focus() || ui.memory(|memory| memory.focused().is_none());
        if keys_are_ours
            && !egui::Popup::is_any_open(ui.ctx())
            && ui.memory(|memory| memory.top_modal_layer().is_none())
        {
            self.keys(ui, cx, state, answer, body.height());
        }
        let mut area = ScrollArea::vertical().id_salt((self.id, "down")).auto_shrink(false);
        if let Some(row) = state.scroll_to.take() {
            let top = row as f32 * ROW;
            let offset: f32 = ui.data(|data| data.get_temp(id.with("offset"))).unwrap_or(0.0);
            let visible = body.height() - ROW;
            if top < offset {
                area = area.vertical_scroll_offset(top);
            } else if top > offset + visible {
                area = area.vertical_scroll_offset(top - visible);
            }
        }
        let output = area.show_rows(ui, ROW, count, |ui, range| {
            for row in range {
                let Some(position) = state.index.rows().get(row).map(|at| *at as usize) else { break };
                let Some(item) = self.rows.get(position) else { break };
                self.row(ui, cx, state, (row, position, item), shown, widths, answer);
            }
        });
        ui.data_mut(|data| data.insert_temp(id.with("offset"), output.state.clamped_offset().y));
        let over =
            ui.input(|input| input.pointer.hover_pos()).is_some_and(|at| output.inner_rect.contains(at));
        state.held = over && count > 0;
    }

    #[expect(clippy::too_many_arguments, reason = "parts of one table")]
    fn row(
        &self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        state: &mut TableState,
        (row, position, item): (usize, usize, &R),
        shown: &[usize],
        widths: &[f32],
        answer: &mut TableResponse,
    ) {
        let tk = tokens();
        let key = (self.key)(item);
        let (_, rect) = ui.allocate_space(Vec2::new(widths.iter().sum(), ROW));
        let builder = UiBuilder::new()
            .scope_id(Id::unique((self.id, "row", &key)))
            .max_rect(rect)
            .sense(Sense::click())
            .accessibility_role(Role::Row);
        let mut row_ui = ui.new_child(builder);
        // Cells are drawn, not laid out: without this the row is nowhere, and no click finds it.
        row_ui.expand_to_include_rect(rect);
        let response = row_ui.response();
        let selected = state.selection.contains(&key);
        let is_cursor = state.selection.cursor() == Some(&key);
        row_ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_row_index(row);
            node.set_selected(selected);
        });
        let fill = if selected {
            Some(tk.selected)
        } else if response.hovered() {
            Some(tk.hover)
        } else {
            (row % 2 == 1).then_some(tk.stripe)
        };
        if let Some(fill) = fill {
            row_ui.painter().rect_filled(rect, 0.0, fill);
        }
        if is_cursor && !state.selection.is_empty() {
            row_ui.painter().vline(rect.left() + 1.0, rect.y_range(), Stroke::new(2.0, tk.accent));
        }
        let mut x = rect.left();
        for (place, (at, width)) in shown.iter().zip(widths).enumerate() {
            let column = &self.columns[*at];
            let cell = Rect::from_min_size(pos2(x, rect.top()), Vec2::new(*width, ROW));
            x += width;
            let inner = cell.shrink2(Vec2::new(10.0, 0.0));
            if self.cell(&mut row_ui, cx, column, item, inner, (row, place)) {
                answer.opened = Some(position);
            }
        }
        if response.double_clicked() {
            answer.opened = Some(position);
        } else if response.clicked() {
            let pick = row_ui.input(|input| match input.modifiers {
                modifiers if modifiers.shift => Pick::Range,
                modifiers if modifiers.command => Pick::Toggle,
                _ => Pick::One,
            });
            self.pick(state, key, pick);
        }
    }

    /// Draws a cell; true when what it names is to be opened.
    fn cell(
        &self,
        ui: &mut Ui,
        cx: &Cx<'_>,
        column: &TableColumn<R>,
        item: &R,
        inner: Rect,
        (row, place): (usize, usize),
    ) -> bool {
        let tk = tokens();
        let value = (column.value)(item);
        let id = ui.scope_id().with(column.key);
        let is_link = matches!(column.look.paint, Paint::Link);
        let painter = ui.painter().with_clip_rect(inner.expand(3.0).intersect(ui.clip_rect()));
        let cell = CellPainter { painter: &painter, rect: inner, cx, is_cut: Default::default() };
        let left = |text: &str, font, colour| cell.text_in(inner, text, font, colour);
        let right = |text: &str, colour| {
            painter.text(inner.right_center(), Align2::RIGHT_CENTER, text, theme::body(), colour)
        };
        let zero = |number: f64| if number == 0.0 { tk.text_faint } else { tk.text };
        let mut shown = String::new();
        let mut area = inner;
        match (&column.look.paint, &value) {
            (Paint::Custom(paint), _) => {
                paint(&cell, item);
                shown = value.to_string();
            }
            (_, Cell::Nothing) => {}
            (Paint::Link, value) => {
                shown = value.to_string();
                if shown.is_empty() {
                    t(DEFAULT_EXCHANGE).clone_into(&mut shown);
                }
                area.set_width(left(&shown, theme::body(), tk.accent));
            }
            (Paint::Count, Cell::Number(number)) => {
                shown = format::count(number.max(0.0) as u64);
                right(&shown, zero(*number));
            }
            (Paint::Rate, Cell::Number(number)) => {
                shown = format::rate(*number);
                right(&shown, zero(if number.abs() < 0.05 { 0.0 } else { *number }));
            }
            (Paint::Bytes, Cell::Number(number)) => {
                shown = format::bytes(*number);
                right(&shown, zero(*number));
            }
            (Paint::Date, Cell::Number(number)) => {
                shown = format::date(number.max(0.0) as u64);
                left(&shown, theme::body(), tk.text_dim);
            }
            (Paint::Age, Cell::Number(number)) => {
                let age = cx.now().saturating_sub(number.max(0.0) as u64);
                shown = format::duration(age / 1_000 * 1_000);
                left(&shown, theme::body(), tk.text_dim);
            }
            (Paint::Mono, value) => {
                shown = value.to_string();
                left(&shown, theme::mono(), tk.text);
            }
            (_, value) => {
                shown = value.to_string();
                left(&shown, theme::body(), tk.text_dim);
            }
        }
        let mut opened = false;
        let response = if is_link {
            let builder = UiBuilder::new().scope_id(id).max_rect(inner);
            let named = builder.accessibility_role(Role::Cell).accessibility_label(&shown);
            let mut contents = ui.new_child(named);
            contents.expand_to_include_rect(inner);
            opened = link(&contents, &painter, area, &shown);
            contents.response()
        } else {
            let response = ui.interact(inner, id, Sense::hover());
            response.widget_info(|| egui::WidgetInfo::labeled(Role::Cell, true, &shown));
            response
        };
        ui.ctx().accesskit_node_builder(response.id, |node| {
            node.set_row_index(row);
            node.set_column_index(place);
        });
        if cell.is_cut.get() {
            response.on_hover_text(shown);
        }
        opened
    }

    fn pick(&self, state: &mut TableState, key: String, pick: Pick) {
        let TableState { selection, index, .. } = state;
        let key_at = |row: usize| {
            index.rows().get(row).map(|at| (self.key)(&self.rows[*at as usize])).unwrap_or_default()
        };
        let position =
            |key: &String| index.rows().iter().position(|at| (self.key)(&self.rows[*at as usize]) == *key);
        selection.pick(key, pick, position, key_at);
    }

    fn keys(&self, ui: &Ui, cx: &Cx<'_>, state: &mut TableState, answer: &mut TableResponse, height: f32) {
        let count = state.index.len();
        if count == 0 {
            return;
        }
        let key_of = |state: &TableState, row: usize| {
            state.index.rows().get(row).map(|at| (self.key)(&self.rows[*at as usize])).unwrap_or_default()
        };
        let current = |state: &TableState| {
            let cursor = state.selection.cursor()?;
            state.index.rows().iter().position(|at| (self.key)(&self.rows[*at as usize]) == *cursor)
        };
        let page = (height / ROW).max(2.0) as usize - 1;
        let keys = [Key::ArrowDown, Key::ArrowUp, Key::PageDown, Key::PageUp, Key::Home, Key::End];
        for key in keys {
            let (plain, shift) = ui.input_mut(|input| {
                let shift = input.consume_key(Modifiers::SHIFT, key);
                (input.consume_key(Modifiers::NONE, key), shift)
            });
            if !plain && !shift {
                continue;
            }
            let at = current(state);
            let row = match (key, at) {
                (Key::Home, _) | (_, None) => 0,
                (Key::End, _) => count - 1,
                (Key::ArrowDown, Some(at)) => at + 1,
                (Key::ArrowUp, Some(at)) => at.saturating_sub(1),
                (Key::PageDown, Some(at)) => at + page,
                (_, Some(at)) => at.saturating_sub(page),
            };
            let row = row.min(count - 1);
            let key = key_of(state, row);
            self.pick(state, key, if shift { Pick::Range } else { Pick::One });
            state.scroll_to = Some(row);
            return;
        }
        if let Some(row) = current(state)
            && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Space))
        {
            let key = key_of(state, row);
            self.pick(state, key, Pick::Toggle);
        }
        if ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::A)) {
            let keys: Vec<String> = (0..count).map(|row| key_of(state, row)).collect();
            state.selection.select_all(keys.into_iter());
        }
        if ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Enter)) {
            answer.opened = current(state).and_then(|row| state.index.rows().get(row)).map(|at| *at as usize);
        }
        if !state.selection.is_empty() {
            if ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape)) {
                state.selection.clear();
            }
            if ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Delete)) {
                answer.delete = true;
            }
            if ui.input(|input| input.events.iter().any(|event| matches!(event, egui::Event::Copy))) {
                cx.copy(self.tsv(state));
            }
        }
    }

    /// The selected rows, with a tab between cells.
    fn tsv(&self, state: &TableState) -> String {
        let titles: Vec<&str> = self.columns.iter().map(|column| t(column.look.title)).collect();
        let mut text = titles.join("\t");
        for at in state.index.rows() {
            let item = &self.rows[*at as usize];
            if state.selection.contains(&(self.key)(item)) {
                let cells: Vec<String> = self
                    .columns
                    .iter()
                    .map(|column| (column.value)(item).to_string().replace('\t', " "))
                    .collect();
                text.push('\n');
                text.push_str(&cells.join("\t"));
            }
        }
        text
    }

    fn footer(&self, ui: &mut Ui, _cx: &Cx<'_>, state: &TableState) {
        ui.horizontal(|ui| {
            let (shown, total) = (state.index.len(), self.rows.len());
            let total_shown = if state.filter.is_empty() { shown } else { total };
            let noun = noun(self.noun, total_shown);
            let count = if shown == total || state.filter.is_empty() {
                COUNT.with(&[&format::count(shown as u64), &noun])
            } else {
                COUNT_OF.with(&[&format::count(shown as u64), &format::count(total as u64), &noun])
            };
            let small = |text: String| RichText::new(text).font(theme::small()).color(tokens().text_faint);
            ui.label(small(count));
            if !state.selection.is_empty() {
                ui.label(small("·".to_owned()));
                ui.label(small(SELECTED.with(&[&state.selection.len()])).color(tokens().text));
            }
            if state.held && state.version != self.version {
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    ui.label(small(t(ORDER_HELD).to_owned()));
                    ui.add_space(space::XS);
                });
            }
        });
    }
}

impl TableState {
    /// True when every position of the index exists in a list of that length.
    fn index_fits(&self, length: usize) -> bool {
        self.index.total() == length
    }
}

fn is_shown<R>(column: &TableColumn<R>, settings: &TableSettings, also: &[&str]) -> bool {
    if column.look.shown || also.contains(&column.key) {
        !settings.hidden.iter().any(|key| key == column.key)
    } else {
        settings.shown.iter().any(|key| key == column.key)
    }
}

/// What so many are called: "1 queue", "2 policies".
fn noun(plural: Text, count: usize) -> String {
    let plural = t(plural).to_lowercase();
    match (text::language(), count) {
        (text::Language::English, 1) => match plural.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => plural.strip_suffix('s').unwrap_or(&plural).to_owned(),
        },
        _ => plural,
    }
}

/// A link in a cell; true when it was clicked. It goes by the name of its cell, `ui`.
fn link(ui: &Ui, painter: &Painter, area: Rect, name: &str) -> bool {
    let tk = tokens();
    let response = ui.interact(area, ui.scope_id().with("link"), Sense::click());
    response.widget_info(|| egui::WidgetInfo::labeled(Role::Link, true, name));
    let response = response.labelled_by(ui.unique_id());
    if response.hovered() {
        painter.hline(area.x_range(), area.center().y + 8.0, Stroke::new(1.0, tk.accent));
        ui.ctx().set_cursor_icon(CursorIcon::PointingHand);
    }
    if response.has_focus() {
        painter.rect_stroke(area, 3.0, Stroke::new(1.5, tk.accent), egui::StrokeKind::Outside);
    }
    response.clicked()
}

fn is_number<R>(paint: &Paint<R>) -> bool {
    matches!(paint, Paint::Count | Paint::Rate | Paint::Bytes)
}
