//! What stands in place of data that is not there, and beside data that is old.

use eframe::egui::{self, RichText, Ui, Vec2};
use leveret_admin_model::query::Query;
use leveret_admin_model::state::Link;
use leveret_admin_model::store::Answer;
use leveret_admin_model::{Intent, Problem, ProblemKind, format};

use super::{button, card_frame, faint, icon_button};
use crate::cx::Cx;
use crate::text::{Text, common::*, t};
use crate::theme::{self, icons, space, tokens};

/// How long a first load may take before anything is said of it.
const PATIENCE_MS: u64 = 200;
/// How long a newer value may take before it is said that it does not come.
const WAIT_MS: u64 = 3_000;
/// What is old is drawn this much fainter.
const OLD: f32 = 0.55;

/// Draws `contents` with the value of `answer`, or what there is to say instead: that it is loading, why it failed. A
/// value that could not be fetched again is drawn fainter, below a line that says how old it is and why.
pub fn remote<T>(ui: &mut Ui, cx: &Cx<'_>, answer: &Answer<T>, contents: impl FnOnce(&mut Ui, &T)) {
    draw(ui, cx, answer, &|| cx.send(Intent::Refresh), contents);
}

/// The same with the answer to a query that is asked once: trying again is asking again.
pub fn fetched<T: Send + Sync + 'static>(
    ui: &mut Ui,
    cx: &Cx<'_>,
    query: &Query<T>,
    contents: impl FnOnce(&mut Ui, &T),
) {
    draw(ui, cx, &cx.state.store.peek(&query.key), &|| cx.fetch(query), contents);
}

fn draw<T>(
    ui: &mut Ui,
    cx: &Cx<'_>,
    answer: &Answer<T>,
    again: &dyn Fn(),
    contents: impl FnOnce(&mut Ui, &T),
) {
    match (&answer.value, answer.problem()) {
        (Some(value), problem) => {
            let waited = overdue(ui, cx, answer);
            let is_old = problem.is_some() || waited.is_some() || matches!(cx.state.link, Link::Lost { .. });
            // While the connection is lost, the bar at the top says so for all.
            if cx.state.is_live() {
                let age = cx.now().saturating_sub(answer.arrived_at());
                match (problem, waited) {
                    (Some(problem), _) => stale(ui, again, age, t(words(problem.kind).0), &problem.detail),
                    (None, Some(waited)) => stale(ui, again, age, &NO_ANSWER.with(&[&seconds(waited)]), ""),
                    (None, None) => {}
                }
            }
            let opacity = ui.opacity();
            ui.set_opacity(if is_old { opacity.min(OLD) } else { opacity });
            contents(ui, value);
            ui.set_opacity(opacity);
        }
        (None, Some(problem)) => failure(ui, cx, again, problem),
        (None, None) => {
            if answer.first_load(cx.now()).is_some_and(|waited| waited >= PATIENCE_MS) || !cx.state.is_live()
            {
                skeleton(ui);
            } else {
                ui.ctx().request_repaint_after(std::time::Duration::from_millis(PATIENCE_MS));
            }
        }
    }
}

/// How long an answer is overdue, with an older one to show; draws again when that changes.
pub fn overdue<T>(ui: &Ui, cx: &Cx<'_>, answer: &Answer<T>) -> Option<u64> {
    let waited = answer.waiting(cx.now())?;
    let (next, overdue) =
        if waited < WAIT_MS { (WAIT_MS - waited, None) } else { (1_000 - waited % 1_000, Some(waited)) };
    ui.ctx().request_repaint_after(std::time::Duration::from_millis(next));
    overdue
}

/// Whole seconds of an age, in words.
pub fn seconds(ms: u64) -> String {
    format::duration(ms / 1_000 * 1_000)
}

/// Grey bars where text will be.
pub fn skeleton(ui: &mut Ui) {
    let t = tokens();
    card_frame().show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        for share in [0.35, 0.8, 0.7, 0.75, 0.5] {
            let (rect, _) =
                ui.allocate_exact_size(Vec2::new(ui.available_width(), 14.0), egui::Sense::hover());
            let mut bar = rect;
            bar.set_width(rect.width() * share);
            ui.painter().rect_filled(bar, 4.0, theme::blend(t.card, t.border_strong, 0.35));
            ui.add_space(space::S);
        }
        faint(ui, crate::text::t(LOADING));
    });
}

/// Nothing is there: why, and what to do about it.
pub fn empty(ui: &mut Ui, icon: &str, what: &str, why: &str, action: impl FnOnce(&mut Ui)) {
    let t = tokens();
    ui.vertical_centered(|ui| {
        ui.add_space(48.0);
        ui.label(RichText::new(icon).font(theme::icon(34.0)).color(t.text_faint));
        ui.add_space(space::S);
        ui.label(RichText::new(what).font(theme::strong_of(15.0)).color(t.text));
        ui.label(RichText::new(why).color(t.text_dim));
        ui.add_space(space::S);
        action(ui);
        ui.add_space(space::XL);
    });
}

/// What went wrong, why, and what to do: `again` is what trying again is.
pub fn failure(ui: &mut Ui, cx: &Cx<'_>, again: &dyn Fn(), problem: &Problem) {
    let tk = tokens();
    let icon = match problem.kind {
        ProblemKind::Forbidden | ProblemKind::Unauthorised => icons::LOCK,
        ProblemKind::NotFound => icons::SEARCH,
        ProblemKind::Unreachable | ProblemKind::Timeout => icons::CLOUD_OFF,
        _ => icons::TRIANGLE_ALERT,
    };
    ui.vertical_centered(|ui| {
        ui.add_space(40.0);
        ui.label(RichText::new(icon).font(theme::icon(34.0)).color(tk.warning));
        ui.add_space(space::S);
        let (what, help) = words(problem.kind);
        ui.label(RichText::new(t(what)).font(theme::strong_of(15.0)).color(tk.text));
        ui.label(RichText::new(t(help)).color(tk.text_dim));
        if !problem.detail.is_empty() {
            ui.add_space(space::XS);
            ui.label(RichText::new(&problem.detail).font(theme::mono()).color(tk.text_dim));
        }
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            ui.add_space((ui.available_width() - 240.0).max(0.0) / 2.0);
            if button(ui, true, icons::REFRESH_CW, t(RETRY)).clicked() {
                again();
            }
            if button(ui, true, icons::COPY, t(COPY_DETAILS)).clicked() {
                cx.copy(format!("{}\n{}\n{}", t(what), problem.request, problem.detail));
            }
        });
    });
}

/// What a kind of problem is called, and what helps.
pub fn words(kind: ProblemKind) -> (Text, Text) {
    match kind {
        ProblemKind::Unreachable => (PROBLEM_UNREACHABLE, HELP_UNREACHABLE),
        ProblemKind::Tls => (PROBLEM_TLS, HELP_TLS),
        ProblemKind::Timeout => (PROBLEM_TIMEOUT, HELP_TIMEOUT),
        ProblemKind::Unauthorised => (PROBLEM_UNAUTHORISED, HELP_UNAUTHORISED),
        ProblemKind::Forbidden => (PROBLEM_FORBIDDEN, HELP_FORBIDDEN),
        ProblemKind::NotFound => (PROBLEM_NOT_FOUND, HELP_NOT_FOUND),
        ProblemKind::Refused => (PROBLEM_REFUSED, HELP_REFUSED),
        ProblemKind::Changed => (PROBLEM_CHANGED, HELP_CHANGED),
        ProblemKind::Server => (PROBLEM_SERVER, HELP_SERVER),
        ProblemKind::Malformed => (PROBLEM_MALFORMED, HELP_MALFORMED),
        ProblemKind::Cancelled => (PROBLEM_CANCELLED, HELP_CANCELLED),
    }
}

/// A line above data that is old.
fn stale(ui: &mut Ui, again: &dyn Fn(), age: u64, why: &str, detail: &str) {
    note(ui, tokens().warning, icons::CLOCK, |ui| {
        let label = ui.label(RichText::new(STALE.with(&[&seconds(age), &why])).color(tokens().text));
        if !detail.is_empty() {
            label.on_hover_text(detail);
        }
        if icon_button(ui, icons::REFRESH_CW, t(RETRY)).clicked() {
            again();
        }
    });
}

/// A line above the value of `answer` when something else that belongs to it could not be had: these are its problems.
pub fn partial<T>(ui: &mut Ui, cx: &Cx<'_>, answer: &Answer<T>, problems: &[Option<&Problem>]) {
    // Otherwise it is said of all of it, by the bar at the top or by what is drawn in its place.
    let is_whole = cx.state.is_live() && answer.value.is_some() && answer.problem().is_none();
    let Some(problem) = problems.iter().flatten().next().filter(|_| is_whole) else { return };
    note(ui, tokens().warning, icons::TRIANGLE_ALERT, |ui| {
        let text = PARTIAL.with(&[&t(words(problem.kind).0), &problem.request]);
        ui.label(RichText::new(text).color(tokens().text)).on_hover_text(&problem.detail);
    });
}

/// A line that is seen: an icon, a text, a colour at its left edge.
pub fn note(ui: &mut Ui, colour: egui::Color32, icon: &str, contents: impl FnOnce(&mut Ui)) {
    let below = tokens().card;
    let frame = egui::Frame::new()
        .fill(theme::blend(below, colour, 0.10))
        .stroke(egui::Stroke::new(1.0, theme::blend(below, colour, 0.35)))
        .corner_radius(theme::RADIUS_SMALL)
        .inner_margin(egui::Margin::symmetric(10, 5));
    frame.show(ui, |ui| {
        ui.set_min_width(ui.available_width());
        ui.horizontal(|ui| {
            ui.label(RichText::new(icon).font(theme::icon(15.0)).color(colour));
            contents(ui);
        });
    });
    ui.add_space(space::XS);
}

/// Says that a broker that is not Leveret lacks this.
pub fn needs_leveret(ui: &mut Ui, cx: &Cx<'_>) {
    let name = cx.state.product.as_ref().map_or("RabbitMQ", |product| product.name.as_str());
    empty(ui, icons::PLUG, &RABBITMQ_LACKS.with(&[&name]), "", |_| {});
}
