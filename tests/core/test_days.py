"""Days are those of UTC, without a gap and without an overlap."""

from datetime import UTC, date, datetime, timedelta

import pytest

from sendmsg.days import bounds


def test_a_day_ends_where_the_next_one_begins() -> None:
    assert bounds(date(2026, 2, 28)) == (datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert bounds(date(2026, 3, 1))[0] == bounds(date(2026, 2, 28))[1]


def test_the_change_of_clocks_makes_no_day_longer() -> None:
    begin, end = bounds(date(2026, 10, 25))

    assert end - begin == timedelta(hours=24)


def test_the_last_day_there_is_has_no_end() -> None:
    with pytest.raises(OverflowError):
        bounds(date.max)
