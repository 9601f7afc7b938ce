"""When a callback is tried: a table, and the rule of `Retry-After`."""

import random
from datetime import timedelta
from typing import Final

DELAYS: Final = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""Before each attempt, from the end of the one before: 28 hours in all, as long as a night and a working day."""

JITTER: Final = 0.1  # of a delay, either way: what failed together must not come back together


def delay_after(attempts: int, retry_after: float | None = None) -> timedelta | None:
    """How long to wait after so many attempts; None: there is no other. `retry_after`: seconds asked for, or more."""
    if attempts >= len(DELAYS):
        return None
    delay = DELAYS[attempts] * random.uniform(1 - JITTER, 1 + JITTER)
    return max(delay, timedelta(seconds=retry_after or 0.0))
