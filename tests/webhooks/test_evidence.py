"""What a receipt says of a message that waits in doubt, or that another way may still be tried for."""

from typing import Any

import pytest
from django.utils import timezone

from dispatch import transitions
from dispatch.lanes import Lane
from dispatch.models import Connection, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_attempt, make_connection, make_message, make_receipt, make_reference, make_route
from tests.webhooks.sent import make_sent, match
from tests.webhooks.timeline import kinds
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


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
    assert receipt.state == Receipt.State.PARKED


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
    assert receipt.state == Receipt.State.PARKED

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
    assert (message.state, receipt.state) == (State.SENT, Receipt.State.NOTED)


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
    assert (receipt.state, kinds(message)) == (Receipt.State.APPLIED, ["retrying"])


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
