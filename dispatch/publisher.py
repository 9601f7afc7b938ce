"""Puts deliver tasks on the broker, each confirmed before the next step.

Every wait is bounded: connecting, writing, and the confirm. A publish that fails or is not confirmed in time may still
have arrived; the task it makes is harmless, because it names a release that will be over by then.
"""

from collections.abc import Sequence
from uuid import UUID

from kombu import Connection, Producer

from dispatch import broker, topology
from dispatch.tasks import task_of
from sendmsg.celery import app

CONFIRM_TIMEOUT = 5  # seconds for the broker to say that a task is on disk; the default waits for ever
SHOWN = 10  # references; the text travels in a header of the task
Reference = tuple[UUID, int]  # a message and the release that the task is for


def shown(references: Sequence[Reference]) -> str:
    """What Flower says of a task: `<message>/<release>` of each, those over `SHOWN` as a number."""
    more = [f"and {len(references) - SHOWN} more"] if len(references) > SHOWN else []
    return " ".join([*(f"{message}/{release}" for message, release in references[:SHOWN]), *more])


class Publisher:
    """One broker connection, held by one relay. Not thread-safe."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._declared: set[str] = set()

    def open(self, connections: Sequence[str]) -> None:
        """Be connected and have the queues declared; raises what kombu raises when the broker is away."""
        if self._connection is None or not self._connection.connected:
            self.close()
            self._connection = broker.connect()
            self._producer = app.amqp.Producer(self._connection, auto_declare=False)
        missing = [name for name in connections if name not in self._declared]
        if missing:
            try:
                topology.declare(self._connection, missing)
            except Exception:
                self.close()
                raise
            self._declared.update(missing)

    def publish(self, connection: str, references: Sequence[Reference]) -> None:
        """One confirmed task; on any error the connection is dropped, and `open` makes another."""
        try:
            task_of(connection).apply_async(  # type: ignore[call-arg]  # celery-types lacks three that Celery documents
                args=(connection, [[str(message_id), release] for message_id, release in references]),
                queue=topology.deliver_queue(connection),
                producer=self._producer,
                retry=False,
                confirm_timeout=CONFIRM_TIMEOUT,
                argsrepr=shown(references),
                kwargsrepr="",
            )
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            broker.drop(self._connection)
        self._connection = self._producer = None
        self._declared = set()
