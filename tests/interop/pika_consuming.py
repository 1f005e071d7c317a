"""Getting, consuming, settling, prefetch; transactions."""

import socket

import pika
from pika import spec

from pika_support import (
    bodies,
    channel,
    channel_error,
    connect,
    connection_error,
    drain,
    has_consumers,
    has_ready,
    publish,
    queue_with,
    round_trip,
    subscribe,
    wait_for,
)
from scenario import equal, eventually, fresh, scenario, true


@scenario
def get_counts_what_is_left():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    for left, expected in ((2, b"1"), (1, b"2"), (0, b"3")):
        method, _, body = ch.basic_get(queue)
        equal((method.message_count, body), (left, expected), "messages left and body")
        equal((method.exchange, method.routing_key), ("", queue), "exchange and key")
    equal(ch.basic_get(queue), (None, None, None), "get from an empty queue")


@scenario
def get_ignores_prefetch_and_takes_none_of_it():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3", b"4")
    ch.basic_qos(prefetch_count=1)
    for _ in range(3):
        true(ch.basic_get(queue)[0], "get was limited by prefetch")
    received = subscribe(ch, queue)
    wait_for(ch, received, 1)


@scenario
def unknown_delivery_tag_is_406():
    connection = connect()
    for operation in (
        lambda ch: ch.basic_ack(82),
        lambda ch: ch.basic_nack(82),
        lambda ch: ch.basic_reject(82),
        lambda ch: ch.basic_ack(82, multiple=True),
    ):
        ch = connection.channel()
        with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 82"):
            operation(ch)
            round_trip(ch)


@scenario
def second_ack_of_a_delivery_is_406():
    ch = channel()
    queue = queue_with(ch, b"x")
    method, _, _ = ch.basic_get(queue)
    ch.basic_ack(method.delivery_tag)
    with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        ch.basic_ack(method.delivery_tag)
        round_trip(ch)


@scenario
def ack_on_another_channel_is_406_and_requeues_nothing():
    connection = connect()
    first, second = connection.channel(), connection.channel()
    queue = queue_with(first, b"x")
    method, _, _ = first.basic_get(queue)
    with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        second.basic_ack(method.delivery_tag)
        round_trip(second)
    has_ready(first, queue, 0, "ready messages")
    first.basic_ack(method.delivery_tag)
    round_trip(first)


@scenario
def ack_of_a_message_taken_without_ack_is_406():
    ch = channel()
    queue = queue_with(ch, b"x")
    method, _, _ = ch.basic_get(queue, auto_ack=True)
    with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
        ch.basic_ack(method.delivery_tag)
        round_trip(ch)


@scenario
def ack_multiple_takes_all_up_to_the_tag():
    connection = connect()
    ch = connection.channel()
    queue = queue_with(ch, b"1", b"2", b"3", b"4")
    for _ in range(4):
        ch.basic_get(queue)
    ch.basic_ack(3, multiple=True)
    with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 2"):
        ch.basic_ack(2)
        round_trip(ch)
    equal(drain(connection.channel(), queue), [b"4"], "messages after the channel closed")


@scenario
def ack_of_tag_zero_with_multiple_takes_everything():
    connection = connect()
    ch = connection.channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    for _ in range(3):
        ch.basic_get(queue)
    ch.basic_ack(0, multiple=True)
    ch.basic_ack(0, multiple=True)
    ch.close()
    equal(drain(connection.channel(), queue), [], "messages after the channel closed")


@scenario
def nack_with_requeue_puts_the_message_back_in_place():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3", b"4", b"5")
    tags = [ch.basic_get(queue)[0].delivery_tag for _ in range(4)]
    ch.basic_nack(tags[1], requeue=True)
    ch.basic_ack(tags[0])
    ch.basic_nack(tags[3], requeue=True)
    ch.basic_nack(tags[2], requeue=True)
    expected = [(b"2", True), (b"3", True), (b"4", True), (b"5", False)]
    found = []
    for _ in range(4):
        method, _, body = ch.basic_get(queue, auto_ack=True)
        found.append((body, method.redelivered))
    equal(found, expected, "bodies and redelivered flags")


@scenario
def nack_multiple_requeues_in_order():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3", b"4")
    for _ in range(3):
        ch.basic_get(queue)
    ch.basic_nack(3, multiple=True, requeue=True)
    equal(drain(ch, queue), [b"1", b"2", b"3", b"4"], "order")


@scenario
def reject_without_requeue_drops_the_message():
    ch = channel()
    queue = queue_with(ch, b"1", b"2")
    ch.basic_reject(ch.basic_get(queue)[0].delivery_tag, requeue=False)
    ch.basic_nack(ch.basic_get(queue)[0].delivery_tag, requeue=False)
    equal(drain(ch, queue), [], "messages")


@scenario
def reject_with_requeue_redelivers_to_the_same_consumer():
    ch = channel()
    queue = queue_with(ch, b"x")
    received = subscribe(ch, queue)
    wait_for(ch, received, 1)
    ch.basic_reject(received[0][0].delivery_tag, requeue=True)
    wait_for(ch, received, 2)
    equal([method.redelivered for method, _, _ in received], [False, True], "redelivered")
    equal(received[1][0].delivery_tag, 2, "delivery tag of the second delivery")
    ch.basic_ack(2)


@scenario
def recover_redelivers_everything_unacked():
    ch = channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    received = subscribe(ch, queue)
    wait_for(ch, received, 3)
    ch.basic_ack(received[1][0].delivery_tag)
    ch.basic_recover(requeue=True)
    wait_for(ch, received, 5)
    equal([(body, method.redelivered) for method, _, body in received[3:]], [(b"1", True), (b"3", True)], "again")


@scenario
def recover_without_requeue_is_not_implemented():
    ch = channel()
    with connection_error(540, "NOT_IMPLEMENTED - requeue=false"):
        ch.basic_recover(requeue=False)


@scenario
def closing_a_channel_requeues_what_it_held():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(ch, b"1", b"2", b"3")
    received = subscribe(ch, queue)
    wait_for(ch, received, 3)
    ch.basic_ack(received[0][0].delivery_tag)
    ch.close()
    has_ready(other, queue, 2, "both unacked messages back in the queue")
    again = [other.basic_get(queue, auto_ack=True) for _ in range(2)]
    equal([(body, method.redelivered) for method, _, body in again], [(b"2", True), (b"3", True)], "messages")


@scenario
def losing_a_connection_requeues_what_it_held():
    first, second = connect(), connect()
    queue = fresh()
    ch = first.channel()
    ch.queue_declare(queue)
    publish(ch, queue, b"1", b"2", b"3")
    received = subscribe(ch, queue)
    wait_for(ch, received, 3)
    first._impl._transport._sock.shutdown(socket.SHUT_RDWR)
    other = second.channel()
    has_ready(other, queue, 3, "all unacked messages back in the queue")
    equal(drain(other, queue), [b"1", b"2", b"3"], "order")


@scenario
def prefetch_limits_each_consumer():
    ch = channel()
    queue = queue_with(ch, *[b"x"] * 10)
    ch.basic_qos(prefetch_count=2)
    first = subscribe(ch, queue)
    wait_for(ch, first, 2)
    second = subscribe(ch, queue)
    wait_for(ch, second, 2)
    has_ready(ch, queue, 6, "ready messages")
    ch.basic_ack(first[0][0].delivery_tag)
    wait_for(ch, first, 3)
    has_ready(ch, queue, 5, "ready messages after one ack")


@scenario
def global_prefetch_limits_the_channel():
    ch = channel()
    queue = queue_with(ch, *[b"x"] * 10)
    ch.basic_qos(prefetch_count=3, global_qos=True)
    first, second = subscribe(ch, queue), subscribe(ch, queue)
    eventually(lambda: ch.connection.process_data_events(0.05) or len(first) + len(second) >= 3, "3 deliveries")
    has_ready(ch, queue, 7, "ready messages")
    equal(len(first) + len(second), 3, "deliveries")
    ch.basic_ack(3, multiple=True)
    eventually(lambda: ch.connection.process_data_events(0.05) or len(first) + len(second) >= 6, "6 deliveries")
    has_ready(ch, queue, 4, "ready messages after the acks")


@scenario
def raising_the_global_prefetch_lets_more_through():
    ch = channel()
    queue = queue_with(ch, *[b"x"] * 10)
    ch.basic_qos(prefetch_count=1, global_qos=True)
    received = subscribe(ch, queue)
    wait_for(ch, received, 1)
    ch.basic_qos(prefetch_count=4, global_qos=True)
    wait_for(ch, received, 4)
    has_ready(ch, queue, 6, "ready messages")
    ch.basic_qos(prefetch_count=0, global_qos=True)
    wait_for(ch, received, 10)


@scenario
def both_prefetch_limits_hold_at_once():
    ch = channel()
    queue = queue_with(ch, *[b"x"] * 10)
    ch.basic_qos(prefetch_count=2)
    ch.basic_qos(prefetch_count=3, global_qos=True)
    first = subscribe(ch, queue)
    wait_for(ch, first, 2)
    second = subscribe(ch, queue)
    wait_for(ch, second, 1)
    has_ready(ch, queue, 7, "ready messages")


@scenario
def prefetch_counts_for_consumers_started_later():
    ch = channel()
    queue = queue_with(ch, *[b"x"] * 6)
    ch.basic_qos(prefetch_count=2)
    first = subscribe(ch, queue)
    wait_for(ch, first, 2)
    ch.basic_qos(prefetch_count=1)
    ch.basic_ack(1)
    wait_for(ch, first, 3)
    second = subscribe(ch, queue)
    wait_for(ch, second, 1)
    has_ready(ch, queue, 2, "ready messages")


@scenario
def consumers_without_acks_ignore_prefetch():
    ch = channel()
    ch.basic_qos(prefetch_count=1)
    ch.basic_qos(prefetch_count=1, global_qos=True)
    queue = queue_with(ch, *[b"x"] * 50)
    received = subscribe(ch, queue, auto_ack=True)
    wait_for(ch, received, 50)


@scenario
def prefetch_size_is_not_implemented():
    ch = channel()
    with connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (100)"):
        ch.basic_qos(prefetch_size=100)


@scenario
def deleting_a_queue_cancels_its_consumers():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(ch)
    cancelled = []
    ch.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    subscribe(ch, queue, consumer_tag="one")
    subscribe(ch, queue, consumer_tag="two")
    other.queue_delete(queue)
    wait_for(ch, cancelled, 2)
    equal(sorted(cancelled), ["one", "two"], "cancelled consumers")
    round_trip(ch)


@scenario
def unacked_messages_of_a_deleted_queue_can_still_be_acked():
    ch = channel()
    queue = queue_with(ch, b"x", b"y")
    received = subscribe(ch, queue)
    wait_for(ch, received, 2)
    ch.queue_delete(queue)
    ch.basic_ack(1)
    ch.basic_nack(2, requeue=True)
    round_trip(ch)


@scenario
def live_consumer_tag_cannot_be_used_again():
    ch = channel()
    queue = queue_with(ch)
    subscribe(ch, queue, consumer_tag="same")
    with connection_error(530, "NOT_ALLOWED - attempt to reuse consumer tag 'same'"):
        ch._impl._send_method(spec.Basic.Consume(queue=queue, consumer_tag="same"))
        round_trip(ch)


@scenario
def cancelled_consumer_tag_can_be_used_again():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(ch)
    subscribe(other, queue, consumer_tag="same")
    for _ in range(3):
        received = subscribe(ch, queue, consumer_tag="same")
        ch.basic_cancel("same")
    equal(received, [], "deliveries")


@scenario
def exclusive_consumer_keeps_others_out():
    connection = connect()
    ch = connection.channel()
    queue = queue_with(ch)
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    subscribe(ch, queue, exclusive=True, consumer_tag="first")
    for exclusive in (False, True):
        with channel_error(403, text):
            subscribe(connection.channel(), queue, exclusive=exclusive)
    ch.basic_cancel("first")
    subscribe(ch, queue)
    with channel_error(403, text):
        subscribe(connection.channel(), queue, exclusive=True)


@scenario
def cancel_stops_deliveries_and_leaves_unacked_with_the_channel():
    ch = channel()
    queue = queue_with(ch, b"1")
    received = subscribe(ch, queue, consumer_tag="c")
    wait_for(ch, received, 1)
    ch.basic_cancel("c")
    publish(ch, queue, b"2")
    has_ready(ch, queue, 1, "ready messages: the first stays unacked, the second waits")
    has_consumers(ch, queue, 0)
    ch.basic_ack(received[0][0].delivery_tag)
    equal(drain(ch, queue), [b"2"], "messages")


@scenario
def consumers_take_turns():
    ch = channel()
    queue = queue_with(ch)
    ch.basic_qos(prefetch_count=0)
    groups = [subscribe(ch, queue) for _ in range(3)]
    publish(ch, queue, *[str(number).encode() for number in range(30)])
    eventually(lambda: ch.connection.process_data_events(0.05) or sum(map(len, groups)) >= 30, "30 deliveries")
    equal([len(group) for group in groups], [10, 10, 10], "deliveries for each consumer")
    for group in groups:
        numbers = [int(body) for body in bodies(group)]
        equal(numbers, sorted(numbers), "order within a consumer")


@scenario
def consumer_that_waits_gets_what_is_published():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(ch)
    received = subscribe(ch, queue)
    has_consumers(other, queue, 1)
    for number in range(1, 6):
        publish(other, queue, str(number).encode())
        wait_for(ch, received, number)


@scenario
def request_and_reply_over_a_server_named_queue():
    server, client = channel(), channel()
    requests = fresh()
    server.queue_declare(requests)

    def serve(ch, method, properties, body):
        ch.basic_publish(
            "", properties.reply_to, body.upper(), pika.BasicProperties(correlation_id=properties.correlation_id)
        )
        ch.basic_ack(method.delivery_tag)

    server.basic_consume(requests, serve)
    replies = client.queue_declare("", exclusive=True).method.queue
    received = subscribe(client, replies, auto_ack=True)
    for number in range(5):
        publish(client, requests, b"ping", reply_to=replies, correlation_id=str(number))

    def answered():
        server.connection.process_data_events(0.02)
        client.connection.process_data_events(0.02)
        return len(received) == 5

    eventually(answered, "5 replies")
    equal([properties.correlation_id for _, properties, _ in received], list("01234"), "correlation ids")
    equal(bodies(received), [b"PING"] * 5, "replies")


@scenario
def transaction_publishes_at_commit():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(other)
    ch.tx_select()
    publish(ch, queue, b"1", b"2")
    has_ready(other, queue, 0, "messages before commit")
    ch.tx_commit()
    has_ready(other, queue, 2, "messages after commit")
    publish(ch, queue, b"3")
    ch.tx_rollback()
    ch.tx_commit()
    equal(drain(other, queue), [b"1", b"2"], "messages after rollback")


@scenario
def transaction_acks_at_commit():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(other, b"1", b"2", b"3")
    ch.tx_select()
    for _ in range(3):
        ch.basic_get(queue)
    ch.basic_ack(1)
    ch.tx_commit()
    ch.basic_ack(2)
    ch.tx_rollback()
    ch.basic_ack(2)
    ch.basic_nack(3, requeue=True)
    has_ready(other, queue, 0, "ready messages before the nack is committed")
    ch.tx_commit()
    has_ready(other, queue, 1, "ready messages after commit")
    ch.close()
    equal(drain(other, queue), [b"3"], "messages after the channel closed")


@scenario
def transaction_left_open_changes_nothing():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = queue_with(other, b"held")
    ch.tx_select()
    method, _, _ = ch.basic_get(queue)
    ch.basic_ack(method.delivery_tag)
    publish(ch, queue, b"never committed")
    ch.close()
    has_ready(other, queue, 1, "the message back in the queue")
    equal(drain(other, queue), [b"held"], "messages")


@scenario
def mandatory_in_a_transaction_returns_at_commit():
    ch = channel()
    returned = []
    ch.add_on_return_callback(lambda _ch, method, _properties, body: returned.append(body))
    ch.tx_select()
    ch.basic_publish("", "interop-nowhere", b"x", mandatory=True)
    ch.tx_commit()
    wait_for(ch, returned, 1)


@scenario
def commit_and_rollback_without_select_are_406():
    connection = connect()
    for operation in ("tx_commit", "tx_rollback"):
        with channel_error(406, "PRECONDITION_FAILED - channel is not transactional"):
            getattr(connection.channel(), operation)()
