"""How fast a connection may be used: exact over all workers by Redis, and never unlimited without it.

A rate is kept by booking slots on one time line per connection: a call of `cost` segments takes `cost / rate` seconds
of it. Slots never overlap, so no second holds more than the rate, and an idle line starts at once. Redis's own clock
counts: clocks of workers may differ. A sender with a rate, and a recipient that its provider wants left alone for a
while, have lines of their own. A call that would wait for one of those is not booked, or it would hold up everybody
else's: it is told when to come back, each of a crowd at a time of its own.

A provider that says "too many requests" pauses its connection for everybody until the time it named.

Redis away: each process keeps to its share (rate / PACING_SHARES) on time lines of its own, because being banned by a
provider is worse than being slow for a while; a pause is then known only to the process that was told.
"""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from sendmsg import redis

logger = structlog.stdlib.get_logger(__name__)

REDIS_TIMEOUT = 0.5  # seconds; a reservation is one short script
REDIS_QUIET = 5.0  # seconds without asking Redis again after it failed
LONGEST_PAUSE = 3600.0  # seconds; a provider that asks for more is asked again after this

PATIENCE = 0.05  # seconds that a booked call may wait for its sender or recipient, while others could go
LONGEST = 20.0  # seconds that a booked call may wait in all; with its call it must not outlive its lease
BOOK = (Path(__file__).parent / "lua" / "pacing_book.lua").read_text()


@dataclass(frozen=True, slots=True)
class Wish:
    """One call: its segments, its sender, and its recipient where it has only one.

    `direct`: it has waited before, or is urgent, and takes no turn behind others of its sender or recipient.
    """

    cost: int
    sender: str = ""
    recipient: str = ""
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """When to make the call, as a time of `time.monotonic`; or, not booked, after how many seconds to come back."""

    start: float = 0.0
    come_back: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """What a connection allows: segments a second in all and from one sender (None: no limit), and seconds between two
    messages to one recipient (0: none)."""

    rate: float | None = None
    sender_rate: float | None = None
    pair_interval: float = 0.0

    def lines(self, wish: Wish) -> list[tuple[str, float]]:
        """The lines beside the connection's that a call takes, and how many seconds of each. Names hold no number."""
        found = []
        if self.sender_rate is not None and wish.sender:
            found.append((f"from:{_digest(wish.sender)}", wish.cost / self.sender_rate))
        if self.pair_interval and wish.recipient:
            found.append((f"to:{_digest(wish.sender, wish.recipient)}", self.pair_interval))
        return found


_lock = Lock()
_own_lines: dict[str, float] = {}  # line → when this process's own time line is free, steady clock
_own_pauses: dict[str, float] = {}  # connection name → until when it is paused, steady clock
_ask_redis_at = 0.0


def book(name: str, pace: Pace, wishes: Sequence[Wish]) -> list[Slot]:
    """A slot for each call, in order."""
    now = time.monotonic()
    lines = [pace.lines(wish) for wish in wishes]
    if pace.rate is None and not any(lines):
        return [Slot(now)] * len(wishes)
    waits = _book_shared(name, pace, wishes, lines)
    if waits is None:
        waits = _book_own(name, pace, wishes, lines, now)
    return [Slot(start=now + wait) if wait >= 0 else Slot(come_back=-wait) for wait in waits]


def pause(name: str, seconds: float) -> None:
    """Nobody calls this connection for so long."""
    seconds = min(seconds, LONGEST_PAUSE)
    with _lock:
        _own_pauses[name] = max(_own_pauses.get(name, 0.0), time.monotonic() + seconds)
    try:
        redis.client(REDIS_TIMEOUT).set(_pause_key(name), 1, px=max(1, int(seconds * 1000)))
    except RedisError as error:
        logger.warning("pause is not shared", connection=name, error=type(error).__name__)


def is_paused(name: str) -> bool:
    """What this process knows without asking anybody: cheap enough for every call."""
    return _own_pauses.get(name, 0.0) > time.monotonic()


def paused(names: Iterable[str]) -> set[str]:
    """Those of the connections that anybody paused; with Redis away, those that this process did."""
    names = list(names)
    own = {name for name in names if is_paused(name)}
    if not names or time.monotonic() < _ask_redis_at:
        return own
    try:
        found = redis.client(REDIS_TIMEOUT).mget([_pause_key(name) for name in names])
    except RedisError:
        _redis_failed()
        return own
    return own | {name for name, value in zip(names, found, strict=True) if value is not None}


def forget() -> None:
    """Know nothing by ourselves, and ask Redis anew at the next call."""
    global _ask_redis_at
    with _lock:
        _own_lines.clear()
        _own_pauses.clear()
    _ask_redis_at = 0.0


def _book_shared(
    name: str, pace: Pace, wishes: Sequence[Wish], lines: Sequence[Sequence[tuple[str, float]]]
) -> list[float] | None:
    if time.monotonic() < _ask_redis_at:
        return None
    keys = [_line_key(name)]
    places: dict[str, int] = {}
    values: list[Any] = [PATIENCE, LONGEST]
    for wish, others in zip(wishes, lines, strict=True):
        values += [int(wish.direct), wish.cost / pace.rate if pace.rate else 0, len(others)]
        for line, seconds in others:
            if line not in places:
                keys.append(_line_key(f"{name}:{line}"))
                places[line] = len(keys)
            values += [places[line], seconds]
    try:
        return [float(wait) for wait in redis.client(REDIS_TIMEOUT).eval(BOOK, len(keys), *keys, *values)]
    except RedisError as error:
        logger.warning("pacing without redis", connection=name, error=type(error).__name__)
        _redis_failed()
        return None


def _book_own(
    name: str, pace: Pace, wishes: Sequence[Wish], lines: Sequence[Sequence[tuple[str, float]]], now: float
) -> list[float]:
    """By this process's own lines, each at its share of the rate; no turns are kept, so a crowd comes back together."""
    shares: int = settings.PACING_SHARES
    waits = []
    with _lock:
        for wish, others in zip(wishes, lines, strict=True):
            start = max(_own_lines.get(name, 0.0), now)
            ready = max((_own_lines.get(f"{name}:{line}", 0.0) for line, _ in others), default=now)
            if start - now > LONGEST or ready > start + PATIENCE:
                waits.append(-max(ready, start) + now)
                continue
            start = max(start, ready)
            waits.append(start - now)
            _own_lines[name] = start + (wish.cost / pace.rate * shares if pace.rate else 0)
            for line, seconds in others:
                _own_lines[f"{name}:{line}"] = start + seconds * shares
        for line in [line for line, free in _own_lines.items() if free < now]:
            del _own_lines[line]
    return waits


def _line_key(line: str) -> str:
    return redis.key(f"line:{line}")


def _digest(*words: str) -> str:
    return hashlib.blake2b("\0".join(words).encode(), digest_size=12).hexdigest()


def _redis_failed() -> None:
    global _ask_redis_at
    _ask_redis_at = time.monotonic() + REDIS_QUIET


def _pause_key(name: str) -> str:
    return redis.key(f"pause:{name}")
