"""How long each account's things are kept: as its row says, else as the settings do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.conf import settings

from sendmsg.accounts.models import Account


@dataclass(frozen=True, slots=True)
class Periods:
    """Of one account. `archive`: None keeps its files for ever."""

    account_id: UUID
    bodies: timedelta
    messages: timedelta
    archive: timedelta | None

    def oldest_message_day(self, now: datetime) -> date:
        """What was accepted before this day (UTC) leaves."""
        return (now - self.messages).astimezone(UTC).date()


def periods() -> Iterator[Periods]:
    """Of every account."""
    for row in Account.objects.order_by("id").only("id", "body_days", "message_days", "archive_days"):
        archive = settings.ARCHIVE_RETENTION_DAYS if row.archive_days is None else row.archive_days
        bodies = settings.BODY_RETENTION_DAYS if row.body_days is None else row.body_days
        yield Periods(
            row.id,
            bodies=timedelta(days=bodies),
            messages=timedelta(days=row.message_days or settings.MESSAGE_RETENTION_DAYS),
            archive=timedelta(days=archive) if archive else None,
        )


def longest() -> timedelta:
    """For what is nobody's: as long as the settings keep messages."""
    return timedelta(days=settings.MESSAGE_RETENTION_DAYS)
