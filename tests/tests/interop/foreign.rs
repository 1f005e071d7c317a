//! Runs the scenario scripts in `tests/interop/` with the packages they need.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use leveret_tests::packages::{cache, execute, hash_of, once, python_with_packages};

use crate::subject::Subject;

/// Runs a script with the packages of `requirements.txt`.
pub fn python(script: &str) {
    let python = python_with_packages().unwrap_or_else(|error| panic!("{error:#}"));
    run(Command::new(python), script);
}

/// Runs a script that needs no packages.
pub fn plain_python(script: &str) {
    run(Command::new("python3"), script);
}

/// Runs a script with the packages of `package.json`.
pub fn node(script: &str) {
    let packages = node_packages().unwrap_or_else(|error| panic!("{error:#}"));
    let mut command = Command::new("node");
    command.env("INTEROP_NODE_PACKAGES", packages);
    run(command, script);
}

fn node_packages() -> Result<PathBuf> {
    let (package, lock) = (scripts().join("package.json"), scripts().join("package-lock.json"));
    let folder = cache().join(format!("node-{:016x}", hash_of(&[fs::read(&package)?, fs::read(&lock)?])));
    once(&folder, || {
        fs::copy(&package, folder.join("package.json"))?;
        fs::copy(&lock, folder.join("package-lock.json"))?;
        let mut install = Command::new("npm");
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
        execute(&mut install).context(
            "cannot install the Node.js clients (amqplib, rabbitmq-client): is npm's registry within reach?",
        )?;
        Ok(())
    })?;
    Ok(folder)
}

fn run(mut command: Command, script: &str) {
    let mut subject = Subject::start();
    let only = std::env::var("LEVERET_INTEROP_ONLY").unwrap_or_default();
    command
        .arg(scripts().join(script))
        .args(only.split_whitespace())
        .current_dir(scripts())
        .env("AMQP_URL", subject.url())
        .env("INTEROP_CONTROL", subject.controls())
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let failures = follow(command, &mut subject).unwrap_or_else(|error| panic!("{script}: {error:#}"));
    assert!(
        failures.is_empty(),
        "\n{}\n\nthe broker's log:\n{}",
        failures.join("\n"),
        last_lines(&subject.log())
    );
}

/// Runs a script, prints its lines, answers its requests, and returns the lines that tell of failures.
fn follow(mut command: Command, subject: &mut Subject) -> Result<Vec<String>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = Running(command.spawn().with_context(|| format!("cannot run {command:?}"))?);
    let mut answers = script.0.stdin.take().context("piped")?;
    let lines = lines_of(script.0.stdout.take().context("piped")?);
    let errors = lines_of(script.0.stderr.take().context("piped")?);
    let deadline = Instant::now() + LIMIT;
    let (mut failures, mut passed) = (Vec::new(), 0);
    loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("not finished within {LIMIT:?}"),
        };
        if let Some(request) = line.strip_prefix("control ") {
            let answer = if subject.control(request) { "done" } else { "refused" };
            writeln!(answers, "{answer}")?;
            continue;
        }
        println!("{line}");
        passed += usize::from(line.starts_with("ok "));
        if line.starts_with("FAIL ") {
            failures.push(line);
        }
    }
    let status = script.0.wait()?;
    let errors: Vec<String> = errors.iter().collect();
    let all_skipped = std::env::var_os("LEVERET_INTEROP_ONLY").is_some() && passed == 0;
    ensure!(
        status.success() || !failures.is_empty() || all_skipped,
        "ended with {status}:\n{}",
        last_lines(&errors.join("\n"))
    );
    Ok(failures)
}

/// A process that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// `tests/interop/`.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop")
}

/// How long one suite may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(900);
