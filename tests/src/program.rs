//! The programs of this repository, as the suites run them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The broker to test: `LEVERET_BIN`, else the one beside this test's executable, brought up to date.
pub fn broker_binary() -> PathBuf {
    match std::env::var_os("LEVERET_BIN") {
        Some(path) => path.into(),
        None => built("leveret", &["--package", "leveret-broker"]),
    }
}

/// The command line client.
pub fn leveretctl_binary() -> PathBuf {
    built("leveretctl", &["--package", "leveret-client", "--bin", "leveretctl"])
}

/// The console.
pub fn console_binary() -> PathBuf {
    built("leveret-admin", &["--package", "leveret-admin", "--bin", "leveret-admin"])
}

/// An example of the client crate.
pub fn client_example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"), &["--package", "leveret-client", "--example", name])
}

/// A file below `target/<profile>`, made by `cargo build` with these arguments. `LEVERET_TEST_BUILT` says that
/// everything is built already, and spares asking cargo.
fn built(file: &str, arguments: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("tests run from target/<profile>/deps");
    let path = profile.join(file);
    static BUILT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    // Held while cargo runs: the other tests of this process need the same file.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.get_or_insert_default().insert(path.clone()) && std::env::var_os("LEVERET_TEST_BUILT").is_none()
    {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet"]).args(arguments);
        build.arg("--target-dir").arg(profile.parent().expect("target"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        // What cargo tells the test about its package makes build scripts that look at it run again.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
                build.env_remove(name);
            }
        }
        let status = build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status();
        assert!(status.is_ok_and(|status| status.success()), "cargo build {}", arguments.join(" "));
    }
    path
}
