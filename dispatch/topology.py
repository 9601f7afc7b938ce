"""The exchanges and queues on the broker, declared in code by whoever needs them first.

    exchange `deliver` ──▶ queue `deliver.<connection>` ──(refused, delivered too often)──▶ exchange and queue `dead`

Quorum queues: a confirmed task survives a restart of the broker. Dead-lettering is at-least-once, which RabbitMQ only
does with `reject-publish`, so a full queue refuses a publish and the relay keeps the message as its row. Arguments are
part of a queue: changing one here needs the queue to be deleted first, or every declare is refused with 406.
"""

from collections.abc import Iterable

from kombu import Connection, Exchange, Queue

DELIVER = Exchange("deliver", type="direct", durable=True)
DEAD = Exchange("dead", type="fanout", durable=True)

DELIVERY_LIMIT = 5  # deliveries; a task that took five workers down with it is poison
LENGTH_LIMIT = 100_000  # tasks; the relay keeps far fewer, so this only bounds a mistake

RECEIPTS_LIMIT = 1_073_741_824  # bytes of webhooks; a full queue refuses, and they are kept elsewhere
NEVER = 1_000_000_000  # deliveries; a webhook that was acknowledged is never given up

DEAD_QUEUE = Queue("dead", DEAD, durable=True, queue_arguments={"x-queue-type": "quorum"})


RECEIPTS_QUEUE = Queue(
    "receipts",
    durable=True,
    queue_arguments={
        "x-queue-type": "quorum",
        "x-delivery-limit": NEVER,
        "x-overflow": "reject-publish",
        "x-max-length-bytes": RECEIPTS_LIMIT,
    },
)
"""Webhooks while the buffer is away (`webhooks.inbound.buffer_broker`), by the default exchange."""


def deliver_queue(connection: str) -> Queue:
    """The queue of one connection. Its routing key is its name, because Celery publishes by queue name."""
    return _queue(f"deliver.{connection}")


def idle_queue() -> Queue:
    """What a worker listens to before there is any connection; nobody publishes here."""
    return _queue("unrouted")


def declare(broker: Connection, connections: Iterable[str]) -> None:
    """Declare everything; the dead-letter exchange first, or a dead task would have nowhere to go."""
    channel = broker.default_channel
    DEAD_QUEUE(channel).declare()
    for name in connections:
        deliver_queue(name)(channel).declare()


def _queue(name: str) -> Queue:
    return Queue(
        name,
        DELIVER,
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": LENGTH_LIMIT,
        },
    )
