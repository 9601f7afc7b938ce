"""A worker that has not the key of a text: it sends neither that nor what is encrypted, and the others as ever."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from dispatch import attempts, directory
from dispatch.models import Attempt, DeadLetter, Message
from dispatch.states import State
from sendmsg.accounts.models import Account
from sendmsg.sealing import keys
from sendmsg.sealing.models import TextKey
from tests.factories import make_connection, make_message
from tests.stored import lock_keys

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(db: None) -> directory.Entry:
    make_connection()
    return directory.entries()["sendmsg"]


def released(account: Account, **fields: object) -> Message:
    return make_message(account, state=State.RELEASED, release=1, **fields)


def in_clear(message: Message, text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE dispatch_message SET body = %s WHERE id = %s", [text, message.id])


def test_of_a_batch_only_what_cant_be_read_waits(acme: Account, entry: directory.Entry) -> None:
    lost, clear = released(acme), released(acme)
    in_clear(clear, "Your code is 7.")
    lock_keys()

    held = attempts.claim([(lost.id, 1), (clear.id, 1)], entry)

    assert [(item.claim.message_id, item.outbound.body) for item in held] == [(clear.id, "Your code is 7.")]
    lost.refresh_from_db()
    assert (lost.state, lost.error_code, lost.failures) == (State.QUEUED, "text_unreadable", 0)
    assert timezone.now() < lost.due_at < timezone.now() + timedelta(minutes=2)
    assert Attempt.objects.get(message=lost).outcome == "not_sent"


def test_each_try_to_read_it_is_later_than_the_one_before(acme: Account, entry: directory.Entry) -> None:
    message = released(acme, expires_at=timezone.now() + timedelta(days=1))
    lock_keys()
    waits = []
    for release in range(1, 7):
        Message.objects.update(state=State.RELEASED, release=release)
        attempts.claim([(message.id, release)], entry)
        message.refresh_from_db()
        waits.append(round((message.due_at - timezone.now()).total_seconds() / 60))

    assert waits[-2:] == [10, 10]
    assert waits == sorted(waits)


def test_in_doubt_it_is_not_asked_about_either_and_stays_in_doubt(acme: Account, entry: directory.Entry) -> None:
    lost = released(acme, in_doubt=True)
    lock_keys()

    assert attempts.claim([(lost.id, 1)], entry) == []

    lost.refresh_from_db()
    assert (lost.state, lost.in_doubt) == (State.QUEUED, True)


def test_once_the_key_is_there_it_is_sent(acme: Account, entry: directory.Entry) -> None:
    message = released(acme, body="Your code is 8.")
    row = TextKey.objects.get()
    lock_keys()
    attempts.claim([(message.id, 1)], entry)

    row.save()
    keys.forget()
    Message.objects.update(state=State.RELEASED, release=2)
    [held] = attempts.claim([(message.id, 2)], entry)

    assert held.outbound.body == "Your code is 8."


def test_at_its_deadline_it_is_a_dead_letter_that_can_be_replayed(acme: Account, entry: directory.Entry) -> None:
    message = released(acme, expires_at=timezone.now() + timedelta(seconds=5))
    lock_keys()

    attempts.claim([(message.id, 1)], entry)

    message.refresh_from_db()
    assert (message.state, message.error_code) == (State.EXPIRED, "text_unreadable")
    assert DeadLetter.objects.get().message_id == message.id
