"""Daily partitions of the timeline, made before the first event of a day is written."""

from datetime import date, timedelta

from django.db import connections, transaction

from sendmsg.logs.router import LOGS

_made: set[date] = set()  # per process: saves asking Postgres for every batch


def ensure_day(day: date) -> None:
    """Make the partition of one UTC day if it is missing, inside the caller's transaction on the logs database.

    Safe to call from several writers at once.
    """
    if day in _made:
        return
    name = f"logs_event_{day:%Y%m%d}"
    with connections[LOGS].cursor() as cursor:
        # IF NOT EXISTS alone still races between two sessions; the lock makes the second one wait and find it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('logs_event partitions'))")
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF logs_event FOR VALUES FROM (%s) TO (%s)",
            [f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"],
        )
    # Only once it is there for good: a rollback takes the partition back.
    transaction.on_commit(lambda: _made.add(day), using=LOGS)


def forget() -> None:
    """Ask Postgres again: a write failed, and a partition that is gone may be why."""
    _made.clear()
