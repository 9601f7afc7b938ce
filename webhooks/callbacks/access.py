"""What the views of endpoints share: whose an endpoint is, and how a secret is shown.

A key sees the endpoints of its account and mode; anybody else's is a 404. A secret is in the answer it was made for
and in no other: not even a repeated request gets it again, because it would have to be stored in clear for that.
"""

from collections.abc import Callable
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from sendmsg.accounts.keys import Mode
from sendmsg.api.authentication import client_of
from sendmsg.api.idempotency import run_once
from sendmsg.api.problems import Problem
from sendmsg.api.schema import IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED
from webhooks.callbacks.models import Endpoint
from webhooks.callbacks.vocabulary import EndpointState

REPEATABLE = [IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED]


def visible(request: Request) -> QuerySet[Endpoint]:
    client = client_of(request)
    rows = Endpoint.objects.filter(account_id=client.account_id, test=client.mode is Mode.TEST)
    return rows.exclude(state=EndpointState.DELETED).defer("secret", "old_secrets")


def find(request: Request, endpoint_id: UUID, *, lock: bool = False) -> Endpoint:
    rows = visible(request)
    endpoint = (rows.select_for_update(no_key=True) if lock else rows).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise Problem("not_found")
    return endpoint


def with_secret(request: Request, handle: Callable[[], tuple[Response, str]]) -> Response:
    """Run `handle` once; its secret is added to the answer, and is not in the one that is kept for repeats."""
    shown: list[str] = []

    def run() -> Response:
        response, secret = handle()
        shown.append(secret)
        return response

    response = run_once(request, run)
    if shown:
        response.data = {**response.data, "secret": shown[0]}
        response["Cache-Control"] = "no-store"
    return response
