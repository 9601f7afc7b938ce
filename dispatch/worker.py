"""What a Celery worker of ours does differently.

- A task body that can't be decoded is rejected, so that it reaches the dead-letter exchange; Celery acknowledges it,
  which loses it.
- The 28 delay queues that Celery declares beside quorum queues are left out: nothing here has a countdown or an ETA.
- A shutdown waits for the calls under way, and hands back those that were not begun.
- Database connections live as long as their thread, and dead ones are dropped around each task.
- Queues and rate limits follow the connections (`dispatch.subscription`).
- Its name says what it serves, and it gives signs of life (`sendmsg.heartbeat`).
"""

import re
import socket
from collections.abc import Collection
from typing import Any

import structlog
from celery import bootsteps
from celery.signals import task_postrun, task_prerun, worker_ready, worker_shutting_down
from celery.worker.consumer import Consumer
from django.db import close_old_connections

from dispatch import calls, directory, sending, serving
from dispatch.subscription import Scope, Watch, subscribe
from sendmsg import collector, heartbeat
from sendmsg.celery import app
from sendmsg.telemetry import port

logger = structlog.stdlib.get_logger(__name__)

DRAIN_WITHIN = 60.0  # seconds; over a call for many messages, and a database that comes back
BEAT_EVERY = 5.0  # seconds
NAMES_SHOWN = 3  # connections in a worker's name; the name is part of a queue's, which has 255 bytes


class Beat(bootsteps.StartStopStep):
    """Signs of life out of the very loop that takes tasks; each start of the consumer begins with an empty timer."""

    def start(self, parent: Any) -> None:
        turn()
        parent.timer.call_repeatedly(BEAT_EVERY, turn)


def turn() -> None:
    heartbeat.beat()
    serving.turned()


class DeliverConsumer(Consumer):
    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # celery-types has it as a value
        default_steps = [
            *(step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step),
            f"{__name__}:Beat",
        ]

    _tries = 0

    @property
    def broker_connection_retry_attempt(self) -> int:
        """Celery counts here while the broker is away and its loop stands still: that is no hang."""
        return self._tries

    @broker_connection_retry_attempt.setter
    def broker_connection_retry_attempt(self, tries: int) -> None:
        self._tries = tries
        heartbeat.beat()

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        logger.error("task can't be decoded", error=type(exc).__name__)
        message.reject(requeue=False)


@task_prerun.connect
@task_postrun.connect
def drop_dead_connections(**kwargs: Any) -> None:
    close_old_connections()


_scope = Scope()
_watch: Watch | None = None


def start(names: Collection[str], label: str, arguments: list[str]) -> None:
    """Subscribe, and be a worker until a signal ends it. Raises what `subscribe` raises."""
    global _scope
    _scope = subscribe(names)
    port.open_port()
    collector.relax()
    served = _scope.of(directory.entries())
    try:
        app.worker_main([*arguments, f"--hostname={node_name(label, _scope.region, served)}"])
    finally:
        if not sending.drain(DRAIN_WITHIN):
            logger.error("calls are still under way: their leases end by themselves")


def node_name(label: str, region: str, connections: Collection[str]) -> str:
    """What Flower shows: `<label>.<region>.<connections>@<host>`, with the connections that it began with."""
    names = sorted(connections)
    more = [f"{len(names) - NAMES_SHOWN}-more"] if len(names) > NAMES_SHOWN else []
    parts = (label, region or "all", "+".join([*names[:NAMES_SHOWN], *more]) or "none")
    return f"{'.'.join(re.sub(r'[^A-Za-z0-9_+-]', '_', part) for part in parts)}@{socket.gethostname()}"


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
