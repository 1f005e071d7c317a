"""Publishing: properties, confirms, returns, refusals."""

import decimal
from datetime import datetime, timezone

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from pika_support import (
    bodies,
    channel,
    channel_error,
    connect,
    has_ready,
    publish,
    queue_with,
    round_trip,
    subscribe,
    wait_for,
)
from scenario import Failure, URL, equal, fresh, scenario, true


@scenario
def all_properties_come_back():
    ch = channel()
    queue = queue_with(ch)
    properties = {
        "content_type": "text/plain",
        "content_encoding": "identity",
        "headers": {"h": "v"},
        "delivery_mode": 2,
        "priority": 7,
        "correlation_id": "corr",
        "reply_to": "reply",
        "expiration": "60000",
        "message_id": "id",
        "timestamp": 1_700_000_000,
        "type": "kind",
        "user_id": URL.user,
        "app_id": "app",
        "cluster_id": "cluster",
    }
    publish(ch, queue, b"x", **properties)
    _, back, _ = ch.basic_get(queue, auto_ack=True)
    equal({name: getattr(back, name) for name in properties}, properties, "properties")


@scenario
def no_properties_come_back_as_none():
    ch = channel()
    queue = queue_with(ch, b"x")
    _, back, _ = ch.basic_get(queue, auto_ack=True)
    for name in ("content_type", "headers", "delivery_mode", "priority", "timestamp", "user_id"):
        equal(getattr(back, name), None, name)


@scenario
def header_values_come_back_with_their_types():
    ch = channel()
    queue = queue_with(ch)
    headers = {
        "int": -5,
        "big": 2**40,
        "most": 2**63 - 1,
        "least": -(2**63),
        "true": True,
        "false": False,
        "none": None,
        "text": "grün 🐇",
        "empty": "",
        "bytes": b"\x00\xff\xfe",
        "decimal": decimal.Decimal("3.14159"),
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        "table": {"inner": {"innermost": [1, "two", {"three": 3}]}},
        "array": [1, "two", None, True, [], {}],
        "": "empty name",
    }
    publish(ch, queue, b"x", headers=headers)
    _, back, _ = ch.basic_get(queue, auto_ack=True)
    equal(back.headers, headers, "headers")


@scenario
def publish_to_a_missing_exchange_is_404():
    ch = channel()
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        ch.basic_publish("interop-nowhere", "k", b"x")
        round_trip(ch)


@scenario
def messages_keep_their_order():
    ch = channel()
    queue = queue_with(ch, *[str(number).encode() for number in range(2000)])
    received = subscribe(ch, queue, auto_ack=True)
    wait_for(ch, received, 2000)
    equal([int(body) for body in bodies(received)], list(range(2000)), "order")
    equal([method.delivery_tag for method, _, _ in received], list(range(1, 2001)), "delivery tags")
    equal(any(method.redelivered for method, _, _ in received), False, "redelivered")


@scenario
def confirmed_publish_returns():
    ch = channel()
    queue = fresh()
    ch.queue_declare(queue, durable=True)
    ch.confirm_delivery()
    for number in range(20):
        ch.basic_publish("", queue, b"x", pika.BasicProperties(delivery_mode=1 + number % 2), mandatory=True)
    has_ready(ch, queue, 20, "messages")


@scenario
def unroutable_mandatory_message_comes_back_whole():
    ch = channel()
    ch.confirm_delivery()
    body = b"y" * 300_000
    try:
        ch.basic_publish("amq.direct", "nobody", body, pika.BasicProperties(message_id="m1"), mandatory=True)
    except UnroutableError as error:
        equal(len(error.messages), 1, "returned messages")
        returned = error.messages[0]
        equal(
            (returned.method.reply_code, returned.method.reply_text),
            (312, "NO_ROUTE"),
            "code and text of the return",
        )
        equal((returned.method.exchange, returned.method.routing_key), ("amq.direct", "nobody"), "exchange and key")
        equal(returned.properties.message_id, "m1", "message id")
        equal(returned.body == body, True, "body comes back unchanged")
    else:
        raise Failure("not returned")


@scenario
def unroutable_message_without_mandatory_is_confirmed():
    ch = channel()
    ch.confirm_delivery()
    ch.basic_publish("amq.direct", "nobody", b"x")
    ch.basic_publish("", "interop-nowhere", b"x")


@scenario
def unroutable_message_without_confirms_is_returned():
    ch = channel()
    returned = []
    ch.add_on_return_callback(lambda _ch, method, _properties, body: returned.append((method.reply_code, body)))
    ch.basic_publish("", "interop-nowhere", b"x", mandatory=True)
    wait_for(ch, returned, 1)
    equal(returned, [(312, b"x")], "return")


@scenario
def switching_between_confirms_and_transactions_is_406():
    connection = connect()
    ch = connection.channel()
    ch.confirm_delivery()
    with channel_error(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
        ch.tx_select()
    ch = connection.channel()
    ch.tx_select()
    with channel_error(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
        ch.confirm_delivery()


@scenario
def user_id_of_somebody_else_is_406():
    ch = channel()
    queue = queue_with(ch)
    with channel_error(
        406,
        f"PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was '{URL.user}'",
    ):
        publish(ch, queue, b"x", user_id="somebody")
        round_trip(ch)


@scenario
def cc_and_bcc_headers_add_routing_keys():
    ch = channel()
    to, cc, bcc = queue_with(ch), queue_with(ch), queue_with(ch)
    publish(ch, to, b"x", headers={"CC": [cc, to, "interop-nowhere"], "BCC": [bcc], "kept": 1})
    for queue in (to, cc, bcc):
        method, properties, body = ch.basic_get(queue, auto_ack=True)
        equal(body, b"x", f"body in {queue}")
        equal(method.routing_key, to, "routing key")
        equal(properties.headers, {"CC": [cc, to, "interop-nowhere"], "kept": 1}, "headers: BCC is removed")
        equal(method.message_count, 0, "further copies")


@scenario
def cc_header_that_is_no_array_is_406():
    ch = channel()
    queue = queue_with(ch)
    try:
        publish(ch, queue, b"x", headers={"CC": "text"})
        round_trip(ch)
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 406, "code")
        true(error.reply_text.startswith("PRECONDITION_FAILED - "), f"text {error.reply_text!r}")
    else:
        raise Failure("accepted")
