"""One statement moves a batch, writes its events and its dead letters, and lets nobody move twice."""

import threading
from collections.abc import Callable
from itertools import product
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from dispatch import transitions
from dispatch.changes import Change
from dispatch.models import DeadLetter, Message
from dispatch.states import EDGES, State
from dispatch.transitions import Moved
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_message

pytestmark = pytest.mark.django_db


def journal() -> list[dict[str, object]]:
    return [event for entry in JournalEntry.objects.order_by("id") for event in entry.events]


@pytest.mark.parametrize(("source", "target"), list(product(State, State)))
def test_a_message_moves_along_the_edges_and_no_other_way(alice: Member, source: State, target: State) -> None:
    message = make_message(alice.account, state=source)

    moved = transitions.apply([Change(message.id, target)])

    message.refresh_from_db()
    if (source, target) in EDGES:
        assert [move.message_id for move in moved] == [message.id]
        assert message.state == target
    else:
        assert moved == []
        assert message.state == source
        assert journal() == []


def test_a_change_for_a_release_that_is_over_does_nothing(alice: Member) -> None:
    message = make_message(alice.account, state=State.RELEASED, release=3)

    assert transitions.apply([Change(message.id, State.SENDING, release=2)]) == []
    assert transitions.apply([Change(message.id, State.SENDING, release=3)]) == [
        Moved(message.id, release=3, tries=1, source=State.RELEASED, target=State.SENDING)
    ]


def test_releasing_counts_releases_and_sending_counts_tries(alice: Member) -> None:
    message = make_message(alice.account)

    transitions.apply([Change(message.id, State.RELEASED)])
    transitions.apply([Change(message.id, State.SENDING)])

    message.refresh_from_db()
    assert (message.release, message.tries) == (1, 1)


def test_a_change_keeps_what_it_does_not_name(alice: Member) -> None:
    message = make_message(alice.account, state=State.SENDING, error_code="unavailable", in_doubt=True)
    due_at = message.due_at

    transitions.apply([Change(message.id, State.QUEUED)])

    message.refresh_from_db()
    assert (message.error_code, message.in_doubt, message.due_at) == ("unavailable", True, due_at)


def test_a_lease_ends_with_the_state_that_had_it(alice: Member) -> None:
    message = make_message(alice.account, state=State.SENDING, lease_until=timezone.now())

    transitions.apply([Change(message.id, State.SENT)])

    message.refresh_from_db()
    assert message.lease_until is None


def test_each_move_is_one_event_with_its_own_data(alice: Member) -> None:
    first, second = (make_message(alice.account, state=State.SENDING, tries=2) for _ in range(2))

    transitions.apply([Change(first.id, State.SENT, data={"code": "x"}), Change(second.id, State.QUEUED)])

    events = {event["message"]: event for event in journal()}
    assert events[str(first.id)]["type"] == "sent"
    assert events[str(first.id)]["data"] == {"code": "x", "attempt": 2}
    assert events[str(second.id)]["type"] == "retrying"
    assert events[str(second.id)]["account"] == str(alice.account.id)


def test_a_batch_is_one_journal_entry(alice: Member) -> None:
    messages = [make_message(alice.account) for _ in range(5)]

    transitions.apply([Change(message.id, State.RELEASED) for message in messages])

    assert JournalEntry.objects.count() == 1
    assert len(journal()) == 5


@pytest.mark.parametrize("target", [State.FAILED, State.EXPIRED])
def test_what_failed_for_good_leaves_a_dead_letter_with_its_reason(alice: Member, target: State) -> None:
    message = make_message(alice.account, state=State.SENDING)

    transitions.apply([Change(message.id, target, code="unroutable", detail="no such network")])

    letter = DeadLetter.objects.get()
    assert (letter.message_id, letter.reason, letter.detail) == (message.id, "unroutable", "no such network")


def test_a_rollback_takes_the_events_and_dead_letters_with_it(alice: Member) -> None:
    message = make_message(alice.account, state=State.SENDING)

    with transaction.atomic():
        transitions.apply([Change(message.id, State.FAILED)])
        transaction.set_rollback(True)

    message.refresh_from_db()
    assert (message.state, journal(), DeadLetter.objects.count()) == (State.SENDING, [], 0)


def test_an_unknown_id_is_passed_over(alice: Member) -> None:
    message = make_message(alice.account)

    moved = transitions.apply([Change(UUID(int=1), State.RELEASED), Change(message.id, State.RELEASED)])

    assert [move.message_id for move in moved] == [message.id]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_of_many_who_move_one_message_exactly_one_succeeds(alice: Member) -> None:
    message = make_message(alice.account, state=State.RELEASED, release=1)
    moves: list[Moved] = []

    in_threads(8, lambda number: moves.extend(transitions.apply([Change(message.id, State.SENDING, release=1)])))

    assert len(moves) == 1
    message.refresh_from_db()
    assert message.tries == 1
    assert len(journal()) == 1


@pytest.mark.django_db(transaction=True)
def test_batches_that_overlap_crosswise_do_not_deadlock(alice: Member) -> None:
    messages = [make_message(alice.account, state=State.SENDING) for _ in range(40)]
    moves: list[Moved] = []

    def settle(number: int) -> None:
        batch = messages if number % 2 else messages[::-1]
        moves.extend(transitions.apply([Change(message.id, State.SENT) for message in batch]))

    in_threads(6, settle)

    assert len(moves) == 40
    assert Message.objects.filter(state=State.SENT).count() == 40
