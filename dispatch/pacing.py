"""How fast a connection may be used: exact over all workers by Redis, and never unlimited without it.

A rate is kept by booking slots on one time line per connection: a send of `cost` segments takes `cost / rate` seconds
of it, and a batch books its whole stretch in one call. Slots never overlap, so no second holds more than the rate, and
an idle line starts at once. Redis's own clock counts: clocks of workers may differ.

A provider that says "too many requests" pauses its connection for everybody until the time it named.

Redis away: each process keeps to its share (rate / PACING_SHARES) on a time line of its own, because being banned by a
provider is worse than being slow for a while; a pause is then known only to the process that was told.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from threading import Lock

from django.conf import settings
from redis.exceptions import RedisError

from sendmsg import redis

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.5  # seconds; a reservation is one short script
REDIS_QUIET = 5.0  # seconds without asking Redis again after it failed
LONGEST_PAUSE = 3600.0  # seconds; a provider that asks for more is asked again after this

# KEYS: the time line. ARGV: seconds to book. Returns the seconds until the booked stretch begins.
BOOK = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local free = tonumber(redis.call('GET', KEYS[1]) or '0')
local start = math.max(free, now)
local kept = math.ceil((start - now + ARGV[1]) * 1000) + 1000
redis.call('SET', KEYS[1], string.format('%.6f', start + ARGV[1]), 'PX', kept)
return string.format('%.6f', start - now)
"""

_lock = Lock()
_own_lines: dict[str, float] = {}  # connection name → when this process's own time line is free, steady clock
_own_pauses: dict[str, float] = {}  # connection name → until when it is paused, steady clock
_ask_redis_at = 0.0


def book(name: str, rate: float | None, costs: Sequence[int]) -> list[float]:
    """When to make each call, as times of `time.monotonic`. `rate`: segments a second; None: no limit, all at once."""
    now = time.monotonic()
    if rate is None:
        return [now] * len(costs)
    stretch = sum(costs) / rate
    wait = _book_shared(name, stretch)
    if wait is None:
        rate = rate / settings.PACING_SHARES
        wait = _book_own(name, sum(costs) / rate, now)
    starts, at = [], now + wait
    for cost in costs:
        starts.append(at)
        at += cost / rate
    return starts


def pause(name: str, seconds: float) -> None:
    """Nobody calls this connection for so long."""
    seconds = min(seconds, LONGEST_PAUSE)
    with _lock:
        _own_pauses[name] = max(_own_pauses.get(name, 0.0), time.monotonic() + seconds)
    try:
        redis.client(REDIS_TIMEOUT).set(_pause_key(name), 1, px=max(1, int(seconds * 1000)))
    except RedisError as error:
        logger.warning("pause is not shared connection=%s error=%s", name, type(error).__name__)


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


def _book_shared(name: str, stretch: float) -> float | None:
    if time.monotonic() < _ask_redis_at:
        return None
    client = redis.client(REDIS_TIMEOUT)
    try:
        return float(client.eval(BOOK, 1, redis.key(f"line:{name}"), stretch))
    except RedisError as error:
        logger.warning("pacing without redis connection=%s error=%s", name, type(error).__name__)
        _redis_failed()
        return None


def _book_own(name: str, stretch: float, now: float) -> float:
    with _lock:
        start = max(_own_lines.get(name, 0.0), now)
        _own_lines[name] = start + stretch
    return start - now


def _redis_failed() -> None:
    global _ask_redis_at
    _ask_redis_at = time.monotonic() + REDIS_QUIET


def _pause_key(name: str) -> str:
    return redis.key(f"pause:{name}")
