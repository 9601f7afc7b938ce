"""The few things that a condition says of metrics. Each writes itself as PromQL, and works itself out of a history.

Values are numbers by labels, as in Prometheus: what is compared or divided is matched by equal labels, and what has no
match is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, by name."""
Values = dict[Labels, float]


@dataclass(frozen=True, slots=True)
class Series:
    """The series of a metric whose labels have one of some values, or none of others, added up or compared by `by`."""

    name: str
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def takes(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name, "") in words for name, words in self.where.items()) and not any(
            labels.get(name, "") in words for name, words in self.without.items()
        )

    def group(self, labels: Mapping[str, str]) -> Labels:
        return tuple((name, labels[name]) for name in sorted(self.by) if labels.get(name))

    @property
    def selector(self) -> str:
        matchers = [f'{name}=~"{"|".join(words)}"' for name, words in self.where.items()]
        matchers += [f'{name}!~"{"|".join(words)}"' for name, words in self.without.items()]
        return self.name + (f"{{{','.join(matchers)}}}" if matchers else "")

    @property
    def grouping(self) -> str:
        return f"by ({', '.join(self.by)}) " if self.by else ""

    def __hash__(self) -> int:
        return hash(self.selector + self.grouping)


class History(Protocol):
    """What was scraped so far."""

    def latest(self, series: Series) -> Values:
        """The greatest of each group now."""
        ...

    def rise(self, series: Series, seconds: float) -> Values:
        """By how much the counters of each group rose in that time."""
        ...


class Value(Protocol):
    """A number for each group."""

    @property
    def promql(self) -> str: ...
    def of(self, history: History) -> Values: ...
    def rises(self) -> Iterator[tuple[Series, float]]:
        """What it needs of the past, and for how many seconds."""
        ...


class Test(Protocol):
    """What holds for some groups, with the number that it was found by."""

    @property
    def promql(self) -> str: ...
    def holds(self, history: History) -> Values: ...
    def rises(self) -> Iterator[tuple[Series, float]]: ...


@dataclass(frozen=True, slots=True)
class Now:
    """The greatest value of a state."""

    series: Series

    @property
    def promql(self) -> str:
        return f"max {self.series.grouping}({self.series.selector})"

    def of(self, history: History) -> Values:
        return history.latest(self.series)

    def rises(self) -> Iterator[tuple[Series, float]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much counters rose together in so many seconds."""

    series: Series
    seconds: float

    @property
    def promql(self) -> str:
        return f"sum {self.series.grouping}(increase({self.series.selector}[{duration(self.seconds)}]))"

    def of(self, history: History) -> Values:
        return history.rise(self.series, self.seconds)

    def rises(self) -> Iterator[tuple[Series, float]]:
        yield self.series, self.seconds


@dataclass(frozen=True, slots=True)
class Ratio:
    """One number as a part of another; nothing where that is 0."""

    part: Value
    whole: Value

    @property
    def promql(self) -> str:
        return f"{self.part.promql} / {self.whole.promql}"

    def of(self, history: History) -> Values:
        parts, wholes = self.part.of(history), self.whole.of(history)
        return {labels: part / wholes[labels] for labels, part in parts.items() if wholes.get(labels)}

    def rises(self) -> Iterator[tuple[Series, float]]:
        yield from self.part.rises()
        yield from self.whole.rises()


@dataclass(frozen=True, slots=True)
class Quantile:
    """What a share of a histogram's values of so many seconds stays under. `series`: without its `_bucket`."""

    share: float
    series: Series
    seconds: float

    @property
    def promql(self) -> str:
        buckets = self._buckets
        rate = f"sum {buckets.grouping}(rate({buckets.selector}[{duration(self.seconds)}]))"
        return f"histogram_quantile({self.share:g}, {rate})"

    def of(self, history: History) -> Values:
        buckets: dict[Labels, list[tuple[float, float]]] = {}
        for labels, count in history.rise(self._buckets, self.seconds).items():
            bound = float(dict(labels)["le"])
            rest = tuple(pair for pair in labels if pair[0] != "le")
            buckets.setdefault(rest, []).append((bound, count))
        return {labels: _quantile(self.share, sorted(found)) for labels, found in buckets.items() if max(found)[1] > 0}

    def rises(self) -> Iterator[tuple[Series, float]]:
        yield self._buckets, self.seconds

    @property
    def _buckets(self) -> Series:
        series = self.series
        return Series(f"{series.name}_bucket", ("le", *series.by), series.where, series.without)


@dataclass(frozen=True, slots=True)
class Above:
    value: Value
    threshold: float

    @property
    def promql(self) -> str:
        return f"{self.value.promql} > {self.threshold:g}"

    def holds(self, history: History) -> Values:
        return {labels: value for labels, value in self.value.of(history).items() if value > self.threshold}

    def rises(self) -> Iterator[tuple[Series, float]]:
        return self.value.rises()


@dataclass(frozen=True, slots=True)
class Below:
    value: Value
    threshold: float

    @property
    def promql(self) -> str:
        return f"{self.value.promql} < {self.threshold:g}"

    def holds(self, history: History) -> Values:
        return {labels: value for labels, value in self.value.of(history).items() if value < self.threshold}

    def rises(self) -> Iterator[tuple[Series, float]]:
        return self.value.rises()


@dataclass(frozen=True, slots=True)
class Absent:
    """Nobody has this metric."""

    series: Series

    @property
    def promql(self) -> str:
        return f"absent({self.series.selector})"

    def holds(self, history: History) -> Values:
        return {} if history.latest(self.series) else {(): 1.0}

    def rises(self) -> Iterator[tuple[Series, float]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Both:
    """Found by the first."""

    first: Test
    second: Test

    @property
    def promql(self) -> str:
        return f"({self.first.promql}) and ({self.second.promql})"

    def holds(self, history: History) -> Values:
        other = self.second.holds(history)
        return {labels: value for labels, value in self.first.holds(history).items() if labels in other}

    def rises(self) -> Iterator[tuple[Series, float]]:
        yield from self.first.rises()
        yield from self.second.rises()


@dataclass(frozen=True, slots=True)
class Unless:
    """The first, and not the second."""

    first: Test
    second: Test

    @property
    def promql(self) -> str:
        return f"({self.first.promql}) unless ({self.second.promql})"

    def holds(self, history: History) -> Values:
        other = self.second.holds(history)
        return {labels: value for labels, value in self.first.holds(history).items() if labels not in other}

    def rises(self) -> Iterator[tuple[Series, float]]:
        yield from self.first.rises()
        yield from self.second.rises()


def duration(seconds: float) -> str:
    """As Prometheus writes it."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float:
    """Between the bounds of its bucket in proportion, as Prometheus has it; the last bound for what is over it."""
    rank = share * buckets[-1][1]
    low, under = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == inf:
                return low
            return low + (bound - low) * ((rank - under) / (count - under) if count > under else 1.0)
        low, under = bound, count
    return low
