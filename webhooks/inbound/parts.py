"""Messages that a provider counts as several: a long text of which each part has an id, and a receipt, of its own.

Such a message is delivered when all its parts are, and undelivered when one of them is.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models import Count

from dispatch.models import ProviderReference
from dispatch.vocabulary import ReceiptStatus
from webhooks.models import Receipt


def together(message_ids: Collection[UUID]) -> Mapping[UUID, ReceiptStatus | None]:
    """What the receipts of all parts say, of those messages that have parts. None: some are still to come."""
    several = (
        ProviderReference.objects.filter(message_id__in=message_ids)
        .values_list("message_id", "connection_id")
        .annotate(number=Count("id"))
        .filter(number__gt=1)
    )
    split = {(message_id, connection_id) for message_id, connection_id, _ in several}
    if not split:
        return {}
    said: dict[UUID, dict[str, set[str]]] = defaultdict(dict)
    owners: dict[tuple[int, str], UUID] = {}
    for part in ProviderReference.objects.filter(message_id__in={message_id for message_id, _ in split}):
        if (part.message_id, part.connection_id) in split:
            said[part.message_id][part.value] = set()
            owners[part.connection_id, part.value] = part.message_id
    values = {value for _, value in owners}
    connections = {connection_id for connection_id, _ in owners}
    for receipt in Receipt.objects.filter(connection_id__in=connections, provider_id__in=values):
        owner = owners.get((receipt.connection_id, receipt.provider_id))
        if owner is not None:
            said[owner][receipt.provider_id].add(receipt.status)
    return {message_id: _verdict(list(parts.values())) for message_id, parts in said.items()}


def _verdict(parts: Collection[Collection[str]]) -> ReceiptStatus | None:
    """`parts`: the words that were said of each. One that was delivered at last counts as such."""
    if all(ReceiptStatus.DELIVERED in words for words in parts):
        return ReceiptStatus.DELIVERED
    failed = any(ReceiptStatus.UNDELIVERED in words and ReceiptStatus.DELIVERED not in words for words in parts)
    return ReceiptStatus.UNDELIVERED if failed else None
