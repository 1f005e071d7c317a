use leveret_protocol::table::Value as Field;
use serde_json::json;

use super::*;
use crate::exchange::ExchangeKind;
use crate::queue::Overflow;
use crate::queue::arguments::ExpiryMode;
use crate::queue::retry::RetryDelay;

fn proposal(definition: Value) -> Proposal {
    Proposal { pattern: ".*".into(), apply_to: "all".into(), priority: 0.into(), definition }
}

fn policy_of(kind: PolicyKind, name: &str, proposal: Proposal) -> Policy {
    Policy::new(kind, name, &proposal).expect("a valid policy")
}

fn policy(name: &str, pattern: &str, apply_to: &str, priority: i64, definition: Value) -> Policy {
    let proposal = Proposal {
        pattern: pattern.into(),
        apply_to: apply_to.into(),
        priority: priority.into(),
        definition,
    };
    policy_of(PolicyKind::Policy, name, proposal)
}

fn error_of(kind: PolicyKind, proposal: Proposal) -> String {
    let error = Policy::new(kind, "p", &proposal).expect_err("not a valid policy").to_string();
    error.strip_prefix("Validation failed\n\n").expect("as RabbitMQ begins it").to_owned()
}

fn check_refused(definition: Value, expected: &str) {
    assert_eq!(error_of(PolicyKind::Policy, proposal(definition)), format!("{expected}\n"));
}

/// The options of a queue with these arguments under these definitions of a policy and an operator policy.
fn options(arguments: Table, policy: Option<Value>, operator: Option<Value>) -> QueueOptions {
    let declared = QueueOptions::parse("queue 'q' in vhost '/'", &arguments).expect("valid arguments");
    let mut policies = Policies::default();
    for (kind, definition) in [(PolicyKind::Policy, policy), (PolicyKind::Operator, operator)] {
        if let Some(definition) = definition {
            policies.put(kind, policy_of(kind, "p", proposal(definition)));
        }
    }
    match policies.apply(Subject::Queue("q", declared.kind)) {
        Some(applied) => applied.to_queue(&arguments, declared),
        None => declared,
    }
}

/// The name of the policy that applies to a classic queue.
fn applies(policies: &Policies, queue: &str) -> Option<String> {
    let applied = policies.apply(Subject::Queue(queue, QueueKind::Classic))?;
    Some(applied.policy?.name.clone())
}

#[test]
fn the_highest_priority_that_fits_applies() {
    let mut policies = Policies::default();
    let ttl = || json!({"message-ttl": 1});
    policies.put(PolicyKind::Policy, policy("any", ".*", "all", 0, ttl()));
    policies.put(PolicyKind::Policy, policy("orders", "^orders\\.", "queues", 5, ttl()));
    policies.put(PolicyKind::Policy, policy("exchanges", ".*", "exchanges", 9, ttl()));
    policies.put(PolicyKind::Policy, policy("again", "^orders\\.", "queues", 5, ttl()));
    let name = |queue| applies(&policies, queue);
    assert_eq!(name("orders.eu").as_deref(), Some("again"), "the first by name among equals");
    assert_eq!(name("other").as_deref(), Some("any"));
    let exchange = policies.apply(Subject::Exchange("orders.x")).and_then(|applied| applied.policy.clone());
    assert_eq!(exchange.map(|policy| policy.name.clone()).as_deref(), Some("exchanges"));

    policies.put(PolicyKind::Policy, policy("any", "^other$", "all", 0, ttl()));
    assert!(policies.remove(PolicyKind::Policy, "again") && !policies.remove(PolicyKind::Policy, "again"));
    assert_eq!(applies(&policies, "orders.eu").as_deref(), Some("orders"));
    assert_eq!(
        applies(&policies, "elsewhere"),
        None,
        "a policy put again stands in place of the earlier one"
    );
}

#[test]
fn a_policy_is_for_the_types_that_it_names() {
    let check = |apply_to: &str, classic: bool, quorum: bool, exchange: bool| {
        let policy = policy("p", "^q", apply_to, 0, json!({"message-ttl": 1}));
        assert_eq!(policy.fits(Subject::Queue("q", QueueKind::Classic)), classic, "{apply_to}");
        assert_eq!(policy.fits(Subject::Queue("q", QueueKind::Quorum)), quorum, "{apply_to}");
        assert_eq!(policy.fits(Subject::Exchange("q")), exchange, "{apply_to}");
        assert!(!policy.fits(Subject::Queue("other", QueueKind::Classic)));
    };
    check("all", true, true, true);
    check("queues", true, true, false);
    check("classic_queues", true, false, false);
    check("quorum_queues", false, true, false);
    check("streams", false, false, false);
    check("exchanges", false, false, true);
}

#[test]
fn a_setting_that_a_queue_does_not_know_keeps_the_whole_policy_from_it() {
    let check = |definition: Value, classic: bool, quorum: bool| {
        let policy = policy("p", "", "queues", 0, definition.clone());
        assert_eq!(policy.fits(Subject::Queue("q", QueueKind::Classic)), classic, "{definition}");
        assert_eq!(policy.fits(Subject::Queue("q", QueueKind::Quorum)), quorum, "{definition}");
    };
    check(json!({"message-ttl": 1, "ha-mode": "all"}), true, false);
    check(json!({"message-ttl": 1, "dead-letter-strategy": "at-least-once"}), false, true);
    check(json!({"message-ttl": 1, "max-age": "7D"}), false, false);
    check(json!({"message-ttl": 1, "alternate-exchange": "x", "delivery-limit": 3}), true, true);
}

#[test]
fn every_setting_reaches_the_options() {
    let definition = json!({
        "message-ttl": 0, "expires": 1, "max-length": 2, "max-length-bytes": 3, "delivery-limit": 4,
        "consumer-timeout": 5, "overflow": "reject-publish-dlx", "dead-letter-exchange": "dlx",
        "dead-letter-routing-key": "dead", "dead-letter-auto": true, "queue-mode": "lazy", "queue-version": 2,
        "queue-leader-locator": "balanced", "queue-master-locator": "min-masters", "ha-mode": "exactly",
        "ha-params": 2, "ha-sync-mode": "automatic", "ha-sync-batch-size": 1, "ha-promote-on-shutdown": "always",
        "ha-promote-on-failure": "when-synced", "alternate-exchange": "ae", "retry-delay": "linear:1s",
        "retry-jitter": 10, "retry-max": "1m", "retry-limit": 6, "expiry-mode": "head",
    });
    let expected = QueueOptions {
        message_ttl_ms: Some(0),
        expires_ms: Some(1),
        max_length: Some(2),
        max_length_bytes: Some(3),
        delivery_limit: Some(4),
        consumer_timeout_ms: Some(5),
        overflow: Overflow::RejectPublishDlx,
        dead_letter_exchange: Some("dlx".into()),
        dead_letter_routing_key: Some("dead".into()),
        dead_letter_auto: true,
        retry_delay: Some(RetryDelay::Linear(1_000)),
        retry_jitter: Some(10),
        retry_max_ms: Some(60_000),
        retry_limit: Some(6),
        expiry_mode: ExpiryMode::Head,
        ..QueueOptions::default()
    };
    assert_eq!(options(Table::new(), Some(definition), None), expected);
}

#[test]
fn of_an_argument_and_a_policy_the_smaller_limit_counts() {
    type Limit = fn(&QueueOptions) -> Option<u64>;
    let limits: [(&str, Limit); 5] = [
        ("message-ttl", |options| options.message_ttl_ms),
        ("expires", |options| options.expires_ms),
        ("max-length", |options| options.max_length),
        ("max-length-bytes", |options| options.max_length_bytes),
        ("consumer-timeout", |options| options.consumer_timeout_ms),
    ];
    for (key, limit) in limits {
        let check =
            |argument: Option<i64>, policy: Option<i64>, operator: Option<i64>, expected: Option<u64>| {
                let arguments = argument.map(|value| (format!("x-{key}"), Field::from(value)));
                let definition = |value: Option<i64>| value.map(|value| json!({ key: value }));
                let options =
                    options(arguments.into_iter().collect(), definition(policy), definition(operator));
                assert_eq!(limit(&options), expected, "{key}: {argument:?}, {policy:?}, {operator:?}");
            };
        check(Some(10), None, None, Some(10));
        check(None, Some(10), None, Some(10));
        check(None, None, Some(10), Some(10));
        check(Some(10), Some(20), None, Some(10));
        check(Some(20), Some(10), None, Some(10));
        check(None, Some(10), Some(20), Some(10));
        check(None, Some(20), Some(10), Some(10));
        check(Some(30), Some(20), Some(10), Some(10));
        check(Some(5), Some(20), Some(10), Some(5));
    }
}

#[test]
fn no_delivery_limit_at_all_goes_before_any() {
    let check = |argument: Option<i64>, policy: i64, operator: Option<i64>, expected: i64| {
        let arguments = argument.map(|value| ("x-delivery-limit", Field::from(value)));
        let operator = operator.map(|value| json!({"delivery-limit": value}));
        let options =
            options(arguments.into_iter().collect(), Some(json!({"delivery-limit": policy})), operator);
        assert_eq!(options.delivery_limit, Some(expected), "{argument:?}, {policy}");
    };
    check(None, 7, None, 7);
    check(Some(3), 7, None, 3);
    check(Some(7), 3, None, 3);
    check(Some(-1), 3, None, -1);
    check(Some(3), -1, None, -1);
    check(None, -1, Some(5), -1);
    check(None, 9, Some(5), 5);
}

#[test]
fn no_consumer_timeout_goes_behind_any() {
    let check = |argument: i64, policy: i64, expected: u64| {
        let arguments = Table::from([("x-consumer-timeout", Field::from(argument))]);
        let options = options(arguments, Some(json!({"consumer-timeout": policy})), None);
        assert_eq!(options.consumer_timeout_ms, Some(expected), "{argument}, {policy}");
    };
    check(0, 5, 5);
    check(5, 0, 5);
    check(0, 0, 0);
    check(5, 6, 5);
}

#[test]
fn what_is_no_limit_is_the_arguments_where_there_is_one() {
    let arguments = |entries: &[(&str, &str)]| {
        entries.iter().map(|(name, value)| (*name, Field::from(*value))).collect::<Table>()
    };
    let definition = json!({
        "dead-letter-exchange": "by policy", "dead-letter-routing-key": "key", "overflow": "reject-publish"
    });
    let own = arguments(&[("x-dead-letter-exchange", "own"), ("x-overflow", "drop-head")]);
    let mixed = options(own, Some(definition.clone()), None);
    assert_eq!(mixed.dead_letter_exchange.as_deref(), Some("own"));
    assert_eq!(mixed.dead_letter_routing_key.as_deref(), Some("key"), "each setting for itself");
    assert_eq!(mixed.overflow, Overflow::DropHead);

    let quorum = arguments(&[("x-overflow", "drop-head"), ("x-queue-type", "quorum")]);
    assert_eq!(options(quorum, Some(definition.clone()), None).overflow, Overflow::RejectPublish);
    let operator = Some(json!({"overflow": "drop-head"}));
    assert_eq!(options(Table::new(), Some(definition), operator).overflow, Overflow::DropHead);
}

#[test]
fn an_exchanges_own_alternate_exchange_goes_before_the_policys() {
    let applied = |arguments: Table| {
        let declared = ExchangeOptions::parse("exchange 'x' in vhost '/'", ExchangeKind::Direct, &arguments)
            .expect("valid");
        let mut policies = Policies::default();
        policies
            .put(PolicyKind::Policy, policy("p", "", "all", 0, json!({"alternate-exchange": "by policy"})));
        let applied = policies.apply(Subject::Exchange("x")).expect("it fits");
        applied.to_exchange(&arguments, declared).alternate_exchange
    };
    assert_eq!(applied(Table::new()).as_deref(), Some("by policy"));
    assert_eq!(applied(Table::from([("alternate-exchange", "own".into())])).as_deref(), Some("own"));
}

#[test]
fn a_policy_and_an_operator_policy_are_shown_as_one() {
    let mut policies = Policies::default();
    let definition = json!({"max-length": 10, "expires": 5, "queue-mode": "lazy"});
    policies.put(PolicyKind::Policy, policy("p", "", "all", 0, definition));
    let operator = proposal(json!({"max-length": 3, "expires": 9, "message-ttl": 1}));
    policies.put(PolicyKind::Operator, policy_of(PolicyKind::Operator, "op", operator));
    let applied = policies.apply(Subject::Queue("q", QueueKind::Classic)).expect("both fit");
    let expected = json!({"max-length": 3, "expires": 5, "queue-mode": "lazy", "message-ttl": 1});
    assert_eq!(Value::Object(applied.definition), expected);
    assert_eq!(applied.operator_policy.map(|policy| policy.name.clone()).as_deref(), Some("op"));
}

#[test]
fn values_out_of_bounds_are_refused_in_rabbitmqs_words() {
    check_refused(json!({"message-ttl": -1}), "-1 is not a valid message TTL");
    check_refused(json!({"message-ttl": "1"}), "<<\"1\">> is not a valid message TTL");
    check_refused(json!({"expires": 0}), "0 is not a valid queue expiry");
    check_refused(json!({"max-length": 1.5}), "1.5 is not a valid maximum length");
    check_refused(json!({"max-length-bytes": null}), "null is not a valid maximum length in bytes");
    check_refused(json!({"overflow": "x"}), "<<\"x\">> is not a valid overflow value");
    check_refused(json!({"retry-delay": "soon"}), "<<\"soon\">> is not a valid retry delay");
    check_refused(json!({"retry-jitter": 101}), "retry-jitter must be a percentage of 0 to 100, got 101");
    check_refused(json!({"retry-max": 0}), "0 is not a valid longest retry delay");
    check_refused(json!({"retry-limit": -1}), "-1 is not a valid retry limit");
    check_refused(json!({"delivery-limit": true}), "true is not a valid delivery limit");
    check_refused(json!({"dead-letter-exchange": 1}), "1 is not a valid dead letter exchange name");
    check_refused(json!({"dead-letter-routing-key": []}), "[] is not a valid dead letter routing key");
    check_refused(json!({"dead-letter-strategy": "x"}), "<<\"x\">> is not a valid dead letter strategy");
    check_refused(
        json!({"alternate-exchange": {"a": 1}}),
        "#{<<\"a\">> => 1} is not a valid alternate exchange name",
    );
    check_refused(json!({"queue-mode": "x"}), "<<\"x\">> is not a valid queue-mode value");
    check_refused(json!({"ha-mode": "x"}), "<<\"x\">> is not a valid ha-mode value");
    check_refused(json!({"max-age": "7"}), "<<\"7\">> is not a valid max age");
    check_refused(json!({"max-age": "é"}), "<<\"é\"/utf8>> is not a valid max age");
    check_refused(
        json!({"queue-leader-locator": "x"}),
        "<<\"x\">> is not a valid queue leader locator value",
    );
}

#[test]
fn what_is_no_policy_is_refused_in_rabbitmqs_words() {
    check_refused(json!({}), "no policy provided");
    check_refused(json!(1), "parse error while reading policy definition: 1. Validator: policy_validator.");
    check_refused(
        json!({"a": 1, "message-ttl": 1, "max-priority": "b"}),
        "[{<<\"a\">>,1},{<<\"max-priority\">>,<<\"b\">>}] are not recognised policy settings",
    );
    assert_eq!(
        error_of(PolicyKind::Operator, proposal(json!({"dead-letter-exchange": "x"}))),
        "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings\n",
        "operators set limits only"
    );
    let wrong = Proposal {
        pattern: "(".into(),
        apply_to: "things".into(),
        priority: "high".into(),
        definition: json!({"message-ttl": 1}),
    };
    let error = error_of(PolicyKind::Policy, wrong);
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert_eq!(
        lines[0],
        "apply-to 'things' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', \
         'exchanges', or 'all'"
    );
    assert!(lines[1].starts_with("pattern should be regular expression but is invalid: "), "{error}");
    assert_eq!(lines[2], "priority should be a number, actually was <<\"high\">>");
    assert!(Policy::new(PolicyKind::Policy, "", &proposal(json!({"expires": 1}))).is_err());
}

#[test]
fn a_policy_comes_back_from_its_proposal() {
    let policy = policy("p", "^a(b)?$", "quorum_queues", -3, json!({"expires": 5, "overflow": "drop-head"}));
    assert_eq!(Policy::new(PolicyKind::Policy, "p", &policy.proposal()), Ok(policy));
}
