"""The Celery application of the kombu suite: imported by the scenarios and by the worker they start."""

import os
import time

from celery import Celery

app = Celery("celery_tasks", broker=os.environ.get("AMQP_URL"), backend="rpc://")
app.conf.update(
    task_default_queue=os.environ.get("CELERY_QUEUE", "interop-celery"),
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_track_started=True,
    result_expires=None,
    control_exchange="interop-celery",
    event_exchange="interop-celery-events",
    control_queue_ttl=None,
    control_queue_expires=None,
    event_queue_ttl=None,
    event_queue_expires=None,
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


@app.task(bind=True, max_retries=5)
def third_time_lucky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries
