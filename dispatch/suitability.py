"""Whether anything we have could ever carry a message: asked when it is accepted, so that a client hears at once.

Only what connections are counts, not how they do: one that is switched off, paused or broken may be back before the
message's deadline. Without any connection for the key's mode everything is taken: there is nothing yet to measure by.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dispatch import directory, routes, routing
from dispatch.lanes import Lane
from dispatch.providers import registry
from dispatch.providers.base import Capabilities, SenderKind
from dispatch.routes import Subject

KINDS: Final[Mapping[SenderKind, str]] = {
    SenderKind.NUMBER: "a number",
    SenderKind.SHORT_CODE: "a short code",
    SenderKind.NAME: "a name",
    SenderKind.NONE: "no sender",
}


@dataclass(frozen=True, slots=True)
class Unsuited:
    """Why nothing could carry it. `field`: of the message; `code` is stable; `detail` says what to change."""

    field: str
    code: str
    detail: str


OPTED_OUT: Final = Unsuited("to", "recipient_opted_out", "This recipient does not want messages: see /v1/suppressions.")


class Carriers:
    """What could carry the messages of a lane; worked out once for each lane, for as long as the object lives."""

    def __init__(self) -> None:
        self._found = directory.entries()
        # As if all were switched on: a fault stays one, because nobody knows what such a connection is.
        self._entries = [replace(entry, enabled=True) for entry in self._found.values()]
        self._modes = {entry.sandbox for entry in self._entries}
        self._book = routes.book()
        self._known: dict[Lane, Collection[tuple[Capabilities, str]]] = {}

    @property
    def current(self) -> bool:
        """Whether connections and routes are still those that it was made of."""
        return self._found is directory.entries() and self._book is routes.book()

    def judge(self, subject: Subject, body: str) -> Unsuited | None:
        """None if something could carry it."""
        if subject.test not in self._modes:
            return None
        carriers = self._of(self._book.lane(subject))
        if not carriers:
            return Unsuited(
                "channel", "channel_unsupported", f"No connection carries {subject.channel} for such a message."
            )
        able = [can for can, sender in carriers if SenderKind.of(sender or subject.sender) in can.senders]
        if not able:
            kind = SenderKind.of(subject.sender)
            return Unsuited("from", "sender_unsupported", f"No connection sends {subject.channel} from {KINDS[kind]}.")
        longest = [can.max_body for can in able if can.max_body is not None]
        if len(longest) == len(able) and len(body) > max(longest):
            return Unsuited("body", "body_too_long", f"At most {max(longest)} characters can be carried.")
        return None

    def lane(self, subject: Subject) -> Lane:
        return self._book.lane(subject)

    def _of(self, lane: Lane) -> Collection[tuple[Capabilities, str]]:
        """Their capabilities, and the senders that they use in place of the message's."""
        if lane not in self._known:
            ways = routing.options(lane, self._entries, self._book)
            self._known[lane] = [(registry.get(way.entry.provider).capabilities, way.sender) for way in ways]
        return self._known[lane]


_carriers: Carriers | None = None


def carriers() -> Carriers:
    """Of the connections and routes as this process sees them now; shared by all who ask."""
    global _carriers
    found = _carriers
    if found is None or not found.current:
        found = _carriers = Carriers()
    return found
