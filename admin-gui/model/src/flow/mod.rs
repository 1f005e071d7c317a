//! Message flow: a vhost as a drawing that is understood at a glance.
//!
//! ```text
//!  /api/topology ─┐
//!                 ├─▶ TopologyGraph ─▶ Graph (merged, grouped, lanes) ─▶ Layout (places, curves) ─▶ the screen
//!  lists ─────────┘
//! ```
//!
//! Messages flow from left to right: publishers, exchanges, queues, consumers. What dies flows on to the lower right,
//! into a lane of its own. Nothing here draws.

pub mod geometry;
pub mod graph;
pub mod group;
pub mod layout;
pub mod lists;
mod order;

pub use geometry::{Point, Rect, Wire};
pub use graph::{Edge, Graph, Lane, Node, View};
pub use layout::{Layout, Memory};

/// How wide an edge is drawn that carries so many messages per second: by the logarithm, because rates spread by
/// factors, and never so thin that it is lost.
pub fn edge_width(rate: f64) -> f32 {
    if rate <= 0.0 || !rate.is_finite() {
        return EDGE_WIDTH_MIN;
    }
    (EDGE_WIDTH_MIN + 1.7 * (1.0 + rate).log10() as f32).min(EDGE_WIDTH_MAX)
}

/// How full a queue is drawn, 0 to 1: of its limit where it has one, else by the logarithm, a million being full.
pub fn fill(ready: u64, max_length: Option<u64>) -> f32 {
    match max_length {
        Some(max) if max > 0 => (ready as f64 / max as f64).min(1.0) as f32,
        _ if ready == 0 => 0.0,
        _ => (((1.0 + ready as f64).log10() / 6.0) as f32).clamp(0.04, 1.0),
    }
}

/// How dots move along an edge: pixels per second, and pixels between one dot and the next. `None` when nothing flows.
pub fn dots(rate: f64) -> Option<(f32, f32)> {
    if rate < 0.05 || !rate.is_finite() {
        return None;
    }
    let decades = (1.0 + rate).log10() as f32;
    Some((45.0 + 28.0 * decades, (130.0 / (1.0 + decades)).clamp(24.0, 130.0)))
}

const EDGE_WIDTH_MIN: f32 = 1.2;
const EDGE_WIDTH_MAX: f32 = 9.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busier_edges_are_wider_up_to_a_limit() {
        let widths = [0.0, 1.0, 10.0, 1_000.0, 100_000.0].map(edge_width);
        assert!(widths.is_sorted(), "{widths:?}");
        assert_eq!(edge_width(1e30), EDGE_WIDTH_MAX);
        assert_eq!(edge_width(f64::NAN), EDGE_WIDTH_MIN);
    }

    #[test]
    fn depth_is_shown_against_the_limit_of_the_queue() {
        assert_eq!(fill(0, None), 0.0);
        assert_eq!(fill(50, Some(100)), 0.5);
        assert_eq!(fill(500, Some(100)), 1.0);
        assert!(fill(1, None) > 0.0 && fill(1_000, None) < fill(100_000, None));
        assert_eq!(fill(10_000_000, None), 1.0);
    }

    #[test]
    fn dots_move_only_while_messages_do() {
        assert_eq!(dots(0.0), None);
        let (slow, sparse) = dots(1.0).expect("moves");
        let (fast, dense) = dots(5_000.0).expect("moves");
        assert!(fast > slow && dense < sparse);
    }
}
