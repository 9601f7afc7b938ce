"""The folder that the processes of a host count in, `PROMETHEUS_MULTIPROC_DIR`, kept short and true.

Each process has files of its own there. What one counted that has ended is added up in one file of each kind, so that
no counter falls when a worker is started again, and the folder does not grow with every restart; what it last measured
is dropped. Processes are told by their number: those that share a folder must see each other's, as on one host or in
one container.
"""

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
ADDED_UP: Final = ("counter", "histogram")
"""Kinds of files whose numbers outlive their process."""


class Shared(MultiProcessCollector):
    """What all processes count. A file that a process makes at this very moment is empty, and can't be read yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(None, str(path))  # type: ignore[no-untyped-call]
        self._folder = path

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
        merged: Iterable[Metric] = self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return merged


@contextmanager
def swept(path: Path) -> Iterator[None]:
    """The folder without files of processes that have ended; nobody else sweeps or reads it meanwhile.

    Whoever read between a sum and the files that it is of would count them twice.
    """
    with (path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = [file for file in path.glob("*.db") if _has_ended(file)]
        for kind in ADDED_UP:
            _add_up(path / f"{kind}_ended.db", [file for file in ended if file.name.startswith(f"{kind}_")])
        for file in ended:
            file.unlink(missing_ok=True)
        yield


def _has_ended(file: Path) -> bool:
    """Whether the process that the file is named after is gone. A number that somebody has again keeps it a while."""
    number = file.stem.rpartition("_")[2]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is another user's
        return False
    return False


def _add_up(total: Path, files: Sequence[Path]) -> None:
    if not files:
        return
    sums: defaultdict[str, float] = defaultdict(float)
    for file in (*files, total):
        if file.exists() and file.stat().st_size:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                sums[key] += value
    draft = total.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    written = MmapedDict(str(draft))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    written.close()  # type: ignore[no-untyped-call]
    draft.replace(total)
