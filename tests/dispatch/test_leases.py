"""A lost worker's or task's messages move again by themselves, and only theirs."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import directory, leases
from dispatch.models import Attempt, Connection
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_attempt, make_connection, make_message

pytestmark = pytest.mark.django_db
PAST = timedelta(seconds=-1)


@pytest.fixture
def line(db: None) -> Connection:
    connection = make_connection(name="sendmsg")
    directory.forget()
    return connection


def test_a_released_message_that_no_worker_took_is_queued_again(alice: Member, line: Connection) -> None:
    now = timezone.now()
    message = make_message(alice.account, state=State.RELEASED, release=1, connection=line, lease_until=now + PAST)

    assert leases.free_ended(now) == 1

    message.refresh_from_db()
    assert (message.state, message.in_doubt, message.due_at) == (State.QUEUED, False, now)


def test_a_message_whose_worker_vanished_is_in_doubt_and_tried_again_where_that_is_safe(
    alice: Member, line: Connection
) -> None:
    now = timezone.now()
    message = make_message(
        alice.account, state=State.SENDING, release=1, tries=1, connection=line, lease_until=now + PAST
    )
    make_attempt(message, number=1)

    assert leases.free_ended(now) == 1

    message.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (message.state, message.in_doubt, message.error_code) == (State.QUEUED, True, "worker_lost")
    assert (attempt.outcome, attempt.code, attempt.finished_at) == ("unknown", "worker_lost", now)


def test_where_a_repeat_is_not_safe_it_waits_in_doubt(
    alice: Member, line: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from dispatch.providers import registry

    provider = registry.get("sendmsg")
    monkeypatch.setattr(provider, "capabilities", replace(provider.capabilities, deduplicates=False))
    now = timezone.now()
    message = make_message(
        alice.account, state=State.SENDING, release=1, tries=1, connection=line, lease_until=now + PAST
    )
    make_attempt(message, number=1)

    leases.free_ended(now)

    message.refresh_from_db()
    assert (message.state, message.in_doubt, message.due_at) == (State.QUEUED, True, message.doubt_until)


def test_a_lease_that_still_runs_is_left_alone(alice: Member, line: Connection) -> None:
    now = timezone.now()
    for state in (State.RELEASED, State.SENDING):
        make_message(alice.account, state=state, connection=line, lease_until=now + timedelta(seconds=5))

    assert leases.free_ended(now) == 0


def test_while_no_lease_has_ended_a_look_is_one_statement(alice: Member, django_assert_num_queries: Any) -> None:
    now = timezone.now()
    make_message(alice.account, State.SENDING, lease_until=now + timedelta(seconds=1))

    with django_assert_num_queries(1):
        assert leases.free_ended(now) == 0
