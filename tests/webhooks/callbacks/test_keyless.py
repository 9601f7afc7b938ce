"""A process that has not the key of what is to be told: nothing of it is sent, and nothing is lost."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from sendmsg.sealing import keys
from sendmsg.sealing.models import TextKey
from tests.cast import Member
from tests.faults import FaultServer
from tests.stored import lock_keys
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
