"""The life of a message: its states, and the only ways between them.

    queued ──▶ released ──▶ sending ──▶ sent ──▶ delivered
       ▲           │           │         ││├───▶ undelivered
       ╰───────────┴───────────╯─────────╯│╰───▶ unknown
         lease ran out, another try       ╰ another connection, after a receipt that it did not arrive

    queued, released ──▶ canceled             queued, sending ──▶ failed, expired, unknown
    undelivered, unknown, expired ──▶ delivered, by a late receipt
    queued ──▶ sent, delivered, undelivered, by evidence of an earlier try
    failed, expired, unknown ──▶ queued, by a replay

Every change is one conditional UPDATE that names the edge (`dispatch.transitions`): a state never moves any other way,
so a late receipt, a stale task or a second worker finds nothing to change.
"""

from django.db.models import TextChoices


class State(TextChoices):
    QUEUED = "queued", "queued"  # due at `due_at`: new, scheduled or waiting for its next try
    RELEASED = "released", "released"  # a connection was chosen, a task is on its way to a worker
    SENDING = "sending", "sending"  # a worker holds it and calls the provider
    SENT = "sent", "sent"  # the provider took it
    DELIVERED = "delivered", "delivered"  # the provider says it arrived
    UNDELIVERED = "undelivered", "undelivered"  # the provider says it did not
    FAILED = "failed", "failed"  # refused for good; a dead letter
    EXPIRED = "expired", "expired"  # its time ran out before a provider took it; a dead letter
    CANCELED = "canceled", "canceled"  # the client took it back before it left
    UNKNOWN = "unknown", "unknown"  # it may have been sent and nobody can say


EDGES: frozenset[tuple[State, State]] = frozenset(
    {
        (State.QUEUED, State.RELEASED),
        (State.QUEUED, State.CANCELED),
        (State.QUEUED, State.EXPIRED),
        (State.QUEUED, State.UNKNOWN),  # its time ran out, and an earlier try may have gone through
        (State.QUEUED, State.QUEUED),  # nobody could say what became of an earlier try: another connection
        (State.QUEUED, State.FAILED),  # every connection refused it
        (State.QUEUED, State.SENT),  # an earlier try's answer came after its lease
        (State.QUEUED, State.DELIVERED),  # a receipt of a try that was in doubt
        (State.QUEUED, State.UNDELIVERED),
        (State.RELEASED, State.SENDING),
        (State.RELEASED, State.QUEUED),  # could not be published, or no worker came
        (State.RELEASED, State.CANCELED),
        (State.SENDING, State.SENT),
        (State.SENDING, State.QUEUED),  # another try
        (State.SENDING, State.FAILED),
        (State.SENDING, State.EXPIRED),
        (State.SENDING, State.UNKNOWN),
        (State.SENT, State.DELIVERED),
        (State.SENT, State.UNDELIVERED),
        (State.SENT, State.UNKNOWN),
        (State.SENT, State.QUEUED),  # did not arrive: another connection of its route, or WhatsApp's template
        (State.UNKNOWN, State.DELIVERED),
        (State.UNKNOWN, State.UNDELIVERED),
        (State.UNDELIVERED, State.DELIVERED),
        (State.EXPIRED, State.DELIVERED),
        (State.FAILED, State.QUEUED),  # its dead letter is replayed
        (State.EXPIRED, State.QUEUED),
        (State.UNKNOWN, State.QUEUED),
    }
)

FINAL: frozenset[State] = frozenset(
    {State.DELIVERED, State.UNDELIVERED, State.FAILED, State.EXPIRED, State.CANCELED, State.UNKNOWN}
)
DEAD: frozenset[State] = frozenset({State.FAILED, State.EXPIRED, State.UNKNOWN})
"""Final states that leave a dead letter for an operator to read, and to replay.

Except for a message that was sent and whose receipt never came: there is nothing to be done about that one.
"""
ANNOUNCED: frozenset[State] = FINAL | {State.SENT}
"""States that the client's endpoints are told of: those that say something about the provider or the recipient."""


def allowed(source: State, target: State) -> bool:
    return (source, target) in EDGES
