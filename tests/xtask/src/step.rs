//! Steps: what is being done, what it takes, how long it took.
//!
//! Cargo prints nothing while a build script runs, and that of the broker takes minutes to compile RocksDB. It keeps a
//! file on how far it is, which is repeated here. Where standard error is no terminal, as in CI, a line a minute says
//! that a silent step is still running.

use std::fmt;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The steps of one command, numbered as they start.
pub struct Steps {
    number: usize,
    count: usize,
    started: Instant,
}

impl Steps {
    pub fn new(command: &str, count: usize) -> Self {
        eprintln!("== cargo xtask {command}");
        Steps { number: 0, count, started: Instant::now() }
    }

    /// Runs `work` as the next step.
    pub fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.number += 1;
        let label = format!("[{}/{}]", self.number, self.count);
        eprintln!("{label} {what}");
        let started = Instant::now();
        let result = work();
        let outcome = if result.is_ok() { "done" } else { "failed" };
        eprintln!("{label} {outcome} after {}", Elapsed(started.elapsed()));
        result
    }

    /// Says how long all of it took.
    pub fn finish(self, outcome: &str) {
        eprintln!("== {outcome}, {} in all", Elapsed(self.started.elapsed()));
    }
}

/// Prints `command` and waits for it to succeed.
pub fn execute(command: &mut Command) -> Result<()> {
    execute_reporting(command, None)
}

/// Like [`execute`], and prints what is in the file `progress` whenever that changes.
pub fn execute_watching(command: &mut Command, progress: &Path) -> Result<()> {
    execute_reporting(command, Some(progress.to_owned()))
}

fn execute_reporting(command: &mut Command, progress: Option<PathBuf>) -> Result<()> {
    eprintln!("      $ {}", Line(command));
    let name = command.get_program().to_string_lossy().into_owned();
    let (done, ended) = mpsc::channel::<()>();
    let reporter = std::thread::spawn(move || report(&ended, progress.as_deref()));
    let status = command.status();
    drop(done);
    // The reporter cannot panic with anything worth repeating; its end is all that matters here.
    let _ = reporter.join();
    let status = status.with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{} ended with {status}", Line(command));
    }
    Ok(())
}

/// Prints lines about a command until it has `ended`.
fn report(ended: &mpsc::Receiver<()>, progress: Option<&Path>) {
    let terminal = std::io::stderr().is_terminal();
    // Cargo's progress bar may be on the line, and is drawn again soon.
    let clear = if terminal { "\r\x1b[K" } else { "" };
    let read = || progress.and_then(|file| fs::read_to_string(file).ok());
    // What an interrupted build has left behind is no news.
    let mut known = read();
    let started = Instant::now();
    let mut printed = started;
    while ended.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
        let now = read();
        if let Some(news) = now.as_deref().filter(|_| now != known) {
            eprintln!("{clear}      ... {news}, {} so far", Elapsed(started.elapsed()));
            printed = Instant::now();
        } else if !terminal && printed.elapsed() >= Duration::from_secs(60) {
            eprintln!("      ... running for {}", Elapsed(started.elapsed()));
            printed = Instant::now();
        }
        known = now;
    }
}

/// A duration as people say it: `0.4 s`, `12 min 19 s`.
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            _ => write!(f, "{} min {} s", seconds / 60, seconds % 60),
        }
    }
}

/// A command as one would type it: without the path of its program.
struct Line<'a>(&'a Command);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = std::path::Path::new(self.0.get_program());
        write!(f, "{}", program.file_name().unwrap_or(program.as_os_str()).to_string_lossy())?;
        for argument in self.0.get_args() {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let check = |milliseconds, expected: &str| {
            assert_eq!(Elapsed(Duration::from_millis(milliseconds)).to_string(), expected)
        };
        check(440, "0.4 s");
        check(59_940, "59.9 s");
        check(60_000, "1 min 0 s");
        check(739_000, "12 min 19 s");
    }

    #[test]
    fn a_command_that_fails_is_an_error_that_names_it() {
        let error = execute(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("sh -c exit 3 ended with") && error.contains('3'), "{error}");
    }
}
