"""`manage.py deadletters list`, `replay` and `discard`; what it does without a word is tested on the whole stack."""

import io
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

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
    assert listed("--since", "2000-01-01") == listed()
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
