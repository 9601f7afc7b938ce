"""Stores dead tasks: what RabbitMQ put on the dead queue because no worker could process it.

A dead task loses no message: its rows' leases end and they are released again. What is stored is the trace: which
queue, why, and the ids. A task is acknowledged after its row is committed, so a crash stores it twice at worst.
Messages that failed for good leave their dead letter in the statement that fails them (`dispatch.transitions`).
"""

from typing import Any

from django.db import transaction
from kombu import Connection
from kombu.message import Message

from dispatch import broker, topology
from dispatch.models import DeadLetter
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics

BATCH = 100  # dead tasks a step; they are rare
BODY_LENGTH = 10_000  # characters of a task that are kept; a full batch of ids has about 2,500
POLL = 1.0  # seconds


class DeadLetterPump(Pump):
    name = "deadletters"
    poll = POLL
    drowsy = 5.0

    def __init__(self) -> None:
        super().__init__()
        self._connection: Connection | None = None

    def step(self) -> int:
        try:
            return self._drain()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            broker.drop(self._connection)
            self._connection = None

    def _drain(self) -> int:
        if self._connection is None:
            self._connection = broker.connect()
            topology.declare(self._connection, [])
        queue = topology.DEAD_QUEUE(self._connection.default_channel)
        found: list[Message] = []
        while len(found) < BATCH and (message := queue.get()) is not None:
            found.append(message)
        if found:
            with transaction.atomic():
                DeadLetter.objects.bulk_create(_letter(message) for message in found)
            metrics.DEAD_LETTERS.labels("task").inc(len(found))
            for message in found:
                message.ack()
        return len(found)


def _letter(message: Message) -> DeadLetter:
    death = _latest_death(message.headers or {})
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    return DeadLetter(
        queue=str(death.get("queue", ""))[:100],
        reason=f"task_{death.get('reason', 'dead')}"[:60],
        detail=f"task {(message.headers or {}).get('id', 'without id')}"[:300],
        task=body.decode("utf-8", "backslashreplace").replace("\0", "\\0")[:BODY_LENGTH],
    )


def _latest_death(headers: dict[str, Any]) -> dict[str, Any]:
    """RabbitMQ keeps a list of deaths, newest first (https://www.rabbitmq.com/docs/dlx#effects)."""
    deaths = headers.get("x-death") or [{}]
    return dict(deaths[0])
