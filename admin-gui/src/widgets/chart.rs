//! Lines over time. Charts of one group share their cursor: what happened here when that happened there.

use eframe::egui::{
    self, Align2, Color32, Id, Pos2, Rect, Sense, Shape, Stroke, Ui, Vec2, epaint::PathShape, pos2,
};
use leveret_admin_model::{Millis, format};

use crate::text::t;
use crate::texts;
use crate::theme::{self, space, tokens};

texts! {
    NO_DATA_YET = "Collecting: the first points come in a moment." | "正在收集数据…";
    SUMMARY = "{}: now {}, peak {}" | "{}：当前 {}，峰值 {}";
    AGO = "{} ago" | "{} 前";
    NOW = "now" | "现在";
}

/// One line of a chart.
#[derive(Debug)]
pub struct Line<'a> {
    pub name: &'a str,
    pub colour: Color32,
    /// Drawn with gaps, so that it is told from the others without colour.
    pub dashed: bool,
    pub points: Vec<(Millis, f32)>,
}

/// Lines over time.
#[derive(Debug)]
pub struct Chart<'a> {
    pub title: &'a str,
    /// Charts of one group share the cursor.
    pub group: &'a str,
    pub height: f32,
    /// The time at the right edge.
    pub now: Millis,
    /// From how long ago on.
    pub window_ms: Millis,
    pub unit: &'a str,
    pub value: fn(f64) -> String,
}

impl Chart<'_> {
    /// Draws it over the available width.
    pub fn show(self, ui: &mut Ui, lines: &[Line<'_>]) {
        let tk = tokens();
        let cursor_id = Id::unique(("chart cursor", self.group));
        let cursor: Option<Millis> = ui.data(|data| data.get_temp(cursor_id));
        let top = ui.cursor().top();
        self.legend(ui, lines, cursor);
        // Charts beside each other end at the same height, be their legends in one line or in two.
        let spacing = ui.spacing();
        let more = ui.cursor().top() - top - spacing.interact_size.y - spacing.item_spacing.y;
        let height = (self.height - more.max(0.0)).max(self.height / 2.0);
        let (rect, response) =
            ui.allocate_exact_size(Vec2::new(ui.available_width(), height), Sense::hover());
        let summary = self.summary(lines);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, &summary));
        if !ui.is_rect_visible(rect) {
            return;
        }
        let painter = ui.painter_at(rect);
        let plot = Rect::from_min_max(
            pos2(rect.left() + 46.0, rect.top() + 6.0),
            pos2(rect.right() - 6.0, rect.bottom() - 18.0),
        );
        let largest = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value).fold(0.0, f32::max);
        let (top, step) = nice_top(f64::from(largest));
        let from = self.now.saturating_sub(self.window_ms);
        let x = |at: Millis| {
            plot.left() + (at.saturating_sub(from)) as f32 / self.window_ms.max(1) as f32 * plot.width()
        };
        let y = |value: f64| plot.bottom() - (value / top) as f32 * plot.height();

        let mut level = 0.0;
        let mut last_label = String::new();
        while level <= top * 1.001 {
            painter.hline(plot.x_range(), y(level), Stroke::new(1.0, tk.border));
            let label = (self.value)(level);
            // Between whole numbers there is nothing to name.
            if label != last_label {
                let at = pos2(plot.left() - 6.0, y(level));
                painter.text(at, Align2::RIGHT_CENTER, &label, theme::small(), tk.text_faint);
            }
            last_label = label;
            level += step;
        }
        let marks = 4;
        for mark in 0..=marks {
            let ago = self.window_ms * (marks - mark) / marks;
            let text = if ago == 0 { t(NOW).to_owned() } else { format!("-{}", format::duration(ago)) };
            let at = pos2(x(self.now - ago.min(self.now)), plot.bottom() + 4.0);
            let align = match mark {
                0 => Align2::LEFT_TOP,
                4 => Align2::RIGHT_TOP,
                _ => Align2::CENTER_TOP,
            };
            painter.text(at, align, text, theme::small(), tk.text_faint);
        }
        for line in lines {
            let points: Vec<Pos2> = line
                .points
                .iter()
                .filter(|(at, _)| *at >= from)
                .map(|(at, value)| pos2(x(*at), y(f64::from(*value))))
                .collect();
            if points.len() < 2 {
                continue;
            }
            let stroke = Stroke::new(1.6, line.colour);
            if line.dashed {
                painter.extend(Shape::dashed_line(&points, stroke, 6.0, 3.0));
            } else {
                painter.add(PathShape::line(points, stroke));
            }
        }
        if lines.iter().all(|line| line.points.len() < 2) {
            painter.text(plot.center(), Align2::CENTER_CENTER, t(NO_DATA_YET), theme::body(), tk.text_faint);
            return;
        }
        if let Some(pointer) = response.hover_pos().filter(|pointer| plot.x_range().contains(pointer.x)) {
            let share = (pointer.x - plot.left()) / plot.width().max(1.0);
            let at = from + (f64::from(share) * self.window_ms as f64) as Millis;
            if cursor != Some(at) {
                ui.data_mut(|data| data.insert_temp(cursor_id, at));
                ui.ctx().request_repaint();
            }
        } else if let Some(owner) = ui.data(|data| data.get_temp::<Id>(cursor_id.with("owner")))
            && owner == response.id
        {
            ui.data_mut(|data| {
                data.remove::<Millis>(cursor_id);
                data.remove::<Id>(cursor_id.with("owner"));
            });
            ui.ctx().request_repaint();
        }
        if response.hovered() {
            ui.data_mut(|data| data.insert_temp(cursor_id.with("owner"), response.id));
        }
        if let Some(at) = cursor.filter(|at| *at >= from) {
            painter.vline(x(at), plot.y_range(), Stroke::new(1.0, tk.text_faint));
            let ago = AGO.with(&[&format::duration(self.now.saturating_sub(at) / 1_000 * 1_000)]);
            let (align, beside) =
                if x(at) < plot.center().x { (Align2::LEFT_TOP, 5.0) } else { (Align2::RIGHT_TOP, -5.0) };
            painter.text(pos2(x(at) + beside, plot.top()), align, ago, theme::small(), tk.text_dim);
            for line in lines {
                if let Some((sample_at, value)) = nearest(&line.points, at, self.window_ms) {
                    painter.circle_filled(pos2(x(sample_at), y(f64::from(value))), 3.0, line.colour);
                }
            }
        }
    }

    /// Names of the lines with their values: those under the cursor, or the latest.
    fn legend(&self, ui: &mut Ui, lines: &[Line<'_>], cursor: Option<Millis>) {
        let values: Vec<String> = lines
            .iter()
            .map(|line| {
                let sample = match cursor {
                    Some(at) => nearest(&line.points, at, self.window_ms),
                    None => line.points.last().copied(),
                };
                sample.map_or("–".to_owned(), |(_, value)| {
                    format!("{}{}", (self.value)(f64::from(value)), self.unit)
                })
            })
            .collect();
        let width =
            |text: &str, font| ui.painter().layout_no_wrap(text.to_owned(), font, tokens().text).size().x;
        let gap = ui.spacing().item_spacing.x;
        let needed: Vec<f32> = lines
            .iter()
            .zip(&values)
            .map(|(line, value)| {
                let words = width(line.name, theme::small()) + width(value, theme::strong());
                words + MARK + 3.0 * gap + space::XS
            })
            .collect();
        let of_all: f32 = needed.iter().sum();
        // Beside the title, or below it where there is no room.
        if width(self.title, theme::strong()) + gap + of_all < ui.available_width() {
            ui.horizontal(|ui| {
                super::title(ui, self.title);
                ui.add_space((ui.available_width() - of_all).max(0.0));
                for (line, value) in lines.iter().zip(&values) {
                    legend_entry(ui, line, value);
                }
            });
        } else {
            super::title(ui, self.title);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().interact_size.y = 18.0;
                for ((line, value), needed) in lines.iter().zip(&values).zip(needed) {
                    if needed > ui.available_size_before_wrap().x {
                        ui.end_row();
                    }
                    legend_entry(ui, line, value);
                }
            });
        }
    }

    /// What the chart shows, in words.
    fn summary(&self, lines: &[Line<'_>]) -> String {
        let parts = lines.iter().map(|line| {
            let now = line.points.last().map_or(0.0, |(_, value)| *value);
            let peak = line.points.iter().map(|(_, value)| *value).fold(0.0, f32::max);
            let value = |value: f32| format!("{}{}", (self.value)(f64::from(value)), self.unit);
            SUMMARY.with(&[&line.name, &value(now), &value(peak)])
        });
        format!("{}. {}", self.title, parts.collect::<Vec<_>>().join("; "))
    }
}

fn legend_entry(ui: &mut Ui, line: &Line<'_>, value: &str) {
    let tk = tokens();
    ui.add_space(space::XS);
    let (rect, _) = ui.allocate_exact_size(Vec2::new(MARK, 8.0), Sense::hover());
    let ends = [rect.left_center(), rect.right_center()];
    let stroke = Stroke::new(2.0, line.colour);
    if line.dashed {
        ui.painter().extend(Shape::dashed_line(&ends, stroke, 4.0, 2.0));
    } else {
        ui.painter().line_segment(ends, stroke);
    }
    ui.label(egui::RichText::new(line.name).font(theme::small()).color(tk.text_dim));
    ui.label(egui::RichText::new(value).font(theme::strong()).color(tk.text));
}

/// Width of the line in a legend.
const MARK: f32 = 14.0;

/// The sample next to `at`, unless it is too far away to speak for that moment.
fn nearest(points: &[(Millis, f32)], at: Millis, window_ms: Millis) -> Option<(Millis, f32)> {
    let after = points.partition_point(|(time, _)| *time < at);
    let candidates = [after.checked_sub(1), Some(after)];
    candidates
        .into_iter()
        .flatten()
        .filter_map(|at| points.get(at).copied())
        .min_by_key(|(time, _)| time.abs_diff(at))
        .filter(|(time, _)| time.abs_diff(at) <= (window_ms / 20).max(3_000))
}

/// A round number above `largest`, and the distance of the lines below it.
fn nice_top(largest: f64) -> (f64, f64) {
    let largest = largest.max(1.0);
    let rough = largest / 3.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    // A quarter of ten is no number of messages.
    let factors = if magnitude >= 10.0 { [1.0, 2.0, 2.5, 5.0, 10.0] } else { [1.0, 2.0, 5.0, 5.0, 10.0] };
    let step = factors.into_iter().map(|factor| factor * magnitude).find(|step| *step >= rough);
    let step = step.unwrap_or(rough).max(0.5);
    ((largest / step).ceil() * step, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_what_they_show() {
        for (largest, top, step) in
            [(0.0, 1.0, 0.5), (9.0, 10.0, 5.0), (100.0, 100.0, 50.0), (1_730.0, 2_000.0, 1_000.0)]
        {
            assert_eq!(nice_top(largest), (top, step), "{largest}");
        }
        for largest in (0..5_000).map(|at| f64::from(at) * 3.7) {
            let (top, step) = nice_top(largest);
            assert!(top >= largest && top / step <= 4.001, "{largest}: {top} {step}");
        }
    }

    #[test]
    fn the_sample_next_to_the_cursor_is_told() {
        let points = [(10, 1.0), (20, 2.0), (40, 4.0)];
        for (at, expected) in [(0, 1.0), (14, 1.0), (16, 2.0), (29, 2.0), (31, 4.0), (99, 4.0)] {
            assert_eq!(nearest(&points, at, 60_000).map(|(_, value)| value), Some(expected), "{at}");
        }
        assert_eq!(nearest(&[], 5, 60_000), None);
    }
}
