//! The system packages that building and testing need, found or installed.
//!
//! What counts is whether the thing is there, not whether a package is: a compiler from elsewhere is as good. Names of
//! packages are Debian's, and Ubuntu's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::execute;

/// What the packages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Compiling the broker.
    Build,
    /// Compiling it, driving it with other people's clients, and the console by pointer and keyboard.
    Test,
    /// Compiling the console, and opening its window.
    Console,
    /// Counting the instructions of programs.
    Count,
}

/// One thing that has to be on the machine.
struct Need {
    name: &'static str,
    /// What it is for, for those who have to install it by hand.
    why: &'static str,
    purpose: Purpose,
    is_there: fn() -> bool,
    /// The apt packages that bring it. Asked only when it is missing, after the package lists were read.
    packages: fn() -> Vec<String>,
}

const NEEDS: &[Need] = &[
    Need {
        name: "OpenGL",
        why: "draws the console",
        purpose: Purpose::Console,
        is_there: || has_library("libEGL.so.1") || has_library("libGL.so.1"),
        packages: || ["libegl1", "libgl1", "libgl1-mesa-dri"].map(str::to_owned).to_vec(),
    },
    Need {
        name: "the keyboard library of X11 and Wayland",
        why: "tells the console which keys are pressed",
        purpose: Purpose::Console,
        is_there: || has_library("libxkbcommon.so.0") && has_library("libxkbcommon-x11.so.0"),
        packages: || ["libxkbcommon0", "libxkbcommon-x11-0"].map(str::to_owned).to_vec(),
    },
    Need {
        name: "the X11 libraries",
        why: "open the console's window",
        purpose: Purpose::Console,
        is_there: || {
            ["libX11-xcb.so.1", "libXcursor.so.1", "libXi.so.6", "libXrandr.so.2"]
                .into_iter()
                .all(has_library)
        },
        packages: || {
            ["libx11-6", "libx11-xcb1", "libxcursor1", "libxi6", "libxrandr2"].map(str::to_owned).to_vec()
        },
    },
    Need {
        name: "a C++ compiler",
        why: "compiles RocksDB",
        purpose: Purpose::Build,
        is_there: || std::env::var_os("CXX").is_some() || runs("c++", &["--version"]),
        packages: || vec!["g++".to_owned()],
    },
    Need {
        name: "libclang with its headers",
        why: "reads RocksDB's C header",
        purpose: Purpose::Build,
        is_there: || libclang().is_some_and(|library| has_headers(&library)),
        packages: libclang_packages,
    },
    Need {
        name: "Python 3 with venv",
        why: "runs the tests with pika and kombu",
        purpose: Purpose::Test,
        is_there: || runs("python3", &["-c", "import venv, ensurepip"]),
        packages: || vec!["python3-venv".to_owned()],
    },
    Need {
        name: "Node.js",
        why: "runs the tests with amqplib and rabbitmq-client",
        purpose: Purpose::Test,
        is_there: || runs("node", &["--version"]),
        packages: || vec!["nodejs".to_owned()],
    },
    Need {
        name: "npm",
        why: "installs amqplib and rabbitmq-client",
        purpose: Purpose::Test,
        is_there: || runs("npm", &["--version"]),
        packages: || vec!["npm".to_owned()],
    },
    Need {
        name: "amqp-tools",
        why: "is a client too: the one in C",
        purpose: Purpose::Test,
        is_there: || runs("amqp-publish", &["--help"]),
        packages: || vec!["amqp-tools".to_owned()],
    },
    Need {
        name: "valgrind",
        why: "counts instructions",
        purpose: Purpose::Count,
        is_there: || runs("valgrind", &["--version"]),
        packages: || vec!["valgrind".to_owned()],
    },
    Need {
        name: "an X server without a screen",
        why: "has the window in which the console is tested",
        purpose: Purpose::Test,
        is_there: || is_in_path("Xvfb"),
        packages: || vec!["xvfb".to_owned()],
    },
    Need {
        name: "Mesa's software renderer",
        why: "draws in that window",
        purpose: Purpose::Test,
        is_there: has_software_renderer,
        packages: || vec!["libgl1-mesa-dri".to_owned()],
    },
    Need {
        name: "openbox",
        why: "manages that window",
        purpose: Purpose::Test,
        is_there: || is_in_path("openbox"),
        packages: || vec!["openbox".to_owned()],
    },
    Need {
        name: "xdotool",
        why: "moves its pointer and presses its keys",
        purpose: Purpose::Test,
        is_there: || is_in_path("xdotool"),
        packages: || vec!["xdotool".to_owned()],
    },
    Need {
        name: "the bus of screen readers",
        why: "tells the tests what is in that window",
        purpose: Purpose::Test,
        is_there: || {
            let launchers = ["/usr/libexec/at-spi-bus-launcher", "/usr/lib/at-spi2-core/at-spi-bus-launcher"];
            is_in_path("dbus-daemon") && launchers.iter().any(|launcher| Path::new(launcher).is_file())
        },
        packages: || ["dbus", "at-spi2-core"].map(str::to_owned).to_vec(),
    },
];

/// Makes sure of everything that `purpose` needs: installs what is missing, or says how to.
pub fn ensure(purpose: Purpose) -> Result<()> {
    let needs = || {
        NEEDS.iter().filter(|need| match purpose {
            // The tests open the console's window too.
            Purpose::Test => need.purpose != Purpose::Count,
            only => need.purpose == only,
        })
    };
    let missing: Vec<&Need> = needs().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        let names: Vec<&str> = needs().map(|need| need.name).collect();
        eprintln!("      all there: {}", names.join(", "));
        return Ok(());
    }
    for need in &missing {
        eprintln!("      missing: {}, which {}", need.name, need.why);
    }
    if !runs("apt-get", &["--version"]) {
        bail!("there is no apt-get here; please install what is missing by this system's own means");
    }
    let packages =
        |missing: &[&Need]| missing.iter().flat_map(|need| (need.packages)()).collect::<Vec<String>>();
    let Some(mut become_root) = root_prefix() else {
        let line = ["sudo apt-get install --no-install-recommends".to_owned()].into_iter();
        let line: Vec<String> = line.chain(packages(&missing)).collect();
        bail!("this is not root and sudo asks for a password; please type:\n\n    {}\n", line.join(" "));
    };
    become_root.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(become_root[0]);
        command.args(&become_root[1..]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    // A list that cannot be brought up to date may still be good enough; installing says whether it is.
    if let Err(error) = execute(&mut apt_get(&["-q", "update"])) {
        eprintln!("      {error:#}");
    }
    let packages = packages(&missing);
    execute(apt_get(&["-q", "-y", "--no-install-recommends", "install"]).args(&packages))
        .with_context(|| format!("cannot install {}", packages.join(" ")))?;
    if let Some(need) = missing.iter().find(|need| !(need.is_there)()) {
        bail!("{} is still not there after installing {}", need.name, packages.join(" "));
    }
    Ok(())
}

/// What to put before a command that needs root: nothing as root, sudo where it asks no password.
fn root_prefix() -> Option<Vec<&'static str>> {
    if output("id", &["-u"]).is_some_and(|user| user.trim() == "0") {
        return Some(Vec::new());
    }
    runs("sudo", &["-n", "true"]).then(|| vec!["sudo", "-n"])
}

/// True when the loader finds this shared library.
fn has_library(name: &str) -> bool {
    let loader = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"];
    loader.iter().find_map(|ldconfig| output(ldconfig, &["-p"])).is_some_and(|known| known.contains(name))
}

/// The shared library that bindgen would load: the first in the places where it looks.
fn libclang() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("LIBCLANG_PATH") {
        let path = PathBuf::from(path);
        return if path.is_file() { Some(path) } else { libclang_in(&path) };
    }
    let mut folders = Vec::new();
    if let Some(folder) = output("llvm-config", &["--libdir"]) {
        folders.push(PathBuf::from(folder.trim()));
    }
    for parent in ["/usr/lib", "/usr/local/lib", "/opt"] {
        for folder in entries(Path::new(parent)) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("llvm") {
                folders.push(folder.join("lib"));
            } else if name.contains("-linux-") {
                folders.push(folder);
            }
        }
    }
    folders.extend(["/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"].map(PathBuf::from));
    folders.iter().find_map(|folder| libclang_in(folder))
}

/// The libclang in `folder`, if there is one: `libclang.so`, `libclang.so.1`, `libclang-14.so.14.0.6`.
fn libclang_in(folder: &Path) -> Option<PathBuf> {
    entries(folder).into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let version =
            name.strip_prefix("libclang").and_then(|rest| rest.split_once(".so")).map(|(middle, _)| middle);
        let is_libclang = version.is_some_and(|version| {
            version.is_empty()
                || version.strip_prefix('-').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        });
        is_libclang && path.exists()
    })
}

/// True when the compiler's own headers (`stddef.h`) that belong to `libclang` are there.
fn has_headers(libclang: &Path) -> bool {
    // Debian keeps them below the folder of the versioned library, to which the others are links.
    let real = libclang.canonicalize().unwrap_or_else(|_| libclang.to_path_buf());
    let version = major_version(&real);
    let mut resources = vec![PathBuf::from("/usr/lib/clang"), PathBuf::from("/usr/lib64/clang")];
    for folder in [libclang.parent(), real.parent()].into_iter().flatten() {
        resources.push(folder.join("clang"));
    }
    if let Some(version) = version {
        resources.push(PathBuf::from(format!("/usr/lib/llvm-{version}/lib/clang")));
    }
    resources
        .iter()
        .flat_map(|folder| entries(folder))
        .any(|folder| folder.join("include").join("stddef.h").is_file())
}

/// The 14 of `libclang-14.so.14.0.6`, or of `/usr/lib/llvm-14/lib/libclang.so.1`.
fn major_version(libclang: &Path) -> Option<u32> {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let of_name = libclang.file_name()?.to_string_lossy().strip_prefix("libclang-").and_then(digits);
    of_name.or_else(|| libclang.iter().find_map(|part| digits(part.to_string_lossy().strip_prefix("llvm-")?)))
}

/// The packages with libclang and its headers: of the library that is there, else of the distribution's own version.
fn libclang_packages() -> Vec<String> {
    if let Some(version) =
        libclang().and_then(|library| major_version(&library.canonicalize().unwrap_or(library)))
    {
        return vec![format!("libclang-common-{version}-dev")];
    }
    let depends = output("apt-cache", &["depends", "libclang-dev"]).unwrap_or_default();
    match usual_version(&depends) {
        Some(version) => vec![format!("libclang1-{version}"), format!("libclang-common-{version}-dev")],
        // No lists to look in: the package without a version in its name is larger, but right everywhere.
        None => vec!["libclang-dev".to_owned()],
    }
}

/// The version that `apt-cache depends libclang-dev` names: not the newest on offer, but the one the others use.
fn usual_version(depends: &str) -> Option<u32> {
    depends
        .split_whitespace()
        .find_map(|word| word.strip_prefix("libclang-")?.strip_suffix("-dev")?.parse().ok())
}

/// What a folder holds, in order of name; nothing when it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut entries: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries
}

/// True when the command can be started and succeeds.
fn runs(program: &str, arguments: &[&str]) -> bool {
    output(program, arguments).is_some()
}

/// True when there is such a program. For those that have no `--version` which ends well without a display.
fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// True when Mesa can draw without a graphics card: its drivers lie below the folder of libraries of each architecture.
fn has_software_renderer() -> bool {
    let driver = |folder: &Path| folder.join("dri/swrast_dri.so").exists();
    let libraries = ["/usr/lib", "/usr/lib64"].map(Path::new);
    let below =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    libraries.into_iter().any(|folder| driver(folder) || below(folder).any(|folder| driver(&folder)))
}

/// What the command prints, if it can be started and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_libclang_comes_from_its_name_or_its_folder() {
        let check = |path: &str, expected| assert_eq!(major_version(Path::new(path)), expected, "{path}");
        check("/usr/lib/x86_64-linux-gnu/libclang-14.so.14.0.6", Some(14));
        check("/usr/lib/llvm-19/lib/libclang.so.1", Some(19));
        check("/usr/lib64/libclang.so.18.1.8", None);
    }

    #[test]
    fn the_libclang_to_install_is_the_one_the_distribution_uses() {
        let check = |depends: &str, expected| assert_eq!(usual_version(depends), expected, "{depends}");
        check("", None);
        check("libclang-dev\n  Depends: libclang-14-dev\n", Some(14));
        check("libclang-dev\n |Depends: libclang-19-dev\n    libclang-19-dev:i386\n", Some(19));
    }

    #[test]
    fn only_libclang_itself_counts_as_libclang() {
        let folder = std::env::temp_dir().join(format!("leveret-xtask-{}", std::process::id()));
        let check = |file: &str, expected: bool| {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), "").unwrap();
            assert_eq!(libclang_in(&folder).is_some(), expected, "{file}");
            std::fs::remove_dir_all(&folder).unwrap();
        };
        check("libclang.so", true);
        check("libclang.so.1", true);
        check("libclang-14.so.14.0.6", true);
        check("libclang-cpp.so.14", false);
        check("libclangBasic.a", false);
        check("libLLVM-14.so", false);
    }
}
