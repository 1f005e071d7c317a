"""Queues: declaring, naming, exclusivity, deleting; methods without replies."""

import pika
from pika import spec
from pika.compat import long
from pika.exceptions import ChannelClosedByBroker

from pika_support import (
    channel,
    channel_error,
    connect,
    drain,
    exchange_exists,
    exists,
    has_consumers,
    has_ready,
    publish,
    queue_with,
    round_trip,
    subscribe,
    wait_for,
)
from scenario import Failure, equal, eventually, fresh, remember, scenario, true


@scenario
def declare_counts_ready_messages_and_consumers():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    has_ready(ch, queue, 3)
    has_consumers(ch, queue, 0)
    ch.basic_qos(prefetch_count=1)
    received = subscribe(ch, queue)
    wait_for(ch, received, 1)
    has_ready(ch, queue, 2, "ready messages with one unacked")
    has_consumers(ch, queue, 1)


@scenario
def server_names_queues_amq_gen():
    ch = channel()
    first = ch.queue_declare("", exclusive=True).method.queue
    second = ch.queue_declare("", exclusive=True).method.queue
    for name in (first, second):
        true(name.startswith("amq.gen-"), f"server-generated name {name!r}")
        equal(len(name), len("amq.gen-") + 22, "length of the name")
    true(first != second, "the same name twice")


@scenario
def empty_queue_name_means_the_last_declared():
    ch = channel()
    queue = fresh()
    ch.queue_declare(queue, exclusive=True)
    ch._impl.queue_bind("", "amq.direct", routing_key="", callback=None)
    ch.basic_publish("amq.direct", queue, b"by the queue's name")
    method, _, body = ch.basic_get("")
    equal(body, b"by the queue's name", "body")
    ch.basic_ack(method.delivery_tag)
    publish(ch, queue, b"x", b"y")
    equal(ch.queue_purge("").method.message_count, 2, "purged")
    received = subscribe(ch, "")
    publish(ch, queue, b"z")
    wait_for(ch, received, 1)
    ch.queue_delete("")
    equal(exists(ch.connection, queue), False, "queue exists")


@scenario
def empty_queue_name_without_a_declare_is_404():
    connection = connect()
    for operation in (
        lambda ch: ch.basic_get(""),
        lambda ch: ch.queue_purge(""),
        lambda ch: ch.queue_delete(""),
        lambda ch: subscribe(ch, ""),
        lambda ch: ch.queue_bind("", "amq.direct", "k"),
    ):
        with channel_error(404, "NOT_FOUND - no previously declared queue"):
            operation(connection.channel())


@scenario
def operations_on_a_missing_queue_are_404():
    connection = connect()
    for operation in (
        lambda ch: ch.queue_declare("interop-nowhere", passive=True),
        lambda ch: ch.basic_get("interop-nowhere"),
        lambda ch: subscribe(ch, "interop-nowhere"),
        lambda ch: ch.queue_purge("interop-nowhere"),
    ):
        with channel_error(404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'"):
            operation(connection.channel())


@scenario
def queue_declared_with_other_properties_is_406():
    connection = connect()
    queue = fresh()
    connection.channel().queue_declare(queue, durable=True)

    def check(text, **options):
        with channel_error(406, f"PRECONDITION_FAILED - inequivalent arg {text}"):
            connection.channel().queue_declare(queue, **({"durable": True} | options))

    place = f"for queue '{queue}' in vhost '/': received"
    check(f"'durable' {place} 'false' but current is 'true'", durable=False)
    check(f"'auto_delete' {place} 'true' but current is 'false'", auto_delete=True)
    check(
        f"'x-message-ttl' {place} the value '60000' of type 'signedint' but current is none",
        arguments={"x-message-ttl": 60000},
    )
    with channel_error(
        405,
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration.",
    ):
        connection.channel().queue_declare(queue, durable=True, exclusive=True)


@scenario
def queue_declared_with_other_arguments_is_406():
    connection = connect()
    queue = fresh()
    connection.channel().queue_declare(queue, arguments={"x-message-ttl": 60000, "x-dead-letter-exchange": "d"})
    place = f"for queue '{queue}' in vhost '/': received"
    with channel_error(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' {place} none but current is the value '60000' of "
        "type 'signedint'",
    ):
        connection.channel().queue_declare(queue, arguments={"x-dead-letter-exchange": "d"})
    with channel_error(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' {place} 'e' but current is 'd'",
    ):
        connection.channel().queue_declare(queue, arguments={"x-message-ttl": 60000, "x-dead-letter-exchange": "e"})
    with channel_error(
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' {place} '5' but current is '60000'",
    ):
        connection.channel().queue_declare(queue, arguments={"x-message-ttl": 5, "x-dead-letter-exchange": "d"})


@scenario
def integer_arguments_are_equal_by_value():
    ch = channel()
    queue = fresh()
    ch.queue_declare(queue, arguments={"x-message-ttl": 60000})
    ch.queue_declare(queue, arguments={"x-message-ttl": long(60000)})


@scenario
def unknown_arguments_do_not_count_in_equivalence():
    ch = channel()
    queue = fresh()
    ch.queue_declare(queue, arguments={"x-interop-note": "one"})
    ch.queue_declare(queue, arguments={"x-interop-note": "two"})
    ch.queue_declare(queue)
    ch.queue_declare(queue, arguments={"x-queue-type": "classic"})


@scenario
def transient_queues_that_are_not_exclusive_are_accepted():
    connection = connect()
    queue = fresh()
    connection.channel().queue_declare(queue, durable=False)
    publish(connection.channel(), queue, b"x")
    connection.close()
    equal(drain(channel(), queue), [b"x"], "messages after the declaring connection closed")


@scenario
def exclusive_queue_is_locked_for_other_connections():
    owner, other = connect(), connect()
    queue = fresh()
    ch = owner.channel()
    ch.queue_declare(queue, exclusive=True)
    ch.queue_bind(queue, "amq.direct", "bound")
    text = (
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be "
        "originally declared on another connection or the exclusive property value does not match that of the "
        "original declaration."
    )
    for operation in (
        lambda ch: ch.queue_declare(queue, exclusive=True),
        lambda ch: ch.queue_declare(queue),
        lambda ch: ch.queue_declare(queue, passive=True),
        lambda ch: ch.basic_get(queue),
        lambda ch: subscribe(ch, queue),
        lambda ch: ch.queue_bind(queue, "amq.direct", "k"),
        lambda ch: ch.queue_unbind(queue, "amq.direct", "bound"),
        lambda ch: ch.queue_purge(queue),
        lambda ch: ch.queue_delete(queue),
    ):
        with channel_error(405, text):
            operation(other.channel())
    publish(other.channel(), queue, b"publishing is open to all")
    has_ready(owner.channel(), queue, 1, "message in the exclusive queue")


@scenario
def exclusive_queue_is_shared_by_channels_of_its_connection():
    connection = connect()
    queue = queue_with(connection.channel(), b"x")
    equal(drain(connection.channel(), queue), [b"x"], "messages")


@scenario
def auto_delete_queue_goes_with_its_last_consumer():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = fresh()
    ch.queue_declare(queue, auto_delete=True)
    equal(exists(connection, queue), True, "queue exists before it was ever consumed")
    subscribe(ch, queue, consumer_tag="first")
    subscribe(other, queue, consumer_tag="second")
    ch.basic_cancel("first")
    equal(exists(connection, queue), True, "queue exists with one consumer left")
    other.close()
    eventually(lambda: not exists(connection, queue), "queue gone without consumers")


@scenario
def auto_delete_queue_survives_gets():
    connection = connect()
    ch = connection.channel()
    queue = fresh()
    ch.queue_declare(queue, auto_delete=True)
    publish(ch, queue, b"x")
    equal(drain(ch, queue), [b"x"], "messages")
    equal(exists(connection, queue), True, "queue exists")


@scenario
def deleting_a_missing_queue_succeeds():
    ch = channel()
    equal(ch.queue_delete("interop-nowhere").method.message_count, 0, "messages deleted")
    equal(ch.queue_delete("interop-nowhere", if_unused=True, if_empty=True).method.message_count, 0, "messages")


@scenario
def delete_reports_how_many_messages_went():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    equal(ch.queue_delete(queue).method.message_count, 3, "messages deleted")
    equal(exists(ch.connection, queue), False, "queue exists")


@scenario
def queue_in_use_is_not_deleted_if_unused():
    connection = connect()
    ch = connection.channel()
    queue = queue_with(ch)
    subscribe(ch, queue, consumer_tag="c")
    with channel_error(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"):
        connection.channel().queue_delete(queue, if_unused=True)
    ch.basic_cancel("c")
    ch.queue_delete(queue, if_unused=True)


@scenario
def queue_with_messages_is_not_deleted_if_empty():
    connection = connect()
    ch = connection.channel()
    queue = queue_with(ch, b"x")
    with channel_error(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"):
        connection.channel().queue_delete(queue, if_empty=True)
    ch.queue_purge(queue)
    ch.queue_delete(queue, if_empty=True)


@scenario
def purge_removes_ready_messages_only():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    method, _, body = ch.basic_get(queue)
    equal(body, b"1", "body")
    equal(ch.queue_purge(queue).method.message_count, 2, "purged")
    equal(ch.queue_purge(queue).method.message_count, 0, "purged again")
    ch.basic_nack(method.delivery_tag, requeue=True)
    equal(drain(ch, queue), [b"1"], "messages after the unacked one came back")


@scenario
def new_queue_with_the_reserved_prefix_is_403():
    with channel_error(403, "ACCESS_REFUSED - queue name 'amq.interop' contains reserved prefix 'amq.*'"):
        channel().queue_declare("amq.interop")


@scenario
def server_named_queue_can_be_declared_passively():
    ch = channel()
    queue = ch.queue_declare("", exclusive=True).method.queue
    equal(ch.queue_declare(queue, passive=True).method.queue, queue, "name in declare-ok")


@scenario
def names_with_spaces_slashes_and_unicode_work():
    ch = channel()
    for odd in ("with space", "a/b%2Fc", "ключ-鍵-🐇", "quote'\"`", "tab\tinside", "#.*"):
        queue, exchange = remember(f"interop {odd} q"), remember(f"interop {odd} e")
        ch.queue_declare(queue)
        ch.exchange_declare(exchange, "direct")
        ch.queue_bind(queue, exchange, odd)
        ch.basic_publish(exchange, odd, odd.encode(), pika.BasicProperties(headers={odd: odd}))
        method, properties, body = ch.basic_get(queue, auto_ack=True)
        equal((method.exchange, method.routing_key), (exchange, odd), "exchange and key")
        equal(properties.headers, {odd: odd}, "headers")
        equal(body.decode(), odd, "body")
        ch.queue_delete(queue)
        ch.exchange_delete(exchange)


@scenario
def names_of_255_bytes_work():
    ch = channel()
    queue, exchange, key = remember("q" * 255), remember("é" * 127 + "e"), "k" * 255
    equal(ch.queue_declare(queue).method.queue, queue, "name in declare-ok")
    ch.exchange_declare(exchange, "topic")
    ch.queue_bind(queue, exchange, key)
    ch.basic_publish(exchange, key, b"x")
    received = subscribe(ch, queue, consumer_tag="t" * 255)
    wait_for(ch, received, 1)
    delivery = received[0][0]
    equal(
        (delivery.consumer_tag, delivery.exchange, delivery.routing_key),
        ("t" * 255, exchange, key),
        "consumer tag, exchange and key",
    )


@scenario
def long_error_texts_are_cut_to_255_bytes():
    name = "n" * 255
    try:
        channel().queue_declare(name, passive=True)
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 404, "code")
        full = f"NOT_FOUND - no queue '{name}' in vhost '/'"
        true(len(error.reply_text) <= 255, "text longer than a short string")
        true(full.startswith(error.reply_text.rstrip(".")), f"text {error.reply_text!r}")
    else:
        raise Failure("not closed")


@scenario
def nowait_methods_get_no_reply():
    ch = channel()
    exchange, second, queue = fresh("exchange"), fresh("exchange"), fresh()
    impl = ch._impl
    impl._send_method(spec.Exchange.Declare(exchange=exchange, type="fanout", nowait=True, arguments={}))
    impl._send_method(spec.Exchange.Declare(exchange=second, type="fanout", nowait=True, arguments={}))
    impl._send_method(spec.Exchange.Bind(destination=second, source=exchange, nowait=True, arguments={}))
    impl._send_method(spec.Queue.Declare(queue=queue, nowait=True, arguments={}))
    impl._send_method(spec.Queue.Bind(queue=queue, exchange=second, nowait=True, arguments={}))
    impl._send_method(spec.Confirm.Select(nowait=True))
    ch.basic_publish(exchange, "", b"x")
    has_ready(ch, queue, 1, "messages")
    impl._send_method(spec.Queue.Purge(queue=queue, nowait=True))
    has_ready(ch, queue, 0, "messages after purge")
    impl._send_method(spec.Exchange.Unbind(destination=second, source=exchange, nowait=True, arguments={}))
    ch.basic_publish(exchange, "", b"lost")
    has_ready(ch, queue, 0, "messages after unbind")
    impl._send_method(spec.Queue.Delete(queue=queue, nowait=True))
    impl._send_method(spec.Exchange.Delete(exchange=exchange, nowait=True))
    impl._send_method(spec.Exchange.Delete(exchange=second, nowait=True))
    round_trip(ch)
    equal(exists(ch.connection, queue), False, "queue exists")
    equal(exchange_exists(ch.connection, exchange), False, "exchange exists")


@scenario
def nowait_errors_still_close_the_channel():
    ch = channel()
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        queue = queue_with(ch)
        ch._impl._send_method(spec.Queue.Bind(queue=queue, exchange="interop-nowhere", nowait=True, arguments={}))
        round_trip(ch)
