"""What the pika scenarios share: connections, expected errors, small operations."""

from contextlib import contextmanager

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from scenario import URL, Failure, closed_with, equal, eventually

_connections = []


def parameters(**overrides):
    options = {
        "host": URL.host,
        "port": URL.port,
        "virtual_host": URL.vhost,
        "credentials": pika.PlainCredentials(URL.user, URL.password),
        "heartbeat": 0,
    }
    return pika.ConnectionParameters(**(options | overrides))


def connect(**overrides):
    connection = pika.BlockingConnection(parameters(**overrides))
    _connections.append(connection)
    return connection


def channel(**overrides):
    return connect(**overrides).channel()


def forget_connections():
    """After the broker was restarted there is nothing to close."""
    _connections.clear()


def cleanup(names):
    """Closes what the scenario opened and deletes the queues and exchanges it named."""
    while _connections:
        connection = _connections.pop()
        if connection.is_open:
            try:
                connection.close()
            except pika.exceptions.AMQPConnectionError:
                pass  # a scenario may have cut it
    if not names:
        return
    connection = pika.BlockingConnection(parameters())
    for name in names:
        for kind in ("queue", "exchange"):
            ch = connection.channel()
            try:
                getattr(ch, f"{kind}_delete")(name)
                ch.close()
            except ChannelClosedByBroker:
                pass  # an exclusive queue whose connection is still closing
    connection.close()


@contextmanager
def channel_error(*codes_and_texts):
    """The channel must be closed by the broker with this code and text (alternatives as further pairs)."""
    expected = dict(zip(codes_and_texts[::2], codes_and_texts[1::2]))
    try:
        yield
    except ChannelClosedByBroker as error:
        closed_with(error.reply_code, error.reply_text, expected)
    except ConnectionClosedByBroker as error:
        raise Failure(f"connection closed instead of channel: {error.reply_code} {error.reply_text!r}") from None
    else:
        raise Failure(f"channel not closed, expected {expected}")


@contextmanager
def connection_error(*codes_and_texts):
    """The same for the connection."""
    expected = dict(zip(codes_and_texts[::2], codes_and_texts[1::2]))
    try:
        yield
    except ConnectionClosedByBroker as error:
        closed_with(error.reply_code, error.reply_text, expected)
    except ChannelClosedByBroker as error:
        raise Failure(f"channel closed instead of connection: {error.reply_code} {error.reply_text!r}") from None
    else:
        raise Failure(f"connection not closed, expected {expected}")


def round_trip(ch):
    """Everything sent on the channel before has been handled when this returns."""
    ch.queue_declare("", exclusive=True, auto_delete=True)


def publish(ch, queue, *bodies, **properties):
    for body in bodies:
        ch.basic_publish("", queue, body, pika.BasicProperties(**properties))


def has_ready(ch, queue, count, what="ready messages"):
    """Polls, because RabbitMQ answers a passive declare before it handles publishes that arrived earlier."""
    _declared(ch, queue, "message_count", count, what)


def has_consumers(ch, queue, count):
    _declared(ch, queue, "consumer_count", count, "consumers")


def _declared(ch, queue, field, count, what):
    found = []

    def as_expected():
        found[:] = [getattr(ch.queue_declare(queue, passive=True).method, field)]
        return found == [count]

    try:
        eventually(as_expected, what)
    except Failure:
        equal(found[0], count, what)


def exists(connection, queue):
    ch = connection.channel()
    try:
        ch.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 404, "passive declare")
        return False
    ch.close()
    return True


def exchange_exists(connection, exchange):
    ch = connection.channel()
    try:
        ch.exchange_declare(exchange, passive=True)
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 404, "passive declare")
        return False
    ch.close()
    return True


def subscribe(ch, queue, **options):
    """Consumes into the list that is returned: (delivery, properties, body)."""
    received = []
    ch.basic_consume(queue, lambda _ch, method, props, body: received.append((method, props, body)), **options)
    return received


def wait_for(ch, received, count):
    def enough():
        ch.connection.process_data_events(0.05)
        return len(received) >= count

    eventually(enough, f"{count} deliveries ({len(received)} so far)")
    equal(len(received), count, "deliveries")


def bodies(received):
    return [body for _, _, body in received]


def drain(ch, queue):
    """All bodies in the queue, with basic.get and without acknowledgements."""
    found = []
    while True:
        method, _, body = ch.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(body)


def queue_with(ch, *bodies_):
    """A new exclusive queue with messages."""
    queue = ch.queue_declare("", exclusive=True).method.queue
    publish(ch, queue, *bodies_)
    return queue
