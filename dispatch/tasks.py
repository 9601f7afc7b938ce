"""The Celery task that delivers. It carries ids only; waiting and retrying happen on the rows, never here."""

from uuid import UUID

from celery import shared_task

from dispatch import sending


@shared_task(name="dispatch.deliver")
def deliver(connection: str, references: list[tuple[str, int]]) -> str:
    """Deliver messages by one connection. `references`: (message id, release) pairs.

    Idempotent: a task that comes twice, late, or for a release that is over finds nothing to claim. Returns a word for
    the log: how many it claimed of how many it was given.
    """
    claimed = sending.deliver_batch(connection, [(UUID(message_id), release) for message_id, release in references])
    return f"{claimed}/{len(references)}"
