"""The short way of `POST /v1/messages`, for a request that is right in every respect.

The view of the API spends nine tenths of its time on what such a request does not need: serializers, models, and a
statement for each question. Here it is read as it is (`dispatch.plain`) and stored by one statement
(`dispatch.deposit`). What is accepted, stored and answered is the same to the letter, and tests hold the two together.

Whatever is not plain, a mistake, a schedule, a repeat, a key that was revoked a moment ago, a recipient who opted out,
raises `PassedOn`: nothing has happened, and the view begins anew.
"""

import select
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer

from dispatch import acceptance, deposit, plain, suitability
from dispatch.bulk import copying
from dispatch.bulk.copying import NewRow
from dispatch.deposit import Repeatable
from dispatch.states import State
from dispatch.vocabulary import Priority
from sendmsg.accounts.keys import parse
from sendmsg.accounts.scopes import Scope
from sendmsg.api import idempotency, known
from sendmsg.api.authentication import Client
from sendmsg.api.parsing import MAX_BODY_BYTES, loads
from sendmsg.api.problems import Problem
from sendmsg.errors import PassedOn
from sendmsg.telemetry import traces

PATH: Final = "/v1/messages"
TYPES: Final = frozenset({"application/json", "application/json; charset=utf-8"})
ACCEPTED: Final = frozenset({"*/*", "application/json", "application/json, */*"})
HEADERS: Final = {"Allow": "GET, POST, HEAD, OPTIONS", "X-Frame-Options": "DENY"}  # as the site has them


def answer(request: WSGIRequest) -> HttpResponse:
    """The answer to a plain message that was stored. Raises `PassedOn`, and what a database raises."""
    data = _body(request)
    client = _client(request.META.get("HTTP_AUTHORIZATION", ""))
    wanted = plain.read(data)
    if client is None or wanted is None:
        raise PassedOn
    _revive()
    row = _row(client, wanted)
    location = f"{PATH}/{row.id}"
    content = JSONRenderer().render(_document(row))
    if not deposit.store(row, client, _repeatable(request, client, data, location, content)):
        raise PassedOn
    acceptance.accepted(row.subject, row.id, row.segments, row.begun, row.now, due=True)
    return HttpResponse(content, "application/json", 202, headers={"Location": location, **HEADERS})


def _body(request: WSGIRequest) -> dict[str, Any]:
    """The JSON of a request without any extras."""
    given = request.META
    length = given.get("CONTENT_LENGTH", "")
    if (
        given.get("QUERY_STRING")
        or given.get("CONTENT_TYPE") not in TYPES
        or given.get("HTTP_ACCEPT", "*/*") not in ACCEPTED
        or "HTTP_TRANSFER_ENCODING" in given
        or "HTTP_CONTENT_ENCODING" in given
        or not length.isascii()
        or not length.isdecimal()
        or int(length) > MAX_BODY_BYTES
    ):
        raise PassedOn
    try:
        request.get_host()
    except DisallowedHost:
        raise PassedOn from None
    raw = given["wsgi.input"].read(int(length))
    given["wsgi.input"] = BytesIO(raw)  # for the site, if it comes to that
    try:
        return loads(raw)
    except Problem:
        raise PassedOn from None


def _client(header: str) -> Client | None:
    """Who is calling, as far as we know; the statement sees whether that is still so."""
    scheme, _, text = header.partition(" ")
    key = parse(text) if scheme == "Bearer" else None
    client = known.recall(key.digest) if key is not None else None
    return client if client is not None and Scope.MESSAGES_WRITE in client.scopes else None


def _revive() -> None:
    """What Django does before each request, but for its `SELECT 1`: a socket that was closed says so for nothing."""
    connection.close_if_unusable_or_obsolete()
    if connection.connection is not None:
        poll = select.poll()
        poll.register(connection.connection.fileno(), select.POLLIN)
        if poll.poll(0):
            connection.close()
        connection.health_check_done = True  # type: ignore[attr-defined]  # of Django, which its stubs leave out


def _row(client: Client, wanted: dict[str, Any]) -> NewRow:
    try:
        return copying.row_of(client, wanted, suitability.carriers(), timezone.now(), traces.begin())
    except ValidationError:
        raise PassedOn from None


def _repeatable(
    request: WSGIRequest, client: Client, data: dict[str, Any], location: str, content: bytes
) -> Repeatable | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not idempotency.well_formed(key):
        raise PassedOn
    scope = idempotency.Scope.of(client, request, key)
    return Repeatable(scope, idempotency.fingerprint_of(data), {"Location": location}, content.decode())


def _document(row: NewRow) -> dict[str, Any]:
    """As `dispatch.serializers.MessageDocument` shows a message that was just accepted."""
    subject, at = row.subject, _time(row.now)
    return {
        "id": row.id,
        "status": State.QUEUED.value,
        "channel": subject.channel,
        "to": subject.to,
        "from": subject.sender or None,
        "body": row.body,
        "body_length": None,
        "segments": row.segments,
        "encoding": row.encoding,
        "priority": Priority(subject.priority).label,
        "provider": None,
        "error": None,
        "client_reference": row.client_reference or None,
        "metadata": row.metadata,
        "callback_url": row.callback_url or None,
        "send_at": None,
        "expires_at": _time(row.expires_at),
        "created_at": at,
        "updated_at": at,
    }


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
