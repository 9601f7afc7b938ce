"""The archive pump: makes days and text keys ahead, shortens texts, and moves what is old out of both databases.

Any number may run; each kind of file is one process's at a time, and the others pass it over. Without an archive
(`ARCHIVE_URL`) it makes days and keys and shortens texts, and deletes nothing.
"""

import time
from datetime import UTC, datetime
from typing import Final

import structlog
from django.utils import timezone

from dispatch.retention import bodies, messages, sweeps  # noqa: F401  registers its sweeps
from dispatch.retention.registry import SWEEPS
from sendmsg.logs import partitions
from sendmsg.logs.archive import files, locks, timeline
from sendmsg.logs.archive.leaving import leaving
from sendmsg.pump import Pump
from sendmsg.sealing import keys
from sendmsg.telemetry import metrics

logger = structlog.stdlib.get_logger(__name__)

LOOK_EVERY: Final = 60.0  # seconds between looks at the days there are


class ArchivePump(Pump):
    name = "archive"
    poll = 30.0  # seconds; what leaves is days old

    def __init__(self) -> None:
        super().__init__()
        self._look_at = 0.0
        if not files.enabled():
            logger.warning("archive off reason=ARCHIVE_URL is empty: nothing is archived or deleted")

    def step(self) -> int:
        """All kinds of work, one after the other; one that fails keeps none of the others from its turn."""
        now, done = timezone.now(), 0
        failed: Exception | None = None
        archiving = (self._messages, self._sweep, self._timeline) if files.enabled() else ()
        for work in (self._look, self._shorten, *archiving):
            try:
                done += work(now)
            except Exception as error:
                failed = failed or error
        if failed:
            raise failed
        return done

    def _look(self, now: datetime) -> int:
        if time.monotonic() < self._look_at:
            return 0
        keys.renew()
        partitions.make_ahead(now.astimezone(UTC).date())
        self._look_at = time.monotonic() + LOOK_EVERY
        return 0

    def _shorten(self, now: datetime) -> int:
        done = bodies.step(now)
        metrics.RETIRED.labels("texts").inc(done)
        return done

    def _messages(self, now: datetime) -> int:
        with locks.held(locks.MESSAGES) as ours:
            return messages.step(now, self.stopping.is_set) if ours else 0

    def _sweep(self, now: datetime) -> int:
        done = 0
        for sweep in SWEEPS:
            count = sweep.step(now)
            metrics.RETIRED.labels(sweep.kind).inc(count)
            done += count
        return done

    def _timeline(self, now: datetime) -> int:
        with locks.held(locks.EVENTS) as ours:
            return timeline.step(leaving(now), self.stopping.is_set) if ours else 0
