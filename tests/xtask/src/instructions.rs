//! `cargo xtask instructions`: that the hot path does not get slower by and by.
//!
//! Times depend on the machine and on what else it does; the number of instructions for the same work does not. Callgrind
//! counts them while `broker/core/examples/instructions.rs` does fixed work with the codec, the exchanges, the queue and
//! the session. Counted is what our own program executes, not what the C library does below it: that one chooses its
//! `memcpy` by the processor. How often memory is asked for is counted beside it.
//!
//! What was counted last is in `broker/core/benches/instructions.txt`. Who makes something slower on purpose writes that
//! anew with `LEVERET_UPDATE_BASELINE=1`, and says why.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, Purpose};
use crate::step::{Steps, execute};

/// What one workload takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    instructions: u64,
    allocations: u64,
}

type Counts = BTreeMap<String, Count>;

/// Counts, and compares with what was noted.
pub fn instructions() -> Result<()> {
    let mut steps = Steps::new("instructions", 3);
    if std::env::consts::ARCH != ARCH {
        steps.finish("skipped: the counts that are noted are of another kind of processor");
        return Ok(());
    }
    steps.step("system packages", || packages::ensure(Purpose::Count))?;
    steps.step("build the program that is counted", || {
        let mut command = crate::cargo("build");
        // The whole workspace is named, so that features are those of the other builds and nothing is built twice.
        command.args(["--release", "--workspace", "--example", "instructions"]);
        execute(&mut command)
    })?;
    let program = crate::release_folder()?.join("examples/instructions");
    let counts = steps.step("count", || count_all(&program))?;
    let path = crate::root().join("broker/core/benches/instructions.txt");
    if std::env::var_os("LEVERET_UPDATE_BASELINE").is_some() {
        std::fs::write(&path, written(&counts))
            .with_context(|| format!("cannot write {}", path.display()))?;
        steps.finish("noted in broker/core/benches/instructions.txt");
        return Ok(());
    }
    let noted = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let noted = read(&noted).with_context(|| format!("in {}", path.display()))?;
    let complaints = compare(&noted, &counts);
    ensure!(
        complaints.is_empty(),
        "more work than what was noted:\n  {}\nWhere that is meant, note it: LEVERET_UPDATE_BASELINE=1 cargo xtask \
         instructions",
        complaints.join("\n  ")
    );
    steps.finish("no more work than before");
    Ok(())
}

/// Counts every workload, as many at a time as there are processors.
fn count_all(program: &Path) -> Result<Counts> {
    let list =
        Command::new(program).output().with_context(|| format!("cannot start {}", program.display()))?;
    let list = String::from_utf8(list.stdout).context("the list of workloads")?;
    let workloads: Vec<&str> = list.lines().collect();
    let (next, counts) = (AtomicUsize::new(0), Mutex::new(Counts::new()));
    let work = || -> Result<()> {
        while let Some(name) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = count(program, name).with_context(|| (*name).to_owned())?;
            counts.lock().expect("nobody panics with it").insert((*name).to_owned(), count);
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("errors are returned"))
    })?;
    counts.into_inner().context("somebody panicked")
}

fn count(program: &Path, workload: &str) -> Result<Count> {
    let out: PathBuf =
        std::env::temp_dir().join(format!("leveret-callgrind-{}-{workload}", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--toggle-collect=leveret_counted", "--dump-line=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(workload)
        .stdin(Stdio::null());
    let ran = command.output().context("cannot start valgrind")?;
    ensure!(ran.status.success(), "{}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr));
    let profile = std::fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    let _ = std::fs::remove_file(&out);
    let allocations = String::from_utf8_lossy(&ran.stdout).trim().parse().context("its allocations")?;
    let instructions = own_instructions(&profile, program.file_name().context("a program")?.to_str());
    ensure!(instructions > 0, "callgrind saw nothing of it");
    Ok(Count { instructions, allocations })
}

/// Sums what functions of the object with this file name execute themselves.
///
/// Names are given once and referred to by number from then on: `ob=(2) /lib/libc.so.6`, then `ob=(2)`. A line that
/// follows `calls=` has the cost of what was called, which is counted where it is executed.
fn own_instructions(profile: &str, object: Option<&str>) -> u64 {
    let mut objects: BTreeMap<&str, bool> = BTreeMap::new();
    let (mut is_own, mut is_call, mut sum) = (false, false, 0);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("ob=").or_else(|| line.strip_prefix("cob=")) {
            let (number, path) = name.split_once(' ').unwrap_or((name, ""));
            if !path.is_empty() {
                let file = Path::new(path).file_name().and_then(|file| file.to_str());
                objects.insert(number, file == object);
            }
            if line.starts_with("ob=") {
                is_own = objects.get(number).copied().unwrap_or(false);
            }
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            if is_own && !is_call {
                sum += cost.unwrap_or(0);
            }
            is_call = false;
        }
    }
    sum
}

/// What has become more than the tolerance allows, in words. Prints all of it.
fn compare(noted: &Counts, counts: &Counts) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, now) in counts {
        let Some(before) = noted.get(name) else {
            complaints.push(format!("{name} is new and not noted"));
            continue;
        };
        for (what, before, now) in [
            ("instructions", before.instructions, now.instructions),
            ("allocations", before.allocations, now.allocations),
        ] {
            let change = (now as f64 - before as f64) / before.max(1) as f64 * 100.0;
            eprintln!("      {name:<40} {now:>12} {what:<12} {change:>+6.1} %");
            if now > before + before * TOLERANCE_PERCENT / 100 {
                complaints.push(format!("{name}: {now} {what} instead of {before}"));
            }
        }
    }
    complaints.extend(
        noted
            .keys()
            .filter(|name| !counts.contains_key(*name))
            .map(|name| format!("{name} is noted and no longer there")),
    );
    complaints
}

fn written(counts: &Counts) -> String {
    let mut text = format!(
        "# Instructions and allocations of the work in broker/core/examples/instructions.rs, on {ARCH}.\n\
         # LEVERET_UPDATE_BASELINE=1 cargo xtask instructions writes this.\n"
    );
    for (name, Count { instructions, allocations }) in counts {
        let _ = writeln!(text, "{name:<40} {instructions:>12} {allocations:>8}");
    }
    text
}

fn read(text: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [name, instructions, allocations] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("not a name and two numbers: {line}");
        };
        let count = Count { instructions: instructions.parse()?, allocations: allocations.parse()? };
        counts.insert(name.to_owned(), count);
    }
    Ok(counts)
}

/// What the counts that are noted were made on.
const ARCH: &str = "x86_64";
/// More than this is not noise of any kind: counts of the same program are the same.
const TOLERANCE_PERCENT: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_executes_itself_is_counted() {
        let profile = "events: Ir\n\nob=(1) /target/release/examples/instructions\nfn=(1) leveret_counted\n0 7\n\
                       cob=(2) /lib/libc.so.6\ncfn=(2) memcpy\ncalls=3 0\n0 300\n\nob=(2)\nfn=(2)\n0 300\n\n\
                       ob=(1)\nfn=(3) route\n0 5\n+3 30\ntotals: 342\n";
        assert_eq!(own_instructions(profile, Some("instructions")), 42);
        assert_eq!(own_instructions(profile, Some("libc.so.6")), 300);
    }

    #[test]
    fn more_than_five_percent_more_is_too_much() {
        let counts = |instructions, allocations| {
            Counts::from([("routing".to_owned(), Count { instructions, allocations })])
        };
        let noted = counts(1000, 0);
        assert!(compare(&noted, &counts(1050, 0)).is_empty());
        assert!(compare(&noted, &counts(10, 0)).is_empty());
        assert_eq!(
            compare(&noted, &counts(1051, 1)),
            ["routing: 1051 instructions instead of 1000", "routing: 1 allocations instead of 0"]
        );
        assert_eq!(compare(&noted, &Counts::new()), ["routing is noted and no longer there"]);
        assert_eq!(compare(&Counts::new(), &noted), ["routing is new and not noted"]);
        assert_eq!(read(&written(&noted)).unwrap(), noted);
    }
}
