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
    """Reads rows; what those of a lane or a connection have in common is worked out once for all of a batch."""

    def __init__(self) -> None:
        self._entries = directory.entries()
        self._book = routes.book()
        self._lanes: dict[int, Sequence[Option]] = {}
        self._rivals: dict[int, Sequence[Rival]] = {}
        self._ways: dict[tuple[int, int | None, int | None, str], Way] = {}
        self._doubts: dict[int, Doubt] = {}

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
            doubt=self._doubt(entry) if entry is not None else NO_DOUBT,
            in_doubt=row.in_doubt,
            expires_at=row.expires_at,
        )

    def rivals(self, row: Facts) -> Sequence[Rival]:
        """What may still take the message: all of its lane's ways, less those that refused it."""
        if row.lane not in self._rivals:
            self._rivals[row.lane] = [Rival(way.key, way.channel) for way in self._lane(row.lane)]
        if not row.refused and row.chosen_connection_id is None:
            return self._rivals[row.lane]
        chosen = row.chosen_connection_id
        allowed = {way.key for way in self._lane(row.lane) if chosen in (None, way.entry.id)}
        return [one for one in self._rivals[row.lane] if one.key in allowed and one.key not in row.refused]

    def reroutes(self, row: Facts, now: datetime) -> bool:
        """Whether the row's route wants another way tried after a receipt that it did not arrive, and has one left."""
        route = self._book.route(lane_of(row.lane)) if row.lane else None
        if route is None or not route.reroute_undelivered or row.expires_at <= now:
            return False
        return row.state in (State.SENT, State.QUEUED) and any(rival.key != row.option for rival in self.rivals(row))

    def _way(self, row: Facts) -> Way:
        """How it was released; a way that has gone meanwhile was the connection alone."""
        key = row.lane, row.option, row.connection_id, row.channel
        if key not in self._ways:
            alone = Way(row.option or -(row.connection_id or 0), row.channel, "")
            found = (way for way in self._lane(row.lane) if way.key == row.option)
            self._ways[key] = next((Way(way.key, way.channel, way.sender) for way in found), alone)
        return self._ways[key]

    def _lane(self, number: int) -> Sequence[Option]:
        if number not in self._lanes:
            self._lanes[number] = routing.options(lane_of(number), self._entries.values(), self._book) if number else ()
        return self._lanes[number]

    def _doubt(self, entry: Entry) -> Doubt:
        if entry.id not in self._doubts:
            self._doubts[entry.id] = entry.doubt
        return self._doubts[entry.id]
