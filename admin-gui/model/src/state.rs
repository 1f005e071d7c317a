//! All that the console knows, and the two ways in which it changes: [`State::fold`] takes what the network thread
//! found, [`State::apply`] what somebody wants.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use leveret_protocol::admin as api;
use leveret_protocol::admin::events::Topic;

use crate::Millis;
use crate::feed::{self, Feed, Lists, News};
use crate::intent::{Action, Danger, Effect, Intent, Notice, Password, Severity, Step, StepResult, Ticket};
use crate::query::{self, AnyQuery, Request, Value};
use crate::remote::{Problem, ProblemKind};
use crate::ring::Ring;
use crate::route::{History, Route};
use crate::settings::{SavedBroker, Settings};
use crate::store::Store;

/// What the network thread says.
#[derive(Debug, Clone)]
pub enum Event {
    /// It tries to connect.
    Connecting,
    /// The broker answered and took the password.
    Connected { broker: Box<api::Overview>, user: api::WhoAmI },
    /// The broker is lost, or could not be reached; it tries again at `retry_at`.
    Lost { problem: Problem, retry_at: Option<Millis> },
    /// A query was sent.
    Asked { key: String },
    /// Its answer came.
    Answered { key: String, value: Value },
    /// Its answer is the one that is known.
    Confirmed { key: String },
    /// The live feed opened, told something, or ended.
    News(News),
    /// What is not told is asked for this often; 0 when everything is told.
    Paced { every_ms: Millis },
    /// It failed.
    Failed { key: String, problem: Problem },
    /// An action is done, or failed at one of its requests.
    Acted { id: u64, result: Result<(), (usize, Problem)> },
    /// How a step of a connection test went.
    Tested { step: Step, result: StepResult },
    /// The password that the keyring has for a broker; an error when there is no keyring.
    LookedUp { broker: Box<SavedBroker>, result: Result<Option<Password>, String> },
    /// The password of a broker was put into the keyring, or taken out.
    Kept { result: Result<(), String> },
    /// A file was chosen to be read.
    Chosen { file: String },
    /// Something is to be said.
    Said(Notice),
    /// A broker answers on this machine.
    FoundLocal { url: String, product: String },
}

/// How the broker is connected.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// No broker is chosen.
    None,
    Connecting,
    /// Answers come.
    Live,
    /// Answers do not come any more; what is known stays on the screen.
    Lost {
        problem: Problem,
        since: Millis,
        retry_at: Option<Millis>,
    },
}

/// Rates and depths of the whole broker at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    pub publish: f32,
    pub deliver: f32,
    pub ack: f32,
    pub ready: f32,
    pub unacked: f32,
}

impl Sample {
    pub fn of(stats: &api::MessageStats, totals: &api::QueueTotals) -> Sample {
        let deliver = stats.deliver_get_details.per_second().max(
            stats.deliver_details.per_second()
                + stats.deliver_no_ack_details.per_second()
                + stats.get_details.per_second()
                + stats.get_no_ack_details.per_second(),
        );
        Sample {
            publish: stats.publish_details.per_second() as f32,
            deliver: deliver as f32,
            ack: stats.ack_details.per_second() as f32,
            ready: totals.messages_ready as f32,
            unacked: totals.messages_unacknowledged as f32,
        }
    }
}

/// An hour of seconds.
const SAMPLES_MAX: usize = 3_600;
/// Points in the sparkline of a row, and what lies between them.
const SPARK_MAX: usize = 40;
const SPARK_STEP_MS: Millis = 1_500;
/// After so long without a sample the last one is held.
const HOLD_MS: Millis = 2_500;
/// Queues whose history is kept in full: those that were opened.
const OPENED_MAX: usize = 16;
const NOTICES_MAX: usize = 200;
/// Outcomes of actions that are kept for the forms that sent them: a form reads its own within a frame or two.
const OUTCOMES_MAX: usize = 64;

/// All that the console knows.
#[derive(Debug)]
pub struct State {
    pub now: Millis,
    pub store: Store,
    pub history: History,
    pub settings: Settings,
    /// The file that they are written to.
    pub settings_file: Option<PathBuf>,
    pub link: Link,
    /// How news comes, while the broker is connected.
    pub feed: Feed,
    /// How often is asked for what does not come by itself.
    pub polled_every: Millis,
    /// Which broker, once one was chosen.
    pub broker: Option<SavedBroker>,
    /// The one whose password has to be typed.
    pub asking: Option<SavedBroker>,
    /// The file that was chosen last, and how many were before it.
    pub chosen: Option<(u64, String)>,
    /// What could not be done with the keyring.
    pub no_keyring: Option<String>,
    /// Passwords of this session, by broker.
    passwords: HashMap<String, Password>,
    /// What is to be done with the password once it has proved right.
    keeping: Option<Effect>,
    /// Who we are there.
    pub user: Option<api::WhoAmI>,
    /// What runs there.
    pub product: Option<Product>,
    /// Only objects of this vhost are shown.
    pub vhost: Option<String>,
    pub notices: VecDeque<Notice>,
    /// Notices that were not yet looked at in the list.
    pub unseen: usize,
    /// The question that is being asked.
    pub danger: Option<Box<Danger>>,
    pub test: Vec<(Step, StepResult)>,
    /// Brokers that were found on this machine: address and product.
    pub local: Vec<(String, String)>,
    /// The whole broker, second by second.
    pub samples: Ring<Sample>,
    /// Ready messages by vhost and queue, for the sparklines.
    sparks: HashMap<String, HashMap<String, Spark>>,
    /// When they were noted last.
    sparked_at: Millis,
    /// Everything of the queues that were opened.
    opened: HashMap<String, (Ring<Sample>, Millis)>,
    acting: HashMap<u64, Action>,
    /// What became of actions that somebody holds a ticket for, the latest last.
    outcomes: VecDeque<(Ticket, Result<(), Problem>)>,
    lists: Lists,
    last_id: u64,
}

/// What runs on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub name: String,
    pub version: String,
    pub node: String,
}

impl Product {
    /// True when it has what is Leveret's own: looking at messages without taking them, and more.
    pub fn is_leveret(&self) -> bool {
        self.name.eq_ignore_ascii_case("leveret")
    }
}

impl State {
    pub fn new(settings: Settings, start: Route, now: Millis) -> State {
        State {
            now,
            store: Store::default(),
            history: History::new(start),
            settings,
            settings_file: None,
            link: Link::None,
            feed: Feed::None,
            polled_every: 0,
            broker: None,
            asking: None,
            chosen: None,
            no_keyring: None,
            passwords: HashMap::new(),
            keeping: None,
            user: None,
            product: None,
            vhost: None,
            notices: VecDeque::new(),
            unseen: 0,
            danger: None,
            test: Vec::new(),
            local: Vec::new(),
            samples: Ring::new(SAMPLES_MAX),
            sparks: HashMap::new(),
            sparked_at: 0,
            opened: HashMap::new(),
            acting: HashMap::new(),
            outcomes: VecDeque::new(),
            lists: Lists::default(),
            last_id: 0,
        }
    }

    pub fn route(&self) -> &Route {
        self.history.current()
    }

    /// True while answers come.
    pub fn is_live(&self) -> bool {
        self.link == Link::Live
    }

    /// True when something may be changed: connected, not marked read-only, and the user may manage.
    pub fn may_write(&self) -> bool {
        self.is_live() && self.broker.as_ref().is_some_and(|broker| !broker.read_only)
    }

    pub fn is_production(&self) -> bool {
        self.broker.as_ref().is_some_and(|broker| broker.production)
    }

    /// Actions that were sent and not answered.
    pub fn acting(&self) -> usize {
        self.acting.len()
    }

    /// True while the action with this ticket was sent and not answered.
    pub fn is_acting(&self, ticket: Ticket) -> bool {
        self.acting.values().any(|action| action.ticket == Some(ticket))
    }

    /// What became of the action with this ticket, once that is known.
    pub fn outcome(&self, ticket: Ticket) -> Option<&Result<(), Problem>> {
        self.outcomes.iter().rev().find(|(known, _)| *known == ticket).map(|(_, outcome)| outcome)
    }

    /// Ready messages of a queue over the last minute, at even distances.
    pub fn spark(&self, vhost: &str, name: &str) -> Vec<f32> {
        let spark = self.sparks.get(vhost).and_then(|vhost| vhost.get(name));
        spark.map_or_else(Vec::new, |spark| spark.values(self.sparked_at))
    }

    /// The whole broker since then. While it tells what changes, the last sample holds until now.
    pub fn samples_until_now(&self, since: Millis) -> Vec<(Millis, Sample)> {
        let mut samples: Vec<(Millis, Sample)> = self.samples.since(since).collect();
        if self.feed == Feed::Live {
            if let Some(before) = self.samples.before(since) {
                samples.insert(0, (since, before));
            }
            if let Some((at, last)) = self.samples.last()
                && self.now.saturating_sub(at) > HOLD_MS
            {
                samples.push((self.now, last));
            }
        }
        samples
    }

    /// Everything of a queue since it was opened, and while it is looked at.
    pub fn queue_samples(&self, vhost: &str, name: &str) -> Option<&Ring<Sample>> {
        self.opened.get(&query::queue(vhost, name).key).map(|(ring, _)| ring)
    }

    /// Takes what the network thread found.
    pub fn fold(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Connecting => {
                if !matches!(self.link, Link::Lost { .. }) {
                    self.link = Link::Connecting;
                }
            }
            Event::Connected { broker, user } => {
                self.connected(&broker, user);
                effects.extend(self.keeping.take());
            }
            Event::Lost { problem, retry_at } => {
                if problem.kind == ProblemKind::Unauthorised
                    && let Some(broker) = &self.broker
                {
                    self.passwords.remove(&broker.key());
                }
                let since = match &self.link {
                    Link::Lost { since, .. } => *since,
                    _ => self.now,
                };
                self.link = Link::Lost { problem, since, retry_at };
            }
            Event::Asked { key } => self.store.begin(&key, self.now),
            Event::Answered { key, value } => {
                self.store.complete(&key, value, self.now);
                self.sample(&key);
            }
            Event::Confirmed { key } => {
                self.store.confirm(&key, self.now);
                self.sample(&key);
            }
            Event::News(news) => self.hear(news),
            Event::Paced { every_ms } => self.polled_every = every_ms,
            Event::Failed { key, problem } => self.store.fail(&key, problem, self.now),
            Event::Acted { id, result } => self.acted(id, result, &mut effects),
            Event::Tested { step, result } => {
                self.test.retain(|(known, _)| *known != step);
                self.test.push((step, result));
                self.test.sort_by_key(|(step, _)| *step);
            }
            Event::LookedUp { broker, result } => match result {
                Ok(Some(password)) => self.connect(*broker, password, &mut effects),
                Ok(None) => self.ask_password(*broker),
                Err(reason) => {
                    self.no_keyring = Some(reason);
                    self.ask_password(*broker);
                }
            },
            Event::Kept { result } => self.no_keyring = result.err(),
            Event::Chosen { file } => {
                let before = self.chosen.as_ref().map_or(0, |(number, _)| *number);
                self.chosen = Some((before + 1, file));
            }
            Event::Said(notice) => self.notify(notice),
            Event::FoundLocal { url, product } => {
                if !self.local.iter().any(|(known, _)| *known == url) {
                    self.local.push((url, product));
                }
            }
        }
        effects
    }

    /// Does what somebody wants.
    pub fn apply(&mut self, intent: Intent) -> Vec<Effect> {
        let mut effects = Vec::new();
        match intent {
            Intent::Go(route) => self.history.go(route),
            Intent::Replace(route) => self.history.replace(route),
            Intent::Back => {
                self.history.back();
            }
            Intent::Forward => {
                self.history.forward();
            }
            Intent::Refresh => effects.push(Effect::Refresh(vec!["*".to_owned()])),
            Intent::Connect(broker, password) => self.connect(*broker, password, &mut effects),
            Intent::Open(broker) => self.open(*broker, &mut effects),
            Intent::ForgetBroker(broker) => {
                self.settings.brokers.retain(|known| known.key() != broker.key());
                self.passwords.remove(&broker.key());
                effects.push(Effect::Save(Box::new(self.settings.clone())));
                if broker.keep_password {
                    effects.push(Effect::Keep { broker, password: None });
                }
            }
            Intent::Choose => effects.push(Effect::Choose),
            Intent::Disconnect => {
                self.forget_broker();
                self.broker = None;
                self.history.go(Route::Connect);
                effects.push(Effect::Disconnect);
            }
            Intent::TestConnection(broker, password) => {
                self.test = vec![(Step::Name, StepResult::Running)];
                effects.push(Effect::Test { broker, password });
            }
            Intent::Act(action) => self.act(*action, &mut effects),
            Intent::Ask(danger) => {
                if self.refuse_write(&danger.action).is_some() {
                    return effects;
                }
                let mut danger = danger;
                if self.is_production() && danger.type_name.is_none() {
                    danger.type_name = self.broker.as_ref().map(SavedBroker::title);
                }
                self.danger = Some(danger);
            }
            Intent::Fetch(query) => {
                self.store.begin(&query.key, self.now);
                effects.push(Effect::Fetch(query));
            }
            Intent::Notify(notice) => self.notify(notice),
            Intent::Copy(text) => effects.push(Effect::Copy(text)),
            Intent::Export { name, contents } => effects.push(Effect::Export { name, contents }),
            Intent::SelectVhost(vhost) => self.vhost = vhost,
            Intent::Settings(settings) => {
                self.settings = *settings.clone();
                effects.push(Effect::Save(settings));
            }
        }
        effects
    }

    /// The question was answered with yes.
    pub fn confirm_danger(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(danger) = self.danger.take() {
            self.act(danger.action, &mut effects);
        }
        effects
    }

    /// What the screens wanted in the last frame, and what is always wanted.
    pub fn take_wanted(&mut self) -> Vec<AnyQuery> {
        if self.broker.is_some() {
            self.store.read(&query::overview());
            self.store.read(&query::vhosts());
        }
        self.store.take_wanted(self.now)
    }

    pub fn notify(&mut self, mut notice: Notice) {
        notice.at = self.now;
        if self.notices.len() == NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        self.unseen = (self.unseen + 1).min(NOTICES_MAX);
    }

    fn open(&mut self, broker: SavedBroker, effects: &mut Vec<Effect>) {
        if let Some(password) = self.passwords.get(&broker.key()) {
            let password = password.clone();
            self.connect(broker, password, effects);
        } else if broker.keep_password {
            effects.push(Effect::LookUp(Box::new(broker)));
        } else if broker.user == "guest" {
            self.connect(broker, Password("guest".to_owned()), effects);
        } else {
            self.ask_password(broker);
        }
    }

    fn ask_password(&mut self, broker: SavedBroker) {
        self.asking = Some(broker);
        self.history.go(Route::Connect);
    }

    /// Notes to keep the password where the broker says so, and to take back what was kept where it no longer does.
    fn keep_password(&mut self, broker: &SavedBroker, password: &Password) {
        let was_kept =
            self.settings.brokers.iter().any(|known| known.key() == broker.key() && known.keep_password);
        let is_known = self.passwords.get(&broker.key()) == Some(password);
        let keep = |password| Effect::Keep { broker: Box::new(broker.clone()), password };
        self.keeping = if broker.keep_password && !(was_kept && is_known) {
            Some(keep(Some(password.clone())))
        } else {
            (was_kept && !broker.keep_password).then(|| keep(None))
        };
        self.passwords.insert(broker.key(), password.clone());
    }

    fn connect(&mut self, broker: SavedBroker, password: Password, effects: &mut Vec<Effect>) {
        self.forget_broker();
        self.asking = None;
        self.link = Link::Connecting;
        self.keep_password(&broker, &password);
        self.broker = Some(broker.clone());
        self.settings.remember(broker.clone());
        effects.push(Effect::Save(Box::new(self.settings.clone())));
        effects.push(Effect::Connect { broker: Box::new(broker), password });
        if *self.route() == Route::Connect {
            self.history.go(Route::Overview);
        }
    }

    fn connected(&mut self, broker: &api::Overview, user: api::WhoAmI) {
        let name = match broker.product_name.as_str() {
            "" => "RabbitMQ".to_owned(),
            name => name.to_owned(),
        };
        let version = match broker.product_version.as_str() {
            "" => broker.rabbitmq_version.clone(),
            version => version.to_owned(),
        };
        self.product = Some(Product { name, version, node: broker.node.clone() });
        self.user = Some(user);
        self.link = Link::Live;
    }

    /// Whatever was known of a broker is not true of the next.
    fn forget_broker(&mut self) {
        self.store.clear();
        self.link = Link::None;
        self.user = None;
        self.product = None;
        self.vhost = None;
        self.danger = None;
        self.test.clear();
        self.samples = Ring::new(SAMPLES_MAX);
        self.sparks.clear();
        self.opened.clear();
        self.acting.clear();
        self.outcomes.clear();
        self.feed = Feed::None;
        self.polled_every = 0;
        self.lists = Lists::default();
    }

    fn act(&mut self, action: Action, effects: &mut Vec<Effect>) {
        if let Some(problem) = self.refuse_write(&action) {
            self.settle(action.ticket, Err(problem));
            return;
        }
        self.last_id += 1;
        effects.push(Effect::Act { id: self.last_id, requests: action.requests.clone() });
        self.acting.insert(self.last_id, action);
    }

    /// Why nothing may be changed, which is said too.
    fn refuse_write(&mut self, action: &Action) -> Option<Problem> {
        if self.may_write() {
            return None;
        }
        let request = Request::get("").summary();
        let problem = if self.is_live() {
            Problem::new(ProblemKind::Forbidden, request, "this broker is marked as read-only")
        } else {
            Problem::new(ProblemKind::Unreachable, request, "there is no connection to the broker")
        };
        self.notify(Notice::new(Severity::Warning, &action.what).detail(&problem.detail));
        Some(problem)
    }

    fn settle(&mut self, ticket: Option<Ticket>, outcome: Result<(), Problem>) {
        let Some(ticket) = ticket else { return };
        if self.outcomes.len() == OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((ticket, outcome));
    }

    fn acted(&mut self, id: u64, result: Result<(), (usize, Problem)>, effects: &mut Vec<Effect>) {
        let Some(action) = self.acting.remove(&id) else { return };
        self.settle(action.ticket, result.clone().map_err(|(_, problem)| problem));
        match result {
            Ok(()) => {
                let mut notice = Notice::new(Severity::Success, action.done);
                notice.undo = action.undo;
                self.notify(notice);
                if let Some(route) = action.then {
                    self.history.replace(route);
                }
            }
            Err((at, problem)) => {
                let total = action.requests.len();
                let mut detail = format!("{}: {}", problem.request, problem.detail);
                if total > 1 {
                    detail = format!("{at} of {total} done. {detail}");
                }
                self.notify(Notice::new(Severity::Error, action.what).detail(detail));
            }
        }
        effects.push(Effect::Refresh(action.refresh));
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Opening => self.feed = Feed::Opening,
            News::Opened => self.feed = Feed::Live,
            News::Broken { problem, retry_at, told, heard_at } => {
                let was_told = |key: &str| feed::topic_of(key).is_some_and(|topic| told.contains(&topic));
                self.store.held_until(heard_at, was_told);
                self.feed = Feed::Broken { problem, retry_at };
            }
            News::Absent => self.feed = Feed::None,
            News::Told(event) => {
                let topic = feed::told(&event).0;
                self.lists.fold(*event, &mut self.store, self.now);
                match topic {
                    Topic::Overview => self.sample(&query::overview().key),
                    Topic::Queues => self.sample(&query::queues().key),
                    _ => {}
                }
            }
        }
    }

    /// Notes what goes into charts.
    fn sample(&mut self, key: &str) {
        if key == query::overview().key {
            let Some(overview) = self.store.peek::<api::Overview>(key).value else { return };
            let sample = Sample::of(&overview.message_stats, &overview.queue_totals);
            // Without news everything is as it was.
            if self.feed == Feed::Live {
                self.samples.hold(self.now, HOLD_MS);
            }
            self.samples.push(self.now, sample);
        } else if key == query::queues().key {
            if let Some(queues) = self.store.peek::<Vec<api::Queue>>(key).value {
                self.sample_queues(&queues);
            }
        } else if let Some(queue) = self.store.peek::<api::Queue>(key).value {
            let sample = Sample::of(&queue.message_stats, &queue.totals);
            let ring = self.opened.entry(key.to_owned()).or_insert_with(|| (Ring::new(SAMPLES_MAX), 0));
            ring.0.push(self.now, sample);
            ring.1 = self.now;
            if self.opened.len() > OPENED_MAX {
                let oldest =
                    self.opened.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
                oldest.map(|key| self.opened.remove(&key));
            }
        }
    }

    fn sample_queues(&mut self, queues: &[api::Queue]) {
        let now = self.now;
        for queue in queues {
            let ready = queue.totals.messages_ready as f32;
            let vhost = match self.sparks.get_mut(&queue.vhost) {
                Some(vhost) => vhost,
                None => self.sparks.entry(queue.vhost.clone()).or_default(),
            };
            let spark = match vhost.get_mut(&queue.name) {
                Some(spark) => spark,
                None => vhost.entry(queue.name.clone()).or_insert_with(|| Spark::new(now)),
            };
            spark.push(now, ready);
        }
        self.sparked_at = now;
        if self.sparks.values().map(HashMap::len).sum::<usize>() > queues.len() {
            self.sparks.values_mut().for_each(|vhost| vhost.retain(|_, spark| spark.seen == now));
            self.sparks.retain(|_, vhost| !vhost.is_empty());
        }
    }
}

/// Ready messages of a queue over the last minute. Only changes are kept: most queues of a large broker lie still.
#[derive(Debug)]
struct Spark {
    changes: Ring<f32>,
    seen: Millis,
}

impl Spark {
    fn new(now: Millis) -> Spark {
        Spark { changes: Ring::new(SPARK_MAX + 1), seen: now }
    }

    fn push(&mut self, now: Millis, ready: f32) {
        self.seen = now;
        if self.changes.last().is_none_or(|(_, last)| last != ready) {
            self.changes.push(now, ready);
        }
    }

    /// What it was at even distances, up to `now`.
    fn values(&self, now: Millis) -> Vec<f32> {
        let Some((first, _)) = self.changes.iter().next() else { return Vec::new() };
        let mut changes = self.changes.iter().peekable();
        let mut value = None;
        (0..SPARK_MAX as Millis)
            .rev()
            .map(|back| now.saturating_sub(back * SPARK_STEP_MS))
            .filter(|at| *at >= first)
            .filter_map(|at| {
                while let Some((_, next)) = changes.next_if(|(changed, _)| *changed <= at) {
                    value = Some(next);
                }
                value
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::query::Method;
    use leveret_protocol::admin::events::EventData;
    use leveret_protocol::admin::{Queue, QueueTotals, WhoAmI};

    fn connected() -> State {
        let mut state = State::new(Settings::default(), Route::Connect, 1_000);
        state.apply(Intent::Connect(Box::default(), Password("guest".to_owned())));
        let user = WhoAmI { name: "guest".to_owned(), tags: vec!["administrator".to_owned()] };
        state.fold(Event::Connected { broker: Box::default(), user });
        state
    }

    fn purge() -> Action {
        Action::new(
            "Purge orders",
            "orders is empty",
            Request::new(Method::Delete, "/api/queues/%2F/orders/contents"),
        )
    }

    fn danger() -> Box<Danger> {
        Box::new(Danger {
            title: String::new(),
            loss: String::new(),
            objects: vec![],
            verb: "Purge 3 messages".to_owned(),
            type_name: None,
            action: purge(),
        })
    }

    fn queue(name: &str, ready: u64) -> Queue {
        let totals = QueueTotals { messages_ready: ready, ..QueueTotals::default() };
        Queue { name: name.to_owned(), vhost: "/".to_owned(), totals, ..Queue::default() }
    }

    fn lost() -> Event {
        let problem = Problem::new(ProblemKind::Unreachable, "GET /api/overview", "connection refused");
        Event::Lost { problem, retry_at: Some(9_000) }
    }

    #[test]
    fn connecting_leads_from_the_list_of_brokers_to_the_overview() {
        let state = connected();
        assert_eq!((state.route(), state.is_live()), (&Route::Overview, true));
        assert_eq!(state.product.map(|product| product.name).as_deref(), Some("RabbitMQ"));
        assert_eq!(state.settings.brokers.len(), 1);
    }

    #[test]
    fn nothing_of_one_broker_is_shown_of_the_next() {
        let mut state = connected();
        state.store.put(&query::nodes(), vec![], 0);
        state.apply(Intent::SelectVhost(Some("v".to_owned())));
        state.apply(Intent::Connect(Box::default(), Password::default()));
        assert!(state.store.peek::<Vec<api::Node>>("/api/nodes").value.is_none());
        assert_eq!((state.vhost.as_ref(), state.link.clone()), (None, Link::Connecting));
    }

    #[test]
    fn a_lost_broker_keeps_its_data_and_the_time_it_was_lost() {
        let mut state = connected();
        state.store.put(&query::nodes(), vec![], 0);
        state.now = 2_000;
        state.fold(lost());
        state.now = 5_000;
        state.fold(Event::Connecting);
        state.fold(lost());
        assert!(matches!(state.link, Link::Lost { since: 2_000, .. }), "{:?}", state.link);
        assert!(state.store.peek::<Vec<api::Node>>("/api/nodes").value.is_some());
    }

    #[test]
    fn an_action_is_sent_its_outcome_told_and_what_it_changed_fetched_again() {
        let mut state = connected();
        let effects = state.apply(Intent::Act(Box::new(purge())));
        let [Effect::Act { id, requests }] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!((requests.len(), state.acting()), (1, 1));
        let effects = state.fold(Event::Acted { id: *id, result: Ok(()) });
        assert!(matches!(effects.as_slice(), [Effect::Refresh(_)]), "{effects:?}");
        assert_eq!(state.notices.back().map(|notice| notice.severity), Some(Severity::Success));
        assert_eq!((state.acting(), state.unseen), (0, 1));
    }

    #[test]
    fn whoever_holds_a_ticket_learns_what_became_of_the_action() {
        let mut state = connected();
        let ticketed = |ticket| Action { ticket: Some(Ticket(ticket)), ..purge() };
        for ticket in [1, 2] {
            state.apply(Intent::Act(Box::new(ticketed(ticket))));
        }
        assert_eq!((state.is_acting(Ticket(1)), state.outcome(Ticket(1))), (true, None));
        state.fold(Event::Acted { id: 1, result: Ok(()) });
        let refused = Problem::new(ProblemKind::Refused, "PUT", "a queue of another kind is there");
        state.fold(Event::Acted { id: 2, result: Err((0, refused.clone())) });
        assert_eq!((state.is_acting(Ticket(1)), state.outcome(Ticket(1))), (false, Some(&Ok(()))));
        assert_eq!(state.outcome(Ticket(2)), Some(&Err(refused)));
        state.fold(lost());
        state.apply(Intent::Act(Box::new(ticketed(3))));
        let kind =
            state.outcome(Ticket(3)).and_then(|outcome| outcome.as_ref().err()).map(|problem| problem.kind);
        assert_eq!(kind, Some(ProblemKind::Unreachable));
        for ticket in 0..1_000 {
            state.apply(Intent::Act(Box::new(ticketed(ticket))));
        }
        assert_eq!(state.outcomes.len(), OUTCOMES_MAX);
    }

    #[test]
    fn nothing_is_changed_without_a_connection_or_where_it_is_read_only() {
        let mut state = connected();
        state.fold(lost());
        assert!(state.apply(Intent::Act(Box::new(purge()))).is_empty());
        let mut state = connected();
        if let Some(broker) = &mut state.broker {
            broker.read_only = true;
        }
        assert!(state.apply(Intent::Act(Box::new(purge()))).is_empty());
        state.apply(Intent::Ask(danger()));
        assert!(state.danger.is_none());
        assert_eq!(state.notices.len(), 2);
    }

    #[test]
    fn danger_waits_for_yes_and_in_production_for_the_name() {
        let mut state = connected();
        assert!(state.apply(Intent::Ask(danger())).is_empty());
        assert_eq!(state.danger.as_ref().map(|danger| danger.type_name.is_some()), Some(false));
        assert!(matches!(state.confirm_danger().as_slice(), [Effect::Act { .. }]));
        assert!(state.confirm_danger().is_empty());
        if let Some(broker) = &mut state.broker {
            broker.production = true;
        }
        state.apply(Intent::Ask(danger()));
        assert_eq!(
            state.danger.as_ref().and_then(|danger| danger.type_name.as_deref()),
            Some("127.0.0.1:15672")
        );
    }

    #[test]
    fn a_password_is_looked_up_where_it_is_kept_and_asked_for_otherwise() {
        let kept = SavedBroker { user: "ops".to_owned(), keep_password: true, ..SavedBroker::default() };
        let mut state = State::new(Settings::default(), Route::Overview, 0);
        let effects = state.apply(Intent::Open(Box::new(kept.clone())));
        assert!(matches!(effects.as_slice(), [Effect::LookUp(_)]), "{effects:?}");
        let broker = Box::new(kept.clone());
        state.fold(Event::LookedUp { broker, result: Err("no such service".to_owned()) });
        assert_eq!((state.asking.as_ref(), state.route()), (Some(&kept), &Route::Connect));
        assert!(state.no_keyring.is_some());

        let typed = Intent::Connect(Box::new(kept.clone()), Password("s3cret".to_owned()));
        let keeps = |effects: &[Effect]| {
            effects.iter().find_map(|effect| match effect {
                Effect::Keep { password, .. } => Some(password.clone()),
                _ => None,
            })
        };
        assert_eq!(keeps(&state.apply(typed)), None);
        let answered = || Event::Connected {
            broker: Box::default(),
            user: WhoAmI { name: "ops".to_owned(), tags: vec![] },
        };
        assert_eq!(keeps(&state.fold(answered())), Some(Some(Password("s3cret".to_owned()))));
        state.fold(Event::Kept { result: Ok(()) });
        assert_eq!((state.asking.as_ref(), state.no_keyring.as_ref()), (None, None));

        // In this session it is known.
        let effects = state.apply(Intent::Open(Box::new(kept.clone())));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Connect { .. })), "{effects:?}");
        assert_eq!(keeps(&state.fold(answered())), None);
        let no_longer = SavedBroker { keep_password: false, ..kept.clone() };
        state.apply(Intent::Connect(Box::new(no_longer), Password("s3cret".to_owned())));
        assert_eq!(keeps(&state.fold(answered())), Some(None));
        let effects = state.apply(Intent::ForgetBroker(Box::new(kept)));
        assert_eq!((keeps(&effects), state.settings.brokers.len()), (Some(None), 0));
        assert!(!state.settings.to_text().contains("s3cret"));
    }

    #[test]
    fn sparklines_follow_the_queues_that_there_are() {
        let mut state = connected();
        let key = query::queues().key;
        let answer = |queues: Vec<Queue>| Event::Answered { key: key.clone(), value: Arc::new(queues) };
        state.fold(answer(vec![queue("a", 1), queue("b", 1)]));
        state.now += 1_000;
        state.fold(answer(vec![queue("a", 5)]));
        state.now += 2_500;
        state.fold(Event::Confirmed { key: key.clone() });
        // Every 1.5 seconds, the last of them now.
        assert_eq!(state.spark("/", "a"), [1.0, 5.0, 5.0]);
        assert!(state.spark("/", "b").is_empty());
    }

    #[test]
    fn what_the_feed_tells_is_what_the_screens_read() {
        let mut state = connected();
        state.fold(Event::News(News::Opened));
        let totals = |ready| QueueTotals { messages_ready: ready, ..QueueTotals::default() };
        let tell = |ready| {
            let overview = api::Overview { queue_totals: totals(ready), ..api::Overview::default() };
            Event::News(News::Told(Box::new(EventData::Overview(Box::new(overview)))))
        };
        state.fold(tell(1));
        // Nothing happens for a while: it stays what it was, until it changes.
        state.now += 60_000;
        state.fold(tell(9));
        let samples: Vec<(Millis, f32)> =
            state.samples.iter().map(|(at, sample)| (at, sample.ready)).collect();
        assert_eq!(samples, [(1_000, 1.0), (60_000, 1.0), (61_000, 9.0)]);
        assert_eq!(state.store.peek::<api::Overview>("/api/overview").or_default().queue_totals, totals(9));
        let problem = Problem::new(ProblemKind::Unreachable, "GET /api/events", "cut");
        let told = vec![Topic::Overview];
        state.fold(Event::News(News::Broken { problem, retry_at: 70_000, told, heard_at: 65_000 }));
        assert!(matches!(state.feed, Feed::Broken { retry_at: 70_000, .. }));
        assert_eq!(state.store.peek::<api::Overview>("/api/overview").or_default().queue_totals, totals(9));
    }

    #[test]
    fn what_was_told_is_as_old_as_the_last_sign_of_life() {
        let mut state = connected();
        state.fold(Event::News(News::Opened));
        let (queues, exchanges) = (query::queues().key, query::exchanges().key);
        state.fold(Event::Answered { key: queues.clone(), value: Arc::new(vec![queue("a", 1)]) });
        state.fold(Event::Answered { key: exchanges.clone(), value: Arc::new(Vec::<api::Exchange>::new()) });
        let asked_at = state.now;
        let heard_at = asked_at + 60_000;
        state.now = heard_at + 8_000;
        let problem = Problem::new(ProblemKind::Timeout, "GET /api/events", "no answer within 8s");
        let retry_at = state.now + 1_000;
        let told = vec![Topic::Queues];
        state.fold(Event::News(News::Broken { problem, retry_at, told, heard_at }));
        let arrived_at = |key: &str| state.store.peek::<()>(key).arrived_at();
        assert_eq!(arrived_at(&queues), heard_at);
        assert_eq!(arrived_at(&exchanges), asked_at, "what was not told is as old as its answer");
    }

    #[test]
    fn history_is_kept_of_the_queues_that_were_opened_last() {
        let mut state = connected();
        for at in 0..40 {
            state.now += 1_000;
            let key = query::queue("/", &at.to_string()).key;
            state.fold(Event::Answered { key, value: Arc::new(queue("q", at)) });
        }
        assert!(state.opened.len() <= OPENED_MAX);
        assert!(state.queue_samples("/", "39").is_some());
        assert!(state.queue_samples("/", "0").is_none());
    }

    #[test]
    fn notices_are_bounded() {
        let mut state = connected();
        for at in 0..500 {
            state.notify(Notice::new(Severity::Info, at.to_string()));
        }
        assert_eq!(state.notices.len(), NOTICES_MAX);
    }
}
