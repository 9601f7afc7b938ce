"""One line an event, whatever is in it, and whoever wrote it."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator

import psycopg2
import pytest
import structlog
from django.db import IntegrityError
from structlog.contextvars import bound_contextvars, clear_contextvars

from sendmsg.telemetry import steps
from sendmsg.telemetry.logging import documents, lines

LOGGER = "tests.core.logging"
logger = structlog.stdlib.get_logger(LOGGER)
Told = Callable[[], str]


@pytest.fixture
def record(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], logging.LogRecord]]:
    caplog.set_level(logging.DEBUG, LOGGER)
    clear_contextvars()
    yield lambda: caplog.records[-1]
    clear_contextvars()


@pytest.fixture
def line(record: Callable[[], logging.LogRecord]) -> Told:
    """How the last event is written."""
    return lambda: lines().format(record())


@pytest.fixture
def document(record: Callable[[], logging.LogRecord]) -> Callable[[], dict[str, object]]:
    def read() -> dict[str, object]:
        text = documents().format(record())
        assert len(text.splitlines()) == 1
        return dict(json.loads(text))

    return read


def theirs(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    """A record of a library, which knows nothing of structlog."""
    return logging.LogRecord("celery", logging.INFO, "x.py", 1, message, arguments, sys.exc_info() if error else None)


def test_a_line_has_time_level_logger_event_and_fields(line: Told) -> None:
    logger.info("sent", count=2, reason="timeout, 5 of 5", empty="")

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z info tests\.core\.logging sent count=2 "
        r'reason="timeout, 5 of 5" empty=""',
        line(),
    )


def test_a_line_of_a_library_has_the_same_form() -> None:
    line = lines().format(theirs("Task %s received", "deliver"))

    assert re.fullmatch(r"[-0-9]{10}T[.:0-9]{15}Z info celery Task deliver received", line)


def test_a_line_of_a_request_names_it(line: Told) -> None:
    with bound_contextvars(request_id="req-1"):
        logger.info("sent", count=1)
        theirs_within = lines().format(theirs("received"))

    assert line().endswith(" sent count=1 request_id=req-1")
    assert theirs_within.endswith(" celery received request_id=req-1")


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_a_line_break_makes_no_second_event(line: Told, ending: str) -> None:
    forged = f"x{ending}2026-01-01T00:00:00.000000Z info forged"

    logger.info("name", name=forged)
    assert len(line().splitlines()) == 1

    logger.info(forged, name="x")
    for text in (line(), lines().format(theirs("name=%s", forged))):
        _, rest = text.splitlines()
        assert rest.startswith("    ")


def test_a_traceback_is_part_of_its_event(line: Told) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("failed", count=1)
        texts = [line(), lines().format(theirs("failed", error=True))]

    for text in texts:
        first, *rest = text.splitlines()
        assert " failed" in first
        assert "ValueError: first" in "\n".join(rest)
        assert all(line.startswith("    ") for line in rest)


def test_an_empty_text_is_still_a_line() -> None:
    assert lines().format(theirs("")).endswith("info celery ")


def test_as_json_an_event_is_an_object_with_its_fields(document: Callable[[], dict[str, object]]) -> None:
    with bound_contextvars(request_id="req-1"):
        logger.error("settle failed", connection="acme", messages=3, pause=0.25, nothing=None)

    found = document()
    assert list(found)[:4] == ["time", "level", "logger", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(found.pop("time")))
    assert found == {
        "level": "error",
        "logger": LOGGER,
        "event": "settle failed",
        "connection": "acme",
        "messages": 3,
        "pause": 0.25,
        "nothing": "None",
        "request_id": "req-1",
    }


def test_as_json_what_a_library_wrote_is_one_text() -> None:
    found = json.loads(documents().format(theirs("Task %s received by=%s", "deliver", "me")))

    assert found.pop("time")
    assert found == {"level": "info", "logger": "celery", "event": "Task deliver received by=me"}


def test_as_json_a_value_can_replace_none_of_ours(document: Callable[[], dict[str, object]]) -> None:
    logger.info("x", level="forged", time="forged", logger="forged")

    found = document()
    assert "forged" not in found.values()
    assert (found["level"], found["logger"], found["event"]) == ("info", LOGGER, "x")


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028"])
def test_as_json_a_line_break_in_a_value_makes_no_second_event(
    document: Callable[[], dict[str, object]], ending: str
) -> None:
    logger.info("x", name=f"a{ending}b")

    assert document()["name"] == f"a{ending}b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to +447700900123 now", "to +44****23 now"),
        ("(to)=(447700900123)", "(to)=(447****23)"),
        ("0199a2d4-7c6e-7c41-9d0a-123456789012", "0199a2d4-7c6e-7c41-9d0a-123456789012"),
        ("took 12345678 ms", "took 12345678 ms"),
    ],
)
def test_numbers_are_masked_whoever_wrote_the_line(
    line: Told, document: Callable[[], dict[str, object]], text: str, shown: str
) -> None:
    logger.info(text, name=text)

    assert line().count(shown) == 2
    assert (document()["event"], document()["name"]) == (shown, shown)
    assert lines().format(theirs(text)).endswith(shown)
    assert lines().format(theirs("name=%s", text)).endswith(f"name={shown}")


@pytest.mark.parametrize("kind", [IntegrityError, psycopg2.IntegrityError])
def test_of_a_databases_error_only_the_first_line_is_shown(
    line: Told, document: Callable[[], dict[str, object]], kind: type[Exception]
) -> None:
    said = "null value in column\nDETAIL:  Failing row contains (the secret is 4711)."
    try:
        try:
            raise psycopg2.IntegrityError(said)
        except psycopg2.IntegrityError as error:
            raise kind(*error.args) from error
    except Exception:
        logger.exception("failed")
        texts = [line(), str(document()["exception"]), lines().format(theirs("failed", error=True))]

    for text in texts:
        assert text.count("null value in column") == 2
        assert "4711" not in text


def test_a_step_is_logged_without_what_it_does_not_have(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, steps.LOGGER):
        steps.log("moved", message_id="m", state="sent", code="", status=None, attempt=0)

    assert caplog.text.endswith(" moved message_id=m state=sent attempt=0\n")


def test_steps_are_not_logged_unless_that_is_asked_for() -> None:
    assert not steps.on()
