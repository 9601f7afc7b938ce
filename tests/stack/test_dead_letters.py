"""Dead letters of a running gateway: replayed by a client, and tried again like any message."""

from typing import Any

import requests

from tests.stack.stack import Stack
from tests.waiting import eventually


def letters(stack: Stack, message_id: str, key: str = "live") -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.url}/v1/dead-letters", headers=stack.headers(key), timeout=15)
    assert answer.status_code == 200, answer.text
    return [row for row in answer.json()["results"] if row["message_id"] == message_id]


def replay(stack: Stack, letter: dict[str, Any], key: str = "live") -> requests.Response:
    url = f"{stack.url}/v1/dead-letters/{letter['id']}/replay"
    return requests.post(url, headers=stack.headers(key), timeout=15)


def test_a_refused_message_is_tried_again_and_refused_again(stack: Stack) -> None:
    message_id = stack.send("+447700900905")
    stack.finished(message_id)
    [first] = letters(stack, message_id)
    assert (first["reason"], first["state"], first["provider"]) == ("invalid_recipient", "open", "sendmsg")

    answer = replay(stack, first)

    assert (answer.status_code, answer.json()["state"]) == (200, "replayed")
    assert replay(stack, first).json()["code"] == "dead_letter_handled"
    second, old = eventually(lambda: (found := letters(stack, message_id))[1:] and found, "a second dead letter")
    assert (second["reason"], second["state"]) == ("invalid_recipient", "open")
    assert (old["id"], old["state"]) == (first["id"], "replayed")
    assert stack.message(message_id)["status"] == "failed"
    kinds = ["accepted", *["released", "sending", "failed", "replayed"] * 2][:-1]
    timeline = eventually(
        lambda: (events := stack.timeline(message_id))[len(kinds) - 1 :] and events, "both lives are in the timeline"
    )
    assert [event["type"] for event in timeline] == kinds, timeline
    received = stack.received()[message_id]
    assert (received["sends"], received["refusals"]) == (0, 2)


def test_what_expired_while_its_connection_was_off_is_delivered_by_a_replay(stack: Stack) -> None:
    switch = "UPDATE dispatch_connection SET enabled = %s WHERE name = 'sandbox' RETURNING name"
    stack.sql(switch, False)
    try:
        # The relay goes on for a moment with the connections that it knows.
        eventually(lambda: _expires(stack), "a message expires", 30)
        message_id = stack.send(key="test", valid_for=6)
        letter = eventually(lambda: letters(stack, message_id, "test"), "its dead letter", 30)[0]
        assert letter["reason"] == "expired"
    finally:
        stack.sql(switch, True)

    assert replay(stack, letter, "test").status_code == 200

    assert stack.finished(message_id, key="test")["status"] == "delivered"
    assert stack.received()[message_id]["sends"] == 1


def _expires(stack: Stack) -> bool:
    """Whether a message that may wait for a second finds no connection."""
    message_id = stack.send(key="test", valid_for=1)
    return str(stack.finished(message_id, key="test")["status"]) == "expired"
