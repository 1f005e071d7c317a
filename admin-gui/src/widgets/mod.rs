//! The pieces that screens are made of. They look at the theme, and know nothing of the broker.

pub mod chart;
pub mod form;
pub mod inspector;
pub mod message;
pub mod panel;
pub mod spark;
pub mod table;

use eframe::egui::{
    self, Align, Button, Color32, CornerRadius, Frame, Label, Layout, Margin, Response, RichText, Sense,
    Stroke, Ui, Vec2,
};

use crate::shell::panes::{Pane, door};
use crate::theme::{self, RADIUS, space, tokens};

/// Something of its own on the window.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    card_frame().show(ui, contents).inner
}

/// A card as wide as its column, with its contents at the left: columns would stretch them.
pub fn column_card(ui: &mut Ui, contents: impl FnOnce(&mut Ui)) {
    card(ui, |ui| {
        ui.with_layout(Layout::top_down(Align::Min), |ui| {
            ui.set_min_width(ui.available_width());
            contents(ui);
        });
    });
}

pub fn card_frame() -> Frame {
    let t = tokens();
    Frame::new()
        .fill(t.card)
        .stroke(Stroke::new(1.0, t.border))
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin::same(12))
}

/// The head of a screen: its title, what it is about, and buttons on the right.
pub fn head(ui: &mut Ui, title: &str, about: &str, right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_min_height(34.0);
        ui.add(Label::new(RichText::new(title).font(theme::strong_of(19.0)).color(tokens().text)).truncate());
        if !about.is_empty() {
            ui.add_space(space::XS);
            ui.label(RichText::new(about).color(tokens().text_faint));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), right);
    });
    ui.add_space(space::XS);
}

/// A small title inside of a card.
pub fn title(ui: &mut Ui, text: &str) -> Response {
    ui.add(Label::new(RichText::new(text).font(theme::strong()).color(tokens().text)))
}

/// Text that is less important.
pub fn dim(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).color(tokens().text_dim))
}

pub fn faint(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).color(tokens().text_faint))
}

/// An icon with a text, as one button text.
pub fn with_icon(icon: &str, text: &str) -> String {
    match (icon, text) {
        (icon, "") => icon.to_owned(),
        ("", text) => text.to_owned(),
        (icon, text) => format!("{icon}  {text}"),
    }
}

/// What one wants most on a screen.
pub fn primary(ui: &mut Ui, enabled: bool, icon: &str, text: &str) -> Response {
    let t = tokens();
    let label = RichText::new(with_icon(icon, text)).font(theme::strong()).color(t.on_accent);
    named(ui.add_enabled(enabled, Button::new(label).fill(t.accent).stroke(Stroke::new(1.0, t.accent))), text)
}

pub fn button(ui: &mut Ui, enabled: bool, icon: &str, text: &str) -> Response {
    named(ui.add_enabled(enabled, Button::new(with_icon(icon, text))), text)
}

/// A button whose action loses something.
pub fn danger_button(ui: &mut Ui, enabled: bool, icon: &str, text: &str) -> Response {
    let t = tokens();
    let label = RichText::new(with_icon(icon, text)).color(t.danger);
    let border = theme::blend(t.card, t.danger, 0.45);
    named(ui.add_enabled(enabled, Button::new(label).stroke(Stroke::new(1.0, border))), text)
}

/// An icon one can press; `name` is said by screen readers and shown under the pointer.
pub fn icon_button(ui: &mut Ui, icon: &str, name: &str) -> Response {
    icon_button_if(ui, true, icon, name)
}

pub fn icon_button_if(ui: &mut Ui, enabled: bool, icon: &str, name: &str) -> Response {
    let text = RichText::new(icon).font(theme::icon(16.0)).color(tokens().text_dim);
    let button = Button::new(text).frame_when_inactive(false).min_size(Vec2::splat(28.0));
    named(ui.add_enabled(enabled, button), name).on_hover_text(name)
}

/// Text in one line that ends with dots where there is no more room.
pub fn elided(
    painter: &egui::Painter,
    text: &str,
    font: egui::FontId,
    colour: Color32,
    width: f32,
) -> std::sync::Arc<egui::Galley> {
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), font, colour);
    job.wrap = egui::text::TextWrapping::truncate_at_width(width.max(1.0));
    painter.layout_job(job)
}

/// Gives a widget the name that screen readers say.
pub fn named(response: Response, name: &str) -> Response {
    response.accessible_name(name)
}

/// Text that leads somewhere.
pub fn link(ui: &mut Ui, text: &str) -> Response {
    ui.add(egui::Link::new(RichText::new(text).color(tokens().accent)))
}

/// A short word in a box: a feature, a state.
pub fn badge(ui: &mut Ui, text: &str, colour: Color32) -> Response {
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::strong_of(10.5), colour);
    let size = galley.size() + Vec2::new(10.0, 4.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    if ui.is_rect_visible(rect) {
        let below = tokens().card;
        ui.painter().rect_filled(rect, 4.0, theme::blend(below, colour, 0.16));
        ui.painter().galley(rect.min + Vec2::new(5.0, 2.0), galley, colour);
    }
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, text));
    response
}

/// A dot in a colour with a word: states are never told by colour alone.
pub fn dot(ui: &mut Ui, colour: Color32, text: &str) -> Response {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(8.0), Sense::hover());
        ui.painter().circle_filled(rect.center(), 4.0, colour);
        ui.label(RichText::new(text).color(tokens().text_dim))
    })
    .inner
}

/// Names and values, one below the other.
pub fn facts(ui: &mut Ui, id: &str, facts: &[(&str, String)]) {
    egui::Grid::new(id).num_columns(2).min_row_height(18.0).spacing(Vec2::new(space::L, 5.0)).show(
        ui,
        |ui| {
            ui.spacing_mut().interact_size.y = 18.0;
            for (name, value) in facts {
                faint(ui, *name);
                ui.add(Label::new(RichText::new(value).color(tokens().text)).selectable(true).wrap());
                ui.end_row();
            }
        },
    );
}

/// A number with its name, large.
pub fn tile(ui: &mut Ui, name: &str, value: &str, unit: &str, colour: Option<Color32>) {
    tile_of(ui, 44.0, name, (value, unit), colour, |_| {});
}

/// The same with room for a line below the number.
pub fn tall_tile(
    ui: &mut Ui,
    name: &str,
    value: &str,
    unit: &str,
    colour: Option<Color32>,
    below: impl FnOnce(&mut Ui),
) {
    tile_of(ui, 64.0, name, (value, unit), colour, below);
}

fn tile_of(
    ui: &mut Ui,
    height: f32,
    name: &str,
    (value, unit): (&str, &str),
    colour: Option<Color32>,
    below: impl FnOnce(&mut Ui),
) {
    let t = tokens();
    let response = card_frame().show(ui, |ui| {
        ui.set_min_size(Vec2::new(ui.available_width(), height));
        ui.spacing_mut().interact_size.y = 16.0;
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            if let Some(colour) = colour {
                let (rect, _) = ui.allocate_exact_size(Vec2::new(3.0, 12.0), Sense::hover());
                ui.painter().rect_filled(rect, 1.5, colour);
            }
            ui.add(Label::new(RichText::new(name).font(theme::small()).color(t.text_faint)).truncate());
        });
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            ui.label(RichText::new(value).font(theme::strong_of(21.0)).color(t.text));
            if !unit.is_empty() {
                ui.label(RichText::new(unit).color(t.text_faint));
            }
        });
        below(ui);
    });
    let summary = format!("{name}: {value} {unit}");
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, summary.trim()));
}

/// How full something is.
pub fn meter(ui: &mut Ui, share: f32, colour: Color32) {
    let (rect, _) = ui.allocate_exact_size(Vec2::new(ui.available_width(), 4.0), Sense::hover());
    let t = tokens();
    ui.painter().rect_filled(rect, 2.0, t.track);
    let mut full = rect;
    full.set_width(rect.width() * share.clamp(0.0, 1.0));
    ui.painter().rect_filled(full, 2.0, colour);
}

/// Tabs; true when another one was chosen.
pub fn tabs<T: Copy + PartialEq>(ui: &mut Ui, current: &mut T, tabs: &[(T, &str)]) -> bool {
    let t = tokens();
    let mut changed = false;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::L;
        for (tab, name) in tabs {
            let selected = *tab == *current;
            let colour = if selected { t.text } else { t.text_dim };
            let font = if selected { theme::strong() } else { theme::body() };
            let galley = ui.painter().layout_no_wrap((*name).to_owned(), font, colour);
            let (rect, response) = ui.allocate_exact_size(Vec2::new(galley.size().x, 30.0), Sense::click());
            let at = egui::pos2(rect.left(), rect.center().y - galley.size().y / 2.0);
            ui.painter().galley(at, galley, colour);
            if selected {
                door(ui.ctx(), Pane::Screen, response.id);
            }
            let line = if selected { Some(t.accent) } else { response.hovered().then_some(t.border_strong) };
            if let Some(colour) = line {
                ui.painter().hline(rect.x_range(), rect.bottom() - 1.0, Stroke::new(2.0, colour));
            }
            if response.has_focus() {
                ui.painter().rect_stroke(
                    rect.expand(3.0),
                    3.0,
                    Stroke::new(1.5, t.accent),
                    egui::StrokeKind::Outside,
                );
            }
            response.widget_info(|| {
                egui::WidgetInfo::selected(egui::accesskit::Role::Tab, true, selected, *name)
            });
            if response.clicked() && !selected {
                *current = *tab;
                changed = true;
            }
        }
    });
    let line = ui.available_rect_before_wrap();
    ui.painter().hline(line.x_range(), ui.cursor().top() - 6.0, Stroke::new(1.0, t.border));
    ui.add_space(space::XS);
    changed
}
