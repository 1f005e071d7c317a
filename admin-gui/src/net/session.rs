//! One broker that is connected, or shall be.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use leveret_admin_model::intent::Password;
use leveret_admin_model::query::{self, AnyQuery, Request, Value};
use leveret_admin_model::settings::SavedBroker;
use leveret_admin_model::{Event, Problem, ProblemKind};
use leveret_client::admin::Client;
use leveret_protocol::admin as api;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Outbox, client, send, unix_now};

/// Requests at a time: a browser makes as many.
const CONCURRENT: usize = 6;
/// Reading answers takes at most this share of the time.
const READING_SHARE: u32 = 25;
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
    /// Nobody wants it any more.
    dropped: bool,
}

enum Finished {
    Hello(Result<(Box<api::Overview>, api::WhoAmI), Problem>),
    Answer { key: String, once: bool, read_in: Duration, result: Result<Value, Problem> },
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
        Some(Session {
            client,
            outbox,
            polls: HashMap::new(),
            once: VecDeque::new(),
            running: JoinSet::new(),
            acting: JoinSet::new(),
            link,
        })
    }

    pub fn want(&mut self, wanted: Vec<AnyQuery>) {
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
                    let poll = Poll { next: Instant::now(), running: false, dropped: false, query };
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
        let next = self.next_due();
        tokio::select! {
            Some(finished) = self.running.join_next() => {
                if let Ok(finished) = finished {
                    self.finish(finished);
                }
            }
            () = tokio::time::sleep_until(next) => {}
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
                self.ask(query, true);
                continue;
            }
            let due =
                self.polls.values_mut().filter(|poll| !poll.running && !poll.dropped && poll.next <= now);
            let Some(poll) = due.min_by_key(|poll| poll.next) else { break };
            poll.running = true;
            let query = poll.query.clone();
            self.ask(query, false);
        }
    }

    fn ask(&mut self, query: AnyQuery, once: bool) {
        self.outbox.send(Event::Asked { key: query.key.clone() });
        let client = self.client.clone();
        self.running.spawn(async move {
            let answer = send(&client, &query.request).await;
            let started = Instant::now();
            let result = answer.and_then(|body| read(&query, &body));
            Finished::Answer { key: query.key, once, read_in: started.elapsed(), result }
        });
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Hello(Ok((broker, user))) => {
                self.link = Link::Up;
                let now = Instant::now();
                self.polls.values_mut().for_each(|poll| poll.next = now);
                self.outbox.send(Event::Connected { broker, user });
            }
            Finished::Hello(Err(problem)) => self.lose(problem),
            Finished::Answer { key, once, read_in, result } => {
                if let Some(poll) = self.polls.get_mut(&key).filter(|_| !once) {
                    poll.running = false;
                    let period = Duration::from_millis(poll.query.period_ms.unwrap_or(1_000));
                    poll.next = Instant::now() + period.max(read_in * READING_SHARE);
                }
                self.polls.retain(|_, poll| !poll.dropped || poll.running);
                match result {
                    Ok(value) => self.outbox.send(Event::Answered { key, value }),
                    Err(problem) => {
                        let is_overview = key == query::overview().key;
                        let lost = is_overview
                            && (problem.is_disconnected() || problem.kind == ProblemKind::Unauthorised);
                        self.outbox.send(Event::Failed { key, problem: problem.clone() });
                        if lost && matches!(self.link, Link::Up) {
                            self.link = Link::Down { at: Instant::now(), wait: RETRY_FIRST, trying: true };
                            self.lose(problem);
                        }
                    }
                }
            }
        }
    }

    fn lose(&mut self, problem: Problem) {
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
            Link::Up if self.running.len() >= CONCURRENT => far,
            Link::Up => {
                let waiting = self.polls.values().filter(|poll| !poll.running && !poll.dropped);
                waiting.map(|poll| poll.next).min().unwrap_or(far)
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

fn read(query: &AnyQuery, body: &[u8]) -> Result<Value, Problem> {
    let first = match (query.decode)(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let again = Client::put_right(body).and_then(|body| (query.decode)(&body).ok());
    again.ok_or_else(|| Problem::new(ProblemKind::Malformed, query.request.summary(), first))
}
