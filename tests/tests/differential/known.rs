//! Where Leveret answers otherwise than RabbitMQ on purpose.
//!
//! ```text
//! = name_of_a_scenario
//! # The reason.
//! - a line of RabbitMQ's transcript, or several
//! + what Leveret answers instead, in one line or several or none
//!
//! = *
//! # The reason.
//! + x-prefix-          headers that begin so, which only Leveret adds, wherever they appear
//! ```

use anyhow::{Result, ensure};

/// All known differences.
#[derive(Debug, Default)]
pub struct Known(Vec<Difference>);

#[derive(Debug, Default)]
struct Difference {
    scenario: String,
    reason: String,
    rabbitmq: Vec<String>,
    leveret: Vec<String>,
    is_used: bool,
}

impl Known {
    /// Reads the file; each difference must have a reason.
    pub fn parse(text: &str) -> Result<Known> {
        let mut known: Vec<Difference> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
            if let Some(scenario) = line.strip_prefix("= ") {
                known.push(Difference { scenario: scenario.to_owned(), ..Difference::default() });
                continue;
            }
            let Some(last) = known.last_mut() else { anyhow::bail!("{line:?} belongs to no scenario") };
            match line.split_at_checked(2) {
                Some(("# ", reason)) => last.reason += reason,
                Some(("- ", rabbitmq)) => last.rabbitmq.push(rabbitmq.to_owned()),
                Some(("+ ", leveret)) => last.leveret.push(leveret.to_owned()),
                _ => anyhow::bail!("{line:?} begins with none of = # - +"),
            }
        }
        for difference in &known {
            ensure!(!difference.reason.is_empty(), "{}: no reason is given", difference.scenario);
            let is_complete = !difference.rabbitmq.is_empty() || difference.scenario == EVERYWHERE;
            ensure!(is_complete, "{}: differs from nothing", difference.scenario);
        }
        Ok(Known(known))
    }

    /// What Leveret should answer where RabbitMQ answered `transcript`.
    pub fn apply(&mut self, scenario: &str, transcript: &[String]) -> Vec<String> {
        let mut lines = transcript.to_vec();
        for difference in self.0.iter_mut().filter(|difference| difference.scenario == scenario) {
            let length = difference.rabbitmq.len();
            if let Some(at) = lines.windows(length).position(|window| window == difference.rabbitmq) {
                lines.splice(at..at + length, difference.leveret.iter().cloned());
                difference.is_used = true;
            }
        }
        lines
    }

    /// Leveret's transcript without the headers that it may add everywhere.
    pub fn without_additions(&mut self, transcript: Vec<String>) -> Vec<String> {
        let mut lines = transcript;
        for difference in self.0.iter_mut().filter(|difference| difference.scenario == EVERYWHERE) {
            for line in &mut lines {
                for prefix in &difference.leveret {
                    while let Some(at) = line.find(&format!(" {prefix}")) {
                        let end = line[at + 1..].find([' ', '}']).map_or(line.len(), |end| at + 1 + end);
                        line.replace_range(at..end, "");
                        difference.is_used = true;
                    }
                }
            }
        }
        lines
    }

    /// Differences that no transcript has.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|difference| !difference.is_used).map(|difference| difference.scenario.as_str())
    }
}

/// Stands for all scenarios.
const EVERYWHERE: &str = "*";
