"""How the timeline's days are, for `manage.py measure`: made ahead, and away when they are old."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from django.utils import timezone

from sendmsg.logs import partitions
from sendmsg.logs.archive import early, files
from sendmsg.logs.archive.leaving import Leaving, leaving
from sendmsg.logs.models import ClearedDay
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading


def timeline() -> Iterator[Reading]:
    """By the names of the logs database's tables and what was seen to. Where there is no archive, nothing is behind."""
    now = timezone.now()
    days = {table.day for table in partitions.tables()}
    yield Reading(gauges.PARTITIONS_AHEAD, ahead(days, now))
    if files.enabled():
        yield Reading(gauges.ARCHIVE_AGE, age(days, leaving(now), early.cleared()).total_seconds())


def age(days: Collection[date], leaving: Leaving, cleared: Mapping[date, ClearedDay]) -> timedelta:
    """Since when something of `days` should have left; nothing while all is young enough."""
    lates = (leaving.late(day, cleared[day].staying if day in cleared else None) for day in days)
    return max(lates, default=timedelta())


def ahead(days: Collection[date], now: datetime) -> int:
    """How many days after today are there, one after the other."""
    number, today = 0, now.astimezone(UTC).date()
    while today + timedelta(days=number + 1) in days:
        number += 1
    return number
