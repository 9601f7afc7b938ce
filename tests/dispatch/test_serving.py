"""Workers say which connections they serve; what nobody serves is passed over, and what was given to it comes back."""

import time
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from dispatch import directory, explain, leases, relay, routes, serving
from dispatch.admin import health
from dispatch.models import Connection, Message, Serving
from dispatch.relay import Relay
from dispatch.routes import Subject
from dispatch.serving import SILENT_AFTER, TURN_WITHIN
from dispatch.standings import standings
from dispatch.states import State
from dispatch.subscription import Scope, Watch
from tests.cast import Member
from tests.dispatch.commands import providers as run
from tests.factories import make_connection, make_message, make_route

pytestmark = pytest.mark.django_db
LONG = timedelta(seconds=SILENT_AFTER + 1)


@pytest.fixture
def eu(db: None) -> Connection:
    return make_connection("eu-line", region="eu")


@pytest.fixture
def us(db: None) -> Connection:
    return make_connection("us-line", region="us")


def say(*connections: Connection) -> None:
    """A worker serves these."""
    serving.turned()
    assert serving.note([one.pk for one in connections])


def fall_silent(connection: Connection) -> None:
    """Whoever served it said so for the last time long ago."""
    assert Serving.objects.filter(connection=connection).update(at=F("at") - LONG)
    serving.forget()


def obstacle(connection: Connection) -> str:
    return standings(directory.entries())[connection.pk].obstacle


def subject(member: Member) -> Subject:
    return Subject(member.account.pk, False, "sms", "+447700900000", "Acme", 1)


def lines() -> list[str]:
    """What one round releases, by connection."""
    return [name for name, references in relay.release(directory.entries(), 10) for _ in references]


def test_while_no_worker_at_all_is_heard_of_everything_counts_as_served(eu: Connection, us: Connection) -> None:
    assert serving.unserved() == frozenset()

    say(eu, us)
    fall_silent(eu)
    fall_silent(us)

    assert serving.unserved() == frozenset()


def test_a_connection_whose_workers_fell_silent_is_out_until_one_speaks_again(eu: Connection, us: Connection) -> None:
    say(eu, us)
    fall_silent(eu)
    assert (obstacle(eu), obstacle(us)) == ("no worker serves it", "")

    say(eu)
    serving.forget()
    assert obstacle(eu) == ""


def test_one_that_nobody_ever_served_is_out_once_the_workers_must_have_seen_it(eu: Connection, us: Connection) -> None:
    say(us)
    assert obstacle(eu) == ""

    Connection.objects.filter(pk=eu.pk).update(updated_at=timezone.now() - LONG)
    serving.forget()

    assert obstacle(eu) == "no worker serves it"


def test_a_worker_whose_loop_stands_still_says_nothing(eu: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not serving.note([eu.pk])
    serving.turned()
    later = time.monotonic() + TURN_WITHIN + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert not serving.note([eu.pk])
    assert not Serving.objects.exists()


def test_a_connection_that_was_deleted_meanwhile_does_not_silence_the_others(eu: Connection, us: Connection) -> None:
    gone = us.pk
    us.delete()
    serving.turned()

    serving.note([gone, eu.pk])

    assert list(Serving.objects.values_list("connection_id", flat=True)) == [eu.pk]


def test_a_worker_says_so_for_its_region_and_for_connections_of_none(
    eu: Connection, us: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    anywhere = make_connection("anywhere")
    monkeypatch.setattr("dispatch.subscription.close_old_connections", lambda: None)  # this one is the test's own
    serving.turned()

    Watch("w@host", Scope(region="eu")).look()

    assert set(Serving.objects.values_list("connection_id", flat=True)) == {eu.pk, anywhere.pk}


def test_messages_leave_by_the_next_region_and_come_back(alice: Member, eu: Connection, us: Connection) -> None:
    make_route("regions", eu, us)
    lane = routes.book().lane(subject(alice)).number
    say(eu, us)
    make_message(alice.account, lane=lane)
    assert lines() == ["eu-line"]

    fall_silent(eu)
    make_message(alice.account, lane=lane)
    assert lines() == ["us-line"]

    say(eu)
    serving.forget()
    make_message(alice.account, lane=lane)
    assert lines() == ["eu-line"]


def test_with_nothing_else_left_a_message_waits_and_the_explanation_says_for_whom(
    alice: Member, eu: Connection, us: Connection
) -> None:
    make_route("eu alone", eu)
    say(eu, us)
    fall_silent(eu)

    told = explain.explain(subject(alice))

    assert told.chosen is None
    assert [way.obstacle for way in told.options] == ["no worker serves it"]
    assert told.reason == "It waits: nothing that it could leave by can take it now."


def test_operators_see_it_on_the_page_and_in_the_list(eu: Connection, us: Connection) -> None:
    say(eu, us)
    fall_silent(eu)

    assert (serving.NOBODY in health.state(eu), serving.NOBODY in health.state(us)) == (True, False)
    listed = run("list").splitlines()
    assert [serving.NOBODY in line for line in listed] == [False, True, False]


def test_what_was_released_to_a_silent_region_is_queued_at_once_and_nothing_else_is(
    alice: Member, eu: Connection, us: Connection
) -> None:
    waiting = make_message(alice.account, State.RELEASED, connection=eu)
    under_way = make_message(alice.account, State.SENDING, connection=eu)
    elsewhere = make_message(alice.account, State.RELEASED, connection=us)
    say(eu, us)
    fall_silent(eu)

    Relay()._sweep()

    states = dict(Message.objects.values_list("id", "state"))
    assert (states[waiting.id], states[under_way.id], states[elsewhere.id]) == ("queued", "sending", "released")


def test_while_everything_is_served_nothing_is_freed(alice: Member, eu: Connection) -> None:
    make_message(alice.account, State.RELEASED, connection=eu)

    assert leases.free_unserved(frozenset(), timezone.now()) == 0


def test_the_relay_tells_its_log_whom_nobody_serves_once(
    eu: Connection, us: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    say(eu, us)
    fall_silent(eu)
    running = Relay()

    for _ in range(2):
        running._swept_at = float("-inf")
        running._sweep()

    assert caplog.text.count("connections that no worker serves names=eu-line") == 1
