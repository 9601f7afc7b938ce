"""A message row as a deliver task holds it: what goes to the provider, and what its verdict needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dispatch import directory, routes, routing
from dispatch.directory import Entry
from dispatch.lanes import lane_of
from dispatch.providers.base import Outbound
from dispatch.routing import Option
from dispatch.rows import Facts
from dispatch.segments import segment
from dispatch.states import State
from dispatch.verdicts import Claim, Doubt, Rival
from dispatch.vocabulary import Priority, UnknownPolicy

NO_DOUBT = Doubt(UnknownPolicy.WAIT, 900.0)
"""For a connection that is gone: its messages wait for a receipt, as long as by default."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed message. `urgent`: of high priority. `came_back`: handed back before, to wait for its turn.

    `asks_since`: an earlier try's outcome is unknown, and the provider is asked about it instead of called: when that
    try began. `trace`, `request_id`: the row's.
    """

    claim: Claim
    outbound: Outbound
    segments: int
    urgent: bool
    came_back: bool
    asks_since: datetime | None = None
    trace: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """The option that a message leaves by, as far as its message is concerned."""

    key: int
    channel: str
    sender: str


class Reader:
    """Reads rows; the ways out of a lane are worked out once for all of a batch."""

    def __init__(self) -> None:
        self._entries = directory.entries()
        self._book = routes.book()
        self._ways: dict[int, Sequence[Option]] = {}

    def held(self, row: Facts, entry: Entry, asks_since: datetime | None) -> Held:
        way = self._way(row)
        return Held(
            claim=self.claim(row, entry),
            outbound=Outbound(
                message_id=row.id,
                to=row.to,
                sender=way.sender or row.sender,
                body=row.body,
                channel=way.channel,
            ),
            segments=row.segments if way.channel == row.channel else segment(row.body).segments,
            urgent=row.priority == Priority.HIGH,
            came_back=row.error_code == "paced",
            asks_since=asks_since,
            trace=row.trace,
            request_id=row.request_id,
        )

    def claim(self, row: Facts, entry: Entry | None) -> Claim:
        """`entry`: of its connection; None if that is gone."""
        way = self._way(row)
        return Claim(
            message_id=row.id,
            release=row.release,
            attempt=row.tries,
            connection_id=row.connection_id or 0,  # never: no message is sent without one
            failures=row.failures,
            option=way.key,
            channel=way.channel,
            rivals=self.rivals(row),
            doubt=entry.doubt if entry is not None else NO_DOUBT,
            in_doubt=row.in_doubt,
            expires_at=row.expires_at,
        )

    def rivals(self, row: Facts) -> list[Rival]:
        """What may still take the message: all of its lane's ways, less those that refused it."""
        chosen = row.chosen_connection_id
        return [
            Rival(way.key, way.channel)
            for way in self._lane(row.lane)
            if way.key not in row.refused and chosen in (None, way.entry.id)
        ]

    def reroutes(self, row: Facts, now: datetime) -> bool:
        """Whether the row's route wants another way tried after a receipt that it did not arrive, and has one left."""
        route = self._book.route(lane_of(row.lane)) if row.lane else None
        if route is None or not route.reroute_undelivered or row.expires_at <= now:
            return False
        return row.state in (State.SENT, State.QUEUED) and any(rival.key != row.option for rival in self.rivals(row))

    def _way(self, row: Facts) -> Way:
        """How it was released; a way that has gone meanwhile was the connection alone."""
        for found in self._lane(row.lane):
            if found.key == row.option:
                return Way(found.key, found.channel, found.sender)
        return Way(row.option or -(row.connection_id or 0), row.channel, "")

    def _lane(self, number: int) -> Sequence[Option]:
        if number not in self._ways:
            self._ways[number] = routing.options(lane_of(number), self._entries.values(), self._book) if number else ()
        return self._ways[number]
