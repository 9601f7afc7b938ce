"""Connections are rows: a running gateway follows them."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import SECRETS, Stack
from tests.waiting import eventually

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
