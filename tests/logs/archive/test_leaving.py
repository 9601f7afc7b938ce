"""Days leave after an account's own number of them, and after the settings' for everybody else."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pytest_django.fixtures import Settings

from sendmsg.accounts.models import Account
from sendmsg.logs.archive.leaving import leaving

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 10, 0, 30, tzinfo=UTC)


def test_an_account_without_days_of_its_own_has_those_of_the_settings(acme: Account, settings: Settings) -> None:
    settings.LOGS_RETENTION = timedelta(days=3)

    found = leaving(NOW)

    assert [found.has(acme.id, date(2026, 3, day)) for day in (6, 7)] == [True, False]
    assert [found.any(date(2026, 3, day)) for day in (6, 7)] == [True, False]


@pytest.mark.parametrize(("days", "last"), [(1, date(2026, 3, 8)), (3, date(2026, 3, 6)), (10, date(2026, 2, 27))])
def test_an_account_has_its_own(acme: Account, settings: Settings, days: int, last: date) -> None:
    settings.LOGS_RETENTION = timedelta(days=3)
    globex = Account.objects.create(name="Globex", timeline_days=days)

    found = leaving(NOW)

    assert [found.has(globex.id, day) for day in (last, last + timedelta(days=1))] == [True, False]
    assert found.any(last)
    assert not found.has(acme.id, date(2026, 3, 7))


def test_a_day_leaves_at_midnight_utc_whatever_the_zone_of_the_clock(acme: Account, settings: Settings) -> None:
    settings.LOGS_RETENTION = timedelta(days=1)
    west = timezone(timedelta(hours=-8))
    evening = datetime(2026, 3, 9, 15, 59, tzinfo=west)  # 23:59 UTC

    assert not leaving(evening).has(acme.id, date(2026, 3, 8))
    assert leaving(evening + timedelta(minutes=1)).has(acme.id, date(2026, 3, 8))
