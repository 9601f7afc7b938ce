"""The relay: finds messages that are due, chooses their connection, and hands them to the workers.

New, scheduled, retried and failed-over messages are one thing to it: a row in state `queued` whose `due_at` has come.
It promises that a row is released to one task at a time, that nothing is released while the broker is away, and that
a message whose worker, task or relay was lost moves again when its lease ends. Any number of relays may run.

It also clears away idempotency records that have served their time, and moves broadcasts on.

One step: 1. free what lost its lease or its workers, end what is overdue, find the lanes of what an edited route
concerns; 2. make sure that the broker is there; 3. claim due rows of the lanes that have room, choose, and commit them
as `released`; 4. publish, confirmed; 5. put back what could not be published. A relay killed between 3 and 4 leaves
rows whose lease ends.
"""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from dispatch import deadlines, directory, due, leases, routes, routing, serving, standings, transitions, wakeup
from dispatch.bulk.sweep import BroadcastSweep
from dispatch.changes import Change
from dispatch.choices import Choices
from dispatch.lanes import lane_of
from dispatch.providers import registry
from dispatch.publisher import Publisher, Reference
from dispatch.rematch import Rematch
from dispatch.states import State
from dispatch.tempo import Tempo
from sendmsg.api import idempotency
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics, traces

logger = structlog.stdlib.get_logger(__name__)

SWEEP_EVERY = 1.0  # seconds between looks for ended leases
PURGE_EVERY = 3600.0  # seconds between deletions of idempotency records that have served their time
SHORTEST_WAIT = 0.05  # seconds; due rows without room for them must not make an idle relay spin
LONGEST_WAIT = 0.4  # seconds; the wait doubles up to this while nothing can be released
REFILL_WAIT = standings.AHEAD / 8  # seconds; the same while connections are at work, so that none runs dry
PARALLEL_TASKS = 8  # a small batch is split this many ways, so that an idle fleet shares it: one message, one task
PARALLEL_BATCHES = 2  # the same where a provider takes many in a call, and while its workers are busy: each task costs
LEAST_TASK = 8  # messages that are not worth splitting: their calls are made side by side by whoever has the task
REPUBLISH_AFTER = timedelta(seconds=1)  # a row that could not be published is due again then


class Relay(Pump):
    name = "relay"
    gather = 0.02  # seconds; a message that is sent while others are waits so long at the most, and shares their way

    def __init__(self) -> None:
        super().__init__()
        self.poll, self.full = settings.RELAY_POLL, settings.RELAY_BATCH
        self._publisher = Publisher()
        self._rematch = Rematch()
        self._broadcasts = BroadcastSweep()
        self._nap = SHORTEST_WAIT
        self._tempo = Tempo()
        self._left: frozenset[int] = frozenset()
        self._swept_at = self._purged_at = float("-inf")

    def step(self) -> int:
        freed = self._sweep() + self._rematch.step() + self._broadcasts.step()
        entries = directory.entries()
        self._publisher.open([entry.name for entry in entries.values()])
        with traces.batch("relay step", {}):
            tasks = release(entries, settings.RELAY_BATCH, self._tempo)
            self._publish(tasks)
        return freed + sum(len(references) for _, references in tasks)

    def _publish(self, tasks: list[tuple[str, list[Reference]]]) -> None:
        if tasks:
            self._nap = SHORTEST_WAIT
        for position, (connection, references) in enumerate(tasks):
            try:
                self._publisher.publish(connection, references)
            except Exception:
                put_back([reference for _, rest in tasks[position:] for reference in rest])
                raise
            metrics.RELEASED.labels(connection).inc(len(references))

    def wait(self, seconds: float) -> None:
        """Until somebody rings, the next row is due, or `seconds` have passed."""
        next_due = min((queue.due_at for queue in due.queues()), default=None)
        if next_due is not None:
            seconds = min(seconds, max((next_due - timezone.now()).total_seconds(), self._nap))
            self._nap = min(self._nap * 2, REFILL_WAIT if self._tempo.at_work else LONGEST_WAIT)
        wakeup.wait(seconds)

    def close(self) -> None:
        self._publisher.close()

    def _sweep(self) -> int:
        clock = time.monotonic()
        if clock - self._purged_at > PURGE_EVERY:
            self._purged_at = clock
            idempotency.purge(idempotency.KEPT_FOR)
        if clock - self._swept_at < SWEEP_EVERY:
            return 0
        self._swept_at = clock
        now = timezone.now()
        freed = leases.free_ended(now) + leases.free_unserved(self._unserved(), now)
        return freed + deadlines.end_overdue(now)

    def _unserved(self) -> frozenset[int]:
        found = serving.unserved()
        if found != self._left:
            names = sorted(entry.name for entry in directory.entries().values() if entry.id in found)
            logger.warning("connections that no worker serves", names=",".join(names) or "none")
            self._left = found
        return found


def release(
    entries: dict[str, directory.Entry], limit: int, tempo: Tempo | None = None
) -> list[tuple[str, list[Reference]]]:
    """Release due rows; the tasks to publish, by connection name, most urgent first."""
    now = timezone.now()
    waiting = [queue for queue in due.queues() if queue.due_at <= now]
    if not waiting:
        return []
    book = routes.book()
    standing = standings.standings(entries, tempo)
    ways = {queue.lane: routing.options(lane_of(queue.lane), entries.values(), book) for queue in waiting}
    room = {
        lane: sum(max(standing[i].room, 0) for i in {way.entry.id for way in found}) for lane, found in ways.items()
    }
    open_ids = {entry.id for entry in entries.values() if standing[entry.id].room > 0}
    with transaction.atomic():
        quotas = due.share(waiting, room, limit)
        choices = Choices(standing, now)
        for row in due.claim(quotas, open_ids, now, min(limit, sum(room.values()))):
            choices.add(row, ways[row.lane.number])
        released = choices.commit()
    by_connection: dict[str, list[Reference]] = defaultdict(list)
    for name, reference in released:
        by_connection[name].append(reference)
    tasks = []
    for name, rows in by_connection.items():
        entry, busy = entries[name], False
        if tempo is not None:
            busy = tempo.left(entry.id) >= entry.concurrency
            tempo.released(entry.id, len(rows))
        tasks += _tasks(entry, rows, busy)
    return tasks


def put_back(references: Sequence[Reference]) -> None:
    """Queue released rows again whose task may not have reached the broker."""
    due_at = timezone.now() + REPUBLISH_AFTER
    transitions.apply(
        [
            Change(message_id, State.QUEUED, release=number, due_at=due_at, data={"code": "broker_unavailable"})
            for message_id, number in references
        ]
    )


def _tasks(entry: directory.Entry, references: list[Reference], busy: bool) -> list[tuple[str, list[Reference]]]:
    """Where the provider takes many messages in a call, few large tasks: those of one text in a task share calls."""
    batch_size = registry.get(entry.provider).capabilities.batch_size
    if batch_size > 1:
        most, ways = max(settings.TASK_BATCH, min(batch_size, settings.RELAY_BATCH)), PARALLEL_BATCHES
    else:
        most, ways = settings.TASK_BATCH, PARALLEL_BATCHES if busy else PARALLEL_TASKS
    size = min(most, max(min(LEAST_TASK, entry.concurrency), math.ceil(len(references) / ways)))
    return [(entry.name, references[start : start + size]) for start in range(0, len(references), size)]
