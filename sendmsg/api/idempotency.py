"""`Idempotency-Key`: a POST that is repeated has one effect and one answer.

The key is scoped to account, mode (a test key must never answer for a live one) and endpoint. Its record is
written in the transaction that holds the effect, so that there is never one without the other:

1. Try the scope's advisory lock; Postgres frees it at the transaction's end, also when we crash.
2. Look the record up. Found: answer it again (422 when the body differs). Not found and no lock: 409, the
first runs.
3. Run the handler; keep its answer when it is 2xx. Any other outcome leaves nothing behind and may be tried
again.

The look-up comes after the lock, and an answer is visible before its lock is free: no copy falls between the
two.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sendmsg.accounts.keys import Mode
from sendmsg.api.authentication import Client, client_of
from sendmsg.api.models import IdempotencyRecord
from sendmsg.api.problems import Problem
from sendmsg.api.streaming import StreamedBody
from sendmsg.errors import ConfigurationError
from sendmsg.sealing import envelope
from sendmsg.sealing.fields import gone

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_FOR = timedelta(hours=24)  # what we promise; clients' own retries end well before
RETRY_AFTER = 1  # seconds; a first request takes milliseconds
PURGE_BATCH = 1000  # rows a statement; keeps each one's locks short
_KEPT_HEADERS = ("Location",)
_FORM = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a key counts."""

    account_id: UUID
    mode: Mode
    endpoint: str
    key: str

    @classmethod
    def of(cls, client: Client, request: HttpRequest | Request, key: str) -> "Scope":
        return cls(client.account_id, client.mode, f"{request.method} {request.path}", key)

    @property
    def lock(self) -> int:
        """A signed 64-bit number for the advisory lock. Two scopes that share one only ever cost a 409."""
        text = "\n".join(("idempotency", str(self.account_id), self.mode.value, self.endpoint, self.key))
        return int.from_bytes(hashlib.sha256(text.encode("ascii", "replace")).digest()[:8], signed=True)


def run_once(request: Request, handler: Callable[[], Response]) -> Response:
    """Run `handler` in a transaction, at most once per key, and return its answer or the one it gave before.

    Validate inside the handler: a repeated request is answered again even when it would no longer be valid,
    such as one whose `send_at` has passed. An answer of the handler other than 2xx rolls its work back, as an
    exception does. Raises `Problem`: `idempotency_key_invalid`, `idempotency_in_progress`,
    `idempotency_key_reused`.
    """
    body = request.data  # also without a key: a body that can't be read is refused either way
    key = request.headers.get(HEADER)
    if key is None:
        with transaction.atomic(durable=True):
            return _run(handler)
    if not well_formed(key):
        raise Problem("idempotency_key_invalid")
    scope = Scope.of(client_of(request), request, key)
    fingerprint = fingerprint_of(body)
    with transaction.atomic(durable=True):
        locked = _try_lock(scope)
        record = IdempotencyRecord.objects.filter(
            account_id=scope.account_id, mode=scope.mode, endpoint=scope.endpoint, key=scope.key
        ).first()
        if record is not None:
            return _replay(record, fingerprint)
        if not locked:
            raise Problem("idempotency_in_progress", headers={"Retry-After": str(RETRY_AFTER)})
        response = _run(handler)
        if _is_success(response):
            _keep(scope, fingerprint, response)
        return response


def purge(older_than: timedelta = KEPT_FOR) -> int:
    """Delete older answers in batches, each committed by itself. Returns how many there were."""
    if older_than < KEPT_FOR:
        raise ValueError(f"answers are kept for {KEPT_FOR} at least")
    expired = IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - older_than)
    total = 0
    while batch := list(expired.order_by("created_at").values_list("pk", flat=True)[:PURGE_BATCH]):
        total += IdempotencyRecord.objects.filter(pk__in=batch).delete()[0]
    return total


def well_formed(key: str) -> bool:
    return _FORM.fullmatch(key) is not None


def fingerprint_of(body: Any) -> str:
    """The same for two bodies that mean the same: order and space do not count. A stream is its bytes."""
    if isinstance(body, StreamedBody):
        return body.fingerprint
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def to_store(fingerprint: str) -> str:
    """Keyed, where texts are encrypted: of a short text the plain one can be guessed."""
    return envelope.digest(fingerprint) or fingerprint


def _run(handler: Callable[[], Response]) -> Response:
    response = handler()
    if not _is_success(response):
        transaction.set_rollback(True)
    return response


def _is_success(response: Response) -> bool:
    return 200 <= response.status_code < 300


def _try_lock(scope: Scope) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [scope.lock])
        row = cursor.fetchone()
    return bool(row and row[0])


def _keep(scope: Scope, fingerprint: str, response: Response) -> None:
    IdempotencyRecord.objects.create(
        account_id=scope.account_id,
        mode=scope.mode,
        endpoint=scope.endpoint,
        key=scope.key,
        fingerprint=to_store(fingerprint),
        status=response.status_code,
        headers={name: response[name] for name in _KEPT_HEADERS if name in response},
        body=JSONRenderer().render(response.data).decode("utf-8"),
    )


def _replay(record: IdempotencyRecord, fingerprint: str) -> Response:
    if record.fingerprint != (envelope.digest(fingerprint, record.fingerprint) or fingerprint):
        raise Problem("idempotency_key_reused")
    if gone(record.body):
        raise ConfigurationError("the text key of a stored answer is gone")
    body = json.loads(record.body) if record.body else None
    return Response(body, record.status, headers={**record.headers, REPLAYED: "true"})
