//! What is in a message, in the forms in which people look at it: text, a tree of JSON, bytes.

use std::collections::HashSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_protocol::admin::messages::QueuedMessage;
use serde_json::Value as Json;

/// A body, read once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    text: Option<String>,
    json: Option<Json>,
    /// Bytes of the whole body; more than there are here when it was cut off.
    pub whole: u64,
}

/// In which form a body is shown at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Text,
    Json,
    Hex,
}

/// Larger ones are shown as text only: nobody reads that much as a tree.
const JSON_MAX: usize = 4 << 20;

impl Payload {
    pub fn of(message: &QueuedMessage) -> Payload {
        Payload::read(&message.payload, &message.payload_encoding, message.payload_bytes)
    }

    /// A body as the admin API writes it; what claims to be base64 and is not is taken as text.
    pub fn read(payload: &str, encoding: &str, whole: u64) -> Payload {
        let bytes = match encoding {
            "base64" => STANDARD.decode(payload).unwrap_or_else(|_| payload.as_bytes().to_vec()),
            _ => payload.as_bytes().to_vec(),
        };
        let text = String::from_utf8(bytes.clone()).ok().filter(|text| is_readable(text));
        let json = text
            .as_ref()
            .filter(|text| text.len() <= JSON_MAX && text.trim_start().starts_with(['{', '[']))
            .and_then(|text| serde_json::from_str(text).ok());
        Payload { whole: whole.max(bytes.len() as u64), bytes, text, json }
    }

    pub fn is_cut(&self) -> bool {
        self.whole > self.bytes.len() as u64
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub fn json(&self) -> Option<&Json> {
        self.json.as_ref()
    }

    /// The form that tells most.
    pub fn best_form(&self) -> Form {
        match (&self.json, &self.text) {
            (Some(_), _) => Form::Json,
            (None, Some(_)) => Form::Text,
            (None, None) => Form::Hex,
        }
    }

    /// One line of it, for a table.
    pub fn first_line(&self, length_max: usize) -> String {
        match &self.text {
            Some(text) => one_line(text, length_max),
            None => {
                let mut line = String::new();
                for byte in self.bytes.iter().take(length_max / 3) {
                    let _ = write!(line, "{byte:02x} ");
                }
                line.trim_end().to_owned()
            }
        }
    }

    /// Lines of sixteen bytes.
    pub fn hex_lines(&self) -> usize {
        self.bytes.len().div_ceil(16)
    }

    /// `00000010  7b 22 …  {"…`: one line of sixteen bytes.
    pub fn hex_line(&self, line: usize) -> String {
        let start = (line * 16).min(self.bytes.len());
        let bytes = &self.bytes[start..(start + 16).min(self.bytes.len())];
        let mut text = format!("{start:08x} ");
        for at in 0..16 {
            if at % 8 == 0 {
                text.push(' ');
            }
            match bytes.get(at) {
                Some(byte) => {
                    let _ = write!(text, "{byte:02x} ");
                }
                None => text.push_str("   "),
            }
        }
        text.push(' ');
        text.extend(bytes.iter().map(|byte| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => '.',
        }));
        text
    }
}

/// Text without the characters that only files of another kind have.
fn is_readable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}'))
}

/// Text in one line, cut off where it gets too long.
pub fn one_line(text: &str, length_max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut was_space = true;
    for c in text.chars() {
        let c = if c.is_whitespace() || c.is_control() { ' ' } else { c };
        if c == ' ' && was_space {
            continue;
        }
        if length == length_max {
            line.push('…');
            break;
        }
        was_space = c == ' ';
        length += 1;
        line.push(c);
    }
    line.trim_end().to_owned()
}

/// A row of a tree of JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeRow {
    pub depth: usize,
    /// The name of the field, or the number of the item.
    pub name: String,
    pub value: TreeValue,
    /// Where it is: `/orders/0/total`, as a JSON pointer.
    pub path: String,
}

/// What stands in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum TreeValue {
    Text(String),
    Number(String),
    Bool(bool),
    Null,
    /// With so many fields.
    Object {
        fields: usize,
        open: bool,
    },
    /// With so many items.
    Array {
        items: usize,
        open: bool,
    },
    /// More items than are shown.
    More(usize),
}

/// Items shown of one array or object.
const CHILDREN_MAX: usize = 500;
/// Rows shown of a tree.
const ROWS_MAX: usize = 5_000;
/// Depth up to which a tree is open at first.
const OPEN_DEPTH: usize = 2;

/// The rows of a tree. `toggled` holds the paths of those that are not as they are at first.
pub fn tree(json: &Json, toggled: &HashSet<String>) -> Vec<TreeRow> {
    let mut rows = Vec::new();
    match json {
        Json::Object(_) | Json::Array(_) => add_children(&mut rows, json, 0, "", toggled),
        other => add(&mut rows, String::new(), other, 0, String::new(), toggled),
    }
    rows
}

fn add(
    rows: &mut Vec<TreeRow>,
    name: String,
    json: &Json,
    depth: usize,
    path: String,
    toggled: &HashSet<String>,
) {
    let open = (depth < OPEN_DEPTH) != toggled.contains(&path);
    let value = match json {
        Json::Null => TreeValue::Null,
        Json::Bool(value) => TreeValue::Bool(*value),
        Json::Number(number) => TreeValue::Number(number.to_string()),
        Json::String(text) => TreeValue::Text(text.clone()),
        Json::Array(items) => TreeValue::Array { items: items.len(), open },
        Json::Object(fields) => TreeValue::Object { fields: fields.len(), open },
    };
    let goes_on = matches!(value, TreeValue::Array { open: true, .. } | TreeValue::Object { open: true, .. });
    rows.push(TreeRow { depth, name, value, path: path.clone() });
    if goes_on {
        add_children(rows, json, depth + 1, &path, toggled);
    }
}

fn add_children(rows: &mut Vec<TreeRow>, json: &Json, depth: usize, path: &str, toggled: &HashSet<String>) {
    let children: Vec<(String, &Json)> = match json {
        Json::Object(fields) => {
            fields.iter().take(CHILDREN_MAX).map(|(name, value)| (name.clone(), value)).collect()
        }
        Json::Array(items) => {
            items.iter().take(CHILDREN_MAX).enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    let all = json.as_object().map_or_else(|| json.as_array().map_or(0, Vec::len), serde_json::Map::len);
    let shown = children.len();
    for (name, value) in children {
        if rows.len() >= ROWS_MAX {
            return;
        }
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        add(rows, name, value, depth, path, toggled);
    }
    if all > shown {
        let path = format!("{path}/…");
        rows.push(TreeRow { depth, name: String::new(), value: TreeValue::More(all - shown), path });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn text(text: &str) -> Payload {
        Payload::read(text, "string", 0)
    }

    #[test]
    fn a_body_is_shown_in_the_form_that_tells_most() {
        let check = |payload: &Payload, form| assert_eq!(payload.best_form(), form, "{payload:?}");
        check(&text(r#"{"a": 1}"#), Form::Json);
        check(&text(" [1, 2]"), Form::Json);
        check(&text("{ not json"), Form::Text);
        check(&text("42"), Form::Text);
        check(&text("héllo 订单\n"), Form::Text);
        check(&Payload::read("AAEC/w==", "base64", 4), Form::Hex);
        check(&text("\0\u{1}"), Form::Hex);
        check(&text(""), Form::Text);
    }

    #[test]
    fn what_claims_to_be_base64_and_is_not_is_text() {
        assert_eq!(Payload::read("not base64!", "base64", 0).text(), Some("not base64!"));
    }

    #[test]
    fn a_body_that_was_cut_off_says_so() {
        assert!(Payload::read("abc", "string", 100).is_cut());
        assert!(!text("abc").is_cut());
    }

    #[test]
    fn one_line_has_no_breaks_and_an_end() {
        assert_eq!(one_line("  a\n\n b\tc ", 10), "a b c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(Payload::read("AAEC/w==", "base64", 4).first_line(9), "00 01 02");
    }

    #[test]
    fn bytes_stand_beside_their_characters() {
        let payload = Payload::read("eyJhIjoxfQD/", "base64", 9);
        assert_eq!(payload.hex_lines(), 1);
        let line = payload.hex_line(0);
        assert!(line.starts_with("00000000  7b 22 61 22 3a 31 7d 00  ff"), "{line}");
        assert!(line.ends_with("{\"a\":1}.."), "{line}");
        assert_eq!(text("").hex_lines(), 0);
        assert_eq!(text("").hex_line(7).trim_end(), "00000000");
    }

    fn shape(rows: &[TreeRow]) -> Vec<String> {
        rows.iter().map(|row| format!("{}{}", "-".repeat(row.depth), row.name)).collect()
    }

    #[test]
    fn a_tree_is_open_at_first_and_closes_where_it_was_toggled() {
        let json = json!({"a": {"b": {"c": {"d": 1}}}, "e": [1, "x"]});
        let rows = tree(&json, &HashSet::new());
        assert_eq!(shape(&rows), ["a", "-b", "--c", "e", "-0", "-1"]);
        let toggled = HashSet::from(["/a".to_owned(), "/a/b/c".to_owned()]);
        assert_eq!(shape(&tree(&json, &toggled)), ["a", "e", "-0", "-1"]);
        let toggled = HashSet::from(["/a/b/c".to_owned()]);
        assert_eq!(shape(&tree(&json, &toggled)), ["a", "-b", "--c", "---d", "e", "-0", "-1"]);
    }

    #[test]
    fn names_with_slashes_have_paths_of_their_own() {
        let rows = tree(&json!({"a/b": 1, "a": {"b": 2}}), &HashSet::new());
        let paths: HashSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(paths.len(), 3);
    }

    #[test]
    fn a_huge_array_is_not_shown_whole() {
        let items: Vec<u32> = (0..100_000).collect();
        let rows = tree(&json!({ "items": items }), &HashSet::new());
        assert_eq!(rows.len(), 1 + CHILDREN_MAX + 1);
        assert_eq!(rows.last().map(|row| row.value.clone()), Some(TreeValue::More(100_000 - CHILDREN_MAX)));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_shown(bytes in prop::collection::vec(any::<u8>(), 0..100), line in 0_usize..20) {
            let payload = Payload::read(&STANDARD.encode(&bytes), "base64", 0);
            prop_assert_eq!(payload.bytes(), bytes);
            payload.hex_line(line);
            payload.first_line(20);
        }
    }
}
