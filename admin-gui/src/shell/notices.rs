//! What was said: for a while at the lower right, and for good in a list.

use eframe::egui::{Align2, Area, Id, Order, RichText, ScrollArea, Ui, UiBuilder, Vec2, accesskit::Role};
use leveret_admin_model::{Intent, Millis, Notice, Severity, format};

use super::Shell;
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};
use crate::widgets::{button, card_frame, faint, icon_button};

texts! {
    TITLE = "Notices" | "通知";
    NOTHING = "Nothing was said yet." | "暂无通知。";
}

/// How long a notice stays over the screen.
const SHOWN_MS: Millis = 6_000;
const ERROR_SHOWN_MS: Millis = 20_000;

pub fn toasts(ui: &Ui, cx: &Cx<'_>) {
    let shown: Vec<&Notice> =
        cx.state.notices.iter().rev().take(4).filter(|notice| left(notice, cx.now()) > 0).collect();
    let Some(next) = shown.iter().map(|notice| left(notice, cx.now())).min() else { return };
    ui.ctx().request_repaint_after(std::time::Duration::from_millis(next));
    Area::new(Id::unique("toasts"))
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_BOTTOM, Vec2::new(-16.0, -16.0))
        .show(ui.ctx(), |ui| {
            ui.set_width(380.0);
            for notice in shown.iter().rev() {
                // Read out by screen readers as soon as it is there.
                let builder =
                    UiBuilder::new().accessibility_role(Role::Alert).accessibility_label(&notice.text);
                ui.scope_builder(builder, |ui| {
                    let stroke = (1.0, theme::blend(tokens().card, colour(notice.severity), 0.5));
                    let shadow = ui.visuals().popup_shadow;
                    card_frame().stroke(stroke).shadow(shadow).show(ui, |ui| {
                        ui.set_min_width(ui.available_width());
                        line(ui, cx, notice);
                    });
                });
            }
        });
}

pub fn panel(shell: &mut Shell, ui: &Ui, cx: &Cx<'_>) {
    let area = Area::new(Id::unique("notices"))
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_TOP, Vec2::new(-12.0, 50.0));
    area.show(ui.ctx(), |ui| {
        let shadow = ui.visuals().popup_shadow;
        card_frame().shadow(shadow).show(ui, |ui| {
            ui.set_width(420.0);
            ui.horizontal(|ui| {
                crate::widgets::title(ui, t(TITLE));
                ui.with_layout(eframe::egui::Layout::right_to_left(eframe::egui::Align::Center), |ui| {
                    if icon_button(ui, icons::X, t(CLOSE)).clicked() {
                        shell.notices_open = false;
                    }
                });
            });
            if cx.state.notices.is_empty() {
                faint(ui, t(NOTHING));
            }
            ScrollArea::vertical().max_height(480.0).show(ui, |ui| {
                for notice in cx.state.notices.iter().rev() {
                    ui.separator();
                    line(ui, cx, notice);
                    faint(ui, format::clock(notice.at));
                }
            });
        });
    });
}

fn line(ui: &mut Ui, cx: &Cx<'_>, notice: &Notice) {
    let icon = match notice.severity {
        Severity::Success => icons::CIRCLE_CHECK,
        Severity::Info => icons::INFO,
        Severity::Warning => icons::TRIANGLE_ALERT,
        Severity::Error => icons::CIRCLE_X,
    };
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(icon).font(theme::icon(15.0)).color(colour(notice.severity)));
        ui.label(RichText::new(&notice.text).color(tokens().text));
        if let Some(undo) = &notice.undo
            && button(ui, cx.may_write(), icons::UNDO_2, t(UNDO)).clicked()
        {
            cx.send(Intent::Act(undo.clone()));
        }
    });
    if let Some(detail) = &notice.detail {
        ui.horizontal_wrapped(|ui| {
            ui.add_space(space::XL);
            ui.label(RichText::new(detail).font(theme::small()).color(tokens().text_dim));
        });
    }
}

fn left(notice: &Notice, now: Millis) -> Millis {
    let shown = if notice.severity == Severity::Error { ERROR_SHOWN_MS } else { SHOWN_MS };
    (notice.at + shown).saturating_sub(now)
}

fn colour(severity: Severity) -> eframe::egui::Color32 {
    let tk = tokens();
    match severity {
        Severity::Success => tk.success,
        Severity::Info => tk.accent,
        Severity::Warning => tk.warning,
        Severity::Error => tk.danger,
    }
}
