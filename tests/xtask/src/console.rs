//! `cargo xtask console`: build the console, then become it.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute};

/// Builds the console in release and replaces this process by it.
pub fn console(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new("console", 3);
    steps.step("system packages", || packages::ensure(Purpose::Console))?;
    steps.step("build the console (the first time takes minutes)", || {
        let mut command = crate::cargo("build");
        // The whole workspace is named, so that features are those of the tests and nothing is built twice.
        command.args(["--release", "--workspace", "--bin", "leveret-admin"]);
        execute(&mut command)
    })?;
    let console = crate::release_folder()?.join("leveret-admin");
    let mut command = std::process::Command::new(&console);
    command.args(arguments);
    steps.step("open it (it offers the broker that runs on this machine)", || {
        Err(command.exec()).with_context(|| format!("cannot start {}", console.display()))
    })
}
