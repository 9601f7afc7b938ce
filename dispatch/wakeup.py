"""Wakes an idle relay the moment a message is due, over Redis.

Fails open: it saves milliseconds, never a message. With Redis away the relay finds due rows at its next poll, and a
request waits for Redis once in `QUIET` seconds at the most.
"""

import time

from redis.exceptions import RedisError

from sendmsg import redis

QUIET = 5.0  # seconds without asking Redis again after it failed
_KEY = "wake"
_silent_until = 0.0


def ring() -> None:
    """Say that something is due now. Never raises; one entry is enough however many rang."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    try:
        pipe = redis.client(0.25).pipeline(transaction=False)
        pipe.lpush(redis.key(_KEY), 1)
        pipe.ltrim(redis.key(_KEY), 0, 0)
        pipe.execute()
    except RedisError:
        _silent_until = time.monotonic() + QUIET


def wait(seconds: float) -> None:
    """Sleep until somebody rings, `seconds` at the most."""
    started = time.monotonic()
    try:
        redis.client(30).blpop([redis.key(_KEY)], timeout=max(seconds, 0.01))
    except RedisError:
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))
