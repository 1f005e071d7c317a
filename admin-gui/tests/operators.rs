//! Message flow, dead letters, and what operators set up, by what a screen reader says of them. Glyphs that are in no
//! font and inputs without a name fail every one of these tests.

mod support;

use std::time::Duration;

use eframe::egui::epaint::ClippedShape;
use eframe::egui::{Key, Modifiers, Shape};
use egui_kittest::kittest::Queryable;
use leveret_admin_model::intent::Effect;
use leveret_admin_model::query::Request;
use leveret_admin_model::settings::{Language, Look, Settings};
use leveret_admin_model::state::Event;
use leveret_admin_model::{Problem, ProblemKind, Route, lookups, query};
use leveret_protocol::admin as api;
use leveret_protocol::admin::messages::MessageFilter;
use leveret_protocol::admin::operations::{
    OperationKind, OperationPlan, OperationRequest, PlannedRoute, SkippedMessages,
};
use serde_json::json;

use support::Console;
use support::sample::{queue, queues, topology};

fn routes() -> Vec<Route> {
    vec![
        Route::Flow,
        Route::DeadLetters,
        Route::DeadQueue { vhost: "/".to_owned(), name: "orders.dlq".to_owned() },
        Route::Messages,
        Route::Delayed,
        Route::Policies,
        Route::Access,
        Route::Definitions,
        Route::Alarms,
    ]
}

fn open(route: Route) -> Console {
    let mut console = Console::new(Settings { reduce_motion: true, ..Settings::default() }, true);
    console.go(route);
    console
}

/// The requests of the only action that was sent.
fn sent(console: &mut Console) -> Vec<Request> {
    let mut acts = console.acts();
    match (acts.pop(), acts.is_empty()) {
        (Some(Effect::Act { requests, .. }), true) => requests,
        (last, _) => panic!("{last:?} after {acts:?}"),
    }
}

#[test]
fn every_screen_draws_in_each_look_and_language() {
    for (look, language) in [
        (Look::Dark, Language::English),
        (Look::Light, Language::Chinese),
        (Look::HighContrast, Language::English),
    ] {
        let mut console =
            Console::new(Settings { look, language, reduce_motion: true, ..Settings::default() }, true);
        routes().into_iter().for_each(|route| console.go(route));
    }
}

#[test]
fn every_screen_draws_without_data_and_when_it_cannot_be_had() {
    let mut console = Console::new(Settings::default(), false);
    for route in routes() {
        console.go(route);
        console.later(1_000);
        console.run();
    }
    let keys = [
        lookups::topology("/").key,
        lookups::messages("/", "orders.dlq", &MessageFilter::default(), None).key,
        lookups::operations().key,
        lookups::policies(false).key,
        lookups::users().key,
        lookups::alarms().key,
        lookups::audit(None).key,
        lookups::definitions(None).key,
        query::queues().key,
        query::exchanges().key,
    ];
    for kind in [ProblemKind::Forbidden, ProblemKind::Server, ProblemKind::NotFound] {
        for key in &keys {
            console.fold(Event::Failed { key: key.clone(), problem: Problem::new(kind, "GET", "because") });
        }
        routes().into_iter().for_each(|route| console.go(route));
    }
}

#[test]
fn every_screen_keeps_its_data_when_the_broker_is_lost() {
    let mut console = open(Route::Flow);
    console.lose();
    routes().into_iter().for_each(|route| console.go(route));
    console.go(Route::Flow);
    assert!(console.has_text("Queue orders.paid"));
}

#[test]
fn the_flow_says_what_each_node_is_and_where_it_leads() {
    let console = open(Route::Flow);
    assert!(console.has_text("Queue orders.paid; 1,234 ready, 0 unacknowledged"));
    assert!(console.has_text("Consumer worker; 3 of them"));
    assert!(console.has_text("from orders; to dlx, worker"));
    assert!(!console.has_text("Exchange amq.topic"), "what nobody uses is not shown");
}

#[test]
fn a_node_of_the_flow_is_picked_and_leads_on() {
    let mut console = open(Route::Flow);
    console.harness.get_by_label_contains("Queue orders.paid;").click();
    console.run();
    assert!(console.has_label("Comes from") && console.has_label("Goes to"));
    console.click("Open queue");
    assert_eq!(console.route(), Route::queue("/", "orders.paid"));
    console.go(Route::Flow);
    console.press(Modifiers::NONE, Key::Escape);
    assert!(!console.has_label("Comes from"));
}

#[test]
fn the_flow_is_a_table_too() {
    let mut console = open(Route::Flow);
    console.click("Table");
    assert!(console.has_text("dead letters") && console.has_text("orders.dlq"));
}

#[test]
fn a_node_is_found_by_its_name() {
    let mut console = open(Route::Flow);
    console.type_into("Find in the drawing", "dlq");
    assert!(console.has_label("1 of 1"));
    console.click("Next one found");
    assert!(console.has_label("Comes from"));
}

#[test]
fn a_broker_without_the_graph_is_drawn_from_its_lists() {
    let mut console = open(Route::Overview);
    let rabbit = api::Overview { product_name: "RabbitMQ".to_owned(), ..api::Overview::default() };
    let user = api::WhoAmI { name: "guest".to_owned(), tags: vec![] };
    console.fold(Event::Connected { broker: Box::new(rabbit), user });
    console.go(Route::Flow);
    assert!(console.has_text("RabbitMQ does not tell what passes a binding"));
    assert!(console.has_text("Queue orders.paid"));
}

#[test]
fn nothing_moves_when_nothing_flows_or_motion_is_off() {
    for (rate, still, rests) in [(0.0, false, true), (120.0, true, true), (120.0, false, false)] {
        let mut console = Console::new(Settings { reduce_motion: still, ..Settings::default() }, true);
        console.put(&lookups::topology("/"), topology(rate));
        console.go(Route::Flow);
        let next_frame = console.next_frame();
        let rested = next_frame > Duration::from_millis(500);
        assert_eq!(rested, rests, "{rate} messages per second, motion reduced: {still}, {next_frame:?}");
    }
}

#[test]
fn queues_of_dead_letters_are_found_and_their_messages_grouped() {
    let console = open(Route::DeadLetters);
    assert!(console.has_text("orders.dlq: 42"));
    assert!(console.has_text("rejected in orders.paid: 6 of the 9 looked at"));
    assert!(console.has_text("expired in orders.paid: 3 of the 9 looked at"));
}

#[test]
fn a_queue_of_dead_letters_that_many_fill_says_them_all() {
    let mut console = open(Route::DeadLetters);
    let names: Vec<String> = (1..=12).map(|at| format!("tenant.{at:02}.orders.eu")).collect();
    let from_many = names.iter().map(|name| {
        let target = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "orders.dlq")];
        let arguments = target.map(|(name, value)| (name.to_owned(), json!(value))).into_iter().collect();
        api::Queue { arguments, ..queue(name, 0, 1) }
    });
    console.put(&query::queues(), queues().into_iter().chain(from_many).collect());
    console.run();
    let from = format!("from {}", names.join(", "));
    let is_cut = |clipped: &ClippedShape| match &clipped.shape {
        Shape::Text(text) => text.galley.elided && text.galley.text() == from,
        _ => false,
    };
    assert!(console.harness.output().shapes.iter().any(is_cut), "with an ellipsis");
    console.harness.get_by_label_contains("orders.dlq: 42").hover();
    console.run();
    assert!(console.has_text(&format!("orders.dlq\n{from}")));
}

#[test]
fn a_dead_letter_tells_its_story() {
    let mut console = open(Route::DeadLetters);
    console.press(Modifiers::NONE, Key::ArrowDown);
    assert!(console.has_label("What happened"));
    assert!(console.has_label("Rejected by a consumer of"));
    assert!(console.has_text("2 times, first at 2026-11-22"));
}

#[test]
fn a_row_is_picked_with_the_pointer() {
    let mut console = open(Route::DeadLetters);
    console.harness.get_by_label_contains("\"order\":2}").click();
    console.run();
    assert!(console.has_text("1 selected"));
    assert!(console.has_label("What happened"));
}

#[test]
fn requeueing_asks_for_a_plan_and_does_nothing_before_it_is_confirmed() {
    let mut console = open(Route::DeadLetters);
    console.click("Requeue…");
    assert!(console.acts().is_empty());
    let route = PlannedRoute { exchange: "orders".into(), messages: 8, ..PlannedRoute::default() };
    let skipped = SkippedMessages { reason: "no route".into(), messages: 1, examples: vec![] };
    let plan = OperationPlan {
        total: 9,
        selected: 9,
        complete: true,
        routes: vec![route],
        skipped: vec![skipped],
        ..OperationPlan::default()
    };
    let asked = lookups::plan(OperationKind::Requeue, "/", "orders.dlq", &OperationRequest::default());
    console.put(&asked, plan);
    console.run();
    assert!(console.has_text("9 messages of 9 in the queue"));
    assert!(console.has_text("1 stays where it is: no route"));
    console.click("Requeue 8 messages");
    let requests = sent(&mut console);
    assert_eq!(requests[0].path, "/api/queues/%2F/orders.dlq/requeue");
    assert!(requests[0].body.as_ref().is_some_and(|body| body.contains("\"dry_run\":false")));
}

#[test]
fn an_operation_shows_how_far_it_is_and_can_be_stopped() {
    let mut console = open(Route::DeadLetters);
    assert!(console.has_label("98 of 400"));
    console.click("Stop");
    assert_eq!(sent(&mut console)[0].summary(), "DELETE /api/operations/7");
}

#[test]
fn a_policy_says_what_it_will_hold_for_before_it_is_saved() {
    let mut console = open(Route::Policies);
    console.click("New policy");
    console.type_into("Pattern", "^orders");
    assert!(console.has_text("Applies to 3 queues and 0 exchanges"));
    console.type_into("Pattern", "(");
    assert!(console.has_text("This is no regular expression"));
}

#[test]
fn a_delayed_message_is_sent_now_or_deleted_after_a_question() {
    let mut console = open(Route::Delayed);
    console.press(Modifiers::NONE, Key::ArrowDown);
    console.click("Send now");
    assert_eq!(sent(&mut console)[0].summary(), "POST /api/exchanges/%2F/later/delayed/d1/release");
    console.click("Delete…");
    assert!(console.acts().is_empty());
    console.click("Delete 1 message");
    assert_eq!(sent(&mut console)[0].summary(), "DELETE /api/exchanges/%2F/later/delayed/d1");
}

#[test]
fn definitions_are_compared_and_only_what_was_chosen_is_imported() {
    let mut console = open(Route::Definitions);
    let queue = |name: &str, durable: bool| json!({"name": name, "vhost": "/", "durable": durable});
    let file = json!({"queues": [queue("here", false), queue("new", true)]});
    console.type_into("Definitions as JSON", &file.to_string());
    console.click("Compare");
    assert!(console.has_text("1 new, 1 different, 0 the same, 1 only here"));
    assert!(console.has_text("An import leaves it as it is."), "what was declared cannot be replaced");
    console.click("All");
    console.click("Import 1 definition");
    assert!(console.acts().is_empty(), "it asks first");
    assert!(console.has_text("1 is added, 0 that exist are replaced"));
}

#[test]
fn a_message_is_not_published_while_it_cannot_be() {
    let mut console = open(Route::Messages);
    console.click("More properties");
    console.type_into("Priority", "300");
    assert!(console.has_text("The priority is a number from 0 to 255."));
}

#[test]
fn who_changed_what_is_told() {
    let mut console = open(Route::Alarms);
    console.click("Audit log");
    assert!(console.has_text("purge") && console.has_text("orders.paid"));
    console.click("Operations");
    assert!(console.has_text("98 of 400"));
}

#[test]
fn users_are_opened_with_their_permissions() {
    let mut console = open(Route::Access);
    console.click("billing");
    assert!(console.has_label("Grant"));
}
