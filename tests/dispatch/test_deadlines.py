"""A deadline holds whatever is away, and a repeat is never made when the provider has forgotten the first try."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import deadlines, transitions
from dispatch.changes import Change
from dispatch.models import DeadLetter
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db


def test_a_message_whose_time_ran_out_expires_with_a_dead_letter(alice: Member) -> None:
    now = timezone.now()
    message = make_message(alice.account, expires_at=now, error_code="unavailable")

    assert deadlines.end_overdue(now) == 1

    message.refresh_from_db()
    assert (message.state, message.error_code, message.error_detail) == (State.EXPIRED, "expired", "unavailable")
    assert DeadLetter.objects.get().message_id == message.id


def test_one_that_may_have_been_sent_is_unknown_and_keeps_its_error(alice: Member) -> None:
    now = timezone.now()
    connection = make_connection()
    message = make_message(
        alice.account, expires_at=now, in_doubt=True, connection=connection, error_code="worker_lost"
    )

    deadlines.end_overdue(now)

    message.refresh_from_db()
    assert (message.state, message.error_code) == (State.UNKNOWN, "worker_lost")


def test_a_repeat_that_the_provider_would_not_recognise_is_not_made(alice: Member) -> None:
    now = timezone.now()
    connection = make_connection()
    forgotten = make_message(alice.account, in_doubt=True, connection=connection, doubt_until=now)
    known = make_message(alice.account, in_doubt=True, connection=connection, doubt_until=now + timedelta(seconds=1))

    assert deadlines.end_overdue(now) == 1

    forgotten.refresh_from_db()
    known.refresh_from_db()
    assert (forgotten.state, known.state) == (State.UNKNOWN, State.QUEUED)


def test_only_the_first_doubt_counts(alice: Member) -> None:
    now = timezone.now()
    message = make_message(alice.account, state=State.SENDING)
    for hours in (1, 2):
        transitions.apply([Change(message.id, State.QUEUED, in_doubt=True, doubt_until=now + timedelta(hours=hours))])
        transitions.apply([Change(message.id, State.RELEASED)])
        transitions.apply([Change(message.id, State.SENDING)])

    message.refresh_from_db()
    assert message.doubt_until == now + timedelta(hours=1)


@pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED}))
def test_what_is_not_waiting_is_left_alone(alice: Member, state: State) -> None:
    now = timezone.now()
    make_message(alice.account, state=state, expires_at=now)

    assert deadlines.end_overdue(now) == 0


def test_while_nothing_is_overdue_a_look_is_one_statement(alice: Member, django_assert_num_queries: Any) -> None:
    now = timezone.now()
    make_message(alice.account, State.QUEUED)

    with django_assert_num_queries(1):
        assert deadlines.end_overdue(now) == 0
