//! Steps: what is being done, what it takes, how long it took.
//!
//! Where standard error is no terminal, as in CI, a line a minute says that a silent step is still running: cargo
//! prints nothing while RocksDB's C++ compiles, and that takes minutes.

use std::fmt;
use std::io::IsTerminal;
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
    eprintln!("      $ {}", Line(command));
    let name = command.get_program().to_string_lossy().into_owned();
    let (done, waiting) = mpsc::channel::<()>();
    let reporter = (!std::io::stderr().is_terminal()).then(|| {
        let started = Instant::now();
        std::thread::spawn(move || {
            while waiting.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("      ... running for {}", Elapsed(started.elapsed()));
            }
        })
    });
    let status = command.status();
    drop(done);
    if let Some(reporter) = reporter {
        // The reporter cannot panic with anything worth repeating; its end is all that matters here.
        let _ = reporter.join();
    }
    let status = status.with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{} ended with {status}", Line(command));
    }
    Ok(())
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
