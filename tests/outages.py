"""Takes a dependency away for the length of a `with`: new connections are refused, as by a server that is down."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.db import connections
from django.test import override_settings

from sendmsg import redis

CLOSED_PORT = 1  # nobody may listen there


@contextmanager
def database_away(alias: str) -> Iterator[None]:
    """For every thread that connects anew; this one's connection is closed. Not inside of a test's transaction."""
    connections[alias].close()
    with mock.patch.dict(connections[alias].settings_dict, HOST="127.0.0.1", PORT=CLOSED_PORT):
        yield
    connections[alias].close()


@contextmanager
def redis_away() -> Iterator[None]:
    """For every client that is asked for inside."""
    redis.client.cache_clear()
    with override_settings(REDIS_URL=f"redis://127.0.0.1:{CLOSED_PORT}/0"):
        yield
    redis.client.cache_clear()
