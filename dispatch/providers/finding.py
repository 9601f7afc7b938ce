"""Asking a provider for a message whose send had no answer: when may a list that lacks it be believed?

A wrong `Missing` sends a message twice. So a list proves nothing while the provider may still be adding to it, and not
all that we know of a provider's clock is that it is near ours.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from dispatch.providers.base import Missing

CLOCK_SLACK: Final = timedelta(seconds=60)
"""That a provider's clock may be off; more than any that is kept by NTP."""
SETTLING: Final = timedelta(seconds=60)
"""After which a message that was taken is in its lists. No provider promises one; theirs are seconds behind."""


@dataclass(frozen=True, slots=True)
class Window:
    """When the provider can have taken the message, both ends by its own clock."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, since: datetime, total_timeout: float) -> Self:
        """`since`: when the send began. A batch may take twice `total_timeout` (seconds)."""
        return cls(since - CLOCK_SLACK, since + timedelta(seconds=2 * total_timeout) + CLOCK_SLACK)

    def holds(self, moment: datetime) -> bool:
        return self.start <= moment <= self.end

    def missing(self, kept: timedelta = timedelta.max) -> Missing | None:
        """`Missing`, if a list that lacks the message proves it. `kept`: how far back the provider's lists go."""
        now = datetime.now(UTC)
        return Missing() if now >= self.end + SETTLING and now - self.start < kept else None
