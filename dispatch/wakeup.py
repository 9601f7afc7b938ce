"""Wakes an idle relay the moment a message is due, over Redis.

Fails open: it saves milliseconds, never a message. With Redis away the relay finds due rows at its next poll. Nobody
who rings waits for Redis: a thread tells it, and those who ring meanwhile share one more telling.
"""

import atexit
import threading
import time
from typing import Final

from redis.exceptions import RedisError

from sendmsg import redis

QUIET: Final = 5.0  # seconds without asking Redis again after it failed
REPLY_TIMEOUT: Final = 0.25  # seconds
_KEY: Final = "wake"
_rung = threading.Event()
_lock = threading.Lock()
_teller: threading.Thread | None = None


def ring() -> None:
    """Say that something is due now. Never raises and never waits; one telling is enough however many rang."""
    global _teller
    _rung.set()
    if _teller is None or not _teller.is_alive():
        with _lock:
            if _teller is None or not _teller.is_alive():
                _teller = threading.Thread(target=_tell, name="wakeup", daemon=True)
                _teller.start()


def wait(seconds: float) -> None:
    """Sleep until somebody rings, `seconds` at the most."""
    started = time.monotonic()
    try:
        redis.client(30).blpop([redis.key(_KEY)], timeout=max(seconds, 0.01))
    except RedisError:
        time.sleep(max(0.0, seconds - (time.monotonic() - started)))


def _tell() -> None:
    while True:
        _rung.wait()
        if not _push():
            time.sleep(QUIET)


@atexit.register
def _push() -> bool:
    """Whether Redis knows. A command that rings and ends at once is heard too."""
    if not _rung.is_set():
        return True
    _rung.clear()  # before it is told: whoever rings from now on wants another telling
    try:
        pipe = redis.client(REPLY_TIMEOUT).pipeline(transaction=False)
        pipe.lpush(redis.key(_KEY), 1)
        pipe.ltrim(redis.key(_KEY), 0, 0)
        pipe.execute()
    except RedisError:
        return False
    return True
