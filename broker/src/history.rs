//! How fast counters rose lately, kept in bounded rings: what the admin API shows as rates and samples.
//!
//! Once a second the broker's totals are noted, every five seconds each queue, exchange, connection and channel. Totals
//! reach back ten minutes, objects one. An object to which nothing happened for a minute costs its last counters only, so that ten
//! thousand idle queues take a megabyte and not forty.
//!
//! ```text
//! totals   last 60 s, a second apart ── and ── last 600 s, five seconds apart
//! objects  last 60 s, five seconds apart, as steps from one sample to the next
//! ```

mod sampler;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::queue::ConnectionId;
use parking_lot::Mutex;

pub use sampler::{CHANNEL, CONNECTION, EXCHANGE, QUEUE, TOTAL, watch};

/// Everything that is kept.
#[derive(Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    totals: Totals,
    /// Samples of objects so far.
    sweep: u32,
    /// When the latest samples were taken, in milliseconds since the epoch; newest last.
    swept_ms: VecDeque<u64>,
    queues: HashMap<u64, Trace<QUEUE_FIGURES>>,
    exchanges: HashMap<ExchangeKey, Trace<EXCHANGE_FIGURES>>,
    connections: HashMap<ConnectionId, Trace<CONNECTION_FIGURES>>,
    channels: HashMap<(ConnectionId, u16), Trace<CHANNEL_FIGURES>>,
}

/// An exchange by name: most have no other identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExchangeKey {
    pub vhost: Arc<str>,
    pub exchange: Box<str>,
}

/// What there is, in figures at one moment; queues by their uids.
#[derive(Default)]
pub struct Objects {
    pub queues: Vec<(u64, [u64; QUEUE_FIGURES])>,
    pub exchanges: Vec<(ExchangeKey, [u64; EXCHANGE_FIGURES])>,
    pub connections: Vec<(ConnectionId, [u64; CONNECTION_FIGURES])>,
    pub channels: Vec<((ConnectionId, u16), [u64; CHANNEL_FIGURES])>,
}

#[derive(Default)]
struct Totals {
    /// A second apart; newest last.
    fine: VecDeque<Sample<TOTAL_FIGURES>>,
    /// Five seconds apart.
    coarse: VecDeque<Sample<TOTAL_FIGURES>>,
}

/// Figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample<const N: usize> {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    pub figures: [u64; N],
}

/// What is known of one object.
struct Trace<const N: usize> {
    last: [u64; N],
    /// The sweep that saw it last.
    seen: u32,
    /// Absent while nothing happens.
    steps: Option<Box<Steps<N>>>,
}

/// How figures changed from one sweep to the next; the step of sweep `s` is at `s % STEPS`.
struct Steps<const N: usize> {
    by_sweep: [[i32; N]; STEPS],
    /// The latest sweep in which something changed.
    changed: u32,
}

/// The past of one object or of the totals; newest last, and never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past<const N: usize>(Vec<Sample<N>>);

/// Which part of the past is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How far back, in seconds.
    pub age_s: u64,
    /// How far samples are apart, in seconds.
    pub step_s: u64,
}

impl History {
    /// Notes the broker's totals.
    pub fn note_totals(&self, sample: Sample<TOTAL_FIGURES>) {
        let totals = &mut self.inner.lock().totals;
        push(&mut totals.fine, sample, FINE);
        let is_due =
            totals.coarse.back().is_none_or(|last| sample.at_ms >= last.at_ms + COARSE_MS - FINE_MS / 2);
        if is_due {
            push(&mut totals.coarse, sample, COARSE);
        }
    }

    /// Notes all objects. Those that are not among them are gone.
    pub fn note_objects(&self, at_ms: u64, seen: Objects) {
        let mut inner = self.inner.lock();
        let Inner { sweep, swept_ms, queues, exchanges, connections, channels, .. } = &mut *inner;
        *sweep = sweep.wrapping_add(1);
        push(swept_ms, at_ms, STEPS + 1);
        note(queues, *sweep, seen.queues, &QUEUE_GAUGES);
        note(exchanges, *sweep, seen.exchanges, &[]);
        note(connections, *sweep, seen.connections, &[]);
        note(channels, *sweep, seen.channels, &[]);
    }

    /// The last minute of a queue; `None` before its first sample.
    pub fn queue(&self, uid: u64) -> Option<Past<QUEUE_FIGURES>> {
        let inner = self.inner.lock();
        inner.queues.get(&uid).map(|trace| trace.past(inner.sweep, &inner.swept_ms))
    }

    /// Rates of a queue, per second; zero where nothing happens.
    pub fn queue_rates(&self, uid: u64) -> [f64; QUEUE_FIGURES] {
        let inner = self.inner.lock();
        inner.queues.get(&uid).map_or([0.0; QUEUE_FIGURES], |trace| trace.rates(inner.sweep, &inner.swept_ms))
    }

    /// The last minute of a connection; `None` before its first sample.
    pub fn connection(&self, id: ConnectionId) -> Option<Past<CONNECTION_FIGURES>> {
        let inner = self.inner.lock();
        inner.connections.get(&id).map(|trace| trace.past(inner.sweep, &inner.swept_ms))
    }

    /// Rates of a connection, per second.
    pub fn connection_rates(&self, id: ConnectionId) -> [f64; CONNECTION_FIGURES] {
        let inner = self.inner.lock();
        let found = inner.connections.get(&id);
        found.map_or([0.0; CONNECTION_FIGURES], |trace| trace.rates(inner.sweep, &inner.swept_ms))
    }

    /// The last minute of an exchange; `None` before its first sample, and where nothing was ever published to it.
    pub fn exchange(&self, vhost: &str, exchange: &str) -> Option<Past<EXCHANGE_FIGURES>> {
        let inner = self.inner.lock();
        let key = ExchangeKey { vhost: vhost.into(), exchange: exchange.into() };
        inner.exchanges.get(&key).map(|trace| trace.past(inner.sweep, &inner.swept_ms))
    }

    /// Rates of an exchange, per second.
    pub fn exchange_rates(&self, vhost: &Arc<str>, exchange: &str) -> [f64; EXCHANGE_FIGURES] {
        let key = ExchangeKey { vhost: vhost.clone(), exchange: exchange.into() };
        let inner = self.inner.lock();
        let found = inner.exchanges.get(&key);
        found.map_or([0.0; EXCHANGE_FIGURES], |trace| trace.rates(inner.sweep, &inner.swept_ms))
    }

    /// The last minute of a channel; `None` before its first sample.
    pub fn channel(&self, connection: ConnectionId, number: u16) -> Option<Past<CHANNEL_FIGURES>> {
        let inner = self.inner.lock();
        inner.channels.get(&(connection, number)).map(|trace| trace.past(inner.sweep, &inner.swept_ms))
    }

    /// Rates of a channel, per second.
    pub fn channel_rates(&self, connection: ConnectionId, number: u16) -> [f64; CHANNEL_FIGURES] {
        let inner = self.inner.lock();
        let found = inner.channels.get(&(connection, number));
        found.map_or([0.0; CHANNEL_FIGURES], |trace| trace.rates(inner.sweep, &inner.swept_ms))
    }

    /// The broker's past: a second apart for a minute, beyond that five seconds apart.
    pub fn totals(&self, age_s: u64) -> Option<Past<TOTAL_FIGURES>> {
        let totals = &self.inner.lock().totals;
        let samples = if age_s <= FINE as u64 { &totals.fine } else { &totals.coarse };
        (!samples.is_empty()).then(|| Past(samples.iter().copied().collect()))
    }

    /// Rates of the broker's totals over the last five seconds, per second.
    pub fn total_rates(&self) -> [f64; TOTAL_FIGURES] {
        let totals = &self.inner.lock().totals;
        let newest = totals.fine.back();
        let before = totals.fine.get(totals.fine.len().saturating_sub(RATE_SECONDS + 1));
        match (before, newest) {
            (Some(before), Some(newest)) => rates(before, newest),
            _ => [0.0; TOTAL_FIGURES],
        }
    }

    /// Bytes that it takes, for those who wonder.
    pub fn memory_bytes(&self) -> usize {
        fn of<K, const N: usize>(traces: &HashMap<K, Trace<N>>) -> usize {
            let busy = traces.values().filter(|trace| trace.steps.is_some()).count();
            traces.capacity() * (size_of::<K>() + size_of::<Trace<N>>() + 1) + busy * size_of::<Steps<N>>()
        }
        let inner = self.inner.lock();
        let samples = inner.totals.fine.capacity() + inner.totals.coarse.capacity();
        let objects = of(&inner.queues) + of(&inner.exchanges) + of(&inner.connections) + of(&inner.channels);
        objects + samples * size_of::<Sample<TOTAL_FIGURES>>()
    }
}

impl<const N: usize> Trace<N> {
    fn note(&mut self, sweep: u32, figures: [u64; N]) {
        let mut step = [0; N];
        for (step, (now, before)) in step.iter_mut().zip(figures.iter().zip(self.last)) {
            let change = (*now as i128 - i128::from(before)).clamp(i32::MIN.into(), i32::MAX.into());
            *step = change as i32;
        }
        self.last = figures;
        self.seen = sweep;
        let has_changed = step.iter().any(|change| *change != 0);
        if has_changed && self.steps.is_none() {
            self.steps = Some(Box::new(Steps { by_sweep: [[0; N]; STEPS], changed: sweep }));
        }
        if let Some(steps) = &mut self.steps {
            steps.by_sweep[sweep as usize % STEPS] = step;
            if has_changed {
                steps.changed = sweep;
            } else if sweep.wrapping_sub(steps.changed) as usize >= STEPS {
                self.steps = None;
            }
        }
    }

    /// Its samples, as far as the moments of sweeps are known.
    fn past(&self, sweep: u32, swept_ms: &VecDeque<u64>) -> Past<N> {
        let mut samples = Vec::with_capacity(swept_ms.len());
        let mut figures = self.last;
        for (back, at_ms) in swept_ms.iter().rev().enumerate() {
            samples.push(Sample { at_ms: *at_ms, figures });
            let Some(steps) = &self.steps else { continue };
            if back < STEPS {
                let step = steps.by_sweep[sweep.wrapping_sub(back as u32) as usize % STEPS];
                for (figure, step) in figures.iter_mut().zip(step) {
                    *figure = figure.saturating_add_signed(-i64::from(step));
                }
            }
        }
        samples.reverse();
        Past(samples)
    }

    fn rates(&self, sweep: u32, swept_ms: &VecDeque<u64>) -> [f64; N] {
        let mut rates = [0.0; N];
        let mut moments = swept_ms.iter().rev();
        let (Some(steps), Some(now), Some(before)) = (&self.steps, moments.next(), moments.next()) else {
            return rates;
        };
        let seconds = now.saturating_sub(*before).max(1) as f64 / 1000.0;
        for (rate, step) in rates.iter_mut().zip(steps.by_sweep[sweep as usize % STEPS]) {
            *rate = f64::from(step) / seconds;
        }
        rates
    }
}

impl<const N: usize> Past<N> {
    /// The samples of a window, of one figure: newest first, as RabbitMQ lists them.
    pub fn window(&self, figure: usize, window: Window) -> Vec<(u64, u64)> {
        let Some(newest) = self.0.last() else { return Vec::new() };
        let from_ms = newest.at_ms.saturating_sub(window.age_s.saturating_mul(1000));
        let step_ms = window.step_s.max(1).saturating_mul(1000);
        let mut shown = Vec::new();
        let mut next_ms = u64::MAX;
        for sample in self.0.iter().rev().take_while(|sample| sample.at_ms >= from_ms) {
            // Samples are not taken to the millisecond.
            if sample.at_ms <= next_ms.saturating_add(FINE_MS / 2) {
                shown.push((sample.figures[figure], sample.at_ms));
                next_ms = sample.at_ms.saturating_sub(step_ms);
            }
        }
        shown
    }
}

fn note<K: std::hash::Hash + Eq, const N: usize>(
    known: &mut HashMap<K, Trace<N>>,
    sweep: u32,
    objects: Vec<(K, [u64; N])>,
    gauges: &[usize],
) {
    for (key, figures) in objects {
        let new = || {
            // Counters of what is new rose from nothing; how much is in it did not.
            let mut last = [0; N];
            gauges.iter().for_each(|gauge| last[*gauge] = figures[*gauge]);
            Trace { last, seen: sweep, steps: None }
        };
        let trace = known.entry(key).or_insert_with(new);
        // Counters never fall: this is another one of the same name.
        if (0..N).any(|figure| figures[figure] < trace.last[figure] && !gauges.contains(&figure)) {
            *trace = new();
        }
        trace.note(sweep, figures);
    }
    known.retain(|_, trace| trace.seen == sweep);
    if known.capacity() > 4 * known.len() + 64 {
        known.shrink_to_fit();
    }
}

fn rates<const N: usize>(before: &Sample<N>, now: &Sample<N>) -> [f64; N] {
    let mut rates = [0.0; N];
    let seconds = now.at_ms.saturating_sub(before.at_ms) as f64 / 1000.0;
    if seconds > 0.0 {
        for (rate, (now, before)) in rates.iter_mut().zip(now.figures.iter().zip(before.figures)) {
            *rate = (*now as f64 - before as f64) / seconds;
        }
    }
    rates
}

fn push<T>(ring: &mut VecDeque<T>, item: T, length: usize) {
    if ring.len() >= length {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Figures of each kind of object and of the whole broker: see [`QUEUE`], [`EXCHANGE`], [`CONNECTION`], [`CHANNEL`] and
/// [`TOTAL`].
pub const QUEUE_FIGURES: usize = 9;
pub const EXCHANGE_FIGURES: usize = 2;
pub const CONNECTION_FIGURES: usize = 2;
pub const CHANNEL_FIGURES: usize = 11;
pub const TOTAL_FIGURES: usize = 19;
/// Those of a queue that rise and fall.
const QUEUE_GAUGES: [usize; 2] = [QUEUE.ready, QUEUE.unacked];

/// Steps of an object: a minute.
const STEPS: usize = 12;
/// Totals a second apart, and one more: a minute.
const FINE: usize = 61;
/// Totals five seconds apart, and one more: ten minutes.
const COARSE: usize = 121;
const FINE_MS: u64 = 1000;
const COARSE_MS: u64 = 5000;
/// Over how many seconds the rate of a total is taken.
const RATE_SECONDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(history: &History, at_s: u64, published: &[(u64, u64)]) {
        let queues: Vec<_> =
            published.iter().map(|(uid, published)| (*uid, *published, *published)).collect();
        sweep_ready(history, at_s, &queues);
    }

    /// Queues with what was published to them and what is left of it.
    fn sweep_ready(history: &History, at_s: u64, queues: &[(u64, u64, u64)]) {
        let queues = queues.iter().map(|(uid, published, ready)| {
            let mut figures = [0; QUEUE_FIGURES];
            figures[QUEUE.published] = *published;
            figures[QUEUE.ready] = *ready;
            (*uid, figures)
        });
        history.note_objects(at_s * 1000, Objects { queues: queues.collect(), ..Objects::default() });
    }

    #[test]
    fn a_queue_has_a_rate_and_a_minute_of_samples() {
        let history = History::default();
        for step in 0..20 {
            sweep(&history, step * 5, &[(1, step * 50)]);
        }
        let rates = history.queue_rates(1);
        assert_eq!((rates[QUEUE.published], rates[QUEUE.acked]), (10.0, 0.0));
        let past = history.queue(1).expect("known");
        let window = past.window(QUEUE.published, Window { age_s: 15, step_s: 5 });
        assert_eq!(window, [(950, 95_000), (900, 90_000), (850, 85_000), (800, 80_000)]);
        assert_eq!(past.window(QUEUE.published, Window { age_s: 3600, step_s: 5 }).len(), STEPS + 1);
        let coarser = past.window(QUEUE.published, Window { age_s: 60, step_s: 30 });
        assert_eq!(coarser, [(950, 95_000), (650, 65_000), (350, 35_000)]);
    }

    #[test]
    fn what_falls_has_a_negative_rate_and_what_is_new_none_of_its_contents() {
        let history = History::default();
        sweep(&history, 0, &[(1, 100)]);
        sweep(&history, 5, &[(1, 100), (2, 100)]);
        let rates = history.queue_rates(2);
        assert_eq!((rates[QUEUE.published], rates[QUEUE.ready]), (20.0, 0.0));
        sweep_ready(&history, 10, &[(1, 100, 50), (2, 100, 100)]);
        assert_eq!(history.queue_rates(1)[QUEUE.ready], -10.0);
        assert_eq!(history.queue_rates(2)[QUEUE.published], 0.0);
        let past = history.queue(1).expect("known").window(QUEUE.ready, Window { age_s: 60, step_s: 5 });
        assert_eq!(past, [(50, 10_000), (100, 5000), (100, 0)]);
    }

    #[test]
    fn another_channel_of_the_same_number_begins_anew() {
        let history = History::default();
        for (at_s, published) in [(0, 0), (5, 1000), (10, 30)] {
            let mut figures = [0; CHANNEL_FIGURES];
            figures[CHANNEL.publish] = published;
            let channels = vec![((ConnectionId(7), 1), figures)];
            history.note_objects(at_s * 1000, Objects { channels, ..Objects::default() });
        }
        assert_eq!(history.channel_rates(ConnectionId(7), 1)[CHANNEL.publish], 6.0);
        let past = history.channel(ConnectionId(7), 1).expect("known");
        let samples = past.window(CHANNEL.publish, Window { age_s: 60, step_s: 5 });
        assert_eq!(samples, [(30, 10_000), (0, 5000), (0, 0)]);
    }

    #[test]
    fn what_is_idle_or_gone_takes_no_memory() {
        let history = History::default();
        let many: Vec<(u64, u64)> = (0..10_000).map(|uid| (uid, 0)).collect();
        sweep(&history, 0, &many);
        assert!(history.memory_bytes() < 2 << 20, "{}", history.memory_bytes());
        let busy: Vec<(u64, u64)> = many.iter().map(|(uid, _)| (*uid, 7)).collect();
        sweep(&history, 5, &busy);
        assert!(history.memory_bytes() < 8 << 20, "{}", history.memory_bytes());
        for step in 2..20 {
            sweep(&history, step * 5, &busy);
        }
        assert!(history.memory_bytes() < 2 << 20, "{}", history.memory_bytes());
        assert_eq!(history.queue_rates(3)[QUEUE.published], 0.0);
        sweep(&history, 500, &[]);
        assert!(history.memory_bytes() < 64 << 10, "{}", history.memory_bytes());
        assert_eq!(history.queue(3), None);
    }

    #[test]
    fn totals_are_fine_for_a_minute_and_coarse_for_ten() {
        let history = History::default();
        for second in 0..1000 {
            let mut figures = [0; TOTAL_FIGURES];
            figures[TOTAL.publish] = second * 3;
            history.note_totals(Sample { at_ms: second * 1000, figures });
        }
        assert_eq!(history.total_rates()[TOTAL.publish], 3.0);
        let fine =
            history.totals(60).expect("samples").window(TOTAL.publish, Window { age_s: 60, step_s: 1 });
        assert_eq!((fine.len(), fine[0], fine[60]), (61, (2997, 999_000), (2817, 939_000)));
        let coarse =
            history.totals(600).expect("samples").window(TOTAL.publish, Window { age_s: 600, step_s: 60 });
        assert_eq!(coarse.len(), 11);
    }
}
