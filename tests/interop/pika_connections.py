"""Handshake, limits, heartbeats, channels, closing."""

import pika
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError

from pika_support import (
    channel,
    channel_error,
    connect,
    connection_error,
    drain,
    exists,
    publish,
    queue_with,
    round_trip,
    subscribe,
    wait_for,
)
from scenario import Failure, URL, equal, eventually, fresh, scenario, true


LOGIN_REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
)


@scenario
def server_properties_name_product_and_capabilities():
    properties = connect()._impl.server_properties
    for name in ("product", "version", "platform", "copyright", "information", "cluster_name"):
        true(properties.get(name), f"server property {name} is missing")
    for name in (
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ):
        equal(properties["capabilities"].get(name), True, f"capability {name}")


@scenario
def wrong_password_is_refused_with_403():
    try:
        connect(credentials=pika.PlainCredentials(URL.user, "wrong"))
    except ProbableAuthenticationError as error:
        equal(str(error.args[0]), f"ConnectionClosedByBroker: (403) '{LOGIN_REFUSED}'", "error")
    else:
        raise Failure("logged in with a wrong password")


@scenario
def unknown_user_is_refused_with_403():
    try:
        connect(credentials=pika.PlainCredentials("nobody-knows-me", ""))
    except ProbableAuthenticationError as error:
        equal(str(error.args[0]), f"ConnectionClosedByBroker: (403) '{LOGIN_REFUSED}'", "error")
    else:
        raise Failure("logged in as an unknown user")


@scenario
def missing_vhost_is_refused_with_530():
    try:
        connect(virtual_host="no such vhost")
    except ProbableAccessDeniedError as error:
        text = "NOT_ALLOWED - vhost no such vhost not found"
        equal(str(error.args[0]), f"ConnectionClosedByBroker: (530) '{text}'", "error")
    else:
        raise Failure("opened a vhost that does not exist")


@scenario
def idle_connection_gets_heartbeats_both_ways():
    connection = connect(heartbeat=1)
    checker = connection._impl._heartbeat_checker

    def beats():
        connection.process_data_events(0.1)
        return checker._heartbeat_frames_received >= 3 and checker._heartbeat_frames_sent >= 3

    eventually(beats, "three heartbeats each way")
    true(connection.is_open, "the connection was closed")


@scenario
def heartbeat_zero_turns_heartbeats_off():
    connection = connect(heartbeat=0)
    equal(connection._impl.params.heartbeat, 0, "heartbeat")
    equal(connection._impl._heartbeat_checker, None, "heartbeat checker")


@scenario
def frame_max_4096_splits_large_bodies():
    ch = channel(frame_max=4096)
    body = bytes(range(256)) * 200
    queue = queue_with(ch, body)
    equal(drain(ch, queue) == [body], True, "body comes back unchanged")


@scenario
def bodies_around_the_frame_limit_come_back():
    ch = channel(frame_max=8192)
    limit = 8192 - 8
    for size in (0, 1, limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1, 10 * limit):
        body = bytes(i % 251 for i in range(size))
        queue = queue_with(ch, body)
        equal(drain(ch, queue) == [body], True, f"body of {size} bytes comes back unchanged")


@scenario
def body_of_5_mb_comes_back():
    ch = channel()
    body = bytes(range(250)) * 20_000
    queue = queue_with(ch, body, b"after")
    received = subscribe(ch, queue)
    wait_for(ch, received, 2)
    equal(received[0][2] == body, True, "body comes back unchanged")
    equal(received[1][2], b"after", "body")


@scenario
def update_secret_is_answered():
    connection = connect()
    connection.update_secret(URL.password, "rotation")
    equal(connection.is_open, True, "connection is open")
    round_trip(connection.channel())


@scenario
def connection_close_is_answered_and_frees_exclusive_queues():
    first = connect()
    queue = fresh()
    first.channel().queue_declare(queue, exclusive=True)
    first.close(320, "own reason")
    second = connect()
    eventually(lambda: not exists(second, queue), "exclusive queue gone after its connection")
    second.channel().queue_declare(queue, exclusive=True)


@scenario
def many_channels_work_side_by_side():
    connection = connect()
    channels = [connection.channel() for _ in range(200)]
    queue = fresh()
    channels[0].queue_declare(queue, exclusive=True)
    for ch in channels:
        publish(ch, queue, str(int(ch)).encode())
    for ch in channels:
        round_trip(ch)
    equal(sorted(int(body) for body in drain(channels[7], queue)), list(range(1, 201)), "bodies")


@scenario
def channel_number_is_free_again_after_an_error():
    connection = connect()
    for _ in range(50):
        ch = connection.channel(1)
        with channel_error(404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'"):
            ch.queue_declare("interop-nowhere", passive=True)
    round_trip(connection.channel(1))


@scenario
def channel_number_is_free_again_after_close():
    connection = connect()
    for _ in range(50):
        ch = connection.channel(3)
        queue = ch.queue_declare("", exclusive=True).method.queue
        subscribe(ch, queue)
        publish(ch, queue, b"x")
        ch.close()
    equal(connection.is_open, True, "connection is open")


@scenario
def methods_on_a_closing_channel_are_ignored():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = other.queue_declare("", exclusive=True).method.queue
    with channel_error(404, "NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'"):
        impl = ch._impl
        impl.basic_publish("interop-nowhere", "", b"lost")
        for _ in range(20):
            impl.basic_publish("interop-nowhere", "", b"ignored")
            impl.basic_publish("", queue, b"ignored too")
        round_trip(ch)
    round_trip(other)
    equal(drain(other, queue), [], "messages published on a channel that was closed")


@scenario
def channel_flow_on_is_answered():
    equal(channel().flow(True), True, "flow-ok")


@scenario
def channel_flow_off_is_not_implemented():
    ch = channel()
    with connection_error(540, "NOT_IMPLEMENTED - active=false"):
        ch.flow(False)


@scenario
def error_on_one_channel_leaves_others_alone():
    connection = connect()
    bad, good = connection.channel(), connection.channel()
    queue = queue_with(good)
    received = subscribe(good, queue)
    with channel_error(404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'"):
        bad.basic_get("interop-nowhere")
    publish(good, queue, b"still here")
    wait_for(good, received, 1)
