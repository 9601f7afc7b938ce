"""How a person or a process manager asks the one-command mode to end."""

import os
import signal
import time
from types import FrameType

ECHO = 0.5  # seconds in which several signals are one wish: make and a process manager pass on what we got already


class Stopped(Exception):
    """Somebody asked us to stop while we waited for something."""


class StopRequest:
    """Ctrl-C, SIGTERM or the end of the terminal, as a flag that every wait looks at.

    Asked again after `ECHO`, we are `urgent`, and nobody is given time to end.
    """

    def __init__(self) -> None:
        self.urgent = False
        self._asked_at: float | None = None
        self._terminal = False

    def listen(self) -> None:
        """Take the signals from now on. The end of the terminal means nothing to `nohup`, nor to a background job."""
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._note)
            self._terminal = _foreground() == os.getpgrp()

    def check(self) -> None:
        """Raises `Stopped` once we were asked to stop."""
        if self._terminal and _foreground() is None:  # make is told of the end, and keeps it from us
            self.ask()
        if self._asked_at is not None:
            raise Stopped

    def ask(self) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > ECHO:
            self.urgent = True

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.ask()


def _foreground() -> int | None:
    """The process group that the terminal listens to; None without a terminal, or when it has gone."""
    try:
        return os.tcgetpgrp(0)
    except OSError:
        return None
