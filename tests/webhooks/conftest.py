"""What the tests of webhooks share: an empty buffer, and a connection whose receipts they sign."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django.fixtures import Settings

from sendmsg import redis
from tests.cast import Member
from tests.factories import make_connection, make_message, make_reference

if TYPE_CHECKING:
    from dispatch.models import Connection, Message
    from webhooks.inbound.receipts import ReceiptsPump


@pytest.fixture(autouse=True)
def no_broker(settings: Settings) -> Iterator[None]:
    """The buffer alone; a test that wants a fallback sets one, and calls `buffer.forget`."""
    from webhooks.inbound import buffer, replays

    settings.BROKER_IS_RABBITMQ = False
    replays.forget()
    buffer.forget()
    yield
    buffer.forget()


@pytest.fixture
def empty_buffer() -> Iterator[None]:
    forget_webhooks()
    yield
    forget_webhooks()


def forget_webhooks() -> None:
    """What is buffered, and what was seen before: two tests may send the same within a second."""
    from webhooks.inbound.buffer_redis import STREAM

    client = redis.client()
    client.delete(redis.key(STREAM), *client.keys(redis.key("seen:*")))


@pytest.fixture
def no_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the pump that finds nothing returns at once."""
    from webhooks.inbound import receipts

    monkeypatch.setattr(receipts, "BLOCK", 0.001)


@pytest.fixture
def line(db: None) -> "Connection":
    """The connection `sendmsg`."""
    return make_connection()


@pytest.fixture
def pump() -> "ReceiptsPump":
    from webhooks.inbound.receipts import ReceiptsPump

    return ReceiptsPump()


@pytest.fixture
def sent(alice: Member, line: "Connection") -> "Message":
    """A message that the provider knows as `snd_1`."""
    from dispatch.states import State

    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1")
    return message
