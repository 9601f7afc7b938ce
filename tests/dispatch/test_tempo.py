"""A relay sees how fast a connection works by what is gone of what it released."""

from unittest.mock import Mock

import pytest

from dispatch import directory, standings
from dispatch.states import State
from dispatch.tempo import KEPT, LOOK, Tempo
from tests.cast import Member
from tests.factories import make_connection, make_message

A, B = 1, 2


def busy(tempo: Tempo, start: float, each: int, seconds: float, under_way: int = 100, connection: int = A) -> float:
    """`each` messages are done between two looks, `LOOK` apart, and as many are released; the time at the end."""
    now = start
    while now < start + seconds:
        tempo.look({connection: under_way}, now)
        tempo.released(connection, each)
        now += LOOK
    return now - LOOK


def test_nothing_is_known_of_who_was_never_seen() -> None:
    assert Tempo().pace(A, 0) is None


def test_the_pace_is_what_was_done_in_a_quarter_of_a_second() -> None:
    tempo = Tempo()
    now = busy(tempo, 0, each=50, seconds=2)

    assert tempo.pace(A, now) == pytest.approx(50 / LOOK)


def test_it_follows_at_once_in_both_directions() -> None:
    tempo = Tempo()
    now = busy(tempo, 0, each=50, seconds=1)
    now = busy(tempo, now + LOOK, each=400, seconds=1)
    assert tempo.pace(A, now) == pytest.approx(400 / LOOK)
    now = busy(tempo, now + LOOK, each=4, seconds=1)

    assert tempo.pace(A, now) == pytest.approx(4 / LOOK)


def test_who_ran_dry_has_shown_what_it_can_do_at_least() -> None:
    tempo = Tempo()
    now = busy(tempo, 0, each=50, seconds=1)
    tempo.look({}, now + 20 * LOOK)  # it did all it had, and then had nothing to do

    assert tempo.pace(A, now + 20 * LOOK) == pytest.approx(50 / LOOK)
    tempo.released(A, 1000)
    tempo.look({A: 1000}, now + 100 * LOOK)
    tempo.look({}, now + 101 * LOOK)

    assert tempo.pace(A, now + 101 * LOOK) == pytest.approx(1000 / LOOK)


def test_hours_without_work_are_not_measured() -> None:
    tempo = Tempo()
    tempo.look({}, 0)
    tempo.released(A, 100)
    tempo.look({A: 60}, 7200)
    tempo.look({A: 20}, 7200 + LOOK)

    assert tempo.pace(A, 7200 + LOOK) == pytest.approx(40 / LOOK)


def test_connections_do_not_mix() -> None:
    tempo = Tempo()
    for now in (0.0, LOOK, 2 * LOOK):
        tempo.look({A: 10, B: 10}, now)
        tempo.released(A, 5)
        tempo.released(B, 50)
    tempo.look({A: 10, B: 10}, 3 * LOOK)

    assert tempo.pace(A, 1) == pytest.approx(5 / LOOK)
    assert tempo.pace(B, 1) == pytest.approx(50 / LOOK)


def test_what_was_seen_long_ago_is_forgotten() -> None:
    tempo = Tempo()
    now = busy(tempo, 0, each=50, seconds=1)

    assert tempo.pace(A, now + KEPT + 1) is None


def test_it_is_at_work_while_something_is_under_way() -> None:
    tempo = Tempo()
    assert not tempo.at_work
    tempo.look({A: 1}, 0)
    assert tempo.at_work
    tempo.look({}, 1)
    assert not tempo.at_work


@pytest.mark.django_db
def test_a_fast_connection_is_given_more_at_the_next_look(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = make_connection(concurrency=2)
    make_message(alice.account, State.SENDING, connection=connection)
    entries, tempo, clock = directory.entries(), Tempo(), Mock(side_effect=[0.0, LOOK])
    monkeypatch.setattr(standings, "time", Mock(monotonic=clock))

    before = standings.standings(entries, tempo)[connection.pk].room
    tempo.released(connection.pk, 1000)
    after = standings.standings(entries, tempo)[connection.pk].room

    assert before == standings.FLOOR * 2 - 1
    assert after > 1000
