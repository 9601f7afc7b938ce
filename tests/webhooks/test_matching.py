"""Receipts are evidence: they come in any order, and the one that says most decides."""

import threading
from datetime import timedelta
from itertools import product

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import breaker
from dispatch.models import Connection, DeadLetter, Message
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from tests.cast import Member
from tests.factories import (
    make_attempt,
    make_connection,
    make_receipt,
    make_reference,
)
from tests.parallel import in_threads, somebody_waits_for_us
from tests.waiting import eventually
from tests.webhooks.sent import make_sent, match
from tests.webhooks.timeline import events, kinds
from webhooks.inbound import matching, stored
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]

PARKED, APPLIED, NOTED = Receipt.State.PARKED, Receipt.State.APPLIED, Receipt.State.NOTED
WAITING = {State.QUEUED, State.RELEASED, State.SENDING}
MOVES = {
    (State.SENT, ReceiptStatus.DELIVERED): State.DELIVERED,
    (State.SENT, ReceiptStatus.UNDELIVERED): State.UNDELIVERED,
    (State.UNKNOWN, ReceiptStatus.DELIVERED): State.DELIVERED,
    (State.UNKNOWN, ReceiptStatus.UNDELIVERED): State.UNDELIVERED,
    (State.UNDELIVERED, ReceiptStatus.DELIVERED): State.DELIVERED,
    (State.EXPIRED, ReceiptStatus.DELIVERED): State.DELIVERED,
}


@pytest.mark.parametrize(("state", "status"), list(product(State, ReceiptStatus)))
def test_a_receipt_moves_its_message_if_the_graph_allows(
    alice: Member, line: Connection, state: State, status: ReceiptStatus
) -> None:
    message = make_sent(alice, line, state=state, connection=line)
    receipt = make_receipt(line, "snd_1", status)

    match()

    message.refresh_from_db()
    receipt.refresh_from_db()
    target = MOVES.get((state, status))
    if state in WAITING:
        assert (message.state, receipt.state, kinds(message)) == (state, PARKED, [])
    elif target is not None:
        assert (message.state, receipt.state, kinds(message)) == (target, APPLIED, [target])
    else:
        assert (message.state, receipt.state, kinds(message)) == (state, NOTED, ["receipt"])
    assert receipt.message_id == (None if state in WAITING else message.id)


def test_the_reason_of_an_undelivered_message_is_kept(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    make_receipt(line, "snd_1", "undelivered", error_code="absent_subscriber")

    match()

    message.refresh_from_db()
    assert (message.state, message.error_code) == (State.UNDELIVERED, "absent_subscriber")
    [event] = events(message)
    assert event["data"]["code"] == "absent_subscriber"
    assert (event["data"]["provider_id"], event["data"]["connection"]) == ("snd_1", "sendmsg")


def test_a_late_delivery_clears_the_error(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line, state=State.UNDELIVERED, error_code="absent_subscriber", error_detail="x")
    make_receipt(line, "snd_1", "delivered")

    match()

    message.refresh_from_db()
    assert (message.state, message.error_code, message.error_detail) == (State.DELIVERED, "", "")


def test_of_two_statuses_the_one_that_says_most_moves_the_message(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    rows = {status: make_receipt(line, "snd_1", status) for status in ("sent", "delivered", "undelivered", "unknown")}

    assert match() == 4

    message.refresh_from_db()
    states = {status: Receipt.objects.get(id=row.id).state for status, row in rows.items()}
    assert message.state == State.DELIVERED
    assert states == {"sent": NOTED, "delivered": APPLIED, "undelivered": NOTED, "unknown": NOTED}
    assert sorted(kinds(message)) == ["delivered", "receipt", "receipt", "receipt"]
    assert {event["data"].get("status") for event in events(message)} == {None, "sent", "undelivered", "unknown"}


def test_a_late_status_can_not_take_a_message_back(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    for status in ("delivered", "sent", "undelivered"):
        make_receipt(line, "snd_1", status)
        match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED
    assert kinds(message) == ["delivered", "receipt", "receipt"]


def test_any_of_the_ids_of_a_message_finds_it(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    make_reference(message, "snd_2")
    make_receipt(line, "snd_2", "delivered")

    assert match() == 1
    message.refresh_from_db()
    assert message.state == State.DELIVERED


def test_the_same_id_at_another_connection_is_another_message(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    make_receipt(make_connection("other"), "snd_1", "delivered")

    assert match() == 0
    message.refresh_from_db()
    assert message.state == State.SENT


def test_messages_of_several_accounts_each_keep_theirs(alice: Member, charlie: Member, line: Connection) -> None:
    messages = [make_sent(alice, line, "snd_a"), make_sent(charlie, line, "snd_c")]
    for provider_id in ("snd_a", "snd_c"):
        make_receipt(line, provider_id, "delivered")
        make_receipt(line, provider_id, "sent")

    assert match() == 4
    for message, member in zip(messages, (alice, charlie), strict=True):
        assert {event["account"] for event in events(message)} == {str(member.account.id)}
        assert kinds(message) == ["delivered", "receipt"]


def test_what_waits_for_its_message_does_not_hold_up_others(
    alice: Member, line: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "BATCH", 2)
    for number in range(5):
        make_receipt(line, f"snd_nobody_{number}", "delivered")
    for number in range(3):
        make_sent(alice, line, f"snd_{number}")
        make_receipt(line, f"snd_{number}", "delivered")

    assert [match(), match(), match()] == [2, 1, 0]
    assert Message.objects.filter(state=State.DELIVERED).count() == 3


def test_what_became_of_a_receipt_is_counted(alice: Member, line: Connection) -> None:
    def count(result: str) -> float:
        labels = {"connection": "sendmsg", "result": result}
        return REGISTRY.get_sample_value("sendmsg_receipts_total", labels) or 0.0

    before = count("applied"), count("noted")
    make_sent(alice, line)
    make_receipt(line, "snd_1", "delivered")
    make_receipt(line, "snd_1", "sent")

    match()

    assert (count("applied"), count("noted")) == (before[0] + 1, before[1] + 1)


def test_a_receipt_that_corrects_an_expired_message_keeps_its_dead_letter(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line, state=State.EXPIRED)
    DeadLetter.objects.create(message=message, reason="expired")
    make_receipt(line, "snd_1", "delivered")

    match()

    assert DeadLetter.objects.get().message_id == message.id


def test_all_of_it_happens_or_nothing(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    make_receipt(line, "snd_1", "delivered")

    with transaction.atomic():
        matching.match_parked()
        transaction.set_rollback(True)

    message.refresh_from_db()
    assert (message.state, events(), Receipt.objects.get().state) == (State.SENT, [], PARKED)


@pytest.mark.django_db(transaction=True)
def test_many_who_match_at_once_apply_each_receipt_once(alice: Member, line: Connection) -> None:
    messages = [make_sent(alice, line, f"snd_{number}") for number in range(30)]
    for status in ("sent", "delivered"):
        for number in range(30):
            make_receipt(line, f"snd_{number}", status)
    found: list[int] = []

    def work(number: int) -> None:
        found.extend(match() for _ in range(3))

    in_threads(6, work)

    assert sum(found) == 60
    assert Receipt.objects.filter(state=PARKED).count() == 0
    for message in messages:
        assert sorted(kinds(message)) == ["delivered", "receipt"]


@pytest.mark.django_db(transaction=True)
def test_after_a_deadlock_the_next_look_has_the_whole_effect_once(alice: Member, line: Connection) -> None:
    messages = sorted((make_sent(alice, line, f"snd_{number}") for number in range(2)), key=lambda row: row.id)
    for number in range(2):
        make_receipt(line, f"snd_{number}", "delivered")
    failed: list[OperationalError] = []

    def lose() -> None:
        try:
            match()
        except OperationalError as error:
            failed.append(error)
        finally:
            connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL deadlock_timeout = '1min'")  # the other finds the deadlock, and so is its victim
        Message.objects.select_for_update().get(pk=messages[1].pk)
        victim = threading.Thread(target=lose, daemon=True)
        victim.start()
        eventually(somebody_waits_for_us, "the other waits for our lock", every=0.01)
        Message.objects.select_for_update().get(pk=messages[0].pk)
    victim.join(20)

    assert "deadlock detected" in str(failed[0])
    assert events() == []
    assert (match(), match()) == (2, 0)
    assert [kinds(message) for message in messages] == [["delivered"], ["delivered"]]


def test_breakers_hear_how_late_receipts_are(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line, tries=1)
    accepted = timezone.now() - timedelta(seconds=240)
    make_attempt(message, outcome="accepted", finished_at=accepted)
    make_receipt(line, "snd_1", "delivered")

    match()

    breaker.forget()
    assert breaker.read([line.name])[line.name].factor == pytest.approx(0.25, rel=0.05)
