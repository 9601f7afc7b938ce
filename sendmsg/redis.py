"""The one Redis client factory.

Short timeouts and no silent retries: redis-py repeats a command ten times by default, which stalls a request for
seconds when Redis is down and can apply XADD twice. Each caller decides what Redis being away means to it.
"""

from functools import cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT = 0.25  # seconds; Redis is next door or it is away
REPLY_TIMEOUT = 2.0  # seconds; an append with fsync on a busy disk


@cache
def client(reply_timeout: float = REPLY_TIMEOUT, url: str = "") -> Redis:
    """A thread-safe client with a pool of its own. `reply_timeout`, in seconds, exceeds any blocking command's wait.

    `url`: another Redis than that of `REDIS_URL`.
    """
    return Redis.from_url(
        url or settings.REDIS_URL,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=reply_timeout,
        retry=Retry(NoBackoff(), 0),
    )


def key(name: str) -> str:
    return f"{settings.REDIS_PREFIX}:{name}"
