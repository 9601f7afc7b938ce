"""Counts what became of the messages of each minute, so that the admin's first page costs the same at any size.

An id begins with its time, so a minute is a range of the primary key. What was accepted in it goes on changing: it is
counted anew when it is twice as old, for `SETTLED`. Any number of processes may call `keep`: one works, the others
pass by. Fails open: what is not counted now is counted later, and the page says since when it knows nothing.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import structlog
from django.db import Error, OperationalError, connection, transaction
from django.utils import timezone

from dispatch.models import Minute
from dispatch.states import State
from sendmsg.ids import first_id

logger = structlog.stdlib.get_logger(__name__)

LENGTH: Final = timedelta(minutes=1)
FIRST: Final = timedelta(seconds=5)  # how often the newest minutes are counted
SETTLED: Final = timedelta(days=3)  # receipts are not waited for any longer
KEPT: Final = timedelta(days=8)  # a week to compare with, and today
SPAN: Final = timedelta(days=1)  # how far back is counted what was missed
BATCH: Final = 50  # minutes of one call, at the most
BUDGET: Final = 1.0  # seconds of one call; whoever calls has other work
PUT_OFF: Final = timedelta(minutes=10)  # for a minute that could not be counted
TIMEOUT: Final = 2000  # milliseconds of one statement; 30,000 messages take about 50
CODES: Final = 20  # error codes of one minute that are kept
SAMPLE: Final = 2000  # messages of one minute whose waits are looked up
BOUNDS: Final = tuple(0.01 * 1.5**step for step in range(40))  # seconds, 10 ms to 20 h: a bucket is half as long again
TAKEN: Final = [State.SENT, State.DELIVERED, State.UNDELIVERED]
LOCK: Final = 0x6D696E75  # of Postgres: whoever holds it counts

MISSING: Final = """
INSERT INTO dispatch_minute (at, states, codes, waits, again_at)
SELECT at, '{}', '{}', '{}', at FROM generate_series(
    date_trunc('minute', COALESCE((SELECT max(at) FROM dispatch_minute WHERE at > %(oldest)s), %(oldest)s)),
    %(now)s, interval '1 minute'
) AS at
ON CONFLICT DO NOTHING
"""
# Most minutes of most installations are empty, and all of them before the first message: one statement for a batch.
# ORDER BY: the first by the primary key, whatever the planner believes of the table.
EMPTY: Final = """
UPDATE dispatch_minute m SET states = '{}', codes = '{}', waits = %(waits)s, counted_at = %(now)s, again_at = d.again_at
FROM unnest(%(at)s::timestamptz[], %(first)s::uuid[], %(last)s::uuid[], %(again_at)s::timestamptz[])
    AS d(at, first, last, again_at)
WHERE m.at = d.at
    AND (SELECT id FROM dispatch_message WHERE id >= d.first AND id < d.last ORDER BY id LIMIT 1) IS NULL
RETURNING m.at
"""
COUNT: Final = """
SELECT state, error_code, count(*) FROM dispatch_message
WHERE id >= %(first)s AND id < %(last)s AND NOT test GROUP BY state, error_code
"""
# The last byte of an id is chance: that it is small makes a fair sample.
WAITS: Final = """
SELECT width_bucket(extract(epoch FROM taken.at - m.since)::float8, %(bounds)s::float8[]), count(*) FROM (
    SELECT id, GREATEST(created_at, send_at) AS since FROM dispatch_message
    WHERE id >= %(first)s AND id < %(last)s AND NOT test AND state = ANY(%(taken)s)
        AND get_byte(uuid_send(id), 15) < %(share)s
) m CROSS JOIN LATERAL (
    SELECT finished_at AS at FROM dispatch_attempt
    WHERE message_id = m.id AND outcome = 'accepted' ORDER BY number LIMIT 1
) taken GROUP BY 1
"""


class Keeper:
    """For a pump's step: counts what is due, not more often than there is anything new, and never raises."""

    def __init__(self) -> None:
        self._next = 0.0  # steady clock

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + FIRST.total_seconds()
        try:
            keep()
        except Error as error:
            logger.warning("minutes not counted", error=type(error).__name__)


def keep() -> int:
    """Count the minutes that are due, the newest first; how many. Drops those that nobody looks at any more."""
    now = timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(TIMEOUT)])
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(MISSING, {"oldest": now - SPAN, "now": now})
        due = list(Minute.objects.filter(again_at__lte=now).order_by("-at")[:BATCH])
        empty = _pass_empty(due, now)
        done, until = len(empty), time.monotonic() + BUDGET
        for minute in due:
            if minute.at in empty:
                continue
            if time.monotonic() > until:
                break
            _try(minute, now)
            done += 1
        Minute.objects.filter(at__lt=now - KEPT).delete()
    return done


def quantile(waits: Sequence[int], share: float) -> float | None:
    """Seconds within which this `share` of the messages was taken, to a bucket; None if there were none."""
    left = share * sum(waits)
    if not left:
        return None
    edges = (0.0, *BOUNDS, BOUNDS[-1])
    for count, (low, high) in zip(waits, pairwise(edges), strict=False):
        if count and left <= count:
            return low + (high - low) * left / count
        left -= count
    return BOUNDS[-1]


def together(minutes: Iterable[Minute]) -> list[int]:
    """The waits of several minutes."""
    found = [0] * (len(BOUNDS) + 1)
    for minute in minutes:
        for bucket, count in enumerate(minute.waits):
            found[bucket] += count
    return found


def _pass_empty(due: Sequence[Minute], now: datetime) -> set[datetime]:
    """Count those in which nothing was accepted; which."""
    if not due:
        return set()
    values: dict[str, Any] = {
        "at": [minute.at for minute in due],
        "first": [str(first_id(minute.at)) for minute in due],
        "last": [str(first_id(minute.at + LENGTH)) for minute in due],
        "again_at": [_again(minute.at, now) for minute in due],
        "waits": [0] * (len(BOUNDS) + 1),
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(EMPTY, values)
        return {at for (at,) in cursor.fetchall()}


def _try(minute: Minute, now: datetime) -> None:
    """One that takes too long is put off, so that it holds up no other."""
    try:
        with transaction.atomic():
            _count(minute, now)
    except OperationalError as error:
        logger.warning("minute not counted", at=minute, error=type(error).__name__)
        minute.again_at = now + PUT_OFF
    minute.save()


def _count(minute: Minute, now: datetime) -> None:
    states: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    waits = [0] * (len(BOUNDS) + 1)
    bounds = {"first": str(first_id(minute.at)), "last": str(first_id(minute.at + LENGTH))}
    with connection.cursor() as cursor:
        cursor.execute(COUNT, bounds)
        for state, code, count in cursor.fetchall():
            states[state] += count
            codes[code] += count
        taken = sum(states[state] for state in TAKEN)
        if taken:
            share = max(1, 256 * SAMPLE // max(taken, SAMPLE))
            cursor.execute(WAITS, {**bounds, "bounds": list(BOUNDS), "taken": TAKEN, "share": share})
            for bucket, count in cursor.fetchall():
                waits[bucket] = count
    del codes[""]
    minute.states, minute.codes, minute.waits = dict(states), dict(codes.most_common(CODES)), waits
    minute.counted_at, minute.again_at = now, _again(minute.at, now)


def _again(at: datetime, now: datetime) -> datetime | None:
    """When it is twice as old as now; one without end is counted every few seconds."""
    age = now - at
    if age > SETTLED:
        return None
    return now + max(FIRST, age if age > 2 * LENGTH else FIRST)
