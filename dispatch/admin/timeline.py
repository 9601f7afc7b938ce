"""The timeline of a message for its page, read from the logs database, which may be away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error

from dispatch.models import Message
from sendmsg.logs.models import Event

CLOCKS = timedelta(hours=1)  # how far our clock and the database's may be apart
MAX_LINES = 1000  # of a timeline on one page; a day of retries makes about three hundred


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline. `gap`: since the line before it."""

    event: Event
    gap: timedelta

    @property
    def at(self) -> str:
        return f"{self.event.at:%Y-%m-%d %H:%M:%S}.{self.event.at.microsecond // 1000:03d}"

    @property
    def since(self) -> str:
        return f"+{self.gap.total_seconds():.3f} s"


def timeline(message: Message) -> list[Line] | None:
    """What happened to a message, oldest first; None while the logs database can't tell."""
    try:
        # An event is never older than its message: the bound leaves older partitions alone.
        events = list(Event.objects.filter(message_id=message.id, at__gte=message.created_at - CLOCKS)[:MAX_LINES])
    except Error:
        return None
    before: Sequence[datetime] = [message.created_at, *(event.at for event in events)]
    return [Line(event, event.at - earlier) for event, earlier in zip(events, before, strict=False)]
