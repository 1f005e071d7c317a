//! Scenarios: small named checks that share one broker, and one line for each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;

/// What became of the scenarios of one suite.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failures: Vec<String>,
    /// Parts of names: only scenarios that contain one of them run.
    only: Vec<String>,
}

impl Report {
    /// A report on all scenarios, or on those that `LEVERET_INTEROP_ONLY` names.
    pub fn from_env() -> Report {
        let only = std::env::var("LEVERET_INTEROP_ONLY").unwrap_or_default();
        Report { only: only.split_whitespace().map(str::to_owned).collect(), ..Report::default() }
    }

    /// Runs one scenario. Neither an error nor a panic ends the others.
    pub fn run(&mut self, name: &str, scenario: impl FnOnce() -> Result<()>) {
        if !self.wants(name) {
            return;
        }
        match catch_unwind(AssertUnwindSafe(scenario)) {
            Ok(Ok(())) => self.passed(name),
            Ok(Err(error)) => self.failed(name, &format!("{error:#}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                self.failed(name, text.unwrap_or("panicked"));
            }
        }
    }

    /// True when the scenario is to run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Adds a scenario that passed.
    pub fn passed(&mut self, name: &str) {
        self.passed += 1;
        println!("ok {name}");
    }

    /// Adds one that did not, with the difference.
    pub fn failed(&mut self, name: &str, difference: &str) {
        let line = format!("FAIL {name}: {}", difference.split_whitespace().collect::<Vec<_>>().join(" "));
        println!("{line}");
        self.failures.push(line);
    }

    /// Prints the sum and panics unless every scenario passed.
    pub fn finish(self) {
        println!("{} passed, {} failed", self.passed, self.failures.len());
        assert!(self.failures.is_empty(), "\n{}\n", self.failures.join("\n"));
        assert!(self.passed > 0 || !self.only.is_empty(), "no scenario ran");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_fail_their_scenario_only() {
        let mut report = Report::default();
        report.run("fine", || Ok(()));
        report.run("wrong", || anyhow::bail!("two\nlines"));
        report.run("panics", || panic!("at the {}", "disco"));
        report.run("fine again", || Ok(()));
        assert_eq!(report.passed, 2);
        assert_eq!(report.failures, ["FAIL wrong: two lines", "FAIL panics: at the disco"]);
    }
}
