//! Every widget on one page, for those who change the theme.

use eframe::egui::{ScrollArea, Ui};
use leveret_admin_model::{Problem, ProblemKind};

use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::theme::{icons, space, tokens};
use crate::widgets::chart::{Chart, Line};
use crate::widgets::{
    badge, button, card, danger_button, dim, dot, faint, form, head, icon_button, link, meter, panel,
    primary, tabs, tall_tile, title,
};

/// What is typed and chosen here.
#[derive(Debug, Default)]
pub struct State {
    text: String,
    checked: bool,
    tab: usize,
    choice: usize,
    arguments: form::Arguments,
}

pub fn ui(state: &mut State, ui: &mut Ui, cx: &Cx<'_>) {
    head(ui, t(GALLERY), "orders.eu · 订单.支付", |ui| {
        primary(ui, true, icons::PLUS, t(ADD));
        icon_button(ui, icons::REFRESH_CW, t(REFRESH));
    });
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        card(ui, |ui| {
            ui.set_min_width(ui.available_width());
            ui.horizontal(|ui| {
                primary(ui, true, icons::SEND, t(PUBLISH));
                primary(ui, false, icons::SEND, t(SAVE));
                button(ui, true, icons::COPY, t(COPY));
                button(ui, false, icons::X, t(CANCEL));
                danger_button(ui, true, icons::TRASH_2, t(DELETE_DOTS));
                danger_button(ui, false, icons::ERASER, t(PURGE_DOTS));
                link(ui, t(OPEN));
            });
            ui.horizontal(|ui| {
                let tk = tokens();
                for (word, colour) in [
                    ("D", tk.text_dim),
                    ("DLX", tk.accent),
                    ("OK", tk.success),
                    ("!", tk.warning),
                    ("×", tk.danger),
                ] {
                    badge(ui, word, colour);
                }
                dot(ui, tk.success, "running");
                dot(ui, tk.warning, "flow");
                dot(ui, tk.text_faint, "idle");
            });
            title(ui, t(NAME));
            dim(ui, t(HELP_TIMEOUT));
            faint(ui, t(LOADING));
        });
        ui.add_space(space::S);
        ui.columns(4, |columns| {
            for (at, column) in columns.iter_mut().enumerate() {
                let colour = tokens().series[at];
                tall_tile(column, t(READY), "1,234,567", "", Some(colour), |ui| {
                    meter(ui, at as f32 / 3.0, colour)
                });
            }
        });
        ui.add_space(space::S);
        card(ui, |ui| {
            let names = [t(OVERVIEW), t(QUEUES), t(CONSUMERS)];
            tabs(ui, &mut state.tab, &[(0, names[0]), (1, names[1]), (2, names[2])]);
            form::line(ui, t(NAME), &mut state.text, "orders.paid");
            form::row(ui, t(TYPE), |ui| {
                form::choice(ui, t(TYPE), &mut state.choice, &[(0, "classic"), (1, "quorum")])
            });
            ui.checkbox(&mut state.checked, t(DURABLE));
            form::mistake(ui, t(PROBLEM_REFUSED));
            state.arguments.ui(ui, &["x-max-length"]);
        });
        ui.add_space(space::S);
        card(ui, |ui| {
            let wave = |phase: f32| {
                (0..120_u64).map(|at| (at * 500, 50.0 + 40.0 * (at as f32 / 9.0 + phase).sin())).collect()
            };
            let lines = [
                Line { name: t(PUBLISHED), colour: tokens().series[0], dashed: false, points: wave(0.0) },
                Line { name: t(DELIVERED), colour: tokens().series[1], dashed: false, points: wave(0.7) },
                Line { name: t(ACKED), colour: tokens().series[2], dashed: true, points: wave(1.6) },
            ];
            let chart = Chart {
                title: t(OVERVIEW),
                group: "gallery",
                height: 140.0,
                now: 60_000,
                window_ms: 60_000,
                unit: "/s",
                value: leveret_admin_model::format::rate,
            };
            chart.show(ui, &lines);
        });
        panel::note(ui, tokens().warning, icons::CLOCK, |ui| {
            dim(ui, t(PROBLEM_TIMEOUT));
        });
        panel::skeleton(ui);
        panel::failure(
            ui,
            cx,
            &|| {},
            &Problem::new(ProblemKind::Unreachable, "GET /api/overview", "connection refused"),
        );
    });
}
