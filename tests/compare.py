#!/usr/bin/env python3
"""Measures Leveret beside RabbitMQ on this machine and prints the table of the README.

    cargo build --release -p leveret-broker -p leveret-client --bins
    apt-get install rabbitmq-server && systemctl disable --now rabbitmq-server
    tests/compare.py [--rounds 3] [--only fill,latency] [--bin target/release] [--messages 1000000] [--seconds 10]

Both brokers run with data directories of their own below --data, on ports of their own, one after the other in every
row and round, so that what else the machine does hits both alike. A row is the median of its rounds. Figures in
microseconds are the processor time of the broker a message, user and system, of all its threads.

Load comes from `leveretctl bench`, on the same processors as the broker: it takes more of them than the broker does, so
rates say less than times do. Without RabbitMQ there is a column less.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLOCK = os.sysconf("SC_CLK_TCK")
START_SECONDS = 600


class Amqp:
    """As much of AMQP as `leveretctl bench` does not do: connections that do nothing, declarations, the first message."""

    def __init__(self, port, seconds=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(10, 10)
        plain = b"\x00guest\x00guest"
        self.send(0, 10, 11, struct.pack(">I", 0) + short("PLAIN") + struct.pack(">I", len(plain)) + plain
                  + short("en_US"))
        channel_max, frame_max, _ = struct.unpack(">HIH", self.expect(10, 30))
        self.send(0, 10, 31, struct.pack(">HIH", channel_max, frame_max, 0))
        self.send(0, 10, 40, short("/") + short("") + b"\x00")
        self.expect(10, 41)
        self.send(1, 20, 10, short(""))
        self.expect(20, 11)

    def send(self, channel, class_id, method_id, arguments):
        payload = struct.pack(">HH", class_id, method_id) + arguments
        self.socket.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def expect(self, *wanted):
        """Reads up to this method; returns its arguments."""
        while True:
            kind, _, length = struct.unpack(">BHI", self.read(7))
            payload = self.read(length + 1)[:-1]
            if kind != 1:
                continue
            found = struct.unpack(">HH", payload[:4])
            if found == wanted:
                return payload[4:]
            if found in ((10, 50), (20, 40)):
                raise RuntimeError(f"closed: {payload[4:]!r}")

    def read(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed by the broker")
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def declare(self, queue):
        durable = b"\x02"
        self.send(1, 50, 10, b"\x00\x00" + short(queue) + durable + struct.pack(">I", 0))

    def declared(self):
        self.expect(50, 11)

    def delete(self, queue):
        self.send(1, 50, 40, b"\x00\x00" + short(queue) + b"\x00")
        self.expect(50, 41)

    def first_message(self, queue):
        self.send(1, 60, 20, b"\x00\x00" + short(queue) + short("") + b"\x00" + struct.pack(">I", 0))
        self.expect(60, 60)

    def close(self):
        self.socket.close()


def short(text):
    return bytes([len(text)]) + text.encode()


class Broker:
    """A broker that this script starts, stops and kills."""

    def __init__(self, name, port, directory):
        self.name, self.port, self.directory = name, port, directory
        self.pid = self.process = None

    def start(self):
        """Returns once it answers."""
        began = time.monotonic()
        self.launch()
        while True:
            try:
                Amqp(self.port, 5).close()
                break
            except (OSError, RuntimeError, struct.error):
                if self.process.poll() is not None:
                    sys.exit(f"{self.name} ended at once; see {self.directory}")
                if time.monotonic() - began > START_SECONDS:
                    sys.exit(f"{self.name} did not start within {START_SECONDS} s; see {self.directory}")
                time.sleep(0.01)
        self.pid = self.find_pid()

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.wait()

    def crash(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def kill(self):
        """Ends all of it, whatever has become of it; for the end of the script."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def wait(self):
        self.process.wait(timeout=START_SECONDS)
        while Path(f"/proc/{self.pid}").exists():
            time.sleep(0.01)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK

    def memory_kb(self, field="VmRSS"):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", status, re.M)[1])

    def forget_peak(self):
        try:
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        except OSError:
            pass  # the peak is that since the start, then


class Leveret(Broker):
    def __init__(self, binary, directory):
        super().__init__("Leveret", 5682, directory)
        self.binary = binary

    def launch(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "--data-dir", self.directory / "data", "--amqp-listen", f"127.0.0.1:{self.port}",
             "--admin-listen", "127.0.0.1:15682"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def is_there(self):
        return self.binary.exists()

    def find_pid(self):
        return self.process.pid


class RabbitMq(Broker):
    PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, directory):
        super().__init__("RabbitMQ", 5683, directory)

    def launch(self):
        for folder in ("home", "log", "mnesia"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 1GB\n"
            "vm_memory_high_watermark.absolute = 8GiB\nlog.console = false\nlog.file.level = warning\n")
        (self.directory / "enabled_plugins").write_text("[].")
        environment = os.environ | {
            "HOME": str(self.directory / "home"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": "compare@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_DIST_PORT": "25683",
            "ERL_EPMD_PORT": "4383",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        output = open(self.directory / "out", "ab")
        self.process = subprocess.Popen([self.PROGRAM], env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=output, start_new_session=True)

    def is_there(self):
        return self.PROGRAM.exists()

    def find_pid(self):
        """The virtual machine, below the scripts that started it."""
        children = [self.process.pid]
        for pid in children:
            if Path(f"/proc/{pid}/comm").read_text().startswith("beam"):
                return pid
            for task in Path(f"/proc/{pid}/task").iterdir():
                children += map(int, (task / "children").read_text().split())
        sys.exit(f"RabbitMQ's process is not below {self.process.pid}")


class Measure:
    """The rows. Each takes a broker that runs and returns figures by name."""

    def __init__(self, options):
        self.options = options
        self.leveretctl = Path(options.bin) / "leveretctl"

    def bench(self, broker, *arguments):
        """The report of a run, with the broker's processor seconds and its peak of memory."""
        broker.forget_peak()
        before = broker.cpu_seconds()
        ran = subprocess.run(
            [self.leveretctl, "--uri", f"amqp://guest:guest@127.0.0.1:{broker.port}/%2f", "bench", "--json",
             *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        report = json.loads(ran.stdout)
        report["cpu_s"] = broker.cpu_seconds() - before
        report["peak_kb"] = broker.memory_kb("VmHWM")
        return report

    def through(self, broker, *arguments):
        report = self.bench(broker, "--duration", self.options.seconds, *arguments)
        return {"per_s": report["consumed_per_s"], "us": report["cpu_s"] * 1e6 / report["consumed"]}

    def transient(self, broker):
        return self.through(broker, "--size", 16, "--auto-ack", "--window", 10000)

    def persistent(self, broker):
        return self.through(broker, "--persistent", "--window", 1000, "--prefetch", 1000)

    def persistent_4(self, broker):
        return self.through(broker, "--persistent", "--publishers", 4, "--consumers", 4, "--queues", 4)

    def fanout(self, broker):
        return self.through(broker, "--fanout", "--queues", 10, "--auto-ack")

    def backlog(self, broker):
        report = self.bench(broker, "--backlog", "--persistent", "--count", self.options.messages, "--duration", 3600)
        return {"fill_per_s": report["confirmed_per_s"], "drain_per_s": report["consumed_per_s"],
                "us": report["cpu_s"] * 1e6 / report["consumed"], "peak_mb": report["peak_kb"] / 1024}

    def connections(self, broker):
        before = broker.memory_kb()
        connections = [Amqp(broker.port) for _ in range(1000)]
        grown = broker.memory_kb() - before
        for connection in connections:
            connection.close()
        return {"kb": grown / 1000}

    def declare(self, broker):
        rates = {}
        for name, count, together in (("one_by_one", 1000, 1), ("by_100", 10_000, 100)):
            connection = Amqp(broker.port)
            queues = [f"compare.{number}" for number in range(count)]
            began = time.monotonic()
            for first in range(0, count, together):
                for queue in queues[first:first + together]:
                    connection.declare(queue)
                for _ in queues[first:first + together]:
                    connection.declared()
            rates[name] = count / (time.monotonic() - began)
            for queue in queues:
                connection.delete(queue)
            connection.close()
        return rates

    def latency(self, broker):
        report = self.bench(broker, "--persistent", "--rate", 5000, "--window", 5000, "--duration",
                            self.options.seconds)
        confirm = report["confirm_latency_us"]
        return {"p50": confirm["p50"] / 1000, "p99": confirm["p99"] / 1000, "p999": confirm["p99.9"] / 1000,
                "us": report["cpu_s"] * 1e6 / report["consumed"]}

    def restart(self, broker):
        self.bench(broker, "--persistent", "--consumers", 0, "--count", self.options.messages, "--duration", 3600,
                   "--keep", "--queue", "compare.restart")
        figures = {}
        for how, end in (("stop", broker.stop), ("kill", broker.crash)):
            end()
            began = time.monotonic()
            broker.start()
            connection = Amqp(broker.port, START_SECONDS)
            connection.first_message("compare.restart")
            figures[how] = time.monotonic() - began
            connection.close()
        connection = Amqp(broker.port)
        connection.delete("compare.restart")
        connection.close()
        return figures


def rows(options):
    """Name, what the table calls it, and how its figures are written."""
    count = f"{options.messages:,}"

    def rate(figures):
        return f"{figures['per_s']:,.0f}/s, {figures['us']:.1f} µs"

    return [
        ("transient", "Transient 16 B, 1 publisher, 1 consumer, automatic acks", rate),
        ("persistent", "Persistent 1 KiB, window of 1000 confirms, prefetch 1000", rate),
        ("persistent_4", "The same, 4 publishers, 4 consumers, 4 queues", rate),
        ("fanout", "Fan-out of 1 KiB to 10 queues, per delivery", rate),
        ("backlog", f"Fill a queue with {count} persistent 1-KiB messages / drain it",
         lambda f: f"{f['fill_per_s']:,.0f} / {f['drain_per_s']:,.0f}/s, {f['us']:.1f} µs, {f['peak_mb']:,.0f} MB peak"),
        ("connections", "1,000 idle connections with a channel: memory each", lambda f: f"{f['kb']:.0f} KB"),
        ("declare", "Declare durable queues one by one / 100 at a time",
         lambda f: f"{f['one_by_one']:,.0f} / {f['by_100']:,.0f}/s"),
        ("latency", "5,000 persistent messages/s, confirm p50 / p99 / p99.9",
         lambda f: f"{f['p50']:.1f} / {f['p99']:.1f} / {f['p999']:.1f} ms, {f['us']:.0f} µs"),
        ("restart", f"Start with {count} messages until the first delivery, after a clean stop / a `kill -9`",
         lambda f: f"{f['stop']:.2f} / {f['kill']:.2f} s"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="these rows, separated by commas")
    parser.add_argument("--brokers", default="leveret,rabbitmq", help="one of them, or both")
    parser.add_argument("--bin", default=ROOT / "target/release", help="where leveret and leveretctl are")
    parser.add_argument("--data", default="compare-data", help="where both keep their data; emptied first and last")
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages of a backlog")
    parser.add_argument("--seconds", type=int, default=10, help="length of a run that has no number of messages")
    options = parser.parse_args()
    wanted = [row for row in rows(options) if not options.only or row[0] in options.only.split(",")]
    if not wanted:
        parser.error(f"--only knows {', '.join(row[0] for row in rows(options))}")

    data = Path(options.data).resolve()
    shutil.rmtree(data, ignore_errors=True)
    brokers = [Leveret(Path(options.bin) / "leveret", data / "leveret"), RabbitMq(data / "rabbitmq")]
    brokers = [broker for broker in brokers if broker.name.lower() in options.brokers and broker.is_there()]
    if not brokers:
        parser.error("there is no broker to measure")
    measure = Measure(options)
    figures = {}
    try:
        for broker in brokers:
            broker.start()
        for number in range(options.rounds):
            for name, _, show in wanted:
                for broker in brokers:
                    found = getattr(measure, name)(broker)
                    figures.setdefault((name, broker.name), []).append(found)
                    print(f"round {number + 1} {name}: {broker.name} {show(found)}", file=sys.stderr, flush=True)
    finally:
        for broker in brokers:
            broker.kill()
    shutil.rmtree(data, ignore_errors=True)

    print(f"| Scenario | {' | '.join(broker.name for broker in brokers)} |")
    print("|---" * (len(brokers) + 1) + "|")
    for name, title, show in wanted:
        cells = []
        for broker in brokers:
            found = figures[name, broker.name]
            cells.append(show({key: statistics.median(each[key] for each in found) for key in found[0]}))
        print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
