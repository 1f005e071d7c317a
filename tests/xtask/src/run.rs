//! `cargo xtask run`: build the broker, then become it.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute_watching};

/// Builds the broker in release and replaces this process by it, so that signals and its exit code are its own.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new("run", 3);
    steps.step("system packages", || packages::ensure(Purpose::Build))?;
    steps.step("build the broker (the first time compiles RocksDB, which takes minutes)", || {
        let mut command = crate::cargo("build");
        command.args(["--release", "--package", "leveret-broker", "--bin", "leveret"]);
        execute_watching(&mut command, &crate::rocksdb_progress()?)
    })?;
    let leveret = crate::release_folder()?.join("leveret");
    let mut command = std::process::Command::new(&leveret);
    if !chooses_data_dir(arguments) {
        command.args(["--data-dir", "./leveret-data"]);
    }
    command.args(arguments);
    steps.step("start the broker (Ctrl-C stops it)", || {
        Err(command.exec()).with_context(|| format!("cannot start {}", leveret.display()))
    })
}

/// True when the arguments say, directly or through a configuration file, where the data is.
fn chooses_data_dir(arguments: &[String]) -> bool {
    ["--data-dir", "--config"].iter().any(|option| {
        arguments.iter().any(|argument| {
            argument.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_ours_to_choose_only_when_nobody_else_did() {
        let check = |arguments: &[&str], expected| {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            assert_eq!(chooses_data_dir(&arguments), expected, "{arguments:?}");
        };
        check(&[], false);
        check(&["--log", "debug"], false);
        check(&["--data-dir", "/tmp/x"], true);
        check(&["--data-dir=/tmp/x"], true);
        check(&["--config", "leveret.toml"], true);
        check(&["--data-directory"], false);
    }
}
