"""The list of messages where no index helps: it then looks at the newest alone, and says so.

A connection, a provider, a channel and a priority have no index of their own: each would cost every message that is
sent. Where the wanted ones are rare, the list would walk through everything that there is to find fifty.
"""

from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dispatch.states import State
from sendmsg.admin import BigChangeList
from sendmsg.ids import first_id

RECENT: Final = timedelta(days=1)
UNINDEXED: Final = {"connection", "provider", "channel__exact", "priority__exact"}
NARROW: Final = {"age", "day", "broadcast", "error_code", "q"}


class MessageList(BigChangeList):
    """`recent`: whether older ones are left out."""

    recent = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        if not needs_bound(request.GET.dict()):
            return rows
        self.recent = True
        return rows.filter(id__gte=first_id(timezone.now() - RECENT))


def needs_bound(asked: dict[str, Any]) -> bool:
    """Whether nothing that was asked for has an index. Of states, only `delivered` has none: most messages have it."""
    if not any(asked.get(name) for name in UNINDEXED) or any(asked.get(name) for name in NARROW):
        return False
    return asked.get("state__exact") in (None, "", State.DELIVERED) and asked.get("mode") != "test"
