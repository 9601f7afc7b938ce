"""Bounded waiting: the only way in which a test may let time pass."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], what: str, seconds: float = 20, every: float = 0.05) -> Found:
    """The first truthy value that `look` returns; fails with `what` and the last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {found!r}")
        time.sleep(every)
