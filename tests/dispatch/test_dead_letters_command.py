"""`manage.py deadletters` with a word; what it does without one is tested on the whole stack."""

import io
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from dispatch import purging
from dispatch.dead_letters import DeadLetterPump
from dispatch.models import DeadLetter, Message
from dispatch.states import State
from dispatch.vocabulary import LetterState
from tests.cast import Member
from tests.factories import make_connection, make_letter, make_message

pytestmark = pytest.mark.django_db


def run(*arguments: str, **options: Any) -> str:
    output = io.StringIO()
    call_command("deadletters", *arguments, stdout=output, stderr=io.StringIO(), **options)
    return output.getvalue()


def letters_of(member: Member, *reasons: str, **fields: Any) -> list[DeadLetter]:
    return [make_letter(make_message(member.account, State.FAILED, **fields), reason) for reason in reasons]


def states() -> list[str]:
    return list(Message.objects.order_by("id").values_list("state", flat=True))


def test_without_a_word_it_is_the_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(DeadLetterPump, "run", lambda self: ran.append(self.name))

    run()
    run("run")

    assert ran == ["deadletters", "deadletters"]


def test_open_letters_are_listed_by_their_filters(alice: Member, charlie: Member) -> None:
    first, second = letters_of(alice, "unroutable", "expired")
    [other] = letters_of(charlie, "unroutable", connection=make_connection("other"))
    letters_of(alice, "unroutable")
    DeadLetter.objects.filter(id__gt=other.id).update(state=LetterState.DISCARDED)

    def listed(*arguments: str) -> list[str]:
        return [line.split("\t")[0] for line in run("list", *arguments).splitlines()]

    assert listed() == [str(first.id), str(second.id), str(other.id)]
    assert listed("--reason", "unroutable") == [str(first.id), str(other.id)]
    assert listed("--account", "Globex") == listed("--connection", "other") == [str(other.id)]
    assert listed("--provider", "sendmsg") == listed()
    assert listed("--provider", "twilio") == []
    assert listed("--since", "2000-01-01") == listed("--until", "2999-12-31") == listed()
    assert listed("--until", "2000-01-01") == []
    assert listed("--since", "2999-12-31T09:00:00+01:00") == []


def test_a_dry_run_counts_and_does_nothing(alice: Member) -> None:
    letters_of(alice, "unroutable", "expired")

    assert "replay: 2 open" in run("replay", "--dry-run")
    assert "discard: 1 open" in run("discard", "--dry-run", "--reason", "expired", "--note", "x")
    assert states() == ["failed", "failed"]


def test_a_replay_takes_those_that_were_chosen(alice: Member) -> None:
    letters_of(alice, "unroutable", "expired")
    DeadLetter.objects.create(queue="deliver.sendmsg", reason="unroutable")

    assert run("replay", "--reason", "unroutable", "--yes") == "replay: 1 done\n"

    assert states() == ["queued", "failed"]
    letter = DeadLetter.objects.get(state=LetterState.REPLAYED)
    assert letter.handled_by.startswith("cli:")


def test_a_replay_by_a_chosen_connection(alice: Member) -> None:
    letters_of(alice, "unroutable")
    make_connection("other")

    run("replay", "--to", "other", "--yes")

    connection = Message.objects.get().chosen_connection
    assert connection is not None
    assert connection.name == "other"


def test_what_can_not_be_replayed_is_counted(alice: Member) -> None:
    letters_of(alice, "unroutable", in_doubt=True)

    assert run("replay", "--yes") == "replay: 1 may have been sent by an earlier try\n"
    assert states() == ["failed"]


def test_what_may_have_been_sent_is_replayed_if_that_is_said(alice: Member) -> None:
    letters_of(alice, "unroutable")
    make_letter(make_message(alice.account, State.UNKNOWN, in_doubt=True), "unknown")

    assert "1 may have been sent and are left alone without --even-if-sent" in run("replay", "--dry-run")
    assert "1 may have been sent and may arrive twice" in run("replay", "--dry-run", "--even-if-sent")
    assert run("replay", "--yes", "--even-if-sent") == "replay: 2 done\n"

    assert states() == ["queued", "queued"]


def test_a_replay_by_the_connection_that_each_went_by(alice: Member) -> None:
    make_connection("other")
    letters_of(alice, "unroutable")
    letters_of(alice, "unroutable", connection=make_connection("third"))
    letters_of(alice, "expired")
    DeadLetter.objects.filter(reason="expired").update(connection=None)  # it never left

    assert run("replay", "--to-same", "--yes") == "replay: 3 done\n"

    chosen = Message.objects.order_by("id").values_list("chosen_connection__name", flat=True)
    assert list(chosen) == ["sendmsg", "third", None]
    with pytest.raises(CommandError, match="Either"):
        run("replay", "--to-same", "--to", "other", "--yes")


def test_a_discard_needs_a_reason(alice: Member) -> None:
    letters_of(alice, "unroutable")
    for note in ([], ["--note", "x" * 301]):
        with pytest.raises(CommandError, match="--note"):
            run("discard", "--yes", *note)

    run("discard", "--yes", "--note", "spam")

    assert DeadLetter.objects.get().note == "spam"
    assert states() == ["failed"]


@pytest.mark.parametrize(("answer", "state"), [("y\n", "queued"), ("n\n", "failed"), ("", "failed")])
def test_it_asks_first(alice: Member, monkeypatch: pytest.MonkeyPatch, answer: str, state: str) -> None:
    letters_of(alice, "unroutable")
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))

    if state == "queued":
        run("replay")
    else:
        with pytest.raises(CommandError, match="Nothing done"):
            run("replay")

    assert states() == [state]


@pytest.mark.parametrize("arguments", [["--account", "nobody"], ["--connection", "none"], ["--to", "none", "--yes"]])
def test_a_name_that_is_nobodys_is_an_error(alice: Member, arguments: list[str]) -> None:
    letters_of(alice, "unroutable")

    with pytest.raises(CommandError, match="There is no"):
        run("replay", *arguments)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_a_terminal_alone(alice: Member) -> None:
    for error, shown in ((Terminal(), True), (io.StringIO(), False)):
        letters_of(alice, "unroutable")

        call_command("deadletters", "replay", "--yes", stdout=io.StringIO(), stderr=error)

        assert ("1 of 1 (100%)" in error.getvalue()) is shown


class TestPurging:
    def handled(self, member: Member, now: State = State.DELIVERED, **fields: Any) -> DeadLetter:
        """Replayed ten days ago."""
        defaults = {"state": LetterState.REPLAYED, "handled_at": timezone.now() - timedelta(days=10)}
        return make_letter(make_message(member.account, now), **{**defaults, **fields})

    def test_letters_that_were_handled_long_ago_are_deleted(
        self, alice: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(purging, "BATCH", 2)
        old = [self.handled(alice, state) for state in (State.DELIVERED, State.SENT, State.FAILED)]
        kept = [
            self.handled(alice, handled_at=timezone.now() - timedelta(days=1)),
            make_letter(make_message(alice.account, State.FAILED)),
        ]

        assert run("purge", "--days", "7", "--dry-run") == "purge: 3 handled dead letters chosen, nothing done\n"
        assert DeadLetter.objects.count() == len(old) + len(kept)
        assert run("purge", "--days", "7", "--yes") == "purge: 3 deleted\n"

        assert set(DeadLetter.objects.all()) == set(kept)

    def test_tasks_and_those_that_a_receipt_resolved_go_too(self, alice: Member) -> None:
        self.handled(alice)
        DeadLetter.objects.update(state=LetterState.RESOLVED)
        at = timezone.now() - timedelta(days=10)
        DeadLetter.objects.create(queue="x", reason="task_rejected", state=LetterState.DISCARDED, handled_at=at)

        assert run("purge", "--days", "7", "--yes") == "purge: 2 deleted\n"

    def test_a_letter_stays_while_its_message_may_be_replayed_again(self, alice: Member) -> None:
        under_way = self.handled(alice, State.QUEUED)
        again = self.handled(alice, State.FAILED)
        assert again.message is not None
        make_letter(again.message)

        run("purge", "--days", "7", "--yes")

        assert {under_way, again} < set(DeadLetter.objects.all())

    def test_only_those_that_were_chosen(self, alice: Member) -> None:
        expired = self.handled(alice, reason="expired")
        self.handled(alice)

        run("purge", "--days", "7", "--reason", "unroutable", "--yes")

        assert DeadLetter.objects.get() == expired

    @pytest.mark.parametrize("days", [[], ["--days", "0"]])
    def test_it_needs_an_age(self, alice: Member, days: list[str]) -> None:
        with pytest.raises(CommandError, match="--days"):
            run("purge", "--yes", *days)

    def test_it_asks_first(self, alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handled(alice)
        monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))

        with pytest.raises(CommandError, match="Nothing done"):
            run("purge", "--days", "7")

        assert DeadLetter.objects.exists()
