"""A line settles what its provider answers, whatever else goes wrong, and hands back what it can't begin."""

import threading
from collections.abc import Sequence

import pytest
from django.db import OperationalError

from dispatch import attempts, breaker, directory, lines, sending
from dispatch.attempts import Settlement
from dispatch.models import Attempt, Message
from dispatch.states import State
from tests.cast import Member
from tests.dispatch.rounds import TELNYX, connected, takes
from tests.factories import make_message
from tests.faults import Wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]


def released(alice: Member, count: int = 1) -> list[Message]:
    return [make_message(alice.account, State.RELEASED, release=1, to=f"+4477009001{n:02}") for n in range(count)]


def deliver(messages: list[Message]) -> None:
    sending.deliver_batch("first", [(message.id, 1) for message in messages])
    assert sending.wait_settled(20)


def states() -> set[str]:
    return set(Message.objects.values_list("state", flat=True))


def test_a_task_is_over_before_its_calls_are(alice: Member) -> None:
    with connected(first=(TELNYX, takes)):
        messages = released(alice, 3)

        assert sending.deliver_batch("first", [(message.id, 1) for message in messages]) == 3
        assert sending.wait_settled(20)

    assert states() == {State.SENT}


def test_the_answers_of_several_tasks_are_settled_together(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    settle = attempts.settle

    def count(found: Sequence[Settlement]) -> None:
        sizes.append(len(found))
        settle(found)

    monkeypatch.setattr(attempts, "settle", count)
    monkeypatch.setattr(lines, "GATHER", 1.0)
    everybody = threading.Barrier(4)

    def takes_together(wire: Wire) -> bool:
        everybody.wait(20)
        return takes(wire)

    with connected(first=({**TELNYX, "concurrency": 4}, takes_together)):
        for message in released(alice, 4):
            sending.deliver_batch("first", [(message.id, 1)])
        assert sending.wait_settled(20)

    assert sizes == [4]


def test_a_line_that_stumbles_goes_on(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(first=(TELNYX, takes)):
        [first], later = released(alice), released(alice, 2)
        record = breaker.record
        monkeypatch.setattr(breaker, "record", lambda *_: 1 / 0)
        deliver([first])
        monkeypatch.setattr(breaker, "record", record)

        deliver(later)

    assert states() == {State.SENT}


def test_a_settle_that_fails_for_good_leaves_its_messages_to_their_leases(
    alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = attempts.settle
    monkeypatch.setattr(attempts, "settle", lambda _: 1 / 0)
    with connected(first=(TELNYX, takes)):
        deliver(released(alice))
        monkeypatch.setattr(attempts, "settle", settle)
        deliver(released(alice))

    assert states() == {State.SENDING, State.SENT}


def test_a_settle_waits_for_the_database(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, failures = attempts.settle, iter([OperationalError("away"), OperationalError("away")])

    def away_at_first(found: object) -> None:
        if (error := next(failures, None)) is not None:
            raise error
        settle(found)  # type: ignore[arg-type]

    monkeypatch.setattr(attempts, "settle", away_at_first)
    with connected(first=(TELNYX, takes)):
        deliver(released(alice))

    assert states() == {State.SENT}


def test_a_closed_line_hands_back_what_it_is_given(alice: Member) -> None:
    with connected(first=(TELNYX, takes)) as servers:
        line = sending.line("first")
        assert line is not None
        line.close()
        line.wait_closed(10)
        [message] = released(alice)
        line.take(attempts.claim([(message.id, 1)], directory.entries()["first"]))

        assert servers["first"].requests == []

    assert states() == {State.QUEUED}
    assert Attempt.objects.get().outcome == "not_sent"


def test_a_worker_that_drains_begins_no_call(alice: Member) -> None:
    from dispatch import calls

    try:
        with connected(first=(TELNYX, takes)) as servers:
            assert sending.drain(5)
            deliver(released(alice))

            assert servers["first"].requests == []
    finally:
        calls.stopping.clear()
    assert states() == {State.QUEUED}
