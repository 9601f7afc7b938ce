"""Receipts in the admin, in their list and on the page of their message."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dispatch.models import Connection, Message
from dispatch.states import State
from dispatch.vocabulary import ReceiptStatus
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_message, make_receipt
from webhooks.models import Receipt

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
LIST = "admin:webhooks_receipt_changelist"


def page_of(message: Message) -> str:
    return reverse("admin:dispatch_message_change", args=[message.id])


def found(client: Client, **query: Any) -> set[Receipt]:
    answer = client.get(reverse(LIST), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def queries(client: Client, url: str) -> int:
    """How many queries a page takes, once content types are known."""
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_receipts_are_on_the_page_of_their_message(admin_client: Client, acme: Account, line: Connection) -> None:
    message = make_message(acme, State.UNDELIVERED, to="+447700900123")
    fields = {"error_code": "absent_subscriber", "state": Receipt.State.APPLIED, "message": message}
    make_receipt(line, "snd_4711", ReceiptStatus.UNDELIVERED, **fields)
    make_receipt(line, "snd_of_another", ReceiptStatus.DELIVERED)

    page = admin_client.get(page_of(message)).text

    for text in ("snd_4711", "absent_subscriber", "state-applied", "state-undelivered"):
        assert text in page
    assert "snd_of_another" not in page


def test_a_receipt_leads_to_its_message(admin_client: Client, acme: Account, line: Connection) -> None:
    message = make_message(acme, State.DELIVERED, to="+447700900123")
    receipt = make_receipt(line, f"snd_{'0' * 32}", ReceiptStatus.DELIVERED, message=message)

    for url in (reverse(LIST), reverse("admin:webhooks_receipt_change", args=[receipt.id])):
        page = admin_client.get(url).text
        assert page_of(message) in page
        assert receipt.provider_id in page
        assert "7700900123" not in page
        assert "provider-key" not in page


def test_receipts_are_found_by_state_status_and_connection(admin_client: Client, line: Connection) -> None:
    other_line = make_connection("other")
    orphaned = make_receipt(line, "snd_1", ReceiptStatus.SENT, state=Receipt.State.ORPHANED)
    undelivered = make_receipt(other_line, "snd_2", ReceiptStatus.UNDELIVERED)

    assert found(admin_client, state__exact="orphaned") == {orphaned}
    assert found(admin_client, status__exact="undelivered") == {undelivered}
    assert found(admin_client, connection=str(other_line.id)) == {undelivered}


def test_receipts_are_found_by_whole_ids(admin_client: Client, acme: Account, line: Connection) -> None:
    receipt = make_receipt(line, "snd_1", ReceiptStatus.SENT)
    message = make_message(acme, State.SENT)
    matched = make_receipt(line, "snd_12", ReceiptStatus.SENT, message=message)

    assert found(admin_client, q="snd_1") == {receipt}
    assert found(admin_client, q=str(message.id)) == {matched}
    assert found(admin_client, q="snd") == set()


@pytest.mark.parametrize("action", ["add", "change", "delete"])
def test_nobody_edits_a_receipt(admin_client: Client, line: Connection, action: str) -> None:
    args = [] if action == "add" else [make_receipt(line, "snd_1", ReceiptStatus.SENT).id]

    answer = admin_client.post(reverse(f"admin:webhooks_receipt_{action}", args=args), {"post": "yes"})

    assert answer.status_code == 403


def test_pages_take_as_many_queries_for_many_as_for_one(admin_client: Client, acme: Account, line: Connection) -> None:
    message = make_message(acme, State.SENT)
    make_receipt(line, "snd_0", ReceiptStatus.SENT, message=message)
    for_one = [queries(admin_client, url) for url in (reverse(LIST), page_of(message))]
    for number in range(1, 10):
        make_receipt(make_connection(f"line-{number}"), f"snd_{number}", ReceiptStatus.SENT, message=message)

    assert [queries(admin_client, url) for url in (reverse(LIST), page_of(message))] == for_one
    assert max(for_one) <= 12
