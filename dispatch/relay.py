"""The relay: finds messages that are due, chooses their connection, and hands them to the workers.

New, scheduled, retried and failed-over messages are one thing to it: a row in state `queued` whose `due_at` has come.
It promises that a row is released to one task at a time, that nothing is released while the broker is away, and that
a message whose worker, task or relay was lost moves again when its lease ends. Any number of relays may run.

It also clears away idempotency records that have served their time.

One step: 1. free what lost its lease, end what is overdue; 2. make sure that the broker is there; 3. claim due rows of
the lanes that have room, choose, and commit them as `released`; 4. publish, confirmed; 5. put back what could not be
published. A relay killed between 3 and 4 leaves rows whose lease ends.
"""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from dispatch import deadlines, directory, due, leases, pacing, routing, transitions, wakeup
from dispatch.models import Message
from dispatch.publisher import Publisher, Reference
from dispatch.states import State
from dispatch.transitions import Change
from sendmsg.api import idempotency
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics

logger = logging.getLogger(__name__)

SWEEP_EVERY = 1.0  # seconds between looks for ended leases
PURGE_EVERY = 3600.0  # seconds between deletions of idempotency records that have served their time
SHORTEST_WAIT = 0.05  # seconds; due rows without room for them must not make an idle relay spin
BACKLOG_SECONDS = 1.0  # of a paced connection's rate that may be on its way; what is urgent waits no longer than this
PARALLEL_TASKS = 8  # a small batch is split this many ways, so that an idle fleet shares it: one message, one task
REPUBLISH_AFTER = timedelta(seconds=1)  # a row that could not be published is due again then


class Relay(Pump):
    name = "relay"

    def __init__(self) -> None:
        super().__init__()
        self.poll = settings.RELAY_POLL
        self._publisher = Publisher()
        self._swept_at = self._purged_at = float("-inf")

    def step(self) -> int:
        freed = self._sweep()
        entries = directory.entries()
        self._publisher.open([entry.name for entry in entries.values()])
        tasks = release(entries, settings.RELAY_BATCH)
        for position, (connection, references) in enumerate(tasks):
            try:
                self._publisher.publish(connection, references)
            except Exception:
                put_back([reference for _, rest in tasks[position:] for reference in rest])
                raise
            metrics.RELEASED.labels(connection).inc(len(references))
        return freed + sum(len(references) for _, references in tasks)

    def wait(self, seconds: float) -> None:
        """Until somebody rings, the next row is due, or `seconds` have passed."""
        next_due = Message.objects.filter(state=State.QUEUED).aggregate(at=Min("due_at"))["at"]
        if next_due is not None:
            seconds = min(seconds, max((next_due - timezone.now()).total_seconds(), SHORTEST_WAIT))
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
        return leases.free_ended(now) + deadlines.end_overdue(now)


def release(entries: dict[str, directory.Entry], limit: int) -> list[tuple[str, list[Reference]]]:
    """Release due rows; the tasks to publish, by connection name, most urgent first."""
    room = _room(entries)
    served = {lane: routing.candidates(lane, entries.values()) for lane in due.LANES}
    lanes = {lane: options for lane, options in served.items() if any(room[option.id] > 0 for option in options)}
    open_ids = {option.id for options in lanes.values() for option in options if room[option.id] > 0}
    with transaction.atomic():
        now = timezone.now()
        changes: list[Change] = []
        names: dict[UUID, str] = {}
        for row in due.claim(lanes, open_ids, now, min(limit, sum(max(free, 0) for free in room.values()))):
            options = lanes[row.lane]
            if row.pinned_to is not None:
                options = [option for option in options if option.id == row.pinned_to]
            entry = routing.choose(options, room)
            if entry is None:
                continue
            room[entry.id] -= 1
            names[row.id] = entry.name
            changes.append(
                Change(
                    row.id,
                    State.RELEASED,
                    connection_id=entry.id,
                    lease_until=now + settings.RELEASE_LEASE,
                    data={"connection": entry.name},
                )
            )
        moved = {move.message_id: move for move in transitions.apply(changes)}
    by_connection: dict[str, list[Reference]] = defaultdict(list)
    for message_id, name in names.items():
        if message_id in moved:
            by_connection[name].append((message_id, moved[message_id].release))
    return [task for name, rows in by_connection.items() for task in _tasks(name, rows)]


def put_back(references: Sequence[Reference]) -> None:
    """Queue released rows again whose task may not have reached the broker."""
    due_at = timezone.now() + REPUBLISH_AFTER
    transitions.apply(
        [
            Change(message_id, State.QUEUED, release=number, due_at=due_at, data={"code": "broker_unavailable"})
            for message_id, number in references
        ]
    )


def _room(entries: dict[str, directory.Entry]) -> dict[int, int]:
    """How many more messages each connection may have between release and answer, by connection id."""
    in_flight = dict(
        Message.objects.filter(state__in=[State.RELEASED, State.SENDING])
        .values_list("connection_id")
        .annotate(count=Count("id"))
    )
    paused = pacing.paused(entries)
    return {
        entry.id: 0 if name in paused else _backlog(entry) - in_flight.get(entry.id, 0)
        for name, entry in entries.items()
    }


def _backlog(entry: directory.Entry) -> int:
    """Short where the connection is slow: what is released can't be overtaken by what is more urgent."""
    limit: int = settings.BACKLOG_LIMIT
    return limit if entry.rate is None else min(limit, max(1, math.ceil(entry.rate * BACKLOG_SECONDS)))


def _tasks(connection: str, references: list[Reference]) -> list[tuple[str, list[Reference]]]:
    size = max(1, min(settings.TASK_BATCH, math.ceil(len(references) / PARALLEL_TASKS)))
    return [(connection, references[start : start + size]) for start in range(0, len(references), size)]
