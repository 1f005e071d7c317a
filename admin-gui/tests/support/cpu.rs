//! CPU time of the thread that draws: neighbours on the machine do not count.

use std::time::Duration;

/// CPU time of this thread since it began, to the last time that the system looked: every few milliseconds.
pub fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number first");
    Duration::from_nanos(nanoseconds)
}

/// What it costs when caches are warm: the least of three means over many times.
pub fn cost(times: u32, mut act: impl FnMut()) -> Duration {
    act();
    let means = (0..3).map(|_| {
        let before = cpu();
        for _ in 0..times {
            act();
        }
        // A thread that gives its core away is looked at.
        std::thread::yield_now();
        (cpu() - before) / times
    });
    means.min().expect("there are three")
}
