"""Connections are kept, reused, and let go of."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from sendmsg import transport
from sendmsg.errors import NotSent, OutcomeUnknown
from sendmsg.http import HttpClient
from tests.core.client.clients import DRIP, TimeLimitExceeded, client, failure, interrupt_at, wait_until_closed
from tests.faults import (
    FaultServer,
    answer,
    chunked,
    drip_body,
    hang,
    huge,
    json_answer,
    refused_url,
    reset,
    sent,
    truncated,
)


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
                patch.setattr(transport.Exchange, "patience", interrupt_at(calls, transport.Exchange.patience))
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
                patch.setattr(HTTPConnectionPool, "_get_conn", interrupt_at(1, HTTPConnectionPool._get_conn))
                with pytest.raises(TimeLimitExceeded):
                    http.request("GET", server.url)
            go.set()

            assert answers.result(5).status == 200
            assert http.request("GET", server.url).status == 200

    def test_a_connection_that_the_server_closed_is_not_used_again(self, http: HttpClient) -> None:
        with FaultServer(answer(200, close=True)) as server:
            for _ in range(3):
                assert http.request("GET", server.url).status == 200
                wait_until_closed(http)

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
