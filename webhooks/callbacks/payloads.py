"""What a callback says: `type`, `timestamp` and `data`, as the Standard Webhooks spec advises.

No text of a message is sent back to who wrote it: `client_reference` and `metadata` say which one it was.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from dispatch.models import Announcement
from dispatch.rows import Rows


class Original(NamedTuple):
    """A message as it was accepted, as far as callbacks tell of it."""

    id: UUID
    channel: str
    to: str
    sender: str
    segments: int
    client_reference: str
    metadata: Mapping[str, str]
    created_at: datetime


originals: Final = Rows(Original, Original._fields)


def envelope(kind: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    """The whole body. `at`: when it happened."""
    return {"type": kind, "timestamp": _utc(at), "data": dict(data)}


def of_message(about: Announcement, message: Original | None, providers: Mapping[int, str]) -> dict[str, Any]:
    """The state that was announced, and the message as it was accepted; what the row says by now doesn't count."""
    told = about.data
    document: dict[str, Any] = {
        "id": str(about.message_id),
        "status": about.type.partition(".")[2],
        "sequence": about.sequence,
        "provider": providers.get(told.get("connection") or 0),
        "error": {"code": told["code"], "detail": told["detail"]} if told.get("code") else None,
    }
    if message is not None:
        document |= {
            "channel": message.channel,
            "to": message.to,
            "from": message.sender or None,
            "segments": message.segments,
            "client_reference": message.client_reference or None,
            "metadata": message.metadata,
            "created_at": _utc(message.created_at),
        }
    return document


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
