"""What a client may ask for, and what it is told: the wire form of a message.

Everything that can be known at accept time is refused here, with a code and a pointer; nothing is silently altered.
"""

import re
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dispatch import numbers, senders
from dispatch.models import Message
from dispatch.states import State
from dispatch.validation import MAX_BODY, InvalidBody, measure
from dispatch.vocabulary import Channel, Priority
from sendmsg import destinations
from sendmsg.api.paging import PageQuery
from sendmsg.api.serializers import StrictSerializer
from sendmsg.logs.models import Event

MAX_SCHEDULE = timedelta(days=30)  # how far ahead `send_at` may lie
CLOCK_SKEW = timedelta(minutes=5)  # how far in the past `send_at` may lie: the client's clock may be slow
MAX_VALIDITY = 604_800  # seconds, 7 days; the longest that SMS centres keep a message
MAX_PAIRS, MAX_KEY, MAX_VALUE = 20, 40, 500  # of metadata: pairs, characters of a key and of a value
MAX_REFERENCE = 100  # characters of a client's own id
MAX_SENDER = 20  # characters of a sender before it has its one form
PRIORITIES = {str(priority.label): priority for priority in Priority}

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class RFC3339Field(serializers.DateTimeField):
    """A date and time with its offset: one without would mean another moment to each side."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _RFC3339.fullmatch(value):
            raise serializers.ValidationError("Expected RFC 3339 with an offset: 2026-12-31T09:00:00Z.", "rfc3339")
        return super().to_internal_value(value)


def checked_url(value: str) -> str:
    """The URL itself; raises `ValidationError` for one that is not called."""
    try:
        destinations.check_url(value)
    except destinations.RefusedURL as refused:
        raise serializers.ValidationError(refused.detail, refused.code) from None
    return value


class NewMessage(StrictSerializer):
    """The body of `POST /v1/messages`."""

    to = serializers.CharField(help_text="E.164, with the leading +.", trim_whitespace=False)
    body = serializers.CharField(help_text="The text.", trim_whitespace=False, max_length=MAX_BODY)
    channel = serializers.ChoiceField(Channel.choices, default=Channel.SMS)
    priority = serializers.ChoiceField(sorted(PRIORITIES), default="normal")
    send_at = RFC3339Field(required=False, help_text="Not before this time; at most 30 days ahead.")
    valid_for = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_VALIDITY,
        help_text="Seconds that it may be tried, from `send_at`.",
    )
    client_reference = serializers.CharField(
        required=False, max_length=MAX_REFERENCE, trim_whitespace=False, help_text="Your own id; can be searched."
    )
    metadata = serializers.DictField(
        required=False,
        child=serializers.CharField(max_length=MAX_VALUE, allow_blank=True, trim_whitespace=False),
    )
    callback_url = serializers.CharField(
        required=False,
        trim_whitespace=False,
        help_text="Told of this message's states, beside the account's endpoints; https.",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        # `from` is a keyword of Python, so it can't be declared above.
        fields["from"] = serializers.CharField(
            required=False, max_length=MAX_SENDER, trim_whitespace=False, help_text="Sender; default: the account's."
        )
        return fields

    def validate_to(self, value: str) -> str:
        try:
            return numbers.normalise(value)
        except numbers.InvalidNumber as error:
            raise serializers.ValidationError(error.detail, error.code) from None

    def validate_send_at(self, value: datetime) -> datetime:
        now = timezone.now()
        if value < now - CLOCK_SKEW:
            raise serializers.ValidationError("This time has passed.", "send_at_past")
        if value > now + MAX_SCHEDULE:
            raise serializers.ValidationError("At most 30 days ahead.", "send_at_too_far")
        return value

    def validate_callback_url(self, value: str) -> str:
        return checked_url(value)

    def validate_metadata(self, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_PAIRS:
            raise serializers.ValidationError(f"At most {MAX_PAIRS} pairs.", "too_many_pairs")
        if any(not 0 < len(key) <= MAX_KEY for key in value):
            raise serializers.ValidationError(f"A key has 1 to {MAX_KEY} characters.", "key_length")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Adds `segments` and `encoding`; the rules that need two fields."""
        attrs["segments"], attrs["encoding"] = check_body(attrs["body"], attrs["channel"])
        check_from(attrs)
        return attrs


def check_body(body: str, channel: str) -> tuple[int, str]:
    """Segments and encoding. Raises DRF's ValidationError, which names the field."""
    try:
        return measure(body, channel)
    except InvalidBody as error:
        raise serializers.ValidationError({"body": serializers.ErrorDetail(error.detail, error.code)}) from None


def check_from(attrs: dict[str, Any]) -> None:
    """Puts the sender, if one is named, into its one form. Raises DRF's ValidationError, which names the field."""
    if "from" in attrs:
        try:
            attrs["from"] = senders.check_sender(attrs["from"], attrs["channel"])
        except senders.InvalidSender as error:
            raise serializers.ValidationError({"from": serializers.ErrorDetail(error.detail, error.code)}) from None


class MessageError(serializers.Serializer[Any]):
    """Why a message is where it is."""

    code = serializers.CharField()
    detail = serializers.CharField()


class MessageDocument(serializers.Serializer[Message]):
    """A message as clients see it."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(State.choices, source="state")
    channel = serializers.ChoiceField(Channel.choices)
    to = serializers.CharField()
    body = serializers.CharField()
    body_length = serializers.IntegerField(
        allow_null=True, help_text="Characters that it had, once only its beginning is kept. Null: it is whole."
    )
    segments = serializers.IntegerField()
    encoding = serializers.ChoiceField(["gsm7", "ucs2", "utf8"])
    priority = serializers.SerializerMethodField()
    provider = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    client_reference = serializers.SerializerMethodField()
    metadata = serializers.DictField(child=serializers.CharField())
    callback_url = serializers.CharField(allow_null=True)
    send_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {}
        for name, field in super().get_fields().items():
            if name == "body":  # after `to`, where a reader looks for it
                fields["from"] = serializers.CharField(source="sender", allow_null=True)
            fields[name] = field
        return fields

    def to_representation(self, instance: Message) -> dict[str, Any]:
        document: dict[str, Any] = super().to_representation(instance)
        document["from"] = document["from"] or None
        document["callback_url"] = document["callback_url"] or None
        return document

    @extend_schema_field(serializers.ChoiceField(sorted(PRIORITIES)))
    def get_priority(self, message: Message) -> str:
        return str(Priority(message.priority).label)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_provider(self, message: Message) -> str | None:
        return message.connection.provider if message.connection else None

    @extend_schema_field(MessageError(allow_null=True))
    def get_error(self, message: Message) -> dict[str, str] | None:
        return {"code": message.error_code, "detail": message.error_detail} if message.error_code else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_client_reference(self, message: Message) -> str | None:
        return message.client_reference or None


class MessageQuery(PageQuery):
    """The query parameters of `GET /v1/messages`."""

    status = serializers.ChoiceField(State.choices, required=False)
    to = serializers.CharField(required=False, max_length=20)
    client_reference = serializers.CharField(required=False, max_length=100)
    created_after = RFC3339Field(required=False)
    broadcast = serializers.UUIDField(required=False, help_text="The id of a broadcast.")

    def validate_to(self, value: str) -> str:
        return NewMessage().validate_to(value)


class EventDocument(serializers.ModelSerializer[Event]):
    """One line of a timeline."""

    class Meta:
        model = Event
        fields = ("type", "at", "data")


class EventList(serializers.Serializer[Any]):
    results = EventDocument(many=True)
