"""Authentication by API key: `Authorization: Bearer smk_live_…`.

Each request asks the database, so that a revocation acts at once. A key is found by the digest of its text:
no comparison of secrets takes place whose time could tell anything. Every refusal is a 401 with a code of its
own; only a client that holds the whole key can learn that it was revoked or has expired.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, cast
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from sendmsg.accounts.keys import Mode, parse
from sendmsg.accounts.models import ApiKey
from sendmsg.accounts.scopes import Scope
from sendmsg.api import known
from sendmsg.api.problems import Problem

LAST_USED_PRECISION = timedelta(minutes=10)  # an exact time would cost a write per request

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking: `request.user` of every authenticated API request."""

    account_id: UUID
    key_id: UUID
    mode: Mode
    scopes: frozenset[Scope]
    default_sender: str = ""

    is_authenticated: ClassVar[bool] = True


def client_of(request: Request) -> Client:
    """The client of a request that got past `ApiKeyAuthentication` and a permission."""
    return cast(Client, request.user)


class ApiKeyAuthentication(BaseAuthentication):
    """DRF authentication class. Without an Authorization header it is for the permission to answer 401."""

    def authenticate(self, request: Request) -> tuple[Client, None] | None:
        """The client that holds the key. Raises `Problem` (401) for a key that opens nothing."""
        header = request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, text = header.partition(" ")
        key = parse(text.strip(" ")) if scheme.lower() == "bearer" else None
        if key is None:
            raise Problem("key_malformed")
        now = timezone.now()
        row = ApiKey.objects.select_related("account").filter(digest=key.digest).first()
        if row is None:
            raise Problem("key_unknown")
        if row.revoked_at is not None:
            raise Problem("key_revoked")
        if row.is_expired(now):
            raise Problem("key_expired")
        used_at = row.last_used_at
        if used_at is None or used_at < now - LAST_USED_PRECISION:
            used_at = now
            _note_use(row.pk, now)
        # A scope that this version no longer knows allows nothing.
        scopes = frozenset(Scope(scope) for scope in row.scopes if scope in Scope.values)
        client = Client(row.account_id, row.pk, Mode(row.mode), scopes, row.account.default_sender)
        known.remember(key.digest, client, (used_at + LAST_USED_PRECISION - now).total_seconds())
        return client, None

    def authenticate_header(self, request: Request) -> str:
        """What DRF needs to answer 401 and not 403; the header itself is `Problem`'s."""
        return "Bearer"


def _note_use(key_id: UUID, now: datetime) -> None:
    """Set `last_used_at` unless another request just did or is doing it. Never fails the request."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_PRECISION)
    try:
        with transaction.atomic():
            free = ApiKey.objects.filter(stale, pk=key_id).select_for_update(skip_locked=True)
            ApiKey.objects.filter(pk__in=free.order_by().values("pk")).update(last_used_at=now)
    except DatabaseError as error:
        logger.warning("last_used_at not written", key_id=key_id, error=type(error).__name__)
