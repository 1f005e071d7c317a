//! A broker that misbehaves on demand. It speaks as much HTTP as the console needs and answers from a table; what it is
//! told to do wrong it does until it is mended.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use leveret_protocol::admin as api;
use leveret_protocol::admin::events::EventData;
use serde::Serialize;

use super::sample;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Answers with this status and a word.
    Status(u16),
    /// Takes no password.
    Login,
    /// Takes requests and does not answer them.
    Hang,
    /// Closes connections while the request is still being sent.
    Close,
    /// Closes them in the middle of the body.
    CutBody,
    /// Answers with what is no JSON.
    NotJson,
    /// Answers with JSON of another kind.
    OtherJson,
    /// Answers after this time.
    Slow(Duration),
    /// Tells a line without an end over its live feed.
    Endless,
}

impl Fault {
    /// What its live feed says again and again; None when it ends.
    fn babble(self) -> Option<String> {
        match self {
            Fault::NotJson => Some(format!("data: {NOT_JSON}\n\n")),
            Fault::OtherJson => Some(format!("data: {OTHER_JSON}\n\n")),
            Fault::Endless => Some("x".repeat(1 << 20)),
            _ => None,
        }
    }
}

const NOT_JSON: &str = "<html>Please log in to the hotel</html>";
const OTHER_JSON: &str = r#""forty-two""#;

/// A broker that misbehaves on demand.
pub struct FakeBroker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What is wrong, and with paths that begin how.
    fault: (Fault, String),
    answers: BTreeMap<String, String>,
    /// What its live feed begins with; it has none while this is empty.
    told: Vec<String>,
    /// Requests that changed something, and were answered well.
    changes: Vec<String>,
    stopped: bool,
}

impl Default for State {
    fn default() -> State {
        let (answers, told, changes) = Default::default();
        State { fault: (Fault::None, String::new()), answers, told, changes, stopped: false }
    }
}

const FEED: &str = "/api/events";
/// How long the live feed is without a word.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

struct Request {
    method: String,
    path: String,
    /// Of its body.
    length: u64,
}

impl FakeBroker {
    /// One with a few queues and exchanges, in good health.
    pub fn start() -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let broker = FakeBroker { address, shared: Arc::default() };
        let overview = api::Overview { node: "leveret@fake".to_owned(), ..sample::overview(0) };
        broker.answer("/api/overview", &overview);
        let tags = vec!["administrator".to_owned()];
        broker.answer("/api/whoami", &api::WhoAmI { name: "guest".to_owned(), tags });
        broker.answer("/api/vhosts", &[api::Vhost { name: "/".to_owned(), ..api::Vhost::default() }]);
        broker.answer("/api/nodes", &[sample::node()]);
        broker.answer("/api/queues", &sample::queues());
        broker.answer("/api/queues/%2F/orders.paid", &sample::queue("orders.paid", 41, 2));
        broker.answer("/api/exchanges", &sample::exchanges());
        broker.answer("/api/bindings", &sample::bindings());
        broker.answer("/api/connections", &[sample::connection(0)]);
        let shared = Arc::clone(&broker.shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.state.lock().expect("no panic").stopped {
                    return;
                }
                let (Ok(connection), shared) = (connection, Arc::clone(&shared)) else { continue };
                // A client that goes away ends it with an error, which is nobody's.
                thread::spawn(move || drop(serve(&connection, &shared)));
            }
        });
        broker
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers to a GET of `path` from now on.
    pub fn answer(&self, path: &str, value: &(impl Serialize + ?Sized)) {
        let body = serde_json::to_string(value).expect("it can be written");
        self.shared.state.lock().expect("no panic").answers.insert(path.to_owned(), body);
    }

    /// Tells this over the live feed, now and to whoever opens it later.
    pub fn tell(&self, event: &EventData) {
        self.tell_text(&serde_json::to_string(event).expect("it can be written"));
    }

    /// Tells an event for which there is no type.
    pub fn tell_text(&self, data: &str) {
        self.shared.state.lock().expect("no panic").told.push(format!("data: {data}\n\n"));
        self.shared.changed.notify_all();
    }

    /// From now on it does this to requests whose path begins so.
    pub fn fail(&self, fault: Fault, path: &str) {
        self.shared.state.lock().expect("no panic").fault = (fault, path.to_owned());
        self.shared.changed.notify_all();
    }

    /// From now on it does everything right; requests that hang are answered.
    pub fn mend(&self) {
        self.fail(Fault::None, "");
    }

    /// Requests that changed something, and were answered well.
    pub fn changes(&self) -> Vec<String> {
        self.shared.state.lock().expect("no panic").changes.clone()
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.shared.state.lock().expect("no panic").stopped = true;
        self.shared.changed.notify_all();
        // Wakes whoever waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(connection: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut input = BufReader::new(connection);
    while let Some(request) = read(&mut input)? {
        let fault = shared.fault_for(&request.path);
        if fault != Fault::Close {
            std::io::copy(&mut input.by_ref().take(request.length), &mut std::io::sink())?;
        }
        let mut output = connection;
        if fault.babble().is_some() && shared.has_feed(&request) {
            return shared.feed(output);
        }
        match fault {
            Fault::None | Fault::Hang | Fault::Endless => {
                if fault == Fault::Hang {
                    shared.until_mended();
                }
                if shared.has_feed(&request) {
                    return shared.feed(output);
                }
                respond(&mut output, shared.answer(&request))?;
            }
            Fault::Status(status) => {
                respond(
                    &mut output,
                    (status, r#"{"error":"oops","reason":"the disk is on fire"}"#.to_owned()),
                )?;
            }
            Fault::Login => {
                let reason = r#"{"error":"not_authorised","reason":"Login failed"}"#;
                respond(&mut output, (401, reason.to_owned()))?;
            }
            Fault::Close => return connection.shutdown(Shutdown::Both),
            Fault::CutBody => {
                let (_, body) = shared.answer(&request);
                write!(
                    output,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )?;
                output.write_all(&body.as_bytes()[..body.len() / 2])?;
                return connection.shutdown(Shutdown::Both);
            }
            Fault::NotJson => respond(&mut output, (200, NOT_JSON.to_owned()))?,
            Fault::OtherJson => respond(&mut output, (200, OTHER_JSON.to_owned()))?,
            Fault::Slow(delay) => {
                thread::sleep(delay);
                respond(&mut output, shared.answer(&request))?;
            }
        }
    }
    Ok(())
}

/// The next request, to the end of its head.
fn read(input: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), length: 0 };
    loop {
        let mut header = String::new();
        input.read_line(&mut header)?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            request.length = value.trim().parse().unwrap_or(0);
        }
    }
    Ok(Some(request))
}

fn respond(output: &mut impl Write, (status, body): (u16, String)) -> std::io::Result<()> {
    // With this header it is the password that is not taken, without it the request.
    let login = if status == 401 { "WWW-Authenticate: Basic realm=\"fake\"\r\n" } else { "" };
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {status} Word\r\n{login}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

impl State {
    fn fault_for(&self, path: &str) -> Fault {
        if path.starts_with(&self.fault.1) { self.fault.0 } else { Fault::None }
    }
}

impl Shared {
    fn fault_for(&self, path: &str) -> Fault {
        self.state.lock().expect("no panic").fault_for(path)
    }

    fn until_mended(&self) {
        let state = self.state.lock().expect("no panic");
        let waited = self.changed.wait_while(state, |state| state.fault.0 == Fault::Hang && !state.stopped);
        drop(waited);
    }

    fn has_feed(&self, request: &Request) -> bool {
        request.path.starts_with(FEED) && !self.state.lock().expect("no panic").told.is_empty()
    }

    /// The live feed, until it is to end. While everything is to hang it says nothing.
    fn feed(&self, mut output: impl Write) -> std::io::Result<()> {
        write!(output, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
        let mut sent = 0;
        loop {
            let state = self.state.lock().expect("no panic");
            let nothing_new = |state: &mut State| {
                let is_quiet = state.told.len() == sent && state.fault_for(FEED) == Fault::None;
                (is_quiet || state.fault_for(FEED) == Fault::Hang) && !state.stopped
            };
            let waited = self.changed.wait_timeout_while(state, SIGN_OF_LIFE, nothing_new);
            let (state, _) = waited.expect("no panic");
            let news = match state.fault_for(FEED) {
                _ if state.stopped => return Ok(()),
                Fault::Hang => continue,
                Fault::None if state.told.len() == sent => ": still here\n\n".to_owned(),
                Fault::None => {
                    let news = state.told[sent..].concat();
                    sent = state.told.len();
                    news
                }
                fault => match fault.babble() {
                    Some(babble) => babble,
                    None => return Ok(()),
                },
            };
            drop(state);
            output.write_all(news.as_bytes())?;
        }
    }

    fn answer(&self, request: &Request) -> (u16, String) {
        let mut state = self.state.lock().expect("no panic");
        if request.method != "GET" {
            state.changes.push(format!("{} {}", request.method, request.path));
            return (201, r#"{"routed":true}"#.to_owned());
        }
        let path = request.path.split('?').next().unwrap_or_default();
        match state.answers.get(path) {
            Some(body) => (200, body.clone()),
            None => (404, r#"{"error":"Object Not Found","reason":"Not Found"}"#.to_owned()),
        }
    }
}
