"""Endpoints as calls want them: where, how, and signed with what; read anew for each batch, so that changes count."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.db import connection as database

from sendmsg.encryption import decrypt
from sendmsg.errors import ConfigurationError
from sendmsg.prepared import Prepared
from webhooks.callbacks import signing
from webhooks.callbacks.models import MessageSecret
from webhooks.callbacks.signing import Secrets

logger = structlog.stdlib.get_logger(__name__)

# Endpoints that messages name share the secrets of their account and mode.
FIND: Final = Prepared("""
SELECT e.id, e.url, e.compression = 'gzip', e.account_id, e.test,
    CASE WHEN e.kind = 'messages' THEN s.secret ELSE e.secret END,
    CASE WHEN e.kind = 'messages' THEN s.old_secrets ELSE e.old_secrets END
FROM webhooks_endpoint e LEFT JOIN webhooks_messagesecret s ON s.account_id = e.account_id AND s.test = e.test
WHERE e.id = ANY(%(ids)s::uuid[])
""")


@dataclass(frozen=True, slots=True)
class Called:
    """`compress`: it wants gzip. `keys`: the secrets that sign, newest first; none where they can't be read."""

    url: str = field(repr=False)
    compress: bool
    keys: tuple[str, ...] = field(repr=False)


class _Found(NamedTuple):
    id: UUID
    url: str
    compress: bool
    account_id: UUID
    test: bool
    secret: str | None
    old_secrets: str | None


def find(ids: Collection[UUID], now: datetime) -> dict[UUID, Called]:
    with database.cursor() as cursor:
        FIND.run(cursor, {"ids": [str(one) for one in ids]})
        rows = [_Found(*row) for row in cursor.fetchall()]
    return {row.id: Called(row.url, row.compress, _keys(row, now)) for row in rows}


def _keys(row: _Found, now: datetime) -> tuple[str, ...]:
    """None for one whose secret no key can read, which must not hold up the others."""
    try:
        if row.secret is None or row.old_secrets is None:
            return signing.active(_first_secret(row.account_id, row.test), now)
        return signing.active(Secrets(decrypt(row.secret), decrypt(row.old_secrets)), now)
    except ConfigurationError as error:
        logger.error("callback secret unreadable", endpoint_id=row.id, error=str(error))
        return ()


def _first_secret(account_id: UUID, test: bool) -> MessageSecret:
    """Nobody has asked for it yet; it can still be rotated into one that somebody knows."""
    secret = MessageSecret(account_id=account_id, test=test)
    signing.start(secret)
    MessageSecret.objects.bulk_create([secret], ignore_conflicts=True)
    return MessageSecret.objects.get(account_id=account_id, test=test)
