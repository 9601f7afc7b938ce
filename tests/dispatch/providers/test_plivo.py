"""The Plivo adapter: the common contracts, and what is its own."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import NAMESPACE_OID, uuid5

import pytest

from dispatch.providers.base import Accepted, Outbound, Rejected, Report, Unavailable, Unknown
from dispatch.providers.plivo import STATUSES, PlivoProvider
from sendmsg.errors import ConfigurationError
from tests.dispatch.providers.batch_contract import BatchContract, many
from tests.dispatch.providers.case import TO, message
from tests.dispatch.providers.status_contract import StatusContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

ACCOUNT = "MAODUYMZLLODUYMZLLOD"
TOKEN = "9c1f0b7e2d3a4c5b6a798877665544ff"
MESSAGES = f"/v1/Account/{ACCOUNT}/Message/"
OTHER = "+447700900124"


def error(status: int, headers: Mapping[str, str] | None = None) -> Fault:
    return json_answer(status, {"api_id": payload("plivo/accepted")["api_id"], "error": f"{TO} is at fault."}, headers)


def listed(ids: object, invalid: object = None, status: int = 202) -> Fault:
    content = {**payload("plivo/accepted"), "message_uuid": ids}
    return json_answer(status, content if invalid is None else {**content, "invalid_number": invalid})


def uuid(number: str) -> str:
    return str(uuid5(NAMESPACE_OID, number))


def numbers(request: Received) -> list[str]:
    return [f"+{number}" for number in request.json()["dst"].split("<")]


def takes_all_but(*invalid: str) -> Fault:
    def fault(wire: Wire) -> bool:
        taken = [number for number in numbers(wire.request) if number not in invalid]
        return listed([uuid(number) for number in taken], [number.removeprefix("+") for number in invalid])(wire)

    return fault


class TestPlivo(BatchContract, StatusContract):
    provider = PlivoProvider
    credentials: ClassVar[Mapping[str, str]] = {"auth_id": ACCOUNT, "auth_token": TOKEN}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": listed([], [TO.removeprefix("+")]),
        "invalid_request": error(400),
        "too_large": error(413),
    }
    unauthorized = (error(401), error(403))
    unavailable = (answer(503), error(402), error(404), error(405), answer(307))
    doubtful = (error(500), answer(502), answer(504), answer(303))
    idless = (
        json_answer(200, {"api_id": "984bc856-9231-11e7-b886-067c5485c240", "message": "message(s) queued"}),
        json_answer(207, {"error": "something"}),
        *map(listed, ([], None, "6da4afba", {"0": "6da4afba"}, [None], [""], [7], ["a b"], ["x" * 129], ["1", "2"])),
        listed(["1"], "447700900123"),
        listed(["1"], [TO]),
    )
    carries_ids = False
    words = STATUSES

    def accept(self, wire: Wire) -> bool:
        return takes_all_but()(wire)

    def refusal(self) -> Fault:
        return error(400)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, headers)

    def text(self, request: Received) -> str:
        return str(request.json()["text"])

    def id_of(self, one: Outbound) -> str:
        return uuid(one.to)

    def recipients(self, request: Received) -> list[str]:
        return numbers(request)

    def validity(self, request: Received) -> int | None:
        expiry: int | None = request.json().get("message_expiry")
        return expiry

    def report(self, word: object, error_code: str | None = None) -> Fault:
        return json_answer(200, {**payload("plivo/message"), "message_state": word, "error_code": error_code})

    def status_path(self, reference: str) -> str:
        return f"{MESSAGES}{reference}/"

    def test_the_request_is_what_plivo_documents(self, server: FaultServer) -> None:
        alike = {"sender": "+447700900001", "valid_for": 600.9}
        self.adapter(server.url).send([message(**alike), message(to=OTHER, **alike)])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", MESSAGES)
        assert b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{ACCOUNT}:{TOKEN}"
        assert request.json() == {
            "src": "447700900001",
            "dst": "447700900123<447700900124",
            "text": "Your code is 482913.",
            "type": "sms",
            "message_expiry": 600,
            "url": "https://gateway.example/webhooks/x/main",
            "method": "POST",
        }

    def test_a_powerpack_sends_where_no_sender_is_named(self, server: FaultServer) -> None:
        pack = {**self.credentials, "powerpack_uuid": "86bbb125-97bb-4d72-89fd-81d5c515b015"}
        self.adapter(server.url, credentials=pack, receipt_url=None).send([message(sender=""), message()])

        chosen, named = (request.json() for request in server.requests)
        assert chosen == {
            "powerpack_uuid": "86bbb125-97bb-4d72-89fd-81d5c515b015",
            "dst": "447700900123",
            "text": "Your code is 482913.",
            "type": "sms",
        }
        assert "powerpack_uuid" not in named
        with pytest.raises(ConfigurationError, match="powerpack_uuid"):
            self.adapter(server.url, credentials={**pack, "powerpack_uuid": ""})

    def test_without_sender_and_powerpack_nobody_is_called(self, server: FaultServer) -> None:
        outcomes = self.adapter(server.url).send([*many(3, sender=""), message()])

        assert [getattr(outcome, "code", "") for outcome in outcomes] == ["invalid_sender"] * 3 + [""]
        assert self.sent_to(server) == [[TO]]

    def test_invalid_numbers_leave_the_others_their_ids(self, server: FaultServer) -> None:
        batch = many(5)
        server.play(takes_all_but(batch[0].to, batch[3].to))
        outcomes = self.adapter(server.url).send(batch)

        refused = Rejected("invalid_recipient", "HTTP 202, and named as an invalid number")
        assert [outcomes[0], outcomes[3]] == [refused] * 2
        assert [outcomes[1], outcomes[2], outcomes[4]] == self.taken([batch[1], batch[2], batch[4]])

    @pytest.mark.parametrize("ids", [["1"], ["1", "2", "3"], ["1", "1"], []])
    def test_ids_that_do_not_add_up_are_nobodys(self, server: FaultServer, ids: Sequence[str]) -> None:
        server.play(listed(ids))

        assert {type(outcome) for outcome in self.adapter(server.url).send(many(2))} == {Unknown}

    def test_one_unusable_id_is_unknown_alone(self, server: FaultServer) -> None:
        server.play(listed(["1", None, "3"]))
        outcomes = self.adapter(server.url).send(many(3))

        assert [type(outcome) for outcome in outcomes] == [Accepted, Unknown, Accepted]

    def test_no_credit_is_not_the_messages_fault(self, server: FaultServer) -> None:
        outcome = self.outcome(server, error(402))

        assert outcome == Unavailable("out_of_credit", "HTTP 402 without a usable error code", None)

    @pytest.mark.parametrize(("code", "kept"), [("450", "450"), ("000", "000"), (TO, ""), (None, "")])
    def test_why_it_failed_is_plivos_code(self, server: FaultServer, code: str | None, kept: str) -> None:
        assert self.ask(server, self.report("undelivered", code)) == Report("undelivered", kept)

    def test_what_was_delivered_has_no_error(self, server: FaultServer) -> None:
        assert self.ask(server, self.report("delivered", "000")) == Report("delivered")
