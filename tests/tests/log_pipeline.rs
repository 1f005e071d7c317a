//! The log pipeline example as processes of its own, while the broker and one of them are killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use leveret_tests::{TestBroker, client_example, eventually};

const LIMIT: Duration = Duration::from_secs(120);

/// A worker; killed when the test ends before it does.
struct Worker {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts a worker with its output in `directory`.
    fn start(broker: &TestBroker, directory: &Path, name: &'static str, arguments: &[&str]) -> Worker {
        let log = directory.join(format!("{name}.log"));
        let open = |path: &Path| {
            File::options().create(true).append(true).open(path).expect("a file for its output")
        };
        let child = Command::new(client_example("log_pipeline"))
            .args(["--uri", &broker.uri(), name])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(open(&directory.join(format!("{name}.out"))))
            .stderr(open(&log))
            .spawn()
            .expect("the example can be started");
        Worker { name, child, log }
    }

    fn kill(mut self) {
        self.child.kill().expect("a worker can be killed");
        self.child.wait().expect("a killed worker ends");
    }

    /// Waits for it to end by itself.
    fn wait(&mut self) -> ExitStatus {
        let status = eventually(LIMIT, || self.child.try_wait().expect("a worker can be waited for"));
        status.unwrap_or_else(|| panic!("{} did not end:\n{}", self.name, self.log()))
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().expect("kill can be run").success());
        let status = self.wait();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |content| content.iter().filter(|byte| **byte == b'\n').count())
}

#[test]
fn every_line_reaches_the_store_once_although_broker_and_store_are_killed() {
    let sample = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/sample.log"));
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let (stored, state) = (at("stored"), at("state"));
    let text = |path| Path::to_str(path).expect("these paths are text");
    let mut broker = TestBroker::start();
    let start = |broker: &TestBroker, name, arguments: &[&str]| {
        Worker::start(broker, directory.path(), name, arguments)
    };

    let mut store = start(&broker, "store", &[text(&stored)]);
    let analyser = start(&broker, "analyser", &[]);
    let alerts = start(&broker, "alerts", &[]);
    let arguments = [text(sample), "--rate", "1000", "--state", text(&state)];
    let mut collector = start(&broker, "collector", &arguments);
    let wait_for = |count: usize, collector: &Worker| {
        let reached = eventually(LIMIT, || (lines(&stored) >= count).then_some(()));
        assert!(reached.is_some(), "{} of {count} lines stored:\n{}", lines(&stored), collector.log());
    };
    for (count, kill_store) in [(300, false), (900, true), (1500, false), (2100, true)] {
        wait_for(count, &collector);
        broker.crash();
        if kill_store {
            store.kill();
            store = start(&broker, "store", &[text(&stored)]);
        }
        broker.restart();
    }
    let status = collector.wait();
    assert!(status.success(), "the collector ended with {status}:\n{}", collector.log());

    let expected = std::fs::read_to_string(sample).expect("the sample is part of the repository");
    wait_for(expected.lines().count(), &collector);
    let alerts_out = at("alerts.out");
    let printed = eventually(LIMIT, || (lines(&alerts_out) >= 6).then_some(()));
    assert!(printed.is_some(), "alerts:\n{}", std::fs::read_to_string(&alerts_out).unwrap_or_default());
    store.stop();
    analyser.stop();
    alerts.stop();

    let content = std::fs::read_to_string(&stored).expect("the store wrote it");
    let without_ids: String = content
        .lines()
        .map(|line| line.split_once('\t').expect("an id before each line").1.to_owned() + "\n")
        .collect();
    if without_ids != expected {
        let at = without_ids.lines().zip(expected.lines()).position(|(stored, line)| stored != line);
        panic!(
            "stored {} lines of {}, the first difference in line {:?}",
            without_ids.lines().count(),
            expected.lines().count(),
            at.map(|index| index + 1)
        );
    }
    let offset = std::fs::read_to_string(&state).expect("the collector kept its state");
    assert_eq!(offset.trim(), expected.len().to_string(), "everything is confirmed");
    let printed = std::fs::read_to_string(&alerts_out).expect("readable");
    for anomaly in ["error_burst web-2", "latency_spike /checkout", "unusual_message db-1: kernel"] {
        let count = printed.lines().filter(|line| line.contains(anomaly)).count();
        assert_eq!(count, 1, "'{anomaly}' in:\n{printed}");
    }
}

#[test]
fn everything_in_one_process_ends_when_the_file_is_through() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("app.log");
    let stored = directory.path().join("stored");
    std::fs::write(&log, "one\ntwo\n\nfour without a newline").expect("written");
    let broker = TestBroker::start();
    let [log, store] = [&log, &stored].map(|path| path.to_str().expect("temporary paths are text"));
    // The second run reads the same lines again, and stores none twice.
    for _ in 0..2 {
        let mut all = Worker::start(&broker, directory.path(), "all", &[log, "--store", store]);
        let status = all.wait();
        assert!(status.success(), "{}", all.log());
        let content = std::fs::read_to_string(&stored).expect("stored");
        let texts: Vec<&str> = content.lines().filter_map(|line| Some(line.split_once('\t')?.1)).collect();
        assert_eq!(texts, ["one", "two", "", "four without a newline"]);
    }
}
