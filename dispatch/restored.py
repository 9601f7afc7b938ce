"""After the default database was restored to an older state: what the timeline says has happened since.

The logs database is another server and was not lost with it. A message that waits in the restored rows may have been
sent meanwhile, and sending it blindly would send it twice. So each that is not final is brought to where its timeline
ended: a state that it reached; or, where a call was begun and none was reached, that of a message whose worker was
lost, which is cleared up as its connection wants doubts to be. What has no newer event stays as it is.

Relay and workers must not run meanwhile. It may be stopped and run again. An event that had not reached the logs
database is as lost as its row.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch import directory, transitions
from dispatch.changes import Change
from dispatch.models import Attempt, Message
from dispatch.states import State
from sendmsg.journal.events import EventType
from sendmsg.logs.models import Event

PAGE: Final = 500  # messages at a time
OPEN: Final = (State.QUEUED, State.RELEASED, State.SENDING, State.SENT)
REACHED: Final = {
    EventType(state.value): state
    for state in (
        *(State.SENT, State.DELIVERED, State.UNDELIVERED, State.FAILED, State.EXPIRED),
        *(State.CANCELED, State.UNKNOWN),
    )
}
"""The events that say how something ended, and the state that a message had then."""

BACK: Final = frozenset({EventType.RELEASED, EventType.RETRYING, EventType.REPLAYED})
"""The events after which a message is to be called for again."""

WHY: Final = {"code": "restored"}


@dataclass(slots=True)
class Since:
    """What happened to a message since its row: the state it reached, if it did, and the last call that was begun."""

    reached: State | None = None
    called_at: datetime | None = None
    called_by: str = ""

    def hear(self, event: Event) -> None:
        kind = EventType(event.type)
        if kind in REACHED:
            self.reached = REACHED[kind]
        elif kind in BACK or kind is EventType.SENDING:
            self.reached = None
        if kind is EventType.SENDING:
            self.called_at, self.called_by = event.at, event.data.get("connection", "")


def catch_up(*, dry_run: bool = False) -> Counter[str]:
    """Bring every message that is not final to where its timeline ended; how many, by what it was brought to.

    `in doubt`: a call was begun. That its message went back to the queue after it is no proof that it was not sent.
    """
    counts: Counter[str] = Counter()
    for page in _pages():
        told = _told(page)
        reached = {key: since.reached for key, since in told.items() if since.reached is not None}
        called = {key: since for key, since in told.items() if since.reached is None and since.called_at is not None}
        counts.update([*reached.values(), *["in doubt"] * len(called)])
        if not dry_run:
            with transaction.atomic():
                _queue([row for row in page if row.id in reached or row.id in called])
                _reach(reached, told)
                _doubt(called)
    return counts


def _pages() -> Iterator[list[Message]]:
    after = UUID(int=0)
    while page := list(Message.objects.filter(state__in=OPEN, id__gt=after).order_by("id")[:PAGE]):
        yield page
        after = page[-1].id


def _told(page: Sequence[Message]) -> dict[UUID, Since]:
    """What the timelines know that the rows do not."""
    known = {row.id: row.updated_at for row in page}
    told: defaultdict[UUID, Since] = defaultdict(Since)
    events = Event.objects.filter(message_id__in=known, at__gt=min(known.values()))
    for event in events.order_by("at", "id"):
        if event.at > known[event.message_id]:
            told[event.message_id].hear(event)
    return told


def _queue(rows: Sequence[Message]) -> None:
    """All of them, because there is an edge from there to everywhere."""
    transitions.apply([Change(row.id, State.QUEUED, data=WHY) for row in rows if row.state != State.QUEUED])


def _reach(reached: Mapping[UUID, State], told: Mapping[UUID, Since]) -> None:
    entries = directory.entries()
    changes = []
    for message_id, state in reached.items():
        entry = entries.get(told[message_id].called_by)
        connection = entry.id if entry else None
        changes.append(Change(message_id, state, connection_id=connection, in_doubt=False, data=WHY))
    transitions.apply(changes)


def _doubt(called: Mapping[UUID, Since]) -> None:
    """As a worker would leave them that died in its calls: an open attempt, and a lease that has ended.

    Where the connection was made after the backup too, nobody can be asked, and the message is `unknown`.
    """
    entries, now = directory.entries(), timezone.now()
    by = {message_id: entries.get(since.called_by) for message_id, since in called.items()}
    transitions.apply([Change(key, State.UNKNOWN, in_doubt=True, data=WHY) for key, entry in by.items() if not entry])
    released = transitions.apply(
        [
            Change(key, State.RELEASED, connection_id=entry.id, option=-entry.id, lease_until=now, data=WHY)
            for key, entry in by.items()
            if entry
        ]
    )
    held = transitions.apply(
        [Change(move.message_id, State.SENDING, release=move.release, lease_until=now, data=WHY) for move in released]
    )
    Attempt.objects.bulk_create(
        Attempt(message_id=move.message_id, number=move.tries, connection_id=entry.id, started_at=at)
        for move in held
        if (entry := by[move.message_id]) and (at := called[move.message_id].called_at)
    )
