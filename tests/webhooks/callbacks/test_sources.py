"""What else is told beside the states of messages: what people write, and who does not want to be written to."""

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse
from openapi_schema_validator import OAS31Validator

from dispatch.models import Connection, Suppression
from tests.cast import Member
from tests.factories import make_number, make_suppression
from tests.faults import FaultServer
from tests.webhooks.callbacks.driving import make_endpoint, told, work_off
from tests.webhooks.callbacks.test_documents import document, kinds, payload_schema
from tests.webhooks.test_messages import OURS, THEIRS, message, take

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling", "clean_redis")]


@pytest.fixture
def number(alice: Member, line: Connection, receiver: FaultServer) -> FaultServer:
    """A number of Acme's, whose program listens."""
    make_number(line, alice.account)
    make_endpoint(alice.account, receiver.url, "message.received", "suppression.*")
    return receiver


def heard(server: FaultServer) -> list[dict[str, Any]]:
    """What the program was told, each as the OpenAPI document says; oldest first."""
    work_off()
    payloads = told(server)
    for payload in payloads:
        [webhook] = [one for one in document()["webhooks"].values() if payload["type"] in kinds(one)]
        OAS31Validator(payload_schema(webhook)).validate(payload)
    return sorted(payloads, key=lambda payload: payload["timestamp"])


def test_what_people_write_is_told_once(number: FaultServer) -> None:
    for _ in range(2):
        take(message("rcv_1", "Is it open today?"))

    [payload] = heard(number)
    data = payload["data"]
    assert (payload["type"], data["from"], data["to"]) == ("message.received", THEIRS, OURS)
    assert (data["body"], data["keyword"]) == ("Is it open today?", None)


def test_stop_and_start_are_told_with_what_follows_from_them(number: FaultServer) -> None:
    for index, word in enumerate(("STOP", "STOP", "START")):
        take(message(f"rcv_{index}", word))

    payloads = heard(number)
    assert sorted(payload["type"] for payload in payloads) == [
        *["message.received"] * 3,
        "suppression.created",
        "suppression.deleted",
    ]
    [created] = [payload["data"] for payload in payloads if payload["type"] == "suppression.created"]
    assert (created["recipient"], created["reason"], created["from"]) == (THEIRS, "keyword", None)


def test_a_suppression_that_is_added_and_lifted_by_api_is_told(
    client: Client, alice: Member, number: FaultServer
) -> None:
    body = {"recipient": THEIRS, "channel": "sms"}
    for _ in range(2):
        client.post("/v1/suppressions", body, content_type="application/json", headers=alice.headers)
    row = Suppression.objects.get()
    assert client.delete(f"/v1/suppressions/{row.id}", headers=alice.headers).status_code == 204

    assert [(payload["type"], payload["data"]["id"]) for payload in heard(number)] == [
        ("suppression.created", str(row.id)),
        ("suppression.deleted", str(row.id)),
    ]


def test_so_is_one_that_an_operator_lifts(admin_client: Client, alice: Member, number: FaultServer) -> None:
    one, other = make_suppression(alice.account, THEIRS), make_suppression(alice.account, "+447700900999")

    page = reverse("admin:dispatch_suppression_delete", args=[one.pk])
    admin_client.post(page, {"post": "yes"})
    data = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [str(other.pk)], "post": "yes"}
    admin_client.post(reverse("admin:dispatch_suppression_changelist"), data)

    assert [payload["data"]["id"] for payload in heard(number)] == [str(one.pk), str(other.pk)]
    assert not Suppression.objects.exists()
