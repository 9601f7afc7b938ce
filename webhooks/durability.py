"""Whether the Redis that keeps webhooks would still have them after a power cut; docs/operations.md says how to set it.

Fails open: a Redis that is away, or that forbids to look (as many hosted ones do), is not complained about.
"""

from typing import Any

from redis.exceptions import RedisError

from webhooks.inbound.buffer import is_sqs
from webhooks.inbound.buffer_redis import client

LOOK_TIMEOUT = 1.0  # seconds
WANTED = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")


def shortcomings() -> list[tuple[str, str]]:
    """What may lose a webhook that was acknowledged: the name of a setting, and its value."""
    settings = _settings()
    if not settings:
        return []
    found = []
    if settings.get("appendonly") != "yes":
        found.append(("appendonly", "no"))
    elif settings.get("appendfsync") != "always":
        found.append(("appendfsync", settings.get("appendfsync", "")))
    if settings.get("maxmemory", "0") != "0" and settings.get("maxmemory-policy") != "noeviction":
        found.append(("maxmemory-policy", settings.get("maxmemory-policy", "")))
    return found


def _settings() -> dict[str, str]:
    if is_sqs():
        return {}
    try:
        answer: Any = client(LOOK_TIMEOUT).config_get(*WANTED)
    except RedisError:
        return {}
    return {_text(name): _text(value) for name, value in answer.items()}


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
