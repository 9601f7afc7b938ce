"""Events as the journal holds them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sendmsg.logs import writer

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(at: datetime = AT, message: UUID | None = None, **fields: Any) -> dict[str, Any]:
    """One event; `fields` replace what it would hold."""
    document = {
        "id": str(uuid4()),
        "message": str(message or uuid4()),
        "account": str(UUID(int=7)),
        "type": "accepted",
        "at": at.isoformat(),
        "data": {"channel": "sms"},
    }
    return {**document, **fields}


def write(events: Sequence[dict[str, Any]]) -> None:
    """Into the logs database, as the log writer does."""
    writer.write([json.dumps(events)])
