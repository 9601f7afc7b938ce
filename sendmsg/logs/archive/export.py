"""Counts a day of the timeline and writes it into files, one for each account."""

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from datetime import date
from itertools import groupby
from threading import Event, Thread
from typing import Any, Final
from uuid import UUID

from django.db import connections, transaction
from django.db.models import QuerySet

from sendmsg import heartbeat
from sendmsg.logs.archive import files
from sendmsg.logs.archive.columns import Column
from sendmsg.logs.archive.files import Place
from sendmsg.logs.models import ArchiveFile
from sendmsg.logs.partitions import Table
from sendmsg.logs.router import LOGS
from sendmsg.telemetry import metrics

FETCHED: Final = 5000  # rows that are held at a time
BEAT_EVERY: Final = 10.0  # seconds
PATIENCE: Final = "30min"  # for one statement: a day is sorted before its first row comes
# Postgres makes the lines: a third of the time that Python takes.
LINES: Final = """
SELECT account_id, message_id, json_build_object(
    'id', id, 'message', message_id, 'type', type, 'at', at, 'data', data
)::text
FROM {table} WHERE account_id = ANY(%s::uuid[]) ORDER BY account_id, message_id, at, id
"""
COLUMNS: Final = {
    "id": Column.TEXT,
    "message": Column.TEXT,
    "type": Column.TEXT,
    "at": Column.TIME,
    "data": Column.JSON,
}


def counts(table: Table) -> dict[UUID, int]:
    """How many events each account has in it; reads the whole table."""
    with transaction.atomic(using=LOGS), connections[LOGS].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
        with _alive():
            cursor.execute(f"SELECT account_id, count(*) FROM {table.name} GROUP BY account_id")  # noqa: S608  a name of ours
        return dict(cursor.fetchall())


def unfinished(day: date, accounts: Collection[UUID]) -> QuerySet[ArchiveFile]:
    """The accounts' files whose rows are all in the database still."""
    rows = ArchiveFile.objects.filter(kind=ArchiveFile.Kind.EVENTS, day=day, account_id__in=accounts)
    return rows.filter(leaving_at=None, emptied_at=None)


def behind(day: date, counted: dict[UUID, int]) -> list[UUID]:
    """Accounts whose file is missing, or has another number of lines than the day has rows."""
    written = dict(unfinished(day, counted).values_list("account_id", "rows"))
    return sorted(account for account, rows in counted.items() if written.get(account) != rows)


def write(table: Table, accounts: list[UUID], stopping: Callable[[], bool]) -> bool:
    """Write these accounts' files, in one pass over the table; False when asked to stop before the last."""
    done = 0
    rows = _rows(LINES.format(table=table.name), [str(account) for account in accounts])
    with closing(rows):
        for account, group in groupby(rows, key=lambda row: row[0]):
            if stopping():
                return False
            place = Place(ArchiveFile.Kind.EVENTS, account, table.day, COLUMNS)
            entry = files.write(place, ((message, line) for _, message, line in group))
            metrics.ARCHIVED.labels(entry.kind).inc(entry.rows)
            done += 1
    return done == len(accounts)


def _rows(query: str, accounts: list[str]) -> Generator[tuple[UUID, UUID, str], None, None]:
    """By a connection of its own: each file's entry is committed while the cursor is still open."""
    database = connections[LOGS].copy()
    try:
        database.set_autocommit(False)
        with database.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
        raw: Any = database.connection
        with raw.cursor(name="archive") as cursor:
            cursor.itersize = FETCHED
            cursor.execute(query, [accounts])
            with _alive():  # the whole day is sorted before the first row comes
                first = cursor.fetchmany(FETCHED)
            yield from first
            yield from cursor
    finally:
        database.close()


@contextmanager
def _alive() -> Iterator[None]:
    """Gives signs of life while one statement takes its time, which `PATIENCE` bounds."""
    ended = Event()

    def beat() -> None:
        while not ended.wait(BEAT_EVERY):
            heartbeat.beat()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
