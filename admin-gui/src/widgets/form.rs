//! Fields one fills in: a name on the left, the field on the right, what is wrong below it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use eframe::egui::{self, RichText, TextEdit, Ui};
use leveret_admin_model::intent::Ticket;
use leveret_admin_model::{Action, Problem};
use serde_json::Value as Json;

use super::{icon_button, named, panel};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};

texts! {
    ARGUMENT_NAME = "Argument {}" | "参数 {}";
    ARGUMENT_VALUE = "Value of argument {}" | "参数 {} 的值";
    ADD_ARGUMENT = "Add an argument" | "添加参数";
    ADD_HEADER = "Add a header" | "添加消息头";
    REMOVE_ARGUMENT = "Remove argument {}" | "移除参数 {}";
    COMMON = "Common ones" | "常用参数";
}

/// Width of the names.
const NAMES: f32 = 132.0;

/// A row of a form. Fields inside that have no name get `name`.
pub fn row<R>(ui: &mut Ui, name: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    ui.horizontal(|ui| {
        let size = egui::vec2(NAMES, 28.0);
        let layout = egui::Layout::left_to_right(egui::Align::Center);
        ui.allocate_ui_with_layout(size, layout, |ui| {
            ui.set_min_size(size);
            ui.label(RichText::new(name).color(tokens().text_dim));
        });
        ui.name_inputs(name, contents)
    })
    .inner
}

/// A line of text with a name.
pub fn line(ui: &mut Ui, name: &str, text: &mut String, hint: &str) -> egui::Response {
    row(ui, name, |ui| field(ui, name, text, hint, ui.available_width().min(420.0)))
}

/// A field on its own.
pub fn field(ui: &mut Ui, name: &str, text: &mut String, hint: &str, width: f32) -> egui::Response {
    let edit = TextEdit::singleline(text)
        .hint_text(RichText::new(hint).color(tokens().text_faint))
        .desired_width(width)
        .margin(egui::Margin::symmetric(8, 5));
    named(ui.add(edit), name)
}

/// Where a password is typed; there is one on a screen at most.
pub fn password_id() -> egui::Id {
    egui::Id::unique("password")
}

pub fn password(ui: &mut Ui, name: &str, text: &mut String) -> egui::Response {
    row(ui, name, |ui| {
        let edit = TextEdit::singleline(text)
            .id(password_id())
            .password(true)
            .desired_width(ui.available_width().min(420.0))
            .margin(egui::Margin::symmetric(8, 5));
        named(ui.add(edit), name)
    })
}

/// One of a few.
pub fn choice<T: Copy + PartialEq>(ui: &mut Ui, name: &str, current: &mut T, choices: &[(T, &str)]) -> bool {
    let before = *current;
    let shown = choices.iter().find(|(choice, _)| *choice == before).map_or("", |(_, text)| *text);
    let response = egui::ComboBox::from_id_salt(name).selected_text(shown).width(200.0).show_ui(ui, |ui| {
        for (choice, text) in choices {
            ui.selectable_value(current, *choice, *text);
        }
    });
    named(response.response, name);
    *current != before
}

/// What is wrong with a field.
pub fn mistake(ui: &mut Ui, text: &str) {
    ui.horizontal(|ui| {
        ui.add_space(NAMES + space::S);
        ui.label(RichText::new(icons::CIRCLE_ALERT).font(theme::icon(13.0)).color(tokens().danger));
        ui.label(RichText::new(text).color(tokens().danger));
    });
}

/// Arguments of a declaration, as they are typed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments {
    rows: Vec<(String, String)>,
}

impl Arguments {
    /// As they are typed to be read as the same again.
    pub fn from_json(table: &serde_json::Map<String, Json>) -> Arguments {
        let typed = |value: &Json| leveret_admin_model::draft::typed(value);
        Arguments { rows: table.iter().map(|(name, value)| (name.clone(), typed(value))).collect() }
    }

    /// As JSON: what reads as a number or a truth value is one, anything else is text.
    pub fn json(&self) -> Json {
        let read = |text: &str| {
            let text = text.trim();
            match serde_json::from_str(text) {
                Ok(value @ (Json::Number(_) | Json::Bool(_) | Json::Object(_) | Json::Array(_))) => value,
                _ => Json::String(text.trim_matches('"').to_owned()),
            }
        };
        let named = self.rows.iter().filter(|(name, _)| !name.trim().is_empty());
        let map: BTreeMap<String, Json> =
            named.map(|(name, value)| (name.trim().to_owned(), read(value))).collect();
        Json::Object(map.into_iter().collect())
    }

    /// Draws them as headers of a message.
    pub fn headers_ui(&mut self, ui: &mut Ui) {
        self.rows_ui(ui, ADD_HEADER, &[]);
    }

    /// Draws them; `common` are offered with a click.
    pub fn ui(&mut self, ui: &mut Ui, common: &[&str]) {
        self.rows_ui(ui, ADD_ARGUMENT, common);
    }

    fn rows_ui(&mut self, ui: &mut Ui, add: crate::text::Text, common: &[&str]) {
        let mut removed = None;
        for (at, (name, value)) in self.rows.iter_mut().enumerate() {
            ui.horizontal(|ui| {
                field(ui, &ARGUMENT_NAME.with(&[&(at + 1)]), name, "x-…", 190.0);
                ui.label("=");
                field(ui, &ARGUMENT_VALUE.with(&[&(at + 1)]), value, "", 180.0);
                if icon_button(ui, icons::X, &REMOVE_ARGUMENT.with(&[&(at + 1)])).clicked() {
                    removed = Some(at);
                }
            });
        }
        if let Some(at) = removed {
            self.rows.remove(at);
        }
        ui.horizontal_wrapped(|ui| {
            if super::button(ui, true, icons::PLUS, t(add)).clicked() {
                self.rows.push(Default::default());
            }
            if !common.is_empty() {
                let menu = ui.menu_button(t(COMMON), |ui| {
                    for name in common {
                        if ui.button(*name).clicked() {
                            self.rows.push(((*name).to_owned(), String::new()));
                            ui.close();
                        }
                    }
                });
                named(menu.response, t(COMMON));
            }
        });
    }
}

/// What a form has sent. It stays open, with all that was typed, until the broker has taken it.
#[derive(Debug, Default)]
pub struct Sent {
    ticket: Option<Ticket>,
    problem: Option<Problem>,
}

impl Sent {
    pub fn send(&mut self, cx: &Cx<'_>, mut action: Action) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let ticket = Ticket(LAST.fetch_add(1, Ordering::Relaxed));
        action.ticket = Some(ticket);
        cx.act(action);
        *self = Sent { ticket: Some(ticket), problem: None };
    }

    /// True once it was taken. To be asked before the form is drawn.
    pub fn is_taken(&mut self, cx: &Cx<'_>) -> bool {
        let Some(ticket) = self.ticket.filter(|ticket| !cx.state.is_acting(*ticket)) else { return false };
        self.ticket = None;
        match cx.state.outcome(ticket) {
            Some(Ok(())) => true,
            Some(Err(problem)) => {
                self.problem = Some(problem.clone());
                false
            }
            None => false,
        }
    }

    /// [`buttons`], below why it was not taken; while it is on its way only Cancel can be pressed.
    pub fn buttons(&self, ui: &mut Ui, enabled: bool, icon: &str, done: &str) -> Option<bool> {
        if let Some(problem) = &self.problem {
            let (what, _) = panel::words(problem.kind);
            panel::note(ui, tokens().danger, icons::CIRCLE_ALERT, |ui| {
                ui.label(format!("{}: {}", t(what), problem.detail));
            });
        }
        let is_sending = self.ticket.is_some();
        buttons(ui, enabled && !is_sending, icon, if is_sending { t(SENDING) } else { done })
    }
}

/// Save and cancel, or what they are called here. `Some(true)` when it is to be done.
pub fn buttons(ui: &mut Ui, enabled: bool, icon: &str, done: &str) -> Option<bool> {
    let mut answer = None;
    ui.add_space(space::S);
    ui.horizontal(|ui| {
        if super::primary(ui, enabled, icon, done).clicked() {
            answer = Some(true);
        }
        if super::button(ui, true, "", t(CANCEL)).clicked() {
            answer = Some(false);
        }
    });
    // Ctrl+Enter, from any field.
    if enabled && is_submitted(ui) {
        answer = Some(true);
    }
    answer
}

/// True when Ctrl+Enter was pressed, however quickly: when a frame takes long, Ctrl may be up again at its end.
pub fn is_submitted(ui: &Ui) -> bool {
    let is_submit = |event: &egui::Event| matches!(event, egui::Event::Key { key: egui::Key::Enter, pressed: true, modifiers, .. } if modifiers.command);
    ui.input(|input| input.events.iter().any(is_submit))
}

/// A dialog over the screen. `None` while it is open; `Some(true)` when it is to be done.
pub fn dialog(
    ui: &Ui,
    id: &str,
    title: &str,
    width: f32,
    contents: impl FnOnce(&mut Ui) -> Option<bool>,
) -> Option<bool> {
    let modal = egui::Modal::new(egui::Id::unique(id)).frame(super::card_frame().inner_margin(20)).show(
        ui.ctx(),
        |ui| {
            ui.set_width(width);
            ui.horizontal(|ui| {
                ui.label(RichText::new(title).font(theme::strong_of(16.0)).color(tokens().text));
            });
            ui.add_space(space::S);
            contents(ui)
        },
    );
    if modal.should_close() { Some(false) } else { modal.inner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_type_that_their_text_reads_as() {
        let rows = [
            ("x-max-length", "10"),
            ("x-overflow", "reject-publish"),
            ("x-single-active-consumer", "true"),
            (" ", "y"),
            ("x-quoted", "\"10\""),
        ];
        let arguments =
            Arguments { rows: rows.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec() };
        let expected = serde_json::json!({
            "x-max-length": 10, "x-overflow": "reject-publish", "x-single-active-consumer": true, "x-quoted": "10",
        });
        assert_eq!(arguments.json(), expected);
    }
}
