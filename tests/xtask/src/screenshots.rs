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
        let packages = ["leveret-broker", "leveret-client", "leveret-admin"];
        let mut programs = crate::cargo("build");
        programs.args(["--release", "--bins"]);
        programs.args(packages.iter().flat_map(|name| ["--package", name]));
        execute(&mut programs)?;
        let mut example = crate::cargo("build");
        execute(example.args(["--release", "--package", "leveret-client", "--example", "log_pipeline"]))
    })?;
    steps.step("take the pictures (a broker has to work for some minutes)", || {
        let mut script = Command::new("python3");
        script.arg(crate::root().join("assets/screenshots/make.py"));
        script.arg("--programs").arg(crate::release_folder()?).args(arguments);
        execute(&mut script)
    })
}
