"""The breaker opens on what calls say, at any rate of them, probes, and closes again; all of it shared by Redis."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from dispatch import breaker
from dispatch.breaker import Observed
from dispatch.models import ConnectionEvent
from dispatch.vocabulary import BreakerState, ConnectionChange
from sendmsg import redis
from tests.factories import make_connection
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

GOOD = Observed(True, 0.05, accepted=1)
BAD = Observed(False, 0.05, code="connection_refused")


@pytest.fixture
def name() -> Iterator[str]:
    """A connection that nothing is known of."""
    made = f"c-{uuid4().hex[:8]}"
    make_connection(made)
    yield made
    redis.client().delete(redis.key(f"breaker:{made}"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.3)
    monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.6)
    monkeypatch.setattr(breaker, "KEPT", 0.0)


def health(name: str) -> breaker.Health:
    breaker._seen_at = float("-inf")
    return breaker.read([name])[name]


def earlier(name: str, seconds: float, **counts: int) -> None:
    """What was counted so many seconds ago."""
    now = redis.client().time()
    bucket = int(now[0] - seconds) // breaker.BUCKET
    for kind, count in counts.items():
        redis.client().hincrby(redis.key(f"breaker:{name}"), f"{bucket}:{kind}", count)


def probing(name: str) -> bool:
    return health(name).state is BreakerState.HALF_OPEN


def test_a_connection_that_nothing_is_known_of_is_well(name: str) -> None:
    assert health(name) == breaker.Health()


def test_a_few_failures_say_nothing(name: str) -> None:
    breaker.record(name, [BAD] * (breaker.LEAST - 1))

    assert health(name).state is BreakerState.CLOSED


def test_it_opens_when_half_of_the_calls_failed(name: str) -> None:
    breaker.record(name, [GOOD] * 11)
    breaker.record(name, [BAD] * 10)
    assert health(name).state is BreakerState.CLOSED

    breaker.record(name, [BAD])

    found = health(name)
    assert (found.state, found.reason) == (BreakerState.OPEN, "connection_refused, 11 of 22")
    assert breaker.is_open(name)


def test_five_calls_a_minute_are_enough_to_find_out(name: str) -> None:
    for ago in (24, 36, 48, 60):
        earlier(name, ago, b=1)

    breaker.record(name, [BAD])

    assert health(name).state is BreakerState.OPEN


def test_at_five_hundred_a_second_an_outage_is_found_out_in_seconds(name: str) -> None:
    for ago in range(8, 200, breaker.BUCKET):
        earlier(name, ago, g=500 * breaker.BUCKET)
    earlier(name, 4, g=500, b=500)
    earlier(name, 2, b=500 * breaker.BUCKET)

    breaker.record(name, [BAD])

    assert health(name).state is BreakerState.OPEN


def test_who_falls_silent_after_much_good_is_found_out_by_failures_in_a_row(name: str) -> None:
    for ago in range(0, 60, breaker.BUCKET):
        earlier(name, ago, g=120)
    breaker.record(name, [GOOD])
    breaker.record(name, [BAD] * 20)
    assert health(name).state is BreakerState.CLOSED  # a good answer has just come

    redis.client().hset(redis.key(f"breaker:{name}"), "good_at", time.time() - breaker.SOON - 1)
    breaker.record(name, [BAD])

    assert (health(name).state, health(name).reason) == (BreakerState.OPEN, "connection_refused, 21 in a row")


def test_failures_of_long_ago_are_forgotten(name: str) -> None:
    earlier(name, breaker.WINDOW + 10, b=100)

    breaker.record(name, [BAD])

    assert health(name).state is BreakerState.CLOSED


def test_the_ratio_is_a_setting(name: str, settings: Settings) -> None:
    settings.BREAKER_RATIO = 1.0
    breaker.record(name, [GOOD, *[BAD] * 50])

    assert health(name).state is BreakerState.CLOSED


def test_after_its_pause_it_is_probed_and_good_answers_close_it(name: str, quick: None) -> None:
    breaker.record(name, [BAD] * 5)
    eventually(lambda: probing(name), "the pause is over", 5)

    for _ in range(breaker.PROBES):
        assert health(name).state is BreakerState.HALF_OPEN
        breaker.record(name, [Observed(True, 0.0)])

    assert health(name).state is BreakerState.CLOSED
    breaker.record(name, [BAD])  # what was before is over
    assert health(name).state is BreakerState.CLOSED


def test_a_bad_probe_opens_it_for_longer_up_to_a_bound(name: str, quick: None) -> None:
    def pause() -> float:
        opened = time.monotonic()
        eventually(lambda: probing(name), "the pause is over", 5, every=0.01)
        return time.monotonic() - opened

    breaker.record(name, [BAD] * 5)
    pauses = []
    for _ in range(3):
        pauses.append(pause())
        breaker.record(name, [Observed(False, 0.0, code="timeout")])
        assert health(name).state is BreakerState.OPEN

    assert pauses[0] < pauses[1]
    assert pauses[2] < 3 * pauses[1]


def test_a_call_that_began_before_says_nothing_of_a_return(name: str, quick: None) -> None:
    breaker.record(name, [BAD] * 5)
    eventually(lambda: probing(name), "the pause is over", 5)

    breaker.record(name, [Observed(False, 10.0, code="timeout"), Observed(True, 10.0)])

    assert health(name).state is BreakerState.HALF_OPEN
    assert redis.client().hget(redis.key(f"breaker:{name}"), "probed") == b"0"


def test_every_move_is_a_line_of_the_connections_history(name: str, quick: None) -> None:
    breaker.record(name, [BAD] * 5)
    eventually(lambda: probing(name), "the pause is over", 5)
    breaker.record(name, [Observed(True, 0.0)] * breaker.PROBES)

    lines = ConnectionEvent.objects.filter(connection__name=name).order_by("id")
    assert [line.change for line in lines] == [
        ConnectionChange.OPENED,
        ConnectionChange.PROBING,
        ConnectionChange.CLOSED,
    ]
    assert lines[0].reason == "connection_refused, 5 of 5"


def test_a_slow_connection_loses_weight_in_proportion(name: str) -> None:
    breaker.record(name, [Observed(True, 0.5)] * 4)
    assert health(name).factor == 1.0

    breaker.record(name, [Observed(True, 5.5)] * 4)  # 3 s in the mean

    assert health(name).factor == pytest.approx(1 / 3, rel=0.01)
    assert health(name).latency == pytest.approx(3, rel=0.01)


def test_failures_cost_weight_before_they_open_it(name: str) -> None:
    breaker.record(name, [*[GOOD] * 8, *[BAD] * 2])

    assert health(name).factor == pytest.approx(0.64)


def test_late_receipts_cost_weight(name: str) -> None:
    breaker.heard(name, 10, 10 * 30.0)
    assert health(name).factor == 1.0

    breaker.heard(name, 10, 10 * 210.0)  # 120 s in the mean

    assert health(name).factor == pytest.approx(0.5, rel=0.01)


def test_a_connection_that_reports_nothing_any_more_loses_weight(name: str) -> None:
    key = redis.key(f"breaker:{name}")
    earlier(name, breaker.SILENT_AFTER + 20, s=breaker.SILENT_SENT)
    assert health(name).factor == 1.0  # it never reported: perhaps it can't

    redis.client().hset(key, "heard", int(time.time()) - breaker.WINDOW - 60)
    assert health(name).factor == breaker.SILENT_FACTOR

    breaker.heard(name, 1, 1.0)
    assert health(name).factor == 1.0


def test_the_pace_is_messages_a_second(name: str) -> None:
    breaker.record(name, [Observed(True, 0.1, messages=100)] * 3)

    assert health(name).pace == pytest.approx(300 / breaker.RECENT)


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[None]:
    redis.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    yield
    redis.client.cache_clear()


def test_without_redis_each_process_has_a_breaker_of_its_own(
    name: str, without_redis: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.2)
    breaker.record(name, [BAD] * (breaker.LEAST - 1))
    assert not breaker.is_open(name)

    breaker.record(name, [BAD])
    assert breaker.is_open(name)
    assert health(name).state is BreakerState.CLOSED  # those who choose know nothing

    eventually(lambda: not breaker.is_open(name), "the pause is over", 5)
    breaker.record(name, [GOOD])
    breaker.record(name, [BAD])
    assert not breaker.is_open(name)


def test_what_no_longer_counts_is_dropped_from_redis(name: str) -> None:
    earlier(name, breaker.WINDOW + 10, g=1, b=1, t=1, n=1, s=1)
    earlier(name, 10, g=1)

    health(name)

    assert redis.client().hlen(redis.key(f"breaker:{name}")) == 1
