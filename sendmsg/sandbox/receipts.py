"""Delivery receipts of the sandbox provider: signed, posted, repeated until they are taken.

The receipts of one message are posted one after the other, those of different messages in parallel. An answer
other than 2xx, or none, is tried again after `RETRY_DELAYS`; then the receipt is given up and counted. All of
it is in memory: a restart loses the receipts that are still to come. At most `MAX_PENDING` messages can have
receipts to come; beyond that the server refuses sends, so that no receipt is ever dropped unseen.
"""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sendmsg.sandbox.keepalive import Connection
from sendmsg.sandbox.ledger import Entry
from sendmsg.sandbox.scenarios import Pause, Step

RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds before each further try
ANSWER_TIMEOUT = 10.0  # seconds; a receiver that only buffers answers in milliseconds
CONNECTIONS = 16  # keep-alive connections, each with one receipt in flight
MAX_PENDING = 100_000  # messages; more than a minute of a dead receiver at full speed, in about 300 MB


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The value of `SendMSG-Signature` for a raw body at a time in Unix seconds."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


class Receipts:
    """Plays the steps of accepted messages. `posted` and `given_up` count receipts since the start."""

    def __init__(
        self, secret: str, pauses: Mapping[Pause, float], retry_delays: Sequence[float] = RETRY_DELAYS
    ) -> None:
        self.posted = 0
        self.given_up = 0
        self._secret = secret
        self._pauses = pauses
        self._retry_delays = retry_delays
        self._tasks: set[asyncio.Task[None]] = set()
        # The connection used last is taken first, so that a quiet sandbox keeps few of them busy.
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._connections = [Connection() for _ in range(CONNECTIONS)]
        for connection in self._connections:
            self._free.put_nowait(connection)

    @property
    def pending(self) -> int:
        """Messages that have steps to come."""
        return len(self._tasks)

    @property
    def full(self) -> bool:
        return len(self._tasks) >= MAX_PENDING

    def play(self, entry: Entry, url: str | None, steps: Sequence[Step]) -> asyncio.Event:
        """Starts the steps of a message that has been sent; without `url` they only move its status.

        The event is set once the first receipt was answered, or failed, for the first time.
        """
        tried = asyncio.Event()
        task = asyncio.create_task(self._play(entry, url, steps, tried))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return tried

    async def close(self) -> None:
        """Drops what is still to come."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    async def _play(self, entry: Entry, url: str | None, steps: Sequence[Step], tried: asyncio.Event) -> None:
        try:
            for step in steps:
                if pause := self._pauses[step.after]:
                    await asyncio.sleep(pause)
                entry.move(step.status, step.error_code)
                if url is None:
                    continue
                body = _body(entry, step)
                for _ in range(step.receipts):
                    await self._post(url, body, tried)
        finally:
            tried.set()

    async def _post(self, url: str, body: bytes, tried: asyncio.Event) -> None:
        for delay in (*self._retry_delays, None):
            taken = await self._try(url, body)
            tried.set()
            if taken:
                self.posted += 1
                return
            if delay is not None:
                await asyncio.sleep(delay)
        self.given_up += 1

    async def _try(self, url: str, body: bytes) -> bool:
        connection = await self._free.get()
        try:
            now = int(time.time())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "SendMSG-Sandbox",
                "SendMSG-Timestamp": str(now),
                "SendMSG-Signature": sign(self._secret, now, body),
            }
            status = await connection.post(url, headers, body, ANSWER_TIMEOUT)
        except OSError:
            return False
        finally:
            self._free.put_nowait(connection)
        return 200 <= status < 300


def _body(entry: Entry, step: Step) -> bytes:
    receipt = {
        "event_id": f"evt_{uuid.uuid4().hex}",
        "type": "receipt",
        "id": entry.message_id,
        "status": step.status,
        "error_code": step.error_code,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return json.dumps(receipt, separators=(",", ":")).encode()
