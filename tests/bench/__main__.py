"""`make bench`: measures beside controls in the same run, on the real stack; about five minutes.

    make bench                 all but the long ones
    make bench BENCH=lives     one; the long ones are growth and memory, some minutes each

Prints a table, writes .local/bench.json over what earlier runs left there, draws .local/bench.svg of it all, and ends
with how many budgets were met. Nothing is traded for speed: fsync, confirms, idempotency, metrics and logs are on. It
is a measurement and no test: a missed budget is no failure.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tests.bench import accepting, chart, delivering, growing, memory, resting, whole
from tests.bench.figures import Figure, merge, table
from tests.bench.running import THREADS, WORKERS
from tests.drills.failover import running_stack
from tests.stack.processes import ROOT
from tests.stack.stack import Stack

MEASURES: Mapping[str, Callable[[Stack], Iterator[Figure]]] = {
    "accept": accepting.one_by_one,
    "many": accepting.many,
    "dispatch": delivering.one_call_each,
    "batches": delivering.in_batches,
    "soon": delivering.soon,
    "loaded": delivering.loaded,
    "receipts": whole.receipts,
    "callbacks": whole.callbacks,
    "lives": whole.lives,
    "idle": resting.idle,
}
LONG: Mapping[str, Callable[[Stack], Iterator[Figure]]] = {"growth": growing.growth, "memory": growing.memory}
FOLDER = ROOT / ".local"


def main(wanted: str) -> int:
    measures = {name: one for name, one in {**MEASURES, **LONG}.items() if name == wanted} if wanted else MEASURES
    if not measures:
        print(f"There is no measure {wanted}; there are: {', '.join([*MEASURES, *LONG])}", file=sys.stderr)
        return 2
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    figures: list[Figure] = []
    with running_stack(web_workers=WORKERS, web_threads=THREADS, LOG_LEVEL="INFO") as stack:
        for name, measure in measures.items():
            began = time.monotonic()
            found = list(measure(stack))
            held = memory.total(stack)
            figures += [replace(one, memory=one.memory or held) for one in found]
            print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n" + table(figures) + "\n")
    for one in figures:
        if one.note:
            print(f"{one.name}: {one.note}")
        if one.parts:
            print(f"{one.name}, ms each: {', '.join(f'{part} {ms:.2f}' for part, ms in shares(one.parts))}")
    chart.draw(merge(figures, FOLDER / "bench.json"), FOLDER / "bench.svg")
    met = sum(one.met for one in figures)
    print(f"budgets: {met} met, {len(figures) - met} missed")
    return 0


def shares(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """The largest first, without those that are next to nothing."""
    return sorted(((part, ms) for part, ms in parts.items() if ms >= 0.01), key=lambda share: -share[1])


if __name__ == "__main__":
    sys.exit(main(os.environ.get("BENCH", "")))
