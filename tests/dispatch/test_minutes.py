"""Counting minutes: what became of the messages of each, counted once and again until nothing changes any more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection

from dispatch import minutes
from dispatch.models import Message, Minute
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome
from sendmsg.accounts.models import Account
from sendmsg.ids import first_id
from tests.factories import make_attempt, make_message

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def accepted(account: Account, at: datetime, state: State = State.DELIVERED, **fields: Any) -> Message:
    return make_message(account, state, id=first_id(at), created_at=at, **fields)


def minute(at: datetime) -> Minute:
    return Minute.objects.get(at=at)


def test_a_minute_has_the_messages_that_were_accepted_in_it(acme: Account) -> None:
    for second, state in ((0, State.DELIVERED), (30, State.FAILED), (59, State.DELIVERED)):
        accepted(acme, NOON + timedelta(seconds=second), state, error_code="odd" if state is State.FAILED else "")
    accepted(acme, NOON - timedelta(milliseconds=1))
    accepted(acme, NOON + timedelta(minutes=1), State.SENT)

    with time_machine.travel(NOON + timedelta(minutes=2), tick=False):
        minutes.keep()

    assert (minute(NOON).states, minute(NOON).codes) == ({"delivered": 2, "failed": 1}, {"odd": 1})
    assert minute(NOON + timedelta(minutes=1)).states == {"sent": 1}


def test_minutes_in_which_nothing_happened_cost_no_more_however_many(
    acme: Account, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(minutes, "SPAN", timedelta(minutes=30))
    accepted(acme, NOON - timedelta(minutes=40))

    with time_machine.travel(NOON, tick=False), django_assert_num_queries(8):
        assert minutes.keep() == 31

    assert set(Minute.objects.values_list("counted_at", flat=True)) == {NOON}
    assert minute(NOON).waits == [0] * (len(minutes.BOUNDS) + 1)
    assert minute(NOON - timedelta(minutes=20)).again_at == NOON + timedelta(minutes=20)


def test_messages_of_test_keys_are_not_counted(acme: Account) -> None:
    accepted(acme, NOON, test=True)

    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        minutes.keep()

    assert minute(NOON).states == {}


def test_what_changes_later_is_counted_when_the_minute_is_twice_as_old(acme: Account) -> None:
    message = accepted(acme, NOON, State.SENT)
    with time_machine.travel(NOON + timedelta(minutes=10), tick=False):
        minutes.keep()
    Message.objects.filter(id=message.id).update(state=State.DELIVERED)

    with time_machine.travel(NOON + timedelta(minutes=19), tick=False):
        minutes.keep()
    assert minute(NOON).states == {"sent": 1}

    with time_machine.travel(NOON + timedelta(minutes=20), tick=False):
        minutes.keep()
    assert minute(NOON).states == {"delivered": 1}


def test_the_newest_are_counted_every_few_seconds(acme: Account) -> None:
    for second in (1, 20):
        accepted(acme, NOON + timedelta(seconds=second))
        with time_machine.travel(NOON + timedelta(seconds=second + 1), tick=False):
            minutes.keep()

    assert minute(NOON).states == {"delivered": 2}


def test_a_settled_minute_is_counted_no_more_and_an_old_one_goes(
    acme: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minutes, "SPAN", timedelta(minutes=5))  # days without anything are quickly counted
    accepted(acme, NOON)
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        minutes.keep()

    with time_machine.travel(NOON + minutes.SETTLED + timedelta(minutes=1), tick=False):
        minutes.keep()
    assert minute(NOON).again_at is None

    with time_machine.travel(NOON + minutes.KEPT + timedelta(minutes=1), tick=False):
        minutes.keep()
    assert not Minute.objects.filter(at=NOON).exists()


def test_what_was_missed_is_counted_the_newest_first(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "BATCH", 2)

    with time_machine.travel(NOON, tick=False):
        assert minutes.keep() == 2

    counted = Minute.objects.filter(counted_at__isnull=False).values_list("at", flat=True)
    assert list(counted) == [NOON - timedelta(minutes=1), NOON]
    assert Minute.objects.count() == 24 * 60 + 1


def test_waits_are_from_accepted_to_taken_by_the_provider(acme: Account) -> None:
    for second, wait in enumerate((0.1, 0.2, 0.3, 30.0)):
        message = accepted(acme, NOON + timedelta(seconds=second))
        taken = message.created_at + timedelta(seconds=wait)
        make_attempt(message, number=1, outcome=AttemptOutcome.RETRY, finished_at=message.created_at)
        make_attempt(message, number=2, outcome=AttemptOutcome.ACCEPTED, finished_at=taken)

    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        minutes.keep()

    waits = minute(NOON).waits
    assert sum(waits) == 4
    assert 0.1 <= (minutes.quantile(waits, 0.5) or 0) <= 0.3
    assert 20 <= (minutes.quantile(waits, 0.99) or 0) <= 45


def test_a_scheduled_message_waits_from_its_time_on(acme: Account) -> None:
    due = NOON + timedelta(hours=1)
    message = accepted(acme, NOON, send_at=due)
    make_attempt(message, outcome=AttemptOutcome.ACCEPTED, finished_at=due + timedelta(seconds=1))

    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        minutes.keep()

    assert 0.5 < (minutes.quantile(minute(NOON).waits, 0.5) or 0) < 2


def test_of_a_great_many_a_sample_is_looked_up(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "SAMPLE", 1)
    for last in (0x00, 0xFF):  # the last byte of an id decides
        message = make_message(
            acme, State.SENT, id=first_id(NOON + timedelta(seconds=last)).hex[:-2] + f"{last:02x}", created_at=NOON
        )
        make_attempt(message, outcome=AttemptOutcome.ACCEPTED, finished_at=NOON)
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        minutes.keep()

    assert sum(minute(NOON).waits) == 1


@pytest.mark.parametrize(("waits", "share", "expected"), [([0] * 41, 0.5, None), ([4, *[0] * 40], 0.5, 0.005)])
def test_a_quantile_lies_inside_of_its_bucket(waits: list[int], share: float, expected: float | None) -> None:
    assert minutes.quantile(waits, share) == expected


def test_a_wait_beyond_all_buckets_is_the_longest() -> None:
    assert minutes.quantile([*[0] * 40, 1], 0.5) == minutes.BOUNDS[-1]


@pytest.mark.django_db(transaction=True)
def test_while_another_process_counts_this_one_passes_by() -> None:
    from django.db import connections

    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [minutes.LOCK])
            assert minutes.keep() == 0
            cursor.execute("SELECT pg_advisory_unlock(%s)", [minutes.LOCK])
        assert minutes.keep() > 0
    finally:
        other.close()


def test_a_minute_that_takes_too_long_holds_up_no_other(acme: Account) -> None:
    accepted(acme, NOON)
    accepted(acme, NOON - timedelta(minutes=1))
    slow = str(first_id(NOON))

    def too_long(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        if sql == minutes.COUNT and params["first"] == slow:
            return execute("SET LOCAL statement_timeout = 10; SELECT pg_sleep(60)", None, *rest)
        return execute(sql, params, *rest)

    with time_machine.travel(NOON + timedelta(seconds=30), tick=False), connection.execute_wrapper(too_long):
        minutes.keep()

    assert minute(NOON - timedelta(minutes=1)).states == {"delivered": 1}
    assert (minute(NOON).counted_at, minute(NOON).again_at) == (None, NOON + timedelta(seconds=30) + minutes.PUT_OFF)


class TestKeeping:
    def test_it_counts_every_few_seconds_however_often_it_is_asked(self) -> None:
        keeper = minutes.Keeper()
        keeper()
        Minute.objects.all().delete()

        keeper()

        assert not Minute.objects.exists()

    def test_a_failure_stops_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        def fails(*args: Any) -> Any:
            raise OperationalError

        with connection.execute_wrapper(fails):
            minutes.Keeper()()

        assert "minutes not counted error=OperationalError" in caplog.text
