"""What a connection may be given now: nothing while something speaks against it, else about half a second of work."""

from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch import breaker, directory, pacing
from dispatch.breaker import PROBES, Health
from dispatch.models import Connection
from dispatch.routing import Standing
from dispatch.standings import FLOOR, backlog, standings
from dispatch.states import State
from dispatch.vocabulary import BreakerState
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def standing(connection: Connection) -> Standing:
    return standings(directory.entries())[connection.pk]


def with_health(monkeypatch: pytest.MonkeyPatch, health: Health) -> None:
    monkeypatch.setattr(breaker, "read", lambda names: dict.fromkeys(names, health))


def test_a_connection_that_is_well_has_room_and_its_whole_weight() -> None:
    connection = make_connection(concurrency=16)

    assert standing(connection) == Standing("", FLOOR * 16, 1.0)


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [({"enabled": False}, "disabled"), ({"provider": "nobody"}, "misconfigured"), ({"paused_at": True}, "paused")],
)
def test_a_connection_that_is_switched_off_has_no_room(fields: dict[str, Any], obstacle: str) -> None:
    connection = make_connection("sendmsg", **{key: NOW if key == "paused_at" else one for key, one in fields.items()})

    assert (standing(connection).obstacle, standing(connection).room) == (obstacle, 0)


def test_a_throttled_connection_has_no_room() -> None:
    connection = make_connection()
    pacing.pause("sendmsg", 30)

    assert (standing(connection).obstacle, standing(connection).room) == ("throttled", 0)


def test_behind_an_open_breaker_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    with_health(monkeypatch, Health(BreakerState.OPEN, "timeout, 5 of 5"))

    assert standing(connection).obstacle == "breaker open: timeout, 5 of 5"


def test_half_open_lets_a_few_through_and_is_out_for_the_others(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection()
    with_health(monkeypatch, Health(BreakerState.HALF_OPEN))
    assert standing(connection) == Standing("", PROBES, 1.0)

    for _ in range(PROBES):
        make_message(alice.account, State.SENDING, connection=connection)

    assert standing(connection) == Standing("breaker half open", 0, 1.0)


def test_what_is_under_way_takes_room(alice: Member) -> None:
    connection = make_connection(concurrency=2)
    make_message(alice.account, State.RELEASED, connection=connection)
    make_message(alice.account, State.SENDING, connection=connection)

    assert standing(connection).room == FLOOR * 2 - 2


@pytest.mark.parametrize(
    ("rate", "latency", "pace", "room"),
    [
        (10.0, 0.0, 0.0, 4),  # a third of a second of its rate
        (10.0, 2.0, 0.0, 24),  # and what is in calls meanwhile, or it would never reach its rate
        (0.1, 0.0, 0.0, 1),
        (None, 0.1, 0.0, 64),  # nothing measured yet: four times its concurrency
        (None, 0.1, 400.0, 270),  # half as much again as it did lately
        (None, 0.1, 100_000.0, 5000),  # BACKLOG_LIMIT
    ],
)
def test_the_backlog_is_a_third_of_a_second_of_work_beside_what_is_in_calls(
    rate: float | None, latency: float, pace: float, room: int, settings: Settings
) -> None:
    make_connection(rate=rate, concurrency=16)
    entry = directory.entries()["sendmsg"]

    assert backlog(entry, Health(latency=latency, pace=pace)) == room
