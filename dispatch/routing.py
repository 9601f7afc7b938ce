"""Which connection a message leaves by. Decided when it is released, never when it is accepted.

1. Options. The steps of the route that fits, in tiers by position; without a route, every connection in one tier. A
   test key's message only ever reaches a sandbox, a live one never does, and the provider must speak the channel.
2. Standing. An option is out while its connection is paused, throttled, served by no worker, or its breaker is open
   (`dispatch.standings`).
3. Choice. The first tier with an option that stands; in it by weight, less for a connection that is slow or fails. One
   that just failed the message goes last, one that refused it is out. A connection that stands and is full is waited
   for: it is busy, not broken.

A message in doubt stays with the connection that may have taken it. One that was replayed by a chosen connection waits
for that one.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from dispatch.directory import Entry
from dispatch.lanes import Lane
from dispatch.providers import registry
from dispatch.routes import Book


@dataclass(frozen=True, slots=True)
class Option:
    """A way out for the messages of a lane. `key` names it on the row; `weight` is its share within its tier."""

    key: int
    tier: int
    entry: Entry
    channel: str
    sender: str
    weight: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a connection is good for now. `obstacle`: why it is out, empty while it stands. `room`: messages it may
    still be given. `factor`: 0 to 1, how much of its weight it has earned."""

    obstacle: str = ""
    room: int = 1
    factor: float = 1.0


class NoOption(Enum):
    """Why a message can't be released now."""

    WAIT = "wait"  # something it could leave by is full or away
    REFUSED = "refused"  # everything it could leave by has refused it


@dataclass(frozen=True, slots=True)
class History:
    """What a message's earlier tries say: where it must go, where not, and where last.

    `pinned_to`: the id of the one connection it may leave by.
    """

    pinned_to: int | None = None
    avoided: int | None = None
    refused: frozenset[int] = frozenset()


FRESH = History()


def options(lane: Lane, entries: Collection[Entry], book: Book) -> list[Option]:
    """All ways out for a lane, by tier: usable connections whose provider speaks the channel."""
    usable = {entry.id: entry for entry in entries if entry.enabled and not entry.fault and entry.sandbox == lane.test}
    route = book.route(lane)
    if route is None:
        found = [Option(-entry.id, 0, entry, lane.channel, "", entry.weight) for entry in usable.values()]
    else:
        found = [
            Option(
                step.id,
                step.tier,
                usable[step.connection_id],
                step.channel or lane.channel,
                step.sender,
                step.weight,
            )
            for step in route.steps
            if step.connection_id in usable
        ]
    return [one for one in found if one.channel in registry.get(one.entry.provider).capabilities.channels]


def choose(ways: Sequence[Option], standings: Mapping[int, Standing], history: History) -> Option | NoOption:
    """One of the options; standings are by connection id. See the rules at the top."""
    if history.pinned_to is not None:
        ways = [way for way in ways if way.entry.id == history.pinned_to]
    left = [way for way in ways if way.key not in history.refused]
    if ways and not left:
        return NoOption.REFUSED
    preferred = [way for way in left if way.key != history.avoided]
    standing = [way for way in preferred or left if not standings[way.entry.id].obstacle]
    if not standing and preferred:
        standing = [way for way in left if not standings[way.entry.id].obstacle]
    for _, tier in groupby(standing, key=lambda way: way.tier):
        return _by_weight([way for way in tier if standings[way.entry.id].room > 0], standings)
    return NoOption.WAIT


def _by_weight(ways: Sequence[Option], standings: Mapping[int, Standing]) -> Option | NoOption:
    if not ways:
        return NoOption.WAIT
    weights = [way.weight * standings[way.entry.id].factor for way in ways]
    return random.choices(ways, weights)[0] if any(weights) else ways[0]
