//! Compiles RocksDB, many of its source files at a time.
//!
//! RocksDB is some 340 C++ files, and what takes the time is not their code but the same headers, read again for each.
//! The build script of librocksdb-sys compiles file by file. Here a *part* is a file that includes dozens of them in
//! turn, which is a third of the work and the same code in the end:
//!
//! ```text
//! .cargo/config.toml: ROCKSDB_LIB_DIR ──► librocksdb-sys: compiles nothing, makes its bindings, asks for `-lrocksdb`
//!                                             │ where its sources are
//!                                             ▼
//! <target directory>/rocksdb/<key>/librocksdb.a ◄── this: part-00.cc … ──► tells the linker the folder
//! ```
//!
//! The key is made of everything the result depends on, and of nothing else: profiles and clones that build into one
//! target directory share the library, and what an interrupted build has compiled is not compiled again.
//!
//! Without that setting, or with another value, this does nothing: a `ROCKSDB_LIB_DIR` of your own is searched for your
//! own RocksDB, and `ROCKSDB_COMPILE=true` has librocksdb-sys compile it.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::error::Error;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What `.cargo/config.toml` sets `ROCKSDB_LIB_DIR` to. No such folder exists, or has to.
const COMPILED_HERE: &str = "compiled-by-leveret-broker";

/// How much source makes a part. More of it saves less and less, while the compiler's memory grows with it.
const PART_BYTES: u64 = 600_000;

/// What g++ 12 takes for the largest part.
const COMPILER_BYTES: u64 = 1_300_000_000;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ROCKSDB_LIB_DIR");
    println!("cargo::rerun-if-env-changed=ROCKSDB_COMPILE");
    let compiled_by_its_crate =
        env::var("ROCKSDB_COMPILE").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
    if compiled_by_its_crate || env::var_os("ROCKSDB_LIB_DIR").is_none_or(|value| value != COMPILED_HERE) {
        return;
    }
    match library() {
        Ok(library) => {
            let folder = library.parent().unwrap_or(Path::new("."));
            println!("cargo::rustc-link-search=native={}", folder.display());
            println!("cargo::rerun-if-changed={}", library.display());
        }
        Err(error) => {
            for line in error.to_string().lines().take(30) {
                println!("cargo::error=RocksDB: {line}");
            }
            println!(
                "cargo::error=With ROCKSDB_COMPILE=true its own crate compiles it, in three times the time."
            );
        }
    }
}

/// The path of librocksdb.a, which is compiled unless it is there already.
fn library() -> Result<PathBuf> {
    let sources = PathBuf::from(variable("DEP_ROCKSDB_CARGO_MANIFEST_DIR")?);
    let build = configured(&sources)?;
    let home = home()?;
    let folder = home.join(key(&sources, &build)?);
    let library = folder.join("librocksdb.a");
    // The last thing to be written, so that there is either all of it or nothing.
    if library.exists() {
        return Ok(library);
    }
    // In a folder of our own: builds of other profiles may be at the same.
    let workshop = Path::new(&variable("OUT_DIR")?).join(folder.file_name().unwrap_or_default());
    fs::create_dir_all(&workshop)?;
    let objects = compile(&build, &parts(&sources)?, &workshop, &home.join("progress"))?;
    let archive = build.clone().out_dir(&workshop).try_create_archive("rocksdb", &objects)?;
    // As old as the sources: newer than this run of ours, it would look to cargo like a reason to run again.
    let age = fs::metadata(sources_list(&sources))?.modified()?;
    fs::File::options().append(true).open(&archive)?.set_modified(age)?;
    fs::create_dir_all(&folder)?;
    fs::rename(archive, &library)?;
    fs::remove_dir_all(&workshop)?;
    Ok(library)
}

/// The compiler and its flags: those of librocksdb-sys's own build script, without its optional features.
fn configured(sources: &Path) -> Result<cc::Build> {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").opt_level(2).debug(false).warnings(false).extra_warnings(false);
    build.flag("-include").flag("cstdint").define("NDEBUG", "1");
    for folder in ["rocksdb/include", "rocksdb", "."] {
        build.include(sources.join(folder));
    }
    build.define("HAVE_ALIGNED_NEW", None).define("HAVE_UINT128_EXTENSION", None);
    build.define("ROCKSDB_PLATFORM_POSIX", None).define("ROCKSDB_LIB_IO_POSIX", None);
    match variable("CARGO_CFG_TARGET_OS")?.as_str() {
        "linux" => {
            build.define("OS_LINUX", None);
            build.define("ROCKSDB_SCHED_GETCPU_PRESENT", None).define("ROCKSDB_AUXV_GETAUXVAL_PRESENT", None);
            build.define("ROCKSDB_FALLOCATE_PRESENT", None).define("ROCKSDB_RANGESYNC_PRESENT", None);
        }
        "macos" => {
            build.define("OS_MACOSX", None);
        }
        other => return Err(format!("what it needs on {other} is not known here").into()),
    }
    // The processor that Rust compiles for, to which cc adds nothing of its own accord: CRC32C in hardware, above all.
    let processor = target_cpu().unwrap_or_default();
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |feature: &str| features.split(',').any(|had| had == feature);
    match variable("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => {
            if !processor.is_empty() {
                build.flag_if_supported(format!("-march={processor}"));
            }
            let flags = [
                ("sse4.2", "-msse4.2"),
                ("pclmulqdq", "-mpclmul"),
                ("avx2", "-mavx2"),
                ("bmi1", "-mbmi"),
                ("lzcnt", "-mlzcnt"),
            ];
            for (_, flag) in flags.iter().filter(|(feature, _)| has(feature)) {
                build.flag(flag);
            }
        }
        "aarch64" if !processor.is_empty() => {
            build.flag_if_supported(format!("-mcpu={processor}"));
        }
        "aarch64" if has("crc") && has("aes") => {
            build.flag_if_supported("-march=armv8-a+crc+aes+crypto");
        }
        _ => {}
    }
    Ok(build)
}

/// The value of `-C target-cpu`, however it was written.
fn target_cpu() -> Option<String> {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").ok()?;
    let mut values = flags.split('\u{1f}').map(|flag| flag.strip_prefix("-C").unwrap_or(flag));
    values.find_map(|flag| flag.strip_prefix("target-cpu=")).map(str::to_owned)
}

/// Where the libraries are kept: beside the folders of the profiles, or where that is not known, in this profile's.
fn home() -> Result<PathBuf> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    // <target directory>/<profile>/build/<package and hash>/out
    let build = out.ancestors().skip(1).find(|folder| folder.ends_with("build"));
    Ok(build.and_then(|build| build.ancestors().nth(2)).unwrap_or(&out).join("rocksdb"))
}

/// A name for what these sources become with this compiler and these flags.
fn key(sources: &Path, build: &cc::Build) -> Result<String> {
    let compiler = build.try_get_compiler()?;
    let version = Command::new(compiler.path()).arg("--version").output()?;
    let mut hasher = DefaultHasher::new();
    version.stdout.hash(&mut hasher);
    PART_BYTES.hash(&mut hasher);
    // Where the sources are is no matter; which they are is in their folder's name, which has the version.
    for argument in compiler.args() {
        argument.to_string_lossy().replace(&*sources.to_string_lossy(), "").hash(&mut hasher);
    }
    let name = sources.file_name().unwrap_or_default().to_string_lossy();
    name.hash(&mut hasher);
    let rocksdb = name.rsplit(['+', '-']).next().unwrap_or_default();
    Ok(format!("{rocksdb}-{:016x}", hasher.finish()))
}

/// The file with the names of RocksDB's source files, which librocksdb-sys comes with.
fn sources_list(sources: &Path) -> PathBuf {
    sources.join("rocksdb_lib_sources.txt")
}

/// RocksDB's source files, as paths below `sources`, in the groups to compile them in.
fn parts(sources: &Path) -> Result<Vec<Vec<String>>> {
    let list = sources_list(sources);
    let list =
        fs::read_to_string(&list).map_err(|error| format!("cannot read {}: {error}", list.display()))?;
    let mut files: Vec<String> = list.split_whitespace().map(|file| format!("rocksdb/{file}")).collect();
    // Upstream's is a template; librocksdb-sys comes with the file that RocksDB's own build would make of it.
    files.retain(|file| file != "rocksdb/util/build_version.cc");
    files.push("build_version.cc".to_owned());
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for file in files {
        let path = sources.join(&file);
        let bytes = fs::metadata(&path).map_err(|error| format!("no {}: {error}", path.display()))?.len();
        if bytes > room || parts.is_empty() {
            parts.push(Vec::new());
            room = PART_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(part) = parts.last_mut() {
            part.push(file);
        }
    }
    Ok(parts)
}

/// Compiles the parts on all processors; `progress` is a file that says how far this is, for whoever waits.
fn compile(
    build: &cc::Build,
    parts: &[Vec<String>],
    workshop: &Path,
    progress: &Path,
) -> Result<Vec<PathBuf>> {
    let compiler = build.try_get_compiler()?;
    if let Some(folder) = progress.parent() {
        fs::create_dir_all(folder)?;
    }
    // Cargo compiles crates at the same time and is not asked for leave: there are soon none left to compile.
    let jobs: u64 = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
    let workers = jobs.min(memory_available().map_or(jobs, |bytes| bytes / COMPILER_BYTES)).max(1);
    let report = |count: usize| {
        // Nothing but a person's patience depends on it.
        let _ = fs::write(progress, format!("compiled {count} of {} parts of RocksDB", parts.len()));
    };
    report(0);
    let (begun, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> Result<Vec<PathBuf>> {
        let mut objects = Vec::new();
        loop {
            let number = begun.fetch_add(1, Relaxed);
            let Some(files) = parts.get(number) else { return Ok(objects) };
            let of_part = compile_part(&compiler, number, files, workshop);
            if of_part.is_err() {
                // The others finish what they are at; there is no use in beginning anything more.
                begun.store(parts.len(), Relaxed);
            }
            objects.extend(of_part?);
            report(finished.fetch_add(1, Relaxed) + 1);
        }
    };
    let of_workers: Result<Vec<Vec<PathBuf>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a panic".into()))).collect()
    });
    let _ = fs::remove_file(progress);
    let mut objects = of_workers?.concat();
    objects.sort();
    Ok(objects)
}

/// The memory that is free for the asking, where the system says.
fn memory_available() -> Option<u64> {
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(available.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// Compiles files as one, or should that fail, as it will where two of them use one name differently, one by one.
fn compile_part(
    compiler: &cc::Tool,
    number: usize,
    files: &[String],
    workshop: &Path,
) -> Result<Vec<PathBuf>> {
    let together = format!("part-{number:02}");
    let error = match compile_file(compiler, &together, files, workshop) {
        Ok(object) => return Ok(vec![object]),
        Err(error) => error,
    };
    let first = error.to_string().lines().find(|line| line.contains("error")).unwrap_or_default().to_owned();
    println!(
        "cargo::warning=RocksDB: compiling the files of {together} one by one, as together they fail: {first}"
    );
    let alone = files.iter().enumerate();
    alone
        .map(|(index, file)| {
            compile_file(compiler, &format!("{together}-{index:02}"), slice::from_ref(file), workshop)
        })
        .collect()
}

/// Makes the object `name`.o of a source file that includes `files`, unless an earlier build already has.
fn compile_file(compiler: &cc::Tool, name: &str, files: &[String], workshop: &Path) -> Result<PathBuf> {
    let object = workshop.join(name).with_extension("o");
    if object.exists() {
        return Ok(object);
    }
    let source = object.with_extension("cc");
    let includes: String = files.iter().map(|file| format!("#include \"{file}\"\n")).collect();
    fs::write(&source, includes)?;
    let unfinished = object.with_extension("unfinished");
    let mut command = compiler.to_command();
    let output = command.arg("-c").arg(&source).arg("-o").arg(&unfinished).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let compiler = compiler.path().display();
        return Err(
            format!("{compiler} ended with {} on {}\n{errors}", output.status, source.display()).into()
        );
    }
    fs::rename(unfinished, &object)?;
    Ok(object)
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
