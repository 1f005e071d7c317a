//! A desktop of its own: an X server without a screen, a window manager, and the bus that screen readers listen to.
//!
//! The console is operated as people do it, with a pointer and a keyboard. Where things are on the screen is asked over
//! AT-SPI, the way a screen reader learns it; so no test knows a coordinate, and what has no name cannot be used.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use leveret_tests::eventually;
use zbus::export::serde::Serialize;
use zbus::export::serde::de::DeserializeOwned;
use zbus::zvariant::{DynamicType, OwnedObjectPath, Type, Value};

/// How long anything may take to show on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What kind of thing a node is, in the numbers of AT-SPI.
pub mod role {
    pub const LABEL: u32 = 29;
    pub const LIST_ITEM: u32 = 32;
    pub const PASSWORD: u32 = 40;
    pub const COLUMN_HEADER: u32 = 10;
    pub const CELL: u32 = 56;
    pub const FIELD: u32 = 79;
}

/// How often in a row something has to be in one place.
const RESTS: u32 = 12;

/// How often in a row a picture of the screen has to be the same.
const FRAMES: u32 = 60;

/// The number of the state of a node that has the keyboard.
const FOCUSED: u32 = 12;

/// A desktop of its own; it ends with this.
pub struct Desktop {
    folder: tempfile::TempDir,
    display: String,
    bus: String,
    /// In the order in which they were started.
    programs: Vec<Program>,
    runtime: tokio::runtime::Runtime,
    /// The bus of screen readers.
    readers: zbus::Connection,
}

/// A program that ends with its owner.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Desktop {
    pub fn start() -> Desktop {
        let folder = tempfile::tempdir().expect("a folder");
        let screen = folder.path().to_str().expect("a plain path");
        let arguments =
            ["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-fbdir", screen];
        let (xvfb, number) = first_line(Command::new("Xvfb").args(arguments), "the X server");
        let display = format!(":{}", number.trim());

        let address = format!("--address=unix:dir={screen}");
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--nosyslog", "--print-address=1", &address]);
        // What the bus starts, the bus of screen readers above all, lives on this desktop.
        bus.env("DISPLAY", &display).env("XDG_RUNTIME_DIR", folder.path()).env("HOME", folder.path());
        bus.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("AT_SPI_BUS_ADDRESS");
        let (dbus, bus) = first_line(&mut bus, "the message bus");
        let bus = bus.trim().to_owned();

        let mut manager = Command::new("openbox");
        manager.arg("--sm-disable").env("DISPLAY", &display).env("HOME", folder.path());
        manager.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let manager = Program(manager.spawn().expect("openbox can be started"));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let readers = runtime.block_on(screen_reader(&bus)).expect("the bus of screen readers");
        Desktop { folder, display, bus, programs: vec![xvfb, dbus, manager], runtime, readers }
    }

    /// Opens the console with these arguments, and waits until it is to be seen and can be read.
    pub fn open(&mut self, binary: &Path, arguments: &[&str]) -> Window<'_> {
        let settings = self.folder.path().join("admin.toml");
        let began = Instant::now();
        let mut command = Command::new(binary);
        command
            .args(["--language", "en", "--look", "dark", "--size", "1200x740", "--settings"])
            .arg(&settings);
        let log = fs::File::create(self.folder.path().join("console.log")).expect("a log");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env("DISPLAY", &self.display).env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("HOME", self.folder.path());
        command.env("XDG_CONFIG_HOME", self.folder.path()).env("LANG", "C.UTF-8");
        command.env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET").env_remove("AT_SPI_BUS_ADDRESS");
        let child = command.spawn().expect("the console can be started");
        let pid = child.id();
        self.programs.push(Program(child));
        let found = eventually(LIMIT, || {
            let found = self.xdotool(&["search", "--onlyvisible", "--name", "^Leveret$"])?;
            found.lines().next().map(str::to_owned)
        });
        let Some(id) = found else { panic!("no window was opened: {}", self.log()) };
        let (opened_in, opened_for) = (began.elapsed(), cpu_time(pid));
        let active = eventually(LIMIT, || {
            self.xdotool(&["windowactivate", "--sync", &id])?;
            (self.xdotool(&["getwindowfocus"])?.trim() == id).then_some(())
        });
        assert!(active.is_some(), "the window does not get the keyboard");
        let application = eventually(LIMIT, || self.runtime.block_on(application(&self.readers, pid)));
        let application = application.expect("the console is known to screen readers");
        Window { desktop: self, pid, application, opened_in, opened_for }
    }

    /// Runs xdotool; what it printed, when it succeeded.
    fn xdotool(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("xdotool").args(arguments).env("DISPLAY", &self.display).output();
        let output = output.expect("xdotool can be run");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the console complained of.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("console.log")).unwrap_or_default()
    }

    /// Writes what is on the screen as PNG, once it rests: readers are told of a frame before it is drawn.
    pub fn picture(&self, file: &Path) {
        let screen = || fs::read(self.folder.path().join("Xvfb_screen0")).expect("the screen");
        let (mut dump, mut seen) = (screen(), 0);
        // What moves all the time is taken as it is.
        eventually(LIMIT / 20, || {
            let now = screen();
            seen = if now == dump { seen + 1 } else { 0 };
            dump = now;
            (seen >= FRAMES).then_some(())
        });
        // An X window dump: words in network order, a table of colours, then the pixels.
        let word = |at: usize| {
            let bytes = dump[at * 4..at * 4 + 4].try_into().expect("four of them");
            u32::from_be_bytes(bytes) as usize
        };
        let (header, width, height, line, colours) = (word(0), word(4), word(5), word(12), word(19));
        let pixels = &dump[header + colours * 12..];
        let rows = (0..height).map(|row| &pixels[row * line..row * line + width * 4]);
        let rgb: Vec<u8> =
            rows.flat_map(|row| row.chunks_exact(4)).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
        fs::create_dir_all(file.parent().expect("a file in a folder")).expect("a folder for pictures");
        let writer = fs::File::create(file).expect("a picture can be written");
        let mut encoder = png::Encoder::new(writer, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&rgb)).expect("a picture");
    }
}

/// Starts a program and waits for what it prints first.
fn first_line(command: &mut Command, what: &str) -> (Program, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut program = Program(child.unwrap_or_else(|error| panic!("{what} cannot be started: {error}")));
    let mut line = String::new();
    let stdout = program.0.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("it can be read");
    assert!(!line.is_empty(), "{what} ended at once");
    (program, line)
}

/// Says that a screen reader is there, and connects to the bus on which programs answer it.
async fn screen_reader(bus: &str) -> zbus::Result<zbus::Connection> {
    let session = zbus::connection::Builder::address(bus)?.build().await?;
    let (name, path) = ("org.a11y.Bus", "/org/a11y/bus");
    let enabled = ("org.a11y.Status", "IsEnabled", Value::from(true));
    session.call_method(Some(name), path, Some("org.freedesktop.DBus.Properties"), "Set", &enabled).await?;
    let answer = session.call_method(Some(name), path, Some("org.a11y.Bus"), "GetAddress", &()).await?;
    let address: String = answer.body().deserialize()?;
    zbus::connection::Builder::address(address.as_str())?.build().await
}

/// The name on the bus of the application with this process id.
async fn application(readers: &zbus::Connection, pid: u32) -> Option<String> {
    let (registry, root) = ("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root");
    let accessible = Some("org.a11y.atspi.Accessible");
    let answer = readers.call_method(Some(registry), root, accessible, "GetChildren", &()).await.ok()?;
    let applications: Vec<(String, OwnedObjectPath)> = answer.body().deserialize().ok()?;
    for (name, _) in applications {
        let (daemon, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let method = "GetConnectionUnixProcessID";
        let answer = readers.call_method(Some(daemon), path, Some(daemon), method, &(name.as_str(),)).await;
        if answer.ok()?.body().deserialize::<u32>().ok()? == pid {
            return Some(name);
        }
    }
    None
}

/// CPU time of a program and all its threads, those that have ended among them.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Its name comes in brackets and may hold anything; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    // Linux tells them in hundredths of a second, whatever its clock does.
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The console in its window.
pub struct Window<'a> {
    pub desktop: &'a Desktop,
    pub pid: u32,
    /// Its name on the bus of screen readers.
    application: String,
    /// From the start of the program to the window on the screen, which comes with its first frame.
    pub opened_in: Duration,
    /// CPU time until then: neighbours on the machine do not count.
    pub opened_for: Duration,
}

/// Something on the screen, as a screen reader is told of it.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub role: u32,
    path: OwnedObjectPath,
    states: Vec<u32>,
}

/// A node as it is in the cache of AT-SPI: itself, its application, its parent, its place there, how many children,
/// interfaces, name, role, description, states.
type Cached = (
    (String, OwnedObjectPath),
    (String, OwnedObjectPath),
    (String, OwnedObjectPath),
    i32,
    i32,
    Vec<String>,
    String,
    u32,
    String,
    Vec<u32>,
);

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let file = pictures().join("failed.png");
            self.desktop.picture(&file);
            println!("what was on the screen: {}", file.display());
        }
    }
}

/// Where pictures are kept.
pub fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("console")
}

impl Window<'_> {
    /// Everything on the screen that has a name.
    pub fn nodes(&self) -> Vec<Node> {
        let cached: Option<Vec<Cached>> =
            self.ask("/org/a11y/atspi/cache", "org.a11y.atspi.Cache", "GetItems", &());
        let nodes = cached.unwrap_or_default().into_iter().map(|cached| {
            let ((_, path), _, _, _, _, _, name, role, _, states) = cached;
            Node { name, role, path, states }
        });
        nodes.filter(|node| !node.name.is_empty()).collect()
    }

    /// Waits until something on the screen is as wanted; of several it is the last.
    #[track_caller]
    pub fn node(&self, what: &str, wanted: impl Fn(&Node) -> bool) -> Node {
        let found = eventually(LIMIT, || self.nodes().into_iter().rev().find(|node| wanted(node)));
        found.unwrap_or_else(|| {
            let names: Vec<String> = self.nodes().into_iter().map(|node| node.name).collect();
            panic!("not on the screen: {what}. There is: {}", names.join(" | "))
        })
    }

    /// Waits until something on the screen has a name that contains this.
    #[track_caller]
    pub fn see(&self, part: &str) {
        self.node(part, |node| node.name.contains(part));
    }

    /// Moves the pointer to the middle of a node and presses it there.
    #[track_caller]
    pub fn click(&self, node: &Node) {
        // Where it is when it does not move any more: a dialog that grows takes a frame or two to its place.
        let (mut last, mut seen) = (None, 0);
        let place = eventually(LIMIT, || {
            let now: Option<((i32, i32, i32, i32),)> =
                self.ask(node.path.as_str(), "org.a11y.atspi.Component", "GetExtents", &(0_u32,));
            let (now,) = now?;
            seen = if last == Some(now) { seen + 1 } else { 0 };
            last = Some(now);
            (seen >= RESTS && now.2 > 0 && now.3 > 0).then_some(now)
        });
        let Some((x, y, width, height)) = place else { panic!("{} is nowhere: {last:?}", node.name) };
        let (x, y) = ((x + width / 2).to_string(), (y + height / 2).to_string());
        self.desktop.xdotool(&["mousemove", &x, &y, "click", "1"]).expect("the pointer moves");
    }

    /// Presses what has this name.
    #[track_caller]
    pub fn press(&self, name: &str) {
        let still = [role::FIELD, role::LABEL, role::COLUMN_HEADER, role::CELL];
        let node = self.node(name, |node| node.name == name && !still.contains(&node.role));
        self.click(&node);
    }

    /// Presses keys together, such as `ctrl+k`.
    pub fn keys(&self, keys: &str) {
        self.desktop.xdotool(&["key", keys]).expect("keys are pressed");
    }

    /// Goes to a page by the palette.
    #[track_caller]
    pub fn go(&self, page: &str) {
        self.keys("ctrl+k");
        let field = self.node("the palette", |node| node.name == "Find anything" && node.role == role::FIELD);
        let focused = eventually(LIMIT, || self.is_focused(&field).then_some(()));
        assert!(focused.is_some(), "the palette does not get the keyboard");
        self.write(page);
        self.node(page, |node| node.name.ends_with(page) && node.role == role::LIST_ITEM);
        self.keys("Return");
        let closed = eventually(LIMIT, || {
            let nodes = self.nodes();
            (!nodes.is_empty() && !nodes.iter().any(|node| node.path == field.path)).then_some(())
        });
        assert!(closed.is_some(), "the palette stays open");
    }

    /// Types into the field with this name, in place of what is there.
    #[track_caller]
    pub fn fill(&self, name: &str, text: &str) {
        let is_field = |node: &Node| [role::FIELD, role::PASSWORD].contains(&node.role);
        let field = self.node(name, |node| node.name == name && is_field(node));
        // It may have moved away under the pointer; then it is pressed again.
        let has_keyboard = (0..10).any(|_| {
            self.click(&field);
            eventually(LIMIT / 20, || self.is_focused(&field).then_some(())).is_some()
        });
        assert!(has_keyboard, "{name} does not get the keyboard");
        self.keys("ctrl+a");
        self.write(text);
        if field.role == role::PASSWORD {
            return;
        }
        let mut value = None;
        let typed = eventually(LIMIT, || {
            value =
                self.ask::<String>(field.path.as_str(), "org.a11y.atspi.Text", "GetText", &(0_i32, -1_i32));
            (value.as_deref() == Some(text)).then_some(())
        });
        assert!(typed.is_some(), "{name} is {value:?} and not {text}");
    }

    fn is_focused(&self, field: &Node) -> bool {
        let node = self.nodes().into_iter().find(|node| node.path == field.path);
        node.is_some_and(|node| node.states.first().is_some_and(|states| states & (1 << FOCUSED) != 0))
    }

    fn write(&self, text: &str) {
        self.desktop.xdotool(&["type", "--delay", "4", text]).expect("keys are pressed");
    }

    /// Memory of the program that is in use, in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number");
        kib / 1_024
    }

    /// CPU time that the program has used, by the names of its threads.
    pub fn cpu(&self) -> Vec<(String, Duration)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("it runs");
        let threads = tasks.filter_map(|task| {
            let folder: PathBuf = task.ok()?.path();
            let name = fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
            let spent = fs::read_to_string(folder.join("schedstat")).ok()?;
            Some((name, Duration::from_nanos(spent.split(' ').next()?.parse().ok()?)))
        });
        threads.collect()
    }

    /// Asks the console what screen readers ask.
    fn ask<T: DeserializeOwned + Type>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl Serialize + DynamicType),
    ) -> Option<T> {
        let name = Some(self.application.as_str());
        let call = self.desktop.readers.call_method(name, path, Some(interface), method, arguments);
        self.desktop.runtime.block_on(call).ok()?.body().deserialize().ok()
    }
}
