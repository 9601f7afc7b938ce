"""The Twilio adapter: the common contract, and what is its own."""

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from dispatch.providers.base import Found, Missing, Outbound, Outcome, Rejected, Report, Retry, Unavailable, Unknown
from dispatch.providers.twilio import STATUSES, TwilioProvider
from sendmsg.errors import ConfigurationError
from tests.dispatch.providers.case import BODY, TO, message
from tests.dispatch.providers.find_contract import AGO, FindContract
from tests.dispatch.providers.status_contract import StatusContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "9c1f0b7e2d3a4c5b6a798877665544ff"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    content = {"code": code, "message": f"{TO} is at fault.", "more_info": "https://example.com", "status": status}
    return json_answer(status, content, headers)


def accepted(sid: object) -> Fault:
    return json_answer(201, {**payload("twilio/accepted"), "sid": sid})


def form(request: Received) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def sid_of(number: str) -> str:
    return "SM" + number.removeprefix("+").zfill(32)


def rfc(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC))


def listed(**fields: object) -> dict[str, Any]:
    return {**payload("twilio/accepted"), **fields}


def page(*messages: Mapping[str, Any], following: str | None = None) -> Fault:
    return json_answer(200, {"messages": messages, "page": 0, "page_size": 200, "next_page_uri": following})


class TestTwilio(StatusContract, FindContract):
    provider = TwilioProvider
    credentials: ClassVar[Mapping[str, str]] = {"account_sid": ACCOUNT, "auth_token": TOKEN}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": error(400, 21211),
        "invalid_sender": error(400, 21606),
        "unroutable": error(403, 21408),
        "window_closed": error(400, 63016),
        "opted_out": error(400, 21610),
        "too_large": error(400, 21617),
        "invalid_request": error(400, 21602),
    }
    unauthorized = (error(401, 20003), error(403, 20003), error(403, 20005), error(400, 30002))
    unavailable = (answer(503), error(404, 20404), error(400, 21609), answer(307))
    doubtful = (error(500, 20500), error(503, 20503), answer(502), answer(504), answer(303))
    carries_ids = False
    words = STATUSES
    idless = (json_answer(201, {"status": "queued"}), *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)))

    def accept(self, wire: Wire) -> bool:
        return accepted(sid_of(form(wire.request)["To"]))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, 20429, headers)

    def text(self, request: Received) -> str:
        return form(request)["Body"]

    def id_of(self, one: Outbound) -> str:
        return sid_of(one.to)

    def validity(self, request: Received) -> int | None:
        period = form(request).get("ValidityPeriod")
        return int(period) if period else None

    def report(self, word: object, error_code: str | None = None) -> Fault:
        code = int(error_code) if error_code else None
        return json_answer(200, {**payload("twilio/undelivered"), "status": word, "error_code": code})

    def status_path(self, reference: str) -> str:
        return f"{MESSAGES}/{reference}.json"

    def listing(self, *messages: Outbound, at: datetime) -> Fault:
        return page(*(listed(sid=sid_of(one.to), to=one.to, body=one.body, date_created=rfc(at)) for one in messages))

    def asked_for(self, query: dict[str, list[str]]) -> str:
        [named] = query["To"]
        return named

    def named(self, one: Outbound) -> str:
        return one.to

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

    def test_a_report_has_twilios_error_code(self, server: FaultServer) -> None:
        assert self.ask(server, json_answer(200, payload("twilio/undelivered"))) == Report("undelivered", "30005")

    def found(
        self, server: FaultServer, *messages: Mapping[str, Any], following: str | None = None
    ) -> Found | Missing | None:
        """What is made half an hour later of this list."""
        since = datetime.now(UTC) - AGO
        then = [{**one, "date_created": one.get("date_created", rfc(since))} for one in messages]
        return self.find(server, page(*then, following=following), message(), since)

    def test_the_same_text_to_a_number_twice_leaves_it_open(self, server: FaultServer) -> None:
        one = {"body": BODY, "direction": "outbound-api", "sid": "SM1"}

        assert self.found(server, one) == Found(("SM1",))
        assert self.found(server, one, {**one, "sid": "SM2"}) is None

    def test_another_text_at_that_time_may_be_ours_in_other_words(self, server: FaultServer) -> None:
        one = {"body": f"Sent from a trial account - {BODY}", "direction": "outbound-api", "sid": "SM1"}

        assert self.found(server, one) is None

    def test_what_was_sent_at_another_time_is_another_message(self, server: FaultServer) -> None:
        one = {"body": BODY, "direction": "outbound-api", "sid": "SM1"}
        now = datetime.now(UTC)

        assert self.found(server, {**one, "date_created": rfc(now - AGO - timedelta(minutes=2))}) == Missing()
        assert self.found(server, {**one, "date_created": rfc(now)}) == Missing()

    def test_what_came_in_is_not_what_went_out(self, server: FaultServer) -> None:
        assert self.found(server, {"body": BODY, "direction": "inbound", "sid": "SM1"}) == Missing()

    def test_a_page_that_is_not_the_last_leaves_it_open(self, server: FaultServer) -> None:
        one = {"body": BODY, "direction": "outbound-api", "sid": "SM1"}

        assert self.found(server, one, following="/2010-04-01/next") is None
        assert self.found(server, following="/2010-04-01/next") is None
        assert self.find(server, json_answer(200, {"messages": []}), message()) is None

    @pytest.mark.parametrize("moment", ["", "soon", "2026-11-23T14:00:00Z", "Mon, 23 Nov 2026 14:00:00 -0000", None, 7])
    def test_a_moment_that_cant_be_read_leaves_it_open(self, server: FaultServer, moment: object) -> None:
        one = {"body": BODY, "direction": "outbound-api", "sid": "SM1", "date_created": moment}

        assert self.found(server, one) is None

    def test_whatsapp_is_asked_for_as_it_was_sent(self, server: FaultServer) -> None:
        self.find(server, page(), message(channel="whatsapp"))

        assert parse_qs(urlsplit(server.requests[0].path).query) == {"To": [f"whatsapp:{TO}"], "PageSize": ["200"]}
