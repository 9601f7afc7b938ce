"""The wire form of endpoints and of what became of their callbacks."""

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dispatch.serializers import RFC3339Field, checked_url
from sendmsg.api.paging import PageQuery
from sendmsg.api.serializers import StrictSerializer
from sendmsg.sealing.fields import unreadable
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.signing import name_of
from webhooks.callbacks.vocabulary import (
    CHOICES,
    REPLAYABLE_STATES,
    SHOWN_STATES,
    CallbackState,
    Compression,
    DisabledReason,
    EndpointKind,
    Kind,
)


class EndpointFields(StrictSerializer):
    """What a client may choose about an endpoint."""

    url = serializers.CharField(trim_whitespace=False, help_text="https, port 443 or 8443, a public address.")
    event_types = serializers.ListField(
        child=serializers.ChoiceField(CHOICES),
        required=False,
        max_length=len(CHOICES),
        help_text="What it is told of, or families of it such as `message.*`. Empty: all.",
    )
    description = serializers.CharField(required=False, max_length=100, allow_blank=True, trim_whitespace=False)

    compression = serializers.ChoiceField(
        Compression.choices, required=False, help_text="`gzip`: bodies come with `Content-Encoding: gzip`."
    )

    def validate_url(self, value: str) -> str:
        return checked_url(value)

    def validate_event_types(self, value: list[str]) -> list[str]:
        return sorted(set(value))


class NewEndpoint(EndpointFields):
    """The body of `POST /v1/webhooks`."""


class EndpointChange(EndpointFields):
    """The body of `PATCH /v1/webhooks/{id}`: what is left out stays."""

    url = serializers.CharField(required=False, trim_whitespace=False, help_text="What waits goes there too.")
    enabled = serializers.BooleanField(
        required=False, help_text="true: call it again, and forget its failures. false: give up what waits."
    )


class EndpointDocument(serializers.Serializer[Endpoint]):
    """An endpoint as its owner sees it."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(
        EndpointKind.choices, help_text="`messages`: a host that messages named in `callback_url`."
    )
    url = serializers.CharField()
    event_types = serializers.ListField(child=serializers.CharField())
    description = serializers.CharField(allow_blank=True)
    compression = serializers.ChoiceField(Compression.choices)
    state = serializers.ChoiceField(SHOWN_STATES)
    disabled_reason = serializers.SerializerMethodField()
    disabled_at = serializers.DateTimeField(allow_null=True)
    failing_since = serializers.DateTimeField(allow_null=True, help_text="Nothing but failures since then.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(DisabledReason.choices, allow_null=True))
    def get_disabled_reason(self, endpoint: Endpoint) -> str | None:
        return endpoint.disabled_reason or None


class NewEndpointDocument(EndpointDocument):
    """A new endpoint, and its secret: shown here and never again."""

    secret = serializers.CharField(required=False, help_text="Missing in the answer to a repeated request.")


class SecretDocument(serializers.Serializer[Any]):
    """A new secret: shown here and never again."""

    secret = serializers.CharField(required=False, help_text="Missing in the answer to a repeated request.")


class LastAttempt(serializers.Serializer[Any]):
    """The last time that it was sent, and the answer."""

    at = serializers.DateTimeField()
    milliseconds = serializers.IntegerField()
    response_status = serializers.IntegerField(allow_null=True, help_text="null: no answer.")
    response_body = serializers.CharField(allow_blank=True, help_text="Its first 1,000 characters.")
    error = serializers.CharField(allow_null=True, help_text="Why it counts as a failure.")


class DeliveryDocument(serializers.Serializer[Callback]):
    """One callback: what is told, and how that goes."""

    id = serializers.UUIDField()
    webhook_id = serializers.SerializerMethodField(help_text="The header `webhook-id` of every try.")
    type = serializers.ChoiceField(Kind.choices)
    message_id = serializers.UUIDField(allow_null=True)
    state = serializers.ChoiceField(CallbackState.choices)
    attempts = serializers.IntegerField(help_text="Since it was made or replayed.")
    next_attempt_at = serializers.SerializerMethodField()
    last_attempt = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.CharField())
    def get_webhook_id(self, callback: Callback) -> str:
        return name_of(callback.event_id)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, callback: Callback) -> str | None:
        waits = callback.state == CallbackState.WAITING
        return serializers.DateTimeField().to_representation(callback.due_at) if waits else None

    @extend_schema_field(LastAttempt(allow_null=True))
    def get_last_attempt(self, callback: Callback) -> Any:
        if callback.attempted_at is None:
            return None
        return LastAttempt(
            {
                "at": callback.attempted_at,
                "milliseconds": callback.milliseconds,
                "response_status": callback.response_status,
                "response_body": callback.response_body,
                "error": callback.error_code or None,
            }
        ).data

    @extend_schema_field(serializers.DictField())
    def get_payload(self, callback: Callback) -> Any:
        return {} if unreadable(callback.body) else json.loads(callback.body)


class DeliveryQuery(PageQuery):
    """The query parameters of `GET /v1/webhooks/{id}/deliveries`."""

    state = serializers.ChoiceField(CallbackState.choices, required=False)
    message_id = serializers.UUIDField(required=False)
    created_after = RFC3339Field(required=False)


class ReplayRequest(StrictSerializer):
    """The body of `POST /v1/webhooks/{id}/replay`."""

    since = RFC3339Field(help_text="What was to be told since then.")
    state = serializers.ChoiceField(REPLAYABLE_STATES, default=CallbackState.FAILED.value)


class ReplayDocument(serializers.Serializer[Any]):
    """How much is sent again."""

    replayed = serializers.IntegerField()
    next_since = serializers.DateTimeField(allow_null=True, help_text="Ask again with this; null: that was all.")
