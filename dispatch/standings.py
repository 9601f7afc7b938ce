"""What each connection is good for at this moment: its switches, workers, breaker, pauses, and what is under way.

A connection's room is short: what is released can't be overtaken by what is more urgent. It is what the connection does
in `AHEAD` seconds and the time of a call, measured or by its rate, so that it never runs dry either.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from django.conf import settings
from django.db import connection as database

from dispatch import breaker, pacing, serving
from dispatch.breaker import Health
from dispatch.directory import Entry
from dispatch.routing import Standing
from dispatch.tempo import Tempo
from dispatch.vocabulary import BreakerState
from sendmsg.prepared import Prepared

AHEAD: Final = 0.35  # seconds of work in a connection's queue, over what a relay may gather; the urgent waits as long
GROWTH: Final = 1.5  # of the measured pace: whoever is given no more than it did never shows that it can do more
UNDER_WAY: Final = Prepared("""
SELECT connection_id, count(*) FROM dispatch_message WHERE state IN ('released', 'sending') GROUP BY connection_id
""")
FLOOR: Final = 4  # times its concurrency, for a connection that has shown no pace yet


def standings(entries: Mapping[str, Entry], tempo: Tempo | None = None) -> dict[int, Standing]:
    """By connection id, for every connection. `tempo`: what a relay sees of their pace, and goes on to see here."""
    now = time.monotonic()
    with database.cursor() as cursor:
        UNDER_WAY.run(cursor, {})
        under_way: dict[int, int] = dict(cursor.fetchall())
    throttled = pacing.paused(entries)
    health = breaker.read(entries)
    if tempo is not None:
        tempo.look(under_way, now)
        health = {name: _paced(found, tempo.pace(entries[name].id, now)) for name, found in health.items()}
    unserved = serving.unserved()
    return {
        entry.id: _standing(
            entry, health[name], name in throttled, under_way.get(entry.id, 0), entry.id not in unserved
        )
        for name, entry in entries.items()
    }


def _paced(health: Health, pace: float | None) -> Health:
    return health if pace is None else replace(health, pace=pace)


def _standing(entry: Entry, health: Health, throttled: bool, under_way: int, served: bool) -> Standing:
    room = backlog(entry, health) - under_way
    obstacle = ""
    if not entry.enabled:
        obstacle = "disabled"
    elif entry.fault:
        obstacle = "misconfigured"
    elif entry.paused_at is not None:
        obstacle = "paused"
    elif not served:
        obstacle = serving.NOBODY
    elif throttled:
        obstacle = "throttled"
    elif health.state is BreakerState.OPEN:
        obstacle = f"breaker open: {health.reason}"
    elif health.state is BreakerState.HALF_OPEN:
        room = breaker.PROBES - under_way
        obstacle = "breaker half open" if room <= 0 else ""
    return Standing(obstacle, 0 if obstacle else room, health.factor)


def backlog(entry: Entry, health: Health) -> int:
    """How many messages may be on their way by it at a time."""
    limit: int = settings.BACKLOG_LIMIT
    seconds = AHEAD + health.latency
    wanted = entry.rate * seconds if entry.rate is not None else health.pace * GROWTH * seconds
    floor = 1 if entry.rate is not None else FLOOR * entry.concurrency
    return min(limit, max(floor, math.ceil(wanted)))
