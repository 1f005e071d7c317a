//! The screens, by what a screen reader says of them. Glyphs that are in no font and inputs without a name fail every
//! one of these tests.

mod support;

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use leveret_admin_model::intent::Effect;
use leveret_admin_model::route::QueueTab;
use leveret_admin_model::settings::{Language, Look, SavedBroker, Settings};
use leveret_admin_model::state::{Event, Link};
use leveret_admin_model::{Method, Problem, ProblemKind, Route, query};

use support::sample::queue;
use support::{Console, connected, sample_routes};

#[test]
fn every_screen_draws_with_data_in_each_look_and_language() {
    for (look, language) in [
        (Look::Dark, Language::English),
        (Look::Light, Language::Chinese),
        (Look::HighContrast, Language::English),
    ] {
        let settings = Settings { look, language, ..Settings::default() };
        let mut console = Console::new(settings, true);
        for route in sample_routes() {
            console.go(route);
        }
    }
}

#[test]
fn every_screen_draws_before_there_is_data_and_when_it_cannot_be_had() {
    let mut console = Console::new(Settings::default(), false);
    for route in sample_routes() {
        console.go(route.clone());
        console.later(1_000);
        console.run();
    }
    for kind in [ProblemKind::Forbidden, ProblemKind::Server, ProblemKind::Malformed] {
        for route in sample_routes() {
            console.fail_all(kind);
            console.go(route);
        }
    }
}

#[test]
fn what_needs_attention_is_listed_with_the_most_urgent_first_and_the_others_can_be_seen() {
    let mut console = connected();
    let unattended = (1..=5).map(|at| queue(&format!("unattended.{at}"), 1_000 * at, 0));
    let dead = (1..=5).map(|at| queue(&format!("orders.{at}.dlq"), at, 0));
    console.put(&query::queues(), unattended.chain(dead).collect());
    console.go(Route::Overview);
    assert!(console.has_text("unattended.5: nobody consumes"));
    let least = "orders.3.dlq: 3 dead letters";
    assert!(!console.has_text(least));
    console.click("Less urgent");
    assert!(console.has_text(least), "{}", console.words());
}

#[test]
fn the_bar_has_room_for_long_names_in_the_smallest_window() {
    let mut console = Console::sized(Settings::default(), true, [1024.0, 640.0]);
    let name = "orders in the data centre at the lake, behind the second firewall".to_owned();
    let broker =
        SavedBroker { name: name.clone(), production: true, read_only: true, ..SavedBroker::default() };
    let state = &mut console.harness.state_mut().state;
    state.broker = Some(broker);
    state.vhost = Some("everything.of.the.shop.in.europe".to_owned());
    console.run();
    let parts = [&*name, "Choose a vhost", "Find anything", "polled every", "Refresh"]
        .map(|part| console.harness.query_all_by_label_contains(part).next().expect(part).rect());
    for (left, right) in parts.iter().zip(&parts[1..]) {
        assert!(left.right() <= right.left(), "{parts:?}");
    }
}

#[test]
fn every_screen_keeps_its_data_when_the_broker_is_lost() {
    let mut console = Console::new(Settings::default(), true);
    console.lose();
    for route in sample_routes() {
        console.go(route.clone());
        if route.needs_broker() {
            assert!(console.has_text("The broker cannot be reached"), "{route}");
        }
    }
    console.go(Route::Queues);
    assert!(console.has_label("orders.paid"));
}

#[test]
fn a_queue_is_found_by_filter_and_opened_by_its_name() {
    let mut console = connected();
    console.go(Route::Queues);
    console.type_into("Filter", "ready>1k -name:dlq");
    assert!(console.has_label("orders.backlog") && !console.has_label("orders.paid"));
    console.click("orders.backlog");
    assert_eq!(console.route(), Route::queue("/", "orders.backlog"));
    console.press(Modifiers::ALT, Key::ArrowLeft);
    assert_eq!(console.route(), Route::Queues);
    assert!(
        console.has_label("orders.backlog") && !console.has_label("orders.paid"),
        "the filter is still there"
    );
}

#[test]
fn a_filter_that_takes_nothing_says_so_and_can_be_cleared() {
    let mut console = connected();
    console.go(Route::Queues);
    console.type_into("Filter", "nosuchqueue");
    assert!(console.has_text("Nothing matches"));
    console.harness.get_all_by_label("Clear the filter").last().expect("a button").click();
    console.run();
    assert!(console.has_label("orders.paid"));
}

#[test]
fn a_queue_is_deleted_only_after_its_name_was_typed() {
    let mut console = connected();
    console.go(Route::queue("/", "orders.backlog"));
    console.click("Delete…");
    assert!(console.has_text("12,345 messages are lost"));
    console.press(Modifiers::NONE, Key::Enter);
    assert!(console.acts().is_empty(), "Enter does not confirm");
    console.click("Delete…");
    console.click("Delete the queue");
    assert!(console.acts().is_empty(), "the name was not typed");
    console.type_into("Type orders.backlog to go on", "orders.backlog");
    console.click("Delete the queue");
    let acts = console.acts();
    let [Effect::Act { requests, .. }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(requests[0].method, Method::Delete);
    assert_eq!(requests[0].path, "/api/queues/%2F/orders.backlog");
}

#[test]
fn nothing_can_be_changed_on_a_broker_that_is_read_only() {
    let mut console = connected();
    if let Some(broker) = &mut console.harness.state_mut().state.broker {
        broker.read_only = true;
    }
    console.go(Route::queue("/", "orders.backlog"));
    console.click("Purge…");
    assert!(console.harness.state().state.danger.is_none());
    assert!(console.acts().is_empty());
}

#[test]
fn the_palette_finds_queues_by_a_few_letters() {
    let mut console = connected();
    console.press(Modifiers::COMMAND, Key::K);
    console
        .harness
        .get_by_role_and_label(eframe::egui::accesskit::Role::TextInput, "Find anything")
        .type_text("backl");
    console.run();
    console.press(Modifiers::NONE, Key::Enter);
    assert_eq!(console.route(), Route::queue("/", "orders.backlog"));
}

#[test]
fn a_queue_is_declared_and_can_be_taken_back() {
    let mut console = connected();
    console.go(Route::Queues);
    console.click("New queue");
    console.type_into("Name", "订单.支付");
    console.click("Declare");
    let acts = console.acts();
    let [Effect::Act { id, requests }] = acts.as_slice() else { panic!("{acts:?}") };
    assert_eq!(requests[0].path, "/api/queues/%2F/%E8%AE%A2%E5%8D%95.%E6%94%AF%E4%BB%98");
    console.fold(Event::Acted { id: *id, result: Ok(()) });
    assert!(console.has_text("Declared: 订单.支付"));
    console.click("Undo");
    assert_eq!(console.acts().len(), 1);
}

#[test]
fn messages_are_looked_at_without_taking_them_and_rabbitmq_is_told_from_leveret() {
    let mut console = connected();
    let route =
        Route::Queue { vhost: "/".to_owned(), name: "orders.paid".to_owned(), tab: QueueTab::Messages };
    console.go(route.clone());
    assert!(console.has_text("Looking does not touch"));
    assert!(console.has_text("\"amount\": 4200"));
    let product = leveret_admin_model::state::Product {
        name: "RabbitMQ".to_owned(),
        version: "3.10.8".to_owned(),
        node: "rabbit@host".to_owned(),
    };
    console.harness.state_mut().state.product = Some(product);
    console.run();
    assert!(console.has_text("does not offer this"));
}

#[test]
fn messages_of_a_queue_are_listed_and_who_holds_them_is_told() {
    let mut console = connected();
    for tab in [QueueTab::Messages, QueueTab::Unacked] {
        console.go(Route::Queue { vhost: "/".to_owned(), name: "orders.paid".to_owned(), tab });
        let row = |number| format!("{{\"order\": {number}, \"amount\": 4200}}");
        let rows = [1, 2, 3].map(|number| console.harness.get_by_label(&row(number)).rect());
        assert!(rows.windows(2).all(|pair| pair[0].bottom() < pair[1].bottom()), "{rows:?}");
        let is_held = tab == QueueTab::Unacked;
        assert_eq!(console.has_text("by ctag-0, over"), is_held);
        assert_eq!(console.has_text("and not settled for 1 min"), is_held);
    }
}

#[test]
fn keys_select_and_open_rows() {
    let mut console = connected();
    console.go(Route::Queues);
    console.press(Modifiers::NONE, Key::ArrowDown);
    console.press(Modifiers::SHIFT, Key::ArrowDown);
    assert!(console.has_text("2 selected"));
    console.press(Modifiers::NONE, Key::Escape);
    assert!(!console.has_text("selected"));
    console.press(Modifiers::NONE, Key::Enter);
    assert!(matches!(console.route(), Route::Queue { .. }));
}

#[test]
fn typed_input_survives_a_lost_broker() {
    let mut console = connected();
    console.go(Route::exchange("/", "orders"));
    console.type_into("Payload", "half a sentence");
    console.lose();
    console.run();
    assert_eq!(console.value_of("Payload").as_deref(), Some("half a sentence"));
}

#[test]
fn nothing_is_drawn_when_nothing_changes() {
    let mut console = connected();
    for route in sample_routes() {
        console.go(route.clone());
        let frames = console.harness.run();
        assert!(frames <= 2, "{route}: {frames} frames");
    }
}

#[test]
fn an_answer_in_time_ends_the_waiting_and_a_late_one_is_marked_with_its_age() {
    let mut console = connected();
    console.go(Route::Exchanges);
    console.fold(Event::Failed {
        key: query::exchanges().key,
        problem: Problem::new(ProblemKind::Server, "GET /api/exchanges", "boom"),
    });
    console.later(7_000);
    console.run();
    assert!(console.has_text("7 s old"));
    assert!(console.has_label("orders"));
    assert_eq!(console.harness.state().state.link, Link::Live);
}
