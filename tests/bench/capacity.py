"""What a rate would take, from what `make bench` measured here: a calculation for docs/scaling.md, and no measurement.

    python -m tests.bench.capacity

A whole life costs each part so much CPU (`parts` of the figure "whole lives"); at a rate it keeps so many cores busy. A
part that can't be more than so many cores at once saturates at a rate of its own.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RATES: Final = (100, 1000, 10_000, 100_000)  # messages a second
BUSY: Final = 0.7  # of a core that may be in use, or waits grow
PATH: Final = Path(".local/bench.json")


@dataclass(frozen=True)
class Bound:
    """`cores`: what one instance can use. `more`: how there can be more than one."""

    cores: float | None
    more: str


BOUNDS: Final[Mapping[str, Bound]] = {
    "web": Bound(None, "processes and hosts"),
    "relay": Bound(4, "four processes share the rows of one database; then shards"),
    "worker": Bound(None, "processes, hosts and regions"),
    "receipts": Bound(4, "four pumps share one stream; then shards"),
    "callbacks": Bound(8, "eight pumps share the rows of one database; then shards"),
    "logwriter": Bound(4, "four writers share one journal; then shards"),
    "PostgreSQL": Bound(64, "one primary of 64 cores for each database; then shards by account"),
    "RabbitMQ": Bound(16, "nodes; a connection's queue is one leader"),
    "Redis": Bound(1, "one thread; then keys by hash tag on several"),
}


@dataclass(frozen=True)
class Need:
    """`each`: milliseconds for a message. `saturates`: messages a second that one shard can have; None: never."""

    part: str
    each: float
    saturates: float | None
    more: str

    def cores(self, rate: float) -> float:
        return rate * self.each / 1000 / BUSY


def needs(parts: Mapping[str, float]) -> list[Need]:
    """Of each part, the one that saturates first at the top."""
    found = []
    for part, bound in BOUNDS.items():
        each = parts.get(part, 0.0)
        most = bound.cores * BUSY * 1000 / each if bound.cores and each else None
        found.append(Need(part, each, most, bound.more))
    return sorted(found, key=lambda need: need.saturates or float("inf"))


def table(found: Sequence[Need]) -> str:
    """In Markdown."""
    heads = ["Part", "CPU ms a message", *(f"cores at {rate:,}/s" for rate in RATES), "saturates at", "more of it"]
    lines = [heads, ["---"] * len(heads)]
    for need in found:
        most = "" if need.saturates is None else f"{need.saturates:,.0f}/s"
        cores = (f"{need.cores(rate):,.1f}" for rate in RATES)
        lines.append([need.part, f"{need.each:.2f}", *cores, most, need.more])
    total = sum(need.each for need in found)
    cores = (f"{rate * total / 1000 / BUSY:,.0f}" for rate in RATES)
    lines.append(["all", f"{total:.2f}", *cores, "", ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    if not PATH.exists():
        print(f"{PATH} is not there: run `make bench BENCH=lives` first", file=sys.stderr)
        return 2
    figures = json.loads(PATH.read_text())["figures"]
    parts = next((one["parts"] for one in figures if one["name"] == "whole lives"), None)
    if not parts:
        print("there is no figure of whole lives: run `make bench BENCH=lives` first", file=sys.stderr)
        return 2
    print(table(needs(parts)))
    total = sum(parts.get(part, 0.0) for part in BOUNDS)
    print(f"\na million messages: {total * 1e6 / 1000 / 3600:,.1f} core hours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
