"""The messages API: translates between HTTP and `dispatch.acceptance`, nothing more.

A key sees the messages of its account and mode; anybody else's is a 404.
"""

from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError
from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import acceptance
from dispatch.models import Message
from dispatch.previews import DryRunQuery, PreviewDocument
from dispatch.serializers import EventDocument, EventList, MessageDocument, MessageQuery, NewMessage
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import paginate
from sendmsg.api.permissions import requires
from sendmsg.api.problems import Problem
from sendmsg.api.schema import (
    BODY,
    IDEMPOTENCY,
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_REPLAYED,
    LIST,
    page_of,
    problems,
)
from sendmsg.api.serializers import validated
from sendmsg.logs.models import Event

CLOCKS = timedelta(hours=1)  # how far our clock and the database's may be apart; spares looking at older partitions
MAX_EVENTS = 1000  # lines of one timeline; a day of retries makes about three hundred


def visible(request: Request) -> QuerySet[Message]:
    client = client_of(request)
    return Message.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)


def find(request: Request, message_id: UUID) -> Message:
    message = visible(request).select_related("connection").filter(pk=message_id).first()
    if message is None:
        raise Problem("not_found")
    return message


class MessagesView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ, POST=Scope.MESSAGES_WRITE)]

    @extend_schema(
        operation_id="send_message",
        summary="Send a message",
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, DryRunQuery],
        request=NewMessage,
        responses={200: PreviewDocument, 202: MessageDocument, **problems(*BODY, *IDEMPOTENCY)},
    )
    def post(self, request: Request) -> Response:
        if validated(DryRunQuery(data=request.query_params))["dry_run"] == "true":
            return self._preview(request)

        def handle() -> Response:
            message = acceptance.accept(client_of(request), validated(NewMessage(data=request.data)))
            location = reverse("message", args=[message.id])
            return Response(MessageDocument(message).data, 202, headers={"Location": location})

        return run_once(request, handle)

    def _preview(self, request: Request) -> Response:
        wanted = validated(NewMessage(data=request.data))
        found = acceptance.preview(client_of(request), wanted)
        parts = {name: wanted[name] for name in ("segments", "encoding")}
        return Response(PreviewDocument({**found.to_json(), **parts}).data)

    @extend_schema(
        operation_id="list_messages",
        summary="List messages, newest first",
        parameters=[MessageQuery],
        responses={200: page_of("MessageList", MessageDocument), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        asked = validated(MessageQuery(data=request.query_params))
        rows = visible(request).select_related("connection")
        filters = {"status": "state", "to": "to", "client_reference": "client_reference", "broadcast": "broadcast_id"}
        rows = rows.filter(**{column: asked[name] for name, column in filters.items() if name in asked})
        if "created_after" in asked:
            rows = rows.filter(created_at__gt=asked["created_after"])
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [MessageDocument(row).data for row in found]))


class MessageView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ)]

    @extend_schema(
        operation_id="get_message",
        summary="Get a message",
        responses={200: MessageDocument, **problems("not_found")},
    )
    def get(self, request: Request, message_id: UUID) -> Response:
        return Response(MessageDocument(find(request, message_id)).data)


class EventsView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ)]

    @extend_schema(
        operation_id="get_message_events",
        summary="Get a message's timeline, oldest first",
        responses={200: EventList, **problems("not_found", "logs_unavailable")},
    )
    def get(self, request: Request, message_id: UUID) -> Response:
        message = find(request, message_id)
        try:
            events = list(Event.objects.filter(message_id=message.id, at__gte=message.created_at - CLOCKS)[:MAX_EVENTS])
        except DatabaseError:
            raise Problem("logs_unavailable", headers={"Retry-After": "5"}) from None
        return Response({"results": EventDocument(events, many=True).data})


class CancelView(APIView):
    permission_classes = [requires(Scope.MESSAGES_WRITE)]

    @extend_schema(
        operation_id="cancel_message",
        summary="Take a message back before it leaves",
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED],
        request=None,
        responses={200: MessageDocument, **problems(*IDEMPOTENCY, "not_found", "message_not_cancelable")},
    )
    def post(self, request: Request, message_id: UUID) -> Response:
        def handle() -> Response:
            if not acceptance.cancel(find(request, message_id)):
                raise Problem("message_not_cancelable")
            return Response(MessageDocument(find(request, message_id)).data)

        return run_once(request, handle)
