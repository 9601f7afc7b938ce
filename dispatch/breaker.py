"""What every process knows of how a connection does: its circuit breaker, its speed, and how late its receipts are.

All of it is one hash per connection in Redis, in buckets of `BUCKET` seconds of Redis's own clock.

    closed     messages go. Opens when, of the latest calls, `BREAKER_RATIO` failed: of the last `SOON` seconds where
               there are many, of as long as it takes to have `LEAST` where there are few, `WINDOW` at the most. Or
               when `LEAST` failed in a row and nothing good came for `SOON`: that finds out who fell silent
    open       none goes, for `FIRST_PAUSE` seconds, doubled at each failed probe up to `LONGEST_PAUSE`
    half open  `PROBES` go at a time; as many good answers close it, one bad opens it. Calls that began before count
               for nothing: a dead provider's timeouts must not spoil its return

A call that is not answered for long counts as failed before it ends, so that a silent provider is found out in seconds.

Redis away: fails open for those who choose (a connection is as good as it was), while each worker process keeps a
breaker of its own and hands back what would go to a connection that just failed it `LEAST` times in a row.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import structlog
from django.conf import settings
from redis.exceptions import RedisError

from dispatch import history
from dispatch.vocabulary import BreakerState
from sendmsg import redis

logger = structlog.stdlib.get_logger(__name__)

BUCKET: Final = 2  # seconds
WINDOW: Final = 240  # seconds; five calls a minute make twenty in it
RECENT: Final = 30  # seconds that speed is measured over
LEAST: Final = 5  # calls; fewer say nothing
ENOUGH: Final = 20  # calls; with so many, those of the last `SOON` seconds are looked at alone
SOON: Final = 2  # seconds
FIRST_PAUSE: Final = 2.0  # seconds
LONGEST_PAUSE: Final = 10.0  # seconds; a probe costs a few messages one try, a late return costs all of them their way
PROBES: Final = 3  # messages at a time while half open, and good answers that close it
KEPT: Final = 0.3  # seconds that a look at Redis is good for; a relay makes many steps in that time
REDIS_TIMEOUT: Final = 0.5  # seconds
REDIS_QUIET: Final = 5.0  # seconds without asking Redis again after it failed
SLOW: Final = 1.0  # seconds of a call; a connection slower than this loses weight in proportion
LATE: Final = 60.0  # seconds from acceptance to receipt; likewise
LEAST_FACTOR: Final = 0.05  # of its weight is left to the worst connection, so that it can show that it is better
SILENT_AFTER: Final = 120  # seconds; who took `SILENT_SENT` messages before that and reports nothing is silent
SILENT_SENT: Final = 20
SILENT_FACTOR: Final = 0.25
_LUA: Final = Path(__file__).parent / "lua"
RECORD: Final = (_LUA / "breaker_record.lua").read_text()
READ: Final = (_LUA / "breaker_read.lua").read_text()
HEARD: Final = (_LUA / "breaker_heard.lua").read_text()


@dataclass(frozen=True, slots=True)
class Observed:
    """One call, for the breaker: whether the provider did its part, `seconds` that it took, `messages` it carried, how
    many of those were accepted, and the code of what went wrong."""

    good: bool
    seconds: float
    messages: int = 1
    accepted: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How a connection does. `factor`: 0 to 1, what its speed and its failures leave of its weight. `latency`: mean
    seconds of a recent call. `pace`: recent messages a second. `since`: seconds in this state."""

    state: BreakerState = BreakerState.CLOSED
    reason: str = ""
    since: float = 0.0
    factor: float = 1.0
    latency: float = 0.0
    pace: float = 0.0


@dataclass(slots=True)
class _Own:
    """What this process knows by itself: failures in a row, and until when, by the steady clock, it sends nothing."""

    failures: int = 0
    open_until: float = 0.0


_lock = Lock()
_own: dict[str, _Own] = {}
_seen: dict[str, Health] = {}
_seen_at = float("-inf")
_ask_redis_at = 0.0


def record(name: str, calls: Sequence[Observed]) -> None:
    """Count these calls of a connection, and open or close its breaker if they say so. Never raises."""
    reason = next((call.code for call in reversed(calls) if not call.good), "")
    state, pause = BreakerState.CLOSED, 0.0
    numbers: list[Any] = [one for call in calls for one in (int(call.good), call.seconds, call.messages, call.accepted)]
    answer = _ask(
        RECORD,
        name,
        BUCKET,
        settings.BREAKER_RATIO,
        WINDOW,
        LEAST,
        ENOUGH,
        SOON,
        PROBES,
        FIRST_PAUSE,
        LONGEST_PAUSE,
        reason,
        *numbers,
    )
    if answer is not None:
        state, pause = BreakerState(answer[0].decode()), float(answer[3])
        _changed(name, answer[1].decode(), answer[2].decode())
    with _lock:
        own = _own.setdefault(name, _Own())
        for call in calls:
            own.failures = 0 if call.good else own.failures + 1
        if answer is None and own.failures >= LEAST:
            state, pause, own.failures = BreakerState.OPEN, FIRST_PAUSE, LEAST - 1  # one more tries after the pause
        own.open_until = time.monotonic() + pause if state is BreakerState.OPEN else 0.0


def is_open(name: str) -> bool:
    """Whether, as far as this process knows, nothing should be sent: cheap enough for every call."""
    own = _own.get(name)
    return own is not None and own.open_until > time.monotonic()


def heard(name: str, receipts: int, seconds: float) -> None:
    """Count receipts that came `seconds` after their messages were accepted, all together."""
    _ask(HEARD, name, BUCKET, receipts, seconds)


def read(names: Iterable[str]) -> dict[str, Health]:
    """How these connections do, a moment ago at most; one of which nothing is known is well."""
    global _seen, _seen_at
    names = list(names)
    if time.monotonic() - _seen_at > KEPT or any(name not in _seen for name in names):
        found = {name: _ask(READ, name, BUCKET, WINDOW, RECENT, SILENT_AFTER) for name in names}
        _seen = {name: _health(name, answer) for name, answer in found.items()}
        _seen_at = time.monotonic()
    return {name: _seen[name] for name in names}


def forget() -> None:
    """Know nothing by ourselves, and ask Redis anew at the next call."""
    global _seen_at, _ask_redis_at
    _own.clear()
    _seen_at, _ask_redis_at = float("-inf"), 0.0


def _health(name: str, answer: Any) -> Health:
    if answer is None:
        return Health()
    state = BreakerState(answer[0].decode())
    _changed(name, answer[1].decode(), answer[2].decode())
    good, bad, calls, millis, messages, awaited, receipts, late = (int(one) for one in answer[4:12])
    latency = millis / calls / 1000 if calls else 0.0
    heard_ago = float(answer[12])
    factor = (good / (good + bad)) ** 2 if bad else 1.0
    factor *= min(1.0, SLOW / latency) if latency else 1.0
    factor *= min(1.0, LATE * receipts * 1000 / late) if late else 1.0
    if awaited >= SILENT_SENT and heard_ago > WINDOW:
        factor *= SILENT_FACTOR
    return Health(
        state=state,
        reason=answer[2].decode(),
        since=float(answer[3]),
        factor=max(factor, LEAST_FACTOR),
        latency=latency,
        pace=messages / RECENT,
    )


def _changed(name: str, state: str, reason: str) -> None:
    if state:
        history.note_breaker(name, BreakerState(state), reason)


def _ask(script: str, name: str, *values: Any) -> Any:
    """What the script answers; None while Redis is away."""
    global _ask_redis_at
    if time.monotonic() < _ask_redis_at:
        return None
    try:
        return redis.client(REDIS_TIMEOUT).eval(script, 1, redis.key(f"breaker:{name}"), *values)
    except RedisError as error:
        logger.warning("breaker without redis", connection=name, error=type(error).__name__)
        _ask_redis_at = time.monotonic() + REDIS_QUIET
        return None
