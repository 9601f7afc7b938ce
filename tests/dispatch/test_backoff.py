"""Waits grow, stay under the cap, and never undercut what the provider asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from dispatch import backoff


@given(tries=st.integers(0, 10_000), after=st.none() | st.floats(0, 3600))
def test_a_wait_is_at_least_what_was_asked_and_at_most_the_cap_more(tries: int, after: float | None) -> None:
    wait = backoff.delay(tries, after).total_seconds()

    assert (after or 0) - 1e-6 <= wait <= (after or 0) + 300 + 1e-6


def test_the_longest_wait_doubles_with_each_try_up_to_the_cap(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RETRY_BASE, settings.RETRY_CAP = 2, 20
    monkeypatch.setattr("random.uniform", lambda low, high: high)

    assert [backoff.delay(tries).total_seconds() for tries in range(1, 7)] == [2, 4, 8, 16, 20, 20]


def test_waits_are_spread_over_the_whole_interval() -> None:
    waits = [backoff.delay(1).total_seconds() for _ in range(500)]

    assert min(waits) < 0.2
    assert max(waits) > 1.8
