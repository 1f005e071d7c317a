"""pika (PyPI): the blocking adapter for nearly everything, the asyncio adapter where the order of events matters."""

import pika_connections  # noqa: F401 - importing registers the scenarios, in this order
import pika_exchanges  # noqa: F401
import pika_queues  # noqa: F401
import pika_publishing  # noqa: F401
import pika_consuming  # noqa: F401
import pika_asyncio  # noqa: F401
import pika_persistence  # noqa: F401
import pika_queue_features  # noqa: F401
from pika_support import cleanup
from scenario import run

run(cleanup)
