"""Claims the callbacks that are due, every endpoint in turn: a dead one with a hundred thousand holds up nobody.

Due rows are looked at endpoint by endpoint, and an endpoint costs one look however much waits for it. None gets more
than half of the threads, nor more than its share while others wait; one that failed `TRUSTED` times in a row is left
alone until `paused_until`, and is then tried with one call at a time over all processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.db import connection as database
from django.db import transaction

from sendmsg.prepared import Prepared
from sendmsg.sealing.fields import unreadable
from webhooks.callbacks import called
from webhooks.callbacks.delivery import TOTAL, Task
from webhooks.callbacks.models import Callback

logger = structlog.stdlib.get_logger(__name__)

LEASE: Final = timedelta(seconds=TOTAL + 30)  # a call, and time to write down what became of it
TRUSTED: Final = 3  # failures in a row; fewer are the callback's, more are the endpoint's

# A loose scan over the index `callback_due`: from the first row of one endpoint straight to the first of the next.
LINE = """
WITH RECURSIVE line AS (
    (SELECT endpoint_id, due_at FROM webhooks_callback WHERE state = 'waiting' ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT later.* FROM line CROSS JOIN LATERAL (
        SELECT endpoint_id, due_at FROM webhooks_callback
        WHERE state = 'waiting' AND endpoint_id > line.endpoint_id
        ORDER BY endpoint_id, due_at LIMIT 1
    ) later
)
"""
CALLED = """
SELECT e.id, e.failures >= %(trusted)s::int FROM line JOIN webhooks_endpoint e ON e.id = line.endpoint_id
WHERE line.due_at <= %(now)s::timestamptz AND e.state = 'enabled'
    AND (e.paused_until IS NULL OR e.paused_until <= %(now)s)
ORDER BY line.due_at
"""
LINES = Prepared(LINE + CALLED)
# One statement for an idle pump. Each row by an index: after a burst the table of announcements is full of dead ones.
LOOK = """
SELECT (SELECT account_id FROM dispatch_announcement ORDER BY account_id LIMIT 1) IS NOT NULL OR EXISTS ({lines})
"""
ANYTHING = Prepared(LOOK.format(lines=LINES))

# Whoever gets the row tries the endpoint out; for the others it is still paused.
PROBE = """
WITH free AS (
    SELECT id FROM webhooks_endpoint
    WHERE id = ANY(%(endpoints)s::uuid[]) AND failures >= %(trusted)s
        AND (paused_until IS NULL OR paused_until <= %(now)s)
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE webhooks_endpoint e SET paused_until = %(lease)s FROM free WHERE e.id = free.id RETURNING e.id
"""

CLAIM = Prepared("""
WITH due AS (
    SELECT c.id, c.message_id FROM unnest(%(endpoints)s::uuid[], %(quotas)s::int[]) AS q(endpoint_id, quota)
    CROSS JOIN LATERAL (
        SELECT id, message_id FROM webhooks_callback
        WHERE state = 'waiting' AND endpoint_id = q.endpoint_id AND due_at <= %(now)s::timestamptz
        ORDER BY due_at LIMIT q.quota FOR UPDATE SKIP LOCKED
    ) c
    LIMIT %(limit)s::int
)
UPDATE webhooks_callback c SET due_at = %(lease)s::timestamptz
FROM due LEFT JOIN dispatch_message m ON m.id = due.message_id WHERE c.id = due.id
RETURNING c.id, c.endpoint_id, c.event_id, c.url, c.body, c.attempts, c.happened_at, c.type, c.message_id,
    COALESCE(m.trace, ''), COALESCE(m.request_id, '')
""")

_BODY: Final = Callback._meta.get_field("body")


class Row(NamedTuple):
    """What `CLAIM` returns, in its order."""

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    url: str
    body: str
    attempts: int
    happened_at: datetime
    type: str
    message_id: UUID | None
    trace: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """An endpoint for which something is due. `probe`: it failed too often to get more than one call."""

    endpoint_id: UUID
    probe: bool


def anything(now: datetime) -> bool:
    """Whether something may be called now, or something is announced that makes it so."""
    with database.cursor() as cursor:
        ANYTHING.run(cursor, {"now": now, "trusted": TRUSTED})
        return bool(cursor.fetchone()[0])


def lines(now: datetime) -> list[Line]:
    """The endpoints that may be called now, the one that waits longest first."""
    with database.cursor() as cursor:
        LINES.run(cursor, {"now": now, "trusted": TRUSTED})
        return [Line(*row) for row in cursor.fetchall()]


def share(waiting: list[Line], flying: Mapping[UUID, int], threads: int) -> dict[UUID, int]:
    """How many more calls each endpoint gets. `flying`: calls under way in this process, by endpoint."""
    most = max(1, threads // max(2, len(waiting)))
    quotas = {line.endpoint_id: (1 if line.probe else most) - flying.get(line.endpoint_id, 0) for line in waiting}
    return {endpoint_id: quota for endpoint_id, quota in quotas.items() if quota > 0}


def claim(flying: Mapping[UUID, int], threads: int, now: datetime) -> list[Task]:
    """Take what may be called now, as many as threads are free; each is ours for `LEASE`."""
    free = threads - sum(flying.values())
    if free <= 0:
        return []
    waiting = lines(now)
    quotas = share(waiting, flying, threads)
    if not quotas:
        return []
    with transaction.atomic():
        probes = _take_probes([line.endpoint_id for line in waiting if line.probe and line.endpoint_id in quotas], now)
        probing = {line.endpoint_id for line in waiting if line.probe}
        taken = {one: quota for one, quota in quotas.items() if one not in probing or one in probes}
        with database.cursor() as cursor:
            CLAIM.run(
                cursor,
                {
                    "endpoints": list(taken),
                    "quotas": list(taken.values()),
                    "now": now,
                    "lease": now + LEASE,
                    "limit": free,
                },
            )
            rows = [Row(*values) for values in cursor.fetchall()]
        return _tasks(rows, probes, now)


def _take_probes(endpoint_ids: list[UUID], now: datetime) -> set[UUID]:
    if not endpoint_ids:
        return set()
    with database.cursor() as cursor:
        cursor.execute(PROBE, {"endpoints": endpoint_ids, "trusted": TRUSTED, "now": now, "lease": now + LEASE})
        return {row[0] for row in cursor.fetchall()}


def _tasks(found: list[Row], probes: set[UUID], now: datetime) -> list[Task]:
    rows = [row for row in map(_opened, found) if not _unreadable(row)]
    endpoints = called.find({row.endpoint_id for row in rows}, now) if rows else {}
    return [
        Task(
            id=row.id,
            endpoint_id=row.endpoint_id,
            event_id=row.event_id,
            url=row.url or endpoints[row.endpoint_id].url,
            body=row.body,
            compress=endpoints[row.endpoint_id].compress,
            keys=endpoints[row.endpoint_id].keys,
            attempts=row.attempts,
            happened_at=row.happened_at,
            lease=now + LEASE,
            probe=row.endpoint_id in probes,
            type=row.type,
            message_id=row.message_id,
            trace=row.trace,
            request_id=row.request_id,
        )
        for row in rows
    ]


def _opened(row: Row) -> Row:
    return row._replace(body=_BODY.from_db_value(row.body, None, database) or "")


def _unreadable(row: Row) -> bool:
    """What can't be decrypted is not sent, and is ours to send again when the lease is over."""
    found = unreadable(row.body)
    if found is not None:
        logger.error("callback unreadable", callback_id=row.id, locked=found.locked)
    return found is not None
