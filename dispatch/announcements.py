"""Announcing what clients may want to hear of. Messages announce themselves, in `dispatch.transitions`.

Promises: an announcement is committed with what it tells of, or not at all; it costs one look into a short index where
nobody listens.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from dispatch.models import Announcement, Listener


def announce(account_id: UUID, test: bool, kind: str, data: Mapping[str, Any], *, at: datetime | None = None) -> None:
    """Tell the account's endpoints of this mode that `kind` (`broadcast.finished`) happened, `at` (default: now).

    Inside the caller's transaction. `data` is sent as it is: JSON values, and only what the client may see.
    """
    if Listener.objects.filter(account_id=account_id, test=test).exists():
        Announcement.objects.create(
            account_id=account_id, test=test, type=kind, data=dict(data), at=at or timezone.now()
        )
