//! Version 2, in Rust, from crates.io: each of its commands that means something for a single broker.
//!
//! A command is a line as in a script, with single quotes around what has spaces. What it prints are tables; what it did
//! is looked up in those or in the API.

mod connections;
mod definitions;
mod local;
mod messages;
mod node;
mod objects;
mod parameters;
mod people;
mod policies;
mod table;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use leveret_tests::{TestBroker, packages};
use serde_json::Value;

use self::table::Row;

/// The program with a broker of its own, and a home that has no settings.
struct Admin {
    program: PathBuf,
    broker: TestBroker,
    home: tempfile::TempDir,
}

/// How it ended, and what it printed.
struct Outcome {
    code: Option<i32>,
    output: String,
    error: String,
}

impl Admin {
    fn start() -> Admin {
        let program = packages::rabbitmqadmin().unwrap_or_else(|error| panic!("{error:#}"));
        Admin { program, broker: TestBroker::start(), home: tempfile::tempdir().expect("a directory") }
    }

    /// What it prints; fails when it does.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        let outcome = self.outcome(line);
        assert_eq!(outcome.code, Some(0), "rabbitmqadmin {line}: {}{}", outcome.output, outcome.error);
        outcome.output
    }

    /// What it says when it fails.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let outcome = self.outcome(line);
        assert_eq!(
            outcome.code,
            Some(DATA_ERROR),
            "rabbitmqadmin {line}: {}{}",
            outcome.output,
            outcome.error
        );
        outcome.error
    }

    /// Fails unless it finds that something is not there.
    #[track_caller]
    fn missing(&self, line: &str) {
        assert_eq!(self.refused(line).trim(), "API responded with a 404 Not Found", "rabbitmqadmin {line}");
    }

    /// The rows of the table that it prints.
    #[track_caller]
    fn rows(&self, line: &str) -> Vec<Row> {
        table::rows(&self.run(line))
    }

    /// The only one.
    #[track_caller]
    fn row(&self, line: &str) -> Row {
        let mut rows = self.rows(line);
        assert_eq!(rows.len(), 1, "rabbitmqadmin {line}");
        rows.remove(0)
    }

    /// What is in a column of the table that it prints, in order.
    #[track_caller]
    fn column(&self, line: &str, column: &str) -> Vec<String> {
        let mut cells: Vec<String> = self.rows(line).iter().map(|row| row[column].clone()).collect();
        cells.sort();
        cells
    }

    #[track_caller]
    fn names(&self, line: &str) -> Vec<String> {
        self.column(line, "name")
    }

    /// The definitions that it exports.
    #[track_caller]
    fn definitions(&self, line: &str) -> Value {
        let text = self.run(line);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error} in {text}"))
    }

    fn outcome(&self, line: &str) -> Outcome {
        self.outcome_with(line, "")
    }

    /// With something to read on its standard input.
    fn outcome_with(&self, line: &str, input: &str) -> Outcome {
        let port = self.broker.admin().port();
        self.execute(&format!("--host 127.0.0.1 --port {port} --table-style ascii {line}"), input)
    }

    /// Without telling it where the broker is.
    fn execute(&self, line: &str, input: &str) -> Outcome {
        let mut command = Command::new(&self.program);
        // Whoever runs the tests may use it, too.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQADMIN_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(words(line))
            .env("HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rabbitmqadmin can be started");
        // It need not read what it is given.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("rabbitmqadmin ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Outcome { code: output.status.code(), output: text(output.stdout), error: text(output.stderr) }
    }

    /// What the API answers below `/api`.
    #[track_caller]
    fn api(&self, path: &str) -> Value {
        let mut socket = TcpStream::connect(self.broker.admin()).expect("the admin listener is open");
        let guest = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
        let request =
            format!("GET /api{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{guest}\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer in text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}: {body}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
    }
}

/// The words of a line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    // What is in quotes is in every other part.
    for (part, text) in line.split('\'').enumerate() {
        match part % 2 {
            0 => words.extend(text.split_whitespace().map(str::to_owned)),
            _ => words.push(text.to_owned()),
        }
    }
    words
}

/// What the program ends with when the broker refused something.
const DATA_ERROR: i32 = 65;
/// When it was called in a wrong way.
const USAGE: i32 = 64;
/// When a health check fails.
const UNAVAILABLE: i32 = 69;

#[test]
fn every_command_is_tried_here_or_left_out_for_a_reason() {
    let admin = Admin::start();
    let groups = commands(&admin.run("--help"));
    assert!(groups.len() > 30, "{groups:?}");
    for group in &groups {
        for command in commands(&admin.run(&format!("{group} --help"))) {
            let line = format!("{group} {command}");
            let is_tried = SOURCES.iter().any(|source| {
                source.match_indices(&line).any(|(at, _)| {
                    source[..at].ends_with(['"', ' ']) && source[at + line.len()..].starts_with(['"', ' '])
                })
            });
            let is_left_out = LEFT_OUT.iter().any(|(left_out, _)| *left_out == line);
            assert_ne!(is_tried, is_left_out, "{line}");
        }
    }
}

/// The commands in a help text.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = list.take_while(|line| !line.is_empty());
    // Descriptions may go on below, indented further.
    let named = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let names = named.filter_map(|line| line.split(' ').next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

const SOURCES: &[&str] = &[
    include_str!("connections.rs"),
    include_str!("definitions.rs"),
    include_str!("local.rs"),
    include_str!("messages.rs"),
    include_str!("node.rs"),
    include_str!("objects.rs"),
    include_str!("parameters.rs"),
    include_str!("people.rs"),
    include_str!("policies.rs"),
];

const LEFT_OUT: &[(&str, &str)] = &[
    ("health_check deprecated_features_in_use", "is in the help, but the program does not know it"),
    ("tanzu sds", "Tanzu's alone"),
    ("tanzu wsr", "Tanzu's alone"),
];
