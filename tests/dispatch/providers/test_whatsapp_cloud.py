"""The WhatsApp Cloud adapter: the common contract, and what is its own."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Template, Unavailable, Unknown
from dispatch.providers.whatsapp_cloud import WhatsAppCloudProvider
from tests.dispatch.providers.case import BODY, TO, message
from tests.dispatch.providers.contract import ProviderContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

TOKEN = "EAAG4f9c0d1e2b3aZD"
NUMBER = "106540352242922"


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    content = {"message": f"(#{code}) {TO}", "type": "OAuthException", "code": code, "fbtrace_id": "A1b2C3"}
    return json_answer(status, {"error": content}, headers)


def accepted(wamid: object) -> Fault:
    return json_answer(200, {**payload("whatsapp_cloud/accepted"), "messages": [{"id": wamid}]})


class TestWhatsAppCloud(ProviderContract):
    provider = WhatsAppCloudProvider
    credentials: ClassVar[Mapping[str, str]] = {"access_token": TOKEN, "phone_number_id": NUMBER}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "window_closed": json_answer(400, payload("whatsapp_cloud/window_closed")),
        "unroutable": error(400, 131026),
        "opted_out": error(400, 131050),
        "invalid_recipient": error(400, 131021),
        "invalid_request": error(400, 131009),
    }
    unauthorized = (
        error(401, 190),
        error(400, 190),
        error(401, 0),
        error(403, 10),
        error(400, 299),
        error(400, 131031),
    )
    unavailable = (
        json_answer(400, payload("whatsapp_cloud/unknown_number")),
        error(503, 2),
        error(500, 131016),
        error(500, 131057),
        error(400, 131042),
        error(400, 133010),
        answer(404),
    )
    doubtful = (error(500, 131000), error(400, 1), error(500, 131_999), answer(502), answer(504), answer(303))
    idless = (
        json_answer(200, {"messaging_product": "whatsapp"}),
        json_answer(200, {"messages": []}),
        json_answer(200, {"messages": {"0": {"id": "wamid.1"}}}),
        json_answer(200, {"messages": ["wamid.1"]}),
        *map(accepted, (None, "", 7, [], "a b", "é", "x" * 129)),
    )

    def accept(self, wire: Wire) -> bool:
        (message_id,) = self.message_ids(wire.request)
        return accepted(self.provider_id(UUID(message_id)))(wire)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(400, 130429, headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.json()["biz_opaque_callback_data"]]

    def text(self, request: Received) -> str:
        return str(request.json()["text"]["body"])

    def provider_id(self, message_id: UUID) -> str:
        return f"wamid.{message_id.hex}=="

    def test_the_request_is_what_meta_documents(self, server: FaultServer) -> None:
        one = message(channel="whatsapp", sender="+447700900001", valid_for=60.0)
        self.adapter(f"{server.url}/v23.0").send([one])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", f"/v23.0/{NUMBER}/messages")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json"
        assert request.json() == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "text",
            "text": {"body": BODY, "preview_url": False},
            "biz_opaque_callback_data": str(one.message_id),
        }

    def test_a_template_carries_the_text_as_its_only_parameter(self, server: FaultServer) -> None:
        one = message(channel="whatsapp", body="Your  code\n is\t1.", template=Template("notice", "en_GB"))
        self.adapter(server.url).send([one])

        (request,) = server.requests
        assert request.json() == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": TO,
            "type": "template",
            "template": {
                "name": "notice",
                "language": {"code": "en_GB"},
                "components": [{"type": "body", "parameters": [{"type": "text", "text": "Your code is 1."}]}],
            },
            "biz_opaque_callback_data": str(one.message_id),
        }

    def test_the_whole_id_is_kept(self, server: FaultServer) -> None:
        outcome = self.outcome(server, json_answer(200, payload("whatsapp_cloud/accepted")))

        assert outcome == Accepted(("wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSNzQ0RDQ2RDY5NTQ4RjI0RkIyAA==",))

    def test_an_error_under_a_success_is_an_error(self, server: FaultServer) -> None:
        assert self.outcome(server, error(200, 131026)) == Rejected("unroutable", "HTTP 200 131026")
        assert self.outcome(server, error(200, 131_999)) == Unknown("bad_answer", "HTTP 200 131999")

    def test_the_limit_of_one_recipient_leaves_the_others_alone(self, server: FaultServer) -> None:
        server.play(error(400, 131056), self.accept)
        outcomes = self.adapter(server.url).send([message(), message()])

        assert outcomes[0] == Retry("too_early", "HTTP 400 131056", 6.0)
        assert isinstance(outcomes[1], Accepted)

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (429, 130429, Retry("throttled", "HTTP 429 130429", None)),
            (400, 80007, Retry("throttled", "HTTP 400 80007", None)),
            (400, 131048, Retry("throttled", "HTTP 400 131048", 3_600.0)),
            (400, 100, Rejected("invalid_request", "HTTP 400 100")),
            (400, "131047", Rejected("window_closed", "HTTP 400 131047")),
            (400, 447_700_900_123, Rejected("invalid_request", "HTTP 400 without a usable error code")),
            (500, 2, Unavailable("unavailable", "HTTP 500 2", None)),
            (503, None, Unavailable("unavailable", "HTTP 503 without a usable error code", None)),
        ],
    )
    def test_the_code_decides_and_not_the_status(
        self, server: FaultServer, status: int, code: object, expected: Outcome
    ) -> None:
        assert self.outcome(server, error(status, code)) == expected
