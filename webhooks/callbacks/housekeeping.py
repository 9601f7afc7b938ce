"""What has to happen now and then: giving up what waits for a disabled endpoint, and deleting what is over.

In batches, each a statement and a transaction of its own, so that no lock is held for long.
"""

import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.utils import timezone

from sendmsg.ids import first_id

BATCH: Final = 1000  # rows a statement
EVERY: Final = 5.0  # seconds between two looks that found nothing
OVER: Final = 600.0  # seconds between two looks for what is too old

# Common table expressions, and not IN (SELECT … LIMIT …): a plan may run such a subquery again for every row.
ABANDON = """
WITH left_over AS (
    SELECT c.id FROM webhooks_endpoint e CROSS JOIN LATERAL (
        SELECT id FROM webhooks_callback WHERE endpoint_id = e.id AND state = 'waiting' LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) c WHERE e.state = 'disabled' LIMIT %(limit)s
)
UPDATE webhooks_callback c SET state = 'failed', error_code = 'endpoint_disabled'
FROM left_over WHERE c.id = left_over.id
"""
EMPTY = """
WITH left_over AS (
    SELECT c.id FROM webhooks_endpoint e CROSS JOIN LATERAL (
        SELECT id FROM webhooks_callback WHERE endpoint_id = e.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) c WHERE e.state = 'deleted' LIMIT %(limit)s
)
DELETE FROM webhooks_callback c USING left_over WHERE c.id = left_over.id
"""
REMOVE = """
DELETE FROM webhooks_endpoint e WHERE e.state = 'deleted'
    AND NOT EXISTS (SELECT FROM webhooks_callback c WHERE c.endpoint_id = e.id)
"""
FORGET = """
WITH old AS (
    SELECT id FROM webhooks_callback WHERE id < %(before)s AND state <> 'waiting' ORDER BY id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
DELETE FROM webhooks_callback c USING old WHERE c.id = old.id
"""


def abandon() -> int:
    """Give up what waits for disabled endpoints; it can be replayed."""
    return _run(ABANDON)


def remove() -> int:
    """Delete endpoints that their clients deleted, once their callbacks are."""
    return _run(EMPTY) or _run(REMOVE)


def forget() -> int:
    """Delete callbacks that ended and are older than `CALLBACKS_KEPT`."""
    return _run(FORGET, before=first_id(timezone.now() - settings.CALLBACKS_KEPT))


class Clock:
    """Runs each of them when it is time; again at once while it finds something."""

    def __init__(self) -> None:
        self._jobs: dict[Callable[[], int], float] = {abandon: EVERY, remove: EVERY, forget: OVER}
        self._next = dict.fromkeys(self._jobs, 0.0)

    def tick(self) -> int:
        """How many rows were dealt with."""
        total = 0
        for job, every in self._jobs.items():
            if time.monotonic() >= self._next[job]:
                found = job()
                self._next[job] = time.monotonic() + (0.0 if found else every)
                total += found
        return total


def _run(statement: str, **parameters: UUID) -> int:
    with database.cursor() as cursor:
        cursor.execute(statement, {"limit": BATCH, **parameters})
        return int(cursor.rowcount)
