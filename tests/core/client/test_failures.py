"""What a failure is called, that it leaks nothing, and how much an answer may weigh."""

import errno
import gc
import gzip
import logging
import pickle
import socket
import threading
from typing import Any

import pytest

from sendmsg.errors import NotSent, OutcomeUnknown
from sendmsg.http import HttpClient
from tests.core.client.clients import PLANTED, answer_unread, client, failure
from tests.faults import (
    FaultServer,
    answer,
    close_without_answer,
    hang,
    huge,
    refused_url,
    reset,
    sent,
    truncated,
)


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
            thread = threading.Thread(target=answer_unread, args=(listener, early))
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
