"""Which queues a worker serves, and how it follows the connections while it runs.

A worker serves the connections of its region and those of none; or only those that it was started for. What changes in
the table is followed within seconds: a new connection gets its task and its queue, a new rate its ceiling. At each look
it says that it serves them (`dispatch.serving`).
"""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from celery.app.trace import build_tracer
from celery.worker.control import control_command
from django.conf import settings
from django.db import close_old_connections, connections

from dispatch import directory, serving, topology
from dispatch.directory import Entry
from dispatch.tasks import rate_limit, task_name, task_of
from sendmsg.celery import app

logger = structlog.stdlib.get_logger(__name__)

WATCH_EVERY = 5.0  # seconds between looks at the connections


@dataclass(frozen=True, slots=True)
class Scope:
    """What a worker is for. `region`: of its connections, "" for all; `names`: only these, if any."""

    region: str = ""
    names: Collection[str] = ()

    def covers(self, entry: Entry) -> bool:
        if self.names:
            return entry.name in self.names
        return not self.region or entry.region in ("", self.region)

    def of(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        return {name: entry for name, entry in entries.items() if self.covers(entry)}


def subscribe(names: Collection[str] = ()) -> Scope:
    """Tell the application, before the worker starts, its queues, tasks and rate limits.

    Raises what the database raises when it is away, and `ValueError` for names that are no connections.
    """
    scope = Scope(settings.REGION, names)
    entries = directory.entries()
    if unknown := sorted(set(names) - set(entries)):
        raise ValueError(f"There is no connection {', '.join(unknown)}; known are: {', '.join(sorted(entries))}.")
    served = scope.of(entries)
    app.conf.task_annotations = {
        task_name(name): {"rate_limit": limit} for name, entry in served.items() if (limit := rate_limit(entry))
    }
    app.conf.task_queues = [topology.idle_queue(), *(topology.deliver_queue(name) for name in served)]
    for name in entries:  # all of them: a task that came by a mistake in the broker is still a task that we know
        task_of(name)
    return scope


@control_command(args=[("connection", str)], signature="<connection>")
def serve_connection(state: Any, connection: str, **kwargs: Any) -> dict[str, str]:
    """Runs in the worker's own loop: makes a connection's task known to the running consumer, and takes its queue."""
    consumer, task, queue = state.consumer, task_of(connection), topology.deliver_queue(connection)
    consumer.strategies[task.name] = task.start_strategy(state.app, consumer)
    task.__trace__ = build_tracer(task.name, task, state.app.loader, consumer.hostname, app=state.app)
    consumer.reset_rate_limits()
    app.amqp.queues.add(queue)
    consumer.call_soon(consumer.add_task_queue, queue.name)
    return {"ok": f"serving {connection}"}


class Watch(threading.Thread):
    """Keeps a running worker's subscription and ceilings in step with the connections."""

    def __init__(self, hostname: str, scope: Scope) -> None:
        super().__init__(name="connection-watch", daemon=True)
        self.hostname = hostname
        self.scope = scope
        self.stopping = threading.Event()
        self.known = {name: rate_limit(entry) for name, entry in scope.of(directory.entries()).items()}

    def run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # database or broker away: the next look finds what this one missed
                logger.warning("connection watch failed", error=type(error).__name__)
                connections["default"].close()
            if self.stopping.wait(WATCH_EVERY):
                return

    def look(self) -> None:
        close_old_connections()
        served = self.scope.of(directory.entries())
        serving.note([entry.id for entry in served.values()])
        for name, entry in served.items():
            limit = rate_limit(entry)
            if name not in self.known:
                task_of(name).rate_limit = limit
                app.control.broadcast("serve_connection", arguments={"connection": name}, destination=[self.hostname])
            elif limit != self.known[name]:
                app.control.rate_limit(task_name(name), limit or 0, destination=[self.hostname])
            self.known[name] = limit
