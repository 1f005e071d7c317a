//! One place of each kind in the console, with what is to be read there.

use leveret_admin_model::Route;
use leveret_admin_model::route::QueueTab;

use super::sample::connection;

/// A place, and what is to be read there.
pub struct Place {
    /// Names its pictures.
    pub name: &'static str,
    pub route: Route,
    /// What is pressed there, one after the other, to see what is meant: a tab has no route of its own.
    pub press: &'static [&'static str],
    /// What it shows of the sample.
    pub full: &'static str,
    /// What it says when the broker has nothing for it. None where nothing is asked of the broker.
    pub empty: Option<&'static str>,
    /// True when its list can be filtered.
    pub filters: bool,
}

fn place(name: &'static str, route: Route, full: &'static str, empty: &'static str) -> Place {
    Place { name, route, press: &[], full, empty: Some(empty), filters: false }
}

/// A place that is a list.
fn list(name: &'static str, route: Route, full: &'static str, empty: &'static str) -> Place {
    Place { filters: true, ..place(name, route, full, empty) }
}

/// A place that asks nothing of the broker.
fn still(name: &'static str, route: Route, full: &'static str) -> Place {
    Place { name, route, press: &[], full, empty: None, filters: false }
}

impl Place {
    /// What is seen after these were pressed.
    fn after(self, press: &'static [&'static str]) -> Place {
        Place { press, ..self }
    }
}

pub fn places() -> Vec<Place> {
    let tab = |tab| Route::Queue { vhost: "/".to_owned(), name: "orders.paid".to_owned(), tab };
    let dead = Route::DeadQueue { vhost: "/".to_owned(), name: "orders.dlq".to_owned() };
    let client = Route::Connection { name: connection(0).name };
    vec![
        still("connect", Route::Connect, "Connect to a broker"),
        place("overview", Route::Overview, "Ready: 12,487", "Ready: 0"),
        list("queues", Route::Queues, "orders.backlog", "There are no queues yet."),
        place("queue", tab(QueueTab::Overview), "Ready: 41", "Ready: 0"),
        list("queue-messages", tab(QueueTab::Messages), "\"amount\": 4200", "Nothing lies in it."),
        list("queue-consumers", tab(QueueTab::Consumers), "ctag-0", "Nobody consumes."),
        list("queue-unacked", tab(QueueTab::Unacked), "\"amount\": 4200", "Nothing is unacknowledged."),
        place("queue-bindings", tab(QueueTab::Bindings), "*.paid", "Only the default exchange leads here"),
        place(
            "queue-arguments",
            tab(QueueTab::Arguments),
            "It was declared without arguments.",
            "It was declared without arguments.",
        ),
        list("exchanges", Route::Exchanges, "amq.topic", "0 exchanges"),
        place("exchange", Route::exchange("/", "orders"), "Publish to orders", "There is no such exchange."),
        list("bindings", Route::Bindings, "*.paid", "There are no bindings yet."),
        list("connections", Route::Connections, "billing", "Nobody is connected."),
        list("connection", client, "AMQP 0-9-1", "This connection is closed."),
        list("channels", Route::Channels, "127.0.0.1:40001", "There are no channels."),
        list("consumers", Route::Consumers, "ctag-2", "Nobody consumes."),
        place("flow", Route::Flow, "Queue orders.paid; 1,234 ready", "There is nothing to draw yet"),
        list("flow-table", Route::Flow, "orders.paid", "There is nothing to draw yet").after(&["Table"]),
        list("dead-letters", Route::DeadLetters, "orders.dlq: 42", "No queue of dead letters was found"),
        list("dead-queue", dead, "rejected in orders.paid: 6 of the 9 looked at", "Nothing died"),
        still("messages", Route::Messages, "Save what you send often, and it is here."),
        list("messages-look", Route::Messages, "\"amount\": 4200", "Pick a queue to see what lies in it")
            .after(&["Look into a queue", "orders.paid"]),
        list("delayed", Route::Delayed, "call back", "There is no delayed exchange"),
        list("policies", Route::Policies, "limits", "There are no policies"),
        list("policies-operator", Route::Policies, "ceiling", "There are no policies")
            .after(&["Operator policies"]),
        list("access", Route::Access, "billing", "0 users"),
        list("access-vhosts", Route::Access, "Everything of the shop", "0 vhosts").after(&["Vhosts"]),
        place("definitions", Route::Definitions, "Save to a file", "There is nothing to export"),
        place("alarms", Route::Alarms, "Nothing runs short", "Nothing runs short"),
        list("alarms-operations", Route::Alarms, "orders.dlq", "No operations").after(&["Operations"]),
        list("alarms-audit", Route::Alarms, "orders.paid", "Nothing was changed yet").after(&["Audit log"]),
        still("settings", Route::Settings, "Settings"),
        still("gallery", Route::Gallery, "Widgets"),
    ]
}

/// Counts the screens: a new one gets the next number, and then lacks a place above, which a test says.
pub fn number_of(route: &Route) -> usize {
    match route {
        Route::Connect => 0,
        Route::Overview => 1,
        Route::Queues => 2,
        Route::Queue { tab, .. } => match tab {
            QueueTab::Overview => 3,
            QueueTab::Messages => 4,
            QueueTab::Consumers => 5,
            QueueTab::Unacked => 6,
            QueueTab::Bindings => 7,
            QueueTab::Arguments => 8,
        },
        Route::Exchanges => 9,
        Route::Exchange { .. } => 10,
        Route::Bindings => 11,
        Route::Connections => 12,
        Route::Connection { .. } => 13,
        Route::Channels => 14,
        Route::Consumers => 15,
        Route::Flow => 16,
        Route::DeadLetters => 17,
        Route::DeadQueue { .. } => 18,
        Route::Messages => 19,
        Route::Delayed => 20,
        Route::Policies => 21,
        Route::Access => 22,
        Route::Definitions => 23,
        Route::Alarms => 24,
        Route::Settings => 25,
        Route::Gallery => 26,
    }
}

/// How many [`number_of`] counts.
pub const SCREENS: usize = 27;
