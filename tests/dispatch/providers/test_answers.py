"""Answers that can't be trusted: looked into without a fault, and quoted only as far as they are codes."""

from typing import Any

import pytest

from dispatch.providers.answers import Answer, ask, number
from dispatch.providers.base import Rejected, Retry, Verdict
from dispatch.providers.tables import ErrorTable
from sendmsg.errors import OutcomeUnknown
from sendmsg.http import HttpClient, build_session
from tests.faults import Fault, FaultServer, answer, json_answer, reset, truncated

TABLE = ErrorTable({"17": Verdict(Retry, "throttled")})


def client() -> HttpClient:
    return build_session(connect_timeout=5, read_timeout=10, total_timeout=15, pool_size=1)


def asked(fault: Fault) -> Answer:
    with FaultServer(fault) as server, client() as http:
        return ask(http, "GET", server.url, {})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("error", "code"), 17),
        (("messages", 0, "id"), "a"),
        (("messages", 1, "id"), None),
        (("messages", "0"), None),
        (("error", 0), None),
        (("error", "code", "more"), None),
        (("text", 0), None),
        (("nothing", "there"), None),
        ((), {"error": {"code": 17}, "messages": [{"id": "a"}], "text": "abc"}),
    ],
)
def test_any_shape_can_be_looked_into(path: tuple[str | int, ...], found: Any) -> None:
    content = {"error": {"code": 17}, "messages": [{"id": "a"}], "text": "abc"}

    assert Answer(200, content, None).at(*path) == found


@pytest.mark.parametrize(("value", "code"), [(0, "0"), (131056, "131056"), ("7", "7"), ("021", "021")])
def test_a_numeric_code_is_a_short_number(value: object, code: str) -> None:
    assert number(value) == code


@pytest.mark.parametrize("value", [None, True, -1, 1.5, 1_000_000, "", "447700900123", "1e3", " 7", "-1", "²", "٣", []])
def test_anything_else_is_no_code(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b"<html>", b"\xff"])
def test_a_body_that_is_no_object_leaves_the_status(body: bytes) -> None:
    assert asked(answer(422, body)) == Answer(422, {}, None)


def test_a_refusal_in_pieces_is_an_answer() -> None:
    assert asked(truncated(400, b'{"error": ')) == Answer(400, {}, None)


@pytest.mark.parametrize("fault", [truncated(200, b'{"id": '), reset])
def test_a_success_in_pieces_is_none(fault: Fault) -> None:
    with pytest.raises(OutcomeUnknown):
        asked(fault)


def test_the_code_decides_and_is_quoted() -> None:
    found = asked(json_answer(400, {"code": 17}, {"Retry-After": "3"}))

    assert found.outcome(TABLE, "17") == Retry("throttled", "HTTP 400 17", 3.0)
    assert found.outcome(TABLE, None) == Rejected("invalid_request", "HTTP 400 without a usable error code")


def test_the_providers_own_wait_comes_before_the_adapters() -> None:
    assert Answer(429, {}, 3.0).outcome(TABLE, "17", 6.0) == Retry("throttled", "HTTP 429 17", 3.0)
    assert Answer(429, {}, None).outcome(TABLE, "17", 6.0) == Retry("throttled", "HTTP 429 17", 6.0)
    assert Answer(429, {}, 0.0).outcome(TABLE, "17", 6.0) == Retry("throttled", "HTTP 429 17", 0.0)
