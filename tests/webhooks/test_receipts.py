"""From the provider's request to the message: nothing lost, nothing counted twice, whatever order it comes in."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from dispatch import attempts, directory
from dispatch.attempts import Settlement
from dispatch.models import Connection, DeadLetter, Message
from dispatch.providers.base import Accepted
from dispatch.states import State
from sendmsg import redis
from tests.cast import Member
from tests.factories import make_connection, make_message, make_receipt, make_reference
from tests.outages import database_away, redis_away
from tests.parallel import in_threads, somebody_waits_for_us
from tests.waiting import eventually
from tests.webhooks.provider import deliver, report, signed
from tests.webhooks.timeline import kinds
from webhooks.inbound import buffer, buffer_redis, receipts
from webhooks.inbound.base import InboundProvider, Parsed, Payload
from webhooks.inbound.buffer_redis import STREAM, Reader
from webhooks.inbound.entries import Buffered
from webhooks.inbound.receipts import ReceiptsPump, store
from webhooks.inbound.registry import INBOUND
from webhooks.inbound.sendmsg import SendMSGInbound
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]


@pytest.fixture
def pump() -> ReceiptsPump:
    return ReceiptsPump()


@pytest.fixture
def sent(alice: Member, line: Connection) -> Message:
    """A message that the provider knows as `snd_1`."""
    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1")
    return message


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


def test_a_receipt_moves_its_message_and_leaves_the_buffer(sent: Message, pump: ReceiptsPump) -> None:
    post(report("snd_1"))

    assert pump.step() == 1

    receipt = Receipt.objects.get()
    assert (state(sent), kinds(sent), left()) == (State.DELIVERED, ["delivered"], 0)
    assert (receipt.state, receipt.message_id, receipt.connection.name) == (Receipt.State.APPLIED, sent.id, "sendmsg")
    assert pump.step() == 0


def test_a_receipt_that_is_sent_again_counts_once(sent: Message, pump: ReceiptsPump) -> None:
    body = report("snd_1")
    for _ in range(3):
        post(body, body)
        pump.step()

    assert (Receipt.objects.count(), kinds(sent), left()) == (1, ["delivered"], 0)


def test_two_statuses_in_one_batch_are_two_receipts_and_one_move(sent: Message, pump: ReceiptsPump) -> None:
    post(report("snd_1", "sent"), report("snd_1", "delivered"))

    assert pump.step() == 2
    assert results() == {"sent": "noted", "delivered": "applied"}
    assert (state(sent), kinds(sent)) == (State.DELIVERED, ["delivered", "receipt"])


def test_delivered_stays_when_sent_comes_late(sent: Message, pump: ReceiptsPump) -> None:
    for status in ("delivered", "sent"):
        post(report("snd_1", status))
        pump.step()

    assert results() == {"delivered": "applied", "sent": "noted"}
    assert (state(sent), kinds(sent)) == (State.DELIVERED, ["delivered", "receipt"])


@pytest.mark.parametrize("before", [State.UNDELIVERED, State.UNKNOWN, State.EXPIRED])
def test_a_late_delivered_corrects_what_we_thought(sent: Message, pump: ReceiptsPump, before: State) -> None:
    Message.objects.filter(id=sent.id).update(state=before)
    post(report("snd_1"))

    pump.step()

    assert (state(sent), kinds(sent)) == (State.DELIVERED, ["delivered"])


def test_a_word_without_a_meaning_is_noted_and_moves_nothing(sent: Message, pump: ReceiptsPump) -> None:
    post(report("snd_1", "teleported"))

    pump.step()

    assert (results(), state(sent), kinds(sent)) == ({"unknown": "noted"}, State.SENT, ["receipt"])


def test_a_receipt_that_overtakes_our_own_send_waits_for_it(
    alice: Member, line: Connection, pump: ReceiptsPump
) -> None:
    message = make_message(alice.account, state=State.RELEASED, connection=line, release=1)
    entry = directory.entries()["sendmsg"]
    [held] = attempts.claim([(message.id, 1)], entry)
    post(report("snd_1"))
    pump.step()
    assert (results(), state(message)) == ({"delivered": "parked"}, State.SENDING)

    attempts.settle([Settlement(held.claim, Accepted(("snd_1",)), timezone.now())])
    pump.step()

    assert (results(), state(message)) == ({"delivered": "applied"}, State.DELIVERED)
    assert kinds(message) == ["sending", "sent", "delivered"]


def test_a_receipt_of_a_message_that_is_tried_again_waits_for_the_end_of_that(
    sent: Message, pump: ReceiptsPump
) -> None:
    Message.objects.filter(id=sent.id).update(state=State.RELEASED, in_doubt=True)
    post(report("snd_1"))
    pump.step()
    assert (results(), state(sent)) == ({"delivered": "parked"}, State.RELEASED)

    Message.objects.filter(id=sent.id).update(state=State.SENT)
    pump.step()

    assert (results(), state(sent)) == ({"delivered": "applied"}, State.DELIVERED)


def test_nobodys_receipt_is_an_orphan_after_its_time(line: Connection, pump: ReceiptsPump) -> None:
    labels = {"connection": "sendmsg", "result": "orphaned"}
    before = REGISTRY.get_sample_value("sendmsg_receipts_total", labels) or 0.0
    edge = timezone.now() - settings.RECEIPT_PARKING
    make_receipt(line, "snd_old", "delivered", received_at=edge - timedelta(seconds=1))
    make_receipt(line, "snd_new", "delivered", received_at=edge + timedelta(seconds=60))

    pump.step()

    states = dict(Receipt.objects.values_list("provider_id", "state"))
    assert states == {"snd_old": "orphaned", "snd_new": "parked"}
    assert REGISTRY.get_sample_value("sendmsg_receipts_total", labels) == before + 1


def test_a_receipt_whose_message_is_known_is_no_orphan_however_long_it_waits(
    sent: Message, line: Connection, pump: ReceiptsPump
) -> None:
    Message.objects.filter(id=sent.id).update(state=State.QUEUED)
    make_receipt(line, "snd_1", "delivered", received_at=timezone.now() - 10 * settings.RECEIPT_PARKING)
    pump.step()
    assert results() == {"delivered": "parked"}

    Message.objects.filter(id=sent.id).update(state=State.SENT)
    pump.step()

    assert state(sent) == State.DELIVERED


@pytest.mark.parametrize(
    ("body", "connection", "reason"),
    [
        (b"{", "sendmsg", "malformed_webhook"),
        (b"\xff\xfe", "sendmsg", "malformed_webhook"),
        (b'{"id": "nul\0"}', "sendmsg", "malformed_webhook"),
        (b"", "sendmsg", "malformed_webhook"),
        (report("snd_1"), "gone", "unknown_connection"),
        (report("snd_1").decode().encode("utf-16"), "gone", "unknown_connection"),
        (report("snd_1"), "foreign", "malformed_webhook"),
    ],
)
def test_an_entry_that_can_not_be_processed_is_kept_for_people_and_the_rest_goes_on(
    sent: Message, pump: ReceiptsPump, body: bytes, connection: str, reason: str
) -> None:
    make_connection("foreign", provider="nobody")
    put(body, connection)
    put(report("snd_1"))

    assert pump.step() == 2

    letter = DeadLetter.objects.get()
    assert (letter.queue, letter.reason, letter.message_id) == ("receipts", reason, None)
    assert letter.task == body.decode("utf-8", "replace").replace("\0", "\\0")
    assert (state(sent), left()) == (State.DELIVERED, 0)


class Broken(SendMSGInbound):
    """An adapter with a mistake in it."""

    def parse(self, payload: Payload) -> Parsed:
        raise ZeroDivisionError


def test_a_parser_with_a_mistake_holds_up_nobody_else(
    sent: Message, pump: ReceiptsPump, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: InboundProvider = Broken()
    monkeypatch.setitem(INBOUND, "broken", broken)
    make_connection("broken", provider="broken")
    put(b"x", "broken")
    put(report("snd_1"))

    pump.step()

    assert DeadLetter.objects.get().reason == "parser_error"
    assert (state(sent), left()) == (State.DELIVERED, 0)


def test_a_connection_that_is_younger_than_the_pumps_list_is_found(alice: Member, pump: ReceiptsPump) -> None:
    make_connection("older")
    directory.entries()
    younger = Connection.objects.create(name="younger", provider="sendmsg", base_url="http://127.0.0.1:1")
    message = make_message(alice.account, state=State.SENT, connection=younger)
    make_reference(message, "snd_1")
    put(report("snd_1"), "younger")

    pump.step()

    assert (state(message), DeadLetter.objects.count()) == (State.DELIVERED, 0)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_deleted_at_that_moment_holds_up_nobody_for_long(
    sent: Message, pump: ReceiptsPump
) -> None:
    doomed = make_connection("doomed")
    directory.entries()
    Connection.objects.filter(id=doomed.id).delete()
    put(report("snd_2"), "doomed")
    put(report("snd_1"))
    with pytest.raises(IntegrityError):
        pump.step()

    directory.forget()  # what happens by itself within two seconds
    pump.step()

    assert DeadLetter.objects.get().reason == "unknown_connection"
    assert (state(sent), left()) == (State.DELIVERED, 0)


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
