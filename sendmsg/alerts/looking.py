"""Looks at our own metrics as Prometheus would, and remembers of them what the conditions ask for.

A counter that falls was begun again, and counts from 0. One that is new at a process that was looked at before has
risen from 0, which Prometheus does not see.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from sendmsg.alerts.conditions import JOB, Condition
from sendmsg.alerts.expressions import Labels, Series, Values
from sendmsg.errors import CallFailed
from sendmsg.http import HttpClient, build_session

logger = structlog.stdlib.get_logger(__name__)

CONNECT: Final = 2.0  # seconds
TOTAL: Final = 5.0  # seconds for one look at one process
ANSWER_BYTES: Final = 10_485_760  # some 80,000 samples


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: Mapping[str, str]
    value: float


@cache
def client() -> HttpClient:
    return build_session(
        connect_timeout=CONNECT,
        read_timeout=TOTAL,
        total_timeout=TOTAL,
        pool_size=1,
        max_response_bytes=ANSWER_BYTES,
    )


def scrape(url: str) -> list[Sample]:
    """The samples of one process, and `up`: 0 and nothing else if it can't be read."""
    labels = {"job": JOB, "instance": urlsplit(url).netloc}
    headers = {"Authorization": f"Bearer {settings.METRICS_TOKEN}"} if settings.METRICS_TOKEN else {}
    try:
        answer = client().request("GET", url, headers=headers)
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        families = list(text_string_to_metric_families(answer.body.decode()))
    except (CallFailed, ValueError) as error:
        logger.warning("metrics not read", instance=labels["instance"], error=error)
        return [Sample("up", labels, 0.0)]
    found = [Sample(one.name, one.labels, one.value) for family in families for one in family.samples]
    return [Sample("up", labels, 1.0), *found]


class Past:
    """What was scraped: of states the last value, of counters how they rose, as long as somebody asks for it."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._kept: defaultdict[Series, float] = defaultdict(float)  # seconds that each is needed for
        for condition in conditions:
            for series, seconds in condition.test.rises():
                self._kept[series] = max(self._kept[series], seconds)
        self._by_name: defaultdict[str, list[Series]] = defaultdict(list)
        for series in self._kept:
            self._by_name[series.name].append(series)
        self._rises: dict[Series, deque[tuple[float, Values]]] = {series: deque() for series in self._kept}
        self._totals: dict[str, dict[tuple[str, Labels], float]] = {}
        self._latest: dict[str, list[Sample]] = {}
        self._now = 0.0

    def add(self, target: str, at: float, samples: list[Sample]) -> None:
        """What one process said at a time, in seconds that only grow."""
        self._now = at
        self._latest[target] = samples
        known = self._totals.get(target)
        totals = self._totals.setdefault(target, {})
        risen: defaultdict[Series, Values] = defaultdict(dict)
        for sample in samples:
            wanted = [series for series in self._by_name.get(sample.name, ()) if series.takes(sample.labels)]
            if not wanted:
                continue
            key = sample.name, tuple(sorted(sample.labels.items()))
            before = totals.get(key, sample.value if known is None else 0.0)
            totals[key] = sample.value
            rise = sample.value - before if sample.value >= before else sample.value
            for series in wanted:
                group = series.group(sample.labels)
                risen[series][group] = risen[series].get(group, 0.0) + rise
        for series, values in risen.items():
            self._rises[series].append((at, values))
        self._forget()

    def latest(self, series: Series) -> Values:
        found: Values = {}
        for samples in self._latest.values():
            for sample in samples:
                if sample.name == series.name and series.takes(sample.labels):
                    group = series.group(sample.labels)
                    found[group] = max(found.get(group, sample.value), sample.value)
        return found

    def rise(self, series: Series, seconds: float) -> Values:
        found: Values = {}
        for at, values in reversed(self._rises[series]):
            if at <= self._now - seconds:
                break
            for group, value in values.items():
                found[group] = found.get(group, 0.0) + value
        return found

    def _forget(self) -> None:
        for series, rises in self._rises.items():
            while rises and rises[0][0] <= self._now - self._kept[series]:
                rises.popleft()
