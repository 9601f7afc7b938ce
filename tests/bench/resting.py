"""What the gateway costs while nothing happens."""

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.parts import TICK
from tests.stack.stack import Stack

SECONDS = 15


def idle(stack: Stack) -> Iterator[Figure]:
    """The processor time of all our processes; the servers beside them are not ours."""
    time.sleep(3)  # for what was measured before to end
    began = _used(stack)
    time.sleep(SECONDS)
    share = (_used(stack) - began) / SECONDS * 100
    yield Figure("idle, all processes", share, "% of a core", "≤ 3 %", 3 / max(share, 0.01))


def _used(stack: Stack) -> float:
    """Seconds of all processes of the gateway but its sandbox, and of their children."""
    total = 0
    for name, process in stack.processes.items():
        if name != "sandbox":
            total += sum(_ticks(pid) for pid in tree(process.pid))
    return total / TICK


def tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in tree(int(child)))]


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
