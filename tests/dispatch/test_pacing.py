"""The rate holds over all workers, is used up, and survives Redis; a pause holds for everybody."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from dispatch import pacing
from dispatch.pacing import Pace, Wish
from sendmsg import redis
from tests.servers.obtain import Redis


@pytest.fixture
def name() -> str:
    return f"line-{uuid4().hex[:8]}"


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[None]:
    redis.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    yield
    redis.client.cache_clear()


def starts_of(name: str, rate: float | None, costs: Sequence[int]) -> list[float]:
    """When calls of so many segments may begin, with no other limit than the connection's rate."""
    slots = pacing.book(name, Pace(rate), [Wish(cost) for cost in costs])
    assert all(slot.come_back is None for slot in slots)
    return [slot.start for slot in slots]


def fullest_second(starts: list[float]) -> int:
    ordered = sorted(starts)
    return max(sum(1 for other in ordered if start <= other < start + 1) for start in ordered)


def test_without_a_rate_everything_may_start_at_once(name: str) -> None:
    now = time.monotonic()

    assert all(start - now < 0.1 for start in starts_of(name, None, [1] * 100))


def test_an_idle_line_starts_at_once_and_goes_at_its_pace(name: str) -> None:
    now = time.monotonic()

    starts = starts_of(name, 10, [1] * 5)

    assert starts[0] - now < 0.1
    assert [round(later - start, 3) for start, later in pairwise(starts)] == [0.1] * 4


def test_a_message_of_three_parts_takes_three_slots(name: str) -> None:
    first, second = starts_of(name, 10, [3, 1])

    assert second - first == pytest.approx(0.3)


def test_five_workers_together_keep_the_rate_and_use_it_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "LONGEST", 1000.0)  # all are booked at once here
    rate, count = 10.0, 1000

    def work(_: int) -> list[float]:
        return [start for _ in range(count // 50) for start in starts_of(name, rate, [1] * 10)]

    with ThreadPoolExecutor(5) as workers:
        starts = [start for found in workers.map(work, range(5)) for start in found]

    assert len(starts) == count
    assert fullest_second(starts) <= rate + 1
    assert (max(starts) - min(starts)) <= count / rate / 0.95


def test_without_redis_a_process_keeps_to_its_share(
    name: str, without_redis: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PACING_SHARES = 5
    monkeypatch.setattr(pacing, "LONGEST", 1000.0)
    now = time.monotonic()

    starts = starts_of(name, 10, [1] * 10)

    assert fullest_second(starts) <= 2
    assert starts[0] - now < 1


def test_redis_is_not_asked_again_at_once_after_it_failed(name: str, without_redis: None) -> None:
    starts_of(name, 10, [1])
    asked = pacing._ask_redis_at

    starts_of(name, 10, [1])

    assert pacing._ask_redis_at == asked > time.monotonic()


def test_a_pause_is_known_to_every_process_and_ends(name: str) -> None:
    pacing.pause(name, 30)
    pacing._own_pauses.clear()  # as in another process

    assert pacing.paused([name, "other"]) == {name}
    ttl = redis.client().pttl(pacing._pause_key(name))
    assert isinstance(ttl, int)
    assert 29_000 < ttl <= 30_000


def test_a_pause_holds_here_without_redis(name: str, without_redis: None) -> None:
    pacing.pause(name, 30)

    assert pacing.is_paused(name)
    assert pacing.paused([name]) == {name}


def test_a_pause_has_an_upper_bound(name: str) -> None:
    pacing.pause(name, 10**9)

    assert pacing._own_pauses[name] - time.monotonic() <= pacing.LONGEST_PAUSE


def test_a_sender_has_a_line_of_its_own_and_holds_up_nobody_else(name: str) -> None:
    pace = Pace(rate=100, sender_rate=1)
    now = time.monotonic()

    first, second, other = pacing.book(name, pace, [Wish(1, "Acme"), Wish(1, "Acme"), Wish(1, "Globex")])

    assert (first.come_back, other.come_back) == (None, None)
    assert second.come_back == pytest.approx(1, abs=0.1)
    assert other.start - now < 0.2


def test_each_of_a_crowd_that_waits_for_a_sender_has_a_time_of_its_own(name: str) -> None:
    pace = Pace(sender_rate=1)

    crowd = pacing.book(name, pace, [Wish(1, "Acme")] * 5)
    later = pacing.book(name, pace, [Wish(1, "Acme")])

    waits = [slot.come_back for slot in (*crowd[1:], *later)]
    assert waits == [pytest.approx(after, abs=0.1) for after in (1, 2, 3, 4, 5)]


def test_who_comes_back_and_what_is_urgent_take_no_turn(name: str) -> None:
    pace = Pace(sender_rate=1000)
    [(line, _)] = pace.lines(Wish(1, "Acme"))
    redis.client().set(f"{pacing._line_key(f'{name}:{line}')}:turn", time.time() + 60)

    patient, direct = pacing.book(name, pace, [Wish(1, "Acme"), Wish(1, "Acme", direct=True)])

    assert patient.come_back == pytest.approx(60, abs=1)
    assert direct.come_back is None


def test_a_recipient_is_left_alone_for_as_long_as_the_provider_wants(name: str) -> None:
    pace = Pace(rate=100, pair_interval=6)

    slots = pacing.book(name, pace, [Wish(1, "A", "+447700900001"), Wish(1, "A", "+447700900001"), Wish(1, "A", "+44")])

    assert [slot.come_back for slot in slots] == [None, pytest.approx(6, abs=0.1), None]


def test_no_number_is_in_the_name_of_a_line(name: str, clean_redis: Redis) -> None:
    pacing.book(name, Pace(sender_rate=1, pair_interval=6), [Wish(1, "+447700900009", "+447700900001")] * 2)

    keys = redis.client().keys(redis.key("line:*"))
    assert len(keys) == 5
    assert not any(b"447700" in key for key in keys)


def test_a_call_that_would_wait_too_long_is_not_booked(name: str) -> None:
    first, second = pacing.book(name, Pace(rate=0.01), [Wish(1), Wish(1)])

    assert first.come_back is None
    assert second.come_back == pytest.approx(100, abs=1)


def test_without_redis_senders_and_recipients_are_paced_too(name: str, without_redis: None) -> None:
    pace = Pace(sender_rate=1, pair_interval=6)

    slots = pacing.book(name, pace, [Wish(1, "Acme", "+44"), Wish(1, "Acme", "+44"), Wish(1, "Globex", "+44")])

    assert [slot.come_back is None for slot in slots] == [True, False, True]
