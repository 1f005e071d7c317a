//! What people want done, and what has to be done outside of the model for it.

use crate::Millis;
use crate::query::{AnyQuery, Request};
use crate::remote::Problem;
use crate::route::Route;
use crate::settings::{SavedBroker, Settings};

/// What somebody wants done. Screens push intents while they draw; they are applied after the frame.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Goes to a place.
    Go(Route),
    /// Goes there in place of where one is: another tab of the same page.
    Replace(Route),
    Back,
    Forward,
    /// Fetches again whatever is on the screen.
    Refresh,
    /// Connects to a broker.
    Connect(Box<SavedBroker>, Password),
    /// Connects to one that is saved, with the password that is known or kept; otherwise it is asked for.
    Open(Box<SavedBroker>),
    /// Takes it off the list, and its password out of the keyring.
    ForgetBroker(Box<SavedBroker>),
    Disconnect,
    /// Tries a broker step by step, without leaving the one that is connected.
    TestConnection(Box<SavedBroker>, Password),
    /// Sends something that is reversible or has been confirmed.
    Act(Box<Action>),
    /// Asks before doing something that is not reversible.
    Ask(Box<Danger>),
    /// Asks the broker once; the answer is kept under the key of the query.
    Fetch(Box<AnyQuery>),
    /// Says something.
    Notify(Notice),
    /// Into the clipboard.
    Copy(String),
    /// Into a file that is asked for; where nothing can be asked, where people look for what they downloaded.
    Export {
        name: String,
        contents: String,
    },
    /// Asks for a file to read, which comes as [`crate::State::chosen`].
    Choose,
    /// Only objects of this vhost, or of all.
    SelectVhost(Option<String>),
    /// Other settings, which are written down.
    Settings(Box<Settings>),
}

/// A password, which never shows in debugging output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Password(none)" } else { "Password(…)" })
    }
}

/// Names an action to whoever wants to know what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Something that changes the broker.
#[derive(Debug, Clone)]
pub struct Action {
    /// What is done, once it is: "Queue orders was purged".
    pub done: String,
    /// What it is called when it fails: "Purge queue orders".
    pub what: String,
    pub requests: Vec<Request>,
    /// Keys (or starts of keys, ending in `*`) of queries whose answers change by it.
    pub refresh: Vec<String>,
    /// What takes it back.
    pub undo: Option<Box<Action>>,
    /// Where to go when it is done: the page of a deleted queue is left.
    pub then: Option<Route>,
    /// Under which its outcome is kept, for the form that sent it.
    pub ticket: Option<Ticket>,
}

impl Action {
    pub fn new(what: impl Into<String>, done: impl Into<String>, request: Request) -> Action {
        Action {
            done: done.into(),
            what: what.into(),
            requests: vec![request],
            refresh: vec!["*".to_owned()],
            undo: None,
            then: None,
            ticket: None,
        }
    }

    /// Several requests, one after the other.
    pub fn all(what: impl Into<String>, done: impl Into<String>, requests: Vec<Request>) -> Action {
        Action { requests, ..Action::new(what, done, Request::get("")) }
    }

    pub fn undo(mut self, undo: Action) -> Action {
        self.undo = Some(Box::new(undo));
        self
    }

    pub fn then(mut self, route: Route) -> Action {
        self.then = Some(route);
        self
    }
}

/// A question before something that is not reversible.
#[derive(Debug, Clone)]
pub struct Danger {
    /// "Purge queue orders?"
    pub title: String,
    /// What is lost, with numbers: "412 messages are removed for good."
    pub loss: String,
    /// Names of the objects, when there are several.
    pub objects: Vec<String>,
    /// What the button says: the verb and the count, never "OK".
    pub verb: String,
    /// What has to be typed first; `None` when a click is enough. In production it is always asked.
    pub type_name: Option<String>,
    pub action: Action,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Success,
    Info,
    Warning,
    Error,
}

/// Something said to whoever sits there.
#[derive(Debug, Clone)]
pub struct Notice {
    pub severity: Severity,
    pub text: String,
    /// More of it, for those who look.
    pub detail: Option<String>,
    pub undo: Option<Box<Action>>,
    pub at: Millis,
}

impl Notice {
    pub fn new(severity: Severity, text: impl Into<String>) -> Notice {
        Notice { severity, text: text.into(), detail: None, undo: None, at: 0 }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Notice {
        self.detail = Some(detail.into());
        self
    }
}

/// What has to happen outside of the model.
#[derive(Debug, Clone)]
pub enum Effect {
    Connect {
        broker: Box<SavedBroker>,
        password: Password,
    },
    Disconnect,
    /// Looks for the password of a broker; comes back as [`crate::Event::LookedUp`].
    LookUp(Box<SavedBroker>),
    /// Puts a password into the keyring, or takes it out; comes back as [`crate::Event::Kept`].
    Keep {
        broker: Box<SavedBroker>,
        password: Option<Password>,
    },
    /// Asks for a file to read; comes back as [`crate::Event::Chosen`].
    Choose,
    Test {
        broker: Box<SavedBroker>,
        password: Password,
    },
    /// Asks once.
    Fetch(Box<AnyQuery>),
    /// Asks these again at once.
    Refresh(Vec<String>),
    /// Sends the requests of an action; comes back as [`crate::Event::Acted`].
    Act {
        id: u64,
        requests: Vec<Request>,
    },
    Copy(String),
    Export {
        name: String,
        contents: String,
    },
    /// Writes the settings down.
    Save(Box<Settings>),
}

/// How a step of a connection test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    Running,
    /// What was found: an address, a version.
    Passed(String),
    Failed(Problem),
}

/// Steps of a connection test, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Name,
    Connect,
    Tls,
    Login,
    Version,
}
