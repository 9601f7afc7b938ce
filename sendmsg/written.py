"""Values as texts, each written once while it is in use.

The rows of a list share their account, their broadcast and their times. To write a UUID takes as long as three short
texts, to write a moment five: for a hundred thousand rows that was a tenth of the whole.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

KNOWN: Final = 1024  # the last ones of each; a request needs a handful


@lru_cache(KNOWN)
def uuid_text(uuid: UUID) -> str:
    return str(uuid)


@lru_cache(KNOWN)
def moment_text(moment: datetime) -> str:
    """By ISO 8601, in UTC: two that are the same moment are the same key here, whatever their offsets."""
    return moment.astimezone(UTC).isoformat()
