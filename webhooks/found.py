"""What the admin's search box finds of webhooks: receipts, messages from people, endpoints and callbacks."""

from typing import Any, Final

from django.db.models import Q, QuerySet

from dispatch.admin.finding import Kind, by_id, connection_ids
from dispatch.admin.messages import short
from sendmsg.admin import badge
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.inbound import reading
from webhooks.models import Inbound, Receipt


def _receipts(term: str) -> QuerySet[Any]:
    """Those that belong to no message; a message's own page has the others."""
    return Receipt.objects.filter(connection_id__in=connection_ids(), provider_id=term[:128], message=None)


def _inbound(term: str) -> QuerySet[Any]:
    named = Q(connection_id__in=connection_ids(), provider_id=term[:128]) | Q(sender=reading.phone(term))
    return Inbound.objects.filter(named | Q(pk__in=by_id(Inbound)(term).values("pk"))).defer("body")


KINDS: Final = [
    Kind(
        "webhooks.view_inbound",
        "From people",
        "admin:webhooks_inbound_change",
        _inbound,
        lambda row: (short(row.id), row.get_channel_display(), f"{row.received_at:%Y-%m-%d %H:%M:%S}"),
    ),
    Kind(
        "webhooks.view_receipt",
        "Receipts without a message",
        "admin:webhooks_receipt_change",
        _receipts,
        lambda row: (row.provider_id, badge(row.status), badge(row.state)),
    ),
    Kind(
        "webhooks.view_endpoint",
        "Endpoints",
        "admin:webhooks_endpoint_change",
        by_id(Endpoint),
        lambda row: (row.url, badge(row.state)),
    ),
    Kind(
        "webhooks.view_callback",
        "Callbacks",
        "admin:webhooks_callback_change",
        by_id(Callback),
        lambda row: (row.type, badge(row.state)),
    ),
]
