//! How long to wait before the next attempt.
//!
//! Delays double from `initial` to `max`. Each is then cut by a random share of up to half, so that clients that lost
//! the same broker at the same moment do not come back at the same moment.

use std::time::Duration;

/// The pace of reconnecting.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub initial: Duration,
    /// No wait is longer than this.
    pub max: Duration,
    /// Stop trying this long after the connection was lost; `None` tries for ever.
    pub give_up_after: Option<Duration>,
}

impl Default for Backoff {
    /// 100 ms doubling up to 5 s, for ever.
    fn default() -> Self {
        Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(5), give_up_after: None }
    }
}

impl Backoff {
    /// The wait before attempt `attempt` (the first retry is 0). `random` in `0.0..1.0` chooses the jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        // 2^30 times any useful initial delay is beyond any useful maximum.
        let doubled = self.initial.saturating_mul(1 << attempt.min(30));
        doubled.min(self.max).mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
    }

    /// [`Self::delay`] with a random number of its own.
    pub(crate) fn random_delay(&self, attempt: u32) -> Duration {
        self.delay(attempt, rand::random::<f64>())
    }

    /// Whether `waited` since the loss is too long.
    pub(crate) fn exhausted(&self, waited: Duration) -> bool {
        self.give_up_after.is_some_and(|limit| waited >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(5), give_up_after: None }
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let check = |attempt, ms| {
            assert_eq!(backoff().delay(attempt, 0.0), Duration::from_millis(ms), "attempt {attempt}");
        };
        check(0, 100);
        check(1, 200);
        check(5, 3200);
        check(6, 5000);
        check(31, 5000);
        check(u32::MAX, 5000);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(backoff().delay(0, 1.0), Duration::from_millis(50));
        assert_eq!(backoff().delay(0, 7.0), Duration::from_millis(50));
        for attempt in 0..20 {
            let delay = backoff().random_delay(attempt);
            assert!(delay >= Duration::from_millis(50) && delay <= Duration::from_secs(5));
        }
    }

    #[test]
    fn giving_up_is_off_unless_asked_for() {
        assert!(!backoff().exhausted(Duration::from_secs(1 << 40)));
        let limited = Backoff { give_up_after: Some(Duration::from_secs(2)), ..backoff() };
        assert!(!limited.exhausted(Duration::from_millis(1999)));
        assert!(limited.exhausted(Duration::from_secs(2)));
    }
}
