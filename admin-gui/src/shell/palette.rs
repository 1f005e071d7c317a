//! Finding anything by a few letters: commands, places, and every object that is known.

use eframe::egui::{
    Align2, FontId, Id, Key, Modal, Modifiers, RichText, ScrollArea, Sense, TextEdit, Ui, Vec2, WidgetInfo,
    accesskit::Role, pos2, text::LayoutJob,
};
use leveret_admin_model::palette::{positions, rank};
use leveret_admin_model::{Intent, Route, query};

use super::commands::{self, Do};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{card_frame, faint, named};

texts! {
    HINT = "A command, a queue, an exchange, a connection…" | "命令、队列、交换机、连接……";
    NOTHING = "Nothing has these letters." | "没有匹配的内容。";
}

/// The palette, and what is typed in it.
#[derive(Debug, Default)]
pub struct Palette {
    open: bool,
    fresh: bool,
    text: String,
    at: usize,
    found: Vec<Entry>,
    /// What `found` was found for.
    found_for: Option<(String, u64, u64)>,
}

#[derive(Debug, Clone)]
struct Entry {
    icon: &'static str,
    name: String,
    kind: &'static str,
    key: String,
    act: Do,
}

const FOUND_MAX: usize = 50;
const LINE: f32 = 32.0;

impl Palette {
    pub fn toggle(&mut self) {
        *self = Palette { open: !self.open, fresh: true, ..Palette::default() };
    }

    /// Draws it; true when the list of keys was chosen.
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>) -> bool {
        if !self.open {
            return false;
        }
        let mut chosen = None;
        let frame = card_frame().inner_margin(10);
        let modal = Modal::new(Id::unique("palette")).frame(frame).show(ui.ctx(), |ui| {
            ui.set_width(560.0);
            let (down, up, enter) = ui.input_mut(|input| {
                (
                    input.consume_key(Modifiers::NONE, Key::ArrowDown),
                    input.consume_key(Modifiers::NONE, Key::ArrowUp),
                    input.consume_key(Modifiers::NONE, Key::Enter),
                )
            });
            let edit = TextEdit::singleline(&mut self.text)
                .hint_text(RichText::new(t(HINT)).color(tokens().text_faint))
                .font(FontId::proportional(15.0))
                .desired_width(f32::INFINITY)
                .margin(eframe::egui::Margin::symmetric(10, 8));
            let response = named(ui.add(edit), t(commands::FIND));
            if self.fresh {
                response.request_focus();
                self.fresh = false;
            }
            if response.changed() {
                self.at = 0;
            }
            self.find(cx);
            let last = self.found.len().saturating_sub(1);
            if down {
                self.at = (self.at + 1).min(last);
            }
            if up {
                self.at = self.at.saturating_sub(1);
            }
            ui.add_space(space::XS);
            if self.found.is_empty() {
                faint(ui, t(NOTHING));
            }
            ScrollArea::vertical().max_height(LINE * 11.0).auto_shrink([false, true]).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                for (at, entry) in self.found.iter().enumerate() {
                    let response = line(ui, entry, &self.text, at == self.at);
                    if at == self.at && (down || up) {
                        response.scroll_to_me(None);
                    }
                    if response.clicked() || (enter && at == self.at) {
                        chosen = Some(entry.act.clone());
                    }
                }
            });
        });
        let close = modal.should_close();
        let wants_help = matches!(chosen, Some(Do::Help));
        match chosen {
            Some(Do::Help) => self.open = false,
            Some(Do::Palette) | None => {}
            Some(Do::Send(intent)) => {
                cx.send(intent);
                self.open = false;
            }
        }
        if close {
            self.open = false;
        }
        wants_help
    }

    /// Finds again when what is typed or what is known changed.
    fn find(&mut self, cx: &Cx<'_>) {
        let queues = cx.read(&query::queues());
        let exchanges = cx.read(&query::exchanges());
        let made_for = (self.text.clone(), queues.version(), exchanges.version());
        if self.found_for.as_ref() == Some(&made_for) {
            return;
        }
        self.found_for = Some(made_for);
        let mut entries: Vec<Entry> = commands::all()
            .into_iter()
            .filter(|command| matches!(command.act, Do::Send(_)) && commands::can(&command.act, cx))
            .map(|command| Entry {
                icon: command.icon,
                name: t(command.name).to_owned(),
                kind: "",
                key: command
                    .key
                    .map_or(String::new(), |key| key.format(&eframe::egui::ModifierNames::NAMES, false)),
                act: command.act,
            })
            .collect();
        if !self.text.trim().is_empty() {
            let object = |icon, kind, name: &str, route| Entry {
                icon,
                name: name.to_owned(),
                kind,
                key: String::new(),
                act: Do::Send(Intent::Go(route)),
            };
            entries.extend(queues.or_default().iter().map(|queue| {
                object(icons::INBOX, t(QUEUE), &queue.name, Route::queue(&queue.vhost, &queue.name))
            }));
            entries.extend(exchanges.or_default().iter().filter(|exchange| !exchange.name.is_empty()).map(
                |exchange| {
                    object(
                        icons::SHUFFLE,
                        t(EXCHANGE),
                        &exchange.name,
                        Route::exchange(&exchange.vhost, &exchange.name),
                    )
                },
            ));
            let connections =
                cx.state.store.peek::<Vec<leveret_protocol::admin::Connection>>(&query::connections().key);
            entries.extend(connections.or_default().iter().map(|connection| {
                let name = connection.user_provided_name.as_deref().unwrap_or(&connection.name);
                object(icons::PLUG, t(CONNECTION), name, Route::Connection { name: connection.name.clone() })
            }));
        }
        self.found = rank(&self.text, entries, |entry| entry.name.clone(), FOUND_MAX);
        self.at = self.at.min(self.found.len().saturating_sub(1));
    }
}

fn line(ui: &mut Ui, entry: &Entry, typed: &str, selected: bool) -> eframe::egui::Response {
    let tk = tokens();
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), LINE), Sense::click());
    let name = format!("{} {}", entry.kind, entry.name);
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, selected, name.trim()));
    if !ui.is_rect_visible(rect) {
        return response;
    }
    if selected {
        ui.painter().rect_filled(rect, theme::RADIUS_SMALL, tk.selected);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, theme::RADIUS_SMALL, tk.hover);
    }
    let y = rect.center().y;
    ui.painter().text(
        pos2(rect.left() + 16.0, y),
        Align2::CENTER_CENTER,
        entry.icon,
        theme::icon(15.0),
        tk.text_dim,
    );
    let found = positions(typed, &entry.name).map(|(_, found)| found).unwrap_or_default();
    let mut job = LayoutJob::default();
    for (at, letter) in entry.name.chars().enumerate() {
        let (font, colour) =
            if found.contains(&at) { (theme::strong(), tk.accent) } else { (theme::body(), tk.text) };
        let mut buffer = [0; 4];
        job.append(letter.encode_utf8(&mut buffer), 0.0, eframe::egui::TextFormat::simple(font, colour));
    }
    let galley = ui.painter().layout_job(job);
    ui.painter().galley(pos2(rect.left() + 34.0, y - galley.size().y / 2.0), galley, tk.text);
    let right = if entry.key.is_empty() { entry.kind } else { &entry.key };
    ui.painter().text(
        pos2(rect.right() - 10.0, y),
        Align2::RIGHT_CENTER,
        right,
        theme::small(),
        tk.text_faint,
    );
    response
}
