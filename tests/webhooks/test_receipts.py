"""From the provider's request to the message: nothing lost, nothing counted twice, whatever order it comes in."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import attempts, directory
from dispatch.attempts import Settlement
from dispatch.models import Connection, DeadLetter, Message
from dispatch.providers.base import Accepted
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message, make_receipt, make_reference
from tests.webhooks.provider import report
from tests.webhooks.receiving import left, post, put, results, state
from tests.webhooks.timeline import kinds
from webhooks.inbound.base import InboundProvider, Parsed, Payload
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.inbound.registry import INBOUND
from webhooks.inbound.sendmsg import SendMSGInbound
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]


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
