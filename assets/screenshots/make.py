#!/usr/bin/env python3
"""Makes the pictures of the console for the README: starts a broker, gives it a day's work, and takes them.

    cargo xtask screenshots           builds what is needed, then runs this
    make.py --programs target/release --stay
                                      only the broker and its work, until Ctrl-C: to look around in

The work is a shop beside the log pipeline of the client's examples: orders that are paid, shipped and invoiced, mail that
is tried again, reminders that wait for their time, and messages that died of everything a message can die of.
"""

import argparse
import base64
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT = 200 * 1024

# File, page, and what else the console is told.
PICTURES = [
    ("overview.png", "overview", {"wait": "50"}),
    ("message-flow.png", "flow", {}),
    ("dead-letters.png", "dead-letters/%2F/shop.dlq", {}),
    ("queue.png", "queues/%2F/orders.paid", {"wait": "50"}),
]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--programs", type=pathlib.Path, required=True, help="folder with leveret, leveretctl, leveret-admin")
    arguments.add_argument("--into", type=pathlib.Path, default=HERE)
    arguments.add_argument("--only", help="the pictures with this in their name")
    arguments.add_argument("--minutes", type=float, default=1.2, help="how long the broker works before the first picture")
    arguments.add_argument("--stay", action="store_true", help="take no pictures; run until Ctrl-C")
    arguments = arguments.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))
    with tempfile.TemporaryDirectory(prefix="leveret-screenshots-") as folder:
        work = Work(arguments.programs.resolve(), pathlib.Path(folder))
        try:
            work.begin()
            if arguments.stay:
                print(f"admin API http://guest:guest@127.0.0.1:{work.admin}, AMQP port {work.amqp}", flush=True)
                while True:
                    time.sleep(3600)
            time.sleep(arguments.minutes * 60)
            for name, page, options in PICTURES:
                if not arguments.only or arguments.only in name:
                    take(work, arguments.into / name, page, options)
        finally:
            work.end()


def take(work, file, page, options):
    """One picture. Without a display it is taken on one of its own, where the pointer is beside the window."""
    raw = work.folder / "raw.png"
    options = {
        "connect": f"http://guest:guest@127.0.0.1:{work.admin}",
        "settings": str(work.folder / "admin.toml"),
        "size": "1440x900", "look": "dark", "language": "en", "wait": "9",
        "route": page, "screenshot": str(raw), **options,
    }
    command = [str(work.programs / "leveret-admin")]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    if not os.environ.get("DISPLAY"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 3200x2000x24", *command]
    subprocess.run(command, check=True, timeout=180, env={**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1"})
    shrink(raw, file)
    size = file.stat().st_size
    print(f"{file.name}: {size // 1024} KB", flush=True)
    if size > LIMIT:
        sys.exit(f"error: {file.name} is larger than {LIMIT // 1024} KB")


def shrink(raw, file):
    """256 colours are enough for a picture of a screen: the most frequent stay as they are, the others become one of them."""
    width, height, pixels = read_png(raw.read_bytes())
    exact = collections.Counter(pixels)
    buckets = collections.defaultdict(collections.Counter)
    for colour, count in exact.items():
        buckets[colour[0] >> 3, colour[1] >> 3, colour[2] >> 3][colour] += count
    chosen = sorted(buckets.values(), key=lambda bucket: -bucket.total())[:256]
    palette = [bucket.most_common(1)[0][0] for bucket in chosen]
    places = {}
    for bucket in buckets.values():
        of = bucket.most_common(1)[0][0]
        place = min(range(len(palette)), key=lambda at: sum((a - b) ** 2 for a, b in zip(of, palette[at])))
        places.update(dict.fromkeys(bucket, place))
    rows = bytes(places[colour] for colour in pixels)
    lines = b"".join(b"\0" + rows[at:at + width] for at in range(0, len(rows), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks))


def read_png(data):
    """Width, height and colours of a picture with eight bits of red, green and blue, as the console writes them."""
    at, body, head = 8, b"", None
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        part = data[at + 8:at + 8 + length]
        head = part if name == b"IHDR" else head
        body += part if name == b"IDAT" else b""
        at += length + 12
    width, height, depth, kind = struct.unpack(">IIBB", head[:10])
    if (depth, kind) != (8, 2):
        sys.exit("error: this is not a picture of the console")
    raw, stride, before, pixels = zlib.decompress(body), width * 3, bytes(width * 3), []
    for row in range(height):
        start = row * (stride + 1)
        line = bytearray(raw[start + 1:start + 1 + stride])
        unfilter(raw[start], line, before)
        pixels += [bytes(line[x:x + 3]) for x in range(0, stride, 3)]
        before = line
    return width, height, pixels


def unfilter(kind, line, before):
    """Undoes the filter of a row: it tells how bytes differ from those at their left and above."""
    for x in range(len(line)) if kind else ():
        left, above, corner = (line[x - 3], before[x], before[x - 3]) if x >= 3 else (0, before[x], 0)
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above
        elif kind == 3:
            guess = (left + above) // 2
        else:
            near = left + above - corner
            guess = min((left, above, corner), key=lambda value: abs(near - value))
        line[x] = (line[x] + guess) & 255


class Work:
    """A broker with something to do."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        self.amqp, self.admin = free_port(), free_port()
        self.children = []
        self.ended = threading.Event()

    def begin(self):
        self.start(
            "leveret", "--data-dir", str(self.folder / "data"),
            "--amqp-listen", f"127.0.0.1:{self.amqp}", "--admin-listen", f"127.0.0.1:{self.admin}",
        )
        for _ in range(200):
            try:
                self.api("GET", "/api/overview")
                break
            except OSError:
                time.sleep(0.1)
        self.declare()
        self.log_pipeline()
        self.shop()
        self.letters_that_died()
        threading.Thread(target=self.go_on, daemon=True).start()

    def end(self):
        self.ended.set()
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()

    def start(self, program, *arguments, **options):
        log = open(self.folder / "programs.log", "ab")
        child = subprocess.Popen(
            [str(self.programs / program), *arguments],
            stdin=options.get("stdin", subprocess.DEVNULL), stdout=subprocess.DEVNULL, stderr=log,
        )
        self.children.append(child)
        return child

    def ctl(self, name, *arguments):
        uri = f"amqp://guest:guest@127.0.0.1:{self.amqp}/%2f"
        return self.start("leveretctl", "--uri", uri, "--connection-name", name, *arguments)

    def api(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", method=method)
        request.add_header("authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        data = None
        if body is not None:
            request.add_header("content-type", "application/json")
            data = json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def publish(self, exchange, key, body, properties=None, vhost="%2F"):
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        properties = {"delivery_mode": 2, "content_type": "application/json", "app_id": "shop", **(properties or {})}
        self.api("POST", f"/api/exchanges/{vhost}/{quote(exchange) or 'amq.default'}/publish", {
            "routing_key": key, "payload": text, "payload_encoding": "string", "properties": properties,
        })

    def queue(self, name, vhost="%2F", **arguments):
        arguments = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
        self.api("PUT", f"/api/queues/{vhost}/{quote(name)}", {"durable": True, "arguments": arguments})

    def bind(self, exchange, queue, key, vhost="%2F"):
        self.api("POST", f"/api/bindings/{vhost}/e/{quote(exchange)}/q/{quote(queue)}", {"routing_key": key})

    def declare(self):
        exchange = lambda name, kind, **arguments: self.api(
            "PUT", f"/api/exchanges/%2F/{quote(name)}", {"type": kind, "durable": True, "arguments": arguments})
        exchange("shop", "topic")
        exchange("shop.dead", "fanout")
        exchange("reminders", "x-delayed-message", **{"x-delayed-type": "direct"})
        self.queue("shop.dlq")
        self.bind("shop.dead", "shop.dlq", "")
        dead = {"dead_letter_exchange": "shop.dead"}
        self.queue("orders.paid", **dead)
        self.queue("orders.shipping", **dead)
        self.queue("invoices", **dead, single_active_consumer=True)
        self.queue("订单.支付", **dead)
        self.queue("carts.open", **dead, message_ttl=1500)
        self.queue("stock.changes", **dead, max_length=40)
        self.queue("mail.outbox", **dead, retry_delay="exponential:500ms", retry_limit=4)
        self.queue("reminders.due")
        self.queue("reports.nightly", max_priority=5)
        for key, queue in [
            ("order.paid.#", "orders.paid"), ("order.paid.#", "invoices"), ("order.paid.cn", "订单.支付"),
            ("order.shipped.*", "orders.shipping"), ("cart.*", "carts.open"), ("stock.*", "stock.changes"),
            ("mail.#", "mail.outbox"), ("report.*", "reports.nightly"),
        ]:
            self.bind("shop", queue, key)
        self.bind("reminders", "reminders.due", "due")
        policy = lambda name, pattern, priority, **definition: self.api("PUT", f"/api/policies/%2F/{name}", {
            "pattern": pattern, "apply-to": "queues", "priority": priority,
            "definition": {name.replace("_", "-"): value for name, value in definition.items()}})
        policy("orders-limit", "^orders\\.", 1, max_length=100000)
        policy("logs-expire", "^logs\\.", 0, message_ttl=86_400_000)
        self.api("PUT", "/api/operator-policies/%2F/upper-bound", {
            "pattern": ".*", "apply-to": "queues", "definition": {"max-length": 5_000_000}})
        for vhost in ["staging", "analytics"]:
            self.api("PUT", f"/api/vhosts/{vhost}", {"description": f"{vhost} of the shop", "tags": ""})
            self.queue("events", vhost=vhost)
        self.publish("", "events", {"event": "deployed", "version": "4.2.0"}, vhost="staging")
        for name, tags in [("ops", "monitoring"), ("billing", ""), ("deploy", "policymaker"), ("王芳", "administrator")]:
            self.api("PUT", f"/api/users/{quote(name)}", {"password": base64.b16encode(os.urandom(12)).decode(), "tags": tags})
            self.api("PUT", f"/api/permissions/%2F/{quote(name)}", {
                "configure": "^$" if tags == "monitoring" else ".*", "write": ".*", "read": ".*"})

    def log_pipeline(self):
        log = self.folder / "shop.log"
        shutil.copyfile(ROOT / "assets" / "sample.log", log)
        self.log = log
        self.start(
            "examples/log_pipeline", "--uri", f"amqp://guest:guest@127.0.0.1:{self.amqp}/%2f",
            "all", str(log), "--follow", "--rate", "180", "--store", str(self.folder / "stored.log"))

    def shop(self):
        order = '{"order":"A-10442","customer":"Møller","total":129.90,"currency":"EUR","items":3}'
        publish = lambda name, key, rate, body=order: self.ctl(
            name, "publish", "--quiet", "-e", "shop", "-k", key, "--persistent", "--count", "100000000", "--rate", str(rate),
            "--app-id", "shop", "--content-type", "application/json", body)
        publish("web shop", "order.paid.eu", 85)
        publish("mobile app", "order.paid.cn", 30, body='{"订单":"B-2207","客户":"王芳","金额":88.00,"货币":"CNY"}')
        publish("warehouse", "order.shipped.eu", 24)
        consume = lambda name, queue, rate=None, prefetch=20, tag="": self.ctl(
            name, "consume", queue, "--quiet", "--prefetch", str(prefetch), "--tag", tag,
            *(["--rate", str(rate)] if rate else []))
        for number in range(1, 4):
            consume("payments", "orders.paid", rate=45, tag=f"payments-{number}")
        consume("invoicing", "invoices", tag="invoices-1")
        consume("invoicing", "invoices", tag="invoices-2")
        consume("alipay", "订单.支付", tag="alipay-1")
        # Slower than what comes.
        consume("parcel service", "orders.shipping", rate=21, prefetch=50, tag="warehouse-1")
        for number in range(40):
            self.publish("shop", "report.sales", {"report": "sales", "day": number + 1}, {"priority": number % 5})
        self.api("PUT", "/api/queues/%2F/reports.nightly/pause", {})
        for number in range(60):
            wait = 3_600_000 + number * 1_370_000
            self.publish("reminders", "due", {"remind": f"customer-{1000 + number}", "basket": number % 7 + 1},
                         {"headers": {"x-delay": wait}})

    def letters_that_died(self):
        """Rejected, expired, pushed out, and tried too often."""
        mails = ["order-confirmation", "password-reset", "newsletter", "invoice"]
        for number in range(26):
            self.publish("shop", f"mail.{mails[number % 4]}", {
                "template": mails[number % 4], "to": f"customer{number}@example.com",
                "error": ["550 mailbox unavailable", "421 try again later", "template not found"][number % 3],
                "attempt": {"host": f"smtp-{number % 2 + 1}", "took_ms": 40 + number * 7}},
                {"message_id": f"mail-{4000 + number}"})
        self.reject("mail.outbox", 26)
        for number in range(18):
            self.publish("shop", "cart.abandoned", {"cart": f"c-{900 + number}", "items": number % 5 + 1, "value": round(9.9 * (number + 1), 2)})
        for number in range(52):
            self.publish("shop", "stock.level", {"sku": f"LV-{number % 13:04}", "level": 200 - number * 3, "warehouse": "north"})
        for number in range(9):
            self.publish("shop", "order.paid.cn", {"订单": f"B-{2300 + number}", "客户": "李雷", "金额": 12.5 * (number + 1), "备注": "重复支付"})

    def reject(self, queue, count):
        self.api("POST", f"/api/queues/%2F/{quote(queue)}/get", {
            "count": count, "ackmode": "reject_requeue_false", "encoding": "auto"})

    def go_on(self):
        """A few more of each, so that the numbers move."""
        lines = self.log.read_text().splitlines(keepends=True)
        random.seed(7)
        number = 0
        while not self.ended.wait(2.0):
            number += 1
            try:
                with open(self.log, "a") as log:
                    log.writelines(random.choices(lines, k=400))
                self.publish("shop", "mail.invoice", {"template": "invoice", "to": f"late{number}@example.com",
                                                      "error": "451 greylisted"})
                if number % 3 == 0:
                    self.reject("mail.outbox", 2)
                self.publish("shop", "cart.abandoned", {"cart": f"c-{2000 + number}", "items": 1, "value": 19.9})
            except (OSError, urllib.error.URLError):
                # The broker stops, or is too busy to be asked just now.
                pass


def quote(name):
    return urllib.parse.quote(name, safe="")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
