"""From a parked receipt to its message: find it by the provider's id, move it if the graph allows, note it if not.

A receipt of a message that is not `sent` yet stays parked: it overtook our own settle, or an earlier try of a message
that is being repeated. Of several receipts of one message the one that says most moves it, the others are noted.
"""

from collections import defaultdict
from uuid import UUID

from django.db import connection as database
from django.utils import timezone

from dispatch import transitions
from dispatch.models import Message
from dispatch.states import State
from dispatch.transitions import Change
from dispatch.vocabulary import ReceiptStatus
from sendmsg.journal.events import Event, EventType, record
from sendmsg.telemetry import metrics
from webhooks.models import Receipt

BATCH = 1000  # parked receipts a look

# Receipts whose message is known and settled, locked; several pumps skip each other's.
STATEMENT = """
SELECT r.id, f.message_id FROM webhooks_receipt r
JOIN dispatch_providerreference f ON f.connection_id = r.connection_id AND f.value = r.provider_id
JOIN dispatch_message m ON m.id = f.message_id
WHERE r.state = 'parked' AND NOT m.state = ANY(%s)
ORDER BY r.id LIMIT %s FOR UPDATE OF r SKIP LOCKED
"""
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
        cursor.execute(STATEMENT, [UNSETTLED, BATCH])
        owners: dict[int, UUID] = dict(cursor.fetchall())
    if not owners:
        return 0
    by_message: dict[UUID, list[Receipt]] = defaultdict(list)
    for receipt in Receipt.objects.filter(id__in=owners).select_related("connection").order_by("id"):
        by_message[owners[receipt.id]].append(receipt)
    strongest = {
        message_id: max(receipts, key=lambda receipt: RANK[receipt.status])
        for message_id, receipts in by_message.items()
    }
    changes = [
        Change(message_id, TARGET[receipt.status], code=receipt.error_code, detail="", data=_data(receipt))
        for message_id, receipt in strongest.items()
        if receipt.status in TARGET
    ]
    moved = {move.message_id for move in transitions.apply(changes)}
    applied = {strongest[message_id].id for message_id in moved}
    _write(by_message, applied)
    return len(owners)


def _write(by_message: dict[UUID, list[Receipt]], applied: set[int]) -> None:
    now = timezone.now()
    accounts = dict(Message.objects.filter(id__in=by_message).values_list("id", "account_id"))
    noted: list[Event] = []
    receipts: list[Receipt] = []
    for message_id, group in by_message.items():
        for receipt in group:
            receipt.message_id = message_id
            receipt.state = Receipt.State.APPLIED if receipt.id in applied else Receipt.State.NOTED
            metrics.RECEIPTS.labels(receipt.connection.name, receipt.state).inc()
            receipts.append(receipt)
            if receipt.id not in applied:
                data = {**_data(receipt), "status": receipt.status}
                noted.append(Event(message_id, accounts[message_id], EventType.RECEIPT, now, data))
    Receipt.objects.bulk_update(receipts, ["message", "state"])
    record(noted)


def _data(receipt: Receipt) -> dict[str, str]:
    data = {
        "connection": receipt.connection.name,
        "provider_id": receipt.provider_id,
        "at": receipt.at.isoformat(),
    }
    return data | ({"code": receipt.error_code} if receipt.error_code else {})
