//! Look, language, size.

use eframe::egui::{ScrollArea, Slider, Ui};
use leveret_admin_model::Intent;
use leveret_admin_model::settings::{Language, Look};

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{space, tokens};
use crate::widgets::{card, faint, form, head, title};

texts! {
    UNREADABLE = "The settings cannot be read, so the defaults are in force." | "无法读取设置，已使用默认值。";
    UNWRITABLE = "The settings cannot be written." | "无法保存设置。";
    APPEARANCE = "Appearance" | "外观";
    LOOK = "Look" | "主题";
    SYSTEM = "As the system" | "跟随系统";
    DARK = "Dark" | "深色";
    LIGHT = "Light" | "浅色";
    HIGH_CONTRAST = "High contrast" | "高对比度";
    LANGUAGE = "Language" | "语言";
    SIZE = "Size" | "缩放";
    MOTION = "Reduce motion" | "减少动态效果";
    WHERE = "Kept in {}. Passwords are not." | "保存于 {}，不含密码。";
}

pub fn ui(ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(SETTINGS), "", |_| {});
    let mut settings = cx.state.settings.clone();
    ScrollArea::vertical().show(ui, |ui| {
        card(ui, |ui| {
            ui.set_width(ui.available_width().min(720.0));
            title(ui, t(APPEARANCE));
            ui.add_space(space::S);
            form::row(ui, t(LOOK), |ui| {
                let looks = [
                    (Look::System, t(SYSTEM)),
                    (Look::Dark, t(DARK)),
                    (Look::Light, t(LIGHT)),
                    (Look::HighContrast, t(HIGH_CONTRAST)),
                ];
                form::choice(ui, t(LOOK), &mut settings.look, &looks);
            });
            form::row(ui, t(LANGUAGE), |ui| {
                let languages = [
                    (Language::System, t(SYSTEM)),
                    (Language::English, "English"),
                    (Language::Chinese, "简体中文"),
                ];
                form::choice(ui, t(LANGUAGE), &mut settings.language, &languages);
            });
            form::row(ui, t(SIZE), |ui| {
                // What it slides on is as dark as a card otherwise.
                ui.visuals_mut().widgets.inactive.bg_fill = tokens().border_strong;
                ui.add(
                    Slider::new(&mut settings.zoom, 0.7..=2.5)
                        .step_by(0.05)
                        .custom_formatter(|zoom, _| format!("{:.0} %", zoom * 100.0)),
                );
            });
            form::row(ui, "", |ui| ui.checkbox(&mut settings.reduce_motion, t(MOTION)));
        });
        ui.add_space(space::S);
        if let Some(file) = &cx.state.settings_file {
            faint(ui, WHERE.with(&[&file.display()]));
        }
    });
    if settings != cx.state.settings {
        cx.send(Intent::Settings(Box::new(settings)));
    }
}
