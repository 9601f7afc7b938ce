"""Ends messages that waited too long: their deadline passed, or nobody could say in time what became of an earlier try.

Runs whether or not a connection could serve them and the broker is there: a message's deadline is a promise of its own.
One that an earlier try may have sent is `unknown`, never `expired`; the last error of its tries is left to be read.
"""

from datetime import datetime

from django.db import connection as database
from django.db import transaction
from django.db.models import Q

from dispatch import directory, transitions
from dispatch.changes import Change
from dispatch.models import Message
from dispatch.states import State
from dispatch.vocabulary import UnknownThen
from sendmsg.telemetry import metrics

BATCH = 500  # rows of each kind a sweep
# One statement for a relay that looks every second: mostly nothing is overdue.
ANY = """
SELECT (
    SELECT true FROM dispatch_message WHERE state = 'queued' AND expires_at <= %(now)s ORDER BY expires_at LIMIT 1
) OR (
    SELECT true FROM dispatch_message
    WHERE state = 'queued' AND in_doubt AND doubt_until <= %(now)s ORDER BY doubt_until LIMIT 1
)
"""


def end_overdue(now: datetime) -> int:
    """End what is overdue at `now`, a batch of each kind at the most; how many moved."""
    with database.cursor() as cursor:
        cursor.execute(ANY, {"now": now})
        if not cursor.fetchone()[0]:
            return 0
    with transaction.atomic():
        overdue = [_end(row, now) for row in _queued(Q(expires_at__lte=now))]
        doubtful = [_give_up(row, now) for row in _queued(Q(in_doubt=True, doubt_until__lte=now, expires_at__gt=now))]
        return len(transitions.apply(overdue + doubtful))


def _queued(which: Q) -> list[Message]:
    rows = Message.objects.filter(which, state=State.QUEUED).select_for_update(skip_locked=True).order_by("id")
    return list(rows[:BATCH])


def _end(row: Message, now: datetime) -> Change:
    if row.in_doubt:
        return Change(row.id, State.UNKNOWN, data={"code": "expired"})
    return Change(row.id, State.EXPIRED, code="expired", detail=row.error_code, data={"code": "expired"})


def _give_up(row: Message, now: datetime) -> Change:
    """As the connection's operator wants it: to be looked at, or sent elsewhere though it may arrive twice."""
    entry = directory.by_id().get(row.connection_id or 0)
    if entry is None or entry.unknown_then != UnknownThen.FAIL_OVER:
        return Change(row.id, State.UNKNOWN, data={"code": "doubt_not_cleared"})
    metrics.DOUBTS_GIVEN_UP.labels(entry.name).inc()
    return Change(row.id, State.QUEUED, due_at=now, in_doubt=False, avoid=True, data={"code": "may_arrive_twice"})
