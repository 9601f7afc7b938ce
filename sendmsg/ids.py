"""Times inside of ids: a UUIDv7 begins with the millisecond that it was made (RFC 9562 §5.7)."""

from datetime import UTC, datetime
from uuid import UUID


def first_id(at: datetime) -> UUID:
    """The smallest UUIDv7 that can be made at or after `at`."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)


def made_at(uuid: UUID) -> datetime:
    """When it was made, to the millisecond."""
    return datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC)
