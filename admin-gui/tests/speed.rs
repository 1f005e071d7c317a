//! What a frame costs, in CPU time of the thread that draws: neighbours on the machine do not count.

mod support;

use std::time::Duration;

use leveret_admin_model::filter::{Cell, Column};
use leveret_admin_model::index::{Index, Sort};
use leveret_admin_model::{Route, query};
use leveret_protocol::admin::Queue;

use support::{Console, connected, queue};

/// CPU time of this thread since it began, to the last time that the system looked: every few milliseconds.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number first");
    Duration::from_nanos(nanoseconds)
}

/// What it costs when caches are warm: the least of three means over many times.
fn cost(times: u32, mut act: impl FnMut()) -> Duration {
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

fn many(count: usize) -> Vec<Queue> {
    (0..count)
        .map(|at| {
            queue(&format!("tenant.{:05}.events.{at}", at % 977), (at as u64 * 7919) % 5_000, (at % 3) as u16)
        })
        .collect()
}

fn frame_with(count: usize) -> Duration {
    let mut console: Console = connected();
    console.put(&query::queues(), many(count));
    console.go(Route::Queues);
    cost(100, || console.harness.step())
}

#[test]
fn a_frame_costs_little_and_no_more_with_a_hundred_thousand_queues() {
    let ten = frame_with(10_000);
    let hundred = frame_with(100_000);
    println!("frame with 10,000 queues {ten:?}, with 100,000 {hundred:?}");
    assert!(ten < Duration::from_millis(4), "{ten:?}");
    assert!(hundred < ten * 2, "{hundred:?} against {ten:?}");
}

#[test]
fn sorting_and_filtering_ten_thousand_rows_is_quick() {
    const COLUMNS: &[Column<Queue>] = &[
        Column::new("name", &[], |queue| Cell::text(queue.name.as_str())),
        Column::new("ready", &[], |queue| Cell::count(queue.totals.messages_ready)),
    ];
    let rows = many(10_000);
    for (filter, sort) in [
        ("", Sort::ascending("name")),
        ("", Sort::descending("ready")),
        ("events.7 ready>100", Sort::ascending("name")),
        ("name:tenant.0*9", Sort::descending("ready")),
    ] {
        let mut version = 0;
        let mut index = Index::default();
        let spent = cost(30, || {
            version += 1;
            index.update(&rows, version, COLUMNS, "", |_| true, filter, sort);
        });
        println!("{filter:?} {sort:?}: {spent:?}, {} rows", index.len());
        assert!(spent < Duration::from_millis(5), "{filter:?} {sort:?}: {spent:?}");
    }
}
