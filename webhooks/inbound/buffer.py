"""Where a verified webhook is kept between our 200 and its processing: a Redis stream.

An entry is what came: the connection, the raw body, when. It leaves the stream when it was processed, and only then;
nothing trims the stream. Redis must be durable for the promise "2xx only for what is stored" to survive a power cut:
`appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction` (docs/operations.md).
Fails closed: what can't be stored is not acknowledged, and the provider sends it again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError, ResponseError

from sendmsg import redis
from sendmsg.errors import BufferUnavailable

STREAM = "receipts"
GROUP = "pump"
ABANDONED = 60_000  # milliseconds without an answer after which a dead pump's entries go to another; far over a batch


@dataclass(frozen=True, slots=True)
class Buffered:
    """One stored webhook; `entry` is its place in the stream."""

    entry: bytes
    connection: str
    body: bytes
    at: datetime


def append(connection: str, body: bytes, at: datetime) -> None:
    """Store a webhook; raises `BufferUnavailable` when Redis does not confirm it."""
    try:
        redis.client().xadd(redis.key(STREAM), {"c": connection, "b": body, "t": at.isoformat()})
    except RedisError as error:
        raise BufferUnavailable(type(error).__name__) from None


class Reader:
    """One pump's view of the stream. Entries that it took and never finished come first when it starts again."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._stream = redis.key(STREAM)
        self._client = redis.client(10)  # seconds; over the longest block below
        self._ready = False

    def read(self, count: int, block: float) -> list[Buffered]:
        """Up to `count` entries; waits `block` seconds at most when there is none. Raises `RedisError`."""
        self._ensure_group()
        abandoned = self._client.xautoclaim(
            self._stream, GROUP, self._consumer, min_idle_time=ABANDONED, start_id="0-0", count=count
        )[1]
        if abandoned:
            return [_decode(*item) for item in abandoned if item[1]]
        answer: Any = self._client.xreadgroup(
            GROUP, self._consumer, {self._stream: ">"}, count=count, block=max(1, int(block * 1000))
        )
        streams = answer.values() if isinstance(answer, dict) else [items for _, items in answer or []]
        return [_decode(*item) for items in streams for item in _flat(items)]

    def done(self, entries: list[Buffered]) -> None:
        """Forget processed entries."""
        ids = [entry.entry for entry in entries]
        pipe = self._client.pipeline(transaction=True)
        pipe.xack(self._stream, GROUP, *ids)
        pipe.xdel(self._stream, *ids)
        pipe.execute()

    def _ensure_group(self) -> None:
        if self._ready:
            return
        try:
            self._client.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._ready = True


def _flat(items: Any) -> Any:
    return items[0] if items and isinstance(items[0], list) else items


def _decode(entry: bytes, fields: dict[bytes, bytes]) -> Buffered:
    at = datetime.fromisoformat(fields[b"t"].decode()).astimezone(UTC)
    return Buffered(entry, fields[b"c"].decode(), fields[b"b"], at)
