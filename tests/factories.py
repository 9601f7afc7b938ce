"""Rows for tests, in any state, with sensible values for whatever a test does not name.

This module may be imported before Django is set up, so models are imported where they are used.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.utils import timezone

from dispatch.states import State

if TYPE_CHECKING:
    from dispatch.models import Attempt, Connection, DeadLetter, Message, ProviderReference, Route, Suppression
    from sendmsg.accounts.models import Account
    from webhooks.models import Inbound, InboundNumber, Receipt

RECEIPT_SECRET = "receipt-secret-1"
"""What receipts of a connection made here are signed with."""

NOWHERE = "http://127.0.0.1:1"  # nobody may listen there, so a test that sends by mistake fails


def make_connection(name: str = "sendmsg", **fields: Any) -> "Connection":
    """A connection of that name: a new one, or the one there is with these fields. The directory sees it at once."""
    from dispatch import directory
    from dispatch.models import Connection

    defaults = {
        "provider": "sendmsg",
        "base_url": NOWHERE,
        "credentials": {"api_key": "provider-key", "webhook_secrets": [RECEIPT_SECRET]},
    }
    connection, _ = Connection.objects.update_or_create(name=name, defaults={**defaults, **fields})
    directory.forget()
    return connection


def make_route(name: str, *connections: "Connection", **fields: Any) -> "Route":
    """A route by these connections, each a position after the one before. The book has it at once."""
    from dispatch import routes
    from dispatch.models import Route, RouteStep

    route = Route.objects.create(name=name, **fields)
    for position, connection in enumerate(connections, 1):
        RouteStep.objects.create(route=route, connection=connection, position=position)
    routes.forget()
    return route


def make_message(account: "Account", state: State = State.QUEUED, **fields: Any) -> "Message":
    """A message that came to `state` the shortest way: released and tried as often as that takes, by a connection."""
    from dispatch.models import Connection, Message

    now = timezone.now()
    left = state not in (State.QUEUED, State.CANCELED)
    if left and "connection" not in fields and "connection_id" not in fields:
        fields["connection"] = Connection.objects.filter(name="sendmsg").first() or make_connection()
    held = state in (State.RELEASED, State.SENDING)
    from dispatch.lanes import DEFAULT, Lane

    lane = Lane(DEFAULT, fields.get("test", False), fields.get("channel", "sms"))
    defaults: dict[str, Any] = {
        "lane": lane.number,
        "channel": "sms",
        "to": "+447700900000",
        "sender": "Acme",
        "body": "Your code is 123456.",
        "segments": 1,
        "encoding": "gsm7",
        "option": -_connection_id(fields) if left else None,
        "release": int(left),
        "tries": int(left and state is not State.RELEASED),
        "lease_until": now + timedelta(minutes=1) if held else None,
        "due_at": now,
        "expires_at": now + timedelta(hours=1),
        "created_at": now,
        "updated_at": now,
    }
    return Message.objects.create(account=account, state=state, **{**defaults, **fields})


def _connection_id(fields: dict[str, Any]) -> int:
    return int(fields["connection"].pk if "connection" in fields else fields["connection_id"])


def make_attempt(message: "Message", **fields: Any) -> "Attempt":
    """A try of the message by its connection, still open unless fields say how it ended."""
    from dispatch.models import Attempt

    defaults = {
        "number": message.tries,
        "connection_id": message.connection_id,
        "started_at": timezone.now(),
    }
    return Attempt.objects.create(message=message, **{**defaults, **fields})


def make_reference(message: "Message", value: str | None = None, **fields: Any) -> "ProviderReference":
    """The id that the message's connection gave to it."""
    from dispatch.models import ProviderReference

    defaults = {"connection_id": message.connection_id, "value": value or f"snd_{uuid4().hex}"}
    return ProviderReference.objects.create(message=message, **{**defaults, **fields})


def make_letter(message: "Message", reason: str = "unroutable", **fields: Any) -> "DeadLetter":
    """The dead letter that the message left when it failed or expired."""
    from dispatch.models import DeadLetter

    about = {"account_id": message.account_id, "test": message.test, "connection_id": message.connection_id}
    return DeadLetter.objects.create(message=message, reason=reason, **{**about, **fields})


def make_suppression(account: "Account", recipient: str = "+447700900000", **fields: Any) -> "Suppression":
    """The account's client asked that the recipient gets nothing any more, unless fields say otherwise."""
    from dispatch.models import Suppression

    return Suppression.objects.create(account=account, recipient=recipient, **{"reason": "api", **fields})


def make_receipt(connection: "Connection", provider_id: str, status: str, **fields: Any) -> "Receipt":
    """A receipt that came and waits for its message, unless fields say what became of it."""
    from webhooks.models import Receipt

    defaults = {"at": timezone.now(), "received_at": timezone.now()}
    return Receipt.objects.create(
        connection=connection, provider_id=provider_id, status=status, **{**defaults, **fields}
    )


def make_number(connection: "Connection", account: "Account", number: str = "+447700900001") -> "InboundNumber":
    """One of the account's numbers, where people may write to it."""
    from webhooks.models import InboundNumber

    return InboundNumber.objects.create(connection=connection, account=account, number=number)


def make_inbound(connection: "Connection", account: "Account | None" = None, **fields: Any) -> "Inbound":
    """A message from a person, to a number of the account's or to nobody's."""
    from webhooks.models import Inbound

    defaults = {
        "provider_id": f"rcv_{uuid4().hex}",
        "channel": "sms",
        "sender": "+447700900123",
        "to": "+447700900001",
        "body": "Yes please.",
        "received_at": timezone.now(),
    }
    return Inbound.objects.create(connection=connection, account=account, **{**defaults, **fields})
