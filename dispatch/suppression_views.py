"""The suppressions API: translates between HTTP and `dispatch.suppressions`. A key sees those of its account and mode.

A client may lift any of them, a person's own too: it answers for the consent that it has.
"""

from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import senders, suppressions
from dispatch.models import Suppression
from dispatch.serializers import NewMessage
from dispatch.vocabulary import Channel, SuppressionReason
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import PageQuery, paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.schema import BODY, IDEMPOTENCY, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, LIST, page_of, problems
from sendmsg.api.serializers import StrictSerializer, validated

logger = structlog.stdlib.get_logger(__name__)

_Fields = dict[str, serializers.Field[Any, Any, Any, Any]]


class SuppressionDocument(serializers.Serializer[Suppression]):
    """Somebody whom the account sends nothing."""

    id = serializers.UUIDField()
    recipient = serializers.CharField()
    channel = serializers.ChoiceField(Channel.choices, allow_null=True, help_text="null: by any.")
    reason = serializers.ChoiceField(SuppressionReason.choices)
    detail = serializers.CharField(help_text="The keyword, the provider's code, or your note.")
    created_at = serializers.DateTimeField()

    def get_fields(self) -> _Fields:
        fields: _Fields = {}
        for name, field in super().get_fields().items():
            if name == "channel":  # `from` is a keyword of Python, so it can't be declared above
                fields["from"] = serializers.CharField(source="sender", allow_null=True, help_text="null: from any.")
            fields[name] = field
        return fields

    def to_representation(self, instance: Suppression) -> dict[str, Any]:
        document: dict[str, Any] = super().to_representation(instance)
        return document | {name: document[name] or None for name in ("from", "channel")}


class NewSuppression(StrictSerializer):
    """The body of `POST /v1/suppressions`."""

    recipient = serializers.CharField(help_text="E.164, with the leading +.", trim_whitespace=False)
    channel = serializers.ChoiceField(Channel.choices, required=False, help_text="Default: all.")
    detail = serializers.CharField(required=False, max_length=100, help_text="A note of your own.")

    def get_fields(self) -> _Fields:
        fields = super().get_fields()
        fields["from"] = serializers.CharField(
            required=False, max_length=20, trim_whitespace=False, help_text="From this sender only; default: from any."
        )
        return fields

    def validate_recipient(self, value: str) -> str:
        return NewMessage().validate_to(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs:
            try:
                attrs["from"] = senders.check_sender(attrs["from"], attrs.get("channel", Channel.SMS))
            except senders.InvalidSender as error:
                raise serializers.ValidationError({"from": serializers.ErrorDetail(error.detail, error.code)}) from None
        return attrs


class SuppressionQuery(PageQuery):
    """The query parameters of `GET /v1/suppressions`."""

    recipient = serializers.CharField(required=False, max_length=20)
    reason = serializers.ChoiceField(SuppressionReason.choices, required=False)

    def validate_recipient(self, value: str) -> str:
        return NewMessage().validate_to(value)


def visible(request: Request) -> QuerySet[Suppression]:
    client = client_of(request)
    return Suppression.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)


class SuppressionsView(APIView):
    permission_classes = [requires(Scope.SUPPRESSIONS_READ, POST=Scope.SUPPRESSIONS_WRITE)]

    @extend_schema(
        operation_id="list_suppressions",
        summary="List recipients who don't want messages, newest first",
        parameters=[SuppressionQuery],
        responses={200: page_of("SuppressionList", SuppressionDocument), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        asked = validated(SuppressionQuery(data=request.query_params))
        rows = visible(request).filter(**{name: asked[name] for name in ("recipient", "reason") if name in asked})
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [SuppressionDocument(row).data for row in found]))

    @extend_schema(
        operation_id="add_suppression",
        summary="Send a recipient nothing any more",
        description="One that is there already is the answer, with 200, and stays as it is.",
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED],
        request=NewSuppression,
        responses={200: SuppressionDocument, 201: SuppressionDocument, **problems(*BODY, *IDEMPOTENCY)},
    )
    def post(self, request: Request) -> Response:
        def handle() -> Response:
            values = validated(NewSuppression(data=request.data))
            client = client_of(request)
            scope = {
                "account_id": client.account_id,
                "test": client.mode is Mode.TEST,
                "recipient": values["recipient"],
                "sender": values.get("from", ""),
                "channel": values.get("channel", ""),
            }
            added = Suppression(**scope, reason=SuppressionReason.API, detail=values.get("detail", ""))
            created = bool(suppressions.add([added]))
            document = SuppressionDocument(Suppression.objects.get(**scope)).data
            location = reverse("suppression", args=[document["id"]])
            return Response(document, 201 if created else 200, headers={"Location": location})

        return run_once(request, handle)


class SuppressionView(APIView):
    permission_classes = [requires(Scope.SUPPRESSIONS_READ, DELETE=Scope.SUPPRESSIONS_WRITE)]

    @extend_schema(
        operation_id="get_suppression",
        summary="Get a suppression",
        responses={200: SuppressionDocument, **problems("not_found")},
    )
    def get(self, request: Request, suppression_id: UUID) -> Response:
        row = visible(request).filter(pk=suppression_id).first()
        if row is None:
            raise Problem("not_found")
        return Response(SuppressionDocument(row).data)

    @extend_schema(
        operation_id="lift_suppression",
        summary="Let a recipient have messages again",
        request=None,
        responses={204: None, **problems("not_found")},
    )
    def delete(self, request: Request, suppression_id: UUID) -> Response:
        with transaction.atomic():
            lifted = suppressions.lift(visible(request).filter(pk=suppression_id))
        if not lifted:
            raise Problem("not_found")
        logger.info("suppression lifted", suppression_id=suppression_id, key_id=client_of(request).key_id)
        return Response(status=204)
