//! Policies and operator policies.

use serde_json::{Value, json};

use super::Admin;

/// The definition of a policy in the vhost `/`.
fn definition(admin: &Admin, name: &str) -> Value {
    admin.api(&format!("/policies/%2F/{name}"))["definition"].clone()
}

fn operator_definition(admin: &Admin, name: &str) -> Value {
    admin.api(&format!("/operator-policies/%2F/{name}"))["definition"].clone()
}

#[test]
fn policies_come_and_go() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    let limit = r#"--definition {"max-length":5}"#;
    admin.run(&format!("declare policy --name p --pattern ^q --apply-to queues --priority 1 {limit}"));
    admin.run(&format!(
        "policies declare --name r --pattern ^q --apply-to classic_queues --priority 1 {limit}"
    ));
    admin.run(r#"policies declare --name x --pattern ^x --apply-to exchanges --definition {"alternate-exchange":"y"}"#);
    admin.run(&format!("-V eu policies declare --name e --pattern .* --apply-to all {limit}"));
    for list in ["list policies", "policies list"] {
        assert_eq!(admin.names(list), ["e", "p", "r", "x"]);
    }
    assert_eq!(admin.names("policies list_in"), ["p", "r", "x"]);
    assert_eq!(admin.names("-V eu policies list_in"), ["e"]);
    assert_eq!(admin.names("policies list_in --apply-to exchanges"), ["x"]);
    assert_eq!(admin.names("policies list_conflicting"), ["p", "r"]);
    assert_eq!(admin.names("policies list_conflicting_in"), ["p", "r"]);
    assert!(admin.rows("-V eu policies list_conflicting_in").is_empty());
    assert_eq!(admin.names("policies list_matching_object --name q1 --type queues"), ["p"]);
    assert_eq!(admin.names("policies list_matching_object --name x1 --type exchanges"), ["x"]);
    let p = admin.rows("policies list_in").into_iter().find(|row| row["name"] == "p").expect("listed");
    assert_eq!((&*p["pattern"], &*p["apply_to"], &*p["priority"]), ("^q", "queues", "1"));
    assert!(p["definition"].contains("max-length: 5"), "{p:?}");
    admin.run("queues declare --name q --type quorum");
    assert_eq!(admin.row("queues show --name q")["policy"], "p");
    let refusal = admin
        .refused(r#"policies declare --name w --pattern .* --apply-to all --definition {"unheard-of":1}"#);
    assert!(refusal.contains("not recognised"), "{refusal}");

    admin.run("delete policy --name p");
    admin.run("policies delete --name r");
    admin.missing("policies delete --name r");
    admin.run("policies delete --name r --idempotently");
    admin.run("delete policy --name r --idempotently");
    assert_eq!(admin.names("policies list_in"), ["x"]);
}

#[test]
fn policies_are_overridden_and_laid_below_all_others() {
    let admin = Admin::start();
    admin.run(r#"policies declare --name p --pattern ^q --apply-to queues --priority 3 --definition {"max-length":5}"#);
    admin.run(r#"policies declare_override --name p --definition {"max-length":9,"message-ttl":100}"#);
    let over = admin.api("/policies/%2F/overrides.p");
    assert_eq!(over["definition"], json!({"max-length": 9, "message-ttl": 100}));
    assert_eq!((&over["priority"], &over["pattern"]), (&json!(103), &json!("^q")));
    admin.run("queues declare --name q");
    assert_eq!(admin.row("queues show --name q")["policy"], "overrides.p");
    admin.run(r#"policies declare_blanket --name below --apply-to queues --definition {"max-length":1000}"#);
    let below = admin.api("/policies/%2F/below");
    assert_eq!((&below["priority"], &below["pattern"]), (&json!(-20), &json!(".*")));
    admin.run("queues declare --name other");
    assert_eq!(admin.row("queues show --name other")["policy"], "below");
}

#[test]
fn keys_of_policies_are_changed_and_deleted() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    for line in ["policies", "-V eu policies"] {
        for name in ["a", "b"] {
            admin.run(&format!(r#"{line} declare --name {name} --pattern x --apply-to queues --definition {{"max-length":1,"expires":9}}"#));
        }
    }
    admin.run("policies update_definition --name a --definition-key max-length --new-value 2");
    assert_eq!(definition(&admin, "a"), json!({"max-length": 2, "expires": 9}));
    admin.run(r#"policies patch --name a --definition {"max-length":3,"message-ttl":7}"#);
    assert_eq!(definition(&admin, "a"), json!({"max-length": 3, "expires": 9, "message-ttl": 7}));
    admin.run("policies update_definitions_of_all_in --definition-key max-length --new-value 4");
    assert_eq!(definition(&admin, "b"), json!({"max-length": 4, "expires": 9}));
    assert_eq!(admin.api("/policies/eu/b")["definition"]["max-length"], 1);
    admin.run("policies update_definitions_of_all --definition-key max-length --new-value 5");
    assert_eq!(admin.api("/policies/eu/b")["definition"]["max-length"], 5);
    admin.run("policies delete_definition_keys --name a --definition-keys message-ttl,expires");
    assert_eq!(definition(&admin, "a"), json!({"max-length": 5}));
    admin.run("policies delete_definition_keys_from_all_in --definition-keys expires");
    assert_eq!(definition(&admin, "b"), json!({"max-length": 5}));
    admin.run("policies delete_definition_keys_from_all --definition-keys expires");
    assert_eq!(admin.api("/policies/eu/b")["definition"], json!({"max-length": 5}));
    admin.missing("policies patch --name none --definition {}");
}

#[test]
fn operator_policies_do_the_same() {
    let admin = Admin::start();
    let limit = r#"--definition {"max-length":5,"expires":60000}"#;
    admin.run(&format!(
        "declare operator_policy --name a --pattern ^q --apply-to queues --priority 1 {limit}"
    ));
    admin.run(&format!("operator_policies declare --name b --pattern ^z --apply-to quorum_queues {limit}"));
    for list in ["list operator_policies", "operator_policies list", "operator_policies list_in"] {
        assert_eq!(admin.names(list), ["a", "b"]);
    }
    assert_eq!(admin.names("operator_policies list_in --apply-to queues"), ["a", "b"]);
    assert_eq!(admin.names("operator_policies list_matching_object --name q1 --type queues"), ["a"]);
    admin.run("queues declare --name q");
    assert_eq!(admin.row("queues show --name q")["operator_policy"], "a");
    let refusal = admin.refused(
        r#"operator_policies declare --name c --pattern .* --apply-to queues --definition {"dead-letter-exchange":"x"}"#,
    );
    assert!(refusal.contains("not recognised"), "{refusal}");

    admin.run("operator_policies update_definition --name a --definition-key max-length --new-value 2");
    admin.run(r#"operator_policies patch --name a --definition {"message-ttl":7}"#);
    assert_eq!(
        operator_definition(&admin, "a"),
        json!({"max-length": 2, "expires": 60000, "message-ttl": 7})
    );
    admin.run("operator_policies update_definitions_of_all_in --definition-key max-length --new-value 4");
    admin.run("operator_policies delete_definition_keys --name a --definition-keys message-ttl");
    admin.run("operator_policies delete_definition_keys_from_all_in --definition-keys expires");
    for name in ["a", "b"] {
        assert_eq!(operator_definition(&admin, name), json!({"max-length": 4}));
    }

    admin.run("delete operator_policy --name a");
    admin.run("operator_policies delete --name b");
    admin.run("operator_policies delete --name b --idempotently");
    assert!(admin.rows("operator_policies list").is_empty());
}
