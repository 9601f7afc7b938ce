"""`make bench`: every measure beside a control in the same run, on the real stack; about five minutes.

    make bench                 all
    make bench BENCH=lives     one

Prints a table, writes .local/bench.json, and ends with how many budgets were met. Nothing is traded for speed: fsync,
confirms, idempotency, metrics and logs are on. It is a measurement and no test: a missed budget is no failure.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from tests.bench import accepting, delivering, resting, whole
from tests.bench.figures import Figure, table, write
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
    "receipts": whole.receipts,
    "callbacks": whole.callbacks,
    "lives": whole.lives,
    "idle": resting.idle,
}


def main(wanted: str) -> int:
    if wanted and wanted not in MEASURES:
        print(f"There is no measure {wanted}; there are: {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    figures: list[Figure] = []
    with running_stack(web_workers=WORKERS, web_threads=THREADS, LOG_LEVEL="INFO") as stack:
        for name, measure in MEASURES.items():
            if wanted in ("", name):
                began = time.monotonic()
                figures += list(measure(stack))
                print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n" + table(figures) + "\n")
    for one in figures:
        if one.note:
            print(f"{one.name}: {one.note}")
    if not wanted:
        write(figures, ROOT / ".local" / "bench.json")
    met = sum(one.met for one in figures)
    print(f"budgets: {met} met, {len(figures) - met} missed")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ.get("BENCH", "")))
