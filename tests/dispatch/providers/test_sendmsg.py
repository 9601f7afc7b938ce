"""The SendMSG adapter: the common contract, and what is its own."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Unavailable, Unknown
from dispatch.providers.sendmsg import SendMSGProvider
from tests.dispatch.providers.case import message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    return json_answer(status, {"error": {"code": code, "message": "Something for people."}}, headers)


def accepted(identifier: object, status: int = 202) -> Fault:
    return json_answer(status, {"id": identifier, "status": "accepted"})


NO_IDS: tuple[object, ...] = (None, "", 7, True, [], {}, "a b", "snd_\n", "é", "\ud800", "\x00", "x" * 129)


class TestSendMSG(ProviderContract):
    provider = SendMSGProvider
    credentials: ClassVar[Mapping[str, str]] = {"api_key": "spk_4f9c0d1e2b3a"}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": error(422, "invalid_recipient"),
        "invalid_sender": error(400, "invalid_sender"),
        "unroutable": error(422, "unroutable"),
        "content_rejected": error(422, "content_rejected"),
        "opted_out": error(422, "opted_out"),
        "invalid_request": error(400, "invalid_request"),
        "too_large": error(413, "too_large"),
    }
    unauthorized = (error(401, "unauthorized"), error(403, "forbidden"))
    unavailable = (error(503, "unavailable"), error(404, "not_found"), answer(307), answer(501))
    doubtful = (error(500, "internal"), answer(502), answer(504), answer(303))
    idless = (json_answer(202, {"status": "accepted"}), *map(accepted, NO_IDS))

    def accept(self, wire: Wire) -> bool:
        return accepted(self.provider_id(UUID(wire.request.headers["idempotency-key"])))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, "throttled", headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.headers["idempotency-key"]]

    def text(self, request: Received) -> str:
        return str(request.json()["body"])

    def provider_id(self, message_id: UUID) -> str:
        return f"snd_{message_id.hex}"

    def test_the_request_is_what_the_protocol_says(self, server: FaultServer) -> None:
        one = message(sender="Acme", channel="whatsapp")
        self.adapter(server.url).send([one])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/v1/messages")
        assert request.headers["authorization"] == "Bearer spk_4f9c0d1e2b3a"
        assert request.headers["idempotency-key"] == str(one.message_id)
        assert request.headers["content-type"] == "application/json"
        assert request.json() == {
            "to": one.to,
            "from": "Acme",
            "body": one.body,
            "channel": "whatsapp",
            "receipt_url": "https://gateway.example/webhooks/x/main",
        }

    def test_without_a_sender_or_receipt_url_the_provider_chooses(self, server: FaultServer) -> None:
        self.adapter(server.url, receipt_url=None).send([message(sender="")])

        submission = server.requests[0].json()
        assert submission["from"] is None
        assert "receipt_url" not in submission

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_success_with_an_id_is_accepted(self, server: FaultServer, status: int) -> None:
        assert self.outcome(server, accepted("snd_1", status)) == Accepted(("snd_1",))

    def test_a_replayed_answer_is_accepted(self, server: FaultServer) -> None:
        replay = json_answer(202, {"id": "snd_1", "status": "accepted"}, {"Idempotency-Replayed": "true"})

        assert self.outcome(server, replay) == Accepted(("snd_1",))

    def test_a_key_in_progress_is_tried_again_when_told(self, server: FaultServer) -> None:
        outcome = self.outcome(server, error(409, "in_progress", {"Retry-After": "1"}))

        assert outcome == Retry("in_progress", "HTTP 409 in_progress", 1.0)

    def test_an_unavailable_provider_may_say_for_how_long(self, server: FaultServer) -> None:
        outcome = self.outcome(server, error(503, "unavailable", {"Retry-After": "12"}))

        assert outcome == Unavailable("unavailable", "HTTP 503 unavailable", 12.0)

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (422, "a_code_from_the_future", Rejected("invalid_request", "HTTP 422 a_code_from_the_future")),
            (400, 12345, Rejected("invalid_request", "HTTP 400 without a usable error code")),
            (422, "+447700900123", Rejected("invalid_request", "HTTP 422 without a usable error code")),
            (418, "teapot", Unavailable("misconfigured", "HTTP 418 teapot", None)),
            (500, "invalid_recipient", Unknown("server_error", "HTTP 500 invalid_recipient")),
            (409, None, Retry("conflict", "HTTP 409 without a usable error code", None)),
        ],
    )
    def test_a_code_outside_the_table_is_decided_by_status(
        self, server: FaultServer, status: int, code: object, expected: Outcome
    ) -> None:
        assert self.outcome(server, error(status, code)) == expected

    @pytest.mark.parametrize("content", [{"error": "text"}, {"error": None}, {"error": {"code": {}}}, [], "x", None])
    def test_an_error_of_another_shape_is_decided_by_status(self, server: FaultServer, content: object) -> None:
        assert isinstance(self.outcome(server, json_answer(422, content)), Rejected)
