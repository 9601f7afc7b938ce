"""TLS is verified, and its failures say that nothing was sent."""

import socket
import ssl
import threading
import time

import pytest

from sendmsg.errors import NotSent, OutcomeUnknown
from sendmsg.http import HttpClient
from tests.core.client.clients import DRIP, SLACK, client, drip_handshake, failure
from tests.faults import (
    FaultServer,
    drip_body,
    sent,
)


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
            thread = threading.Thread(target=drip_handshake, args=(listener, over))
            thread.start()
            started = time.monotonic()
            error = failure(http, f"https://127.0.0.1:{listener.getsockname()[1]}")
            over.set()
            thread.join()

        assert time.monotonic() - started < 0.3 + SLACK
        assert (type(error), error.code) == (NotSent, "connect_timeout")
