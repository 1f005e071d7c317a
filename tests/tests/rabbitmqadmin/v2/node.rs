//! The broker itself: how it is, what it can do, whether it is well.

use super::table::pairs;
use super::{Admin, UNAVAILABLE};

#[test]
fn the_broker_is_described() {
    let admin = Admin::start();
    admin.run("queues declare --name q");
    admin.run("publish message -k q");
    let overview = pairs(&admin.run("show overview"));
    assert_eq!(overview["Product name"], "Leveret");
    assert_eq!(overview["Queues and streams (total)"], "1");
    assert!(overview["RabbitMQ version"].starts_with(|first: char| first.is_ascii_digit()), "{overview:?}");
    let churn = pairs(&admin.run("show churn"));
    assert_eq!(churn["Queues and streams created"], "1");
    let endpoint = admin.run("show endpoint");
    assert!(endpoint.contains(&admin.broker.admin().port().to_string()), "{endpoint}");

    let node = admin.row("nodes list");
    assert_eq!(admin.row("list nodes")["name"], node["name"]);
    assert_eq!(node["os_pid"], admin.broker.pid().to_string());
    assert_eq!((&*node["has_memory_alarm_in_effect"], &*node["being_drained"]), ("false", "false"));
    for line in ["show memory_breakdown_in_bytes", "nodes memory_breakdown_in_bytes"] {
        let bytes = pairs(&admin.run(&format!("{line} --node {}", node["name"])));
        assert!(bytes["Total (RSS)"].parse::<u64>().expect("a number") > 1_000_000, "{bytes:?}");
    }
    for line in ["show memory_breakdown_in_percent", "nodes memory_breakdown_in_percent"] {
        let percent = admin.run(&format!("{line} --node {}", node["name"]));
        assert!(percent.contains("100.00%"), "{percent}");
    }
    admin.missing("nodes memory_breakdown_in_bytes --node none");

    admin.rows("plugins list_all");
    admin.rows(&format!("plugins list_on_node --node {}", node["name"]));
}

#[test]
fn feature_flags_are_all_enabled() {
    let admin = Admin::start();
    for list in ["list feature_flags", "feature_flags list"] {
        let states = admin.column(list, "state");
        assert!(!states.is_empty() && states.iter().all(|state| state == "enabled"), "{states:?}");
    }
    let flag = admin.names("feature_flags list").remove(0);
    admin.run(&format!("feature_flags enable --name {flag}"));
    admin.run("feature_flags enable_all");
    for list in ["list deprecated_features", "deprecated_features list"] {
        admin.rows(list);
    }
    for list in ["list deprecated_features_in_use", "deprecated_features list_used"] {
        assert!(admin.rows(list).is_empty());
    }
}

#[test]
fn health_checks_pass_and_fail() {
    let admin = Admin::start();
    let port = format!("health_check port_listener --port {}", admin.broker.amqp().port());
    for check in [
        "health_check local_alarms",
        "health_check cluster_wide_alarms",
        "health_check node_is_quorum_critical",
        "health_check protocol_listener --protocol amqp",
        "health_check protocol_listener --protocol http",
        &port,
    ] {
        assert!(admin.run(check).contains("health check passed"), "{check}");
    }
    for (check, key, value) in [
        ("health_check port_listener --port 1", "inactive port", "1"),
        ("health_check protocol_listener --protocol mqtt", "inactive protocols", "mqtt"),
    ] {
        let outcome = admin.outcome(check);
        assert_eq!(outcome.code, Some(UNAVAILABLE), "{check}: {}", outcome.error);
        assert_eq!(pairs(&outcome.output)[key], value);
    }
}
