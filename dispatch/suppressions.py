"""Who is not written to: asked when a message is accepted, and again when it is claimed.

Fed by keywords that people write, by providers that block a person, by clients and by operators. A suppression of one
sender or channel leaves the others alone; test keys have a list of their own. If the database can't be asked, nothing
is accepted and nothing is claimed: there is no answer without it.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from django.db import connection as database
from django.db.models import QuerySet
from uuid_utils.compat import uuid7

from dispatch.announcements import announce
from dispatch.models import Suppression
from dispatch.rows import Facts
from dispatch.vocabulary import SuppressionReason
from sendmsg.prepared import Prepared
from sendmsg.telemetry import metrics

OPTED_OUT: Final = "opted_out"
"""Our code for it, of adapters and of messages."""

# Who says STOP twice within a day has been answered. A suppression that is there already keeps its reason: what a
# client or an operator entered is not the person's to lift.
OPT_OUT = """
INSERT INTO dispatch_suppression AS s (
    id, account_id, test, recipient, sender, channel, reason, detail, confirmed_at
) VALUES (%(id)s, %(account)s, %(test)s, %(recipient)s, %(sender)s, '', %(reason)s, %(detail)s, %(at)s)
ON CONFLICT (account_id, recipient, sender, channel, test) DO UPDATE SET confirmed_at = EXCLUDED.confirmed_at
    WHERE s.confirmed_at IS NULL OR s.confirmed_at < EXCLUDED.confirmed_at - interval '24 hours'
RETURNING xmax = 0
"""

CHECK = """
SELECT recipient FROM dispatch_suppression
WHERE account_id = %(account)s AND test = %(test)s AND recipient = ANY(%(recipients)s)
    AND sender IN ('', %(sender)s) AND channel IN ('', %(channel)s)
"""

HELD_BACK = Prepared("""
SELECT account_id, test, recipient, sender, channel, created_at FROM dispatch_suppression
WHERE account_id = ANY(%(accounts)s::uuid[]) AND recipient = ANY(%(recipients)s::text[]) ORDER BY id DESC
""")


Id = TypeVar("Id", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes to, or is written to by, an account. `number`: in E.164."""

    account_id: UUID
    test: bool
    number: str


@dataclass(frozen=True, slots=True)
class Wish(Generic[Id]):
    """A message about to leave; its id comes back as it was given. `senders`, `channels`: its own, and those that its
    way out uses in their place."""

    message_id: Id
    person: Person
    senders: Collection[str]
    channels: Collection[str]


def check(account_id: UUID, recipients: Collection[str], sender: str, channel: str, *, test: bool) -> set[str]:
    """Those of the recipients (E.164; a few thousand at once) who don't want messages from `sender` by `channel`."""
    with database.cursor() as cursor:
        cursor.execute(
            CHECK,
            {
                "account": str(account_id),
                "test": test,
                "recipients": list(recipients),
                "sender": sender,
                "channel": channel,
            },
        )
        return {row[0] for row in cursor.fetchall()}


def hold_back(wishes: Sequence[Wish[Id]]) -> dict[Id, datetime]:
    """The messages that must not leave, and since when; one query for all."""
    if not wishes:
        return {}
    accounts, numbers = {str(wish.person.account_id) for wish in wishes}, {wish.person.number for wish in wishes}
    by_person: dict[Person, list[tuple[str, str, datetime]]] = {}
    with database.cursor() as cursor:
        HELD_BACK.run(cursor, {"accounts": list(accounts), "recipients": list(numbers)})
        for account_id, test, recipient, *what in cursor.fetchall():
            by_person.setdefault(Person(account_id, test, recipient), []).append((what[0], what[1], what[2]))
    if not by_person:
        return {}
    return {
        wish.message_id: created_at
        for wish in wishes
        for sender, channel, created_at in by_person.get(wish.person, ())
        if sender in {"", *wish.senders} and channel in {"", *wish.channels}
    }


def add(rows: Iterable[Suppression]) -> set[UUID]:
    """Store those that are new, inside the caller's transaction; their ids.

    In the order of the unique index: two that add the same must not wait for each other crosswise.
    """
    keys = {(row.account_id, row.recipient, row.sender, row.channel, row.test): row for row in rows}
    if not keys:
        return set()
    ordered = [keys[key] for key in sorted(keys)]
    Suppression.objects.bulk_create(ordered, ignore_conflicts=True)
    stored = list(Suppression.objects.filter(id__in=[row.id for row in ordered]))
    for row in stored:
        metrics.SUPPRESSIONS.labels(row.reason).inc()
        _tell("suppression.created", row)
    return {row.id for row in stored}


def lift(rows: QuerySet[Suppression]) -> int:
    """Delete them, inside the caller's transaction; how many there were."""
    found = list(rows.select_for_update())
    Suppression.objects.filter(id__in=[row.id for row in found]).delete()
    for row in found:
        _tell("suppression.deleted", row)
    return len(found)


def block(refused: Collection[tuple[Facts, str, str]]) -> None:
    """Remember that a provider refused these messages because their recipients opted out with it.

    Each with the channel that it left by, and what the provider said. Inside the caller's transaction.
    """
    add(
        Suppression(
            account_id=message.account_id,
            test=message.test,
            recipient=message.to,
            sender=message.sender,
            channel=channel,
            reason=SuppressionReason.PROVIDER,
            detail=detail[:100],
        )
        for message, channel, detail in refused
    )


def opt_out(person: Person, sender: str, keyword: str, at: datetime) -> bool:
    """Nothing more from `sender` (empty: from any), by any channel. True if the person is owed a confirmation.

    That is once for a suppression, and again for a keyword that comes a day later. Inside the caller's transaction; of
    two at once one is told.
    """
    new = uuid7()
    with database.cursor() as cursor:
        cursor.execute(
            OPT_OUT,
            {
                "id": str(new),
                "account": str(person.account_id),
                "test": person.test,
                "recipient": person.number,
                "sender": sender,
                "reason": SuppressionReason.KEYWORD.value,
                "detail": keyword[:100],
                "at": at,
            },
        )
        row = cursor.fetchone()
    if row is not None and row[0]:
        metrics.SUPPRESSIONS.labels(SuppressionReason.KEYWORD.value).inc()
        _tell("suppression.created", Suppression.objects.get(pk=new))
    return row is not None


def opt_in(person: Person, sender: str) -> bool:
    """Lift what the person asked for, of us or of the provider, for all senders and for this one.

    True if something was lifted and nothing else holds back messages from `sender`.
    """
    theirs = Suppression.objects.filter(
        account_id=person.account_id, test=person.test, recipient=person.number, sender__in={"", sender}
    )
    lifted = lift(theirs.filter(reason__in=[SuppressionReason.KEYWORD, SuppressionReason.PROVIDER]))
    return bool(lifted) and not theirs.exists()


def _tell(kind: str, row: Suppression) -> None:
    about = {
        "id": str(row.id),
        "recipient": row.recipient,
        "from": row.sender or None,
        "channel": row.channel or None,
        "reason": row.reason,
    }
    announce(row.account_id, row.test, kind, about)
