//! Makes functions of the Rust examples in the guides, for `tests/guides.rs` to run.
//!
//! An example is the inside of a function that has a `connection` and a `channel`, and everything of lapin in scope.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    // As it is now, not when this was compiled: another checkout may have used the same target directory.
    let docs =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../assets/docs");
    println!("cargo::rerun-if-changed={}", docs.display());
    println!("cargo::rerun-if-changed=build.rs");
    let entries = fs::read_dir(&docs).unwrap_or_else(|error| panic!("{}: {error}", docs.display()));
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder").path()).collect();
    pages.sort();
    let (mut code, mut list) = (String::new(), String::new());
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let name = page.file_stem().expect("a file").to_string_lossy();
        let module = name.replace('-', "_");
        let examples = examples(&text);
        let _ = writeln!(code, "mod {module} {{\n    use super::scope::*;");
        let mut calls = String::new();
        for (number, (line, example)) in examples.iter().enumerate() {
            let _ = writeln!(
                code,
                "    // {name}.md, line {line}.\n    pub async fn example_{number}(connection: &Connection, \
                 channel: &Channel, admin_url: &str) -> Result<()> {{\n{example}        Ok(())\n    }}"
            );
            let is_endless = example.contains("consumer.next()");
            let _ = write!(
                calls,
                "\n        Example {{ line: {line}, is_endless: {is_endless}, run: |connection, channel, admin_url| \
                 Box::pin({module}::example_{number}(connection, channel, admin_url)) }},"
            );
        }
        code.push_str("}\n");
        let _ = writeln!(list, "    Page {{ name: \"{name}\", examples: &[{calls}] }},");
    }
    let _ = writeln!(code, "pub const ALL: &[Page] = &[\n{list}];");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("guides.rs");
    fs::write(&out, code).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

/// The Rust examples of a page, each with the number of its first line.
fn examples(page: &str) -> Vec<(usize, String)> {
    let mut examples = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```rust" {
            let body = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let body: String = body.map(|line| format!("        {line}\n")).collect();
            // The broker of a test is not where brokers are by default.
            let here = ["localhost", "127.0.0.1"].map(|host| format!("\"http://{host}:15672\""));
            examples.push((number + 2, here.iter().fold(body, |body, url| body.replace(url, "admin_url"))));
        }
    }
    examples
}
