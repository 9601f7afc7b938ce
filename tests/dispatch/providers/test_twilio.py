"""The Twilio adapter: the common contract, and what is its own."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, ConnectionConfig, Outcome, Rejected, Report, Retry, Unavailable, Unknown
from dispatch.providers.twilio import STATUSES, TwilioProvider
from dispatch.vocabulary import ReceiptStatus
from sendmsg.errors import ConfigurationError, NotSent, OutcomeUnknown
from tests.dispatch.providers.contract import TO, ProviderContract, message
from tests.faults import Fault, FaultServer, Received, Wire, answer, hang, html, json_answer, refused_url
from tests.fixtures import payload

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "9c1f0b7e2d3a4c5b6a798877665544ff"
SID = "SM5ef8732a3c49700934481addd5ce1659"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    content = {"code": code, "message": f"{TO} is at fault.", "more_info": "https://www.twilio.com/docs", "status": status}
    return json_answer(status, content, headers)


def accepted(sid: object) -> Fault:
    return json_answer(201, {**payload("twilio/accepted"), "sid": sid})


def form(request: Received) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


class TestTwilio(ProviderContract):
    provider = TwilioProvider
    credentials: ClassVar[Mapping[str, str]] = {"account_sid": ACCOUNT, "auth_token": TOKEN}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": error(400, 21211),
        "invalid_sender": error(400, 21606),
        "unroutable": error(403, 21408),
        "content_rejected": error(400, 63016),
        "opted_out": error(400, 21610),
        "too_large": error(400, 21617),
        "invalid_request": error(400, 21602),
    }
    unauthorized = (error(401, 20003), error(403, 20003), error(403, 20005), error(400, 30002))
    unavailable = (answer(503), error(404, 20404), error(400, 21609), answer(307))
    doubtful = (error(500, 20500), error(503, 20503), answer(502), answer(504), answer(303))
    idless = (json_answer(201, {"status": "queued"}), *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)))

    def accept(self, wire: Wire) -> bool:
        return accepted(SID)(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, 20429, headers)

    def text(self, request: Received) -> str:
        return form(request)["Body"]

    def provider_id(self, message_id: UUID) -> str:
        return SID  # Twilio is told nothing that an id could be derived from

    def test_a_repeat_carries_the_same_id(self, server: FaultServer) -> None:
        """There is no place for one, so a repeat may send twice; the capabilities say so."""
        one = message()
        self.adapter(server.url).send([one])

        assert str(one.message_id).encode() not in server.requests[0].body
        assert not self.provider.capabilities.deduplicates

    def test_a_batch_keeps_its_order(self, server: FaultServer) -> None:
        server.play(accepted("SM1"), error(400, 21211), accepted("SM3"), accepted("SM4"))
        outcomes = self.adapter(server.url).send([message(body=str(index)) for index in range(4)])

        assert [form(request)["Body"] for request in server.requests] == ["0", "1", "2", "3"]
        assert [outcomes[0], *outcomes[2:]] == [Accepted(("SM1",)), Accepted(("SM3",)), Accepted(("SM4",))]

    def test_the_request_is_what_twilio_documents(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message(sender="+447700900001", valid_for=600.9)])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", f"{MESSAGES}.json")
        assert b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{ACCOUNT}:{TOKEN}"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert form(request) == {
            "To": TO,
            "From": "+447700900001",
            "Body": "Your code is 482913.",
            "StatusCallback": "https://gateway.example/webhooks/x/main",
            "ValidityPeriod": "600",
        }

    def test_an_api_key_takes_the_place_of_the_token(self, server: FaultServer) -> None:
        keys = {"account_sid": ACCOUNT, "api_key": "SK1", "api_key_secret": "s3cret"}
        self.adapter(server.url, credentials=keys).send([message()])

        assert server.requests[0].path == f"{MESSAGES}.json"
        assert b64decode(server.requests[0].headers["authorization"].removeprefix("Basic ")) == b"SK1:s3cret"

    def test_an_api_key_needs_its_secret(self) -> None:
        with pytest.raises(ConfigurationError, match="api_key_secret"):
            self.adapter("http://127.0.0.1", credentials={**self.credentials, "api_key": "SK1"})

    def test_a_messaging_service_chooses_where_no_sender_is_named(self, server: FaultServer) -> None:
        service = {**self.credentials, "messaging_service_sid": "MG1"}
        self.adapter(server.url, credentials=service, receipt_url=None).send([message(sender=""), message()])

        chosen, named = map(form, server.requests)
        assert chosen == {"To": TO, "Body": "Your code is 482913.", "MessagingServiceSid": "MG1"}
        assert named["From"] == "Acme"

    def test_a_malformed_messaging_service_is_a_configuration_error(self) -> None:
        with pytest.raises(ConfigurationError, match="messaging_service_sid"):
            self.adapter("http://127.0.0.1", credentials={**self.credentials, "messaging_service_sid": ""})

    def test_whatsapp_is_told_by_the_prefix_of_both_numbers(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message(channel="whatsapp", sender="+447700900001")])

        sent = form(server.requests[0])
        assert (sent["To"], sent["From"]) == (f"whatsapp:{TO}", "whatsapp:+447700900001")

    @pytest.mark.parametrize(
        ("valid_for", "period"), [(0.2, "1"), (1.0, "1"), (36_000.0, "36000"), (604_800.0, "36000"), (None, None)]
    )
    def test_validity_stays_within_what_twilio_takes(
        self, server: FaultServer, valid_for: float | None, period: str | None
    ) -> None:
        self.adapter(server.url).send([message(valid_for=valid_for)])

        assert form(server.requests[0]).get("ValidityPeriod") == period

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (400, 21611, Retry("too_early", "HTTP 400 21611", None)),
            (400, "21211", Rejected("invalid_recipient", "HTTP 400 21211")),
            (400, 99_999, Rejected("invalid_request", "HTTP 400 99999")),
            (400, 447_700_900_123, Rejected("invalid_request", "HTTP 400 without a usable error code")),
            (400, True, Rejected("invalid_request", "HTTP 400 without a usable error code")),
            (400, 21705, Unavailable("misconfigured", "HTTP 400 21705", None)),
            (503, 20503, Unknown("server_error", "HTTP 503 20503")),
            (409, None, Retry("conflict", "HTTP 409 without a usable error code", None)),
        ],
    )
    def test_an_error_is_told_by_its_code_and_else_by_its_status(
        self, server: FaultServer, status: int, code: object, expected: Outcome
    ) -> None:
        assert self.outcome(server, error(status, code)) == expected


class TestStatus:
    """Asking for what became of a message."""

    def adapter(self, base_url: str, **config: Any) -> TwilioProvider:
        credentials = {"account_sid": ACCOUNT, "auth_token": TOKEN}
        return TwilioProvider(ConnectionConfig("main", base_url, credentials, None, 4, 1.0, 1.0, 2.0, **config))

    def test_the_message_is_read_by_its_sid(self) -> None:
        with FaultServer(json_answer(200, payload("twilio/undelivered"))) as server:
            report = self.adapter(server.url).fetch_status(SID)

        assert report == Report("undelivered", "30005")
        assert (server.requests[0].method, server.requests[0].path) == ("GET", f"{MESSAGES}/{SID}.json")
        assert server.requests[0].headers["authorization"].startswith("Basic ")

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("queued", "sent"), ("delivered", "delivered"), ("read", "delivered"), ("teleported", "unknown")],
    )
    def test_its_words_become_ours(self, status: str, expected: str) -> None:
        with FaultServer(json_answer(200, {"status": status, "error_code": None})) as server:
            assert self.adapter(server.url).fetch_status(SID) == Report(expected)

    @pytest.mark.parametrize(
        "fault", [error(404, 20404), error(401, 20003), error(429, 20429), html(200), json_answer(200, {"status": 1})]
    )
    def test_it_may_not_know(self, fault: Fault) -> None:
        with FaultServer(fault) as server:
            assert self.adapter(server.url).fetch_status(SID) is None

    def test_a_failed_call_is_raised(self) -> None:
        with pytest.raises(NotSent):
            self.adapter(refused_url()).fetch_status(SID)
        with FaultServer(hang) as server, pytest.raises(OutcomeUnknown):
            self.adapter(server.url).fetch_status(SID)

    def test_a_reference_stays_one_segment_of_the_path(self) -> None:
        with FaultServer(error(404, 20404)) as server:
            self.adapter(server.url).fetch_status("../Calls?x#y")

        assert server.requests[0].path == f"{MESSAGES}/..%2FCalls%3Fx%23y.json"

    def test_every_word_of_ours_is_one(self) -> None:
        assert set(STATUSES.values()) <= set(ReceiptStatus.values)
