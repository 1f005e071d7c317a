//! `cargo xtask screenshots`: the pictures of the console in the README, made anew.

use std::process::Command;

use anyhow::Result;

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute};

/// Builds what is needed, then lets the script beside the pictures make them.
pub fn screenshots(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new("screenshots", 3);
    steps.step("system packages", || {
        packages::ensure(Purpose::Build)?;
        packages::ensure(Purpose::Console)
    })?;
    steps.step("build the broker, the console and what makes the load", || {
        let mut command = crate::cargo("build");
        // The whole workspace is named, so that features are those of the tests and nothing is built twice.
        command.args(["--release", "--workspace", "--example", "log_pipeline"]);
        command.args(["leveret", "leveretctl", "leveret-admin"].iter().flat_map(|name| ["--bin", name]));
        execute(&mut command)
    })?;
    steps.step("take the pictures (a broker has to work for some minutes)", || {
        let mut script = Command::new("python3");
        script.arg(crate::root().join("assets/screenshots/make.py"));
        script.arg("--programs").arg(crate::release_folder()?).args(arguments);
        execute(&mut script)
    })
}
