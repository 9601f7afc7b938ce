"""What is remembered of counters: how they rose, over restarts, and no longer than somebody asks."""

import pytest

from sendmsg.alerts.conditions import Condition
from sendmsg.alerts.expressions import Above, Quantile, Rise, Series
from sendmsg.alerts.looking import Past, Sample

FAILED = Series("failed_total", ("pump",))
SECONDS = Series("seconds")


def past() -> Past:
    test = Above(Rise(FAILED, 60), 0)
    return Past([Condition("Failing", test, 0, ""), Condition("Slow", Above(Quantile(0.5, SECONDS, 60), 1), 0, "")])


def failed(value: float, pump: str = "relay") -> list[Sample]:
    return [Sample("failed_total", {"pump": pump}, value)]


def risen(found: Past) -> dict[str, float]:
    return {dict(labels)["pump"]: value for labels, value in found.rise(FAILED, 60).items()}


def test_the_first_look_at_a_process_is_no_rise() -> None:
    seen = past()
    seen.add("a", 0, failed(7))

    assert risen(seen) == {"relay": 0}


def test_a_counter_that_falls_was_begun_again() -> None:
    seen = past()
    for at, value in enumerate((7, 9, 3, 4)):
        seen.add("a", at, failed(value))

    assert risen(seen) == {"relay": 2 + 3 + 1}


def test_a_counter_that_is_new_at_a_known_process_rose_from_nothing() -> None:
    seen = past()
    seen.add("a", 0, [])
    seen.add("a", 1, failed(2))

    assert risen(seen) == {"relay": 2}


def test_processes_are_added_up_and_told_apart() -> None:
    seen = past()
    for at, (first, second) in enumerate(((1, 100), (2, 105))):
        seen.add("a", at, failed(first))
        seen.add("b", at, failed(second))

    assert risen(seen) == {"relay": 6}


def test_what_is_older_than_anybody_asks_is_forgotten() -> None:
    seen = past()
    for at in range(0, 300, 10):
        seen.add("a", at, failed(at))

    assert risen(seen) == {"relay": 60}
    assert len(seen._rises[FAILED]) == 6


@pytest.mark.parametrize(
    ("counts", "median"),
    [((10, 10, 10), 0.5), ((0, 10, 10), 1.5), ((4, 8, 8), 1.0), ((0, 0, 5), 2.0), ((0, 0, 0), None)],
)
def test_a_quantile_lies_between_the_bounds_of_its_bucket(counts: tuple[int, ...], median: float | None) -> None:
    seen = past()
    for at, factor in enumerate((0, 1)):
        bounds = zip(("1.0", "2.0", "+Inf"), counts, strict=True)
        seen.add("a", at, [Sample("seconds_bucket", {"le": bound}, count * factor) for bound, count in bounds])

    assert Quantile(0.5, SECONDS, 60).of(seen) == ({} if median is None else {(): pytest.approx(median)})
