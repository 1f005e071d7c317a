//! Beside a table: what was picked in it, without leaving the table.

use eframe::egui::{Align, Frame, Label, Layout, Margin, Panel, RichText, ScrollArea, Ui};

use super::{card, faint, icon_button};
use crate::shell::panes::{Pane, door};
use crate::text::{common::*, t};
use crate::theme::{self, icons, space, tokens};

/// With less room than this beside it, a table is worth more than what is shown of a row.
const ROOM_MIN: f32 = 940.0;
const WIDTH: f32 = 300.0;

/// Draws a card at the right of what comes next, for the one of several things that is looked at.
pub fn beside(ui: &mut Ui, id: &'static str, contents: impl FnOnce(&mut Ui)) {
    let width = (ui.available_width() * 0.36).clamp(280.0, 460.0);
    Panel::right(id).frame(panel_frame()).resizable(false).exact_size(width).show_separator_line(false).show(
        ui,
        |ui| {
            card(ui, |ui| {
                ui.set_min_size(ui.available_size() - theme::inner(4.0));
                contents(ui);
            });
        },
    );
}

fn panel_frame() -> Frame {
    Frame::new().fill(tokens().window).inner_margin(Margin { left: 14, right: 0, top: 2, bottom: 0 })
}

/// What it is about.
pub struct About<'a> {
    pub id: &'a str,
    pub icon: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
}

/// Draws it at the right, where there is room; true when it is to be closed.
pub fn inspector(ui: &mut Ui, about: &About<'_>, contents: impl FnOnce(&mut Ui)) -> bool {
    if ui.available_width() < ROOM_MIN {
        return false;
    }
    let tk = tokens();
    let mut closed = false;
    Panel::right(about.id.to_owned())
        .frame(panel_frame())
        .resizable(false)
        .exact_size(WIDTH)
        .show_separator_line(false)
        .show(ui, |ui| {
            card(ui, |ui| {
                ui.set_min_size(ui.available_size() - theme::inner(4.0));
                ui.horizontal(|ui| {
                    ui.label(RichText::new(about.icon).font(theme::icon(16.0)).color(tk.text_dim));
                    faint(ui, about.kind);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let close = icon_button(ui, icons::X, t(CLOSE));
                        door(ui.ctx(), Pane::Inspector, close.id);
                        closed = close.clicked();
                    });
                });
                let name = RichText::new(about.name).font(theme::strong_of(16.0)).color(tk.text);
                ui.add(Label::new(name).wrap());
                ui.add_space(space::S);
                ScrollArea::vertical().auto_shrink(false).show(ui, contents);
            });
        });
    closed
}
