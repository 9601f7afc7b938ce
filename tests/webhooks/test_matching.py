"""Receipts are evidence: they come in any order, and the one that says most decides."""

import threading
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import breaker, transitions
from dispatch.lanes import Lane
from dispatch.models import Connection, DeadLetter, Message
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from tests.cast import Member
from tests.factories import (
    make_attempt,
    make_connection,
    make_message,
    make_receipt,
    make_reference,
    make_route,
)
from tests.parallel import in_threads, somebody_waits_for_us
from tests.waiting import eventually
from tests.webhooks.timeline import events, kinds
from webhooks.inbound import matching
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


def make_sent(alice: Member, line: Connection, provider_id: str = "snd_1", **fields: Any) -> Message:
    message = make_message(alice.account, **{"state": State.SENT, "connection": line, **fields})
    make_reference(message, provider_id)
    return message


def match() -> int:
    with transaction.atomic():
        return matching.match_parked()


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
    monkeypatch.setattr(matching, "BATCH", 2)
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


def make_parts(alice: Member, line: Connection, *ids: str, **fields: Any) -> Message:
    message = make_message(alice.account, **{"state": State.SENT, "connection": line, **fields})
    for one in ids:
        make_reference(message, one, attempt=1)
    return message


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("delivered", None, None), State.SENT),
        (("delivered", "delivered", None), State.SENT),
        (("delivered", "delivered", "delivered"), State.DELIVERED),
        (("delivered", "undelivered", None), State.UNDELIVERED),
        (("sent", "sent", "sent"), State.SENT),
    ],
)
def test_a_message_in_parts_arrived_when_all_of_them_did(
    alice: Member, line: Connection, words: tuple[str | None, ...], state: State
) -> None:
    message = make_parts(alice, line, "a", "b", "c")
    for part, word in zip("abc", words, strict=True):
        if word:
            make_receipt(line, part, word)
        match()

    message.refresh_from_db()
    assert message.state == state


def test_the_parts_of_a_message_may_be_reported_in_one_go(alice: Member, line: Connection) -> None:
    message = make_parts(alice, line, "a", "b")
    receipts = [make_receipt(line, part, "delivered") for part in "ab"]

    match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED
    assert sorted(Receipt.objects.filter(id__in=[one.id for one in receipts]).values_list("state", flat=True)) == [
        APPLIED,
        NOTED,
    ]


def test_a_part_that_arrives_after_all_completes_its_message(alice: Member, line: Connection) -> None:
    message = make_parts(alice, line, "a", "b")
    for part, word in (("a", "delivered"), ("b", "undelivered"), ("b", "delivered")):
        make_receipt(line, part, word)
        match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED


@pytest.mark.parametrize("before", [{"attempt": 1}, {"attempt": None}, {"attempt": 2, "connection": "before"}])
def test_ids_of_two_tries_are_no_parts(alice: Member, line: Connection, before: dict[str, Any]) -> None:
    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1", attempt=2)
    connection = make_connection(before.pop("connection", line.name))
    make_reference(message, "old", connection_id=connection.pk, **before)
    make_receipt(line, "snd_1", "delivered")

    match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED


def test_a_receipt_of_a_message_that_waits_in_doubt_ends_the_doubt(alice: Member, line: Connection) -> None:
    for number, (status, state) in enumerate(
        [("delivered", State.DELIVERED), ("undelivered", State.UNDELIVERED), ("sent", State.SENT)]
    ):
        message = make_sent(alice, line, f"snd_{number}", state=State.QUEUED, in_doubt=True)
        make_receipt(line, f"snd_{number}", status)

        match()

        message.refresh_from_db()
        assert (message.state, message.in_doubt) == (state, False)


def test_a_receipt_that_echoes_our_id_finds_a_message_whose_answer_never_came(alice: Member, line: Connection) -> None:
    message = make_message(alice.account, state=State.QUEUED, in_doubt=True, connection=line, tries=1)
    make_attempt(message, outcome="unknown")
    make_receipt(line, "never-told", "delivered", echoed_id=message.id)

    match()

    message.refresh_from_db()
    assert (message.state, message.in_doubt) == (State.DELIVERED, False)
    assert [one.value for one in message.references.all()] == ["never-told"]


def test_an_echo_of_a_message_that_the_connection_never_had_is_nothing(alice: Member, line: Connection) -> None:
    message = make_message(alice.account, state=State.QUEUED, in_doubt=True, connection=line)
    receipt = make_receipt(line, "odd", "delivered", echoed_id=message.id)

    match()

    receipt.refresh_from_db()
    assert receipt.state == PARKED


def test_a_receipt_that_meets_a_relay_waits_for_its_turn(
    alice: Member, line: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make_sent(alice, line, state=State.QUEUED, in_doubt=True)
    receipt = make_receipt(line, "snd_1", "delivered")
    apply = transitions.apply

    def after_the_relay(changes: Any) -> Any:
        Message.objects.update(state=State.RELEASED)
        return apply(changes)

    monkeypatch.setattr(transitions, "apply", after_the_relay)
    match()
    receipt.refresh_from_db()
    assert receipt.state == PARKED

    monkeypatch.undo()
    Message.objects.update(state=State.SENT)
    match()
    message.refresh_from_db()
    assert message.state == State.DELIVERED


def test_not_delivered_by_a_connection_that_the_message_left_is_noted(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line)
    make_reference(message, "old", connection_id=make_connection("before").pk)
    receipt = make_receipt(Connection.objects.get(name="before"), "old", "undelivered")

    match()

    message.refresh_from_db()
    receipt.refresh_from_db()
    assert (message.state, receipt.state) == (State.SENT, NOTED)


def routed(alice: Member, line: Connection, other: Connection, *, reroute: bool) -> Message:
    """A message that its route's first connection took."""
    route = make_route("UK", line, other, reroute_undelivered=reroute)
    lane = Lane(route.id, False, "sms").number
    return make_sent(alice, line, lane=lane, option=route.steps.get(position=1).pk)


def test_an_undelivered_message_is_tried_by_the_next_connection_of_its_route(alice: Member, line: Connection) -> None:
    message = routed(alice, line, make_connection("other"), reroute=True)
    receipt = make_receipt(line, "snd_1", "undelivered", error_code="absent_subscriber")

    match()

    message.refresh_from_db()
    receipt.refresh_from_db()
    assert (message.state, message.refused, message.error_code) == (
        State.QUEUED,
        [message.option],
        "absent_subscriber",
    )
    assert (receipt.state, kinds(message)) == (APPLIED, ["retrying"])


@pytest.mark.parametrize("spoilt", ["no reroute", "no other", "no time"])
def test_without_another_way_or_time_it_is_undelivered(alice: Member, line: Connection, spoilt: str) -> None:
    other = make_connection("other", enabled=spoilt != "no other")
    message = routed(alice, line, other, reroute=spoilt != "no reroute")
    if spoilt == "no time":
        Message.objects.update(expires_at=timezone.now())
    make_receipt(line, "snd_1", "undelivered")

    match()

    message.refresh_from_db()
    assert message.state == State.UNDELIVERED


def test_a_late_delivery_ends_a_second_way_that_was_sent(alice: Member, line: Connection) -> None:
    other = make_connection("other")
    message = routed(alice, line, other, reroute=True)
    make_receipt(line, "snd_1", "undelivered")
    match()
    Message.objects.update(state=State.SENT, connection=other)
    make_receipt(line, "snd_1", "delivered")

    match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED


def test_breakers_hear_how_late_receipts_are(alice: Member, line: Connection) -> None:
    message = make_sent(alice, line, tries=1)
    accepted = timezone.now() - timedelta(seconds=240)
    make_attempt(message, outcome="accepted", finished_at=accepted)
    make_receipt(line, "snd_1", "delivered")

    match()

    breaker.forget()
    assert breaker.read([line.name])[line.name].factor == pytest.approx(0.25, rel=0.05)
