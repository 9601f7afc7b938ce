"""Claiming messages before the call, and settling them after it: the two writes of a deliver task.

`claim` writes the attempt before anything leaves, so a crash leaves a trace. `settle` records what the provider
answered and moves the message. Both take a batch in one transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from dispatch import gate, spans, suppressions, transitions, windows
from dispatch.changes import DETAIL_LENGTH, Change
from dispatch.claims import Held, Reader
from dispatch.directory import Entry
from dispatch.models import Attempt, Message
from dispatch.providers.base import Accepted, Rejected
from dispatch.rows import Facts, facts, facts_and_text
from dispatch.states import State
from dispatch.suppressions import OPTED_OUT
from dispatch.verdicts import Claim, Ending, by_template, decide, outcome_of
from dispatch.vocabulary import AttemptOutcome, UnknownPolicy
from sendmsg.prepared import Prepared
from sendmsg.telemetry import traces

# By arrays, and not by the models: making a row of each would take longer than storing it.
FINISH = Prepared("""
UPDATE dispatch_attempt a SET finished_at = v.finished_at, outcome = v.outcome, code = v.code, detail = v.detail
FROM unnest(
    %(messages)s::uuid[], %(numbers)s::int[], %(at)s::timestamptz[], %(outcomes)s::text[], %(codes)s::text[],
    %(details)s::text[]
) AS v(message_id, number, finished_at, outcome, code, detail)
WHERE a.message_id = v.message_id AND a.number = v.number
    AND (a.outcome = '' OR (a.outcome = 'unknown' AND v.outcome = 'accepted'))
""")
BEGIN = Prepared("""
INSERT INTO dispatch_attempt (message_id, number, connection_id, started_at, outcome, code, detail)
SELECT message_id, number, %(connection)s::bigint, %(now)s::timestamptz, '', '', ''
FROM unnest(%(messages)s::uuid[], %(numbers)s::int[]) AS c(message_id, number)
""")
REFER = Prepared("""
INSERT INTO dispatch_providerreference (connection_id, value, message_id, attempt)
SELECT * FROM unnest(%(connections)s::bigint[], %(values)s::text[], %(messages)s::uuid[], %(attempts)s::int[])
ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one claim ended, and when."""

    claim: Claim
    ending: Ending
    at: datetime


def claim(references: Sequence[tuple[UUID, int]], entry: Entry) -> list[Held]:
    """Take the messages that are still in the release the task names; the others are somebody else's, or done.

    What may not be sent any more (`dispatch.gate`) is settled here, and missing from the answer.
    """
    began = timezone.now()
    with traces.batch("claim batch", {"connection": entry.name}):
        held = _claim(references, entry)
        spans.claimed(held, entry.name, began)
    return held


def _claim(references: Sequence[tuple[UUID, int]], entry: Entry) -> list[Held]:
    with transaction.atomic():
        now = timezone.now()
        moved = transitions.apply(
            [
                Change(
                    message_id,
                    State.SENDING,
                    release=release,
                    lease_until=now + settings.SEND_LEASE,
                    data={"connection": entry.name},
                )
                for message_id, release in references
            ]
        )
        tries = {move.message_id: move.tries for move in moved}
        rows = facts_and_text(tries)
        asked, reader = _asked(rows, entry), Reader()
        held = [reader.held(row, entry, asked.get(row.id)) for row in rows]
        _begin_attempts(held, entry, now)
        leaving, stopped = gate.look({row.id: row for row in rows}, held, entry, now)
        if stopped:
            settlements = [Settlement(item.claim, why, now) for item, why in stopped]
            _finish_attempts(settlements)
            _move(settlements)
    return leaving


def settle(settlements: Sequence[Settlement]) -> None:
    """Record the endings and move the messages, unless somebody else has meanwhile.

    An id that the provider gave is kept even then: its receipt will name it.
    """
    with transaction.atomic():
        _finish_attempts(settlements)
        _keep_references(settlements)
        _move(settlements)
        _remember_opted_out(settlements)
        _remember_closed(settlements)


def renew(claims: Sequence[Claim]) -> set[UUID]:
    """Extend the leases of messages still being sent; those that are still ours are returned."""
    until = timezone.now() + settings.SEND_LEASE
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE dispatch_message SET lease_until = %s WHERE state = 'sending' AND (id, release) IN"
            " (SELECT * FROM unnest(%s::uuid[], %s::int[])) RETURNING id",
            [until, [str(claim.message_id) for claim in claims], [claim.release for claim in claims]],
        )
        return {row[0] for row in cursor.fetchall()}


def _begin_attempts(held: Sequence[Held], entry: Entry, now: datetime) -> None:
    claims = [item.claim for item in held]
    with database.cursor() as cursor:
        ids, numbers = [str(one.message_id) for one in claims], [one.attempt for one in claims]
        BEGIN.run(cursor, {"connection": entry.id, "now": now, "messages": ids, "numbers": numbers})


def _keep_references(settlements: Sequence[Settlement]) -> None:
    given = [
        (item.claim, value)
        for item in settlements
        if isinstance(item.ending, Accepted)
        for value in item.ending.provider_ids
    ]
    if not given:
        return
    columns = {
        "connections": [claim.connection_id for claim, _ in given],
        "values": [value for _, value in given],
        "messages": [str(claim.message_id) for claim, _ in given],
        "attempts": [claim.attempt for claim, _ in given],
    }
    with database.cursor() as cursor:
        REFER.run(cursor, columns)


def _asked(rows: Iterable[Facts], entry: Entry) -> dict[UUID, datetime]:
    """The messages that are asked about, and not sent: when the try began that nobody knows the outcome of."""
    if entry.doubt.policy is UnknownPolicy.RESEND:
        return {}
    doubtful = [row.id for row in rows if row.in_doubt]
    if not doubtful:
        return {}
    tries = Attempt.objects.filter(message_id__in=doubtful, outcome=AttemptOutcome.UNKNOWN, connection_id=entry.id)
    began = dict(tries.order_by().values_list("message_id").annotate(at=Min("started_at")))
    created = {row.id: row.created_at for row in rows}
    return {message_id: began.get(message_id, created[message_id]) for message_id in doubtful}


def _move(settlements: Sequence[Settlement]) -> None:
    transitions.apply([decide(item.claim, item.ending, item.at) for item in settlements])


def _remember_opted_out(settlements: Sequence[Settlement]) -> None:
    """Who opted out with the provider is not written to again."""
    refused = {
        item.claim.message_id: (item.claim.channel, item.ending.detail)
        for item in settlements
        if isinstance(item.ending, Rejected) and item.ending.code == OPTED_OUT
    }
    if refused:
        suppressions.block([(row, *refused[row.id]) for row in facts(refused)])


def _remember_closed(settlements: Sequence[Settlement]) -> None:
    """What is tried again by a template must not be a text again."""
    again = {item.claim.message_id: item for item in settlements if by_template(item.claim, item.ending)}
    if again:
        rows = Message.objects.filter(id__in=again).values_list("id", "to")
        windows.refuse([(again[message_id].claim.connection_id, to) for message_id, to in rows], timezone.now())


def _finish_attempts(settlements: Sequence[Settlement]) -> None:
    columns = {
        "messages": [str(item.claim.message_id) for item in settlements],
        "numbers": [item.claim.attempt for item in settlements],
        "at": [item.at for item in settlements],
        "outcomes": [outcome_of(item.ending).value for item in settlements],
        "codes": [getattr(item.ending, "code", "") for item in settlements],
        "details": [getattr(item.ending, "detail", "")[:DETAIL_LENGTH] for item in settlements],
    }
    with database.cursor() as cursor:
        FINISH.run(cursor, columns)
