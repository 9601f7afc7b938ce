"""Events are written with the change that they tell of, or not at all."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from django.db import connection, transaction

from dispatch import transitions
from dispatch.changes import Change
from dispatch.states import State
from sendmsg.journal.events import Event, EventType, record
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_message

pytestmark = pytest.mark.django_db
AT = datetime(2026, 1, 1, 12, 30, 0, 123_456, tzinfo=UTC)


def event(number: int = 1, **fields: object) -> Event:
    return Event(UUID(int=number), UUID(int=7), EventType.ACCEPTED, AT, fields)


def test_a_batch_is_one_entry() -> None:
    record([event(1), event(2), event(3)])

    [entry] = JournalEntry.objects.all()
    assert [line["message"] for line in entry.events] == [str(UUID(int=number)) for number in (1, 2, 3)]


def test_nothing_to_tell_is_no_entry() -> None:
    record([])

    assert not JournalEntry.objects.exists()


def test_an_event_is_written_with_all_that_it_holds() -> None:
    record([event(channel="sms", segments=2)])

    [line] = JournalEntry.objects.get().events
    assert str(UUID(line["id"])) == line.pop("id")
    assert line == {
        "message": str(UUID(int=1)),
        "account": str(UUID(int=7)),
        "type": "accepted",
        "at": "2026-01-01T12:30:00.123456+00:00",
        "data": {"channel": "sms", "segments": 2},
    }


def test_every_event_has_an_id_of_its_own() -> None:
    same = event()

    assert len({json.loads(same.as_json())["id"] for _ in range(100)}) == 100


def test_a_moment_is_the_same_wherever_it_was_taken() -> None:
    abroad = Event(UUID(int=1), UUID(int=7), EventType.SENT, AT.astimezone(timezone(timedelta(hours=2))))

    assert json.loads(abroad.as_json())["at"] == AT.isoformat()


def test_a_rollback_takes_the_events_with_it() -> None:
    with transaction.atomic():
        record([event()])
        transaction.set_rollback(True)

    assert not JournalEntry.objects.exists()


def test_a_change_of_state_writes_the_same_form(alice: Member) -> None:
    transitions.apply([Change(make_message(alice.account).id, State.CANCELED, data={"code": "x"})])
    record([event()])

    ours, theirs = (entry.events[0] for entry in JournalEntry.objects.order_by("id"))
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in theirs.items()}
    assert datetime.fromisoformat(ours["at"]).tzinfo == UTC
    json.dumps(ours)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"code": 'a "quoted" one'},
        {"code": "back\\slash"},
        {"code": "\\u0000"},
        {"code": "ü 😀 \n"},
        {"n": [1, None]},
    ],
)
def test_what_it_says_is_json_to_the_logs_database_whoever_writes_it(alice: Member, data: dict[str, object]) -> None:
    fresh, tried = make_message(alice.account), make_message(alice.account, State.RELEASED, tries=1)
    transitions.apply([Change(fresh.id, State.CANCELED, data=data), Change(tried.id, State.SENDING, data=data)])
    record([Event(UUID(int=1), UUID(int=7), EventType.ACCEPTED, AT, data)])

    with connection.cursor() as cursor:
        cursor.execute("SELECT events::jsonb FROM journal_journalentry ORDER BY id")
        moves, own = (json.loads(text) for (text,) in cursor.fetchall())
    told = {UUID(move["message"]): move["data"] for move in moves}
    assert told == {fresh.id: data, tried.id: {**data, "attempt": 2}}
    assert [one["data"] for one in own] == [data]


@pytest.mark.parametrize("value", ["a\0b", "\\\0", float("nan"), "\ud800"])
def test_what_is_no_json_there_is_refused_where_it_is_written(alice: Member, value: object) -> None:
    message = make_message(alice.account)
    with pytest.raises(ValueError, match=r"NUL|JSON compliant|surrogates"):
        transitions.apply([Change(message.id, State.CANCELED, data={"code": value})])
    with pytest.raises(ValueError, match=r"NUL|JSON compliant|surrogates"):
        record([event(code=value)])

    assert not JournalEntry.objects.exists()


def test_every_state_a_message_can_come_to_has_an_event() -> None:
    assert set(State) - {State.QUEUED} <= set(EventType)


def test_an_entry_dates_itself() -> None:
    record([event()])

    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - created_at < interval '1 minute' FROM journal_journalentry")
        assert cursor.fetchone() == (True,)


def test_an_entry_says_how_many_events_it_holds() -> None:
    record([event(), event()])

    assert str(JournalEntry.objects.get()).endswith(": 2 events")
