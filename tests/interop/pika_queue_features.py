"""Time-to-live, dead-lettering, length limits, priorities, single active consumer, direct reply-to and arguments."""

import time

import pika
from pika.exceptions import ChannelClosedByBroker, NackError

from pika_support import (
    bodies,
    channel,
    channel_error,
    connect,
    drain,
    exists,
    has_ready,
    publish,
    queue_with,
    round_trip,
    subscribe,
    wait_for,
)
from scenario import Failure, equal, eventually, fresh, scenario, true


def limited_queue(ch, **arguments):
    """A new exclusive queue with arguments: underscores stand for hyphens, `x-` comes by itself."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return ch.queue_declare("", exclusive=True, arguments=named).method.queue


def dead_letter_queue(ch):
    """An exchange for dead letters, and the queue they arrive in."""
    exchange = fresh("exchange")
    ch.exchange_declare(exchange, "fanout")
    queue = queue_with(ch)
    ch.queue_bind(queue, exchange)
    return exchange, queue


def confirming_channel():
    """A channel on which a publish returns when the message is in its queue."""
    ch = channel()
    ch.confirm_delivery()
    return ch


def get(ch, queue, auto_ack=True):
    """The next message as (delivery, properties, body), waiting for it."""

    def one():
        method, properties, body = ch.basic_get(queue, auto_ack=auto_ack)
        return method and (method, properties, body)

    return eventually(one, "a message")


def empties(ch, queue):
    eventually(lambda: ch.queue_declare(queue, passive=True).method.message_count == 0, "an empty queue")


# ---- time-to-live --------------------------------------------------------------------------------------------------


@scenario
def queue_features_message_ttl_of_the_queue_expires():
    ch = confirming_channel()
    queue = limited_queue(ch, message_ttl=100)
    publish(ch, queue, b"1", b"2")
    empties(ch, queue)
    equal(drain(ch, queue), [], "messages")


@scenario
def queue_features_expiration_of_the_message_expires():
    ch = confirming_channel()
    queue = queue_with(ch)
    publish(ch, queue, b"short", expiration="100")
    empties(ch, queue)
    publish(ch, queue, b"long", expiration="60000")
    equal(drain(ch, queue), [b"long"], "messages")


@scenario
def queue_features_shorter_of_both_ttls_counts():
    ch = confirming_channel()
    queue = limited_queue(ch, message_ttl=100)
    publish(ch, queue, b"x", expiration="60000")
    empties(ch, queue)
    queue = limited_queue(ch, message_ttl=60000)
    publish(ch, queue, b"x", expiration="100")
    empties(ch, queue)


@scenario
def queue_features_messages_expire_at_the_head_only():
    ch = channel()
    queue = queue_with(ch)
    publish(ch, queue, b"stays")
    publish(ch, queue, b"goes", expiration="1")
    has_ready(ch, queue, 2)
    method, _, body = get(ch, queue, auto_ack=False)
    equal(body, b"stays", "body")
    empties(ch, queue)
    ch.basic_ack(method.delivery_tag)


@scenario
def queue_features_ttl_zero_needs_a_waiting_consumer():
    ch = channel()
    queue = queue_with(ch)
    publish(ch, queue, b"nobody waits", expiration="0")
    equal(drain(ch, queue), [], "messages")
    received = subscribe(ch, queue, auto_ack=True)
    publish(ch, queue, b"somebody waits", expiration="0")
    wait_for(ch, received, 1)
    equal(bodies(received), [b"somebody waits"], "messages")


@scenario
def queue_features_ttl_goes_on_over_a_requeue():
    ch = channel()
    queue = limited_queue(ch, message_ttl=400)
    publish(ch, queue, b"x")
    start = time.monotonic()
    for _ in range(3):
        method, _, _ = ch.basic_get(queue)
        if method is None:
            break
        ch.basic_nack(method.delivery_tag, requeue=True)
    empties(ch, queue)
    true(time.monotonic() - start < 5, "every requeue began the time anew")


@scenario
def queue_features_invalid_expiration_is_406():
    connection = connect()
    for expiration, reason in (("abc", "no_integer"), ("10s", "leftover_string"), ("-1", None), ("", "no_integer")):
        ch = connection.channel()
        queue = queue_with(ch)
        try:
            publish(ch, queue, b"x", expiration=expiration)
            round_trip(ch)
        except ChannelClosedByBroker as error:
            equal(error.reply_code, 406, "code")
            text = f"PRECONDITION_FAILED - invalid expiration '{expiration}': "
            true(error.reply_text.startswith(text), f"text {error.reply_text!r}")
            true(reason is None or reason in error.reply_text, f"text {error.reply_text!r}")
        else:
            raise Failure(f"expiration {expiration!r} accepted")


@scenario
def queue_features_unused_queue_expires():
    connection = connect()
    ch = connection.channel()
    queue = fresh()
    ch.queue_declare(queue, arguments={"x-expires": 300})
    equal(exists(connection, queue), True, "queue exists at first")
    eventually(lambda: _gone_quietly(connection, queue), "the queue expired", seconds=30)


def _gone_quietly(connection, queue):
    """A passive declare counts as use, so the queue is asked for less often than it expires."""
    connection.process_data_events(1)
    return not exists(connection, queue)


@scenario
def queue_features_queue_with_a_consumer_does_not_expire():
    connection = connect()
    ch = connection.channel()
    queue = fresh()
    ch.queue_declare(queue, arguments={"x-expires": 200})
    subscribe(ch, queue, consumer_tag="c")
    connection.process_data_events(1)
    equal(exists(connection, queue), True, "queue exists while it is consumed")
    ch.basic_cancel("c")
    eventually(lambda: _gone_quietly(connection, queue), "the queue expired", seconds=30)


# ---- dead-lettering ------------------------------------------------------------------------------------------------


@scenario
def queue_features_rejected_message_is_dead_lettered():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, dead_letter_exchange=exchange)
    ch.basic_publish("amq.direct", "unbound", b"never arrives")
    ch.queue_bind(queue, "amq.direct", f"{queue}.key")
    before = int(time.time())
    ch.basic_publish(
        "amq.direct", f"{queue}.key", b"x", pika.BasicProperties(message_id="m", delivery_mode=2, headers={"own": 1})
    )
    ch.basic_reject(get(ch, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    method, properties, body = get(ch, dead)
    equal(body, b"x", "body")
    equal((method.exchange, method.routing_key), (exchange, f"{queue}.key"), "exchange and key")
    equal((properties.message_id, properties.delivery_mode), ("m", 2), "properties")
    headers = properties.headers
    equal(headers["own"], 1, "own header")
    (death,) = headers["x-death"]
    true(before - 2 <= death.pop("time").timestamp() <= time.time() + 2, "time of the death")
    expected = {
        "count": 1,
        "reason": "rejected",
        "queue": queue,
        "exchange": "amq.direct",
        "routing-keys": [f"{queue}.key"],
    }
    equal(death, expected, "x-death")
    for name, value in (("queue", queue), ("reason", "rejected"), ("exchange", "amq.direct")):
        equal(headers[f"x-first-death-{name}"], value, f"x-first-death-{name}")
        # RabbitMQ has the last death since 3.13.
        equal(headers.get(f"x-last-death-{name}", value), value, f"x-last-death-{name}")


@scenario
def queue_features_expired_message_is_dead_lettered():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, dead_letter_exchange=exchange)
    publish(ch, queue, b"x", expiration="50")
    _, properties, _ = get(ch, dead)
    equal(properties.expiration, None, "expiration property")
    (death,) = properties.headers["x-death"]
    equal((death["reason"], death["original-expiration"]), ("expired", "50"), "reason and original expiration")


@scenario
def queue_features_dropped_message_is_dead_lettered():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, dead_letter_exchange=exchange, max_length=1)
    publish(ch, queue, b"1", b"2")
    _, properties, body = get(ch, dead)
    equal((body, properties.headers["x-death"][0]["reason"]), (b"1", "maxlen"), "body and reason")
    equal(drain(ch, queue), [b"2"], "messages")


@scenario
def queue_features_dead_letter_routing_key_replaces_the_key():
    ch = channel()
    dead = queue_with(ch)
    queue = limited_queue(ch, dead_letter_exchange="", dead_letter_routing_key=dead)
    publish(ch, queue, b"x", headers={"CC": ["interop-nowhere"]})
    ch.basic_reject(get(ch, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    method, properties, _ = get(ch, dead)
    equal((method.exchange, method.routing_key), ("", dead), "exchange and key")
    equal(properties.headers["x-death"][0]["routing-keys"], [queue, "interop-nowhere"], "routing keys of the death")
    true("CC" not in properties.headers, "CC is still there")


@scenario
def queue_features_second_death_comes_first_and_repeats_count():
    ch = channel()
    first, second = fresh(), fresh()
    ch.queue_declare(first, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": second})
    ch.queue_declare(second, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": first})
    publish(ch, first, b"x")
    for queue in (first, second, first):
        ch.basic_reject(get(ch, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    _, properties, _ = get(ch, second)
    deaths = [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]
    equal(deaths, [(first, "rejected", 2), (second, "rejected", 1)], "deaths")
    equal(properties.headers["x-first-death-queue"], first, "queue of the first death")


@scenario
def queue_features_expiring_in_a_circle_is_dropped():
    ch = confirming_channel()
    queue = fresh()
    arguments = {"x-message-ttl": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    ch.queue_declare(queue, arguments=arguments)
    publish(ch, queue, b"x")
    empties(ch, queue)
    equal(drain(ch, queue), [], "messages")


@scenario
def queue_features_missing_dead_letter_exchange_drops_silently():
    ch = channel()
    queue = limited_queue(ch, dead_letter_exchange="interop-nowhere")
    publish(ch, queue, b"x")
    ch.basic_reject(get(ch, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    round_trip(ch)
    equal(drain(ch, queue), [], "messages")


@scenario
def queue_features_dead_letters_keep_their_order():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, dead_letter_exchange=exchange)
    publish(ch, queue, *[str(number).encode() for number in range(20)])
    for _ in range(20):
        last = get(ch, queue, auto_ack=False)[0].delivery_tag
    ch.basic_nack(last, multiple=True, requeue=False)
    has_ready(ch, dead, 20)
    equal([int(body) for body in drain(ch, dead)], list(range(20)), "order")


@scenario
def queue_features_deleted_or_purged_messages_are_not_dead_lettered():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, dead_letter_exchange=exchange)
    publish(ch, queue, b"x")
    has_ready(ch, queue, 1)
    ch.queue_purge(queue)
    publish(ch, queue, b"y")
    ch.queue_delete(queue)
    equal(drain(ch, dead), [], "dead letters")


# ---- length limits -------------------------------------------------------------------------------------------------


@scenario
def queue_features_max_length_drops_the_oldest():
    ch = channel()
    queue = limited_queue(ch, max_length=3)
    publish(ch, queue, *[str(number).encode() for number in range(10)])
    has_ready(ch, queue, 3)
    equal(drain(ch, queue), [b"7", b"8", b"9"], "messages")


@scenario
def queue_features_max_length_counts_ready_messages_only():
    ch = channel()
    queue = limited_queue(ch, max_length=2)
    publish(ch, queue, b"1", b"2")
    for _ in range(2):
        get(ch, queue, auto_ack=False)
    publish(ch, queue, b"3", b"4")
    has_ready(ch, queue, 2)
    equal(drain(ch, queue), [b"3", b"4"], "messages")


@scenario
def queue_features_max_length_bytes_counts_bodies():
    ch = channel()
    queue = limited_queue(ch, max_length_bytes=100)
    publish(ch, queue, b"a" * 60, b"b" * 40, b"c" * 30)
    has_ready(ch, queue, 2)
    equal([body[:1] for body in drain(ch, queue)], [b"b", b"c"], "messages")


@scenario
def queue_features_reject_publish_nacks():
    ch = channel()
    queue = limited_queue(ch, max_length=2, overflow="reject-publish")
    ch.confirm_delivery()
    accepted = 0
    for number in range(4):
        try:
            ch.basic_publish("", queue, str(number).encode())
            accepted += 1
        except NackError:
            pass
    equal(accepted, 2, "accepted messages")
    equal(drain(ch, queue), [b"0", b"1"], "messages")


@scenario
def queue_features_reject_publish_dlx_dead_letters_the_new_one():
    ch = channel()
    exchange, dead = dead_letter_queue(ch)
    queue = limited_queue(ch, max_length=1, overflow="reject-publish-dlx", dead_letter_exchange=exchange)
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"1")
    try:
        ch.basic_publish("", queue, b"2")
    except NackError:
        pass
    else:
        raise Failure("the second message was accepted")
    _, properties, body = get(ch, dead)
    equal((body, properties.headers["x-death"][0]["reason"]), (b"2", "maxlen"), "body and reason")
    equal(drain(ch, queue), [b"1"], "messages")


# ---- priorities ----------------------------------------------------------------------------------------------------


@scenario
def queue_features_higher_priority_comes_first():
    ch = channel()
    queue = limited_queue(ch, max_priority=5)
    for number, priority in enumerate((1, 5, None, 3, 5, 9, 0)):
        publish(ch, queue, str(number).encode(), priority=priority)
    has_ready(ch, queue, 7)
    # No priority is 0, and more than the most is the most.
    equal(drain(ch, queue), [b"1", b"4", b"5", b"3", b"0", b"2", b"6"], "order")


@scenario
def queue_features_requeued_message_keeps_its_priority():
    ch = channel()
    queue = limited_queue(ch, max_priority=2)
    publish(ch, queue, b"high", priority=2)
    method, _, _ = get(ch, queue, auto_ack=False)
    publish(ch, queue, b"low", priority=1)
    ch.basic_nack(method.delivery_tag, requeue=True)
    has_ready(ch, queue, 2)
    equal(drain(ch, queue), [b"high", b"low"], "order")


@scenario
def queue_features_consumer_with_higher_priority_is_served_first():
    ch = channel()
    queue = queue_with(ch)
    ch.basic_qos(prefetch_count=2)
    low = subscribe(ch, queue, arguments={"x-priority": -1})
    high = subscribe(ch, queue, arguments={"x-priority": 10})
    publish(ch, queue, b"1", b"2", b"3")
    eventually(lambda: ch.connection.process_data_events(0.05) or len(low) + len(high) == 3, "3 deliveries")
    equal((bodies(high), bodies(low)), ([b"1", b"2"], [b"3"]), "deliveries")


@scenario
def queue_features_single_active_consumer_hands_over():
    ch = channel()
    queue = limited_queue(ch, single_active_consumer=True)
    first = subscribe(ch, queue, consumer_tag="first")
    second = subscribe(ch, queue, consumer_tag="second")
    publish(ch, queue, b"1", b"2")
    wait_for(ch, first, 2)
    equal(bodies(second), [], "deliveries to the one that waits")
    ch.basic_cancel("first")
    publish(ch, queue, b"3")
    wait_for(ch, second, 1)


@scenario
def queue_features_single_active_consumer_and_exclusive_is_403():
    ch = channel()
    queue = limited_queue(ch, single_active_consumer=True)
    with channel_error(403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"):
        subscribe(ch, queue, exclusive=True)


# ---- direct reply-to -----------------------------------------------------------------------------------------------


@scenario
def queue_features_direct_reply_to_answers_once_the_consumer_is_gone():
    connection = connect()
    client, server = connection.channel(), connect().channel()
    requests = fresh()
    server.queue_declare(requests, auto_delete=True)
    replies = subscribe(client, "amq.rabbitmq.reply-to", auto_ack=True, consumer_tag="replies")
    publish(client, requests, b"ask", reply_to="amq.rabbitmq.reply-to")
    _, properties, _ = get(server, requests)
    true(properties.reply_to.startswith("amq.rabbitmq.reply-to."), f"reply-to {properties.reply_to!r}")
    declared = server.queue_declare(properties.reply_to, passive=True).method
    equal((declared.message_count, declared.consumer_count), (0, 1), "messages and consumers")
    publish(server, properties.reply_to, b"answer")
    wait_for(client, replies, 1)
    equal(replies[0][0].routing_key, properties.reply_to, "routing key of the reply")
    client.close()
    name = properties.reply_to
    with channel_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
        server.queue_declare(name, passive=True)


# ---- arguments -----------------------------------------------------------------------------------------------------


@scenario
def queue_features_invalid_arguments_are_406():
    connection = connect()
    for arguments in (
        {"x-message-ttl": "text"},
        {"x-message-ttl": -1},
        {"x-message-ttl": 315_360_000_001},
        {"x-expires": 0},
        {"x-expires": "1000"},
        {"x-max-length": -1},
        {"x-max-length-bytes": -1},
        {"x-max-priority": 256},
        {"x-max-priority": -1},
        {"x-overflow": "spill"},
        {"x-dead-letter-routing-key": "k"},
        {"x-dead-letter-exchange": 5},
        {"x-single-active-consumer": "yes"},
    ):
        (name,) = arguments
        queue = fresh()
        try:
            connection.channel().queue_declare(queue, arguments=arguments)
        except ChannelClosedByBroker as error:
            equal(error.reply_code, 406, f"code for {arguments}")
            true(
                error.reply_text.startswith("PRECONDITION_FAILED - invalid ") and f"'{name}'" in error.reply_text,
                f"text for {arguments}: {error.reply_text!r}",
            )
        else:
            raise Failure(f"accepted {arguments}")


@scenario
def queue_features_unknown_queue_type_is_406():
    ch = channel()
    try:
        ch.queue_declare(fresh(), durable=True, arguments={"x-queue-type": "no-such-type"})
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 406, "code")
    else:
        raise Failure("declared")


@scenario
def queue_features_arguments_of_old_brokers_are_accepted():
    ch = channel()
    for arguments in (
        {"x-queue-mode": "lazy"},
        {"x-queue-version": 2},
        {"x-ha-policy": "all"},
        {"x-queue-type": "classic", "x-queue-master-locator": "min-masters"},
    ):
        queue = fresh()
        ch.queue_declare(queue, durable=True, arguments=arguments)
        publish(ch, queue, b"x")
        equal(drain(ch, queue), [b"x"], f"messages with {arguments}")


@scenario
def queue_features_consumer_priority_must_be_an_integer():
    ch = channel()
    queue = queue_with(ch)
    try:
        subscribe(ch, queue, arguments={"x-priority": "high"})
    except ChannelClosedByBroker as error:
        equal(error.reply_code, 406, "code")
    else:
        raise Failure("accepted")
