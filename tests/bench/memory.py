"""What our processes hold, and their children: proportional set size, which counts shared pages once."""

from pathlib import Path

from tests.bench.resting import tree
from tests.stack.stack import Stack


def by_process(stack: Stack) -> dict[str, float]:
    """MB of each process of the gateway."""
    return {name: sum(map(_held, tree(process.pid))) for name, process in stack.processes.items()}


def total(stack: Stack) -> float:
    """MB of all but the sandbox, which plays the providers."""
    return sum(held for name, held in by_process(stack).items() if name != "sandbox")


def _held(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
