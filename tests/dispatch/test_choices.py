"""A round of choosing gives each connection what it has room for, and everybody else's turn is not spoilt."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from dispatch import directory, due, routing
from dispatch.choices import LOOK_AGAIN, Choices
from dispatch.lanes import DEFAULT, Lane
from dispatch.models import DeadLetter, Message
from dispatch.routes import Book
from dispatch.routing import Standing
from dispatch.states import State
from sendmsg.telemetry import metrics
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db


def choose(standings: dict[int, Standing]) -> list[str]:
    """One round over all that is due; the names of the connections that got something."""
    entries = directory.entries()
    ways = routing.options(Lane(DEFAULT, False, "sms"), entries.values(), Book())
    with transaction.atomic():
        now = timezone.now()
        choices = Choices(standings, now)
        for row in due.claim([(queue, 100) for queue in due.queues()], list(standings), now, 100):
            choices.add(row, ways)
        return [name for name, _ in choices.commit()]


def test_no_connection_gets_more_than_it_has_room_for(alice: Member) -> None:
    first, second = make_connection("first", weight=1000), make_connection("second", weight=1)
    for _ in range(10):
        make_message(alice.account)

    names = choose({first.pk: Standing(room=3), second.pk: Standing(room=4)})

    assert sorted(names) == ["first"] * 3 + ["second"] * 4
    assert Message.objects.filter(state=State.QUEUED).count() == 3


def test_a_released_message_knows_what_it_was_released_by(alice: Member) -> None:
    connection = make_connection()
    message = make_message(alice.account)

    choose({connection.pk: Standing()})

    message.refresh_from_db()
    assert (message.state, message.connection_id, message.option) == (State.RELEASED, connection.pk, -connection.pk)


def test_a_message_that_everything_refused_fails_with_the_last_refusal(alice: Member) -> None:
    connection = make_connection()
    message = make_message(alice.account, refused=[-connection.pk], error_code="unroutable")

    assert choose({connection.pk: Standing()}) == []

    message.refresh_from_db()
    assert (message.state, message.error_code) == (State.FAILED, "unroutable")
    assert DeadLetter.objects.get().reason == "unroutable"


def test_who_must_wait_for_another_is_looked_at_again_in_a_moment(alice: Member) -> None:
    first, second = make_connection("first"), make_connection("second")
    before = timezone.now()
    message = make_message(alice.account, avoided=-first.pk, due_at=before - timedelta(hours=1))

    assert choose({first.pk: Standing(room=5), second.pk: Standing(room=0)}) == []

    message.refresh_from_db()
    assert message.state == State.QUEUED
    assert message.due_at >= before + LOOK_AGAIN


def test_a_failover_is_counted_by_where_it_went(alice: Member) -> None:
    first, second = make_connection("first"), make_connection("second")
    make_message(alice.account, failures=1, option=-first.pk, avoided=-first.pk)
    before = metrics.FAILOVERS.labels("second")._value.get()

    assert choose({first.pk: Standing(room=5), second.pk: Standing(room=5)}) == ["second"]

    assert metrics.FAILOVERS.labels("second")._value.get() == before + 1
