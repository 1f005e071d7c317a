//! The system's own dialogs for files, where there are any: a desktop has them, a bare display does not.

use std::path::{Path, PathBuf};

use rfd::AsyncFileDialog;

/// A dialog that is about to be opened.
pub struct Dialog(AsyncFileDialog);

impl Dialog {
    /// `None` where none could be opened.
    pub fn new(title: &str) -> Option<Dialog> {
        are_there().then(|| Dialog(AsyncFileDialog::new().set_title(title)))
    }

    /// Asks for a file to read. Blocks until somebody has chosen; `None` when nobody does.
    pub fn open(self, kind: (&str, &[&str])) -> Option<PathBuf> {
        let chosen = self.0.add_filter(kind.0, kind.1).pick_file();
        block_on(chosen).map(|file| file.path().to_owned())
    }

    /// Asks where to write a file. Blocks until somebody has chosen; `None` when nobody does.
    pub fn save(self, name: &str) -> Option<PathBuf> {
        block_on(self.0.set_file_name(name).save_file()).map(|file| file.path().to_owned())
    }
}

fn block_on<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::runtime::Builder::new_current_thread().build().ok()?.block_on(future)
}

/// True when the desktop offers dialogs: by its portal, or by zenity.
fn are_there() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let has_bus = variable("DBUS_SESSION_BUS_ADDRESS").is_some()
        || variable("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).join("bus").exists());
    let folders = variable("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".to_owned());
    let has_portal = folders.split(':').any(|folder| Path::new(folder).join(PORTAL).exists());
    let programs = variable("PATH").unwrap_or_default();
    let has_zenity = programs.split(':').any(|folder| Path::new(folder).join("zenity").exists());
    (has_bus && has_portal) || has_zenity
}

/// How the bus finds the portal.
const PORTAL: &str = "dbus-1/services/org.freedesktop.portal.Desktop.service";
