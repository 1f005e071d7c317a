//! One broker that is connected, or shall be.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;
use std::time::Duration;

use leveret_admin_model::intent::Password;
use leveret_admin_model::query::{self, AnyQuery, Request, Value};
use leveret_admin_model::settings::SavedBroker;
use leveret_admin_model::{Event, Problem, ProblemKind, feed};
use leveret_client::admin::Client;
use leveret_protocol::admin as api;
use leveret_protocol::admin::events::Topic;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::feed::{Feed, Outcome};
use super::{Outbox, client, send, unix_now};

/// Requests at a time: a browser makes as many.
const CONCURRENT: usize = 6;
/// Reading answers takes at most this share of the time.
const READING_SHARE: u32 = 25;
/// What the feed says has changed is asked for then, and otherwise only this often.
const TOLD_PERIOD: Duration = Duration::from_secs(30);
/// What is asked this often at least is figures, and how often is worth telling.
const FIGURES_PERIOD: Duration = Duration::from_secs(2);
/// An answer that takes longer is told of.
const LATE: Duration = Duration::from_secs(3);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// One broker that is connected, or shall be.
pub struct Session {
    client: Client,
    outbox: Outbox,
    polls: HashMap<String, Poll>,
    /// Asked once.
    once: VecDeque<AnyQuery>,
    running: JoinSet<Finished>,
    feed: Feed,
    /// How often is asked, as it was told last.
    pace: Duration,
    /// Requests of actions; they do not wait behind polls.
    acting: JoinSet<()>,
    link: Link,
}

enum Link {
    /// Nothing is known yet, or it was lost: tried again at this time, after this long.
    Down {
        at: Instant,
        wait: Duration,
        trying: bool,
    },
    Up,
    /// The password is wrong: trying again would lock the user out somewhere.
    Refused,
}

struct Poll {
    query: AnyQuery,
    next: Instant,
    running: bool,
    /// When it was asked last.
    asked: Instant,
    /// It was said that the answer takes long.
    late: bool,
    /// It has to be asked although the feed tells it: nothing is known yet, or somebody wants to be sure.
    insists: bool,
    /// The last answer, to tell whether the next is another.
    seen: Option<u64>,
    /// How often it can be asked.
    pace: Duration,
    /// Nobody wants it any more.
    dropped: bool,
}

enum Finished {
    Hello(Result<(Box<api::Overview>, api::WhoAmI), Problem>),
    Answer { key: String, once: bool, read_in: Duration, result: Result<Read, Problem> },
}

/// What was read.
enum Read {
    /// The same as before.
    Same,
    Other {
        value: Value,
        /// Tells the body from others.
        seen: u64,
    },
}

impl Session {
    pub fn open(broker: &SavedBroker, password: &Password, outbox: Outbox) -> Option<Session> {
        let client = match client(broker, password) {
            Ok(client) => client,
            Err(problem) => {
                outbox.send(Event::Lost { problem, retry_at: None });
                return None;
            }
        };
        outbox.send(Event::Connecting);
        let link = Link::Down { at: Instant::now(), wait: RETRY_FIRST, trying: false };
        let feed = Feed::new(client.clone(), outbox.clone());
        Some(Session {
            client,
            feed,
            pace: Duration::ZERO,
            outbox,
            polls: HashMap::new(),
            once: VecDeque::new(),
            running: JoinSet::new(),
            acting: JoinSet::new(),
            link,
        })
    }

    pub fn want(&mut self, wanted: Vec<AnyQuery>) {
        self.feed.want(wanted.iter().map(|query| query.key.as_str()));
        for poll in self.polls.values_mut() {
            poll.dropped = true;
        }
        for query in wanted {
            match self.polls.get_mut(&query.key) {
                Some(poll) => {
                    poll.dropped = false;
                    poll.query = query;
                }
                None => {
                    let now = Instant::now();
                    let poll = Poll {
                        next: now,
                        running: false,
                        asked: now,
                        late: false,
                        insists: true,
                        seen: None,
                        pace: period(&query),
                        dropped: false,
                        query,
                    };
                    self.polls.insert(poll.query.key.clone(), poll);
                }
            }
        }
        self.polls.retain(|_, poll| !poll.dropped || poll.running);
    }

    pub fn fetch(&mut self, query: AnyQuery) {
        self.once.push_back(query);
    }

    /// Asks those again at once whose keys are named, or begin with what is before a `*`.
    pub fn refresh(&mut self, keys: &[String]) {
        if let Link::Down { at, .. } = &mut self.link {
            *at = Instant::now();
        }
        for (key, poll) in &mut self.polls {
            let named = keys.iter().any(|name| match name.strip_suffix('*') {
                Some(start) => key.starts_with(start),
                None => key == name,
            });
            if named {
                poll.next = Instant::now();
                poll.insists = true;
            }
        }
    }

    /// Sends the requests of an action one after the other, and stops at the first that fails.
    pub fn act(&mut self, id: u64, requests: Vec<Request>) {
        let (client, outbox) = (self.client.clone(), self.outbox.clone());
        self.acting.spawn(async move {
            let mut result = Ok(());
            for (at, request) in requests.iter().enumerate() {
                if let Err(problem) = send(&client, request).await {
                    result = Err((at, problem));
                    break;
                }
            }
            outbox.send(Event::Acted { id, result });
        });
    }

    /// Waits for the next thing to do, and does it. May be dropped and called again.
    pub async fn step(&mut self) {
        while self.acting.try_join_next().is_some() {}
        self.start_what_is_due();
        self.say_what_is_late();
        let next = self.next_due();
        tokio::select! {
            Some(finished) = self.running.join_next() => {
                if let Ok(finished) = finished {
                    self.finish(finished);
                }
            }
            outcome = self.feed.step() => self.heard(&outcome),
            () = tokio::time::sleep_until(next) => {}
        }
    }

    fn heard(&mut self, outcome: &Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Told(Topic::Topology) => {
                for (_, poll) in self.polls.iter_mut().filter(|(key, _)| feed::follows_topology(key)) {
                    poll.next = now;
                }
            }
            Outcome::Told(topic) => {
                let told = self.polls.iter_mut().filter(|(key, _)| feed::topic_of(key) == Some(*topic));
                told.for_each(|(_, poll)| poll.seen = None);
            }
            Outcome::Broken => self.polls.values_mut().for_each(|poll| poll.next = poll.next.min(now)),
            Outcome::Other => {}
        }
        self.tell_pace();
    }

    /// Asking is said quietly: whoever looks has to be woken when the answer does not come.
    fn say_what_is_late(&mut self) {
        let now = Instant::now();
        for (key, poll) in &mut self.polls {
            if poll.is_getting_late() && poll.asked + LATE <= now {
                poll.late = true;
                self.outbox.send(Event::Asked { key: key.clone() });
            }
        }
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        match &mut self.link {
            Link::Refused => return,
            Link::Down { at, trying, .. } => {
                if !*trying && *at <= now {
                    *trying = true;
                    let client = self.client.clone();
                    self.running.spawn(async move { Finished::Hello(hello(&client).await) });
                }
                return;
            }
            Link::Up => {}
        }
        while self.running.len() < CONCURRENT {
            if let Some(query) = self.once.pop_front() {
                self.ask(query, true, None);
                continue;
            }
            let feed = &self.feed;
            let due = self.polls.values_mut().filter(|poll| poll.is_waiting(feed) && poll.next <= now);
            let Some(poll) = due.min_by_key(|poll| poll.next) else { break };
            poll.running = true;
            (poll.asked, poll.late) = (now, false);
            let (query, seen) = (poll.query.clone(), poll.seen);
            self.ask(query, false, seen);
        }
    }

    fn ask(&mut self, query: AnyQuery, once: bool, seen: Option<u64>) {
        let asked = Event::Asked { key: query.key.clone() };
        if seen.is_none() {
            self.outbox.send(asked);
        } else {
            self.outbox.send_quietly(asked);
        }
        let client = self.client.clone();
        self.running.spawn(async move {
            let answer = send(&client, &query.request).await;
            let started = Instant::now();
            let result = answer.and_then(|body| read(&query, &body, seen));
            Finished::Answer { key: query.key, once, read_in: started.elapsed(), result }
        });
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Hello(Ok((broker, user))) => {
                self.link = Link::Up;
                let now = Instant::now();
                for poll in self.polls.values_mut() {
                    (poll.next, poll.insists) = (now, true);
                }
                let has_feed = broker.product_name.eq_ignore_ascii_case("leveret");
                self.outbox.send(Event::Connected { broker, user });
                self.feed.start(has_feed);
            }
            Finished::Hello(Err(problem)) => self.lose(problem),
            Finished::Answer { key, once: true, result, .. } => self.outbox.send(match result {
                Ok(Read::Other { value, .. }) => Event::Answered { key, value },
                Ok(Read::Same) => Event::Confirmed { key },
                Err(problem) => Event::Failed { key, problem },
            }),
            Finished::Answer { key, read_in, result, .. } => self.polled(key, read_in, result),
        }
    }

    fn polled(&mut self, key: String, read_in: Duration, result: Result<Read, Problem>) {
        let tells_topology = self.feed.tells_topology();
        if let Some(poll) = self.polls.get_mut(&key) {
            poll.running = false;
            poll.pace = period(&poll.query).max(read_in * READING_SHARE);
            if tells_topology && feed::follows_topology(&key) {
                poll.pace = poll.pace.max(TOLD_PERIOD);
            }
            poll.next = Instant::now() + poll.pace;
            // It is from before the latest news, and would put that back.
            if self.feed.covers(&key) && self.feed.has_told_since(&key, poll.asked) {
                poll.insists = false;
                self.outbox.send_quietly(Event::Confirmed { key });
                return;
            }
            match &result {
                Ok(read) => {
                    poll.insists = false;
                    if let Read::Other { seen, .. } = read {
                        poll.seen = Some(*seen);
                    }
                }
                // What comes next is news, be it the same as before.
                Err(_) => poll.seen = None,
            }
        }
        self.polls.retain(|_, poll| !poll.dropped || poll.running);
        self.tell_pace();
        match result {
            Ok(Read::Other { value, .. }) => self.outbox.send(Event::Answered { key, value }),
            Ok(Read::Same) => self.outbox.send_quietly(Event::Confirmed { key }),
            Err(problem) => {
                let is_overview = key == query::overview().key;
                let lost =
                    is_overview && (problem.is_disconnected() || problem.kind == ProblemKind::Unauthorised);
                self.outbox.send(Event::Failed { key, problem: problem.clone() });
                if lost && matches!(self.link, Link::Up) {
                    self.link = Link::Down { at: Instant::now(), wait: RETRY_FIRST, trying: true };
                    self.lose(problem);
                }
            }
        }
    }

    /// Tells how often is asked, when that changes.
    fn tell_pace(&mut self) {
        let polls = self.polls.iter().filter(|(key, poll)| {
            !poll.dropped && period(&poll.query) <= FIGURES_PERIOD && !self.feed.covers(key)
        });
        let pace = polls.map(|(_, poll)| poll.pace).max().unwrap_or_default();
        let pace = Duration::from_secs_f64(pace.as_secs_f64().ceil());
        if pace != self.pace {
            self.pace = pace;
            self.outbox.send(Event::Paced { every_ms: pace.as_millis() as u64 });
        }
    }

    fn lose(&mut self, problem: Problem) {
        self.feed.stop();
        if problem.kind == ProblemKind::Unauthorised {
            self.link = Link::Refused;
            self.outbox.send(Event::Lost { problem, retry_at: None });
            return;
        }
        let wait = match self.link {
            Link::Down { wait, .. } => wait,
            _ => RETRY_FIRST,
        };
        let retry_at = unix_now() + wait.as_millis() as u64;
        self.link = Link::Down { at: Instant::now() + wait, wait: (wait * 2).min(RETRY_LAST), trying: false };
        self.outbox.send(Event::Lost { problem, retry_at: Some(retry_at) });
    }

    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        match &self.link {
            Link::Refused => far,
            Link::Down { trying: true, .. } => far,
            Link::Down { at, .. } => *at,
            Link::Up => {
                let is_full = self.running.len() >= CONCURRENT;
                let waiting = self.polls.values().filter(|poll| !is_full && poll.is_waiting(&self.feed));
                let late =
                    self.polls.values().filter(|poll| poll.is_getting_late()).map(|poll| poll.asked + LATE);
                waiting.map(|poll| poll.next).chain(late).min().unwrap_or(far)
            }
        }
    }
}

/// Who answers, and as whom we are known there.
async fn hello(client: &Client) -> Result<(Box<api::Overview>, api::WhoAmI), Problem> {
    let user = client.whoami().await.map_err(|error| super::problem(&error, "GET /api/whoami"))?;
    let overview = client.overview().await.map_err(|error| super::problem(&error, "GET /api/overview"))?;
    Ok((Box::new(overview), user))
}

impl Poll {
    /// True while its answer is waited for, and nothing was said of that.
    fn is_getting_late(&self) -> bool {
        self.running && !self.late && !self.dropped
    }

    /// True when it is to be asked once it is time.
    fn is_waiting(&self, feed: &Feed) -> bool {
        !self.running && !self.dropped && (self.insists || !feed.covers(&self.query.key))
    }
}

fn period(query: &AnyQuery) -> Duration {
    Duration::from_millis(query.period_ms.unwrap_or(1_000))
}

/// Reads an answer, unless it is the one that was seen before.
fn read(query: &AnyQuery, body: &[u8], before: Option<u64>) -> Result<Read, Problem> {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let seen = hasher.finish();
    if before == Some(seen) {
        return Ok(Read::Same);
    }
    let first = match (query.decode)(body) {
        Ok(value) => return Ok(Read::Other { value, seen }),
        Err(error) => error,
    };
    let again = Client::put_right(body).and_then(|body| (query.decode)(&body).ok());
    let again = again.map(|value| Read::Other { value, seen });
    again.ok_or_else(|| Problem::new(ProblemKind::Malformed, query.request.summary(), first))
}
