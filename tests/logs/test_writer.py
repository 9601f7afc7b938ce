"""An event leaves the journal when the logs database has it, and never before."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, Error, OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext

from dispatch import transitions
from dispatch.changes import Change
from dispatch.states import State
from sendmsg.journal.models import JournalEntry
from sendmsg.logs import writer
from sendmsg.logs.models import Event
from sendmsg.logs.writer import LogWriter
from tests.cast import Member
from tests.factories import make_message
from tests.logs.lines import AT, line, write
from tests.outages import database_away
from tests.parallel import in_threads

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
both_for_real = pytest.mark.django_db(databases=["default", "logs"], transaction=True)


def journal(*batches: list[dict[str, Any]]) -> list[str]:
    """Write entries to the journal; the ids of their events."""
    for batch in batches:
        JournalEntry.objects.create(text=json.dumps(batch))
    return [event["id"] for batch in batches for event in batch]


def arrived() -> list[str]:
    return [str(pk) for pk in Event.objects.values_list("id", flat=True)]


def drain(pump: LogWriter) -> None:
    while pump.step():
        pass


def test_events_move_and_the_journal_is_empty() -> None:
    ids = journal([line(), line()], [line()])

    assert LogWriter().step() == 2  # entries

    assert sorted(arrived()) == sorted(ids)
    assert not JournalEntry.objects.exists()
    assert LogWriter().step() == 0


def test_while_nothing_comes_a_look_is_one_statement(django_assert_num_queries: Any) -> None:
    pump = LogWriter()
    pump.step()  # clears away old task failures too

    with django_assert_num_queries(1):
        assert pump.step() == 0


def test_a_step_takes_no_more_entries_than_hold_its_share_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = journal([line() for _ in range(3)], [line() for _ in range(3)], [line()])
    monkeypatch.setattr(writer, "MAX_BYTES", max(len(entry.text) for entry in JournalEntry.objects.all()) + 1)
    pump = LogWriter()

    assert [pump.step(), pump.step(), pump.step()] == [2, 1, 0]
    assert sorted(arrived()) == sorted(ids)


def test_an_event_arrives_as_it_was() -> None:
    message = uuid4()
    at = datetime(2026, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC)
    journal([line(at=at, message=message, type="sent", data={"code": "ü", "attempt": 2})])

    LogWriter().step()

    event = Event.objects.get()
    assert (event.message_id, event.type, event.at) == (message, "sent", at)
    assert event.data == {"code": "ü", "attempt": 2}


def test_what_a_change_of_state_wrote_arrives(alice: Member) -> None:
    message = make_message(alice.account)
    transitions.apply([Change(message.id, State.CANCELED)])

    LogWriter().step()

    event = Event.objects.get(message_id=message.id)
    assert (event.type, event.account_id) == ("canceled", alice.account.id)


def test_more_than_one_batch_takes_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH", 2)
    ids = journal(*[[line()] for _ in range(5)])

    assert [LogWriter().step() for _ in range(4)] == [2, 2, 1, 0]
    assert sorted(arrived()) == sorted(ids)


def test_events_written_twice_are_there_once() -> None:
    events = [line(), line()]

    write(events)
    write(events)

    assert Event.objects.count() == 2


def test_a_writer_that_dies_before_it_deletes_repeats_without_effect() -> None:
    events = [line(), line()]
    journal(events)
    write(events)

    LogWriter().step()

    assert Event.objects.count() == 2
    assert not JournalEntry.objects.exists()


def test_an_entry_without_events_is_cleared_away() -> None:
    journal([])

    assert LogWriter().step() == 1
    assert not JournalEntry.objects.exists()


def test_one_batch_may_span_days_and_offsets() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1)]
    abroad = timezone(timedelta(hours=5, minutes=30))
    journal([line(at=at) for at in moments] + [line(at=at.astimezone(abroad)) for at in moments])

    LogWriter().step()

    assert list(Event.objects.values_list("at", flat=True)) == sorted(moments * 2)


@both_for_real
def test_while_the_logs_database_is_away_events_wait_and_afterwards_arrive() -> None:
    pump = LogWriter()
    ids = journal([line()], [line(), line()])

    with database_away("logs"):
        for _ in range(3):
            with pytest.raises(OperationalError):
                pump.step()
        ids += journal([line()])  # sending goes on
        assert JournalEntry.objects.count() == 3

    drain(pump)
    assert sorted(arrived()) == sorted(ids)
    assert not JournalEntry.objects.exists()


@both_for_real
def test_a_writer_whose_connection_is_cut_goes_on_with_a_new_one() -> None:
    pump = LogWriter()
    journal([line()])
    pump.step()
    with connections["logs"].cursor() as cursor, connections.create_connection("logs").cursor() as other:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 10000)", cursor.fetchone())
        other.db.close()
    journal([line()])

    with pytest.raises(Error):
        pump.step()
    connections["logs"].close()  # what the pump's loop does around a step

    pump.step()
    assert (Event.objects.count(), JournalEntry.objects.count()) == (2, 0)


@both_for_real
def test_what_the_logs_database_refuses_stays_in_the_journal() -> None:
    journal([line(id="no uuid")])

    with pytest.raises(DataError):
        LogWriter().step()

    assert (Event.objects.count(), JournalEntry.objects.count()) == (0, 1)


@both_for_real
def test_a_batch_of_a_day_that_is_there_is_one_statement() -> None:
    write([line(at=AT)])

    with CaptureQueriesContext(connections["logs"]) as queries:
        write([line(at=AT), line(at=AT)])

    assert [query["sql"].split()[0] for query in queries] == ["BEGIN", "INSERT", "COMMIT"]


@both_for_real
def test_a_day_whose_first_batch_failed_is_written_by_the_next() -> None:
    new_day = datetime(2031, 7, 8, tzinfo=UTC)
    with pytest.raises(DataError):
        write([line(at=new_day), line(at=new_day, id="no uuid")])
    journal([line(at=new_day)])

    LogWriter().step()

    assert Event.objects.count() == 1
    with connections["logs"].cursor() as cursor:
        cursor.execute("DROP TABLE logs_event_20310708")


@both_for_real
def test_an_event_of_a_day_that_was_dropped_makes_it_anew() -> None:
    journal([line(at=AT)])
    LogWriter().step()
    with connections["logs"].cursor() as cursor:
        cursor.execute(f"DROP TABLE logs_event_{AT:%Y%m%d}")
    journal([line(at=AT)])

    assert LogWriter().step() == 1
    assert Event.objects.count() == 1


@both_for_real
def test_several_writers_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH", 3)
    ids = journal(*[[line(at=AT + timedelta(days=number % 3)), line()] for number in range(40)])
    done: list[int] = []

    def work(number: int) -> None:
        pump = LogWriter()
        while count := pump.step():
            done.append(count)

    in_threads(4, work)

    assert sum(done) == 40
    assert sorted(arrived()) == sorted(ids)
    assert not JournalEntry.objects.exists()


@both_for_real
def test_a_writer_does_not_wait_for_entries_that_another_holds() -> None:
    journal([line()], [line()])

    def other(number: int) -> None:
        assert LogWriter().step() == 1

    with transaction.atomic():
        list(JournalEntry.objects.select_for_update().order_by("id")[:1])
        in_threads(1, other)

    assert (Event.objects.count(), JournalEntry.objects.count()) == (1, 1)


def test_an_event_says_what_and_when() -> None:
    journal([line(at=AT)])
    LogWriter().step()

    assert str(Event.objects.get()) == "accepted 2026-01-01 12:00:00"
