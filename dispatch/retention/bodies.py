"""Shortens long texts once their message has been final for long enough: what is left is the beginning, the length and
a keyed hash, which tells whether a text that somebody shows was this one.

A message whose text was shortened is never sent again: `dispatch.transitions` refuses to queue it. A text whose key is
gone for good stays as it is, and is not looked at again.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import connection

from dispatch.models import Message
from dispatch.models.messages import LONG, SHORT
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.periods import periods
from dispatch.states import FINAL
from sendmsg.logs.archive import keys
from sendmsg.sealing.fields import gone

SHORTEN = """
UPDATE dispatch_message m SET body = c.body, long = false, body_length = c.length, body_hash = c.hash
FROM unnest(%s::uuid[], %s::text[], %s::int[], %s::text[]) AS c(id, body, length, hash) WHERE m.id = c.id
"""


def step(now: datetime) -> int:
    """Shorten a batch of each account's; how many."""
    return sum(_account(period.account_id, now - period.bodies) for period in periods())


def _account(account_id: UUID, before: datetime) -> int:
    long = Message.objects.filter(
        LONG,
        account_id=account_id,
        updated_at__lt=before,
        state__in=sorted(FINAL),
        body_length=None,
    )
    with batch():
        rows = long.order_by("updated_at").select_for_update(skip_locked=True, no_key=True)
        found = dict(rows.values_list("id", "body")[:ROWS])
        if lost := [message_id for message_id, body in found.items() if gone(body)]:
            Message.objects.filter(id__in=lost).update(long=False)
        _shorten({message_id: body for message_id, body in found.items() if message_id not in lost})
    return len(found)


def _shorten(texts: Mapping[UUID, str]) -> None:
    if not texts:
        return
    hashes, column = keys.fingerprints(texts.values()), Message._meta.get_field("body")
    short = [column.get_prep_value(text[:SHORT]) for text in texts.values()]
    lengths = [len(text) for text in texts.values()]
    with connection.cursor() as cursor:
        cursor.execute(SHORTEN, [list(texts), short, lengths, [hashes[text].hex() for text in texts.values()]])
