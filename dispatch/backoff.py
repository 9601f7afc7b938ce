"""How long a message waits before its next try: exponential with full jitter, never before the provider asked."""

import random
from datetime import timedelta

from django.conf import settings


def delay(tries: int, after: float | None = None) -> timedelta:
    """The wait after `tries` attempts. `after`: seconds that the provider asked for (Retry-After), a lower bound.

    Full jitter spreads a crowd that failed together over the whole interval, so that it doesn't come back together.
    """
    ceiling = min(settings.RETRY_CAP, settings.RETRY_BASE * 2 ** min(max(tries - 1, 0), 32))
    return timedelta(seconds=max(after or 0, 0) + random.uniform(0, ceiling))
