"""Endpoints, things to tell them, and a pump that is driven step by step."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from standardwebhooks import Webhook

from dispatch import transitions
from dispatch.changes import Change
from dispatch.models import Message
from dispatch.states import State
from tests.factories import make_message
from tests.faults import FaultServer, Received
from webhooks.callbacks import endpoints
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.pump import CallbacksPump
from webhooks.callbacks.vocabulary import CallbackState

if TYPE_CHECKING:
    from sendmsg.accounts.models import Account

PATIENCE = 1.0  # seconds that a look at calls under way may take


def make_endpoint(account: "Account", url: str, *event_types: str, test: bool = False) -> Endpoint:
    with transaction.atomic():
        endpoint, _ = endpoints.create(account.pk, test, url, event_types, "")
    return endpoint


def sent_message(account: "Account", **fields: Any) -> Message:
    """A message that the provider took a moment ago, and nobody was told of yet."""
    return make_message(account, State.SENT, **fields)


def deliver(message: Message) -> None:
    """A receipt says that it arrived."""
    assert transitions.apply([Change(message.id, State.DELIVERED)])


def work_off(pump: CallbacksPump | None = None) -> CallbacksPump:
    """Let the pump do what is due now, to the end of its calls."""
    pump = pump or CallbacksPump()
    while pump.step() or pump.flying:
        if pump.flying:
            pump.wait(PATIENCE)
    return pump


def pass_time(endpoint: Endpoint | None = None) -> None:
    """Until what waits is due, and pauses are over."""
    now = timezone.now()
    Callback.objects.filter(state=CallbackState.WAITING).update(due_at=now)
    Endpoint.objects.filter(paused_until__isnull=False).update(paused_until=now)


def age(endpoint: Endpoint, by: timedelta) -> None:
    """As if it had been failing for that much longer."""
    Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=F("failing_since") - by)


def verified(request: Received, secret: str) -> dict[str, Any]:
    """What the receiver reads, with the official verifier; raises if it would refuse."""
    document: dict[str, Any] = Webhook(secret).verify(request.body, dict(request.headers))
    return document


def told(server: FaultServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in server.requests]
