//! What people and scripts get to see: tables, JSON, questions, progress.

use super::connect::Session;
use crate::exit::Failure;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use leveret_client::admin::types::operations::{Operation, OperationState};
use serde::Serialize;
use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

/// A column of a table: its heading, and what it shows of an item.
pub type Column<'a, T> = (&'a str, &'a dyn Fn(&T) -> String);

impl Session {
    /// Prints a list: a table, or a JSON array.
    pub fn list<T: Serialize>(&self, items: &[T], columns: &[Column<'_, T>]) -> anyhow::Result<()> {
        if self.json {
            return self.print_json(&items);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size() {
            table.set_width(width);
        }
        table.set_header(columns.iter().map(|(heading, _)| Cell::new(heading)));
        for item in items {
            table.add_row(columns.iter().map(|(_, show)| {
                let text = show(item);
                let is_number =
                    text.starts_with(|at: char| at.is_ascii_digit()) && !text.contains([':', '>']);
                let alignment = if is_number { CellAlignment::Right } else { CellAlignment::Left };
                Cell::new(text).set_alignment(alignment)
            }));
        }
        self.print(&table.to_string())
    }

    /// Prints one thing: its fields, or JSON.
    pub fn one<T: Serialize>(&self, item: &T) -> anyhow::Result<()> {
        if self.json {
            return self.print_json(item);
        }
        let mut lines = Vec::new();
        flatten("", &serde_json::to_value(item)?, &mut lines);
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = lines.iter().map(|(name, value)| format!("{name:width$}  {value}"));
        self.print(&lines.collect::<Vec<_>>().join("\n"))
    }

    pub fn print_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.print(&serde_json::to_string_pretty(value)?)
    }

    /// Prints lines to stdout. A reader that has enough is an error that ends the program in order.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        for line in text.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        out.flush()?;
        Ok(())
    }

    /// Asks before something that cannot be undone. Without a terminal to ask at, --yes is needed.
    pub fn confirm(&self, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::Usage(format!("{question} Say --yes to do it without being asked")).into());
        }
        eprint!("{question} [yes/no] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim() {
            "yes" | "y" => Ok(()),
            _ => Err(Failure::Usage("nothing was done".to_owned()).into()),
        }
    }

    /// Follows an operation to its end, with a bar when somebody watches.
    pub async fn follow(&self, operation: Operation) -> anyhow::Result<Operation> {
        let bar = ProgressBar::with_draw_target(Some(operation.total), ProgressDrawTarget::stderr());
        let style = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(format!("{:?} {}", operation.kind, operation.queue).to_lowercase());
        let mut operation = operation;
        let mut pause = Duration::from_millis(20);
        while operation.state == OperationState::Running {
            bar.set_length(operation.total.max(operation.seen));
            bar.set_position(operation.seen);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
            operation = self.client.operation(&operation.id).await?;
        }
        bar.finish_and_clear();
        Ok(operation)
    }
}

/// Fields of fields, with dots between.
fn flatten(name: &str, value: &serde_json::Value, lines: &mut Vec<(String, String)>) {
    use serde_json::Value;
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let inner = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&inner, value, lines);
            }
        }
        Value::String(text) => lines.push((name.to_owned(), text.clone())),
        Value::Null => {}
        other => lines.push((name.to_owned(), other.to_string())),
    }
}

/// A rate per second, short.
pub fn rate(per_second: f64) -> String {
    if per_second.abs() < 0.05 { "0".to_owned() } else { format!("{per_second:.1}") }
}

/// Bytes, short.
pub fn bytes(number: u64) -> String {
    let mut amount = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "B" { format!("{number} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

/// Arguments in one line.
pub fn arguments(arguments: &leveret_client::admin::types::Arguments) -> String {
    let shown = arguments.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The beginning of a text, in one line.
pub fn line(text: &str, characters: usize) -> String {
    let clean: String = text.chars().map(|at| if at.is_control() { ' ' } else { at }).collect();
    if clean.chars().count() <= characters {
        return clean;
    }
    clean.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

/// How long ago, or in how long.
pub fn age(at_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = (now.as_millis() as i128 - i128::from(at_ms)) / 1000;
    let (sign, seconds) = if seconds < 0 { ("in ", -seconds) } else { ("", seconds) };
    let text = match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!((rate(0.01), rate(12.345)), ("0".to_owned(), "12.3".to_owned()));
        assert_eq!((bytes(1023), bytes(1536)), ("1023 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!(line("a\nbcd", 4), "a b…");
        assert_eq!(line("订单", 4), "订单");
        assert!(age(0).ends_with(" d"));
    }

    #[test]
    fn fields_of_fields_are_lines() {
        let mut lines = Vec::new();
        flatten("", &serde_json::json!({"a": {"b": 1, "c": "x"}, "d": {}, "e": null}), &mut lines);
        let lines: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, ["a.b=1", "a.c=x", "d={}"]);
    }
}
