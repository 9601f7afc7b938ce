"""The wire form of a broadcast: what a client may ask for, and what it is told."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from dispatch.bulk.batch_serializers import Unjudged
from dispatch.bulk.broadcasts import MAX_RECIPIENTS, counts
from dispatch.bulk.texts import InvalidText, Text
from dispatch.models import Broadcast
from dispatch.serializers import PRIORITIES, NewMessage, check_from
from dispatch.states import State
from dispatch.validation import InvalidBody
from dispatch.vocabulary import BroadcastState, Channel, Priority
from sendmsg.api.paging import PageQuery

MAX_NAME: Final = 100  # characters


class BroadcastFields(NewMessage):
    """A broadcast without its recipients: the first line of a stream."""

    to = None  # type: ignore[assignment]  # DRF's way to do without a parent's field
    client_reference = None  # type: ignore[assignment]
    metadata = None  # type: ignore[assignment]
    callback_url = None  # type: ignore[assignment]
    priority = serializers.ChoiceField(sorted(PRIORITIES), default="bulk")
    name = serializers.CharField(
        required=False, max_length=MAX_NAME, trim_whitespace=False, help_text="For people: it is shown in the admin."
    )
    all_or_nothing = serializers.BooleanField(
        default=False, help_text="Accept nothing unless every recipient can be accepted."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The rules that need two fields; what a text measures is known where it has no placeholders."""
        try:
            Text(attrs["body"], attrs["channel"])
        except InvalidText as error:
            raise serializers.ValidationError(
                {"body": serializers.ErrorDetail(str(error), "placeholder_invalid")}
            ) from None
        except InvalidBody as error:
            raise serializers.ValidationError({"body": serializers.ErrorDetail(error.detail, error.code)}) from None
        check_from(attrs)
        return attrs


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "description": "E.164, with the leading +."},
            {
                "type": "object",
                "properties": {
                    "to": {"type": "string"},
                    "values": {"type": "object", "additionalProperties": {"type": "string"}},
                    "client_reference": {"type": "string", "maxLength": 100},
                },
                "required": ["to"],
                "additionalProperties": False,
            },
        ]
    }
)
class RecipientField(serializers.JSONField):
    """A number, or an object with what the text says to it."""


class NewBroadcast(BroadcastFields):
    """The body of `POST /v1/broadcasts` as JSON."""

    recipients = Unjudged(
        child=RecipientField(), max_length=MAX_RECIPIENTS, help_text=f"At most {MAX_RECIPIENTS:,} numbers or objects."
    )


class Rejection(serializers.Serializer[Any]):
    """Why one recipient was not accepted."""

    line = serializers.IntegerField(help_text="Of the stream; of `recipients` its place, from 1.")
    field = serializers.CharField(help_text="Also a placeholder's name; empty: the whole entry.")
    code = serializers.CharField()
    detail = serializers.CharField()


class BroadcastSummary(serializers.Serializer[Broadcast]):
    """A broadcast as lists show it."""

    id = serializers.UUIDField()
    name = serializers.SerializerMethodField()
    status = serializers.ChoiceField(BroadcastState.choices, source="state")
    channel = serializers.ChoiceField(Channel.choices)
    body = serializers.CharField()
    priority = serializers.SerializerMethodField()
    recipients = serializers.IntegerField(help_text="Messages made.")
    duplicates = serializers.IntegerField(help_text="Recipients that were in the list before.")
    rejected = serializers.IntegerField(help_text="Recipients that could not be accepted.")
    segments = serializers.IntegerField(help_text="Of all messages.")
    send_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(
        allow_null=True, help_text="When nothing of it waited or was under way any more; receipts may come later."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {}
        for name, field in super().get_fields().items():
            if name == "body":  # after `channel`, as in a message
                fields["from"] = serializers.CharField(source="sender", allow_null=True)
            fields[name] = field
        return fields

    def to_representation(self, instance: Broadcast) -> dict[str, Any]:
        document: dict[str, Any] = super().to_representation(instance)
        document["from"] = document["from"] or None
        return document

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_name(self, broadcast: Broadcast) -> str | None:
        return broadcast.name or None

    @extend_schema_field(serializers.ChoiceField(sorted(PRIORITIES)))
    def get_priority(self, broadcast: Broadcast) -> str:
        return str(Priority(broadcast.priority).label)


class BroadcastDocument(BroadcastSummary):
    """A broadcast with what became of its messages and its list."""

    counts = serializers.SerializerMethodField(help_text="Messages by status; those that have none are left out.")
    rejections = Rejection(many=True, help_text="The first 100.")

    @extend_schema_field(
        {
            "type": "object",
            "properties": {state: {"type": "integer"} for state in State.values},
            "additionalProperties": False,
        }
    )
    def get_counts(self, broadcast: Broadcast) -> dict[str, int]:
        return counts(broadcast.id)


class BroadcastQuery(PageQuery):
    """The query parameters of `GET /v1/broadcasts`."""

    status = serializers.ChoiceField(BroadcastState.choices, required=False)
