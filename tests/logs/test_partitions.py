"""The timeline has a partition for each UTC day, made before it is needed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, connections, transaction

from sendmsg.logs import partitions
from sendmsg.logs.models import Event
from tests.logs.lines import line
from tests.parallel import in_threads

pytestmark = pytest.mark.django_db(databases=["logs"])
DAY = date(2031, 5, 6)  # nobody else's
MIDNIGHT = datetime(2031, 5, 6, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def own_days(transactional_db: None) -> Iterator[None]:
    """Takes the partitions of this test away again: they outlive the emptying of tables."""
    yield
    with connections["logs"].cursor() as cursor:
        for table in made():
            if table.startswith("logs_event_2031"):
                cursor.execute(f"DROP TABLE {table}")


def made() -> list[str]:
    with connections["logs"].cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'logs_event'::regclass")
        return [row[0] for row in cursor.fetchall()]


def partition_of(event: Event) -> str:
    with connections["logs"].cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM logs_event WHERE id = %s", [event.id])
        (name,) = cursor.fetchone() or ("",)
        return str(name)


def ensure(*days: date) -> None:
    with transaction.atomic(using="logs"):
        for day in days:
            partitions.ensure_day(day)


def store(at: datetime) -> Event:
    values = line(at=at)
    return Event.objects.create(
        id=values["id"], message_id=values["message"], account_id=values["account"], type=values["type"], at=at
    )


def test_a_day_ends_at_midnight_utc() -> None:
    ensure(DAY - timedelta(days=1), DAY)

    assert partition_of(store(MIDNIGHT - INSTANT)) == "logs_event_20310505"
    assert partition_of(store(MIDNIGHT)) == "logs_event_20310506"
    assert partition_of(store(MIDNIGHT + timedelta(days=1) - INSTANT)) == "logs_event_20310506"


def test_a_day_without_a_partition_takes_nothing() -> None:
    ensure(DAY)

    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic(using="logs"):
        store(MIDNIGHT + timedelta(days=1))


def test_a_day_that_is_there_stays_as_it_is() -> None:
    ensure(DAY)
    store(MIDNIGHT)

    ensure(DAY, DAY)

    assert Event.objects.count() == 1


@pytest.mark.django_db(databases=["logs"], transaction=True)
@pytest.mark.usefixtures("own_days")
def test_a_partition_that_was_rolled_back_is_made_again() -> None:
    with transaction.atomic(using="logs"):
        partitions.ensure_day(DAY)
        transaction.set_rollback(True, using="logs")
    assert "logs_event_20310506" not in made()

    ensure(DAY)

    assert "logs_event_20310506" in made()


@pytest.mark.django_db(databases=["logs"], transaction=True)
@pytest.mark.usefixtures("own_days")
def test_many_who_make_the_same_days_at_once_all_succeed() -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]

    def work(number: int) -> None:
        for day in days:
            with transaction.atomic(using="logs"):
                partitions.ensure_day(day)
                store(datetime(day.year, day.month, day.day, number, tzinfo=UTC))

    in_threads(8, work)

    assert Event.objects.count() == 8 * len(days)
    assert {f"logs_event_{day:%Y%m%d}" for day in days} <= set(made())
