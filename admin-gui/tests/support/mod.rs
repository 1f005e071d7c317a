//! The console in a test: without a network, its state filled by hand and its clock standing still, or with the real
//! network thread against a broker that misbehaves on demand.

#![allow(dead_code, reason = "each test program uses some of it")]

pub mod cpu;
pub mod places;
pub mod raster;
pub mod sample;
pub mod server;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use eframe::egui::accesskit::Role;
use eframe::egui::{Color32, Key, Modifiers, Shape};
use egui_kittest::Harness;
use egui_kittest::kittest::{AccessKitNode, NodeT, Queryable};
use leveret_admin::app::{App, Start};
use leveret_admin::net::Net;
use leveret_admin_model::intent::{Effect, Intent, Password};
use leveret_admin_model::query::{self, AnyQuery, Query};
use leveret_admin_model::route::QueueTab;
use leveret_admin_model::settings::{Language, SavedBroker, Settings};
use leveret_admin_model::state::Event;
use leveret_admin_model::{Millis, Problem, ProblemKind, Route, lookups};
use leveret_protocol::admin as api;
use leveret_protocol::admin::delayed::{DelayedMessage, DelayedPage};
use leveret_protocol::admin::events::AlarmReport;
use leveret_protocol::admin::messages::MessageFilter;
use leveret_protocol::admin::policies::Policy;
use serde_json::json;

use places::Place;
use raster::{Picture, Textures};
use sample::*;

pub const NOW: Millis = 1_795_381_449_000;

/// The console in a test.
pub struct Console {
    pub harness: Harness<'static, App>,
    textures: Textures,
    now: Millis,
    /// Rings when the network thread has found something.
    woken: Option<mpsc::Receiver<()>>,
}

/// How long the real network thread may take to find something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// In English, unless another language is asked for: what the machine speaks does not matter.
fn spoken(settings: Settings) -> Settings {
    let language = match settings.language {
        Language::System => Language::English,
        other => other,
    };
    Settings { language, ..settings }
}

impl Console {
    pub fn new(settings: Settings, with_data: bool) -> Console {
        Console::sized(settings, with_data, [1280.0, 800.0])
    }

    pub fn sized(settings: Settings, with_data: bool, size: [f32; 2]) -> Console {
        let start = Start { settings: spoken(settings), ..Start::default() };
        let textures = Textures::default();
        let mut harness = Harness::builder()
            .with_size(size)
            .with_max_steps(16)
            .renderer(textures.clone())
            .build_eframe(move |creation| App::offline(&creation.egui_ctx, start, NOW));
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
        let mut console = Console { harness, textures, now: NOW, woken: None };
        if with_data {
            console.fill();
        }
        console.run();
        console
    }

    /// With the real network thread, connecting to the broker at `url`; its clock is the real one.
    pub fn on(url: &str, route: Route) -> Console {
        Console::on_with(Settings { reduce_motion: true, ..Settings::default() }, url, route)
    }

    pub fn on_with(settings: Settings, url: &str, route: Route) -> Console {
        let broker = SavedBroker { url: url.to_owned(), ..SavedBroker::default() };
        let start = Start {
            settings: spoken(settings),
            route: Some(route),
            connect: Some((broker, Some(Password("guest".to_owned())))),
            ..Start::default()
        };
        let textures = Textures::default();
        let (wake, woken) = mpsc::channel();
        let harness = Harness::builder()
            .with_size([1280.0, 800.0])
            .with_max_steps(16)
            .renderer(textures.clone())
            .build_eframe(move |creation| {
                let net = Net::start(move || wake.send(()).unwrap_or_default()).expect("a thread");
                App::new(&creation.egui_ctx, start, net)
            });
        Console { harness, textures, now: NOW, woken: Some(woken) }
    }

    /// Draws whenever the network thread has found something, and now and then, until `wanted` is seen.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Console) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.run();
            if wanted(self) {
                return;
            }
            assert!(Instant::now() < deadline, "not seen: {what}. What is there:\n{}", self.words());
            if let Some(woken) = &self.woken {
                // Ages count up without news from the network.
                let _ = woken.recv_timeout(Duration::from_millis(100));
                woken.try_iter().for_each(drop);
            }
        }
    }

    #[track_caller]
    pub fn until_text(&mut self, part: &str) {
        self.until(part, |console| console.has_text(part));
    }

    /// How soon the last frame asked for another.
    pub fn next_frame(&self) -> Duration {
        let outputs = self.harness.output().viewport_output.values();
        outputs.map(|viewport| viewport.repaint_delay).min().unwrap_or(Duration::MAX)
    }

    /// Frames drawn within this time: for what the network thread found, and because the one before asked for it.
    pub fn frames_within(&mut self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        for frames in 0.. {
            let left = deadline.saturating_duration_since(Instant::now());
            let asked = self.next_frame();
            let woken = self.woken.as_ref().expect("the real network thread");
            if woken.recv_timeout(left.min(asked)).is_err() && left <= asked {
                return frames;
            }
            self.harness.step();
        }
        unreachable!("there is a last frame")
    }

    /// Everything on the screen that has a name.
    pub fn words(&self) -> String {
        let nodes = self.harness.query_all_by(|_| true);
        let name = |node: AccessKitNode<'_>| node.label().or_else(|| node.value());
        let names = nodes.filter_map(|node| name(node.accesskit_node()));
        names.filter(|name| !name.is_empty()).collect::<Vec<String>>().join(" | ")
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
        let shop = "Everything of the shop".to_owned();
        self.put(
            &query::vhosts(),
            vec![api::Vhost { name: "/".to_owned(), description: shop, ..api::Vhost::default() }],
        );
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
        self.put(&lookups::topology("/"), topology(120.0));
        self.put(&lookups::messages("/", "orders.dlq", &MessageFilter::default(), None), dead_letters());
        self.put(&lookups::messages("/", "orders.paid", &MessageFilter::default(), None), messages(false));
        self.put(&lookups::operations(), vec![operation()]);
        self.put(&lookups::policies(false), vec![policy()]);
        self.put(&lookups::policies(true), vec![Policy { name: "ceiling".to_owned(), ..policy() }]);
        self.put(&lookups::users(), vec![user("guest"), user("billing")]);
        let all = || ".*".to_owned();
        let permission = api::Permission {
            user: "guest".into(),
            vhost: "/".into(),
            configure: all(),
            write: all(),
            read: all(),
        };
        self.put(&lookups::permissions(), vec![permission]);
        let alarms = AlarmReport { memory_used: 9, memory_limit: 10, ..AlarmReport::default() };
        self.put(&lookups::alarms(), alarms);
        self.put(&lookups::audit(None), audit());
        let here =
            json!({"queues": [{"name": "here", "vhost": "/", "durable": true}], "vhosts": [{"name": "/"}]});
        self.put(&lookups::definitions(None), here);
        let message = DelayedMessage {
            id: "d1".to_owned(),
            due_at: NOW + 90_000,
            payload: "call back".to_owned(),
            payload_encoding: "string".to_owned(),
            ..DelayedMessage::default()
        };
        let page = DelayedPage { items: vec![message], next: None, total: 1 };
        self.put(&lookups::delayed("/", "later", None), page);
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

    /// Goes to a place, and presses there what has to be pressed.
    pub fn visit(&mut self, place: &Place) {
        self.go(place.route.clone());
        place.press.iter().for_each(|label| self.click(label));
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

    /// What the screen asks the broker for.
    pub fn wanted(&self) -> &[AnyQuery] {
        &self.harness.state().wanted
    }

    /// The screen as a picture.
    pub fn picture(&self) -> Picture {
        raster::draw(&self.harness, &self.textures)
    }

    /// True when this text is drawn fainter than text is.
    pub fn is_faded(&self, text: &str) -> bool {
        self.faded().any(|faded| faded == text)
    }

    /// True when some text is drawn fainter than text is.
    pub fn is_any_faded(&self) -> bool {
        self.faded().next().is_some()
    }

    fn faded(&self) -> impl Iterator<Item = &str> {
        self.harness.output().shapes.iter().filter_map(|clipped| match &clipped.shape {
            Shape::Text(shape) => {
                let glyph = shape.galley.rows.first()?.row.visuals.mesh.vertices.first()?;
                // Text without a colour of its own takes that of the shape.
                let colour = match glyph.color {
                    Color32::PLACEHOLDER => shape.fallback_color,
                    colour => shape.override_text_color.unwrap_or(colour),
                };
                (colour.a() < u8::MAX).then(|| shape.galley.text())
            }
            _ => None,
        })
    }

    /// Actions that were sent since this was last called.
    pub fn acts(&mut self) -> Vec<Effect> {
        let effects = std::mem::take(&mut self.harness.state_mut().effects);
        effects.into_iter().filter(|effect| matches!(effect, Effect::Act { .. })).collect()
    }
}

/// A field one types in, by its name: its title beside it may be called the same.
pub fn field(name: &str) -> impl Fn(&AccessKitNode<'_>) -> bool + use<> {
    let name = name.to_owned();
    move |node| {
        matches!(node.role(), Role::TextInput | Role::MultilineTextInput)
            && node.label().as_deref() == Some(&name)
    }
}
