"""Connections are rows: a running gateway follows them."""

import json
from collections.abc import Iterator

import pytest

from tests.stack.stack import SECRETS, Stack
from tests.waiting import eventually

INSPECT = """
from sendmsg.celery import app
inspect = app.control.inspect(timeout=5)
queues = {name.split(".")[0]: sorted(one["name"] for one in found) for name, found in inspect.active_queues().items()}
limits = {name.split(".")[0]: found for name, found in inspect.registered("rate_limit").items()}
print(json.dumps([queues, limits]))
"""
MAKE = """
from dispatch.models import Connection
Connection.objects.filter(name="sandbox").update(enabled=False)
Connection.objects.create(
    name="late", provider="sendmsg", base_url="{url}", sandbox=True,
    credentials={{"api_key": "{key}", "webhook_secrets": ["{secret}"]}},
)
"""
UNMAKE = """
from dispatch.models import Connection
Connection.objects.filter(name="sandbox").update(enabled=True)
Connection.objects.filter(name="late").update(enabled=False)
"""


@pytest.fixture
def late(stack: Stack) -> Iterator[str]:
    """A connection for test keys that came after the workers were started, and is the only one."""
    secret = SECRETS["SANDBOX_RECEIPT_SECRET"]
    stack.manage("shell", "-c", MAKE.format(url=stack.sandbox_url, key=SECRETS["SANDBOX_API_KEY"], secret=secret))
    yield "late"
    stack.manage("shell", "-c", UNMAKE)


def used(stack: Stack, message_id: str) -> str:
    [(name,)] = stack.sql(
        "SELECT c.name FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id WHERE m.id = %s",
        message_id,
    )
    return str(name)


def test_a_connection_made_while_the_workers_run_is_used_without_a_restart(stack: Stack, late: str) -> None:
    def delivered_by() -> str:
        message_id = stack.send(key="test")
        assert stack.finished(message_id, key="test")["status"] == "delivered"
        return used(stack, message_id)

    eventually(lambda: delivered_by() == late, "a message is delivered by the new connection")


def test_workers_serve_their_region_and_keep_its_ceilings(stack: Stack) -> None:
    stack.connect("eu-line", stack.sandbox_url, sandbox=False, region="eu", rate=40, enabled=False)
    with (
        stack.worker("of-eu", REGION="eu"),
        stack.worker("of-us", REGION="us"),
        stack.worker("of-one", "--connections", "sendmsg"),
    ):

        def serving() -> dict[str, list[str]]:
            queues, limits = json.loads(stack.run(INSPECT))
            if not {"of-eu", "of-us", "of-one"} <= set(queues):
                return {}
            assert any("dispatch.deliver.eu-line [rate_limit=60/s]" in task for task in limits["of-eu"])
            return dict(queues)

        queues = eventually(serving, "the workers answer", 60) or {}
        assert "deliver.eu-line" in queues["of-eu"]
        assert "deliver.sendmsg" in queues["of-us"]
        assert "deliver.eu-line" not in queues["of-us"]
        assert queues["of-one"] == ["deliver.sendmsg", "unrouted"]
