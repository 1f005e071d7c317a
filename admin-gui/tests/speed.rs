//! What the console costs, in CPU time of the thread that draws: neighbours on the machine do not count.

mod support;

use std::sync::Arc;
use std::time::Duration;

use leveret_admin_model::filter::{Cell, Column};
use leveret_admin_model::index::{Index, Sort};
use leveret_admin_model::settings::Settings;
use leveret_admin_model::state::Event;
use leveret_admin_model::{Route, lookups, query};
use leveret_protocol::admin::Queue;
use leveret_protocol::admin::events::EventData;

use support::cpu::cost;
use support::places::places;
use support::sample::{overview, queue, topology};
use support::server::FakeBroker;
use support::{Console, connected};

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

#[test]
fn no_frame_is_drawn_when_nothing_changes() {
    // Either nothing flows, or what flows does not move.
    for (reduce_motion, rate) in [(false, 0.0), (true, 120.0)] {
        for place in places() {
            let mut console = Console::new(Settings { reduce_motion, ..Settings::default() }, true);
            console.put(&lookups::topology("/"), topology(rate));
            console.visit(&place);
            assert_eq!(console.next_frame(), Duration::MAX, "{} asks for another frame", place.name);
        }
    }
}

#[test]
fn no_frame_is_drawn_while_a_connected_broker_has_no_news() {
    let broker = FakeBroker::start();
    broker.answer("/api/topology", &topology(0.0));
    broker.tell(&EventData::Topology { generation: 1 });
    for route in [Route::Overview, Route::Queues, Route::Exchanges, Route::Flow] {
        let mut console = Console::on_with(Settings::default(), &broker.url(), route.clone());
        console.until("the live feed", |console| console.has_label("live"));
        // What came with the connection is drawn before.
        let frames: Vec<usize> =
            (0..10).map(|_| console.frames_within(QUIET)).take_while(|drawn| *drawn > 0).collect();
        assert!(frames.len() < 10, "{route}: there was always something to draw: {frames:?}");
    }
}

/// Time for the feed to say several times that there is nothing to say, and for lists to be asked for again.
const QUIET: Duration = Duration::from_secs(4);

#[test]
fn a_second_of_news_of_ten_thousand_queues_takes_two_hundredths_of_a_core() {
    let answers = [many(10_000), many(10_000)].map(Arc::new);
    for place in places() {
        let mut console = Console::new(Settings { reduce_motion: true, ..Settings::default() }, true);
        console.visit(&place);
        console.put(&query::queues(), many(10_000));
        let mut second = 0;
        let spent = cost(10, || {
            second += 1;
            console.later(1_000);
            let ctx = console.harness.ctx.clone();
            let queues = Arc::clone(&answers[second % 2]);
            let app = console.harness.state_mut();
            app.state.now += 1_000;
            app.fold(&ctx, Event::Answered { key: query::queues().key, value: queues });
            app.fold(
                &ctx,
                Event::Answered { key: query::overview().key, value: Arc::new(overview(second as u64)) },
            );
            // What comes within a tenth of a second is drawn together; a list and the totals may miss each other.
            console.harness.step();
            console.harness.step();
        });
        println!("{}: {spent:?} a second", place.name);
        assert!(spent < Duration::from_millis(20), "{}: {spent:?}", place.name);
    }
}
