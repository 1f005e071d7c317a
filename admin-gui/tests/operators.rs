//! Message flow, dead letters, and what operators set up, by what a screen reader says of them. Glyphs that are in no
//! font and inputs without a name fail every one of these tests.

mod support;

use std::time::Duration;

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use leveret_admin_model::intent::Effect;
use leveret_admin_model::query::Request;
use leveret_admin_model::settings::{Language, Look, Settings};
use leveret_admin_model::state::Event;
use leveret_admin_model::{Problem, ProblemKind, Route, lookups, query};
use leveret_protocol::admin as api;
use leveret_protocol::admin::audit::{AuditEntry, AuditPage};
use leveret_protocol::admin::delayed::{DelayedMessage, DelayedPage};
use leveret_protocol::admin::events::AlarmReport;
use leveret_protocol::admin::messages::{Death, MessageFilter, MessagePage, QueuedMessage};
use leveret_protocol::admin::operations::{
    Operation, OperationKind, OperationPlan, OperationRequest, OperationState, PlannedRoute, SkippedMessages,
};
use leveret_protocol::admin::policies::Policy;
use leveret_protocol::admin::topology::{
    TopologyEdge, TopologyGraph, TopologyKind, TopologyLink, TopologyNode,
};
use serde_json::json;

use support::{Console, NOW};

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

/// With everything that these screens ask for.
fn filled(settings: Settings) -> Console {
    let mut console = Console::new(settings, true);
    console.put(&lookups::topology("/"), topology(120.0));
    console.put(&lookups::messages("/", "orders.dlq", &MessageFilter::default(), None), dead_letters());
    console.put(&lookups::operations(), vec![operation()]);
    console.put(&lookups::policies(false), vec![policy()]);
    console.put(&lookups::users(), vec![user("guest"), user("billing")]);
    let all = || ".*".to_owned();
    let permission = api::Permission {
        user: "guest".into(),
        vhost: "/".into(),
        configure: all(),
        write: all(),
        read: all(),
    };
    console.put(&lookups::permissions(), vec![permission]);
    console
        .put(&lookups::alarms(), AlarmReport { memory_used: 9, memory_limit: 10, ..AlarmReport::default() });
    console.put(&lookups::audit(None), audit());
    let here =
        json!({"queues": [{"name": "here", "vhost": "/", "durable": true}], "vhosts": [{"name": "/"}]});
    console.put(&lookups::definitions(None), here);
    let exchange = |name: &str, kind: &str| api::Exchange {
        name: name.to_owned(),
        vhost: "/".to_owned(),
        kind: kind.to_owned(),
        ..api::Exchange::default()
    };
    console
        .put(&query::exchanges(), vec![exchange("later", "x-delayed-message"), exchange("orders", "topic")]);
    let message = DelayedMessage {
        id: "d1".to_owned(),
        due_at: NOW + 90_000,
        payload: "call back".to_owned(),
        payload_encoding: "string".to_owned(),
        ..DelayedMessage::default()
    };
    console.put(
        &lookups::delayed("/", "later", None),
        DelayedPage { items: vec![message], next: None, total: 1 },
    );
    console
}

fn open(route: Route) -> Console {
    let mut console =
        filled(Settings { language: Language::English, reduce_motion: true, ..Settings::default() });
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

fn topology(rate: f64) -> TopologyGraph {
    let node = |id: &str, kind, detail: &str| TopologyNode {
        id: id.to_owned(),
        kind,
        name: id.split_once(':').map_or(id, |(_, name)| name).to_owned(),
        detail: detail.to_owned(),
        ready: if kind == TopologyKind::Queue { 1_234 } else { 0 },
        state: "running".to_owned(),
        ..TopologyNode::default()
    };
    let edge = |from: &str, to: &str, link| TopologyEdge {
        from: from.to_owned(),
        to: to.to_owned(),
        link,
        keys: vec!["order.#".to_owned()],
        bindings: 1,
        rate,
    };
    let mut graph = TopologyGraph {
        vhost: "/".to_owned(),
        nodes: vec![
            node("publisher:shop", TopologyKind::Publisher, "shop"),
            node("exchange:orders", TopologyKind::Exchange, "topic"),
            node("queue:orders.paid", TopologyKind::Queue, "classic"),
            node("exchange:dlx", TopologyKind::Exchange, "fanout"),
            node("queue:orders.dlq", TopologyKind::Queue, "classic"),
            node("exchange:amq.topic", TopologyKind::Exchange, "topic"),
        ],
        edges: vec![
            edge("publisher:shop", "exchange:orders", TopologyLink::Publish),
            edge("exchange:orders", "queue:orders.paid", TopologyLink::Binding),
            edge("queue:orders.paid", "exchange:dlx", TopologyLink::DeadLetter),
            edge("exchange:dlx", "queue:orders.dlq", TopologyLink::Binding),
        ],
        ..TopologyGraph::default()
    };
    for at in 0..3 {
        let id = format!("consumer:{at}");
        graph.edges.push(edge("queue:orders.paid", &id, TopologyLink::Consume));
        graph.nodes.push(node(&id, TopologyKind::Consumer, "worker"));
    }
    graph
}

fn dead_letters() -> MessagePage {
    let message = |position: u64| {
        let reason = if position.is_multiple_of(3) { "expired" } else { "rejected" };
        let death = Death {
            queue: "orders.paid".to_owned(),
            reason: reason.to_owned(),
            count: 2,
            exchange: "orders".to_owned(),
            routing_keys: vec!["order.paid".to_owned()],
            time: NOW / 1_000 - position,
        };
        QueuedMessage {
            id: format!("m{position}"),
            position,
            exchange: "dlx".to_owned(),
            routing_key: "order.paid".to_owned(),
            payload: json!({"order": position, "name": "王伟"}).to_string(),
            payload_encoding: "string".to_owned(),
            deaths: vec![death],
            ..QueuedMessage::default()
        }
    };
    MessagePage { items: (1..=9).map(message).collect(), ..MessagePage::default() }
}

fn operation() -> Operation {
    Operation {
        id: "7".to_owned(),
        kind: OperationKind::Requeue,
        state: OperationState::Running,
        vhost: "/".to_owned(),
        queue: "orders.dlq".to_owned(),
        destination: None,
        user: "guest".to_owned(),
        started_at: NOW - 2_000,
        finished_at: None,
        total: 400,
        seen: 100,
        done: 98,
        skipped: vec![],
        error: None,
    }
}

fn policy() -> Policy {
    Policy {
        vhost: "/".to_owned(),
        name: "limits".to_owned(),
        pattern: "^orders\\.".to_owned(),
        apply_to: "queues".to_owned(),
        priority: 1,
        definition: json!({"max-length": 1000}).as_object().cloned().unwrap_or_default(),
    }
}

fn user(name: &str) -> api::User {
    api::User {
        name: name.to_owned(),
        password_hash: "hash".to_owned(),
        hashing_algorithm: String::new(),
        tags: vec!["monitoring".to_owned()],
        limits: api::Arguments::new(),
    }
}

fn audit() -> AuditPage {
    let entry = AuditEntry {
        id: 1,
        at: NOW - 5_000,
        user: "guest".to_owned(),
        action: "purge".to_owned(),
        kind: "queue".to_owned(),
        name: "orders.paid".to_owned(),
        result: "ok".to_owned(),
        ..AuditEntry::default()
    };
    AuditPage { items: vec![entry], next: None }
}

#[test]
fn every_screen_draws_in_each_look_and_language() {
    for (look, language) in [
        (Look::Dark, Language::English),
        (Look::Light, Language::Chinese),
        (Look::HighContrast, Language::English),
    ] {
        let mut console = filled(Settings { look, language, reduce_motion: true, ..Settings::default() });
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
        let mut console = filled(Settings { reduce_motion: still, ..Settings::default() });
        console.put(&lookups::topology("/"), topology(rate));
        console.go(Route::Flow);
        let next_frame =
            console.harness.output().viewport_output.values().map(|viewport| viewport.repaint_delay).min();
        let rested = next_frame.is_none_or(|delay| delay > Duration::from_millis(500));
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
