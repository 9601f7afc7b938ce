"""Changes that are alike share what is said of them, and no change takes anything from another."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from dispatch import transitions
from dispatch.changes import Change, columns
from dispatch.models import Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_message

NOW = timezone.now()
ANOTHER: dict[str, Any] = {
    "target": State.CANCELED,
    "due_at": NOW,
    "expires_at": NOW,
    "lease_until": NOW,
    "connection_id": 1,
    "option": 2,
    "in_doubt": False,
    "doubt_until": NOW,
    "failed": True,
    "avoid": True,
    "refused": (3,),
    "code": "",
    "detail": "",
}
PLAIN = Change(uuid4(), State.QUEUED)


def test_changes_that_are_alike_are_one_kind() -> None:
    first, second = replace(PLAIN, release=1, data={"n": 1}), replace(PLAIN, message_id=uuid4(), data={"n": 2})

    found = columns([first, second])

    assert found["kind"] == [1, 1]
    assert found["target"] == ["queued"]
    assert found["id"] == [str(first.message_id), str(second.message_id)]
    assert found["release"] == [1, None]
    assert found["data"] == ['"n": 1', '"n": 2']


@pytest.mark.parametrize("name", ANOTHER)
def test_whatever_differs_makes_another_kind(name: str) -> None:
    found = columns([PLAIN, replace(PLAIN, **{name: ANOTHER[name]}), PLAIN])

    assert found["kind"] == [1, 2, 1]


def test_every_field_is_thought_of() -> None:
    assert {one.name for one in fields(Change)} == ANOTHER.keys() | {"message_id", "release", "data"}


@pytest.mark.django_db
def test_each_message_of_a_batch_gets_its_own(alice: Member) -> None:
    later = [NOW + timedelta(minutes=number) for number in range(4)]
    held = [make_message(alice.account, State.SENDING, tries=1) for _ in range(4)]
    wanted = [
        Change(held[0].id, State.QUEUED, due_at=later[0], code="one", detail="first", refused=[7, 8], failed=True),
        Change(held[1].id, State.QUEUED, due_at=later[1], code="two", in_doubt=True, doubt_until=later[3]),
        Change(held[2].id, State.SENT, code="", detail=""),
        Change(held[3].id, State.QUEUED, due_at=later[0], code="one", detail="first", refused=[7, 8], failed=True),
    ]

    assert len(transitions.apply(wanted)) == 4

    names = ("state", "due_at", "error_code", "error_detail", "refused", "failures", "in_doubt", "doubt_until")
    rows = {row[0]: row[1:] for row in Message.objects.values_list("id", *names)}
    alike = ("queued", later[0], "one", "first", [7, 8], 1, False, None)
    assert rows[held[0].id] == rows[held[3].id] == alike
    assert rows[held[1].id] == ("queued", later[1], "two", "", [], 0, True, later[3])
    assert rows[held[2].id] == ("sent", held[2].due_at, "", "", [], 0, False, None)
