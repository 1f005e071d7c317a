//! Finds what is unusual in a stream of lines. No IO: lines in, alerts out.
//!
//! Time is the lines' own and is cut into windows of ten seconds. What is usual is learned from the windows that have
//! passed, by [`Baseline`]s that follow slow changes, so nothing needs to be configured:
//!
//! * *Error bursts*: a host's errors in a window are many more than in its usual windows.
//! * *Latency spikes*: something takes several times as long as it usually does, on average over a window. Durations
//!   are compared by their logarithm, because they spread by factors.
//! * *Unusual messages*: a line of a shape that was never seen, in a log whose shapes are known by now.
//!
//! A window that is unusual does not teach: a failure must not become usual while it lasts. Only after five minutes
//! of it, when it was reported long ago, it is taken for the new state of things, so that getting worse is news again.

use crate::{
    baseline::Baseline,
    line::{Level, Line},
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Alert {
    pub kind: Kind,
    /// The host, or what is slow.
    pub subject: String,
    /// When, by the log's clock.
    pub time_ms: i64,
    /// For people.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    ErrorBurst,
    LatencySpike,
    UnusualMessage,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::ErrorBurst => "error_burst",
            Kind::LatencySpike => "latency_spike",
            Kind::UnusualMessage => "unusual_message",
        }
    }
}

/// What is known of the log so far.
#[derive(Debug, Default)]
pub struct Analyst {
    now_ms: i64,
    lines: u64,
    errors: HashMap<String, Errors>,
    latencies: HashMap<String, Latency>,
    shapes: HashSet<String>,
    novelty: Novelty,
}

const WINDOW_MS: i64 = 10_000;
/// Baselines of fewer windows say nothing yet.
const LEARNED_WINDOWS: u32 = 6;
/// Unusual windows in a row after which they are usual.
const ACCEPTED_WINDOWS: u32 = 30;
/// Hosts, subjects and shapes that are remembered. A log with more of them has no usual ones.
const REMEMBERED: usize = 10_000;

impl Analyst {
    /// Looks at the next line; alerts are appended.
    pub fn observe(&mut self, line: &Line, default_host: &str, alerts: &mut Vec<Alert>) {
        // Lines of several machines are never quite in order, and some have no time.
        self.now_ms = self.now_ms.max(line.time_ms.unwrap_or(self.now_ms));
        self.lines += 1;
        let host = line.host.unwrap_or(default_host);
        self.observe_errors(host, line.level, alerts);
        if let Some((subject, duration_ms)) = line.duration() {
            self.observe_latency(subject, duration_ms, alerts);
        }
        self.observe_shape(host, line, alerts);
    }

    fn observe_errors(&mut self, host: &str, level: Level, alerts: &mut Vec<Alert>) {
        if !self.errors.contains_key(host) && self.errors.len() >= REMEMBERED {
            return;
        }
        let errors = self.errors.entry(host.to_owned()).or_insert_with(|| Errors::new(self.now_ms));
        errors.advance(self.now_ms);
        if level == Level::Error
            && let Some(usual) = errors.count()
        {
            alerts.push(Alert {
                kind: Kind::ErrorBurst,
                subject: host.to_owned(),
                time_ms: self.now_ms,
                text: format!(
                    "{} errors within {} s, usually {usual:.1}",
                    errors.in_window,
                    WINDOW_MS / 1000
                ),
            });
        }
    }

    fn observe_latency(&mut self, subject: &str, duration_ms: f64, alerts: &mut Vec<Alert>) {
        if !self.latencies.contains_key(subject) && self.latencies.len() >= REMEMBERED {
            return;
        }
        let latency = self.latencies.entry(subject.to_owned()).or_insert_with(|| Latency::new(self.now_ms));
        if let Some((typical_ms, usual_ms)) = latency.advance(self.now_ms) {
            alerts.push(Alert {
                kind: Kind::LatencySpike,
                subject: subject.to_owned(),
                time_ms: self.now_ms,
                text: format!("takes {typical_ms:.0} ms, usually {usual_ms:.0} ms"),
            });
        }
        latency.add(duration_ms);
    }

    fn observe_shape(&mut self, host: &str, line: &Line, alerts: &mut Vec<Alert>) {
        self.novelty.advance(self.now_ms);
        if self.shapes.len() >= REMEMBERED || !self.shapes.insert(line.shape()) {
            return;
        }
        if self.novelty.count() {
            let mut text: String = line.text.chars().take(200).collect();
            if text.len() < line.text.len() {
                text.push('…');
            }
            alerts.push(Alert {
                kind: Kind::UnusualMessage,
                subject: host.to_owned(),
                time_ms: self.now_ms,
                text,
            });
        }
    }
}

/// The errors of one host.
#[derive(Debug)]
struct Errors {
    window: i64,
    in_window: u32,
    usual: Baseline,
    /// Whether this burst was reported, and how many windows it has lasted.
    burst: bool,
    unusual_windows: u32,
}

impl Errors {
    /// Fewer errors in a window are never a burst.
    const FEW: f64 = 5.0;
    /// More are, even when nothing is known yet.
    const MANY: f64 = 20.0;

    fn new(now_ms: i64) -> Self {
        Errors {
            window: window_of(now_ms),
            in_window: 0,
            usual: Baseline::default(),
            burst: false,
            unusual_windows: 0,
        }
    }

    fn advance(&mut self, now_ms: i64) {
        let window = window_of(now_ms);
        // After a long pause the windows in between were all the same.
        let passed = (window - self.window).min(100);
        for _ in 0..passed {
            let count = f64::from(self.in_window);
            let unusual = count >= self.threshold();
            self.unusual_windows = if unusual { self.unusual_windows + 1 } else { 0 };
            self.burst &= unusual;
            if !unusual || self.unusual_windows > ACCEPTED_WINDOWS {
                self.usual.observe(count);
            }
            self.in_window = 0;
        }
        self.window = window;
    }

    /// Counts an error. Answers the usual number when this one makes it a burst.
    fn count(&mut self) -> Option<f64> {
        self.in_window += 1;
        if self.burst || f64::from(self.in_window) < self.threshold() {
            return None;
        }
        self.burst = true;
        Some(self.usual.mean())
    }

    fn threshold(&self) -> f64 {
        if self.usual.samples() < LEARNED_WINDOWS {
            return Self::MANY;
        }
        // Counts spread at least as much as a Poisson distribution, whatever was seen so far.
        let deviation = self.usual.deviation().max(self.usual.mean().sqrt());
        (self.usual.mean() + 5.0 * deviation).max(Self::FEW)
    }
}

/// How long one thing takes.
#[derive(Debug)]
struct Latency {
    window: i64,
    in_window: u32,
    /// Sum of the logarithms of the durations in this window.
    logs: f64,
    /// Means of the logarithms over windows.
    usual: Baseline,
    /// Windows the present spike has lasted.
    slow_windows: u32,
}

impl Latency {
    /// A window with fewer durations says nothing.
    const FEW: u32 = 3;
    /// A spike takes at least this many times as long, ...
    const FACTOR: f64 = 3.0;
    /// ... and is at least so many deviations away.
    const DEVIATIONS: f64 = 4.0;

    fn new(now_ms: i64) -> Self {
        Latency {
            window: window_of(now_ms),
            in_window: 0,
            logs: 0.0,
            usual: Baseline::default(),
            slow_windows: 0,
        }
    }

    fn add(&mut self, duration_ms: f64) {
        self.in_window += 1;
        // A tenth of a millisecond is as good as nothing.
        self.logs += duration_ms.max(0.1).ln();
    }

    /// Closes the window when it has passed. Answers what it took and what is usual when a spike begins.
    fn advance(&mut self, now_ms: i64) -> Option<(f64, f64)> {
        let window = window_of(now_ms);
        // Rare things collect their durations over several windows.
        if window == self.window || self.in_window < Self::FEW {
            return None;
        }
        let mean = self.logs / f64::from(self.in_window);
        (self.window, self.in_window, self.logs) = (window, 0, 0.0);
        let (usual, deviation) = (self.usual.mean(), self.usual.deviation().max(0.1));
        let slow = self.usual.samples() >= LEARNED_WINDOWS
            && mean - usual > Self::FACTOR.ln()
            && (mean - usual) / deviation > Self::DEVIATIONS;
        self.slow_windows = if slow { self.slow_windows + 1 } else { 0 };
        if !slow || self.slow_windows > ACCEPTED_WINDOWS {
            self.usual.observe(mean);
        }
        (self.slow_windows == 1).then(|| (mean.exp(), usual.exp()))
    }
}

/// How often new shapes appear.
#[derive(Debug, Default)]
struct Novelty {
    window: Option<i64>,
    in_window: u32,
    usual: Baseline,
}

impl Novelty {
    /// Windows after which the shapes of a log should be known.
    const LEARNED: u32 = 60;
    /// Where a window usually has more new shapes than this, new shapes mean nothing.
    const RARE: f64 = 0.2;

    fn advance(&mut self, now_ms: i64) {
        let window = window_of(now_ms);
        let passed = (window - *self.window.get_or_insert(window)).min(100);
        for _ in 0..passed {
            self.usual.observe(f64::from(self.in_window));
            self.in_window = 0;
        }
        self.window = Some(window);
    }

    /// Counts a new shape and answers whether that is unusual.
    fn count(&mut self) -> bool {
        self.in_window += 1;
        // A flood of them is one event.
        self.usual.samples() >= Self::LEARNED && self.usual.mean() < Self::RARE && self.in_window <= 3
    }
}

fn window_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(WINDOW_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds lines made of (second, host, level, text) and answers the alerts.
    fn alerts_of(lines: impl IntoIterator<Item = (i64, &'static str, Level, String)>) -> Vec<Alert> {
        let mut analyst = Analyst::default();
        let mut alerts = Vec::new();
        for (second, host, level, text) in lines {
            let line = Line { time_ms: Some(second * 1000), host: Some(host), level, text: &text };
            analyst.observe(&line, "here", &mut alerts);
        }
        alerts
    }

    fn kinds(alerts: &[Alert]) -> Vec<(Kind, &str, i64)> {
        alerts.iter().map(|alert| (alert.kind, alert.subject.as_str(), alert.time_ms / 1000)).collect()
    }

    /// Ten minutes of calm: a request a second, an error every half minute.
    fn calm() -> Vec<(i64, &'static str, Level, String)> {
        (0..600)
            .map(|second| {
                if second % 30 == 7 {
                    (second, "web", Level::Error, "shop ERROR provider answered 502".to_owned())
                } else {
                    let duration = 20 + second * 7 % 11;
                    (second, "web", Level::Info, format!("shop INFO path=/ duration_ms={duration}"))
                }
            })
            .collect()
    }

    #[test]
    fn calm_raises_no_alert() {
        assert_eq!(alerts_of(calm()), []);
    }

    #[test]
    fn a_burst_of_errors_is_reported_once_while_it_lasts_and_again_when_it_comes_back() {
        let burst = |from: i64, seconds: i64| {
            (0..seconds * 3)
                .map(move |n| (from + n / 3, "web", Level::Error, "shop ERROR refused".to_owned()))
        };
        let quiet = (700..900).map(|second| (second, "web", Level::Info, "shop INFO path=/".to_owned()));
        let found = alerts_of(calm().into_iter().chain(burst(600, 60)).chain(quiet).chain(burst(900, 20)));
        let bursts: Vec<_> =
            kinds(&found).into_iter().filter(|(kind, ..)| *kind == Kind::ErrorBurst).collect();
        assert_eq!(bursts.len(), 2, "{found:?}");
        assert_eq!((bursts[0].1, bursts[0].2), ("web", 601), "known after the fifth error");
        assert_eq!(bursts[1].2, 901);
    }

    #[test]
    fn a_host_that_always_fails_is_not_news_until_it_gets_worse() {
        let failing = (0..1200).map(|n| (n / 2, "old", Level::Error, "job ERROR failed".to_owned()));
        // Twenty in the first window are news, as nothing is known yet; many more later are, too.
        let worse = (0..500).map(|n| (600 + n / 50, "old", Level::Error, "job ERROR failed".to_owned()));
        let found = alerts_of(failing.chain(worse));
        assert_eq!(kinds(&found), [(Kind::ErrorBurst, "old", 9), (Kind::ErrorBurst, "old", 600)]);
    }

    #[test]
    fn a_latency_spike_is_reported_with_what_was_usual() {
        let slow = (600..660)
            .map(|second| (second, "web", Level::Info, "shop INFO path=/ duration_ms=250".to_owned()));
        let after = (660..800)
            .map(|second| (second, "web", Level::Info, "shop INFO path=/ duration_ms=24".to_owned()));
        let found = alerts_of(calm().into_iter().chain(slow).chain(after));
        assert_eq!(kinds(&found), [(Kind::LatencySpike, "/", 610)]);
        assert_eq!(found[0].text, "takes 250 ms, usually 25 ms");
    }

    #[test]
    fn twice_as_slow_is_not_a_spike_and_becomes_usual() {
        let slower = (600..1200).map(|second| {
            (second, "web", Level::Info, format!("shop INFO path=/ duration_ms={}", 50 + second % 3))
        });
        assert_eq!(alerts_of(calm().into_iter().chain(slower)), []);
    }

    #[test]
    fn a_line_of_a_new_kind_is_unusual_once_the_log_is_known() {
        let strange = |second| (second, "db", Level::Info, "kernel: out of memory, killed 4711".to_owned());
        let found = alerts_of(calm().into_iter().chain([strange(700), strange(705)]));
        assert_eq!(kinds(&found), [(Kind::UnusualMessage, "db", 700)]);
        assert_eq!(found[0].text, "kernel: out of memory, killed 4711");
        // Early on everything is new.
        assert_eq!(alerts_of([strange(0)].into_iter().chain(calm())), []);
    }

    #[test]
    fn a_log_that_never_repeats_itself_has_no_unusual_lines() {
        let letters = |n: i64| -> String {
            let letter =
                |place: u32| char::from(b'a' + u8::try_from(n / 26_i64.pow(place) % 26).expect("small"));
            (0..4).map(letter).collect()
        };
        let babble = (0..3000).map(|second| (second, "poet", Level::Info, letters(second * 7919)));
        assert_eq!(alerts_of(babble), []);
    }

    #[test]
    fn lines_out_of_order_and_without_time_do_no_harm() {
        let mut lines = calm();
        lines.swap(100, 101);
        lines.swap(300, 350);
        assert_eq!(alerts_of(lines), []);
        let mut analyst = Analyst::default();
        let mut alerts = Vec::new();
        for _ in 0..100 {
            analyst.observe(&Line::parse("no time, no host"), "here", &mut alerts);
        }
        assert_eq!(alerts, []);
    }

    #[test]
    fn the_anomalies_planted_in_the_sample_are_found_and_nothing_else() {
        let sample = include_str!("../../../assets/sample.log");
        let mut analyst = Analyst::default();
        let mut alerts = Vec::new();
        for line in sample.lines() {
            analyst.observe(&Line::parse(line), "here", &mut alerts);
        }
        let start = Line::parse("2026-03-14T09:00:00Z x").time_ms.expect("a timestamp");
        let found: Vec<(Kind, &str, i64)> = alerts
            .iter()
            .map(|alert| (alert.kind, alert.subject.as_str(), (alert.time_ms - start) / 60_000))
            .collect();
        let expected = [
            (Kind::UnusualMessage, "web-2", 22),
            (Kind::ErrorBurst, "web-2", 22),
            (Kind::LatencySpike, "/checkout", 30),
            (Kind::UnusualMessage, "db-1", 35),
            (Kind::UnusualMessage, "web-1", 35),
            (Kind::UnusualMessage, "auth-1", 35),
        ];
        assert_eq!(found, expected, "{alerts:#?}");
    }
}
