"""What the home page says, each part by itself: what can't be told is None, and the rest is told all the same.

Every query is bounded by an index and by `TIMEOUT`, and the answers are shared by all who look within `KEPT`: a screen
on the wall in every room costs no more than one.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final, TypeVar

import structlog
from django.db import Error, connection, transaction
from django.utils import timezone

from dispatch import due, minutes
from dispatch.breaker import Health
from dispatch.models import Connection, DeadLetter, Message, Minute
from dispatch.states import FINAL, State
from dispatch.vitals import vitals
from dispatch.vocabulary import LetterState
from sendmsg.journal.models import JournalEntry

logger = structlog.stdlib.get_logger(__name__)

Found = TypeVar("Found")

KEPT: Final = 3.0  # seconds that an answer is good for
TIMEOUT: Final = 500  # milliseconds of one query; each takes about one
MOST: Final = 10_000  # rows that are counted one by one
LETTERS: Final = 1000  # open dead letters that are looked at for their reasons
SHOWN: Final = 60  # minutes in a chart
TOP: Final = 8  # error codes and reasons
STALE: Final = timedelta(minutes=3)  # minutes are counted every few seconds, or nobody counts
BAD: Final = FINAL - {State.DELIVERED, State.CANCELED}


@dataclass(frozen=True, slots=True)
class Span:
    """Live messages of some time. `ratio`: delivered, of those that ended. `p50`, `p99`: seconds to the provider."""

    accepted: int
    delivered: int
    bad: int
    ratio: float | None
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """`minutes`: those of the charts, oldest first, None where one was not counted. `stale`: nobody counts now."""

    today: Span
    hour: Span
    minutes: Sequence[Minute | None]
    errors: Sequence[tuple[str, int]]
    stale: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """`age`: seconds that the oldest due message has waited for. `waiting`, `under_way`: `MOST` + 1 means more."""

    age: float
    waiting: int
    under_way: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """Open dead letters: how many, `LETTERS` + 1 meaning more, and the reasons of the newest."""

    count: int
    reasons: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Line:
    """A connection, and how it does; None while Redis is away."""

    connection: Connection
    health: Health | None


@dataclass(frozen=True, slots=True)
class Figures:
    at: datetime
    traffic: Traffic | None
    queue: Queue | None
    inbox: Inbox | None
    journal: float | None  # seconds that the oldest event has waited for the logs database
    lines: Sequence[Line] | None


_lock = Lock()
_kept: tuple[float, Figures] | None = None


def figures() -> Figures:
    """As of now, or of `KEPT` seconds ago."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] > KEPT:
            now = timezone.now()
            found = Figures(
                now, _ask(traffic, now), _ask(queue, now), _ask(inbox), _ask(journal, now), _ask(connections)
            )
            _kept = time.monotonic(), found
        return _kept[1]


def forget() -> None:
    """Ask anew at the next look."""
    global _kept
    _kept = None


def traffic(now: datetime) -> Traffic:
    this = now.replace(second=0, microsecond=0)
    first = this - minutes.LENGTH * SHOWN
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = {row.at: row for row in Minute.objects.filter(at__gte=min(first, midnight), counted_at__isnull=False)}
    hour = [rows.get(first + minutes.LENGTH * step) for step in range(SHOWN)]
    codes: Counter[str] = Counter()
    for row in hour:
        codes.update(row.codes if row else {})
    newest = max((row.counted_at for row in rows.values() if row.counted_at), default=None)
    return Traffic(
        today=span([row for at, row in rows.items() if at >= midnight]),
        hour=span([row for row in hour if row]),
        minutes=hour,
        errors=codes.most_common(TOP),
        stale=newest is None or now - newest > STALE,
    )


def span(rows: Sequence[Minute]) -> Span:
    states: Counter[str] = Counter()
    for row in rows:
        states.update(row.states)
    waits = minutes.together(rows)
    return Span(
        accepted=states.total(),
        delivered=states[State.DELIVERED],
        bad=sum(states[state] for state in BAD),
        ratio=ratio(states),
        p50=minutes.quantile(waits, 0.5),
        p99=minutes.quantile(waits, 0.99),
    )


def ratio(states: dict[str, int]) -> float | None:
    """What was delivered, of what came to an end; None if nothing did."""
    good, bad = states.get(State.DELIVERED, 0), sum(states.get(state, 0) for state in BAD)
    return good / (good + bad) if good + bad else None


def queue(now: datetime) -> Queue:
    oldest = min((one.due_at for one in due.queues()), default=now)
    waiting = Message.objects.filter(state=State.QUEUED)
    held = Message.objects.filter(state__in=[State.RELEASED, State.SENDING])
    return Queue(
        age=max((now - oldest).total_seconds(), 0.0),
        waiting=waiting.order_by()[: MOST + 1].count(),
        under_way=held.order_by()[: MOST + 1].count(),
    )


def inbox() -> Inbox:
    letters = DeadLetter.objects.filter(state=LetterState.OPEN).order_by("-id")
    reasons = list(letters.values_list("reason", flat=True)[: LETTERS + 1])
    return Inbox(len(reasons), Counter(reasons[:LETTERS]).most_common(TOP))


def journal(now: datetime) -> float:
    oldest = JournalEntry.objects.order_by("id").values_list("created_at", flat=True).first()
    return max((now - oldest).total_seconds(), 0.0) if oldest else 0.0


def connections() -> list[Line]:
    rows = list(Connection.objects.defer("credentials").order_by("-enabled", "sandbox", "name"))
    known = vitals([row.name for row in rows])
    return [Line(row, known.get(row.name)) for row in rows]


def _ask(look: Callable[..., Found], *values: Any) -> Found | None:
    """What `look` finds; None if the database can't tell in time."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(TIMEOUT)])
            return look(*values)
    except Error as error:
        logger.warning("figures not known", part=look.__name__, error=type(error).__name__)
        return None
