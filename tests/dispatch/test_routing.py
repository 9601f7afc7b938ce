"""The best connection that stands: by tier, by weight, never where it failed or was refused if there is another."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from dispatch.directory import Entry
from dispatch.lanes import DEFAULT, Lane
from dispatch.routes import Book, RouteEntry, Step
from dispatch.routing import FRESH, History, NoOption, Option, Standing, choose, options

SMS = Lane(DEFAULT, False, "sms")


def entry(number: int, provider: str = "twilio", **fields: object) -> Entry:
    plain = {
        "id": number,
        "name": f"c{number}",
        "provider": provider,
        "base_url": "http://127.0.0.1:1",
        "credentials": {},
        "sandbox": False,
        "enabled": True,
        "weight": 100,
        "rate": None,
        "concurrency": 1,
        "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Entry(**{**plain, **fields})  # type: ignore[arg-type]


def way(number: int, tier: int = 0, weight: int = 100) -> Option:
    return Option(number, tier, entry(number), "sms", "", weight)


def route(*steps: Step) -> Book:
    return Book((RouteEntry(9, "r", None, "", (), frozenset(), frozenset(), frozenset(), False, steps, False, True),))


def chosen(ways: list[Option], history: History = FRESH, **standings: Standing) -> set[int] | NoOption:
    """The keys that come out of many choices; `c3=…` is the standing of the third."""
    by_id = {one.entry.id: standings.get(one.entry.name, Standing()) for one in ways}
    found = [choose(ways, by_id, history) for _ in range(200)]
    keys = {one.key for one in found if isinstance(one, Option)}
    return keys or next(one for one in found if isinstance(one, NoOption))


OUT = Standing(obstacle="breaker open", room=0)
FULL = Standing(room=0)


def test_without_a_route_every_connection_that_fits_is_an_option() -> None:
    entries = [
        entry(1),
        entry(2, enabled=False),
        entry(3, sandbox=True),
        entry(4, fault="no key"),
        entry(5, "whatsapp_cloud"),
    ]

    assert [one.key for one in options(SMS, entries, Book())] == [-1]
    assert [one.key for one in options(Lane(DEFAULT, True, "sms"), entries, Book())] == [-3]
    assert [one.key for one in options(Lane(DEFAULT, False, "whatsapp"), entries, Book())] == [-1, -5]


def test_the_steps_of_a_route_are_its_options_in_their_order() -> None:
    book = route(Step(11, 1, 1, 70, "", ""), Step(12, 2, 2, 30, "sms", "Acme"), Step(13, 3, 3, 1, "", ""))

    found = options(Lane(9, False, "whatsapp"), [entry(1), entry(2, "vonage"), entry(3, "vonage")], book)

    assert [(one.key, one.tier, one.channel, one.sender, one.weight) for one in found] == [
        (11, 1, "whatsapp", "", 70),
        (12, 2, "sms", "Acme", 30),  # WhatsApp sent as SMS; the third can't speak WhatsApp
    ]


def test_the_messages_of_a_route_that_is_gone_have_all_connections() -> None:
    assert [one.key for one in options(Lane(9, False, "sms"), [entry(1)], Book())] == [-1]


def test_a_later_tier_is_for_when_no_earlier_one_stands() -> None:
    ways = [way(1, tier=1), way(2, tier=1), way(3, tier=2)]

    assert chosen(ways) == {1, 2}
    assert chosen(ways, c1=OUT) == {2}
    assert chosen(ways, c1=OUT, c2=OUT) == {3}
    assert chosen(ways, c1=OUT, c2=OUT, c3=OUT) is NoOption.WAIT


def test_a_full_connection_is_waited_for_and_not_passed_over() -> None:
    assert chosen([way(1, tier=1), way(2, tier=2)], c1=FULL) is NoOption.WAIT


def test_of_one_tier_who_has_room_serves() -> None:
    assert chosen([way(1), way(2)], c1=FULL) == {2}


def test_shares_follow_the_weights_that_are_left() -> None:
    ways = [way(1, weight=300), way(2, weight=100)]
    standings = {1: Standing(), 2: Standing()}
    counts = Counter(
        one.key for one in (choose(ways, standings, FRESH) for _ in range(4000)) if isinstance(one, Option)
    )
    assert 2.3 < counts[1] / counts[2] < 3.9

    standings[1] = Standing(factor=0.05)
    counts = Counter(
        one.key for one in (choose(ways, standings, FRESH) for _ in range(4000)) if isinstance(one, Option)
    )
    assert counts[2] > 4 * counts[1]


def test_where_it_just_failed_a_message_goes_only_if_there_is_nothing_else() -> None:
    history = History(avoided=1)

    assert chosen([way(1), way(2)], history) == {2}
    assert chosen([way(1, tier=1), way(2, tier=2)], history) == {2}
    assert chosen([way(1), way(2)], history, c2=FULL) is NoOption.WAIT
    assert chosen([way(1), way(2)], history, c2=OUT) == {1}
    assert chosen([way(1)], history) == {1}


def test_who_refused_a_message_never_gets_it_again() -> None:
    assert chosen([way(1), way(2)], History(refused=frozenset({1}))) == {2}
    assert chosen([way(1), way(2)], History(refused=frozenset({1})), c2=OUT) is NoOption.WAIT
    assert chosen([way(1), way(2)], History(refused=frozenset({1, 2}))) is NoOption.REFUSED


def test_a_message_in_doubt_leaves_by_the_one_that_may_have_it_or_not_at_all() -> None:
    history = History(pinned_to=1, avoided=1)

    assert chosen([way(1), way(2)], history) == {1}
    assert chosen([way(1), way(2)], history, c1=OUT) is NoOption.WAIT
    assert chosen([way(2)], history) is NoOption.WAIT


def test_without_any_option_a_message_waits() -> None:
    assert chosen([]) is NoOption.WAIT


@pytest.mark.parametrize("weights", [(0, 0), (0, 100)])
def test_a_weight_of_nothing_is_a_last_resort_and_no_error(weights: tuple[int, int]) -> None:
    first, second = weights
    found = chosen([way(1, weight=first), way(2, weight=second)])
    assert found == ({2} if second else {1})
