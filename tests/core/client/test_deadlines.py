"""Every wait of the HTTP client is bounded, whatever the server does."""

import socket
import threading
import time
from typing import Any

import pytest

from sendmsg.errors import NotSent, OutcomeUnknown
from sendmsg.http import HttpClient
from tests.core.client.clients import DRIP, SLACK, TimeLimitExceeded, client, failure, wait_for
from tests.faults import (
    FaultServer,
    drip_body,
    drip_head,
    hang,
    refused_url,
    sent,
)


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
            wait_for(lambda: len(server.requests) == 1)

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
