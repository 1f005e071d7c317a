//! Definitions: everything that was declared, as one file; and what an import of another would change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

/// Kinds of definitions, in the order in which they depend on each other.
pub const KINDS: [&str; 10] = [
    "vhosts",
    "users",
    "permissions",
    "topic_permissions",
    "global_parameters",
    "parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
];

/// What an import would do with one definition.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is only in the file.
    Added,
    /// It is both here and there, and differs in these fields: name, here, in the file.
    Changed(Vec<(String, Json, Json)>),
    /// It differs like that, and an import leaves it: what was declared stays so until it is deleted.
    Kept(Vec<(String, Json, Json)>),
    /// It is the same.
    Same,
    /// It is only in the broker; an import leaves it.
    Here,
}

/// One definition, here or in the file or both.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub kind: &'static str,
    /// What names it: `orders`, `/ · amq.topic → orders.work (paid)`.
    pub name: String,
    pub vhost: String,
    pub change: Change,
    /// As it is in the file.
    item: Option<Json>,
}

impl Entry {
    /// True when an import can do something with it.
    pub fn can_be_imported(&self) -> bool {
        matches!(self.change, Change::Added | Change::Changed(_))
    }

    /// The fields in which it differs: name, here, in the file.
    pub fn differences(&self) -> &[(String, Json, Json)] {
        match &self.change {
            Change::Changed(fields) | Change::Kept(fields) => fields,
            Change::Added | Change::Same | Change::Here => &[],
        }
    }

    /// What it is, for looking it up among those that were chosen.
    pub fn key(&self) -> (&'static str, String) {
        (self.kind, format!("{}\n{}", self.vhost, self.name))
    }
}

/// What is the matter with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileProblem {
    /// It is not JSON; why not.
    NotJson(String),
    /// There is nothing in it that is a definition.
    NoDefinitions,
}

/// Reads a file of definitions.
pub fn read(text: &str) -> Result<Json, FileProblem> {
    let text = text.trim_start_matches('\u{feff}');
    let json: Json = serde_json::from_str(text).map_err(|error| FileProblem::NotJson(error.to_string()))?;
    if KINDS.iter().any(|kind| json.get(kind).is_some_and(Json::is_array)) {
        Ok(json)
    } else {
        Err(FileProblem::NoDefinitions)
    }
}

/// Compares what is here with a file. `vhost` is the one that a file of a single vhost is meant for.
pub fn diff(here: &Json, file: &Json, vhost: Option<&str>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for kind in KINDS {
        let (here, there) = (items(here, kind, vhost), items(file, kind, vhost));
        let names: BTreeSet<&(String, String)> = here.keys().chain(there.keys()).collect();
        for name in names {
            let (old, new) = (here.get(name), there.get(name));
            let change = match (old, new) {
                (None, Some(_)) => Change::Added,
                (Some(_), None) => Change::Here,
                (Some(old), Some(new)) => match differences(kind, old, new) {
                    fields if fields.is_empty() => Change::Same,
                    fields if matches!(kind, "exchanges" | "queues") => Change::Kept(fields),
                    fields => Change::Changed(fields),
                },
                (None, None) => continue,
            };
            let item = new.map(|item| Json::Object((*item).clone()));
            entries.push(Entry { kind, vhost: name.0.clone(), name: name.1.clone(), change, item });
        }
    }
    entries
}

/// A file with only those entries that were chosen.
pub fn chosen<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Json {
    let mut file: Map<String, Json> = Map::new();
    for entry in entries {
        let Some(item) = &entry.item else { continue };
        let list = file.entry(entry.kind).or_insert_with(|| Json::Array(Vec::new()));
        if let Json::Array(list) = list {
            list.push(item.clone());
        }
    }
    Json::Object(file)
}

/// What the chosen entries need that is neither here nor chosen: bindings without their queue, permissions without
/// their user.
pub fn missing(entries: &[Entry], is_chosen: impl Fn(&Entry) -> bool) -> Vec<(String, String)> {
    let there: BTreeSet<(&str, &str, &str)> = entries
        .iter()
        .filter(|entry| entry.change != Change::Added || is_chosen(entry))
        .map(|entry| (entry.kind, entry.vhost.as_str(), entry.name.as_str()))
        .collect();
    let mut missing = Vec::new();
    for entry in entries.iter().filter(|entry| entry.item.is_some() && is_chosen(entry)) {
        let text = |name: &str| entry.item.as_ref().and_then(|item| item.get(name)).and_then(Json::as_str);
        let mut need = |kind: &'static str, vhost: &str, name: &str| {
            let is_built_in = kind == "exchanges" && (name.is_empty() || name.starts_with("amq."));
            if !is_built_in && !there.contains(&(kind, vhost, name)) {
                missing.push((entry.name.clone(), name.to_owned()));
            }
        };
        let vhost = entry.vhost.as_str();
        if !vhost.is_empty() && entry.kind != "vhosts" {
            need("vhosts", "", vhost);
        }
        match entry.kind {
            "permissions" | "topic_permissions" => need("users", "", text("user").unwrap_or_default()),
            "bindings" => {
                need("exchanges", vhost, text("source").unwrap_or_default());
                let kind = if text("destination_type") == Some("exchange") { "exchanges" } else { "queues" };
                need(kind, vhost, text("destination").unwrap_or_default());
            }
            _ => {}
        }
    }
    missing
}

type Item = Map<String, Json>;

/// Definitions of one kind, by vhost and name.
fn items<'a>(definitions: &'a Json, kind: &str, vhost: Option<&str>) -> BTreeMap<(String, String), &'a Item> {
    let list = definitions.get(kind).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(Json::as_object)
        .filter_map(|item| Some((identity(kind, item, vhost)?, item)))
        .collect()
}

/// What makes a definition the same as another: its vhost and its name.
fn identity(kind: &str, item: &Item, vhost: Option<&str>) -> Option<(String, String)> {
    let text = |name: &str| item.get(name).and_then(Json::as_str);
    let vhost = text("vhost").or(vhost).unwrap_or_default().to_owned();
    let name = match kind {
        "vhosts" | "users" | "global_parameters" => return Some((String::new(), text("name")?.to_owned())),
        "permissions" => text("user")?.to_owned(),
        "topic_permissions" => format!("{} · {}", text("user")?, text("exchange")?),
        "parameters" => format!("{} · {}", text("component")?, text("name")?),
        "bindings" => {
            let source = text("source").filter(|source| !source.is_empty()).unwrap_or("(default)");
            let arguments = item.get("arguments").and_then(Json::as_object).filter(|table| !table.is_empty());
            let arguments =
                arguments.map(|table| format!(" {}", Json::Object(table.clone()))).unwrap_or_default();
            let key = text("routing_key").unwrap_or_default();
            format!("{source} → {} ({key}){arguments}", text("destination")?)
        }
        _ => text("name")?.to_owned(),
    };
    Some((vhost, name))
}

/// Fields in which two definitions differ. What is left out counts as empty, and what no import changes not at all.
fn differences(kind: &str, here: &Item, there: &Item) -> Vec<(String, Json, Json)> {
    let names: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut fields = Vec::new();
    for name in names {
        // The vhost is part of what names it, and a file of one vhost leaves it out.
        let is_read_only =
            matches!(name.as_str(), "vhost" | "metadata" | "user_who_performed_action" | "type_args");
        if is_read_only || (kind == "bindings" && name == "properties_key") {
            continue;
        }
        let (old, new) = (here.get(name).unwrap_or(&Json::Null), there.get(name).unwrap_or(&Json::Null));
        if old != new && !(is_empty(old) && is_empty(new)) && !same_tags(name, old, new) {
            fields.push((name.clone(), old.clone(), new.clone()));
        }
    }
    fields
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(true) | Json::Number(_) => false,
    }
}

/// Older files have tags as text with commas.
fn same_tags(name: &str, a: &Json, b: &Json) -> bool {
    let tags = |value: &Json| -> Vec<String> {
        let list: Vec<String> = match value {
            Json::String(text) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
            Json::Array(items) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        list.into_iter().filter(|tag| !tag.is_empty()).collect()
    };
    name == "tags" && tags(a) == tags(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn queue(name: &str, durable: bool) -> Json {
        json!({"name": name, "vhost": "/", "durable": durable, "auto_delete": false, "arguments": {}})
    }

    fn fields(entry: &Entry) -> String {
        entry.differences().iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>().join("+")
    }

    fn say(entries: &[Entry]) -> Vec<String> {
        let change = |entry: &Entry| match &entry.change {
            Change::Added => "added".to_owned(),
            Change::Changed(_) => fields(entry),
            Change::Kept(_) => format!("kept: {}", fields(entry)),
            Change::Same => "same".to_owned(),
            Change::Here => "here".to_owned(),
        };
        entries.iter().map(|entry| format!("{} {} {}", entry.kind, entry.name, change(entry))).collect()
    }

    #[test]
    fn a_file_is_compared_with_what_is_here() {
        let here = json!({"queues": [queue("a", true), queue("b", true), queue("c", true)]});
        let file = json!({"queues": [queue("a", true), queue("b", false), queue("d", true)]});
        assert_eq!(
            say(&diff(&here, &file, None)),
            ["queues a same", "queues b kept: durable", "queues c here", "queues d added"]
        );
    }

    #[test]
    fn policies_are_replaced_and_what_was_declared_is_kept() {
        let policy =
            |priority: u32| json!({"name": "p", "vhost": "/", "pattern": "^a", "priority": priority});
        let exchange = |kind: &str| json!({"name": "x", "vhost": "/", "type": kind});
        let here = json!({"policies": [policy(1)], "exchanges": [exchange("topic")]});
        let file = json!({"policies": [policy(2)], "exchanges": [exchange("fanout")]});
        let entries = diff(&here, &file, None);
        assert_eq!(say(&entries), ["policies p priority", "exchanges x kept: type"]);
        assert_eq!(entries.iter().map(Entry::can_be_imported).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn what_is_written_differently_and_means_the_same_is_the_same() {
        let here = json!({"users": [{"name": "u", "tags": ["administrator"], "limits": {}}], "queues": [queue("a", true)]});
        let file = json!({"users": [{"name": "u", "tags": "administrator"}], "queues": [{"name": "a", "vhost": "/", "durable": true}]});
        assert!(diff(&here, &file, None).iter().all(|entry| entry.change == Change::Same));
    }

    #[test]
    fn a_file_of_one_vhost_is_meant_for_the_one_that_is_chosen() {
        let here = json!({"queues": [queue("a", true)]});
        let file = json!({"queues": [{"name": "a", "durable": true}]});
        assert_eq!(say(&diff(&here, &file, Some("/"))), ["queues a same"]);
        assert_eq!(diff(&here, &file, Some("other")).len(), 2);
    }

    #[test]
    fn bindings_are_told_apart_by_their_arguments() {
        let binding = |arguments: Json| json!({"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "", "arguments": arguments});
        let here = json!({"bindings": [binding(json!({"a": 1}))]});
        let file = json!({"bindings": [binding(json!({"a": 1})), binding(json!({"a": 2}))]});
        let entries = diff(&here, &file, None);
        assert_eq!(entries.iter().filter(|entry| entry.change == Change::Added).count(), 1);
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn only_what_was_chosen_is_imported() {
        let file = json!({"queues": [queue("a", true), queue("b", true)], "vhosts": [{"name": "v"}]});
        let entries = diff(&json!({}), &file, None);
        let chosen = chosen(entries.iter().filter(|entry| entry.name == "b"));
        assert_eq!(chosen, json!({"queues": [queue("b", true)]}));
    }

    #[test]
    fn what_the_chosen_needs_and_does_not_have_is_told() {
        let here = json!({"vhosts": [{"name": "/"}], "queues": [queue("here", true)]});
        let file = json!({
            "queues": [queue("there", true)],
            "bindings": [
                {"source": "amq.topic", "vhost": "/", "destination": "there", "destination_type": "queue", "routing_key": "", "arguments": {}},
                {"source": "amq.topic", "vhost": "/", "destination": "here", "destination_type": "queue", "routing_key": "", "arguments": {}},
            ],
            "permissions": [{"user": "u", "vhost": "/", "configure": "", "write": "", "read": ""}],
        });
        let entries = diff(&here, &file, None);
        assert_eq!(missing(&entries, |entry| entry.kind == "bindings").len(), 1);
        assert_eq!(
            missing(&entries, |entry| entry.kind == "permissions"),
            [("u".to_owned(), "u".to_owned())]
        );
        assert_eq!(missing(&entries, |entry| entry.kind != "permissions"), []);
    }

    #[test]
    fn a_file_that_is_no_definitions_is_told_from_one_that_is_not_json() {
        assert!(matches!(read("{"), Err(FileProblem::NotJson(_))));
        assert_eq!(read("{}"), Err(FileProblem::NoDefinitions));
        assert_eq!(read("[1]"), Err(FileProblem::NoDefinitions));
        assert!(read("\u{feff}{\"queues\": []}").is_ok());
    }

    #[test]
    fn entries_that_make_no_sense_are_left_out() {
        assert_eq!(diff(&json!({"queues": 5}), &json!({"queues": [1, {}, {"vhost": "/"}]}), None), []);
    }
}
