"""One line an event, whatever is in it."""

import logging
import re
import sys
from collections.abc import Iterator

import pytest

from sendmsg.api import request_id
from sendmsg.telemetry.logging import LineFormatter


def formatted(message: str, *arguments: object, error: bool = False) -> str:
    info = sys.exc_info() if error else None
    return LineFormatter().format(logging.LogRecord("dispatch", logging.INFO, "x.py", 1, message, arguments, info))


@pytest.fixture(autouse=True)
def _outside_of_requests() -> Iterator[None]:
    token = request_id._current.set("")
    yield
    request_id._current.reset(token)


@pytest.fixture
def within_request() -> None:
    request_id._current.set("req-1")


def test_a_line_has_time_level_logger_and_text() -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO dispatch sent count=2", formatted("sent count=%d", 2)
    )


@pytest.mark.usefixtures("within_request")
def test_a_line_of_a_request_names_it() -> None:
    assert formatted("sent").endswith(" dispatch sent request_id=req-1")


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_a_line_break_in_a_value_makes_no_second_event(ending: str) -> None:
    lines = formatted("name=%s", f"x{ending}2026-01-01 00:00:00,000 INFO forged").splitlines()

    assert len(lines) == 2
    assert lines[1].startswith("    ")


def test_a_traceback_is_part_of_its_event() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        first, *rest = formatted("failed", error=True).splitlines()

    assert first.endswith("failed")
    assert "ValueError: first" in "\n".join(rest)
    assert all(line.startswith("    ") for line in rest)


def test_an_empty_text_is_still_a_line() -> None:
    assert formatted("").endswith("INFO dispatch ")
