"""The HTTP client against a server that misbehaves: what is bounded, what is reused, and what a failure is called."""

import errno
import gc
import gzip
import logging
import os
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connectionpool import HTTPConnectionPool

from sendmsg import transport
from sendmsg.errors import CallFailed, MalformedAnswer, NotSent, OutcomeUnknown
from sendmsg.http import MAX_RETRY_AFTER, HttpClient, Response, build_session
from tests.faults import (
    FaultServer,
    answer,
    chunked,
    close_without_answer,
    drip_body,
    drip_head,
    hang,
    huge,
    json_answer,
    refused_url,
    reset,
    sent,
    truncated,
)

DRIP = 0.02  # seconds between bytes
PLANTED = b"p1anted-s3cret"
SLACK = 0.5  # seconds that a loaded machine may add to a deadline


class TimeLimitExceeded(Exception):
    pass


def client(**bounds: Any) -> HttpClient:
    return build_session(
        **{"connect_timeout": 2.0, "read_timeout": 2.0, "total_timeout": 3.0, "pool_size": 4, **bounds}
    )


@pytest.fixture
def http() -> Iterator[HttpClient]:
    with client() as shared:
        yield shared


def failure(http: HttpClient, url: str, **request: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        http.request("POST", url, **{"body": b"x", **request})
    return caught.value


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


class TestConnections:
    def test_twenty_requests_use_one_connection(self, http: HttpClient) -> None:
        with FaultServer(json_answer(202, {}), chunked(200, b"x"), answer(204), json_answer(422, {})) as server:
            for _ in range(20):
                http.request("POST", server.url, json={"n": 1})

            assert (server.connections, len(server.requests)) == (1, 20)

    def test_threads_share_the_pool_and_never_exceed_it(self) -> None:
        with FaultServer() as server, client(pool_size=3) as http, ThreadPoolExecutor(12) as threads:
            answers = list(threads.map(lambda n: http.request("GET", f"{server.url}/{n}"), range(120)))

            assert {one.status for one in answers} == {200}
            assert server.connections <= 3

    def test_concurrent_callers_get_their_own_answers(self, http: HttpClient) -> None:
        def echo(wire: Any) -> bool:
            return answer(200, wire.request.path.encode())(wire)

        with FaultServer(echo) as server, ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda n: http.request("GET", f"{server.url}/{n}"), range(200)))

        assert [one.body.decode() for one in answers] == [f"/{n}" for n in range(200)]

    @pytest.mark.parametrize(
        "fault", [truncated(200, b"x"), huge(200, 200_000, "length"), reset, hang, drip_body(200, DRIP)]
    )
    def test_a_failure_gives_its_place_in_the_pool_back(self, fault: Any) -> None:
        bounds = {"pool_size": 1, "max_response_bytes": 100_000, "read_timeout": 0.1, "total_timeout": 0.2}
        with FaultServer(fault, fault, answer(200)) as server, client(**bounds) as http:
            failure(http, server.url)
            failure(http, server.url)

            assert http.request("GET", server.url).status == 200

    @pytest.mark.parametrize("calls", [1, 2, 3])
    def test_a_call_that_is_interrupted_gives_its_place_in_the_pool_back(
        self, monkeypatch: pytest.MonkeyPatch, calls: int
    ) -> None:
        with FaultServer(answer(200, b"x" * 100_000)) as server, client(pool_size=1) as http:
            with monkeypatch.context() as patch:
                patch.setattr(transport.Exchange, "patience", _interrupt_at(calls, transport.Exchange.patience))
                with pytest.raises(TimeLimitExceeded):
                    http.request("GET", server.url)

            assert http.request("GET", server.url).status == 200

    def test_an_interrupted_wait_for_a_place_spoils_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting, go = threading.Event(), threading.Event()

        def held(wire: Any) -> bool:
            waiting.set()
            go.wait(5)
            return answer(200)(wire)

        with FaultServer(held) as server, client(pool_size=1) as http, ThreadPoolExecutor(1) as threads:
            answers = threads.submit(http.request, "GET", server.url)
            waiting.wait(5)
            with monkeypatch.context() as patch:
                patch.setattr(HTTPConnectionPool, "_get_conn", _interrupt_at(1, HTTPConnectionPool._get_conn))
                with pytest.raises(TimeLimitExceeded):
                    http.request("GET", server.url)
            go.set()

            assert answers.result(5).status == 200
            assert http.request("GET", server.url).status == 200

    def test_a_connection_that_the_server_closed_is_not_used_again(self, http: HttpClient) -> None:
        with FaultServer(answer(200, close=True)) as server:
            for _ in range(3):
                assert http.request("GET", server.url).status == 200
                _wait_until_closed(http)

            assert server.connections == 3

    def test_a_connection_idle_for_long_is_not_used_again(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transport, "MAX_IDLE_SECONDS", 0.0)
        with FaultServer() as server:
            for _ in range(3):
                http.request("GET", server.url)

            assert server.connections == 3

    def test_a_redirect_is_not_followed_and_its_body_is_bounded(self) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1000000000\r\n\r\n"
        with FaultServer(sent(head, b" " * 200_000)) as server, client(max_response_bytes=100_000) as http:
            error = failure(http, server.url)

            assert isinstance(error, OutcomeUnknown)
            assert (error.code, error.status, len(server.requests)) == ("oversized", 302, 1)

    def test_cookies_are_not_kept(self, http: HttpClient) -> None:
        with FaultServer(answer(200, headers={"Set-Cookie": "session=secret"})) as server:
            http.request("GET", server.url)
            http.request("GET", server.url)

        assert "cookie" not in server.requests[1].headers

    def test_the_environment_is_ignored(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("HTTP_PROXY", refused_url())

        with FaultServer() as server:
            http.request("GET", server.url, headers={"Authorization": "Bearer ours"})

        assert server.requests[0].headers["authorization"] == "Bearer ours"

    def test_a_proxy_of_the_environment_is_used_on_demand_and_bounded_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FaultServer(answer(200), drip_body(200, DRIP)) as proxy, client(trust_env=True) as http:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            http.request("GET", "http://provider.invalid/v1")

            assert proxy.requests[0].path == "http://provider.invalid/v1"
            assert failure(http, "http://provider.invalid/v1", total_timeout=0.2).code == "deadline"

    def test_a_tunnel_that_is_refused_means_nothing_was_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with FaultServer(answer(403)) as proxy, client(trust_env=True) as http:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("https_proxy", proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)

            assert isinstance(failure(http, "https://provider.invalid/v1"), NotSent)
            assert proxy.requests[0].method == "CONNECT"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_opens_its_own_connection(self, http: HttpClient) -> None:
        with FaultServer() as server:
            http.request("GET", server.url)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if http.request("GET", server.url).status == 200 else 1
                finally:
                    os._exit(status)

            assert os.waitpid(child, 0)[1] == 0
            assert http.request("GET", server.url).status == 200
            assert server.connections == 2


class TestDeadlines:
    @pytest.mark.parametrize(
        "fault",
        [
            drip_head(200, DRIP),
            drip_body(200, DRIP),
            sent(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
            sent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
            hang,
        ],
        ids=["head drips", "body drips", "100 without end", "chunks stop", "silence"],
    )
    def test_the_total_deadline_holds_against(self, fault: Any) -> None:
        with FaultServer(fault) as server, client(total_timeout=0.3) as http:
            started = time.monotonic()
            error = failure(http, server.url)

            assert 0.3 <= time.monotonic() - started < 0.3 + SLACK
            assert (type(error), error.code) == (OutcomeUnknown, "deadline")

    def test_it_holds_against_a_server_that_does_not_read(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with listener, client(total_timeout=0.3) as http:
            started = time.monotonic()
            error = failure(http, url, body=b"x" * 20_000_000)

            assert time.monotonic() - started < 0.3 + SLACK
            assert (type(error), error.code) == (OutcomeUnknown, "deadline")

    def test_silence_ends_after_the_read_timeout(self) -> None:
        with FaultServer(hang) as server, client(read_timeout=0.2) as http:
            started = time.monotonic()
            error = failure(http, server.url)

            assert time.monotonic() - started < 0.2 + SLACK
            assert (type(error), error.code) == (OutcomeUnknown, "timeout")

    def test_a_drip_slower_than_the_total_but_faster_than_the_silence_may_finish(self) -> None:
        def slow(wire: Any) -> bool:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx":
                wire.socket.sendall(bytes([byte]))
                wire.ending.wait(0.005)
            return True

        with FaultServer(slow) as server, client(read_timeout=0.2) as http:
            assert http.request("GET", server.url).body == b"x"

    def test_a_call_may_shorten_the_deadline_and_not_lengthen_it(self) -> None:
        with FaultServer(hang) as server, client(total_timeout=0.2) as http:
            for wanted in (0.1, 30.0):
                started = time.monotonic()
                failure(http, server.url, total_timeout=wanted)

                assert time.monotonic() - started < 0.2 + SLACK

    def test_waiting_for_a_place_in_the_pool_ends_with_the_deadline(self) -> None:
        with FaultServer(hang) as server, client(pool_size=1, total_timeout=1.0) as http:
            holder = threading.Thread(target=lambda: failure(http, server.url))
            holder.start()
            _wait_for(lambda: len(server.requests) == 1)

            error = failure(http, server.url, total_timeout=0.1)

            assert (type(error), error.code) == (NotSent, "pool_exhausted")
            holder.join()

    def test_slow_name_resolution_is_noticed_before_anything_is_sent(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve = socket.getaddrinfo

        def slowly(*args: Any) -> Any:
            threading.Event().wait(0.15)
            return resolve(*args)

        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        with FaultServer() as server:
            error = failure(http, server.url, total_timeout=0.1)

            assert (type(error), error.code, server.connections) == (NotSent, "deadline_before_send", 0)

    def test_the_connect_timeout_covers_all_addresses_of_a_host(
        self, monkeypatch: pytest.MonkeyPatch, black_hole: int
    ) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", black_hole))] * 5
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        with client(connect_timeout=0.3) as short:
            started = time.monotonic()
            error = failure(short, "http://many.invalid")

            assert time.monotonic() - started < 0.3 + SLACK
            assert (type(error), error.code) == (NotSent, "connect_timeout")

    def test_a_deadline_that_passes_while_connecting_means_nothing_was_sent(
        self, http: HttpClient, black_hole: int
    ) -> None:
        started = time.monotonic()
        error = failure(http, f"http://127.0.0.1:{black_hole}", total_timeout=0.2)

        assert time.monotonic() - started < 0.2 + SLACK
        assert (type(error), error.code) == (NotSent, "deadline_before_send")

    def test_the_next_address_is_tried_when_one_refuses(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FaultServer() as server:
            ports = [int(url.rpartition(":")[2]) for url in (refused_url(), server.url)]
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)

            assert http.request("GET", "http://two.invalid").status == 200

    def test_an_address_that_is_silent_leaves_time_for_the_next(
        self, monkeypatch: pytest.MonkeyPatch, black_hole: int
    ) -> None:
        with FaultServer() as server, client(connect_timeout=0.4) as http:
            ports = [black_hole, int(server.url.rpartition(":")[2])]
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)

            assert http.request("GET", "http://two.invalid").status == 200

    def test_an_interrupted_connect_tries_no_other_address(
        self, http: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with FaultServer() as server:
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(server.url.rpartition(":")[2])))] * 2
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
            calls = iter([TimeLimitExceeded])
            connect = socket.socket.connect

            def interrupted(sock: socket.socket, address: Any) -> None:
                for error in calls:
                    raise error
                connect(sock, address)

            monkeypatch.setattr(socket.socket, "connect", interrupted)
            with pytest.raises(TimeLimitExceeded):
                http.request("GET", "http://two.invalid")

            assert server.connections == 0

    def test_connecting_and_the_handshake_share_the_connect_timeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect = socket.socket.connect

        def slowly(sock: socket.socket, address: Any) -> None:
            threading.Event().wait(0.75)
            connect(sock, address)

        monkeypatch.setattr(socket.socket, "connect", slowly)
        with socket.create_server(("127.0.0.1", 0)) as listener, client(connect_timeout=0.8) as http:
            started = time.monotonic()
            error = failure(http, f"https://127.0.0.1:{listener.getsockname()[1]}")

        assert time.monotonic() - started < 0.8 + SLACK
        assert (type(error), error.code) == (NotSent, "connect_timeout")

    @pytest.mark.parametrize("bound", ["connect_timeout", "read_timeout", "total_timeout", "pool_size"])
    @pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
    def test_every_bound_is_mandatory(self, bound: str, value: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            client(**{bound: value})


class TestSize:
    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    def test_a_huge_answer_is_refused_at_the_cap(self, framing: str) -> None:
        with (
            FaultServer(huge(200, 100_000_000, framing)) as server,
            client(max_response_bytes=100_000) as http,
        ):
            error = failure(http, server.url)

            assert isinstance(error, OutcomeUnknown)
            assert (error.code, error.status) == ("oversized", 200)

    def test_an_answer_of_exactly_the_cap_is_taken(self) -> None:
        with FaultServer(answer(200, b"x" * 1000)) as server, client(max_response_bytes=1000) as http:
            assert len(http.request("GET", server.url).body) == 1000

    def test_a_compressed_answer_is_refused_by_its_expanded_size(self) -> None:
        bomb = gzip.compress(b" " * 10_000_000)
        fault = answer(200, bomb, {"Content-Encoding": "gzip"})
        with FaultServer(fault) as server, client(max_response_bytes=100_000) as http:
            assert len(bomb) < 100_000
            assert failure(http, server.url).code == "oversized"

    def test_endless_headers_are_refused(self, http: HttpClient) -> None:
        with FaultServer(sent(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000)) as server:
            assert failure(http, server.url).code == "bad_protocol"


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (close_without_answer, "no_answer"),
            (reset, "connection_reset"),
            (truncated(202, b'{"id": "snd'), "truncated"),
            (sent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nx", close=True), "truncated"),
            (
                sent(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", close=True),
                "truncated",
            ),
            (sent(b"SSH-2.0-OpenSSH\r\n", close=True), "bad_protocol"),
            (sent(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 OK\r\n\r\n"), "bad_protocol"),
            (sent(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx", close=True), "bad_protocol"),
            (answer(200, b"no gzip", {"Content-Encoding": "gzip"}), "bad_encoding"),
        ],
    )
    def test_after_the_request_left_the_outcome_is_unknown(self, http: HttpClient, fault: Any, code: str) -> None:
        with FaultServer(fault) as server:
            error = failure(http, server.url)

            assert (type(error), error.code) == (OutcomeUnknown, code)
            assert len(server.requests) == 1

    def test_a_kept_connection_that_breaks_under_a_request_is_unknown_and_not_retried(self, http: HttpClient) -> None:
        with FaultServer(answer(200), close_without_answer, answer(200)) as server:
            http.request("GET", server.url)
            error = failure(http, server.url)

            assert (type(error), error.code) == (OutcomeUnknown, "no_answer")
            assert (server.connections, len(server.requests)) == (1, 2)

    def test_a_refusal_sent_before_the_request_was_read_is_an_answer(self, http: HttpClient) -> None:
        early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_answer_unread, args=(listener, early))
            thread.start()
            response = http.request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}", body=b"x" * 10)
            thread.join()

        assert response.status == 413

    def test_refused(self, http: HttpClient) -> None:
        error = failure(http, refused_url())

        assert (type(error), error.code) == (NotSent, "connection_refused")

    def test_no_such_name(self, http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def nowhere(*_: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", nowhere)
        error = failure(http, "http://nowhere.invalid")

        assert (type(error), error.code) == (NotSent, "dns_failure")

    def test_a_reset_while_connecting_sent_nothing(self, http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        error = failure(http, "http://127.0.0.1:9")

        assert (type(error), error.code) == (NotSent, "unreachable")

    def test_no_route(self, http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
        error = failure(http, "http://empty.invalid")

        assert (type(error), error.code) == (NotSent, "unreachable")

    @pytest.mark.parametrize(
        "url",
        [
            "ftp://127.0.0.1/",
            "not a url",
            "http://",
            "http://127.0.0.1:99999/",
            f"http://{'a' * 70}.example/",
        ],
    )
    def test_a_url_that_is_none(self, http: HttpClient, url: str) -> None:
        error = failure(http, url)

        assert (type(error), error.code) == (NotSent, "invalid_request")

    @pytest.mark.parametrize("value", ["a\r\nX-Injected: b", "\u20ac", "\x00\n"])
    def test_a_header_that_cannot_be_sent(self, http: HttpClient, value: str) -> None:
        with FaultServer() as server:
            error = failure(http, server.url, headers={"X": value})

            assert (type(error), error.code) == (NotSent, "invalid_request")
            assert server.requests == []

    def test_a_programming_error_stays_one(self, http: HttpClient) -> None:
        with pytest.raises(TypeError):
            http.request("POST", "http://127.0.0.1/", json=object())

    @pytest.mark.parametrize("fault", [close_without_answer, truncated(200, PLANTED), hang])
    def test_nothing_secret_is_in_errors_logs_or_their_causes(
        self, fault: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with FaultServer(fault) as server, client(total_timeout=0.2) as http:
            for host in (server.url, refused_url()):
                planted = PLANTED.decode()
                error = failure(http, f"{host}/?key={planted}", headers={"Authorization": planted}, body=PLANTED)
                logging.getLogger("test").error("failed", exc_info=error)

                assert (error.__cause__, error.__context__) == (None, None)
                assert planted not in f"{error!r} {error}"

        assert PLANTED.decode() not in caplog.text

    @pytest.mark.parametrize("others", [logging.ERROR, logging.WARNING, logging.DEBUG])
    def test_malformed_headers_are_not_logged(
        self, http: HttpClient, caplog: pytest.LogCaptureFixture, others: int
    ) -> None:
        """Whatever level another library in the process has set for urllib3, as generated clients do."""
        caplog.set_level(logging.DEBUG)
        caplog.set_level(others, "urllib3")
        head = b"HTTP/1.1 200 OK\r\n" + PLANTED + b"\r\nContent-Length: 0\r\n\r\n"
        with FaultServer(sent(head, close=True)) as server:
            http.request("GET", f"{server.url}/{PLANTED.decode()}")

        assert PLANTED.decode() not in caplog.text

    def test_an_error_survives_pickling(self, http: HttpClient) -> None:
        error = pickle.loads(pickle.dumps(failure(http, refused_url())))

        assert (type(error), error.code) == (NotSent, "connection_refused")

    def test_no_socket_is_left_behind(self) -> None:
        with FaultServer(truncated(200, b"x")) as server:
            http = client()
            failure(http, server.url)
            http.close()
            del http
            gc.collect()  # an unclosed socket would warn here, and warnings are errors


class TestTLS:
    def test_a_trusted_server_is_served_and_kept(self, http: HttpClient, tls: ssl.SSLContext) -> None:
        with FaultServer(tls=tls) as server:
            for _ in range(5):
                assert http.request("POST", server.url, body=b"x" * 100_000).status == 200

            assert server.connections == 1

    def test_the_deadline_holds(self, tls: ssl.SSLContext) -> None:
        with FaultServer(drip_body(200, DRIP), tls=tls) as server, client(total_timeout=0.5) as http:
            started = time.monotonic()
            error = failure(http, server.url)

            assert time.monotonic() - started < 0.5 + SLACK
            assert (type(error), error.code) == (OutcomeUnknown, "deadline")

    def test_an_untrusted_server_gets_nothing(
        self, http: HttpClient, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        with FaultServer(tls=tls) as server:
            error = failure(http, server.url)

            assert (type(error), error.code) == (NotSent, "tls_failure")
            assert server.requests == []

    def test_a_certificate_for_another_name_is_refused(self, http: HttpClient, tls: ssl.SSLContext) -> None:
        with FaultServer(tls=tls) as server:
            error = failure(http, server.url.replace("localhost", "127.0.0.1"))

            assert (type(error), error.code) == (NotSent, "tls_failure")

    def test_a_server_that_speaks_no_tls(self, http: HttpClient) -> None:
        with FaultServer(sent(b"HTTP/1.1 400 Bad Request\r\n\r\n", close=True)) as server:
            error = failure(http, server.url.replace("http:", "https:"))

            assert isinstance(error, NotSent)

    def test_a_handshake_that_drips_ends_with_the_connect_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, client(connect_timeout=0.3) as http:
            over = threading.Event()
            thread = threading.Thread(target=_drip_handshake, args=(listener, over))
            thread.start()
            started = time.monotonic()
            error = failure(http, f"https://127.0.0.1:{listener.getsockname()[1]}")
            over.set()
            thread.join()

        assert time.monotonic() - started < 0.3 + SLACK
        assert (type(error), error.code) == (NotSent, "connect_timeout")


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


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context for `localhost`, whose certificate the client trusts during the test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "server.pem").write_bytes(pem + secret)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "server.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def _interrupt_at(call: int, method: Any) -> Any:
    """`method`, until its nth call brings what a task runner raises into a task that takes too long."""
    left = iter(range(call - 1))

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise TimeLimitExceeded
        return method(*args, **kwargs)

    return interrupted


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def _wait_until_closed(http: HttpClient) -> None:
    """Until the server's FIN has reached every idle connection."""
    pools = http._session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    idle = [one for key in pools.keys() for one in list(pools[key].pool.queue) if one is not None]  # noqa: SIM118
    _wait_for(lambda: not any(one.is_connected for one in idle))


def _answer_unread(listener: socket.socket, content: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(content)
        connection.recv(65_536)


def _drip_handshake(listener: socket.socket, over: threading.Event) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 kB begins
        while not over.wait(DRIP):
            try:
                connection.sendall(b"\x02")
            except OSError:
                return
