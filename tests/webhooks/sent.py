"""Messages that a provider took, for receipts to find, and one look of the pump at the receipts that wait."""

from typing import Any

from django.db import transaction

from dispatch.models import Connection, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_message, make_reference
from webhooks.inbound import matching


def make_sent(alice: Member, line: Connection, provider_id: str = "snd_1", **fields: Any) -> Message:
    message = make_message(alice.account, **{"state": State.SENT, "connection": line, **fields})
    make_reference(message, provider_id)
    return message


def match() -> int:
    with transaction.atomic():
        return matching.match_parked()
