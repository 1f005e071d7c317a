//! Points, boxes, and the curves between them, in units of the drawing.

/// A place in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    pub x: f32,
    pub y: f32,
}

impl Point {
    pub const fn new(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    pub fn distance(self, other: Point) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    fn toward(self, other: Point, share: f32) -> Point {
        Point::new(self.x + (other.x - self.x) * share, self.y + (other.y - self.y) * share)
    }
}

/// A box in the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Rect {
    pub fn right(self) -> f32 {
        self.x + self.width
    }

    pub fn bottom(self) -> f32 {
        self.y + self.height
    }

    pub fn middle(self) -> f32 {
        self.y + self.height / 2.0
    }

    pub fn overlaps(self, other: Rect) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
}

/// The way of an edge: a line of many short pieces, with how far along each of its points is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wire {
    pub points: Vec<Point>,
    /// Distance from the start, of each point.
    along: Vec<f32>,
}

/// Pieces of one curve.
const PIECES: usize = 18;

impl Wire {
    /// Starts at a point.
    pub fn from(start: Point) -> Wire {
        Wire { points: vec![start], along: vec![0.0] }
    }

    /// Goes on in a straight line.
    pub fn line_to(&mut self, to: Point) {
        let Some(last) = self.points.last().copied() else { return };
        let distance = last.distance(to);
        if distance < 0.01 {
            return;
        }
        self.along.push(self.length() + distance);
        self.points.push(to);
    }

    /// Goes on in a curve that is pulled towards `a` and then `b`.
    pub fn curve_to(&mut self, a: Point, b: Point, to: Point) {
        let Some(start) = self.points.last().copied() else { return };
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            let (ab, bc, cd) = (start.toward(a, t), a.toward(b, t), b.toward(to, t));
            let (abc, bcd) = (ab.toward(bc, t), bc.toward(cd, t));
            self.line_to(abc.toward(bcd, t));
        }
    }

    /// Goes on to the right and levels out: how messages flow.
    pub fn flow_to(&mut self, to: Point) {
        let Some(start) = self.points.last().copied() else { return };
        if (start.y - to.y).abs() < 0.5 {
            return self.line_to(to);
        }
        let pull = ((to.x - start.x).abs() * 0.5).max(28.0);
        self.curve_to(Point::new(start.x + pull, start.y), Point::new(to.x - pull, to.y), to);
    }

    /// Goes through `corners` in straight lines with rounded corners.
    pub fn rounded(start: Point, corners: &[Point], radius: f32) -> Wire {
        let mut wire = Wire::from(start);
        let mut before = start;
        for (at, corner) in corners.iter().copied().enumerate() {
            let Some(next) = corners.get(at + 1).copied() else {
                wire.line_to(corner);
                break;
            };
            let radius = radius.min(before.distance(corner) / 2.0).min(corner.distance(next) / 2.0);
            if radius > 0.5 {
                wire.line_to(corner.toward(before, radius / corner.distance(before)));
                wire.curve_to(corner, corner, corner.toward(next, radius / corner.distance(next)));
            } else {
                wire.line_to(corner);
            }
            before = corner;
        }
        wire
    }

    pub fn length(&self) -> f32 {
        self.along.last().copied().unwrap_or(0.0)
    }

    /// The point so far along.
    pub fn at(&self, distance: f32) -> Point {
        let next = self.along.partition_point(|along| *along < distance);
        let (Some(b), Some(b_along)) = (self.points.get(next), self.along.get(next)) else {
            return self.points.last().copied().unwrap_or_default();
        };
        let Some(before) = next.checked_sub(1) else { return *b };
        let (a, a_along) = (self.points[before], self.along[before]);
        a.toward(*b, (distance - a_along) / (b_along - a_along).max(f32::EPSILON))
    }

    /// How far `point` is from it.
    pub fn distance(&self, point: Point) -> f32 {
        let mut least = f32::INFINITY;
        for pair in self.points.windows(2) {
            let [a, b] = [pair[0], pair[1]];
            let (dx, dy) = (b.x - a.x, b.y - a.y);
            let length = dx * dx + dy * dy;
            let share =
                if length > 0.0 { ((point.x - a.x) * dx + (point.y - a.y) * dy) / length } else { 0.0 };
            least = least.min(point.distance(a.toward(b, share.clamp(0.0, 1.0))));
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_knows_where_it_is_after_a_distance() {
        let mut wire = Wire::from(Point::new(0.0, 0.0));
        wire.line_to(Point::new(10.0, 0.0));
        wire.line_to(Point::new(10.0, 10.0));
        assert_eq!(wire.length(), 20.0);
        assert_eq!(wire.at(-5.0), Point::new(0.0, 0.0));
        assert_eq!(wire.at(5.0), Point::new(5.0, 0.0));
        assert_eq!(wire.at(15.0), Point::new(10.0, 5.0));
        assert_eq!(wire.at(99.0), Point::new(10.0, 10.0));
        assert_eq!(Wire::default().at(1.0), Point::default());
    }

    #[test]
    fn a_flow_leaves_and_arrives_level() {
        let mut wire = Wire::from(Point::new(0.0, 0.0));
        wire.flow_to(Point::new(100.0, 50.0));
        assert_eq!(wire.points.last(), Some(&Point::new(100.0, 50.0)));
        let (first, second) = (wire.points[0], wire.points[1]);
        assert!((second.y - first.y) < (second.x - first.x) / 4.0);
    }

    #[test]
    fn what_is_near_a_wire_is_told_from_what_is_not() {
        let mut wire = Wire::from(Point::new(0.0, 0.0));
        wire.line_to(Point::new(10.0, 0.0));
        assert_eq!(wire.distance(Point::new(5.0, 3.0)), 3.0);
        assert_eq!(wire.distance(Point::new(14.0, 3.0)), 5.0);
        assert_eq!(Wire::default().distance(Point::default()), f32::INFINITY);
    }

    #[test]
    fn corners_are_rounded() {
        let corners = [Point::new(20.0, 0.0), Point::new(20.0, 20.0)];
        let wire = Wire::rounded(Point::new(0.0, 0.0), &corners, 8.0);
        assert!(wire.distance(Point::new(20.0, 0.0)) > 1.0);
        assert_eq!(wire.points.last(), Some(&Point::new(20.0, 20.0)));
    }
}
