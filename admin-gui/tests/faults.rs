//! The console in front of a broker that fails, with its real network thread: it says what is wrong in words, keeps what
//! it knew, fainter and with its age, loses nothing that was typed, and recovers by itself.

mod support;

use std::time::{Duration, Instant};

use egui_kittest::kittest::Queryable;
use leveret_admin_model::Route;
use leveret_admin_model::state::Link;
use leveret_protocol::admin::events::{EventData, QueueChange};

use support::Console;
use support::sample::{self, queue};
use support::server::{FakeBroker, Fault};

/// What the console shows of each fault.
struct Shown<'a> {
    /// What is wrong, in words.
    words: &'a str,
    /// How old the data is.
    age: &'a str,
}

/// The list of queues is on the screen and something is typed when `fault` strikes all requests; then it is mended.
fn survives(fault: Fault, shown: &Shown<'_>) {
    let broker = FakeBroker::start();
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the queues", |console| console.has_label("orders.paid"));
    assert!(!console.is_faded("orders.paid"));
    console.type_into("Filter", "orders");

    broker.fail(fault, "");
    console.until_text(shown.words);
    console.until_text(shown.age);
    assert!(console.has_label("orders.paid"), "what was known stays");
    assert!(console.is_faded("orders.paid"), "and is told from what is new");
    assert_eq!(console.value_of("Filter").as_deref(), Some("orders"));
    console.type_into("Filter", ".paid");
    assert!(!console.has_label("orders.dlq"), "it goes on to work on what is known");

    let mut queues = sample::queues();
    queues.push(queue("orders.paid.late", 7, 0));
    broker.answer("/api/queues", &queues);
    broker.mend();
    console.until("what is new", |console| console.has_label("orders.paid.late"));
    console.until("no word of the fault", |console| {
        !console.has_text(shown.words) && !console.has_text(shown.age)
    });
    assert!(!console.is_faded("orders.paid"));
    assert_eq!(console.harness.state().state.link, Link::Live);
    assert_eq!(console.value_of("Filter").as_deref(), Some("orders.paid"));
}

#[test]
fn a_broker_that_answers_500() {
    survives(Fault::Status(500), &Shown { words: "The broker failed", age: " s old" });
}

#[test]
fn a_broker_that_hangs() {
    survives(Fault::Hang, &Shown { words: "no answer for", age: " s old" });
}

#[test]
fn a_broker_that_closes_connections() {
    let age = "What you see is from before that.";
    survives(Fault::Close, &Shown { words: "The broker cannot be reached for", age });
}

#[test]
fn a_broker_that_is_cut_off_in_the_middle_of_a_body() {
    let age = "What you see is from before that.";
    survives(Fault::CutBody, &Shown { words: "The broker cannot be reached for", age });
}

#[test]
fn something_else_that_answers_in_place_of_the_broker() {
    survives(Fault::NotJson, &Shown { words: "The broker's answer makes no sense", age: " s old" });
}

#[test]
fn a_broker_that_answers_something_else() {
    survives(Fault::OtherJson, &Shown { words: "The broker's answer makes no sense", age: " s old" });
}

#[test]
fn a_broker_that_is_slow() {
    let broker = FakeBroker::start();
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the queues", |console| console.has_label("orders.paid"));
    broker.fail(Fault::Slow(Duration::from_secs(5)), "/api/queues");
    let mut queues = sample::queues();
    queues.push(queue("orders.slow", 7, 0));
    broker.answer("/api/queues", &queues);
    console.until_text("no answer for 3 s");
    assert!(console.is_faded("orders.paid"));
    assert_eq!(console.harness.state().state.link, Link::Live, "only one list is slow");
    console.until("what is new", |console| console.has_label("orders.slow"));
    assert!(!console.has_text("no answer for"), "and it is there");
    assert!(!console.is_faded("orders.paid"));
}

/// The queues with these names, over the live feed.
fn queues_told(names: &[&str], part: QueueChange) -> EventData {
    let changed = names.iter().map(|name| queue(name, 7, 1)).collect();
    EventData::Queues(QueueChange { changed, ..part })
}

/// A part of a list; `more` of it follow.
fn part(snapshot: bool, more: bool) -> QueueChange {
    QueueChange { snapshot, more, ..QueueChange::default() }
}

#[test]
fn a_broker_that_hangs_with_its_live_feed_open() {
    let broker = FakeBroker::start();
    broker.tell(&queues_told(&["orders.paid"], part(true, false)));
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the live feed", |console| console.has_label("live") && console.has_label("orders.paid"));

    let began = Instant::now();
    broker.fail(Fault::Hang, "");
    console.until_text(" s old: no answer for");
    assert!(began.elapsed() < Duration::from_secs(25), "seen in {:?}", began.elapsed());
    assert!(console.is_faded("orders.paid"));

    broker.tell(&queues_told(&["orders.late"], part(false, false)));
    broker.mend();
    console.until("the live feed again", |console| console.has_label("live"));
    console.until("what is new", |console| console.has_label("orders.late"));
    assert!(!console.has_text("no answer for") && !console.is_faded("orders.paid"));
}

#[test]
fn a_live_feed_that_is_cut_off_is_opened_again_and_the_broker_is_asked_meanwhile() {
    let broker = FakeBroker::start();
    broker.tell(&queues_told(&["orders.paid"], part(true, false)));
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the live feed", |console| console.has_label("live") && console.has_label("orders.paid"));

    broker.answer("/api/queues", &[queue("orders.asked", 7, 1)]);
    broker.fail(Fault::Close, "/api/events");
    console.until_text("polled every");
    console.until("what it answers", |console| console.has_label("orders.asked"));
    assert_eq!(console.harness.state().state.link, Link::Live, "only the feed is gone");

    broker.mend();
    console.until("the live feed again", |console| console.has_label("live"));
    console.until("what it tells", |console| console.has_label("orders.paid"));
}

/// The live feed says what `fault` makes of it, while the lists can be had; then nothing can be had.
fn survives_nonsense(fault: Fault, detail: &str) {
    let broker = FakeBroker::start();
    broker.tell(&queues_told(&["orders.paid"], part(true, false)));
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the live feed", |console| console.has_label("live") && console.has_label("orders.paid"));
    console.type_into("Filter", "orders");

    broker.answer("/api/queues", &[queue("orders.asked", 7, 1)]);
    broker.fail(fault, "/api/events");
    console.until("what it answers", |console| console.has_label("orders.asked"));
    console.until_text(INTERRUPTED);
    console.harness.get_by_label_contains(INTERRUPTED).hover();
    console.until_text(detail);
    assert!(!console.is_faded("orders.asked"), "it was asked");

    broker.fail(Fault::OtherJson, "");
    console.until_text(" s old: The broker's answer makes no sense");
    assert!(console.is_faded("orders.asked"));

    broker.mend();
    console.until("the live feed again", |console| console.has_label("live"));
    console.until("what it tells", |console| console.has_label("orders.paid"));
    assert!(!console.has_text(" s old") && !console.is_faded("orders.paid"));
    assert_eq!(console.value_of("Filter").as_deref(), Some("orders"));
}

const INTERRUPTED: &str = "no live feed, polled every";

#[test]
fn a_live_feed_that_is_no_json() {
    survives_nonsense(Fault::NotJson, "GET /api/events: expected value");
}

#[test]
fn a_live_feed_of_something_else() {
    survives_nonsense(Fault::OtherJson, "GET /api/events: invalid type: string \"forty-two\"");
}

#[test]
fn a_live_feed_without_an_end_of_its_line() {
    survives_nonsense(Fault::Endless, "GET /api/events: an event is larger than");
}

#[test]
fn a_live_feed_that_tells_more_than_this_console_knows() {
    let broker = FakeBroker::start();
    broker.tell(&queues_told(&["orders.paid"], part(true, false)));
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the live feed", |console| console.has_label("live") && console.has_label("orders.paid"));
    broker.tell_text(r#"{"topic":"weather","rain":true}"#);
    broker.tell(&queues_told(&["orders.late"], part(false, false)));
    console.until("what comes after it", |console| console.has_label("orders.late"));
    assert!(console.has_label("live") && console.has_label("orders.paid"));
}

#[test]
fn a_list_that_is_told_in_parts_is_shown_when_it_is_whole() {
    let broker = FakeBroker::start();
    broker.tell(&queues_told(&["told.a"], part(true, true)));
    broker.tell(&queues_told(&["told.b"], part(false, true)));
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("what it answers", |console| console.has_label("live") && console.has_label("orders.paid"));
    broker.tell(&queues_told(&["told.c"], part(false, false)));
    console.until("what it tells", |console| {
        let parts = ["told.a", "told.b", "told.c"].map(|name| console.has_label(name));
        assert_eq!(parts, [parts[0]; 3], "all or nothing");
        parts[0]
    });
    assert!(!console.has_label("orders.paid"));
}

#[test]
fn one_list_that_fails_leaves_the_others_alone() {
    let broker = FakeBroker::start();
    let mut console = Console::on(&broker.url(), Route::Exchanges);
    broker.fail(Fault::Status(503), "/api/queues");
    console.until("the exchanges", |console| console.has_label("amq.topic"));
    console.go(Route::Queues);
    console.until_text("The broker failed");
    assert!(console.has_text("the disk is on fire"), "what it said is there");
    assert!(console.has_label("Try again"));
    console.go(Route::Exchanges);
    assert!(console.has_label("amq.topic") && !console.has_text("The broker failed"));
    broker.mend();
    console.go(Route::Queues);
    console.until("the queues", |console| console.has_label("orders.paid"));
}

#[test]
fn a_broker_that_is_not_there_yet() {
    let broker = FakeBroker::start();
    broker.fail(Fault::Close, "");
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until_text("The broker cannot be reached for");
    console.until_text("Trying again");
    broker.mend();
    console.until("the queues", |console| console.has_label("orders.paid"));
    assert!(!console.has_text("The broker cannot be reached"));
}

#[test]
fn a_password_that_is_not_taken_is_not_tried_again_and_again() {
    let broker = FakeBroker::start();
    broker.fail(Fault::Login, "");
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until_text("The broker does not accept this user and password");
    assert!(matches!(console.harness.state().state.link, Link::Lost { retry_at: None, .. }));
    assert!(!console.has_text("Trying again"));
}

#[test]
fn a_form_keeps_what_was_typed_until_the_broker_has_taken_it() {
    let broker = FakeBroker::start();
    let mut console = Console::on(&broker.url(), Route::Queues);
    console.until("the queues", |console| console.has_label("orders.paid"));
    console.click("New queue");
    console.type_into("Name", "订单.退款");
    console.click("Add an argument");
    console.type_into("Argument 1", "x-max-length");
    console.type_into("Value of argument 1", "1000");
    for (fault, words) in [
        (Fault::Status(500), "The broker failed: "),
        (Fault::CutBody, "The broker cannot be reached: "),
        (Fault::Close, "The broker cannot be reached: "),
        (Fault::Hang, "The broker does not answer in time: "),
    ] {
        broker.fail(fault, "/api/queues/%2F/%E8%AE%A2");
        console.click("Declare");
        if fault == Fault::Hang {
            console.until("that it is on its way", |console| console.has_label("Sending…"));
        }
        console.until_text(words);
        assert_eq!(console.value_of("Name").as_deref(), Some("订单.退款"));
        assert_eq!(console.value_of("Argument 1").as_deref(), Some("x-max-length"));
        assert_eq!(console.value_of("Value of argument 1").as_deref(), Some("1000"));
    }
    broker.fail(Fault::NotJson, "/api/queues/%2F/%E8%AE%A2");
    console.click("Declare");
    // Nobody reads the body of an answer to a PUT: that it was taken is in its status.
    console.until_text("Declared: 订单.退款");
    assert!(console.harness.query_by_label("Argument 1").is_none(), "the form is closed");
}

#[test]
fn a_message_that_could_not_be_published_is_still_there() {
    let broker = FakeBroker::start();
    let mut console = Console::on(&broker.url(), Route::Messages);
    console.until("a connection", |console| console.harness.state().state.is_live());
    console.type_into("Routing key", "orders.paid");
    console.type_into("Payload", "{}");
    let payload = console.value_of("Payload");
    let publish =
        |console: &Console| console.harness.get_all_by_label("Publish").last().expect("a button").click();
    for fault in [Fault::Status(500), Fault::Close] {
        broker.fail(fault, "/api/exchanges/%2F/amq.default/publish");
        publish(&console);
        console.until_text("It was not published: ");
        assert_eq!(console.value_of("Routing key").as_deref(), Some("orders.paid"));
        assert_eq!(console.value_of("Payload"), payload);
    }
    broker.fail(Fault::Hang, "/api/exchanges/%2F/amq.default/publish");
    publish(&console);
    console.until_text("Sending…");
    // Whoever is impatient does not send it twice.
    publish(&console);
    broker.mend();
    console.until_text("It was routed to at least one queue.");
    assert_eq!(broker.changes(), ["POST /api/exchanges/%2F/amq.default/publish"]);
}
