"""The words of callbacks: what an endpoint may hear of, and the states of endpoints and callbacks."""

from collections.abc import Collection

from django.db.models import TextChoices


class Kind(TextChoices):
    """What can be told. An endpoint names those it wants, or a family (`message.*`), or none: then it gets all."""

    MESSAGE_SENT = "message.sent", "The provider took the message."
    MESSAGE_DELIVERED = "message.delivered", "The provider says that it arrived."
    MESSAGE_UNDELIVERED = "message.undelivered", "The provider says that it did not arrive."
    MESSAGE_FAILED = "message.failed", "It was refused for good."
    MESSAGE_EXPIRED = "message.expired", "Its time ran out before a provider took it."
    MESSAGE_UNKNOWN = "message.unknown", "It may have been sent, and nobody can say."
    MESSAGE_CANCELED = "message.canceled", "It was taken back before it left."
    MESSAGE_RECEIVED = "message.received", "Somebody wrote to one of the account's numbers."
    BROADCAST_FINISHED = "broadcast.finished", "Nothing of a broadcast waits or is under way any more."
    SUPPRESSION_CREATED = "suppression.created", "A recipient does not want messages any more."
    SUPPRESSION_DELETED = "suppression.deleted", "A recipient may get messages again."
    ENDPOINT_DISABLED = "endpoint.disabled", "Another endpoint of the account is not called any more."
    WEBHOOK_TEST = "webhook.test", "Asked for by `POST /v1/webhooks/{id}/test`; sent whatever was chosen."


FAMILIES = tuple(sorted({f"{kind.value.partition('.')[0]}.*" for kind in Kind if kind is not Kind.WEBHOOK_TEST}))
CHOICES = (*(kind.value for kind in Kind if kind is not Kind.WEBHOOK_TEST), *FAMILIES)


def wants(chosen: Collection[str], kind: str) -> bool:
    """Whether an endpoint that chose these is told of `kind`."""
    return not chosen or kind in chosen or f"{kind.partition('.')[0]}.*" in chosen


class EndpointKind(TextChoices):
    DECLARED = "declared", "declared"  # added by the client; hears of what it chose
    MESSAGES = "messages", "messages"  # one host that messages named in `callback_url`; made with the first of them


class EndpointState(TextChoices):
    ENABLED = "enabled", "enabled"
    DISABLED = "disabled", "disabled"  # not called, and nothing is kept for it, until the client enables it again
    DELETED = "deleted", "deleted"  # gone for the client; its rows are deleted bit by bit


class Compression(TextChoices):
    """How an endpoint wants what it is sent; nothing that a client sends says so by itself."""

    NONE = "none", "as it is"
    GZIP = "gzip", "by gzip, where that makes it shorter"


class DisabledReason(TextChoices):
    GONE = "gone", "It answered 410."
    FAILING = "failing", "Every call has failed for five days."
    CLIENT = "client", "The client disabled it."
    OPERATOR = "operator", "An operator disabled it."


class CallbackState(TextChoices):
    WAITING = "waiting", "waiting"  # due at `due_at`: new, to be tried again, or being sent under a lease
    DELIVERED = "delivered", "delivered"  # the endpoint answered 2xx
    FAILED = "failed", "failed"  # no try is left, or its endpoint was disabled


SHOWN_STATES = [(state.value, state.label) for state in EndpointState if state is not EndpointState.DELETED]
REPLAYABLE_STATES = [(state.value, state.label) for state in (CallbackState.FAILED, CallbackState.DELIVERED)]
