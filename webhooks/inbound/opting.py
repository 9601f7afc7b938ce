"""What follows from what a person wrote: STOP, START, HELP, and an open WhatsApp window.

In the transaction that stores the message, so that it happens once and is lost never. STOP is recorded first; then the
person gets one confirmation, which no suppression holds back. Only for numbers that are an account's, and only where
that wants it.
"""

import re
from collections.abc import Sequence
from typing import Final

from django.utils import timezone

from dispatch import numbers, suppressions, windows
from dispatch.replies import reply
from dispatch.suppressions import Person
from dispatch.vocabulary import Channel
from dispatch.windows import Heard
from sendmsg.accounts.models import Account
from webhooks.inbound import keywords
from webhooks.inbound.keywords import Found, Kind
from webhooks.models import Inbound

MAX_SENDER: Final = 16  # characters; longer numbers can't be a message's sender

# How WhatsApp spells numbers that were longer or shorter once: a Brazilian mobile without its 9, a Mexican one with 1.
_OLD_SPELLINGS: Final = (
    (re.compile(r"\A\+55(\d\d)([6-9]\d{7})\Z"), r"+55\g<1>9\2"),
    (re.compile(r"\A\+521(\d{10})\Z"), r"+52\1"),
)


def mark(message: Inbound) -> None:
    """Note on a row that is not stored yet what its text is."""
    found = keywords.find(message.body)
    message.keyword = found.kind if found else ""


def act(stored: Sequence[Inbound]) -> None:
    """Do what the messages ask for, in the order in which they were written; inside the caller's transaction."""
    now = timezone.now()
    chats = [row for row in stored if row.channel == Channel.WHATSAPP]
    if chats:
        windows.note((Heard(row.connection_id, row.to, row.sender, row.received_at) for row in chats), now)
    asking = [row for row in stored if row.account_id and row.keyword in (Kind.STOP, Kind.START, Kind.HELP)]
    if not asking:
        return
    accounts = Account.objects.filter(opt_out_keywords=True).in_bulk({row.account_id for row in asking})
    for row in sorted(asking, key=lambda row: (row.received_at, row.id)):
        account, found = accounts.get(row.account_id), keywords.find(row.body)
        number = person_of(row)
        if account is not None and found is not None and number is not None:
            _answer(row, account, Person(account.id, row.test, number), found)


def person_of(message: Inbound) -> str | None:
    """The sender's number as recipients are spelt; None for a name or a short code, which nobody writes back to."""
    spelt = message.sender
    for old, new in _OLD_SPELLINGS:
        spelt = old.sub(new, spelt)
    try:
        return numbers.normalise(spelt)
    except numbers.InvalidNumber:
        return None


def _answer(message: Inbound, account: Account, person: Person, found: Found) -> None:
    ours = message.to if len(message.to) <= MAX_SENDER else ""
    sender = ours if account.opt_out_per_number else ""
    code = keywords.language(found, person.number)
    text = ""
    match found.kind:
        case Kind.STOP:
            owed = suppressions.opt_out(person, sender, found.word, timezone.now())
            text = (account.opt_out_reply or keywords.STOPPED[code]) if owed and account.opt_out_confirm else ""
        case Kind.START:
            free = suppressions.opt_in(person, ours)
            text = keywords.STARTED[code] if free and account.opt_out_confirm else ""
        case Kind.HELP:
            text = account.help_reply
    if text:
        reply(person, message.channel, ours, text, connection_id=message.connection_id, about=message.id)
