"""Measures the states that `sendmsg.telemetry.gauges` names, every few seconds, for whoever is scraped.

One process does it, and not each that is scraped: a look costs queries. They are bounded: every one has an index, and
what could be millions is counted up to a bound. A part whose server is away is missing from the measurement, and said
to be; the others are measured all the same. Several of these processes are of no harm.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog
from django.db import Error
from django.db import connection as database
from django.utils.module_loading import import_string

from sendmsg.pump import Pump
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading
from sendmsg.telemetry.measured import MEASURED

logger = structlog.stdlib.get_logger(__name__)

EVERY: Final = 5.0  # seconds; a third of how often Prometheus asks by our configuration
PATIENCE: Final = "3s"  # for one statement: who measures must not be what a database is busy with
PARTS: Final = {
    "messages": "dispatch.measures.messages",
    "connections": "dispatch.measures.connections",
    "queues": "dispatch.measures.queues",
    "letters": "dispatch.measures.letters",
    "buffer": "webhooks.measures.buffer",
    "receipts": "webhooks.measures.receipts",
    "callbacks": "webhooks.measures.callbacks",
    "journal": "sendmsg.journal.measures.journal",
    "timeline": "sendmsg.logs.measures.timeline",
}
"""What is measured, by name: functions that give readings."""

Part = Callable[[], Iterable[Reading]]


class Measuring(Pump):
    name = "measure"
    poll = EVERY

    def __init__(self) -> None:
        super().__init__()
        self._failing: set[str] = set()

    def step(self) -> int:
        at = time.time()
        with suppress(Error), database.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", [PATIENCE])
        readings: list[Reading] = []
        for name, path in PARTS.items():
            found = self._measured(name, import_string(path))
            readings += found or ()
            readings.append(Reading(gauges.MEASURED, float(found is not None), (name,)))
        MEASURED.replace(readings, at)
        return 0

    def _measured(self, name: str, part: Part) -> list[Reading] | None:
        """None, and a line in the log the first time, where it can't be measured."""
        try:
            found = list(part())
        except Exception as error:  # of the database, of Redis, of kombu, of boto3
            if name not in self._failing:
                logger.warning("not measured", part=name, error=type(error).__name__)
                self._failing.add(name)
            return None
        self._failing.discard(name)
        return found
