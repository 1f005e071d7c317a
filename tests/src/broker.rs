//! The real `leveret` binary under test: started on free ports, stopped, killed, started again.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::program::broker_binary;

/// A running broker with a data directory that goes away with it.
pub struct TestBroker {
    directory: Arc<tempfile::TempDir>,
    arguments: Vec<String>,
    child: Child,
    amqp: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl TestBroker {
    /// Starts a broker with an empty data directory.
    pub fn start() -> TestBroker {
        TestBroker::start_with(&[])
    }

    /// Starts a broker with more arguments.
    pub fn start_with(arguments: &[&str]) -> TestBroker {
        let directory = tempfile::tempdir().expect("a directory for the broker's data");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        TestBroker::launch(Arc::new(directory), arguments, (FREE_PORT, FREE_PORT))
    }

    /// Starts the broker again on the same data and ports, after [`TestBroker::stop`] or [`TestBroker::crash`].
    pub fn restart(&mut self) {
        assert!(matches!(self.child.try_wait(), Ok(Some(_))), "the broker is still running");
        let listen = (self.amqp, self.admin);
        *self = TestBroker::launch(self.directory.clone(), self.arguments.clone(), listen);
    }

    /// Stops it with SIGTERM and checks that it went in order.
    pub fn stop(&mut self) {
        let began = Instant::now();
        self.signal("TERM");
        let status = self.wait(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "a stop by SIGTERM is in order:\n{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(10), "a stop takes seconds, not {:?}", began.elapsed());
    }

    /// Kills it with SIGKILL.
    pub fn crash(&mut self) {
        self.child.kill().expect("the broker can be killed");
        self.child.wait().expect("a killed broker ends");
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill can be run");
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = eventually(limit, || self.child.try_wait().expect("the broker can be waited for"));
        status.unwrap_or_else(|| panic!("the broker did not end within {limit:?}:\n{}", self.log()))
    }

    /// Where it takes AMQP connections.
    pub fn amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// Where it serves the admin API.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The URI of the default user and vhost.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.amqp)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log's reader does not panic").join("\n")
    }

    fn launch(
        directory: Arc<tempfile::TempDir>,
        arguments: Vec<String>,
        (amqp, admin): (SocketAddr, SocketAddr),
    ) -> TestBroker {
        let mut child = Command::new(broker_binary())
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .args(["--amqp-listen", &amqp.to_string(), "--admin-listen", &admin.to_string()])
            .args(["--log-format", "json"])
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker's binary can be started");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, seen) = mpsc::channel();
        follow(child.stdout.take().expect("piped"), log.clone(), lines.clone());
        follow(child.stderr.take().expect("piped"), log.clone(), lines);
        let (mut amqp, mut admin) = (None, None);
        let deadline = Instant::now() + START_LIMIT;
        while amqp.is_none() || admin.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = seen.recv_timeout(left) else {
                let log = log.lock().expect("the log's reader does not panic").join("\n");
                let _ = child.kill();
                panic!("the broker did not start listening within {START_LIMIT:?}:\n{log}");
            };
            match listening(&line) {
                Some((listener, address)) if listener == "amqp" => amqp = Some(address),
                Some((listener, address)) if listener == "admin" => admin = Some(address),
                _ => {}
            }
        }
        let (amqp, admin) = (amqp.expect("seen"), admin.expect("seen"));
        TestBroker { directory, arguments, child, amqp, admin, log }
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks `check` until it answers or the time is over.
pub fn eventually<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = check() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads lines as they come, keeps them, passes them on.
fn follow(output: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>, lines: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            log.lock().expect("nobody panics with the log").push(line.clone());
            let _ = lines.send(line);
        }
    });
}

/// The listener and address in a log line that announces one.
fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = event.get("fields").unwrap_or(&event);
    if fields.get("message")?.as_str()? != "listening" {
        return None;
    }
    let listener = fields.get("listener")?.as_str()?.to_owned();
    Some((listener, fields.get("address")?.as_str()?.parse().ok()?))
}

/// Lets the system choose.
const FREE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long a start may take, RocksDB's recovery on a busy machine included.
const START_LIMIT: Duration = Duration::from_secs(60);
