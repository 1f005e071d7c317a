//! Packages of other languages that the suites need: installed once per version of their pins, and kept below the target
//! directory.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The folder for what the suites install and build, below the target directory.
pub fn cache() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(3).expect("tests run from target/<profile>/deps").join("interop")
}

/// Fills `folder` once: with `fill`, unless an earlier run did.
///
/// The folder is held locked meanwhile, since several suites need the same packages, and runs may overlap.
pub fn once(folder: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()?;
    let complete = folder.join(".complete");
    if !complete.exists() {
        fill()?;
        File::create(complete)?;
    }
    Ok(())
}

/// Runs a command to its end; its output is part of the error when it fails.
pub fn execute(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{text}\n{error}", output.status);
    Ok(text)
}

/// The Python of an environment with the packages of `tests/interop/requirements.txt`.
pub fn python_with_packages() -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/requirements.txt");
    let folder = cache().join(format!("python-{:016x}", hash_of(&[fs::read(&requirements)?])));
    let python = folder.join("bin/python");
    once(&folder, || {
        execute(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            .context("cannot make a Python environment; Debian has it in python3-venv")?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        execute(install.arg(&requirements))
            .context("cannot install the Python clients (pika, kombu, celery): is PyPI within reach?")?;
        Ok(())
    })?;
    Ok(python)
}

/// The program `rabbitmqadmin` in version 2, of crates.io.
///
/// It takes minutes to compile, which cargo reports on standard error: that of a test that is silent otherwise, too.
pub fn rabbitmqadmin() -> Result<PathBuf> {
    const VERSION: &str = "2.35.0";
    let folder = cache().join(format!("rabbitmqadmin-{VERSION}"));
    once(&folder, || {
        let target = folder.join("target");
        let mut install = Command::new(env!("CARGO"));
        install.args(["install", "rabbitmqadmin", "--locked", "--version", VERSION, "--root"]).arg(&folder);
        install.arg("--target-dir").arg(&target);
        // Its own profile makes a small program in a long time.
        for (setting, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
            install.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
        }
        let status = install.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).status();
        let status = status.with_context(|| format!("cannot run {install:?}"))?;
        ensure!(status.success(), "cannot install rabbitmqadmin {VERSION}: is crates.io within reach?");
        fs::remove_dir_all(target)?;
        Ok(())
    })?;
    Ok(folder.join("bin/rabbitmqadmin"))
}

/// Tells contents apart, so that a cache is filled again when what it was made from changes.
pub fn hash_of(contents: &[impl AsRef<[u8]>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    contents.iter().for_each(|content| content.as_ref().hash(&mut hasher));
    hasher.finish()
}
