"""While more receipts come than a pump takes, it leaves the host to those who answer them, but never for long."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.models import Connection
from sendmsg import redis
from sendmsg.pump import Stop
from tests.webhooks.provider import report
from webhooks.inbound import buffer, receipts
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_redis import STREAM
from webhooks.inbound.receipts import ReceiptsPump

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer")]


class Rests(Stop):
    """Notes what the pump would have slept, and does not sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    monkeypatch.setattr(receipts, "BATCH", 3)
    return Rests()


def step(rests: Rests, count: int, age: timedelta = timedelta()) -> None:
    """One step of a pump that finds so many webhooks, which came so long ago."""
    for number in range(count):
        buffer.append("sendmsg", Payload(report(f"snd_{number}"), timezone.now() - age))
    pump = ReceiptsPump()
    pump.stopping = rests
    pump.step()
    assert redis.client().xlen(redis.key(STREAM)) == max(0, count - 3)


def test_after_a_full_batch_it_rests_as_long_as_that_took(line: Connection, rests: Rests) -> None:
    step(rests, 4)

    [seconds] = rests.seconds
    assert 0 < seconds < 5


def test_after_any_other_it_goes_on(line: Connection, rests: Rests) -> None:
    step(rests, 2)

    assert not rests.seconds


def test_when_no_more_come_it_goes_on(line: Connection, rests: Rests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "QUIET", 0.0)
    step(rests, 4)

    assert not rests.seconds


def test_an_empty_buffer_says_that_none_come(line: Connection) -> None:
    assert not ReceiptsPump()._reader.coming(60)


def test_when_receipts_wait_too_long_it_goes_on(line: Connection, rests: Rests) -> None:
    step(rests, 4, age=timedelta(seconds=receipts.LATE))

    assert not rests.seconds
