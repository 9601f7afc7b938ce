"""The Telnyx adapter: the common contract, and what is its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from uuid import UUID

import pytest

from dispatch.providers.base import Outcome, Rejected, Report, Retry, Unavailable, Unknown
from dispatch.providers.telnyx import STATUSES, TelnyxProvider
from sendmsg.errors import ConfigurationError
from tests.dispatch.providers.case import BODY, TO, message
from tests.dispatch.providers.status_contract import StatusContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    return json_answer(status, {"errors": [{"code": code, "title": "Refused", "detail": f"It is {TO}."}]}, headers)


def accepted(identifier: object) -> Fault:
    return json_answer(200, {"data": {**payload("telnyx/accepted")["data"], "id": identifier}})


class TestTelnyx(StatusContract):
    provider = TelnyxProvider
    credentials: ClassVar[Mapping[str, str]] = {"api_key": "KEY0123456789ABCDEF_4f9c0d1e2b3a"}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "opted_out": json_answer(403, payload("telnyx/opted_out")),
        "invalid_recipient": error(400, "40310"),
        "invalid_sender": error(400, "40305"),
        "unroutable": error(400, "40309"),
        "content_rejected": error(422, "40009"),
        "too_large": error(400, "40302"),
        "invalid_request": error(422, "10004"),
    }
    unauthorized = (error(401, "10009"), error(403, "10010"))
    unavailable = (error(402, "20100"), error(422, "10003"), error(400, "40312"), error(404, "10005"), answer(503))
    doubtful = (error(500, "10007"), error(408, "10008"), answer(502), answer(504), answer(303))
    words = STATUSES
    idless = (
        json_answer(200, {"data": []}),
        json_answer(200, {"id": "40385f64"}),
        *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)),
    )

    def accept(self, wire: Wire) -> bool:
        return accepted(self.provider_id(UUID(wire.request.headers["idempotency-key"])))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, "10011", headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.headers["idempotency-key"]]

    def text(self, request: Received) -> str:
        return str(request.json()["text"])

    def report(self, word: object, error_code: str | None = None) -> Fault:
        errors = [{"code": error_code, "title": "Undeliverable"}] if error_code else []
        return json_answer(200, {"data": {"id": "id-1", "to": [{"status": word}], "errors": errors}})

    def status_path(self, reference: str) -> str:
        return f"/messages/{reference}"

    def test_the_request_is_what_telnyx_documents(self, server: FaultServer) -> None:
        one = message(sender="+447700900001")
        self.adapter(f"{server.url}/v2").send([one])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/v2/messages")
        assert request.headers["authorization"] == f"Bearer {self.credentials['api_key']}"
        assert request.headers["idempotency-key"] == str(one.message_id)
        assert request.headers["content-type"] == "application/json"
        assert request.json() == {
            "to": TO,
            "from": "+447700900001",
            "text": BODY,
            "webhook_url": "https://gateway.example/webhooks/x/main",
        }

    def test_a_messaging_profile_chooses_where_no_sender_is_named(self, server: FaultServer) -> None:
        profile = {**self.credentials, "messaging_profile_id": "4000eba1"}
        self.adapter(server.url, credentials=profile, receipt_url=None).send([message(sender="")])

        assert server.requests[0].json() == {"to": TO, "text": BODY, "messaging_profile_id": "4000eba1"}

    def test_a_malformed_messaging_profile_is_a_configuration_error(self) -> None:
        with pytest.raises(ConfigurationError, match="messaging_profile_id"):
            self.adapter("http://127.0.0.1", credentials={**self.credentials, "messaging_profile_id": 7})

    def test_a_later_repeat_is_the_same_byte_for_byte(self, server: FaultServer) -> None:
        """Telnyx refuses a key that comes back with another body."""
        one = message(valid_for=600.0)
        for each in (one, replace(one, valid_for=590.0)):
            self.adapter(server.url).send([each])

        first, second = server.requests
        assert first.body == second.body
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (400, "40318", Retry("too_early", "HTTP 400 40318", None)),
            (400, 40310, Rejected("invalid_recipient", "HTTP 400 40310")),
            (422, "40999", Rejected("invalid_request", "HTTP 422 40999")),
            (422, TO, Rejected("invalid_request", "HTTP 422 without a usable error code")),
            (403, "40314", Unavailable("misconfigured", "HTTP 403 40314", None)),
            (503, "10007", Unknown("server_error", "HTTP 503 10007")),
            (409, None, Retry("conflict", "HTTP 409 without a usable error code", None)),
        ],
    )
    def test_an_error_is_told_by_its_code_and_else_by_its_status(
        self, server: FaultServer, status: int, code: object, expected: Outcome
    ) -> None:
        assert self.outcome(server, error(status, code)) == expected

    @pytest.mark.parametrize("content", [{"errors": {}}, {"errors": []}, {"errors": ["40310"]}, {"errors": "40310"}])
    def test_an_error_of_another_shape_is_decided_by_status(self, server: FaultServer, content: object) -> None:
        assert isinstance(self.outcome(server, json_answer(422, content)), Rejected)

    def test_a_report_has_telnyxs_error_code(self, server: FaultServer) -> None:
        report = self.ask(server, json_answer(200, payload("telnyx/undelivered")))

        assert report == Report("undelivered", "40008")
