"""The broadcasts API: translates between HTTP and `dispatch.bulk.broadcasts`. A key sees those of its account and mode.

A list comes as JSON, or as a stream of NDJSON or CSV whose first line is the broadcast itself, a JSON object: in the
address a text would be cut off by some proxies and logged by most.
"""

from collections.abc import Iterator
from contextlib import closing, nullcontext
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch.bulk import broadcasts, lists
from dispatch.bulk.broadcast_serializers import (
    BroadcastDocument,
    BroadcastFields,
    BroadcastQuery,
    BroadcastSummary,
    NewBroadcast,
)
from dispatch.bulk.lists import Entry, Fault
from dispatch.models import Broadcast
from sendmsg.accounts.keys import Mode
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.paging import paginate
from sendmsg.api.parsing import StrictJSONParser, loads
from sendmsg.api.permissions import requires
from sendmsg.api.problems import FieldError, Problem, pointer
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
from sendmsg.api.streaming import StreamedBody, StreamParser


class ListParser(StrictJSONParser):
    max_bytes = 8_388_608  # 80 bytes a recipient; parsed it takes some ten times as much memory


class NDJSONParser(StreamParser):
    media_type = "application/x-ndjson"
    max_bytes = 67_108_864  # 670 bytes a recipient


class CSVParser(StreamParser):
    media_type = "text/csv"
    max_bytes = 67_108_864


def visible(request: Request) -> QuerySet[Broadcast]:
    client = client_of(request)
    return Broadcast.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)


def find(request: Request, broadcast_id: UUID) -> Broadcast:
    broadcast = visible(request).filter(pk=broadcast_id).first()
    if broadcast is None:
        raise Problem("not_found")
    return broadcast


class BroadcastsView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ, POST=Scope.MESSAGES_WRITE)]
    parser_classes = [ListParser, NDJSONParser, CSVParser]

    @extend_schema(
        operation_id="send_broadcast",
        summary="Send one text to up to 100,000 recipients",
        description=(
            "As a stream, the first line is a JSON object with all fields but `recipients`. Then follow, as NDJSON, "
            "the recipients, one a line; as CSV, a header that names `to`, perhaps `client_reference`, and "
            "placeholders, and a row for each recipient."
        ),
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED],
        request={
            "application/json": NewBroadcast,
            NDJSONParser.media_type: OpenApiTypes.STR,
            CSVParser.media_type: OpenApiTypes.STR,
        },
        responses={202: BroadcastDocument, **problems(*BODY, *IDEMPOTENCY, "upload_invalid", "broadcast_rejected")},
    )
    def post(self, request: Request) -> Response:
        body = request.data

        def handle() -> Response:
            if isinstance(body, StreamedBody):
                wanted, entries = _streamed(body)
            else:
                wanted = validated(NewBroadcast(data=body))
                entries = lists.from_json(wanted["recipients"])
            try:
                broadcast = broadcasts.create(client_of(request), wanted, entries)
            except broadcasts.Refused as refused:
                raise _problem(refused, "lines" if isinstance(body, StreamedBody) else "recipients") from None
            location = reverse("broadcast", args=[broadcast.id])
            return Response(BroadcastDocument(broadcast).data, 202, headers={"Location": location})

        with closing(body.file) if isinstance(body, StreamedBody) else nullcontext():
            return run_once(request, handle)

    @extend_schema(
        operation_id="list_broadcasts",
        summary="List broadcasts, newest first",
        parameters=[BroadcastQuery],
        responses={200: page_of("BroadcastList", BroadcastSummary), **problems(*LIST)},
    )
    def get(self, request: Request) -> Response:
        asked = validated(BroadcastQuery(data=request.query_params))
        rows = visible(request)
        if "status" in asked:
            rows = rows.filter(state=asked["status"])
        page = paginate(rows, cursor=asked.get("cursor"), limit=asked["limit"])
        return Response(page.document(lambda found: [BroadcastSummary(row).data for row in found]))


class BroadcastView(APIView):
    permission_classes = [requires(Scope.MESSAGES_READ)]

    @extend_schema(
        operation_id="get_broadcast",
        summary="Get a broadcast, and how many of its messages are where",
        responses={200: BroadcastDocument, **problems("not_found")},
    )
    def get(self, request: Request, broadcast_id: UUID) -> Response:
        return Response(BroadcastDocument(find(request, broadcast_id)).data)


class _MoveView(APIView):
    """What pausing, resuming and canceling have in common. `what`: a key of `broadcasts.MOVES`."""

    permission_classes = [requires(Scope.MESSAGES_WRITE)]
    what: str

    def post(self, request: Request, broadcast_id: UUID) -> Response:
        def handle() -> Response:
            if not broadcasts.move(find(request, broadcast_id).id, self.what):
                raise Problem("broadcast_over")
            return Response(BroadcastDocument(find(request, broadcast_id)).data)

        return run_once(request, handle)


def _documented(operation: str, summary: str) -> Any:
    responses: dict[Any, Any] = {200: BroadcastDocument, **problems(*IDEMPOTENCY, "not_found", "broadcast_over")}
    parameters = [IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED]
    return extend_schema_view(
        post=extend_schema(
            operation_id=operation, summary=summary, parameters=parameters, request=None, responses=responses
        )
    )


@_documented("pause_broadcast", "Hold what has not left yet")
class PauseView(_MoveView):
    what = "pause"


@_documented("resume_broadcast", "Let a paused broadcast go on")
class ResumeView(_MoveView):
    what = "resume"


@_documented("cancel_broadcast", "Take back what has not left yet")
class CancelBroadcastView(_MoveView):
    what = "cancel"


def _streamed(body: StreamedBody) -> tuple[dict[str, Any], Iterator[Entry | Fault]]:
    """The broadcast of the first line, and the recipients of the others."""
    lines = lists.lines(body.file)
    number, first = next(lines, (1, ""))
    if not first.lstrip().startswith("{"):
        raise Problem("upload_invalid", f"Line {number} must be the broadcast itself, a JSON object with its `body`.")
    wanted = validated(BroadcastFields(data=loads(first.encode())))
    read = lists.from_csv if body.media_type == CSVParser.media_type else lists.from_ndjson
    return wanted, read(lines)


def _problem(refused: broadcasts.Refused, where: str) -> Problem:
    """By pointers into the JSON, or to the lines of the stream."""
    tally = refused.tally
    errors = [FieldError(_pointer(fault, where), fault.code, fault.detail) for fault in tally.faults]
    detail = f"{tally.rejected} of {tally.rejected + tally.recipients} recipients can't be accepted, so none was."
    return Problem("broadcast_rejected", detail, errors=errors)


def _pointer(fault: Fault, where: str) -> str:
    if where == "lines":
        return pointer(where, fault.line, *filter(None, [fault.field]))
    if fault.field in ("", "body", "from", "channel"):  # what would have been sent to this one
        return pointer(where, fault.line - 1)
    own = fault.field in lists.OWN or fault.code == "unknown_field"
    return pointer(where, fault.line - 1, *([] if own else ["values"]), fault.field)
