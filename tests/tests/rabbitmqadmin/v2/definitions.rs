//! Exports and imports.

use std::path::Path;

use serde_json::Value;

use super::Admin;

/// What RabbitMQ 3.10 exported.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/rabbitmq-3.10-definitions.json");

fn read(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).expect("written");
    serde_json::from_str(&text).expect("JSON")
}

fn count(definitions: &Value, what: &str) -> usize {
    definitions[what].as_array().unwrap_or_else(|| panic!("no {what}: {definitions}")).len()
}

#[test]
fn definitions_go_in_and_come_out() {
    let admin = Admin::start();
    admin.run(&format!("definitions import --file {FIXTURE}"));
    let file = admin.home.path().join("whole.json");
    admin.run(&format!("definitions export --file {}", file.display()));
    let whole = read(&file);
    let fixture = read(Path::new(FIXTURE));
    for what in ["users", "vhosts", "permissions", "queues", "exchanges", "bindings", "policies"] {
        assert_eq!(count(&whole, what), count(&fixture, what), "{what}");
    }
    assert_eq!(admin.definitions("definitions export --stdout"), whole);
    assert_eq!(admin.definitions("export definitions"), whole);

    // The other way round, into an empty broker.
    let other = Admin::start();
    other.run(&format!("import definitions --file {}", file.display()));
    let again = other.definitions("definitions export");
    for what in ["users", "queues", "exchanges", "bindings", "policies"] {
        assert_eq!(again[what], whole[what], "{what}");
    }
    let text = std::fs::read_to_string(&file).expect("written");
    let outcome = other.outcome_with("definitions import --stdin", &text);
    assert_eq!(outcome.code, Some(0), "{}", outcome.error);
    assert!(other.refused("definitions import --file /none.json").contains("does not exist"));
}

#[test]
fn a_vhost_is_exported_and_imported_alone() {
    let admin = Admin::start();
    admin.run(&format!("definitions import --file {FIXTURE}"));
    let file = admin.home.path().join("eu.json");
    admin.run(&format!("--vhost eu definitions export_from_vhost --file {}", file.display()));
    let eu = read(&file);
    assert_eq!(count(&eu, "queues"), 3);
    admin.run("vhosts declare --name us");
    admin.run(&format!("--vhost us definitions import_into_vhost --file {}", file.display()));
    let us = admin.definitions("--vhost us definitions export_from_vhost");
    for what in ["queues", "exchanges", "bindings"] {
        assert_eq!(us[what], eu[what], "{what}");
    }
    assert_eq!(us["policies"][0]["name"], eu["policies"][0]["name"]);
}

#[test]
fn definitions_are_transformed_on_their_way_out() {
    let admin = Admin::start();
    admin.run(&format!("definitions import --file {FIXTURE}"));
    let without = admin.definitions("definitions export --transformations exclude_users,exclude_policies");
    assert_eq!((count(&without, "users"), count(&without, "policies")), (0, 0));
    assert!(count(&without, "queues") > 0);
    let migrated =
        admin.definitions("export definitions -t prepare_for_quorum_queue_migration,drop_empty_policies");
    let other = Admin::start();
    let file = other.home.path().join("migrated.json");
    std::fs::write(&file, migrated.to_string()).expect("written");
    // The program writes vhosts under another name than it reads, and than RabbitMQ does.
    for vhost in admin.names("vhosts list").iter().filter(|name| *name != "/") {
        other.run(&format!("vhosts declare --name {vhost}"));
    }
    other.run(&format!("definitions import --file {}", file.display()));
    assert_eq!(other.names("users list"), admin.names("users list"));
    let eu = admin.definitions("-V eu definitions export_from_vhost -t prepare_for_quorum_queue_migration");
    assert_eq!(count(&eu, "queues"), 3);
}
