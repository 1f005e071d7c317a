//! The file of settings, what is exported, and pictures of the screen.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use eframe::egui::ColorImage;
use leveret_admin_model::settings::Settings;

/// Where settings are kept: below `XDG_CONFIG_HOME`, `%APPDATA%` or `~/.config`.
pub fn settings_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder("XDG_CONFIG_HOME")
        .or_else(|| folder("APPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(base.join("leveret").join("admin.toml"))
}

/// Reads settings; what is wrong with them is said, and the defaults are taken.
pub fn load(file: Option<&Path>) -> (Settings, Option<String>) {
    let Some(file) = file else { return (Settings::default(), None) };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Settings::default(), None),
        Err(error) => return (Settings::default(), Some(format!("{}: {error}", file.display()))),
    };
    match Settings::parse(&text) {
        Ok(settings) => (settings, None),
        Err(reason) => (Settings::default(), Some(format!("{}: {reason}", file.display()))),
    }
}

/// Writes settings beside the file, then puts them in its place: whoever reads it finds all of it.
pub fn save(file: &Path, settings: &Settings) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("toml.new");
    let mut writer = fs::File::create(&beside)?;
    writer.write_all(settings.to_text().as_bytes())?;
    writer.sync_all()?;
    fs::rename(beside, file)
}

/// Writes a file where people look for what they downloaded; one of that name stays.
pub fn export(name: &str, contents: &[u8]) -> io::Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = folder("HOME").or_else(|| folder("USERPROFILE"));
    let downloads = folder("XDG_DOWNLOAD_DIR").or_else(|| home.as_ref().map(|home| home.join("Downloads")));
    let folder = downloads.filter(|folder| folder.is_dir()).or(home).unwrap_or_else(std::env::temp_dir);
    export_into(&folder, name, contents)
}

fn export_into(folder: &Path, name: &str, contents: &[u8]) -> io::Result<PathBuf> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "txt"));
    for number in 1..1_000 {
        let candidate =
            folder.join(if number == 1 { name.to_owned() } else { format!("{stem}-{number}.{ending}") });
        match fs::OpenOptions::new().write(true).create_new(true).open(&candidate) {
            Ok(mut file) => {
                file.write_all(contents)?;
                return Ok(candidate);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Writes a picture as PNG.
pub fn write_png(file: &Path, image: &ColorImage) -> io::Result<()> {
    let [width, height] = image.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut encoder = png::Encoder::new(BufWriter::new(fs::File::create(file)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(&pixels).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_leaves_the_one_before_it_alone() {
        let folder = std::env::temp_dir().join(format!("leveret-export-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("makes");
        let first = export_into(&folder, "dead.ndjson", b"1").expect("writes");
        let second = export_into(&folder, "dead.ndjson", b"2").expect("writes");
        assert!(second.ends_with("dead-2.ndjson"));
        assert_eq!((fs::read(first).ok(), fs::read(second).ok()), (Some(b"1".to_vec()), Some(b"2".to_vec())));
        fs::remove_dir_all(folder).expect("removes");
    }

    #[test]
    fn settings_are_read_back_and_a_broken_file_is_told_of() {
        let folder = std::env::temp_dir().join(format!("leveret-admin-{}", std::process::id()));
        let file = folder.join("admin.toml");
        assert_eq!(load(Some(&file)), (Settings::default(), None));
        let settings = Settings { zoom: 1.5, ..Settings::default() };
        save(&file, &settings).expect("writes");
        assert_eq!(load(Some(&file)), (settings, None));
        fs::write(&file, "version = 99").expect("writes");
        assert!(load(Some(&file)).1.is_some_and(|mistake| mistake.contains("admin.toml")));
        fs::remove_dir_all(folder).expect("removes");
    }
}
