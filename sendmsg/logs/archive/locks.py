"""One archivist at a time: locks of the logs database that end with the session which holds them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connections

from sendmsg.logs.router import LOGS

EVENTS: Final = "archive events"
MESSAGES: Final = "archive messages"
LOOK: Final = 0.1  # seconds between tries


@contextmanager
def held(name: str, patience: float = 0.0) -> Iterator[bool]:
    """Whether the lock is ours for the length of the `with`. `patience`: seconds to wait for it."""
    until = time.monotonic() + patience
    while not (ours := _ask("SELECT pg_try_advisory_lock(hashtext(%s))", name)) and time.monotonic() < until:
        time.sleep(LOOK)
    try:
        yield ours
    finally:
        if ours:
            _ask("SELECT pg_advisory_unlock(hashtext(%s))", name)


def _ask(query: str, name: str) -> bool:
    with connections[LOGS].cursor() as cursor:
        cursor.execute(query, [name])
        (answer,) = cursor.fetchone() or (False,)
    return bool(answer)
