"""Every row of the scenario table, played over HTTP."""

import time
from collections.abc import Callable

import pytest
import requests

from sendmsg.sandbox.scenarios import SCENARIOS, Scenario, scenario_for
from tests.sandbox.driver import LATE, SLOW, Inbox, Sandbox, poll

Play = Callable[[Sandbox, Inbox, str, str], None]
PLAYS: dict[str, Play] = {}


def plays(digits: str) -> Callable[[Play], Play]:
    def register(play: Play) -> Play:
        PLAYS[digits] = play
        return play

    return register


def test_every_scenario_has_a_play() -> None:
    assert sorted(PLAYS) == [scenario.digits for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.digits)
def test_a_scenario_plays_as_its_row_says(scenario: Scenario, sandbox: Sandbox, inbox: Inbox, key: str) -> None:
    PLAYS[scenario.digits](sandbox, inbox, key, f"+4477009000{scenario.digits}")


@pytest.mark.parametrize("to", ["+447700900013", "+447700900099", "+12025550142"])
def test_digits_without_a_row_are_delivered_at_once(to: str) -> None:
    assert scenario_for(to).digits == "00"


@plays("00")
def delivered_at_once(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    answer = sandbox.send(to, key, inbox)

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert "Idempotency-Replayed" not in answer.headers
    message_id = answer.json()["id"]
    [event] = inbox.events(1)
    assert event["event_id"].startswith("evt_")
    del event["event_id"], event["at"]
    assert event == {"type": "receipt", "id": message_id, "status": "delivered", "error_code": None}
    received = sandbox.received(key)
    assert abs(time.time() - received.pop("sent_at")) < 60
    assert received == {"sends": 1, "replays": 0, "refusals": 0, "to": to, "id": message_id}
    assert sandbox.status(message_id) == ("delivered", None)


@plays("01")
def delivered_late(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    sent_at = time.monotonic()
    message_id = sandbox.send(to, key, inbox).json()["id"]

    assert sandbox.status(message_id) == ("accepted", None)
    [receipt] = inbox.wait_for(1)
    assert receipt.event["status"] == "delivered"
    assert receipt.arrived - sent_at >= LATE


@plays("02")
def receipt_twice(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    sandbox.send(to, key, inbox)

    first, second = inbox.events(2)
    assert first == second
    assert first["status"] == "delivered"
    sandbox.settle()
    assert len(inbox.receipts) == 2


@plays("03")
def receipts_out_of_order(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    message_id = sandbox.send(to, key, inbox).json()["id"]

    events = inbox.events(2)
    assert [event["status"] for event in events] == ["delivered", "sent"]
    assert events[0]["event_id"] != events[1]["event_id"]
    assert sandbox.status(message_id) == ("delivered", None)


@plays("04")
def receipt_before_the_answer(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    answer = sandbox.send(to, key, inbox)
    answered_at = time.monotonic()

    [receipt] = inbox.wait_for(1)
    assert answered_at - receipt.arrived >= 0.5
    assert (receipt.event["id"], receipt.event["status"]) == (answer.json()["id"], "delivered")


@plays("05")
def permanent_failure(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    for _ in range(2):
        answer = sandbox.send(to, key, inbox)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_recipient")

    assert sandbox.received(key) == {"sends": 0, "replays": 0, "refusals": 2, "to": to, "id": None, "sent_at": None}
    assert inbox.receipts == []


@plays("06")
def undelivered(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    message_id = sandbox.send(to, key, inbox).json()["id"]

    [event] = inbox.events(1)
    assert (event["status"], event["error_code"]) == ("undelivered", "absent_subscriber")
    assert sandbox.status(message_id) == ("undelivered", "absent_subscriber")


@plays("07")
def temporary_failure_twice(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    answers = [sandbox.send(to, key, inbox) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 202]
    assert answers[0].json()["error"]["code"] == "unavailable"
    assert [event["status"] for event in inbox.events(1)] == ["delivered"]
    assert sandbox.received(key)["sends"] == 1
    assert sandbox.send(to, f"{key}-other", inbox).status_code == 503


@plays("08")
def throttled_once(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    first, second = (sandbox.send(to, key, inbox) for _ in range(2))

    assert (first.status_code, first.json()["error"]["code"]) == (429, "throttled")
    assert first.headers["Retry-After"] == "2"
    assert second.status_code == 202
    assert [event["status"] for event in inbox.events(1)] == ["delivered"]


@plays("09")
def slow_answer(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    sent_at = time.monotonic()
    answer = sandbox.send(to, key, inbox)

    assert time.monotonic() - sent_at >= SLOW
    assert answer.status_code == 202
    assert [event["id"] for event in inbox.events(1)] == [answer.json()["id"]]


@plays("10")
def connection_dropped_after_accept(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    with pytest.raises(requests.ConnectionError):
        sandbox.send(to, key, inbox)

    [event] = inbox.events(1)
    repeat = sandbox.send(to, key, inbox)
    assert (repeat.status_code, repeat.headers["Idempotency-Replayed"]) == (202, "true")
    assert (event["id"], event["status"]) == (repeat.json()["id"], "delivered")
    assert (sandbox.received(key)["sends"], sandbox.received(key)["replays"]) == (1, 1)


@plays("11")
def never_a_receipt(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    message_id = sandbox.send(to, key, inbox).json()["id"]

    poll(lambda: sandbox.status(message_id) == ("sent", None))
    sandbox.settle()
    assert inbox.receipts == []


@plays("12")
def broken(sandbox: Sandbox, inbox: Inbox, key: str, to: str) -> None:
    answers = [sandbox.send(to, key, inbox) for _ in range(4)]

    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(500, "internal")}
    assert sandbox.received(key)["sends"] == 0


def test_a_client_that_gives_up_on_a_slow_answer_and_repeats_makes_one_send(
    sandbox: Sandbox, inbox: Inbox, key: str
) -> None:
    to = "+447700900009"
    with pytest.raises(requests.ReadTimeout):
        sandbox.send(to, key, inbox, timeout=0.1)

    early = sandbox.send(to, key, inbox)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "in_progress")
    assert early.headers["Retry-After"] == "1"

    poll(lambda: sandbox.send(to, key, inbox).status_code == 202)
    assert sandbox.received(key)["sends"] == 1
    assert [event["status"] for event in inbox.events(1)] == ["delivered"]
    sandbox.settle()
    assert len(inbox.receipts) == 1
