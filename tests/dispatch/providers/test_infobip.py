"""The Infobip adapter: the common contracts, and what is its own."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, Outbound, Outcome, Rejected, Report, Retry, Unavailable, Unknown
from dispatch.providers.infobip import STATUSES, InfobipProvider
from tests.dispatch.providers.batch_contract import BatchContract, many
from tests.dispatch.providers.case import TO, message
from tests.dispatch.providers.find_contract import AGO, FindContract
from tests.dispatch.providers.status_contract import StatusContract
from tests.faults import Fault, FaultServer, Received, Wire, answer, json_answer
from tests.fixtures import payload


def error(status: int, headers: Mapping[str, str] | None = None) -> Fault:
    content = {"errorCode": f"E{status}", "description": f"{TO} is at fault.", "action": "", "violations": []}
    return json_answer(status, content, headers)


def destinations(request: Received) -> list[dict[str, str]]:
    found: list[dict[str, str]] = request.json()["messages"][0]["destinations"]
    return found


def result(destination: Mapping[str, str], name: str = "PENDING_ACCEPTED") -> dict[str, Any]:
    status = {"groupName": name.partition("_")[0], "name": name, "description": f"{destination['to']} is at fault."}
    given = {"messageId": destination["messageId"], "destination": destination["to"], "status": status}
    return {**payload("infobip/accepted"), **given}


def results(*names: str) -> Fault:
    """HTTP 200 with these statuses, in turn, for the recipients of the request."""

    def fault(wire: Wire) -> bool:
        turns = zip(destinations(wire.request), names, strict=True)
        return json_answer(200, {"bulkId": "2034072219640523072", "messages": [result(*turn) for turn in turns]})(wire)

    return fault


def named(identifier: object) -> Fault:
    return json_answer(200, {"messages": [{**payload("infobip/accepted"), "messageId": identifier}]})


class TestInfobip(BatchContract, StatusContract, FindContract):
    provider = InfobipProvider
    credentials: ClassVar[Mapping[str, str]] = {"api_key": "3f9c0d1e2b3a-4f9c-0d1e"}
    rejections: ClassVar[Mapping[str, Fault]] = {
        "invalid_recipient": results("REJECTED_DESTINATION"),
        "invalid_sender": results("REJECTED_SOURCE"),
        "unroutable": results("REJECTED_DESTINATION_BLOCKLISTED"),
        "opted_out": results("REJECTED_DND"),
        "too_large": results("REJECTED_MESSAGE_TOO_LONG"),
        "invalid_request": results("REJECTED_INVALID_UDH"),
    }
    unauthorized = (error(401), error(403))
    unavailable = (
        answer(503),
        error(404),
        answer(307),
        results("REJECTED_NOT_ENOUGH_CREDITS"),
        results("REJECTED_ROUTE_NOT_AVAILABLE"),
        results("REJECTED_SYSTEM_ERROR"),
    )
    doubtful = (error(500), answer(502), answer(504), answer(303), results("REJECTED_DUPLICATE_MESSAGE_ID"))
    idless = (
        json_answer(200, {"bulkId": "2034072219640523072"}),
        json_answer(200, {"messages": []}),
        json_answer(200, {"messages": [None, "x", {}]}),
        *map(named, (None, "", 7, [], "another-message", payload("infobip/accepted")["messageId"])),
    )
    words = STATUSES

    def accept(self, wire: Wire) -> bool:
        return results(*["PENDING_ACCEPTED"] * len(destinations(wire.request)))(wire)

    def refusal(self) -> Fault:
        return error(400)

    def throttle(self, headers: Mapping[str, str]) -> Fault:
        return error(429, headers)

    def message_ids(self, request: Received) -> list[str]:
        return [one["messageId"] for one in destinations(request)]

    def text(self, request: Received) -> str:
        return str(request.json()["messages"][0]["content"]["text"])

    def provider_id(self, message_id: UUID) -> str:
        return str(message_id)

    def recipients(self, request: Received) -> list[str]:
        return [f"+{one['to']}" for one in destinations(request)]

    def validity(self, request: Received) -> int | None:
        period = request.json()["messages"][0].get("options", {}).get("validityPeriod")
        assert period is None or period["timeUnit"] == "SECONDS"
        return period["amount"] if period else None

    def report(self, word: object, error_code: str | None = None) -> Fault:
        group = word.partition("_")[0] if isinstance(word, str) else word
        why = {"name": error_code or "NO_ERROR", "permanent": False}
        status = {"groupName": group, "name": word}
        return json_answer(200, {"results": [{**payload("infobip/log"), "status": status, "error": why}]})

    def status_path(self, reference: str) -> str:
        return f"/sms/3/logs?messageId={reference}"

    def listing(self, *messages: Outbound, at: datetime) -> Fault:
        log = payload("infobip/log")
        sent_at = at.isoformat(timespec="milliseconds")
        return json_answer(
            200, {"results": [{**log, "messageId": str(one.message_id), "sentAt": sent_at} for one in messages]}
        )

    def asked_for(self, query: dict[str, list[str]]) -> str:
        [named] = query["messageId"]
        return named

    def test_the_request_is_what_infobip_documents(self, server: FaultServer) -> None:
        alike: dict[str, Any] = {"sender": "+447700900001", "valid_for": 600.9}
        one, other = message(**alike), message(to="+447700900124", **alike)
        self.adapter(server.url).send([one, other])

        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/sms/3/messages")
        assert request.headers["authorization"] == "App 3f9c0d1e2b3a-4f9c-0d1e"
        assert request.headers["accept"] == "application/json"
        [submission] = request.json()["messages"]
        assert submission.pop("destinations") == [
            {"to": "447700900123", "messageId": str(one.message_id)},
            {"to": "447700900124", "messageId": str(other.message_id)},
        ]
        assert submission == {
            "sender": "447700900001",
            "content": {"text": one.body},
            "options": {"validityPeriod": {"amount": 600, "timeUnit": "SECONDS"}},
            "webhooks": {
                "delivery": {"url": "https://gateway.example/webhooks/x/main"},
                "contentType": "application/json",
            },
        }

    def test_what_is_not_given_is_left_to_the_account(self, server: FaultServer) -> None:
        self.adapter(server.url, receipt_url=None).send([message(sender="")])

        assert set(server.requests[0].json()["messages"][0]) == {"destinations", "content"}

    def test_each_recipient_has_its_own_result(self, server: FaultServer) -> None:
        server.play(results("PENDING_ENROUTE", "REJECTED_DESTINATION", "REJECTED_FLOODING_FILTER", "PENDING_ACCEPTED"))
        batch = many(4)
        outcomes = self.adapter(server.url).send([*batch, message(body="Another text.")])

        assert outcomes[1:3] == [
            Rejected("invalid_recipient", "HTTP 200 REJECTED_DESTINATION"),
            Retry("throttled", "HTTP 200 REJECTED_FLOODING_FILTER", None),
        ]
        assert [outcomes[0], outcomes[3]] == self.taken([batch[0], batch[3]])
        assert len(server.requests) == 2, "what one recipient has too much of does not end the batch"

    def test_results_are_told_by_their_id_and_not_by_their_place(self, server: FaultServer) -> None:
        def backwards(wire: Wire) -> bool:
            first, second, third = destinations(wire.request)
            given = [result(third, "REJECTED_DND"), result(first)]
            return json_answer(200, {"messages": [*given, {**result(second), "messageId": "another"}]})(wire)

        server.play(backwards)
        batch = many(3)
        outcomes = self.adapter(server.url).send(batch)

        assert outcomes[0] == Accepted((str(batch[0].message_id),))
        assert [type(outcome) for outcome in outcomes[1:]] == [Unknown, Rejected]

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ({"groupName": "DELIVERED", "name": "DELIVERED_TO_HANDSET"}, Accepted),
            ({"groupName": "ACCEPTED", "name": "MESSAGE_ACCEPTED"}, Accepted),
            ({"groupName": "REJECTED", "name": "REJECTED_FROM_THE_FUTURE"}, Rejected),
            ({"groupName": "REJECTED", "name": "UNDELIVERABLE_REJECTED_PLATFORM"}, Unavailable),
            ({"groupName": "UNDELIVERABLE", "name": "UNDELIVERABLE_NOT_DELIVERED"}, Unknown),
            ({"groupName": "EXPIRED", "name": "EXPIRED_EXPIRED"}, Unknown),
            ({"groupName": "SOMETHING", "name": "ELSE"}, Unknown),
            ({"groupName": 1, "name": 26}, Unknown),
            (None, Unknown),
        ],
    )
    def test_a_status_outside_the_table_is_decided_by_its_group(
        self, server: FaultServer, status: object, expected: type[Outcome]
    ) -> None:
        def fault(wire: Wire) -> bool:
            return json_answer(200, {"messages": [{**result(destinations(wire.request)[0]), "status": status}]})(wire)

        assert isinstance(self.outcome(server, fault), expected)

    def test_why_it_failed_is_infobips_word(self, server: FaultServer) -> None:
        refused = self.report("UNDELIVERABLE_NOT_DELIVERED", "EC_ABSENT_SUBSCRIBER")

        assert self.ask(server, refused) == Report("undelivered", "EC_ABSENT_SUBSCRIBER")

    def test_logs_that_no_longer_go_back_so_far_prove_nothing(self, server: FaultServer) -> None:
        since = datetime.now(UTC) - timedelta(hours=47)

        assert self.find(server, self.listing(at=since), message(), since) is None

    def test_a_log_of_another_message_leaves_it_open(self, server: FaultServer) -> None:
        since = datetime.now(UTC) - AGO

        assert self.find(server, self.listing(message(), at=since), message(), since) is None

    def test_a_log_of_another_message_says_nothing(self, server: FaultServer) -> None:
        assert self.ask(server, self.report("DELIVERED_TO_HANDSET"), "id-2") is None
