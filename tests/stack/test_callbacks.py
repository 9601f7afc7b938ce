"""With every process running, a client hears by signed callbacks what became of each of its messages."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.faults import FaultServer, answer
from tests.stack.stack import Stack
from tests.waiting import eventually
from webhooks.callbacks import due

Endpoint = tuple[FaultServer, str]
PATIENCE = due.LEASE.total_seconds() + 45  # seconds; what a killed process had claimed is told after its lease


@pytest.fixture
def endpoint(stack: Stack) -> Iterator[Endpoint]:
    """A client's server that is told of everything, and the secret that it was given."""
    with FaultServer(answer(200)) as server:
        made = call(stack, "POST", "/v1/webhooks", {"url": server.url})
        yield server, str(made["secret"])
        stack.http.delete(f"{stack.url}/v1/webhooks/{made['id']}", headers=stack.headers(), timeout=15)


def call(stack: Stack, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    found = stack.http.request(method, stack.url + path, json=body, headers=stack.headers(), timeout=15)
    assert found.ok, found.text
    return dict(found.json())


def told(endpoint: Endpoint) -> dict[str, list[str]]:
    """The kinds of events that the client was told of, by message, each verified by the official verifier."""
    server, secret = endpoint
    kinds: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for request in list(server.requests):
        Webhook(secret).verify(request.body, dict(request.headers))
        if request.headers["webhook-id"] not in seen:
            seen.add(request.headers["webhook-id"])
            event = json.loads(request.body)
            kinds[event["data"]["id"]].append(event["type"])
    return kinds


@pytest.mark.timeout(2 * PATIENCE + 60)
def test_each_state_is_told_once_whoever_is_killed_meanwhile(stack: Stack, endpoint: Endpoint) -> None:
    def break_in(done: int) -> None:
        if done in (30, 60):
            stack.processes["callbacks"].restart()

    ids = stack.send_many(90, after=break_in)
    failing = stack.send("+447700900905")
    stack.settled([*ids, failing])

    eventually(lambda: all(len(told(endpoint)[one]) >= 2 for one in ids), "every state is told", PATIENCE, every=0.5)
    eventually(lambda: told(endpoint)[failing] == ["message.failed"], "the failure is told", 30, every=0.5)
    assert all(sorted(told(endpoint)[one]) == ["message.delivered", "message.sent"] for one in ids)
