"""Finds the lanes of queued messages anew after routes were edited, a batch at each turn of a relay.

A pass goes through everything queued, by the index of deadlines. One begins when a relay starts, when the routes
change, and once more `SETTLED` seconds later: until then other processes may have accepted messages by the routes they
knew.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import connection as database
from django.db.models import Q

from dispatch import routes
from dispatch.models import Message
from dispatch.routes import Book, Subject
from dispatch.states import State

BATCH: Final = 2000  # rows a turn; about 50 ms
SETTLED: Final = 10.0  # seconds, far over the time for which routes are kept
START: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

MOVE = """
UPDATE dispatch_message m SET lane = CASE WHEN m.lane < 0 THEN -c.lane ELSE c.lane END
FROM unnest(%s::uuid[], %s::bigint[]) AS c(id, lane) WHERE m.id = c.id AND m.state = 'queued'
"""


class Rematch:
    """One relay's progress; several relays may do the same work, and find the same lanes."""

    def __init__(self) -> None:
        self._book: Book | None = None
        self._again_at: float | None = None
        self._after: tuple[datetime, UUID] | None = None

    def step(self) -> int:
        """A batch, if a pass is under way or due; how many rows it looked at, 0 when there is nothing to do."""
        book, now = routes.book(), time.monotonic()
        if book != self._book:
            self._book, self._after, self._again_at = book, START, now + SETTLED
        elif self._after is None and self._again_at is not None and now >= self._again_at:
            self._after, self._again_at = START, None
        if self._after is None:
            return 0
        expires_at, last = self._after
        rows = list(
            Message.objects.filter(Q(expires_at__gt=expires_at) | Q(id__gt=last), expires_at__gte=expires_at)
            .filter(state=State.QUEUED)
            .order_by("expires_at", "id")
            .only("id", "account_id", "test", "channel", "to", "sender", "priority", "lane", "expires_at")[:BATCH]
        )
        self._after = (rows[-1].expires_at, rows[-1].id) if len(rows) == BATCH else None
        _move(rows, book)
        return len(rows)


def subject_of(message: Message) -> Subject:
    """What routes look at."""
    return Subject(
        account_id=message.account_id,
        test=message.test,
        channel=message.channel,
        to=message.to,
        sender=message.sender,
        priority=message.priority,
    )


def _move(rows: Sequence[Message], book: Book) -> None:
    wanted = {row.id: book.lane(subject_of(row)).number for row in rows}
    moved = [row.id for row in rows if abs(row.lane) != wanted[row.id]]
    if moved:
        with database.cursor() as cursor:
            cursor.execute(MOVE, [[str(one) for one in moved], [wanted[one] for one in moved]])
