"""The last measurement, for whoever is scraped: in `PROMETHEUS_MULTIPROC_DIR` a file, without that in memory.

A measurement replaces the one before it as a whole, so a connection that was deleted vanishes. One that is older than
`FRESH` is shown no more: nobody measures, and a number from yesterday looks like one of today.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Metric
from prometheus_client.registry import Collector

from sendmsg.telemetry import folder
from sendmsg.telemetry.gauges import GAUGES, MEASURED_AT, Reading

logger = structlog.stdlib.get_logger(__name__)

FRESH: Final = 60.0  # seconds; a measurement is made every few
FILE: Final = "measured.json"


class Measured(Collector):
    def __init__(self) -> None:
        self._at = 0.0
        self._readings: Sequence[Reading] = ()

    def replace(self, readings: Sequence[Reading], at: float) -> None:
        """Show these, made at the Unix time `at`, in place of the last ones. Raises `OSError`."""
        self._at, self._readings = at, readings
        if (path := _path()) is not None:
            rows = [[reading.gauge.name, reading.value, reading.labels] for reading in readings]
            draft = path.with_name(f"{FILE}.{os.getpid()}")
            draft.write_text(json.dumps({"at": at, "readings": rows}))
            draft.replace(path)

    def describe(self) -> Iterator[Metric]:
        """Nothing: or registering would collect."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        at, readings = (self._at, self._readings) if _path() is None else _read()
        if time.time() - at > FRESH:
            return
        families: dict[str, Metric] = {}
        for reading in (*readings, Reading(MEASURED_AT, at)):
            gauge = reading.gauge
            family = families.setdefault(gauge.name, Metric(gauge.name, gauge.meaning, "gauge"))
            family.add_sample(gauge.name, dict(zip(gauge.labels, reading.labels, strict=True)), reading.value)
        yield from families.values()


MEASURED: Final = Measured()
"""Of this process."""


def _path() -> Path | None:
    shared = os.environ.get(folder.VARIABLE)
    return None if shared is None else Path(shared) / FILE


def _read() -> tuple[float, Sequence[Reading]]:
    """What a process that shares our folder measured last; nothing if none has, or it is of another version."""
    path = _path()
    try:
        stored = json.loads(path.read_text()) if path is not None else {}
        readings = [Reading(GAUGES[name], value, tuple(labels)) for name, value, labels in stored["readings"]]
        return stored["at"], [one for one in readings if len(one.labels) == len(one.gauge.labels)]
    except FileNotFoundError:
        return 0.0, ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("measurement not read", error=type(error).__name__)
        return 0.0, ()
