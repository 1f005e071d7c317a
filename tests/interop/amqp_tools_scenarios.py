"""amqp-tools (Debian): the command line programs of librabbitmq, the C client. Needs no Python package."""

import subprocess

from scenario import URL, Failure, equal, eventually, fresh, remember, run, scenario, true

_processes = []


def tool(name, *options, body=None, code=0, url=URL.text):
    """Runs amqp-NAME and returns its standard output and error; it must exit with `code`."""
    done = subprocess.run([f"amqp-{name}", f"--url={url}", *options], input=body, capture_output=True, timeout=30)
    if done.returncode != code:
        raise Failure(f"amqp-{name}: exit code {done.returncode} instead of {code}: {done.stderr.decode()}")
    return done.stdout, done.stderr.decode()


def started(name, *options):
    """Starts amqp-NAME and leaves it running."""
    command = [f"amqp-{name}", f"--url={URL.text}", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _processes.append(process)
    return process


def declared(*options):
    queue = fresh()
    tool("declare-queue", "-q", queue, *options)
    return queue


def published(queue, *bodies):
    for body in bodies:
        tool("publish", "-r", queue, body=body)


def drain(queue):
    found = []
    while True:
        done = subprocess.run(["amqp-get", f"--url={URL.text}", "-q", queue], capture_output=True, timeout=30)
        if done.returncode == 2:
            return found
        equal(done.returncode, 0, f"exit code of amqp-get ({done.stderr.decode()})")
        found.append(done.stdout)


def cleanup(names):
    while _processes:
        process = _processes.pop()
        process.kill()
        process.communicate()
    for name in names:
        tool("delete-queue", "-q", name)


@scenario
def declare_prints_the_name():
    queue = fresh()
    equal(tool("declare-queue", "-q", queue)[0].decode().strip(), queue, "output")
    equal(tool("declare-queue", "-q", queue)[0].decode().strip(), queue, "output of the second declare")


@scenario
def declare_without_a_name_prints_amq_gen():
    name = tool("declare-queue", "-q", "")[0].decode().strip()
    remember(name)
    true(name.startswith("amq.gen-"), f"server-generated name {name!r}")


@scenario
def durable_queue_declared_as_transient_fails_with_406():
    queue = declared("-d")
    _, error = tool("declare-queue", "-q", queue, code=1)
    true("406" in error and "PRECONDITION_FAILED - inequivalent arg 'durable'" in error, f"error text {error!r}")


@scenario
def published_body_is_got_back():
    queue = declared()
    published(queue, b"one", b"", b"three\n\x00\xff")
    equal(drain(queue), [b"one", b"", b"three\n\x00\xff"], "bodies")


@scenario
def body_of_1_mb_is_got_back():
    queue = declared()
    body = bytes(range(256)) * 4096
    published(queue, body)
    equal(drain(queue) == [body], True, "body comes back unchanged")


@scenario
def every_line_becomes_a_message():
    queue = declared("-d")
    tool("publish", "-l", "-p", "-r", queue, body=b"".join(b"line %d\n" % n for n in range(200)))
    out, _ = tool("consume", "-q", queue, "-c", "200", "-p", "10", "cat")
    equal(out.decode().split("\n")[:-1], [f"line {n}" for n in range(200)], "lines")
    equal(drain(queue), [], "messages left")


@scenario
def get_from_an_empty_queue_exits_with_2():
    queue = declared()
    equal(tool("get", "-q", queue, code=2)[0], b"", "output")


@scenario
def get_from_a_missing_queue_fails_with_404():
    _, error = tool("get", "-q", "interop-nowhere", code=1)
    true("404" in error and "NOT_FOUND - no queue 'interop-nowhere' in vhost '/'" in error, f"error text {error!r}")


@scenario
def delete_prints_the_number_of_messages():
    queue = declared()
    published(queue, b"1", b"2")
    equal(tool("delete-queue", "-q", queue)[0].decode().strip(), "2", "output")
    tool("get", "-q", queue, code=1)


@scenario
def delete_if_empty_fails_with_406():
    queue = declared()
    published(queue, b"1")
    _, error = tool("delete-queue", "-q", queue, "-e", code=1)
    true(f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty" in error, f"error text {error!r}")


@scenario
def consumer_runs_the_command_for_each_message():
    queue = declared()
    published(queue, b"a", b"b", b"c")
    out, _ = tool("consume", "-q", queue, "-c", "2", "--", "sh", "-c", "cat; echo .")
    equal(out, b"a.\nb.\n", "output")
    eventually(lambda: drain(queue) == [b"c"], "the third message back in the queue")


@scenario
def consumer_whose_command_fails_requeues():
    queue = declared()
    published(queue, b"a")
    out, error = started("consume", "-q", queue, "-c", "1", "--", "sh", "-c", "cat; false").communicate(timeout=30)
    equal(out, b"a", f"output ({error})")
    eventually(lambda: drain(queue) == [b"a"], "the message back in the queue")


@scenario
def consumer_without_acks_takes_messages():
    queue = declared()
    published(queue, b"a", b"b")
    out, _ = tool("consume", "-q", queue, "-A", "-c", "2", "cat")
    equal(out, b"ab", "output")
    equal(drain(queue), [], "messages left")


@scenario
def consumer_binds_a_queue_of_its_own_to_an_exchange():
    key = fresh("key")
    consumer = started("consume", "-e", "amq.topic", "-r", f"{key}.#", "-x", "-c", "1", "cat")
    # The queue has a name of the server's choice, so that only publishing again and again shows that it is bound.

    def delivered():
        tool("publish", "-e", "amq.topic", "-r", f"{key}.now", "-b", "hello")
        return consumer.poll() is not None

    eventually(delivered, "a delivery")
    out, error = consumer.communicate()
    equal(out, b"hello", "output")
    true("amq.gen-" in error.decode(), f"standard error names the queue: {error!r}")


@scenario
def exclusive_queue_of_a_consumer_is_locked():
    queue = fresh()
    started("consume", "-x", "-q", queue, "cat")

    def error():
        return subprocess.run(["amqp-get", f"--url={URL.text}", "-q", queue], capture_output=True).stderr.decode()

    text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'"
    eventually(lambda: text in error(), "405 for a second connection")


@scenario
def properties_and_headers_are_accepted():
    queue = declared()
    options = ("-C", "text/plain", "-E", "utf-8", "-t", "reply", "-H", "name: value", "-H", "other: 2", "-p")
    tool("publish", "-r", queue, *options, "-b", "x")
    equal(drain(queue), [b"x"], "bodies")


@scenario
def publish_to_a_missing_exchange_fails_with_404():
    # The program closes the channel after publishing; the broker's close arrives while it waits for close-ok.
    _, error = tool("publish", "-e", "interop-nowhere", "-r", "k", "-b", "x", code=1)
    true("NOT_FOUND - no exchange 'interop-nowhere' in vhost '/'" in error, f"error text {error!r}")


@scenario
def wrong_password_is_refused_with_403():
    _, error = tool("get", "-q", "any", code=1, url=URL.replaced(password="wrong"))
    true("ACCESS_REFUSED" in error or "403" in error, f"error text {error!r}")


@scenario
def missing_vhost_is_refused_with_530():
    _, error = tool("get", "-q", "any", code=1, url=URL.replaced(vhost="nowhere"))
    true("530" in error and "NOT_ALLOWED - vhost nowhere not found" in error, f"error text {error!r}")


@scenario
def heartbeats_can_be_asked_for():
    queue = declared()
    tool("publish", "--heartbeat=1", "-r", queue, "-b", "x")
    equal(tool("consume", "--heartbeat=1", "-q", queue, "-c", "1", "cat")[0], b"x", "output")


if __name__ == "__main__":
    run(cleanup)
