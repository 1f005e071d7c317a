//! Logging: one subscriber for the process, text for people or JSON for machines, on standard error.
//!
//! Standard output is left to what the user asked for: the banner, `--version`, `check-config`.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging. The first call in a process counts, which matters to tests with several brokers in one process.
pub fn init(log: &Log) {
    // The filter was checked with the rest of the configuration; a caller that skipped that gets `info`.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _already_set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The rule of `log.filter`. The subscriber would take a misspelt level for the name of a module and then log nothing
/// but that module, so a word on its own has to be a level here.
pub fn check_filter(filter: &str) -> Result<(), String> {
    let is_directive = |part: &str| match part.split_once('=') {
        Some((module, level)) => !module.is_empty() && is_level(level),
        None => is_level(part),
    };
    // Directives for spans, `[connection{peer=...}]=debug`, have commas of their own.
    let words_are_right = filter.contains('[') || filter.split(',').all(is_directive);
    if words_are_right && EnvFilter::try_new(filter).is_ok() {
        return Ok(());
    }
    Err(format!(
        "must be a level (error, warn, info, debug, trace, off) or MODULE=LEVEL, or several with commas between, \
         not {filter:?}"
    ))
}

fn is_level(word: &str) -> bool {
    word.eq_ignore_ascii_case("off") || word.parse::<Level>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_by_module() {
        let check =
            |filter: &str, expected: bool| assert_eq!(check_filter(filter).is_ok(), expected, "{filter}");
        check("info", true);
        check("WARN", true);
        check("off", true);
        check("warn,leveret_broker::net=debug", true);
        check("info, leveret_core=trace", false);
        check("info,[connection{peer=1}]=debug", true);
        check("inof", false);
        check("", false);
        check("info,", false);
        check("leveret_broker=loud", false);
        check("=debug", false);
    }
}
