"""Sending callbacks again: one, or those of an endpoint since a time. The `webhook-id` stays, so receivers can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone

from sendmsg.ids import first_id, made_at
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.vocabulary import CallbackState, EndpointState

MOST: Final = 10_000  # callbacks a request; keeps its transaction short


class Disabled(Exception):
    """The endpoint is not called: nothing can be sent to it, again or at all."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many are sent again, and from when to go on if there are more."""

    count: int
    next_since: datetime | None


def replay(callback: Callback) -> None:
    """Send it again now, with all of its tries. Raises `Disabled`."""
    _check(callback.endpoint)
    renew([callback])
    callback.refresh_from_db()


def replay_since(endpoint: Endpoint, since: datetime, state: CallbackState) -> Replayed:
    """Send again what was made since then and ended in `state`, the oldest first, `MOST` at a time."""
    _check(endpoint)
    rows = Callback.objects.filter(endpoint=endpoint, id__gte=first_id(since), state=state).only("id")
    found = list(rows.order_by("id")[: MOST + 1])
    renew(found[:MOST])
    more = found[MOST:]
    return Replayed(min(len(found), MOST), made_at(more[0].id) if more else None)


def _check(endpoint: Endpoint) -> None:
    if endpoint.state != EndpointState.ENABLED:
        raise Disabled


def renew(callbacks: Sequence[Callback]) -> None:
    """Make them due again, with all of their tries."""
    Callback.objects.filter(id__in=[callback.id for callback in callbacks]).update(
        state=CallbackState.WAITING, attempts=0, due_at=timezone.now(), error_code=""
    )
