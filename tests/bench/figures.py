"""What a measure says: a figure beside its control, and whether its budget is met."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, TypedDict

from tests.bench.parts import TICK, by_part, each


@dataclass(frozen=True)
class Figure:
    """One line of the table. Times are in milliseconds; `cpu` is the whole machine's, for each item.

    `reached`: how much of its budget, 1.0 or more when it is met. `memory`: MB of all our processes at its end.
    `parts`: milliseconds of CPU for each item, by part (tests.bench.parts).
    """

    name: str
    value: float
    unit: str
    budget: str
    reached: float
    control: float | None = None
    times: "Times | None" = None
    cpu: float | None = None
    memory: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool:
        return self.reached >= 1

    @property
    def ratio(self) -> float | None:
        return self.value / self.control if self.control else None


class Spent(TypedDict):
    """Fields of a figure."""

    cpu: float
    parts: Mapping[str, float]


class Busy:
    """The processor time of the whole machine, load generator and fake provider included."""

    def __init__(self) -> None:
        self._parts = by_part()
        self._began = _busy()

    def each(self, items: int) -> float:
        """Milliseconds an item since the beginning."""
        return (_busy() - self._began) * 1000 / items

    def spent(self, items: int) -> Spent:
        """The same as a figure has it, with what of it each part of the gateway took."""
        return {"cpu": self.each(items), "parts": each(self._parts, items)}


def _busy() -> float:
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / TICK


@dataclass(frozen=True)
class Times:
    """Percentiles in milliseconds."""

    p50: float
    p95: float
    p99: float


def percentiles(seconds: Sequence[float]) -> Times:
    cuts = quantiles(seconds, n=100)
    return Times(cuts[49] * 1000, cuts[94] * 1000, cuts[98] * 1000)


def table(figures: Sequence[Figure]) -> str:
    rows: list[Sequence[str]] = [("", "figure", "control", "ratio", "p50", "p95", "p99", "CPU ms", "MB", "budget")]
    for one in figures:
        times = (one.times.p50, one.times.p95, one.times.p99) if one.times else (None, None, None)
        numbers = [_short(number) for number in (one.control, one.ratio, *times, one.cpu, one.memory)]
        verdict = f"{'met' if one.met else 'MISSED'}: {one.budget}"
        rows.append((one.name, f"{one.value:,.1f} {one.unit}", *numbers, verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _short(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.2f}" if number < 10 else f"{number:,.0f}"


def merge(figures: Sequence[Figure], path: Path) -> list[Figure]:
    """Write them over those of the same name from earlier runs; all that are there now."""
    path.parent.mkdir(exist_ok=True)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kept = json.loads(path.read_text())["figures"] if path.exists() else []
    found = {one["name"]: one for one in kept} | {one.name: {**asdict(one), "at": at} for one in figures}
    path.write_text(json.dumps({"at": at, "figures": list(found.values())}, indent=1))
    return [read(one) for one in found.values()]


def read(kept: Mapping[str, Any]) -> Figure:
    """A figure of the file."""
    fields = {name: value for name, value in kept.items() if name not in ("at", "times")}
    return Figure(**fields, times=Times(**kept["times"]) if kept["times"] else None)
