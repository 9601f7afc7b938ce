"""A dead letter is handled once, and its message is tried again only where that can't send it twice."""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from dispatch import directory, replays, transitions
from dispatch.changes import Change
from dispatch.models import DeadLetter, Message
from dispatch.relay import release
from dispatch.replays import Result
from dispatch.states import DEAD, State
from dispatch.vocabulary import LetterState
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_connection, make_letter, make_message
from tests.parallel import in_threads

pytestmark = pytest.mark.django_db


def journal() -> list[dict[str, object]]:
    return [event for entry in JournalEntry.objects.order_by("id") for event in entry.events]


def replayed(*letters: DeadLetter, via: str | None = None, by: str = "admin") -> list[Result]:
    entry = directory.entries()[via] if via else None
    with transaction.atomic():
        results = replays.replay([letter.id for letter in letters], by, via=entry)
    return [results[letter.id] for letter in letters]


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED])
def test_a_replayed_message_is_due_now_without_its_error(alice: Member, state: State) -> None:
    message = make_message(alice.account, state, error_code="unroutable", error_detail="no way", release=3)
    letter = make_letter(message)
    before = timezone.now()

    assert replayed(letter) == [Result.DONE]

    message.refresh_from_db()
    letter.refresh_from_db()
    assert (message.state, message.error_code, message.error_detail) == (State.QUEUED, "", "")
    assert before <= message.due_at <= timezone.now()
    assert message.release == 4  # so that whoever held the third has nothing to say any more
    assert (letter.state, letter.handled_by) == (LetterState.REPLAYED, "admin")
    assert letter.handled_at == message.due_at


def test_its_timeline_says_who_and_why(alice: Member) -> None:
    message = make_message(alice.account, State.FAILED)

    replayed(make_letter(message, "unroutable"), by="cli:eve")

    [event] = journal()
    assert (event["type"], event["message"]) == ("replayed", str(message.id))
    assert event["data"] == {"by": "operator", "reason": "unroutable", "attempt": 1}


def test_each_replay_gives_as_much_time_as_there_was_at_first(alice: Member) -> None:
    now = timezone.now()
    message = make_message(
        alice.account,
        State.EXPIRED,
        created_at=now - timedelta(days=3),
        send_at=now - timedelta(days=2),
        expires_at=now - timedelta(days=2) + timedelta(minutes=10),
    )

    for _ in range(3):
        assert replayed(make_letter(message)) == [Result.DONE]
        message.refresh_from_db()
        assert message.expires_at - message.due_at == timedelta(minutes=10)
        transitions.apply([Change(message.id, State.EXPIRED)])
        DeadLetter.objects.filter(state=LetterState.OPEN).delete()


def test_a_message_that_fails_again_leaves_a_second_letter(alice: Member) -> None:
    message = make_message(alice.account, State.FAILED)
    first = make_letter(message)
    replayed(first)

    transitions.apply([Change(message.id, State.EXPIRED, code="expired")])

    second = DeadLetter.objects.get(state=LetterState.OPEN)
    assert second.id > first.id
    assert (second.message_id, second.account_id, second.connection_id, second.test) == (
        message.id,
        alice.account.id,
        message.connection_id,
        False,
    )
    assert replayed(first) == [Result.HANDLED]
    assert replayed(second) == [Result.DONE]


@pytest.mark.parametrize("state", sorted(set(State) - DEAD))
def test_a_message_that_has_moved_on_is_left_alone(alice: Member, state: State) -> None:
    message = make_message(alice.account, state)
    letter = make_letter(message)

    assert replayed(letter) == [Result.MOVED_ON]

    message.refresh_from_db()
    letter.refresh_from_db()
    assert (message.state, letter.state, journal()) == (state, LetterState.OPEN, [])


def test_a_message_that_may_have_been_sent_is_never_replayed(alice: Member) -> None:
    message = make_message(alice.account, State.FAILED, in_doubt=True)

    assert replayed(make_letter(message)) == [Result.IN_DOUBT]

    message.refresh_from_db()
    assert message.state == State.FAILED


def test_a_dead_task_can_only_be_discarded(db: None) -> None:
    letter = DeadLetter.objects.create(queue="deliver.sendmsg", reason="task_rejected")

    assert replayed(letter) == [Result.NO_MESSAGE]
    with transaction.atomic():
        assert replays.discard([letter.id], "admin", note="seen") == {letter.id: Result.DONE}

    letter.refresh_from_db()
    assert (letter.state, letter.handled_by, letter.note) == (LetterState.DISCARDED, "admin", "seen")


def test_what_is_discarded_stays_so(alice: Member) -> None:
    message = make_message(alice.account, State.FAILED)
    letter = make_letter(message)
    with transaction.atomic():
        replays.discard([letter.id], "eve", note="spam")
        replays.discard([letter.id], "mallory", note="other")

    assert replayed(letter) == [Result.HANDLED]

    message.refresh_from_db()
    letter.refresh_from_db()
    assert (message.state, letter.handled_by, letter.note) == (State.FAILED, "eve", "spam")


def test_an_unknown_letter_is_missing_from_the_results(db: None) -> None:
    with transaction.atomic():
        assert replays.replay([UUID(int=1)], "admin") == {}


@pytest.mark.django_db(transaction=True)
def test_a_double_click_replays_once(alice: Member) -> None:
    letter = make_letter(make_message(alice.account, State.FAILED))
    results: list[Result] = []

    in_threads(8, lambda number: results.extend(replayed(letter, by=f"operator-{number}")))

    assert sorted(results) == [Result.DONE, *[Result.HANDLED] * 7]
    [event] = journal()
    letter.refresh_from_db()
    assert event["type"] == "replayed"
    assert letter.handled_by.startswith("operator-")
    make_connection()
    assert len(release(directory.entries(), 10)) == 1
    assert Message.objects.get().release == 2 + 1


def test_a_discard_is_in_the_timeline_once_and_without_a_name(alice: Member) -> None:
    message = make_message(alice.account, State.FAILED)
    letter = make_letter(message)
    with transaction.atomic():
        replays.discard([letter.id], "eve", note="spam")
        replays.discard([letter.id], "mallory", note="other")

    [event] = journal()
    assert (event["type"], event["message"], event["account"]) == (
        *("discarded", str(message.id)),
        str(alice.account.id),
    )
    assert event["data"] == {"by": "operator", "reason": letter.reason}


@pytest.mark.django_db(transaction=True)
def test_either_a_replay_or_a_discard_wins(alice: Member) -> None:
    letter = make_letter(make_message(alice.account, State.FAILED))
    results: list[Result] = []

    def handle(number: int) -> None:
        with transaction.atomic():
            act = replays.replay if number % 2 else replays.discard
            results.extend(act([letter.id], f"operator-{number}").values())

    in_threads(6, handle)

    assert results.count(Result.DONE) == 1
    letter.refresh_from_db()
    assert (letter.state == LetterState.REPLAYED) == (Message.objects.get().state == State.QUEUED)


@pytest.mark.django_db(transaction=True)
def test_bulk_replays_that_overlap_crosswise_do_not_deadlock(alice: Member) -> None:
    letters = [make_letter(make_message(alice.account, State.FAILED)) for _ in range(30)]
    results: list[Result] = []

    in_threads(6, lambda number: results.extend(replayed(*(letters if number % 2 else letters[::-1]))))

    assert results.count(Result.DONE) == 30
    assert len(journal()) == 30


def test_a_sweep_takes_everything_once_in_batches(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = [make_letter(make_message(alice.account, State.FAILED)) for _ in range(5)]
    batches: list[int] = []
    monkeypatch.setattr(replays, "BATCH", 2)

    def act(ids: Collection[UUID]) -> replays.Results:
        batches.append(len(ids))
        return replays.replay(ids, "admin")

    results = [result for batch in replays.sweep(DeadLetter.objects.all(), act) for result in batch.items()]

    assert results == [(letter.id, Result.DONE) for letter in letters]
    assert batches == [2, 2, 1]


class TestByAChosenConnection:
    def test_it_leaves_by_that_one_and_no_other(self, alice: Member) -> None:
        make_connection("main", weight=1000)
        make_connection("other", weight=1)
        letters = [make_letter(make_message(alice.account, State.FAILED)) for _ in range(20)]

        assert set(replayed(*letters, via="other")) == {Result.DONE}

        assert {name for name, _ in release(directory.entries(), 100)} == {"other"}
        assert all(event["data"]["connection"] == "other" for event in journal())  # type: ignore[index]

    def test_a_later_replay_leaves_it_to_routing_again(self, alice: Member) -> None:
        make_connection("other")
        message = make_message(alice.account, State.FAILED)
        replayed(make_letter(message), via="other")
        transitions.apply([Change(message.id, State.EXPIRED)])

        replayed(DeadLetter.objects.get(state=LetterState.OPEN))

        message.refresh_from_db()
        assert message.chosen_connection is None

    @pytest.mark.parametrize("fields", [{"sandbox": True}, {"enabled": False}, {"provider": "vonage"}])
    def test_one_that_could_never_take_it_is_refused(self, alice: Member, fields: dict[str, object]) -> None:
        make_connection("other", **fields)
        channel = "whatsapp" if "provider" in fields else "sms"
        message = make_message(alice.account, State.FAILED, channel=channel)

        assert replayed(make_letter(message), via="other") == [Result.UNSUITED]

        message.refresh_from_db()
        assert message.state == State.FAILED

    def test_many_replays_by_a_busy_connection_do_not_stand_before_the_others(self, alice: Member) -> None:
        busy = make_connection("busy", rate=1.0)
        make_message(alice.account, State.SENDING, connection=busy)
        letters = [make_letter(make_message(alice.account, State.FAILED, connection=busy)) for _ in range(20)]
        replayed(*letters, via="busy")
        waiting = make_message(alice.account)
        make_connection("idle")

        [(name, [(message_id, _)])] = release(directory.entries(), 10)

        assert (name, message_id) == ("idle", waiting.id)
