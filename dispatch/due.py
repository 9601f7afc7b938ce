"""Claims the rows that are due: the most urgent first, every account in turn, and only what has somewhere to go.

Due rows are looked at queue by queue: one for each lane, priority and account. A queue costs one look however long it
is, so a broadcast of a hundred thousand holds up nobody: neither other accounts, nor other lanes, nor what is urgent.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import ceil
from uuid import UUID

from django.db import connection as database

from dispatch.lanes import Lane, lane_of
from dispatch.routing import History
from sendmsg.prepared import Prepared

# A loose scan over the index `message_lane`: from the first row of one queue straight to the first of the next.
QUEUES = Prepared("""
WITH RECURSIVE queue AS (
    (SELECT lane, priority, account_id, due_at FROM dispatch_message WHERE state = 'queued' AND lane > 0
    ORDER BY lane, priority, account_id, due_at LIMIT 1)
    UNION ALL
    SELECT later.* FROM queue CROSS JOIN LATERAL (
        SELECT lane, priority, account_id, due_at FROM dispatch_message
        WHERE state = 'queued'
            AND (lane, priority, account_id) > (queue.lane, queue.priority, queue.account_id)
        ORDER BY lane, priority, account_id, due_at LIMIT 1
    ) later
)
SELECT lane, priority, account_id, due_at FROM queue
""")

# Rows of a paused broadcast are held (dispatch.bulk.sweep), and those that are not yet must not leave either.
# SKIP LOCKED lets several relays share the work. The outer LIMIT ends the scan: no queue after it is looked at.
CLAIM = Prepared("""
SELECT q.account_id, m.id, q.lane, q.priority, m.option, m.failures, m.avoided, m.refused,
    CASE WHEN m.in_doubt THEN m.connection_id ELSE m.chosen_connection_id END
FROM unnest(%(lanes)s::bigint[], %(priorities)s::int[], %(accounts)s::uuid[], %(quotas)s::int[])
    AS q(lane, priority, account_id, quota)
CROSS JOIN LATERAL (
    SELECT * FROM dispatch_message
    WHERE state = 'queued' AND lane = q.lane AND priority = q.priority AND account_id = q.account_id
        AND due_at <= %(now)s::timestamptz AND expires_at > %(now)s
        AND NOT (in_doubt AND COALESCE(doubt_until <= %(now)s, false))
        AND (chosen_connection_id IS NULL OR chosen_connection_id = ANY(%(open)s::bigint[]))
        AND (NOT in_doubt OR connection_id = ANY(%(open)s))
        AND (broadcast_id = ANY(ARRAY(SELECT id FROM dispatch_broadcast WHERE state IN ('paused', 'canceling'))))
            IS NOT TRUE
    ORDER BY due_at LIMIT q.quota FOR UPDATE SKIP LOCKED
) m
LIMIT %(limit)s::int
""")


@dataclass(frozen=True, slots=True)
class Queue:
    """The waiting messages of one lane, priority and account. `due_at`: of the first."""

    lane: int
    priority: int
    account_id: UUID
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """What the relay needs to know of a due message. `option`: what it was last released by."""

    id: UUID
    lane: Lane
    priority: int
    option: int | None
    failures: int
    history: History


def queues() -> list[Queue]:
    """All queues that have anything in them, due or not."""
    with database.cursor() as cursor:
        QUEUES.run(cursor, {})
        return [Queue(*row) for row in cursor.fetchall()]


def share(waiting: Collection[Queue], room: Mapping[int, int], limit: int) -> list[tuple[Queue, int]]:
    """How much to take of each queue: urgent queues first, those of one priority and lane alike, in random order.

    `room`: by lane, how many messages its connections can take; lanes without any are left alone.
    """
    able = [queue for queue in waiting if room.get(queue.lane, 0) > 0]
    random.shuffle(able)
    able.sort(key=lambda queue: queue.priority)
    quotas: list[tuple[Queue, int]] = []
    for _, peers in groupby(able, key=lambda queue: queue.priority):
        by_lane: dict[int, list[Queue]] = {}
        for queue in peers:
            by_lane.setdefault(queue.lane, []).append(queue)
        for lane, members in by_lane.items():
            quota = ceil(min(room[lane], limit) / len(members))
            quotas += [(queue, quota) for queue in members]
    return quotas


def claim(quotas: Sequence[tuple[Queue, int]], open_ids: Collection[int], now: datetime, limit: int) -> list[Row]:
    """Up to `limit` due rows, locked, each queue's by when they were due; in turns within a priority.

    `open_ids`: connections with room. Rows that may only leave by another one are passed over, or a thousand replays to
    one slow connection would stand before everybody else's messages. Must run inside a transaction.
    """
    if not quotas or limit <= 0:
        return []
    with database.cursor() as cursor:
        CLAIM.run(
            cursor,
            {
                "lanes": [queue.lane for queue, _ in quotas],
                "priorities": [queue.priority for queue, _ in quotas],
                "accounts": [str(queue.account_id) for queue, _ in quotas],
                "quotas": [quota for _, quota in quotas],
                "now": now,
                "open": list(open_ids),
                "limit": limit,
            },
        )
        found = cursor.fetchall()
    turns: Counter[tuple[int, int, UUID]] = Counter()
    rows: list[tuple[int, int, Row]] = []
    for account_id, message_id, lane, priority, option, failures, avoided, refused, pinned_to in found:
        history = History(pinned_to, avoided, frozenset(refused))
        row = Row(message_id, lane_of(lane), priority, option, failures, history)
        rows.append((priority, turns[lane, priority, account_id], row))
        turns[lane, priority, account_id] += 1
    return [row for _, _, row in sorted(rows, key=lambda one: one[:2])]
