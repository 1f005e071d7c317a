"""What is there after the broker was restarted or killed."""

from datetime import datetime, timezone

import pika

from pika_support import (
    channel,
    connect,
    connection_error,
    drain,
    exchange_exists,
    exists,
    forget_connections,
    has_ready,
    publish,
)
from scenario import control, equal, fresh, scenario

WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def publish_numbered(ch, exchange, number):
    ch.basic_publish(
        exchange,
        f"log.{number}",
        str(number).encode() * (1 + number * 5000),
        pika.BasicProperties(delivery_mode=2, headers={"n": number, "when": WHEN}),
    )


def fill_before_restart():
    """Durable and other things; returns the names that `check_after_restart` reads."""
    connection = connect()
    ch = connection.channel()
    names = {
        kind: fresh(kind) for kind in ("durable", "transient", "exclusive", "exchange", "plain-exchange", "inner")
    }
    ch.exchange_declare(names["exchange"], "topic", durable=True, arguments={"alternate-exchange": names["inner"]})
    ch.exchange_declare(names["inner"], "fanout", durable=True, internal=True)
    ch.exchange_declare(names["plain-exchange"], "fanout")
    ch.queue_declare(names["durable"], durable=True, arguments={"x-message-ttl": 3_600_000})
    ch.queue_declare(names["transient"])
    ch.queue_declare(names["exclusive"], exclusive=True, durable=True)
    ch.queue_bind(names["durable"], names["exchange"], "log.#", {"note": "kept"})
    ch.exchange_bind(names["inner"], names["exchange"], "in")
    ch.queue_bind(names["durable"], names["inner"])
    ch.confirm_delivery()
    for number in range(9):
        publish_numbered(ch, names["exchange"], number)
    ch.basic_publish("", names["durable"], b"transient", pika.BasicProperties(delivery_mode=1))
    ch.basic_get(names["durable"])
    method, _, _ = ch.basic_get(names["durable"])
    ch.basic_ack(method.delivery_tag)
    # An acknowledgement is safe once a later publish on its channel is confirmed.
    publish_numbered(ch, names["exchange"], 9)
    return names


def check_after_restart(names):
    forget_connections()
    connection = connect()
    ch = connection.channel()
    for kind in ("transient", "exclusive"):
        equal(exists(connection, names[kind]), False, f"{kind} queue exists")
    equal(exchange_exists(connection, names["plain-exchange"]), False, "transient exchange exists")
    ch.queue_declare(names["durable"], durable=True, arguments={"x-message-ttl": 3_600_000})
    ch.exchange_declare(names["exchange"], "topic", durable=True, arguments={"alternate-exchange": names["inner"]})
    ch.exchange_declare(names["inner"], "fanout", durable=True, internal=True)
    found = []
    while True:
        method, properties, body = ch.basic_get(names["durable"], auto_ack=True)
        if method is None:
            break
        number = properties.headers["n"]
        equal(len(body), 1 + number * 5000, f"bytes of message {number}")
        equal(properties.headers["when"], WHEN, "header")
        equal((method.exchange, method.routing_key), (names["exchange"], f"log.{number}"), "exchange and key")
        found.append((number, method.redelivered))
    equal([number for number, _ in found], [0, 2, 3, 4, 5, 6, 7, 8, 9], "persistent messages")
    equal(found[0], (0, True), "the unacked message comes back as redelivered")
    for key in ("log.x", "in", "unroutable"):
        ch.basic_publish(names["exchange"], key, key.encode())
    equal(drain(ch, names["durable"]), [b"log.x", b"in", b"unroutable"], "messages over the recovered bindings")


@scenario(needs="restart")
def durable_things_survive_a_restart():
    names = fill_before_restart()
    control("restart")
    check_after_restart(names)


@scenario(needs="crash")
def durable_things_survive_a_crash():
    names = fill_before_restart()
    control("crash")
    check_after_restart(names)


@scenario(needs="restart")
def shutdown_closes_connections_with_320():
    connection = connect()
    connection.channel()
    control("restart")
    with connection_error(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"):
        connection.process_data_events(10)


@scenario(needs="restart")
def deleted_things_stay_deleted_after_a_restart():
    ch = channel()
    queue, exchange = fresh(), fresh("exchange")
    ch.queue_declare(queue, durable=True)
    ch.exchange_declare(exchange, "fanout", durable=True)
    publish(ch, queue, b"x", delivery_mode=2)
    ch.queue_delete(queue)
    ch.exchange_delete(exchange)
    purged = fresh()
    ch.queue_declare(purged, durable=True)
    publish(ch, purged, b"x", b"y", delivery_mode=2)
    ch.queue_purge(purged)
    control("restart")
    forget_connections()
    connection = connect()
    equal(exists(connection, queue), False, "queue exists")
    equal(exchange_exists(connection, exchange), False, "exchange exists")
    has_ready(connection.channel(), purged, 0, "messages in the purged queue")
