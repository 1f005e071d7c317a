//! `leveretctl` as a script sees it: what it prints, what it reads, how it exits.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use leveret_tests::{TestBroker, leveretctl_binary};

/// Runs commands against one broker.
struct Shell {
    uri: String,
    _broker: Option<TestBroker>,
}

impl Shell {
    /// `LEVERET_TEST_AMQP=HOST:PORT` chooses a broker that is running already, RabbitMQ for instance.
    fn start() -> Shell {
        match std::env::var("LEVERET_TEST_AMQP") {
            Ok(address) => Shell { uri: format!("amqp://guest:guest@{address}/%2f"), _broker: None },
            Err(_) => {
                let broker = TestBroker::start();
                Shell { uri: broker.uri(), _broker: Some(broker) }
            }
        }
    }

    fn output(&self, line: &str, input: &str) -> Output {
        let mut child = Command::new(leveretctl_binary())
            .args(line.split_whitespace())
            .env("LEVERET_URI", &self.uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("leveretctl can be started");
        // It may end without reading what it is given.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("leveretctl ends")
    }

    /// Runs a command and answers what it printed, after checking how it exited.
    fn run(&self, line: &str, input: &str, code: i32) -> String {
        let output = self.output(line, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "leveretctl {line}\n{errors}");
        if code == 0 {
            assert_eq!(errors, "", "leveretctl {line} says nothing when all is well and nobody watches");
        }
        String::from_utf8(output.stdout).expect("text was published")
    }

    /// Runs a command without input that succeeds.
    fn ok(&self, line: &str) -> String {
        self.run(line, "", 0)
    }
}

#[test]
fn lines_go_in_and_come_out() {
    let shell = Shell::start();
    assert_eq!(shell.ok("declare queue ctl.lines"), "ctl.lines\t0\t0\n");
    shell.run("publish --queue ctl.lines --lines --persistent", "one\ntwo\n\nfour", 0);
    assert_eq!(shell.ok("declare queue ctl.lines"), "ctl.lines\t4\t0\n");
    assert_eq!(shell.ok("get ctl.lines --count 2"), "one\ntwo\n");
    assert_eq!(shell.ok("consume ctl.lines --count 2"), "\nfour\n");
    shell.run("publish --queue ctl.lines", "all of stdin\nis one message\n", 0);
    assert_eq!(shell.ok("consume ctl.lines --raw --idle 0.3"), "all of stdin\nis one message\n");
    shell.ok("publish --queue ctl.lines --count 7 x");
    assert_eq!(shell.ok("purge ctl.lines"), "7\n");
    assert_eq!(shell.ok("delete queue ctl.lines"), "0\n");
}

#[test]
fn messages_move_as_json_with_everything_they_have() {
    let shell = Shell::start();
    shell.ok("declare queue ctl.from");
    shell.ok("declare queue ctl.to");
    shell.ok("publish --queue ctl.from --persistent --priority 3 --header app=shop --header tries:=3 \
         --correlation-id c --message-id m --type t --expiration 600000 --timestamp 1700000000 hello");
    let from = shell.ok("consume ctl.from --json --count 1");
    shell.run("publish --queue ctl.to --json", &from, 0);
    let to = shell.ok("consume ctl.to --json --count 1");
    assert_eq!(to, from.replace("ctl.from", "ctl.to"));
    let message: serde_json::Value = serde_json::from_str(&to).expect("JSON");
    assert_eq!(message["body"], "hello");
    assert_eq!(message["properties"]["headers"]["tries"], 3);
    assert_eq!(message["properties"]["delivery_mode"], 2);
    shell.ok("delete queue ctl.from");
    shell.ok("delete queue ctl.to");
}

#[test]
fn exchanges_route_by_their_bindings() {
    let shell = Shell::start();
    shell.ok("declare exchange ctl.logs topic");
    shell.ok("declare exchange ctl.all fanout");
    shell.ok("declare queue ctl.errors");
    shell.ok("declare queue ctl.copy");
    shell.ok("bind ctl.logs ctl.errors --key *.error --key *.fatal");
    shell.ok("bind ctl.logs ctl.all --to-exchange --key #");
    shell.ok("bind ctl.all ctl.copy");
    for key in ["web.error", "web.info", "db.fatal"] {
        shell.ok(&format!("publish -e ctl.logs -k {key} --mandatory {key}"));
    }
    assert_eq!(shell.ok("consume ctl.errors --idle 0.3"), "web.error\ndb.fatal\n");
    assert_eq!(shell.ok("consume ctl.copy --idle 0.3"), "web.error\nweb.info\ndb.fatal\n");
    shell.ok("unbind ctl.logs ctl.all --to-exchange --key #");
    shell.run("publish -e ctl.logs -k web.info --mandatory nobody", "", 6);
    shell.ok("publish -e ctl.logs -k web.info nobody");
    for name in ["exchange ctl.logs", "exchange ctl.all", "queue ctl.errors", "queue ctl.copy"] {
        shell.ok(&format!("delete {name}"));
    }
}

#[test]
fn failures_are_told_apart_by_their_exit_code() {
    let shell = Shell::start();
    shell.ok("declare queue ctl.codes");
    let check = |line: &str, code: i32| {
        let printed = shell.run(line, "", code);
        assert_eq!(printed, "", "leveretctl {line}");
    };
    check("get ctl.codes --uri amqp://127.0.0.1:1", 1);
    check("get ctl.codes --uri nonsense", 2);
    check("publish nowhere", 2);
    check("frobnicate", 2);
    check("get ctl.codes", 3);
    check("get ctl.missing", 3);
    check("consume ctl.missing", 3);
    check("purge ctl.missing", 3);
    check("delete queue ctl.missing", 3);
    check("delete exchange ctl.missing", 3);
    check("publish -e ctl.missing -k k x", 3);
    check("declare queue ctl.missing --passive", 3);
    check("consume ctl.codes --count 1 --idle 0.2", 4);
    check("get ctl.codes --uri amqp://127.0.0.1:1 --wait --timeout 0.3", 4);
    check("declare queue ctl.codes --transient", 5);
    check("declare exchange ctl.codes no-such-type", 5);
    check("publish --queue ctl.missing x", 6);
    shell.run("publish --queue ctl.codes --json", "{\"body\":\"fine\"}\nnot json\n", 1);
    assert_eq!(shell.ok("get ctl.codes --requeue"), "fine\n", "what came before the mistake was published");
    assert_eq!(shell.ok("get ctl.codes"), "fine\n");
    shell.ok("delete queue ctl.codes");
}

#[test]
fn a_wrong_password_is_refused() {
    let shell = Shell::start();
    let wrong = shell.uri.replace("guest:guest", "guest:wrong");
    let output = shell.output(&format!("get any --uri {wrong}"), "");
    assert_eq!(output.status.code(), Some(5));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("403") && !errors.contains("wrong"), "{errors}");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let shell = Shell::start();
    shell.ok("declare queue ctl.pipe");
    shell.ok(&format!("publish --queue ctl.pipe --count 20 {}", "x".repeat(100_000)));
    let mut child = Command::new(leveretctl_binary())
        .args(["consume", "ctl.pipe"])
        .env("LEVERET_URI", &shell.uri)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("leveretctl can be started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let left = shell.ok("declare queue ctl.pipe");
    assert_eq!(left, "ctl.pipe\t20\t0\n", "what could not be written went back");
    shell.ok("delete queue ctl.pipe");
}

#[test]
fn bench_measures_and_leaves_nothing_behind() {
    let shell = Shell::start();
    let line =
        "bench --count 2000 --publishers 2 --consumers 2 --queues 2 --size 64 --persistent --queue ctl.bench";
    let report: serde_json::Value = serde_json::from_str(&shell.ok(&format!("{line} --json"))).expect("JSON");
    for what in ["published", "confirmed", "consumed"] {
        assert_eq!(report[what], 2000, "{report}");
    }
    assert_eq!(report["delivery_latency_us"]["count"], 2000);
    let text = shell.ok(line);
    assert!(text.contains("consumed") && text.contains("p99.9"), "{text}");
    shell.run("declare queue ctl.bench.0 --passive", "", 3);
}

#[test]
fn bench_sends_each_message_of_a_fanout_to_every_queue() {
    let shell = Shell::start();
    let line = "bench --fanout --queues 3 --count 500 --queue ctl.fanout --json";
    let report: serde_json::Value = serde_json::from_str(&shell.ok(line)).expect("JSON");
    assert_eq!((&report["published"], &report["consumed"]), (&500.into(), &1500.into()), "{report}");
    assert_eq!(report["consumers"], 3);
    shell.run("declare queue ctl.fanout.0 --passive", "", 3);
}

#[test]
fn bench_drains_a_backlog_after_it_has_filled_it() {
    let shell = Shell::start();
    let line = "bench --backlog --persistent --count 2000 --queue ctl.backlog --json";
    let report: serde_json::Value = serde_json::from_str(&shell.ok(line)).expect("JSON");
    assert_eq!((&report["confirmed"], &report["consumed"]), (&2000.into(), &2000.into()), "{report}");
    assert!(report["consumed_for_s"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
}
