"""What a Celery worker of ours does differently.

- A task body that can't be decoded is rejected, so that it reaches the dead-letter exchange; Celery acknowledges it,
  which loses it.
- The 28 delay queues that Celery declares beside quorum queues are left out: nothing here has a countdown or an ETA.
- A shutdown waits for the calls under way, and hands back those that were not begun.
- Database connections live as long as their thread, and dead ones are dropped around each task.
- Queues and rate limits follow the connections (`dispatch.subscription`).
"""

import logging
from collections.abc import Collection
from typing import Any

from celery.signals import task_postrun, task_prerun, worker_ready, worker_shutting_down
from celery.worker.consumer import Consumer
from django.db import close_old_connections

from dispatch import calls, sending
from dispatch.subscription import Scope, Watch, subscribe
from sendmsg.celery import app
from sendmsg.telemetry import port

logger = logging.getLogger(__name__)

DRAIN_WITHIN = 60.0  # seconds; over a call for many messages, and a database that comes back


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


_scope = Scope()
_watch: Watch | None = None


def start(names: Collection[str], arguments: list[str]) -> None:
    """Subscribe, and be a worker until a signal ends it. Raises what `subscribe` raises."""
    global _scope
    _scope = subscribe(names)
    port.open_port()
    try:
        app.worker_main(arguments)
    finally:
        if not sending.drain(DRAIN_WITHIN):
            logger.error("calls are still under way: their leases end by themselves")


@worker_ready.connect
def start_watch(sender: Any, **kwargs: Any) -> None:
    global _watch
    _watch = Watch(sender.hostname, _scope)
    _watch.start()


@worker_shutting_down.connect
def stop(**kwargs: Any) -> None:
    calls.stopping.set()
    if _watch is not None:
        _watch.stopping.set()
