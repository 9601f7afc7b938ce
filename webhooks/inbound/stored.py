"""Receipts as rows: written, found and settled, hundreds at a time.

A provider that reports a broadcast sends thousands a second; Django would take longer to put these statements together
than Postgres to run them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection as database

from dispatch.models import Connection
from dispatch.states import State
from sendmsg.prepared import Prepared
from webhooks.inbound.base import ReportedReceipt
from webhooks.models import Receipt

BATCH: Final = 1000  # parked receipts a look

STORE: Final = Prepared("""
INSERT INTO webhooks_receipt (connection_id, provider_id, status, error_code, at, received_at, echoed_id, state)
SELECT given.*, 'parked' FROM unnest(
    %(connections)s::bigint[], %(ids)s::text[], %(statuses)s::text[], %(codes)s::text[],
    %(ats)s::timestamptz[], %(received)s::timestamptz[], %(echoed)s::uuid[]
) AS given
ON CONFLICT DO NOTHING
""")

# Where a provider echoes our own id, a receipt finds its message although the answer to the send, and with it the
# provider's id, never came. Only of a message that was tried by that connection.
ECHOED: Final = Prepared("""
INSERT INTO dispatch_providerreference (connection_id, value, message_id, attempt)
SELECT r.connection_id, r.provider_id, r.echoed_id, max(a.number)
FROM webhooks_receipt r
JOIN dispatch_attempt a ON a.message_id = r.echoed_id AND a.connection_id = r.connection_id
WHERE r.state = 'parked' AND NOT EXISTS (
    SELECT FROM dispatch_providerreference f WHERE f.connection_id = r.connection_id AND f.value = r.provider_id
)
GROUP BY r.connection_id, r.provider_id, r.echoed_id
ON CONFLICT DO NOTHING
""")

# Receipts whose message is known and settled, locked; several pumps skip each other's.
FIND: Final = Prepared("""
SELECT f.message_id, r.id, r.connection_id, r.provider_id, r.status, r.error_code, r.at, r.received_at
FROM webhooks_receipt r
JOIN dispatch_providerreference f ON f.connection_id = r.connection_id AND f.value = r.provider_id
JOIN dispatch_message m ON m.id = f.message_id
WHERE r.state = 'parked' AND (NOT m.state = ANY(%(unsettled)s::text[]) OR (m.state = 'queued' AND m.in_doubt))
ORDER BY r.id LIMIT %(limit)s::int FOR UPDATE OF r SKIP LOCKED
""")
_UNSETTLED: Final = [State.QUEUED.value, State.RELEASED.value, State.SENDING.value]

SETTLE: Final = Prepared("""
UPDATE webhooks_receipt r SET message_id = v.message_id, state = v.state
FROM unnest(%(ids)s::bigint[], %(messages)s::uuid[], %(states)s::text[]) AS v(id, message_id, state) WHERE r.id = v.id
""")


@dataclass(frozen=True, slots=True)
class Parked:
    """A receipt whose message is known. `connection`: without its credentials."""

    id: int
    connection: Connection
    provider_id: str
    status: str
    error_code: str
    at: datetime
    received_at: datetime


def store(reports: Mapping[int, Sequence[tuple[ReportedReceipt, datetime]]]) -> None:
    """Write what was reported to each connection, by its id, and when it came; what is known already is dropped.

    In the order of the unique index: two pumps with the same reports must not wait for each other crosswise.
    """
    rows = sorted(
        {
            (connection_id, report.provider_id, report.status.value): (
                *(connection_id, report.provider_id, report.status.value, report.error_code),
                *(report.at.isoformat(), at.isoformat(), report.message_id and str(report.message_id)),
            )
            for connection_id, found in reports.items()
            for report, at in reversed(found)  # of those that are the same, the first one counts
        }.items()
    )
    if rows:
        columns = zip(*(row for _, row in rows), strict=True)
        names = ("connections", "ids", "statuses", "codes", "ats", "received", "echoed")
        with database.cursor() as cursor:
            STORE.run(cursor, dict(zip(names, map(list, columns), strict=True)))


def find() -> list[tuple[UUID, Parked]]:
    """Parked receipts that can be matched now, the oldest first, each with the id of its message.

    Locked until the caller's transaction ends.
    """
    with database.cursor() as cursor:
        ECHOED.run(cursor, {})
        FIND.run(cursor, {"unsettled": _UNSETTLED, "limit": BATCH})
        rows = cursor.fetchall()
    connections = Connection.objects.defer("credentials").in_bulk({row[2] for row in rows}) if rows else {}
    return [(row[0], Parked(row[1], connections[row[2]], *row[3:])) for row in rows]


def settle(rows: Collection[tuple[int, UUID, Receipt.State]]) -> None:
    """Give receipts, by their ids, their messages and states."""
    if not rows:
        return
    ids, messages, states = zip(*rows, strict=True)
    values = {"ids": list(ids), "messages": [str(one) for one in messages], "states": [one.value for one in states]}
    with database.cursor() as cursor:
        SETTLE.run(cursor, values)
