//! The fonts that come along, so that a bare machine shows every name of a queue.

use std::sync::Arc;

use eframe::egui::{FontData, FontDefinitions, FontFamily};

/// Latin, Greek and Cyrillic with digits of one width, the same for code, Chinese and Japanese, icons.
pub fn definitions() -> FontDefinitions {
    let mut fonts = FontDefinitions::empty();
    let files: [(&str, &'static [u8]); 5] = [
        ("sans", include_bytes!("../../../assets/fonts/sans.otf")),
        ("strong", include_bytes!("../../../assets/fonts/sans-strong.otf")),
        ("mono", include_bytes!("../../../assets/fonts/mono.ttf")),
        ("cjk", include_bytes!("../../../assets/fonts/cjk.otf")),
        ("icons", include_bytes!("../../../assets/fonts/icons.ttf")),
    ];
    for (name, bytes) in files {
        let mut data = FontData::from_static(bytes);
        if name == "icons" {
            // Icons stand on the line; beside text they have to stand in its middle.
            data.tweak.y_offset_factor = 0.08;
        }
        fonts.font_data.insert(name.to_owned(), Arc::new(data));
    }
    let family = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    fonts.families.insert(FontFamily::Proportional, family(&["sans", "icons", "cjk"]));
    fonts.families.insert(FontFamily::Monospace, family(&["mono", "sans", "icons", "cjk"]));
    fonts.families.insert(FontFamily::Name("strong".into()), family(&["strong", "icons", "cjk"]));
    fonts.families.insert(FontFamily::Name("icons".into()), family(&["icons", "sans"]));
    fonts
}
