"""The batch API: up to a thousand different messages in one request, judged one by one by the rules of one message."""

from dataclasses import asdict, replace
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from dispatch import plain, suitability, suppressions
from dispatch.bulk import copying
from dispatch.bulk.batch_serializers import BatchDocument, NewBatch
from dispatch.serializers import NewMessage
from dispatch.suitability import OPTED_OUT
from dispatch.suppressions import Person, Wish
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import Client, client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.parsing import StrictJSONParser
from sendmsg.api.permissions import requires
from sendmsg.api.problems import FieldError, Problem, pointer, to_problem
from sendmsg.api.schema import BODY, IDEMPOTENCY, IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, problems
from sendmsg.api.serializers import validated


class BatchParser(StrictJSONParser):
    max_bytes = 4_194_304  # 4 kB a message: ten parts in any script, and its metadata


class BatchView(APIView):
    permission_classes = [requires(Scope.MESSAGES_WRITE)]
    parser_classes = [BatchParser]

    @extend_schema(
        operation_id="send_batch",
        summary="Send up to 1,000 different messages",
        parameters=[IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED],
        request=NewBatch,
        responses={202: BatchDocument, **problems(*BODY, *IDEMPOTENCY, "batch_rejected")},
    )
    def post(self, request: Request) -> Response:
        def handle() -> Response:
            batch = validated(NewBatch(data=request.data))
            rows = judge(client_of(request), batch["messages"])
            good = [row for row in rows if isinstance(row, copying.NewRow)]
            if batch["all_or_nothing"] and len(good) < len(rows):
                raise _refusal(rows)
            copying.store(good)
            return Response(_document(rows), 202)

        return run_once(request, handle)


def judge(client: Client, messages: list[Any]) -> list[copying.NewRow | list[FieldError]]:
    """Of each message its row, or what is wrong with it, by pointers into the batch."""
    rules = NewMessage()  # one for all: making its fields costs ten times as much as using them
    now, carriers = timezone.now(), suitability.carriers()
    rows: list[copying.NewRow | list[FieldError]] = []
    for index, message in enumerate(messages):
        try:
            wanted = plain.read(message) or rules.run_validation(message)
            rows.append(copying.row_of(client, wanted, carriers, now))
        except ValidationError as error:
            at = pointer("messages", index)
            rows.append([replace(one, pointer=at + one.pointer) for one in to_problem(error).errors])
    opted_out = suppressions.hold_back([_wish(row) for row in rows if isinstance(row, copying.NewRow)])
    for index, row in enumerate(rows):
        if isinstance(row, copying.NewRow) and row.id in opted_out:
            rows[index] = [FieldError(pointer("messages", index, OPTED_OUT.field), OPTED_OUT.code, OPTED_OUT.detail)]
    return rows


def _wish(row: copying.NewRow) -> Wish[str]:
    subject = row.subject
    person = Person(subject.account_id, subject.test, subject.to)
    return Wish(row.id, person, (subject.sender,), (subject.channel,))


def _refusal(rows: list[copying.NewRow | list[FieldError]]) -> Problem:
    bad = [row for row in rows if isinstance(row, list)]
    detail = f"{len(bad)} of {len(rows)} messages can't be accepted, so none was."
    return Problem("batch_rejected", detail, errors=[error for row in bad for error in row])


def _document(rows: list[copying.NewRow | list[FieldError]]) -> dict[str, Any]:
    results: list[dict[str, Any]] = [
        {"status": "rejected", "errors": [asdict(error) for error in row]}
        if isinstance(row, list)
        else {"status": "accepted", "id": row.id}
        for row in rows
    ]
    accepted = sum(result["status"] == "accepted" for result in results)
    return {"accepted": accepted, "rejected": len(rows) - accepted, "results": results}
