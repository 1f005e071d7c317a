//! The broker under test: one of our own, or another one that is running already.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leveret_tests::TestBroker;

/// The broker that a suite talks to.
pub struct Subject {
    /// `None` when it belongs to somebody else.
    broker: Option<TestBroker>,
    url: String,
    /// Held while this suite may restart a broker that the others use as well.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Subject {
    /// The broker at `LEVERET_INTEROP_URL`, else a new one.
    pub fn start() -> Subject {
        match std::env::var("LEVERET_INTEROP_URL") {
            Ok(url) => {
                static RESTARTS: Mutex<()> = Mutex::new(());
                let restarts = std::env::var_os(RESTART_COMMAND).is_some();
                let alone = restarts.then(|| RESTARTS.lock().unwrap_or_else(PoisonError::into_inner));
                Subject { broker: None, url: url.trim_end_matches('/').to_owned(), _alone: alone }
            }
            Err(_) => {
                let broker = TestBroker::start();
                let url = format!("amqp://guest:guest@{}", broker.amqp());
                Subject { broker: Some(broker), url, _alone: None }
            }
        }
    }

    /// Where it is, without a vhost.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let host = self.url.rsplit('@').next().unwrap_or_default();
        let host = host.strip_prefix("amqp://").unwrap_or(host);
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5672") };
        let address = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        address.unwrap_or_else(|| panic!("LEVERET_INTEROP_URL has no address: {}", self.url))
    }

    /// What [`Subject::control`] can do, separated by spaces.
    pub fn controls(&self) -> &'static str {
        match self.broker {
            Some(_) => "restart crash",
            None if std::env::var_os(RESTART_COMMAND).is_some() => "restart",
            None => "",
        }
    }

    /// Does what a scenario cannot do itself. Returns false when that is not possible here.
    pub fn control(&mut self, request: &str) -> bool {
        match (&mut self.broker, request) {
            (Some(broker), "restart") => broker.stop(),
            (Some(broker), "crash") => broker.crash(),
            (None, "restart") => {
                let Ok(command) = std::env::var(RESTART_COMMAND) else { return false };
                let status = Command::new("sh").args(["-c", &command]).stdout(Stdio::null()).status();
                return status.is_ok_and(|status| status.success());
            }
            _ => return false,
        }
        if let Some(broker) = &mut self.broker {
            broker.restart();
        }
        true
    }

    /// What the broker logged, for a failure's sake.
    pub fn log(&self) -> String {
        self.broker.as_ref().map(TestBroker::log).unwrap_or_default()
    }
}

/// Names the shell command that restarts a broker that is not ours.
const RESTART_COMMAND: &str = "LEVERET_INTEROP_RESTART";
