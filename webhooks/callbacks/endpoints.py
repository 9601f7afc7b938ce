"""What can be done with an endpoint. Functions that change one run inside the caller's transaction.

`dispatch` announces only where somebody listens (`Listener`): each function that makes or ends an endpoint keeps that
row in step, under a lock on the account, taken after the endpoint's own.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from django.utils import timezone

from dispatch.announcements import announce
from dispatch.models import Listener
from sendmsg.accounts.models import Account
from sendmsg.errors import ConfigurationError
from sendmsg.telemetry import metrics
from webhooks.callbacks import signing
from webhooks.callbacks.models import Endpoint, MessageSecret
from webhooks.callbacks.vocabulary import Compression, DisabledReason, EndpointKind, EndpointState, Kind

logger = structlog.stdlib.get_logger(__name__)

MOST = 20  # endpoints of an account and mode; each is one more row for every event


class TooManyEndpoints(Exception):
    """The account has `MOST` endpoints in this mode."""


def create(
    account_id: UUID,
    test: bool,
    url: str,
    event_types: Sequence[str],
    description: str,
    *,
    compression: str = Compression.NONE,
) -> tuple[Endpoint, str]:
    """A new endpoint and its secret. Raises `TooManyEndpoints`."""
    _lock(account_id)
    mine = Endpoint.objects.filter(account_id=account_id, test=test, kind=EndpointKind.DECLARED)
    if mine.exclude(state=EndpointState.DELETED).count() >= MOST:
        raise TooManyEndpoints
    endpoint = Endpoint(
        account_id=account_id,
        test=test,
        url=url,
        event_types=list(event_types),
        description=description,
        compression=compression,
    )
    secret = signing.start(endpoint)
    endpoint.save()
    endpoint.refresh_from_db(fields=["created_at", "updated_at"])
    _listen(account_id, test)
    return endpoint, secret


def of_message(account_id: UUID, test: bool, origin: str) -> Endpoint:
    """The endpoint under which callbacks to the `callback_url` of messages at this host run; made when it is new."""
    rows = Endpoint.objects.exclude(state=EndpointState.DELETED)
    wanted = {"account_id": account_id, "test": test, "kind": EndpointKind.MESSAGES, "url": origin}
    found = rows.filter(**wanted).first()
    if found is None:
        new = Endpoint(**wanted)
        signing.start(new)  # its own is never used: MessageSecret signs
        Endpoint.objects.bulk_create([new], ignore_conflicts=True)
        found = rows.get(**wanted)
    return found


def rotate(endpoint: Endpoint, now: datetime) -> str:
    """A new secret, which signs from now on; the old one does so too for a day."""
    secret = _renew(endpoint, now)
    endpoint.save(update_fields=["secret", "old_secrets"])
    return secret


def rotate_message_secret(account_id: UUID, test: bool, now: datetime) -> str:
    """A new secret for callbacks to the `callback_url` of messages, or the first one."""
    _lock(account_id)
    mine = MessageSecret.objects.filter(account_id=account_id, test=test)
    signer = mine.defer("secret", "old_secrets").first()
    if signer is None:
        signer = MessageSecret(account_id=account_id, test=test)
        secret = signing.start(signer)
    else:
        secret = _renew(signer, now)
    signer.save()
    return secret


def enable(endpoint: Endpoint) -> None:
    """Call it again, and forget how it did before."""
    endpoint.state, endpoint.disabled_reason, endpoint.disabled_at = EndpointState.ENABLED, "", None
    endpoint.failures, endpoint.failing_since, endpoint.paused_until = 0, None, None
    _save_state(endpoint)


def disable(endpoint: Endpoint, reason: DisabledReason) -> None:
    """Stop calling it, and tell the account's other endpoints. What waits for it is given up, and can be replayed."""
    endpoint.state, endpoint.disabled_reason = EndpointState.DISABLED, reason
    endpoint.disabled_at = timezone.now()
    _save_state(endpoint)
    metrics.ENDPOINTS_DISABLED.labels(reason.value).inc()
    logger.warning("endpoint disabled", endpoint_id=endpoint.id, account_id=endpoint.account_id, reason=reason.value)
    about = {"id": str(endpoint.id), "url": endpoint.url, "reason": reason.value}
    announce(endpoint.account_id, endpoint.test, Kind.ENDPOINT_DISABLED, about)


def delete(endpoint: Endpoint) -> None:
    """Gone for the client at once; the pump deletes its rows."""
    endpoint.state = EndpointState.DELETED
    _save_state(endpoint)


def _renew(signer: Endpoint | MessageSecret, now: datetime) -> str:
    try:
        return signing.rotate(signer, now)
    except ConfigurationError:  # no key reads the old one any more, so nothing is signed with it
        return signing.start(signer)


def _save_state(endpoint: Endpoint) -> None:
    endpoint.updated_at = timezone.now()
    endpoint.save(
        update_fields=[
            *("state", "disabled_reason", "disabled_at", "failures", "failing_since", "paused_until", "updated_at")
        ]
    )
    _lock(endpoint.account_id)
    _listen(endpoint.account_id, endpoint.test)


def _lock(account_id: UUID) -> None:
    """Not against messages of the account, which only refer to its key."""
    Account.objects.select_for_update(no_key=True).get(pk=account_id)


def _listen(account_id: UUID, test: bool) -> None:
    heard = Endpoint.objects.filter(
        account_id=account_id, test=test, kind=EndpointKind.DECLARED, state=EndpointState.ENABLED
    ).exists()
    if heard:
        Listener.objects.bulk_create([Listener(account_id=account_id, test=test)], ignore_conflicts=True)
    else:
        Listener.objects.filter(account_id=account_id, test=test).delete()
