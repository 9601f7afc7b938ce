"""The Celery tasks that deliver: one for each connection, with a rate limit and a name in Flower of its own.

They carry ids only; waiting and retrying happen on the rows, never here.
"""

from typing import Any, Final
from uuid import UUID

from celery import Task, shared_task

from dispatch import sending
from dispatch.directory import Entry
from sendmsg.celery import app

NAME: Final = "dispatch.deliver"
HEADROOM: Final = 1.5
"""Times the rate. The exact limit is `dispatch.pacing`'s, over all workers; Celery's only stops a worker that runs
wild, and must not stand in the way of one that serves a connection alone."""


def _deliver(connection: str, references: list[tuple[str, int]]) -> str:
    """Deliver messages by one connection. `references`: (message id, release) pairs.

    Idempotent: a task that comes twice, late, or for a release that is over finds nothing to claim. Returns a word for
    the log: how many it claimed of how many it was given.
    """
    claimed = sending.deliver_batch(connection, [(UUID(message_id), release) for message_id, release in references])
    return f"{claimed}/{len(references)}"


deliver = shared_task(name=NAME)(_deliver)
"""For any connection: what a relay of an older version publishes."""


def task_name(connection: str) -> str:
    return f"{NAME}.{connection}"


def task_of(connection: str) -> "Task[Any, Any]":
    """The connection's own task; registered at the first call."""
    name = task_name(connection)
    if name not in app.tasks:
        app.task(name=name, lazy=False, shared=False)(_deliver)
    return app.tasks[name]


def rate_limit(entry: Entry) -> str | None:
    """A worker's ceiling for the connection's tasks, as Celery writes it; a task has one message at least."""
    return None if entry.rate is None else f"{entry.rate * HEADROOM:g}/s"
