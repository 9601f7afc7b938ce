"""Deletes what is of no message and is not archived: handled letters of dead tasks, histories of connections; and what
is in the archive for longer than it may be."""

from datetime import datetime
from typing import Final

from django.db import connection

from dispatch import purging
from dispatch.models import DeadLetter
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.periods import longest, periods
from dispatch.retention.registry import SWEEPS, Sweep
from sendmsg.ids import first_id
from sendmsg.logs.archive import files, locks
from sendmsg.logs.models import ArchiveFile, ArchiveKey, RecipientKey

SOME: Final = 20  # files a step: each is a call or two of the storage
# The oldest rows by id, which is the order of time, and of these what is too old: no index on `at` is needed.
HISTORY: Final = """
WITH oldest AS (SELECT id, at FROM dispatch_connectionevent ORDER BY id LIMIT %s)
DELETE FROM dispatch_connectionevent e USING oldest WHERE e.id = oldest.id AND oldest.at < %s
"""


def letters(now: datetime) -> int:
    """Handled letters without a message."""
    rows = DeadLetter.objects.filter(message=None, id__lt=first_id(now - longest()))
    old = purging.purgeable(rows, longest().days).order_by("id").values_list("id", flat=True)[:ROWS]
    with batch():
        return DeadLetter.objects.filter(id__in=list(old)).delete()[0]


def history(now: datetime) -> int:
    """Lines of connections' histories."""
    with batch(), connection.cursor() as cursor:
        cursor.execute(HISTORY, [ROWS, now - longest()])
        return int(cursor.rowcount)


def archived(now: datetime) -> int:
    """Files of the archive, each account's by its own period; then the keys of months that have no files.

    Nothing while a file is being written: it has its keys before it is in the index.
    """
    with locks.held(locks.MESSAGES) as ours:
        return (_files(now) or _keys()) if ours else 0


def _files(now: datetime) -> int:
    for period in periods():
        if period.archive is None:
            continue
        old = ArchiveFile.objects.filter(account_id=period.account_id, day__lt=(now - period.archive).date())
        entries = list(old.exclude(emptied_at=None).order_by("day")[:SOME])
        for entry in entries:
            files.delete(entry)
        if entries:
            return len(entries)
    return 0


def _keys() -> int:
    first = ArchiveFile.objects.order_by("day").values_list("day", flat=True).first()
    if first is None:
        return 0
    gone = 0
    for key in ArchiveKey.objects.filter(month__lt=first.replace(day=1))[:SOME]:
        gone += key.delete()[0]
    some = RecipientKey.objects.filter(month__lt=first.replace(day=1)).values_list("pk", flat=True)[:ROWS]
    return gone + RecipientKey.objects.filter(pk__in=list(some)).delete()[0]


SWEEPS += [Sweep("letters", letters), Sweep("history", history), Sweep("files", archived)]
