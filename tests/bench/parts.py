"""The processor time of each part of a running gateway: its processes by their command, the servers by their name."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

TICK = 100  # a second of the kernel's accounts
OURS = re.compile(r"manage\.py\0(\w+)")
SERVERS: Mapping[str, str] = {
    "postgres": "PostgreSQL",
    "valkey-server": "Redis",
    "redis-server": "Redis",
    "beam.smp": "RabbitMQ",
}


def by_part() -> dict[str, float]:
    """Seconds so far; a child belongs to the part of its parent. Both databases count as one."""
    found: dict[str, float] = defaultdict(float)
    processes = {int(entry.name): entry for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    for entry in processes.values():
        try:
            part = _part(entry, processes)
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if part:
            found[part] += (int(fields[11]) + int(fields[12])) / TICK
    return dict(found)


def each(before: Mapping[str, float], items: int) -> dict[str, float]:
    """Milliseconds for each item since then."""
    return {part: (seconds - before.get(part, 0.0)) * 1000 / items for part, seconds in by_part().items()}


def _part(entry: Path, processes: Mapping[int, Path]) -> str:
    name = (entry / "comm").read_text().strip()
    if name in SERVERS:
        return SERVERS[name]
    if ours := OURS.search((entry / "cmdline").read_text()):
        return ours[1]
    parent = processes.get(int((entry / "stat").read_text().rpartition(")")[2].split()[1]))
    above = OURS.search((parent / "cmdline").read_text()) if parent is not None else None
    return above[1] if above else ""
