"""Exchanges: declaring, routing, bindings, alternate exchanges."""

import pika
from pika.compat import long
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, UnroutableError

from pika_support import channel, channel_error, connect, drain, exchange_exists, queue_with, round_trip
from scenario import Failure, UNKNOWN_EXCHANGE_TYPE, closed_with, equal, fresh, scenario, true


DEFAULT_EXCHANGE_REFUSED = "ACCESS_REFUSED - operation not permitted on the default exchange"


@scenario
def predeclared_exchanges_exist():
    ch = channel()
    for exchange, kind in (
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ):
        ch.exchange_declare(exchange, passive=True)
        ch.exchange_declare(exchange, kind, durable=True)
    ch.exchange_declare("amq.rabbitmq.trace", "topic", durable=True, internal=True)


@scenario
def exchange_types_can_be_declared_again():
    ch = channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        for durable in (False, True):
            exchange = fresh("exchange")
            ch.exchange_declare(exchange, kind, durable=durable)
            ch.exchange_declare(exchange, kind, durable=durable)
            ch.exchange_declare(exchange, passive=True)
            ch.exchange_delete(exchange)
            equal(exchange_exists(ch.connection, exchange), False, "exchange exists after delete")


@scenario
def passive_declare_of_a_missing_exchange_is_404():
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        channel().exchange_declare("interop-nowhere", passive=True)


@scenario
def exchange_declared_with_other_properties_is_406():
    connection = connect()
    exchange = fresh("exchange")
    other = fresh("exchange")
    original = {"exchange_type": "direct", "durable": True}
    connection.channel().exchange_declare(exchange, **original)

    def check(text, **changed):
        with channel_error(406, f"PRECONDITION_FAILED - inequivalent arg {text}"):
            connection.channel().exchange_declare(exchange, **(original | changed))

    place = f"for exchange '{exchange}' in vhost '/': received"
    check(f"'type' {place} 'fanout' but current is 'direct'", exchange_type="fanout")
    check(f"'durable' {place} 'false' but current is 'true'", durable=False)
    check(f"'auto_delete' {place} 'true' but current is 'false'", auto_delete=True)
    check(f"'internal' {place} 'true' but current is 'false'", internal=True)
    check(
        f"'alternate-exchange' {place} the value '{other}' of type 'longstr' but current is none",
        arguments={"alternate-exchange": other},
    )


@scenario
def unknown_exchange_type_is_refused():
    exchange = fresh("exchange")
    try:
        channel().exchange_declare(exchange, "no-such-type")
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as error:
        expected = {code: text.format("no-such-type") for code, text in UNKNOWN_EXCHANGE_TYPE.items()}
        closed_with(error.reply_code, error.reply_text, expected)
    else:
        raise Failure("declared")


@scenario
def new_exchange_with_the_reserved_prefix_is_403():
    with channel_error(403, "ACCESS_REFUSED - exchange name 'amq.interop' contains reserved prefix 'amq.*'"):
        channel().exchange_declare("amq.interop", "direct")


@scenario
def passive_declare_with_the_reserved_prefix_is_404():
    with channel_error(404, "NOT_FOUND - no exchange 'amq.interop' in vhost '/'"):
        channel().exchange_declare("amq.interop", passive=True)


@scenario
def default_exchange_refuses_every_change():
    connection = connect()
    queue = fresh()
    connection.channel().queue_declare(queue, exclusive=True)

    def check(operation):
        with channel_error(403, DEFAULT_EXCHANGE_REFUSED):
            operation(connection.channel())

    check(lambda ch: ch._impl.exchange_declare("", "direct", callback=None) or round_trip(ch))
    check(lambda ch: ch.exchange_delete(""))
    check(lambda ch: ch.queue_bind(queue, "", "key"))
    check(lambda ch: ch.queue_unbind(queue, "", queue))
    check(lambda ch: ch.exchange_bind("amq.fanout", "", "key"))
    check(lambda ch: ch.exchange_bind("", "amq.fanout", "key"))
    check(lambda ch: ch.exchange_unbind("amq.fanout", "", "key"))


@scenario
def predeclared_exchange_cannot_be_deleted():
    connection = connect()
    for exchange in ("amq.direct", "amq.topic", "amq.rabbitmq.trace"):
        with channel_error(
            403, f"ACCESS_REFUSED - deletion of system exchange '{exchange}' in vhost '/' not allowed"
        ):
            connection.channel().exchange_delete(exchange)


@scenario
def deleting_a_missing_exchange_succeeds():
    ch = channel()
    ch.exchange_delete(fresh("exchange"))
    ch.exchange_delete(fresh("exchange"), if_unused=True)


@scenario
def exchange_in_use_is_not_deleted_if_unused():
    connection = connect()
    ch = connection.channel()
    exchange = fresh("exchange")
    queue = queue_with(ch)
    ch.exchange_declare(exchange, "fanout")
    ch.queue_bind(queue, exchange)
    with channel_error(406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use"):
        connection.channel().exchange_delete(exchange, if_unused=True)
    ch.queue_unbind(queue, exchange)
    ch.exchange_delete(exchange, if_unused=True)
    equal(exchange_exists(connection, exchange), False, "exchange exists")


@scenario
def auto_delete_exchange_goes_with_its_last_binding():
    connection = connect()
    ch = connection.channel()
    exchange = fresh("exchange")
    first, second = queue_with(ch), queue_with(ch)
    ch.exchange_declare(exchange, "direct", auto_delete=True)
    equal(exchange_exists(connection, exchange), True, "exchange exists before it was ever bound")
    ch.queue_bind(first, exchange, "a")
    ch.queue_bind(second, exchange, "b")
    ch.queue_unbind(first, exchange, "a")
    equal(exchange_exists(connection, exchange), True, "exchange exists with one binding left")
    ch.queue_delete(second)
    equal(exchange_exists(connection, exchange), False, "exchange exists without bindings")


@scenario
def auto_delete_exchange_goes_with_its_last_exchange_binding():
    connection = connect()
    ch = connection.channel()
    source, destination = fresh("exchange"), fresh("exchange")
    ch.exchange_declare(source, "fanout", auto_delete=True)
    ch.exchange_declare(destination, "fanout")
    ch.exchange_bind(destination, source)
    ch.exchange_delete(destination)
    equal(exchange_exists(connection, source), False, "source exists without bindings")


def routed(ch, exchange, keys_and_headers):
    """For each (key, headers) published: which of the queues given later got it is read with `drain`."""
    for number, (key, headers) in enumerate(keys_and_headers):
        ch.basic_publish(exchange, key, str(number).encode(), pika.BasicProperties(headers=headers))


@scenario
def direct_exchange_routes_by_equal_key():
    ch = channel()
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "direct")
    red, both = queue_with(ch), queue_with(ch)
    ch.queue_bind(red, exchange, "red")
    ch.queue_bind(both, exchange, "red")
    ch.queue_bind(both, exchange, "blue")
    routed(ch, exchange, [("red", {}), ("blue", {}), ("Red", {}), ("", {}), ("red.blue", {})])
    equal(drain(ch, red), [b"0"], "queue bound with red")
    equal(drain(ch, both), [b"0", b"1"], "queue bound with red and blue")


@scenario
def fanout_exchange_ignores_the_key():
    ch = channel()
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "fanout")
    first, second = queue_with(ch), queue_with(ch)
    ch.queue_bind(first, exchange, "never read")
    ch.queue_bind(second, exchange, "")
    routed(ch, exchange, [("x", {}), ("", {})])
    equal(drain(ch, first), [b"0", b"1"], "first queue")
    equal(drain(ch, second), [b"0", b"1"], "second queue")


@scenario
def topic_exchange_matches_words_stars_and_hashes():
    ch = channel()
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "topic")
    keys = ["", "a", "b", "a.b", "b.a", "a.b.c", "a.x.c", "a.x.y.c", "a..c", ".", "a.", "c.b.a.b.c"]
    patterns = {
        "": [""],
        "#": keys,
        "*": ["", "a", "b"],
        "a": ["a"],
        "a.*": ["a.b", "a."],
        "*.b": ["a.b"],
        "a.#": ["a", "a.b", "a.b.c", "a.x.c", "a.x.y.c", "a..c", "a."],
        "#.c": ["a.b.c", "a.x.c", "a.x.y.c", "a..c", "c.b.a.b.c"],
        "a.*.c": ["a.b.c", "a.x.c", "a..c"],
        "a.#.c": ["a.b.c", "a.x.c", "a.x.y.c", "a..c"],
        "#.b.#": ["b", "a.b", "b.a", "a.b.c", "c.b.a.b.c"],
        "*.#": keys,
        "#.*.#.*": ["a.b", "b.a", "a.b.c", "a.x.c", "a.x.y.c", "a..c", ".", "a.", "c.b.a.b.c"],
        "a.b.c.d": [],
        "a*": [],
    }
    patterns["*"] = [key for key in keys if key and "." not in key]
    patterns["*.#"] = [key for key in keys if key]
    queues = {pattern: queue_with(ch) for pattern in patterns}
    for pattern, queue in queues.items():
        ch.queue_bind(queue, exchange, pattern)
    for key in keys:
        ch.basic_publish(exchange, key, key.encode())
    for pattern, queue in queues.items():
        equal([body.decode() for body in drain(ch, queue)], patterns[pattern], f"keys matched by {pattern!r}")


@scenario
def headers_exchange_matches_all_or_any():
    ch = channel()
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "headers")
    bindings = {
        "all": {"x-match": "all", "a": 1, "b": "two"},
        "any": {"x-match": "any", "a": 1, "b": "two"},
        "all is the default": {"a": 1},
        "x- headers do not count in all": {"x-match": "all", "a": 1, "x-c": 3},
        "x- headers do not count in any": {"x-match": "any", "b": "two", "x-c": 3},
        "x- headers count in all-with-x": {"x-match": "all-with-x", "a": 1, "x-c": 3},
        "x- headers count in any-with-x": {"x-match": "any-with-x", "x-c": 3, "q": 1},
        "void matches any value": {"x-match": "all", "a": None},
        "nothing to match in all": {"x-match": "all"},
        "nothing to match in any": {"x-match": "any"},
    }
    messages = [
        {"a": 1, "b": "two"},
        {"a": 1},
        {"b": "two", "z": 9},
        {"a": "1"},
        {"a": 2, "x-c": 3},
        {"a": 1, "x-c": 3},
        {},
        None,
        {"a": long(1)},
        {"a": True},
    ]
    expected = {
        "all": [0],
        "any": [0, 1, 2, 5, 8],
        "all is the default": [0, 1, 5, 8],
        "x- headers do not count in all": [0, 1, 5, 8],
        "x- headers do not count in any": [0, 2],
        "x- headers count in all-with-x": [5],
        "x- headers count in any-with-x": [4, 5],
        "void matches any value": [0, 1, 3, 4, 5, 8, 9],
        "nothing to match in all": list(range(10)),
        "nothing to match in any": [],
    }
    queues = {name: queue_with(ch) for name in bindings}
    for name, arguments in bindings.items():
        ch.queue_bind(queues[name], exchange, "", arguments)
    routed(ch, exchange, [("ignored", headers) for headers in messages])
    for name, queue in queues.items():
        equal([int(body) for body in drain(ch, queue)], expected[name], name)


@scenario
def headers_binding_with_an_unknown_match_is_406():
    ch = channel()
    queue = queue_with(ch)
    try:
        ch.queue_bind(queue, "amq.headers", "", {"x-match": "most"})
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 406, "code")
        true(
            error.reply_text.startswith("PRECONDITION_FAILED - Invalid x-match field value")
            and error.reply_text.endswith("expected all, any, all-with-x, or any-with-x"),
            f"text {error.reply_text!r}",
        )
    else:
        raise Failure("bound")


@scenario
def queue_with_several_matching_bindings_gets_one_copy():
    ch = channel()
    queue = queue_with(ch)
    for pattern in ("#", "a.*", "*.b", "a.b"):
        ch.queue_bind(queue, "amq.topic", f"{queue}.{pattern}" if pattern != "#" else f"{queue}.#")
    ch.basic_publish("amq.topic", f"{queue}.a.b", b"once")
    equal(drain(ch, queue), [b"once"], "copies")


@scenario
def bindings_differ_by_arguments():
    ch = channel()
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "direct")
    queue = queue_with(ch)
    ch.queue_bind(queue, exchange, "k", {"note": 1})
    ch.queue_bind(queue, exchange, "k", {"note": 2})
    ch.queue_bind(queue, exchange, "k", {"note": 2})
    ch.queue_unbind(queue, exchange, "k", {"note": 1})
    ch.basic_publish(exchange, "k", b"one binding left")
    ch.queue_unbind(queue, exchange, "k", {"note": 2})
    ch.basic_publish(exchange, "k", b"none left")
    equal(drain(ch, queue), [b"one binding left"], "messages")


@scenario
def binding_what_does_not_exist_is_404():
    connection = connect()
    queue = queue_with(connection.channel())
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        connection.channel().queue_bind(queue, "interop-nowhere", "k")
    with channel_error(404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'"):
        connection.channel().queue_bind("interop-nowhere", "amq.direct", "k")
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        connection.channel().exchange_bind("interop-nowhere", "amq.direct", "k")
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        connection.channel().exchange_bind("amq.direct", "interop-nowhere", "k")


@scenario
def removing_a_missing_binding_succeeds():
    ch = channel()
    queue = queue_with(ch)
    ch.queue_unbind(queue, "amq.direct", "never bound")
    ch.exchange_unbind("amq.fanout", "amq.direct", "never bound")
    round_trip(ch)


@scenario
def messages_pass_from_exchange_to_exchange():
    ch = channel()
    source, middle = fresh("exchange"), fresh("exchange")
    ch.exchange_declare(source, "topic")
    ch.exchange_declare(middle, "direct")
    queue = queue_with(ch)
    ch.exchange_bind(middle, source, "logs.#")
    ch.queue_bind(queue, middle, "logs.error")
    for key in ("logs.error", "logs.info", "other"):
        ch.basic_publish(source, key, key.encode())
    equal(drain(ch, queue), [b"logs.error"], "messages")
    ch.exchange_unbind(middle, source, "logs.#")
    ch.basic_publish(source, "logs.error", b"after unbind")
    equal(drain(ch, queue), [], "messages after unbind")


@scenario
def cycle_of_exchanges_delivers_once():
    ch = channel()
    first, second = fresh("exchange"), fresh("exchange")
    for exchange in (first, second):
        ch.exchange_declare(exchange, "fanout")
    ch.exchange_bind(second, first)
    ch.exchange_bind(first, second)
    ch.exchange_bind(first, first)
    queue = queue_with(ch)
    ch.queue_bind(queue, first)
    ch.queue_bind(queue, second)
    ch.basic_publish(first, "", b"round and round")
    equal(drain(ch, queue), [b"round and round"], "messages")


@scenario
def alternate_exchange_takes_what_matches_nothing():
    ch = channel()
    alternate, main = fresh("exchange"), fresh("exchange")
    ch.exchange_declare(alternate, "fanout")
    ch.exchange_declare(main, "direct", arguments={"alternate-exchange": alternate})
    known, rest = queue_with(ch), queue_with(ch)
    ch.queue_bind(known, main, "known")
    ch.queue_bind(rest, alternate)
    ch.confirm_delivery()
    for key in ("known", "unknown"):
        ch.basic_publish(main, key, key.encode(), mandatory=True)
    equal(drain(ch, known), [b"known"], "messages that matched")
    equal(drain(ch, rest), [b"unknown"], "messages that did not match")


@scenario
def chain_of_alternate_exchanges_is_followed():
    ch = channel()
    names = [fresh("exchange") for _ in range(3)]
    for name, following in zip(names, names[1:] + names[:1]):
        ch.exchange_declare(name, "direct", arguments={"alternate-exchange": following})
    queue = queue_with(ch)
    ch.queue_bind(queue, names[2], "third")
    ch.confirm_delivery()
    ch.basic_publish(names[0], "third", b"found", mandatory=True)
    equal(drain(ch, queue), [b"found"], "messages")
    try:
        ch.basic_publish(names[0], "nobody", b"lost", mandatory=True)
    except UnroutableError:
        pass
    else:
        raise Failure("a message that no exchange of the chain routes was not returned")


@scenario
def missing_alternate_exchange_leaves_the_message_unroutable():
    ch = channel()
    main = fresh("exchange")
    ch.exchange_declare(main, "direct", arguments={"alternate-exchange": "interop-nowhere"})
    ch.confirm_delivery()
    try:
        ch.basic_publish(main, "k", b"lost", mandatory=True)
    except UnroutableError as error:
        equal(error.messages[0].method.exchange, main, "exchange of the return")
    else:
        raise Failure("not returned")


@scenario
def internal_exchange_takes_no_publishes():
    connection = connect()
    ch = connection.channel()
    inner, outer = fresh("exchange"), fresh("exchange")
    ch.exchange_declare(inner, "fanout", internal=True)
    ch.exchange_declare(outer, "fanout")
    ch.exchange_bind(inner, outer)
    queue = queue_with(ch)
    ch.queue_bind(queue, inner)
    ch.basic_publish(outer, "", b"through a binding")
    equal(drain(ch, queue), [b"through a binding"], "messages")
    with channel_error(403, f"ACCESS_REFUSED - cannot publish to internal exchange '{inner}' in vhost '/'"):
        other = connection.channel()
        other.basic_publish(inner, "", b"direct")
        round_trip(other)
