"""One round of choosing: which connection each claimed row leaves by, as long as there is room.

A row that everything has refused ends here as failed. One that can't leave by what has room now, because of what it
tried before, is looked at again in a moment, so that it stands before nobody meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings

from dispatch import routing, transitions
from dispatch.changes import Change
from dispatch.due import Row
from dispatch.models import Message
from dispatch.publisher import Reference
from dispatch.routing import NoOption, Option, Standing
from dispatch.states import State
from sendmsg.telemetry import metrics

LOOK_AGAIN: Final = timedelta(seconds=1)  # an outage or a full connection is not over sooner


class Choices:
    """Made inside the transaction that holds the rows; `commit` moves them."""

    def __init__(self, standings: Mapping[int, Standing], now: datetime) -> None:
        self._standings = dict(standings)
        self._now = now
        self._changes: list[Change] = []
        self._names: dict[UUID, str] = {}
        self._later: list[UUID] = []

    def add(self, row: Row, ways: Sequence[Option]) -> None:
        found = routing.choose(ways, self._standings, row.history)
        if isinstance(found, Option):
            self._release(row, found)
        elif found is NoOption.REFUSED:
            self._changes.append(Change(row.id, State.FAILED, data={"code": "refused_by_all"}))
        elif row.history != routing.FRESH:
            self._later.append(row.id)

    def commit(self) -> list[tuple[str, Reference]]:
        """Move the rows; the released ones as (connection name, reference), in the order they were added."""
        if self._later:
            Message.objects.filter(id__in=self._later, state=State.QUEUED).update(due_at=self._now + LOOK_AGAIN)
        moved = {move.message_id: move.release for move in transitions.apply(self._changes)}
        return [(name, (row_id, moved[row_id])) for row_id, name in self._names.items() if row_id in moved]

    def _release(self, row: Row, way: Option) -> None:
        standing = self._standings[way.entry.id]
        self._standings[way.entry.id] = replace(standing, room=standing.room - 1)
        if row.failures and row.option is not None and row.option != way.key:
            metrics.FAILOVERS.labels(way.entry.name).inc()
        self._names[row.id] = way.entry.name
        self._changes.append(
            Change(
                row.id,
                State.RELEASED,
                connection_id=way.entry.id,
                option=way.key,
                lease_until=self._now + settings.RELEASE_LEASE,
                data={"connection": way.entry.name},
            )
        )
