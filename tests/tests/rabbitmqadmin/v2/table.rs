//! Tables as the program prints them, read again.

use std::collections::BTreeMap;

/// The cells of a row by column.
pub type Row = BTreeMap<String, String>;

/// The rows below the head, of the style `ascii`: a cell may have several lines, and a line is drawn between any two rows.
pub fn rows(text: &str) -> Vec<Row> {
    let mut records = records(text).into_iter();
    let head = records.next().unwrap_or_default();
    records.map(|record| head.iter().cloned().zip(record).collect()).collect()
}

/// A table of keys and values.
pub fn pairs(text: &str) -> Row {
    let records = records(text).into_iter();
    records
        .filter_map(|record| <[String; 2]>::try_from(record).ok())
        .map(|[key, value]| (key, value))
        .collect()
}

fn records(text: &str) -> Vec<Vec<String>> {
    let mut records: Vec<Vec<String>> = Vec::new();
    let mut is_between = true;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix('|') else {
            is_between = true;
            continue;
        };
        let cells = cells.trim_end_matches('|').split('|').map(str::trim);
        match records.last_mut() {
            Some(record) if !is_between => {
                for (cell, more) in record.iter_mut().zip(cells) {
                    cell.push_str(more);
                }
            }
            _ => records.push(cells.map(str::to_owned).collect()),
        }
        is_between = false;
    }
    records
}

#[test]
fn rows_are_read_from_what_is_drawn() {
    let text = "+------+---------+\n| name | args    |\n+------+---------+\n| a    | { \"x\":  |\n|      | 1 }     |\n\
                +------+---------+\n| b    |         |\n+------+---------+\n";
    let rows = rows(text);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0]["name"].as_str(), rows[0]["args"].as_str()), ("a", "{ \"x\":1 }"));
    assert_eq!((rows[1]["name"].as_str(), rows[1]["args"].as_str()), ("b", ""));
}
