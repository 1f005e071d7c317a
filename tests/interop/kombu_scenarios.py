"""kombu over py-amqp (PyPI), and Celery on top of it: what most Python services speak."""

import ctypes
import os
import queue as stdlib_queue
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal

import amqp
from amqp import exceptions
from kombu import Connection, Consumer, Exchange, Producer, Queue, binding
from kombu.pidbox import Mailbox
from kombu.pools import producers

import celery_tasks
from celery_tasks import add, began_at, fail, sleep_for, third_time_lucky
from scenario import URL, Failure, closed_with, control, equal, eventually, fresh, remember, run, scenario, true

_connections = []


def connect(**options):
    connection = Connection(URL.text + ("//" if URL.vhost == "/" else f"/{URL.vhost}"), **options)
    connection.connect()
    _connections.append(connection)
    return connection


def channel():
    """A channel of py-amqp itself."""
    return connect().channel()


def cleanup(names):
    while _connections:
        try:
            _connections.pop().release()
        except (OSError, amqp.AMQPError):
            pass  # a scenario may have cut it
    if not names:
        return
    with Connection(URL.text) as connection:
        for name in names:
            for kind in ("queue", "exchange"):
                ch = connection.channel()
                try:
                    getattr(ch, f"{kind}_delete")(name)
                    ch.close()
                except amqp.ChannelError:
                    pass  # an exclusive queue whose connection is still closing


@contextmanager
def error(kind, code, text):
    """py-amqp must raise the exception of this code, with this text."""
    try:
        yield
    except kind as found:
        closed_with(found.reply_code, found.reply_text, {code: text})
    else:
        raise Failure(f"no error, expected {code} {text!r}")


def drain_events(connection, done, what):
    """Handles events until `done()`."""

    def step():
        try:
            connection.drain_events(timeout=0.05)
        except (socket.timeout, TimeoutError):
            pass
        return done()

    eventually(step, what)


def own_queue(ch, **options):
    return ch.queue_declare(exclusive=True, **options).queue


def send(ch, routing_key, *bodies, exchange="", **properties):
    for body in bodies:
        ch.basic_publish(amqp.Message(body, **properties), exchange, routing_key)


def drain(ch, queue):
    found = []
    while message := ch.basic_get(queue, no_ack=True):
        found.append(message.body)
    return found


# ---- py-amqp -------------------------------------------------------------------------------------------------------


@scenario
def pyamqp_wrong_password_is_403():
    text = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
    )
    with error(exceptions.AccessRefused, 403, text):
        Connection(URL.replaced(password="wrong", vhost="/")).connect()


@scenario
def pyamqp_amqplain_login_works():
    connection = connect(login_method="AMQPLAIN")
    equal(own_queue(connection.channel())[:8], "amq.gen-", "server-named queue")


@scenario
def pyamqp_missing_vhost_is_530():
    with error(exceptions.NotAllowed, 530, "NOT_ALLOWED - vhost nowhere not found"):
        Connection(URL.replaced(vhost="nowhere")).connect()


@scenario
def pyamqp_header_values_come_back_with_their_types():
    ch = channel()
    queue = own_queue(ch)
    headers = {
        "int": -7,
        "long": 2**40,
        "double": 0.1,
        "bool": True,
        "none": None,
        "decimal": Decimal("12.345"),
        "time": datetime(2026, 5, 6, 7, 8, 9),
        "table": {"deep": {"deeper": ["x", 1, None]}},
        "array": [1, 2.5, "three", [4], {"five": 5}],
        "text": "ünï",
    }
    send(ch, queue, "x", application_headers=headers)
    found = ch.basic_get(queue, no_ack=True).headers
    found["time"] = found["time"].replace(tzinfo=None)
    equal(found, headers, "headers")


@scenario
def pyamqp_nowait_methods_get_no_reply():
    ch = channel()
    queue, exchange, second = fresh(), fresh("exchange"), fresh("exchange")
    ch.exchange_declare(exchange, "topic", auto_delete=False, nowait=True)
    ch.exchange_declare(second, "topic", auto_delete=False, nowait=True)
    ch.exchange_bind(second, exchange, "#", nowait=True)
    ch.queue_declare(queue, auto_delete=False, nowait=True)
    ch.queue_bind(queue, second, "a.#", nowait=True)
    send(ch, "a.b", "one", exchange=exchange)
    received = []
    ch.basic_consume(queue, "tag", callback=received.append, no_ack=True, nowait=True)
    drain_events(ch.connection, lambda: received, "a delivery")
    equal(received[0].body, "one", "body")
    ch.basic_cancel("tag", nowait=True)
    ch.exchange_unbind(second, exchange, "#", nowait=True)
    ch.queue_purge(queue, nowait=True)
    ch.queue_delete(queue, nowait=True)
    ch.exchange_delete(exchange, nowait=True)
    ch.exchange_delete(second, nowait=True)
    equal(ch.queue_declare(exclusive=True).message_count, 0, "messages in a new queue")


@scenario
def pyamqp_confirmed_publish_returns():
    ch = channel()
    queue = own_queue(ch)
    for number in range(10):
        ch.basic_publish_confirm(amqp.Message(str(number), delivery_mode=2), "", queue)
    equal(drain(ch, queue), [str(number) for number in range(10)], "bodies")


@scenario
def pyamqp_unroutable_message_is_returned():
    ch = channel()
    returned = []
    ch.events["basic_return"].add(lambda exc, exchange, key, message: returned.append((exc, exchange, key, message)))
    ch.basic_publish(amqp.Message("x"), "amq.direct", "nobody", mandatory=True)
    drain_events(ch.connection, lambda: returned, "a return")
    exc, exchange, key, message = returned[0]
    equal((exc.reply_code, exc.reply_text), (312, "NO_ROUTE"), "code and text")
    equal((exchange, key, message.body), ("amq.direct", "nobody", "x"), "exchange, key and body")


@scenario
def pyamqp_recover_async_redelivers():
    ch = channel()
    queue = own_queue(ch)
    send(ch, queue, "1", "2")
    received = []
    ch.basic_consume(queue, callback=received.append)
    drain_events(ch.connection, lambda: len(received) == 2, "2 deliveries")
    ch.basic_recover(requeue=True)
    drain_events(ch.connection, lambda: len(received) == 4, "2 redeliveries")
    equal([(m.body, m.delivery_info["redelivered"]) for m in received[2:]], [("1", True), ("2", True)], "again")


@scenario
def pyamqp_transaction_commits_and_rolls_back():
    ch = channel()
    queue = own_queue(ch)
    ch.tx_select()
    send(ch, queue, "rolled back")
    ch.tx_rollback()
    send(ch, queue, "committed")
    ch.tx_commit()
    equal(drain(ch, queue), ["committed"], "bodies")


@scenario
def pyamqp_server_cancels_the_consumer_of_a_deleted_queue():
    connection = connect()
    ch, other = connection.channel(), connection.channel()
    queue = own_queue(ch)
    cancelled = []
    ch.basic_consume(queue, "mine", callback=lambda m: None, on_cancel=cancelled.append)
    other.queue_delete(queue)
    drain_events(connection.connection, lambda: cancelled, "a cancel")
    equal(cancelled, ["mine"], "consumer tags")


@scenario
def pyamqp_channel_errors_raise_their_class():
    connection = connect()
    queue = fresh()
    connection.channel().queue_declare(queue, durable=True, auto_delete=False)
    with error(exceptions.NotFound, 404, "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'"):
        connection.channel().queue_declare("interop-nowhere", passive=True)
    with error(
        exceptions.PreconditionFailed,
        406,
        f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': received 'false' but "
        "current is 'true'",
    ):
        connection.channel().queue_declare(queue, durable=False, auto_delete=False)
    with error(exceptions.AccessRefused, 403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
        connection.channel().queue_bind(queue, "", "key")


@scenario
def pyamqp_connection_error_raises_its_class():
    ch = channel()
    with error(exceptions.AMQPNotImplementedError, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (9)"):
        ch.basic_qos(9, 0, False)


@scenario
def pyamqp_flow_is_answered():
    ch = channel()
    ch.flow(True)
    equal(ch.is_open, True, "channel is open")


@scenario
def pyamqp_heartbeats_keep_the_connection():
    connection = connect(heartbeat=2)
    raw = connection.connection
    equal(raw.heartbeat, 2, "negotiated heartbeat")
    first = raw.bytes_recv

    def beating():
        connection.heartbeat_check(rate=2)
        try:
            connection.drain_events(timeout=0.3)
        except (socket.timeout, TimeoutError):
            pass
        return raw.bytes_recv >= first + 3  # heartbeat frames, counted by py-amqp

    eventually(beating, "three heartbeats from the broker")
    equal(raw.connected, True, "connected")


@scenario
def pyamqp_global_prefetch_can_be_changed():
    ch = channel()
    queue = own_queue(ch)
    send(ch, queue, *["x"] * 10)
    received = []
    ch.basic_qos(0, 2, True)
    ch.basic_consume(queue, callback=received.append)
    drain_events(ch.connection, lambda: len(received) == 2, "2 deliveries")
    ch.basic_qos(0, 5, True)
    drain_events(ch.connection, lambda: len(received) == 5, "5 deliveries")
    ch.basic_ack(received[4].delivery_tag, multiple=True)
    drain_events(ch.connection, lambda: len(received) == 10, "10 deliveries")


# ---- kombu ---------------------------------------------------------------------------------------------------------


@scenario
def simple_queue_puts_and_gets():
    connection = connect()
    name = fresh()
    simple = connection.SimpleQueue(name)
    for number in range(5):
        simple.put({"number": number}, compression="zlib" if number % 2 else None)
    eventually(lambda: simple.qsize() == 5, "five messages in the queue")
    for number in range(5):
        message = simple.get(timeout=5)
        equal(message.payload, {"number": number}, "payload")
        message.ack()
    try:
        simple.get(block=False)
    except stdlib_queue.Empty:
        pass
    else:
        raise Failure("a sixth message")
    simple.close()
    connection.channel().exchange_delete(name)


@scenario
def entities_are_declared_and_deleted():
    ch = channel()
    exchange = Exchange(fresh("exchange"), type="topic", durable=False)
    queue = Queue(
        fresh(),
        [binding(exchange, "a.*"), binding(exchange, "b.#")],
        durable=False,
        auto_delete=True,
    )(ch)
    queue.declare()
    producer = Producer(ch, exchange=exchange, auto_declare=False)
    for key in ("a.1", "b", "c.1"):
        producer.publish({"key": key}, routing_key=key)
    equal([queue.get(no_ack=True).payload["key"] for _ in range(2)], ["a.1", "b"], "payloads")
    equal(queue.get(), None, "third message")
    queue.purge()
    queue.delete()
    exchange(ch).delete()
    with error(exceptions.NotFound, 404, f"NOT_FOUND - no queue '{queue.name}' in vhost '/'"):
        queue.queue_declare(passive=True)


@scenario
def serializers_and_properties_come_back():
    ch = channel()
    queue = Queue(fresh(), exclusive=True)(ch)
    queue.declare()
    producer = Producer(ch)
    for serializer, payload in (("json", {"a": [1, None]}), ("pickle", {1: (2, 3)}), ("raw", b"\x00\x01")):
        producer.publish(
            payload,
            routing_key=queue.name,
            serializer=serializer,
            headers={"s": serializer},
            priority=3,
            correlation_id="c",
            timestamp=1_700_000_000,
        )
        message = queue.get(no_ack=True, accept=["json", "pickle"])
        equal(message.payload, payload, "payload")
        equal(message.headers, {"s": serializer}, "headers")
        equal((message.properties["correlation_id"], message.properties["priority"]), ("c", 3), "properties")


@scenario
def consumer_callbacks_ack_reject_and_requeue():
    connection = connect()
    queue = Queue(fresh(), exclusive=True)
    seen = []

    def on_message(body, message):
        seen.append((body, bool(message.delivery_info["redelivered"])))
        if body == "requeue" and len(seen) == 2:
            message.requeue()
        elif body == "reject":
            message.reject()
        else:
            message.ack()

    with Consumer(connection, [queue], callbacks=[on_message], prefetch_count=1):
        producer = Producer(connection)
        for body in ("ack", "requeue", "reject"):
            producer.publish(body, routing_key=queue.name)
        drain_events(connection, lambda: len(seen) == 4, "4 deliveries")
    equal(seen, [("ack", False), ("requeue", False), ("requeue", True), ("reject", False)], "deliveries")


@scenario
def pool_of_producers_publishes_with_confirms():
    connection = connect(transport_options={"confirm_publish": True})
    queue = Queue(fresh(), durable=True)
    with producers[connection].acquire(block=True) as producer:
        for number in range(10):
            producer.publish({"n": number}, routing_key=queue.name, declare=[queue], retry=True)
    bound = queue(connection.channel())
    equal([bound.get(no_ack=True).payload["n"] for _ in range(10)], list(range(10)), "payloads")
    producers[connection].force_close_all()


@scenario
def unroutable_message_reaches_on_return():
    connection = connect()
    returned = []
    ch = connection.channel()
    producer = Producer(ch, on_return=lambda exc, exchange, key, message: returned.append(key))
    producer.publish("x", exchange="amq.topic", routing_key="nobody.here", mandatory=True)
    drain_events(connection, lambda: returned, "a return")
    equal(returned, ["nobody.here"], "routing keys")


@scenario
def pidbox_broadcasts_and_collects_replies():
    connection = connect()
    namespace = fresh("mailbox")
    mailbox = Mailbox(namespace, type="fanout")(connection)
    for name in (f"{namespace}.pidbox", f"reply.{namespace}.pidbox"):
        remember(name)
    for name in ("one", "two"):
        node = mailbox.Node(name, state=None, channel=connection.channel())
        node.handlers["ping"] = lambda state, name=name, **kwargs: {"pong": name}
        node.listen()
    replies = []
    mailbox._publish("ping", {}, reply_ticket=fresh("ticket"), channel=connection.channel(), timeout=5)
    with Consumer(
        connection.channel(),
        [mailbox.get_reply_queue()],
        callbacks=[lambda body, message: (replies.append(body), message.ack())],
    ):
        drain_events(connection, lambda: len(replies) == 2, "2 replies")
    equal(sorted(replies, key=str), [{"one": {"pong": "one"}}, {"two": {"pong": "two"}}], "replies")


@scenario
def fanout_with_auto_delete_queues_reaches_all():
    connection = connect()
    exchange = Exchange(fresh("exchange"), type="fanout", durable=False, auto_delete=True)
    received = [[], []]
    consumers = []
    for part in received:
        ch = connection.channel()
        queue = Queue("", exchange, durable=False, exclusive=True, auto_delete=True)
        consumer = Consumer(ch, [queue], callbacks=[lambda body, m, part=part: (part.append(body), m.ack())])
        consumer.consume()
        consumers.append(consumer)
    Producer(connection.channel(), exchange).publish("to all")
    drain_events(connection, lambda: all(received), "both deliveries")
    equal(received, [["to all"], ["to all"]], "bodies")
    for consumer in consumers:
        consumer.cancel()
    with error(exceptions.NotFound, 404, f"NOT_FOUND - no exchange '{exchange.name}' in vhost '/'"):
        connection.channel().exchange_declare(exchange.name, "fanout", passive=True)


@scenario(needs="restart")
def publisher_and_consumer_survive_a_restart():
    connection = connect()
    queue = Queue(fresh(), durable=True)
    queue(connection.channel()).declare()
    producer = Producer(connection)
    producer.publish("before", routing_key=queue.name)
    equal(queue(connection.channel()).queue_declare(passive=True).queue, queue.name, "queue")
    control("restart")
    publish = connection.ensure(producer, producer.publish, max_retries=20, interval_start=0.1, interval_max=0.3)
    publish("after", routing_key=queue.name)
    received = []
    consuming = connect()
    with Consumer(consuming, [queue], callbacks=[lambda body, m: (received.append(body), m.ack())]):
        drain_events(consuming, lambda: len(received) == 2, "2 deliveries")
    equal(received, ["before", "after"], "bodies")


# ---- Celery --------------------------------------------------------------------------------------------------------


def _end_with_parent():
    """Has Linux stop this process when the one that started it is gone, which may be killed at its time limit."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def worker(*options):
    """A Celery worker in its own process, with queues of its own."""
    command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "solo", "-l", "WARNING"]
    conf = celery_tasks.app.conf
    environment = dict(
        os.environ,
        CELERY_QUEUE=conf.task_default_queue,
        CELERY_MAX_PRIORITY=str(conf.task_queue_max_priority or 0),
        PYTHONDONTWRITEBYTECODE="1",
    )
    folder = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen(
        [*command, "-n", f"{fresh('worker')}@interop", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


CELERY_EXCHANGES = ("interop-celery.pidbox", "reply.interop-celery.pidbox", "interop-celery-events")


def with_celery_queue(function):
    """Gives the app a task queue of its own and has removed what Celery leaves behind."""

    def scenario_with_queue():
        app = celery_tasks.app
        app.conf.task_default_queue = fresh("celery")
        app.amqp = type(app.amqp)(app)
        for name in CELERY_EXCHANGES:
            remember(name)
        function(app)

    scenario_with_queue.__name__ = function.__name__
    return scenario_with_queue


@scenario
@with_celery_queue
def celery_worker_runs_tasks_and_returns_results(app):
    with worker():
        results = [add.delay(number, number) for number in range(10)]
        equal([result.get(timeout=30) for result in results], [2 * number for number in range(10)], "results")
        equal((add.s(1, 2) | add.s(3)).apply_async().get(timeout=30), 6, "result of a chain")
        failure = fail.delay().get(timeout=30, propagate=False)
        equal(repr(failure), repr(ValueError("as intended")), "failure")


@scenario
@with_celery_queue
def celery_eta_task_waits(app):
    with worker():
        equal(add.delay(0, 0).get(timeout=30), 0, "result")
        start = time.monotonic()
        later = add.apply_async((1, 1), countdown=1.5)
        soon = add.delay(2, 2)
        equal(soon.get(timeout=30), 4, "result of the task without a countdown")
        true(not later.ready(), "the task with a countdown was done first")
        equal(later.get(timeout=30), 2, "result of the task with a countdown")
        true(time.monotonic() - start >= 1.4, "the countdown was ignored")


@scenario
@with_celery_queue
def celery_retried_task_succeeds(app):
    with worker():
        equal(third_time_lucky.delay().get(timeout=30), 2, "retries")


@scenario
@with_celery_queue
def celery_tasks_of_higher_priority_run_first(app):
    app.conf.task_queue_max_priority = 10
    app.amqp = type(app.amqp)(app)
    try:
        # All wait when the worker comes, which takes one at a time.
        sent = [(priority, began_at.apply_async(priority=priority)) for priority in (0, 5, 9, 0, 5, 9)]
        with worker("--prefetch-multiplier", "1"):
            began = [(result.get(timeout=30), priority) for priority, result in sent]
        equal([priority for _, priority in sorted(began)], [9, 9, 5, 5, 0, 0], "order")
    finally:
        app.conf.task_queue_max_priority = None


@scenario
@with_celery_queue
def celery_control_and_inspect_are_answered(app):
    with worker() as process:
        name = eventually(lambda: app.control.ping(timeout=1), "a pong")
        node = next(iter(name[0]))
        inspect = app.control.inspect([node], timeout=5)
        true("celery_tasks.add" in inspect.registered()[node], "registered tasks")
        equal(inspect.active()[node], [], "active tasks")
        equal([q["name"] for q in inspect.active_queues()[node]], [app.conf.task_default_queue], "queues")
        extra = fresh("celery-extra")
        equal(
            app.control.add_consumer(extra, destination=[node], reply=True, timeout=5)[0][node]["ok"][:6],
            "add co",
            "ok",
        )
        app.control.cancel_consumer(extra, destination=[node], reply=True, timeout=5)
        app.control.shutdown(destination=[node])
        process.wait(30)


@scenario
@with_celery_queue
def celery_events_arrive(app):
    seen = []
    with worker("-E"):
        equal(add.delay(0, 0).get(timeout=30), 0, "result")
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["type"])})
            wanted = {"task-received", "task-started", "task-succeeded"}
            with receiver.consumer_context(wakeup=False) as (receiving, _channel, _consumers):
                add.delay(1, 1)
                drain_events(receiving, lambda: wanted <= set(seen), "task events")


@scenario
@with_celery_queue
def celery_worker_prefetches_and_requeues_on_shutdown(app):
    with worker("--prefetch-multiplier", "4"):
        equal(add.delay(0, 0).get(timeout=30), 0, "result")
        sleep_for.delay(2)
        for number in range(20):
            add.apply_async((number, 0), ignore_result=True)
    # The worker was told to stop: it finished what it had begun and gave back the rest.
    with connect() as connection:
        ch = connection.channel()
        left = eventually(
            lambda: ch.queue_declare(app.conf.task_default_queue, passive=True).message_count,
            "tasks left in the queue",
        )
        true(left <= 20, f"{left} tasks left")
    with worker(), connect() as connection:
        ch = connection.channel()
        eventually(
            lambda: ch.queue_declare(app.conf.task_default_queue, passive=True).message_count == 0,
            "no tasks left",
        )


if __name__ == "__main__":
    run(cleanup)
