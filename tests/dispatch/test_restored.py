"""After a restore each message is where its timeline ended, and none that may have been sent waits to be sent."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from dispatch import leases, restored
from dispatch.models import Attempt, Connection, Message
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome
from sendmsg.accounts.models import Account
from sendmsg.journal.events import EventType
from sendmsg.logs import partitions
from sendmsg.logs.models import Event
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
BACKUP = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def line() -> Connection:
    for age in (timedelta(), BACKUP, 2 * BACKUP):  # midnight may be between them
        partitions.ensure_day((timezone.now() - age).date())
    return make_connection("line")


def message(account: Account, state: State = State.QUEUED, **fields: Any) -> Message:
    """As the backup has it."""
    made = make_message(account, state, **fields)
    Message.objects.filter(id=made.id).update(updated_at=timezone.now() - BACKUP)
    return made


def happened(to: Message, *kinds: str, at: datetime | None = None, by: str = "line") -> None:
    """Since the backup, unless told otherwise."""
    start = at or timezone.now() - BACKUP / 2
    for number, kind in enumerate(kinds):
        Event.objects.create(
            id=uuid4(),
            message_id=to.id,
            account_id=to.account_id,
            type=kind,
            at=start + timedelta(seconds=number),
            data={"connection": by, "attempt": 1} if kind == "sending" else {},
        )


def state_of(one: Message) -> str:
    return Message.objects.values_list("state", flat=True).get(id=one.id)


@pytest.mark.parametrize("before", restored.OPEN)
@pytest.mark.parametrize("reached", restored.REACHED)
def test_a_message_is_in_the_state_that_it_reached(
    before: State, reached: EventType, acme: Account, line: Connection
) -> None:
    one = message(acme, before)
    happened(one, "released", "sending", reached.value, "receipt")

    assert restored.catch_up() == {reached.value: 1}
    assert state_of(one) == reached.value
    assert restored.catch_up() == {}


@pytest.mark.parametrize("after", [(), ("retrying",), ("retrying", "released"), ("unknown", "replayed")])
@pytest.mark.parametrize("before", restored.OPEN)
def test_a_call_that_was_begun_is_in_doubt_as_if_its_worker_had_died(
    before: State, after: tuple[str, ...], acme: Account, line: Connection
) -> None:
    one = message(acme, before)
    happened(one, "released", "sending", *after)

    assert restored.catch_up() == {"in doubt": 1}

    assert state_of(one) == "sending"
    leases.free_ended(timezone.now() + timedelta(seconds=1))
    one.refresh_from_db()
    assert (one.state, one.in_doubt, one.connection_id, one.error_code) == ("queued", True, line.id, "worker_lost")
    assert Attempt.objects.filter(message=one, outcome=AttemptOutcome.UNKNOWN, connection=line).exists()


@pytest.mark.parametrize("kinds", [(), ("accepted",), ("released",), ("released", "retrying")])
def test_what_was_not_begun_is_left_to_be_sent(kinds: tuple[str, ...], acme: Account) -> None:
    one = message(acme)
    happened(one, *kinds)

    assert restored.catch_up() == {}
    assert state_of(one) == "queued"


def test_what_the_row_knows_already_is_no_news(acme: Account) -> None:
    one = message(acme)
    happened(one, "released", "sending", "retrying", at=timezone.now() - 2 * BACKUP)

    assert restored.catch_up() == {}
    assert state_of(one) == "queued"


def test_a_connection_that_was_made_since_leaves_the_message_unknown(acme: Account) -> None:
    one = message(acme)
    happened(one, "released", "sending", by="newer")

    restored.catch_up()

    assert state_of(one) == "unknown"


def test_more_than_a_page_is_read(acme: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restored, "PAGE", 2)
    several = [message(acme) for _ in range(5)]
    for one in several:
        happened(one, "released", "sending", "sent")

    assert restored.catch_up() == {"sent": 5}
    assert {state_of(one) for one in several} == {"sent"}


def test_a_dry_run_counts_and_changes_nothing(acme: Account) -> None:
    one, out = message(acme), StringIO()
    happened(one, "released", "sending", "sent")

    call_command("restored", "--dry-run", stdout=out)

    assert out.getvalue() == "sent\t1\n"
    assert state_of(one) == "queued"


def test_with_nothing_to_do_it_says_so() -> None:
    out = StringIO()

    call_command("restored", stdout=out)

    assert out.getvalue() == "no message is behind its timeline\n"
