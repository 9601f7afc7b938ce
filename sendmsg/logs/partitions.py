"""Daily partitions of the timeline: made ahead, or at the latest when an event finds none; taken off when old.

A partition that was taken off (`logs_event_20260101_off`) is a table that nobody writes to any more. An event of that
day which comes later finds the day missing and makes it anew.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db import connections, transaction

from sendmsg.logs.router import LOGS

AHEAD: Final = 3  # days; over a weekend that nobody looks, a pump that stands still costs no event its partition
LOCK_TIMEOUT: Final = "500ms"  # taking a partition off locks the timeline, and who waits for a lock holds up others
OFF: Final = "_off"
_NAME: Final = re.compile(r"logs_event_(\d{8})(_off)?")


def ensure_day(day: date) -> None:
    """Make the partition of one UTC day if it is missing, inside the caller's transaction on the logs database.

    Safe to call from several writers at once.
    """
    name = f"logs_event_{day:%Y%m%d}"
    with connections[LOGS].cursor() as cursor:
        # IF NOT EXISTS alone still races between two sessions; the lock makes the second one wait and find it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('logs_event partitions'))")
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF logs_event FOR VALUES FROM (%s) TO (%s)",
            [f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"],
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A day of the timeline; `off`: not a part of it any more."""

    day: date
    off: bool

    @property
    def name(self) -> str:
        return f"logs_event_{self.day:%Y%m%d}{OFF if self.off else ''}"


def tables() -> list[Table]:
    """All there are, oldest first, and of one day the one that is off first."""
    with connections[LOGS].cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_table_is_visible(oid)"
            " AND relname LIKE 'logs\\_event\\_%%'"
        )
        found = [match for (name,) in cursor.fetchall() if (match := _NAME.fullmatch(name))]
    days = [Table(date.fromisoformat(match[1]), bool(match[2])) for match in found]
    return sorted(days, key=lambda table: (table.day, not table.off))


def make_ahead(today: date) -> None:
    """Make the partitions of `today` and the days after it."""
    for number in range(AHEAD + 1):
        with transaction.atomic(using=LOGS):  # a day each: the lock is held for moments
            ensure_day(today + timedelta(days=number))


def take_off(table: Table) -> Table:
    """Make the partition a table of its own; that table. Raises `OperationalError` when it is busy."""
    off = Table(table.day, True)
    with transaction.atomic(using=LOGS), connections[LOGS].cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(f"ALTER TABLE logs_event DETACH PARTITION {table.name}")
        cursor.execute(f"ALTER TABLE {table.name} RENAME TO {off.name}")
    return off


def drop(table: Table) -> None:
    """Inside the caller's transaction on the logs database. Only what is off can be dropped."""
    with connections[LOGS].cursor() as cursor:
        cursor.execute(f"DROP TABLE {Table(table.day, True).name}")
