//! Where one can go, on the left.

use eframe::egui::{
    Align2, CornerRadius, Frame, Margin, Panel, Rect, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo, accesskit::Role, pos2,
};
use leveret_admin_model::{Intent, Route, query};

use super::commands::PLACES;
use super::panes::{Pane, door};
use crate::cx::Cx;
use crate::text::{common::*, t};
use crate::texts;
use crate::theme::{self, icons, space, tokens};

texts! {
    NARROW = "Show only icons" | "仅显示图标";
    WIDE = "Show names" | "显示名称";
}

pub fn ui(ui: &mut Ui, cx: &Cx<'_>) {
    let tk = tokens();
    let narrow = cx.state.settings.narrow_navigation;
    let width = if narrow { 52.0 } else { 184.0 };
    let frame = Frame::new().fill(tk.panel).inner_margin(Margin::symmetric(8, 10));
    Panel::left("navigation").frame(frame).resizable(false).exact_size(width).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        let here = cx.state.route().section();
        let height = entry_height(ui.available_height());
        let places = ui.available_height() - 2.0 * (height + 2.0) - FOOT;
        ScrollArea::vertical().max_height(places).show(ui, |ui| {
            for (icon, name, route) in PLACES {
                entry(ui, cx, (icon, t(*name)), route, here == *route, narrow, count_of(cx, route), height);
            }
        });
        ui.with_layout(eframe::egui::Layout::bottom_up(eframe::egui::Align::Min), |ui| {
            let (icon, name) =
                if narrow { (icons::CHEVRON_RIGHT, WIDE) } else { (icons::PANEL_LEFT, NARROW) };
            if crate::widgets::icon_button(ui, icon, t(name)).clicked() {
                let mut settings = cx.state.settings.clone();
                settings.narrow_navigation = !narrow;
                cx.send(Intent::Settings(Box::new(settings)));
            }
            ui.add_space(space::XS);
            for (icon, name, route) in
                [(icons::SETTINGS, SETTINGS, Route::Settings), (icons::SERVER, BROKERS, Route::Connect)]
            {
                entry(ui, cx, (icon, t(name)), &route, here == route, narrow, None, height);
            }
        });
    });
}

/// All places fit as long as they can be read; below that they scroll.
fn entry_height(available: f32) -> f32 {
    let entries = PLACES.len() as f32 + 2.0;
    ((available - FOOT) / entries - 2.0).clamp(25.0, 32.0)
}

/// Room for what is below the places.
const FOOT: f32 = 44.0;

/// How many there are of what a place shows.
fn count_of(cx: &Cx<'_>, route: &Route) -> Option<u64> {
    let overview = cx.state.store.peek::<leveret_protocol::admin::Overview>(&query::overview().key).value?;
    let totals = &overview.object_totals;
    match route {
        Route::Queues => Some(totals.queues),
        Route::Exchanges => Some(totals.exchanges),
        Route::Connections => Some(totals.connections),
        Route::Channels => Some(totals.channels),
        Route::Consumers => Some(totals.consumers),
        _ => None,
    }
}

#[expect(clippy::too_many_arguments, reason = "parts of one entry")]
fn entry(
    ui: &mut Ui,
    cx: &Cx<'_>,
    (icon, name): (&str, &str),
    route: &Route,
    here: bool,
    narrow: bool,
    count: Option<u64>,
    height: f32,
) {
    let tk = tokens();
    let enabled = cx.state.broker.is_some() || !route.needs_broker();
    let (rect, response) = ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Link, enabled, here, name));
    let colour = match (enabled, here) {
        (false, _) => theme::blend(tk.panel, tk.text_faint, 0.5),
        (_, true) => tk.text,
        _ => tk.text_dim,
    };
    let radius = CornerRadius::same(theme::RADIUS_SMALL);
    if here {
        ui.painter().rect_filled(rect, radius, tk.selected);
        let mark =
            Rect::from_min_size(pos2(rect.left(), rect.top() + 7.0), Vec2::new(3.0, rect.height() - 14.0));
        ui.painter().rect_filled(mark, 1.5, tk.accent);
    } else if response.hovered() && enabled {
        ui.painter().rect_filled(rect, radius, tk.hover);
    }
    if here {
        door(ui.ctx(), Pane::Navigation, response.id);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(rect, radius, Stroke::new(1.5, tk.accent), StrokeKind::Inside);
    }
    let icon_at = if narrow { rect.center() } else { pos2(rect.left() + 20.0, rect.center().y) };
    let icon_colour = if here { tk.accent } else { colour };
    ui.painter().text(icon_at, Align2::CENTER_CENTER, icon, theme::icon(16.0), icon_colour);
    if narrow {
        response.clone().on_hover_text(name);
    } else {
        let font = if here { theme::strong() } else { theme::body() };
        ui.painter().text(pos2(rect.left() + 38.0, rect.center().y), Align2::LEFT_CENTER, name, font, colour);
        if let Some(count) = count {
            let text = leveret_admin_model::format::short(count as f64);
            let at = pos2(rect.right() - 8.0, rect.center().y);
            ui.painter().text(at, Align2::RIGHT_CENTER, text, theme::small(), tk.text_faint);
        }
    }
    if response.clicked() && enabled {
        cx.go(route.clone());
    }
}
