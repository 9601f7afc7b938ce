"""Whoever rings wakes the relay, and waits for nobody."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dispatch import wakeup
from sendmsg import redis
from tests.outages import redis_away
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Nobody has rung, before and after."""
    redis.client().delete(redis.key("wake"))
    yield
    eventually(lambda: not wakeup._rung.is_set(), "the bell is told", 30)
    redis.client().delete(redis.key("wake"))


def test_a_ring_ends_the_wait() -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wakeup.wait, 20)
        wakeup.ring()
        waiting.result(30)

    assert time.monotonic() - began < 15


def test_a_ring_before_the_wait_counts() -> None:
    wakeup.ring()
    began = time.monotonic()
    wakeup.wait(20)

    assert time.monotonic() - began < 15


def test_however_many_ring_there_is_one_thing_to_hear() -> None:
    for _ in range(100):
        wakeup.ring()
    eventually(lambda: not wakeup._rung.is_set(), "the bell is told", 10)

    assert eventually(lambda: redis.client().llen(redis.key("wake")), "it is there", 10) == 1


def test_a_command_that_ends_at_once_is_heard() -> None:
    wakeup._rung.set()  # as if its thread had no time

    assert wakeup._push()
    assert redis.client().llen(redis.key("wake")) == 1


def test_with_redis_away_nobody_waits_and_the_relay_sleeps_its_time() -> None:
    with redis_away():
        began = time.monotonic()
        wakeup._rung.set()
        assert not wakeup._push()
        wakeup.wait(0.05)

    assert 0.05 <= time.monotonic() - began < 5
