//! Talking to the broker, on a thread of its own.
//!
//! ```text
//!  UI thread ──Command──▶ this thread: one task per request ──Event──▶ UI thread, which is woken
//! ```
//!
//! What the screens want comes over the live feed where the broker has one. What the feed does not tell is asked again
//! and again, each query at its own pace, and so is everything while there is no feed; the pace slows down when reading
//! the answer takes long, so that reading never takes more than a small share of a core. An answer that is the same as
//! before wakes nobody. When the broker is lost, only the overview is tried, ever more rarely; when it is back, everything
//! is asked at once.

mod feed;
mod session;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use leveret_admin_model::intent::{Effect, Password};
use leveret_admin_model::query::{AnyQuery, Request};
use leveret_admin_model::settings::SavedBroker;
use leveret_admin_model::{Event, Millis};
use leveret_admin_model::{Problem, ProblemKind};
use leveret_client::admin::{Client, Error};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the network thread is told.
#[derive(Debug)]
enum Command {
    Connect(Box<SavedBroker>, Password),
    Disconnect,
    Test(Box<SavedBroker>, Password),
    /// What is polled from now on, and nothing else.
    Want(Vec<AnyQuery>),
    Fetch(Box<AnyQuery>),
    Refresh(Vec<String>),
    Act {
        id: u64,
        requests: Vec<Request>,
    },
}

/// The network thread, as the UI sees it. It ends when this is dropped.
#[derive(Debug)]
pub struct Net {
    commands: UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
    wanted: Vec<AnyQuery>,
}

/// Where events go.
#[derive(Clone)]
struct Outbox {
    events: mpsc::Sender<Event>,
    wake: Arc<dyn Fn() + Send + Sync>,
    /// Sent since somebody was woken last.
    quiet: Arc<AtomicUsize>,
}

/// Events that may wait for a frame that is drawn anyway.
const QUIET_MAX: usize = 256;

impl Outbox {
    fn send(&self, event: Event) {
        // The UI is gone only when the program ends.
        if self.events.send(event).is_ok() {
            self.quiet.store(0, Ordering::Relaxed);
            (self.wake)();
        }
    }

    /// Says something that nobody sees: it is taken with the next frame.
    fn send_quietly(&self, event: Event) {
        if self.quiet.fetch_add(1, Ordering::Relaxed) >= QUIET_MAX {
            self.send(event);
        } else {
            let _ = self.events.send(event);
        }
    }
}

impl Net {
    /// Starts the thread; `wake` is called when there are events to take.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Net> {
        let (commands, receiver) = unbounded_channel();
        let (sender, events) = mpsc::channel();
        let outbox = Outbox { events: sender, wake: Arc::new(wake), quiet: Arc::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("net".to_owned()).spawn(move || {
            runtime.block_on(run(receiver, outbox));
        })?;
        Ok(Net { commands, events, wanted: Vec::new() })
    }

    /// What was found since this was last called.
    pub fn take_events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// Says what the screens want.
    pub fn want(&mut self, wanted: &[AnyQuery]) {
        if wanted != self.wanted {
            self.wanted = wanted.to_vec();
            self.tell(Command::Want(wanted.to_vec()));
        }
    }

    /// Does what has to be done on the network; gives back what is not its business.
    pub fn perform(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Connect { broker, password } => {
                self.wanted.clear();
                self.tell(Command::Connect(broker, password));
            }
            Effect::Disconnect => self.tell(Command::Disconnect),
            Effect::Test { broker, password } => self.tell(Command::Test(broker, password)),
            Effect::Fetch(query) => self.tell(Command::Fetch(query)),
            Effect::Refresh(keys) => self.tell(Command::Refresh(keys)),
            Effect::Act { id, requests } => self.tell(Command::Act { id, requests }),
            other => return Some(other),
        }
        None
    }

    fn tell(&self, command: Command) {
        // The thread ends only when this is dropped.
        let _ = self.commands.send(command);
    }
}

async fn run(mut commands: UnboundedReceiver<Command>, outbox: Outbox) {
    let local = tokio::spawn(steps::look_for_local(outbox.clone()));
    let mut session: Option<session::Session> = None;
    let mut test: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let command = match &mut session {
            Some(session) => tokio::select! {
                command = commands.recv() => command,
                () = session.step() => continue,
            },
            None => commands.recv().await,
        };
        match command {
            None => break,
            Some(Command::Connect(broker, password)) => {
                session = session::Session::open(&broker, &password, outbox.clone());
            }
            Some(Command::Disconnect) => session = None,
            Some(Command::Test(broker, password)) => {
                if let Some(running) = test.take() {
                    running.abort();
                }
                test = Some(tokio::spawn(steps::test(*broker, password, outbox.clone())));
            }
            Some(Command::Want(wanted)) => with(&mut session, |session| session.want(wanted)),
            Some(Command::Fetch(query)) => with(&mut session, |session| session.fetch(*query)),
            Some(Command::Refresh(keys)) => with(&mut session, |session| session.refresh(&keys)),
            Some(Command::Act { id, requests }) => match &mut session {
                Some(session) => session.act(id, requests),
                None => {
                    let problem = Problem::new(ProblemKind::Unreachable, "", "no broker is connected");
                    outbox.send(Event::Acted { id, result: Err((0, problem)) });
                }
            },
        }
    }
    local.abort();
}

fn with(session: &mut Option<session::Session>, act: impl FnOnce(&mut session::Session)) {
    if let Some(session) = session {
        act(session);
    }
}

fn client(broker: &SavedBroker, password: &Password) -> Result<Client, Problem> {
    Client::builder(&broker.url)
        .login(&broker.user, &password.0)
        .timeout(std::time::Duration::from_secs(20))
        .build()
        .map_err(|error| problem(&error, ""))
}

/// What an error of the client is to the model.
fn problem(error: &Error, request: &str) -> Problem {
    let kind = match error {
        Error::Unreachable { .. } | Error::Interrupted { .. } => ProblemKind::Unreachable,
        Error::Tls { .. } => ProblemKind::Tls,
        Error::Timeout { .. } => ProblemKind::Timeout,
        Error::Login { .. } => ProblemKind::Unauthorised,
        Error::Refused { status, reason, .. } => {
            // RabbitMQ says 401 to those who are known and may not, too.
            let status = if *status == 401 { 403 } else { *status };
            return Problem::of_status(status, request, reason);
        }
        Error::Unsupported { .. } => ProblemKind::NotFound,
        Error::Unreadable { .. } | Error::TooLarge { .. } => ProblemKind::Malformed,
        _ => ProblemKind::Refused,
    };
    let detail = match error {
        Error::Unreachable { reason, .. } | Error::Interrupted { reason, .. } | Error::Tls { reason, .. } => {
            reason.clone()
        }
        Error::Unreadable { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    Problem::new(kind, request, detail)
}

/// Sends a request and reads the answer.
async fn send(client: &Client, request: &Request) -> Result<Vec<u8>, Problem> {
    let body = request.body.as_ref().map(|body| body.clone().into_bytes());
    let sent = client.send_raw(request.method.as_str(), &request.path, body, &request.headers).await;
    sent.map_err(|error| problem(&error, &request.summary()))
}

fn unix_now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}
