//! CPU time of the thread that draws: neighbours on the machine do not count.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// CPU time of this thread since it began, to the last time that the system looked: every few milliseconds.
pub fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number first");
    Duration::from_nanos(nanoseconds)
}

/// Held by who measures: a neighbour on the same core takes its caches away.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until nobody else measures.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What it costs when caches are warm: the least of five means over many times.
pub fn cost(times: u32, mut act: impl FnMut()) -> Duration {
    let _alone = alone();
    act();
    let means = (0..5).map(|_| {
        let before = cpu();
        for _ in 0..times {
            act();
        }
        // A thread that gives its core away is looked at.
        std::thread::yield_now();
        (cpu() - before) / times
    });
    means.min().expect("there are five")
}
