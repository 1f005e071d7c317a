#!/usr/bin/env python3
"""Writes the log that the log pipeline example reads: make-sample-log.py > sample.log

Forty minutes of a small shop, four machines, the same output on every run. Planted in it:

  09:22:00  an error burst on web-2: the database refuses its connections for a minute
  09:30:00  a latency spike: checkout takes about ten times as long for two minutes
  09:35:xx  three lines of a kind that was never there before: out of memory, a crash, a clock that jumped
"""

import random
import sys
from datetime import datetime, timedelta, timezone

START = datetime(2026, 3, 14, 9, 0, tzinfo=timezone.utc)
MINUTES = 40
PATHS = {"/": 8, "/cart": 25, "/search": 60, "/checkout": 90, "/static/app.js": 2, "/login": 40}
WEIGHTS = [30, 15, 20, 6, 25, 4]


def minute(m, s=0.0):
    return START + timedelta(minutes=m, seconds=s)


def request(rng, now, host):
    path = rng.choices(list(PATHS), WEIGHTS)[0]
    typical = PATHS[path]
    if path == "/checkout" and minute(30) <= now < minute(32):
        typical *= 10
    duration = max(1, round(rng.lognormvariate(0, 0.35) * typical))
    status, level = 200, "INFO"
    if rng.random() < 0.02:
        status, level = rng.choice([(404, "INFO"), (403, "WARN")])
    ident = f"{rng.getrandbits(32):08x}"
    verb = "POST" if path in ("/checkout", "/login") else "GET"
    return (host, "shop", level,
            f"request id={ident} method={verb} path={path} status={status} duration_ms={duration}")


def background(rng, _now):
    return rng.choice([
        lambda: ("db-1", "postgres", "INFO", f"checkpoint complete: wrote {rng.randint(20, 900)} buffers, "
                                             f"sync={rng.randint(1, 90) / 1000:.3f} s"),
        lambda: ("db-1", "postgres", "INFO", f"connection authorized: user=shop database=shop pid={rng.randint(900, 9000)}"),
        lambda: ("auth-1", "auth", "INFO", f"session opened user=u{rng.randint(1, 900)} from 10.0.{rng.randint(0, 3)}.{rng.randint(2, 250)}"),
        lambda: ("auth-1", "auth", "WARN", f"wrong password user=u{rng.randint(1, 900)} attempt={rng.randint(1, 3)}"),
        lambda: (f"web-{rng.randint(1, 2)}", "shop", "DEBUG", f"cache hit={rng.randint(60, 99)}% entries={rng.randint(1000, 4000)}"),
        lambda: (f"web-{rng.randint(1, 2)}", "shop", "ERROR", f"payment provider answered 502, retry={rng.randint(1, 3)}"),
    ])()


def main():
    rng = random.Random(20260314)
    lines = []
    now = START
    while now < minute(MINUTES):
        now += timedelta(seconds=rng.expovariate(1.05))
        make = background(rng, now) if rng.random() < 0.12 else request(rng, now, f"web-{rng.randint(1, 2)}")
        lines.append((now, make))
    now = minute(22)
    while now < minute(23):
        now += timedelta(seconds=rng.expovariate(1.5))
        lines.append((now, ("web-2", "shop", "ERROR",
                            f"cannot connect to db-1:5432: connection refused (attempt {rng.randint(1, 5)})")))
    lines.append((minute(35, 12.5), ("db-1", "kernel", "ERROR",
                                     "Out of memory: killed process 4711 (postgres) total-vm:8388608kB")))
    lines.append((minute(35, 13.1), ("web-1", "shop", "ERROR",
                                     "thread 'worker-7' panicked at cart.rs:211: index out of bounds")))
    lines.append((minute(35, 48.0), ("auth-1", "chronyd", "WARN",
                                     "system clock was stepped by -3600.251 seconds")))
    for when, (host, program, level, text) in sorted(lines):
        stamp = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"
        sys.stdout.write(f"{stamp} {host} {program} {level} {text}\n")


if __name__ == "__main__":
    main()
