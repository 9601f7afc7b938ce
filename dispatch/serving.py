"""Whether any worker serves a connection: workers say so in the default database, and who chooses asks there.

A worker that was killed, is frozen, or has lost the broker says nothing more. `SILENT_AFTER` later its connections are
passed over (`dispatch.standings`), and what lies on their queues is queued again (`dispatch.leases`). In the database
and not in Redis, because a worker that can't reach this database can't serve anything either: its silence is true.

Fails open: while no worker at all is heard of, every connection counts as served, and its tasks wait on the broker.
"""

import time
from collections.abc import Collection
from typing import Final

from django.db import connection as database

NOBODY: Final = "no worker serves it"  # the obstacle, for people
SILENT_AFTER: Final = 15.0  # seconds; three words of a worker that did not come
TURN_WITHIN: Final = 10.0  # seconds; a worker's loop turns every five, and stands still while it has no broker
KEPT: Final = 1.0  # seconds that an answer is good for

# In one order, or two workers lock each other's rows. A connection that was deleted meanwhile is left out.
NOTE = """
INSERT INTO dispatch_serving (connection_id, at)
SELECT id, statement_timestamp() FROM dispatch_connection WHERE id = ANY(%s) ORDER BY id
ON CONFLICT (connection_id) DO UPDATE SET at = EXCLUDED.at
"""
# One that nobody ever served may be so new that the workers have not seen it.
SILENT = """
SELECT c.id FROM dispatch_connection c LEFT JOIN dispatch_serving s ON s.connection_id = c.id
WHERE COALESCE(s.at, c.updated_at) < statement_timestamp() - %(silent)s * interval '1 second'
    AND EXISTS (
        SELECT FROM dispatch_serving WHERE at >= statement_timestamp() - %(silent)s * interval '1 second'
    )
"""

_turned_at = float("-inf")
_silent: frozenset[int] = frozenset()
_read_at = float("-inf")


def turned() -> None:
    """A worker's loop, which takes its tasks, is at work."""
    global _turned_at
    _turned_at = time.monotonic()


def note(connection_ids: Collection[int]) -> bool:
    """Say that this process serves these connections; False, and nothing is said, while its loop stands still."""
    if time.monotonic() - _turned_at > TURN_WITHIN:
        return False
    with database.cursor() as cursor:
        cursor.execute(NOTE, [list(connection_ids)])
    return True


def unserved() -> frozenset[int]:
    """The ids of the connections that no worker serves, as of a moment ago. Raises what the database raises."""
    global _silent, _read_at
    if time.monotonic() - _read_at > KEPT:
        with database.cursor() as cursor:
            cursor.execute(SILENT, {"silent": SILENT_AFTER})
            _silent = frozenset(row[0] for row in cursor.fetchall())
        _read_at = time.monotonic()
    return _silent


def forget() -> None:
    """Know of no turn of a loop, and read anew at the next call."""
    global _turned_at, _read_at
    _turned_at = _read_at = float("-inf")
