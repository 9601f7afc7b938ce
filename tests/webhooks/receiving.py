"""What the tests of the receipts pump do: webhooks go in, receipts and messages are looked at."""

from django.utils import timezone

from dispatch.models import Message
from sendmsg import redis
from tests.webhooks.provider import deliver
from webhooks.inbound import buffer
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_redis import STREAM
from webhooks.models import Receipt


def post(*bodies: bytes) -> None:
    assert [deliver(body).status_code for body in bodies] == [200] * len(bodies)


def put(body: bytes, connection: str = "sendmsg") -> None:
    """Into the buffer past the door, as by an older release that took what we would refuse."""
    buffer.append(connection, Payload(body, timezone.now()))


def left() -> int:
    return int(redis.client().xlen(redis.key(STREAM)))


def state(message: Message) -> str:
    return Message.objects.values_list("state", flat=True).get(id=message.id)


def results() -> dict[str, str]:
    return dict(Receipt.objects.values_list("status", "state"))
