"""Finding messages by the one thing a person has: an id, a number or a client reference, whole.

The indexes of numbers and references begin with the account. They are many times more selective than there are
accounts, so a search over all accounts is one look into the index for each.
"""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from dispatch import numbers
from dispatch.models import Message
from sendmsg.accounts.models import Account
from sendmsg.admin import as_uuid


def matching(term: str) -> QuerySet[Message, Any]:
    """The ids of the messages that `term` names; each kind of name is looked up where `term` has its form."""
    everywhere = Message.objects.filter(account_id__in=Account.objects.order_by().values("id")).order_by()
    found = [everywhere.filter(client_reference=term).exclude(client_reference="").values("id")]
    if (message_id := as_uuid(term)) is not None:
        found.append(_by_id(message_id))
    if (to := number(term)) is not None:
        found.append(everywhere.filter(to=to).values("id"))
    return found[0].union(*found[1:], all=True) if len(found) > 1 else found[0]


def _by_id(message_id: UUID) -> QuerySet[Message, Any]:
    return Message.objects.filter(id=message_id).order_by().values("id")


def number(term: str) -> str | None:
    """`term` as a number; a plus that an address bar turned into a space is put back."""
    try:
        return numbers.normalise(term if term.startswith("+") else f"+{term}")
    except numbers.InvalidNumber:
        return None
