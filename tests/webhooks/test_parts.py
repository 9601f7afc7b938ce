"""A message that its provider counts as several arrived when all of its parts did."""

from typing import Any

import pytest

from dispatch.models import Connection, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message, make_receipt, make_reference
from tests.webhooks.sent import match
from webhooks.models import Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]


def make_parts(alice: Member, line: Connection, *ids: str, **fields: Any) -> Message:
    message = make_message(alice.account, **{"state": State.SENT, "connection": line, **fields})
    for one in ids:
        make_reference(message, one, attempt=1)
    return message


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("delivered", None, None), State.SENT),
        (("delivered", "delivered", None), State.SENT),
        (("delivered", "delivered", "delivered"), State.DELIVERED),
        (("delivered", "undelivered", None), State.UNDELIVERED),
        (("sent", "sent", "sent"), State.SENT),
    ],
)
def test_a_message_in_parts_arrived_when_all_of_them_did(
    alice: Member, line: Connection, words: tuple[str | None, ...], state: State
) -> None:
    message = make_parts(alice, line, "a", "b", "c")
    for part, word in zip("abc", words, strict=True):
        if word:
            make_receipt(line, part, word)
        match()

    message.refresh_from_db()
    assert message.state == state


def test_the_parts_of_a_message_may_be_reported_in_one_go(alice: Member, line: Connection) -> None:
    message = make_parts(alice, line, "a", "b")
    receipts = [make_receipt(line, part, "delivered") for part in "ab"]

    match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED
    assert sorted(Receipt.objects.filter(id__in=[one.id for one in receipts]).values_list("state", flat=True)) == [
        Receipt.State.APPLIED,
        Receipt.State.NOTED,
    ]


def test_a_part_that_arrives_after_all_completes_its_message(alice: Member, line: Connection) -> None:
    message = make_parts(alice, line, "a", "b")
    for part, word in (("a", "delivered"), ("b", "undelivered"), ("b", "delivered")):
        make_receipt(line, part, word)
        match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED


@pytest.mark.parametrize(("attempt", "name"), [(1, "sendmsg"), (None, "sendmsg"), (2, "before")])
def test_ids_of_two_tries_are_no_parts(alice: Member, line: Connection, attempt: int | None, name: str) -> None:
    message = make_message(alice.account, state=State.SENT, connection=line)
    make_reference(message, "snd_1", attempt=2)
    make_reference(message, "old", connection_id=make_connection(name).pk, attempt=attempt)
    make_receipt(line, "snd_1", "delivered")

    match()

    message.refresh_from_db()
    assert message.state == State.DELIVERED
