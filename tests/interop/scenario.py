"""Runs named scenarios against the broker at AMQP_URL and prints one line for each.

A scenario is a function marked with @scenario. It passes when it returns; what it raises is the difference that is
printed. The Python suites (pika, kombu, amqp-tools) share this file.

    ok NAME
    FAIL NAME: expected 406, got 404
    skip NAME: needs restart
    12 passed, 1 failed, 1 skipped

Arguments are parts of names: only scenarios that contain one of them run.

What only the owner of the broker can do is asked for on standard output (`control restart`); the answer is one line
on standard input. INTEROP_CONTROL lists what may be asked for; scenarios that need more are skipped.
"""

import itertools
import os
import secrets
import signal
import sys
import time
import traceback
from urllib.parse import unquote, urlsplit

SECONDS_PER_SCENARIO = 60
SECONDS_TO_EVENTUALLY = 15

# RabbitMQ's texts that depend on its version; Leveret follows the newer one.
UNKNOWN_EXCHANGE_TYPE = {
    406: "PRECONDITION_FAILED - unknown exchange type '{}'",  # 4.x
    503: "COMMAND_INVALID - unknown exchange type '{}'",  # 3.x
}


class Failure(AssertionError):
    """The broker did something else than the scenario expects."""


class Url:
    """The parts of AMQP_URL."""

    def __init__(self, text):
        parts = urlsplit(text)
        self.text = text.rstrip("/")
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 5672
        self.user = unquote(parts.username or "guest")
        self.password = unquote(parts.password or "guest")
        self.vhost = unquote(parts.path[1:]) or "/"

    def replaced(self, user=None, password=None, vhost=None):
        """The URL as text, with other credentials or another vhost."""
        path = f"/{vhost}" if vhost is not None else ""
        return f"amqp://{user or self.user}:{password or self.password}@{self.host}:{self.port}{path}"


URL = Url(os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672"))

_scenarios = []
_names = []
_numbers = itertools.count(1)
_run_id = secrets.token_hex(3)


def scenario(function=None, needs=()):
    """Marks a function as a scenario; `needs` are the controls it asks for."""

    def register(function):
        _scenarios.append((function.__name__, function, (needs,) if isinstance(needs, str) else tuple(needs)))
        return function

    return register(function) if function else register


def fresh(kind="queue"):
    """A name that nothing else uses. Queues and exchanges with such names are deleted after the scenario."""
    return remember(f"interop-{_run_id}-{next(_numbers)}-{kind}")


def remember(name):
    """Has a queue or exchange with a name of the scenario's own choice deleted after the scenario."""
    _names.append(name)
    return name


def equal(actual, expected, what="value"):
    if actual != expected:
        raise Failure(f"{what}: expected {_short(expected)}, got {_short(actual)}")


def true(condition, what):
    if not condition:
        raise Failure(what)


def closed_with(code, text, expected):
    """Compares a close's code and text with `expected`: {code: text}, more than one where versions differ."""
    if expected.get(code) != text:
        wanted = " or ".join(f"{code} {text!r}" for code, text in expected.items())
        raise Failure(f"expected close with {wanted}, got {code} {text!r}")


def eventually(probe, what, seconds=SECONDS_TO_EVENTUALLY):
    """Calls `probe` until it returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} s: {what} (last: {_short(result)})")
        time.sleep(0.02)


def control(request):
    """Has the owner of the broker do something, e.g. `restart`; returns its answer."""
    print(f"control {request}", flush=True)
    answer = sys.stdin.readline().strip()
    if not answer.startswith("done"):
        raise Failure(f"control {request}: {answer or 'no answer'}")
    return answer


def run(cleanup):
    """Runs the scenarios and exits. `cleanup(names)` closes connections and deletes queues and exchanges so named."""
    controls = set(os.environ.get("INTEROP_CONTROL", "").split())
    wanted = sys.argv[1:]
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    signal.signal(signal.SIGALRM, _too_slow)
    for name, function, needs in _scenarios:
        if wanted and not any(part in name for part in wanted):
            continue
        missing = [need for need in needs if need not in controls]
        if missing:
            verdict, detail = "skip", f": needs {' '.join(missing)}"
        else:
            verdict, detail = _run_one(function, cleanup)
        counts[verdict] += 1
        print(f"{verdict} {name}{detail}", flush=True)
    skipped = f", {counts['skip']} skipped" if counts["skip"] else ""
    print(f"{counts['ok']} passed, {counts['FAIL']} failed{skipped}", flush=True)
    sys.exit(1 if counts["FAIL"] or not counts["ok"] else 0)


def _run_one(function, cleanup):
    verdict, detail = "ok", ""
    signal.alarm(SECONDS_PER_SCENARIO)
    try:
        function()
    except Exception as error:  # a failing scenario must not end the others
        verdict, detail = "FAIL", f": {_describe(error)}"
    signal.alarm(SECONDS_PER_SCENARIO)
    try:
        cleanup(list(_names))
        _names.clear()
    except Exception as error:  # neither must cleaning up
        if verdict == "ok":
            verdict, detail = "FAIL", f": cleaning up: {_describe(error)}"
    signal.alarm(0)
    return verdict, detail


def _too_slow(_signal, _frame):
    raise Failure(f"not finished after {SECONDS_PER_SCENARIO} s")


def _describe(error):
    # The scenario's own line tells more than the line of the client's code that raised.
    here = os.path.dirname(os.path.abspath(__file__))
    shared = (os.path.abspath(__file__), "_support.py")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.dirname(frame.filename) == here and not frame.filename.endswith(shared)
    ]
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}{where}".split())


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:280]}... ({len(text)} characters)"
