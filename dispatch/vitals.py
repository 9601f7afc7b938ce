"""How connections do, for people: unlike who chooses, they are told when it is not known."""

from collections.abc import Iterable, Mapping

from redis.exceptions import RedisError

from dispatch import breaker
from dispatch.breaker import Health
from sendmsg import redis


def vitals(names: Iterable[str]) -> Mapping[str, Health]:
    """By name, of all connections at once; nothing while Redis is away."""
    try:
        redis.client(breaker.REDIS_TIMEOUT).ping()
    except RedisError:
        return {}
    return breaker.read(names)
