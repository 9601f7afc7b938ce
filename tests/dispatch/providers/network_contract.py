"""What every adapter makes of answers that are none and of a network that fails, and that none of it leaks secrets."""

import json
import logging
import socket
import time
from typing import Any

import pytest

from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Unavailable, Unknown
from tests.dispatch.providers.case import TO, ProviderCase, assert_clean, message
from tests.faults import (
    Fault,
    FaultServer,
    Wire,
    answer,
    close_without_answer,
    drip_body,
    drip_head,
    hang,
    html,
    huge,
    refused_url,
    reset,
    sent,
    truncated,
)

DRIP = 0.02  # seconds between bytes
SLACK = 0.5  # seconds that a loaded machine may add to a deadline


class NetworkContract(ProviderCase):
    # Answers that are none.

    @pytest.mark.parametrize("status", [200, 201, 202])
    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"ok"', b"{", b"\xff\xfe{", b"[" * 50_000, b'{"a":NaN}'])
    def test_success_without_readable_json_is_unknown(self, server: FaultServer, status: int, body: bytes) -> None:
        outcome = self.outcome(server, answer(status, body, {"Content-Type": "application/json"}))

        assert isinstance(outcome, Unknown)
        assert outcome.code == "bad_answer"

    def test_success_without_a_usable_id_is_unknown(self, server: FaultServer) -> None:
        for fault in self.idless:
            outcome = self.outcome(server, fault)

            assert isinstance(outcome, Unknown)
            assert outcome.code == "bad_answer"

    @pytest.mark.parametrize("status", [200, 202])
    def test_a_page_of_html_is_no_success(self, server: FaultServer, status: int) -> None:
        assert isinstance(self.outcome(server, html(status)), Unknown)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, Rejected), (401, Unavailable), (403, Unavailable), (429, Retry), (503, Unavailable)],
    )
    def test_an_error_without_readable_json_is_told_by_its_status(
        self, server: FaultServer, status: int, kind: type[Outcome]
    ) -> None:
        for fault in (
            html(status),
            answer(status),
            truncated(status, b'{"error": {"co'),
            huge(status, 2**22, "length"),
        ):
            assert isinstance(self.outcome(server, fault), kind)

    @pytest.mark.parametrize("status", [100, 204, 301, 302, 304, 404, 418, 451, 500, 502, 504, 520, 599, 999])
    def test_no_status_is_taken_for_success_or_for_the_messages_fault(self, server: FaultServer, status: int) -> None:
        outcome = self.outcome(server, answer(status), read_timeout=0.2)

        assert isinstance(outcome, Unavailable | Unknown)

    def test_a_redirect_is_not_followed(self, server: FaultServer) -> None:
        for status in (301, 302, 303, 307, 308):
            self.outcome(server, answer(status, headers={"Location": f"{server.url}/elsewhere"}))

        assert len(server.requests) == 5

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    def test_a_huge_answer_is_unknown(self, server: FaultServer, framing: str) -> None:
        outcome = self.outcome(server, huge(200, 100_000_000, framing))

        assert isinstance(outcome, Unknown)
        assert outcome.code == "oversized"

    # The network.

    @pytest.mark.parametrize("fault", [drip_head(202, DRIP), drip_body(202, DRIP)], ids=["head", "body"])
    def test_a_dripping_answer_ends_with_the_total_timeout(self, server: FaultServer, fault: Fault) -> None:
        started = time.monotonic()
        outcome = self.outcome(server, fault, total_timeout=0.3)

        assert time.monotonic() - started < 0.3 + SLACK
        assert isinstance(outcome, Unknown)
        assert outcome.code == "deadline"

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (hang, "timeout"),
            (close_without_answer, "no_answer"),
            (reset, "connection_reset"),
            (truncated(202, b'{"id": "'), "truncated"),
            (
                sent(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{", close=True),
                "truncated",
            ),
            (sent(b"SSH-2.0\r\n", close=True), "bad_protocol"),
        ],
    )
    def test_after_the_request_left_the_outcome_is_unknown(self, server: FaultServer, fault: Fault, code: str) -> None:
        outcome = self.outcome(server, fault, read_timeout=0.2)

        assert isinstance(outcome, Unknown)
        assert outcome.code == code
        assert len(server.requests) == 1

    def test_a_refused_connection_sent_nothing(self) -> None:
        (outcome,) = self.adapter(refused_url()).send([message()])

        assert outcome == Unavailable("connection_refused", getattr(outcome, "detail", ""), None)

    def test_an_unknown_host_got_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nowhere(*_: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", nowhere)
        (outcome,) = self.adapter("https://provider.invalid").send([message()])

        assert isinstance(outcome, Unavailable)
        assert outcome.code == "dns_failure"

    def test_a_failed_handshake_sent_nothing(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url.replace("http:", "https:"), connect_timeout=0.3)
        (outcome,) = adapter.send([message()])

        assert isinstance(outcome, Unavailable)
        assert server.requests == []

    def test_a_dead_provider_costs_a_batch_one_timeout(self) -> None:
        with socket.socket() as full, socket.socket() as filler, socket.socket() as another:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for one in (filler, another):
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            started = time.monotonic()
            outcomes = self.adapter(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2).send(
                [message() for _ in range(10)]
            )

        assert time.monotonic() - started < 0.2 + SLACK
        assert {type(outcome) for outcome in outcomes} == {Unavailable}

    def test_a_batch_ends_within_twice_the_total_timeout(self, server: FaultServer) -> None:
        server.play(hang)
        started = time.monotonic()
        outcomes = self.adapter(server.url, total_timeout=0.3).send([message() for _ in range(10)])

        assert time.monotonic() - started < 0.6 + SLACK
        assert len(outcomes) == 10
        assert isinstance(outcomes[0], Unknown)
        assert not any(isinstance(outcome, Accepted | Rejected) for outcome in outcomes)

    # Secrets.

    @pytest.mark.parametrize("status", [200, 202, 302, 400, 401, 409, 422, 429, 500, 503])
    def test_an_answer_that_repeats_our_secrets_leaks_none(
        self, server: FaultServer, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        outcome = self.outcome(server, _echo(status))

        assert_clean(self.credentials, repr(outcome), str(outcome), caplog.text)

    @pytest.mark.parametrize("fault", [hang, reset, truncated(202, TO.encode()), sent(TO.encode(), close=True)])
    def test_a_failed_call_leaks_no_secret(
        self, server: FaultServer, fault: Fault, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        outcome = self.outcome(server, fault, read_timeout=0.1)

        assert_clean(self.credentials, repr(outcome), caplog.text)

    def test_what_is_passed_around_hides_secrets(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)

        assert_clean(self.credentials, repr(message()), repr(adapter.config), repr(adapter), str(adapter))


def _echo(status: int) -> Fault:
    """Answers with everything that it was told, in every place where an adapter may look."""

    def fault(wire: Wire) -> bool:
        told = " ".join([*wire.request.headers.values(), wire.request.body.decode()])
        content = {
            "id": told,
            "code": told,
            "message": told,
            "error": {"code": told, "message": told, "details": [told]},
            "errors": [{"code": told, "detail": told}],
            "status": told,
        }
        return answer(status, json.dumps(content).encode(), {"X-Echo": wire.request.headers["host"]})(wire)

    return fault
