"""One line an event, whatever is in it."""

import json
import logging
import re
import sys
from collections.abc import Iterator

import psycopg2
import pytest
from django.db import IntegrityError

from sendmsg.api import request_id
from sendmsg.telemetry import steps
from sendmsg.telemetry.logging import JsonFormatter, LineFormatter


def formatted(message: str, *arguments: object, error: bool = False) -> str:
    info = sys.exc_info() if error else None
    return LineFormatter().format(logging.LogRecord("dispatch", logging.INFO, "x.py", 1, message, arguments, info))


def document(message: str, *arguments: object, error: bool = False) -> dict[str, object]:
    info = sys.exc_info() if error else None
    text = JsonFormatter().format(logging.LogRecord("dispatch", logging.INFO, "x.py", 1, message, arguments, info))
    assert len(text.splitlines()) == 1
    return dict(json.loads(text))


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


@pytest.mark.usefixtures("within_request")
def test_as_json_an_event_is_an_object_with_its_fields() -> None:
    found = document("settle failed connection=%s messages=%d pause=%.1f", "acme", 3, 0.25)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(found.pop("time")))
    assert found == {
        "level": "INFO",
        "logger": "dispatch",
        "event": "settle failed",
        "connection": "acme",
        "messages": 3,
        "pause": 0.25,
        "request_id": "req-1",
    }


@pytest.mark.parametrize(
    ("message", "arguments", "event"),
    [
        ("The database failed: %s", ("DeadlockDetected",), "The database failed: DeadlockDetected"),
        ("applied by=%s %s", ("op", "+ route"), "applied by=op + route"),
        ("100 % done name=x", (), "100 % done name=x"),
        ("of %(name)s", ({"name": "somebody else"},), "of somebody else"),
    ],
)
def test_as_json_what_has_no_names_is_one_text(message: str, arguments: tuple[object, ...], event: str) -> None:
    found = document(message, *arguments)

    assert found["event"] == event
    assert set(found) == {"time", "level", "logger", "event"}


def test_as_json_a_value_can_replace_none_of_ours() -> None:
    assert document("x level=%s event=%s", "forged", "forged") | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "dispatch",
        "event": "x",
    }


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_as_json_a_line_break_in_a_value_makes_no_second_event(ending: str) -> None:
    assert document("x name=%s", f"a{ending}b")["name"] == f"a{ending}b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to +447700900123 now", "to +44****23 now"),
        ("(to)=(447700900123)", "(to)=(447****23)"),
        ("0199a2d4-7c6e-7c41-9d0a-123456789012", "0199a2d4-7c6e-7c41-9d0a-123456789012"),
        ("took 12345678 ms", "took 12345678 ms"),
    ],
)
def test_numbers_are_masked_whoever_wrote_the_line(text: str, shown: str) -> None:
    assert formatted(text).endswith(shown)
    assert formatted("name=%s", text).endswith(shown)
    assert document(text)["event"] == shown
    assert document("x name=%s", text)["name"] == shown


@pytest.mark.parametrize("kind", [IntegrityError, psycopg2.IntegrityError])
def test_of_a_databases_error_only_the_first_line_is_shown(kind: type[Exception]) -> None:
    said = "null value in column\nDETAIL:  Failing row contains (the secret is 4711)."
    try:
        try:
            raise psycopg2.IntegrityError(said)
        except psycopg2.IntegrityError as error:
            raise kind(*error.args) from error
    except Exception:
        line, found = formatted("failed", error=True), document("failed", error=True)

    for text in (line, str(found["exception"])):
        assert text.count("null value in column") == 2
        assert "4711" not in text


def test_a_step_is_logged_without_what_it_does_not_have(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, steps.LOGGER):
        steps.log("moved", message_id="m", state="sent", code="", status=None, attempt=0)

    assert [record.getMessage() for record in caplog.records] == ["moved message_id=m state=sent attempt=0"]


def test_steps_are_not_logged_unless_that_is_asked_for() -> None:
    assert not steps.on()
