"""Claims the rows that are due, most urgent first, and locks them until the caller's transaction ends."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection as database

from dispatch.routing import Lane
from dispatch.vocabulary import Channel, Priority

LANES = tuple(Lane(test, channel.value) for test in (False, True) for channel in Channel)

# One range scan for each priority: a single ORDER BY priority, due_at would walk over every scheduled row of a
# priority before it reaches the next one. SKIP LOCKED lets several relays share the work.
STATEMENT = """
SELECT m.id, m.test, m.channel, CASE WHEN m.in_doubt THEN m.connection_id ELSE m.chosen_connection_id END
FROM unnest(%(priorities)s::int[]) WITH ORDINALITY AS urgency(priority, rank)
CROSS JOIN LATERAL (
    SELECT * FROM dispatch_message
    WHERE state = 'queued' AND priority = urgency.priority AND due_at <= %(now)s AND expires_at > %(now)s
        AND (test, channel) IN (SELECT * FROM unnest(%(tests)s::bool[], %(channels)s::text[]))
        AND (chosen_connection_id IS NULL OR chosen_connection_id = ANY(%(open)s))
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) m
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What the relay needs to know of a due message."""

    id: UUID
    lane: Lane
    pinned_to: int | None
    """The connection that may have sent it already: only there a repeat is recognised. Or the one that was chosen for
    its replay."""


def claim(lanes: Collection[Lane], open_ids: Collection[int], now: datetime, limit: int) -> list[Row]:
    """Up to `limit` due rows of these lanes, locked. Must run inside a transaction.

    `open_ids`: connections with room. Rows for which another one was chosen are passed over, or a thousand replays to
    one slow connection would stand before everybody else's messages.
    """
    if not lanes or limit <= 0:
        return []
    with database.cursor() as cursor:
        cursor.execute(
            STATEMENT,
            {
                "priorities": [priority.value for priority in sorted(Priority)],
                "now": now,
                "tests": [lane.test for lane in lanes],
                "channels": [lane.channel for lane in lanes],
                "open": list(open_ids),
                "limit": limit,
            },
        )
        return [
            Row(message_id, Lane(test, channel), pinned_to)
            for message_id, test, channel, pinned_to in cursor.fetchall()
        ]
