"""How fast connections do their work, as a relay sees it: by how much of what it released is gone at its next look.

A quarter of a second is enough to know, so that a connection that was idle is given more at once where it can do more:
ten thousand messages for a provider that takes a thousand in a call are under way in a second. A connection that ran
out of work meanwhile has shown what it can do at least. What another relay releases is not seen, which errs on the
slow side.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LOOK: Final = 0.25  # seconds that a pace is measured over; a few calls of most providers
KEPT: Final = 30.0  # seconds that it is good for


@dataclass(slots=True)
class _Watch:
    """`left`: what was under way at the last look. `dry`: it had nothing to do at some look since `since`."""

    since: float
    left: int
    done: int = 0
    dry: bool = False
    pace: float = 0.0
    known_at: float = float("-inf")


class Tempo:
    """Of each connection, by id; times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._watches: dict[int, _Watch] = {}
        self._released: Counter[int] = Counter()

    def released(self, connection_id: int, count: int) -> None:
        """So many more are on their way since the last look."""
        self._released[connection_id] += count

    def look(self, under_way: Mapping[int, int], now: float) -> None:
        """What is released or being sent at this moment."""
        for connection_id in {*under_way, *self._watches, *self._released}:
            left = under_way.get(connection_id, 0)
            watch = self._watches.get(connection_id)
            if watch is None or not (watch.left or self._released[connection_id]):
                self._watches[connection_id] = self._begin(watch, left, now)
                continue
            watch.done += max(0, watch.left + self._released[connection_id] - left)
            watch.left = left
            watch.dry = watch.dry or not left
            if now - watch.since >= LOOK:
                self._watches[connection_id] = self._measured(watch, now)
        self._released.clear()

    @property
    def at_work(self) -> bool:
        """Whether any of them had something to do at the last look."""
        return any(watch.left for watch in self._watches.values())

    def left(self, connection_id: int) -> int:
        """What was under way at the last look."""
        watch = self._watches.get(connection_id)
        return watch.left if watch is not None else 0

    def pace(self, connection_id: int, now: float) -> float | None:
        """Messages a second; None where nothing was seen lately."""
        watch = self._watches.get(connection_id)
        return watch.pace if watch is not None and now - watch.known_at <= KEPT else None

    def _begin(self, watch: _Watch | None, left: int, now: float) -> _Watch:
        if watch is None:
            return _Watch(now, left)
        return _Watch(now, left, pace=watch.pace, known_at=watch.known_at)

    def _measured(self, watch: _Watch, now: float) -> _Watch:
        pace = watch.done / (now - watch.since)
        if watch.dry and now - watch.known_at <= KEPT and pace < watch.pace:
            return _Watch(now, watch.left, pace=watch.pace, known_at=watch.known_at)
        return _Watch(now, watch.left, pace=pace, known_at=now)
