"""Takes some accounts' events out of a day of the timeline that others' stay in.

Promises: a row is deleted only after the file that holds it was read back, and only what the file holds. A file whose
rows have begun to leave (`leaving_at`) is never written again: whatever is killed when, the next step deletes what is
left of it before it looks at the day anew. Deleting goes in batches that lock nothing that others want.

What a day has left is remembered (`ClearedDay`), so that it is not counted at each look.
"""

from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from django.db import connections
from django.utils import timezone

from sendmsg import heartbeat
from sendmsg.days import bounds
from sendmsg.logs.archive import export, files
from sendmsg.logs.archive.leaving import Leaving
from sendmsg.logs.models import ArchiveFile, ClearedDay
from sendmsg.logs.partitions import Table
from sendmsg.logs.router import LOGS
from sendmsg.telemetry import metrics

ROWS: Final = 2000  # a statement; tens of milliseconds
LOOK_AGAIN: Final = timedelta(days=7)  # for events that came too late: it costs one reading of the day
DELETE: Final = "DELETE FROM logs_event WHERE at >= %s AND at < %s AND id = ANY(%s::uuid[])"


def cleared() -> dict[date, ClearedDay]:
    """What is remembered of days, by day."""
    return {row.day: row for row in ClearedDay.objects.all()}


def is_clear(row: ClearedDay | None, leaving: Leaving) -> bool:
    """Whether all that is left of the day may stay, as far as is remembered."""
    if row is None or row.looked_at < leaving.now - LOOK_AGAIN:
        return False
    return not any(leaving.has(account, row.day) for account in row.staying)


def remember(table: Table, staying: Collection[UUID], now: datetime) -> None:
    """That these accounts have events of the day, and that they may stay."""
    ClearedDay.objects.update_or_create(day=table.day, defaults={"staying": sorted(staying), "looked_at": now})


def begin(table: Table, going: dict[UUID, int], stopping: Callable[[], bool]) -> bool:
    """Write files of what leaves, and note that it does: `finish` deletes it. False when asked to stop before."""
    behind = export.behind(table.day, going)
    if behind and not export.write(table, behind, stopping):
        return False
    export.unfinished(table.day, going).update(leaving_at=timezone.now())
    return True


def finish(stopping: Callable[[], bool]) -> bool:
    """Delete the rest of what has begun to leave; False when asked to stop before the end."""
    begun = ArchiveFile.objects.filter(kind=ArchiveFile.Kind.EVENTS, emptied_at=None).exclude(leaving_at=None)
    return all(_empty(entry, stopping) for entry in begun)


def _empty(entry: ArchiveFile, stopping: Callable[[], bool]) -> bool:
    files.verify(entry)  # a while may have passed, and what is deleted next is nowhere else
    rows = files.read(entry)
    while some := [row["id"] for row in islice(rows, ROWS)]:
        if stopping():
            return False
        heartbeat.beat()
        with connections[LOGS].cursor() as cursor:
            cursor.execute(DELETE, [*bounds(entry.day), some])
            metrics.RETIRED.labels("events").inc(cursor.rowcount)
    entry.emptied_at = timezone.now()
    entry.save(update_fields=["emptied_at"])
    return True
