"""The words that messages, attempts and dead letters are described with."""

from django.db.models import IntegerChoices, TextChoices


class Channel(TextChoices):
    SMS = "sms", "SMS"
    WHATSAPP = "whatsapp", "WhatsApp"


class Priority(IntegerChoices):
    """Stored as numbers, so that the relay's index orders by them; the API speaks the lower-case names."""

    HIGH = 0, "high"
    NORMAL = 1, "normal"
    BULK = 2, "bulk"


class BroadcastState(TextChoices):
    """Whether the messages of a broadcast may leave."""

    RUNNING = "running", "running"
    PAUSED = "paused", "paused"  # what waits is held; what was handed to a worker goes on
    CANCELING = "canceling", "canceling"  # held, and taken back batch by batch
    CANCELED = "canceled", "canceled"
    FINISHED = "finished", "finished"  # nothing of it waits or is under way; receipts may still come


class AttemptOutcome(TextChoices):
    """How one try at a provider ended; an attempt without one is still under way."""

    ACCEPTED = "accepted", "accepted"  # the provider took it
    REJECTED = "rejected", "rejected"  # the provider refused it for good
    RETRY = "retry", "retry"  # the provider asked for it later
    UNAVAILABLE = "unavailable", "unavailable"  # the provider could not be reached, nothing was sent
    UNKNOWN = "unknown", "unknown"  # it may or may not have been taken
    NOT_SENT = "not_sent", "not sent"  # we gave up before the call
    BLOCKED = "blocked", "blocked"  # it may not be sent: the recipient opted out, or WhatsApp's window is closed
    ABSENT = "absent", "absent"  # asked about an earlier try: the provider does not have the message
    UNANSWERED = "unanswered", "unanswered"  # asked, and the provider could not say


class LetterState(TextChoices):
    """Whether somebody has seen to a dead letter; it leaves `open` once, and for good."""

    OPEN = "open", "open"
    REPLAYED = "replayed", "replayed"  # its message was queued again; should that fail too, it leaves a new letter
    DISCARDED = "discarded", "discarded"  # nothing shall come of it
    RESOLVED = "resolved", "resolved"  # a receipt said that its message arrived after all


class ReceiptStatus(TextChoices):
    """What a provider reports of a message that it took."""

    SENT = "sent", "sent"  # on its way
    DELIVERED = "delivered", "delivered"
    UNDELIVERED = "undelivered", "undelivered"
    UNKNOWN = "unknown", "unknown"  # a word that we have no meaning for


class UnknownPolicy(TextChoices):
    """How an outcome that nobody knows is cleared up. None of them repeats a message that may have been sent."""

    AUTO = "auto", "the best that the provider can do"  # resend, else ask, else wait
    RESEND = "resend", "repeat it: the provider recognises our id"
    ASK = "ask", "ask the provider whether it has it"
    WAIT = "wait", "wait for its receipt"


class UnknownThen(TextChoices):
    """What becomes of a message whose outcome could not be cleared up in time."""

    OPERATOR = "operator", "unknown, with a dead letter for an operator"
    FAIL_OVER = "fail_over", "send it by another connection, though it may arrive twice"


class BreakerState(TextChoices):
    """Whether a connection's recent failures keep messages away from it."""

    CLOSED = "closed", "closed"  # all is well
    OPEN = "open", "open"  # nothing is sent by it
    HALF_OPEN = "half_open", "half open"  # a few messages try whether it is back


class ConnectionChange(TextChoices):
    """What can happen to a connection."""

    OPENED = "opened", "breaker opened"
    PROBING = "probing", "breaker half open"
    CLOSED = "closed", "breaker closed"
    PAUSED = "paused", "paused"
    RESUMED = "resumed", "resumed"
    WEIGHED = "weighed", "weight changed"


class SuppressionReason(TextChoices):
    """Who says that a recipient does not want messages."""

    KEYWORD = "keyword", "the person wrote a keyword"
    PROVIDER = "provider", "the provider blocks it for the person"
    API = "api", "the client"
    OPERATOR = "operator", "an operator"
