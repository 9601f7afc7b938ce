"""What comes back whole is read as it is, and how long to wait is read in either form."""

import gzip
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendmsg.errors import MalformedAnswer
from sendmsg.http import MAX_RETRY_AFTER, HttpClient, Response
from tests.faults import (
    FaultServer,
    answer,
    chunked,
    sent,
)


class TestAnswers:
    def test_it_returns_status_headers_and_body(self, http: HttpClient) -> None:
        with FaultServer(answer(202, b"hello", {"X-Token": "abc"})) as server:
            response = http.request("POST", server.url, body=b"x")

        assert (response.status, response.headers["x-TOKEN"], response.body) == (202, "abc", b"hello")
        assert 0 < response.elapsed < 2

    def test_it_sends_json_with_its_type_and_our_user_agent(self, http: HttpClient) -> None:
        with FaultServer() as server:
            http.request("POST", f"{server.url}/v1/x", json={"a": "é"}, headers={"Authorization": "Bearer k"})

        (request,) = server.requests
        assert (request.method, request.path, request.json()) == ("POST", "/v1/x", {"a": "é"})
        assert request.headers["content-type"] == "application/json"
        assert request.headers["authorization"] == "Bearer k"
        assert request.headers["user-agent"].startswith("SendMSG/")

    @pytest.mark.parametrize("status", [200, 204, 302, 404, 429, 500, 503])
    def test_any_status_is_an_answer(self, http: HttpClient, status: int) -> None:
        with FaultServer(answer(status)) as server:
            assert http.request("GET", server.url).status == status

    def test_a_chunked_body_is_read_whole(self, http: HttpClient) -> None:
        with FaultServer(chunked(200, b"one ", b"two ", b"three")) as server:
            assert http.request("GET", server.url).body == b"one two three"

    def test_a_body_that_ends_with_the_connection_is_read_whole(self, http: HttpClient) -> None:
        with FaultServer(sent(b"HTTP/1.0 200 OK\r\n\r\nold school", close=True)) as server:
            assert http.request("GET", server.url).body == b"old school"

    def test_a_compressed_body_is_expanded_although_none_was_asked_for(self, http: HttpClient) -> None:
        with FaultServer(answer(200, gzip.compress(b"text"), {"Content-Encoding": "gzip"})) as server:
            assert http.request("GET", server.url).body == b"text"
            assert server.requests[0].headers["accept-encoding"] == "identity"

    def test_a_large_request_arrives_whole(self, http: HttpClient) -> None:
        with FaultServer() as server:
            http.request("POST", server.url, body=b"x" * 3_000_000)

        assert len(server.requests[0].body) == 3_000_000

    @pytest.mark.parametrize(
        "body", [b"", b"<html>", b'{"a": ', b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b"1" * 10_000]
    )
    def test_json_that_is_none_is_a_typed_error(self, http: HttpClient, body: bytes) -> None:
        with FaultServer(answer(200, body)) as server:
            response = http.request("GET", server.url)

        with pytest.raises(MalformedAnswer) as caught:
            response.json()
        assert (caught.value.code, caught.value.__context__) == ("malformed_answer", None)

    def test_json_is_parsed(self) -> None:
        assert Response(200, {}, b'\xef\xbb\xbf{"a": [1]}', 0.0).json() == {"a": [1]}

    def test_its_repr_shows_neither_headers_nor_body(self) -> None:
        assert repr(Response(200, {"X": "secret"}, b"secret", 0.5)) == "Response(status=200, elapsed=0.5)"


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("30", 30.0),
            (" 7 ", 7.0),
            ("999999999999", MAX_RETRY_AFTER),
            ("-1", None),
            ("soon", None),
        ],
    )
    def test_seconds(self, value: str, seconds: float | None) -> None:
        assert Response(429, {"Retry-After": value}, b"", 0.0).retry_after() == seconds

    @pytest.mark.parametrize(
        ("ahead", "seconds"),
        [(timedelta(seconds=30), 30.0), (timedelta(seconds=-30), 0.0), (timedelta(days=9), MAX_RETRY_AFTER)],
    )
    def test_a_date_is_measured_by_the_clock_of_who_sent_it(self, ahead: timedelta, seconds: float) -> None:
        theirs = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        headers = {
            "Retry-After": format_datetime(theirs + ahead, usegmt=True),
            "Date": format_datetime(theirs, usegmt=True),
        }

        assert Response(429, headers, b"", 0.0).retry_after() == seconds

    def test_a_date_without_one_to_compare_is_measured_by_our_clock(self) -> None:
        moment = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        seconds = Response(429, {"Retry-After": moment}, b"", 0.0).retry_after()

        assert seconds is not None
        assert 57 < seconds <= 60

    def test_a_date_without_a_zone_is_utc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        headers = {"Retry-After": "Tue, 06 May 2031 07:08:39 -0000", "Date": "Tue, 06 May 2031 07:08:09 GMT"}
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            seconds = Response(429, headers, b"", 0.0).retry_after()
        time.tzset()

        assert seconds == 30.0

    def test_without_the_header_nothing_is_known(self) -> None:
        assert Response(429, {}, b"", 0.0).retry_after() is None

    @given(st.text(), st.text())
    def test_whatever_it_says_the_wait_is_bounded(self, value: str, date: str) -> None:
        seconds = Response(429, {"Retry-After": value, "Date": date}, b"", 0.0).retry_after()

        assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
