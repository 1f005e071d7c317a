//! What an hour of ten thousand queues takes in memory. The only test of its program, so that no other is measured.

mod support;

use std::sync::Arc;

use leveret_admin_model::state::Event;
use leveret_admin_model::{Route, query};

use support::connected;
use support::sample::{overview, queue};

const QUEUES: u64 = 10_000;
const HOUR: u64 = 3_600;
/// Of the 250 MiB for the whole program. Its window and the drawing in software take about 130.
const BUDGET_MIB: u64 = 60;

/// Memory of this program that is in use.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it tells of memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1_024
}

#[test]
fn an_hour_of_ten_thousand_queues_fits() {
    let mut console = connected();
    console.go(Route::Queues);
    let before = resident_mib();
    let queues: Vec<_> = (0..QUEUES)
        .map(|at| queue(&format!("tenant.{:05}.events.{at}", at % 977), at * 7_919 % 5_000, (at % 3) as u16))
        .collect();
    let queues = Arc::new(queues);
    for second in 1..=HOUR {
        let ctx = console.harness.ctx.clone();
        let app = console.harness.state_mut();
        app.state.now += 1_000;
        let answer = Event::Answered { key: query::overview().key, value: Arc::new(overview(second)) };
        app.fold(&ctx, answer);
        // Of each queue the last minute is kept, of one that is open the hour.
        if second > HOUR - 60 {
            app.fold(&ctx, Event::Answered { key: query::queues().key, value: Arc::clone(&queues) as _ });
        }
        let opened =
            Event::Answered { key: query::queue("/", "orders.paid").key, value: Arc::new(queues[0].clone()) };
        app.fold(&ctx, opened);
    }
    let now = console.harness.state().state.now;
    console.harness.state_mut().set_clock(now);
    console.run();
    assert!(console.has_text("10,000 queues"));
    assert_eq!(console.harness.state().state.samples.len() as u64, HOUR);
    let grown = resident_mib() - before;
    println!("{grown} MiB");
    assert!(grown <= BUDGET_MIB, "{grown} MiB");
}
