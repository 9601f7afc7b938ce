"""The rows of those who ask after messages: which are waited for, when to ask next, and what was answered.

A message that is waited for has one row. It is claimed before the question, for its next time, by whoever asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from dispatch import transitions
from dispatch.changes import Change
from dispatch.models import Message, ProviderReference
from dispatch.providers.base import Report
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from webhooks.models import Enquiry

BATCH = 50  # messages of one connection that are asked about in a step
NEW = 500  # messages of one connection that a step begins to wait for
ENDED = 500  # messages of one connection that a step ends
AGAIN = (1, 4, 12, 24)  # hours from the first question to the second, from that to the third, …; the last one repeats
MARGIN = timedelta(minutes=1)  # a transaction that began before our look may commit older rows after it
NO_RECEIPT = "no_receipt"  # the error code of what nobody said anything about in time
FINAL = frozenset({ReceiptStatus.DELIVERED.value, ReceiptStatus.UNDELIVERED.value})

# What is looked after already lies before `since`: each row is looked at once, or a long wait would be a long scan.
# Of two processes that begin at once, the later leaves alone what the other has claimed meanwhile.
BEGIN = """
WITH silent AS (
    SELECT m.id, m.connection_id, m.updated_at FROM dispatch_message m
    WHERE m.connection_id = %(connection)s AND m.state = 'sent' AND m.updated_at >= %(since)s
        AND m.updated_at < %(until)s AND NOT EXISTS (
            SELECT FROM webhooks_enquiry e WHERE e.message_id = m.id AND e.connection_id = m.connection_id
        )
    ORDER BY m.updated_at LIMIT %(limit)s
), begun AS (
    INSERT INTO webhooks_enquiry (message_id, connection_id, asked, ask_at)
    SELECT id, connection_id, 0, %(now)s FROM silent ORDER BY id
    ON CONFLICT (message_id) DO UPDATE SET connection_id = excluded.connection_id, asked = 0, ask_at = excluded.ask_at
        WHERE webhooks_enquiry.connection_id <> excluded.connection_id
)
SELECT updated_at FROM silent
"""

# Those that are over leave; the others are claimed until their next time.
CLAIM = """
WITH due AS (
    SELECT e.message_id, m.state = 'sent' AND m.connection_id = e.connection_id AS waits
    FROM webhooks_enquiry e JOIN dispatch_message m ON m.id = e.message_id
    WHERE e.connection_id = %(connection)s AND e.ask_at <= %(now)s
    ORDER BY e.ask_at LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED
), over AS (
    DELETE FROM webhooks_enquiry e USING due d WHERE e.message_id = d.message_id AND NOT d.waits
)
UPDATE webhooks_enquiry e SET
    asked = e.asked + 1,
    ask_at = %(now)s + interval '1 hour' * (%(again)s::int[])[LEAST(e.asked + 1, %(steps)s)]
FROM due d WHERE e.message_id = d.message_id AND d.waits
RETURNING e.message_id
"""

# A report that came before its message was known, and was given up as an orphan, is evidence again.
REPORTED = """
INSERT INTO webhooks_receipt (connection_id, provider_id, status, error_code, at, received_at, state)
SELECT %(connection)s, v.provider_id, v.status, v.error_code, %(now)s, %(now)s, 'parked'
FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(codes)s::text[]) AS v(provider_id, status, error_code)
ORDER BY v.provider_id, v.status
ON CONFLICT (connection_id, provider_id, status) DO UPDATE SET state = 'parked', received_at = excluded.received_at
    WHERE webhooks_receipt.state = 'orphaned'
"""


@dataclass(frozen=True, slots=True)
class Question:
    """One id of one message."""

    message_id: UUID
    reference: str


def begin(connection_id: int, since: datetime, until: datetime, now: datetime) -> datetime:
    """Wait for what a connection sent between these times, a batch at the most; since when to look the next time."""
    values: dict[str, Any] = {"connection": connection_id, "now": now, "since": since, "until": until, "limit": NEW}
    with database.cursor() as cursor:
        cursor.execute(BEGIN, values)
        found = [row[0] for row in cursor.fetchall()]
    return max(since, (max(found) if len(found) == NEW else until) - MARGIN)


def claim(connection_id: int, now: datetime) -> list[Question]:
    """What to ask about now: every id of a batch of messages whose time has come."""
    values: dict[str, Any] = {
        "connection": connection_id,
        "now": now,
        "limit": BATCH,
        "again": list(AGAIN),
        "steps": len(AGAIN),
    }
    with database.cursor() as cursor:
        cursor.execute(CLAIM, values)
        ids = [row[0] for row in cursor.fetchall()]
    known = ProviderReference.objects.filter(message_id__in=ids, connection_id=connection_id)
    return [Question(*row) for row in known.values_list("message_id", "value")]


def report(connection_id: int, reports: Mapping[str, Report], now: datetime) -> None:
    """Write final answers as receipts, by the provider's ids; the receipts pump finds their messages."""
    final = {reference: one for reference, one in sorted(reports.items()) if one.status in FINAL}
    values: dict[str, Any] = {
        "connection": connection_id,
        "now": now,
        "ids": list(final),
        "statuses": [one.status for one in final.values()],
        "codes": [one.error_code for one in final.values()],
    }
    if final:
        with database.cursor() as cursor:
            cursor.execute(REPORTED, values)


def put_off(questions: Sequence[Question], until: datetime) -> None:
    """They were not asked: that does not count, and their time comes sooner."""
    rows = Enquiry.objects.filter(message_id__in={question.message_id for question in questions})
    rows.update(asked=Greatest(F("asked") - 1, 0), ask_at=until)


def end_overdue(connection_id: int, now: datetime) -> int:
    """Messages of a connection that wait for a receipt since `RECEIPT_DEADLINE` are unknown; how many now became so."""
    with transaction.atomic():
        rows = Message.objects.filter(
            connection_id=connection_id, state=State.SENT, updated_at__lt=now - settings.RECEIPT_DEADLINE
        ).order_by("updated_at")
        ids = list(rows.values_list("id", flat=True).select_for_update(skip_locked=True)[:ENDED])
        changes = [
            Change(message_id, State.UNKNOWN, code=NO_RECEIPT, detail="", data={"code": NO_RECEIPT})
            for message_id in ids
        ]
        moved = transitions.apply(changes)
        Enquiry.objects.filter(message_id__in=[move.message_id for move in moved]).delete()
    return len(moved)
