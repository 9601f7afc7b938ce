"""Moves old messages, with what belongs to them, from the default database into the archive.

Promises: a message is deleted only after the file that holds it was read back, and only as that file has it: one that
changed since stays, and is archived again. What was killed in between is found by the index: a file that is not
emptied yet says what is still to be deleted. Deleting goes in batches that lock for moments.

By account and by the day of a message's id, oldest first. A message that is not final stays until it is.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from dispatch.models import Attempt, DeadLetter, Message, ProviderReference
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.lines import columns, lines
from dispatch.retention.periods import Periods, periods
from dispatch.retention.registry import RELATIONS
from dispatch.states import FINAL
from sendmsg.days import bounds
from sendmsg.ids import first_id, made_at
from sendmsg.logs.archive import files
from sendmsg.logs.archive.files import Place
from sendmsg.logs.archive.keys import Sealer
from sendmsg.logs.models import ArchiveFile
from sendmsg.telemetry import metrics

MOST: Final = 50_000  # messages of a file: some twenty seconds' work, after which a stop is heard
READ: Final = 1000  # messages that are held at a time
LOCK: Final = """
SELECT m.id FROM dispatch_message m
JOIN unnest(%s::uuid[], %s::timestamptz[]) AS c(id, updated_at) ON c.id = m.id AND c.updated_at = m.updated_at
WHERE m.state = ANY(%s) ORDER BY m.id FOR UPDATE OF m SKIP LOCKED
"""


def step(now: datetime, stopping: Callable[[], bool]) -> int:
    """Finish the file that was begun, or archive an account's oldest day; how many messages were seen to."""
    if begun := ArchiveFile.objects.filter(kind=ArchiveFile.Kind.MESSAGES, emptied_at=None).first():
        files.verify(begun)  # a while may have passed, and what is deleted next is nowhere else
        return _empty(begun, stopping)
    for period in periods():
        if (day := _oldest(period, now)) is not None:
            return _empty(_write(period.account_id, day), stopping)
    return 0


def _oldest(period: Periods, now: datetime) -> date | None:
    """The day of the account's oldest message that may leave."""
    before = first_id(bounds(period.oldest_message_day(now))[0])
    rows = Message.objects.filter(account_id=period.account_id, id__lt=before, state__in=FINAL).order_by("id")
    oldest = rows.values_list("id", flat=True).first()
    return made_at(oldest).date() if oldest else None


def _write(account_id: UUID, day: date) -> ArchiveFile:
    entry = files.write(Place(ArchiveFile.Kind.MESSAGES, account_id, day, columns()), _lines(account_id, day))
    metrics.ARCHIVED.labels(entry.kind).inc(entry.rows)
    return entry


def _lines(account_id: UUID, day: date) -> Iterator[tuple[UUID, str]]:
    sealer = Sealer(account_id, day)
    first, end = map(first_id, bounds(day))
    rows = Message.objects.filter(account_id=account_id, id__lt=end, state__in=FINAL).order_by("id")
    rows = rows.select_related("connection").defer("connection__credentials")
    for _ in range(MOST // READ):
        messages = list(_after(rows, first)[:READ])
        yield from lines(messages, sealer)
        if len(messages) < READ:
            return
        first = UUID(int=messages[-1].id.int + 1)


def _after(rows: QuerySet[Message], first: UUID) -> QuerySet[Message]:
    return rows.filter(id__gte=first)


def _empty(entry: ArchiveFile, stopping: Callable[[], bool]) -> int:
    """Delete from the database what the file holds; its rows, unless asked to stop before the end."""
    rows = files.read(entry)
    while some := list(islice(rows, ROWS)):
        if stopping():
            return 0
        metrics.RETIRED.labels("messages").inc(_delete(some))
    entry.emptied_at = timezone.now()
    entry.save(update_fields=["emptied_at"])
    return entry.rows


def _delete(rows: list[dict[str, Any]]) -> int:
    with batch():
        with connection.cursor() as cursor:
            cursor.execute(LOCK, [[row["id"] for row in rows], [row["updated_at"] for row in rows], sorted(FINAL)])
            ids = [row[0] for row in cursor.fetchall()]
        for relation in RELATIONS:
            relation.delete(ids)
        for model in (Attempt, ProviderReference, DeadLetter):
            of_these: Any = model.objects.filter(message__in=ids)
            of_these._raw_delete("default")  # Django would fetch each row, to look for relations that there are not
        Message.objects.filter(id__in=ids)._raw_delete("default")
    return len(ids)
