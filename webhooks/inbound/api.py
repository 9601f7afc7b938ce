"""The inbound messages API: a key sees what came to the numbers of its account, in its mode."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.serializers import RFC3339Field
from dispatch.vocabulary import Channel
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.paging import PageQuery, paginate
from sendmsg.api.permissions import requires
from sendmsg.api.schema import LIST, page_of, problems
from sendmsg.api.serializers import validated
from webhooks.inbound import reading
from webhooks.models import Inbound


class MediaDocument(serializers.Serializer[Any]):
    """Something that came with a message; to be fetched from the provider."""

    reference = serializers.CharField(help_text="A URL at the provider, or its id there.")
    content_type = serializers.CharField(help_text="Empty where the provider didn't say.")


class InboundDocument(serializers.Serializer[Inbound]):
    """A message from a person to one of the account's numbers."""

    id = serializers.UUIDField()
    channel = serializers.ChoiceField(Channel.choices)
    to = serializers.CharField(help_text="The account's number.")
    body = serializers.CharField()
    keyword = serializers.ChoiceField(
        Inbound.Keyword.choices, allow_null=True, help_text="What the whole text is; `near_stop`: look at it yourself."
    )
    media = MediaDocument(many=True)
    provider = serializers.SerializerMethodField()
    received_at = serializers.DateTimeField(help_text="When it came, says the provider.")
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {}
        for name, field in super().get_fields().items():
            if name == "to":  # `from` is a keyword of Python, so it can't be declared above
                fields["from"] = serializers.CharField(source="sender", help_text="Who wrote it: a number, or a name.")
            fields[name] = field
        return fields

    def to_representation(self, instance: Inbound) -> dict[str, Any]:
        document: dict[str, Any] = super().to_representation(instance)
        document["keyword"] = document["keyword"] or None
        return document

    @extend_schema_field(serializers.CharField())
    def get_provider(self, message: Inbound) -> str:
        return message.connection.provider


class InboundQuery(PageQuery):
    """The query parameters of `GET /v1/inbound`."""

    to = serializers.CharField(required=False, max_length=reading.MAX_NUMBER)
    created_after = RFC3339Field(required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        fields["from"] = serializers.CharField(required=False, max_length=reading.MAX_NUMBER)
        return fields


class InboundView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ)]

    @extend_schema(
        operation_id="list_inbound_messages",
        summary="List messages that people sent to the account's numbers, newest first",
        parameters=[InboundQuery],
        responses={200: page_of("InboundList", InboundDocument), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        asked = validated(InboundQuery(data=request.query_params))
        client = client_of(request)
        rows = Inbound.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)
        rows = rows.select_related("connection").defer("connection__credentials")
        columns = {"from": "sender", "to": "to"}
        rows = rows.filter(**{column: reading.phone(asked[name]) for name, column in columns.items() if name in asked})
        if "created_after" in asked:
            rows = rows.filter(created_at__gt=asked["created_after"])
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [InboundDocument(row).data for row in found]))
