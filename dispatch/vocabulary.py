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


class AttemptOutcome(TextChoices):
    """How one try at a provider ended; an attempt without one is still under way."""

    ACCEPTED = "accepted", "accepted"  # the provider took it
    REJECTED = "rejected", "rejected"  # the provider refused it for good
    RETRY = "retry", "retry"  # the provider asked for it later
    UNAVAILABLE = "unavailable", "unavailable"  # the provider could not be reached, nothing was sent
    UNKNOWN = "unknown", "unknown"  # it may or may not have been taken
    NOT_SENT = "not_sent", "not sent"  # we gave up before the call


class LetterState(TextChoices):
    """Whether somebody has seen to a dead letter; it leaves `open` once, and for good."""

    OPEN = "open", "open"
    REPLAYED = "replayed", "replayed"  # its message was queued again; should that fail too, it leaves a new letter
    DISCARDED = "discarded", "discarded"  # nothing shall come of it


class ReceiptStatus(TextChoices):
    """What a provider reports of a message that it took."""

    SENT = "sent", "sent"  # on its way
    DELIVERED = "delivered", "delivered"
    UNDELIVERED = "undelivered", "undelivered"
    UNKNOWN = "unknown", "unknown"  # a word that we have no meaning for
