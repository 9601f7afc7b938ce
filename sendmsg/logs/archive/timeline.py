"""Moves days of the timeline into files, one for each account, and drops them.

Promises: a day is dropped only when each account's file was read back and has as many lines as the day has rows, which
are counted after the last writer has left. Whatever is killed when, the next step goes on from what the index and the
tables say, and does again what was not finished. An event that comes for a day that is gone makes the day anew; that
is archived like any other, into another part.

1. The files are written while the day is a part of the timeline.
2. The partition is taken off, which waits for whoever is writing to it and takes moments. Its rows are counted again,
   and files that some came too late for are written again.
3. The table is dropped, and the files' entries say so, in one transaction.

Accounts may have days of their own. While some of a day's events must stay, the others are deleted (`early`); the last
ones leave with the table.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from sendmsg.logs import partitions
from sendmsg.logs.archive import early, export
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.models import ClearedDay
from sendmsg.logs.partitions import Table
from sendmsg.logs.router import LOGS


def step(leaving: Leaving, stopping: Callable[[], bool]) -> int:
    """See to the oldest day that has something which leaves; 1 when it got further, 0 when there is none."""
    if not early.finish(stopping):
        return 0
    cleared = early.cleared()
    for table in partitions.tables():
        if table.off:
            return _whole(table, export.counts(table), stopping)
        if not leaving.any(table.day):
            return 0
        if not early.is_clear(cleared.get(table.day), leaving):
            return _look_at(table, leaving, stopping)
    return 0


def _look_at(table: Table, leaving: Leaving, stopping: Callable[[], bool]) -> int:
    counted = export.counts(table)
    going = {account: rows for account, rows in counted.items() if leaving.has(account, table.day)}
    if going == counted:
        return _whole(table, counted, stopping)
    if going:
        return int(early.begin(table, going, stopping))
    early.remember(table, counted, leaving.now)
    return 1


def _whole(table: Table, counted: dict[UUID, int], stopping: Callable[[], bool]) -> int:
    behind = export.behind(table.day, counted)
    if behind and not export.write(table, behind, stopping):
        return 0
    if not table.off:
        partitions.take_off(table)
    elif not behind:
        _drop(table, counted)
    return 1


def _drop(table: Table, counted: dict[UUID, int]) -> None:
    with transaction.atomic(using=LOGS):
        export.unfinished(table.day, counted).update(emptied_at=timezone.now())
        ClearedDay.objects.filter(day=table.day).delete()
        partitions.drop(table)
