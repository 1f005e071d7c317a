//! `cargo xtask lint`: what a change must satisfy besides its tests.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute};

/// Checks format, clippy, documentation, and (where cargo-deny is installed) the dependencies' licences and sources.
pub fn lint() -> Result<()> {
    let mut steps = Steps::new("lint", 5);
    steps.step("system packages", || packages::ensure(Purpose::Build))?;
    steps.step("format", || execute(crate::cargo("fmt").args(["--all", "--check"])))?;

    // RocksDB's build script compiles no C++ when it is told where the library lies, and nothing here links it.
    let no_rocksdb = crate::release_folder()?.join("no-rocksdb");
    std::fs::create_dir_all(&no_rocksdb)
        .with_context(|| format!("cannot create {}", no_rocksdb.display()))?;
    steps.step("clippy", || {
        let mut command = crate::cargo("clippy");
        command.args(["--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"]);
        execute(command.env("ROCKSDB_LIB_DIR", &no_rocksdb))
    })?;
    steps.step("documentation", || {
        // With private items: these crates are read by those who work on them, and their links lead inside.
        let mut command = crate::cargo("doc");
        command
            .args(["--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
        execute(command.env("ROCKSDB_LIB_DIR", &no_rocksdb))
    })?;

    let has_deny = Command::new("cargo-deny")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    steps.step("licences, bans and sources of dependencies", || {
        if !has_deny {
            eprintln!("      skipped: cargo-deny is not installed (`cargo install --locked cargo-deny`)");
            return Ok(());
        }
        let mut command = Command::new("cargo-deny");
        command.arg("--manifest-path").arg(crate::root().join("Cargo.toml"));
        command.args(["check", "--config"]).arg(crate::root().join(".deny.toml"));
        execute(command.args(["licenses", "bans", "sources"]))
    })?;
    steps.finish("nothing to complain about");
    Ok(())
}
