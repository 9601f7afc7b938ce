"""WhatsApp's 24 hours: what a person wrote opens them, and only in them any text may be sent to that person.

Whether a window is open can only be said of a number of ours whose messages reach us: one that never brought any is
left to the provider, which refuses for itself. What it refused is remembered for `REFUSED`, so that the template
carries the message at once instead of another text. People are told apart by the last `DIGITS` digits, because WhatsApp
spells the numbers of some countries in ways of its own; two that share them cost a refusal of the provider's.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection as database
from django.db.models import Q

from dispatch.models import WhatsAppWindow

WINDOW: Final = timedelta(hours=24)
REFUSED: Final = timedelta(hours=1)  # a text is tried again after that: the person may have written unseen by us
DIGITS: Final = 8  # Brazil's ninth digit, Mexico's 1 and Argentina's 9 stand before them

NOTE = """
INSERT INTO dispatch_whatsappwindow AS w (connection_id, number, recipient, last_inbound_at)
VALUES (%s, %s, %s, %s)
ON CONFLICT (connection_id, number, recipient)
DO UPDATE SET last_inbound_at = GREATEST(w.last_inbound_at, EXCLUDED.last_inbound_at)
"""

REFUSE = """
INSERT INTO dispatch_whatsappwindow AS w (connection_id, number, recipient, refused_at)
VALUES (%s, '', %s, %s)
ON CONFLICT (connection_id, number, recipient)
DO UPDATE SET refused_at = GREATEST(w.refused_at, EXCLUDED.refused_at)
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody wrote to a number of ours."""

    connection_id: int
    number: str
    recipient: str
    at: datetime


def note(heard: Iterable[Heard], now: datetime) -> None:
    """Open the windows, inside the caller's transaction. A time that is still to come counts as now."""
    latest: dict[tuple[int, str, str], datetime] = {}
    for one in heard:
        key = (one.connection_id, one.number, tail(one.recipient))
        at = min(one.at, now)
        latest[key] = max(latest.get(key, at), at)
    with database.cursor() as cursor:
        for key in sorted(latest):  # as everybody does: two pumps must not wait for each other crosswise
            cursor.execute(NOTE, [*key, latest[key]])


def refuse(pairs: Iterable[tuple[int, str]], now: datetime) -> None:
    """A provider took no text for these, of connection and recipient. Inside the caller's transaction."""
    with database.cursor() as cursor:
        for connection_id, recipient in sorted({(connection, tail(recipient)) for connection, recipient in pairs}):
            cursor.execute(REFUSE, [connection_id, recipient, now])


def closed(connection_id: int, pairs: Collection[tuple[str, str]], now: datetime) -> set[tuple[str, str]]:
    """Those pairs of sender and recipient whose window is known to be closed. Without a sender any number counts."""
    rows = WhatsAppWindow.objects.filter(
        Q(last_inbound_at__gt=now - WINDOW) | Q(refused_at__gt=now - REFUSED),
        connection_id=connection_id,
        recipient__in={tail(recipient) for _, recipient in pairs},
    )
    refused: dict[str, datetime] = {}
    opened: dict[tuple[str, str], datetime] = {}
    for row in rows:
        if row.refused_at is not None:
            refused[row.recipient] = row.refused_at
        elif row.last_inbound_at is not None:
            for number in (row.number, ""):
                key = (number, row.recipient)
                opened[key] = max(row.last_inbound_at, opened.get(key, row.last_inbound_at))
    found: set[tuple[str, str]] = set()
    unsure: set[tuple[str, str]] = set()
    for sender, recipient in pairs:
        refused_at, opened_at = refused.get(tail(recipient)), opened.get((sender, tail(recipient)))
        if refused_at is not None and (opened_at is None or opened_at < refused_at):
            found.add((sender, recipient))
        elif opened_at is None:
            unsure.add((sender, recipient))
    heard = {sender: _is_heard(connection_id, sender) for sender in {sender for sender, _ in unsure}}
    return found | {pair for pair in unsure if heard[pair[0]]}


def was_closed(connection_id: int, recipient: str, at: datetime) -> bool:
    """Whether a text had been refused shortly before: what was sent then was a template."""
    rows = WhatsAppWindow.objects.filter(connection_id=connection_id, number="", recipient=tail(recipient))
    return rows.filter(refused_at__gt=at - REFUSED, refused_at__lte=at).exists()


def _is_heard(connection_id: int, sender: str) -> bool:
    """Whether what people write to the number reaches us."""
    rows = WhatsAppWindow.objects.filter(connection_id=connection_id, last_inbound_at__isnull=False)
    return (rows.filter(number=sender) if sender else rows).exists()


def tail(number: str) -> str:
    return number[-DIGITS:]
