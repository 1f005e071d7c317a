//! The question before something that cannot be taken back.
//!
//! It names what is lost with its number, the button says the verb, the focus is on Cancel, and Enter never confirms.
//! Where a name has to be typed, the button waits for it.

use eframe::egui::{Id, Modal, RichText, ScrollArea, Ui};
use leveret_admin_model as model;

use super::Decision;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, card_frame, dim, form, named};

texts! {
    ON_BROKER = "On broker {}" | "服务器：{}";
    CANNOT_UNDO = "This cannot be undone." | "此操作无法撤销。";
    TYPE_NAME = "Type {} to go on" | "请输入 {} 以继续";
    AND_MORE = "and {} more" | "以及另外 {} 个";
}

/// Objects that are named; of the others the number is told.
const NAMED_MAX: usize = 8;

/// What the dialog remembers while it is open.
#[derive(Debug, Default)]
pub struct Danger {
    typed: String,
    is_open: bool,
}

impl Danger {
    pub fn ui(&mut self, ui: &Ui, cx: &Cx<'_>, danger: &model::Danger) -> Option<Decision> {
        let tk = tokens();
        let mut decision = None;
        let frame = card_frame().inner_margin(20).stroke((1.5, theme::blend(tk.card, tk.danger, 0.7)));
        let modal = Modal::new(Id::unique("danger")).frame(frame).show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            ui.horizontal(|ui| {
                ui.label(RichText::new(icons::TRIANGLE_ALERT).font(theme::icon(20.0)).color(tk.danger));
                ui.label(RichText::new(&danger.title).font(theme::strong_of(16.0)).color(tk.text));
            });
            ui.add_space(space::XS);
            ui.label(RichText::new(&danger.loss).color(tk.text));
            if !danger.objects.is_empty() {
                ui.add_space(space::XS);
                ScrollArea::vertical().max_height(150.0).show(ui, |ui| {
                    for name in danger.objects.iter().take(NAMED_MAX) {
                        ui.label(RichText::new(name).font(theme::mono()).color(tk.text_dim));
                    }
                    if danger.objects.len() > NAMED_MAX {
                        dim(ui, AND_MORE.with(&[&(danger.objects.len() - NAMED_MAX)]));
                    }
                });
            }
            ui.add_space(space::XS);
            let broker =
                cx.state.broker.as_ref().map(model::settings::SavedBroker::title).unwrap_or_default();
            dim(ui, format!("{}. {}", ON_BROKER.with(&[&broker]), t(CANNOT_UNDO)));
            let mut ready = true;
            if let Some(name) = &danger.type_name {
                ui.add_space(space::S);
                let prompt = TYPE_NAME.with(&[name]);
                ui.label(RichText::new(&prompt).color(tk.text));
                form::field(ui, &prompt, &mut self.typed, name, 420.0);
                ready = self.typed == *name;
            }
            ui.add_space(space::M);
            ui.horizontal(|ui| {
                let cancel = button(ui, true, "", t(CANCEL));
                if !self.is_open {
                    cancel.request_focus();
                    self.is_open = true;
                }
                if cancel.clicked() {
                    decision = Some(Decision::Refused);
                }
                let label = RichText::new(&danger.verb).font(theme::strong()).color(tk.on_danger);
                let yes = eframe::egui::Button::new(label).fill(tk.danger);
                let yes = named(ui.add_enabled(ready, yes), &danger.verb);
                // A click of the pointer or of a screen reader; Enter on it is Space's business.
                let by_enter = ui.input(|input| input.key_pressed(eframe::egui::Key::Enter));
                if yes.clicked() && !by_enter {
                    decision = Some(Decision::Confirmed);
                }
            });
        });
        if modal.should_close() {
            decision = Some(Decision::Refused);
        }
        decision
    }
}
