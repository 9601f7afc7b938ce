"""The Sinch adapter: the common contracts, and what is its own."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from dispatch.providers.base import MAX_PROVIDER_ID, Accepted, Found, Missing, Outbound, Report, Unavailable
from dispatch.providers.sinch import MAX_BATCH_ID, STATUSES, SinchProvider, reference
from tests.dispatch.providers.batch_contract import BatchContract, many
from tests.dispatch.providers.case import TO, message
from tests.dispatch.providers.find_contract import AGO, FindContract
from tests.dispatch.providers.status_contract import StatusContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload

PLAN = "f6a0d9b7c8e54d1f9a3b"
BATCH = payload("sinch/accepted")["id"]
OTHER = "+447700900124"
NO_IDS: tuple[object, ...] = (None, "", 7, [], "a b", "é", "a:b", "x" * (MAX_BATCH_ID + 1))


def error(status: int, code: object, headers: Mapping[str, str] | None = None) -> Fault:
    return json_answer(status, {"code": code, "text": f"{TO} is at fault."}, headers)


def accepted(batch_id: object) -> Fault:
    return json_answer(201, {**payload("sinch/accepted"), "id": batch_id})


def batch(to: Sequence[object], at: datetime, **fields: object) -> dict[str, Any]:
    return {**payload("sinch/accepted"), "to": to, "created_at": at.isoformat(), **fields}


def batches(*listed: Mapping[str, Any], count: int | None = None) -> Fault:
    content = {"count": len(listed) if count is None else count, "page": 0, "page_size": 100, "batches": listed}
    return json_answer(200, content)


class TestSinch(BatchContract, StatusContract, FindContract):
    provider = SinchProvider
    credentials: ClassVar[Mapping[str, str]] = {"service_plan_id": PLAN, "api_token": "9c1f0b7e2d3a4c5b6a79"}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": error(403, "illegal_number_type"),
        "invalid_request": error(400, "syntax_invalid_parameter_format"),
        "too_large": answer(413),
    }
    unauthorized = (answer(401), error(403, "blocked_account"), answer(403))
    unavailable = (answer(503), answer(404), answer(307), error(403, "missing_callback_url"))
    doubtful = (answer(500), answer(502), answer(504), answer(303))
    idless = (json_answer(201, {"to": [TO]}), *map(accepted, NO_IDS))
    words = STATUSES

    def accept(self, wire: Wire) -> bool:
        return accepted(BATCH)(wire)

    def refusal(self) -> Fault:
        return error(400, "syntax_invalid_parameter_format")

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return answer(429, headers=headers)

    def message_ids(self, request: Received) -> list[str]:
        return [request.json()["client_reference"]]

    def text(self, request: Received) -> str:
        return str(request.json()["body"])

    def id_of(self, one: Outbound) -> str:
        return reference(BATCH, one.to)

    def recipients(self, request: Received) -> list[str]:
        found: list[str] = request.json()["to"]
        return found

    def validity(self, request: Received) -> int | None:
        until = request.json().get("expire_at")
        return until and round((datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds())

    def report(self, word: object, error_code: str | None = None) -> Fault:
        group = {"code": int(error_code or 0), "status": word, "count": 1, "recipients": [TO.removeprefix("+")]}
        if error_code is None and STATUSES.get(str(word)) == "undelivered":
            del group["code"]
        return json_answer(200, {**payload("sinch/report"), "statuses": [group]})

    def status_path(self, reference: str) -> str:
        return f"/xms/v1/{PLAN}/batches/{reference}/delivery_report?type=full"

    def ask(
        self, server: FaultServer, fault: Fault, reference: str = reference(BATCH, TO), **config: object
    ) -> Report | None:
        return super().ask(server, fault, reference, **config)

    def listing(self, *messages: Outbound, at: datetime) -> Fault:
        alone = [batch([one.to], at, client_reference=str(one.message_id)) for one in messages]

        return batches(*alone)

    def asked_for(self, query: dict[str, list[str]]) -> str:
        [named] = query["client_reference"]
        return named

    def test_the_request_is_what_sinch_documents(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message(), message(to=OTHER)])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", f"/xms/v1/{PLAN}/batches")
        assert request.headers["authorization"] == "Bearer 9c1f0b7e2d3a4c5b6a79"
        assert request.json() == {
            "to": [TO, OTHER],
            "from": "Acme",
            "body": "Your code is 482913.",
            "type": "mt_text",
            "delivery_report": "per_recipient",
            "callback_url": "https://gateway.example/webhooks/x/main",
        }

    def test_what_is_not_given_is_left_to_the_service_plan(self, server: FaultServer) -> None:
        self.adapter(server.url, receipt_url=None).send([message(sender="", to=TO), message(sender="", to=OTHER)])

        assert set(server.requests[0].json()) == {"to", "body", "type", "delivery_report"}

    def test_a_moment_is_written_as_sinch_writes_it(self, server: FaultServer) -> None:
        self.adapter(server.url).send([message(valid_for=600.0)])

        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", server.requests[0].json()["expire_at"])

    def test_the_messages_of_a_batch_have_ids_of_their_own(self, server: FaultServer) -> None:
        outcomes = self.adapter(server.url).send(many(100))

        ids = {given for outcome in outcomes if isinstance(outcome, Accepted) for given in outcome.provider_ids}
        assert len(ids) == 100
        assert all(given.startswith(f"{BATCH}:") for given in ids)

    def test_an_id_is_the_same_however_the_recipient_is_written(self) -> None:
        assert reference(BATCH, TO) == reference(BATCH, TO.removeprefix("+"))
        assert reference(BATCH, TO) != reference("01FC66621VHDBN119Z8PMV1AHY", TO)

    def test_an_id_shows_no_number_and_fits(self) -> None:
        assert TO.removeprefix("+") not in reference(BATCH, TO)
        assert len(reference("x" * MAX_BATCH_ID, TO)) <= MAX_PROVIDER_ID

    def test_a_wrong_service_plan_is_not_the_messages_fault(self, server: FaultServer) -> None:
        outcome = self.outcome(server, answer(404))

        assert outcome == Unavailable("misconfigured", "HTTP 404 without a usable error code", None)

    @pytest.mark.parametrize(
        ("to", "expected"), [(TO, Report("undelivered", "15")), (OTHER, Report("delivered")), ("+447700900125", None)]
    )
    def test_a_report_is_searched_for_the_recipient(
        self, server: FaultServer, to: str, expected: Report | None
    ) -> None:
        assert self.ask(server, json_answer(200, payload("sinch/report")), reference(BATCH, to)) == expected

    def found(self, server: FaultServer, *listings: Fault) -> Found | Missing | None:
        """What half an hour later is made of these answers, the first to the question by our id."""
        server.play(*listings)
        return self.adapter(server.url).find(message(), datetime.now(UTC) - AGO)

    def test_a_batch_of_many_that_may_have_it_leaves_it_open(self, server: FaultServer) -> None:
        at = datetime.now(UTC) - AGO

        assert self.found(server, batches(), batches(batch([OTHER, TO.removeprefix("+")], at))) is None
        assert self.found(server, batches(), batches(batch(["a-group"], at))) is None
        assert self.found(server, batches(), batches(batch([], at))) is None

    def test_batches_to_others_do_not_have_it(self, server: FaultServer) -> None:
        at = datetime.now(UTC) - AGO

        assert self.found(server, batches(), batches(batch([OTHER], at), batch([OTHER], at))) == Missing()

    def test_batches_of_the_time_of_the_send_are_asked_for(self, server: FaultServer) -> None:
        self.found(server, batches(), batches())

        query = parse_qs(urlsplit(server.requests[1].path).query)
        start, end = (datetime.fromisoformat(query[name][0]) for name in ("start_date", "end_date"))
        assert start < datetime.now(UTC) - AGO < end
        assert end - start < timedelta(minutes=3)

    def test_a_page_that_is_not_all_leaves_it_open(self, server: FaultServer) -> None:
        at = datetime.now(UTC) - AGO

        assert self.found(server, batches(), batches(batch([OTHER], at), count=2)) is None

    def test_a_batch_of_another_reference_or_two_of_it_leave_it_open(self, server: FaultServer) -> None:
        other = batch([TO], datetime.now(UTC) - AGO, client_reference="another")

        assert self.found(server, batches(other)) is None
        assert self.found(server, batches(other, other)) is None
