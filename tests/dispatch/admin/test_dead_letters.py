"""Dead letters in the admin."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dispatch.models import DeadLetter
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db
LIST = "admin:dispatch_deadletter_changelist"


def page_of(letter: DeadLetter) -> str:
    return reverse("admin:dispatch_deadletter_change", args=[letter.id])


def make_letter(account: Account, reason: str = "unroutable", **fields: Any) -> DeadLetter:
    return DeadLetter.objects.create(message=make_message(account, State.FAILED, **fields), reason=reason)


def found(client: Client, **query: Any) -> set[DeadLetter]:
    answer = client.get(reverse(LIST), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def test_a_letter_leads_to_its_message_and_masks_the_number(admin_client: Client, acme: Account) -> None:
    letter = make_letter(acme, to="+447700900123", body="Your code is 4711.")

    for url in (reverse(LIST), page_of(letter)):
        page = admin_client.get(url).text
        for text in (
            "unroutable",
            "sendmsg",
            "+4477****123",
            reverse("admin:dispatch_message_change", args=[letter.message_id]),
        ):
            assert text in page
        assert "7700900123" not in page
        assert "4711" not in page


def test_a_letter_without_a_message_shows_what_came(admin_client: Client) -> None:
    task = '[["0192f3a1-7c1e-7000-8000-000000900123", 1], {"msisdn": "447700900123", "to": "+447700900124"}] <b>'
    letter = DeadLetter.objects.create(queue="receipts", reason="malformed_webhook", task=task)

    page = admin_client.get(page_of(letter)).text

    for number in ("7700900123", "7700900124"):
        assert number not in page
    assert "0192f3a1-7c1e-7000-8000-000000900123" in page
    assert "&lt;b&gt;" in page
    assert admin_client.get(reverse(LIST)).status_code == 200


def test_letters_are_found_by_reason_and_by_message(admin_client: Client, acme: Account) -> None:
    letter, other = make_letter(acme, "unroutable"), make_letter(acme, "expired")

    assert found(admin_client) == {letter, other}
    assert found(admin_client, reason="expired") == {other}
    assert found(admin_client, q=str(letter.message_id)) == {letter}
    assert found(admin_client, q="unroutable") == set()
    page = admin_client.get(reverse(LIST)).text
    assert "?reason=expired" in page
    assert "?reason=unroutable" in page


@pytest.mark.parametrize("action", ["add", "change", "delete"])
def test_nobody_edits_a_letter(admin_client: Client, acme: Account, action: str) -> None:
    args = [] if action == "add" else [make_letter(acme).id]

    answer = admin_client.post(reverse(f"admin:dispatch_deadletter_{action}", args=args), {"post": "yes"})

    assert answer.status_code == 403


def test_a_list_takes_as_many_queries_for_many_as_for_one(admin_client: Client, acme: Account) -> None:
    make_letter(acme)
    admin_client.get(reverse(LIST))
    with CaptureQueriesContext(connection) as for_one:
        admin_client.get(reverse(LIST))
    for number in range(10):
        make_letter(acme, connection=make_connection(f"line-{number}"))

    with CaptureQueriesContext(connection) as for_many:
        admin_client.get(reverse(LIST))

    assert len(for_many) == len(for_one) <= 7
