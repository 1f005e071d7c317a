//! How long a message waits before it is delivered again: the grammar of `x-retry-delay`, and the schedule it means.
//!
//! ```text
//! fixed:5s              5 s each time
//! linear:1s             1 s, 2 s, 3 s …
//! exponential:500ms     500 ms, 1 s, 2 s, 4 s …
//! 1s,5s,30s,5m          these, and the last one from then on
//! ```
//!
//! A duration is a whole number with a unit: `ms`, `s`, `m`, `h` or `d`. The same without a unit, or an integer, is
//! milliseconds. Jitter spreads a delay evenly to both sides by so many percent of it, but never beyond the cap.

use super::arguments::DURATION_MS_MAX;

/// When a message that a consumer returned is ready again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub delay: RetryDelay,
    /// Percent, at most 100.
    pub jitter: u8,
    /// The longest delay.
    pub max_ms: u64,
}

/// The delays before jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryDelay {
    Linear(u64),
    Exponential(u64),
    /// One after the other, the last one for ever; never empty.
    Ladder(Box<[u64]>),
}

/// Why a text says no delay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetryDelayError {
    #[error("\"expected a duration such as 500ms, 5s, 10m, 1h or 1d, got '{0}'\"")]
    Duration(String),
    #[error("\"expected a duration of 1ms to 3650d, got '{0}'\"")]
    OutOfRange(String),
    #[error("\"expected fixed, linear or exponential, got '{0}'\"")]
    Schedule(String),
    #[error("\"expected at most {LADDER_MAX} delays, got {0}\"")]
    TooMany(usize),
}

impl Retry {
    /// Delays without jitter or cap.
    pub fn new(delay: RetryDelay) -> Retry {
        Retry { delay, jitter: 0, max_ms: DURATION_MS_MAX }
    }

    /// How long to wait before the delivery that follows the `returns`th return, which is at least the first. `seed`
    /// decides the jitter.
    pub fn delay_ms(&self, returns: u32, seed: u64) -> u64 {
        let before = returns.saturating_sub(1);
        let delay = match &self.delay {
            RetryDelay::Linear(step) => step.saturating_mul(u64::from(returns.max(1))),
            RetryDelay::Exponential(first) => {
                first.saturating_mul(1u64.checked_shl(before).unwrap_or(u64::MAX))
            }
            RetryDelay::Ladder(steps) => {
                let at = (before as usize).min(steps.len().saturating_sub(1));
                steps.get(at).copied().unwrap_or_default()
            }
        };
        let delay = delay.min(self.max_ms);
        let spread = delay / 100 * u64::from(self.jitter) + delay % 100 * u64::from(self.jitter) / 100;
        if spread == 0 {
            return delay;
        }
        let moved = delay - spread + scatter(seed, u64::from(returns)) % (2 * spread + 1);
        moved.min(self.max_ms)
    }
}

impl RetryDelay {
    /// Reads a schedule.
    pub fn parse(text: &str) -> Result<RetryDelay, RetryDelayError> {
        if let Some((schedule, duration)) = text.split_once(':') {
            let ms = parse_duration(duration)?;
            return match schedule.trim() {
                "fixed" => Ok(RetryDelay::fixed(ms)),
                "linear" => Ok(RetryDelay::Linear(ms)),
                "exponential" => Ok(RetryDelay::Exponential(ms)),
                other => Err(RetryDelayError::Schedule(other.to_owned())),
            };
        }
        let steps = text.split(',').map(parse_duration).collect::<Result<Vec<u64>, _>>()?;
        match steps.len() {
            many if many > LADDER_MAX => Err(RetryDelayError::TooMany(many)),
            _ => Ok(RetryDelay::Ladder(steps.into())),
        }
    }

    /// The same delay each time.
    pub fn fixed(ms: u64) -> RetryDelay {
        RetryDelay::Ladder([ms].into())
    }
}

/// Reads a duration, in milliseconds.
pub fn parse_duration(text: &str) -> Result<u64, RetryDelayError> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(RetryDelayError::Duration(text.to_owned())),
    };
    if number.is_empty() {
        return Err(RetryDelayError::Duration(text.to_owned()));
    }
    // Digits that are too many for the type are too long a time, too.
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    ms.filter(|ms| (1..=DURATION_MS_MAX).contains(ms))
        .ok_or_else(|| RetryDelayError::OutOfRange(text.to_owned()))
}

/// A number that looks random and is the same for the same two.
fn scatter(seed: u64, salt: u64) -> u64 {
    let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Delays that one ladder may name.
pub const LADDER_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_say_how_long_each_time() {
        fn check(text: &str, expected: &[u64]) {
            let retry = Retry::new(RetryDelay::parse(text).unwrap());
            let delays: Vec<u64> =
                (1..=expected.len() as u32).map(|returns| retry.delay_ms(returns, 9)).collect();
            assert_eq!(delays, expected, "{text}");
        }
        check("fixed:5s", &[5_000, 5_000, 5_000]);
        check("linear:1s", &[1_000, 2_000, 3_000]);
        check("exponential:500ms", &[500, 1_000, 2_000, 4_000]);
        check("1s, 5s,30s,5m", &[1_000, 5_000, 30_000, 300_000, 300_000]);
        check("250", &[250, 250]);
        check("1h,1d", &[3_600_000, 86_400_000]);
    }

    #[test]
    fn what_is_no_schedule_is_said_to_be_none() {
        fn refused(text: &str, reason: &str) {
            assert_eq!(RetryDelay::parse(text).unwrap_err().to_string(), format!("\"{reason}\""), "{text}");
        }
        refused("", "expected a duration such as 500ms, 5s, 10m, 1h or 1d, got ''");
        refused("5 s", "expected a duration such as 500ms, 5s, 10m, 1h or 1d, got '5 s'");
        refused("1s,,2s", "expected a duration such as 500ms, 5s, 10m, 1h or 1d, got ''");
        refused("-5s", "expected a duration such as 500ms, 5s, 10m, 1h or 1d, got '-5s'");
        refused("0s", "expected a duration of 1ms to 3650d, got '0s'");
        refused("3651d", "expected a duration of 1ms to 3650d, got '3651d'");
        refused("99999999999999999999s", "expected a duration of 1ms to 3650d, got '99999999999999999999s'");
        refused("quadratic:5s", "expected fixed, linear or exponential, got 'quadratic'");
        refused(&["1s"; 33].join(","), "expected at most 32 delays, got 33");
    }

    #[test]
    fn long_series_end_at_the_cap() {
        let capped = |text: &str| Retry { max_ms: 60_000, ..Retry::new(RetryDelay::parse(text).unwrap()) };
        for text in ["exponential:1s", "linear:30s", "fixed:5m"] {
            assert_eq!(capped(text).delay_ms(1_000, 0), 60_000, "{text}");
            assert_eq!(capped(text).delay_ms(u32::MAX, 0), 60_000, "{text}");
        }
        let uncapped = Retry::new(RetryDelay::parse("exponential:1d").unwrap());
        assert_eq!(uncapped.delay_ms(u32::MAX, 0), DURATION_MS_MAX);
    }

    #[test]
    fn jitter_spreads_to_both_sides_and_not_beyond_the_cap() {
        let retry = Retry { jitter: 20, ..Retry::new(RetryDelay::fixed(1_000)) };
        let delays: Vec<u64> = (0..1_000).map(|seed| retry.delay_ms(1, seed)).collect();
        assert!(delays.iter().all(|delay| (800..=1_200).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < 850) && delays.iter().any(|delay| *delay > 1_150));
        assert_eq!(retry.delay_ms(1, 5), retry.delay_ms(1, 5), "the same for the same message");
        let capped = Retry { max_ms: 1_000, ..retry };
        assert!((0..1_000).all(|seed| capped.delay_ms(1, seed) <= 1_000));
    }
}
