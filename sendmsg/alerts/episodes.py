"""When an alert begins and ends: told of once each, however often the condition is looked at.

What is known to be going on is kept in Redis, so that a restart tells nobody twice, nor keeps an end to itself. Fails
open: while Redis is away it is kept in memory alone.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from sendmsg import redis
from sendmsg.alerts.conditions import Condition
from sendmsg.alerts.expressions import History, Labels

logger = structlog.stdlib.get_logger(__name__)

KEY: Final = "alerts"
REDIS_TIMEOUT: Final = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert that goes on, or went on. `since`, `until`: Unix times; `until` is None while it goes on."""

    condition: Condition
    labels: Labels
    value: float
    since: float
    until: float | None = None

    @property
    def line(self) -> str:
        """For people."""
        of = "".join(f" {name}={value}" for name, value in self.labels)
        if self.until is not None:
            return f"over: {self.condition.name}{of}"
        return f"{self.condition.severity}: {self.condition.name}{of} value={self.value:g} {self.condition.summary}"


class Episodes:
    """All that goes on. Times are handed in: Unix, in seconds."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._conditions = {condition.name: condition for condition in conditions}
        self._holds_since: dict[tuple[str, Labels], float] = {}
        self.going_on: dict[tuple[str, Labels], Episode] = {}

    def look(self, history: History, now: float) -> list[Episode]:
        """What began and what ended since the last look."""
        changed: list[Episode] = []
        held: dict[tuple[str, Labels], float] = {}
        for condition in self._conditions.values():
            for labels, value in condition.test.holds(history).items():
                key = condition.name, labels
                since = held[key] = self._holds_since.get(key, now)
                if now - since >= condition.lasts and key not in self.going_on:
                    self.going_on[key] = Episode(condition, labels, value, since)
                    changed.append(self.going_on[key])
        for key in self.going_on.keys() - held.keys():
            began = self.going_on.pop(key)
            changed.append(Episode(began.condition, began.labels, began.value, began.since, now))
        self._holds_since = held
        return changed

    def recall(self) -> None:
        """Go on where the last process left off."""
        try:
            stored: Any = redis.client(REDIS_TIMEOUT).hgetall(redis.key(KEY))
        except RedisError as error:
            logger.warning("alerts not recalled", error=type(error).__name__)
            return
        for row in stored.values():
            name, labels, value, since = json.loads(row)
            condition = self._conditions.get(name)
            if condition is not None:
                of: Labels = tuple((each, word) for each, word in labels)
                self.going_on[name, of] = Episode(condition, of, value, since)
                self._holds_since[name, of] = since

    def remember(self) -> None:
        """Keep what is going on now, once it was told of."""
        rows: dict[Any, Any] = {
            f"{name} {json.dumps(labels)}": json.dumps([name, labels, one.value, one.since])
            for (name, labels), one in self.going_on.items()
        }
        try:
            pipe = redis.client(REDIS_TIMEOUT).pipeline(transaction=True)
            pipe.delete(redis.key(KEY))
            if rows:
                pipe.hset(redis.key(KEY), mapping=rows)
            pipe.execute()
        except RedisError as error:
            logger.warning("alerts not remembered", error=type(error).__name__)
