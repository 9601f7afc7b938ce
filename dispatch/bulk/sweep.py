"""Moves broadcasts on, a batch at each turn of a relay: holds, lets go, takes back, and notes which are finished.

What a client did to a broadcast is its state, committed at once; the relay claims no row of a paused one whatever its
lane (`dispatch.due`). What is done here only follows from states, so a relay that dies in the middle leaves nothing
half done, and several may do it side by side.
"""

import time
from typing import Final
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from dispatch import transitions
from dispatch.announcements import announce
from dispatch.changes import Change
from dispatch.states import State

EVERY: Final = 1.0  # seconds between looks while there is nothing to do
HOLD_BATCH: Final = 5000  # rows a turn; about 150 ms
CANCEL_BATCH: Final = 1000  # rows a turn, with their events; about 150 ms

# One statement for a relay that looks every second: mostly no broadcast is under way.
ANY: Final = "SELECT FROM dispatch_broadcast WHERE state IN ('running', 'paused', 'canceling') LIMIT 1"

# So that a hundred thousand rows that may not leave are not passed over at each claim. A row that comes back to the
# queue has its lane as it was (`dispatch.transitions`), and is held here.
FLIP: Final = """
WITH chosen AS MATERIALIZED (  -- as an IN (…) the limit might be taken again for each row
    SELECT m.id FROM dispatch_broadcast b CROSS JOIN LATERAL (
        SELECT id FROM dispatch_message
        WHERE broadcast_id = b.id AND state = 'queued' AND lane {held} 0
        LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    ) m WHERE b.state = %(state)s LIMIT %(batch)s
)
UPDATE dispatch_message m SET lane = -m.lane FROM chosen WHERE m.id = chosen.id
"""
HOLD: Final = FLIP.format(held=">")
LET_GO: Final = FLIP.format(held="<")

# One in doubt may have left already: it ends by evidence, or at its time.
WITHDRAWN: Final = """
SELECT m.id FROM dispatch_broadcast b CROSS JOIN LATERAL (
    SELECT id FROM dispatch_message
    WHERE broadcast_id = b.id AND state IN ('queued', 'released') AND NOT in_doubt
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED
) m WHERE b.state = 'canceling' LIMIT %(batch)s
"""

# `sent` is not waited for: where the provider never reports, it stays so for ever. A scalar subquery is one look into
# the index for each broadcast; a NOT EXISTS might be planned as a join with everything that is queued.
END: Final = """
UPDATE dispatch_broadcast b SET state = %(to)s, finished_at = clock_timestamp()
WHERE state = %(from)s AND (
    SELECT true FROM dispatch_message m
    WHERE m.broadcast_id = b.id AND m.state IN ('queued', 'released', 'sending') LIMIT 1
) IS NULL
RETURNING id, account_id, test, name, finished_at
"""


class BroadcastSweep:
    """One relay's share of it."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")

    def step(self) -> int:
        """A batch of each kind; how many rows changed, 0 when it is not time or there is nothing to do."""
        if time.monotonic() - self._looked_at < EVERY:
            return 0
        moved = sweep()
        if not moved:
            self._looked_at = time.monotonic()
        return moved


def sweep() -> int:
    """Do a batch of each kind at once; how many rows changed."""
    if not _execute(ANY):
        return 0
    moved = _execute(HOLD, batch=HOLD_BATCH, state="paused")
    moved += _execute(LET_GO, batch=HOLD_BATCH, state="running")
    moved += _cancel()
    return moved + _end("running", "finished") + _end("canceling", "canceled")


def _cancel() -> int:
    with transaction.atomic():
        with database.cursor() as cursor:
            cursor.execute(WITHDRAWN, {"batch": CANCEL_BATCH})
            found: list[UUID] = [row[0] for row in cursor.fetchall()]
        return len(transitions.apply([Change(message_id, State.CANCELED) for message_id in sorted(found)]))


def _end(source: str, target: str) -> int:
    """Note those that are over, and tell whoever listens."""
    with transaction.atomic():
        with database.cursor() as cursor:
            cursor.execute(END, {"from": source, "to": target})
            ended = cursor.fetchall()
        for broadcast_id, account_id, test, name, at in ended:
            about = {"id": str(broadcast_id), "name": name, "status": target}
            announce(account_id, test, "broadcast.finished", about, at=at)
    return len(ended)


def _execute(statement: str, **parameters: int | str) -> int:
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
