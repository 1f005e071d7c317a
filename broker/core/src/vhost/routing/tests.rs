use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{Table, Value};
use proptest::prelude::*;

use super::super::testing::{Vhost, properties_with};
use super::*;

fn none() -> Vec<String> {
    Vec::new()
}

fn cc(name: &str, keys: &[&str]) -> Table {
    Table::from([(name, Value::Array(keys.iter().map(|&key| key.into()).collect()))])
}

#[test]
fn the_default_exchange_leads_to_the_queue_of_that_name() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    assert_eq!(vhost.route("", "a"), ["a"]);
    assert_eq!(vhost.route("", "c"), none());
    vhost.delete_queue("a").unwrap();
    assert_eq!(vhost.route("", "a"), none());
}

#[test]
fn a_direct_exchange_leads_to_queues_bound_with_the_key() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    vhost.bind("amq.direct", "a", "k");
    vhost.bind("amq.direct", "b", "k");
    vhost.bind("amq.direct", "b", "other");
    assert_eq!(vhost.route("amq.direct", "k"), ["a", "b"]);
    assert_eq!(vhost.route("amq.direct", "other"), ["b"]);
    assert_eq!(vhost.route("amq.direct", ""), none());
    vhost.unbind("amq.direct", "a", "k");
    assert_eq!(vhost.route("amq.direct", "k"), ["b"]);
}

#[test]
fn a_fanout_exchange_ignores_the_key() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    vhost.bind("amq.fanout", "a", "k");
    vhost.bind("amq.fanout", "a", "k2");
    vhost.bind("amq.fanout", "b", "");
    assert_eq!(vhost.route("amq.fanout", "whatever"), ["a", "b"]);
    vhost.unbind("amq.fanout", "a", "k");
    assert_eq!(vhost.route("amq.fanout", "whatever"), ["a", "b"]);
    vhost.unbind("amq.fanout", "a", "k2");
    assert_eq!(vhost.route("amq.fanout", "whatever"), ["b"]);
}

fn delayed(kind: &str) -> Table {
    Table::from([("x-delayed-type", kind.into())])
}

#[test]
fn a_delayed_exchange_holds_back_what_asks_for_it_and_routes_by_the_type_behind_it() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    vhost.exchange("xd", "x-delayed-message", "durable", delayed("topic")).unwrap();
    vhost.exchange("x", "fanout", "", Table::new()).unwrap();
    vhost.bind("xd", "a", "eu.#");
    vhost.bind("x", "xd", "");
    vhost.bind("x", "b", "");
    let asking = || Table::from([("x-delay", 5_000.into())]);
    assert_eq!(vhost.route("xd", "eu.created"), ["a"]);
    assert_eq!(vhost.holding(), none_held());
    assert!(!vhost.is_repeatable(), "where it goes depends on its headers");
    for headers in [asking(), Table::from([("x-deliver-at", Value::I64(1 << 41))])] {
        assert_eq!(vhost.route_with("xd", "eu.created", headers).unwrap(), none());
        assert_eq!(vhost.holding(), [7]);
    }
    assert_eq!(vhost.route_with("x", "eu.created", asking()).unwrap(), ["b"], "other paths do not wait");
    assert_eq!(vhost.holding(), [7]);
    assert_eq!(vhost.route_after_waiting("xd", "eu.created", asking()), ["a"]);
    assert_eq!(vhost.route_after_waiting("x", "eu.created", asking()), ["a", "b"]);
    assert_eq!(vhost.holding(), none_held());
    assert_eq!(vhost.route_with("amq.fanout", "eu", asking()).unwrap(), none());
    assert_eq!(vhost.holding(), none_held());
}

fn none_held() -> [u64; 0] {
    []
}

#[test]
fn what_a_delayed_exchange_holds_goes_with_it() {
    let mut vhost = Vhost::new();
    vhost.exchange("xd", "x-delayed-message", "durable", delayed("direct")).unwrap();
    assert_eq!(vhost.topology.exchange("xd").map(|exchange| exchange.uid), Some(7));
    assert_eq!(vhost.topology.exchange("amq.direct").map(|exchange| exchange.uid), Some(0));
    let again = Topology::restore("/", vhost.stored.iter(), |_, _| String::new()).unwrap().topology;
    assert_eq!(again.exchange("xd").map(|exchange| exchange.uid), Some(7));
    vhost.exchange("xd", "x-delayed-message", "durable", delayed("fanout")).unwrap();
    assert_eq!(vhost.delete_exchange("xd", false).unwrap().delayed_removed, [7]);
    assert!(vhost.exchange("xd", "x-delayed-message", "", Table::new()).is_err());
}

#[test]
fn a_queue_with_several_matching_bindings_gets_one_copy() {
    let mut vhost = Vhost::new();
    vhost.queues(["a"]);
    for pattern in ["#", "eu.#", "*.created", "eu.created"] {
        vhost.bind("amq.topic", "a", pattern);
    }
    assert_eq!(vhost.route("amq.topic", "eu.created"), ["a"]);
    assert!(vhost.is_repeatable());
}

#[test]
fn headers_exchanges_match_by_headers() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    let pdf = || Table::from([("format", "pdf".into())]);
    vhost.bind_with(super::super::testing::ME, "amq.headers", "a", "", pdf()).unwrap();
    vhost.bind_with(super::super::testing::ME, "amq.match", "b", "", pdf()).unwrap();
    assert_eq!(vhost.route_with("amq.headers", "", pdf()).unwrap(), ["a"]);
    assert!(!vhost.is_repeatable());
    assert_eq!(vhost.route_with("amq.match", "", pdf()).unwrap(), ["b"]);
    assert_eq!(vhost.route("amq.headers", ""), none());
}

#[test]
fn an_unknown_exchange_is_not_found() {
    let mut vhost = Vhost::new();
    let fault = vhost.route_with("x", "k", Table::new()).unwrap_err();
    assert_eq!(fault, Fault::not_found("no exchange 'x' in vhost '/'"));
}

#[test]
fn clients_do_not_publish_to_internal_exchanges_but_exchanges_do() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    vhost.exchange("xi", "fanout", "internal", Table::new()).unwrap();
    vhost.bind("xi", "q", "");
    vhost.bind("amq.fanout", "xi", "");
    let fault = vhost.route_with("xi", "k", Table::new()).unwrap_err();
    assert_eq!(fault, Fault::access_refused("cannot publish to internal exchange 'xi' in vhost '/'"));
    let fault = vhost.route_with("amq.rabbitmq.trace", "k", Table::new()).unwrap_err();
    assert_eq!(fault.code, ReplyCode::AccessRefused);
    assert_eq!(vhost.route("amq.fanout", "k"), ["q"]);
}

#[test]
fn exchanges_lead_to_exchanges_and_cycles_end() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    for name in ["x1", "x2", "x3"] {
        vhost.exchange(name, "topic", "", Table::new()).unwrap();
    }
    vhost.bind("x1", "x2", "eu.#");
    vhost.bind("x2", "x3", "#.created");
    vhost.bind("x3", "x1", "#");
    vhost.bind("x3", "x3", "#");
    vhost.bind("x2", "a", "#");
    vhost.bind("x3", "b", "#");
    vhost.bind("x1", "b", "#");
    assert_eq!(vhost.route("x1", "eu.created"), ["a", "b"]);
    assert_eq!(vhost.route("x1", "us.created"), ["b"]);
    assert_eq!(vhost.route("x2", "eu.deleted"), ["a"]);
    assert_eq!(vhost.route("x3", "us.created"), ["b"]);
}

#[test]
fn the_alternate_exchange_gets_what_nothing_matched() {
    let alternate = |name: &str| Table::from([("alternate-exchange", name.into())]);
    let mut vhost = Vhost::new();
    vhost.queues(["a", "rest"]);
    vhost.exchange("x1", "direct", "", alternate("x2")).unwrap();
    vhost.bind("x1", "a", "k");
    assert_eq!(vhost.route("x1", "other"), none(), "it does not exist yet");
    vhost.exchange("x2", "direct", "", alternate("x3")).unwrap();
    vhost.exchange("x3", "fanout", "", alternate("x1")).unwrap();
    assert_eq!(vhost.route("x1", "other"), none(), "a ring of alternates ends");
    vhost.bind("x3", "rest", "");
    assert_eq!(vhost.route("x1", "other"), ["rest"]);
    assert_eq!(vhost.route("x1", "k"), ["a"]);
}

#[test]
fn the_alternate_exchange_is_not_tried_when_a_bound_exchange_matched() {
    let mut vhost = Vhost::new();
    vhost.queues(["rest"]);
    vhost.exchange("x1", "direct", "", Table::from([("alternate-exchange", "x3".into())])).unwrap();
    vhost.exchange("x2", "direct", "", Table::new()).unwrap();
    vhost.exchange("x3", "fanout", "", Table::new()).unwrap();
    vhost.bind("x1", "x2", "k");
    vhost.bind("x3", "rest", "");
    assert_eq!(vhost.route("x1", "k"), none());
    assert_eq!(vhost.route("x1", "other"), ["rest"]);
}

#[test]
fn the_default_exchange_can_be_the_alternate() {
    let mut vhost = Vhost::new();
    vhost.queues(["a"]);
    vhost.exchange("x1", "topic", "", Table::from([("alternate-exchange", "".into())])).unwrap();
    assert_eq!(vhost.route("x1", "a"), ["a"]);
    assert_eq!(vhost.route("x1", "b"), none());
}

#[test]
fn cc_and_bcc_are_further_routing_keys() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b", "c"]);
    vhost.bind("amq.direct", "a", "1");
    vhost.bind("amq.direct", "b", "2");
    vhost.bind("amq.direct", "b", "3");
    vhost.bind("amq.topic", "c", "#");
    assert_eq!(vhost.route_with("amq.direct", "1", cc("CC", &["2", "3"])).unwrap(), ["a", "b"]);
    assert!(!vhost.is_repeatable());
    assert_eq!(vhost.route_with("amq.direct", "none", cc("BCC", &["2"])).unwrap(), ["b"]);
    assert_eq!(vhost.route_with("", "a", cc("CC", &["b", "a", "zzz"])).unwrap(), ["a", "b"]);
    assert_eq!(vhost.route_with("amq.topic", "k", cc("CC", &["k", "l"])).unwrap(), ["c"]);
    assert_eq!(vhost.route("", "a"), ["a"]);
    assert!(vhost.is_repeatable());
}

#[test]
fn a_cc_that_is_no_array_is_refused_and_elements_that_are_no_text_are_not() {
    let mut vhost = Vhost::new();
    vhost.queues(["a"]);
    let fault = vhost.route_with("", "a", Table::from([("CC", "a".into())])).unwrap_err();
    let text = "invalid message: {unacceptable_type_in_header,\"CC\",longstr}";
    assert_eq!(fault, Fault::precondition_failed(text));
    let fault = vhost.route_with("", "a", Table::from([("BCC", 1.into())])).unwrap_err();
    assert_eq!(fault.text, "invalid message: {unacceptable_type_in_header,\"BCC\",signedint}");
    let mixed = Table::from([("CC", Value::Array(vec![1.into(), "a".into()]))]);
    assert_eq!(vhost.route_with("", "zzz", mixed).unwrap(), ["a"]);
}

#[test]
fn dead_letters_go_by_all_their_keys_and_to_internal_exchanges() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b"]);
    vhost.exchange("xi", "direct", "internal", Table::new()).unwrap();
    vhost.bind("xi", "a", "1");
    vhost.bind("xi", "b", "2");
    let mut out = Vec::new();
    let mut scratch = RouteScratch::default();
    let mut route = |exchange: &str, keys: &[&str]| {
        out.clear();
        let routed = vhost.topology.route_dead_letter(
            exchange,
            keys,
            PropertiesView::new_unchecked_valid(&[0, 0]),
            &mut scratch,
            &mut out,
        );
        out.sort();
        (routed, out.clone())
    };
    assert_eq!(route("xi", &["1", "2"]), (Some(true), vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(route("", &["b"]), (Some(true), vec!["b".to_owned()]));
    assert_eq!(route("xi", &["3"]), (Some(false), none()));
    assert_eq!(route("gone", &["1"]), (None, none()));
}

#[test]
fn extra_keys_are_those_of_both_headers() {
    let mut headers = cc("CC", &["a"]);
    headers.insert("BCC", Value::Array(vec!["b".into()]));
    let properties = properties_with(headers);
    let keys = extra_routing_keys(PropertiesView::validate(&properties).unwrap());
    assert_eq!(keys, Ok(vec!["a", "b"]));
}

#[test]
fn bcc_is_taken_out_and_nothing_else() {
    let mut headers = cc("CC", &["a"]);
    headers.insert("BCC", Value::Array(vec!["b".into()]));
    headers.insert("own", 1);
    let message = Message::new("x", "k", &properties_with(headers.clone()), b"body");
    let without = without_bcc(message);
    headers.remove("BCC");
    assert_eq!(without.properties_raw(), properties_with(headers));
    assert_eq!((without.exchange(), without.routing_key(), without.body()), ("x", "k", &b"body"[..]));
}

/// What reaches which queue, worked out from the definitions alone.
fn naive(vhost: &Vhost, exchange: &str, routing_key: &str, met: &mut Vec<String>) -> Vec<String> {
    if met.contains(&exchange.to_owned()) {
        return none();
    }
    met.push(exchange.to_owned());
    let Some(definition) = vhost.topology.exchange(exchange) else { return none() };
    let mut matched = false;
    let mut reached = none();
    let bindings: Vec<_> = vhost.topology.bindings_from(exchange).collect();
    for binding in bindings {
        if definition.kind.name() != "fanout" && binding.routing_key != routing_key {
            continue;
        }
        matched = true;
        match binding.destination {
            crate::session::host::Destination::Queue(name) => reached.push(name.to_owned()),
            crate::session::host::Destination::Exchange(name) => {
                reached.extend(naive(vhost, name, routing_key, met));
            }
        }
    }
    if !matched
        && let Some(alternate) = definition.arguments.get("alternate-exchange").and_then(Value::as_str)
    {
        reached.extend(naive(vhost, alternate, routing_key, met));
    }
    reached
}

proptest! {
    #[test]
    fn any_graph_of_exchanges_is_walked_to_its_end(
        kinds in prop::collection::vec((prop::sample::select(vec!["direct", "fanout"]), prop::option::of(0usize..6)), 6),
        bindings in prop::collection::vec((0usize..6, 0usize..9, 0usize..3), 0..40),
        unbound in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        start in 0usize..6,
        key in 0usize..3,
    ) {
        let names = ["x0", "x1", "x2", "x3", "x4", "x5", "q0", "q1", "q2"];
        let keys = ["a", "b", "c"];
        let mut vhost = Vhost::new();
        vhost.queues(["q0", "q1", "q2"]);
        for (name, (kind, alternate)) in names.iter().zip(&kinds) {
            let arguments = alternate.map(|index| ("alternate-exchange", Value::from(names[index])));
            vhost.exchange(name, kind, "", arguments.into_iter().collect()).unwrap();
        }
        for &(source, destination, key) in &bindings {
            vhost.bind(names[source], names[destination], keys[key]);
        }
        for index in unbound {
            if !bindings.is_empty() {
                let (source, destination, key) = bindings[index.index(bindings.len())];
                vhost.unbind(names[source], names[destination], keys[key]);
            }
        }
        let mut expected = naive(&vhost, names[start], keys[key], &mut Vec::new());
        expected.sort();
        expected.dedup();
        prop_assert_eq!(vhost.route(names[start], keys[key]), expected);
    }
}

// ---- exchanges that choose -------------------------------------------------------------------------------------

#[test]
fn a_consistent_hash_exchange_sends_equal_keys_to_one_queue() {
    let mut vhost = Vhost::new();
    vhost.queues(["a", "b", "c"]);
    vhost.exchange("x", "x-consistent-hash", "", Table::new()).unwrap();
    assert_eq!(vhost.route("x", "k"), none());
    for queue in ["a", "b", "c"] {
        vhost.bind("x", queue, "10");
    }
    let reached: Vec<Vec<String>> = (0..100).map(|key| vhost.route("x", &key.to_string())).collect();
    assert!(reached.iter().all(|queues| queues.len() == 1));
    assert!(!vhost.is_repeatable(), "remembering each of many keys would crowd out others");
    let again: Vec<Vec<String>> = (0..100).map(|key| vhost.route("x", &key.to_string())).collect();
    assert_eq!(reached, again);
    vhost.delete_queue("b").unwrap();
    for (key, before) in reached.iter().enumerate() {
        let now = vhost.route("x", &key.to_string());
        assert!(now == *before || before == &["b"], "{key} went from {before:?} to {now:?}");
    }
}

#[test]
fn a_random_exchange_chooses_by_its_seed() {
    let choices = |seed| {
        let mut vhost = Vhost::new();
        vhost.seed(seed);
        vhost.queues(["a", "b", "c", "d"]);
        vhost.exchange("x", "x-random", "", Table::new()).unwrap();
        assert_eq!(vhost.route("x", ""), none());
        for queue in ["a", "b", "c", "d"] {
            vhost.bind("x", queue, "");
        }
        let choices: Vec<String> = (0..4_000).flat_map(|_| vhost.route("x", "")).collect();
        assert!(!vhost.is_repeatable() && choices.len() == 4_000);
        choices
    };
    let first = choices(1);
    for queue in ["a", "b", "c", "d"] {
        let count = first.iter().filter(|chosen| *chosen == queue).count();
        assert!((850..1_150).contains(&count), "{queue} got {count} of 4000");
    }
    assert_eq!(first, choices(1));
    assert_ne!(first, choices(2));
}

#[test]
fn exchanges_that_remember_messages_are_told_of_each() {
    let mut vhost = Vhost::new();
    vhost.queues(["a"]);
    let deduplicates = Table::from([("x-message-deduplication", true.into())]);
    vhost.exchange("x1", "direct", "", deduplicates).unwrap();
    vhost.exchange("x2", "x-recent-history", "", Table::new()).unwrap();
    vhost.bind("x1", "x2", "k");
    vhost.bind("x2", "a", "");
    assert_eq!(vhost.route("x1", "k"), ["a"]);
    assert_eq!(vhost.remembering(), ["x1", "x2"]);
    assert!(!vhost.is_repeatable());
    assert_eq!(vhost.route("x1", "other"), none());
    assert_eq!(vhost.remembering(), ["x1"]);
    assert_eq!(vhost.route("", "a"), ["a"]);
    assert!(vhost.remembering().is_empty() && vhost.is_repeatable());
}
