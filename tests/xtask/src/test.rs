//! `cargo xtask test`: build every program once, then run every test.
//!
//! Plain `cargo test` rather than another runner: it is there wherever the toolchain is, it runs the examples in the
//! documentation too, and the suites are few large programs whose tests already run side by side on threads.

use anyhow::Result;

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute, execute_watching};

/// Runs all tests, or those that `arguments` select; `long` asks for the long form of those that have one.
pub fn test(arguments: &[String], long: bool) -> Result<()> {
    let mut steps = Steps::new("test", 3);
    steps.step("system packages", || packages::ensure(Purpose::Test))?;
    steps.step("build everything (the first time compiles RocksDB, which takes minutes)", || {
        // The suites start the broker and the clients as programs, which `cargo test` alone would not build.
        let mut command = crate::cargo("build");
        command.args(["--release", "--workspace", "--bins", "--examples", "--tests"]);
        execute_watching(&mut command, &crate::rocksdb_progress()?)
    })?;
    steps.step("test (the first time fetches and compiles other people's clients)", || {
        let mut command = crate::cargo("test");
        command.args(["--release", "--workspace", "--no-fail-fast"]);
        command.env("LEVERET_BIN", crate::release_folder()?.join("leveret"));
        command.env("LEVERET_TEST_BUILT", "1");
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        if long {
            command.env("LEVERET_TEST_LONG", "1");
        }
        execute(&mut command)
    })?;
    steps.finish("all tests passed");
    Ok(())
}
