"""Shortens long texts once their message has been final for long enough: what is left is the beginning, the length and
a keyed hash, which tells whether a text that somebody shows was this one.

A message whose text was shortened is never sent again: `dispatch.transitions` refuses to queue it.
"""

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan

from dispatch.models import Message
from dispatch.models.messages import SHORT
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.periods import periods
from dispatch.states import FINAL
from sendmsg.logs.archive import keys

SHORTEN = """
UPDATE dispatch_message m SET body = left(m.body, %s), body_length = length(m.body), body_hash = c.hash
FROM unnest(%s::uuid[], %s::text[]) AS c(id, hash) WHERE m.id = c.id
"""


def step(now: datetime) -> int:
    """Shorten a batch of each account's; how many."""
    return sum(_account(period.account_id, now - period.bodies) for period in periods())


def _account(account_id: UUID, before: datetime) -> int:
    long = Message.objects.filter(
        GreaterThan(Length("body"), SHORT),
        account_id=account_id,
        updated_at__lt=before,
        state__in=sorted(FINAL),
        body_length=None,
    )
    with batch():
        rows = long.order_by("updated_at").select_for_update(skip_locked=True, no_key=True)
        found = dict(rows.values_list("id", "body")[:ROWS])
        if found:
            hashes = keys.fingerprints(found.values())
            with connection.cursor() as cursor:
                cursor.execute(SHORTEN, [SHORT, list(found), [hashes[body].hex() for body in found.values()]])
    return len(found)
