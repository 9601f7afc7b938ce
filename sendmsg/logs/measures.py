"""How the timeline's days are, for `manage.py measure`: made ahead, and away when they are old."""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.utils import timezone

from sendmsg.logs import partitions
from sendmsg.logs.archive import files
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading


def timeline() -> Iterator[Reading]:
    """One query of the logs database, for the names of its tables. Where there is no archive, nothing is behind."""
    now = timezone.now()
    days = {table.day for table in partitions.tables()}
    yield Reading(gauges.PARTITIONS_AHEAD, ahead(days, now))
    if files.enabled():
        yield Reading(gauges.ARCHIVE_AGE, age(days, now).total_seconds())


def leaves_before(now: datetime) -> date:
    """Days of the timeline before this one (UTC) leave."""
    return (now - settings.LOGS_RETENTION).astimezone(UTC).date()


def age(days: Collection[date], now: datetime) -> timedelta:
    """Since when the oldest of `days` should have left; nothing while all are young enough."""
    if not days:
        return timedelta()
    due = datetime.combine(min(days) + timedelta(days=1), time(), UTC) + settings.LOGS_RETENTION
    return max(timedelta(), now - due)


def ahead(days: Collection[date], now: datetime) -> int:
    """How many days after today are there, one after the other."""
    number, today = 0, now.astimezone(UTC).date()
    while today + timedelta(days=number + 1) in days:
        number += 1
    return number
