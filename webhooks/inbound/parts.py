"""Messages that a provider counts as several: a long text of which each part has an id, and a receipt, of its own.

Such a message is delivered when all its parts are, and undelivered when one of them is. Ids of different tries are no
parts: each try sent the whole message.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from django.db import connection as database

from dispatch.models import ProviderReference
from dispatch.vocabulary import ReceiptStatus
from sendmsg.prepared import Prepared
from webhooks.models import Receipt

# Asked for every receipt, of which next to none is about a part.
SPLIT: Final = Prepared("""
SELECT message_id, connection_id, attempt FROM dispatch_providerreference
WHERE message_id = ANY(%(messages)s::uuid[]) AND attempt IS NOT NULL
GROUP BY message_id, connection_id, attempt HAVING count(*) > 1
""")

Id = tuple[int, str]
"""A connection, and an id of its provider's."""


def together(message_ids: Collection[UUID]) -> Mapping[Id, ReceiptStatus | None]:
    """Of each id that is a part's: what the receipts of all parts say. None: some are still to come."""
    with database.cursor() as cursor:
        SPLIT.run(cursor, {"messages": [str(one) for one in message_ids]})
        split: set[tuple[UUID, int, int]] = set(cursor.fetchall())
    if not split:
        return {}
    groups: dict[tuple[UUID, int, int | None], list[Id]] = defaultdict(list)
    for part in ProviderReference.objects.filter(message_id__in={message_id for message_id, _, _ in split}):
        group = (part.message_id, part.connection_id, part.attempt)
        if group in split:
            groups[group].append((part.connection_id, part.value))
    said = _said([one for ids in groups.values() for one in ids])
    found: dict[Id, ReceiptStatus | None] = {}
    for ids in groups.values():
        found |= dict.fromkeys(ids, _verdict([said[one] for one in ids]))
    return found


def _said(ids: Collection[Id]) -> Mapping[Id, Collection[str]]:
    """The words that were said of each."""
    said: dict[Id, set[str]] = {one: set() for one in ids}
    rows = Receipt.objects.filter(
        connection_id__in={connection_id for connection_id, _ in ids}, provider_id__in={value for _, value in ids}
    )
    for connection_id, value, status in rows.values_list("connection_id", "provider_id", "status"):
        if (connection_id, value) in said:
            said[connection_id, value].add(status)
    return said


def _verdict(parts: Collection[Collection[str]]) -> ReceiptStatus | None:
    """One that was delivered at last counts as such."""
    if all(ReceiptStatus.DELIVERED in words for words in parts):
        return ReceiptStatus.DELIVERED
    failed = any(ReceiptStatus.UNDELIVERED in words and ReceiptStatus.DELIVERED not in words for words in parts)
    return ReceiptStatus.UNDELIVERED if failed else None
