"""Ends messages that waited too long: their deadline passed, or a repeat would not be recognised any more.

Runs whether or not a connection could serve them and the broker is there: a message's deadline is a promise of its own.
One that an earlier try may have sent is `unknown`, never `expired`; the last error of its tries is left to be read.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from dispatch import transitions
from dispatch.models import Message
from dispatch.states import State
from dispatch.transitions import Change

BATCH = 500  # rows a sweep


def end_overdue(now: datetime) -> int:
    """End what is overdue at `now`, a batch at the most; how many ended."""
    overdue = Q(expires_at__lte=now) | Q(in_doubt=True, repeat_until__lte=now)
    with transaction.atomic():
        rows = Message.objects.filter(overdue, state=State.QUEUED).select_for_update(skip_locked=True).order_by("id")
        return len(transitions.apply([_end(row, now) for row in rows[:BATCH]]))


def _end(row: Message, now: datetime) -> Change:
    if row.in_doubt:
        return Change(row.id, State.UNKNOWN, data={"code": "expired" if row.expires_at <= now else "repeat_unsafe"})
    return Change(row.id, State.EXPIRED, code="expired", detail=row.error_code, data={"code": "expired"})
