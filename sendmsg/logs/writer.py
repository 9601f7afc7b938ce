"""The log writer: moves events from the journal to the logs database, in bulk.

Promises: an event leaves the journal only after the logs database has it; writing one twice changes nothing; while
the logs database is away the entries wait and nothing else notices. Several writers may run side by side. They also
clear away old task failures.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from psycopg2.extras import execute_values

from sendmsg.journal.models import JournalEntry
from sendmsg.logs import partitions, results
from sendmsg.logs.router import LOGS
from sendmsg.pump import Pump

PURGE_EVERY = 3600.0  # seconds between deletions of old task failures
BATCH = 500  # journal entries a step; each may hold the events of a whole task
MAX_EVENTS = 20_000  # events a step, and an entry more: those of a broadcast come a thousand an entry
# By the index: the table is full of dead rows after a burst, until its next vacuum.
WAITING = "SELECT id FROM journal_journalentry ORDER BY id LIMIT 1"
INSERT = """
INSERT INTO logs_event (id, message_id, account_id, type, at, data) VALUES %s ON CONFLICT (id, at) DO NOTHING
"""


class LogWriter(Pump):
    name = "logs"
    poll = 0.1  # seconds; a timeline that lags a blink is fine, a poll that costs is not
    drowsy = 0.25
    gather = 0.2
    full = BATCH

    def __init__(self) -> None:
        super().__init__()
        self._purge_at = 0.0
        self._busy = False

    def step(self) -> int:
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + PURGE_EVERY
            results.purge()
        if not (self._busy or _any_waits()):
            return 0
        moved = _move()
        self._busy = moved > 0
        return moved


def _move() -> int:
    """Write the oldest entries and delete them; how many."""
    with transaction.atomic():
        entries = _take()
        if not entries:
            return 0
        try:
            write([event for entry in entries for event in entry.events])
        except Error:
            partitions.forget()
            raise
        JournalEntry.objects.filter(id__in=[entry.id for entry in entries]).delete()
    return len(entries)


def _any_waits() -> bool:
    """One statement, where a look that locks takes five."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(WAITING)
        return cursor.fetchone() is not None


def _take() -> list[JournalEntry]:
    """The oldest entries, locked; read a few at a time, so that no more are held than are written."""
    rows = JournalEntry.objects.select_for_update(skip_locked=True).order_by("id")[:BATCH]
    entries: list[JournalEntry] = []
    count = 0
    for entry in rows.iterator(chunk_size=10):
        entries.append(entry)
        count += len(entry.events)
        if count >= MAX_EVENTS:
            break
    return entries


def write(events: list[dict[str, Any]]) -> None:
    """Insert events (as `Event.as_json` makes them) into the logs database, in one transaction."""
    with transaction.atomic(using=LOGS):
        for day in sorted({datetime.fromisoformat(event["at"]).astimezone(UTC).date() for event in events}):
            partitions.ensure_day(day)
        rows = [
            (
                event["id"],
                event["message"],
                event["account"],
                event["type"],
                event["at"],
                json.dumps(event["data"]),
            )
            for event in events
        ]
        database = connections[LOGS]
        with database.cursor() as cursor, database.wrap_database_errors:  # execute_values goes past Django's cursor
            execute_values(cursor.cursor, INSERT, rows, page_size=1000)
