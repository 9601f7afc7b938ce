"""Which connection a message leaves by. Decided when it is released, never when it is accepted.

Rules: a test key's message only ever reaches a sandbox, a live one never does; the connection's provider must speak the
channel; among those left, chance by weight. A message whose last try is in doubt stays with the connection that may
have taken it: only that provider can recognise the repeat. One that was replayed by a chosen connection waits for it.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dispatch.directory import Entry
from dispatch.providers import registry


@dataclass(frozen=True, slots=True)
class Lane:
    """What routing looks at, apart from doubt: messages of one lane share their candidates."""

    test: bool
    channel: str


def candidates(lane: Lane, entries: Collection[Entry]) -> list[Entry]:
    return [
        entry
        for entry in entries
        if entry.enabled
        and not entry.fault
        and entry.sandbox == lane.test
        and lane.channel in registry.get(entry.provider).capabilities.channels
    ]


def choose(options: Collection[Entry], room: Mapping[int, int]) -> Entry | None:
    """One of the options that have room left, by weight; None when none has. `room` is by connection id."""
    open_options = [entry for entry in options if room.get(entry.id, 0) > 0]
    if not open_options:
        return None
    weights = [max(entry.weight, 0) for entry in open_options]
    return random.choices(open_options, weights)[0] if any(weights) else open_options[0]
