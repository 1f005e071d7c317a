//! What each screen looks like, in the dark and in the light, and the main ones otherwise: against the pictures in `tests/pictures`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p leveret-admin --test pictures` draws them anew; what changed is then seen in the
//! difference of the commit. A test that fails leaves what it saw and what differs below the target directory.

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use leveret_admin_model::settings::{Language, Look, Settings};

use support::Console;
use support::places::{Place, places};
use support::raster::Picture;

/// Pictures are the same byte for byte where they were made. The mathematics library of another system may place the
/// corner of a curve elsewhere, which shows in a few pixels at its edge.
const TOLERANCE: u8 = 12;
const PIXELS_MAX: usize = 60;

/// How pictures are taken.
struct Shot {
    /// Ends the names of its pictures.
    name: &'static str,
    look: Look,
    language: Language,
    /// In pixels.
    size: [f32; 2],
    /// Pixels to a point.
    scale: f32,
    of: fn(&Place) -> bool,
}

const DARK: Shot = Shot {
    name: "dark",
    look: Look::Dark,
    language: Language::English,
    size: [1200.0, 760.0],
    scale: 1.0,
    of: |_| true,
};
/// Tabs are of the same colours as what is before them.
const LIGHT: Shot = Shot { name: "light", look: Look::Light, of: |place| place.press.is_empty(), ..DARK };
const CONTRAST: Shot = Shot { name: "contrast", look: Look::HighContrast, of: is_main, ..DARK };
const CHINESE: Shot = Shot { name: "zh-CN", language: Language::Chinese, of: is_main, ..DARK };
/// A small screen, enlarged.
const LARGE: Shot = Shot { name: "1.5x", size: [1280.0, 800.0], scale: 1.5, of: is_main, ..DARK };
const SHOTS: [&Shot; 5] = [&DARK, &LIGHT, &CONTRAST, &CHINESE, &LARGE];

/// Screens that between them have all there is: tiles, charts, tables, a drawing, messages.
fn is_main(place: &Place) -> bool {
    ["overview", "queues", "flow", "dead-letters"].contains(&place.name)
}

#[test]
fn every_screen_looks_in_the_dark_as_it_did() {
    compare_all(&DARK);
}

#[test]
fn every_screen_looks_in_the_light_as_it_did() {
    compare_all(&LIGHT);
}

#[test]
fn main_screens_look_in_high_contrast_as_they_did() {
    compare_all(&CONTRAST);
}

#[test]
fn main_screens_look_in_chinese_as_they_did() {
    compare_all(&CHINESE);
}

#[test]
fn main_screens_look_enlarged_as_they_did() {
    compare_all(&LARGE);
}

#[test]
fn every_picture_is_of_a_screen() {
    let known: Vec<PathBuf> = SHOTS
        .into_iter()
        .flat_map(|shot| places().into_iter().filter(shot.of).map(|place| file(&kept(), &place, shot)))
        .collect();
    for entry in std::fs::read_dir(kept()).expect("pictures are kept") {
        let found = entry.expect("it can be read").path();
        assert!(known.contains(&found), "{} is of no screen any more", found.display());
    }
}

/// Screens are drawn on as many threads as there are cores.
fn compare_all(shot: &Shot) {
    let places: Vec<Place> = places().into_iter().filter(shot.of).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let differences: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(compare(place, shot).err());
            }
            found
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}

fn compare(place: &Place, shot: &Shot) -> Result<(), String> {
    let Shot { look, language, .. } = *shot;
    let settings = Settings { look, language, reduce_motion: true, ..Settings::default() };
    let mut console = Console::sized(settings, true, shot.size);
    console.harness.set_pixels_per_point(shot.scale);
    console.visit(place);
    let seen = console.picture();
    let file = file(&kept(), place, shot);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        // What is the same within the tolerance stays as it is, and out of the commit.
        let is_like = |kept: &Picture| {
            (kept.width, kept.height) == (seen.width, seen.height)
                && seen.compare(kept, TOLERANCE).0 <= PIXELS_MAX
        };
        if Picture::read(&file).is_ok_and(|kept| is_like(&kept)) {
            return Ok(());
        }
        return seen.write(&file).map_err(|error| format!("{}: {error}", file.display()));
    }
    let kept = Picture::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (count, difference) = seen.compare(&kept, TOLERANCE);
    if count <= PIXELS_MAX {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    let saved = self::file(&folder, place, shot);
    let beside = saved.with_extension("difference.png");
    seen.write(&saved).and_then(|()| difference.write(&beside)).map_err(|error| error.to_string())?;
    Err(format!("{} differs in {count} pixels: see {} and {}", place.name, saved.display(), beside.display()))
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures")
}

fn file(folder: &Path, place: &Place, shot: &Shot) -> PathBuf {
    folder.join(format!("{}.{}.png", place.name, shot.name))
}
