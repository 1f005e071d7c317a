//! `cargo xtask`: the commands that build, run, test and lint Leveret.
//!
//! Each one first looks for the system packages it needs and installs them where it may, so that a machine with git, a
//! C compiler, Python and the Rust toolchain is enough to begin with. It depends on nothing that takes time to build.
//!
//! Programs and the broker are built in one profile, release: what is tested is what runs, and is compiled once. Linting
//! is the exception, and compiles no C++ at all.

mod console;
mod instructions;
mod lint;
mod packages;
mod run;
mod screenshots;
mod step;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

const HELP: &str = "\
Build, run, test and lint Leveret.

Usage:
  cargo xtask run  [-- ARGUMENT...]           build the broker and start it on ./leveret-data
  cargo xtask console [-- ARGUMENT...]        build the console and open it
  cargo xtask screenshots [-- ARGUMENT...]    take the pictures of the console for the README anew
  cargo xtask test [--long] [-- ARGUMENT...]  build everything and run all tests
  cargo xtask lint                            check format, clippy, documentation, licences of dependencies
  cargo xtask instructions                    count the instructions of fixed work, compare with those noted

run    ARGUMENTs go to the broker: `cargo xtask run -- --amqp-listen 0.0.0.0:5672`.
       The data directory is ./leveret-data unless --data-dir or --config is given.
console  ARGUMENTs go to the console: `cargo xtask console -- --connect http://guest:guest@127.0.0.1:15672`.
       Without, it offers the broker that runs on this machine.
screenshots  Without a display it needs xvfb-run. ARGUMENTs go to assets/screenshots/make.py: `-- --only overview`.
test   ARGUMENTs go to the test programs: `cargo xtask test -- topic` runs the tests with `topic` in their name.
       --long also runs the long form of the tests that have one (sets LEVERET_TEST_LONG=1).
instructions  LEVERET_UPDATE_BASELINE=1 notes the counts of today, in broker/core/benches/instructions.txt.

All of them install missing system packages with apt when run as root or where sudo asks no password;
elsewhere they print the line to type, and stop.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    let (options, passed_on) = match rest.iter().position(|argument| argument == "--") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    if command == "help" || [command.as_str(), options.first().map_or("", String::as_str)].contains(&"--help")
    {
        print!("{HELP}");
        return Ok(());
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    match (command.as_str(), options.as_slice()) {
        ("run", []) => run::run(passed_on),
        ("console", []) => console::console(passed_on),
        ("screenshots", []) => screenshots::screenshots(passed_on),
        ("test", []) => test::test(passed_on, false),
        ("test", ["--long"]) => test::test(passed_on, true),
        ("lint", []) => lint::lint(),
        ("instructions", []) => instructions::instructions(),
        ("run" | "console" | "screenshots" | "test" | "lint" | "instructions", [option, ..]) => {
            bail!("`cargo xtask {command}` has no option `{option}` (arguments to pass on follow a `--`)")
        }
        _ => bail!("there is no `cargo xtask {command}`; `cargo xtask help` lists what there is"),
    }
}

/// A cargo command on the whole repository, whatever the current directory.
fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).arg("--manifest-path").arg(root().join("Cargo.toml"));
    // Cargo describes this very package to us in the environment; a build that sees that may build more than it needs.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

/// The folder that holds release builds: where cargo has put this program.
fn release_folder() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    Ok(this.parent().unwrap_or(Path::new(".")).to_path_buf())
}

/// The file in which the build script of the broker says how far it is with RocksDB.
fn rocksdb_progress() -> Result<PathBuf> {
    let release = release_folder()?;
    Ok(release.parent().unwrap_or(Path::new(".")).join("rocksdb").join("progress"))
}
