"""The one loop that moves batches: the relay, the receipts processor, the log writer and their kin are subclasses.

A subclass says what one step does; the loop says when: at once while there is work, after a pause when there is
none, which may grow, later and later while a dependency is away, and not at all once SIGTERM or SIGINT asked to stop
(the step at hand is finished first). A step must leave nothing behind when it raises: its work is simply found again.
"""

import random
import signal
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import ClassVar

import structlog
from django.db import close_old_connections

from sendmsg import collector, heartbeat
from sendmsg.telemetry import metrics, port

logger = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE = 0.1  # seconds after a first failure
LONGEST_PAUSE = 5.0  # seconds; a dependency that comes back is noticed within this
CHECK_EVERY = 5.0  # seconds between two looks whether database connections live: each costs a round trip
LONGEST_GATHER = 0.25  # seconds; more of a wait than that shows in how soon a message leaves
LONGEST_NAP = 0.5  # seconds; a signal in the very moment before a sleep begins does not end that sleep


class Stop:
    """What `threading.Event` is, for a signal handler to set.

    A handler runs in the middle of whatever the main thread does. If that is waiting for an Event, the thread may hold
    the Event's own lock, and setting it would wait for ever. `SimpleQueue.put` is made to be called from anywhere.
    """

    def __init__(self) -> None:
        self._told: SimpleQueue[None] = SimpleQueue()
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._told.put(None)

    def wait(self, seconds: float) -> None:
        """Sleep until it is set, `seconds` at the most. One thread may wait."""
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            with suppress(Empty):
                self._told.get(timeout=min(left, LONGEST_NAP))


class Pump:
    """Fetch, handle, back off, drain, measure."""

    name: ClassVar[str]
    poll: float = 1.0
    """Seconds an idle pump waits before it looks again."""
    drowsy: float = 0.0
    """Seconds that this wait grows to, twofold each time, while there is nothing to do; 0: it does not grow."""
    gather: float = 0.0
    """Seconds from the beginning of a step that found something to the next, unless it was full: a step costs the same
    for one item as for a dozen, so a pump that looked at once would spend the most when there is least to spend."""
    share: float = 0.2
    """Of the time, for steps that found less than `worth`: while they take long, because the host is busy, it gathers
    longer, and so more for each, up to `LONGEST_GATHER`."""
    worth: int = 50
    """Items that a step is worth its cost for."""
    full: int = 1000
    """Items of a step after which there is no such wait."""

    def __init__(self) -> None:
        self.stopping = Stop()
        self._nap_length = 0.0  # seconds; 0 after there was work
        self._check_at = 0.0  # steady clock

    def step(self) -> int:
        """Fetch and handle one batch; the number of items done, 0 when there was nothing to do."""
        raise NotImplementedError(".step() must be overridden")

    def wait(self, seconds: float) -> None:
        """Sleep while idle; a subclass that can be woken overrides this. Returns at once when stopping."""
        self.stopping.wait(seconds)

    def close(self) -> None:
        """Let go of what the pump holds; called once, after the last step."""

    def run(self) -> None:
        """Run until a signal asks to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        metrics.PUMP_FAILURES.labels(self.name)  # from 0, so that the first failure is seen as a rise
        port.open_port()
        collector.relax()
        logger.info("pump started", name=self.name)
        pause = 0.0
        while not self.stopping.is_set():
            pause = self._turn(pause)
        self.close()
        logger.info("pump stopped", name=self.name)

    def _turn(self, pause: float) -> float:
        """One step and the wait after it; returns the pause to grow from, 0 when all is well."""
        heartbeat.beat()
        started = time.perf_counter()
        try:
            self._check_connections()
            done = self.step()
            metrics.PUMP_SECONDS.labels(self.name).observe(time.perf_counter() - started)
            metrics.PUMP_ITEMS.labels(self.name).inc(done)
            if not done:
                self.wait(self._idle_wait())
                return 0.0
            self._nap_length = 0.0
            if self.gather and done < self.full:
                took = time.perf_counter() - started
                longer = min(took / self.share, LONGEST_GATHER) if done < self.worth else 0.0
                self.stopping.wait(max(self.gather, longer) - took)
        except Exception as error:  # whatever it is, the loop must outlive it: the work is still there
            self._check_at = 0.0
            pause = min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE)
            metrics.PUMP_FAILURES.labels(self.name).inc()
            about = {"name": self.name, "error": _one_line(error), "pause": pause}
            logger.error("pump step failed", **about, exc_info=pause == FIRST_PAUSE)
            self.stopping.wait(pause * random.uniform(0.5, 1))
            return pause
        return 0.0

    def _check_connections(self) -> None:
        """A connection that dies between two looks costs a failed step, and the next step has another."""
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + CHECK_EVERY
            close_old_connections()

    def _idle_wait(self) -> float:
        self._nap_length = max(self.poll, min(self._nap_length * 2, self.drowsy))
        return self._nap_length

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()


def _one_line(error: Exception) -> str:
    first = str(error).partition("\n")[0]  # Postgres quotes the row, and so a body, on those after it
    return f"{type(error).__name__}: {' '.join(first.split())[:200]}"
