"""From a parked receipt to its message: find it by the provider's id, move it if the graph allows, note it if not.

A receipt of a message that is not `sent` yet stays parked: it overtook our own settle, or an earlier try of a message
that is being repeated. One of a message that waits in doubt ends the doubt. Of several receipts of one message the one
that says most moves it, the others are noted; so is one that says "not delivered" for a connection that the message has
left since, and one of a part while the others are still to come (`webhooks.inbound.parts`). Where its route says so, an
undelivered message is queued for the next connection.

A receipt that says that the recipient opted out suppresses the recipient, and sends nobody anywhere else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import connection as database
from django.db.models import Max, Prefetch
from django.utils import timezone

from dispatch import breaker, spans, suppressions, transitions, windows
from dispatch.claims import Reader
from dispatch.models import Attempt, Connection, Message
from dispatch.rows import facts
from dispatch.states import State
from dispatch.transitions import Change
from dispatch.vocabulary import AttemptOutcome, ReceiptStatus
from sendmsg.journal.events import Event, EventType, record
from sendmsg.prepared import Prepared
from sendmsg.telemetry import metrics
from webhooks.inbound.parts import together
from webhooks.inbound.registry import INBOUND
from webhooks.models import Receipt

BATCH = 1000  # parked receipts a look

# Where a provider echoes our own id, a receipt finds its message although the answer to the send, and with it the
# provider's id, never came. Only of a message that was tried by that connection.
ECHOED = Prepared("""
INSERT INTO dispatch_providerreference (connection_id, value, message_id, attempt)
SELECT r.connection_id, r.provider_id, r.echoed_id, max(a.number)
FROM webhooks_receipt r
JOIN dispatch_attempt a ON a.message_id = r.echoed_id AND a.connection_id = r.connection_id
WHERE r.state = 'parked'
GROUP BY r.connection_id, r.provider_id, r.echoed_id
ON CONFLICT DO NOTHING
""")

# Receipts whose message is known and settled, locked; several pumps skip each other's.
STATEMENT = Prepared("""
SELECT r.id, f.message_id FROM webhooks_receipt r
JOIN dispatch_providerreference f ON f.connection_id = r.connection_id AND f.value = r.provider_id
JOIN dispatch_message m ON m.id = f.message_id
WHERE r.state = 'parked' AND (NOT m.state = ANY(%(unsettled)s::text[]) OR (m.state = 'queued' AND m.in_doubt))
ORDER BY r.id LIMIT %(limit)s::int FOR UPDATE OF r SKIP LOCKED
""")
# Django's bulk_update takes longer than all the rest together: it writes a CASE with a WHEN for every row.
MATCHED = Prepared("""
UPDATE webhooks_receipt r SET message_id = v.message_id, state = v.state
FROM unnest(%(ids)s::bigint[], %(messages)s::uuid[], %(states)s::text[]) AS v(id, message_id, state) WHERE r.id = v.id
""")
UNSETTLED = [State.QUEUED.value, State.RELEASED.value, State.SENDING.value]

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
    with database.cursor() as cursor:
        ECHOED.run(cursor, {})
        STATEMENT.run(cursor, {"unsettled": UNSETTLED, "limit": BATCH})
        owners: dict[int, UUID] = dict(cursor.fetchall())
    if not owners:
        return 0
    by_message: dict[UUID, list[Receipt]] = defaultdict(list)
    # Not by a join: that would decrypt the connection's credentials anew for each receipt.
    connections = Prefetch("connection", Connection.objects.defer("credentials"))
    for receipt in Receipt.objects.filter(id__in=owners).prefetch_related(connections).order_by("id"):
        by_message[owners[receipt.id]].append(receipt)
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
    windows.refuse([(strongest[one].connection_id, messages[one].to) for one in late & moved], timezone.now())
    # A relay took it between our look and the move: once it is settled, the receipt has its turn.
    missed = {change.message_id for change in changes if messages[change.message_id].in_doubt} - moved
    for message_id in missed:
        del by_message[message_id]
    applied = {strongest[message_id].id for message_id in moved}
    _write(by_message, applied, messages)
    _remember_opted_out(by_message, messages, reader)
    _heard(by_message)
    return len(owners)


def _strongest(by_message: Mapping[UUID, Sequence[Receipt]]) -> dict[UUID, Receipt]:
    """The receipt of each message that says most; one of a part says something when it says what all parts do."""
    parts = together(by_message.keys())
    found = {}
    for message_id, receipts in by_message.items():
        telling = [
            receipt
            for receipt in receipts
            if parts.get((receipt.connection_id, receipt.provider_id), receipt.status) == receipt.status
        ]
        if telling:
            found[message_id] = max(telling, key=lambda receipt: RANK[receipt.status])
    return found


def _change(message: Message, receipt: Receipt, reader: Reader, late: bool) -> Change | None:
    """What the receipt does to its message; None if nothing. `late`: its text came after WhatsApp's 24 hours."""
    data = _data(receipt)
    if receipt.status == ReceiptStatus.UNDELIVERED and receipt.connection_id != message.connection_id:
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


def _by_template(message: Message, receipt: Receipt) -> bool:
    """Whether a text that came too late is sent again, by its connection's template; never twice."""
    inbound = INBOUND.get(receipt.connection.provider)
    return (
        receipt.status == ReceiptStatus.UNDELIVERED
        and inbound is not None
        and receipt.error_code in inbound.window_closed_codes
        and bool(receipt.connection.whatsapp_template)
        and message.state == State.SENT
        and message.connection_id == receipt.connection_id
        and message.expires_at > timezone.now()
        and not windows.was_closed(receipt.connection_id, message.to, message.updated_at)
    )


def _opted_out(receipt: Receipt) -> bool:
    inbound = INBOUND.get(receipt.connection.provider)
    return inbound is not None and receipt.error_code in inbound.opted_out_codes


def _remember_opted_out(
    by_message: Mapping[UUID, Sequence[Receipt]], messages: Mapping[UUID, Message], reader: Reader
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


def _heard(by_message: Mapping[UUID, Sequence[Receipt]]) -> None:
    """Tell the breakers how late these receipts are."""
    accepted = dict(
        Attempt.objects.filter(message_id__in=by_message, outcome=AttemptOutcome.ACCEPTED)
        .order_by()
        .values_list("message_id")
        .annotate(at=Max("finished_at"))
    )
    late: dict[str, list[float]] = defaultdict(list)
    for message_id, receipts in by_message.items():
        at = accepted.get(message_id)
        for receipt in receipts:
            if at is not None and receipt.status in TARGET:
                late[receipt.connection.name].append(max(0.0, (receipt.received_at - at).total_seconds()))
    for name, seconds in late.items():
        breaker.heard(name, len(seconds), sum(seconds))


def _write(by_message: Mapping[UUID, Sequence[Receipt]], applied: set[int], messages: Mapping[UUID, Message]) -> None:
    now = timezone.now()
    noted: list[Event] = []
    rows: list[tuple[int, UUID, str]] = []
    for message_id, group in by_message.items():
        for receipt in group:
            state = Receipt.State.APPLIED if receipt.id in applied else Receipt.State.NOTED
            metrics.RECEIPTS.labels(receipt.connection.name, state.value).inc()
            metrics.RECEIPT_LAG.observe(max(0.0, (now - receipt.received_at).total_seconds()))
            if receipt.id in applied:
                metrics.RECEIPT_STATUSES.labels(receipt.connection.name, receipt.status).inc()
            rows.append((receipt.id, message_id, state.value))
            spans.heard(messages[message_id], receipt, receipt.connection.name, state.value)
            if receipt.id not in applied:
                data = {**_data(receipt), "status": receipt.status}
                noted.append(Event(message_id, messages[message_id].account_id, EventType.RECEIPT, now, data))
    ids, owners, states = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    with database.cursor() as cursor:
        MATCHED.run(cursor, {"ids": ids, "messages": [str(owner) for owner in owners], "states": states})
    record(noted)


def _data(receipt: Receipt) -> dict[str, str]:
    data = {
        "connection": receipt.connection.name,
        "provider_id": receipt.provider_id,
        "at": receipt.at.isoformat(),
    }
    return data | ({"code": receipt.error_code} if receipt.error_code else {})
