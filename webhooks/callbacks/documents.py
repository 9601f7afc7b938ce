"""Callbacks in the OpenAPI document: its section `webhooks`, which `SPECTACULAR_SETTINGS` puts together from here.

How a receiver verifies and answers them is in docs/callbacks.md.
"""

from typing import Any, Final

from drf_spectacular.utils import OpenApiResponse, OpenApiWebhook, extend_schema
from rest_framework import serializers

from dispatch.serializers import MessageError
from dispatch.states import ANNOUNCED
from dispatch.vocabulary import BroadcastState, Channel, SuppressionReason
from webhooks.callbacks.vocabulary import DisabledReason, Kind

ANSWERS: Final = {
    "2XX": OpenApiResponse(description="Taken. The body is not looked at."),
    "410": OpenApiResponse(description="Never call this endpoint again: it is disabled."),
    "default": OpenApiResponse(description="Not taken: it is sent again, after `Retry-After` if there is one."),
}
HEADERS: Final = (
    "Signed by the Standard Webhooks spec: `webhook-id` (the same for every try), `webhook-timestamp` and "
    "`webhook-signature`. It may come twice, and in any order."
)


class MessageData(serializers.Serializer[Any]):
    """A message, and the state that it came to."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(sorted(state.value for state in ANNOUNCED))
    sequence = serializers.IntegerField(help_text="Counts what is told of this message, from 1: the highest is last.")
    provider = serializers.CharField(allow_null=True)
    error = MessageError(allow_null=True)
    channel = serializers.ChoiceField(Channel.choices)
    to = serializers.CharField()
    segments = serializers.IntegerField()
    client_reference = serializers.CharField(allow_null=True)
    metadata = serializers.DictField(child=serializers.CharField())
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.CharField(allow_null=True)}


class EndpointData(serializers.Serializer[Any]):
    """An endpoint that is not called any more, and why."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    reason = serializers.ChoiceField(DisabledReason.choices)


class BroadcastData(serializers.Serializer[Any]):
    """A broadcast of which nothing waits or is under way any more; receipts may still come."""

    id = serializers.UUIDField()
    name = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField([BroadcastState.FINISHED.value, BroadcastState.CANCELED.value])


class MediaData(serializers.Serializer[Any]):
    """Something that came with a message; to be fetched from the provider."""

    reference = serializers.CharField()
    content_type = serializers.CharField(allow_blank=True)


class ReceivedData(serializers.Serializer[Any]):
    """A message from a person to one of the account's numbers."""

    id = serializers.UUIDField()
    channel = serializers.ChoiceField(Channel.choices)
    to = serializers.CharField()
    body = serializers.CharField(allow_blank=True)
    keyword = serializers.CharField(allow_null=True, help_text="What the whole text is: STOP, START, HELP.")
    media = MediaData(many=True)
    received_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.CharField()}


class SuppressionData(serializers.Serializer[Any]):
    """Somebody whom the account sends nothing, or did not until now."""

    id = serializers.UUIDField()
    recipient = serializers.CharField()
    channel = serializers.ChoiceField(Channel.choices, allow_null=True, help_text="null: by any.")
    reason = serializers.ChoiceField(SuppressionReason.choices)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {**super().get_fields(), "from": serializers.CharField(allow_null=True, help_text="null: from any.")}


class IdData(serializers.Serializer[Any]):
    """The endpoint that was asked for."""

    id = serializers.UUIDField()


def _webhook(name: str, about: str, data: type[serializers.Serializer[Any]], *kinds: Kind) -> OpenApiWebhook:
    envelope = type(
        f"{name}Payload",
        (serializers.Serializer,),
        {
            "__doc__": about,
            "type": serializers.ChoiceField([(kind.value, kind.label) for kind in kinds]),
            "timestamp": serializers.DateTimeField(help_text="When it happened."),
            "data": data(),
        },
    )
    return OpenApiWebhook(name, extend_schema(summary=about, description=HEADERS, request=envelope, responses=ANSWERS))


MESSAGE_STATE = _webhook(
    "MessageState",
    "A message came to a new state.",
    MessageData,
    *(Kind(f"message.{state}") for state in sorted(ANNOUNCED)),
)
MESSAGE_RECEIVED = _webhook("MessageReceived", "Somebody wrote.", ReceivedData, Kind.MESSAGE_RECEIVED)
BROADCAST_FINISHED = _webhook("BroadcastFinished", "A broadcast is over.", BroadcastData, Kind.BROADCAST_FINISHED)
SUPPRESSION_CHANGED = _webhook(
    "SuppressionChanged",
    "Somebody opted out or in.",
    SuppressionData,
    Kind.SUPPRESSION_CREATED,
    Kind.SUPPRESSION_DELETED,
)
ENDPOINT_DISABLED = _webhook("EndpointDisabled", "Another endpoint was disabled.", EndpointData, Kind.ENDPOINT_DISABLED)
WEBHOOK_TEST = _webhook("WebhookTest", "You asked for it.", IdData, Kind.WEBHOOK_TEST)
