//! How the console looks: colours, sizes and type in one place.
//!
//! Widgets ask [`tokens`] for colours by what they mean, never by what they are. Three sets exist: dark, light and high
//! contrast; tests hold them to 4.5:1 for text and 3:1 for marks.

pub mod fonts;
pub mod icons;

use std::cell::Cell;

use eframe::egui::{
    self, Color32, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Vec2, style::WidgetVisuals,
};

/// Colours by what they mean.
#[derive(Debug)]
pub struct Tokens {
    pub dark: bool,
    /// Behind everything.
    pub window: Color32,
    /// Navigation and bars.
    pub panel: Color32,
    /// What lies on the window: tiles, tables, cards.
    pub card: Color32,
    /// Fields one types in.
    pub field: Color32,
    /// Under the pointer.
    pub hover: Color32,
    /// Every second row.
    pub stripe: Color32,
    pub selected: Color32,
    pub border: Color32,
    /// What is not full of a meter.
    pub track: Color32,
    /// Around what can be operated.
    pub border_strong: Color32,
    pub text: Color32,
    pub text_dim: Color32,
    pub text_faint: Color32,
    pub accent: Color32,
    pub on_accent: Color32,
    pub success: Color32,
    pub warning: Color32,
    pub danger: Color32,
    pub on_danger: Color32,
    /// Series of charts, in order; told apart by colour-blind eyes too.
    pub series: [Color32; 6],
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

pub static DARK: Tokens = Tokens {
    dark: true,
    window: rgb(0x0e1116),
    panel: rgb(0x13171d),
    card: rgb(0x171c23),
    field: rgb(0x0c0f13),
    hover: rgb(0x212934),
    stripe: rgb(0x191f27),
    selected: rgb(0x1d3a55),
    border: rgb(0x262e38),
    track: rgb(0x262e38),
    border_strong: rgb(0x3a4554),
    text: rgb(0xe4e9ef),
    text_dim: rgb(0xa9b4c0),
    text_faint: rgb(0x828e9b),
    accent: rgb(0x62b5f0),
    on_accent: rgb(0x06131f),
    success: rgb(0x45c295),
    warning: rgb(0xe6a940),
    danger: rgb(0xf27a78),
    on_danger: rgb(0x240505),
    // Okabe and Ito: orange, sky blue, green, purple, yellow, vermilion.
    series: [rgb(0xe69f00), rgb(0x56b4e9), rgb(0x22b58a), rgb(0xcc79a7), rgb(0xf0e442), rgb(0xe8702a)],
};

pub static LIGHT: Tokens = Tokens {
    dark: false,
    window: rgb(0xf3f5f7),
    panel: rgb(0xfafbfc),
    card: rgb(0xffffff),
    field: rgb(0xffffff),
    hover: rgb(0xe9eef3),
    stripe: rgb(0xf8f9fb),
    selected: rgb(0xd4e7f7),
    border: rgb(0xdfe4ea),
    track: rgb(0xdfe4ea),
    border_strong: rgb(0xb4bfcb),
    text: rgb(0x19212a),
    text_dim: rgb(0x48545f),
    text_faint: rgb(0x616d79),
    accent: rgb(0x0967ad),
    on_accent: rgb(0xffffff),
    success: rgb(0x0a7552),
    warning: rgb(0x8f5600),
    danger: rgb(0xbd272b),
    on_danger: rgb(0xffffff),
    // The darker of each pair, and no yellow: it cannot be seen on white.
    series: [rgb(0xc26a00), rgb(0x0072b2), rgb(0x008a65), rgb(0xb0518a), rgb(0x5f5a00), rgb(0xd55e00)],
};

pub static HIGH_CONTRAST: Tokens = Tokens {
    dark: true,
    window: rgb(0x000000),
    panel: rgb(0x000000),
    card: rgb(0x000000),
    field: rgb(0x000000),
    hover: rgb(0x2a2a2a),
    stripe: rgb(0x0c0c0c),
    selected: rgb(0x003a66),
    border: rgb(0x9a9a9a),
    track: rgb(0x2f2f2f),
    border_strong: rgb(0xffffff),
    text: rgb(0xffffff),
    text_dim: rgb(0xf0f0f0),
    text_faint: rgb(0xd6d6d6),
    accent: rgb(0x6fd0ff),
    on_accent: rgb(0x000000),
    success: rgb(0x4fe3ac),
    warning: rgb(0xffc24d),
    danger: rgb(0xff9a98),
    on_danger: rgb(0x000000),
    series: [rgb(0xffb000), rgb(0x66c8ff), rgb(0x2fd9a4), rgb(0xf09ccb), rgb(0xf0e442), rgb(0xff8a4a)],
};

/// What the series of charts stand for, everywhere the same.
pub mod series {
    pub const PUBLISH: usize = 0;
    pub const DELIVER: usize = 1;
    pub const ACK: usize = 2;
    pub const READY: usize = 0;
    pub const UNACKED: usize = 3;
}

/// Distances, in steps of four.
pub mod space {
    pub const XS: f32 = 4.0;
    pub const S: f32 = 8.0;
    pub const M: f32 = 12.0;
    pub const L: f32 = 16.0;
    pub const XL: f32 = 24.0;
}

/// Corner of cards and dialogs.
pub const RADIUS: u8 = 8;
/// Corner of what is operated: buttons, fields.
pub const RADIUS_SMALL: u8 = 5;
/// Height of a row of a table.
pub const ROW: f32 = 28.0;

thread_local! {
    static TOKENS: Cell<&'static Tokens> = const { Cell::new(&DARK) };
}

/// The colours that are in force, on the thread that draws.
pub fn tokens() -> &'static Tokens {
    TOKENS.get()
}

/// Room that a frame takes on all sides together.
pub fn inner(points: f32) -> Vec2 {
    Vec2::splat(points)
}

/// Small text.
pub fn small() -> FontId {
    FontId::new(11.5, FontFamily::Proportional)
}

pub fn body() -> FontId {
    FontId::new(13.0, FontFamily::Proportional)
}

pub fn strong() -> FontId {
    FontId::new(13.0, strong_family())
}

pub fn strong_of(size: f32) -> FontId {
    FontId::new(size, strong_family())
}

pub fn mono() -> FontId {
    FontId::new(12.5, FontFamily::Monospace)
}

pub fn icon(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("icons".into()))
}

fn strong_family() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// Dresses everything in `tokens`.
pub fn apply(ctx: &egui::Context, tokens: &'static Tokens) {
    TOKENS.set(tokens);
    ctx.set_theme(if tokens.dark { egui::Theme::Dark } else { egui::Theme::Light });
    ctx.all_styles_mut(|style| dress(style, tokens));
}

fn dress(style: &mut egui::Style, t: &Tokens) {
    style.text_styles = [
        (TextStyle::Small, small()),
        (TextStyle::Body, body()),
        (TextStyle::Button, body()),
        (TextStyle::Monospace, mono()),
        (TextStyle::Heading, strong_of(17.0)),
    ]
    .into();
    style.animation_time = 0.08;
    let spacing = &mut style.spacing;
    spacing.item_spacing = Vec2::new(space::S, 6.0);
    spacing.button_padding = Vec2::new(10.0, 5.0);
    spacing.interact_size = Vec2::new(28.0, 28.0);
    spacing.icon_width = 16.0;
    spacing.icon_width_inner = 9.0;
    spacing.window_margin = Margin::same(16);
    spacing.menu_margin = Margin::same(6);
    spacing.combo_width = 120.0;
    spacing.text_edit_width = 220.0;
    spacing.scroll = egui::style::ScrollStyle::floating();
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.4;

    let mut visuals = if t.dark { egui::Visuals::dark() } else { egui::Visuals::light() };
    let radius = CornerRadius::same(RADIUS_SMALL);
    let state = |fill: Color32, border: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, border),
        corner_radius: radius,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = state(t.card, t.border, t.text);
    visuals.widgets.inactive = state(t.card, t.border_strong, t.text);
    visuals.widgets.hovered = state(t.hover, t.accent, t.text);
    visuals.widgets.active = state(t.selected, t.accent, t.text);
    visuals.widgets.open = state(t.hover, t.border_strong, t.text);
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(t.text_faint);
    visuals.selection.bg_fill = t.selected;
    visuals.selection.stroke = Stroke::new(1.5, t.accent);
    visuals.hyperlink_color = t.accent;
    visuals.faint_bg_color = t.stripe;
    visuals.extreme_bg_color = t.field;
    visuals.text_edit_bg_color = Some(t.field);
    visuals.code_bg_color = t.field;
    visuals.warn_fg_color = t.warning;
    visuals.error_fg_color = t.danger;
    visuals.window_fill = t.card;
    visuals.window_stroke = Stroke::new(1.0, t.border_strong);
    visuals.window_corner_radius = CornerRadius::same(RADIUS);
    visuals.menu_corner_radius = CornerRadius::same(RADIUS);
    visuals.panel_fill = t.window;
    visuals.striped = false;
    visuals.text_cursor.stroke = Stroke::new(1.5, t.accent);
    visuals.text_cursor.blink = false;
    visuals.window_shadow = egui::Shadow {
        offset: [0, 8],
        blur: 24,
        spread: 0,
        color: Color32::from_black_alpha(if t.dark { 140 } else { 50 }),
    };
    visuals.popup_shadow = visuals.window_shadow;
    style.visuals = visuals;
}

/// `colour` over `below`, `share` of it.
pub fn blend(below: Color32, colour: Color32, share: f32) -> Color32 {
    let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
    Color32::from_rgb(mix(below.r(), colour.r()), mix(below.g(), colour.g()), mix(below.b(), colour.b()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of WCAG 2.
    fn contrast(a: Color32, b: Color32) -> f64 {
        fn luminance(colour: Color32) -> f64 {
            let linear = |value: u8| {
                let value = f64::from(value) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
        }
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_and_marks_can_be_seen() {
        for (name, t) in [("dark", &DARK), ("light", &LIGHT), ("high contrast", &HIGH_CONTRAST)] {
            let text_floor = if name == "high contrast" { 7.0 } else { 4.5 };
            for below in [t.window, t.panel, t.card, t.field, t.stripe] {
                for text in [t.text, t.text_dim, t.text_faint, t.accent, t.success, t.warning, t.danger] {
                    let ratio = contrast(text, below);
                    assert!(ratio >= text_floor, "{name}: {text:?} on {below:?} is {ratio:.2}");
                }
            }
            for below in [t.hover, t.selected] {
                let ratio = contrast(t.text, below);
                assert!(ratio >= text_floor, "{name}: text on {below:?} is {ratio:.2}");
            }
            for (text, below) in [(t.on_accent, t.accent), (t.on_danger, t.danger)] {
                let ratio = contrast(text, below);
                assert!(ratio >= 4.5, "{name}: {text:?} on {below:?} is {ratio:.2}");
            }
            for mark in t.series {
                let ratio = contrast(mark, t.card);
                assert!(ratio >= 3.0, "{name}: series {mark:?} is {ratio:.2}");
            }
        }
    }
}
