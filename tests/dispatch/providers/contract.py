"""What every adapter must do, whatever its wire format: one suite, inherited by `test_<provider>.py`.

A subclass is named `Test…`, sets `provider` and `credentials`, and tells how its provider answers. `test_registry`
fails for a registered adapter without one.
"""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

from dispatch.providers.base import (
    MAX_CODE,
    Accepted,
    ConnectionConfig,
    NumberFormat,
    Outbound,
    Outcome,
    Provider,
    Rejected,
    Retry,
    Unavailable,
    Unknown,
)
from sendmsg.errors import ConfigurationError
from sendmsg.http import MAX_RETRY_AFTER
from tests.faults import (
    Fault,
    FaultServer,
    Received,
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
TO = "+447700900123"
BODY = "Your code is 482913."


def message(**fields: Any) -> Outbound:
    return Outbound(**{"message_id": uuid4(), "to": TO, "sender": "Acme", "body": BODY, "channel": "sms", **fields})


def http_date(ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)


class ProviderContract:
    """Inherit, and fill in what is below."""

    provider: ClassVar[type[Provider]]
    credentials: ClassVar[Mapping[str, str]]
    rejections: ClassVar[Mapping[str, Fault]]  # our code → how the provider says it
    unauthorized: ClassVar[Sequence[Fault]]  # how it refuses our credentials
    unavailable: ClassVar[Sequence[Fault]]  # how it says that it took nothing
    doubtful: ClassVar[Sequence[Fault]]  # answers after which it may have taken the message
    idless: ClassVar[Sequence[Fault]]  # success that lacks a usable message id
    carries_ids: ClassVar[bool] = True  # False: the provider's API has no place for an id of ours

    def accept(self, wire: Wire) -> bool:
        """Accepts each message of a request under the id `id_of(message)`."""
        raise NotImplementedError

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        """ "Too many requests", with these headers."""
        raise NotImplementedError

    def message_ids(self, request: Received) -> list[str]:
        """Our message ids, as the request carries them."""
        raise NotImplementedError

    def text(self, request: Received) -> str:
        """The message's text, as the request carries it."""
        raise NotImplementedError

    def validity(self, request: Received) -> int | None:
        """The seconds that the request gives the message; None if it leaves that to the provider."""
        return None

    def provider_id(self, message_id: UUID) -> str:
        return f"id-{message_id.hex}"

    def id_of(self, one: Outbound) -> str:
        """The id under which `accept` takes this message, where more than our message id decides it."""
        return self.provider_id(one.message_id)

    # Given to the tests.

    @pytest.fixture
    def server(self) -> Iterator[FaultServer]:
        with FaultServer(self.accept) as server:
            yield server

    def adapter(self, base_url: str, **config: Any) -> Provider:
        return self.provider(
            ConnectionConfig(
                **{
                    "name": "main",
                    "base_url": base_url,
                    "credentials": self.credentials,
                    "receipt_url": "https://gateway.example/webhooks/x/main",
                    "concurrency": 4,
                    "connect_timeout": 1.0,
                    "read_timeout": 1.0,
                    "total_timeout": 2.0,
                    **config,
                }
            )
        )

    def outcome(self, server: FaultServer, fault: Fault, **config: Any) -> Outcome:
        server.play(fault)
        adapter = self.adapter(server.url, **config)
        try:
            (outcome,) = adapter.send([message()])
        finally:
            adapter.close()
        if not isinstance(outcome, Accepted):
            assert 0 < len(outcome.code) <= MAX_CODE
        return outcome

    # What is accepted and refused.

    def test_an_accepted_message_has_the_providers_id(self, server: FaultServer) -> None:
        one = message()

        assert self.adapter(server.url).send([one]) == [Accepted((self.id_of(one),))]

    def test_the_text_arrives_as_it_is(self, server: FaultServer) -> None:
        text = 'É€😀\u00a0"quoted" \\ + & % \n{{name}} ﷽'
        self.adapter(server.url).send([message(body=text)])

        assert self.text(server.requests[0]) == text

    def test_the_recipient_is_written_as_the_provider_wants_it(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message()])

        told = server.requests[0].body.decode().replace("%2B", "+")
        assert TO.removeprefix("+") in told
        assert (TO in told) == (self.provider.capabilities.number_format is NumberFormat.E164)

    def test_the_provider_is_told_a_validity_within_its_range(self, server: FaultServer) -> None:
        able = self.provider.capabilities.validity
        least, most = able or (0, 0)
        for given, told in ((None, None), (600.9, 600), (0.0, least), (1e9, most)):
            self.adapter(server.url).send([message(valid_for=given)])
            assert self.validity(server.requests[-1]) == (told if able else None)

    def test_a_validity_that_it_cant_be_told_changes_nothing(self, server: FaultServer) -> None:
        if self.provider.capabilities.validity is not None:
            return
        one = message()
        self.adapter(server.url).send([one])
        self.adapter(server.url).send([replace(one, valid_for=600.0)])

        assert server.requests[0].body == server.requests[1].body

    def test_a_repeat_carries_the_same_id(self, server: FaultServer) -> None:
        if not self.carries_ids:
            assert not self.provider.capabilities.deduplicates
            return
        one = message()
        adapter = self.adapter(server.url)
        adapter.send([one])
        adapter.send([one])

        assert [self.message_ids(request) for request in server.requests] == [[str(one.message_id)]] * 2

    def test_each_permanent_error_is_rejected_under_its_code(self, server: FaultServer) -> None:
        for code, fault in self.rejections.items():
            outcome = self.outcome(server, fault)

            assert isinstance(outcome, Rejected), code
            assert outcome.code == code

    def test_refused_credentials_are_not_the_messages_fault(self, server: FaultServer) -> None:
        for fault in self.unauthorized:
            outcome = self.outcome(server, fault)

            assert isinstance(outcome, Unavailable)
            assert outcome.code == "unauthorized"

    def test_a_provider_that_took_nothing_is_unavailable(self, server: FaultServer) -> None:
        for fault in self.unavailable:
            assert isinstance(self.outcome(server, fault), Unavailable)

    def test_an_error_that_leaves_it_open_is_unknown(self, server: FaultServer) -> None:
        for fault in self.doubtful:
            assert isinstance(self.outcome(server, fault), Unknown)

    # Throttling.

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("30", 30.0), ("0", 0.0), ("99999999", MAX_RETRY_AFTER), ("soon", None), ("", None)],
    )
    def test_throttled_with_seconds(self, server: FaultServer, value: str, seconds: float | None) -> None:
        outcome = self.outcome(server, self.throttle({"Retry-After": value}))

        assert isinstance(outcome, Retry)
        assert (outcome.code, outcome.after) == ("throttled", seconds)

    @pytest.mark.parametrize(("ahead", "seconds"), [(30, 30.0), (-30, 0.0), (999_999, MAX_RETRY_AFTER)])
    def test_throttled_with_a_date(self, server: FaultServer, ahead: float, seconds: float) -> None:
        headers = {"Retry-After": http_date(ahead), "Date": http_date(0)}
        outcome = self.outcome(server, self.throttle(headers))

        assert isinstance(outcome, Retry)
        assert outcome.after == pytest.approx(seconds, abs=1.0)

    def test_throttled_without_a_time(self, server: FaultServer) -> None:
        outcome = self.outcome(server, self.throttle({}))

        assert isinstance(outcome, Retry)
        assert outcome.after is None

    def test_throttling_ends_the_batch(self, server: FaultServer) -> None:
        server.play(self.throttle({"Retry-After": "30"}))
        outcomes = self.adapter(server.url).send([message() for _ in range(5)])

        assert [getattr(outcome, "after", None) for outcome in outcomes] == [30.0] * 5
        assert len(server.requests) == 1

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

    # Many messages.

    def test_twenty_messages_use_one_connection(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        for _ in range(10):
            adapter.send([message(), message()])

        assert server.connections == 1

    def test_refusals_end_no_connection(self, server: FaultServer) -> None:
        refusals = [*self.rejections.values(), *self.unauthorized, self.throttle({}), answer(503)]
        server.play(*refusals, self.accept)
        adapter = self.adapter(server.url)
        outcomes = [adapter.send([message()])[0] for _ in (*refusals, "and then")]

        assert [isinstance(outcome, Accepted) for outcome in outcomes] == [*[False] * len(refusals), True]
        assert server.connections == 1

    def test_a_batch_keeps_its_order(self, server: FaultServer) -> None:
        batch = [message(to=f"+4477009001{index:02}") for index in range(20)]
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes == [Accepted((self.id_of(one),)) for one in batch]

    def test_one_refused_message_leaves_the_others_alone(self, server: FaultServer) -> None:
        server.play(self.accept, next(iter(self.rejections.values())), self.accept)
        outcomes = self.adapter(server.url).send([message(body=f"Text {index}.") for index in range(3)])

        assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Accepted]

    def test_an_empty_batch_calls_nobody(self, server: FaultServer) -> None:
        assert self.adapter(server.url).send([]) == []
        assert server.requests == []

    def test_threads_may_share_an_adapter(self, server: FaultServer) -> None:
        batch = [message() for _ in range(60)]
        adapter = self.adapter(server.url, concurrency=3)
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda one: adapter.send([one])[0], batch))

        assert outcomes == [Accepted((self.id_of(one),)) for one in batch]
        assert server.connections <= 3

    # Secrets, and configuration.

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

    def test_missing_credentials_are_a_configuration_error(self) -> None:
        for missing in self.credentials:
            rest = {name: value for name, value in self.credentials.items() if name != missing}
            with pytest.raises(ConfigurationError, match=missing) as caught:
                self.adapter("http://127.0.0.1", credentials=rest)
            assert_clean(self.credentials, str(caught.value))

    @pytest.mark.parametrize("value", ["", " \n", "a\r\nX: y", "clé", 5, None])
    def test_malformed_credentials_are_a_configuration_error(self, value: Any) -> None:
        for name in self.credentials:
            with pytest.raises(ConfigurationError, match=name):
                self.adapter("http://127.0.0.1", credentials={**self.credentials, name: value})

    @pytest.mark.parametrize("url", ["", "provider.example", "ftp://provider.example"])
    def test_a_base_url_that_is_none_is_a_configuration_error(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="main"):
            self.adapter(url)

    def test_a_slash_at_the_end_of_the_base_url_changes_nothing(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message()])
        self.adapter(f"{server.url}/").send([message()])

        assert server.requests[0].path == server.requests[1].path

    def test_closing_twice_is_no_error(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        adapter.send([message()])
        adapter.close()
        adapter.close()

    def test_its_capabilities_are_declared(self) -> None:
        capabilities = self.provider.capabilities

        assert capabilities.channels
        assert capabilities.channels <= {"sms", "whatsapp"}
        assert capabilities.batch_size >= 1
        assert capabilities.senders
        assert capabilities.remembers_for > 0
        assert capabilities.pair_interval >= 0
        assert capabilities.max_body is None or capabilities.max_body >= 1_600
        least, most = capabilities.validity or (1, 1)
        assert 0 < least <= most

    def test_what_its_capabilities_lack_is_not_there(self, server: FaultServer) -> None:
        adapter = self.adapter(server.url)
        if not adapter.capabilities.fetches_status:
            with pytest.raises(NotImplementedError):
                adapter.fetch_status("id-1")
        if not adapter.capabilities.finds:
            with pytest.raises(NotImplementedError):
                adapter.find(message(), datetime.now(UTC))


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


def assert_clean(credentials: Mapping[str, str], *texts: str) -> None:
    """Neither credentials nor what is private in a message is in any of these."""
    for planted in (*credentials.values(), TO, BODY):
        assert not any(planted in text for text in texts)
