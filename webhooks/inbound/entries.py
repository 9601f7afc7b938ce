"""A stored webhook, and what every place that keeps some can do.

`pack` writes one as text for places that keep bytes: JSON with the raw body in base64. An entry is what came: the
connection, the body and when; beside them the method, the query and the content type.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from webhooks.inbound.base import Payload


@dataclass(frozen=True, slots=True)
class Buffered:
    """One stored webhook; `entry` is what its store knows it by."""

    entry: Any
    connection: str
    payload: Payload


class Store(Protocol):
    """Where the web process puts a webhook. Thread-safe."""

    where: ClassVar[str]

    def append(self, connection: str, payload: Payload) -> None:
        """Return once it is stored durably, within a second or so; raise `BufferUnavailable` if it is not."""


class Source(Protocol):
    """Where the pump takes them from; one object for one pump."""

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        """Up to `count`, waiting `block` seconds if there is none; what was read and is not done comes again."""

    def done(self, entries: Sequence[Buffered]) -> None:
        """Forget processed entries: all of what `read` gave."""

    def close(self) -> None:
        """Let go of what it holds; it may be read again."""


class MainSource(Source, Protocol):
    """The buffer itself, and no fallback."""

    def coming(self, seconds: float) -> bool:
        """Whether any came within so many seconds; True where nobody can say."""


def pack(connection: str, payload: Payload) -> bytes:
    """As one line of ASCII, without a line break."""
    fields = {
        "c": connection,
        "b": base64.b64encode(payload.body).decode(),
        "t": payload.at.isoformat(),
        "m": payload.method,
        "q": payload.query,
        "y": payload.content_type,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def unpack(entry: Any, packed: bytes) -> Buffered:
    """What `pack` wrote. Anything else becomes the body of nobody's webhook, which the pump keeps for people."""
    try:
        fields = json.loads(packed)
        body = base64.b64decode(fields["b"], validate=True)
        texts = [str(fields[name]) for name in ("c", "m", "q", "y")]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        return Buffered(entry, "", Payload(packed, datetime.now(UTC)))
    connection, method, query, content_type = texts
    return Buffered(entry, connection, Payload(body, moment(fields.get("t")), method, query, content_type))


def moment(text: object) -> datetime:
    """When it came. What can't be read came now: it must not hold up the others."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)
