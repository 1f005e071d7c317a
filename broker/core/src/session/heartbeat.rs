//! Heartbeats as RabbitMQ keeps them: one is sent after half an interval without output; the peer is given up after
//! two whole intervals in a row in which nothing at all arrived. Any traffic counts in both directions.

#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// The negotiated interval, 0 for none.
    interval_ms: u64,
    /// When to look next whether the peer was heard.
    look_at_ms: u64,
    /// Whether it was, since the last look.
    heard: bool,
    /// Looks in a row that found it was not.
    quiet_looks: u32,
    last_sent_ms: u64,
}

/// What a look at the clock found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// Nothing was sent for half an interval.
    pub(super) send: bool,
    /// The last whole interval brought nothing.
    pub(super) quiet: bool,
    /// The peer is gone.
    pub(super) lost: bool,
}

impl Heartbeat {
    pub(super) fn start(&mut self, now_ms: u64, interval_s: u16) {
        self.interval_ms = u64::from(interval_s) * 1000;
        self.look_at_ms = now_ms + self.interval_ms;
        self.last_sent_ms = now_ms;
        self.heard = true;
        self.quiet_looks = 0;
    }

    #[inline]
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    #[inline]
    pub(super) fn sent(&mut self, now_ms: u64) {
        self.last_sent_ms = now_ms;
    }

    /// Looks at the clock. While `paused`, silence is our own doing: nobody reads what the peer sends.
    pub(super) fn look(&mut self, now_ms: u64, paused: bool) -> Due {
        let mut due = Due::default();
        if self.interval_ms == 0 {
            return due;
        }
        if now_ms >= self.last_sent_ms + self.interval_ms / 2 {
            due.send = true;
            self.last_sent_ms = now_ms;
        }
        if now_ms >= self.look_at_ms {
            self.look_at_ms = now_ms + self.interval_ms;
            due.quiet = !self.heard;
            self.quiet_looks = if self.heard || paused { 0 } else { self.quiet_looks + 1 };
            self.heard = false;
            due.lost = self.quiet_looks >= QUIET_LOOKS_MAX;
        }
        due
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<u64> {
        (self.interval_ms > 0).then(|| self.look_at_ms.min(self.last_sent_ms + self.interval_ms / 2))
    }

    /// The negotiated interval, 0 for none.
    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }
}

const QUIET_LOOKS_MAX: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_after_half_an_interval_without_output() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(0, 10);
        assert_eq!(heartbeat.deadline(), Some(5000));
        assert!(!heartbeat.look(4999, false).send);
        heartbeat.sent(4999);
        assert_eq!(heartbeat.deadline(), Some(9999));
        assert!(heartbeat.look(9999, false).send);
        assert!(!heartbeat.look(9999, false).send);
    }

    #[test]
    fn two_quiet_intervals_in_a_row_lose_the_peer() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(0, 10);
        assert_eq!(heartbeat.look(10_000, false), Due { send: true, quiet: false, lost: false });
        assert_eq!(heartbeat.look(20_000, false), Due { send: true, quiet: true, lost: false });
        heartbeat.heard();
        assert_eq!(heartbeat.look(30_000, false), Due { send: true, quiet: false, lost: false });
        assert!(!heartbeat.look(40_000, false).lost);
        assert!(heartbeat.look(50_000, false).lost);
    }

    #[test]
    fn silence_does_not_count_while_paused() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(0, 10);
        for look in 1..100 {
            assert!(!heartbeat.look(look * 10_000, true).lost);
        }
    }

    #[test]
    fn zero_switches_them_off() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(0, 0);
        assert_eq!(heartbeat.deadline(), None);
        assert_eq!(heartbeat.look(u64::MAX, false), Due::default());
    }
}
