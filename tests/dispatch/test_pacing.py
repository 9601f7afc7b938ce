"""The rate holds over all workers, is used up, and survives Redis; a pause holds for everybody."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from dispatch import pacing
from sendmsg import redis
from tests.servers.obtain import Redis


@pytest.fixture(autouse=True)
def forgetful(clean_redis: Redis) -> Iterator[None]:
    """Without what earlier tests booked, paused or found out about Redis."""

    def forget() -> None:
        pacing._own_lines.clear()
        pacing._own_pauses.clear()
        pacing._ask_redis_at = 0.0

    forget()
    yield
    forget()


@pytest.fixture
def name() -> str:
    return f"line-{uuid4().hex[:8]}"


@pytest.fixture
def without_redis(settings: Settings) -> Iterator[None]:
    redis.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    yield
    redis.client.cache_clear()


def fullest_second(starts: list[float]) -> int:
    ordered = sorted(starts)
    return max(sum(1 for other in ordered if start <= other < start + 1) for start in ordered)


def test_without_a_rate_everything_may_start_at_once(name: str) -> None:
    now = time.monotonic()

    assert all(start - now < 0.1 for start in pacing.book(name, None, [1] * 100))


def test_an_idle_line_starts_at_once_and_goes_at_its_pace(name: str) -> None:
    now = time.monotonic()

    starts = pacing.book(name, 10, [1] * 5)

    assert starts[0] - now < 0.1
    assert [round(later - start, 3) for start, later in pairwise(starts)] == [0.1] * 4


def test_a_message_of_three_parts_takes_three_slots(name: str) -> None:
    first, second = pacing.book(name, 10, [3, 1])

    assert second - first == pytest.approx(0.3)


def test_five_workers_together_keep_the_rate_and_use_it_up(name: str) -> None:
    rate, count = 10.0, 1000

    def work(_: int) -> list[float]:
        return [start for _ in range(count // 50) for start in pacing.book(name, rate, [1] * 10)]

    with ThreadPoolExecutor(5) as workers:
        starts = [start for found in workers.map(work, range(5)) for start in found]

    assert len(starts) == count
    assert fullest_second(starts) <= rate + 1
    assert (max(starts) - min(starts)) <= count / rate / 0.95


def test_without_redis_a_process_keeps_to_its_share(name: str, without_redis: None, settings: Settings) -> None:
    settings.PACING_SHARES = 5
    now = time.monotonic()

    starts = pacing.book(name, 10, [1] * 10)

    assert fullest_second(starts) <= 2
    assert starts[0] - now < 1


def test_redis_is_not_asked_again_at_once_after_it_failed(name: str, without_redis: None) -> None:
    pacing.book(name, 10, [1])
    asked = pacing._ask_redis_at

    pacing.book(name, 10, [1])

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
