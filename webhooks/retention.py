"""What webhooks have to do with retention (`dispatch.retention`): receipts go with their messages, messages from people
and receipts of no message end by age, and whoever is erased is taken out of all of them and of callbacks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Q

from dispatch.retention import registry
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.erasure import redacted
from dispatch.retention.mentions import mentions
from dispatch.retention.periods import longest, periods
from dispatch.retention.registry import Eraser, Relation, Sweep
from sendmsg.ids import first_id
from webhooks.callbacks.models import Callback
from webhooks.models import Enquiry, Inbound, InboundPart, Receipt

# The oldest by id, which is the order in which they came; of these, what is too old.
ORPHANS: Final = """
WITH oldest AS (
    SELECT id FROM webhooks_receipt WHERE state = 'orphaned' AND message_id IS NULL AND received_at < %s
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM webhooks_receipt r USING oldest WHERE r.id = oldest.id
"""


def receipts(ids: Sequence[UUID]) -> Mapping[UUID, list[dict[str, Any]]]:
    """Of these messages, without the provider's ids."""
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    names = ("connection__name", "status", "error_code", "at", "received_at", "state")
    for row in Receipt.objects.filter(message__in=ids).order_by("id").values("message_id", *names):
        found[row.pop("message_id")].append(row)
    return found


def forget(ids: Sequence[UUID]) -> None:
    """Delete what belongs to these messages, which are deleted next."""
    for model in (Receipt, Enquiry):
        rows: Any = model._default_manager.filter(message__in=ids)
        rows._raw_delete("default")


def orphans(now: datetime) -> int:
    with batch(), connection.cursor() as cursor:
        cursor.execute(ORPHANS, [now - longest(), ROWS])
        return int(cursor.rowcount)


def inbound(now: datetime) -> int:
    """Messages from people: each account's, and those that are nobody's. They are not archived."""
    done = _inbound(Q(account=None), first_id(now - longest()))
    for period in periods():
        done += _inbound(Q(account_id=period.account_id), first_id(now - period.messages))
    return done


def _inbound(whose: Q, before: UUID) -> int:
    done = 0
    for test in (False, True):  # as the index goes
        rows = Inbound.objects.filter(whose, test=test, id__lt=before).order_by("id")
        with batch():
            ids = list(rows.select_for_update(skip_locked=True).values_list("id", flat=True)[:ROWS])
            InboundPart.objects.filter(whole__in=ids).delete()
            done += Inbound.objects.filter(id__in=ids).delete()[0]
    return done


def _erase_inbound(number: str) -> int:
    """Both spellings: some providers leave the plus away."""
    senders = [number, number.removeprefix("+")]
    InboundPart.objects.filter(sender__in=senders).delete()
    done = 0
    while ids := list(Inbound.objects.filter(sender__in=senders).values_list("id", flat=True)[:ROWS]):
        with batch():
            done += Inbound.objects.filter(id__in=ids).update(sender="", body="", media=[])
    return done


def _erase_callbacks(number: str) -> int:
    """What waits is still told, of a message without its recipient: what the client has is the client's to erase."""
    done = 0
    for found in mentions(Callback, number, "body", "response_body"):
        with batch():
            for row in Callback.objects.filter(pk__in=found).order_by("pk").select_for_update():
                Callback.objects.filter(pk=row.pk).update(body=redacted(row.body), response_body="")
                done += 1
    return done


registry.RELATIONS.append(Relation("receipts", receipts, forget))
registry.SWEEPS += [Sweep("receipts", orphans), Sweep("inbound", inbound)]
registry.ERASERS += [Eraser("inbound", _erase_inbound), Eraser("callbacks", _erase_callbacks)]
