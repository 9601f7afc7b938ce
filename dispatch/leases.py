"""Frees messages whose lease ended: their task never came, or the worker that held them is gone.

A `released` message was not claimed by anybody, so it is simply queued again. A `sending` one may have reached the
provider: its open attempt ends as unknown, and the verdict on unknown outcomes applies.

A `released` one of a connection that no worker serves is queued at once. Should its worker come back after all, the
task names a release that is over: the worker finds nothing to claim.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet

from dispatch import directory, transitions
from dispatch.changes import Change
from dispatch.claims import Reader
from dispatch.models import Attempt, Message
from dispatch.providers.base import Unknown
from dispatch.rows import Facts, facts
from dispatch.states import State
from dispatch.transitions import Moved
from dispatch.verdicts import decide
from dispatch.vocabulary import AttemptOutcome
from sendmsg.telemetry import metrics

BATCH = 500  # rows a sweep
# One statement for a relay that looks every second: mostly none has ended.
ANY = """
SELECT true FROM dispatch_message
WHERE state IN ('released', 'sending') AND lease_until < %(now)s ORDER BY lease_until LIMIT 1
"""
LOST = Unknown("worker_lost", "the worker that held the message is gone")


def free_ended(now: datetime) -> int:
    """Move every message (up to a batch of each kind) whose lease ended before `now`; how many moved."""
    metrics.LEASES_EXPIRED.labels(State.RELEASED.value)  # from 0, so that the first is seen as a rise
    with database.cursor() as cursor:
        cursor.execute(ANY, {"now": now})
        if cursor.fetchone() is None:
            return 0
    with transaction.atomic():
        return _free_released(now) + _free_sending(now)


def free_unserved(connection_ids: Collection[int], now: datetime) -> int:
    """Queue what was released to these connections, which no worker serves, up to a batch; how many moved."""
    if not connection_ids:
        return 0
    with transaction.atomic():
        rows = Message.objects.filter(state=State.RELEASED, connection_id__in=connection_ids).order_by("id")
        return len(_queued(_held(rows), now, "not_served"))


def _ended(state: State, now: datetime) -> list[Facts]:
    return _held(Message.objects.filter(state=state, lease_until__lt=now).order_by("id"))


def _held(rows: QuerySet[Message]) -> list[Facts]:
    """The first of them that nobody else has locked, locked."""
    ids = list(rows.values_list("id", flat=True).select_for_update(skip_locked=True)[:BATCH])
    return facts(ids) if ids else []


def _free_released(now: datetime) -> int:
    moved = _queued(_ended(State.RELEASED, now), now, "lease_ended")
    metrics.LEASES_EXPIRED.labels(State.RELEASED.value).inc(len(moved))
    return len(moved)


def _queued(rows: Iterable[Facts], now: datetime, code: str) -> list[Moved]:
    return transitions.apply(
        [Change(row.id, State.QUEUED, release=row.release, due_at=now, data={"code": code}) for row in rows]
    )


def _free_sending(now: datetime) -> int:
    rows = _ended(State.SENDING, now)
    if not rows:
        return 0
    entries, reader = directory.by_id(), Reader()
    claims = [reader.claim(row, entries.get(row.connection_id or 0)) for row in rows]
    moved = transitions.apply([decide(claim, LOST, now) for claim in claims])
    _close_attempts([row.id for row in rows], now)
    metrics.LEASES_EXPIRED.labels(State.SENDING.value).inc(len(moved))
    return len(moved)


def _close_attempts(message_ids: Iterable[UUID], now: datetime) -> None:
    Attempt.objects.filter(message_id__in=message_ids, outcome="").update(
        outcome=AttemptOutcome.UNKNOWN, code=LOST.code, detail=LOST.detail, finished_at=now
    )
