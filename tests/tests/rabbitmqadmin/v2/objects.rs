//! Vhosts, exchanges, queues and what binds them.

use serde_json::json;

use super::{Admin, DATA_ERROR, USAGE};

const PARTIAL_SUCCESS: i32 = 3;

#[test]
fn vhosts_come_and_go() {
    let admin = Admin::start();
    admin.run("declare vhost --name eu --description Europe --default-queue-type quorum --tracing");
    admin.run("vhosts declare --name us --default-queue-type classic");
    for list in ["list vhosts", "vhosts list"] {
        assert_eq!(admin.names(list), ["/", "eu", "us"]);
    }
    let eu = admin.rows("vhosts list").into_iter().find(|row| row["name"] == "eu").expect("listed");
    assert_eq!((&*eu["description"], &*eu["default_queue_type"]), ("Europe", "quorum"));
    assert_eq!(admin.api("/vhosts/eu")["tracing"], false, "there is no tracing to turn on");

    admin.run("delete vhost --name us");
    admin.missing("vhosts delete --name us");
    admin.run("vhosts delete --name us --idempotently");
    assert_eq!(admin.names("list vhosts"), ["/", "eu"]);
}

#[test]
fn a_protected_vhost_stays() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    admin.run("vhosts enable_deletion_protection --name eu");
    assert_eq!(admin.column("vhosts list", "protected_from_deletion"), ["false", "true"]);
    let refusal = admin.refused("vhosts delete --name eu");
    assert!(refusal.contains("protected"), "{refusal}");
    admin.run("vhosts disable_deletion_protection --name eu");
    admin.run("vhosts delete --name eu");
    assert_eq!(admin.names("vhosts list"), ["/"]);
}

#[test]
fn vhosts_go_by_pattern() {
    let admin = Admin::start();
    for name in ["test-1", "test-2", "other"] {
        admin.run(&format!("vhosts declare --name {name}"));
    }
    admin.run("vhosts enable_deletion_protection --name test-2");
    let line = "vhosts delete_multiple --name-pattern ^(test.*|/)$";
    assert_eq!(admin.names(&format!("{line} --dry-run")), ["test-1", "test-2"]);
    assert_eq!(admin.outcome(line).code, Some(DATA_ERROR), "it wants to be sure");
    let outcome = admin.outcome(&format!("{line} --approve --detailed-exit-codes --output json"));
    assert_eq!(outcome.code, Some(PARTIAL_SUCCESS), "{}", outcome.error);
    let report: serde_json::Value = serde_json::from_str(&outcome.output).expect("JSON");
    let counts = ["attempted", "succeeded", "failed", "skipped"].map(|count| report[count].as_u64());
    assert_eq!(counts, [Some(3), Some(1), Some(1), Some(1)], "{report}");
    assert_eq!(admin.names("vhosts list"), ["/", "other", "test-2"]);
}

#[test]
fn exchanges_come_and_go() {
    let admin = Admin::start();
    admin.run(r#"declare exchange --name x --type topic --arguments {"alternate-exchange":"amq.fanout"}"#);
    admin.run("exchanges declare --name y --type fanout --durable false --auto-delete true");
    admin.run("exchanges declare --name ring --type x-consistent-hash");
    for list in ["list exchanges", "exchanges list"] {
        let rows = admin.rows(list);
        let find = |name: &str| rows.iter().find(|row| row["name"] == name).expect("listed");
        assert_eq!((&*find("x")["exchange_type"], &*find("x")["durable"]), ("topic", "true"));
        assert!(find("x")["arguments"].contains("amq.fanout"));
        assert_eq!((&*find("y")["durable"], &*find("y")["auto_delete"]), ("false", "true"));
        assert_eq!(find("ring")["exchange_type"], "x-consistent-hash");
        assert_eq!(find("")["exchange_type"], "direct", "the default one");
    }
    assert_eq!(admin.rows("exchanges list --page 2 --page-size 4").len(), 4);
    let refusal = admin.refused("exchanges declare --name x --type direct");
    assert!(refusal.contains("inequivalent arg 'type'"), "{refusal}");
    let refusal = admin.refused("exchanges declare --name z --type x-unheard-of");
    assert!(refusal.contains("x-unheard-of"), "{refusal}");

    admin.run("delete exchange --name x");
    admin.run("exchanges delete --name y");
    admin.missing("exchanges delete --name y");
    admin.run("exchanges delete --name y --idempotently");
    admin.run("delete exchange --name y --idempotently");
    assert!(!admin.names("exchanges list").iter().any(|name| name == "x" || name == "y"));
}

#[test]
fn queues_come_and_go() {
    let admin = Admin::start();
    admin.run("vhosts declare --name eu");
    admin.run(r#"declare queue --name a --type classic --arguments {"x-max-length":10}"#);
    admin.run("queues declare --name b --type quorum");
    admin.run("queues declare --name c --type classic --durable false --auto-delete true");
    admin.run("--vhost eu queues declare --name d");
    for list in ["list queues", "queues list"] {
        assert_eq!(admin.names(list), ["a", "b", "c"]);
        assert_eq!(admin.column(list, "queue_type"), ["classic", "classic", "quorum"]);
    }
    assert_eq!(admin.names("-V eu list queues"), ["d"]);
    assert_eq!(admin.names("queues list --page 1 --page-size 2"), ["a", "b"]);
    let row = admin.row("queues list --page 2 --page-size 2 --columns name,durable,auto_delete");
    assert_eq!(row.into_values().collect::<Vec<_>>(), ["true", "false", "c"]);
    let row = admin.row("queues show --name a");
    assert_eq!((&*row["state"], &*row["message_count"], &*row["consumer_count"]), ("running", "0", "0"));
    assert!(row["arguments"].contains("x-max-length: 10"), "{row:?}");
    assert_eq!(admin.row("queues show --name b --columns queue_type")["queue_type"], "quorum");
    let refusal = admin.refused("queues declare --name a --type classic");
    assert!(refusal.contains("inequivalent arg 'x-max-length'"), "{refusal}");

    admin.run("delete queue --name a");
    admin.run("queues delete --name b");
    for line in ["queues show --name a", "queues delete --name a", "purge queue --name a"] {
        admin.missing(line);
    }
    admin.run("queues delete --name a --idempotently");
    admin.run("delete queue --name a --idempotently");
    assert_eq!(admin.names("queues list"), ["c"]);
    // Nothing to do with one broker.
    admin.run("queues rebalance");
    admin.run("rebalance queues");
}

#[test]
fn queues_go_by_pattern() {
    let admin = Admin::start();
    for name in ["test.1", "test.2", "other"] {
        admin.run(&format!("queues declare --name {name}"));
    }
    let line = "queues delete_multiple --name-pattern ^test";
    assert_eq!(admin.names(&format!("{line} --dry-run")), ["test.1", "test.2"]);
    assert_eq!(admin.outcome(line).code, Some(DATA_ERROR), "it wants to be sure");
    admin.run(&format!("{line} --approve --strict"));
    assert_eq!(admin.names("queues list"), ["other"]);
    admin.run(&format!("{line} --approve --strict"));
}

#[test]
fn streams_are_refused_in_words() {
    let admin = Admin::start();
    for line in ["declare stream --name s --expiration 1D", "streams declare --name s --expiration 1D"] {
        let refusal = admin.refused(line);
        assert!(refusal.contains("stream"), "{refusal}");
    }
    // What lists streams lists every queue.
    admin.run("queues declare --name q");
    assert_eq!(admin.names("streams list"), ["q"]);
    assert_eq!(admin.names("streams list --columns name"), ["q"]);
    assert_eq!(admin.row("streams show --name q")["queue_type"], "classic");
    admin.run("streams delete --name q");
    admin.missing("streams show --name q");
    admin.missing("delete stream --name q");
    admin.run("delete stream --name q --idempotently");
}

#[test]
fn bindings_come_and_go() {
    let admin = Admin::start();
    admin.run("exchanges declare --name x --type topic");
    admin.run("exchanges declare --name y --type fanout");
    admin.run("queues declare --name q");
    let to_queue = "--source x --destination-type queue --destination q";
    let to_exchange = "--source x --destination-type exchange --destination y";
    admin.run(&format!("declare binding {to_queue} --routing-key a.b"));
    admin.run(&format!(r#"bindings declare {to_queue} --routing-key h --arguments {{"n":1}}"#));
    admin.run(&format!("exchanges bind {to_exchange} --routing-key #"));
    for list in ["list bindings", "bindings list"] {
        let mut bindings = admin.rows(list);
        bindings.retain(|row| row["source"] == "x");
        assert_eq!(bindings.len(), 3);
        let find = |key: &str| bindings.iter().find(|row| row["routing_key"] == key).expect("listed");
        assert_eq!(find("a.b")["destination"], "q");
        assert!(find("h")["arguments"].contains("n: 1"), "{bindings:?}");
        assert_eq!((&*find("#")["destination"], &*find("#")["destination_type"]), ("y", "exchange"));
    }
    admin.missing("declare binding --source x --destination-type queue --destination z --routing-key k");

    admin.run(&format!("delete binding {to_queue} --routing-key a.b"));
    admin.run(&format!(r#"bindings delete {to_queue} --routing-key h --arguments {{"n":1}}"#));
    admin.run(&format!("exchanges unbind {to_exchange} --routing-key #"));
    assert_eq!(admin.api("/exchanges/%2F/x/bindings/source"), json!([]));
    let line = format!("bindings delete {to_queue} --routing-key a.b");
    admin.missing(&line);
    admin.run(&format!("{line} --idempotently"));
}

#[test]
fn what_is_wrong_is_said() {
    let admin = Admin::start();
    assert_eq!(admin.refused("--username guest --password wrong list queues").trim(), "Not_Authorized");
    admin.missing("--vhost nowhere list queues");
    // Two are the program's own business.
    assert_ne!(admin.outcome("queues declare").code, Some(0));
    assert_eq!(admin.outcome("users declare --name x").code, Some(USAGE));
}
