"""The Celery application of the kombu suite: imported by the scenarios and by the worker they start.

As Celery is by default, but for names that other applications on the same broker do not use.
"""

import os
import time

from celery import Celery

app = Celery("celery_tasks", broker=os.environ.get("AMQP_URL"), backend="rpc://")
app.conf.update(
    task_default_queue=os.environ.get("CELERY_QUEUE", "interop-celery"),
    task_queue_max_priority=int(os.environ.get("CELERY_MAX_PRIORITY", 0)) or None,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_track_started=True,
    control_exchange="interop-celery",
    event_exchange="interop-celery-events",
)


@app.task
def add(a, b):
    return a + b


@app.task
def fail():
    raise ValueError("as intended")


@app.task
def sleep_for(seconds):
    time.sleep(seconds)


@app.task
def began_at():
    return time.monotonic()


@app.task(bind=True, max_retries=5)
def third_time_lucky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries
