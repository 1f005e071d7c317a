use leveret_protocol::table::Table;
use serde_json::{Value, json};

use super::*;
use crate::policy::Proposal;
use crate::vhost::testing::Vhost;

fn policy(name: &str, pattern: &str, priority: i64, definition: Value) -> Policy {
    let proposal =
        Proposal { pattern: pattern.into(), apply_to: "all".into(), priority: priority.into(), definition };
    Policy::new(PolicyKind::Policy, name, &proposal).expect("a valid policy")
}

/// Puts a policy and says which queues it changed, and what of them.
fn put(vhost: &mut Vhost, policy: Policy) -> Vec<(String, Option<u64>)> {
    let mut affected = Vec::new();
    let change = vhost.topology.put_policy(PolicyKind::Policy, policy, |name, _, options| {
        affected.push((name.clone(), options.max_length));
    });
    vhost.store(change.records);
    affected
}

fn remove(vhost: &mut Vhost, name: &str) -> Vec<(String, Option<u64>)> {
    let mut affected = Vec::new();
    let change = vhost.topology.remove_policy(PolicyKind::Policy, name, |name, _, options| {
        affected.push((name.clone(), options.max_length));
    });
    vhost.store(change.expect("it is there").records);
    affected
}

fn changed(name: &str, max_length: Option<u64>) -> (String, Option<u64>) {
    (name.to_owned(), max_length)
}

#[test]
fn only_queues_that_change_are_told_of() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    vhost.queue("limited", "", Table::from([("x-max-length", 5.into())])).expect("declared");
    let all = put(&mut vhost, policy("all", "", 0, json!({"max-length": 10})));
    assert_eq!(all, [changed("a", Some(10)), changed("b", Some(10)), changed("limited", Some(5))]);
    let one = put(&mut vhost, policy("one", "^a$", 1, json!({"max-length": 3})));
    assert_eq!(one, [changed("a", Some(3))]);
    assert_eq!(put(&mut vhost, policy("one", "^a$", 1, json!({"max-length": 3}))), []);
    assert_eq!(remove(&mut vhost, "one"), [changed("a", Some(10))]);
    assert_eq!(remove(&mut vhost, "all").len(), 3);
    assert!(vhost.topology.applied_to_queue("a").is_none());
}

#[test]
fn a_queue_declared_later_is_born_with_its_policy() {
    let mut vhost = Vhost::new();
    put(&mut vhost, policy("all", "", 0, json!({"max-length": 10})));
    vhost.queues(["q"]);
    let (definition, _) = vhost.topology.queue("q").expect("declared");
    assert_eq!(definition.options.max_length, None, "the definition keeps what was asked for");
    assert_eq!(vhost.topology.options_in_force(definition).max_length, Some(10));
    let applied = vhost.topology.applied_to_queue("q").expect("it fits");
    assert_eq!(applied.policy.as_ref().map(|policy| policy.name.as_str()), Some("all"));
}

#[test]
fn an_alternate_exchange_by_policy_catches_what_is_not_routed() {
    let mut vhost = Vhost::new();
    vhost.exchange("x", "direct", "", Table::new()).expect("declared");
    vhost.exchange("xae", "fanout", "", Table::new()).expect("declared");
    vhost.queues(["caught"]);
    vhost.bind("xae", "caught", "");
    let route = |vhost: &mut Vhost| vhost.route_with("x", "k", Table::new()).expect("it exists");
    assert!(route(&mut vhost).is_empty());
    let generation = vhost.topology.generation();
    put(&mut vhost, policy("ae", "^x$", 0, json!({"alternate-exchange": "xae"})));
    assert_eq!(route(&mut vhost), ["caught"]);
    assert!(vhost.topology.generation() > generation, "routes remembered elsewhere are out of date");
    remove(&mut vhost, "ae");
    assert!(route(&mut vhost).is_empty());
}

#[test]
fn the_default_exchange_has_no_alternate_exchange() {
    let mut vhost = Vhost::new();
    vhost.queues(["caught"]);
    vhost.bind("amq.fanout", "caught", "");
    put(&mut vhost, policy("ae", "", 0, json!({"alternate-exchange": "amq.fanout"})));
    assert!(vhost.route_with("", "nobody", Table::new()).expect("it exists").is_empty());
    assert_eq!(vhost.route_with("amq.direct", "k", Table::new()).expect("it exists"), ["caught"]);
}

#[test]
fn policies_are_restored_before_what_they_apply_to() {
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable", Table::new()).expect("declared");
    vhost.exchange("x", "direct", "durable", Table::new()).expect("declared");
    put(&mut vhost, policy("p", "", 7, json!({"max-length": 4, "alternate-exchange": "xae"})));
    put(&mut vhost, policy("gone", "", 8, json!({"max-length": 5})));
    remove(&mut vhost, "gone");
    let mut seen = Vec::new();
    let restored = Topology::restore("/", &vhost.stored, |definition, options| {
        seen.push((definition.name.clone(), options.max_length));
        definition.name.clone()
    });
    let topology = restored.expect("readable").topology;
    assert_eq!(seen, [changed("q", Some(4))]);
    let policies = topology.policies().of(PolicyKind::Policy);
    assert_eq!(policies, vhost.topology.policies().of(PolicyKind::Policy));
    let of_exchange = |name| topology.applied_to_exchange(name).is_some();
    assert!(of_exchange("x") && of_exchange("amq.direct") && of_exchange(""));
}

#[test]
fn a_preview_changes_nothing_and_says_who_wins() {
    let mut vhost = Vhost::new();
    vhost.queues(["b", "a", "other"]);
    put(&mut vhost, policy("strong", "^a$", 9, json!({"expires": 1})));
    put(&mut vhost, policy("weak", "^[ab]$", 0, json!({"expires": 2})));
    let effects = vhost
        .topology
        .preview_policy(PolicyKind::Policy, policy("new", "^(a|b|amq.topic)$", 5, json!({"max-length": 1})));
    let shown: Vec<(&str, bool, Option<&str>, bool, Value)> = effects
        .iter()
        .map(|effect| {
            let effective = Value::Object(effect.effective.clone());
            (effect.name.as_str(), effect.is_exchange, effect.current.as_deref(), effect.wins, effective)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("a", false, Some("strong"), false, json!({"expires": 1})),
            ("b", false, Some("weak"), true, json!({"max-length": 1})),
            ("amq.topic", true, None, true, json!({"max-length": 1})),
        ]
    );
    assert!(vhost.topology.policies().get(PolicyKind::Policy, "new").is_none());
}
