//! A line without axes: which way something goes.

use eframe::egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, epaint::PathShape};

use crate::theme;

/// Draws `values`, evenly spaced, into `rect`; the last one has a dot.
pub fn paint(
    painter: &Painter,
    rect: Rect,
    values: impl ExactSizeIterator<Item = f32> + Clone,
    colour: Color32,
) {
    let count = values.len();
    if count < 2 {
        return;
    }
    let largest = values.clone().fold(0.0_f32, f32::max);
    let step = rect.width() / (count - 1) as f32;
    let y = |value: f32| {
        if largest <= 0.0 {
            rect.bottom() - 1.0
        } else {
            rect.bottom() - 1.0 - value / largest * (rect.height() - 3.0)
        }
    };
    let points: Vec<Pos2> =
        values.enumerate().map(|(at, value)| Pos2::new(rect.left() + at as f32 * step, y(value))).collect();
    if largest <= 0.0 {
        painter.add(Shape::line(points, Stroke::new(1.0, theme::tokens().border_strong)));
        return;
    }
    let Some(last) = points.last().copied() else { return };
    painter.add(PathShape::line(points, Stroke::new(1.3, colour)));
    painter.circle_filled(last, 1.8, colour);
}
