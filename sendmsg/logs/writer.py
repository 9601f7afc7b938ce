"""The log writer: moves events from the journal to the logs database, in bulk.

Promises: an event leaves the journal only after the logs database has it; writing one twice changes nothing; while
the logs database is away the entries wait and nothing else notices. Several writers may run side by side. They also
clear away old task failures.
"""

import json
import time
from collections.abc import Collection
from datetime import UTC, date, datetime

from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction
from django.db.models import F, Func, IntegerField

from sendmsg.journal.models import JournalEntry
from sendmsg.logs import partitions, results
from sendmsg.logs.router import LOGS
from sendmsg.pump import Pump

PURGE_EVERY = 3600.0  # seconds between deletions of old task failures
BATCH = 500  # journal entries a step; each may hold the events of a whole task
MAX_BYTES = 5_000_000  # of events a step, and an entry more: those of a broadcast come a thousand an entry
# By the index: the table is full of dead rows after a burst, until its next vacuum.
WAITING = "SELECT id FROM journal_journalentry ORDER BY id LIMIT 1"
# The text of an entry goes from one database to the other as it is: taking it apart here, to put it together again as
# rows, took as long as writing it.
INSERT = """
INSERT INTO logs_event (id, message_id, account_id, type, at, data)
SELECT e.id, e.message, e.account, e.type, e.at, e.data
FROM unnest(%s::text[]) AS entry, jsonb_to_recordset(entry::jsonb)
    AS e(id uuid, message uuid, account uuid, type text, at timestamptz, data jsonb)
ON CONFLICT (id, at) DO NOTHING
"""
NO_PARTITION = "23514"  # Postgres: "no partition of relation found for row"


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
        write([text for _, text in entries])
        JournalEntry.objects.filter(id__in=[entry_id for entry_id, _ in entries]).delete()
    return len(entries)


def _any_waits() -> bool:
    """One statement, where a look that locks takes five."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(WAITING)
        return cursor.fetchone() is not None


def _take() -> list[tuple[int, str]]:
    """The oldest entries, each with its events as text. Locked; read a few at a time, so that no more are held than are
    written."""
    rows = JournalEntry.objects.select_for_update(skip_locked=True).order_by("id")
    size = Func(F("text"), function="octet_length", output_field=IntegerField())
    entries: list[tuple[int, str]] = []
    total = 0
    for entry_id, text, octets in rows.values_list("id", "text", size)[:BATCH].iterator(chunk_size=10):
        entries.append((entry_id, text))
        total += octets
        if total >= MAX_BYTES:
            break
    return entries


def write(entries: list[str]) -> None:
    """Insert what entries hold, each as JSON, into the logs database, in one transaction."""
    try:
        _insert(entries)
    except IntegrityError as error:
        if getattr(error.__cause__, "pgcode", "") != NO_PARTITION:
            raise
        _insert(entries, _days(entries))


def _insert(entries: list[str], days: Collection[date] = ()) -> None:
    """`days`: whose partitions are made, or waited for, before."""
    with transaction.atomic(using=LOGS), connections[LOGS].cursor() as cursor:
        for day in sorted(days):
            partitions.ensure_day(day)
        cursor.execute(INSERT, [entries])


def _days(entries: list[str]) -> set[date]:
    events = [event for entry in entries for event in json.loads(entry)]
    return {datetime.fromisoformat(event["at"]).astimezone(UTC).date() for event in events}
