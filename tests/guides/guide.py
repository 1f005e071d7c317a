"""Runs the Python examples of a page, one after the other as one program.

    guide.py PAGE AMQP_PORT ADMIN_PORT

They find the broker at these ports instead of the usual ones, and what their readers have to bring: what a worker does
with a message, and that it stops at some time.
"""

import sys
import time
from pathlib import Path

import pika
from pika.adapters.blocking_connection import BlockingChannel

page, amqp_port, admin_port = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Temporary(Exception):
    """It may go better next time."""


attempts = {}


def attempt(body):
    attempts[body] = attempts.get(body, 0) + 1
    return attempts[body]


def process(body):
    """One message is broken, the other cannot be worked on for a while."""
    attempt(body)
    raise Temporary if body == b"later" else ValueError(body)


def work(body):
    """Only the first attempt fails."""
    if attempt(body) == 1:
        raise Temporary


# A worker has done its part when it was called so often, which takes no longer than this.
SECONDS = 60
CALLS = {"dead-letters": 7, "retry": 2}


def start_consuming(channel):
    deadline = time.monotonic() + SECONDS
    while sum(attempts.values()) < CALLS[page.stem]:
        if time.monotonic() > deadline:
            sys.exit(f"the worker was called {sum(attempts.values())} times within {SECONDS} s, not {CALLS[page.stem]}")
        channel.connection.process_data_events(time_limit=1)
    # What the last callback sent.
    channel.connection.process_data_events()


def program(text):
    """The examples at the lines where they stand in the page, so that errors name those."""
    inside, lines = False, []
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines)


source = program(page.read_text())
if not source.strip():
    sys.exit(f"{page.name} has no example for pika")
for host in ("localhost", "127.0.0.1"):
    source = source.replace(f"{host}:15672", f"127.0.0.1:{admin_port}")
pika.connection.Parameters.DEFAULT_PORT = amqp_port
BlockingChannel.start_consuming = start_consuming
names = {"pika": pika, "process": process, "work": work, "Temporary": Temporary, "Unavailable": Temporary}
if "BlockingConnection" not in source:
    # Pages whose examples are pieces leave the beginning to the reader.
    names["connection"] = pika.BlockingConnection(pika.ConnectionParameters("localhost"))
    names["channel"] = names["connection"].channel()
exec(compile(source, str(page), "exec"), names)
