"""What a Celery worker of ours does differently.

- A task body that can't be decoded is rejected, so that it reaches the dead-letter exchange; Celery acknowledges it,
  which loses it.
- The 28 delay queues that Celery declares beside quorum queues are left out: nothing here has a countdown or an ETA.
- A warm shutdown waits for the calls under way, not for those that a task has yet to begin.
- Database connections live as long as their thread, and dead ones are dropped around each task.
- Queues follow the connections: a connection made while the worker runs is subscribed to within seconds.
"""

import logging
import threading
from typing import Any

from celery.signals import task_postrun, task_prerun, worker_ready, worker_shutting_down
from celery.worker.consumer import Consumer
from django.db import close_old_connections, connections

from dispatch import calls, directory, topology
from sendmsg.celery import app

logger = logging.getLogger(__name__)

WATCH_EVERY = 5.0  # seconds between looks for new connections


class DeliverConsumer(Consumer):
    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # celery-types has it as a value
        default_steps = [step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step]

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        logger.error("task can't be decoded error=%s", type(exc).__name__)
        message.reject(requeue=False)


@task_prerun.connect
@task_postrun.connect
def drop_dead_connections(**kwargs: Any) -> None:
    close_old_connections()


class QueueWatch(threading.Thread):
    """Subscribes a running worker to the queues of connections that were added since."""

    def __init__(self, hostname: str) -> None:
        super().__init__(name="queue-watch", daemon=True)
        self.hostname = hostname
        self.stopping = threading.Event()
        self.known = set(app.amqp.queues)

    def run(self) -> None:
        while not self.stopping.wait(WATCH_EVERY):
            try:
                self.look()
            except Exception as error:  # database or broker away: the next look finds what this one missed
                logger.warning("queue watch failed error=%s", type(error).__name__)
                connections["default"].close()

    def look(self) -> None:
        close_old_connections()
        for name in directory.entries():
            queue = topology.deliver_queue(name)
            if queue.name not in self.known:
                app.amqp.queues.add(queue)
                app.control.add_consumer(queue.name, destination=[self.hostname])
                self.known.add(queue.name)


_watch: QueueWatch | None = None


@worker_ready.connect
def start_watch(sender: Any, **kwargs: Any) -> None:
    global _watch
    _watch = QueueWatch(sender.hostname)
    _watch.start()


@worker_shutting_down.connect
def stop(**kwargs: Any) -> None:
    calls.stopping.set()
    if _watch is not None:
        _watch.stopping.set()


def subscribe() -> None:
    """Tell the application, before the worker starts, which queues there are. Raises when the database is away."""
    app.conf.task_queues = [
        topology.idle_queue(),
        *(topology.deliver_queue(name) for name in directory.entries()),
    ]
