//! amqprs' own tests, as its published crate carries them, against our broker.
//!
//! The crate is fetched by name, copied, told where the broker is (its tests have `localhost:5672` and the login of
//! somebody's container written into them), built and run. The library's unit tests need a broker as well, and run too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use leveret_tests::Report;
use leveret_tests::packages::{cache, execute, hash_of, once};

use crate::subject::Subject;

const VERSION: &str = "2.1.5";

/// Tests that do not pass on RabbitMQ as it is installed either, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "net::split_connection::test::test_open_amqp_connection",
        "logs in with RABBIT-CR-DEMO, a demonstration mechanism that is off by default",
    ),
    ("test_connection_getters", "needs no broker, and compares with the address that is replaced here"),
    ("test_custom_connection_getters", "likewise"),
];

/// Runs them all.
pub fn run() {
    let programs = programs().unwrap_or_else(|error| panic!("{error:#}"));
    let subject = Subject::start();
    let mut report = Report::from_env();
    // Each of these programs sleeps most of its time: they run side by side.
    std::thread::scope(|scope| {
        let runs: Vec<_> = programs
            .iter()
            .map(|(suite, program)| (suite, scope.spawn(|| run_program(program, &subject))))
            .collect();
        for (suite, run) in runs {
            let verdicts = run.join().unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
            match verdicts {
                Ok(verdicts) => record(suite, &verdicts, &mut report),
                Err(error) => report.failed(suite, &format!("{error:#}")),
            }
        }
    });
    report.finish();
}

fn record(suite: &str, verdicts: &BTreeMap<String, String>, report: &mut Report) {
    for (test, verdict) in verdicts {
        let name = format!("{suite}::{test}");
        match verdict.as_str() {
            _ if !report.wants(&name) => {}
            "ok" => report.passed(&name),
            "ignored" => println!("skip {name}: ignored by amqprs"),
            difference => report.failed(&name, difference),
        }
    }
}

/// Runs one test program and returns what became of each test: `ok`, `ignored`, or what it printed when it failed.
fn run_program(program: &Path, subject: &Subject) -> Result<BTreeMap<String, String>> {
    let address = subject.address();
    let mut command = Command::new(program);
    command.args(["--test-threads", "4"]);
    for (name, _) in LEFT_OUT {
        command.args(["--skip", name]);
    }
    let output = command
        .env("INTEROP_ADDRESS", address.to_string())
        .env("INTEROP_HOST", address.ip().to_string())
        .env("INTEROP_PORT", address.port().to_string())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut verdicts = BTreeMap::new();
    for line in text.lines() {
        let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        // "test NAME - should panic ... ok", "test NAME ... ignored, REASON"
        let name = name.split(" - ").next().unwrap_or(name);
        let verdict = match verdict {
            "ok" => "ok".to_owned(),
            verdict if verdict.starts_with("ignored") => "ignored".to_owned(),
            _ => printed_by(name, &text),
        };
        verdicts.insert(name.to_owned(), verdict);
    }
    ensure!(!verdicts.is_empty() || output.status.success(), "no test ran: {}\n{text}", output.status);
    Ok(verdicts)
}

/// The section of the output that begins with `---- NAME stdout ----`.
fn printed_by(name: &str, text: &str) -> String {
    let heading = format!("---- {name} stdout ----");
    let section = text.split(&heading).nth(1).unwrap_or("failed");
    section
        .split("\n----")
        .next()
        .unwrap_or(section)
        .split("\nfailures:")
        .next()
        .unwrap_or(section)
        .to_owned()
}

/// The test programs by name, built if need be.
fn programs() -> Result<Vec<(String, PathBuf)>> {
    let folder = cache().join(format!("amqprs-{VERSION}-{:016x}", hash_of(&[include_bytes!("amqprs.rs")])));
    once(&folder, || copy_crate(&folder))?;
    let mut build = cargo();
    build.args(["test", "--no-run", "--quiet", "--tests", "--message-format", "json"]);
    build.arg("--manifest-path").arg(folder.join("crate/Cargo.toml"));
    build.arg("--target-dir").arg(folder.join("target"));
    let messages = execute(&mut build).context("cannot build amqprs' tests")?;
    let mut programs = Vec::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let (Some(program), Some(name)) =
            (message["executable"].as_str(), message["target"]["name"].as_str())
        else {
            continue;
        };
        programs.push((name.to_owned(), PathBuf::from(program)));
    }
    ensure!(!programs.is_empty(), "amqprs has no test programs");
    Ok(programs)
}

/// Fetches the crate and copies it to `folder/crate`, pointed at the environment instead of `localhost:5672`.
fn copy_crate(folder: &Path) -> Result<()> {
    let fetch = folder.join("fetch");
    fs::create_dir_all(fetch.join("src"))?;
    fs::write(fetch.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
         [dependencies]\namqprs = \"={VERSION}\"\n"
    );
    fs::write(fetch.join("Cargo.toml"), manifest)?;
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(fetch.join("Cargo.toml"));
    let metadata = execute(&mut metadata).context("cannot fetch amqprs: is crates.io within reach?")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let package =
        packages.iter().find(|package| package["name"] == "amqprs").context("amqprs is not there")?;
    let source = Path::new(package["manifest_path"].as_str().context("amqprs has no manifest")?);
    let source = source.parent().context("a manifest is in a folder")?;

    let target = folder.join("crate");
    copy_folder(source, &target)?;
    let manifest = fs::read_to_string(target.join("Cargo.toml"))?;
    // rustls is there for the tests of TLS, which are not compiled; it would bring a C library to build.
    let (before, after) =
        manifest.split_once("[dev-dependencies.rustls]").context("an unexpected manifest")?;
    let after = after.find("\n[").map_or("", |at| &after[at..]);
    fs::write(target.join("Cargo.toml"), format!("{before}{after}\n[workspace]\n"))?;
    Ok(())
}

fn copy_folder(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else if from.extension().is_some_and(|extension| extension == "rs") {
            fs::write(to, pointed_at_environment(&fs::read_to_string(from)?))?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// Replaces the address and login that are written into the tests.
fn pointed_at_environment(source: &str) -> String {
    const ARGUMENTS: &str = r#"OpenConnectionArguments::new(
        &std::env::var("INTEROP_HOST").unwrap(),
        std::env::var("INTEROP_PORT").unwrap().parse().unwrap(),
        "guest",
        "guest",
    )"#;
    const WRITTEN: &str = r#"OpenConnectionArguments::new("localhost", 5672, "user", "bitnami")"#;
    let mut text = String::new();
    for line in source.lines() {
        // Examples in documentation stay as they are.
        let line = if line.trim_start().starts_with("//") {
            line.to_owned()
        } else {
            line.replace(WRITTEN, ARGUMENTS)
                .replace(r#"open("localhost:5672")"#, r#"open(&std::env::var("INTEROP_ADDRESS").unwrap())"#)
                .replace(r#"new_amqplain("user", "bitnami")"#, r#"new_amqplain("guest", "guest")"#)
                .replace(r#".with_user_id("user")"#, r#".with_user_id("guest")"#)
                .replace("= OpenConnectionArguments::default()", &format!("= {ARGUMENTS}.finish()"))
                .replace(
                    r#".credentials(SecurityCredentials::new_plain("user", "bitnami"))"#,
                    r#".credentials(SecurityCredentials::new_plain("guest", "guest"))"#,
                )
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    // What cargo tells about our own package and build is not for theirs.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "RUSTFLAGS" {
            command.env_remove(name.as_ref());
        }
    }
    command
}
