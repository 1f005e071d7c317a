//! The same scenarios on RabbitMQ and on Leveret, answer by answer.
//!
//! `scenarios.txt` says what clients do (see [`script`] for its language), `rabbitmq-VERSION.txt` what a RabbitMQ of that
//! version answered, frame by frame, with generated names and times made equal. `known-differences.txt` lists where
//! Leveret answers otherwise on purpose, each with its reason; everything else has to be the same.
//!
//! - `LEVERET_DIFFERENTIAL_ONLY="expir max"` runs the scenarios with one of these words in their name.
//! - `LEVERET_DIFFERENTIAL_RECORD=127.0.0.1:5673` records anew, from the RabbitMQ that listens there. It needs the plugins
//!   `rabbitmq_consistent_hash_exchange`, `rabbitmq_random_exchange` and `rabbitmq_recent_history_exchange`.

mod known;
mod run;
mod script;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use leveret_tests::TestBroker;

use known::Known;
use script::Scenario;

#[test]
fn leveret_answers_as_rabbitmq_does() {
    let scenarios = script::parse(&read("scenarios.txt")).expect("scenarios.txt is well-formed");
    assert!(scenarios.len() >= 150, "there are only {} scenarios", scenarios.len());
    if let Ok(address) = std::env::var("LEVERET_DIFFERENTIAL_RECORD") {
        return record(
            &scenarios,
            address.parse().expect("LEVERET_DIFFERENTIAL_RECORD is an address and port"),
        );
    }
    let recorded = transcripts(&read(RECORDING));
    let mut known =
        Known::parse(&read("known-differences.txt")).expect("known-differences.txt is well-formed");
    let only = std::env::var("LEVERET_DIFFERENTIAL_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split_whitespace().collect();
    let broker = TestBroker::start();
    let mut report = String::new();
    let mut differing = 0;
    for (number, scenario) in scenarios.iter().enumerate() {
        if !only.is_empty() && !only.iter().any(|word| scenario.name.contains(word)) {
            continue;
        }
        let Some(expected) = recorded.get(&scenario.name) else {
            differing += 1;
            let _ = writeln!(report, "== {}: there is no recording of it\n", scenario.name);
            continue;
        };
        let expected = known.apply(&scenario.name, expected);
        let actual = known.without_additions(run::run(scenario, number, broker.amqp()));
        if actual != expected {
            differing += 1;
            let _ = writeln!(report, "== {}\n{}", scenario.name, compare(&expected, &actual));
        }
    }
    if only.is_empty() {
        for unused in known.unused() {
            differing += 1;
            let _ = writeln!(report, "known difference that is none (any more): {unused}\n");
        }
    }
    assert!(differing == 0, "{differing} differences (- RabbitMQ, + Leveret)\n\n{report}");
}

/// Writes down what RabbitMQ answers.
fn record(scenarios: &[Scenario], address: SocketAddr) {
    let version = run::version(address);
    let mut text =
        format!("# What RabbitMQ {version} answers to scenarios.txt. Recorded, not written by hand.\n");
    for (number, scenario) in scenarios.iter().enumerate() {
        let _ = write!(text, "\n== {}\n", scenario.name);
        for line in run::run(scenario, number, address) {
            let _ = writeln!(text, "{line}");
        }
    }
    let path = folder().join(format!("rabbitmq-{version}.txt"));
    std::fs::write(&path, text).expect("the recording can be written");
    println!("recorded {} scenarios in {}", scenarios.len(), path.display());
}

/// Transcripts by name of their scenario.
fn transcripts(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut transcripts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("== ") {
            Some(next) => {
                name = Some(next.to_owned());
                transcripts.entry(next.to_owned()).or_default();
            }
            None => {
                if let Some(name) = &name {
                    transcripts.entry(name.clone()).or_default().push(line.to_owned());
                }
            }
        }
    }
    transcripts
}

/// Both transcripts as one text, where they part marked with - and +.
fn compare(expected: &[String], actual: &[String]) -> String {
    let mut text = String::new();
    let (mut left, mut right) = (expected.iter().peekable(), actual.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(was), Some(is)) if was == is => {
                let _ = writeln!(text, "  {was}");
                left.next();
                right.next();
            }
            (None, None) => return text,
            _ => {
                // Up to the next thing that the client does, which both have.
                for (side, sign) in [(&mut left, '-'), (&mut right, '+')] {
                    let mut is_first = true;
                    while let Some(line) = side.next_if(|line| is_first || !line.starts_with('>')) {
                        is_first = false;
                        let _ = writeln!(text, "{sign} {line}");
                    }
                }
            }
        }
    }
}

fn read(file: &str) -> String {
    let path = folder().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential"))
}

/// What Leveret is compared with.
const RECORDING: &str = "rabbitmq-3.10.8.txt";
