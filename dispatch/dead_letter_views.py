"""The dead letters API: translates between HTTP and `dispatch.replays`. A key sees those of its account and mode.

Which connection a replay leaves by is for routing or an operator; a client only says that it shall be tried again.
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import replays
from dispatch.models import Connection, DeadLetter
from dispatch.providers.registry import PROVIDERS
from dispatch.replays import Result
from dispatch.serializers import RFC3339Field
from dispatch.vocabulary import LetterState
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.models import ApiKey
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import PageQuery, paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.schema import BODY, IDEMPOTENCY, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, LIST, page_of, problems
from sendmsg.api.serializers import StrictSerializer, validated


class DeadLetterDocument(serializers.Serializer[DeadLetter]):
    """A dead letter as clients see it: who handled it and why is the operators' own."""

    id = serializers.UUIDField()
    message_id = serializers.UUIDField(help_text="The message that could not be sent.")
    reason = serializers.CharField(help_text="The code of the last error, or the message's state.")
    detail = serializers.CharField()
    state = serializers.ChoiceField(LetterState.choices)
    provider = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    handled_at = serializers.DateTimeField(allow_null=True, help_text="When it was replayed or discarded.")

    @extend_schema_field(serializers.CharField(allow_null=True, help_text="The last that was tried."))
    def get_provider(self, letter: DeadLetter) -> str | None:
        return letter.connection.provider if letter.connection else None


class DeadLetterQuery(PageQuery):
    """The query parameters of `GET /v1/dead-letters`."""

    reason = serializers.CharField(required=False, max_length=60)
    state = serializers.ChoiceField(LetterState.choices, required=False)
    provider = serializers.ChoiceField(sorted(PROVIDERS), required=False)
    created_after = RFC3339Field(required=False)
    created_before = RFC3339Field(required=False)

    def filters(self) -> dict[str, Any]:
        """The lookups of what was asked."""
        columns = {
            "reason": "reason",
            "state": "state",
            "created_after": "created_at__gt",
            "created_before": "created_at__lt",
        }
        asked: dict[str, Any] = self.validated_data
        found = {lookup: asked[name] for name, lookup in columns.items() if name in asked}
        if "provider" in asked:
            ids = Connection.objects.filter(provider=asked["provider"]).values_list("id", flat=True)
            found["connection_id__in"] = list(ids)
        return found


class ReplayWish(StrictSerializer):
    """The body of `POST /v1/dead-letters/{id}/replay`; it may be left out."""

    even_if_sent = serializers.BooleanField(
        default=False, help_text="Also if an earlier try may have sent the message: it may arrive twice."
    )


def visible(request: Request) -> QuerySet[DeadLetter]:
    client = client_of(request)
    rows = DeadLetter.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)
    return rows.select_related("connection").defer("connection__credentials")


def find(request: Request, letter_id: UUID) -> DeadLetter:
    letter = visible(request).filter(pk=letter_id).first()
    if letter is None:
        raise Problem("not_found")
    return letter


class DeadLettersView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ)]

    @extend_schema(
        operation_id="list_dead_letters",
        summary="List dead letters, newest first",
        parameters=[DeadLetterQuery],
        responses={200: page_of("DeadLetterList", DeadLetterDocument), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        query = DeadLetterQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked: dict[str, Any] = query.validated_data
        rows = visible(request).filter(**query.filters())
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [DeadLetterDocument(row).data for row in found]))


class ReplayView(APIView):
    permission_classes = [requires(Scope.MESSAGES_WRITE)]

    @extend_schema(
        operation_id="replay_dead_letter",
        summary="Try a dead letter's message again, with a new deadline",
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED],
        request=ReplayWish,
        responses={
            200: DeadLetterDocument,
            **problems(*BODY, *IDEMPOTENCY, "not_found", "dead_letter_handled", "message_not_replayable"),
        },
    )
    def post(self, request: Request, letter_id: UUID) -> Response:
        def handle() -> Response:
            wish = validated(ReplayWish(data=request.data))
            letter = find(request, letter_id)
            even_if_sent: bool = wish["even_if_sent"]
            result = replays.replay([letter.id], by=_name_of(request), even_if_sent=even_if_sent)[letter.id]
            if result is Result.HANDLED:
                raise Problem("dead_letter_handled")
            if result is not Result.DONE:
                more = ' {"even_if_sent": true} tries it all the same.' if result is Result.IN_DOUBT else ""
                raise Problem("message_not_replayable", f"The message can't be tried again: {result.label}.{more}")
            return Response(DeadLetterDocument(find(request, letter_id)).data)

        return run_once(request, handle)


def _name_of(request: Request) -> str:
    return f"api:{ApiKey.objects.values_list('prefix', flat=True).get(pk=client_of(request).key_id)}"
