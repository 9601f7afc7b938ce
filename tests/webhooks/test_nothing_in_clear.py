"""What people write comes in by every door there is, and no table of the default database shows it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dispatch import directory
from dispatch.models import BroadcastDraft, DeadLetter, Message
from dispatch.vocabulary import Channel
from sendmsg.api.models import IdempotencyRecord
from tests.cast import Member
from tests.factories import make_connection, make_number
from tests.stored import dump, opened, write_in_clear
from tests.webhooks.callbacks.driving import make_endpoint
from tests.webhooks.provider import deliver, report
from webhooks.callbacks import outbox
from webhooks.callbacks.models import Callback
from webhooks.inbound import messages
from webhooks.inbound.base import InboundMessage, Part
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.models import Inbound, InboundPart

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling")]
PLANTED = "p1anted"
OURS, THEIRS = "+447700900001", "+447700900123"


@pytest.fixture
def sent(client: Client, admin_client: Client, alice: Member) -> None:
    """Texts by all doors: single, batch, broadcasts as JSON, as CSV and uploaded, from people, and given up."""
    line = make_connection()
    make_number(line, alice.account, OURS)
    make_endpoint(alice.account, "https://client.example/hook")
    one = {"to": THEIRS, "body": f"{PLANTED} single"}
    broadcast = {"body": f"{PLANTED} broadcast {{{{name}}}}"}
    bodies: dict[str, Any] = {
        "/v1/messages": one,
        "/v1/messages/batch": {"messages": [{"to": THEIRS, "body": f"{PLANTED} batch " + "x" * 200}]},
        "/v1/broadcasts": {**broadcast, "recipients": [{"to": THEIRS, "values": {"name": PLANTED}}]},
    }
    for path, body in bodies.items():
        for repeated in range(2):
            headers = {**alice.headers, "Idempotency-Key": "same"}
            answer = client.post(path, body, content_type="application/json", headers=headers)
            assert answer.status_code == 202
            assert ("Idempotency-Replayed" in answer.headers) is bool(repeated)
    stream = f"{json.dumps(broadcast)}\nto,name\n{THEIRS},{PLANTED}\n".encode()
    assert client.post("/v1/broadcasts", stream, "text/csv", headers=alice.headers).status_code == 202
    form = {
        "account": alice.account.pk,
        "mode": "live",
        "channel": "sms",
        "priority": "bulk",
        "body": broadcast["body"],
        "list": SimpleUploadedFile("list.csv", f"to,name\n{THEIRS},{PLANTED}\n".encode()),
    }
    assert admin_client.post(reverse("admin:dispatch_broadcast_upload"), form).status_code == 302
    deliver(report("rcv_1", type="message", to=OURS, body=f"{PLANTED} inbound", **{"from": THEIRS}))
    broken = report("rcv_2", type="message", to=["not a number"], body=f"{PLANTED} broken", **{"from": 7})
    deliver(broken)
    ReceiptsPump().step()
    part = InboundMessage(
        provider_id="part_1",
        sender=THEIRS,
        to=OURS,
        body=f"{PLANTED} part",
        channel=Channel.SMS,
        received_at=timezone.now(),
        part=Part("7", 1, 2),
    )
    with transaction.atomic():
        messages.store([(directory.entries()["sendmsg"], part)])


def doors() -> set[str]:
    return {row.partition(":")[0] for row in opened().splitlines() if PLANTED in row}


def test_no_table_shows_a_text_and_all_of_them_are_there(sent: None) -> None:
    assert PLANTED not in dump()
    assert doors() >= {
        *("dispatch_message", "dispatch_broadcast", "dispatch_broadcastdraft", "dispatch_announcement"),
        *("webhooks_inbound", "webhooks_inboundpart", "api_idempotencyrecord"),
    }

    outbox.spread()
    with transaction.atomic():
        messages.assemble(timezone.now() + timedelta(hours=2))

    assert PLANTED not in dump()
    assert "webhooks_callback" in doors()
    assert Callback.objects.filter(type="message.received").exists()


def test_in_clear_each_of_those_tables_shows_it(sent: None) -> None:
    """Which says that the dump of the test before would have found it."""
    tables = doors()
    write_in_clear()
    for model in (Message, BroadcastDraft, Inbound, InboundPart, IdempotencyRecord, DeadLetter):
        for row in model._default_manager.all():
            row.save()

    shown = {row.partition(":")[0] for row in dump().splitlines() if PLANTED in row}

    assert shown >= tables - {"dispatch_broadcast", "dispatch_announcement"}


@pytest.mark.django_db(databases=["default", "logs"])
def test_clients_and_operators_see_what_was_written(
    client: Client, admin_client: Client, alice: Member, sent: None
) -> None:
    found = client.get("/v1/messages", headers=alice.headers).json()["results"]
    heard = client.get("/v1/inbound", headers=alice.headers).json()["results"]

    assert {one["body"].split()[1] for one in found} == {"single", "batch", "broadcast"}
    assert [one["body"] for one in heard] == [f"{PLANTED} inbound"]
    single = Message.objects.get(id=found[-1]["id"])
    page = admin_client.get(reverse("admin:dispatch_message_change", args=[single.id])).text
    assert f"{PLANTED} single" in page


def test_a_repeated_request_is_told_apart_by_a_hash_that_needs_a_key(client: Client, alice: Member, sent: None) -> None:
    changed = {"to": THEIRS, "body": f"{PLANTED} other"}
    headers = {**alice.headers, "Idempotency-Key": "same"}

    answer = client.post("/v1/messages", changed, content_type="application/json", headers=headers)

    assert answer.status_code == 422
    assert all(":" in print_ for print_ in IdempotencyRecord.objects.values_list("fingerprint", flat=True))
