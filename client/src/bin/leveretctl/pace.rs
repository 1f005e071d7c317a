//! A steady rate.

use std::time::{Duration, Instant};

/// Spreads events evenly over time. When the caller falls behind, the lost time is not made up for beyond
/// [`BURST`], so that a stall is not followed by a flood.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Instant,
}

/// How much delay is caught up with.
const BURST: Duration = Duration::from_millis(100);

impl Pace {
    pub fn new(per_second: f64, now: Instant) -> Self {
        Pace { interval: Duration::from_secs_f64(1.0 / per_second), next: now }
    }

    /// When the next event may happen; counts it.
    pub fn next(&mut self, now: Instant) -> Instant {
        let due = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        self.next = due + self.interval;
        due
    }

    /// Waits for the next event's turn.
    pub async fn wait(&mut self) {
        let due = self.next(Instant::now());
        // The timer is accurate to a millisecond; waiting for less would only slow high rates down.
        if due > Instant::now() + Duration::from_millis(1) {
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_spread_evenly() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        for n in 0..10 {
            assert_eq!(pace.next(start), start + Duration::from_millis(10 * n));
        }
    }

    #[test]
    fn a_stall_is_caught_up_with_only_a_little() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        pace.next(start);
        let later = start + Duration::from_secs(60);
        let due: Vec<Instant> = (0..20).map(|_| pace.next(later)).collect();
        assert_eq!(due[0], later - BURST);
        assert_eq!(due.iter().filter(|due| **due <= later).count(), 11);
    }
}
