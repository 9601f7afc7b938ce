"""From a parked receipt to its message: find it by the provider's id, move it if the graph allows, note it if not.

A receipt of a message that is not `sent` yet stays parked: it overtook our own settle, or an earlier try of a message
that is being repeated. One of a message that waits in doubt ends the doubt. Of several receipts of one message the one
that says most moves it, the others are noted; so is one that says "not delivered" for a connection that the message has
left since, and one of a part while the others are still to come (`webhooks.inbound.parts`). Where its route says so, an
undelivered message is queued for the next connection.

A receipt that says that the recipient opted out suppresses the recipient, and sends nobody anywhere else.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection as database
from django.utils import timezone

from dispatch import breaker, spans, suppressions, transitions, windows
from dispatch.changes import Change
from dispatch.claims import Reader
from dispatch.rows import Facts, facts
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from sendmsg.journal.events import Event, EventType, record
from sendmsg.prepared import Prepared
from sendmsg.telemetry import metrics
from webhooks.inbound import stored
from webhooks.inbound.parts import together
from webhooks.inbound.registry import INBOUND
from webhooks.inbound.stored import Parked
from webhooks.models import Receipt

ACCEPTED = Prepared("""
SELECT message_id, max(finished_at) FROM dispatch_attempt
WHERE message_id = ANY(%(messages)s::uuid[]) AND outcome = 'accepted' GROUP BY message_id
""")

TARGET: dict[str, State] = {
    ReceiptStatus.DELIVERED: State.DELIVERED,
    ReceiptStatus.UNDELIVERED: State.UNDELIVERED,
}
RANK: dict[str, int] = {
    ReceiptStatus.DELIVERED: 3,
    ReceiptStatus.UNDELIVERED: 2,
    ReceiptStatus.SENT: 1,
    ReceiptStatus.UNKNOWN: 0,
}


def match_parked() -> int:
    """Match what can be matched now, inside the caller's transaction; how many receipts found their message."""
    found = stored.find()
    if not found:
        return 0
    by_message: dict[UUID, list[Parked]] = defaultdict(list)
    for message_id, receipt in found:
        by_message[message_id].append(receipt)
    strongest = _strongest(by_message)
    messages = {row.id: row for row in facts(by_message)}
    reader = Reader()
    late = {one for one, receipt in strongest.items() if _by_template(messages[one], receipt)}
    changes = [
        change
        for message_id, receipt in strongest.items()
        if (change := _change(messages[message_id], receipt, reader, message_id in late)) is not None
    ]
    moved = {move.message_id for move in transitions.apply(changes)}
    windows.refuse([(strongest[one].connection.id, messages[one].to) for one in late & moved], timezone.now())
    # A relay took it between our look and the move: once it is settled, the receipt has its turn.
    missed = {change.message_id for change in changes if messages[change.message_id].in_doubt} - moved
    for message_id in missed:
        del by_message[message_id]
    applied = {strongest[message_id].id for message_id in moved}
    _write(by_message, applied, messages)
    _remember_opted_out(by_message, messages, reader)
    _heard(by_message)
    return len(found)


def _strongest(by_message: Mapping[UUID, Sequence[Parked]]) -> dict[UUID, Parked]:
    """The receipt of each message that says most; one of a part says something when it says what all parts do."""
    parts = together(by_message.keys())
    found = {}
    for message_id, receipts in by_message.items():
        telling = [
            receipt
            for receipt in receipts
            if parts.get((receipt.connection.id, receipt.provider_id), receipt.status) == receipt.status
        ]
        if telling:
            found[message_id] = max(telling, key=lambda receipt: RANK[receipt.status])
    return found


def _change(message: Facts, receipt: Parked, reader: Reader, late: bool) -> Change | None:
    """What the receipt does to its message; None if nothing. `late`: its text came after WhatsApp's 24 hours."""
    data = _data(receipt)
    if receipt.status == ReceiptStatus.UNDELIVERED and receipt.connection.id != message.connection_id:
        return None
    if late:
        now, code = timezone.now(), receipt.error_code
        return Change(
            message.id, State.QUEUED, due_at=now, in_doubt=False, failed=True, code=code, detail="", data=data
        )
    elsewhere = receipt.status == ReceiptStatus.UNDELIVERED and not _opted_out(receipt)
    if elsewhere and reader.reroutes(message, timezone.now()):
        return Change(
            message.id,
            State.QUEUED,
            due_at=timezone.now(),
            in_doubt=False,
            failed=True,
            refused=[message.option or 0],
            code=receipt.error_code or "undelivered",
            detail="",
            data={**data, "code": receipt.error_code or "undelivered"},
        )
    target = TARGET.get(receipt.status)
    if message.state == State.QUEUED:  # in doubt: any word of it says that it was taken
        target = target or State.SENT
    if target is None:
        return None
    return Change(message.id, target, in_doubt=False, code=receipt.error_code, detail="", data=data)


def _by_template(message: Facts, receipt: Parked) -> bool:
    """Whether a text that came too late is sent again, by its connection's template; never twice."""
    inbound = INBOUND.get(receipt.connection.provider)
    return (
        receipt.status == ReceiptStatus.UNDELIVERED
        and inbound is not None
        and receipt.error_code in inbound.window_closed_codes
        and bool(receipt.connection.whatsapp_template)
        and message.state == State.SENT
        and message.connection_id == receipt.connection.id
        and message.expires_at > timezone.now()
        and not windows.was_closed(receipt.connection.id, message.to, message.updated_at)
    )


def _opted_out(receipt: Parked) -> bool:
    inbound = INBOUND.get(receipt.connection.provider)
    return inbound is not None and receipt.error_code in inbound.opted_out_codes


def _remember_opted_out(
    by_message: Mapping[UUID, Sequence[Parked]], messages: Mapping[UUID, Facts], reader: Reader
) -> None:
    refused = {
        message_id: receipt.error_code
        for message_id, receipts in by_message.items()
        for receipt in receipts
        if receipt.status == ReceiptStatus.UNDELIVERED and _opted_out(receipt)
    }
    suppressions.block(
        [
            (messages[message_id], reader.claim(messages[message_id], None).channel, code)
            for message_id, code in refused.items()
        ]
    )


def _heard(by_message: Mapping[UUID, Sequence[Parked]]) -> None:
    """Tell the breakers how late these receipts are."""
    with database.cursor() as cursor:
        ACCEPTED.run(cursor, {"messages": [str(one) for one in by_message]})
        accepted: dict[UUID, datetime] = dict(cursor.fetchall())
    late: dict[str, list[float]] = defaultdict(list)
    for message_id, receipts in by_message.items():
        at = accepted.get(message_id)
        for receipt in receipts:
            if at is not None and receipt.status in TARGET:
                late[receipt.connection.name].append(max(0.0, (receipt.received_at - at).total_seconds()))
    for name, seconds in late.items():
        breaker.heard(name, len(seconds), sum(seconds))


def _write(by_message: Mapping[UUID, Sequence[Parked]], applied: set[int], messages: Mapping[UUID, Facts]) -> None:
    now = timezone.now()
    noted: list[Event] = []
    rows: list[tuple[int, UUID, Receipt.State]] = []
    told: Counter[tuple[str, Receipt.State, str]] = Counter()
    for message_id, group in by_message.items():
        for receipt in group:
            state = Receipt.State.APPLIED if receipt.id in applied else Receipt.State.NOTED
            rows.append((receipt.id, message_id, state))
            told[receipt.connection.name, state, receipt.status] += 1
            metrics.RECEIPT_LAG.observe(max(0.0, (now - receipt.received_at).total_seconds()))
            spans.heard(messages[message_id], receipt, receipt.connection.name, state.value)
            if state is Receipt.State.NOTED:
                data = {**_data(receipt), "status": receipt.status}
                noted.append(Event(message_id, messages[message_id].account_id, EventType.RECEIPT, now, data))
    for (name, state, status), count in told.items():
        metrics.RECEIPTS.labels(name, state.value).inc(count)
        if state is Receipt.State.APPLIED:
            metrics.RECEIPT_STATUSES.labels(name, status).inc(count)
    stored.settle(rows)
    record(noted)


def _data(receipt: Parked) -> dict[str, str]:
    data = {
        "connection": receipt.connection.name,
        "provider_id": receipt.provider_id,
        "at": receipt.at.isoformat(),
    }
    return data | ({"code": receipt.error_code} if receipt.error_code else {})
