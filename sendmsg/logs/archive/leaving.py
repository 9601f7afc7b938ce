"""Which days of the timeline leave by now: each account's after its own days, everybody else's after the settings'."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.conf import settings

from sendmsg.accounts.models import Account
from sendmsg.days import bounds


@dataclass(frozen=True, slots=True)
class Leaving:
    """At one time. `kept`: how long after its end a day stays; `own`: of the accounts that have their own."""

    now: datetime
    kept: timedelta
    own: Mapping[UUID, timedelta] = field(default_factory=dict)

    def has(self, account_id: UUID, day: date) -> bool:
        """Whether what happened to the account on that day leaves."""
        return _before(self.now, self.own.get(account_id, self.kept)) > day

    def any(self, day: date) -> bool:
        """Whether that day may hold something that leaves."""
        return _before(self.now, min([self.kept, *self.own.values()])) > day

    def late(self, day: date, accounts: Iterable[UUID] | None = None) -> timedelta:
        """Since when the day should hold nothing of one of the accounts, or of any; nothing while all may stay."""
        periods = [*self.own.values(), self.kept]
        if accounts is not None:
            periods = [self.own.get(account, self.kept) for account in accounts]
        if not periods:
            return timedelta()
        return max(timedelta(), self.now - bounds(day)[1] - min(periods))


def leaving(now: datetime) -> Leaving:
    """One query of the default database."""
    own = Account.objects.exclude(timeline_days=None).values_list("id", "timeline_days")
    return Leaving(now, settings.LOGS_RETENTION, {account: timedelta(days=days) for account, days in own if days})


def _before(now: datetime, kept: timedelta) -> date:
    """Days before this one (UTC) leave."""
    return (now - kept).astimezone(UTC).date()
