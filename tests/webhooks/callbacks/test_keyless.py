"""A process that has not the key of what is to be told: nothing of it is sent, and nothing is lost."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from sendmsg.sealing import keys
from sendmsg.sealing.models import TextKey
from tests.cast import Member
from tests.faults import FaultServer, answer
from tests.stored import dump, lock_keys, write_in_clear
from tests.webhooks.callbacks.driving import make_endpoint, pass_time, told, work_off
from webhooks.callbacks import outbox
from webhooks.callbacks.models import Callback
from webhooks.callbacks.vocabulary import CallbackState, Kind

pytestmark = pytest.mark.django_db


def announce(member: Member, body: str) -> None:
    outbox.announce(member.account.pk, False, Kind.MESSAGE_RECEIVED, {"body": body})


def test_a_callback_waits_for_its_key_and_others_do_not_wait_for_it(alice: Member, receiver: FaultServer) -> None:
    make_endpoint(alice.account, receiver.url)
    for text in ("encrypted", "in clear"):
        announce(alice, text)
        outbox.spread()
    clear = Callback.objects.order_by("id")[1]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_callback SET body = %s WHERE id = %s", [clear.body, clear.id])
    row = TextKey.objects.get()
    lock_keys()

    work_off()

    assert [one["data"]["body"] for one in told(receiver)] == ["in clear"]
    waiting = Callback.objects.get(state=CallbackState.WAITING)
    assert waiting.attempts == 0
    assert waiting.due_at > timezone.now()

    row.save()
    keys.forget()
    pass_time()
    work_off()

    assert [one["data"]["body"] for one in told(receiver)] == ["in clear", "encrypted"]


def test_what_an_endpoint_answers_is_stored_encrypted(alice: Member, receiver: FaultServer) -> None:
    receiver.play(answer(400, b"what is p1anted?"))
    make_endpoint(alice.account, receiver.url)
    announce(alice, "p1anted")
    outbox.spread()

    work_off()

    assert Callback.objects.get().response_body == "what is p1anted?"
    assert "p1anted" not in dump()


def test_without_a_key_to_store_an_answer_with_what_was_told_is_settled_all_the_same(
    alice: Member, receiver: FaultServer
) -> None:
    receiver.play(answer(400, b"what?"))
    write_in_clear()
    make_endpoint(alice.account, receiver.url)
    announce(alice, "in clear")
    outbox.spread()
    keys.make()
    lock_keys()

    work_off()

    callback = Callback.objects.get()
    assert (callback.attempts, callback.response_status, callback.response_body) == (1, 400, "")


def test_an_announcement_waits_for_its_key(alice: Member) -> None:
    make_endpoint(alice.account, "https://client.example/hook")
    announce(alice, "encrypted")
    row = TextKey.objects.get()
    lock_keys()

    assert outbox.spread() == 0
    assert not Callback.objects.exists()

    row.save()
    keys.forget()
    assert outbox.spread() == 1
    assert json.loads(Callback.objects.get().body)["data"]["body"] == "encrypted"


def test_a_delivery_that_cant_be_read_is_listed_without_its_payload(client: Client, alice: Member) -> None:
    endpoint = make_endpoint(alice.account, "https://client.example/hook")
    announce(alice, "encrypted")
    outbox.spread()
    lock_keys()

    page = client.get(f"/v1/webhooks/{endpoint.id}/deliveries", headers=alice.headers).json()

    assert [one["payload"] for one in page["results"]] == [{}]
