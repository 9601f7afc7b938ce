"""What is written once is what would have been written each time."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

from sendmsg.written import KNOWN, moment_text, uuid_text


def test_a_uuid_and_a_moment_are_written_as_ever() -> None:
    one, now = uuid4(), datetime(2026, 11, 29, 12, 0, 0, 5, UTC)

    assert uuid_text(one) == uuid_text(one) == str(one)
    assert moment_text(now) == moment_text(now) == "2026-11-29T12:00:00.000005+00:00"


def test_the_same_moment_elsewhere_is_the_same_moment() -> None:
    now = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    abroad = now.astimezone(timezone(timedelta(hours=2)))

    assert moment_text(abroad) == moment_text(now) == now.isoformat()


def test_those_that_are_not_used_any_more_are_forgotten() -> None:
    for _ in range(KNOWN + 10):
        uuid_text(uuid4())

    assert uuid_text.cache_info().currsize == KNOWN
