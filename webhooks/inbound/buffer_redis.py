"""The buffer as a Redis stream.

An entry leaves the stream when it was processed, and only then; nothing trims the stream. Fields beside the connection,
the body and the time lack in entries of older releases. Redis must be durable for the promise "2xx only for what is
stored" to survive a power cut: `appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction`
(docs/operations.md; `webhooks.durability` looks).
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from sendmsg import redis
from sendmsg.errors import BufferUnavailable
from webhooks.inbound.base import Payload
from webhooks.inbound.entries import Buffered, moment
from webhooks.inbound.replays import Proof

STREAM = "receipts"
GROUP = "pump"
APPEND_TIMEOUT = 0.9  # seconds for Redis to confirm; an append with fsync on a busy disk
READ_TIMEOUT = 10.0  # seconds; over the longest block of a read
ABANDONED = 10_000  # milliseconds without an answer after which a dead pump's entries go to another; far over a batch
LOOKS = 4  # at what dead pumps hold, in the time of `ABANDONED`

# One round trip in place of three, and of copies that come at the same time one is stored.
ONCE = """
local seen = redis.call('GET', KEYS[1])
if seen then return seen end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
"""


class RedisStore:
    where: ClassVar[str] = "redis"

    def append(self, connection: str, payload: Payload) -> None:
        try:
            client(APPEND_TIMEOUT).xadd(redis.key(STREAM), _fields(connection, payload))
        except RedisError as error:
            raise BufferUnavailable(type(error).__name__) from None

    def append_once(self, connection: str, payload: Payload, proof: Proof) -> bool:
        """The same, unless it is a copy, where copies are remembered in this Redis; whether it was stored now."""
        fields = [each for pair in _fields(connection, payload).items() for each in pair]
        keys = (proof.key, redis.key(STREAM))
        try:
            seen: Any = client(APPEND_TIMEOUT).eval(ONCE, 2, *keys, proof.content, proof.window, *fields)
        except RedisError as error:
            raise BufferUnavailable(type(error).__name__) from None
        return not proof.is_copy(seen)


def _fields(connection: str, payload: Payload) -> dict[Any, Any]:
    return {
        "c": connection,
        "b": payload.body,
        "t": payload.at.isoformat(),
        "m": payload.method,
        "q": payload.query.encode("utf-8", "replace"),
        "y": payload.content_type.encode("utf-8", "replace"),
    }


def client(reply_timeout: float) -> Redis:
    """Of the Redis that keeps the stream, which may be another than everybody's."""
    return redis.client(reply_timeout, settings.RECEIPTS_BUFFER_URL)


class Reader:
    """One pump's view of the stream. Entries that it took and did not finish come first, then those of dead pumps."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._stream = redis.key(STREAM)
        self._client = client(READ_TIMEOUT)
        self._ready = False
        self._claimed_at = float("-inf")  # steady clock
        self._unfinished = True  # an earlier process may have had our name

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        """Up to `count` entries; waits `block` seconds at most when there is none. Raises `RedisError`."""
        self._ensure_group()
        owing, self._unfinished = self._unfinished, True  # an answer that gets lost on its way here leaves us owing
        try:
            entries = self._take("0", count) if owing else []
            entries = entries or self._abandoned(count) or self._take(">", count, max(1, int(block * 1000)))
        except ResponseError as error:
            self._ready = not str(error).startswith("NOGROUP")  # Redis came back without its data
            raise
        self._unfinished = bool(entries)
        return entries

    def done(self, entries: Sequence[Buffered]) -> None:
        """Forget processed entries."""
        ids = [entry.entry for entry in entries]
        pipe = self._client.pipeline(transaction=True)
        pipe.xack(self._stream, GROUP, *ids)
        pipe.xdel(self._stream, *ids)
        pipe.execute()
        self._unfinished = False

    def coming(self, seconds: float) -> bool:
        pipe = self._client.pipeline(transaction=False)
        pipe.xrevrange(self._stream, count=1)
        pipe.time()
        newest, (now, micros) = pipe.execute()
        return bool(newest) and now + micros / 1e6 - int(newest[0][0].partition(b"-")[0]) / 1000 < seconds

    def close(self) -> None:
        """Nothing is held: the client is the process's."""

    def _abandoned(self, count: int) -> list[Buffered]:
        now = time.monotonic()
        if now - self._claimed_at < ABANDONED / 1000 / LOOKS:
            return []
        answer: Any = self._client.xautoclaim(
            self._stream, GROUP, self._consumer, min_idle_time=ABANDONED, start_id="0-0", count=count
        )
        entries = _decode(answer[1])
        if not entries:
            self._claimed_at = now
        return entries

    def _take(self, start: str, count: int, block: int | None = None) -> list[Buffered]:
        """From the group: what is new (`>`), or what we took before (`0`); `block` in milliseconds."""
        answer: Any = self._client.xreadgroup(GROUP, self._consumer, {self._stream: start}, count=count, block=block)
        streams = answer.values() if isinstance(answer, dict) else [items for _, items in answer or []]
        return [entry for items in streams for entry in _decode(_flat(items))]

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


def _decode(items: Any) -> list[Buffered]:
    """Stream items as entries; one that was deleted meanwhile has no fields and is left out."""
    return [Buffered(entry, _text(fields, b"c"), _payload(fields)) for entry, fields in items if fields]


def _payload(fields: dict[bytes, bytes]) -> Payload:
    method, at = _text(fields, b"m") or "POST", _time(fields)
    return Payload(fields.get(b"b", b""), at, method, _text(fields, b"q"), _text(fields, b"y"))


def _text(fields: dict[bytes, bytes], name: bytes) -> str:
    return fields.get(name, b"").decode("utf-8", "replace")


def _time(fields: dict[bytes, bytes]) -> datetime:
    return moment(_text(fields, b"t"))
