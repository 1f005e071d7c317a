//! The console without a network: its state is filled by hand, its clock stands still.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::sync::Arc;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{AccessKitNode, Queryable};
use leveret_admin::app::{App, Start};
use leveret_admin_model::intent::{Effect, Intent, Password};
use leveret_admin_model::query::{self, Query};
use leveret_admin_model::route::QueueTab;
use leveret_admin_model::settings::{Language, Settings};
use leveret_admin_model::state::Event;
use leveret_admin_model::{Millis, Problem, ProblemKind, Route};
use leveret_protocol::admin::messages::{MessagePage, QueuedMessage};
use leveret_protocol::admin::{self as api, MessageStats, QueueTotals, Rate};

pub const NOW: Millis = 1_795_381_449_000;

/// The console in a test.
pub struct Console {
    pub harness: Harness<'static, App>,
    now: Millis,
}

/// With data, in English.
pub fn connected() -> Console {
    Console::new(Settings { language: Language::English, ..Settings::default() }, true)
}

/// One place of each kind.
pub fn sample_routes() -> Vec<Route> {
    let mut routes = vec![
        Route::Overview,
        Route::Queues,
        Route::Exchanges,
        Route::exchange("/", "orders"),
        Route::exchange("/", ""),
        Route::exchange("/", "gone"),
        Route::Bindings,
        Route::Connections,
        Route::Connection { name: connection(0).name },
        Route::Connection { name: "gone".to_owned() },
        Route::Channels,
        Route::Consumers,
        Route::Connect,
        Route::Settings,
        Route::Gallery,
    ];
    routes.extend(QueueTab::ALL.map(|tab| Route::Queue {
        vhost: "/".to_owned(),
        name: "orders.paid".to_owned(),
        tab,
    }));
    routes
}

impl Console {
    pub fn new(settings: Settings, with_data: bool) -> Console {
        let settings = Settings {
            language: if settings.language == Language::System {
                Language::English
            } else {
                settings.language
            },
            ..settings
        };
        let mut harness =
            Harness::builder().with_size([1280.0, 800.0]).with_max_steps(16).build_eframe(move |creation| {
                App::offline(&creation.egui_ctx, Start { settings, ..Start::default() }, NOW)
            });
        let app = harness.state_mut();
        app.state.apply(Intent::Connect(Box::default(), Password("guest".to_owned())));
        let overview = api::Overview {
            product_name: "Leveret".to_owned(),
            product_version: "0.1.0".to_owned(),
            node: "leveret@host".to_owned(),
            ..api::Overview::default()
        };
        let user = api::WhoAmI { name: "guest".to_owned(), tags: vec!["administrator".to_owned()] };
        app.state.fold(Event::Connected { broker: Box::new(overview), user });
        let mut console = Console { harness, now: NOW };
        if with_data {
            console.fill();
        }
        console.run();
        console
    }

    fn fill(&mut self) {
        let queues: Vec<api::Queue> = queues();
        for second in 0..30 {
            let now = NOW - (30 - second) * 1_000;
            self.harness.state_mut().state.now = now;
            self.put(&query::overview(), overview(second));
            self.put(&query::queues(), queues.clone());
            self.put(&query::queue("/", "orders.paid"), queue("orders.paid", 12 + second, 2));
        }
        self.harness.state_mut().state.now = NOW;
        self.put(&query::nodes(), vec![node()]);
        self.put(&query::vhosts(), vec![api::Vhost { name: "/".to_owned(), ..api::Vhost::default() }]);
        self.put(&query::queue("/", "orders.backlog"), queue("orders.backlog", 12_345, 0));
        self.put(&query::exchanges(), exchanges());
        self.put(&query::bindings(), bindings());
        self.put(&query::queue_bindings("/", "orders.paid"), bindings());
        for name in ["", "orders"] {
            self.put(&query::exchange_bindings("/", name, "source"), bindings());
            self.put(&query::exchange_bindings("/", name, "destination"), Vec::new());
        }
        self.put(&query::connections(), (0..3).map(connection).collect());
        self.put(&query::channels(), (0..3).map(channel).collect());
        self.put(&query::consumers(), (0..3).map(consumer).collect());
        self.put(&query::messages("/", "orders.paid", "messages", 100), messages(false));
        self.put(&query::messages("/", "orders.paid", "unacked", 100), messages(true));
    }

    /// As if the broker had answered.
    pub fn put<T: Send + Sync + 'static>(&mut self, query: &Query<T>, value: T) {
        self.harness
            .state_mut()
            .state
            .fold(Event::Answered { key: query.key.clone(), value: Arc::new(value) });
    }

    pub fn fold(&mut self, event: Event) {
        self.harness.state_mut().state.fold(event);
        self.run();
    }

    pub fn go(&mut self, route: Route) {
        self.harness.state_mut().state.apply(Intent::Go(route));
        self.run();
    }

    pub fn route(&self) -> Route {
        self.harness.state().state.route().clone()
    }

    /// Time passes.
    pub fn later(&mut self, ms: Millis) {
        self.now += ms;
        let now = self.now;
        self.harness.state_mut().set_clock(now);
    }

    pub fn lose(&mut self) {
        let problem = Problem::new(ProblemKind::Unreachable, "GET /api/overview", "connection refused");
        self.harness.state_mut().state.fold(Event::Lost { problem, retry_at: None });
        self.run();
    }

    /// Nothing can be had.
    pub fn fail_all(&mut self, kind: ProblemKind) {
        let keys = [
            query::queues().key,
            query::exchanges().key,
            query::bindings().key,
            query::connections().key,
            query::channels().key,
            query::consumers().key,
            query::queue("/", "orders.paid").key,
        ];
        for key in keys {
            let problem = Problem::new(kind, format!("GET {key}"), "because");
            self.harness.state_mut().state.fold(Event::Failed { key, problem });
        }
    }

    /// Draws until nothing changes any more.
    pub fn run(&mut self) {
        self.harness.run_ok();
    }

    pub fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.run();
    }

    /// Types into the field with this name.
    pub fn type_into(&mut self, name: &str, text: &str) {
        self.harness.get_by(field(name)).focus();
        self.run();
        self.harness.get_by(field(name)).type_text(text);
        self.run();
    }

    pub fn value_of(&self, name: &str) -> Option<String> {
        self.harness.get_by(field(name)).value()
    }

    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.run();
    }

    pub fn has_label(&self, label: &str) -> bool {
        self.harness.query_all_by_label(label).next().is_some()
    }

    pub fn has_text(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).next().is_some()
    }

    /// Actions that were sent since this was last called.
    pub fn acts(&mut self) -> Vec<Effect> {
        let effects = std::mem::take(&mut self.harness.state_mut().effects);
        effects.into_iter().filter(|effect| matches!(effect, Effect::Act { .. })).collect()
    }
}

/// A field one types in, by its name: its title beside it may be called the same.
fn field(name: &str) -> impl Fn(&AccessKitNode<'_>) -> bool + use<> {
    let name = name.to_owned();
    move |node| {
        matches!(node.role(), Role::TextInput | Role::MultilineTextInput)
            && node.label().as_deref() == Some(&name)
    }
}

pub fn stats(publish: f64) -> MessageStats {
    MessageStats {
        publish: 1_000,
        publish_details: Rate::new(publish),
        deliver_get_details: Rate::new(publish * 0.9),
        ack_details: Rate::new(publish * 0.85),
        ..MessageStats::default()
    }
}

fn overview(second: u64) -> api::Overview {
    let wave = 400.0 + 300.0 * (second as f64 / 5.0).sin();
    api::Overview {
        product_name: "Leveret".to_owned(),
        message_stats: stats(wave),
        queue_totals: QueueTotals {
            messages_ready: 12_400 + second * 3,
            messages_unacknowledged: 250,
            ..QueueTotals::default()
        },
        object_totals: api::ObjectTotals {
            queues: 6,
            exchanges: 8,
            connections: 3,
            channels: 3,
            consumers: 3,
        },
        ..api::Overview::default()
    }
}

fn node() -> api::Node {
    api::Node {
        mem_used: 180 << 20,
        mem_limit: 9 << 30,
        disk_free: 40 << 30,
        disk_free_limit: 50 << 20,
        uptime: 7_300_000,
        ..api::Node::default()
    }
}

pub fn queue(name: &str, ready: u64, consumers: u16) -> api::Queue {
    api::Queue {
        name: name.to_owned(),
        vhost: "/".to_owned(),
        kind: "classic".to_owned(),
        durable: true,
        state: if consumers > 0 { "running" } else { "idle" }.to_owned(),
        consumers,
        totals: QueueTotals {
            messages: ready,
            messages_ready: ready,
            messages_ready_details: Rate::new(if consumers > 0 { 0.0 } else { 3.0 }),
            ..QueueTotals::default()
        },
        message_stats: stats(f64::from(consumers) * 40.0),
        ..api::Queue::default()
    }
}

fn queues() -> Vec<api::Queue> {
    vec![
        queue("audit.log", 0, 1),
        queue("orders.backlog", 12_345, 0),
        queue("orders.dlq", 42, 0),
        queue("orders.paid", 41, 2),
        queue("mail.outgoing", 3, 1),
        queue("订单.支付", 7, 1),
    ]
}

fn exchanges() -> Vec<api::Exchange> {
    let exchange = |name: &str, kind: &str| api::Exchange {
        name: name.to_owned(),
        vhost: "/".to_owned(),
        kind: kind.to_owned(),
        durable: true,
        message_stats: Some(api::ExchangeStats {
            publish_in_details: Rate::new(120.0),
            ..api::ExchangeStats::default()
        }),
        ..api::Exchange::default()
    };
    vec![
        exchange("", "direct"),
        exchange("amq.topic", "topic"),
        exchange("orders", "topic"),
        exchange("mail", "fanout"),
    ]
}

fn bindings() -> Vec<api::Binding> {
    let binding = |source: &str, destination: &str, key: &str| api::Binding {
        source: source.to_owned(),
        vhost: "/".to_owned(),
        destination: destination.to_owned(),
        destination_type: "queue".to_owned(),
        routing_key: key.to_owned(),
        properties_key: key.to_owned(),
        ..api::Binding::default()
    };
    vec![
        binding("", "orders.paid", "orders.paid"),
        binding("orders", "orders.paid", "*.paid"),
        binding("orders", "audit.log", "#"),
    ]
}

pub fn connection(at: u16) -> api::Connection {
    api::Connection {
        name: format!("127.0.0.1:{} -> 127.0.0.1:5672", 40_000 + at),
        user_provided_name: (at == 0).then(|| "billing".to_owned()),
        vhost: "/".to_owned(),
        user: "guest".to_owned(),
        state: "running".to_owned(),
        protocol: "AMQP 0-9-1".to_owned(),
        peer_host: "127.0.0.1".to_owned(),
        peer_port: 40_000 + at,
        channels: 1,
        connected_at: NOW - 60_000,
        ..api::Connection::default()
    }
}

fn channel(at: u16) -> api::Channel {
    let connection = connection(at);
    api::Channel {
        name: format!("{} (1)", connection.name),
        number: 1,
        connection_details: api::ConnectionDetails {
            name: connection.name,
            ..api::ConnectionDetails::default()
        },
        vhost: "/".to_owned(),
        user: "guest".to_owned(),
        state: "running".to_owned(),
        prefetch_count: 100,
        confirm: at == 1,
        ..api::Channel::default()
    }
}

fn consumer(at: u16) -> api::Consumer {
    let channel = channel(at);
    api::Consumer {
        consumer_tag: format!("ctag-{at}"),
        queue: api::QueueName { name: "orders.paid".to_owned(), vhost: "/".to_owned() },
        channel_details: api::ChannelDetails {
            name: channel.name,
            connection_name: channel.connection_details.name,
            ..api::ChannelDetails::default()
        },
        ack_required: true,
        active: true,
        activity_status: "up".to_owned(),
        prefetch_count: 100,
        ..api::Consumer::default()
    }
}

fn messages(unacked: bool) -> MessagePage {
    let message = |position: u64| QueuedMessage {
        id: format!("m{position}"),
        position,
        exchange: "orders".to_owned(),
        routing_key: "eu.paid".to_owned(),
        payload: format!("{{\"order\": {position}, \"amount\": 4200}}"),
        payload_encoding: "string".to_owned(),
        payload_bytes: 30,
        redelivered: position == 2,
        holder: unacked.then(|| api::messages::Holder {
            consumer_tag: "ctag-0".to_owned(),
            channel_details: api::ChannelDetails {
                connection_name: connection(0).name,
                ..api::ChannelDetails::default()
            },
            since: NOW - 90_000,
        }),
        ..QueuedMessage::default()
    };
    MessagePage { items: (1..=3).map(message).collect(), ..MessagePage::default() }
}
