use std::collections::BTreeSet;

use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{Table, Value};
use proptest::prelude::*;

use super::super::testing::{ME, Vhost};
use super::*;

const OTHER: ConnectionId = ConnectionId(2);

fn no_arguments() -> Table {
    Table::new()
}

fn text<T: std::fmt::Debug>(result: Result<T, Fault>) -> (u16, String) {
    let fault = result.unwrap_err();
    (fault.code.code(), fault.text.into_owned())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Fault>, code: u16, expected: &str) {
    assert_eq!(text(result), (code, expected.to_owned()));
}

// ---- exchanges ------------------------------------------------------------------------------------------------

#[test]
fn a_vhost_begins_with_seven_exchanges() {
    let vhost = Vhost::new();
    let names: Vec<_> = vhost.topology.exchanges().map(|exchange| exchange.name.as_str()).collect();
    assert_eq!(
        names,
        ["", "amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match", "amq.rabbitmq.trace"]
    );
    assert!(vhost.topology.exchanges().all(|exchange| exchange.durable && !exchange.auto_delete));
}

#[test]
fn an_exchange_declared_again_has_to_be_the_same() {
    let mut vhost = Vhost::new();
    vhost.exchange("x", "direct", "durable", no_arguments()).unwrap();
    vhost.exchange("x", "direct", "durable", no_arguments()).unwrap();
    let mut check = |kind, flags, arguments: Table, expected: &str| {
        let text = format!("inequivalent arg {expected}");
        refused(vhost.exchange("x", kind, flags, arguments), 406, &text);
    };
    let at = "for exchange 'x' in vhost '/'";
    check(
        "fanout",
        "durable",
        no_arguments(),
        &format!("'type' {at}: received 'fanout' but current is 'direct'"),
    );
    check("direct", "", no_arguments(), &format!("'durable' {at}: received 'false' but current is 'true'"));
    check(
        "direct",
        "durable auto_delete",
        no_arguments(),
        &format!("'auto_delete' {at}: received 'true' but current is 'false'"),
    );
    check(
        "direct",
        "durable internal",
        no_arguments(),
        &format!("'internal' {at}: received 'true' but current is 'false'"),
    );
    check(
        "direct",
        "durable",
        Table::from([("alternate-exchange", "y".into())]),
        &format!("'alternate-exchange' {at}: received the value 'y' of type 'longstr' but current is none"),
    );
    vhost.exchange("x", "direct", "durable", Table::from([("x-other", 1.into())])).unwrap();
    assert_eq!(vhost.topology.exchange_count(), 8);
}

#[test]
fn predeclared_exchanges_may_be_declared_as_they_are() {
    let mut vhost = Vhost::new();
    vhost.exchange("amq.topic", "topic", "durable", no_arguments()).unwrap();
    assert_eq!(text(vhost.exchange("amq.topic", "topic", "", no_arguments())).0, 406);
}

#[test]
fn new_names_with_the_reserved_prefix_are_refused() {
    let mut vhost = Vhost::new();
    refused(
        vhost.exchange("amq.new", "direct", "", no_arguments()),
        403,
        "exchange name 'amq.new' contains reserved prefix 'amq.*'",
    );
    refused(
        vhost.queue("amq.new", "", no_arguments()),
        403,
        "queue name 'amq.new' contains reserved prefix 'amq.*'",
    );
}

#[test]
fn unknown_exchange_types_are_refused() {
    let mut vhost = Vhost::new();
    refused(vhost.exchange("x", "x-what", "", no_arguments()), 406, "unknown exchange type 'x-what'");
}

#[test]
fn arguments_of_exchanges_that_choose_or_remember_are_checked() {
    let mut vhost = Vhost::new();
    let mut check = |kind: &str, arguments: Vec<(&str, Value)>, expected: &str| {
        refused(vhost.exchange("x", kind, "", arguments.into_iter().collect()), 406, expected);
    };
    check("x-consistent-hash", vec![("hash-property", "app_id".into())], "Unsupported property: app_id");
    check(
        "x-consistent-hash",
        vec![("hash-header", "h".into()), ("hash-property", "message_id".into())],
        "hash-header and hash-property are mutually exclusive",
    );
    check(
        "x-consistent-hash",
        vec![("hash-header", 1.into())],
        "invalid type 'signedint' for arg 'hash-header' in exchange 'x' in vhost '/'",
    );
    for (length, shown) in [(Value::from(0), "0"), ("5".into(), "<<\"5\">>")] {
        check(
            "x-recent-history",
            vec![("x-recent-history-length", length)],
            &format!("Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"),
        );
    }
    check(
        "direct",
        vec![("x-deduplication-window", 0.into())],
        "invalid arg 'x-deduplication-window' for exchange 'x' in vhost '/': {value_zero,0}",
    );
    assert_eq!(vhost.topology.exchange_count(), 7);
}

#[test]
fn a_binding_of_a_consistent_hash_exchange_has_a_weight() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    vhost.exchange("x", "x-consistent-hash", "", no_arguments()).unwrap();
    refused(
        vhost.bind_with(ME, "x", "q", "heavy", no_arguments()),
        406,
        "The binding key must be an integer: <<\"heavy\">>",
    );
    refused(
        vhost.bind_with(ME, "x", "q", "0", no_arguments()),
        406,
        "The binding key must be greater than 0",
    );
    vhost.bind_with(ME, "x", "q", "3", no_arguments()).unwrap();
}

#[test]
fn the_default_exchange_is_left_alone() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    vhost.exchange("x", "direct", "", no_arguments()).unwrap();
    let expected = "operation not permitted on the default exchange";
    refused(vhost.exchange("", "direct", "durable", no_arguments()), 403, expected);
    refused(vhost.exchange("", "", "passive", no_arguments()), 403, expected);
    refused(vhost.delete_exchange("", false), 403, expected);
    refused(vhost.bind_with(ME, "", "q", "k", no_arguments()), 403, expected);
    refused(vhost.unbind_with(ME, "", "q", "k", no_arguments()), 403, expected);
    refused(vhost.bind_with(ME, "x", "", "k", no_arguments()), 403, expected);
}

#[test]
fn a_passive_declaration_only_asks() {
    let mut vhost = Vhost::new();
    vhost.exchange("amq.direct", "ignored", "passive", no_arguments()).unwrap();
    refused(vhost.exchange("x", "", "passive", no_arguments()), 404, "no exchange 'x' in vhost '/'");
    refused(vhost.queue("q", "passive", no_arguments()), 404, "no queue 'q' in vhost '/'");
    vhost.queue("q", "durable", no_arguments()).unwrap();
    assert_eq!(vhost.queue("q", "passive", no_arguments()).unwrap(), "q");
}

#[test]
fn an_alternate_exchange_is_named_by_text() {
    let mut vhost = Vhost::new();
    refused(
        vhost.exchange("x", "direct", "", Table::from([("alternate-exchange", 1.into())])),
        406,
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
    );
}

#[test]
fn deleting_an_exchange_takes_its_bindings_on_both_sides() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    for name in ["x1", "x2", "x3"] {
        vhost.exchange(name, "fanout", "", no_arguments()).unwrap();
    }
    vhost.bind("x1", "x2", "");
    vhost.bind("x2", "x3", "");
    vhost.bind("x2", "q", "");
    vhost.bind("x2", "x2", "");
    vhost.bind("x3", "q", "");
    refused(vhost.delete_exchange("x2", true), 406, "exchange 'x2' in vhost '/' in use");
    let change = vhost.delete_exchange("x2", false).unwrap();
    assert_eq!(change.exchanges_removed, ["x2"]);
    assert_eq!(change.bindings_removed.len(), 4);
    assert_eq!(vhost.topology.binding_count(), 1);
    assert_eq!(vhost.delete_exchange("x2", false).unwrap(), Change::default(), "nothing left to delete");
    vhost.delete_exchange("x1", true).unwrap();
}

#[test]
fn system_exchanges_are_not_deleted() {
    let mut vhost = Vhost::new();
    refused(
        vhost.delete_exchange("amq.direct", false),
        403,
        "deletion of system exchange 'amq.direct' in vhost '/' not allowed",
    );
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_takes_others_along() {
    let mut vhost = Vhost::new();
    vhost.queues(["q", "r"]);
    for name in ["x1", "x2", "x3"] {
        vhost.exchange(name, "fanout", "auto_delete", no_arguments()).unwrap();
    }
    vhost.bind("x1", "x2", "");
    vhost.bind("x2", "x3", "");
    vhost.bind("x3", "q", "1");
    vhost.bind("x3", "q", "2");
    vhost.bind("x3", "r", "");
    assert_eq!(vhost.unbind("x3", "q", "1").exchanges_removed, [""; 0]);
    assert_eq!(vhost.unbind("x3", "r", "").exchanges_removed, [""; 0]);
    let change = vhost.delete_queue("q").unwrap();
    assert_eq!(change.exchanges_removed, ["x3", "x2", "x1"]);
    assert_eq!(change.bindings_removed.len(), 3);
    assert_eq!(vhost.topology.exchange_count(), 7);
    assert_eq!(vhost.topology.binding_count(), 0);
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let mut vhost = Vhost::new();
    vhost.exchange("x\r\n1", "fanout", "", no_arguments()).unwrap();
    assert_eq!(vhost.queue("q\n", "", no_arguments()).unwrap(), "q");
    vhost.bind("x1\n", "q\r", "");
    assert_eq!(vhost.route("x1", ""), ["q"]);
    vhost.delete_exchange("x1\n", false).unwrap();
    assert_eq!(vhost.topology.exchange_count(), 7);
}

// ---- queues ---------------------------------------------------------------------------------------------------

#[test]
fn a_queue_without_a_name_gets_one() {
    let mut vhost = Vhost::new();
    let name = vhost.queue("", "exclusive", no_arguments()).unwrap();
    assert_eq!(name, generated_queue_name(None, [7; 16]));
    assert_eq!(vhost.queue(&name, "exclusive", no_arguments()).unwrap(), name);
}

#[test]
fn a_client_chooses_how_a_made_up_name_begins() {
    let mut vhost = Vhost::new();
    let prefix = |prefix: Value| Table::from([("x-name-prefix", prefix)]);
    let name = vhost.queue("", "exclusive", prefix("shop".into())).unwrap();
    assert_eq!(name, generated_queue_name(Some("shop"), [7; 16]));
    let longest = "x".repeat(64);
    assert!(vhost.queue("", "exclusive", prefix(longest.as_str().into())).unwrap().starts_with(&longest));
    assert_eq!(vhost.queue("mine", "", prefix("shop".into())).unwrap(), "mine");
    let text = "invalid arg 'x-name-prefix' for queue '' in vhost '/': expected a string of at most 64 bytes";
    refused(vhost.queue("", "", prefix("x".repeat(65).as_str().into())), 406, text);
    refused(vhost.queue("", "", prefix(7.into())), 406, text);
}

#[test]
fn a_queue_declared_again_has_to_be_the_same() {
    let mut vhost = Vhost::new();
    let ttl = |ms: Value| {
        Table::from([("x-message-ttl", ms), ("x-foo", 1.into()), ("x-consumer-timeout", 5.into())])
    };
    vhost.queue("q", "durable", ttl(60_000.into())).unwrap();
    vhost.queue("q", "durable", ttl(Value::I64(60_000))).unwrap();
    let same = [("x-message-ttl", 60_000.into()), ("x-queue-type", "classic".into()), ("x-bar", 2.into())];
    vhost.queue("q", "durable", Table::from(same)).unwrap();
    let mut check = |flags, arguments, expected: &str| {
        let text = format!("inequivalent arg {expected}");
        refused(vhost.queue("q", flags, arguments), 406, &text);
    };
    let at = "for queue 'q' in vhost '/'";
    check("", ttl(60_000.into()), &format!("'durable' {at}: received 'false' but current is 'true'"));
    check(
        "durable auto_delete",
        ttl(60_000.into()),
        &format!("'auto_delete' {at}: received 'true' but current is 'false'"),
    );
    check(
        "durable",
        no_arguments(),
        &format!("'x-message-ttl' {at}: received none but current is the value '60000' of type 'signedint'"),
    );
    check("durable", ttl(1.into()), &format!("'x-message-ttl' {at}: received '1' but current is '60000'"));
    assert_eq!(vhost.topology.queue_count(), 1);
}

#[test]
fn an_exclusive_queue_belongs_to_its_connection() {
    let expected = "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared \
                    on another connection or the exclusive property value does not match that of the original \
                    declaration.";
    let mut vhost = Vhost::new();
    vhost.queue("q", "exclusive durable", no_arguments()).unwrap();
    let (definition, _) = vhost.topology.queue("q").unwrap();
    assert!(!definition.durable, "an exclusive queue does not outlive its connection");
    assert_eq!(definition.exclusive_owner, Some(ME));
    assert_eq!(vhost.stored.len(), 0);
    vhost.bind("amq.direct", "q", "k");

    refused(vhost.queue_of(OTHER, "q", "exclusive", no_arguments()), 405, expected);
    refused(vhost.queue_of(OTHER, "q", "passive", no_arguments()), 405, expected);
    refused(vhost.queue_of(ME, "q", "durable", no_arguments()), 405, expected);
    refused(vhost.bind_with(OTHER, "amq.direct", "q", "k2", no_arguments()), 405, expected);
    refused(vhost.unbind_with(OTHER, "amq.direct", "q", "k", no_arguments()), 405, expected);
    assert!(vhost.unbind_with(OTHER, "amq.direct", "q", "none", no_arguments()).is_ok());
    refused(vhost.topology.accessible_queue("q", OTHER).map(drop), 405, expected);
    assert!(vhost.topology.accessible_queue("q", ME).is_ok());
    vhost.queue("q", "exclusive", no_arguments()).unwrap();
}

#[test]
fn a_shared_queue_is_not_taken_over_as_exclusive() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    assert_eq!(text(vhost.queue("q", "exclusive", no_arguments())).0, ReplyCode::ResourceLocked.code());
    assert!(vhost.topology.accessible_queue("q", OTHER).is_ok());
}

#[test]
fn a_connections_exclusive_queues_are_known() {
    let mut vhost = Vhost::new();
    for (connection, name) in [(ME, "a"), (OTHER, "b"), (ME, "c")] {
        vhost.queue_of(connection, name, "exclusive", no_arguments()).unwrap();
    }
    vhost.queues(["d"]);
    let names = |vhost: &Vhost, connection| {
        vhost.topology.exclusive_queues(connection).map(|queue| queue.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&vhost, ME), ["a", "c"]);
    vhost.delete_queue("a").unwrap();
    assert_eq!(names(&vhost, ME), ["c"]);
    vhost.delete_queue("c").unwrap();
    assert_eq!(names(&vhost, ME), [""; 0]);
    assert_eq!(names(&vhost, OTHER), ["b"]);
}

#[test]
fn quorum_queues_are_durable_shared_and_named_by_their_user() {
    let mut vhost = Vhost::new();
    let quorum = || Table::from([("x-queue-type", "quorum".into())]);
    vhost.queue("q", "durable", quorum()).unwrap();
    let mut check = |flags, property| {
        let text = format!("invalid property '{property}' for queue 'q2' in vhost '/'");
        refused(vhost.queue("q2", flags, quorum()), 406, &text);
    };
    check("durable auto_delete", "auto-delete");
    check("durable exclusive", "exclusive-owner");
    check("", "non-durable");
    refused(
        vhost.queue("", "durable", quorum()),
        406,
        "Cannot declare a server-named queue for type rabbit_quorum_queue",
    );
    refused(
        vhost.queue("q", "durable", no_arguments()),
        406,
        "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' \
         of type 'longstr'",
    );
}

#[test]
fn a_vhosts_default_kind_goes_to_queues_that_it_suits() {
    let mut vhost = Vhost::new();
    vhost.default_kind = Some(QueueKind::Quorum);
    let classic = || Table::from([("x-queue-type", "classic".into())]);
    vhost.queue("durable", "durable", no_arguments()).unwrap();
    vhost.queue("transient", "", no_arguments()).unwrap();
    vhost.queue("exclusive", "durable exclusive", no_arguments()).unwrap();
    vhost.queue("going", "durable auto_delete", no_arguments()).unwrap();
    vhost.queue("classic", "durable", classic()).unwrap();
    let kind = |name| vhost.topology.queue(name).unwrap().0.options.kind;
    assert_eq!(kind("durable"), QueueKind::Quorum);
    for name in ["transient", "exclusive", "going", "classic"] {
        assert_eq!(kind(name), QueueKind::Classic, "{name}");
    }
    vhost.queue("durable", "durable", no_arguments()).unwrap();
}

#[test]
fn bad_arguments_make_no_queue() {
    let mut vhost = Vhost::new();
    refused(
        vhost.queue("q", "", Table::from([("x-expires", 0.into())])),
        406,
        "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}",
    );
    assert_eq!(vhost.topology.queue_count(), 0);
}

#[test]
fn arguments_may_be_nested_as_deep_as_records_can_be() {
    let nested = |depth| (1..depth).fold(Table::new(), |inner, _| Table::from([("t", Value::Table(inner))]));
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable", nested(32)).unwrap();
    vhost.bind_with(ME, "amq.direct", "q", "", nested(32)).unwrap();
    assert_round_trip(&vhost);
    refused(vhost.queue("q2", "durable", nested(33)), 406, "arguments are nested more than 32 deep");
    assert_eq!(text(vhost.bind_with(ME, "amq.direct", "q", "", nested(33))).0, 406);
    assert_eq!(text(vhost.exchange("x", "direct", "", nested(33))).0, 406);
}

// ---- bindings -------------------------------------------------------------------------------------------------

#[test]
fn both_ends_of_a_binding_have_to_exist() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    let mut check = |source, destination, expected| {
        refused(vhost.bind_with(ME, source, destination, "k", no_arguments()), 404, expected);
        assert_eq!(vhost.unbind(source, destination, "k"), Change::default());
    };
    check("x1", "q", "no exchange 'x1' in vhost '/'");
    check("amq.direct", "r", "no queue 'r' in vhost '/'");
    check("amq.direct", "x2", "no exchange 'x2' in vhost '/'");
    check("x1", "r", "no exchange 'x1' in vhost '/'");
}

#[test]
fn binding_twice_is_binding_once() {
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable", no_arguments()).unwrap();
    let arguments = |a: i32| Table::from([("b", 1.into()), ("a", a.into())]);
    let sorted = |a: i32| Table::from([("a", a.into()), ("b", 1.into())]);
    assert_eq!(vhost.bind_with(ME, "amq.direct", "q", "k", arguments(1)).unwrap().records.len(), 1);
    let generation = vhost.topology.generation();
    assert_eq!(vhost.bind_with(ME, "amq.direct", "q", "k", sorted(1)).unwrap(), Change::default());
    assert_eq!(vhost.topology.generation(), generation);
    vhost.bind_with(ME, "amq.direct", "q", "k", arguments(2)).unwrap();
    assert_eq!(vhost.topology.binding_count(), 2);
    vhost.unbind_with(ME, "amq.direct", "q", "k", sorted(1)).unwrap();
    assert_eq!(vhost.route("amq.direct", "k"), ["q"]);
    vhost.unbind_with(ME, "amq.direct", "q", "k", arguments(2)).unwrap();
    assert_eq!(vhost.topology.binding_count(), 0);
    assert_eq!(vhost.route("amq.direct", "k"), [""; 0]);
}

#[test]
fn headers_exchanges_check_x_match_when_binding() {
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    let bad = || Table::from([("x-match", "some".into())]);
    refused(
        vhost.bind_with(ME, "amq.headers", "q", "", bad()),
        406,
        "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x",
    );
    vhost.bind_with(ME, "amq.direct", "q", "", bad()).unwrap();
}

#[test]
fn bindings_are_listed_from_either_end() {
    let mut vhost = Vhost::new();
    vhost.queues(["q", "r"]);
    vhost.exchange("x", "topic", "", no_arguments()).unwrap();
    vhost.bind("x", "q", "a.#");
    vhost.bind("x", "r", "b");
    vhost.bind("amq.fanout", "x", "");
    vhost.bind("amq.fanout", "q", "");
    let topology = &vhost.topology;
    let keys = |bindings: Vec<Binding<'_>>| {
        bindings
            .iter()
            .map(|binding| (binding.source.to_owned(), binding.routing_key.to_owned()))
            .collect::<BTreeSet<_>>()
    };
    let set = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    assert_eq!(keys(topology.bindings_from("x").collect()), set(&[("x", "a.#"), ("x", "b")]));
    assert_eq!(
        keys(topology.bindings_to(Destination::Queue("q")).collect()),
        set(&[("x", "a.#"), ("amq.fanout", "")])
    );
    assert_eq!(keys(topology.bindings_to(Destination::Exchange("x")).collect()), set(&[("amq.fanout", "")]));
    assert_eq!(topology.bindings().count(), 4);
    assert_eq!(topology.bindings_from("none").count(), 0);
}

#[test]
fn taking_out_a_queue_with_many_bindings_takes_time_in_proportion() {
    const BINDINGS: usize = 100_000;
    let mut vhost = Vhost::new();
    vhost.queues(["q"]);
    for number in 0..BINDINGS {
        vhost.bind("amq.topic", "q", &format!("device.{number}.#"));
        vhost.bind("amq.direct", "q", &number.to_string());
    }
    // A second in a debug build; were it the square, nobody would wait for the test to end.
    assert_eq!(vhost.delete_queue("q").unwrap().bindings_removed.len(), 2 * BINDINGS);
}

// ---- records --------------------------------------------------------------------------------------------------

/// What a topology holds that outlives the broker, as text that can be compared.
fn durable_content(topology: &Topology<String>) -> BTreeSet<String> {
    let exchanges =
        topology.exchanges().filter(|exchange| exchange.durable).map(|exchange| format!("{exchange:?}"));
    let queues = topology.queues().filter(|(queue, _)| queue.durable).map(|(queue, _)| format!("{queue:?}"));
    let is_durable_exchange = |name: &str| topology.exchange(name).is_some_and(|exchange| exchange.durable);
    let bindings = topology
        .bindings()
        .filter(|binding| {
            is_durable_exchange(binding.source)
                && match binding.destination {
                    Destination::Queue(name) => topology.queue(name).is_some_and(|(queue, _)| queue.durable),
                    Destination::Exchange(name) => is_durable_exchange(name),
                }
        })
        .map(|binding| format!("{binding:?}"));
    exchanges.chain(queues).chain(bindings).collect()
}

#[track_caller]
fn assert_round_trip(vhost: &Vhost) {
    let restored = Topology::restore("/", &vhost.stored, |definition, _| definition.name.clone()).unwrap();
    assert_eq!(restored.dangling, []);
    let topology = restored.topology;
    assert_eq!(durable_content(&topology), durable_content(&vhost.topology));
    assert!(topology.exchanges().all(|exchange| exchange.durable));
    assert!(topology.queues().all(|(queue, handle)| queue.durable && queue.name == *handle));
    assert_eq!(
        topology.exchange_count() + topology.queue_count() + topology.binding_count(),
        vhost.stored.len() + 7
    );
}

#[test]
fn only_what_is_durable_at_both_ends_is_stored() {
    let mut vhost = Vhost::new();
    vhost.queue("d", "durable", no_arguments()).unwrap();
    vhost.queue("t", "", no_arguments()).unwrap();
    vhost.exchange("xd", "topic", "durable", no_arguments()).unwrap();
    vhost.exchange("xt", "topic", "", no_arguments()).unwrap();
    assert_eq!(vhost.stored.len(), 2);
    for source in ["xd", "xt"] {
        for destination in ["d", "t", "xd", "xt"] {
            vhost.bind(source, destination, "k");
        }
    }
    assert_eq!(vhost.stored.len(), 4);
    assert_round_trip(&vhost);
    vhost.delete_queue("d").unwrap();
    assert_eq!(vhost.stored.len(), 2);
    vhost.delete_exchange("xd", false).unwrap();
    assert_eq!(vhost.stored.len(), 0);
}

#[test]
fn one_vhosts_records_have_a_prefix_of_their_own() {
    assert!(!super::super::record_prefix("ab").starts_with(&super::super::record_prefix("a")));
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable", no_arguments()).unwrap();
    vhost.bind("amq.direct", "q", "k");
    vhost.exchange("x", "direct", "durable", no_arguments()).unwrap();
    assert_eq!(vhost.stored.len(), 3);
    assert!(vhost.stored.keys().all(|key| key.starts_with(&super::super::record_prefix("/"))));
    let other = Topology::restore("//", &vhost.stored, |definition, _| definition.name.clone()).unwrap();
    assert_eq!(durable_content(&other.topology), durable_content(&Topology::new("//")));
}

#[test]
fn records_look_as_they_did_when_first_released() {
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable auto_delete", Table::from([("x-max-length", 5.into())])).unwrap();
    vhost.exchange("x", "topic", "durable internal", no_arguments()).unwrap();
    vhost.bind_with(ME, "x", "q", "a.#", Table::from([("k", "v".into())])).unwrap();
    vhost.bind("amq.fanout", "x", "");
    let stored: Vec<(String, String)> = vhost
        .stored
        .iter()
        .map(|(key, value)| {
            (key.escape_ascii().to_string(), value.escape_ascii().to_string().replace("\\\"", "\""))
        })
        .collect();
    let expected = [
        (
            r"topology/\x00\x01/\x00\x05queue\x00\x01q",
            r#"\x01{"uid":1,"name":"q","auto_delete":true,"arguments":[["x-max-length",{"I32":5}]],"user":"guest"}"#,
        ),
        (
            r"topology/\x00\x01/\x00\x07binding\x00\x01x\x00\x05queue\x00\x01q\x00\x03a.#\x01kS\x00\x00\x00\x01v",
            r#"\x01{"source":"x","destination":{"queue":"q"},"routing_key":"a.#","arguments":[["k",{"LongString":"v"}]]}"#,
        ),
        (
            r"topology/\x00\x01/\x00\x07binding\x00\namq.fanout\x00\x08exchange\x00\x01x\x00\x00",
            r#"\x01{"source":"amq.fanout","destination":{"exchange":"x"},"routing_key":"","arguments":[]}"#,
        ),
        (
            r"topology/\x00\x01/\x00\x08exchange\x00\x01x",
            r#"\x01{"name":"x","kind":"topic","auto_delete":false,"internal":true,"arguments":[],"user":"guest"}"#,
        ),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(stored, expected);
}

#[test]
fn damaged_records_are_reported_and_lost_ones_leave_no_dangling_bindings() {
    let mut vhost = Vhost::new();
    vhost.queue("q", "durable", no_arguments()).unwrap();
    vhost.bind("amq.direct", "q", "k");
    let restore = |records: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>| {
        Topology::restore("/", records, |definition, _| definition.name.clone())
    };
    let queue_key = vhost.stored.keys().next().unwrap().clone();

    let mut lost = vhost.stored.clone();
    lost.remove(&queue_key);
    let restored = restore(&lost).unwrap();
    assert_eq!(restored.topology.binding_count(), 0);
    assert_eq!(restored.dangling, [Record::remove(lost.keys().next().unwrap().clone())]);

    let damaged = |value: &[u8]| {
        let mut records = vhost.stored.clone();
        records.insert(queue_key.clone(), value.to_vec());
        restore(&records).unwrap_err().to_string()
    };
    let expected = r"record 'topology/\x00\x01/\x00\x05queue\x00\x01q'";
    assert_eq!(damaged(b"\x02{}"), format!("{expected} has version 2, which this release does not know"));
    assert_eq!(damaged(b""), format!("{expected} is damaged: it is empty"));
    assert!(damaged(b"\x01{\"uid\":").starts_with(&format!("{expected} is damaged: EOF")));
    let mut records = vhost.stored.clone();
    records.insert(b"user/guest".to_vec(), b"\x01{}".to_vec());
    assert_eq!(restore(&records).unwrap().topology.queue_count(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Exchange(usize, bool, bool),
    Queue(usize, bool),
    Bind(usize, usize, usize, i32),
    Unbind(usize, usize, usize, i32),
    DeleteExchange(usize),
    DeleteQueue(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0usize..4, any::<bool>(), any::<bool>()).prop_map(|(x, d, a)| Step::Exchange(x, d, a)),
        2 => (0usize..4, any::<bool>()).prop_map(|(q, d)| Step::Queue(q, d)),
        6 => (0usize..4, 0usize..8, 0usize..3, 0..2).prop_map(|(s, d, k, a)| Step::Bind(s, d, k, a)),
        2 => (0usize..4, 0usize..8, 0usize..3, 0..2).prop_map(|(s, d, k, a)| Step::Unbind(s, d, k, a)),
        1 => (0usize..4).prop_map(Step::DeleteExchange),
        1 => (0usize..4).prop_map(Step::DeleteQueue),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_the_records_tell_it(steps in steps()) {
        let names = ["x0", "x1", "x2", "x3", "q0", "q1", "q2", "q3"];
        let kinds = ["topic", "direct", "headers", "fanout"];
        let keys = ["a.b", "#", "\u{e9}.\""];
        let durable = |durable| if durable { "durable" } else { "" };
        let arguments = |number: i32| -> Table { (0..number).map(|n| ("k", Value::from(n))).collect() };
        let mut vhost = Vhost::new();
        for step in steps {
            // Refusals are part of the game; they must leave no trace.
            let _ = match step {
                Step::Exchange(x, d, a) => {
                    let flags = format!("{} {}", durable(d), if a { "auto_delete" } else { "" });
                    vhost.exchange(names[x], kinds[x], &flags, no_arguments()).map(drop)
                }
                Step::Queue(q, d) => vhost.queue(names[4 + q], durable(d), no_arguments()).map(drop),
                Step::Bind(s, d, k, a) => vhost.bind_with(ME, names[s], names[d], keys[k], arguments(a)).map(drop),
                Step::Unbind(s, d, k, a) => vhost.unbind_with(ME, names[s], names[d], keys[k], arguments(a)).map(drop),
                Step::DeleteExchange(x) => vhost.delete_exchange(names[x], false).map(drop),
                Step::DeleteQueue(q) => {
                    vhost.delete_queue(names[4 + q]);
                    Ok(())
                }
            };
            // Auto-delete exchanges are there without bindings only until their first one is gone.
            prop_assert!(vhost.topology.bindings().all(|binding| vhost.topology.exchange(binding.source).is_some()));
        }
        assert_round_trip(&vhost);
        for name in &names[4..] {
            vhost.delete_queue(name);
        }
        for name in &names[..4] {
            vhost.delete_exchange(name, false).unwrap();
        }
        prop_assert_eq!(vhost.stored.len(), 0);
        prop_assert_eq!(vhost.topology.binding_count(), 0);
    }
}
