"""Messages from people, and our numbers, in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from dispatch.models import Connection
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_inbound
from webhooks.models import Inbound, InboundNumber

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def found(client: Client, **query: Any) -> set[Inbound]:
    answer = client.get(reverse("admin:webhooks_inbound_changelist"), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def test_a_message_is_shown_with_its_sender_masked(admin_client: Client, acme: Account, line: Connection) -> None:
    message = make_inbound(line, acme, body="<b>Yes</b>")

    page = admin_client.get(reverse("admin:webhooks_inbound_change", args=[message.id])).text

    assert "&lt;b&gt;Yes&lt;/b&gt;" in page
    assert "+4477****123" in page
    assert "+447700900123" not in page
    assert "provider-key" not in page
    assert "Yes" not in admin_client.get(reverse("admin:webhooks_inbound_changelist")).text


def test_messages_are_found_by_whose_they_are_and_by_whole_names(
    admin_client: Client, acme: Account, line: Connection
) -> None:
    owned = make_inbound(line, acme, sender="+447700900124")
    nobodys = make_inbound(make_connection("other"), None, test=True)

    assert found(admin_client, owned="no") == {nobodys}
    assert found(admin_client, mode="test") == {nobodys}
    assert found(admin_client, account="Acme") == {owned}
    assert found(admin_client, q=owned.provider_id) == {owned}
    assert found(admin_client, q=str(owned.id)) == {owned}
    assert found(admin_client, q="+447700900124") == found(admin_client, q="447700900124") == {owned}
    assert found(admin_client, q="rcv") == set()


@pytest.mark.parametrize("action", ["add", "change", "delete"])
def test_nobody_edits_a_message(admin_client: Client, line: Connection, action: str) -> None:
    args = [] if action == "add" else [make_inbound(line).id]

    answer = admin_client.post(reverse(f"admin:webhooks_inbound_{action}", args=args), {"post": "yes"})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("typed", "stored"), [("+447700900001", "+447700900001"), ("447700900001", "+447700900001"), ("12345", "12345")]
)
def test_a_number_is_given_to_an_account(
    admin_client: Client, acme: Account, line: Connection, typed: str, stored: str
) -> None:
    form = {"connection": line.id, "number": typed, "account": str(acme.id)}

    answer = admin_client.post(reverse("admin:webhooks_inboundnumber_add"), form)

    assert answer.status_code == 302
    number = InboundNumber.objects.get()
    assert (number.number, number.account, number.connection) == (stored, acme, line)
    assert admin_client.get(reverse("admin:webhooks_inboundnumber_changelist")).status_code == 200


def test_a_number_belongs_to_one_account(admin_client: Client, acme: Account, line: Connection) -> None:
    form = {"connection": line.id, "number": "447700900001", "account": str(acme.id)}
    url = reverse("admin:webhooks_inboundnumber_add")

    assert [admin_client.post(url, form).status_code for _ in range(2)] == [302, 200]
