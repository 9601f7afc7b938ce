"""Signatures by the Standard Webhooks spec (https://github.com/standard-webhooks/standard-webhooks), with its package.

While a secret is being rotated, its predecessors sign beside it for `OVERLAP`: a receiver that knows any of them is
content. A secret exists in clear only in the answer that shows it, and in the process that signs.
"""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from standardwebhooks import Webhook

from webhooks.callbacks.models import Signer

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32  # the spec asks for 24 to 64
OVERLAP: Final = timedelta(hours=24)
MOST_OLD: Final = 4  # secrets; who rotates more often within a day has lost the oldest already


def mint() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def start(signer: Signer) -> str:
    """Give an unsaved row its first secret, and return it: the only chance to show it."""
    signer.secret, signer.old_secrets = mint(), []
    return str(signer.secret)


def rotate(signer: Signer, now: datetime) -> str:
    """Put a new secret before the old one, which signs for `OVERLAP` more; the caller saves. Returns the new one."""
    old = [[signer.secret, (now + OVERLAP).isoformat()]]
    old += [[secret, until] for secret, until in signer.old_secrets if datetime.fromisoformat(until) > now]
    signer.secret, signer.old_secrets = mint(), old[:MOST_OLD]
    return str(signer.secret)


class Secrets(NamedTuple):
    """What a `Signer` holds, in clear."""

    secret: str
    old_secrets: Sequence[tuple[str, str]]


def active(signer: Signer | Secrets, now: datetime) -> tuple[str, ...]:
    """The secrets that sign at `now`, newest first."""
    old = (secret for secret, until in signer.old_secrets if datetime.fromisoformat(until) > now)
    return (signer.secret, *old)


def headers(event_id: UUID, body: str, keys: Sequence[str], now: datetime) -> dict[str, str]:
    """What proves to a receiver that `body` is ours and new."""
    identifier = name_of(event_id)
    at = now.astimezone(UTC)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(identifier, at, body) for key in keys),
    }


def name_of(event_id: UUID) -> str:
    """The `webhook-id` of an event."""
    return f"evt_{event_id.hex}"
