"""The broker's queue `receipts`: where webhooks go while the buffer is away.

A durable quorum queue; each publish is confirmed, within bounded waits, on one connection that the threads of a web
process share. A publish whose confirm came too late may have arrived: the same webhook twice makes no second row.
The reader keeps what it could not process yet, unacknowledged: giving it back would count as a failed delivery.
"""

import contextlib
from collections.abc import Sequence
from threading import Lock
from typing import Any, ClassVar

from kombu import Connection, Producer

from dispatch import broker, topology
from sendmsg.celery import app
from sendmsg.errors import BufferUnavailable
from webhooks.inbound.base import Payload
from webhooks.inbound.entries import Buffered, pack, unpack

CONNECT_TIMEOUT = 0.3  # seconds to reach the broker; it is next door or it is away
ANSWER_TIMEOUT = 0.9  # seconds for an answer of the broker, a confirm for one
TURN_TIMEOUT = 0.5  # seconds to wait for other threads to publish


class BrokerStore:
    where: ClassVar[str] = "broker"

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def append(self, connection: str, payload: Payload) -> None:
        body = pack(connection, payload)
        if not self._lock.acquire(timeout=TURN_TIMEOUT):
            raise BufferUnavailable("busy")
        try:
            kept = self._producer is not None
            try:
                self._publish(body)
            except Exception:
                if not kept:
                    raise
                self._publish(body)  # the kept connection had died since the last webhook that came this way
        except Exception as error:
            raise BufferUnavailable(type(error).__name__) from None
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _publish(self, body: bytes) -> None:
        try:
            if self._producer is None:
                self._producer = self._open()
            self._producer.publish(
                body,
                routing_key=topology.RECEIPTS_QUEUE.name,
                exchange="",
                content_type="application/octet-stream",
                content_encoding="binary",
                delivery_mode=2,
                mandatory=True,
                retry=False,
                confirm_timeout=ANSWER_TIMEOUT,
            )
        except Exception:
            self._drop()
            raise

    def _open(self) -> Producer:
        waits = {"read_timeout": ANSWER_TIMEOUT, "write_timeout": ANSWER_TIMEOUT}
        self._connection = app.connection_for_write(connect_timeout=CONNECT_TIMEOUT, transport_options=waits)
        self._connection.ensure_connection(max_retries=0)
        topology.RECEIPTS_QUEUE(self._connection.default_channel).declare()
        return Producer(self._connection, auto_declare=False)

    def _drop(self) -> None:
        if self._connection is not None:
            broker.drop(self._connection)
        self._connection = self._producer = None


class BrokerSource:
    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._queue: Any = None
        self._held: list[Buffered] = []

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        """What is there now: it never waits for more. Raises what kombu raises."""
        if self._held:
            return self._held
        try:
            if self._connection is None:
                self._connection = broker.connect()
                topology.declare(self._connection, [])
                self._queue = topology.RECEIPTS_QUEUE(self._connection.default_channel)
                self._queue.declare()
            while len(self._held) < count and (message := self._queue.get()) is not None:
                body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
                self._held.append(unpack(message, body))
        except Exception:
            self.close()
            raise
        return self._held

    def done(self, entries: Sequence[Buffered]) -> None:
        try:
            entries[-1].entry.ack(multiple=True)
        except Exception:
            self.close()
            raise
        self._held = []

    def close(self) -> None:
        self._held = []
        if self._connection is not None:
            with contextlib.suppress(Exception):
                broker.drop(self._connection)
        self._connection = self._queue = None
