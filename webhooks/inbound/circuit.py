"""Leaves something that just failed alone for a while, so that not every request waits for it to fail again.

For one process and all its threads. After the pause one caller tries, and the others go on passing it by until it has
said that all is well.
"""

import time
from threading import Lock

QUIET = 2.0  # seconds between two tries of what fails; its return is noticed within this


class Circuit:
    def __init__(self) -> None:
        self._lock = Lock()
        self._ask_at: float | None = None  # steady clock; None: all is well

    def allows(self) -> bool:
        """Whether to ask it now. A caller that is told so says afterwards how it went."""
        if self._ask_at is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._ask_at is not None and now < self._ask_at:
                return False
            self._ask_at = now + QUIET  # this caller tries; who comes meanwhile does not wait with it
            return True

    def failed(self) -> None:
        with self._lock:
            self._ask_at = time.monotonic() + QUIET

    def succeeded(self) -> None:
        self._ask_at = None
