"""The Vonage adapter: the common contract, and what is its own."""

from base64 import b64decode
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Unavailable, Unknown
from dispatch.providers.vonage import VonageProvider
from sendmsg.errors import ConfigurationError
from tests.dispatch.providers.case import BODY, TO, message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

KEY = "a1b2c3d4"
SECRET = "4f9c0d1e2b3aZ"


def parts(*messages: object, headers: Mapping[str, str] | None = None) -> Fault:
    return json_answer(200, {"message-count": str(len(messages)), "messages": messages}, headers)


def error(status: object, text: str = f"It is {TO}.", headers: Mapping[str, str] | None = None) -> Fault:
    return parts({"to": TO, "status": status, "error-text": text}, headers=headers)


def taken(identifier: object) -> dict[str, object]:
    return {**payload("vonage/accepted")["messages"][0], "message-id": identifier}


def accepted(identifier: object) -> Fault:
    return parts(taken(identifier))


def form(request: Received) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


class TestVonage(ProviderContract):
    provider = VonageProvider
    credentials: ClassVar[Mapping[str, str]] = {"api_key": KEY, "api_secret": SECRET}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_request": error("3"),
        "unroutable": error("6"),
        "too_large": error("12"),
        "invalid_sender": error("15"),
        "invalid_recipient": error("33"),
    }
    unauthorized = (error("4"), error("8"), error("14"), json_answer(401, {"title": "Unauthorized"}), answer(403))
    unavailable = (error("9"), error("23"), answer(404), answer(503), answer(402))
    doubtful = (error("5"), error("99"), answer(500), answer(502), answer(504), answer(303))
    idless = (
        parts(),
        json_answer(200, {"messages": {"0": taken("1")}}),
        parts("0"),
        parts(taken("1"), None),
        parts(taken("1"), {"status": "0"}),
        *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)),
    )

    def accept(self, wire: Wire) -> bool:
        return accepted(self.provider_id(UUID(form(wire.request)["client-ref"])))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error("1", headers=headers)

    def message_ids(self, request: Received) -> list[str]:
        return [form(request)["client-ref"]]

    def text(self, request: Received) -> str:
        return form(request)["text"]

    def validity(self, request: Received) -> int | None:
        milliseconds = form(request).get("ttl")
        return int(milliseconds) // 1_000 if milliseconds else None

    def test_the_request_is_what_vonage_documents(self, server: FaultServer) -> None:
        one = message(sender="+447700900001", valid_for=600.0)
        self.adapter(server.url).send([one])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/sms/json")
        assert b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{KEY}:{SECRET}"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert form(request) == {
            "from": "447700900001",
            "to": "447700900123",
            "text": BODY,
            "type": "text",
            "client-ref": str(one.message_id),
            "ttl": "600000",
            "callback": "https://gateway.example/webhooks/x/main",
        }

    def test_a_name_as_sender_stays_as_it_is(self, server: FaultServer) -> None:
        self.adapter(server.url, receipt_url=None).send([message(sender="Acme")])

        assert form(server.requests[0])["from"] == "Acme"
        assert "callback" not in form(server.requests[0])

    def test_the_connections_sender_stands_in_where_none_is_named(self, server: FaultServer) -> None:
        config = {**self.credentials, "sender": "+447700900002"}
        self.adapter(server.url, credentials=config).send([message(sender=""), message(sender="Acme")])

        assert [form(request)["from"] for request in server.requests] == ["447700900002", "Acme"]

    def test_a_malformed_sender_is_a_configuration_error(self) -> None:
        with pytest.raises(ConfigurationError, match="sender"):
            self.adapter("http://127.0.0.1", credentials={**self.credentials, "sender": "Acmé"})

    @pytest.mark.parametrize(
        ("text", "kind"), [("plain", "text"), ("É{}€", "text"), ("ç", "unicode"), ("😀", "unicode"), ("’", "unicode")]
    )
    def test_a_text_beyond_gsm_7_is_sent_as_unicode(self, server: FaultServer, text: str, kind: str) -> None:
        self.adapter(server.url).send([message(body=text)])

        assert form(server.requests[0])["type"] == kind

    def test_each_part_of_a_long_text_has_its_id(self, server: FaultServer) -> None:
        outcome = self.outcome(server, json_answer(200, payload("vonage/accepted_in_parts")))

        assert outcome == Accepted(("0C000000217B7F02", "0C000000217B7F03", "0C000000217B7F04"))

    def test_a_text_taken_in_part_can_be_neither_repeated_nor_completed(self, server: FaultServer) -> None:
        outcome = self.outcome(server, parts(taken("0C1"), {"status": "9"}, {"status": "1"}))

        assert outcome == Unknown("bad_answer", "2 of 3 parts refused, the first with 9")

    def test_a_text_refused_in_all_its_parts_was_not_sent(self, server: FaultServer) -> None:
        outcome = self.outcome(server, parts({"status": "9"}, {"status": "9"}))

        assert outcome == Unavailable("out_of_credit", "HTTP 200 9", None)

    def test_a_success_of_http_is_none_of_the_message(self, server: FaultServer) -> None:
        assert self.outcome(server, error("6")) == Rejected("unroutable", "HTTP 200 6")

    def test_throttling_may_say_in_its_text_how_long(self, server: FaultServer) -> None:
        outcome = self.outcome(server, json_answer(200, payload("vonage/throttled")))

        assert outcome == Retry("throttled", "HTTP 200 1", 0.978)

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("29", Rejected("unroutable", "HTTP 200 29")),
            (4, Unavailable("unauthorized", "HTTP 200 4", None)),
            ("10", Retry("throttled", "HTTP 200 10", None)),
            ("5", Unknown("server_error", "HTTP 200 5")),
            ("99", Unknown("bad_answer", "HTTP 200 99")),
            (TO, Unknown("bad_answer", "HTTP 200 without a usable message id")),
            (None, Unknown("bad_answer", "HTTP 200 without a usable message id")),
        ],
    )
    def test_the_status_of_the_message_decides(self, server: FaultServer, status: object, expected: Outcome) -> None:
        assert self.outcome(server, error(status)) == expected
