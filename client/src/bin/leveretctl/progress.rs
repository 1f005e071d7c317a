//! Progress on stderr.

use crate::arguments::Connect;
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Counts events and says once a second how many, if somebody is there to read it.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    started: Instant,
    said_at: Instant,
    said: u64,
    count: u64,
    on: bool,
}

impl Progress {
    pub fn new(connect: &Connect, what: &'static str) -> Self {
        let now = Instant::now();
        let on = connect.progress || (!connect.quiet && std::io::stderr().is_terminal());
        Progress { what, started: now, said_at: now, said: 0, count: 0, on }
    }

    pub fn add(&mut self, count: u64) {
        self.count += count;
        if self.on && self.said_at.elapsed() >= Duration::from_secs(1) {
            let now = Instant::now();
            let rate = (self.count - self.said) as f64 / (now - self.said_at).as_secs_f64();
            eprintln!("{} {}, {rate:.0}/s", self.count, self.what);
            (self.said_at, self.said) = (now, self.count);
        }
    }

    pub fn finish(&self) {
        if self.on {
            let elapsed = self.started.elapsed();
            let rate = self.count as f64 / elapsed.as_secs_f64().max(0.001);
            eprintln!("{} {} in {:.1} s, {rate:.0}/s", self.count, self.what, elapsed.as_secs_f64());
        }
    }
}
