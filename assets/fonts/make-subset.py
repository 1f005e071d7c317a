#!/usr/bin/env python3
"""Makes the fonts of the console from those of Debian and the icons of Lucide.

    apt-get install fonts-inter fonts-jetbrains-mono fonts-noto-cjk
    pip install fonttools
    npm pack lucide-static@1.62.0 && tar xzf lucide-static-1.62.0.tgz
    ./make-subset.py package

Writes, beside itself:

    sans.otf sans-strong.otf   Inter: Latin, Greek, Cyrillic; digits of one width, so that columns of numbers align
    mono.ttf                   JetBrains Mono: the same characters
    cjk.otf                    Noto Sans CJK SC: the characters of GB 2312, kana and full-width forms
    icons.ttf                  Lucide: the icons listed below
    ../../admin-gui/src/theme/icons.rs    the characters of those icons

The licences allow this when the names change; they are in LICENSE.txt beside the fonts.
"""

import json
import pathlib
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

HERE = pathlib.Path(__file__).resolve().parent
DEBIAN = pathlib.Path("/usr/share/fonts")

TEXT = [
    (0x20, 0x7E),  # Latin
    (0xA0, 0x17F),
    (0x2B0, 0x2FF),  # accents that stand alone
    (0x386, 0x3CE),  # Greek
    (0x400, 0x45F),  # Cyrillic
    (0x490, 0x491),
    (0x2010, 0x2027),  # dashes, quotes, ellipsis
    (0x2030, 0x203A),
    (0x20AC, 0x20AC),
    (0x2122, 0x2122),
    (0x2190, 0x2199),  # arrows
    (0x2200, 0x2265),  # mathematics
    (0x25A0, 0x25CF),  # geometric shapes
    (0x2713, 0x2717),
]

ICONS = """
activity archive arrow-down arrow-left arrow-right arrow-up arrow-up-down bell bell-off binary book-open boxes
bookmark cable calendar-clock check check-check chevron-down chevron-left chevron-right chevron-up circle circle-alert
circle-check circle-dot circle-help circle-x clipboard clock cloud-off columns-3 command copy cpu database download
ellipsis eraser external-link eye eye-off file-diff file-text filter flame flask-conical folder-open gauge git-branch
git-fork globe hard-drive hash history hourglass inbox info key keyboard languages layers layout-dashboard link list
list-filter list-tree loader-circle lock lock-open log-in log-out mail mail-open mail-x map maximize memory-stick menu
message-square minus monitor moon mouse-pointer-click move network palette panel-left pause pencil play plug plug-zap
plus power radio refresh-cw repeat rotate-ccw route save scroll-text search send server server-off settings shield
shield-alert shield-check shuffle skull sliders-horizontal sparkles split square square-check star sun table tag
target terminal timer trash-2 trending-down trending-up triangle-alert undo-2 unlink unplug upload user users
waypoints wifi-off wrench x zap zoom-in zoom-out
""".split()


def subset_font(source, target, family, unicodes, number=0, tabular=False):
    font = TTFont(source, fontNumber=number, recalcTimestamp=False)
    if tabular:
        use_tabular_digits(font)
    options = subset.Options()
    options.layout_features = ["kern", "mark", "mkmk", "ccmp", "locl"] if tabular else []
    options.hinting = False
    options.desubroutinize = True
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["FFTM", "DSIG", "STAT", "vhea", "vmtx", "VORG", "BASE"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=unicodes)
    subsetter.subset(font)
    rename(font, family)
    font.save(target)
    print(f"{target.name}: {target.stat().st_size / 1024:.0f} KiB, {len(font.getBestCmap())} characters")


def use_tabular_digits(font):
    """Lets the characters 0 to 9 show the digits of the font's `tnum` feature."""
    table = font["GSUB"].table
    lookups = {
        index
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "tnum"
        for index in record.Feature.LookupListIndex
    }
    replaced = {}
    for index in lookups:
        for part in table.LookupList.Lookup[index].SubTable:
            part = getattr(part, "ExtSubTable", part)
            replaced.update(getattr(part, "mapping", {}))
    for cmap in font["cmap"].tables:
        if cmap.isUnicode():
            for character in map(ord, "0123456789.,:+-"):
                glyph = cmap.cmap.get(character)
                if glyph in replaced and chr(character).isdigit():
                    cmap.cmap[character] = replaced[glyph]


def rename(font, family):
    for record in font["name"].names:
        text = {1: family, 3: family, 4: family, 6: family.replace(" ", "")}.get(record.nameID)
        if text:
            record.string = text
    if "CFF " in font:
        cff = font["CFF "].cff
        cff.fontNames[0] = family.replace(" ", "")
        top = cff.topDictIndex[0]
        for field in ("FullName", "FamilyName"):
            if hasattr(top, field):
                setattr(top, field, family)


def gb2312():
    """All characters of GB 2312."""
    characters = set()
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                characters.add(ord(bytes([high, low]).decode("gb2312")))
            except UnicodeDecodeError:
                pass
    return characters


def expand(ranges):
    return {code for first, last in ranges for code in range(first, last + 1)}


def icons(package):
    known = json.loads((package / "font/info.json").read_text())
    missing = [name for name in ICONS if name not in known]
    if missing:
        sys.exit(f"Lucide has no icons called {', '.join(missing)}")
    codes = {name: int(known[name]["encodedCode"].lstrip("\\"), 16) for name in ICONS}
    subset_font(package / "font/lucide.ttf", HERE / "icons.ttf", "Leveret Icons", set(codes.values()))
    lines = [
        "//! Icons: characters of `assets/fonts/icons.ttf`, written by `assets/fonts/make-subset.py`.",
        "",
        "#![allow(dead_code, reason = \"the font has more than are shown today\")]",
        "",
    ]
    for name in sorted(codes):
        constant = name.upper().replace("-", "_")
        lines.append(f'pub const {constant}: &str = "\\u{{{codes[name]:x}}}";')
    target = HERE / "../../admin-gui/src/theme/icons.rs"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


def main():
    package = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "package")
    text = expand(TEXT)
    inter = DEBIAN / "opentype/inter"
    subset_font(inter / "Inter-Regular.otf", HERE / "sans.otf", "Leveret Sans", text, tabular=True)
    subset_font(inter / "Inter-SemiBold.otf", HERE / "sans-strong.otf", "Leveret Sans Strong", text, tabular=True)
    mono = DEBIAN / "truetype/jetbrains-mono/JetBrainsMono-Regular.ttf"
    subset_font(mono, HERE / "mono.ttf", "Leveret Mono", text)
    cjk = DEBIAN / "opentype/noto/NotoSansCJK-Regular.ttc"
    wanted = (gb2312() | expand([(0x3000, 0x30FF), (0xFF00, 0xFFEF)])) - text
    subset_font(cjk, HERE / "cjk.otf", "Leveret CJK", wanted, number=2)
    icons(package)


if __name__ == "__main__":
    main()
