//! `leveretctl` over the admin API, as a script sees it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use leveret_protocol::method::Method;
use leveret_tests::{RawClient, TestBroker, leveretctl_binary};
use serde_json::Value;

/// Runs commands against one broker.
struct Shell {
    broker: TestBroker,
    directory: tempfile::TempDir,
}

impl Shell {
    fn start() -> Shell {
        Shell { broker: TestBroker::start(), directory: tempfile::tempdir().expect("a directory") }
    }

    /// Words are separated by blanks; `_` stands for a blank in one.
    fn output(&self, line: &str, input: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(leveretctl_binary());
        command
            .args(line.split_whitespace().map(|word| word.replace('_', " ")))
            .env("LEVERET_URI", self.broker.uri())
            .env("LEVERET_ADMIN", format!("http://{}", self.broker.admin()))
            .env("LEVERETCTL_CONFIG", self.directory.path().join("leveretctl.toml"))
            .env_remove("LEVERET_PASSWORD")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("leveretctl can be started");
        // It may end without reading what it is given.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("leveretctl ends")
    }

    #[track_caller]
    fn run(&self, line: &str, input: &str, code: i32) -> String {
        let output = self.output(line, input, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "leveretctl {line}\n{errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        self.run(line, "", 0)
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("{line} --json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

#[test]
fn queues_are_made_listed_shown_and_removed() {
    let shell = Shell::start();
    shell.ok("queues declare orders --argument x-max-length:=100");
    shell.ok("queues declare other --transient");
    shell.ok("publish --queue orders --persistent --count 3 hello");
    let table = shell.ok("queues list --sort messages --reverse");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..2], ["vhost", "name"], "{table}");
    assert_eq!((rows[1][1], rows[2][1]), ("orders", "other"), "{table}");
    let queues = shell.json("queues list --name ORD");
    assert_eq!((queues.as_array().map(Vec::len), &queues[0]["messages"]), (Some(1), &Value::from(3)));
    assert_eq!(shell.json("queues show orders")["arguments"]["x-max-length"], 100);
    assert!(shell.ok("queues show orders").contains("messages_ready"));

    shell.run("queues purge orders", "", 2);
    shell.ok("queues purge orders --yes");
    assert_eq!(shell.json("queues show orders")["messages"], 0);
    shell.ok("queues delete orders");
    shell.run("queues show orders", "", 3);
    shell.run("queues declare other", "", 5);
    shell.run("queues list --admin http://127.0.0.1:1", "", 1);
    shell.run("queues list --admin nonsense", "", 2);
}

#[test]
fn exchanges_tell_where_a_message_would_go() {
    let shell = Shell::start();
    shell.ok("exchanges declare logs topic");
    shell.ok("queues declare errors");
    shell.ok("bindings add logs errors --key *.error");
    let bindings = shell.json("bindings list --source logs");
    assert_eq!(
        (&bindings[0]["destination"], &bindings[0]["routing_key"]),
        (&"errors".into(), &"*.error".into())
    );
    let answer = shell.ok("exchanges route logs --key web.error");
    assert!(answer.starts_with("errors  by logs"), "{answer}");
    let answer = shell.ok("exchanges route logs --key web.info");
    assert!(answer.contains("no queue") && answer.contains("word 2 is 'error'"), "{answer}");
    shell.ok("bindings remove logs errors --key *.error");
    shell.run("bindings remove logs errors --key *.error", "", 3);
    shell.ok("exchanges delete logs");
    assert_eq!(shell.json("exchanges list --name logs"), Value::Array(Vec::new()));
}

#[test]
fn users_log_in_with_what_they_were_given_and_the_audit_log_knows_who_did_what() {
    let shell = Shell::start();
    shell.run("users put anna --tags administrator", "secret\n", 0);
    shell.ok("permissions set anna --configure ^a");
    let permissions = shell.json("permissions list");
    let anna = permissions.as_array().and_then(|list| list.iter().find(|it| it["user"] == "anna"));
    assert_eq!(anna.expect("listed")["configure"], "^a");

    let as_anna = |line: &str, password: &str| {
        let output = shell.output(&format!("{line} --user anna"), "", &[("LEVERET_PASSWORD", password)]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(as_anna("queues declare a1", "secret").0, Some(0));
    let (code, errors) = as_anna("queues declare b1", "secret");
    assert_eq!((code, errors.contains("access")), (Some(5), true), "{errors}");
    let (code, errors) = as_anna("queues list", "wrong");
    assert_eq!((code, errors.contains("does not know user 'anna'")), (Some(5), true), "{errors}");
    shell.run("queues list --user anna", "", 2);

    let log = shell.json("audit --by anna --kind queue");
    let entries: Vec<(&str, &str, bool)> = log
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default();
            (text("action"), text("name"), text("result") == "ok")
        })
        .collect();
    assert_eq!(entries, [("declare", "b1", false), ("declare", "a1", true)]);
    // What came over AMQP is there too, once however often it was declared.
    shell.ok("declare queue amqp");
    shell.ok("declare queue amqp");
    let log = shell.json("audit --name amqp");
    assert_eq!((log.as_array().map(Vec::len), &log[0]["via"]), (Some(1), &"amqp".into()));
    assert!(!shell.ok("audit").contains("secret"));
    shell.run("users delete anna", "", 2);
    shell.ok("users delete anna --yes");
}

#[test]
fn a_profile_says_where_and_who() {
    let shell = Shell::start();
    let password = shell.directory.path().join("password");
    std::fs::write(&password, "guest\n").expect("writes");
    let text = format!(
        "default_profile = 'here'\n[profiles.here]\nadmin = 'http://{}'\nuser = 'guest'\npassword_file = '{}'\n\
         [profiles.away]\nadmin = 'http://127.0.0.1:1'\n",
        shell.broker.admin(),
        password.display()
    );
    std::fs::write(shell.directory.path().join("leveretctl.toml"), text).expect("writes");
    let run = |line: &str| {
        let mut command = Command::new(leveretctl_binary());
        command.args(line.split_whitespace()).env_remove("LEVERET_ADMIN");
        command.env("LEVERETCTL_CONFIG", shell.directory.path().join("leveretctl.toml"));
        command.output().expect("it runs").status.code()
    };
    assert_eq!(run("overview"), Some(0));
    assert_eq!(run("overview --profile away"), Some(1));
    assert_eq!(run("overview --profile none"), Some(2));
}

#[test]
fn the_broker_is_looked_at_from_all_sides() {
    let shell = Shell::start();
    assert!(shell.ok("overview").contains("Leveret"));
    assert!(shell.ok("health").contains("alarms"));
    assert_eq!(shell.json("health")["alarms"]["status"], "ok");
    assert!(shell.ok("alarms").starts_with("no alarms"));
    shell.ok("queues declare busy");
    shell.ok("publish --queue busy --count 5 x");
    let screen = shell.ok("top --count 2 --limit 5");
    assert_eq!(screen.lines().filter(|line| line.contains("busy")).count(), 2, "{screen}");
    assert!(shell.ok("vhosts list").contains('/'));
    assert_eq!(shell.json("connections list"), Value::Array(Vec::new()));
    assert_eq!(shell.json("channels list"), Value::Array(Vec::new()));
    assert_eq!(shell.json("consumers list"), Value::Array(Vec::new()));
    assert!(shell.ok("completions bash").contains("leveretctl"));
}

#[test]
fn consumers_and_channels_are_ended() {
    let shell = Shell::start();
    let mut client = RawClient::open(shell.broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    client.consume("q", 5, false).expect("consumes");
    shell.run("consumers cancel q none", "", 3);
    shell.ok("consumers cancel q c");
    let cancelled =
        client.expect(1, |method| matches!(method, Method::BasicCancel { consumer_tag: "c", .. }));
    cancelled.expect("the client is told");
    let channels = shell.json("channels list");
    let name = channels[0]["name"].as_str().expect("text").replace(' ', "_");
    shell.ok(&format!("channels close {name} --reason enough"));
    let is_close = |method: &Method<'_>| {
        matches!(
            method,
            Method::ChannelClose { reply_code: 406, reply_text: "PRECONDITION_FAILED - enough", .. }
        )
    };
    client.expect(1, is_close).expect("the client is told");
    client.open_channel(2).expect("the connection is as it was");
}

#[test]
fn messages_that_wait_for_their_next_try_are_shown() {
    let shell = Shell::start();
    shell.ok("queues declare q --argument x-retry-delay=1h");
    shell.ok("publish --queue q --persistent hello");
    let mut client = RawClient::open(shell.broker.amqp()).expect("connects");
    client.consume("q", 1, false).expect("consumes");
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    client.send(1, &Method::BasicReject { delivery_tag: 1, requeue: true }).expect("rejects");
    let waiting = leveret_tests::eventually(std::time::Duration::from_secs(20), || {
        let waiting = shell.json("queues peek q --waiting");
        (waiting.as_array().map(Vec::len) == Some(1)).then_some(waiting)
    });
    let waiting = waiting.expect("it waits");
    assert_eq!((&waiting[0]["state"], &waiting[0]["delivery_count"]), (&"delayed".into(), &1.into()));
    let table = shell.ok("queues peek q --waiting");
    assert!(table.contains("hello") && table.contains("in "), "{table}");
    assert_eq!(shell.json("queues peek q").as_array().map(Vec::len), Some(0));
}

#[test]
fn without_a_keyring_a_login_says_so() {
    let shell = Shell::start();
    shell.run("users put ada --tags monitoring", "secret\n", 0);
    let nowhere = [("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")];
    let errors = |line: &str, input: &str, code: i32| {
        let output = shell.output(line, input, &nowhere);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        errors
    };
    assert!(errors("login --user ada", "secret\n", 1).contains("there is no keyring here"));
    assert!(errors("logout --user ada", "", 1).contains("there is no keyring here"));
    errors("login --user ada", "wrong\n", 5);
    errors("login", "secret\n", 2);
    let advice = errors("overview --user ada", "", 2);
    assert!(advice.contains("no password for user 'ada'") && advice.contains("LEVERET_PASSWORD"), "{advice}");
}

#[test]
fn definitions_go_out_and_come_back() {
    let shell = Shell::start();
    shell.ok("queues declare kept");
    let file = shell.directory.path().join("definitions.json");
    let file = file.to_str().expect("a plain path").to_owned();
    assert!(!file.contains('_'), "words are cut at it");
    shell.ok(&format!("definitions export {file}"));
    shell.ok("queues delete kept");
    shell.ok(&format!("definitions import {file} --dry-run"));
    shell.run("queues show kept", "", 3);
    shell.run(&format!("definitions import {file}"), "", 2);
    shell.ok(&format!("definitions import {file} --yes"));
    shell.ok("queues show kept");
}

#[test]
fn every_command_explains_itself() {
    let shell = Shell::start();
    let help = shell.ok("--help");
    for word in ["queues", "audit", "top", "completions", "Exit codes", "LEVERET_PASSWORD"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for command in [
        "queues",
        "queues move",
        "policies set",
        "definitions import",
        "users put",
        "top",
        "channels close",
        "login",
    ] {
        assert!(shell.ok(&format!("{command} --help")).contains("Usage"), "{command}");
    }
    assert!(shell.ok("queues --help").contains("Examples"));
}
