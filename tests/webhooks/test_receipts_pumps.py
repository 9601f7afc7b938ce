"""Pumps that fail, are killed, work side by side or have nothing to do: each receipt counts once."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from redis.exceptions import RedisError

from dispatch.models import Connection, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_message, make_receipt, make_reference
from tests.outages import database_away, redis_away
from tests.parallel import in_threads, somebody_waits_for_us
from tests.waiting import eventually
from tests.webhooks.provider import deliver, report, signed
from tests.webhooks.receiving import left, post, put, state
from tests.webhooks.timeline import kinds
from webhooks.inbound import buffer_redis, receipts
from webhooks.inbound.base import Payload
from webhooks.inbound.buffer_redis import Reader
from webhooks.inbound.entries import Buffered
from webhooks.inbound.receipts import ReceiptsPump, store
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]


class Interrupted(Reader):
    """Loses Redis between the commit and the acknowledgement, once."""

    interrupted = False

    def done(self, entries: Sequence[Buffered]) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise RedisError
        super().done(entries)


def test_a_pump_that_fails_between_storing_and_acknowledging_loses_and_repeats_nothing(
    sent: Message, pump: ReceiptsPump
) -> None:
    pump._reader = Interrupted("interrupted")
    post(report("snd_1"))
    with pytest.raises(RedisError):
        pump.step()
    assert (Receipt.objects.count(), left()) == (1, 1)

    assert pump.step() == 1

    assert (Receipt.objects.count(), left(), kinds(sent)) == (1, 0, ["delivered"])


def test_what_a_killed_pump_stored_and_did_not_acknowledge_another_finishes(
    sent: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, other = ReceiptsPump(), ReceiptsPump()
    killed._reader, other._reader = Interrupted("killed"), Reader("other")
    post(report("snd_1"))
    with pytest.raises(RedisError):
        killed.step()
    assert other.step() == 0

    monkeypatch.setattr(buffer_redis, "ABANDONED", 0)

    assert other.step() == 1
    assert (Receipt.objects.count(), left(), kinds(sent)) == (1, 0, ["delivered"])


@pytest.mark.django_db(transaction=True)
def test_what_can_not_be_stored_stays_in_the_buffer(sent: Message, pump: ReceiptsPump) -> None:
    post(report("snd_1"))

    with database_away("default"):
        for _ in range(3):
            with pytest.raises(Exception, match="connection to server"):
                pump.step()
        assert left() == 1

    assert pump.step() == 1
    assert (state(sent), left()) == (State.DELIVERED, 0)


def test_while_redis_is_away_the_pump_fails_and_afterwards_goes_on(sent: Message) -> None:
    post(report("snd_1"))
    with redis_away(), pytest.raises(RedisError):
        ReceiptsPump().step()

    assert ReceiptsPump().step() == 1
    assert state(sent) == State.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_fifty_copies_at_once_are_one_receipt_one_event_and_one_move(sent: Message) -> None:
    body = report("snd_1")

    def copies(number: int) -> None:
        post(*[body] * 5)
        ReceiptsPump().step()

    in_threads(10, copies)
    while ReceiptsPump().step():
        pass

    assert (Receipt.objects.count(), kinds(sent), state(sent), left()) == (1, ["delivered"], State.DELIVERED, 0)


@pytest.mark.django_db(transaction=True)
def test_copies_that_come_at_the_same_moment_are_stored_once(line: Connection) -> None:
    body = report("snd_1")
    headers = signed(body)

    def copies(number: int) -> None:
        assert [deliver(body, headers).status_code for _ in range(5)] == [200] * 5

    in_threads(10, copies)

    assert left() == 1


@pytest.mark.django_db(transaction=True)
def test_of_a_burst_everything_is_stored_and_applied(alice: Member, line: Connection) -> None:
    messages = [make_message(alice.account, state=State.SENT, connection=line) for _ in range(200)]
    for number, message in enumerate(messages):
        make_reference(message, f"snd_{number}")

    in_threads(8, lambda number: post(*[report(f"snd_{one}") for one in range(number, 200, 8)]))
    while ReceiptsPump().step():
        pass

    assert Counter(map(state, messages)) == {State.DELIVERED: 200}
    assert left() == 0


@pytest.mark.django_db(transaction=True)
def test_pumps_with_overlapping_receipts_neither_block_each_other_nor_count_twice(
    alice: Member, line: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from webhooks.inbound import receipts

    monkeypatch.setattr(receipts, "BATCH", 20)
    count = 40
    messages = [make_message(alice.account, state=State.SENT, connection=line) for _ in range(count)]
    for number, message in enumerate(messages):
        make_reference(message, f"snd_{number}")
    for turn in range(3):
        for number in range(count) if turn % 2 else reversed(range(count)):
            for status in ("delivered", "sent"):
                put(report(f"snd_{number}", status))

    def work(number: int) -> None:
        pump = ReceiptsPump()
        pump._reader = Reader(f"pump-{number}")
        while pump.step():
            pass

    in_threads(4, work)
    ReceiptsPump().step()

    assert (left(), Receipt.objects.count()) == (0, 2 * count)
    assert Counter(map(state, messages)) == {State.DELIVERED: count}
    assert all(sorted(kinds(message)) == ["delivered", "receipt"] for message in messages)


@pytest.mark.django_db(transaction=True)
def test_an_old_receipt_that_another_pump_holds_is_not_waited_for(line: Connection) -> None:
    old = timezone.now() - 2 * settings.RECEIPT_PARKING
    held, free = (make_receipt(line, f"snd_{number}", "delivered", received_at=old) for number in range(2))

    with transaction.atomic():
        Receipt.objects.select_for_update().get(id=held.id)
        in_threads(1, lambda number: ReceiptsPump().step())

    states = dict(Receipt.objects.values_list("id", "state"))
    assert states == {held.id: "parked", free.id: "orphaned"}


@pytest.mark.django_db(transaction=True)
def test_pumps_that_store_the_same_reports_in_another_order_do_not_deadlock(line: Connection) -> None:
    def stored(*provider_ids: str) -> None:
        now = timezone.now()
        with transaction.atomic():
            store([Buffered(b"", "sendmsg", Payload(report(provider_id), now)) for provider_id in provider_ids])

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            stored("snd_a")
            other = pool.submit(lambda: in_threads(1, lambda number: stored("snd_b", "snd_a")))
            eventually(somebody_waits_for_us, "the other waits for our lock", every=0.01)
            stored("snd_b")
        other.result()

    assert sorted(Receipt.objects.values_list("provider_id", flat=True)) == ["snd_a", "snd_b"]


def test_while_nothing_waits_a_look_is_one_statement(pump: ReceiptsPump, django_assert_num_queries: Any) -> None:
    pump.step()
    pump._look_back_at = 0.0

    with django_assert_num_queries(1):
        assert pump.step() == 0


class Noting(Reader):
    """Notes for how long it was to wait, and does not wait."""

    def __init__(self) -> None:
        super().__init__("noting")
        self.waits: list[float] = []

    def read(self, count: int, block: float) -> Sequence[Buffered]:
        self.waits.append(block / receipts.BLOCK)
        return super().read(count, 0)


def test_the_calmer_it_is_the_longer_it_waits_and_a_webhook_ends_that(sent: Message, pump: ReceiptsPump) -> None:
    pump._reader = reader = Noting()

    for number in range(6):
        pump._look_back_at = 0.0
        if number == 4:
            post(report("snd_unknown"))
        pump.step()

    assert reader.waits == pytest.approx([2, 4, 4, 4, 4, 2])


def test_a_receipt_that_overtook_its_send_is_looked_at_again_soon(sent: Message, pump: ReceiptsPump) -> None:
    Message.objects.update(state=State.SENDING)
    pump._calm, pump._look_back_at = receipts.DROWSY, time.monotonic() + 60
    post(report("snd_1"))
    assert pump.step() == 1
    assert pump._look_back_at <= time.monotonic() + receipts.BLOCK

    Message.objects.update(state=State.SENT)
    eventually(lambda: pump.step() or state(sent) == State.DELIVERED, "the receipt is applied", 5)
